/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/cluster.h"
#include "migrate/store/store_priv.h"

#include <string.h>

/* The connections of a store: two to each primary (node.c), and pub/sub to the one that has the registry. Which that
 * is, its node finds among the endpoints, or the Sentinels say, or the map of a cluster. Pub/sub goes where that node
 * is once that server has said that it is a primary, and nowhere else: so claims are heard from the server that is
 * written to. (What is published at one node of a cluster is heard at all.)
 *
 * An operator makes Q the primary instead of P, by hand; the endpoints are P and Q. Milliseconds:
 *
 *          0   a heartbeat to P: READONLY. commands is dropped: OFFLINE, news DOWN. pubsub still hears P, ends that are
 *              under way there fail by READONLY
 *          8   commands has found Q: pubsub and ends are aimed at Q, and dropped from P
 *         10   the beat at Q has written our row: ONLINE, news UP, fresh
 *         12   pubsub has subscribed at Q: UP again
 *
 * Under Sentinels a vote for Q drops all three from P at once. */

/* Nodes. */

/* Says it at once, and again while it lasts: the reason may be another one by then. */
static void tell_out(struct rt_store *store, const char *why)
{
    uint64_t now = uv_now(store->loop);

    if (store->log_down && now < store->log_down_at) {
        if (store->look.found.checks[RT_CHECK_SERVER].state != RT_CHECK_WEAK) {
            rt_store_look_out(store, why); /* a look has found it well since this was logged */
        }
        return;
    }
    rt_store_log(store, RT_LOG_WARN, "%s store: %s", store->log_down ? "still no" : "no", why);
    store->log_down_ms = !store->log_down                             ? RT_STORE_OUT_MS
                         : store->log_down_ms >= RT_STORE_ONCE_MS / 2 ? RT_STORE_ONCE_MS
                                                                      : 2 * store->log_down_ms;
    store->log_down = true;
    store->log_down_at = now + store->log_down_ms;
    rt_store_look_out(store, why);
}

static void out_cb(struct rt_store *store, const char *why)
{
    bool was_online = store->phase == RT_STORE_ONLINE;
    struct rt_store_news news = {.kind = RT_STORE_DOWN};

    if (store->phase == RT_STORE_STOPPING) {
        return;
    }
    store->phase = RT_STORE_OFFLINE;
    rt_touch_break(&store->touch);
    store->look.at = 0; /* the next connection is looked at anew */
    tell_out(store, why);
    if (was_online && store->phase != RT_STORE_STOPPING) { /* telling may have stopped it */
        store->config.on_news(store->config.ctx, &news);
    }
}

static void node_ready_cb(struct rt_store_node *node)
{
    struct rt_store *store = node->store;

    if (rt_store_has_sentinels(store)) {
        rt_sentinels_held(&store->sentinels, rt_redis_where(&node->commands));
    }
    rt_store_registry_ready(node);
}

static void node_doubt_cb(struct rt_store_node *node)
{
    struct rt_store *store = node->store;

    if (rt_store_has_sentinels(store)) {
        rt_sentinels_ask(&store->sentinels);
    } else if (store->cluster != NULL) {
        rt_store_cluster_doubt(store);
    }
}

static void node_down_cb(struct rt_store_node *node, const char *why)
{
    struct rt_store *store = node->store;

    if (node == store->reg) {
        out_cb(store, why);
    } else if (!node->told_down) {
        node->told_down = true;
        rt_store_log(store, RT_LOG_WARN, "no answer from a part of the store: %.200s", why);
    }
    if (store->phase == RT_STORE_STOPPING) {
        return;
    }
    if (rt_store_has_sentinels(store)) {
        rt_sentinels_lost(&store->sentinels, rt_redis_where(&node->commands));
    } else if (store->cluster != NULL) {
        rt_store_cluster_doubt(store);
    }
}

static void registry_cb(struct rt_store *store, struct rt_store_node *node)
{
    struct rt_store_node *was;

    if (node == store->reg) {
        return;
    }
    was = store->reg;
    store->reg = node;
    if (was != NULL) {
        out_cb(store, node != NULL ? "the registry has gone to another node" : "no node has the registry");
    }
    if (node != store->reg || store->phase == RT_STORE_STOPPING || node == NULL || !node->known) {
        return; /* its answer to INFO goes on */
    }
    rt_store_registry_check(store);
}

static const struct rt_store_node_ops node_ops = {.on_ready = node_ready_cb,
                                                  .on_down = node_down_cb,
                                                  .on_doubt = node_doubt_cb,
                                                  .on_registry = registry_cb,
                                                  .on_out = out_cb};

/* News. */

/* reply NULL: none came. */
static void not_subscribed(struct rt_store *store, const redisReply *reply)
{
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        rt_store_log_once(store, RT_LOG_ERROR,
                          "the store refuses SUBSCRIBE: %.120s; give its user +subscribe, &" RT_STORE_CHANNEL
                          " and &" RT_STORE_HOSTS_CHANNEL " (moves are heard of late meanwhile)",
                          reply->str);
    }
    rt_redis_drop(&store->pubsub, "cannot subscribe");
}

static void hosts_subscribed_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store *store = ctx;

    if (error == 0 && reply->type != REDIS_REPLY_ARRAY) {
        not_subscribed(store, reply);
    }
}

