/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/chaos/chaos.h"

#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* What is done to the store and to agents. Each acts on the server that the Sentinels call the primary then, and mends
 * what it did to that one; another fault may have killed it meanwhile, or started it again. */

#define ANSWER_S 2
#define SEND_TRIES 50
#define AGAIN_MS 100

/* ---- the servers ---- */

/* The answer, or NULL. To be freed. */
static redisReply *ask(const struct rt_test_redis *server, const char *format, ...)
{
    const struct timeval limit = {.tv_sec = ANSWER_S};
    redisContext *context = server->pid != 0 ? redisConnectUnixWithTimeout(server->socket, limit) : NULL;
    redisReply *reply = NULL;
    va_list args;

    va_start(args, format);
    if (context != NULL && context->err == 0 && redisSetTimeout(context, limit) == REDIS_OK) {
        reply = redisvCommand(context, format, args);
    }
    va_end(args);
    if (context != NULL) {
        redisFree(context);
    }
    return reply;
}

/* Sends one command; a server that does not answer, or refuses, was not to be had then: the fault does nothing. */
static bool tell(const struct rt_test_redis *server, const char *command)
{
    redisReply *reply = ask(server, command);
    bool taken = reply != NULL && reply->type != REDIS_REPLY_ERROR;

    freeReplyObject(reply);
    return taken;
}

/* Takes back what was told; also one that is slow, but not one that was killed: that has forgotten it. */
static void untell(struct chaos *chaos, const struct rt_test_redis *server, const char *command)
{
    for (unsigned i = 0; i < SEND_TRIES && server->pid != 0; i++) {
        if (tell(server, command)) {
            return;
        }
        chaos_run(chaos, AGAIN_MS);
    }
}

