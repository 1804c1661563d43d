/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/chaos/faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is done to the store and to agents. Each acts on the server that the Sentinels call the primary then, and mends
 * what it did to that one; another fault may have killed it meanwhile, or started it again. */

#define FAILOVER_TRIES 50
#define AGAIN_MS 100
#define RELOAD_ASK_MS 20

/* ---- servers that go and come ---- */

/* Sentinels write into a server's file what it is: it comes back as that. */
static void kill_primary(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = chaos_primary(chaos);
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
    on->server = chaos_primary(chaos);
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
    for (unsigned i = 0; i < FAILOVER_TRIES; i++) {
        if (chaos_tell(&chaos->sentinels[i % CHAOS_SENTINELS], "SENTINEL FAILOVER main")) {
            return;
        }
        chaos_wait(chaos, AGAIN_MS);
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
    on->server = chaos_primary(chaos);
    (void)chaos_tell(on->server, "FLUSHALL");
}

static void flush_functions(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = chaos_primary(chaos);
    (void)chaos_tell(on->server, "FUNCTION FLUSH");
}

/* Records of containers that run, one by one. */
static void forget(struct chaos *chaos, struct chaos_strike *on)
{
    char line[256];
    redisReply *keys;

    on->server = chaos_primary(chaos);
    keys = chaos_ask(on->server, "KEYS *stays-*");
    for (size_t i = 0; keys != NULL && keys->type == REDIS_REPLY_ARRAY && i < keys->elements; i++) {
        if (chaos_random(chaos, 3) == 0) {
            (void)snprintf(line, sizeof(line), "DEL %s", keys->element[i]->str);
            (void)chaos_tell(on->server, line);
        }
    }
    freeReplyObject(keys);
}

/* ---- a server that refuses ---- */

static void want_replicas(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = chaos_primary(chaos);
    (void)chaos_tell(on->server, "CONFIG SET min-replicas-to-write 9");
}

static void want_none(struct chaos *chaos, struct chaos_strike *on)
{
    chaos_untell(chaos, on->server, "CONFIG SET min-replicas-to-write 0");
}

static void fill(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = chaos_primary(chaos);
    (void)chaos_tell(on->server, "CONFIG SET maxmemory 1mb");
}

static void make_room(struct chaos *chaos, struct chaos_strike *on)
{
    chaos_untell(chaos, on->server, "CONFIG SET maxmemory 0");
}

static void deny(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = chaos_primary(chaos);
    (void)chaos_tell(on->server, "ACL SETUSER " CHAOS_USER " -fcall -hset -set -del -zadd");
}

static void allow(struct chaos *chaos, struct chaos_strike *on)
{
    chaos_untell(chaos, on->server, "ACL SETUSER " CHAOS_USER " +@all");
}

/* A replica of its own accord: READONLY, until the Sentinels see to it, or it is told otherwise. */
static void demote(struct chaos *chaos, struct chaos_strike *on)
{
    char command[64] = "REPLICAOF NO ONE";

    on->server = chaos_primary(chaos);
    for (size_t i = 0; i < CHAOS_SERVERS; i++) {
        if (chaos->servers[i] != on->server && chaos->servers[i]->pid != 0) {
            (void)snprintf(command, sizeof(command), "REPLICAOF 127.0.0.1 %u", chaos->servers[i]->port);
        }
    }
    (void)chaos_tell(on->server, command);
}

static void promote(struct chaos *chaos, struct chaos_strike *on)
{
    if (chaos_primary(chaos) == on->server) {
        (void)chaos_tell(on->server, "REPLICAOF NO ONE");
    }
}

/* It loads its file again, and slowly: LOADING for two seconds. */
static void reload(struct chaos *chaos, struct chaos_strike *on)
{
    redisReply *size;
    char line[64];

    on->server = chaos_primary(chaos);
    size = chaos_ask(on->server, "DBSIZE");
    if (size != NULL && size->type == REDIS_REPLY_INTEGER) {
        (void)snprintf(line, sizeof(line), "CONFIG SET key-load-delay %lld", 2000000 / (size->integer + 1));
        (void)chaos_tell(on->server, line);
        (void)chaos_tell(on->server, "CONFIG SET loading-process-events-interval-bytes 1024");
        freeReplyObject(rt_test_redis_ask(on->server, RELOAD_ASK_MS, "DEBUG RELOAD")); /* it answers when it is over */
    }
    freeReplyObject(size);
}

static void load_fast(struct chaos *chaos, struct chaos_strike *on)
{
    chaos_untell(chaos, on->server, "CONFIG SET key-load-delay 0");
}

static void dump_of(const struct rt_test_redis *server, char path[96])
{
    (void)snprintf(path, 96, "%s/dump.rdb", server->dir);
}

/* A directory stands where it would save: MISCONF. */
static void spoil_disk(struct chaos *chaos, struct chaos_strike *on)
{
    char path[96];

    on->server = chaos_primary(chaos);
    dump_of(on->server, path);
    (void)unlink(path);
    (void)mkdir(path, 0700);
    (void)chaos_tell(on->server, "CONFIG SET save \"3600 1\"");
    (void)chaos_tell(on->server, "BGSAVE");
}

static void mend_disk(struct chaos *chaos, struct chaos_strike *on)
{
    char path[96];

    dump_of(on->server, path);
    (void)rmdir(path);
    chaos_untell(chaos, on->server, "CONFIG SET save \"\"");
}

/* The agents' user gets another password, which they do not know, on every server; and they have to dial. */
static void change_password(struct chaos *chaos, struct chaos_strike *on)
{
    (void)on;
    for (size_t i = 0; i < CHAOS_SERVERS; i++) {
        (void)chaos_tell(chaos->servers[i], "ACL SETUSER " CHAOS_USER " resetpass >another");
    }
    chaos_ways(chaos, CHAOS_ALL, CHAOS_ALL, PROXY_CUT);
}

static void restore_password(struct chaos *chaos, struct chaos_strike *on)
{
    (void)on;
    for (size_t i = 0; i < CHAOS_SERVERS; i++) {
        chaos_untell(chaos, chaos->servers[i], "ACL SETUSER " CHAOS_USER " resetpass >" CHAOS_PASSWORD);
    }
}

/* ---- a server whose clock is wrong ---- */

#define DAY_S INT64_C(86400)

/* What has a time to live is over. */
static void clock_ahead(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = chaos_primary(chaos);
    (void)chaos_clock(chaos, chaos_number_of(chaos, on->server), 8 * DAY_S);
}

static void clock_behind(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = chaos_primary(chaos);
    (void)chaos_clock(chaos, chaos_number_of(chaos, on->server), -40);
}

static void clock_right(struct chaos *chaos, struct chaos_strike *on)
{
    (void)chaos_clock(chaos, chaos_number_of(chaos, on->server), 0);
}

/* ---- between the agents and a server ---- */

static void delay(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = chaos_primary(chaos);
    (void)chaos_tell(on->server, "CLIENT PAUSE 2500 ALL");
}

static void cut(struct chaos *chaos, struct chaos_strike *on)
{
    on->server = chaos_primary(chaos);
    (void)chaos_tell(on->server, "CLIENT KILL TYPE normal");
    (void)chaos_tell(on->server, "CLIENT KILL TYPE pubsub");
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

/* .ms: long enough for what it is to bring about: two seconds for a failover. */
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
    {.name = "loading", .begin = reload, .mend = load_fast, .ms = 2500},
    {.name = "misconf", .begin = spoil_disk, .mend = mend_disk, .ms = 2000},
    {.name = "password", .begin = change_password, .mend = restore_password, .ms = 2000},
    {.name = "clock-ahead", .begin = clock_ahead, .mend = clock_right, .ms = 1500, .empties = true},
    {.name = "clock-behind", .begin = clock_behind, .mend = clock_right, .ms = 1500},
    {.name = "delay", .begin = delay, .ms = 3000},
    {.name = "cut", .begin = cut, .ms = 300},
    {.name = "expired", .begin = chaos_net_expired, .mend = chaos_net_mend, .ms = 2000},
    {.name = "tear", .begin = chaos_net_tear, .mend = chaos_net_mend, .ms = 2000},
    {.name = "slow", .begin = chaos_net_slow, .mend = chaos_net_mend, .ms = 3000},
    {.name = "garbage", .begin = chaos_net_garbage, .mend = chaos_net_mend, .ms = 2000},
    {.name = "liar", .begin = chaos_net_liar, .mend = chaos_net_mend, .ms = 2000},
    {.name = "one-apart", .begin = chaos_net_one, .mend = chaos_net_mend, .ms = 3000},
    {.name = "all-apart", .begin = chaos_net_all, .mend = chaos_net_mend, .ms = 2000},
    {.name = "halves", .begin = chaos_net_halves, .mend = chaos_net_join, .ms = 3500},
    {.name = "agent", .begin = kill_agent, .mend = start_agent, .ms = 400},
};
const size_t chaos_n_faults = sizeof(chaos_faults) / sizeof(chaos_faults[0]);
