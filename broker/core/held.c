/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/held.h"

#include "broker/core/agent.h"
#include "broker/core/channel.h"
#include "broker/core/end.h"
#include "broker/core/hosts.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/map.h"
#include "broker/core/owner.h"
#include "broker/core/revoked.h"
#include "broker/core/send.h"
#include "broker/core/session.h"
#include "broker/core/store.h"
#include "migrate/core/claim.h"
#include "migrate/core/store_op.h"
#include "migrate/core/ticket.h"
#include "session/base/error.h"
#include "session/base/slice.h"
#include "session/base/timer.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include <stdlib.h>
#include <string.h>

/* An attach that waits: held while the store is asked, until the guest comes, goes elsewhere, or the client's time to
 * wait is over. */

static uint32_t channel_of(const struct ag_held *held)
{
    return (uint32_t)held->key;
}

struct ag_held *rt_ag_held_at(struct rt_agent *agent, const struct ag_link *link, uint32_t channel)
{
    uint64_t key = ag_chan_key(link->id, channel);
    struct ag_held *held;

    HASH_FIND_BYHASHVALUE(hh, agent->held, &key, sizeof(key), ag_chan_hash(agent, key), held);
    return held;
}

void rt_ag_held_free(struct rt_agent *agent, struct ag_held *held)
{
    struct ag_session *session = held->session;

    rt_ag_forget_op(agent, held->op);
    rt_list_remove(&held->in_link);
    rt_list_remove(&held->in_session);
    rt_timer_clear(&agent->timers, &held->timer);
    HASH_DELETE(hh, agent->held, held);
    rt_ag_link_loses(held->link);
    ag_account_waiting(held->link->client->account, -1, held->size);
    held->link->client->held_bytes -= held->size;
    agent->held_bytes -= held->size;
    agent->stats.held--;
    free(held);
    if (session != NULL) {
        rt_ag_session_fact(agent, session, AG_SESSION_CHANGED);
    }
}

static void held_refuse(struct rt_agent *agent, struct ag_held *held, const struct rt_refuse_msg *refuse)
{
    rt_ag_refuse(agent, held->link, channel_of(held), refuse);
    rt_ag_held_free(agent, held);
}

static void held_refuse_text(struct rt_agent *agent, struct ag_held *held, enum rt_class cls, const char *text)
{
    rt_ag_refuse_text(agent, held->link, channel_of(held), cls, text);
    rt_ag_held_free(agent, held);
}

/* What RETRY_LATER says when nobody came in time. When the container is served by a host without an address that
 * clients can reach, people have to mend that, and are told. */
static const char *why_nobody(struct rt_agent *agent, const struct ag_held *held)
{
    const struct ag_host *host = held->session == NULL ? NULL : rt_ag_host(agent, held->session->host);

    if (host != NULL && host->row.seq > 0 && host->row.n_addr == 0) {
        return "the agent that serves the container tells no address for clients of other machines (host.advertise)";
    }
    if (held->session != NULL && rt_ag_session_revoked(agent, held->session)) {
        return AG_REVOKED_TEXT; /* and was perhaps created anew, which only the store can tell */
    }
    if (rt_ag_store_out(agent)) {
        return rt_ag_store_why_attach(agent);
    }
    return "the container has no agent now";
}

/* No guest came in time. The client asks again, at another agent if it knows one. */
static void retry_later(struct rt_agent *agent, struct ag_held *held)
{
    struct rt_refuse_msg later = {.c = RT_CLASS_RETRY_LATER, .m = rt_slice_text(why_nobody(agent, held))};

    later.delay = held->waited ? 0 : AG_RETRY_DELAY_MS;
    held_refuse(agent, held, &later);
}

/* The last word, but for a client that was attached: its guest may still have what it has not got. A store that is not
 * whole lets in no guest whose claims were never answered, however long it is there. So a hold says nothing of such a
 * guest unless the store was whole from its beginning. */
static void refuse_ended(struct rt_agent *agent, struct ag_held *held)
{
    struct rt_refuse_msg ended = {.c = RT_CLASS_ENDED, .m = rt_slice_text("the container has ended")};

    if (held->resume && agent->store_up && !held->whole) {
        retry_later(agent, held);
        return;
    }
    ended.code = held->code;
    ended.sig = held->sig;
    held_refuse(agent, held, &ended);
}

static void give_up(struct rt_agent *agent, struct ag_held *held)
{
    if (held->state != AG_HELD_LIVES) {
        refuse_ended(agent, held);
    } else {
        retry_later(agent, held);
    }
}

