/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/bench.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One stream over a line with a round trip between the middle and the client (bench-delay: there is no netem
 * everywhere): what a window makes of it. The line itself holds 64 MiB, so that the peers show what it can carry. */

static const struct {
    const char *name;
    unsigned one_way_us;
    uint64_t bytes, quick_bytes;
    double goal; /* MB/s */
} trips[] = {
    {"0.2 ms", 100, 256U << 20, 4U << 20, 0},
    {"1 ms", 500, 256U << 20, 4U << 20, 1000},
    {"10 ms", 5000, 256U << 20, 1U << 20, 400},
    {"50 ms", 25000, 64U << 20, 1U << 20, 0},
};
#define TRIPS (sizeof(trips) / sizeof(trips[0]))

static void measure(struct bench *bench, size_t trip, enum bench_who who)
{
    char near[BENCH_PATH], far[BENCH_PATH], agent[BENCH_PATH + 8], us[16], name[64];
    const char *argv[] = {"bench-delay", near, far, us, NULL};
    struct bench_chain chain = {.who = who, .flow = BENCH_UP};
    struct report_figure *figure;
    pid_t line;

    (void)snprintf(us, sizeof(us), "%u", trips[trip].one_way_us);
    if (who == BENCH_RETETHER) {
        bench_path(bench, "far", near);
        (void)snprintf(far, sizeof(far), "%s", bench->cluster.hosts[0].clients);
        (void)snprintf(agent, sizeof(agent), "unix:%s", near);
        chain.client_agent = agent;
    } else {
        bench_path(bench, who == BENCH_HAPROXY ? "out.haproxy-0" : "out.haproxy-1", near);
        bench_path(bench, "out.far", far);
        chain.exit_socket = far;
    }
    (void)unlink(near);
    line = bench_start(argv, -1, -1, -1, NULL);
    bench_wait_listener(near, 0);
    (void)snprintf(name, sizeof(name), "throughput, round trip of %s, guest to client", trips[trip].name);
    figure = report_figure(&bench->report, "window", name, "MB/s", true);
    report_sample(figure, bench_who_name(who),
                  bench_rate(bench, &chain, bench->options.quick ? trips[trip].quick_bytes : trips[trip].bytes));
    figure->goal = trips[trip].goal;
    rt_process_kill(line);
    (void)unlink(near);
}

void bench_window(struct bench *bench)
{
    bench_world_start(bench, 1);
    for (size_t trip = 0; trip < TRIPS; trip++) {
        bench_say("round trip of %s", trips[trip].name);
        for (unsigned round = 0; round < bench_rounds(bench); round++) {
            for (enum bench_who who = BENCH_RETETHER; who <= BENCH_HAPROXY_BIG; who++) {
                if (bench_who_there(bench, who)) {
                    measure(bench, trip, who);
                }
            }
        }
    }
    bench_world_stop(bench);
}
