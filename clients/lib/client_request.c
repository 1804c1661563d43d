/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/client_internal.h"
#include "migrate/core/token_text.h"
#include "session/base/text.h"
#include "session/core/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Requests. The machine's answers come where the application must not be called, and their text lives in a read buffer:
 * each part is copied and handed over by the next step. */

_Static_assert(RETETHER_TOKEN_SIZE >= RT_TOKEN_TEXT_MAX, "any token's text");
_Static_assert(RETETHER_RECORDS_MAX == RT_LIST_MAX && RETETHER_HOSTS_MAX == RT_AGENTS_MAX, "parts of an answer");
_Static_assert(RETETHER_LIMITS_MAX == RT_LIMITS_PAGE && RETETHER_CHECKS_MAX == RT_CHECKS_PAGE, "parts of an answer");

/* A part of an answer. */
struct rt_sdk_reply {
    struct rt_list listed;
    struct rt_sdk_request *request; /* NULL: it has been told already that it is over */
    struct retether_reply public;
    char text[RT_TEXT_MAX + 1];
    char token[RETETHER_TOKEN_SIZE];
    char local[65];
    char next[RT_PLACE_MAX + 1];
    struct rt_sdk_block *blocks; /* owned: what public points to */
};

struct rt_sdk_request {
    struct rt_list listed;
    uint64_t id;
    retether_reply_cb cb;
    void *ctx;
    struct rt_sdk_reply *spare; /* owned: tells that there was no memory for a part; NULL: it is on its way */
};

static void reply_free(struct rt_sdk_reply *reply)
{
    while (reply != NULL && reply->blocks != NULL) {
        struct rt_sdk_block *block = reply->blocks;

        reply->blocks = block->next;
        free(block);
    }
    free(reply);
}

static void request_free(struct rt_sdk_request *request)
{
    rt_list_remove(&request->listed);
    reply_free(request->spare);
    free(request);
}

static struct rt_sdk_request *find(struct retether_client *client, uint64_t id)
{
    for (struct rt_list *at = client->requests.next; at != &client->requests; at = at->next) {
        struct rt_sdk_request *request = RT_LIST_OF(at, struct rt_sdk_request, listed);

        if (request->id == id) {
            return request;
        }
    }
    return NULL;
}

static int copy_records(struct rt_sdk_reply *reply, const struct rt_reply_msg *msg)
{
    struct retether_record *records = rt_sdk_block_add(&reply->blocks, msg->n_recs, sizeof(*records));
    int rc = records != NULL ? RT_OK : RT_ENOMEM;

    for (size_t i = 0; i < msg->n_recs && rc == RT_OK; i++) {
        rc = rt_sdk_record_fill(&msg->recs[i], &records[i], &reply->blocks);
        (void)rt_text_copy(msg->local, records[i].local, sizeof(records[i].local));
    }
    reply->public.records = records;
    reply->public.n_records = rc == RT_OK ? msg->n_recs : 0;
    return rc;
}

static int copy_hosts(struct rt_sdk_reply *reply, const struct rt_reply_msg *msg)
{
    struct retether_host *hosts = rt_sdk_block_add(&reply->blocks, msg->n_hosts, sizeof(*hosts));

    if (hosts == NULL) {
        return RT_ENOMEM;
    }
    for (size_t i = 0; i < msg->n_hosts; i++) {
        rt_sdk_host_fill(&msg->hosts[i], &hosts[i]);
    }
    reply->public.hosts = hosts;
    reply->public.n_hosts = msg->n_hosts;
    return RT_OK;
}

static int copy_limits(struct rt_sdk_reply *reply, const struct rt_reply_msg *msg)
{
    struct retether_limit *limits = rt_sdk_block_add(&reply->blocks, msg->n_lims, sizeof(*limits));

    if (limits == NULL) {
        return RT_ENOMEM;
    }
    for (size_t i = 0; i < msg->n_lims; i++) {
        rt_sdk_limit_fill(&msg->lims[i], &limits[i]);
    }
    reply->public.limits = limits;
    reply->public.n_limits = msg->n_lims;
    return RT_OK;
}

static int copy_checks(struct rt_sdk_reply *reply, const struct rt_reply_msg *msg)
{
    struct retether_check *checks = rt_sdk_block_add(&reply->blocks, msg->n_chks, sizeof(*checks));

    if (checks == NULL) {
        return RT_ENOMEM;
    }
    for (size_t i = 0; i < msg->n_chks; i++) {
        rt_sdk_check_fill(&msg->chks[i], msg->age, &checks[i]);
    }
    reply->public.checks = checks;
    reply->public.n_checks = msg->n_chks;
    return RT_OK;
}

