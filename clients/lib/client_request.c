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

struct rt_sdk_reply {
    struct rt_sdk_reply *next;
    struct rt_sdk_request *request;
    struct retether_reply public;
    char text[RT_TEXT_MAX + 1];
    char token[RETETHER_TOKEN_SIZE];
    struct retether_record *records; /* owned */
    struct retether_host *hosts;     /* owned */
    void **blocks;                   /* owned: the records' arrays */
    uint8_t *data;                   /* owned */
    struct retether_run *order;      /* owned */
};

static void reply_free(struct rt_sdk_reply *reply)
{
    for (size_t i = 0; i < reply->public.n_records && reply->blocks != NULL; i++) {
        free(reply->blocks[i]);
    }
    free((void *)reply->blocks);
    free(reply->records);
    free(reply->hosts);
    free(reply->data);
    free(reply->order);
    free(reply);
}

static struct rt_sdk_request **find(struct retether_client *client, uint64_t id)
{
    struct rt_sdk_request **at = &client->requests;

    while (*at != NULL && (*at)->id != id) {
        at = &(*at)->next;
    }
    return at;
}

static int copy_records(struct rt_sdk_reply *reply, const struct rt_reply_msg *msg)
{
    if (msg->n_recs == 0) {
        return RT_OK;
    }
    reply->records = calloc(msg->n_recs, sizeof(*reply->records));
    reply->blocks = (void **)calloc(msg->n_recs, sizeof(*reply->blocks));
    if (reply->records == NULL || reply->blocks == NULL) {
        return RT_ENOMEM;
    }
    reply->public.records = reply->records;
    reply->public.n_records = msg->n_recs;
    for (size_t i = 0; i < msg->n_recs; i++) {
        reply->blocks[i] = rt_sdk_record_fill(&msg->recs[i], &reply->records[i]);
        if (reply->blocks[i] == NULL) {
            return RT_ENOMEM;
        }
    }
    return RT_OK;
}

static int copy_hosts(struct rt_sdk_reply *reply, const struct rt_reply_msg *msg)
{
    if (msg->n_hosts == 0) {
        return RT_OK;
    }
    reply->hosts = calloc(msg->n_hosts, sizeof(*reply->hosts));
    if (reply->hosts == NULL) {
        return RT_ENOMEM;
    }
    for (size_t i = 0; i < msg->n_hosts; i++) {
        rt_sdk_host_fill(&msg->hosts[i], &reply->hosts[i]);
    }
    reply->public.hosts = reply->hosts;
    reply->public.n_hosts = msg->n_hosts;
    return RT_OK;
}

/* One that does not fit the streams is none: they are whole without it. */
static int copy_order(struct rt_sdk_reply *reply, const struct rt_reply_msg *msg)
{
    const uint64_t end[2] = {msg->out, msg->err};
    struct rt_run runs[RT_ORDER_PACKED_MAX];
    size_t n = rt_order_unpack(msg->ord, end, runs);

    if (n == 0) {
        return RT_OK;
    }
    reply->order = calloc(n, sizeof(*reply->order));
    if (reply->order == NULL) {
        return RT_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        reply->order[i].stream = (enum retether_stream)(RETETHER_STDOUT + runs[i].stream);
        reply->order[i].from = runs[i].from;
        reply->order[i].to = runs[i].to;
    }
    reply->public.order = reply->order;
    reply->public.n_order = n;
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
    if (msg->tok.size > 0) {
        if (rt_token_text_encode(msg->tok.data, msg->tok.size, reply->token, sizeof(reply->token)) < 0) {
            return RT_EPROTO;
        }
        public->token = reply->token;
    }
    if (msg->data.size > 0) {
        reply->data = malloc(msg->data.size);
        if (reply->data == NULL) {
            return RT_ENOMEM;
        }
        memcpy(reply->data, msg->data.data, msg->data.size);
        public->data = reply->data;
        public->size = msg->data.size;
    }
    return RT_OK;
}

void rt_sdk_request_reply(void *ctx, uint64_t id, int error, const struct rt_reply_msg *msg)
{
    struct retether_client *client = ctx;
    struct rt_sdk_request *request = *find(client, id);
    struct rt_sdk_reply *reply;
    int rc = error;

    if (request == NULL || request->broken) {
        return;
    }
    rt_sdk_wake(client);
    reply = calloc(1, sizeof(*reply));
    if (reply == NULL) {
        request->broken = true; /* told by the step, without memory */
        return;
    }
    reply->request = request;
    reply->public.text = reply->text;
    if (rc == RT_OK && (rc = copy_records(reply, msg)) == RT_OK && (rc = copy_hosts(reply, msg)) == RT_OK) {
        rc = copy_rest(reply, msg);
    }
    if (rc == RT_OK) {
        rc = copy_order(reply, msg);
    }
    if (rc != RT_OK) {
        reply->public.error = rc;
        reply->public.more = false;
        snprintf(reply->text, sizeof(reply->text), "%s", rt_strerror(rc));
    }
    if (client->last_reply != NULL) {
        client->last_reply->next = reply;
    } else {
        client->first_reply = reply;
    }
    client->last_reply = reply;
}

