/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/agent.h"

#include "broker/core/attach.h"
#include "broker/core/channel.h"
#include "broker/core/door.h"
#include "broker/core/drain.h"
#include "broker/core/end.h"
#include "broker/core/flow.h"
#include "broker/core/guest.h"
#include "broker/core/hosts.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/map.h"
#include "broker/core/request.h"
#include "broker/core/send.h"
#include "broker/core/session.h"
#include "broker/core/store.h"
#include "broker/core/take.h"
#include "broker/core/ticket.h"
#include "session/base/list.h"
#include "session/base/slice.h"
#include "session/base/timer.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/pings.h"
#include "session/core/protocol.h"

#include <stdlib.h>
#include <string.h>

#define SCRATCH (RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX)

static const char *const state_names[] = {"open",    "testing", "welcomed", "taking",
                                          "serving", "ready",   "leaving",  "doomed"};

struct rt_agent *rt_agent_new(const struct rt_agent_config *config, uint64_t now)
{
    struct rt_agent *agent = calloc(1, sizeof *agent);

    if (agent == NULL) {
        return NULL;
    }
    agent->config = *config;
    if (agent->config.store_timeout_ms == 0) {
        agent->config.store_timeout_ms = RT_STORE_TIMEOUT_MS;
    }
    agent->now = agent->started = now;
    agent->whole_at = UINT64_MAX;
    agent->kept_timer.kind = AG_TIMER_KEPT;
    for (unsigned role = 0; role < RT_PEER_ROLES; role++) {
        rt_list_init(&agent->shaking[role]);
        if (agent->config.links_max[role] == 0) {
            agent->config.links_max[role] = RT_AGENT_LINKS_MAX;
        }
    }
    rt_list_init(&agent->idle);
    rt_list_init(&agent->retakes);
    rt_list_init(&agent->ends);
    rt_list_init(&agent->wanted);
    agent->walk_first = true;
    agent->kept_delay = AG_STORE_RETRY_MS;
    agent->links = calloc(AG_SLOTS, sizeof(struct ag_link *));
    agent->ops = calloc(AG_SLOTS, sizeof(struct ag_op *));
    agent->scratch = malloc(SCRATCH);
    agent->reply = malloc(sizeof *agent->reply);
    agent->report = malloc(sizeof *agent->report);
    if (agent->links == NULL || agent->ops == NULL || agent->scratch == NULL || agent->reply == NULL ||
        agent->report == NULL) {
        rt_agent_free(agent);
        return NULL;
    }
    return agent;
}

static void link_free(struct ag_link *link)
{
    rt_ag_byes_free(link);
    if (link->who[0] != '\0') {
        free((void *)(uintptr_t)link->who);
    }
    free(link->claim);
    free(link->report);
    free(link);
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
        rt_ag_door_leave(agent, link);
        rt_timer_clear(&agent->timers, &link->timer);
        while (!rt_list_empty(&link->chans)) {
            rt_ag_chan_free(agent, RT_LIST_OF(link->chans.next, struct ag_chan, in[link->role == RT_PEER_CLIENT]));
        }
        while (!rt_list_empty(&link->held)) {
            rt_ag_held_free(agent, RT_LIST_OF(link->held.next, struct ag_held, in_link));
        }
        rt_ag_asks_free(agent, link);
        if (link->end != NULL) {
            rt_ag_end_free(agent, link->end);
        }
        link_free(link);
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
    free(agent->links);
    free(agent->ops);
    rt_ag_hosts_free(agent);
    free(agent->scratch);
    free(agent->reply);
    free(agent->report);
    free(agent);
}

/* Time never runs backwards in here, whatever the shell's clock does. */
static void advance(struct rt_agent *agent, uint64_t now)
{
    if (now > agent->now) {
        agent->now = now;
    }
}

uint64_t rt_ag_wall(const struct rt_agent *agent)
{
    return agent->config.io.wall_ms(agent->config.io.ctx);
}

struct ag_link *rt_ag_link(const struct rt_agent *agent, rt_link_id id)
{
    struct ag_link *link = agent->links[id % AG_SLOTS];

    return link != NULL && link->id == id ? link : NULL;
}