/* One that does not fit the streams is none: they are whole without it. */
static int copy_order(struct rt_sdk_reply *reply, const struct rt_reply_msg *msg)
{
    const uint64_t end[2] = {msg->out, msg->err};
    struct rt_run runs[RT_ORDER_PACKED_MAX];
    size_t n = rt_order_unpack(msg->ord, end, runs);
    struct retether_run *order = rt_sdk_block_add(&reply->blocks, n, sizeof(*order));

    if (order == NULL) {
        return RT_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        order[i].stream = (enum retether_stream)(RETETHER_STDOUT + runs[i].stream);
        order[i].from = runs[i].from;
        order[i].to = runs[i].to;
    }
    reply->public.order = order;
    reply->public.n_order = n;
    return RT_OK;
}

static int copy_data(struct rt_sdk_reply *reply, struct rt_slice data)
{
    void *copy = rt_sdk_block_add(&reply->blocks, data.size, 1);

    if (copy == NULL) {
        return RT_ENOMEM;
    }
    if (data.size > 0) {
        memcpy(copy, data.data, data.size);
    }
    reply->public.data = copy;
    reply->public.size = data.size;
    return RT_OK;
}

static int copy_rest(struct rt_sdk_reply *reply, const struct rt_reply_msg *msg)
{
    struct retether_reply *public = &reply->public;

    public->cls = (unsigned)msg->c;
    public->more = msg->more;
    public->code = (unsigned)msg->code;
    public->signal = (unsigned)msg->sig;
    public->lost = msg->lost;
    public->cut = msg->cut;
    public->end[0] = msg->out;
    public->end[1] = msg->err;
    public->stream = (enum retether_stream)msg->s;
    public->offset = msg->o;
    (void)rt_text_copy(msg->m, reply->text, sizeof(reply->text));
    (void)rt_text_copy(msg->local, reply->local, sizeof(reply->local));
    rt_slice_copy(msg->next, reply->next, sizeof(reply->next));
    public->next = reply->next[0] != '\0' ? reply->next : NULL;
    if (msg->tok.size > 0) {
        if (rt_token_text_encode(msg->tok.data, msg->tok.size, reply->token, sizeof(reply->token)) < 0) {
            return RT_EPROTO;
        }
        public->token = reply->token;
    }
    return copy_data(reply, msg->data);
}

void rt_sdk_request_reply(void *ctx, uint64_t id, int error, const struct rt_reply_msg *msg)
{
    struct retether_client *client = ctx;
    struct rt_sdk_request *request = find(client, id);
    struct rt_sdk_reply *reply;
    int rc = error;

    if (request == NULL || request->spare == NULL) {
        return;
    }
    rt_sdk_wake(client);
    reply = calloc(1, sizeof(*reply));
    if (reply == NULL) {
        reply = request->spare;
        request->spare = NULL;
        rc = RT_ENOMEM;
    }
    reply->request = request;
    reply->public.text = reply->text;
    reply->public.local = reply->local;
    if (rc == RT_OK && (rc = copy_records(reply, msg)) == RT_OK && (rc = copy_hosts(reply, msg)) == RT_OK &&
        (rc = copy_limits(reply, msg)) == RT_OK && (rc = copy_checks(reply, msg)) == RT_OK &&
        (rc = copy_order(reply, msg)) == RT_OK) {
        rc = copy_rest(reply, msg);
    }
    if (rc != RT_OK) {
        reply->public.error = rc;
        reply->public.more = false;
        snprintf(reply->text, sizeof(reply->text), "%s", rt_strerror(rc));
    }
    rt_list_push(&client->replies, &reply->listed);
}

/* Takes the request off before its last part is told: the application may make another, or close the client. What else
 * has come of it already has lost its receiver. */
static void forget(struct retether_client *client, struct rt_sdk_request *request)
{
    for (struct rt_list *at = client->replies.next; at != &client->replies; at = at->next) {
        struct rt_sdk_reply *reply = RT_LIST_OF(at, struct rt_sdk_reply, listed);

        reply->request = reply->request == request ? NULL : reply->request;
    }
    request_free(request);
}

static void tell(struct retether_client *client, struct rt_sdk_reply *reply)
{
    struct rt_sdk_request *request = reply->request;

    if (request != NULL) {
        retether_reply_cb cb = request->cb;
        void *ctx = request->ctx;

        if (!reply->public.more) {
            forget(client, request);
        }
        cb(client, &reply->public, ctx);
    }
    reply_free(reply);
}

bool rt_sdk_requests_step(struct retether_client *client)
{
    struct rt_list *first;
    bool moved = false;

    while (client->phase == RT_SDK_OPEN && (first = rt_list_pop(&client->replies)) != NULL) {
        tell(client, RT_LIST_OF(first, struct rt_sdk_reply, listed));
        moved = true;
    }
    return moved;
}

