/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/info.h"
#include "migrate/store/store_priv.h"

#include "migrate/store/cluster.h"
#include "session/base/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The heartbeat, and what it finds.
 *
 *     OFFLINE --connected, INFO--> CHECKING --a beat that wrote our row--> ONLINE
 *        ^                            |  ^                                    |
 *        |                            |  +--another living agent of our name--+
 *        +-----------------connection lost------------------------------------+
 *
 * CHECKING waits while another agent of our name lives. Each beat writes our row with the next sequence number and
 * reads the birth mark, and nothing else. So a store that is not what it was shows in one of three ways, and is
 * *fresh*:
 *
 *     we wrote seq 41 under mark m1, and the beat finds
 *     m1, our row, seq 41       nothing has happened; seq 42 is written
 *     m2                        another run of the server: a failover, a restart, a flush
 *     m1, no row                our row was lost alone
 *     m1, our row, seq 37       the store went back to what it was four beats ago */

#define LOADS_MAX 3

/* The beat. */

struct beat {
    uint64_t now_ms, born_ms;
    struct rt_id mark;
    bool taken;
    bool had_row;
    struct rt_id instance; /* in our row before the beat */
    uint64_t seq_found, seq;
};

static int parse_beat(const redisReply *reply, struct beat *beat)
{
    const redisReply *mark = rt_store_element(reply, 1, REDIS_REPLY_STRING);
    const redisReply *instance = rt_store_element(reply, 4, REDIS_REPLY_STRING);
    uint64_t taken;

    memset(beat, 0, sizeof(*beat));
    if (rt_store_integer(reply, 0, &beat->now_ms) != 0 || mark == NULL ||
        rt_store_integer(reply, 2, &beat->born_ms) != 0 || rt_store_integer(reply, 3, &taken) != 0 ||
        instance == NULL || rt_store_integer(reply, 5, &beat->seq_found) != 0 ||
        rt_store_integer(reply, 6, &beat->seq) != 0) {
        return RT_EPROTO;
    }
    beat->taken = taken != 0;
    beat->had_row = instance->len > 0;
    if (rt_store_parse_id(mark->str, mark->len, &beat->mark) != 0 ||
        (beat->had_row && rt_store_parse_id(instance->str, instance->len, &beat->instance) != 0)) {
        return RT_EPROTO;
    }
    return 0;
}

/* Our row is held by another instance. That instance lives if its row moves, or if it has replaced ours in this very
 * run of the server. Else it may be an agent of this name that died a moment ago: once its row has stood still for as
 * long as any host is given, it is dead, and the next beat replaces it. */
static void rival(struct rt_store *store, const struct beat *beat)
{
    struct rt_store_news news = {.kind = RT_STORE_TAKEN};
    struct rt_look look = {.there = true, .instance = beat->instance, .seq = beat->seq_found, .asked = store->beat_at};
    bool replaced = store->phase == RT_STORE_ONLINE && rt_id_equal(&store->mark, &beat->mark);

    rt_watch_look(&store->rival, &store->touch, &look, uv_now(store->loop));
    if (!replaced && store->rival.state != RT_WATCH_ALIVE) {
        return;
    }
    store->phase = RT_STORE_CHECKING;
    if (store->taken_told) {
        return;
    }
    store->taken_told = true;
    rt_store_log(store, RT_LOG_ERROR, "another live agent is named %s", store->self.host);
    memcpy(news.host, store->self.host, sizeof(news.host));
    store->config.on_news(store->config.ctx, &news);
}

/* Whether the birth mark is old enough. Of a mark that was made since we know the store, our own clock tells its age.
 * Only of one that was there before us the store's clock has to. */
