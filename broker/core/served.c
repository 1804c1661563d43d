/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/served.h"

#include "broker/core/machine.h"
#include "broker/core/session.h"

#include <assert.h>
#include <string.h>

/* agent->served has room for every session that is remembered, so that adding one cannot fail. With 16,384 of them a
 * guest that comes or goes moves 64 KiB on average, which takes some microseconds. */

int rt_ag_key_compare(const struct rt_key *a, const struct rt_key *b)
{
    int order = strcmp(a->tenant, b->tenant);

    return order != 0 ? order : strcmp(a->cid, b->cid);
}

size_t rt_ag_served_from(const struct rt_agent *agent, const struct rt_key *key)
{
    size_t low = 0, high = agent->stats.served;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct rt_key at = rt_ag_key_of(agent->served[middle]->name);

        if (rt_ag_key_compare(&at, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void rt_ag_served_add(struct rt_agent *agent, struct ag_session *session)
{
    const struct rt_key key = rt_ag_key_of(session->name);
    size_t at = rt_ag_served_from(agent, &key);

    assert(agent->stats.served < RT_AGENT_SESSIONS_MAX);
    memmove(&agent->served[at + 1], &agent->served[at], (agent->stats.served - at) * sizeof(struct ag_session *));
    agent->served[at] = session;
    agent->stats.served++;
}

void rt_ag_served_remove(struct rt_agent *agent, const struct ag_session *session)
{
    const struct rt_key key = rt_ag_key_of(session->name);
    size_t at = rt_ag_served_from(agent, &key);

    assert(at < agent->stats.served && agent->served[at] == session);
    agent->stats.served--;
    memmove(&agent->served[at], &agent->served[at + 1], (agent->stats.served - at) * sizeof(struct ag_session *));
}