void rt_sdk_requests_close(struct retether_client *client)
{
    struct rt_list *first;

    while ((first = rt_list_pop(&client->replies)) != NULL) {
        reply_free(RT_LIST_OF(first, struct rt_sdk_reply, listed));
    }
    while ((first = rt_list_pop(&client->requests)) != NULL) {
        request_free(RT_LIST_OF(first, struct rt_sdk_request, listed));
    }
}

/* ---- asking ---- */

static int ask(struct retether_client *client, const struct rt_request_msg *msg, retether_reply_cb cb, void *ctx)
{
    struct rt_sdk_request *request = calloc(1, sizeof(*request));
    int rc = RT_ENOMEM;

    if (request == NULL) {
        return RT_ENOMEM;
    }
    request->spare = calloc(1, sizeof(*request->spare));
    if (request->spare == NULL ||
        (rc = rt_client_request(client->machine, msg, rt_sdk_now(client), &request->id)) != RT_OK) {
        request_free(request);
        return rc;
    }
    request->cb = cb;
    request->ctx = ctx;
    rt_list_push(&client->requests, &request->listed);
    rt_sdk_wake(client);
    return RT_OK;
}

static struct rt_slice text_or_none(const char *text)
{
    return rt_slice_text(text != NULL ? text : "");
}

int retether_create(struct retether_client *client, const char *container, const struct retether_made *made,
                    retether_reply_cb cb, void *ctx)
{
    static const struct retether_made plain = {0};
    struct rt_request_msg msg = {.op = rt_slice_text("create"), .cid = text_or_none(container)};

    made = made != NULL ? made : &plain;
    msg.label = text_or_none(made->label);
    msg.vm = text_or_none(made->vm);
    msg.ring = made->ring;

    return ask(client, &msg, cb, ctx);
}

int retether_remove(struct retether_client *client, const char *container, retether_reply_cb cb, void *ctx)
{
    struct rt_request_msg msg = {.op = rt_slice_text("remove"), .cid = text_or_none(container)};

    return ask(client, &msg, cb, ctx);
}

int retether_show(struct retether_client *client, const char *container, bool prefix, retether_reply_cb cb, void *ctx)
{
    struct rt_request_msg msg = {.op = rt_slice_text("show"), .cid = text_or_none(container), .prefix = prefix};

    return ask(client, &msg, cb, ctx);
}

int retether_list(struct retether_client *client, const struct retether_listing *which, retether_reply_cb cb, void *ctx)
{
    static const struct retether_listing all = {0};
    struct rt_request_msg msg = {.op = rt_slice_text("list")};

    which = which != NULL ? which : &all;
    msg.cid = text_or_none(which->prefix);
    msg.host = text_or_none(which->host);
    msg.label = text_or_none(which->label);
    msg.states = which->states;
    msg.older = which->older_ms;
    msg.local = which->local;
    msg.page = which->page;
    msg.after = text_or_none(which->after);
    return ask(client, &msg, cb, ctx);
}

int retether_hosts(struct retether_client *client, retether_reply_cb cb, void *ctx)
{
    struct rt_request_msg msg = {.op = rt_slice_text("hosts")};

    return ask(client, &msg, cb, ctx);
}

int retether_limits(struct retether_client *client, const char *container, retether_reply_cb cb, void *ctx)
{
    struct rt_request_msg msg = {.op = rt_slice_text("limits"), .cid = text_or_none(container)};

    return ask(client, &msg, cb, ctx);
}

int retether_store(struct retether_client *client, retether_reply_cb cb, void *ctx)
{
    struct rt_request_msg msg = {.op = rt_slice_text("store")};

    return ask(client, &msg, cb, ctx);
}

int retether_tails(struct retether_client *client, const char *container, retether_reply_cb cb, void *ctx)
{
    struct rt_request_msg msg = {.op = rt_slice_text("tails"), .cid = text_or_none(container)};

    return ask(client, &msg, cb, ctx);
}

int retether_revoke(struct retether_client *client, const char *container, retether_reply_cb cb, void *ctx)
{
    struct rt_request_msg msg = {.op = rt_slice_text("revoke"), .cid = text_or_none(container)};

    return ask(client, &msg, cb, ctx);
}

int retether_kick(struct retether_client *client, const char *container, retether_reply_cb cb, void *ctx)
{
    struct rt_request_msg msg = {.op = rt_slice_text("kick"), .cid = text_or_none(container)};

    return ask(client, &msg, cb, ctx);
}

int retether_drain(struct retether_client *client, const char *host, enum retether_drain what, retether_reply_cb cb,
                   void *ctx)
{
    struct rt_request_msg msg = {.op = rt_slice_text("drain"), .host = text_or_none(host), .drain = what};

    return ask(client, &msg, cb, ctx);
}