static bool is_whole(struct rt_store *store, const struct beat *beat)
{
    uint64_t now = uv_now(store->loop);

    if (!store->seen || !rt_id_equal(&store->mark, &beat->mark)) {
        store->born_here = store->seen;
        store->mark_ms = now;
    }
    return now - store->mark_ms >= RT_STORE_WHOLE_MS ||
           (!store->born_here && beat->now_ms >= beat->born_ms && beat->now_ms - beat->born_ms >= RT_STORE_WHOLE_MS);
}

static void online(struct rt_store *store, const struct beat *beat)
{
    struct rt_store_news touch = {.kind = RT_STORE_TOUCH, .store_ms = beat->now_ms};
    bool fresh = !store->seen || store->taken_told || !rt_id_equal(&store->mark, &beat->mark) || !beat->had_row ||
                 beat->seq_found < store->seq || store->renewed;
    bool whole = is_whole(store, beat) && rt_store_cluster_settled(store);
    bool tell = fresh || whole != store->whole || store->phase != RT_STORE_ONLINE;

    if (store->phase != RT_STORE_ONLINE) {
        rt_store_log_anew(store, store->reg->commands.ready_ms);
    }
    if (fresh || store->phase != RT_STORE_ONLINE) {
        rt_store_log(store, RT_LOG_INFO, "store %s is up%s", rt_redis_where(&store->reg->commands),
                     fresh && store->seen ? ", and new or rolled back" : "");
    }
    store->phase = RT_STORE_ONLINE;
    store->log_down = false;
    store->taken_told = false;
    store->announce = false;
    store->rival = (struct rt_watch){.state = RT_WATCH_UNKNOWN};
    store->seen = true;
    store->renewed = false;
    store->whole = whole;
    store->mark = beat->mark;
    store->seq = beat->seq;
    if (tell) {
        rt_store_news_up(store, fresh);
    }
    if (store->phase == RT_STORE_ONLINE) { /* telling may have stopped it */
        store->config.on_news(store->config.ctx, &touch);
    }
}

static void send_beat(struct rt_store *store);

static void beat_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store_node *node = ctx;
    struct rt_store *store = node->store;
    struct beat beat;

    if (error != 0 || store->phase == RT_STORE_STOPPING || node != store->reg) {
        return; /* late: the next one tries again; lost: so is the connection; or the registry has gone elsewhere */
    }
    if (rt_store_functions_missing(reply)) {
        if (store->loads++ < LOADS_MAX) {
            send_beat(store);
        } else {
            rt_redis_drop(&store->reg->commands, "its functions cannot be loaded");
        }
        return;
    }
    if (rt_store_error_of(store, 0, reply) != 0) {
        return;
    }
    if (parse_beat(reply, &beat) != 0) {
        rt_redis_drop(&store->reg->commands, "its registry makes no sense");
        return;
    }
    store->loads = 0;
    store->beats++;
    rt_store_writes_taken(store);
    rt_touch_beat(&store->touch, uv_now(store->loop));
    if (beat.taken) {
        rival(store, &beat);
    } else {
        online(store, &beat);
    }
    if (store->phase == RT_STORE_ONLINE) {
        rt_store_walk(store);
    }
}

static void send_beat(struct rt_store *store)
{
    struct rt_redis_args args = {.n = 0};
    struct rt_id random;
    char instance[RT_STORE_ID_HEX + 1], seq[24], mark[RT_STORE_ID_HEX + 1], row[RT_STORE_ROW_MAX];
    char dead[RT_STORE_ID_HEX + 1], dead_seq[24];
    size_t size;

    rt_random_fill(NULL, random.b, sizeof(random.b));
    rt_store_format_id(&store->instance, instance);
    rt_store_format_id(&random, mark);
    snprintf(seq, sizeof(seq), "%" PRIu64, store->seq);
    rt_store_format_id(&store->rival.instance, dead);
    snprintf(dead_seq, sizeof(dead_seq), "%" PRIu64, store->rival.seq);
    size = rt_store_format_row(&store->self, row);
    rt_redis_function(&args, "beat", "3");
    rt_redis_texts(&args, RT_STORE_REGISTRY, RT_STORE_NAMES, RT_STORE_BIRTH, store->self.host, instance, seq,
                   store->reg->run_id, mark, NULL);
    rt_redis_arg(&args, row, size);
    rt_redis_texts(&args, store->announce ? "1" : "0", store->rival.state == RT_WATCH_DEAD ? dead : "", dead_seq,
                   store->self.drains ? "1" : "0", NULL);
    store->beat_at = uv_now(store->loop);
    if (rt_store_call(store, RT_STORE_COMMANDS, &args, beat_cb, store->reg) != 0) {
        return; /* lost, or too much under way: the next one tries again */
    }
}

