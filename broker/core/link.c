/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/link.h"

#include "broker/core/agent.h"
#include "broker/core/limits.h"
#include "broker/core/machine.h"
#include "session/base/error.h"
#include "session/base/list.h"
#include "session/base/timer.h"
#include "session/core/protocol.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A link that is closed is gone for the world at once: its slot is free, nothing is sent to it any more. Its memory,
 * and what others have of it (channels, a session that it serves), goes when settle.c carries that out. So a link may
 * be closed anywhere, in the middle of any walk. */

static const char *const state_names[] = {"unproved", "open",    "testing", "welcomed",
                                          "taking",   "serving", "ready",   "leaving"};

struct ag_link *rt_ag_link(const struct rt_agent *agent, rt_link_id id)
{
    struct ag_link *link = agent->links[id % AG_SLOTS];

    return link != NULL && link->id == id ? link : NULL;
}

bool rt_ag_link_key(const struct ag_link *link, struct rt_key *key)
{
    if (link->name != NULL) {
        *key = rt_ag_key_of(link->name);
    } else if (link->claim != NULL) {
        *key = link->claim->claim.key;
    }
    return link->name != NULL || link->claim != NULL;
}

void rt_ag_link_event(struct rt_agent *agent, enum rt_agent_event_kind kind, const struct ag_link *link, const char *to,
                      const char *reason)
{
    struct rt_agent_event event = {.kind = kind, .link = link->id};

    assert(link->state != AG_GONE);
    if (rt_ag_link_key(link, &event.key)) {
        event.life = link->life;
        event.epoch = link->epoch;
    }
    rt_ag_event(agent, &event, state_names[link->state], to, reason);
}

uint64_t rt_ag_link_interval(const struct ag_link *link)
{
    return link->n_chans > 0 ? RT_PING_BUSY_MS : RT_PING_IDLE_MS;
}

void rt_ag_link_arm(struct rt_agent *agent, struct ag_link *link)
{
    uint64_t at;

    if (link->state == AG_GONE) {
        return;
    }
    if (link->state < AG_SERVING) {
        at = link->opened + RT_HANDSHAKE_TIMEOUT_MS;
        if (link->claim_at != 0 && link->claim_at < at) {
            at = link->claim_at;
        }
    } else if (link->state == AG_LEAVING) {
        at = link->opened + AG_LEAVING_MS;
    } else {
        at = link->heard + (link->pings + 1) * rt_ag_link_interval(link);
        if (link->renew_at != 0 && link->renew_at < at) {
            at = link->renew_at;
        }
    }
    rt_timer_set(&agent->timers, &link->timer, at);
}

/* The one place where the state of a link that lives changes. */
void rt_ag_link_state(struct rt_agent *agent, struct ag_link *link, enum ag_link_state state)
{
    static const unsigned from[] = {
        [AG_OPEN] = 1U << AG_UNPROVED,    [AG_TESTING] = 1U << AG_OPEN | 1U << AG_TESTING,
        [AG_WELCOMED] = 1U << AG_TESTING, [AG_TAKING] = 1U << AG_WELCOMED,
        [AG_SERVING] = 1U << AG_TAKING,   [AG_READY] = 1U << AG_OPEN,
        [AG_LEAVING] = 1U << AG_SERVING,  [AG_GONE] = 0,
    };
    bool shaking = link->state < AG_SERVING;

    if (link->state == AG_GONE) {
        return;
    }
    assert((from[state] >> link->state & 1) != 0);
    link->state = (uint8_t)state;
    if (shaking && state >= AG_SERVING) {
        agent->stats.handshakes--;
        ag_fact(agent, &link->fact, AG_LINK_PROVED);
    }
    rt_ag_link_arm(agent, link);
}

struct ag_link *rt_ag_link_new(const struct rt_peer *peer)
{
    struct ag_link *link = calloc(1, sizeof(*link) + (peer->role == RT_PEER_CLIENT ? sizeof(link->client[0]) : 0));

