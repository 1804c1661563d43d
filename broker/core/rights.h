/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_RIGHTS_H
#define RETETHER_BROKER_CORE_RIGHTS_H

#include "broker/core/agent.h"

#include <stdbool.h>
#include <stdint.h>

/* What a client may do, by its role: one table (rights.c). Whatever that allows, for all but operators there are no
 * containers but those of their own tenant. */

struct ag_link;

enum ag_right {
    AG_MAY_CREATE,      /* sessions */
    AG_MAY_REMOVE,      /* sessions that never started */
    AG_MAY_LOOK,        /* at records */
    AG_MAY_LIST,        /* records */
    AG_MAY_SEE_HOSTS,   /* all agents */
    AG_MAY_READ,        /* attach, and read; the last output of what has ended */
    AG_MAY_INPUT,       /* stdin; signals, sizes, commands */
    AG_MAY_HOLD,        /* output back that it has not read */
    AG_MAY_KICK,        /* a guest off its link */
    AG_MAY_REVOKE,      /* a container */
    AG_MAY_DRAIN,       /* a host */
    AG_MAY_SEE_STORE,   /* where the session store is, and what is weak there */
    AG_MAY_ALL_TENANTS, /* names a container by its tenant */
    AG_RIGHTS,
};

bool rt_ag_may(const struct ag_link *link, enum ag_right right);
/* The same; false with a sentence about role and right in `why`. */
bool rt_ag_allowed(const struct ag_link *link, enum ag_right right, char why[RT_TEXT_MAX]);

#endif