void rt_ag_event(struct rt_agent *agent, enum rt_agent_event_kind kind, const struct ag_link *link,
                 const struct ag_session *session, const char *from, const char *to, const char *reason)
{
    struct rt_agent_event event;

    memset(&event, 0, sizeof event);
    event.kind = kind;
    event.link = link == NULL ? 0 : link->id;
    if (session != NULL) {
        event.key = session->key;
        event.life = session->life;
        event.epoch = session->epoch;
    } else if (link != NULL && link->claim != NULL) {
        event.key = link->claim->claim.key;
        event.life = link->claim->life;
        event.epoch = link->claim->claim.epoch;
    }
    rt_slice_copy(rt_slice_text(from), event.from, sizeof event.from);
    rt_slice_copy(rt_slice_text(to), event.to, sizeof event.to);
    rt_slice_copy(rt_slice_text(reason), event.reason, sizeof event.reason);
    agent->config.io.event(agent->config.io.ctx, &event);
}

/* The one place where a link's state changes. */
void rt_ag_link_state(struct rt_agent *agent, struct ag_link *link, enum ag_link_state state)
{
    bool shaking = link->state < AG_SERVING;

    link->state = (uint8_t)state;
    if (shaking && state >= AG_SERVING) {
        agent->stats.handshakes--;
        rt_ag_door_proved(agent, link);
    }
    rt_ag_link_arm(agent, link);
}

static uint64_t ping_interval(const struct ag_link *link)
{
    return link->n_chans > 0 ? RT_PING_BUSY_MS : RT_PING_IDLE_MS;
}

/* Whether attaches wait that only time may let go on. */
static bool waits_for_credit(const struct ag_link *link)
{
    return !link->congested &&
           (!rt_list_empty(&link->parked) || (link->session != NULL && !rt_list_empty(&link->session->held)));
}

void rt_ag_link_arm(struct rt_agent *agent, struct ag_link *link)
{
    uint64_t at;

    if (link->state < AG_SERVING) {
        at = link->opened + RT_HANDSHAKE_TIMEOUT_MS;
        if (link->claim_at != 0 && link->claim_at < at) {
            at = link->claim_at;
        }
    } else if (link->state == AG_LEAVING) {
        at = link->opened + AG_LEAVING_MS;
    } else if (link->state == AG_DOOMED) {
        at = agent->now;
    } else {
        at = link->heard + (link->pings + 1) * ping_interval(link);
        if (waits_for_credit(link) && at > agent->now + AG_GROWN_MS) {
            at = agent->now + AG_GROWN_MS;
        }
        if (link->renew_at != 0 && link->renew_at < at) {
            at = link->renew_at;
        }
    }
    rt_timer_set(&agent->timers, &link->timer, at);
}

static struct ag_link *link_new(const char *who)
{
    struct ag_link *link = calloc(1, sizeof *link);

    if (link == NULL) {
        return NULL;
    }
    rt_list_init(&link->byes);
    link->who = "";
    if (who[0] != '\0') {
        size_t size = strlen(who) + 1;
        char *copy = malloc(size);
        if (copy == NULL) {
            free(link);
            return NULL;
        }
        memcpy(copy, who, size);
        link->who = copy;
    }
    return link;
}

rt_link_id rt_agent_opened(struct rt_agent *agent, const struct rt_peer *peer, uint64_t now)
{
    struct ag_link *link;
    struct ag_who *who;
    rt_link_id id = agent->last_link;

    advance(agent, now);
    if (agent->stopping) {
        return 0;
    }
    link = link_new(peer->role == RT_PEER_CLIENT ? peer->tenant : peer->proof);
    if (link == NULL) {
        return 0;
    }
    who = rt_ag_door_open(agent, peer);
    if (who == NULL) {
        link_free(link);
        return 0;
    }
    do {
        id++;
    } while (id == 0 || agent->links[id % AG_SLOTS] != NULL);
    agent->last_link = id;
    agent->links[id % AG_SLOTS] = link;
    link->id = id;
    link->role = (uint8_t)peer->role;
    link->opened = link->heard = agent->now;
    link->timer.kind = AG_TIMER_LINK;
    rt_list_init(&link->chans);
    rt_list_init(&link->waiters);
    rt_list_init(&link->held);
    rt_list_init(&link->parked);
    rt_list_init(&link->asks);
    rt_list_init(&link->requests);
    link->generation = 2; /* a flow's 0 is of long ago */
    link->grown_at = agent->now;
    rt_ag_door_enter(agent, link, who);
    agent->stats.links++;
    agent->stats.handshakes++;
    if (peer->role == RT_PEER_GUEST) {
        agent->stats.guests++;
    } else {
        agent->stats.clients++;
    }
    rt_ag_link_arm(agent, link);
    rt_ag_event(agent, RT_AGENT_LINK_OPENED, link, NULL, "", "open", peer->name);
    return id;
}

