/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/redis.h"

#include "migrate/store/refusal.h"
#include "session/base/random.h"
#include "session/base/timer.h"
#include "session/core/protocol.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A connection that finds the primary again, among two servers that are configured. An operator has P follow Q.
 * Milliseconds:
 *
 *          0   dial P: GREETING (AUTH, ROLE: master): READY, on_ready
 *       5000   P answers READONLY. drop_now(): calls under way fail, on_down; a pause of 5 to 10
 *       5010   dial P: its ROLE says slave: dropped. The next endpoint, at once: dial Q: READY, on_ready */

#define OWN_PARTS 2 /* timer and flusher */

static void timer_cb(uv_timer_t *timer);
static void flush_cb(uv_idle_t *idle);

/* Sets the one timer to the earliest time at which something is due: the end of the state, or of a call. */
static void arm(struct rt_redis *redis)
{
    uint64_t now = uv_now(redis->loop);
    uint64_t due = redis->state == RT_REDIS_READY ? rt_calls_due(&redis->calls) : redis->limit_ms;

    redis->looked = false;
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
    const char *said = error != 0                           ? rt_strerror(error)
                       : reply_is(reply, REDIS_REPLY_ERROR) ? reply->str
                                                            : "unexpected answer";
    char text[RT_REDIS_TEXT_MAX];

    snprintf(text, sizeof(text), "%s: %.90s%s", what, said,
             strncmp(said, "WRONGPASS", 9) == 0 ? "; mend the file of the password: it is read at each dial"
             : strncmp(said, "NOAUTH", 6) == 0  ? "; it wants a password, and none is set for it"
                                                : "");
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
    const char *wanted = redis->config.role != NULL ? redis->config.role : "master";

    redis->doubted = false;
    if (error != 0 || !reply_is(reply, REDIS_REPLY_ARRAY) || reply->elements < 1 ||
        !reply_is(reply->element[0], REDIS_REPLY_STRING)) {
        note_error(redis, "ROLE", error, reply);
        return;
    }
    if (strcmp(wanted, RT_REDIS_ANY_ROLE) != 0 && strcmp(reply->element[0]->str, wanted) != 0) {
        rt_redis_drop(redis, redis->config.role == NULL ? "not the primary" : "not what it should be");
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

static int ask_role(struct rt_redis *redis)
{
    struct rt_redis_args role = {.n = 0};

    rt_redis_text(&role, "ROLE");
    return send_call(redis, &role, role_cb, redis);
}

static int log_in(struct rt_redis *redis)
{
    struct rt_login *login = &redis->stream->login;
    struct rt_redis_args auth = {.n = 0};
    char *command;
    size_t size;
    int rc;

    snprintf(redis->user, sizeof(redis->user), "%s", login->user[0] != '\0' ? login->user : "default");
    if (login->password[0] == '\0') {
        return 0;
    }
    rt_redis_text(&auth, "AUTH");
    if (login->user[0] != '\0') {
        rt_redis_text(&auth, login->user);
    }
    rt_redis_text(&auth, login->password);
    command = rt_redis_format(&auth, &size);
    rc = command == NULL ? RT_ENOMEM : enqueue(redis, command, size, auth_cb, redis);
    if (command != NULL) {
        explicit_bzero(command, size);
    }
    redisFreeCommand(command);
    explicit_bzero(login, sizeof(*login));
    return rc;
}

/* For people who look at the server. That it has no right to be named harms nobody. */
static int tell_name(struct rt_redis *redis)
{
    struct rt_redis_args args = {.n = 0};
    char name[RT_HOST_MAX + 32];

    if (redis->config.host == NULL) {
        return 0;
    }
    snprintf(name, sizeof(name), "retetherd-%s/%s", redis->config.host, redis->config.task);
    rt_redis_texts(&args, "CLIENT", "SETNAME", name, NULL);
    return send_call(redis, &args, NULL, NULL);
}

static int greet(struct rt_redis *redis)
{
    int rc;

    redis->state = RT_REDIS_GREETING;
    rc = log_in(redis);
    if (rc == 0) {
        rc = tell_name(redis);
    }
    return rc != 0 ? rc : ask_role(redis);
}

static void open_cb(void *owner)
{
    struct rt_redis *redis = owner;
    int rc;

    redis->reader = redisReaderCreate();
    rt_resp_init(&redis->guard);
    if (redis->reader == NULL) {
        rt_redis_drop(redis, rt_strerror(RT_ENOMEM));
        return;
    }
    rc = greet(redis);
    if (rc != 0) {
        rt_redis_drop(redis, rt_strerror(rc));
    }
}

/* Answers. */

static void doubt(struct rt_redis *redis, const redisReply *error)
{
    const struct rt_refusal *refusal = rt_refusal_of(error);

    if (refusal == NULL || !refusal->doubtful || !is_ready(redis) || redis->doubted || redis->config.pubsub) {
        return;
    }
    redis->doubted = ask_role(redis) == 0;
    if (redis->config.on_doubt != NULL) {
        redis->config.on_doubt(redis->config.ctx);
    }
}

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
    } else if (reply->type == REDIS_REPLY_ERROR) {
        doubt(redis, reply);
    }
    rt_calls_answer(&redis->calls, reply);
}

