/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/redis.h"

#include "session/base/random.h"
#include "session/base/timer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A connection that finds the primary again. Sentinels S1 (dead) and S2 are configured; the primary fails over from P
 * to Q. Milliseconds:
 *
 *          0   dial S1: refused. plan(): the next endpoint, at once
 *          1   dial S2: ASKING; it names P. S2 moves to the front, P is `resolved`, and is dialled at once
 *          2   dial P: GREETING (AUTH, ROLE: master): READY, on_ready
 *       5000   P answers READONLY, as it is a replica now. drop_now(): calls under way fail, on_down; a pause of 5 to
 *              least, then S2 is asked anew, as what was resolved is forgotten
 *       5010   dial S2: it names P still, whose ROLE says slave: dropped. S1 is next: refused. That was all: a pause,
 *              which grows to 1000 from round to round
 *       9000   S2 names Q: READY, on_ready */

/* The stream of one dial. It has its own memory, as it may still be closing while the next one is dialled. */
struct rt_redis_stream {
    struct rt_dialled at;
    struct rt_redis *redis;
};

static void timer_cb(uv_timer_t *timer);
static void flush_cb(uv_idle_t *idle);

/* Sets the one timer to the earliest time at which something is due: the end of the state, or of a call. */
static void arm(struct rt_redis *redis)
{
    uint64_t now = uv_now(redis->loop);
    uint64_t due = redis->state == RT_REDIS_READY ? rt_calls_due(&redis->calls) : redis->limit_ms;

    if (due == RT_NEVER) {
        uv_timer_stop(&redis->timer);
    } else {
        uv_timer_start(&redis->timer, timer_cb, due > now ? due - now : 0, 0);
    }
}

static int append(struct rt_redis *redis, const char *data, size_t size)
{
    size_t need = redis->out_size + size;

    if (need + rt_link_queued(&redis->stream->at.link) > RT_REDIS_QUEUE_MAX) {
        return RT_ELIMIT;
    }
    if (need > redis->out_cap) {
        size_t cap = redis->out_cap != 0 ? redis->out_cap : 4096;
        char *out;

        while (cap < need) {
            cap *= 2;
        }
        out = realloc(redis->out, cap);
        if (out == NULL) {
            return RT_ENOMEM;
        }
        redis->out = out;
        redis->out_cap = cap;
    }
    memcpy(redis->out + redis->out_size, data, size);
    redis->out_size = need;
    return 0;
}

/* As rt_redis_send(), but in every state with a stream: the greeting goes this way too. */
static int enqueue(struct rt_redis *redis, const char *command, size_t size, rt_redis_cb cb, void *ctx)
{
    uint64_t now = uv_now(redis->loop);
    bool none_waits = redis->calls.waiting == NULL;
    int rc = append(redis, command, size);

    if (rc != 0) {
        return rc;
    }
    rc = rt_calls_push(&redis->calls, now, now + redis->config.call_timeout_ms, cb, ctx);
    if (rc != 0) {
        redis->out_size -= size;
        return rc;
    }
    uv_idle_start(&redis->flusher, flush_cb);
    if (none_waits) { /* else the timer is set for a call that times out sooner */
        arm(redis);
    }
    return 0;
}

static int send_call(struct rt_redis *redis, const struct rt_redis_args *args, rt_redis_cb cb, void *ctx)
{
    size_t size;
    char *command = rt_redis_format(args, &size);
    int rc = command == NULL ? RT_ENOMEM : enqueue(redis, command, size, cb, ctx);

    redisFreeCommand(command);
    return rc;
}

static bool is_ready(const struct rt_redis *redis)
{
    return redis->state == RT_REDIS_READY && !redis->doomed;
}

int rt_redis_send(struct rt_redis *redis, const char *command, size_t size, rt_redis_cb cb, void *ctx)
{
    return is_ready(redis) ? enqueue(redis, command, size, cb, ctx) : RT_EUNAVAIL;
}

int rt_redis_call(struct rt_redis *redis, const struct rt_redis_args *args, rt_redis_cb cb, void *ctx)
{
    return is_ready(redis) ? send_call(redis, args, cb, ctx) : RT_EUNAVAIL;
}

/* The greeting. */

static bool reply_is(const redisReply *reply, int type)
{
    return reply != NULL && reply->type == type;
}

static void note_error(struct rt_redis *redis, const char *what, int error, const redisReply *reply)
{
    char text[RT_REDIS_TEXT_MAX];

    snprintf(text, sizeof(text), "%s: %.90s", what,
             error != 0                           ? rt_strerror(error)
             : reply_is(reply, REDIS_REPLY_ERROR) ? reply->str
                                                  : "unexpected answer");
    rt_redis_drop(redis, text);
}

