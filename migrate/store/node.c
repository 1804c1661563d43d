/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include <string.h>

/* A primary, and the two connections to it. The one for commands finds it; the other goes where it is once that server
 * has said that it is a primary, and nowhere else: so an end is waited for where it is written. */

static void ready_cb(void *ctx)
{
    struct rt_store_node *node = ctx;

    rt_redis_aim(&node->ends, rt_redis_at(&node->commands));
    node->store->ops->on_ready(node);
}

static void down_cb(void *ctx, const char *why)
{
    struct rt_store_node *node = ctx;

    node->known = false;
    if (node->store->phase != RT_STORE_STOPPING) {
        node->store->ops->on_down(node, why);
    }
}

/* Ends that wait for the next WAIT have no call that fails with the connection: they are failed here. */
static void ends_down_cb(void *ctx, const char *why)
{
    (void)why;
    rt_store_ends_fail(ctx, RT_ETIMEDOUT);
}

static void doubt_cb(void *ctx)
{
    struct rt_store_node *node = ctx;

    node->store->ops->on_doubt(node);
}

struct rt_redis_config rt_store_redis_config(struct rt_store *store, const char *task)
{
    return (struct rt_redis_config){
        .login_file = store->login_file[0] != '\0' ? store->login_file : NULL,
        .secure = store->config.secure,
        .host = store->self.host,
        .task = task,
        .call_timeout_ms = store->config.op_timeout_ms != 0 ? store->config.op_timeout_ms : RT_REDIS_CALL_MS,
        .connect_timeout_ms = store->config.connect_timeout_ms,
    };
}

int rt_store_node_init(struct rt_store_node *node, struct rt_store *store, const struct rt_store_endpoint *endpoints,
                       size_t n)
{
    struct rt_redis_config config = rt_store_redis_config(store, "commands");
    int rc;

    node->store = store;
    config.endpoints = endpoints;
    config.n_endpoints = n;
    config.ctx = node;
    config.on_ready = ready_cb;
    config.on_down = down_cb;
    config.on_doubt = doubt_cb;
    rc = rt_redis_init(&node->commands, store->loop, &config);
    config.n_endpoints = 0;
    config.task = "ends";
    config.on_ready = NULL;
    config.on_down = ends_down_cb;
    /* An end may have to sit out the WAIT of the one before it and then its own. */
    config.call_timeout_ms += 2 * RT_STORE_WAIT_MS;
    return rc != 0 ? rc : rt_redis_init(&node->ends, store->loop, &config);
}

void rt_store_node_start(struct rt_store_node *node)
{
    rt_redis_start(&node->commands);
    rt_redis_start(&node->ends);
}

/* Where no heartbeat goes nothing else tells that it is a primary no more: reads may be all that it is asked. */
static void role_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store_node *node = ctx;
    const redisReply *role = error == 0 ? rt_store_element(reply, 0, REDIS_REPLY_STRING) : NULL;

    if (role != NULL && strcmp(role->str, "master") != 0) {
        rt_redis_drop(&node->commands, "no longer a primary");
        node->store->ops->on_doubt(node);
    }
}

void rt_store_node_ping(struct rt_store_node *node)
{
    struct rt_redis_args ping = {.n = 0}, role = {.n = 0};

    rt_redis_text(&ping, "PING");
    rt_redis_text(&role, "ROLE");
    if (rt_redis_call(&node->ends, &ping, NULL, NULL) != 0 ||
        (node != node->store->reg && rt_redis_call(&node->commands, &role, role_cb, node) != 0)) {
        return; /* not connected: nothing to notice */
    }
}

void rt_store_node_stop(struct rt_store_node *node, void (*closed)(struct rt_redis *redis))
{
    node->closing = 2;
    rt_redis_stop(&node->commands, closed);
    rt_redis_stop(&node->ends, closed);
    rt_store_ends_fail(node, node->store->phase == RT_STORE_STOPPING ? RT_ECANCELED : RT_ETIMEDOUT);
}
