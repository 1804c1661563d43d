/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/functions.h"
#include "migrate/store/rights.h"
#include "migrate/store/store_priv.h"

#include <stdio.h>
#include <string.h>

/* A look at the store: on the first heartbeat of each connection for commands, then every minute. Some forty short
 * questions, in two goes, are judged when the last answer is there:
 *
 *     idle --a beat, it is time--> INFO, functions, what may be tried --> rights, settings --> judged: logged, told
 *      ^                                |                                   |                           |
 *      +--------------------------------+------ one was not answered -------+---------------------------+
 *
 * A server that denies a question leaves its check unknown. */

/* A weakness is logged when it appears, or is another than it was; and when it is over. */
static void log_check(struct rt_store *store, enum rt_check i)
{
    const struct rt_store_check *check = &store->look.found.checks[i];
    char *told = store->look.told[i];

    if (check->state == RT_CHECK_OK && told[0] != '\0') {
        rt_store_log(store, RT_LOG_INFO, "the store's %s: %.100s: that is well now", check->name, check->value);
        told[0] = '\0';
    } else if (check->state == RT_CHECK_WEAK && strcmp(told, check->value) != 0) {
        rt_store_log(store, RT_LOG_WARN, "the store's %s: %.*s: %s; %s", check->name, RT_CHECK_VALUE_MAX, check->value,
                     check->risk, check->mend);
        memcpy(told, check->value, sizeof(check->value));
    }
}

static void tell(struct rt_store *store)
{
    struct rt_store_news news = {.kind = RT_STORE_LOOKED, .look = &store->look.found};

    store->config.on_news(store->config.ctx, &news);
}

static void judge(struct rt_store *store)
{
    struct rt_store_facts *facts = &store->look.facts;

    if (store->reg == NULL || store->reg->commands.state != RT_REDIS_READY) {
        return; /* a cluster's registry has gone to another node meanwhile */
    }
    facts->n_sentinels = store->sentinels.primary.n;
    if (facts->n_sentinels > 0) {
        const char *denied = rt_sentinels_denied(&store->sentinels);

        snprintf(facts->denied, sizeof(facts->denied), "%s", denied != NULL ? denied : "");
        facts->n_voices = rt_primary_voices(&store->sentinels.primary, uv_now(store->loop));
        facts->is_voted = rt_primary_voted(&store->sentinels.primary, uv_now(store->loop));
    }
    snprintf(facts->place, sizeof(facts->place), "%s", rt_redis_where(&store->reg->commands));
    facts->is_local = rt_redis_at(&store->reg->commands)->host[0] == '\0';
    facts->is_online = store->phase == RT_STORE_ONLINE;
    facts->tails_max = store->tails.store_max;
    memcpy(facts->refused, store->look.refused, sizeof(facts->refused));
    store->look.refused[0] = '\0';
    if (facts->connected != RT_FACT_UNKNOWN) {
        rt_store_replicas_seen(store->reg, facts->connected);
    }
    facts->replicas = rt_store_replicas(store->reg);
    rt_store_check(facts, &store->look.found);
    for (enum rt_check i = 0; i < RT_CHECKS; i++) {
        if (i != RT_CHECK_SERVER) {
            log_check(store, i);
        }
    }
    tell(store);
}

/* One answer more. */
static void answered(struct rt_store *store, int error)
{
    store->look.failed |= error != 0;
    if (--store->look.owed == 0 && !store->look.failed && store->phase != RT_STORE_STOPPING) {
        judge(store);
    }
}

static void info_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store *store = ctx;

    if (error == 0 && reply->type == REDIS_REPLY_STRING) {
        rt_store_facts_info(&store->look.facts, reply->str);
    }
    answered(store, error);
}

static void setting_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store *store = ctx;

    if (error == 0 && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[0]->type == REDIS_REPLY_STRING && reply->element[1]->type == REDIS_REPLY_STRING) {
        rt_store_facts_setting(&store->look.facts, reply->element[0]->str, reply->element[1]->str);
    }
    answered(store, error);
}

