/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/request.h"

#include "broker/core/ask.h"
#include "broker/core/audit.h"
#include "broker/core/end.h"
#include "broker/core/hosts.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/made.h"
#include "broker/core/owner.h"
#include "broker/core/revoked.h"
#include "broker/core/rights.h"
#include "broker/core/session.h"
#include "broker/core/store.h"
#include "migrate/core/store_op.h"
#include "session/base/error.h"
#include "session/base/timer.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* REQUEST: what people and programs ask of the directory. Answered from the store, with what this agent serves itself
 * laid over it. */

/* Bytes of REPLYs that may come in one go, by what was asked: a record; a page of them or of hosts, or two tails. */
#define ROOM_RECORD UINT32_C(4096)
#define ROOM_PAGE UINT32_C(163840)

/* What is asked, by enum ag_what. */
static const struct {
    const char *name;
    enum rt_store_op_kind op;
    enum ag_right right;
    uint32_t room; /* bytes of REPLYs that may come in one go */
} asks[ASK_KINDS] = {
    [ASK_CREATE] = {"create", RT_STORE_CREATE, AG_MAY_CREATE, ROOM_RECORD},
    [ASK_REMOVE] = {"remove", RT_STORE_REMOVE, AG_MAY_REMOVE, ROOM_RECORD},
    [ASK_SHOW] = {"show", RT_STORE_GET, AG_MAY_LOOK, ROOM_RECORD},
    [ASK_LIST] = {"list", RT_STORE_FIND, AG_MAY_LIST, ROOM_PAGE},
    [ASK_HOSTS] = {"hosts", RT_STORE_HOSTS, AG_MAY_SEE_HOSTS, ROOM_PAGE},
    [ASK_TAILS] = {"tails", RT_STORE_TAILS, AG_MAY_READ, ROOM_PAGE},
    [ASK_KICK] = {"kick", RT_STORE_GET, AG_MAY_KICK, ROOM_RECORD},
    [ASK_REVOKE] = {"revoke", RT_STORE_REVOKE, AG_MAY_REVOKE, ROOM_RECORD},
    [ASK_DRAIN] = {"drain", RT_STORE_HOST_ROW, AG_MAY_DRAIN, ROOM_RECORD},
    [ASK_LIMITS] = {"limits", RT_STORE_GET, AG_MAY_LOOK, ROOM_PAGE},
    [ASK_STORE] = {"store", RT_STORE_GET, AG_MAY_SEE_STORE, ROOM_PAGE},
};

/* What the first REPLY says; tail[] is what follows it. */
struct last_words {
    const struct rt_end_msg *end;
    bool lost, cut;
    const char *keeper; /* who has the tails, "" nobody else */
    struct rt_slice tail[2];
};

static void send_tails(struct rt_agent *agent, struct ag_ask *ask, const struct last_words *words)
{
    const struct rt_end_msg *end = words->end;
    const struct rt_slice *tail = words->tail;
    struct rt_reply_msg *out = agent->reply;
    uint64_t final[2] = {end->out, end->err};

    memset(out, 0, sizeof(*out));
    rt_ag_name_host(agent, ask->link, words->keeper, out);
    out->code = end->code;
    out->sig = end->sig;
    out->out = end->out;
    out->err = end->err;
    out->lost = words->lost;
    out->cut = words->cut;
    out->ord = end->ord;
    out->more = tail[0].size + tail[1].size > 0;
    rt_ag_ask_send(agent, ask->link, ask->request, out);
    for (unsigned i = 0; i < 2; i++) {
        for (size_t at = 0; at < tail[i].size; at += out->data.size) {
            size_t left = tail[i].size - at;
            memset(out, 0, sizeof(*out));
            out->s = RT_STDOUT + i;
            out->o = final[i] - left;
            out->data.data = tail[i].data + at;
            out->data.size = left > RT_TAIL_CHUNK ? RT_TAIL_CHUNK : left;
            out->more = left > out->data.size || (i == 0 && tail[1].size > 0);
            rt_ag_ask_send(agent, ask->link, ask->request, out);
        }
    }
    rt_ag_ask_free(agent, ask);
}

