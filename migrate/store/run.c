/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/functions.h"
#include "migrate/store/store_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What all operations need: their reply, what an error of the server means, the functions. */

void rt_store_log(struct rt_store *store, enum rt_log_level level, const char *format, ...)
{
    char text[RT_STORE_LOG_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (store->config.on_log != NULL) {
        store->config.on_log(store->config.ctx, level, text);
    }
}

void rt_store_log_once(struct rt_store *store, enum rt_log_level level, const char *format, ...)
{
    uint64_t now = uv_now(store->loop) + 1;
    size_t oldest = 0;
    char text[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (size_t i = 0; i < RT_STORE_ONCE_MAX; i++) {
        if (store->once[i].at != 0 && now - store->once[i].at < RT_STORE_ONCE_MS &&
            strncmp(store->once[i].text, text, sizeof(store->once[i].text) - 1) == 0) {
            return;
        }
        oldest = store->once[i].at < store->once[oldest].at ? i : oldest;
    }
    store->once[oldest].at = now;
    snprintf(store->once[oldest].text, sizeof(store->once[oldest].text), "%.*s",
             (int)sizeof(store->once[oldest].text) - 1, text);
    rt_store_log(store, level, "%s", text);
}

void rt_store_news_up(struct rt_store *store, bool fresh)
{
    struct rt_store_news news = {.kind = RT_STORE_UP, .fresh = fresh, .whole = store->whole};

    store->config.on_news(store->config.ctx, &news);
}

void rt_store_log_anew(struct rt_store *store, uint64_t before)
{
    for (size_t i = 0; i < RT_STORE_ONCE_MAX; i++) {
        if (store->once[i].at <= before) {
            store->once[i].at = 0;
        }
    }
}

void rt_store_run_done(struct rt_store_run *run, struct rt_store_reply *reply)
{
    struct rt_store *store = run->store;

    reply->id = run->id;
    reply->kind = run->kind;
    reply->doubtful =
        rt_store_has_sentinels(store) && !rt_primary_voted(&store->sentinels.primary, uv_now(store->loop));
    store->n_ops--;
    redisFreeCommand(run->command);
    free(run);
    store->config.on_reply(store->config.ctx, reply);
}

/* Told once, until a heartbeat is taken again. Where none goes, now and then. */
static void writes_refused(struct rt_store *store, const struct rt_refusal *refusal)
{
    if (refusal->what != NULL && store->at != NULL && store->at != store->reg) {
        rt_store_log_once(store, RT_LOG_ERROR, "writes refused by %s: %s. What runs goes on, nothing new starts there",
                          rt_redis_where(&store->at->commands), refusal->what);
    } else if (refusal->what != NULL && store->refusal != refusal) {
        store->refusal = refusal;
        rt_store_log(store, RT_LOG_ERROR, "writes refused: %s. What runs goes on, nothing new starts", refusal->what);
    }
}

void rt_store_writes_taken(struct rt_store *store)
{
    if (store->refusal != NULL) {
        store->refusal = NULL;
        rt_store_log(store, RT_LOG_INFO, "writes are taken again");
    }
}

/* The next look tells it, where it may not try the rights (look.c). */
static void note_denied(struct rt_store *store, const redisReply *error)
{
    if (strncmp(error->str, "NOPERM", 6) == 0 && store->look.refused[0] == '\0') {
        snprintf(store->look.refused, sizeof(store->look.refused), "%s", error->str);
    }
}

int rt_store_error_of(struct rt_store *store, int error, const redisReply *reply)
{
    const struct rt_refusal *refusal;

    if (error || reply->type != REDIS_REPLY_ERROR) {
        return error;
    }
    if (strncmp(reply->str, "OOM", 3) == 0) {
        rt_store_log(store, RT_LOG_ERROR, "the store is out of memory");
        return RT_ELIMIT;
    }
    note_denied(store, reply);
    refusal = rt_refusal_of(reply);
    if (refusal != NULL) {
        writes_refused(store, refusal);
    } else {
        rt_store_log_once(store, RT_LOG_ERROR, "the store refuses: %.200s", reply->str);
    }
    return RT_EUNAVAIL;
}

bool rt_store_has_sentinels(const struct rt_store *store)
{
    return store->sentinels.primary.n > 0;
}

bool rt_store_is_sure(const struct rt_store *store)
{
    return rt_store_has_sentinels(store) ? rt_sentinels_sure(&store->sentinels) : rt_store_replicas(store->at) == 0;
}

uint64_t rt_store_replicas(const struct rt_store_node *node)
{
    const struct rt_store *store = node->store;
    uint64_t known = rt_store_has_sentinels(store) ? rt_sentinels_replicas(&store->sentinels) : node->replicas;

    if (store->cluster != NULL && store->spares && known == 0) {
        known = 1; /* its only one was promoted, or has failed: the map names none, and one may come back */
    }
    return known > node->connected ? known : node->connected;
}

void rt_store_replicas_seen(struct rt_store_node *node, uint64_t connected)
{
    node->connected = connected;
    node->store->spares |= connected > 0;
    /* The map of a cluster forgets replicas that are gone for good. */
    if (node->store->cluster == NULL && connected > node->replicas) {
        node->replicas = connected;
    }
}

bool rt_store_functions_missing(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR && strstr(reply->str, "Function not found") != NULL;
}

static void load_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store *store = ctx;

    /* Another agent may have been faster; of that name it has loaded the same. */
    if (!error && reply->type == REDIS_REPLY_ERROR && strstr(reply->str, "already exists") == NULL &&
        !store->log_down) {
        rt_store_log_once(store, RT_LOG_ERROR, "cannot load the functions: %.200s", reply->str);
    }
}

int rt_store_load(struct rt_store *store, struct rt_redis *redis)
{
    struct rt_redis_args args = {.n = 0};

    rt_redis_texts(&args, "FUNCTION", "LOAD", rt_store_functions_lua, NULL);
    return rt_redis_call(redis, &args, load_cb, store);
}
