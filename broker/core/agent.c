/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/agent.h"

#include "broker/core/door.h"
#include "broker/core/end.h"
#include "broker/core/entry.h"
#include "broker/core/hosts.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/made.h"
#include "broker/core/request.h"
#include "broker/core/revoked.h"
#include "broker/core/send.h"
#include "broker/core/session.h"
#include "broker/core/store.h"
#include "broker/core/ticket.h"
#include "session/base/list.h"
#include "session/base/timer.h"
#include "session/core/frame.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/protocol.h"

#include <stdlib.h>
#include <string.h>

/* The public face. Each call takes the time, does what it is for, and has all that came of it carried out before it
 * returns: nobody else calls these functions. */

#define SCRATCH (RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX)

struct rt_agent *rt_agent_new(const struct rt_agent_config *config, uint64_t now)
{
    struct rt_agent *agent = calloc(1, sizeof(*agent));

    if (agent == NULL) {
        return NULL;
    }
    agent->config = *config;
    if (agent->config.store_timeout_ms == 0) {
        agent->config.store_timeout_ms = RT_STORE_TIMEOUT_MS;
    }
    if (agent->config.handshakes_max == 0) {
        agent->config.handshakes_max = RT_AGENT_HANDSHAKES_MAX;
    }
    if (agent->config.peer_handshakes_max == 0) {
        agent->config.peer_handshakes_max = RT_PEER_HANDSHAKES_MAX;
    }
    if (agent->config.limits[RT_LIMIT_CLIENT_CHANNELS] == 0) {
        agent->config.limits[RT_LIMIT_CLIENT_CHANNELS] = RT_LINK_CHANNELS_MAX;
    }
    agent->now = agent->started = now;
    agent->whole_at = RT_NEVER;
    agent->looked = RT_NEVER;
    rt_list_init(&agent->gone);
    rt_list_init(&agent->facts);
    rt_list_init(&agent->claiming);
    agent->kept_timer.kind = AG_TIMER_KEPT;
    agent->revoked_timer.kind = AG_TIMER_REVOKED;
    agent->local_timer.kind = AG_TIMER_LOCAL;
    for (unsigned role = 0; role < RT_PEER_ROLES; role++) {
        rt_list_init(&agent->shaking[role]);
        if (agent->config.links_max[role] == 0) {
            agent->config.links_max[role] = RT_AGENT_LINKS_MAX;
        }
    }
    rt_list_init(&agent->idle);
    rt_list_init(&agent->retakes);
    rt_list_init(&agent->revoked_again);
    rt_list_init(&agent->revoked_unkept);
    rt_list_init(&agent->ends);
    rt_list_init(&agent->wanted);
    rt_list_init(&agent->drain_asks);
    rt_list_init(&agent->locals);
    agent->walk_first = true;
    agent->links = calloc(AG_SLOTS, sizeof(struct ag_link *));
    agent->ops = calloc(AG_SLOTS, sizeof(struct ag_op *));
    agent->served = calloc(RT_AGENT_SESSIONS_MAX, sizeof(struct ag_session *));
    agent->scratch = malloc(SCRATCH);
    agent->reply = malloc(sizeof(*agent->reply));
    agent->report = malloc(sizeof(*agent->report));
    agent->told = malloc(RT_LIST_MAX * sizeof(*agent->told));
    if (agent->links == NULL || agent->ops == NULL || agent->scratch == NULL || agent->reply == NULL ||
        agent->report == NULL || agent->told == NULL || agent->served == NULL) {
        rt_agent_free(agent);
        return NULL;
    }
    return agent;
}

void rt_agent_free(struct rt_agent *agent)
{
    struct ag_session *session, *next;
    struct rt_list *node;

    if (agent == NULL) {
        return;
    }
    agent->stopping = true;
    for (size_t i = 0; agent->stats.links > 0 && i < AG_SLOTS; i++) {
        struct ag_link *link = agent->links[i];
        if (link == NULL) {
            continue;
        }
        agent->stats.links--;
        rt_timer_clear(&agent->timers, &link->timer);
        rt_ag_link_strip(agent, link, NULL);
        rt_ag_link_free(link);
    }
    for (size_t i = 0; agent->n_ops > 0 && i < AG_SLOTS; i++) {
        if (agent->ops[i] == NULL) {
            continue;
        }
        agent->n_ops--;
        free(agent->ops[i]);
    }
    while ((node = rt_list_pop(&agent->ends)) != NULL) {
        rt_ag_end_free(agent, RT_LIST_OF(node, struct ag_end, node));
    }
    HASH_ITER(hh, agent->sessions, session, next)
    {
        rt_ag_session_free(agent, session);
    }
    free(agent->places);
    free(agent->served);
    free(agent->links);
    free(agent->ops);
    rt_ag_hosts_free(agent);
    rt_ag_revoked_free(agent);
    rt_ag_made_free(agent);
    rt_ag_limits_free(agent);
    free(agent->scratch);
    free(agent->reply);
    free(agent->report);
    free(agent->told);
    free(agent);
}

/* Time never runs backwards in here, whatever the shell's clock does. */
static void advance(struct rt_agent *agent, uint64_t now)
{
    if (now > agent->now) {
        agent->now = now;
    }
}

rt_link_id rt_agent_opened(struct rt_agent *agent, const struct rt_peer *peer, uint64_t now)
{
    rt_link_id id;

    advance(agent, now);
    id = agent->stopping ? 0 : rt_ag_door_enter(agent, peer);
    rt_ag_settle(agent);
    return id;
}

