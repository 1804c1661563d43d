/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/load/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is measured, one phase after the other. */

/* What is a difference of two looks at a server that works on may be a little below 0. */
static void say(const char *name, const char *unit, bool more, double goal, double value)
{
    (void)printf("%s|%s|%s|%g|%g\n", name, unit, more ? "more" : "less", goal, value > 0 ? value : 0);
    (void)fflush(stdout);
}

static bool is_filled(void)
{
    while (load.n_open < LOAD_FILLERS && load.opened < load.n_hosts) {
        open_host(&load.hosts[load.opened++]);
    }
    return load.n_open == 0;
}

static bool all_up(void)
{
    return load.n_up == load.n_hosts;
}

static bool is_found(void)
{
    return !load.finding;
}

static bool nothing_moves(void)
{
    return load.moves_under_way == 0;
}

void phase_fill(void)
{
    double memory = info("memory", "used_memory:"), cpu = server_cpu_s();
    uint64_t began = now_ns();
    double s;

    load.filling = true;
    run(is_filled, 0);
    load.filling = false;
    if (load.n_filled != load.n_sessions) {
        die("%u of %u sessions were made", load.n_filled, load.n_sessions);
    }
    s = ms_since(began) / 1e3;
    say("sessions made, claimed, listed, reported", "1/s", true, 0, load.n_sessions / s);
    say("CPU of the store for one of them", "us", false, 0, (server_cpu_s() - cpu) * 1e6 / load.n_sessions);
    say("memory of a record", "B", false, 600, record_bytes());
    say("memory of the store for one of them", "B", false, 0,
        (info("memory", "used_memory:") - memory) / load.n_sessions);
}

void phase_come(void)
{
    uint64_t began = now_ns();

    for (unsigned i = 0; i < load.n_hosts; i++) {
        open_host(&load.hosts[i]);
        run(NULL, LOAD_COME_MS); /* agents do not beat at the same moment */
    }
    run(all_up, 0);
    say("all hosts come", "s", false, 0, ms_since(began) / 1e3);
    run(NULL, 2000);
}

void phase_idle(void)
{
    static const char *const writes[] = {"hset", "zadd", "zrem", "hdel", "set", "del", "pexpire", "hincrby", NULL};
    static const char *const reads[] = {"hgetall", "zscore", "hmget", NULL};
    /* A heartbeat writes its row and its name, and with it an agent reads a page of the registry. */
    static const char *const heartbeats[] = {"zadd", NULL}, *const functions[] = {"fcall", NULL};
    double wrote = calls(writes), read = calls(reads), called = calls(functions), beats = calls(heartbeats);
    double cpu = server_cpu_s(), s;
    uint64_t began = now_ns();

    run(NULL, load.seconds * UINT64_C(1000));
    s = ms_since(began) / 1e3;
    beats = calls(heartbeats) - beats;
    say("writes when idle, without heartbeats", "1/s", false, 1, (calls(writes) - wrote - 2 * beats) / s);
    say("reads of walks over the hosts' sets", "1/s", false, 0, (calls(reads) - read - beats) / s);
    say("functions called when idle", "1/s", false, 0, (calls(functions) - called) / s);
    say("CPU of the store for a host and second", "us", false, 0,
        (server_cpu_s() - cpu) * 1e6 / (beats > 0 ? beats : 1));
    load.auditing = true;
    read = calls(reads);
    beats = calls(heartbeats);
    began = now_ns();
    cpu = server_cpu_s();
    run(NULL, load.seconds * UINT64_C(1000));
    s = ms_since(began) / 1e3;
    say("reads of audits and walks", "1/s", false, 2000, (calls(reads) - read - calls(heartbeats) + beats) / s);
    say("CPU of the store with them", "%", false, 0, (server_cpu_s() - cpu) * 100 / s);
}

static void list(const char *prefix, const char *host, bool every)
{
    load.find = (struct rt_store_op){.kind = RT_STORE_FIND, .key = {.tenant = LOAD_TENANT}, .every = every};
    (void)snprintf(load.find.key.cid, sizeof(load.find.key.cid), "%s", prefix);
    (void)snprintf(load.find.host, sizeof(load.find.host), "%s", host);
    load.finding = true;
    load.found = load.pages = 0;
    load.find_ns = now_ns();
    find_page();
    run(is_found, 0);
}