void rt_store_registry_beat(struct rt_store *store)
{
    struct rt_redis_args ping = {.n = 0};

    if (store->phase == RT_STORE_CHECKING || store->phase == RT_STORE_ONLINE) {
        send_beat(store);
    }
    /* Without a call under way, silence would never be noticed there. */
    rt_redis_text(&ping, "PING");
    (void)!rt_redis_call(&store->pubsub, &ping, NULL, NULL); /* not connected: nothing to notice */
    if (store->cluster == NULL) {
        rt_store_node_ping(&store->only);
    } else {
        rt_store_cluster_beat(store);
    }
}

/* Checks of a new connection. */

/* Reads who a server is. False: it makes no sense. */
static bool read_info(const redisReply *reply, struct rt_store_info *is)
{
    const char *text = reply->type == REDIS_REPLY_STRING ? reply->str : "";
    char offset[24];

    memset(is, 0, sizeof(*is));
    if (!rt_info_text(text, "run_id", is->run_id, sizeof(is->run_id)) ||
        strspn(is->run_id, "0123456789abcdef") != strlen(is->run_id) || is->run_id[0] == '\0') {
        return false;
    }
    (void)rt_info_text(text, "master_replid", is->history, sizeof(is->history));
    is->replicas = rt_info_number(text, "connected_slaves", 0);
    is->up_s = rt_info_number(text, "uptime_in_seconds", 0);
    is->has_followed = !rt_info_text(text, "second_repl_offset", offset, sizeof(offset)) || strcmp(offset, "-1") != 0;
    return true;
}

static void info_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store_node *node = ctx;
    struct rt_store *store = node->store;
    struct rt_store_info is;
    char why[RT_REDIS_TEXT_MAX];

    if (error != 0 || store->phase == RT_STORE_STOPPING) {
        if (error == RT_ETIMEDOUT) {
            rt_redis_drop(&node->commands, "INFO: timed out");
        }
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        snprintf(why, sizeof(why), "INFO: %.200s", reply->str);
        rt_redis_drop(&node->commands, why);
        return;
    }
    if (!read_info(reply, &is)) {
        rt_redis_drop(&node->commands, "INFO makes no sense");
        return;
    }
    rt_store_replicas_seen(node, is.replicas);
    if (store->cluster != NULL) {
        rt_store_cluster_known(node, &is);
    }
    if (store->phase == RT_STORE_STOPPING) {
        return;
    }
    memcpy(node->run_id, is.run_id, sizeof(node->run_id));
    memcpy(node->history, is.history, sizeof(node->history));
    if (node == store->reg) {
        rt_store_registry_check(store);
    }
}

void rt_store_registry_check(struct rt_store *store)
{
    rt_redis_aim(&store->pubsub, rt_redis_at(&store->reg->commands));
    store->phase = RT_STORE_CHECKING;
    store->announce = true;
    store->beats = 0;
    store->loads = 0;
    send_beat(store);
}

void rt_store_registry_ready(struct rt_store_node *node)
{
    struct rt_redis_args args = {.n = 0};

    rt_redis_text(&args, "INFO");
    if (rt_redis_call(&node->commands, &args, info_cb, node) != 0) {
        rt_redis_drop(&node->commands, "INFO cannot be sent");
    }
}