size_t rt_agent_turned_away(struct rt_agent *agent, const struct rt_peer *peer, uint8_t *out, size_t cap)
{
    return agent->stopping ? 0 : rt_ag_door_why(agent, peer, out, cap);
}

void rt_agent_proved(struct rt_agent *agent, rt_link_id id, const struct rt_proof *proof, uint64_t now)
{
    struct ag_link *link = rt_ag_link(agent, id);

    advance(agent, now);
    if (link != NULL) {
        rt_ag_link_proved(agent, link, proof);
    }
    rt_ag_settle(agent);
}

bool rt_agent_spare(struct rt_agent *agent, uint64_t now)
{
    bool spared;

    advance(agent, now);
    spared = rt_ag_door_spare(agent);
    rt_ag_settle(agent);
    return spared;
}

size_t rt_agent_input(struct rt_agent *agent, rt_link_id id, uint8_t *data, size_t size, uint64_t now)
{
    advance(agent, now);
    return rt_ag_input(agent, id, data, size);
}

void rt_agent_closed(struct rt_agent *agent, rt_link_id id, const char *reason, uint64_t now)
{
    struct ag_link *link = rt_ag_link(agent, id);

    advance(agent, now);
    if (link != NULL) {
        rt_ag_link_lost(agent, link, reason);
    }
    rt_ag_settle(agent);
}

void rt_agent_queued(struct rt_agent *agent, rt_link_id id, size_t queued, uint64_t now)
{
    struct ag_link *link = rt_ag_link(agent, id);

    advance(agent, now);
    if (link != NULL) {
        rt_ag_queued(agent, link, queued);
    }
    rt_ag_settle(agent);
}

void rt_agent_taken(struct rt_agent *agent, rt_link_id id, uint64_t now)
{
    struct ag_link *link = rt_ag_link(agent, id);

    advance(agent, now);
    if (link != NULL) {
        link->heard = agent->now;
        link->pings = 0;
    }
}

void rt_agent_store_reply(struct rt_agent *agent, const struct rt_store_reply *reply, uint64_t now)
{
    advance(agent, now);
    rt_ag_store_reply(agent, reply);
    rt_ag_settle(agent);
}

void rt_agent_store_news(struct rt_agent *agent, const struct rt_store_news *news, uint64_t now)
{
    advance(agent, now);
    rt_ag_store_news(agent, news);
    rt_ag_settle(agent);
}

void rt_agent_disk_reply(struct rt_agent *agent, uint32_t id, int error, uint64_t now)
{
    advance(agent, now);
    rt_ag_disk_reply(agent, id, error);
    rt_ag_settle(agent);
}

void rt_agent_kept_end(struct rt_agent *agent, const struct rt_store_op *end, uint64_t now)
{
    advance(agent, now);
    rt_ag_kept_end(agent, end);
    rt_ag_settle(agent);
}

void rt_agent_revoked_reply(struct rt_agent *agent, const struct rt_key *key, uint64_t life, int error, uint64_t now)
{
    advance(agent, now);
    rt_ag_revoked_written(agent, key, life, error);
    rt_ag_settle(agent);
}

void rt_agent_kept_revoked(struct rt_agent *agent, const struct rt_key *key, uint64_t life, uint64_t now)
{
    advance(agent, now);
    rt_ag_revoked_kept(agent, key, life);
    rt_ag_settle(agent);
}

void rt_agent_drains_reply(struct rt_agent *agent, int error, uint64_t now)
{
    advance(agent, now);
    rt_ag_drains_written(agent, error);
    rt_ag_settle(agent);
}

void rt_agent_kept_drains(struct rt_agent *agent, uint64_t now)
{
    advance(agent, now);
    agent->drains = true;
}

void rt_agent_rekeyed(struct rt_agent *agent, uint64_t now)
{
    advance(agent, now);
    rt_ag_tickets_rekeyed(agent);
    rt_ag_settle(agent);
}

uint64_t rt_agent_deadline(const struct rt_agent *agent)
{
    return rt_timers_at(&agent->timers);
}

void rt_agent_tick(struct rt_agent *agent, uint64_t now)
{
    advance(agent, now);
    rt_ag_tick(agent);
}

void rt_agent_stop(struct rt_agent *agent, uint64_t now)
{
    struct ag_session *session, *next;

    advance(agent, now);
    agent->stopping = true;
    HASH_ITER(hh, agent->sessions, session, next)
    {
        if (session->guest != NULL && session->report_dirty) {
            rt_ag_session_write_report(agent, session);
        }
    }
    for (size_t i = 0; i < AG_SLOTS; i++) {
        if (agent->links[i] != NULL && agent->links[i]->role == RT_PEER_GUEST) {
            rt_ag_link_close(agent, agent->links[i], "the agent stops");
        }
    }
    rt_ag_settle(agent); /* each channel's client hears of its guest before its own link goes */
    for (size_t i = 0; i < AG_SLOTS; i++) {
        if (agent->links[i] != NULL) {
            rt_ag_link_refuse_text(agent, agent->links[i], RT_CLASS_LOST, "the agent stops");
        }
    }
    rt_ag_settle(agent);
}

void rt_agent_stats(const struct rt_agent *agent, struct rt_agent_stats *stats)
{
    *stats = agent->stats;
    stats->sessions = agent->n_sessions;
    stats->drains = agent->drains;
}