bool rt_ag_moved_msg(const struct rt_agent *agent, const struct ag_session *session, struct rt_refuse_msg *refuse)
{
    const struct rt_store_host *row;

    memset(refuse, 0, sizeof(*refuse));
    if (!rt_ag_session_known(agent, session) || strcmp(session->host, agent->config.host) == 0) {
        return false;
    }
    row = rt_ag_host_reach(agent, session->host);
    if (row == NULL) {
        return false;
    }
    refuse->c = RT_CLASS_MOVED;
    refuse->host = rt_slice_text(row->host);
    refuse->n_addr = row->n_addr;
    for (size_t i = 0; i < row->n_addr; i++) {
        refuse->addr[i] = rt_slice_text(row->addr[i]);
    }
    refuse->life = session->life;
    refuse->epoch = session->epoch;
    return true;
}

static void bind(struct rt_agent *agent, struct ag_held *held)
{
    struct ag_session *session = held->session;
    struct ag_chan *chan = rt_ag_chan_new(agent, session, held->link, channel_of(held));
    struct rt_frame frame = {.type = RT_ATTACH, .length = (uint32_t)held->size};

    if (chan == NULL) {
        held_refuse_text(agent, held, RT_CLASS_RETRY_LATER, "this agent has no room for another channel");
        return;
    }
    frame.channel = (uint32_t)chan->key[AG_GUEST];
    rt_ag_send_frame(agent, session->guest, &frame, held->payload);
    rt_ag_held_free(agent, held);
}

bool rt_ag_guest_open(const struct ag_link *guest)
{
    return !guest->congested && guest->unanswered < AG_UNANSWERED_MAX;
}

/* What is known without the store. True when the attach is answered, and freed, or waits for its guest's link. */
static bool answer_known(struct rt_agent *agent, struct ag_held *held)
{
    struct ag_session *session = held->session;
    struct rt_refuse_msg moved;

    if (session->guest != NULL) {
        if (rt_ag_guest_open(session->guest)) {
            bind(agent, held);
        }
        return true;
    }
    if (rt_ag_moved_msg(agent, session, &moved) && ag_newer(session->life, session->epoch, held->klife, held->kepoch)) {
        held_refuse(agent, held, &moved);
        return true;
    }
    if (rt_ag_session_known(agent, session)) { /* its agent may have joined a moment ago */
        rt_ag_host_need(agent, session->host);
    }
    return false;
}

/* It is known which session it waits for. */
static void join(struct rt_agent *agent, struct ag_held *held, struct ag_session *session)
{
    held->session = session;
    rt_list_push(&session->held, &held->in_session);
    rt_ag_session_fact(agent, session, AG_SESSION_CHANGED);
}

void rt_ag_held_bind(struct rt_agent *agent, struct ag_session *session)
{
    while (!rt_list_empty(&session->held) && session->guest != NULL && rt_ag_guest_open(session->guest)) {
        bind(agent, RT_LIST_OF(session->held.next, struct ag_held, in_session));
    }
}

void rt_ag_held_moved(struct rt_agent *agent, struct ag_session *session)
{
    struct rt_list *node = session->held.next, *next;

    for (; node != &session->held; node = next) {
        next = node->next;
        (void)answer_known(agent, RT_LIST_OF(node, struct ag_held, in_session));
    }
}

/* Whether its guest went a moment ago, so that it is still to be written as moving. The record names this host, and the
 * news will tell where the guest goes: the store is asked only if they do not come at once. */
static bool just_gone(const struct ag_session *session)
{
    return session->unwritten == RT_SESSION_MOVING && session->write_at != 0;
}

/* Asks the store where the session is. Without an answer the attach stays held. */
static void look(struct rt_agent *agent, struct ag_held *held, const struct rt_store_cursor *cursor)
{
    struct rt_store_op op = {.kind = RT_STORE_GET};
    struct ag_op about = {.to = AG_FOR_HELD, .held = held};

    if (held->session != NULL) {
        op.key = rt_ag_session_key(held->session);
    } else { /* an operator's plain name: every tenant's */
        op.kind = RT_STORE_FIND;
        op.every = true;
        if (cursor != NULL) {
            op.cursor = *cursor;
        }
        memcpy(op.key.cid, held->name.cid, sizeof(op.key.cid));
    }
    held->op = held->session != NULL ? rt_ag_session_store(agent, held->session, &op, &about)
                                     : rt_ag_store(agent, &op, &about);
}

void rt_ag_held_again(struct rt_agent *agent)
{
    struct ag_held *held, *next;

    HASH_ITER(hh, agent->held, held, next)
    {
        /* One that is parked has no time yet. Half of the operations are kept for claims. */
        if (held->timer.set && held->op == 0 && agent->n_ops < RT_STORE_OPS_MAX / 2) {
            look(agent, held, NULL);
        }
    }
}

