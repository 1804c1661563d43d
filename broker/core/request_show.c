/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/ask.h"
#include "broker/core/end.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/owner.h"
#include "broker/core/request.h"
#include "broker/core/rights.h"
#include "broker/core/session.h"
#include "broker/core/store.h"
#include "migrate/core/store_op.h"
#include "session/base/error.h"
#include "session/base/timer.h"
#include "session/core/msg_request.h"
#include "session/core/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* REQUEST `show`: one record, by its name, by a prefix, or across tenants. What the store does not know, or does not
 * say, is told from what this agent serves. */

/* Room for " and N more". */
#define AMBIGUOUS_MORE 24

static void ask_get(struct rt_agent *agent, struct ag_ask *ask)
{
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = ask->key};

    rt_ag_ask_store(agent, ask, &op);
}

/* local: the record is this agent's own. */
static void finish_record(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_record *record, bool local)
{
    memset(agent->reply, 0, sizeof(*agent->reply));
    agent->reply->local = rt_slice_text(local ? agent->config.host : "");
    rt_ag_fill_record(agent, ask->link, record, &agent->reply->recs[0]);
    agent->reply->n_recs = 1;
    rt_ag_ask_send(agent, ask->link, ask->request, agent->reply);
    rt_ag_ask_free(agent, ask);
}

static void await(struct rt_agent *agent, struct ag_ask *ask, struct ag_session *session)
{
    ask->session = session;
    rt_list_push(&session->asks, &ask->in_session);
    rt_ag_session_fact(agent, session, AG_SESSION_CHANGED);
}

/* It counts as an attach that waits does. False: there are too many, and the ask is over. */
static bool count_waiting(struct rt_agent *agent, struct ag_ask *ask)
{
    struct ag_account *account = ask->link->client->account;
    struct ag_over over;

    if (ask->waits) {
        return true;
    }
    if (!rt_ag_tenant_room(agent, account, RT_LIMIT_TENANT_WAITING, 1, &over)) {
        rt_ag_ask_finish(agent, ask, RT_CLASS_LIMIT, over.text);
        return false;
    }
    if (agent->stats.held >= RT_AGENT_HELD_MAX) {
        rt_ag_ask_finish(agent, ask, RT_CLASS_RETRY_LATER, "this agent holds too many requests");
        return false;
    }
    ask->waits = true;
    ag_account_waiting(account, 1, 0);
    agent->stats.held++;
    return true;
}

/* Waits until somebody serves the session, or the time is over. False when it need not or cannot. */
static bool wait_for_guest(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_record *record)
{
    struct ag_session *session;

    if (!ask->timer.set || ask->expired ||
        rt_ag_kept_beyond(agent, &ask->key, record == NULL ? NULL : &record->rule) != NULL ||
        (record != NULL && (record->rule.state == RT_SESSION_RUNNING || record->rule.state == RT_SESSION_ENDED))) {
        return false;
    }
    if (!count_waiting(agent, ask)) {
        return true;
    }
    session = rt_ag_session_await(agent, &ask->key);
    if (session != NULL) {
        await(agent, ask, session);
    }
    return session != NULL;
}

void rt_ag_asks_wake(struct rt_agent *agent, struct ag_session *session)
{
    struct rt_list *node;

    while ((node = rt_list_pop(&session->asks)) != NULL) {
        struct ag_ask *ask = RT_LIST_OF(node, struct ag_ask, in_session);
        ask->session = NULL;
        ask_get(agent, ask);
    }
}

void rt_ag_ask_timer(struct rt_agent *agent, struct ag_ask *ask)
{
    struct ag_session *session = ask->session;

    ask->expired = true;
    if (session != NULL) {
        rt_list_remove(&ask->in_session);
        ask->session = NULL;
        rt_ag_session_fact(agent, session, AG_SESSION_CHANGED);
        ask_get(agent, ask);
    }
}

/* The store does not say it, but this agent serves the session, or has its end: that much it can say. */
static bool show_own(struct rt_agent *agent, struct ag_ask *ask)
{
    struct rt_store_record *record = malloc(sizeof(*record));
    bool own = record != NULL && rt_ag_own_record(agent, &ask->key, record);

    if (own) {
        finish_record(agent, ask, record, true);
    }
    free(record);
    return own;
}

