/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_MADE_H
#define RETETHER_BROKER_CORE_MADE_H

#include "broker/core/hash.h"
#include "migrate/core/ticket.h"

#include <stdint.h>

/* Sessions that were made here and that nobody has started, as far as this agent knows. They count for their tenant. */

/* For so long: whoever started one elsewhere has told so, and nobody heard it. */
#define AG_MADE_MS UINT64_C(3600000)

struct ag_tenant;
struct rt_agent;

struct ag_made {
    UT_hash_handle hh; /* agent.made */
    struct ag_tenant *tenant;
    uint64_t at;
    char name[]; /* its key: tenant and cid, two texts */
};

void rt_ag_made_note(struct rt_agent *agent, const struct rt_key *key);
/* It is started, or was taken back; or it was not made here. */
void rt_ag_made_drop(struct rt_agent *agent, const struct rt_key *key);
void rt_ag_made_expire(struct rt_agent *agent);
void rt_ag_made_free(struct rt_agent *agent);

#endif
