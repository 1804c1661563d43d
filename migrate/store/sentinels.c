/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/sentinels.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* SENTINEL MASTER has the epoch, and of a failover that is under way still the old address; the new one has SENTINEL
 * get-master-addr-by-name, and no epoch. So both are asked, one behind the other.
 *
 * P fails over to Q; S1 leads. Milliseconds:
 *
 *          0   SENTINEL FAILOVER at S1
 *        900   Q is promoted. S1: epoch 2, Q. S2, S3: epoch 1, P
 *       1000   asked, as each second: a vote for P
 *       1400   S2 has heard of it, and says +switch-master: all are asked
 *       1401   S1, S2: Q at 2: a vote, on_primary. P is left, and Q dialled at once */

static size_t index_of(const struct rt_sentinel *one)
{
    return (size_t)(one - one->all->one);
}

static size_t n_sentinels(const struct rt_sentinels *sentinels)
{
    return sentinels->primary.n;
}

bool rt_sentinels_sure(const struct rt_sentinels *sentinels)
{
    return rt_primary_sure(&sentinels->primary, uv_now(sentinels->loop));
}

static bool is_denied(const struct rt_sentinel *one)
{
    return one->denied[0] != '\0' && uv_now(one->all->loop) - one->denied_at < RT_SENTINEL_DENIED_MS;
}

const char *rt_sentinels_denied(const struct rt_sentinels *sentinels)
{
    for (size_t i = 0; i < n_sentinels(sentinels); i++) {
        if (is_denied(&sentinels->one[i])) {
            return sentinels->one[i].denied;
        }
    }
    return NULL;
}

/* A right is missing there, if that is what it says: logged, and kept until it has not been said for a while. Of
 * several the next one has its turn then. */
static void note_denied(struct rt_sentinel *one, const char *said)
{
    uint64_t now = uv_now(one->all->loop);
    char text[RT_STORE_ENDPOINT_TEXT_MAX + RT_SENTINEL_DENIED_MAX + 64];
    const char *denied = strstr(said, "NOPERM");

    if (denied == NULL) {
        return;
    }
    if (!is_denied(one) || strncmp(one->denied, denied, sizeof(one->denied) - 1) == 0) {
        if (!is_denied(one)) {
            snprintf(text, sizeof(text), "Sentinel %s: %.*s; give its user that right (ACL SETUSER)",
                     rt_redis_where(&one->ask), RT_SENTINEL_DENIED_MAX, denied);
            one->all->config.on_log(one->all->config.ctx, RT_LOG_WARN, text);
        }
        snprintf(one->denied, sizeof(one->denied), "%s", denied);
        one->denied_at = now;
    }
}

static void note_error(struct rt_sentinel *one, const redisReply *reply)
{
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        note_denied(one, reply->str);
    }
}

/* Choosing. */

/* Says whom the Sentinels name: `before` was the primary, or is. */
static void log_choice(struct rt_sentinels *sentinels, const char *before)
{
    const struct rt_primary *primary = &sentinels->primary;
    uint64_t now = uv_now(sentinels->loop);
    bool is_vote = rt_primary_voted(primary, now), is_other = strcmp(before, primary->place) != 0;
    char text[768];

    snprintf(text, sizeof(text), "%zu of %zu Sentinels name %s as the primary of %s (epoch %" PRIu64 ")%s%s%s",
             rt_primary_voices(primary, now), primary->n, primary->place, sentinels->master, primary->epoch,
             is_other && before[0] != '\0' ? ", no longer " : "", is_other ? before : "",
             is_vote ? "" : "; see to the others: without a majority nobody knows of a failover");
    sentinels->config.on_log(sentinels->config.ctx,
                             is_vote && (before[0] == '\0' || !is_other) ? RT_LOG_INFO : RT_LOG_WARN, text);
}

static void choose(struct rt_sentinels *sentinels)
{
    struct rt_primary *primary = &sentinels->primary;
    char before[sizeof(primary->place)];
    struct rt_store_endpoint places[RT_ENDPOINTS_MAX];
    char why[RT_STORE_ENDPOINT_TEXT_MAX];
    bool agree, is_other;
    size_t n = 0;

    if (sentinels->stopping) {
        return;
    }
    memcpy(before, primary->place, sizeof(before));
    is_other = rt_primary_choose(primary, uv_now(sentinels->loop));
    agree = rt_primary_voted(primary, uv_now(sentinels->loop));
    if (is_other || agree != sentinels->agreed) {
        sentinels->agreed = agree;
        log_choice(sentinels, before);
    }
    if (is_other && rt_store_endpoint_parse(primary->place, places, &n, why, sizeof(why)) == 0) {
        sentinels->config.on_primary(sentinels->config.ctx, &places[0]);
    }
}

/* Asking. */

static void no_answer(struct rt_sentinel *one, const char *why)
{
    struct rt_sentinels *sentinels = one->all;
    char text[RT_STORE_ENDPOINT_TEXT_MAX + RT_REDIS_TEXT_MAX + 32];

    if (sentinels->stopping) {
        return;
    }
    rt_primary_failed(&sentinels->primary, index_of(one));
    choose(sentinels);
    if (sentinels->primary.place[0] == '\0') {
        snprintf(text, sizeof(text), "no Sentinel names a primary (%.250s)", why);
        sentinels->config.on_none(sentinels->config.ctx, text);
    }
}