/* Names some of those that fit, and says that there are others: how many, if all have been seen. */
static void finish_ambiguous(struct rt_agent *agent, struct ag_ask *ask, bool all)
{
    char text[RT_TEXT_MAX + 1], name[RT_TENANT_MAX + RT_CID_MAX + 8], more[AMBIGUOUS_MORE];
    size_t n = 0, shown = 0, most = sizeof(ask->found) / sizeof(ask->found[0]);
    bool boss = rt_ag_may(ask->link, AG_MAY_ALL_TENANTS);

    for (; shown < ask->n_found && shown < most; shown++) {
        const struct rt_key *key = &ask->found[shown];
        int size = snprintf(name, sizeof(name), "%s%s%s%s", shown == 0 ? "" : ", ", boss ? key->tenant : "",
                            boss ? "/" : "", key->cid);

        if (size < 0 || n + (size_t)size + sizeof(more) > sizeof(text)) {
            break;
        }
        memcpy(text + n, name, (size_t)size);
        n += (size_t)size;
    }
    more[0] = '\0';
    if (ask->n_found > shown && all) {
        snprintf(more, sizeof(more), " and %u more", (unsigned)(ask->n_found - shown));
    } else if (ask->n_found > shown) {
        snprintf(more, sizeof(more), " and more");
    }
    snprintf(text + n, sizeof(text) - n, "%s", more);
    rt_ag_ask_finish(agent, ask, RT_CLASS_AMBIGUOUS, text);
}

/* Whether it was found already: a session that moves may be found on both hosts. */
static bool found_before(const struct ag_ask *ask, const struct rt_key *key)
{
    for (size_t i = 0; i < ask->n_found && i < sizeof(ask->found) / sizeof(ask->found[0]); i++) {
        if (rt_key_equal(&ask->found[i], key)) {
            return true;
        }
    }
    return false;
}

/* A page of the search by prefix, or for an operator's plain name in all tenants. */
static void show_page(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply)
{
    size_t most = sizeof(ask->found) / sizeof(ask->found[0]);
    bool more = reply->cursor.host[0] != '\0';

    for (size_t i = 0; i < reply->n_records; i++) {
        const struct rt_store_record *record = &reply->records[i];

        if ((!ask->prefix && strcmp(record->key.cid, ask->key.cid) != 0) || found_before(ask, &record->key)) {
            continue;
        }
        if (ask->n_found < most) {
            ask->found[ask->n_found] = record->key;
        }
        ask->n_found++;
        if (ask->record == NULL) {
            ask->record = malloc(sizeof(*ask->record));
            if (ask->record == NULL) {
                rt_ag_ask_fail(agent, ask, RT_ENOMEM);
                return;
            }
            *ask->record = *record;
        }
    }
    ask->cursor = reply->cursor;
    if (more && ask->n_found <= most) {
        rt_ag_ask_page(agent, ask);
    } else if (ask->n_found > 1) {
        finish_ambiguous(agent, ask, !more);
    } else if (ask->n_found == 1) {
        finish_record(agent, ask, ask->record, false);
    } else {
        rt_ag_ask_missing(agent, ask, RT_ENOTFOUND, reply->doubtful);
    }
}

/* The store fails, and has not answered the take of what is served here, so the label and all that came before are not
 * known: the take goes on, and its answer is waited for, once and not for long. */
static bool wait_for_take(struct rt_agent *agent, struct ag_ask *ask)
{
    struct ag_session *session = rt_ag_session_find(agent, &ask->key);

    if (ask->awaited || session == NULL || session->guest == NULL || session->claimed || session->past_size > 0) {
        return false;
    }
    ask->awaited = true;
    await(agent, ask, session);
    rt_timer_set(&agent->timers, &ask->timer, agent->now + AG_SHOW_TAKE_MS);
    return true;
}

void rt_ag_ask_show_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply)
{
    bool found = reply->error == 0 && reply->n_records > 0;
    const struct rt_store_record *record = found ? &reply->records[0] : NULL;

    if (found && reply->kind == RT_STORE_GET) {
        rt_ag_owner_check(agent, record);
    }
    if (reply->error != 0 && reply->error != RT_ENOTFOUND) {
        if (!wait_for_take(agent, ask) && !show_own(agent, ask)) {
            rt_ag_ask_fail(agent, ask, reply->error);
        }
    } else if (reply->kind == RT_STORE_FIND) {
        show_page(agent, ask, reply);
    } else if (record == NULL && ask->prefix) {
        rt_ag_ask_page(agent, ask);
    } else if (!wait_for_guest(agent, ask, record)) {
        if (record != NULL) {
            finish_record(agent, ask, record, false);
        } else if (!show_own(agent, ask)) {
            rt_ag_ask_missing(agent, ask, RT_ENOTFOUND, reply->doubtful);
        }
    }
}