/* The attach is held until `until`, and no longer than an attach may be held at all. Until then it looks again, first
 * after look_ms. */
static void hold_until(struct rt_agent *agent, struct ag_held *held, uint64_t until, uint64_t look_ms)
{
    uint64_t next = agent->now + look_ms;

    held->until = until < held->latest ? until : held->latest;
    rt_timer_set(&agent->timers, &held->timer, next < held->until ? next : held->until);
}

/* A look before its time is over finds what the news would have told, had they not been lost: that the guest came back
 * elsewhere, that the container has ended, that it was created. While the guest's link is here nothing needs to be
 * found, and half of the store's operations are kept for claims.
 *
 * At the end of its time: that the container has ended is the last word. It is said only after one more look. */
void rt_ag_held_timer(struct rt_agent *agent, struct ag_held *held)
{
    if (agent->now < held->until) {
        bool here = held->session != NULL && held->session->guest != NULL;
        if (!here && held->op == 0 && agent->store_up && agent->n_ops < RT_STORE_OPS_MAX / 2) {
            look(agent, held, NULL);
        }
        hold_until(agent, held, held->until, AG_LOOK_AGAIN_MS);
        return;
    }
    if (held->state == AG_HELD_ENDED) {
        held->state = AG_HELD_CHECKED;
        rt_timer_set(&agent->timers, &held->timer, agent->now + RT_CLAIM_TIMEOUT_MS);
        if (held->op == 0) {
            look(agent, held, NULL);
        }
        if (held->op != 0) {
            return;
        }
    }
    give_up(agent, held);
}

/* A page of the search for an operator's plain name. */
static void found_page(struct rt_agent *agent, struct ag_held *held, const struct rt_store_reply *reply)
{
    struct rt_key *name = &held->name;
    struct ag_session *session;

    if (reply->error != 0) {
        return;
    }
    for (size_t i = 0; i < reply->n_records; i++) {
        const struct rt_key *key = &reply->records[i].key;
        if (strcmp(key->cid, name->cid) != 0) {
            continue;
        }
        if (name->tenant[0] != '\0' && strcmp(name->tenant, key->tenant) != 0) {
            held_refuse_text(agent, held, RT_CLASS_AMBIGUOUS, "several tenants have a container of this name");
            return;
        }
        memcpy(name->tenant, key->tenant, sizeof(name->tenant));
    }
    if (reply->cursor.host[0] != '\0') {
        look(agent, held, &reply->cursor);
        return;
    }
    if (name->tenant[0] == '\0' && rt_ag_whole(agent) && !reply->doubtful) {
        held_refuse_text(agent, held, RT_CLASS_NOT_FOUND, "there is no such container");
        return;
    }
    session = name->tenant[0] == '\0' ? NULL : rt_ag_session_await(agent, name);
    if (session == NULL) {
        give_up(agent, held);
        return;
    }
    join(agent, held, session);
    if (!answer_known(agent, held)) {
        look(agent, held, NULL);
    }
}

/* Until when the guest of a session that has ended may come back with what was not taken of its output; 0: it has gone.
 * Its owner's agent knows: it saw the guest go, unless it has started since. With another owner, which the client could
 * not reach or was not sent to, nobody knows. seen_ms: the end's time, by the store's clock; 0: not known. */
static uint64_t comes_until(const struct rt_agent *agent, const struct ag_session *session, bool ours, uint64_t seen_ms)
{
    uint64_t store_ms = rt_ag_store_ms(agent), until = agent->started + RT_WAIT_MAX_MS;

    if (seen_ms != 0 && store_ms > seen_ms && store_ms - seen_ms > AG_ENDED_LONG_MS) {
        return 0;
    }
    if (!ours) {
        return agent->now + RT_WAIT_MAX_MS;
    }
    if (session->gone_at != 0) {
        until = session->gone_at + RT_LOST_AFTER_MS;
    }
    return until > agent->now ? until : 0;
}

/* It has ended, in this way. True when the attach is answered, and freed. */
static bool has_ended(struct rt_agent *agent, struct ag_held *held, uint64_t code, uint64_t sig, uint64_t until)
{
    bool first = held->state == AG_HELD_LIVES;

    if (first) {
        held->state = AG_HELD_ENDED;
    }
    held->code = code;
    held->sig = sig;
    /* A client that was attached may not have had all; its guest is still there then, and on its way. */
    if (held->resume) {
        until = agent->now + RT_WAIT_MAX_MS;
    }
    if (until == 0 || held->state == AG_HELD_CHECKED) {
        refuse_ended(agent, held);
        return true;
    }
    if (held->waited && first) { /* for longer than the client asked for, as no other agent knows more */
        hold_until(agent, held, until, AG_LOOK_AGAIN_MS);
    }
    return false;
}