/* Whether there is a word on the session that holds: the store has a record of it, or would have one; or it is served
 * here. */
static bool is_told(struct rt_agent *agent, const struct rt_key *key, const struct rt_store_reply *reply)
{
    const struct ag_session *session = rt_ag_session_find(agent, key);

    return reply->outcome.life != 0 || (rt_ag_whole(agent) && !reply->doubtful) ||
           (session != NULL && session->guest != NULL);
}

static void tails_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply)
{
    const struct ag_end *kept = rt_ag_kept(agent, &ask->key, 0);
    bool has_all = reply->error == 0 && !reply->lost && reply->outcome.host[0] == '\0';

    /* The store lacks the kept end when it is of a newer life, or of the same life and the store has not got all of it.
     */
    if (kept != NULL && kept->life + !has_all > reply->outcome.life) {
        struct last_words words = {.end = &kept->end, .keeper = ""};
        for (unsigned i = 0; i < 2; i++) {
            words.tail[i] = (struct rt_slice){kept->tail[i], kept->size[i]};
        }
        send_tails(agent, ask, &words);
    } else if (reply->error == 0) {
        struct last_words words = {.end = &reply->end,
                                   .lost = reply->lost,
                                   .cut = reply->cut,
                                   .keeper = reply->outcome.host,
                                   .tail = {reply->tail[0], reply->tail[1]}};
        send_tails(agent, ask, &words);
    } else if (reply->error == RT_ENOTFOUND && is_told(agent, &ask->key, reply)) {
        rt_ag_owner_look(agent, &ask->key);
        rt_ag_ask_finish(agent, ask, RT_CLASS_NOT_FOUND, "there is no such container, or it has not ended");
    } else {
        rt_ag_ask_missing(agent, ask, reply->error, reply->doubtful);
    }
}

static const char exists_text[] = "a container of this ID exists, and has neither ended nor been lost for 30 s";

/* Whatever the store knows: if it has lost the record, it has it again now. */
static bool served_here(struct rt_agent *agent, const struct rt_key *key)
{
    struct ag_session *session = rt_ag_session_find(agent, key);

    if (session == NULL || session->guest == NULL || session->state == RT_SESSION_ENDED) {
        return false;
    }
    rt_ag_audit(agent, session);
    return true;
}

/* One session more, while it is asked for, and then as one that was made. False: its tenant has too many. */
static bool count_create(struct rt_agent *agent, struct ag_ask *ask)
{
    struct ag_account *account = ask->link->client->account;
    struct ag_over over;

    rt_ag_made_expire(agent);
    if (!rt_ag_tenant_room(agent, account, RT_LIMIT_TENANT_SESSIONS, 1, &over)) {
        rt_ag_ask_finish(agent, ask, RT_CLASS_LIMIT, over.text);
        return false;
    }
    ask->counts = account->tenant != NULL;
    if (ask->counts) {
        account->tenant->has[RT_LIMIT_TENANT_SESSIONS]++;
    }
    return true;
}

