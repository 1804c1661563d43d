/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What sessions cost the store: making and claiming them, keeping them, and how much the store is asked. */

#define SESSIONS 1000
#define QUICK_SESSIONS 50
#define WATCH_MS 5000
#define QUICK_WATCH_MS 1100
/* Reports are written at most once a second. */
#define SETTLE_MS 3000
#define QUICK_SETTLE_MS 1000

static double info(struct bench *bench, const char *field)
{
    const char *args[] = {"redis-cli", "-s", bench->cluster.redis.socket, "INFO", NULL};
    struct rt_process_spec spec;
    struct rt_process_run run;
    const char *at;
    double value;

    rt_process_spec_init(&spec, args);
    if (rt_process_run(&spec, NULL, 0, BENCH_LIMIT_MS, &run) != 0 || (at = strstr(run.out, field)) == NULL) {
        bench_die("redis-cli INFO");
    }
    value = strtod(at + strlen(field), NULL);
    rt_process_run_free(&run);
    return value;
}

static void sample(struct bench *bench, const char *name, const char *unit, bool more, double value)
{
    report_sample(report_figure(&bench->report, "store", name, unit, more), bench_who_name(BENCH_RETETHER), value);
}

/* Commands a second; those of functions count too, but not what they call. */
static void watch(struct bench *bench, const char *name)
{
    unsigned ms = bench->options.quick ? QUICK_WATCH_MS : WATCH_MS;
    double before = info(bench, "\ntotal_commands_processed:");

    rt_process_sleep_ms(ms);
    sample(bench, name, "1/s", false, (info(bench, "\ntotal_commands_processed:") - before - 1) * 1000 / ms);
}

static void round_of(struct bench *bench)
{
    unsigned n = bench->options.quick ? QUICK_SESSIONS : SESSIONS;
    unsigned settle = bench->options.quick ? QUICK_SETTLE_MS : SETTLE_MS;
    double memory, cpu;
    uint64_t began;
    pid_t guests;
    int hold;

    bench_world_start(bench, 1);
    bench_warm_up(bench);
    rt_process_sleep_ms(settle);
    watch(bench, "commands without a session");
    memory = info(bench, "\nused_memory:");
    cpu = (double)bench_cpu_ns(bench->cluster.redis.pid);
    began = bench_now_ns();
    guests = bench_sessions(bench, n, &hold);
    sample(bench, "sessions made, claimed, attached to", "1/s", true, n / ((double)(bench_now_ns() - began) / 1e9));
    sample(bench, "CPU of the store for one of them", "us", false,
           ((double)bench_cpu_ns(bench->cluster.redis.pid) - cpu) / 1e3 / n);
    rt_process_sleep_ms(settle);
    sample(bench, "memory of the store for one of them", "B", false, (info(bench, "\nused_memory:") - memory) / n);
    watch(bench, n == SESSIONS ? "commands with 1,000 idle sessions" : "commands with idle sessions");
    (void)close(hold);
    rt_process_kill(guests);
    bench_world_stop(bench);
}

void bench_store(struct bench *bench)
{
    for (unsigned round = 0; round < bench_rounds(bench); round++) {
        bench_say("round %u", round + 1);
        round_of(bench);
    }
}