/* Takes the request off before its last part is told: the application may make another, or close the client. What else
 * has come of it already has lost its receiver. */
static void forget(struct retether_client *client, struct rt_sdk_request *request)
{
    struct rt_sdk_request **at = find(client, request->id);

    for (struct rt_sdk_reply *reply = client->first_reply; reply != NULL; reply = reply->next) {
        reply->request = reply->request == request ? NULL : reply->request;
    }
    *at = request->next;
    free(request);
}

static bool tell_next(struct retether_client *client)
{
    struct rt_sdk_reply *reply = client->first_reply;
    struct rt_sdk_request *request;
    retether_reply_cb cb;
    void *ctx;

    if (reply == NULL) {
        return false;
    }
    client->first_reply = reply->next;
    if (client->first_reply == NULL) {
        client->last_reply = NULL;
    }
    request = reply->request;
    if (request != NULL) {
        cb = request->cb;
        ctx = request->ctx;
        if (!reply->public.more) {
            forget(client, request);
        }
        cb(client, &reply->public, ctx);
    }
    reply_free(reply);
    return true;
}

static bool tell_broken(struct retether_client *client)
{
    struct rt_sdk_request *request = client->requests;
    struct retether_reply none = {.error = RT_ENOMEM, .text = rt_strerror(RT_ENOMEM)};
    retether_reply_cb cb;
    void *ctx;

    while (request != NULL && !request->broken) {
        request = request->next;
    }
    if (request == NULL) {
        return false;
    }
    cb = request->cb;
    ctx = request->ctx;
    forget(client, request);
    cb(client, &none, ctx);
    return true;
}

bool rt_sdk_requests_step(struct retether_client *client)
{
    bool moved = false;

    while (client->phase == RT_SDK_OPEN && tell_next(client)) {
        moved = true;
    }
    while (client->phase == RT_SDK_OPEN && tell_broken(client)) {
        moved = true;
    }
    return moved;
}

void rt_sdk_requests_close(struct retether_client *client)
{
    while (client->first_reply != NULL) {
        struct rt_sdk_reply *reply = client->first_reply;

        client->first_reply = reply->next;
        reply_free(reply);
    }
    client->last_reply = NULL;
    while (client->requests != NULL) {
        struct rt_sdk_request *request = client->requests;

        client->requests = request->next;
        free(request);
    }
}

/* ---- asking ---- */

static int ask(struct retether_client *client, const struct rt_request_msg *msg, retether_reply_cb cb, void *ctx)
{
    struct rt_sdk_request *request = calloc(1, sizeof(*request));
    int rc;

    if (request == NULL) {
        return RT_ENOMEM;
    }
    rc = rt_client_request(client->machine, msg, rt_sdk_now(client), &request->id);
    if (rc != RT_OK) {
        free(request);
        return rc;
    }
    request->cb = cb;
    request->ctx = ctx;
    request->next = client->requests;
    client->requests = request;
    rt_sdk_wake(client);
    return RT_OK;
}

static struct rt_slice text_or_none(const char *text)
{
    return rt_slice_text(text != NULL ? text : "");
}

int retether_create(struct retether_client *client, const char *container, const char *label, uint64_t ring,
                    retether_reply_cb cb, void *ctx)
{
    struct rt_request_msg msg = {
        .op = rt_slice_text("create"), .cid = text_or_none(container), .label = text_or_none(label), .ring = ring};

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

int retether_list(struct retether_client *client, const char *prefix, const char *host, retether_reply_cb cb, void *ctx)
{
    struct rt_request_msg msg = {.op = rt_slice_text("list"), .cid = text_or_none(prefix), .host = text_or_none(host)};

    return ask(client, &msg, cb, ctx);
}

int retether_hosts(struct retether_client *client, retether_reply_cb cb, void *ctx)
{
    struct rt_request_msg msg = {.op = rt_slice_text("hosts")};

    return ask(client, &msg, cb, ctx);
}

int retether_tails(struct retether_client *client, const char *container, retether_reply_cb cb, void *ctx)
{
    struct rt_request_msg msg = {.op = rt_slice_text("tails"), .cid = text_or_none(container)};

    return ask(client, &msg, cb, ctx);
}