static void create_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply)
{
    const struct rt_sealer *sealer = &agent->config.sealer;
    struct rt_ticket ticket = {.join = true, .key = ask->key, .life = reply->outcome.life};
    uint8_t token[RT_TOKEN_MAX];
    int size;

    if (reply->error != 0) {
        rt_ag_ask_fail(agent, ask, reply->error == RT_ENOTFOUND ? RT_EUNAVAIL : reply->error);
        return;
    }
    if (reply->outcome.verdict != RT_CLASS_OK) {
        rt_ag_owner_look(agent, &ask->key);
        rt_ag_ask_finish(agent, ask, reply->outcome.verdict, exists_text);
        return;
    }
    if (ask->vm[0] != '\0') {
        (void)snprintf(ticket.bound_to, sizeof(ticket.bound_to), RT_VM_PREFIX "%s", ask->vm);
    }
    rt_slice_copy(rt_slice_text(agent->config.host), ticket.issuer, sizeof(ticket.issuer));
    if (agent->config.ticket_ttl_ms != 0) {
        ticket.expires_ms = rt_ag_wall(agent) + agent->config.ticket_ttl_ms;
    }
    size = sealer->seal(sealer->ctx, &ticket, token, sizeof(token));
    if (size < 0) {
        rt_ag_ask_fail(agent, ask, size);
        return;
    }
    memset(agent->reply, 0, sizeof(*agent->reply));
    agent->reply->tok.data = token;
    agent->reply->tok.size = (size_t)size;
    rt_ag_made_note(agent, &ask->key);
    rt_ag_ask_send(agent, ask->link, ask->request, agent->reply);
    rt_ag_ask_free(agent, ask);
}

static void remove_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply)
{
    if (reply->error != 0) {
        rt_ag_ask_missing(agent, ask, reply->error, reply->doubtful);
    } else if (reply->outcome.verdict != RT_CLASS_OK) {
        rt_ag_ask_finish(agent, ask, reply->outcome.verdict,
                         "the container has been started: only one that was not can "
                         "be removed");
    } else {
        rt_ag_made_drop(agent, &ask->key);
        rt_ag_ask_finish(agent, ask, RT_CLASS_OK, "");
    }
}

static void revoke_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply)
{
    struct rt_agent_event event = {.kind = RT_AGENT_REVOKED, .link = ask->link->id, .key = ask->key};
    char reason[RT_TEXT_MAX];

    if (reply->error != 0) {
        rt_ag_ask_missing(agent, ask, reply->error, reply->doubtful);
        return;
    }
    event.life = reply->outcome.life;
    rt_ag_by_whom(ask, reason);
    rt_ag_event(agent, &event, "", "", reason);
    rt_ag_revoked_note(agent, &ask->key, reply->outcome.life);
    rt_ag_made_drop(agent, &ask->key);
    rt_ag_ask_finish(agent, ask, RT_CLASS_OK, "");
}

/* Drops the link of the guest that is served here. What was attached through it is told LOST, as when a link breaks,
 * and attaches again; the guest dials again, and comes back on its ticket. False: there is none. */
static bool kick(struct rt_agent *agent, struct ag_ask *ask)
{
    struct ag_session *session = rt_ag_session_find(agent, &ask->key);
    char reason[RT_TEXT_MAX];

    if (session == NULL || session->guest == NULL) {
        return false;
    }
    rt_ag_by_whom(ask, reason);
    rt_ag_session_event(agent, RT_AGENT_KICKED, session, ask->link, "", "", reason);
    rt_ag_link_close(agent, session->guest, "kicked");
    rt_ag_ask_finish(agent, ask, RT_CLASS_OK, "");
    return true;
}

/* It is not served here, or was not a moment ago: who knows of another host that serves it says so. */
static void kick_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply)
{
    const struct rt_store_record *record = reply->error == 0 && reply->n_records > 0 ? &reply->records[0] : NULL;
    int error = reply->error != 0 ? reply->error : RT_ENOTFOUND; /* where there is no record */
    bool elsewhere = record != NULL && record->rule.state != RT_SESSION_ENDED && record->rule.host[0] != '\0' &&
                     strcmp(record->rule.host, agent->config.host) != 0;

    if (kick(agent, ask)) {
        return;
    }
    if (record == NULL) {
        rt_ag_ask_missing(agent, ask, error, reply->doubtful);
    } else if (elsewhere) {
        memset(agent->reply, 0, sizeof(*agent->reply));
        rt_ag_name_host(agent, ask->link, record->rule.host, agent->reply);
        rt_ag_ask_send(agent, ask->link, ask->request, agent->reply);
        rt_ag_ask_free(agent, ask);
    } else {
        rt_ag_ask_finish(agent, ask, RT_CLASS_INVALID, "no guest of it is connected");
    }
}

