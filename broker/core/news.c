/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/agent.h"
#include "broker/core/ask.h"
#include "broker/core/audit.h"
#include "broker/core/end.h"
#include "broker/core/entry.h"
#include "broker/core/guest.h"
#include "broker/core/held.h"
#include "broker/core/hosts.h"
#include "broker/core/machine.h"
#include "broker/core/made.h"
#include "broker/core/owner.h"
#include "broker/core/request.h"
#include "broker/core/revoked.h"
#include "broker/core/send.h"
#include "broker/core/session.h"
#include "broker/core/store.h"
#include "broker/core/take.h"
#include "migrate/core/store_op.h"
#include "session/base/slice.h"
#include "session/base/timer.h"
#include "session/core/msg_hop.h"
#include "session/core/pings.h"
#include "session/core/protocol.h"

#include <stdlib.h>
#include <string.h>

/* What the store says: the replies to operations, each to who asked, and news. */

/* The log and the metrics are told of the store. */
static void event(struct rt_agent *agent, const char *from, const char *to, const char *reason)
{
    struct rt_agent_event event = {.kind = RT_AGENT_STORE};

    rt_ag_event(agent, &event, from, to, reason);
}

static void news_claimed(struct rt_agent *agent, const struct rt_store_news *news)
{
    struct ag_session *session;

    if (news->life == 0) { /* a record was made where there was none */
        session = rt_ag_session_find(agent, &news->key);
        if (session != NULL) {
            rt_ag_record_lost(agent, session);
        }
        return;
    }
    rt_ag_made_drop(agent, &news->key); /* whoever serves it counts it */
    session = rt_ag_session_get(agent, &news->key);
    if (session == NULL) {
        return;
    }
    if (strcmp(news->host, agent->config.host) != 0) {
        rt_ag_session_heard(agent, session, news->life, news->epoch, news->host);
    } else if (ag_newer(news->life, news->epoch, session->life, session->epoch)) {
        /* A claim of this host's that this agent does not know. Its answer is on the way; or an earlier run of this
         * agent has asked for it, and the store has done it behind the census of this one. Then nobody serves it. */
        rt_ag_session_orphan(agent, session, news->life, news->epoch);
    }
}

/* Another agent goes by this host's name, and the writes of two such agents could not be told apart. So this one serves
 * nobody. Its guests dial again, and find the other agent or wait. */
static void taken(struct rt_agent *agent)
{
    event(agent, "", "taken", AG_TAKEN_TEXT);
    agent->store_up = false;
    agent->taken = true;
    rt_ag_hosts_break(agent);
    for (size_t i = 0; i < AG_SLOTS; i++) {
        if (agent->links[i] != NULL && agent->links[i]->role == RT_PEER_GUEST) {
            rt_ag_link_refuse_text(agent, agent->links[i], RT_CLASS_RETRY_LATER, AG_TAKEN_TEXT);
        }
    }
}

/* Looks for records that name this host as their owner while nobody serves them here: an earlier run of this agent has
 * left them. That is done once after the start, and whenever the store is another one, a page at a time. */
static void census(struct rt_agent *agent, const struct rt_store_cursor *cursor)
{
    struct rt_store_op op = {.kind = RT_STORE_FIND, .every = true};
    struct ag_op about = {.to = AG_FOR_CENSUS};

    if (cursor != NULL) {
        op.cursor = *cursor;
    }
    rt_slice_copy(rt_slice_text(agent->config.host), op.host, sizeof(op.host));
    agent->census_done = rt_ag_store(agent, &op, &about) != 0;
}

static void census_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply)
{
    (void)op;
    if (reply->error != 0) {
        agent->census_done = false;
        return;
    }
    for (size_t i = 0; i < reply->n_records; i++) {
        const struct rt_store_record *record = &reply->records[i];
        struct ag_session *session;
        if (strcmp(record->rule.host, agent->config.host) != 0 ||
            (record->rule.state != RT_SESSION_RUNNING && record->rule.state != RT_SESSION_MOVING)) {
            continue;
        }
        session = rt_ag_session_get(agent, &record->key);
        if (session != NULL) {
            rt_ag_session_orphan(agent, session, record->rule.life, record->rule.epoch);
        }
    }
    if (reply->cursor.host[0] != '\0') {
        census(agent, &reply->cursor);
    }
}

static void looked(struct rt_agent *agent, const struct rt_store_look *look)
{
    struct rt_agent_stats *stats = &agent->stats;

    agent->look = *look;
    agent->looked = agent->now;
    stats->store_weak = stats->store_unknown = 0;
    stats->store_replicas = look->replicas;
    for (enum rt_check i = 0; i < RT_CHECKS; i++) {
        stats->store_weak += look->checks[i].state == RT_CHECK_WEAK;
        stats->store_unknown += look->checks[i].state == RT_CHECK_UNKNOWN;
    }
}