static struct rt_test_redis *named_by(struct chaos *chaos, const struct rt_test_redis *sentinel)
{
    redisReply *reply = ask(sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME main");
    struct rt_test_redis *found = NULL;

    for (size_t i = 0; reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && i < CHAOS_SERVERS;
         i++) {
        if (chaos->servers[i]->port == strtoul(reply->element[1]->str, NULL, 10)) {
            found = chaos->servers[i];
        }
    }
    freeReplyObject(reply);
    return found;
}

/* Whom the first Sentinel that answers calls the primary. */
static struct rt_test_redis *primary(struct chaos *chaos)
{
    for (unsigned i = 0; i < SEND_TRIES; i++) {
        struct rt_test_redis *found = named_by(chaos, &chaos->sentinels[i % CHAOS_SENTINELS]);

        if (found != NULL && found->pid != 0) {
            return found;
        }
        chaos_run(chaos, AGAIN_MS);
    }
    chaos_fail(chaos, "no Sentinel names a primary");
    return &chaos->cluster.redis;
}

/* ---- servers that go and come ---- */

/* Sentinels write into a server's file what it is: it comes back as that. */
static void kill_primary(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = primary(chaos);
    on->server->primary = 0;
    (void)rt_test_redis_kill(on->server);
}

/* It comes back as the primary that it was, and is behind. */
static void restart(struct chaos *chaos, struct chaos_strike *on)
{
    if (on->server->pid == 0 && rt_test_redis_restart(on->server, false) != 0) {
        chaos_fail(chaos, "a server cannot be started again");
    }
}

static void restart_empty(struct chaos *chaos, struct chaos_strike *on)
{
    kill_primary(chaos, on);
    if (rt_test_redis_restart(on->server, true) != 0) {
        chaos_fail(chaos, "a server cannot be started again");
    }
}

static void stop_primary(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = primary(chaos);
    (void)rt_test_redis_pause(on->server);
}

static void resume(struct chaos *chaos, struct chaos_strike *on)
{
    (void)chaos;
    if (on->server->pid != 0) {
        (void)rt_test_redis_resume(on->server);
    }
}

static void failover(struct chaos *chaos, struct chaos_strike *on)
{
    (void)on;
    for (unsigned i = 0; i < SEND_TRIES; i++) {
        if (tell(&chaos->sentinels[i % CHAOS_SENTINELS], "SENTINEL FAILOVER main")) {
            return;
        }
        chaos_run(chaos, AGAIN_MS);
    }
}

static void kill_sentinel(struct chaos *chaos, struct chaos_strike *on)
{
    on->sentinel = (unsigned)chaos_random(chaos, CHAOS_SENTINELS);
    (void)rt_test_redis_kill(&chaos->sentinels[on->sentinel]);
}

static void start_sentinel(struct chaos *chaos, struct chaos_strike *on)
{
    struct rt_test_redis *sentinel = &chaos->sentinels[on->sentinel];

    if (sentinel->pid == 0 && rt_test_redis_restart(sentinel, false) != 0) {
        chaos_fail(chaos, "a Sentinel cannot be started again");
    }
}

/* ---- what a server holds ---- */

static void flush(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = primary(chaos);
    (void)tell(on->server, "FLUSHALL");
}

static void flush_functions(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = primary(chaos);
    (void)tell(on->server, "FUNCTION FLUSH");
}

/* Records of containers that run, one by one. */
static void forget(struct chaos *chaos, struct chaos_strike *on)
{
    redisReply *keys;

    on->server = primary(chaos);
    keys = ask(on->server, "KEYS *stays-*");
    for (size_t i = 0; keys != NULL && keys->type == REDIS_REPLY_ARRAY && i < keys->elements; i++) {
        if (chaos_random(chaos, 3) == 0) {
            freeReplyObject(ask(on->server, "DEL %b", keys->element[i]->str, keys->element[i]->len));
        }
    }
    freeReplyObject(keys);
}

/* ---- a server that refuses ---- */

static void want_replicas(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = primary(chaos);
    (void)tell(on->server, "CONFIG SET min-replicas-to-write 9");
}

static void want_none(struct chaos *chaos, struct chaos_strike *on)
{
    untell(chaos, on->server, "CONFIG SET min-replicas-to-write 0");
}

static void fill(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = primary(chaos);
    (void)tell(on->server, "CONFIG SET maxmemory 1mb");
}

static void make_room(struct chaos *chaos, struct chaos_strike *on)
{
    untell(chaos, on->server, "CONFIG SET maxmemory 0");
}

static void deny(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = primary(chaos);
    (void)tell(on->server, "ACL SETUSER default -fcall -hset -set -del -zadd");
}

static void allow(struct chaos *chaos, struct chaos_strike *on)
{
    untell(chaos, on->server, "ACL SETUSER default +@all");
}

/* A replica of its own accord: READONLY, until the Sentinels see to it, or it is told otherwise. */
static void demote(struct chaos *chaos, struct chaos_strike *on)
{
    char command[64];

    on->server = primary(chaos);
    for (size_t i = 0; i < CHAOS_SERVERS; i++) {
        if (chaos->servers[i] != on->server && chaos->servers[i]->pid != 0) {
            (void)snprintf(command, sizeof(command), "REPLICAOF 127.0.0.1 %u", chaos->servers[i]->port);
        }
    }
    (void)tell(on->server, command);
}

static void promote(struct chaos *chaos, struct chaos_strike *on)
{
    if (primary(chaos) == on->server) {
        (void)tell(on->server, "REPLICAOF NO ONE");
    }
}

/* ---- between the agents and a server ---- */

static void delay(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = primary(chaos);
    (void)tell(on->server, "CLIENT PAUSE 2500 ALL");
}

static void cut(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = primary(chaos);
    (void)tell(on->server, "CLIENT KILL TYPE normal");
    (void)tell(on->server, "CLIENT KILL TYPE pubsub");
}

/* ---- agents ---- */

static void kill_agent(struct chaos *chaos, struct chaos_strike *on)
{
    on->host = (unsigned)chaos_random(chaos, CHAOS_HOSTS);
    rt_cluster_agent_kill(&chaos->cluster, on->host);
}

static void start_agent(struct chaos *chaos, struct chaos_strike *on)
{
    if (chaos->cluster.hosts[on->host].pid == 0 && rt_cluster_agent_start(&chaos->cluster, on->host) != 0) {
        chaos_fail(chaos, "an agent cannot be started again");
    }
}

const struct chaos_fault chaos_faults[] = {
    {.name = "kill", .begin = kill_primary, .mend = restart, .ms = 3000},
    {.name = "stop", .begin = stop_primary, .mend = resume, .ms = 3000},
    {.name = "stop-short", .begin = stop_primary, .mend = resume, .ms = 400},
    {.name = "failover", .begin = failover, .ms = 2000},
    {.name = "sentinel", .begin = kill_sentinel, .mend = start_sentinel, .ms = 2000},
    {.name = "flush", .begin = flush, .ms = 500, .empties = true},
    {.name = "restart-empty", .begin = restart_empty, .ms = 1000, .empties = true},
    {.name = "forget", .begin = forget, .ms = 500},
    {.name = "functions", .begin = flush_functions, .ms = 500},
    {.name = "noreplicas", .begin = want_replicas, .mend = want_none, .ms = 2000},
    {.name = "oom", .begin = fill, .mend = make_room, .ms = 2000},
    {.name = "noperm", .begin = deny, .mend = allow, .ms = 2000},
    {.name = "readonly", .begin = demote, .mend = promote, .ms = 2000},
    {.name = "delay", .begin = delay, .ms = 3000},
    {.name = "cut", .begin = cut, .ms = 300},
    {.name = "agent", .begin = kill_agent, .mend = start_agent, .ms = 400},
};
const size_t chaos_n_faults = sizeof(chaos_faults) / sizeof(chaos_faults[0]);

/* ---- the store ---- */

int chaos_store_start(struct rt_cluster *cluster, unsigned host)
{
    struct chaos *chaos = &chaos_only;
    int rc;

    if (host > 0) {
        return 0;
    }
    chaos->servers[0] = &cluster->redis;
    chaos->servers[1] = &cluster->replica;
    chaos->servers[2] = &chaos->second;
    rc = rt_test_redis_start(&chaos->second, &cluster->redis, NULL);
    rt_janitor_remove(&cluster->janitor, chaos->second.dir);
    for (size_t i = 0; i < CHAOS_SENTINELS; i++) {
        rc |= rt_test_sentinel_start(&chaos->sentinels[i], &cluster->redis);
        rt_janitor_remove(&cluster->janitor, chaos->sentinels[i].dir);
    }
    for (size_t i = 0; i < CHAOS_SENTINELS && rc == 0; i++) {
        rc |= rt_test_sentinel_wait(&chaos->sentinels[i], CHAOS_SENTINELS - 1, CHAOS_SERVERS - 1);
    }
    (void)snprintf(cluster->store, sizeof(cluster->store), "sentinel://main@127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u",
                   chaos->sentinels[0].port, chaos->sentinels[1].port, chaos->sentinels[2].port);
    return rc;
}

void chaos_store_stop(struct chaos *chaos)
{
    for (size_t i = 0; i < CHAOS_SENTINELS; i++) {
        rt_test_redis_stop(&chaos->sentinels[i]);
    }
    rt_test_redis_stop(&chaos->second);
}