static void auth_cb(void *ctx, int error, const redisReply *reply)
{
    if (error != 0 || !reply_is(reply, REDIS_REPLY_STATUS)) {
        note_error(ctx, "AUTH", error, reply);
    }
}

static void role_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_redis *redis = ctx;

    if (error != 0 || !reply_is(reply, REDIS_REPLY_ARRAY) || reply->elements < 1 ||
        !reply_is(reply->element[0], REDIS_REPLY_STRING)) {
        note_error(redis, "ROLE", error, reply);
        return;
    }
    if (strcmp(reply->element[0]->str, "master") != 0) {
        rt_redis_drop(redis, "not the primary");
        return;
    }
    if (redis->doomed || redis->state != RT_REDIS_GREETING) {
        return;
    }
    redis->state = RT_REDIS_READY;
    redis->ready_ms = uv_now(redis->loop);
    arm(redis);
    if (redis->config.on_ready != NULL) {
        redis->config.on_ready(redis->config.ctx);
    }
}

static void sentinel_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_redis *redis = ctx;

    if (error != 0 || !reply_is(reply, REDIS_REPLY_ARRAY) || reply->elements != 2 ||
        !reply_is(reply->element[0], REDIS_REPLY_STRING) || !reply_is(reply->element[1], REDIS_REPLY_STRING)) {
        note_error(redis, "sentinel", error, reply);
        return;
    }
    if (rt_store_endpoint_tcp(reply->element[0]->str, reply->element[1]->str, &redis->resolved) != 0) {
        rt_redis_drop(redis, "sentinel: names an address that is not numeric");
        return;
    }
    redis->use_resolved = true;
    rt_redis_drop(redis, "resolved");
}

static int greet(struct rt_redis *redis)
{
    struct rt_redis_args auth = {.n = 0};
    struct rt_redis_args role = {.n = 0};
    int rc = 0;

    redis->state = RT_REDIS_GREETING;
    if (redis->config.password != NULL) {
        rt_redis_text(&auth, "AUTH");
        if (redis->config.user != NULL) {
            rt_redis_text(&auth, redis->config.user);
        }
        rt_redis_text(&auth, redis->config.password);
        rc = send_call(redis, &auth, auth_cb, redis);
    }
    rt_redis_text(&role, "ROLE");
    return rc != 0 ? rc : send_call(redis, &role, role_cb, redis);
}

static int ask(struct rt_redis *redis, const char *master)
{
    struct rt_redis_args args = {.n = 0};

    redis->state = RT_REDIS_ASKING;
    rt_redis_texts(&args, "SENTINEL", "get-master-addr-by-name", master, NULL);
    return send_call(redis, &args, sentinel_cb, redis);
}

/* The endpoint that answered is dialled first the next time. */
static void move_to_front(struct rt_redis *redis)
{
    struct rt_store_endpoint front = redis->endpoints[redis->next];

    memmove(&redis->endpoints[1], &redis->endpoints[0], redis->next * sizeof(front));
    redis->endpoints[0] = front;
    redis->next = 0;
}

static void open_cb(struct rt_link *link)
{
    struct rt_redis_stream *stream = link->data;
    struct rt_redis *redis = stream->redis;
    const struct rt_store_endpoint *endpoint = &redis->endpoints[redis->next];
    int rc;

    redis->reader = redisReaderCreate();
    rt_resp_init(&redis->guard);
    if (redis->reader == NULL) {
        rt_redis_drop(redis, rt_strerror(RT_ENOMEM));
        return;
    }
    if (endpoint->master[0] != '\0' && !redis->use_resolved) {
        rc = ask(redis, endpoint->master);
    } else {
        rc = greet(redis);
    }
    if (rc != 0) {
        rt_redis_drop(redis, rt_strerror(rc));
    }
}

/* Answers. */

static void one_reply(struct rt_redis *redis, const redisReply *reply)
{
    redis->calls.heard_ms = uv_now(redis->loop);
    if (redis->config.pubsub && reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
        reply_is(reply->element[0], REDIS_REPLY_STRING) && strcmp(reply->element[0]->str, "message") == 0) {
        redis->config.on_push(redis->config.ctx, reply);
        return;
    }
    if (redis->calls.first == NULL) {
        rt_redis_drop(redis, "an answer that nobody asked for");
        return;
    }
    /* The primary has become a replica: the connection is given up, and the new primary looked for. */
    if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "READONLY", 8) == 0) {
        rt_redis_drop(redis, "it is read-only: no longer the primary");
    }
    rt_calls_answer(&redis->calls, reply);
}

