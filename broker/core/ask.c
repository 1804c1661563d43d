/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/ask.h"

#include "broker/core/door.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/rights.h"
#include "broker/core/send.h"
#include "broker/core/session.h"
#include "broker/core/store.h"
#include "session/base/error.h"
#include "session/base/timer.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rt_ag_ask_free(struct rt_agent *agent, struct ag_ask *ask)
{
    struct ag_session *session = ask->session;

    rt_ag_forget_op(agent, ask->op);
    rt_list_remove(&ask->fact.node);
    rt_list_remove(&ask->in_link);
    rt_list_remove(&ask->in_session);
    rt_timer_clear(&agent->timers, &ask->timer);
    if (ask->counts) {
        ask->link->client->account->tenant->has[RT_LIMIT_TENANT_SESSIONS]--;
    }
    if (ask->listed) {
        ag_account_list(ask->link->client->account, -1);
    }
    if (ask->waits) {
        ag_account_waiting(ask->link->client->account, -1, 0);
        agent->stats.held--;
    }
    ask->link->client->n_asks--;
    ask->link->client->replies -= ask->room;
    if (!rt_list_empty(&ask->link->client->requests)) {
        ag_fact(agent, &ask->link->fact, AG_LINK_ROOM);
    }
    free(ask->record);
    free(ask->list);
    free(ask);
    if (session != NULL) {
        rt_ag_session_fact(agent, session, AG_SESSION_CHANGED);
    }
}

void rt_ag_ask_send(struct rt_agent *agent, struct ag_link *link, uint64_t request, const struct rt_reply_msg *reply)
{
    struct rt_frame frame = {.type = RT_REPLY, .offset = request};

    if (rt_ag_send_msg(agent, link, &frame, RT_MSG_REPLY, reply) != 0) {
        struct rt_reply_msg *bare = agent->reply;
        memset(bare, 0, sizeof(*bare));
        bare->c = RT_CLASS_LIMIT;
        bare->m = rt_slice_text("the answer does not fit into a frame");
        (void)rt_ag_send_msg(agent, link, &frame, RT_MSG_REPLY, bare);
    }
}

void rt_ag_request_refuse(struct rt_agent *agent, struct ag_link *link, uint64_t request, enum rt_class cls,
                          const char *text)
{
    memset(agent->reply, 0, sizeof(*agent->reply));
    agent->reply->c = cls;
    agent->reply->m = rt_slice_text(text);
    rt_ag_ask_send(agent, link, request, agent->reply);
}

void rt_ag_by_whom(const struct ag_ask *ask, char reason[RT_TEXT_MAX])
{
    (void)snprintf(reason, RT_TEXT_MAX, "by %s", ask->link->peer->name + 1); /* behind the letter of its role */
}

void rt_ag_ask_finish(struct rt_agent *agent, struct ag_ask *ask, enum rt_class cls, const char *text)
{
    rt_ag_request_refuse(agent, ask->link, ask->request, cls, text);
    rt_ag_ask_free(agent, ask);
}

static const char *why_failed(const struct ag_ask *ask, int error)
{
    bool changes = ask->what == ASK_CREATE || ask->what == ASK_REMOVE;

    if (ask->what == ASK_SHOW && (error == RT_EUNAVAIL || error == RT_ETIMEDOUT)) {
        return "the session store cannot be asked, and no container of exactly this name is served here";
    }
    if (error == RT_ETIMEDOUT) {
        return changes ? "the session store answers too late: it is not known whether it was done"
                       : "the session store answers too late";
    }
    return error == RT_ELIMIT ? "the session store is full" : rt_strerror(error);
}

void rt_ag_ask_fail(struct rt_agent *agent, struct ag_ask *ask, int error)
{
    if (error == RT_ENOTFOUND) {
        rt_ag_ask_finish(agent, ask, RT_CLASS_NOT_FOUND, "there is no such container");
    } else {
        rt_ag_ask_finish(agent, ask, RT_CLASS_RETRY_LATER, why_failed(ask, error));
    }
}

void rt_ag_ask_missing(struct rt_agent *agent, struct ag_ask *ask, int error, bool doubtful)
{
    if (error == RT_ENOTFOUND && doubtful) {
        rt_ag_ask_finish(agent, ask, RT_CLASS_RETRY_LATER, "no majority of Sentinels says which session store counts");
    } else if (error == RT_ENOTFOUND && !rt_ag_whole(agent)) {
        rt_ag_ask_finish(agent, ask, RT_CLASS_RETRY_LATER, "the session store is being filled again");
    } else {
        rt_ag_ask_fail(agent, ask, error);
    }
}

int rt_ag_key(const struct ag_link *link, struct rt_slice name, struct rt_key *key, bool *qualified)
{
    struct rt_slice tenant = rt_slice_text(ag_link_who(link));

    memset(key, 0, sizeof(*key));
    *qualified = true;
    if (rt_ag_may(link, AG_MAY_ALL_TENANTS)) {
        const uint8_t *slash = name.size == 0 ? NULL : memchr(name.data, '/', name.size);
        *qualified = slash != NULL;
        if (slash != NULL) {
            tenant.data = name.data;
            tenant.size = (size_t)(slash - name.data);
            name.size -= tenant.size + 1;
            name.data = slash + 1;
        }
        if (tenant.size > RT_TENANT_MAX || (slash != NULL && tenant.size == 0)) {
            return RT_EINVAL;
        }
    }
    if (!rt_cid_valid(name)) {
        return RT_EINVAL;
    }
    rt_slice_copy(tenant, key->tenant, sizeof(key->tenant));
    rt_slice_copy(name, key->cid, sizeof(key->cid));
    return 0;
}

/* A search of the store counts for its tenant from its first page to its answer. False: the tenant has half of them
 * already, and the ask is over. */
static bool count_find(struct rt_agent *agent, struct ag_ask *ask)
{
    struct ag_account *account = ask->link->client->account;
    struct ag_over over;

    if (!ask->listed && !rt_ag_share_room(agent, account->tenant, ask->link->id, AG_SHARE_LISTS, 1, &over)) {
        rt_ag_ask_finish(agent, ask, RT_CLASS_LIMIT, over.text);
        return false;
    }
    ag_account_list(account, !ask->listed);
    ask->listed = true;
    return true;
}

void rt_ag_ask_store(struct rt_agent *agent, struct ag_ask *ask, struct rt_store_op *op)
{
    struct ag_op about = {.to = AG_FOR_ASK, .link = ask->link->id, .ask = ask};

    if (op->kind == RT_STORE_FIND && !count_find(agent, ask)) {
        return;
    }
    ask->op = rt_ag_store(agent, op, &about);
    if (ask->op == 0) {
        ag_fact(agent, &ask->fact, 0);
    }
}

void rt_ag_ask_page(struct rt_agent *agent, struct ag_ask *ask)
{
    struct rt_store_op op = {
        .kind = RT_STORE_FIND, .key = ask->key, .cursor = ask->cursor, .every = ask->what == ASK_SHOW};

    if (ask->local) {
        ag_fact(agent, &ask->fact, 0);
        return;
    }
    if (ask->what == ASK_HOSTS) {
        op.kind = RT_STORE_HOSTS;
    }
    memcpy(op.host, ask->host, sizeof(op.host));
    rt_ag_ask_store(agent, ask, &op);
}

void rt_ag_ask_more(struct rt_agent *agent, struct ag_ask *ask)
{
    ask->parked = ask->link->congested;
    if (!ask->parked) {
        rt_ag_ask_page(agent, ask);
    }
}