/* Undoes all that a link has. Its slot is free afterwards; the memory too. */
static void link_end(struct rt_agent *agent, struct ag_link *link, const char *reason, bool tell_shell)
{
    struct rt_refuse_msg lost = {.c = RT_CLASS_LOST};
    struct ag_session *session = link->session;

    if (agent->run_link == link->id) {
        rt_ag_flush(agent);
    }
    rt_ag_event(agent, RT_AGENT_LINK_CLOSED, link, session, state_names[link->state], "closed", reason);
    if (tell_shell) {
        agent->config.io.close(agent->config.io.ctx, link->id, reason);
    }
    agent->links[link->id % AG_SLOTS] = NULL;
    rt_timer_clear(&agent->timers, &link->timer);
    while (!rt_list_empty(&link->held)) {
        rt_ag_held_free(agent, RT_LIST_OF(link->held.next, struct ag_held, in_link));
    }
    rt_ag_chans_end(agent, link, &lost);
    rt_ag_asks_free(agent, link);
    if (link->end != NULL) {
        rt_ag_end_free(agent, link->end);
    }
    agent->stats.links--;
    agent->stats.handshakes -= link->state < AG_SERVING;
    rt_ag_door_leave(agent, link);
    if (link->role == RT_PEER_GUEST) {
        agent->stats.guests--;
    } else {
        agent->stats.clients--;
    }
    link->session = NULL;
    link_free(link);
    if (session != NULL) {
        rt_ag_session_guest_gone(agent, session);
    }
}

void rt_ag_link_close(struct rt_agent *agent, struct ag_link *link, const char *reason)
{
    link_end(agent, link, reason, true);
}

void rt_agent_closed(struct rt_agent *agent, rt_link_id id, const char *reason, uint64_t now)
{
    struct ag_link *link = rt_ag_link(agent, id);

    advance(agent, now);
    if (link != NULL) {
        link_end(agent, link, reason, false);
    }
}

void rt_ag_link_refuse(struct rt_agent *agent, struct ag_link *link, const struct rt_refuse_msg *refuse)
{
    char text[RT_TEXT_MAX + 1];

    rt_slice_copy(refuse->m, text, sizeof text);
    agent->stats.refused++;
    rt_ag_event(agent, RT_AGENT_REFUSED, link, link->session, state_names[link->state], rt_class_name(refuse->c), text);
    rt_ag_refuse(agent, link, 0, refuse);
    rt_ag_link_close(agent, link, rt_class_name(refuse->c));
}

void rt_ag_link_refuse_text(struct rt_agent *agent, struct ag_link *link, enum rt_class cls, const char *text)
{
    struct rt_refuse_msg refuse = {.c = cls, .m = rt_slice_text(text)};

    if (cls == RT_CLASS_RETRY_LATER) {
        refuse.delay = AG_RETRY_DELAY_MS;
    }
    rt_ag_link_refuse(agent, link, &refuse);
}

void rt_ag_link_ping(struct rt_agent *agent, struct ag_link *link)
{
    struct rt_frame frame = {.type = RT_PING};

    agent->config.io.random(agent->config.io.ctx, &frame.offset, sizeof frame.offset);
    rt_pings_sent(&link->pinged, frame.offset);
    rt_ag_send_frame(agent, link, &frame, NULL);
}