/* [["library_name", "retether_...", ...], ...] */
static void functions_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store *store = ctx;
    struct rt_store_facts *facts = &store->look.facts;

    if (error == 0 && reply->type == REDIS_REPLY_ARRAY) {
        facts->own = facts->libraries = 0;
        for (size_t i = 0; i < reply->elements; i++) {
            const redisReply *name = rt_store_element(reply->element[i], 1, REDIS_REPLY_STRING);

            if (name != NULL && strncmp(name->str, RT_STORE_LIBRARY, strlen(RT_STORE_LIBRARY)) == 0) {
                facts->libraries++;
                facts->own += strcmp(name->str + strlen(RT_STORE_LIBRARY), rt_store_functions_version) == 0;
            }
        }
    }
    answered(store, error);
}

static void ask(struct rt_store *store, const struct rt_redis_args *args, rt_redis_cb cb)
{
    store->look.owed++;
    if (rt_redis_call(&store->reg->commands, args, cb, store) != 0) {
        store->look.owed--;
        store->look.failed = true; /* it is being dropped, or has too much under way: the next look asks again */
    }
}

/* OK, or a text that says what is denied. Answers come in the order of the rights. */
static void right_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store *store = ctx;
    struct rt_store_facts *facts = &store->look.facts;
    size_t i = store->look.right++;

    if (error == 0 && (reply->type == REDIS_REPLY_STATUS || reply->type == REDIS_REPLY_STRING)) {
        facts->tried++;
        if (reply->type == REDIS_REPLY_STRING) {
            rt_right_missing(i, reply->str, facts->missing, sizeof(facts->missing));
        }
    }
    answered(store, error);
}

static void ask_rights(struct rt_store *store)
{
    struct rt_redis_args args;

    store->look.right = 0;
    store->look.facts.tried = 0;
    for (size_t i = 0; i < rt_rights(store->cluster != NULL); i++) {
        args.n = 0;
        rt_right_try(i, store->reg->commands.user, &args);
        ask(store, &args, right_cb);
    }
}

static void ask_settings(struct rt_store *store)
{
    static const char *const settings[] = {"min-replicas-to-write", "hash-max-listpack-value", "appendfsync"};
    struct rt_redis_args args;

    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        args.n = 0;
        rt_redis_texts(&args, "CONFIG", "GET", settings[i], NULL);
        ask(store, &args, setting_cb);
    }
}

/* Whether CONFIG GET is allowed, which it need not be: what is denied is not asked for, as the server keeps a list of
 * that (ACL LOG). Where this may not be tried, nothing else may. */
static void config_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store *store = ctx;

    if (error == 0 && store->reg != NULL && reply->type != REDIS_REPLY_ERROR) {
        ask_rights(store);
    }
    if (error == 0 && store->reg != NULL && reply->type != REDIS_REPLY_STRING) {
        ask_settings(store);
    }
    answered(store, error);
}

void rt_store_look_beat(struct rt_store *store)
{
    uint64_t now = uv_now(store->loop);
    struct rt_redis_args args = {.n = 0};

    if (store->reg == NULL || store->reg->commands.state != RT_REDIS_READY || store->look.owed > 0 ||
        (store->look.at != 0 && now - store->look.at < RT_STORE_LOOK_MS)) {
        return;
    }
    store->look.at = now;
    store->look.failed = false;
    rt_store_facts_init(&store->look.facts);
    rt_redis_texts(&args, "ACL", "DRYRUN", store->reg->commands.user, "config", "get", "appendfsync", NULL);
    ask(store, &args, config_cb);
    args.n = 0;
    rt_redis_texts(&args, "FUNCTION", "LIST", "LIBRARYNAME", RT_STORE_LIBRARY "*", NULL);
    ask(store, &args, functions_cb);
    args.n = 0;
    rt_redis_text(&args, "INFO");
    ask(store, &args, info_cb);
}

void rt_store_look_out(struct rt_store *store, const char *why)
{
    rt_store_check_out(&store->look.found, why);
    tell(store);
}