    if (link == NULL) {
        return NULL;
    }
    link->role = (uint8_t)peer->role;
    link->timer.kind = AG_TIMER_LINK;
    link->fact.of = AG_OF_LINK;
    rt_list_init(&link->chans);
    rt_list_init(&link->waiters);
    rt_list_init(&link->byes);
    if (peer->role == RT_PEER_CLIENT) {
        rt_list_init(&link->client->held);
        rt_list_init(&link->client->parked);
        rt_list_init(&link->client->asks);
        rt_list_init(&link->client->requests);
    }
    link->generation = 2; /* a flow's 0 is of long ago */
    return link;
}

/* What is counted by role. */
static uint64_t *count_of(struct rt_agent *agent, const struct ag_link *link)
{
    return link->role == RT_PEER_GUEST ? &agent->stats.guests : &agent->stats.clients;
}

void rt_ag_link_enter(struct rt_agent *agent, struct ag_link *link, const struct rt_peer *peer)
{
    rt_link_id id = agent->last_link;

    do {
        id++;
    } while (id == 0 || agent->links[id % AG_SLOTS] != NULL);
    agent->last_link = id;
    agent->links[id % AG_SLOTS] = link;
    link->id = id;
    link->opened = link->heard = link->grown_at = agent->now;
    agent->stats.links++;
    agent->stats.handshakes++;
    ++*count_of(agent, link);
    rt_ag_link_arm(agent, link);
    rt_ag_link_event(agent, RT_AGENT_LINK_OPENED, link, "unproved", peer->name);
}

static enum rt_client_role role_of(const struct rt_agent *agent, enum rt_client_role as)
{
    return as == RT_CLIENT_OPERATOR && agent->config.operators_read ? RT_CLIENT_OPERATOR_READS : as;
}

void rt_ag_link_proved(struct rt_agent *agent, struct ag_link *link, const struct rt_proof *proof)
{
    assert(link->state == AG_UNPROVED);
    if (link->role == RT_PEER_CLIENT) {
        link->client->as = (uint8_t)role_of(agent, proof->as);
    }
    link->who = proof->who[0] == '\0' ? NULL : strdup(proof->who);
    if (link->who == NULL && proof->who[0] != '\0') {
        rt_ag_link_close(agent, link, rt_strerror(RT_ENOMEM));
        return;
    }
    rt_ag_link_state(agent, link, AG_OPEN);
}

void rt_ag_link_gains(struct rt_agent *agent, struct ag_link *link)
{
    link->n_chans++;
    ag_account_channel(ag_link_account(link), 1);
    if (link->n_chans == 1) { /* from now on it is pinged more often: its silence so far does not count */
        link->heard = agent->now;
        link->pings = 0;
        rt_ag_link_arm(agent, link);
    }
}

void rt_ag_link_loses(struct ag_link *link)
{
    link->n_chans--;
    ag_account_channel(ag_link_account(link), -1);
}

void rt_ag_link_lost(struct rt_agent *agent, struct ag_link *link, const char *reason)
{
    if (agent->run_link == link->id) {
        rt_ag_flush(agent);
    }
    rt_ag_link_event(agent, RT_AGENT_LINK_CLOSED, link, "closed", reason);
    agent->links[link->id % AG_SLOTS] = NULL;
    rt_timer_clear(&agent->timers, &link->timer);
    agent->stats.links--;
    agent->stats.handshakes -= link->state < AG_SERVING;
    --*count_of(agent, link);
    link->state = AG_GONE;
    rt_list_remove(&link->fact.node);
    rt_list_push(&agent->gone, &link->fact.node);
}

void rt_ag_link_close(struct rt_agent *agent, struct ag_link *link, const char *reason)
{
    if (link->state != AG_GONE) {
        rt_ag_link_lost(agent, link, reason);
        agent->config.io.close(agent->config.io.ctx, link->id, reason);
    }
}

void rt_ag_link_free(struct ag_link *link)
{
    struct rt_list *node;

    rt_list_remove(&link->fact.node);
    while ((node = rt_list_pop(&link->byes)) != NULL) {
        free(RT_LIST_OF(node, struct ag_bye, node));
    }
    free(link->claim);
    free(link->report);
    free(link->who);
    free(link);
}