static void data_cb(void *owner, const char *data, size_t size)
{
    struct rt_redis *redis = owner;
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

static void gone_cb(void *owner)
{
    part_closed(owner);
}

static void end_cb(void *owner, const char *why)
{
    struct rt_redis *redis = owner;

    redis->stream = NULL;
    rt_redis_drop(redis, why);
}

static void forget_stream(struct rt_redis *redis)
{
    if (redis->stream != NULL) {
        rt_stream_forget(redis->stream);
        redis->stream = NULL;
    }
    if (redis->reader != NULL) {
        redisReaderFree(redis->reader);
        redis->reader = NULL;
    }
    if (redis->out != NULL) {
        explicit_bzero(redis->out, redis->out_size);
    }
    free(redis->out);
    redis->out = NULL;
    redis->out_size = redis->out_cap = 0;
    uv_idle_stop(&redis->flusher);
}

const char *rt_redis_where(const struct rt_redis *redis)
{
    return redis->where[0] != '\0' ? redis->where : redis->places.list[redis->places.next].text;
}

const struct rt_store_endpoint *rt_redis_at(const struct rt_redis *redis)
{
    assert(redis->state == RT_REDIS_READY);
    return &redis->places.list[redis->places.next];
}

static void wait_for(struct rt_redis *redis, uint64_t ms)
{
    redis->limit_ms = ms == RT_NEVER ? RT_NEVER : uv_now(redis->loop) + ms;
    arm(redis);
}

static void drop_now(struct rt_redis *redis)
{
    enum rt_redis_state from = redis->state;
    char why[RT_STORE_ENDPOINT_TEXT_MAX + RT_REDIS_TEXT_MAX + 2];

    snprintf(why, sizeof(why), "%s: %s", rt_redis_where(redis), redis->why);
    forget_stream(redis);
    redis->state = RT_REDIS_WAITING;
    wait_for(redis, rt_places_plan(&redis->places, from == RT_REDIS_READY, uv_now(redis->loop) - redis->ready_ms));
    rt_calls_fail(&redis->calls, RT_ETIMEDOUT);
    /* The callbacks of a greeting's failed calls have asked for a drop once more. */
    redis->doomed = redis->doubted = false;
    if (redis->config.on_down != NULL && redis->state == RT_REDIS_WAITING) {
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

void rt_redis_aim(struct rt_redis *redis, const struct rt_store_endpoint *endpoint)
{
    if (!rt_places_set(&redis->places, endpoint)) {
        return;
    }
    if (redis->state == RT_REDIS_WAITING) {
        wait_for(redis, rt_places_plan(&redis->places, false, 0));
    } else {
        rt_redis_drop(redis, "another one is the primary");
    }
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
        if (redis->state == RT_REDIS_GREETING) { /* there is a password in it */
            explicit_bzero(redis->out, redis->out_size);
        }
        redis->out_size = 0;
        rt_calls_sent(&redis->calls, uv_now(redis->loop), uv_now(redis->loop) + redis->config.call_timeout_ms);
    }
}

static void dial(struct rt_redis *redis)
{
    static const struct rt_stream_ops ops = {
        .on_open = open_cb, .on_data = data_cb, .on_end = end_cb, .on_gone = gone_cb};
    const struct rt_store_endpoint *endpoint = &redis->places.list[redis->places.next];
    uint64_t limit = redis->config.connect_timeout_ms;
    bool named = endpoint->at.name[0] != '\0';
    /* The dialler gives each address of a name its part of its time. So its limit comes first there; else our own. */
    struct rt_stream_setup setup = {.loop = redis->loop,
                                    .pool = &redis->pool,
                                    .endpoint = endpoint,
                                    .login_file = redis->config.login_file,
                                    .secure = redis->config.secure,
                                    .timeout_ms = named ? limit : 2 * limit,
                                    .ops = &ops,
                                    .owner = redis};

    redis->state = RT_REDIS_DIALLING;
    memcpy(redis->where, endpoint->text, sizeof(redis->where));
    redis->limit_ms = uv_now(redis->loop) + (named ? 2 * limit : limit);
    redis->stream = rt_stream_start(&setup);
    if (redis->stream == NULL) {
        rt_redis_drop(redis, "cannot dial");
        return;
    }
    redis->open_parts++;
    arm(redis);
}

/* A loop that was held up runs its timers before it reads. So what is due has one turn more, for an answer that has
 * come meanwhile. */
static bool looks_again(struct rt_redis *redis)
{
    redis->looked = !redis->looked && redis->state != RT_REDIS_WAITING;
    if (redis->looked) {
        uv_timer_start(&redis->timer, timer_cb, 1, 0);
    }
    return redis->looked;
}

static void timer_cb(uv_timer_t *timer)
{
    struct rt_redis *redis = timer->data;

    if (looks_again(redis)) {
        return;
    }
    switch (redis->state) {
    case RT_REDIS_WAITING:
        if (redis->open_parts - OWN_PARTS >= RT_REDIS_STREAMS_MAX) {
            wait_for(redis, RT_PLACES_PAUSE_MAX_MS);
        } else {
            dial(redis);
        }
        return;
    case RT_REDIS_DIALLING:
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
    uint64_t jitter;

    memset(redis, 0, sizeof(*redis));
    if (config->n_endpoints > RT_ENDPOINTS_MAX) {
        return RT_EINVAL;
    }
    redis->loop = loop;
    redis->config = *config;
    rt_random_fill(NULL, &jitter, sizeof(jitter));
    rt_places_init(&redis->places, config->endpoints, config->n_endpoints, jitter);
    redis->config.endpoints = NULL;
    if (redis->config.call_timeout_ms == 0) {
        redis->config.call_timeout_ms = RT_REDIS_CALL_MS;
    }
    if (redis->config.connect_timeout_ms == 0) {
        redis->config.connect_timeout_ms = RT_REDIS_CONNECT_MS;
    }
    rt_buf_pool_init(&redis->pool);
    redis->open_parts = OWN_PARTS;
    redis->timer.data = redis->flusher.data = redis;
    if (uv_timer_init(loop, &redis->timer) != 0 || uv_idle_init(loop, &redis->flusher) != 0) {
        return RT_EIO;
    }
    return 0;
}

void rt_redis_start(struct rt_redis *redis)
{
    redis->state = RT_REDIS_WAITING;
    wait_for(redis, redis->places.n > 0 ? 0 : RT_NEVER);
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
