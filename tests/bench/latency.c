/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/bench.h"

#include <errno.h>
#include <poll.h>
#include <retether/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

/* One byte to a program in the guest that gives it back, one at a time. Alone: through `retether attach` and pipes, as
 * with the others. Beside a bulk stream: two attachments of one client to one container, so that both share the guest's
 * link and the client's; the others have a connection for each. */

#define ECHOES 4000
#define QUICK_ECHOES 200
#define WARM_UP 50

static double times[ECHOES];

static unsigned echoes_of(const struct bench *bench)
{
    return bench->options.quick ? QUICK_ECHOES : ECHOES;
}

static void sample(struct bench *bench, const char *how, enum bench_who who, unsigned n)
{
    static const struct {
        const char *name;
        double part;
    } ranks[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}};

    report_sort(times, n);
    for (size_t i = 0; i < sizeof(ranks) / sizeof(ranks[0]); i++) {
        struct report_figure *figure;
        char name[64];

        (void)snprintf(name, sizeof(name), "1-byte echo, %s, %s", how, ranks[i].name);
        figure = report_figure(&bench->report, "latency", name, "us", false);
        report_sample(figure, bench_who_name(who), report_rank(times, n, ranks[i].part));
        if (who == BENCH_HAPROXY && i < 2) {
            report_goal(figure, bench_who_name(who), i == 0 ? 0.6 : 0.8);
        }
    }
}

/* ---- through pipes ---- */

static void echo_once(const struct bench_chain *chain)
{
    struct pollfd fd = {.fd = chain->from_guest, .events = POLLIN};
    char byte = 'x';

    if (write(chain->to_guest, &byte, 1) != 1 || poll(&fd, 1, BENCH_LIMIT_MS) != 1 ||
        read(chain->from_guest, &byte, 1) != 1) {
        bench_die("%s: no echo", bench_who_name(chain->who));
    }
}

static void echo_all(const struct bench_chain *chain, unsigned n)
{
    for (unsigned i = 0; i < WARM_UP + n; i++) {
        uint64_t began = bench_now_ns();

        echo_once(chain);
        if (i >= WARM_UP) {
            times[i - WARM_UP] = (double)(bench_now_ns() - began) / 1000;
        }
    }
}

static void alone(struct bench *bench, enum bench_who who)
{
    struct bench_chain chain = {.who = who, .flow = BENCH_BOTH};
    const char *guest[] = {bench->pump, "echo", NULL};
    unsigned n = echoes_of(bench);

    bench_chain_open(bench, &chain, guest);
    echo_once(&chain);
    echo_all(&chain, n);
    sample(bench, "free", who, n);
    bench_chain_pin(&chain, true);
    echo_all(&chain, n);
    sample(bench, "on one CPU", who, n);
    bench_chain_pin(&chain, false);
    bench_chain_close(&chain);
}

/* ---- beside a bulk stream ---- */

/* Takes a stream and throws it away. */
struct drain {
    int fd;
    uint64_t bytes;
};

static void drain_some(struct drain *drain)
{
    static char block[256 << 10];
    ssize_t n = read(drain->fd, block, sizeof(block));

    if (n <= 0) {
        bench_die("the bulk stream has ended");
    }
    drain->bytes += (uint64_t)n;
}

static void beside_others(struct bench *bench, enum bench_who who)
{
    struct bench_chain echo = {.who = who, .flow = BENCH_BOTH}, bulk = {.who = who, .flow = BENCH_UP};
    const char *echo_program[] = {bench->pump, "echo", NULL}, *flood[] = {bench->pump, "flood", "65536", NULL};
    unsigned n = echoes_of(bench);
    struct pollfd fds[2];
    struct drain drain;

    bench_chain_open(bench, &echo, echo_program);
    echo_once(&echo);
    bench_chain_open(bench, &bulk, flood);
    drain = (struct drain){.fd = bulk.from_guest};
    fds[0] = (struct pollfd){.fd = echo.from_guest, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = bulk.from_guest, .events = POLLIN};
    for (unsigned i = 0; i < WARM_UP + n; i++) {
        uint64_t began = bench_now_ns();
        char byte = 'x';
        bool back = write(echo.to_guest, &byte, 1) != 1;

        while (!back) {
            if (poll(fds, 2, BENCH_LIMIT_MS) < 1) {
                bench_die("%s: nothing comes", bench_who_name(who));
            }
            if (fds[0].revents != 0) {
                back = read(echo.from_guest, &byte, 1) == 1;
            }
            if (fds[1].revents != 0) {
                drain_some(&drain);
            }
        }
        times[i < WARM_UP ? 0 : i - WARM_UP] = (double)(bench_now_ns() - began) / 1000;
    }
    sample(bench, "beside a bulk stream", who, n);
    bench_chain_close(&bulk);
    bench_chain_close(&echo);
}

