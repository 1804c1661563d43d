/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/rights.h"

#include "broker/core/agent.h"
#include "broker/core/link.h"

#include <stdio.h>

#define MAY(right) (1u << (right))

#define VIEWER (MAY(AG_MAY_LOOK) | MAY(AG_MAY_LIST) | MAY(AG_MAY_SEE_HOSTS) | MAY(AG_MAY_READ))
#define OPERATOR                                                                                                       \
    (MAY(AG_MAY_LOOK) | MAY(AG_MAY_LIST) | MAY(AG_MAY_SEE_HOSTS) | MAY(AG_MAY_KICK) | MAY(AG_MAY_REVOKE) |             \
     MAY(AG_MAY_DRAIN) | MAY(AG_MAY_SEE_STORE) | MAY(AG_MAY_ALL_TENANTS))

static const struct {
    const char *name; /* with its article */
    uint16_t may;
} table[RT_CLIENT_ROLES] = {
    [RT_CLIENT_NOBODY] = {"a stranger", 0},
    [RT_CLIENT_VCH] = {"a vch",
                       VIEWER | MAY(AG_MAY_CREATE) | MAY(AG_MAY_REMOVE) | MAY(AG_MAY_INPUT) | MAY(AG_MAY_HOLD)},
    [RT_CLIENT_VIEWER] = {"a viewer", VIEWER},
    [RT_CLIENT_OPERATOR] = {"an operator", OPERATOR},
    [RT_CLIENT_OPERATOR_READS] = {"an operator", OPERATOR | MAY(AG_MAY_READ)},
};

static const char *const deeds[AG_RIGHTS] = {
    [AG_MAY_CREATE] = "create containers",
    [AG_MAY_REMOVE] = "remove containers",
    [AG_MAY_LOOK] = "look at containers",
    [AG_MAY_LIST] = "list containers",
    [AG_MAY_SEE_HOSTS] = "list hosts",
    [AG_MAY_READ] = "read what containers say",
    [AG_MAY_INPUT] = "send input, run commands or take an attachment over",
    [AG_MAY_HOLD] = "hold output back",
    [AG_MAY_KICK] = "kick a container's guest",
    [AG_MAY_REVOKE] = "revoke containers",
    [AG_MAY_DRAIN] = "drain hosts",
    [AG_MAY_SEE_STORE] = "look at the store",
    [AG_MAY_ALL_TENANTS] = "name other tenants",
};

bool rt_ag_may(const struct ag_link *link, enum ag_right right)
{
    return (table[link->client->as].may & MAY(right)) != 0;
}

bool rt_ag_allowed(const struct ag_link *link, enum ag_right right, char why[RT_TEXT_MAX])
{
    bool may = rt_ag_may(link, right);

    if (!may) {
        (void)snprintf(why, RT_TEXT_MAX, "%s may not %s%s", table[link->client->as].name, deeds[right],
                       link->client->as == RT_CLIENT_OPERATOR && right == AG_MAY_READ
                           ? ", unless access.operators_read is set"
                           : "");
    }
    return may;
}