void rt_ag_ask_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply)
{
    switch ((enum ag_what)ask->what) {
    case ASK_CREATE:
        create_reply(agent, ask, reply);
        break;
    case ASK_REMOVE:
        remove_reply(agent, ask, reply);
        break;
    case ASK_SHOW:
        rt_ag_ask_show_reply(agent, ask, reply);
        break;
    case ASK_LIST:
        rt_ag_ask_list_reply(agent, ask, reply);
        break;
    case ASK_HOSTS:
        rt_ag_ask_hosts_reply(agent, ask, reply);
        break;
    case ASK_KICK:
        kick_reply(agent, ask, reply);
        break;
    case ASK_REVOKE:
        revoke_reply(agent, ask, reply);
        break;
    case ASK_LIMITS:
        rt_ag_ask_limits_reply(agent, ask, reply);
        break;
    case ASK_DRAIN:
        rt_ag_ask_drain_reply(agent, ask, reply);
        break;
    case ASK_TAILS:
    case ASK_STORE:
    case ASK_KINDS:
        tails_reply(agent, ask, reply);
        break;
    }
}

/* The container that is asked for. In `limits` everybody may say whose it is, as its record does: a client that has
 * looked a name up says it so, whatever its role is. */
static struct rt_slice name_of(const struct ag_ask *ask, struct rt_slice cid)
{
    const char *own = ag_link_who(ask->link);
    size_t size = strlen(own);

    if (ask->what == ASK_LIMITS && size > 0 && cid.size > size && memcmp(cid.data, own, size) == 0 &&
        cid.data[size] == '/') {
        cid.data += size + 1;
        cid.size -= size + 1;
    }
    return cid;
}

/* Fills the ask's key and the operation that answers it. RT_EINVAL. */
static int prepare(struct ag_ask *ask, const struct rt_request_msg *msg, struct rt_store_op *op)
{
    bool qualified = true, of_all = ask->what == ASK_LIST || ask->what == ASK_LIMITS;

    op->kind = asks[ask->what].op;
    if (ask->what == ASK_HOSTS || ask->what == ASK_STORE || ask->what == ASK_DRAIN || (of_all && msg->cid.size == 0)) {
        rt_slice_copy(rt_slice_text(ag_link_who(ask->link)), ask->key.tenant, sizeof(ask->key.tenant));
    } else if (rt_ag_key(ask->link, name_of(ask, msg->cid), &ask->key, &qualified) != 0) {
        return RT_EINVAL;
    }
    ask->prefix = msg->prefix;
    ask->local = msg->local;
    ask->drain = (uint8_t)msg->drain;
    rt_slice_copy(msg->vm, ask->vm, sizeof(ask->vm));
    if (ask->what == ASK_LIST || ask->what == ASK_DRAIN) {
        rt_slice_copy(msg->host, ask->host, sizeof(ask->host));
    }
    if (!qualified && ask->what == ASK_SHOW) {
        op->kind = RT_STORE_FIND;
    } else if (!qualified && ask->what != ASK_LIST) {
        return RT_EINVAL;
    }
    op->key = ask->key;
    op->every = ask->what == ASK_SHOW;
    memcpy(op->host, ask->host, sizeof(op->host));
    op->label = msg->label;
    op->ring = msg->ring;
    return 0;
}

/* Whether it is answered, and freed, without the store. */
static bool answered_here(struct rt_agent *agent, struct ag_ask *ask)
{
    switch (ask->what) {
    case ASK_CREATE:
        return rt_ag_ask_elsewhere(agent, ask) || !count_create(agent, ask);
    case ASK_KICK:
        return kick(agent, ask);
    case ASK_LIST:
        if (!ask->local) {
            return false;
        }
        rt_ag_ask_list_own(agent, ask);
        return true;
    case ASK_DRAIN:
        return rt_ag_ask_drain(agent, ask);
    case ASK_LIMITS:
        return rt_ag_ask_limits(agent, ask);
    case ASK_STORE:
        rt_ag_ask_checks(agent, ask);
        return true;
    default:
        return false;
    }
}