/* The same, where the store does not know it and this host's disk does. */
static bool has_ended_here(struct rt_agent *agent, struct ag_held *held)
{
    const struct ag_end *kept = rt_ag_session_kept(agent, held->session, 0);

    return kept != NULL && kept->life >= held->session->life &&
           has_ended(agent, held, kept->end.code, kept->end.sig, comes_until(agent, held->session, true, 0));
}

void rt_ag_held_revoked(struct rt_agent *agent, struct ag_session *session)
{
    while (!rt_list_empty(&session->held)) {
        held_refuse_text(agent, RT_LIST_OF(session->held.next, struct ag_held, in_session), RT_CLASS_DENIED,
                         AG_REVOKED_TEXT);
    }
}

/* Whether all that the record tells of is revoked. What has ended has a status and output that may still be read. */
static bool is_revoked(struct rt_agent *agent, const struct ag_session *session, const struct rt_store_record *record)
{
    const struct rt_record *rule = &record->rule;

    return rt_ag_is_revoked(agent, &record->key, rule->life) && rt_ag_is_revoked(agent, &record->key, session->life) &&
           rule->state != RT_SESSION_ENDED && rt_ag_kept_beyond(agent, &record->key, rule) == NULL;
}

static void found_record(struct rt_agent *agent, struct ag_held *held, const struct rt_store_record *record)
{
    struct ag_session *session = held->session;
    const struct rt_record *rule = &record->rule;
    bool ours = strcmp(rule->host, agent->config.host) == 0;
    const struct ag_end *kept = rt_ag_kept_beyond(agent, &record->key, rule);
    bool newer, answered;

    if (is_revoked(agent, session, record)) {
        held_refuse_text(agent, held, RT_CLASS_DENIED, AG_REVOKED_TEXT);
        return;
    }
    newer = rule->host[0] != '\0' && session->guest == NULL &&
            rt_ag_session_note(agent, session, rule->life, rule->epoch, rule->host);
    answered = answer_known(agent, held);
    if (newer) { /* the news will come to one who knows already: so whoever else waits is told now */
        rt_ag_session_fact(agent, session, AG_SESSION_MOVED);
    }
    if (answered) {
        return;
    }
    if (rule->state == RT_SESSION_ENDED) {
        if (has_ended(agent, held, record->code, record->sig, comes_until(agent, session, ours, record->seen_ms))) {
            return;
        }
    } else if (kept != NULL) {
        if (has_ended(agent, held, kept->end.code, kept->end.sig, comes_until(agent, session, true, 0))) {
            return;
        }
    } else if (ours && (rule->state == RT_SESSION_RUNNING || rule->state == RT_SESSION_MOVING)) {
        held->state = AG_HELD_LIVES; /* created anew meanwhile */
        rt_ag_session_orphan(agent, session, rule->life, rule->epoch);
    } else {
        held->state = AG_HELD_LIVES;
        rt_ag_owner_check(agent, record);
    }
    if (!held->waited) {
        give_up(agent, held);
    }
}

void rt_ag_held_reply(struct rt_agent *agent, struct ag_held *held, const struct rt_store_reply *reply)
{
    struct ag_session *session = held->session;

    if (session == NULL) {
        found_page(agent, held, reply);
    } else if (reply->error == 0 && reply->n_records > 0) {
        found_record(agent, held, &reply->records[0]);
    } else if (has_ended_here(agent, held)) {
        return;
    } else if (reply->error != 0 && reply->error != RT_ENOTFOUND) {
        if (!held->waited) {
            give_up(agent, held);
        }
    } else if (held->state == AG_HELD_LIVES && !rt_ag_session_known(agent, session) && rt_ag_whole(agent) &&
               !reply->doubtful) {
        held_refuse_text(agent, held, RT_CLASS_NOT_FOUND, "there is no such container");
    } else if (!held->waited) {
        give_up(agent, held);
    }
}

void rt_ag_held_over(struct rt_agent *agent, struct ag_link *link, uint32_t channel, bool make,
                     const struct ag_over *over)
{
    struct rt_refuse_msg limit = rt_ag_over_refusal(over);

    if (make || over->delay > 0) {
        limit.c = make ? RT_CLASS_LIMIT : RT_CLASS_RETRY_LATER;
        limit.delay = make ? 0 : over->delay;
        rt_ag_refuse(agent, link, channel, &limit);
    } else {
        rt_ag_refuse_text(agent, link, channel, RT_CLASS_RETRY_LATER, over->text);
    }
}