static void receive(struct rt_redis *redis, const char *data, size_t size)
{
    int rc;

    if (redis->doomed) {
        return;
    }
    rc = rt_resp_feed(&redis->guard, data, size);
    if (rc != 0 || redisReaderFeed(redis->reader, data, size) != REDIS_OK) {
        rt_redis_drop(redis, rc == RT_ELIMIT ? "an answer is too large" : "an answer is not RESP");
        return;
    }
    /* A callback may stop the connection: then the reader is gone. */
    while (!redis->doomed && redis->state != RT_REDIS_STOPPED) {
        void *reply = NULL;

        if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK) {
            rt_redis_drop(redis, "an answer is not RESP");
            return;
        }
        if (reply == NULL) {
            return;
        }
        one_reply(redis, reply);
        freeReplyObject(reply);
    }
}

/* Ends of a connection. */

static void part_closed(struct rt_redis *redis)
{
    if (--redis->open_parts == 0) {
        rt_buf_pool_close(&redis->pool);
        redis->closed(redis);
    }
}

static size_t data_cb(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct rt_redis_stream *stream = link->data;

    (void)buf;
    receive(stream->redis, (const char *)data, size);
    return size;
}

static void close_cb(struct rt_link *link, int reason, const char *text)
{
    struct rt_redis_stream *stream = link->data;
    struct rt_redis *redis = stream->redis;
    char why[RT_REDIS_TEXT_MAX];

    (void)reason;
    if (redis->stream == stream) {
        redis->stream = NULL;
        snprintf(why, sizeof(why), "connect: %s", text + stream->at.dialer.why_at);
        rt_redis_drop(redis, redis->state == RT_REDIS_DIALLING ? why : text);
    }
    free(stream);
    part_closed(redis);
}

static void forget_stream(struct rt_redis *redis)
{
    struct rt_redis_stream *stream = redis->stream;

    if (stream != NULL) {
        redis->stream = NULL;
        rt_dialled_close(&stream->at, RT_LINK_NOW, RT_ECANCELED, "");
    }
    if (redis->reader != NULL) {
        redisReaderFree(redis->reader);
        redis->reader = NULL;
    }
    free(redis->out);
    redis->out = NULL;
    redis->out_size = redis->out_cap = 0;
    uv_idle_stop(&redis->flusher);
}

/* When to dial next, and whom, after a connection that was given up in state `from`. The primary that a Sentinel has
 * named, and each next endpoint, is dialled at once. A pause comes when all were tried, or when a connection was READY;
 * it grows while none stays READY for RT_REDIS_BACKOFF_MAX_MS. */
static uint64_t plan(struct rt_redis *redis, enum rt_redis_state from)
{
    uint64_t now = uv_now(redis->loop);

    if (from == RT_REDIS_ASKING && redis->use_resolved) {
        move_to_front(redis);
        return 0;
    }
    redis->use_resolved = false;
    if (from == RT_REDIS_READY) {
        if (now - redis->ready_ms >= RT_REDIS_BACKOFF_MAX_MS) {
            redis->backoff_ms = RT_REDIS_BACKOFF_MIN_MS;
        }
        move_to_front(redis);
    } else if (++redis->next < redis->config.n_endpoints) {
        return 0;
    }
    redis->next = 0;
    return rt_backoff(&redis->backoff_ms, RT_REDIS_BACKOFF_MIN_MS, RT_REDIS_BACKOFF_MAX_MS, &redis->jitter);
}

const char *rt_redis_where(const struct rt_redis *redis)
{
    return redis->use_resolved ? redis->resolved.text : redis->endpoints[redis->next].text;
}

static void drop_now(struct rt_redis *redis)
{
    enum rt_redis_state from = redis->state;
    char why[RT_STORE_ENDPOINT_TEXT_MAX + RT_REDIS_TEXT_MAX + 2];

    snprintf(why, sizeof(why), "%s: %s", rt_redis_where(redis), redis->why);
    forget_stream(redis);
    redis->state = RT_REDIS_WAITING;
    redis->limit_ms = uv_now(redis->loop) + plan(redis, from);
    arm(redis);
    rt_calls_fail(&redis->calls, RT_ETIMEDOUT);
    /* The callbacks of a greeting's failed calls have asked for a drop once more. */
    redis->doomed = false;
    if (redis->config.on_down != NULL && redis->state == RT_REDIS_WAITING &&
        (from == RT_REDIS_READY || !redis->use_resolved)) {
        redis->config.on_down(redis->config.ctx, why);
    }
}

void rt_redis_drop(struct rt_redis *redis, const char *why)
{
    if (redis->doomed || redis->state == RT_REDIS_STOPPED || redis->state == RT_REDIS_IDLE ||
        redis->state == RT_REDIS_WAITING) {
        return;
    }
    redis->doomed = true;
    snprintf(redis->why, sizeof(redis->why), "%s", why);
    uv_idle_start(&redis->flusher, flush_cb);
}

