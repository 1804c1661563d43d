/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/store.h"

#include "broker/core/machine.h"
#include "migrate/core/store_op.h"

#include <stdlib.h>

/* Operations on the store that are under way. Each has a number, by which its answer finds who asked. For example a
 * client's attach is held, and its record is read:
 *
 *     rt_ag_store(GET)       op 41 for the attach `held`; the shell sends it to the store
 *     the client goes        `held` is freed: rt_ag_forget_op(41), the op is for nobody now
 *     the answer of op 41    nobody is told; its place is free (news.c)
 *
 * When the shell cannot send an operation, rt_ag_store() says 0, no answer follows, and the caller does what it would
 * do for a store that is out. */

bool rt_ag_whole(const struct rt_agent *agent)
{
    return agent->store_up && agent->now >= agent->whole_at;
}

bool rt_ag_store_out(const struct rt_agent *agent)
{
    return !agent->store_up || agent->store_slow;
}

const char *rt_ag_store_why_start(const struct rt_agent *agent)
{
    return agent->store_up ? "the session store is slow, and a first start waits for it"
                           : "the session store is out, and a first start waits for it";
}

const char *rt_ag_store_why_attach(const struct rt_agent *agent)
{
    return agent->store_up ? "the session store is slow, and the container is not at this agent"
                           : "the session store is out, and the container is not at this agent";
}

/* Without the store no news tell that the guest is served elsewhere: the client looks there sooner. */
uint64_t rt_ag_hold_wait(const struct rt_agent *agent, uint64_t wait)
{
    return rt_ag_store_out(agent) ? wait / AG_OUTAGE_HOLD_PART : wait;
}

uint32_t rt_ag_store(struct rt_agent *agent, struct rt_store_op *op, const struct ag_op *about)
{
    struct ag_op *entry;
    uint32_t id = agent->last_op;

    if (agent->n_ops >= RT_STORE_OPS_MAX) {
        return 0;
    }
    entry = malloc(sizeof(*entry));
    if (entry == NULL) {
        return 0;
    }
    do {
        id++;
    } while (id == 0 || agent->ops[id % AG_SLOTS] != NULL);
    agent->last_op = id;
    *entry = *about;
    entry->id = id;
    entry->kind = (uint8_t)op->kind;
    entry->asked = agent->now;
    op->id = id;
    agent->ops[id % AG_SLOTS] = entry;
    agent->n_ops++;
    if (agent->config.io.store(agent->config.io.ctx, op) != 0) {
        agent->ops[id % AG_SLOTS] = NULL;
        agent->n_ops--;
        free(entry);
        return 0;
    }
    return id;
}

void rt_ag_forget_op(struct rt_agent *agent, uint32_t id)
{
    struct ag_op *op = agent->ops[id % AG_SLOTS];

    if (id != 0 && op != NULL && op->id == id) {
        op->to = AG_FOR_NOBODY;
    }
}