struct ag_held *rt_ag_held_new(struct rt_agent *agent, struct ag_link *link, uint32_t channel,
                               const struct rt_attach_msg *msg, struct rt_slice payload)
{
    struct ag_account *account = link->client->account;
    struct ag_held *held;
    struct ag_over over;

    if (!rt_ag_tenant_room(agent, account, RT_LIMIT_TENANT_WAITING, 1, &over) ||
        !rt_ag_tenant_room(agent, account, RT_LIMIT_TENANT_BYTES, payload.size, &over) ||
        !rt_ag_share_room(agent, account->tenant, link->id, AG_SHARE_HELD, payload.size, &over)) {
        rt_ag_held_over(agent, link, channel, msg->make, &over);
        return NULL;
    }
    if (agent->stats.held >= RT_AGENT_HELD_MAX || agent->held_bytes + payload.size > RT_AGENT_HELD_BYTES_MAX) {
        rt_ag_refuse_text(agent, link, channel, RT_CLASS_RETRY_LATER, "this agent holds too many requests");
        return NULL;
    }
    if (link->client->held_bytes + payload.size > RT_LINK_HELD_BYTES_MAX) {
        rt_ag_refuse_text(agent, link, channel, RT_CLASS_RETRY_LATER, "this link has too many attaches that wait");
        return NULL;
    }
    held = calloc(1, sizeof(*held) + payload.size);
    if (held != NULL) {
        held->key = ag_chan_key(link->id, channel);
        HASH_ADD_KEYPTR_BYHASHVALUE(hh, agent->held, &held->key, sizeof(held->key), ag_chan_hash(agent, held->key),
                                    held);
    }
    if (held == NULL || held->hh.tbl == NULL) {
        free(held);
        rt_ag_refuse_text(agent, link, channel, RT_CLASS_RETRY_LATER, rt_strerror(RT_ENOMEM));
        return NULL;
    }
    held->link = link;
    held->timer.kind = AG_TIMER_HELD;
    held->klife = msg->klife;
    held->kepoch = msg->kepoch;
    held->waited = msg->wait > 0;
    held->whole = rt_ag_whole(agent);
    held->resume = !msg->make;
    held->size = payload.size;
    memcpy(held->payload, payload.data, payload.size);
    rt_list_push(&link->client->held, &held->in_link);
    ag_account_waiting(link->client->account, 1, payload.size);
    link->client->held_bytes += payload.size;
    agent->held_bytes += payload.size;
    agent->stats.held++;
    rt_ag_link_gains(agent, link);
    return held;
}

void rt_ag_held_begin(struct rt_agent *agent, struct ag_link *link, uint32_t channel, struct rt_attach_msg *msg,
                      const struct rt_key *key, bool qualified, struct rt_slice payload, bool changed)
{
    uint8_t plain[RT_SHORT_MAX];
    struct ag_session *session = qualified ? rt_ag_session_await(agent, key) : NULL;
    struct ag_held *held = NULL;
    uint64_t wait;

    if (changed) {
        int size;
        msg->cid = rt_slice_text(key->cid);
        size = rt_msg_encode(RT_MSG_ATTACH, msg, plain, sizeof(plain));
        payload.data = plain;
        payload.size = size < 0 ? 0 : (size_t)size;
    }
    if (payload.size == 0) {
        rt_ag_refuse_text(agent, link, channel, RT_CLASS_INVALID, "this attach cannot be passed on");
    } else if (qualified && session == NULL) {
        rt_ag_refuse_text(agent, link, channel, RT_CLASS_RETRY_LATER, "this agent holds too many requests");
    } else {
        held = rt_ag_held_new(agent, link, channel, msg, payload);
    }
    if (held == NULL) {
        return;
    }
    /* Without time to wait the store's first answer decides. */
    wait = msg->wait > 0 ? rt_ag_hold_wait(agent, msg->wait) : agent->config.store_timeout_ms;
    held->latest = agent->now + (held->waited ? RT_WAIT_MAX_MS : wait);
    hold_until(agent, held, agent->now + wait, AG_LOOK_AGAIN_MS);
    held->name = *key;
    if (session != NULL) {
        join(agent, held, session);
        if (answer_known(agent, held) || (!agent->store_up && has_ended_here(agent, held))) {
            return;
        }
        if (held->waited && just_gone(session) && !rt_ag_session_revoked(agent, session)) {
            hold_until(agent, held, held->until, AG_LOOK_GONE_MS);
            return;
        }
    }
    look(agent, held, NULL);
}