struct beside {
    uv_loop_t loop;
    struct retether_client *client;
    struct retether_attachment *echo, *bulk;
    uint64_t began, bytes;
    unsigned done, wanted;
};

static void say_one(struct beside *beside)
{
    beside->began = bench_now_ns();
    if (retether_write(beside->echo, "x", 1) != 1) {
        bench_die("retether_write: no room");
    }
}

static size_t echo_cb(struct retether_attachment *att, enum retether_stream stream, const void *data, size_t size,
                      void *ctx)
{
    struct beside *beside = ctx;

    (void)att;
    (void)stream;
    (void)data;
    if (beside->bytes > 0) { /* the bulk stream flows */
        times[beside->done < WARM_UP ? 0 : beside->done - WARM_UP] = (double)(bench_now_ns() - beside->began) / 1000;
        beside->done++;
    }
    if (beside->done == WARM_UP + beside->wanted) {
        retether_client_close(beside->client, NULL, NULL);
    } else {
        say_one(beside);
    }
    return size;
}

static size_t bulk_cb(struct retether_attachment *att, enum retether_stream stream, const void *data, size_t size,
                      void *ctx)
{
    struct beside *beside = ctx;

    (void)att;
    (void)stream;
    (void)data;
    beside->bytes += size;
    return size;
}

static void attached_cb(struct retether_attachment *att, const struct retether_attached *attached, void *ctx)
{
    (void)att;
    (void)attached;
    say_one(ctx);
}

static void beside_retether(struct bench *bench)
{
    struct bench_chain chain = {.who = BENCH_RETETHER, .flow = BENCH_BOTH, .no_client = true};
    const char *echo_program[] = {bench->pump, "echo", NULL}, *flood[] = {bench->pump, "flood", "65536", NULL};
    struct beside beside = {.wanted = echoes_of(bench)};
    const struct retether_attachment_callbacks echo = {.size = sizeof(echo),
                                                       .attached = attached_cb,
                                                       .output = echo_cb,
                                                       .failed = bench_attach_failed,
                                                       .ctx = &beside};
    const struct retether_attachment_callbacks bulk = {
        .size = sizeof(bulk), .output = bulk_cb, .failed = bench_attach_failed, .ctx = &beside};
    const struct retether_exec_options exec = {.size = sizeof(exec), .argv = flood};
    struct retether_attach_options options;
    char endpoint[160], why[RETETHER_TEXT_MAX];

    bench_chain_open(bench, &chain, echo_program);
    (void)snprintf(endpoint, sizeof(endpoint), "unix:%s", bench->cluster.hosts[0].clients);
    retether_attach_defaults(&options, sizeof(options));
    options.container = chain.cid;
    options.input = true;
    if (uv_loop_init(&beside.loop) != 0 || retether_client_new(&beside.loop, "bench", NULL, &beside.client) != 0 ||
        retether_client_add_agent(beside.client, endpoint, why, sizeof(why)) != 0 ||
        retether_attach(beside.client, &options, &echo, &beside.echo) != 0 ||
        retether_exec(beside.client, &options, &exec, &bulk, &beside.bulk) != 0) {
        bench_die("no client");
    }
    (void)uv_run(&beside.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&beside.loop);
    sample(bench, "beside a bulk stream", BENCH_RETETHER, beside.wanted);
    bench_chain_close(&chain);
}

void bench_latency(struct bench *bench)
{
    bench_world_start(bench, 1);
    for (unsigned round = 0; round < bench_rounds(bench); round++) {
        for (enum bench_who who = 0; who < BENCH_WHOS; who++) {
            if (bench_who_there(bench, who)) {
                bench_say("round %u: %s, alone", round + 1, bench_who_name(who));
                alone(bench, who);
            }
        }
        bench_say("round %u: beside a bulk stream", round + 1);
        beside_retether(bench);
        for (enum bench_who who = BENCH_HAPROXY; who <= BENCH_HAPROXY_BIG; who++) {
            if (bench_who_there(bench, who)) {
                beside_others(bench, who);
            }
        }
    }
    bench_world_stop(bench);
}