static void link_timer(struct rt_agent *agent, struct ag_link *link)
{
    rt_ag_end_late(agent, link);
    rt_ag_attaches_drained(agent, link);
    if (link->session != NULL) {
        rt_ag_held_bind(agent, link->session);
    }
    if (link->state == AG_SERVING && rt_ag_ticket_ages(agent, link)) {
        rt_ag_ticket_renew(agent, link);
    }
    if (link->state == AG_DOOMED) {
        rt_ag_link_close(agent, link, "does not read what it asked for");
    } else if (link->state == AG_LEAVING) {
        rt_ag_link_close(agent, link, "moved");
    } else if (link->state < AG_SERVING) {
        if (agent->now >= link->opened + RT_HANDSHAKE_TIMEOUT_MS) {
            rt_ag_link_refuse_text(agent, link, RT_CLASS_RETRY_LATER,
                                   link->claim_at != 0 ? "the session store did not answer within 5 s"
                                                       : "the handshake took longer than 5 s");
        } else if (link->claim_at != 0 && agent->now >= link->claim_at) {
            agent->store_slow = true;
            rt_ag_guest_silent(agent, link);
        } else {
            rt_ag_link_arm(agent, link);
        }
    } else if (agent->now < link->heard + ping_interval(link)) {
        link->pings = 0;
        rt_ag_link_arm(agent, link);
    } else if (agent->now < link->heard + (link->pings + 1) * ping_interval(link)) {
        rt_ag_link_arm(agent, link);
    } else if (++link->pings >= RT_PINGS_MISSED_MAX) {
        rt_ag_link_close(agent, link, "silent");
    } else {
        if (!link->congested) { /* else it is asked when it has drained */
            rt_ag_link_ping(agent, link);
        }
        rt_ag_link_arm(agent, link);
    }
}

void rt_agent_queued(struct rt_agent *agent, rt_link_id id, size_t queued, uint64_t now)
{
    struct ag_link *link = rt_ag_link(agent, id);

    advance(agent, now);
    if (link == NULL) {
        return;
    }
    link->queued = 0;
    ag_queue(link, queued);
    if (link->congested && queued < RT_LINK_HIGH_WATER / 2) {
        link->congested = false;
        link->answers = 0;
        rt_ag_drained(agent, link);
    }
}

void rt_agent_taken(struct rt_agent *agent, rt_link_id id, uint64_t now)
{
    struct ag_link *link = rt_ag_link(agent, id);

    advance(agent, now);
#ifndef RT_MUTANT_SLOW_IS_SILENT
    if (link != NULL) {
        link->heard = agent->now;
        link->pings = 0;
    }
#endif
}

uint64_t rt_agent_deadline(const struct rt_agent *agent)
{
    return rt_timers_at(&agent->timers);
}

void rt_agent_tick(struct rt_agent *agent, uint64_t now)
{
    struct rt_timer *timer;

    advance(agent, now);
    while ((timer = rt_timer_due(&agent->timers, agent->now)) != NULL) {
        switch ((enum ag_timer_kind)timer->kind) {
        case AG_TIMER_LINK:
            link_timer(agent, RT_LIST_OF(timer, struct ag_link, timer));
            break;
        case AG_TIMER_SESSION:
            rt_ag_session_timer(agent, RT_LIST_OF(timer, struct ag_session, timer));
            break;
        case AG_TIMER_HELD:
            rt_ag_held_timer(agent, RT_LIST_OF(timer, struct ag_held, timer));
            break;
        case AG_TIMER_ASK:
            rt_ag_ask_timer(agent, RT_LIST_OF(timer, struct ag_ask, timer));
            break;
        case AG_TIMER_KEPT:
            rt_ag_kept_timer(agent);
            break;
        }
    }
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
    for (size_t i = 0; i < AG_SLOTS; i++) {
        if (agent->links[i] != NULL) {
            rt_ag_link_refuse_text(agent, agent->links[i], RT_CLASS_LOST, "the agent stops");
        }
    }
}

void rt_agent_stats(const struct rt_agent *agent, struct rt_agent_stats *stats)
{
    *stats = agent->stats;
    stats->sessions = agent->n_sessions;
}

bool rt_agent_serves(const struct rt_agent *agent, const struct rt_key *key, uint64_t *life, uint64_t *epoch)
{
    const struct ag_session *session = rt_ag_session_find((struct rt_agent *)(uintptr_t)agent, key);

    if (session == NULL || session->guest == NULL) {
        return false;
    }
    *life = session->life;
    *epoch = session->epoch;
    return true;
}
