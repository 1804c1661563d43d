/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/cluster.h"
#include "migrate/store/store_priv.h"

#include <stdlib.h>
#include <string.h>

/* Where a call goes: to the node that has its key, and on from there. Slot 42 is being moved from A to C, then was:
 *
 *     HGETALL to A    "ASK 42 C": A has that key no more. To C, behind ASKING: the record
 *     FCALL to A      "TRYAGAIN": of its keys some are at A, some at C or nowhere. RT_EUNAVAIL: its asker asks again
 *     HGETALL to A    "MOVED 42 C". To C, and so is what comes next; the map is asked for (cluster.c)
 *     FCALL to C      "Function not found". FUNCTION LOAD at C, and the same again
 *
 * A call that is told to go on may be overtaken by one that is sent meanwhile. What an operation does depends on what
 * the record has, never on which of two came first. */

struct call {
    struct rt_store *store;
    struct rt_store_node *node; /* asked last */
    enum rt_store_lane lane;
    char *command; /* owned */
    size_t size;
    bool loaded; /* the functions, for it, at that node */
    bool asking; /* of the node, at its next turn: behind ASKING */
    unsigned hops;
    rt_redis_cb cb;
    void *ctx;
};

static struct rt_redis *connection(const struct call *call)
{
    return call->lane == RT_STORE_ENDS ? &call->node->ends : &call->node->commands;
}

static void answer_cb(void *ctx, int error, const redisReply *reply);

/* Where it is denied the call goes in circles, and is given up: this tells why. */
static void asking_cb(void *ctx, int error, const redisReply *reply)
{
    (void)rt_store_error_of(ctx, error, reply);
}

static int put(struct call *call)
{
    struct rt_redis_args asking = {.n = 0};
    int rc = 0;

    if (call->node == NULL || (call->store->cluster != NULL && !call->node->known)) {
        return RT_EUNAVAIL;
    }
    if (call->asking) {
        rt_redis_text(&asking, "ASKING");
        rc = rt_redis_call(connection(call), &asking, asking_cb, call->store);
    }
    return rc != 0 ? rc : rt_redis_send(connection(call), call->command, call->size, answer_cb, call);
}

/* It goes to the node that is named. Returns 0; or what its asker is told. */
static int go_on(struct call *call, struct rt_store_node *next, bool asking)
{
    if (++call->hops > RT_SLOT_HOPS_MAX) {
        rt_store_log_once(call->store, RT_LOG_ERROR, "the nodes of the cluster name each other, and none has the key");
        return RT_EUNAVAIL;
    }
    call->node = next;
    call->loaded = false;
    call->asking = asking;
    return put(call);
}

/* Whether it is under way again; else *error and the reply are its asker's. */
static bool is_under_way(struct call *call, int *error, const redisReply *reply)
{
    struct rt_store_node *next;
    enum rt_slot_said said;

    if (*error != 0 || reply->type != REDIS_REPLY_ERROR) {
        return false;
    }
    if (rt_store_functions_missing(reply) && !call->loaded) {
        call->loaded = true;
        *error = rt_store_load(call->store, connection(call));
        *error = *error != 0 ? *error : put(call);
        return *error == 0;
    }
    if (call->store->cluster == NULL) {
        return false;
    }
    said = rt_store_cluster_said(call->node, reply, &next);
    if (said == RT_SLOT_SAID_MOVED || said == RT_SLOT_SAID_ASK) {
        *error = go_on(call, next, said == RT_SLOT_SAID_ASK);
        return *error == 0;
    }
    return false;
}

static void answer_cb(void *ctx, int error, const redisReply *reply)
{
    struct call *call = ctx;

    if (is_under_way(call, &error, reply)) {
        return;
    }
    if (call->store->phase == RT_STORE_STOPPING) {
        error = RT_ECANCELED;
    } else if (error == RT_ECANCELED) {
        error = RT_ETIMEDOUT; /* the cluster has that node no more */
    }
    call->store->at = call->node != NULL ? call->node : call->store->reg;
    if (call->cb != NULL) {
        call->cb(call->ctx, error, error != 0 ? NULL : reply);
    }
    redisFreeCommand(call->command);
    free(call);
}

const char *rt_store_key_of(const struct rt_redis_args *args)
{
    int at = strcmp(args->argv[0], "FCALL") == 0 ? 3 : 1;

    return at < args->n ? args->argv[at] : NULL;
}

static struct rt_store_node *node_of(const struct rt_store *store, const char *key)
{
    if (store->cluster == NULL || key == NULL) {
        return store->reg;
    }
    return rt_store_cluster_node(store, rt_slot_of(key, strlen(key)));
}

int rt_store_send(struct rt_store *store, enum rt_store_lane lane, const char *key, char *command, size_t size,
                  rt_redis_cb cb, void *ctx)
{
    struct call *call = malloc(sizeof(*call));
    int rc = RT_ENOMEM;

    if (call != NULL) {
        *call = (struct call){.store = store,
                              .node = node_of(store, key),
                              .lane = lane,
                              .command = command,
                              .size = size,
                              .cb = cb,
                              .ctx = ctx};
        rc = put(call);
    }
    if (rc != 0) {
        free(call);
    }
    return rc;
}

int rt_store_call(struct rt_store *store, enum rt_store_lane lane, const struct rt_redis_args *args, rt_redis_cb cb,
                  void *ctx)
{
    size_t size;
    char *command = rt_redis_format(args, &size);
    int rc = command == NULL ? RT_ENOMEM : rt_store_send(store, lane, rt_store_key_of(args), command, size, cb, ctx);

    if (rc != 0) {
        redisFreeCommand(command);
    }
    return rc;
}