void rt_ag_store_news(struct rt_agent *agent, const struct rt_store_news *news)
{
    switch (news->kind) {
    case RT_STORE_UP:
        event(agent, "down", "up",
              agent->whole_at == RT_NEVER ? "first connection"
              : news->fresh               ? "another store"
                                          : "");
        agent->whole_at = news->whole                                  ? agent->now
                          : news->fresh || agent->whole_at == RT_NEVER ? agent->now + RT_STORE_WHOLE_MS
                                                                       : agent->whole_at;
        agent->store_up = true;
        agent->store_slow = false;
        agent->taken = false;
        if (news->fresh) {
            rt_ag_hosts_break(agent);
        }
        rt_ag_revoked_again(agent, news->fresh);
        rt_ag_retake_all(agent, news->fresh);
        rt_ag_kept_again(agent);
        rt_ag_held_again(agent);
        if (news->fresh || !agent->census_done) {
            census(agent, NULL);
        }
        break;
    case RT_STORE_DOWN:
        agent->store_up = false;
        rt_ag_hosts_break(agent);
        event(agent, "up", "down", "");
        break;
    case RT_STORE_TOUCH:
        agent->store_ms = news->store_ms;
        rt_ag_hosts_touch(agent);
        rt_ag_revoked_again(agent, false);
        break;
    case RT_STORE_TAKEN:
        taken(agent);
        break;
    case RT_STORE_CLAIMED:
        news_claimed(agent, news);
        break;
    case RT_STORE_REVOKED:
        rt_ag_made_drop(agent, &news->key);
        rt_ag_revoked_note(agent, &news->key, news->life);
        break;
    case RT_STORE_HOST:
        rt_ag_host_notice(agent, &news->row);
        break;
    case RT_STORE_LOOKED:
        looked(agent, news->look);
        break;
    }
}

/* Notes whether the store answers in time for a ticket to wait for it. Only operations that take the store one step
 * tell.
 */
static void note_speed(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply)
{
    if (reply->error == RT_ETIMEDOUT) {
        agent->store_slow = true;
    } else if ((reply->error == 0 || reply->error == RT_ENOTFOUND) &&
               (op->kind == RT_STORE_TEST || op->kind == RT_STORE_TAKE || op->kind == RT_STORE_GET ||
                op->kind == RT_STORE_STATE || op->kind == RT_STORE_REPORT)) {
        agent->store_slow = agent->now - op->asked >= RT_CLAIM_TIMEOUT_MS;
    }
}

static void ask_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply)
{
    op->ask->op = 0;
    rt_ag_ask_reply(agent, op->ask, reply);
}

static void held_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply)
{
    op->held->op = 0;
    rt_ag_held_reply(agent, op->held, reply);
}

static void (*const handlers[])(struct rt_agent *, const struct ag_op *, const struct rt_store_reply *) = {
    [AG_FOR_NOBODY] = NULL,
    [AG_FOR_ASK] = ask_reply,
    [AG_FOR_HELD] = held_reply,
    [AG_FOR_END] = rt_ag_end_reply,
    [AG_FOR_CENSUS] = census_reply,
    [AG_FOR_OWNER] = rt_ag_owner_reply,
    [AG_FOR_HOST] = rt_ag_hosts_reply,
    [AG_FOR_WALK] = rt_ag_hosts_reply,
    [AG_FOR_AUDIT] = rt_ag_audit_reply,
    [AG_FOR_TEST] = rt_ag_test_reply,
    [AG_FOR_TAKE] = rt_ag_take_reply,
    [AG_FOR_STATE] = rt_ag_state_reply,
    [AG_FOR_REPORT] = rt_ag_report_reply,
    [AG_FOR_REVOKED] = rt_ag_revoked_reply,
};

void rt_ag_store_reply(struct rt_agent *agent, const struct rt_store_reply *reply)
{
    struct ag_op *op = reply->id > UINT32_MAX ? NULL : agent->ops[reply->id % AG_SLOTS];

    if (op == NULL || op->id != reply->id) {
        return;
    }
    agent->ops[op->id % AG_SLOTS] = NULL;
    agent->n_ops--;
    note_speed(agent, op, reply);
    for (size_t i = 0; reply->error == 0 && i < reply->n_records; i++) {
        rt_ag_revoked_note(agent, &reply->records[i].key, reply->records[i].rule.rev);
    }
    if (op->session != NULL) {
        op->session->n_ops--;
        rt_ag_session_fact(agent, op->session, AG_SESSION_CHANGED);
    }
    if (handlers[op->to] != NULL) {
        handlers[op->to](agent, op, reply);
    }
    free(op);
}
