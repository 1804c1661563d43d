/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What idle attached sessions cost an agent: bench-sessions is all their guests, and one client that has attached to
 * each. What a first session costs once and for all is there before. */

#define SESSIONS 1000
#define QUICK_SESSIONS 50
/* Reports are written at most once a second. */
#define SETTLE_MS 4000
#define QUICK_SETTLE_MS 1200
#define GOAL_KIB 2

/* Until it has said "ready". */
static void wait_ready(int fd)
{
    char line[16];
    size_t size = 0;

    while (size < 5) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        ssize_t n = poll(&ready, 1, BENCH_LIMIT_MS) == 1 ? read(fd, line + size, sizeof(line) - size) : -1;

        if (n <= 0) {
            bench_die("the sessions do not come up");
        }
        size += (size_t)n;
    }
}

pid_t bench_sessions(struct bench *bench, unsigned n, int *hold)
{
    const struct rt_cluster_host *host = &bench->cluster.hosts[0];
    char number[16];
    const char *argv[] = {"bench-sessions", host->guests, host->clients, number, NULL};
    int in[2], out[2];
    pid_t pid;

    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
        bench_die("pipe: %s", strerror(errno));
    }
    (void)snprintf(number, sizeof(number), "%u", n);
    pid = bench_start(argv, in[0], out[1], -1, NULL);
    (void)close(in[0]);
    (void)close(out[1]);
    wait_ready(out[0]);
    (void)close(out[0]);
    *hold = in[1];
    return pid;
}

void bench_warm_up(struct bench *bench)
{
    const char *args[] = {"retether", "run", "--", "true", NULL};
    struct rt_process_run run;

    if (rt_cluster_cli(&bench->cluster, args, NULL, 0, BENCH_LIMIT_MS, &run) != 0 || run.status != 0) {
        bench_die("retether run: %s", run.err);
    }
    rt_process_run_free(&run);
}

static void round_of(struct bench *bench)
{
    unsigned n = bench->options.quick ? QUICK_SESSIONS : SESSIONS;
    unsigned settle = bench->options.quick ? QUICK_SETTLE_MS : SETTLE_MS;
    struct bench_report *report = &bench->report;
    const char *who = bench_who_name(BENCH_RETETHER);
    struct report_figure *figure;
    double fresh, full;
    uint64_t cpu;
    pid_t agent, guests;
    int hold;

    bench_world_start(bench, 1);
    agent = bench->cluster.hosts[0].pid;
    bench_warm_up(bench);
    rt_process_sleep_ms(settle);
    fresh = bench_memory(agent, "VmRSS:");
    guests = bench_sessions(bench, n, &hold);
    rt_process_sleep_ms(settle);
    full = bench_memory(agent, "VmRSS:");
    cpu = bench_cpu_ns(agent);
    rt_process_sleep_ms(settle);
    cpu = bench_cpu_ns(agent) - cpu;
    report_sample(report_figure(report, "memory", "agent's RSS after one session", "KiB", false), who, fresh);
    figure = report_figure(report, "memory", "agent's RSS for each idle attached session", "KiB", false);
    report_sample(figure, who, (full - fresh) / n);
    figure->goal = GOAL_KIB;
    report_sample(report_figure(report, "memory", "agent's CPU for 1,000 idle attached sessions", "% of one", false),
                  who, (double)cpu / 1e6 / settle * 100 * 1000 / n);
    (void)close(hold);
    rt_process_kill(guests);
    bench_world_stop(bench);
}

void bench_memory_part(struct bench *bench)
{
    for (unsigned round = 0; round < bench_rounds(bench); round++) {
        bench_say("round %u", round + 1);
        round_of(bench);
    }
}
