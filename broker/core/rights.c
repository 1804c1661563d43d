/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/rights.h"

#include "broker/core/agent.h"
#include "broker/core/link.h"

#define MAY(right) (1u << (right))

static const uint16_t table[RT_CLIENT_ROLES] = {
    [RT_CLIENT_VCH] = MAY(AG_MAY_CREATE) | MAY(AG_MAY_REMOVE) | MAY(AG_MAY_LOOK) | MAY(AG_MAY_LIST) |
                      MAY(AG_MAY_SEE_HOSTS) | MAY(AG_MAY_ATTACH) | MAY(AG_MAY_INPUT) | MAY(AG_MAY_HOLD),
    [RT_CLIENT_VIEWER] = MAY(AG_MAY_LOOK) | MAY(AG_MAY_LIST) | MAY(AG_MAY_SEE_HOSTS) | MAY(AG_MAY_ATTACH),
    [RT_CLIENT_OPERATOR] = MAY(AG_RIGHTS) - 1,
};

bool rt_ag_may(const struct ag_link *link, enum ag_right right)
{
    return (table[link->as] & MAY(right)) != 0;
}
