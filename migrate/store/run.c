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
    char text[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (store->config.on_log != NULL) {
        store->config.on_log(store->config.ctx, level, text);
    }
}

void rt_store_run_done(struct rt_store_run *run, struct rt_store_reply *reply)
{
    struct rt_store *store = run->store;

    reply->id = run->id;
    reply->kind = run->kind;
    store->n_ops--;
    redisFreeCommand(run->command);
    free(run);
    store->config.on_reply(store->config.ctx, reply);
}

int rt_store_error_of(struct rt_store *store, int error, const redisReply *reply)
{
    static const char *const passing[] = {"READONLY", "LOADING", "NOREPLICAS", "MASTERDOWN", "BUSY"};

    if (error || reply->type != REDIS_REPLY_ERROR) {
        return error;
    }
    if (strncmp(reply->str, "OOM", 3) == 0) {
        rt_store_log(store, RT_LOG_ERROR, "the store is out of memory");
        return RT_ELIMIT;
    }
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
        if (strncmp(reply->str, passing[i], strlen(passing[i])) == 0) {
            return RT_EUNAVAIL;
        }
    }
    rt_store_log(store, RT_LOG_ERROR, "the store refuses: %.200s", reply->str);
    return RT_EUNAVAIL;
}

bool rt_store_functions_missing(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR && strstr(reply->str, "Function not found") != NULL;
}

static void load_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store *store = ctx;

    /* Another agent may have been faster. */
    if (!error && reply->type == REDIS_REPLY_ERROR && strstr(reply->str, "already exists") == NULL &&
        !store->log_down) {
        rt_store_log(store, RT_LOG_ERROR, "cannot load the functions: %.200s", reply->str);
    }
}

int rt_store_load(struct rt_store *store, struct rt_redis *redis)
{
    struct rt_redis_args args = {.n = 0};

    rt_redis_texts(&args, "FUNCTION", "LOAD", rt_store_functions_lua, NULL);
    store->loads++;
    return rt_redis_call(redis, &args, load_cb, store);
}