static void flush_cb(uv_idle_t *idle)
{
    struct rt_redis *redis = idle->data;

    uv_idle_stop(idle);
    if (redis->doomed) {
        drop_now(redis);
        return;
    }
    if (redis->out_size > 0 && redis->stream != NULL) {
        uv_buf_t piece = uv_buf_init(redis->out, (unsigned)redis->out_size);

        if (rt_link_writev(&redis->stream->at.link, NULL, &piece, 1) != 0) {
            rt_redis_drop(redis, "cannot write");
        }
        redis->out_size = 0;
    }
}

static void dial(struct rt_redis *redis)
{
    static const struct rt_link_ops ops = {.on_data = data_cb, .on_close = close_cb};
    const struct rt_store_endpoint *endpoint = redis->use_resolved ? &redis->resolved : &redis->endpoints[redis->next];
    struct rt_link_setup setup = {.loop = redis->loop, .pool = &redis->pool, .ops = &ops};
    struct rt_redis_stream *stream = calloc(1, sizeof(*stream));

    redis->state = RT_REDIS_DIALLING;
    redis->limit_ms = uv_now(redis->loop) + redis->config.connect_timeout_ms;
    if (stream == NULL) {
        rt_redis_drop(redis, "cannot dial");
        return;
    }
    stream->redis = redis;
    stream->at.link.data = stream;
    redis->stream = stream;
    redis->open_parts++;
    /* This connection's own limit comes first. */
    rt_dialled_start(&stream->at, &endpoint->at, 2 * redis->config.connect_timeout_ms, &setup, open_cb);
    arm(redis);
}

static void timer_cb(uv_timer_t *timer)
{
    struct rt_redis *redis = timer->data;

    switch (redis->state) {
    case RT_REDIS_WAITING:
        dial(redis);
        return;
    case RT_REDIS_DIALLING:
    case RT_REDIS_ASKING:
    case RT_REDIS_GREETING:
        rt_redis_drop(redis, redis->state == RT_REDIS_DIALLING ? "connect: timed out" : "greeting: timed out");
        return;
    case RT_REDIS_READY:
        rt_calls_expire(&redis->calls, uv_now(redis->loop));
        if (rt_calls_silent(&redis->calls, uv_now(redis->loop))) {
            rt_redis_drop(redis, "no answer");
        } else if (redis->state == RT_REDIS_READY) {
            arm(redis);
        }
        return;
    case RT_REDIS_IDLE:
    case RT_REDIS_STOPPED:
        return;
    }
}

int rt_redis_init(struct rt_redis *redis, uv_loop_t *loop, const struct rt_redis_config *config)
{
    memset(redis, 0, sizeof(*redis));
    if (config->n_endpoints == 0 || config->n_endpoints > RT_ENDPOINTS_MAX) {
        return RT_EINVAL;
    }
    redis->loop = loop;
    redis->config = *config;
    memcpy(redis->endpoints, config->endpoints, config->n_endpoints * sizeof(*config->endpoints));
    redis->config.endpoints = redis->endpoints;
    if (redis->config.call_timeout_ms == 0) {
        redis->config.call_timeout_ms = RT_REDIS_CALL_MS;
    }
    if (redis->config.connect_timeout_ms == 0) {
        redis->config.connect_timeout_ms = RT_REDIS_CONNECT_MS;
    }
    redis->backoff_ms = RT_REDIS_BACKOFF_MIN_MS;
    rt_random_fill(NULL, &redis->jitter, sizeof(redis->jitter));
    rt_buf_pool_init(&redis->pool);
    redis->open_parts = 2;
    redis->timer.data = redis->flusher.data = redis;
    if (uv_timer_init(loop, &redis->timer) != 0 || uv_idle_init(loop, &redis->flusher) != 0) {
        return RT_EIO;
    }
    return 0;
}

void rt_redis_start(struct rt_redis *redis)
{
    redis->state = RT_REDIS_WAITING;
    redis->limit_ms = uv_now(redis->loop);
    arm(redis);
}

static void closed_cb(uv_handle_t *handle)
{
    part_closed(handle->data);
}

void rt_redis_stop(struct rt_redis *redis, void (*closed)(struct rt_redis *redis))
{
    assert(redis->state != RT_REDIS_STOPPED);
    redis->state = RT_REDIS_STOPPED;
    redis->closed = closed;
    uv_close((uv_handle_t *)&redis->timer, closed_cb);
    rt_calls_fail(&redis->calls, RT_ECANCELED);
    forget_stream(redis);
    uv_close((uv_handle_t *)&redis->flusher, closed_cb);
}