static unsigned begins(unsigned at, unsigned digits)
{
    return (unsigned)(mixed(at) >> 32) >> (32 - 4 * digits);
}

void phase_list(void)
{
    double one = 0;

    list("", "", false);
    say("ls, all", "s", false, 30.0 * load.n_sessions / 1e6, ms_since(load.find_ns) / 1e3);
    say("ls, its first page", "ms", false, 50, (double)load.first_ns / 1e6);
    if (load.found != load.n_sessions) {
        die("a listing of %u sessions has %" PRIu64, load.n_sessions, load.found);
    }
    list("", load.hosts[load.n_hosts / 2].name, false);
    say("ls --host", "ms", false, 200, ms_since(load.find_ns));
    if (load.found != (load.n_sessions - load.n_hosts / 2 + load.n_hosts - 1) / load.n_hosts) {
        die("a listing of one host has %" PRIu64, load.found);
    }
    for (unsigned i = 0; i < LOAD_PREFIXES; i++) {
        unsigned at = (unsigned)(mixed(i + 77) % load.n_sessions), wanted = 0;
        char prefix[16];

        (void)snprintf(prefix, sizeof(prefix), "%06x", begins(at, 6));
        list(prefix, "", true);
        one += ms_since(load.find_ns) / LOAD_PREFIXES;
        for (unsigned j = 0; j < load.n_sessions; j++) {
            wanted += begins(j, 6) == begins(at, 6);
        }
        if (load.found != wanted) {
            die("prefix %s: %" PRIu64 " of %u were found", prefix, load.found, wanted);
        }
    }
    say("a search by prefix", "ms", false, 0, one);
}

static int compare(const void *a, const void *b)
{
    double x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x < y ? -1 : x > y;
}

static double latency(double part)
{
    size_t at = (size_t)(part * (double)load.n_latencies);

    qsort(load.latency_ms, load.n_latencies, sizeof(load.latency_ms[0]), compare);
    return load.n_latencies == 0 ? 0 : load.latency_ms[at < load.n_latencies ? at : load.n_latencies - 1];
}

static double moves_for(uint64_t ms)
{
    uint64_t began = now_ns(), before = load.moves;
    double rate;

    load.moving = true;
    load.n_latencies = 0;
    load.moves_owed = 0;
    for (unsigned i = 0; load.moves_a_s <= 0 && i < LOAD_MOVE_WINDOW && i < load.n_sessions / 2; i++) {
        move();
    }
    if (ms > 0) {
        run(NULL, ms);
    } else {
        list("", "", false);
    }
    rate = (double)(load.moves - before) * 1e3 / ms_since(began);
    load.moving = false;
    run(nothing_moves, 0);
    return rate;
}

void phase_move(void)
{
    double memory = info("memory", "used_memory:"), cpu = server_cpu_s(), rate;
    uint64_t began = load.moves;

    say("claims (test and take), as many as can be", "1/s", true, LOAD_MOVES_GOAL,
        moves_for(load.seconds * UINT64_C(1000)));
    say("CPU of the store for a claim", "us", false, 0,
        (server_cpu_s() - cpu) * 1e6 / (double)(load.moves > began ? load.moves - began : 1));
    load.moves_a_s = LOAD_MOVES_GOAL;
    rate = moves_for(load.seconds * UINT64_C(1000));
    say("claims, 1,000 a second wanted", "1/s", true, LOAD_MOVES_GOAL * 0.98, rate);
    say("... the time of one, p50", "ms", false, 0, latency(0.5));
    say("... the time of one, p99", "ms", false, 0, latency(0.99));
    rate = moves_for(0);
    say("claims beside ls, 1,000 a second wanted", "1/s", true, LOAD_MOVES_GOAL * 0.98, rate);
    say("ls of all beside claims", "s", false, 30.0 * load.n_sessions / 1e6, ms_since(load.find_ns) / 1e3);
    say("memory that claims add to a session", "B", false, 0,
        (info("memory", "used_memory:") - memory) / load.n_sessions);
    say("claims of a session in all of this", "", false, 0, (double)load.moves / load.n_sessions);
    if (load.refused > 0) {
        die("%" PRIu64 " claims were refused", load.refused);
    }
}