static bool is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING;
}

/* The text behind a name in the list of names and values that SENTINEL MASTER answers with, or NULL. */
static const char *field(const redisReply *reply, const char *name)
{
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        if (is_text(reply->element[i]) && is_text(reply->element[i + 1]) && strcmp(reply->element[i]->str, name) == 0) {
            return reply->element[i + 1]->str;
        }
    }
    return NULL;
}

static bool number(const redisReply *reply, const char *name, uint64_t *value)
{
    const char *text = field(reply, name);
    char *end;

    if (text == NULL) {
        return false;
    }
    *value = strtoull(text, &end, 10);
    return end != text && *end == '\0' && *value <= INT64_MAX;
}

/* It pings the primary once a second, and calls it down after 30 s unless it is told otherwise: its last answer says
 * more. Other flags than "master" are s_down, o_down, disconnected, failover_in_progress. */
static bool sees_alive(const redisReply *reply)
{
    const char *flags = field(reply, "flags");
    uint64_t silent_ms;

    return flags != NULL && strcmp(flags, "master") == 0 && number(reply, "last-ok-ping-reply", &silent_ms) &&
           silent_ms < RT_SENTINELS_SILENT_MS;
}

static void master_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_sentinel *one = ctx;

    memset(&one->answer, 0, sizeof(one->answer));
    note_error(one, reply);
    one->has_epoch =
        error == 0 && reply->type == REDIS_REPLY_ARRAY && number(reply, "config-epoch", &one->answer.epoch);
    if (!one->has_epoch) {
        return;
    }
    one->answer.alive = sees_alive(reply);
    if (!number(reply, "num-slaves", &one->answer.replicas)) {
        one->answer.replicas = 0;
    }
}

static void address_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_sentinel *one = ctx;
    struct rt_store_endpoint place;
    char why[RT_STORE_ENDPOINT_TEXT_MAX + RT_REDIS_TEXT_MAX];

    note_error(one, reply);
    if (error == 0 && one->has_epoch && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        is_text(reply->element[0]) && is_text(reply->element[1]) &&
        rt_store_endpoint_of(reply->element[0]->str, reply->element[1]->str, one->all->tls, &place) == 0) {
        one->answer.place = place.text;
        rt_primary_said(&one->all->primary, index_of(one), &one->answer, uv_now(one->all->loop));
        choose(one->all);
        return;
    }
    snprintf(why, sizeof(why), "%s: %s", rt_redis_where(&one->ask),
             error != 0       ? rt_strerror(error)
             : is_denied(one) ? one->denied
                              : "knows of none by that name");
    no_answer(one, why);
}

static void ask(struct rt_sentinel *one)
{
    struct rt_redis_args master = {.n = 0}, address = {.n = 0};

    if (one->ask.calls.n > 2) {
        return; /* it has not answered twice */
    }
    rt_redis_texts(&master, "SENTINEL", "MASTER", one->all->master, NULL);
    rt_redis_texts(&address, "SENTINEL", "get-master-addr-by-name", one->all->master, NULL);
    if (rt_redis_call(&one->ask, &master, master_cb, one) != 0 ||
        rt_redis_call(&one->ask, &address, address_cb, one) != 0) {
        return; /* not connected: it is asked when it is */
    }
}

void rt_sentinels_ask(struct rt_sentinels *sentinels)
{
    for (size_t i = 0; i < n_sentinels(sentinels); i++) {
        ask(&sentinels->one[i]);
    }
}

static void ping_cb(void *ctx, int error, const redisReply *reply)
{
    (void)error;
    note_error(ctx, reply);
}

static void timer_cb(uv_timer_t *timer)
{
    struct rt_sentinels *sentinels = timer->data;

    rt_sentinels_ask(sentinels);
    for (size_t i = 0; i < n_sentinels(sentinels); i++) {
        struct rt_redis_args ping = {.n = 0};

        /* Without a call under way, silence would never be noticed there. */
        rt_redis_text(&ping, "PING");
        if (rt_redis_call(&sentinels->one[i].hints, &ping, ping_cb, &sentinels->one[i]) != 0) {
            continue; /* not connected: nothing to notice */
        }
    }
    choose(sentinels); /* time alone may decide */
}

static void ask_ready_cb(void *ctx)
{
    ask(ctx);
}

static void ask_down_cb(void *ctx, const char *why)
{
    note_denied(ctx, why);
    no_answer(ctx, why);
}

/* Hints. */

static void hints_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_sentinel *one = ctx;

    note_error(one, reply);
    if (error == 0 && reply->type == REDIS_REPLY_ERROR) {
        rt_redis_drop(&one->hints, "cannot subscribe");
    }
}

static void hints_ready_cb(void *ctx)
{
    struct rt_sentinel *one = ctx;
    struct rt_redis_args args = {.n = 0};

    rt_redis_texts(&args, "SUBSCRIBE", "+switch-master", NULL);
    if (rt_redis_call(&one->hints, &args, hints_cb, one) != 0) {
        rt_redis_drop(&one->hints, "cannot subscribe");
    }
    rt_sentinels_ask(one->all);
}