static void subscribed_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store *store = ctx;

    if (error != 0 || reply->type != REDIS_REPLY_ARRAY) {
        not_subscribed(store, reply);
    } else if (store->phase == RT_STORE_ONLINE) {
        rt_store_news_up(store, false);
    }
}

static void pubsub_ready_cb(void *ctx)
{
    struct rt_store *store = ctx;
    struct rt_redis_args args = {.n = 0}, claims = {.n = 0};

    rt_redis_texts(&args, "SUBSCRIBE", RT_STORE_HOSTS_CHANNEL, NULL);
    rt_redis_texts(&claims, "SUBSCRIBE", RT_STORE_CHANNEL, NULL);
    if (rt_redis_call(&store->pubsub, &args, hosts_subscribed_cb, store) != 0 ||
        rt_redis_call(&store->pubsub, &claims, subscribed_cb, store) != 0) {
        rt_redis_drop(&store->pubsub, "cannot subscribe");
    }
}

static void pushed_cb(void *ctx, const redisReply *reply)
{
    struct rt_store *store = ctx;
    const redisReply *channel = reply->element[1], *message = reply->element[2];
    struct rt_store_news news;
    bool host;

    if (channel->type != REDIS_REPLY_STRING || message->type != REDIS_REPLY_STRING ||
        store->phase == RT_STORE_STOPPING) {
        return;
    }
    host = strcmp(channel->str, RT_STORE_HOSTS_CHANNEL) == 0;
    if ((host ? rt_store_parse_host(message->str, message->len, &news)
              : rt_store_parse_claimed(message->str, message->len, &news)) != 0) {
        return;
    }
    if (host) {
        rt_store_names_add(store, news.host);
        rt_store_reachable(store->self.machine, &news.row);
    }
    store->config.on_news(store->config.ctx, &news);
}

/* Sentinels. */

static void primary_cb(void *ctx, const struct rt_store_endpoint *place)
{
    struct rt_store *store = ctx;

    rt_redis_aim(&store->pubsub, NULL);
    rt_redis_aim(&store->only.ends, NULL);
    rt_redis_aim(&store->only.commands, place);
}

static void none_cb(void *ctx, const char *why)
{
    out_cb(ctx, why);
}

static void sentinels_log_cb(void *ctx, enum rt_log_level level, const char *text)
{
    rt_store_log(ctx, level, "%s", text);
}

static int init_sentinels(struct rt_store *store, uv_loop_t *loop, const struct rt_store_endpoint *endpoints, size_t n)
{
    struct rt_sentinels_config config = {
        .endpoints = endpoints,
        .n_endpoints = n,
        .call_timeout_ms = store->config.op_timeout_ms,
        .connect_timeout_ms = store->config.connect_timeout_ms,
        .login_file = store->sentinel_login_file[0] != '\0' ? store->sentinel_login_file : NULL,
        .secure = store->config.secure,
        .host = store->self.host,
        .ctx = store,
        .on_primary = primary_cb,
        .on_none = none_cb,
        .on_log = sentinels_log_cb,
    };

    return rt_sentinels_init(&store->sentinels, loop, &config);
}

int rt_store_connections_init(struct rt_store *store, uv_loop_t *loop, const struct rt_store_endpoint *endpoints,
                              size_t n)
{
    bool sentinels = endpoints[0].master[0] != '\0', cluster = endpoints[0].cluster;
    struct rt_redis_config config = rt_store_redis_config(store, "claims");
    int rc;

    store->ops = &node_ops;
    config.pubsub = true;
    config.ctx = store;
    config.on_ready = pubsub_ready_cb; /* what is wrong the connection for commands tells */
    config.on_push = pushed_cb;
    if (cluster) {
        rc = rt_store_cluster_init(store, loop, endpoints, n);
    } else {
        rc = rt_store_node_init(&store->only, store, endpoints, sentinels ? 0 : n);
        store->reg = &store->only;
        store->only.replicas = sentinels ? 0 : n - 1;
    }
    rc = rc != 0 ? rc : rt_redis_init(&store->pubsub, loop, &config);
    return rc != 0 || !sentinels ? rc : init_sentinels(store, loop, endpoints, n);
}

void rt_store_connections_start(struct rt_store *store)
{
    rt_redis_start(&store->pubsub);
    if (store->cluster != NULL) {
        rt_store_cluster_start(store);
        return;
    }
    rt_store_node_start(&store->only);
    if (rt_store_has_sentinels(store)) {
        rt_sentinels_start(&store->sentinels);
    }
}

static void pubsub_closed(struct rt_redis *redis)
{
    struct rt_store *store = redis->config.ctx;

    store->part_closed(store);
}

static void node_closed(struct rt_redis *redis)
{
    struct rt_store_node *node = redis->config.ctx;

    node->store->part_closed(node->store);
}

static void sentinels_closed(struct rt_sentinels *sentinels)
{
    struct rt_store *store = sentinels->config.ctx;

    store->part_closed(store);
}

void rt_store_connections_stop(struct rt_store *store, void (*part_closed)(struct rt_store *store))
{
    store->part_closed = part_closed;
    store->closing++;
    rt_redis_stop(&store->pubsub, pubsub_closed);
    if (store->cluster != NULL) {
        rt_store_cluster_stop(store);
        return;
    }
    store->closing += 2;
    if (rt_store_has_sentinels(store)) {
        store->closing++;
        rt_sentinels_stop(&store->sentinels, sentinels_closed);
    }
    rt_store_node_stop(&store->only, node_closed);
}
