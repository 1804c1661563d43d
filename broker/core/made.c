/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/made.h"

#include "broker/core/agent.h"
#include "broker/core/limits.h"
#include "broker/core/machine.h"
#include "broker/core/session.h"

#include <stdlib.h>
#include <string.h>

/* A container's ID is made here, and its machine starts at another host:
 *
 *     create web        web counts here for its tenant
 *     started there     that agent counts what it serves; the news of its claim end what is counted here
 *
 * Nobody counts twice for long, and nobody for ever: when the news are lost, AG_MADE_MS ends it. An agent that starts
 * anew has forgotten what it made. */

static void forget(struct rt_agent *agent, struct ag_made *made)
{
    HASH_DELETE(hh, agent->made, made);
    made->tenant->has[RT_LIMIT_TENANT_SESSIONS]--;
    free(made);
}

void rt_ag_made_drop(struct rt_agent *agent, const struct rt_key *key)
{
    struct ag_made *made;
    char name[sizeof(*key)];
    size_t size;

    if (agent->made == NULL) {
        return;
    }
    size = rt_ag_key_name(key, name);
    HASH_FIND(hh, agent->made, name, size, made);
    if (made != NULL) {
        forget(agent, made);
    }
}

void rt_ag_made_note(struct rt_agent *agent, const struct rt_key *key)
{
    char name[sizeof(*key)];
    size_t size = rt_ag_key_name(key, name);
    struct ag_made *made = calloc(1, sizeof(*made) + size);

    rt_ag_made_drop(agent, key); /* made anew */
    if (made == NULL) {
        return; /* without memory: it does not count */
    }
    if (HASH_COUNT(agent->made) >= RT_AGENT_MADE_MAX) {
        forget(agent, agent->made);
    }
    memcpy(made->name, name, size);
    made->at = agent->now;
    made->tenant = rt_ag_tenant(agent, key->tenant);
    if (made->tenant != NULL) {
        HASH_ADD_KEYPTR(hh, agent->made, made->name, size, made);
    }
    if (made->tenant == NULL || made->hh.tbl == NULL) {
        free(made);
        return;
    }
    made->tenant->has[RT_LIMIT_TENANT_SESSIONS]++;
}

void rt_ag_made_expire(struct rt_agent *agent)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the oldest has none before it */
    while (agent->made != NULL && agent->now - agent->made->at >= AG_MADE_MS) {
        forget(agent, agent->made);
    }
}

void rt_ag_made_free(struct rt_agent *agent)
{
    struct ag_made *made = agent->made;

    HASH_CLEAR(hh, agent->made); /* the table: each is freed below */
    while (made != NULL) {
        struct ag_made *next = made->hh.next;

        free(made);
        made = next;
    }
}