const char *rt_ag_request_name(unsigned what)
{
    return what < ASK_KINDS ? asks[what].name : "";
}

static enum ag_what what_of(struct rt_slice op)
{
    enum ag_what what = ASK_CREATE;

    while (what < ASK_KINDS && !rt_slice_equal(op, rt_slice_text(rt_ag_request_name(what)))) {
        what++;
    }
    return what;
}

uint32_t rt_ag_request_room(struct rt_slice op)
{
    enum ag_what what = what_of(op);

    return what == ASK_KINDS ? ROOM_RECORD : asks[what].room;
}

void rt_ag_request_start(struct rt_agent *agent, struct ag_link *link, uint64_t request,
                         const struct rt_request_msg *msg)
{
    enum ag_what what = what_of(msg->op);
    struct rt_store_op op;
    struct ag_ask *ask;
    char why[RT_TEXT_MAX];

    if (what == ASK_KINDS) {
        rt_ag_request_refuse(agent, link, request, RT_CLASS_INVALID, "there is no such operation");
        return;
    }
    if (!rt_ag_allowed(link, asks[what].right, why)) {
        rt_ag_request_refuse(agent, link, request, RT_CLASS_DENIED, why);
        return;
    }
    if (msg->wait > 0 && (what != ASK_SHOW || msg->prefix)) {
        rt_ag_request_refuse(agent, link, request, RT_CLASS_INVALID,
                             "wait goes with show and a whole ID, not with a prefix");
        return;
    }
    if (msg->local && what != ASK_LIST) {
        rt_ag_request_refuse(agent, link, request, RT_CLASS_INVALID, "local goes with list");
        return;
    }
    if (msg->vm.size > 0 && (what != ASK_CREATE || !rt_vm_valid(msg->vm))) {
        rt_ag_request_refuse(agent, link, request, RT_CLASS_INVALID,
                             "vm goes with create, and is the name of a virtual machine");
        return;
    }
    ask = calloc(1, sizeof(*ask));
    if (ask == NULL) {
        rt_ag_request_refuse(agent, link, request, RT_CLASS_RETRY_LATER, rt_strerror(RT_ENOMEM));
        return;
    }
    ask->link = link;
    ask->request = request;
    ask->what = (uint8_t)what;
    ask->room = rt_ag_request_room(msg->op);
    ask->timer.kind = AG_TIMER_ASK;
    ask->fact.of = AG_OF_ASK;
    rt_list_push(&link->client->asks, &ask->in_link);
    link->client->n_asks++;
    link->client->replies += ask->room;
    memset(&op, 0, sizeof(op));
    if (prepare(ask, msg, &op) != 0) {
        rt_ag_ask_finish(agent, ask, RT_CLASS_INVALID,
                         rt_ag_may(link, AG_MAY_ALL_TENANTS) ? "name it TENANT/CID" : "this is no container ID");
        return;
    }
    if ((what == ASK_CREATE || what == ASK_REMOVE) && served_here(agent, &ask->key)) {
        rt_ag_ask_finish(agent, ask, RT_CLASS_LIMIT, exists_text);
        return;
    }
    if ((what == ASK_LIST && !rt_ag_ask_list_begin(agent, ask, msg)) || answered_here(agent, ask)) {
        return;
    }
    op.cursor = ask->cursor;
    if (what == ASK_REVOKE) {
        const struct ag_session *session = rt_ag_session_find(agent, &ask->key);

        op.known = session == NULL ? 0 : session->life;
        op.whole = rt_ag_whole(agent);
    }
    if (what == ASK_SHOW && msg->wait > 0 && op.kind == RT_STORE_GET) {
        rt_timer_set(&agent->timers, &ask->timer, agent->now + msg->wait);
    }
    rt_ag_ask_store(agent, ask, &op);
}