static void hint_cb(void *ctx, const redisReply *reply)
{
    struct rt_sentinel *one = ctx;

    (void)reply;
    rt_sentinels_ask(one->all);
}

/* Start and stop. */

static int init_one(struct rt_sentinels *sentinels, size_t i)
{
    struct rt_sentinel *one = &sentinels->one[i];
    struct rt_store_endpoint endpoint = sentinels->config.endpoints[i];
    struct rt_redis_config config = {
        .endpoints = &endpoint,
        .n_endpoints = 1,
        .role = "sentinel",
        .call_timeout_ms = sentinels->config.call_timeout_ms,
        .connect_timeout_ms = sentinels->config.connect_timeout_ms,
        .login_file = sentinels->config.login_file,
        .secure = sentinels->config.secure,
        .host = sentinels->config.host,
        .task = "asks",
        .ctx = one,
        .on_ready = ask_ready_cb,
        .on_down = ask_down_cb,
    };
    int rc;

    one->all = sentinels;
    rc = rt_redis_init(&one->ask, sentinels->loop, &config);
    config.pubsub = true;
    config.task = "hints";
    config.on_ready = hints_ready_cb;
    config.on_down = NULL; /* the other connection tells what is wrong */
    config.on_push = hint_cb;
    return rc != 0 ? rc : rt_redis_init(&one->hints, sentinels->loop, &config);
}

int rt_sentinels_init(struct rt_sentinels *sentinels, uv_loop_t *loop, const struct rt_sentinels_config *config)
{
    int rc = 0;

    memset(sentinels, 0, sizeof(*sentinels));
    sentinels->config = *config;
    sentinels->loop = loop;
    memcpy(sentinels->master, config->endpoints[0].master, sizeof(sentinels->master));
    sentinels->tls = config->endpoints[0].tls;
    rt_primary_init(&sentinels->primary, config->n_endpoints);
    for (size_t i = 0; rc == 0 && i < config->n_endpoints; i++) {
        rc = init_one(sentinels, i);
    }
    sentinels->config.endpoints = NULL;
    sentinels->timer.data = sentinels;
    return rc != 0 || uv_timer_init(loop, &sentinels->timer) != 0 ? RT_EIO : 0;
}

static void warn_of_few(struct rt_sentinels *sentinels)
{
    char text[160];

    (void)snprintf(text, sizeof(text), "%zu Sentinel%s of %s %s named: name three at least, as of fewer none may fail",
                   n_sentinels(sentinels), n_sentinels(sentinels) > 1 ? "s" : "", sentinels->master,
                   n_sentinels(sentinels) > 1 ? "are" : "is");
    sentinels->config.on_log(sentinels->config.ctx, RT_LOG_WARN, text);
}

void rt_sentinels_start(struct rt_sentinels *sentinels)
{
    if (n_sentinels(sentinels) < RT_SENTINELS_LEAST) {
        warn_of_few(sentinels);
    }
    for (size_t i = 0; i < n_sentinels(sentinels); i++) {
        rt_redis_start(&sentinels->one[i].ask);
        rt_redis_start(&sentinels->one[i].hints);
    }
    uv_timer_start(&sentinels->timer, timer_cb, RT_SENTINELS_POLL_MS, RT_SENTINELS_POLL_MS);
}

void rt_sentinels_held(struct rt_sentinels *sentinels, const char *place)
{
    if (strcmp(place, sentinels->primary.place) == 0) {
        rt_primary_held(&sentinels->primary);
    }
}

void rt_sentinels_lost(struct rt_sentinels *sentinels, const char *place)
{
    if (strcmp(place, sentinels->primary.place) == 0) {
        rt_primary_lost(&sentinels->primary);
    }
    rt_sentinels_ask(sentinels);
    choose(sentinels);
}

uint64_t rt_sentinels_replicas(const struct rt_sentinels *sentinels)
{
    return sentinels->primary.replicas > 1 ? sentinels->primary.replicas : 1;
}

static void part_closed(struct rt_sentinels *sentinels)
{
    if (--sentinels->open_parts == 0) {
        sentinels->closed(sentinels);
    }
}

static void redis_closed(struct rt_redis *redis)
{
    struct rt_sentinel *one = redis->config.ctx;

    part_closed(one->all);
}

static void timer_closed_cb(uv_handle_t *handle)
{
    part_closed(handle->data);
}

void rt_sentinels_stop(struct rt_sentinels *sentinels, void (*closed)(struct rt_sentinels *sentinels))
{
    sentinels->stopping = true;
    sentinels->closed = closed;
    sentinels->open_parts = 1 + 2 * (unsigned)n_sentinels(sentinels);
    uv_close((uv_handle_t *)&sentinels->timer, timer_closed_cb);
    for (size_t i = 0; i < n_sentinels(sentinels); i++) {
        rt_redis_stop(&sentinels->one[i].ask, redis_closed);
        rt_redis_stop(&sentinels->one[i].hints, redis_closed);
    }
}
