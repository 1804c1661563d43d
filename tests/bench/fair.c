/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/bench.h"

#include <poll.h>
#include <retether/client.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

/* Many streams over one client link: containers that write as much as they can, and one client that reads them all.
 * The share of each is what came of it between two moments at which all of them flow. */

#define SESSIONS 100
#define QUICK_SESSIONS 5
#define SETTLE_MS 1000
#define MEASURE_MS 4000
#define QUICK_MS 300
#define GOAL_SHARE 0.8

static const struct payload {
    const char *name, *size;
} payloads[] = {{"64 KiB", "65536"}, {"64 B", "64"}};

struct fair {
    struct bench *bench;
    const struct payload *payload;
    uv_loop_t loop;
    uv_timer_t timer;
    struct retether_client *client;
    unsigned n, asked, attached;
    uint64_t got[SESSIONS];
    pid_t guests;
    int hold; /* the guests end when it is closed */
};

struct one {
    struct fair *fair;
    unsigned number;
};

static void attach(struct fair *fair);

static void attached_cb(struct retether_attachment *att, const struct retether_attached *attached, void *ctx)
{
    struct fair *fair = ((struct one *)ctx)->fair;

    (void)att;
    (void)attached;
    if (++fair->attached == fair->n) {
        uv_stop(&fair->loop);
    } else {
        attach(fair);
    }
}

static size_t output_cb(struct retether_attachment *att, enum retether_stream stream, const void *data, size_t size,
                        void *ctx)
{
    struct one *one = ctx;

    (void)att;
    (void)stream;
    (void)data;
    one->fair->got[one->number] += size;
    return size;
}

/* One after the other. */
static void attach(struct fair *fair)
{
    static struct one ones[SESSIONS];
    struct one *one = &ones[fair->asked];
    const struct retether_attachment_callbacks callbacks = {.size = sizeof(callbacks),
                                                            .attached = attached_cb,
                                                            .output = output_cb,
                                                            .failed = bench_attach_failed,
                                                            .ctx = one};
    struct retether_attach_options options;
    struct retether_attachment *att;
    char cid[32];

    *one = (struct one){.fair = fair, .number = fair->asked++};
    (void)snprintf(cid, sizeof(cid), "storm-%u", one->number);
    retether_attach_defaults(&options, sizeof(options));
    options.container = cid;
    options.from = RETETHER_FROM_OLDEST;
    if (retether_attach(fair->client, &options, &callbacks, &att) != 0) {
        bench_die("retether_attach: refused");
    }
}

static void late_cb(uv_timer_t *timer)
{
    const struct fair *fair = timer->data;

    bench_die("%u of %u sessions attached", fair->attached, fair->n);
}

static void stop_cb(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void run_for(struct fair *fair, unsigned ms, uv_timer_cb then)
{
    uv_update_time(&fair->loop);
    (void)uv_timer_start(&fair->timer, then, ms, 0);
    (void)uv_run(&fair->loop, UV_RUN_DEFAULT);
    (void)uv_timer_stop(&fair->timer);
}

static void start_guests(struct fair *fair)
{
    int ends[2];
    char line[8];

    fair->guests = bench_guests(fair->bench, fair->n, fair->payload->size, ends);
    fair->hold = ends[0];
    if (poll(&(struct pollfd){.fd = ends[1], .events = POLLIN}, 1, BENCH_LIMIT_MS) != 1 ||
        read(ends[1], line, sizeof(line)) <= 0) {
        bench_die("the guests do not come up");
    }
    (void)close(ends[1]);
}

static void open_client(struct fair *fair)
{
    char why[RETETHER_TEXT_MAX], endpoint[160];

    (void)snprintf(endpoint, sizeof(endpoint), "unix:%s", fair->bench->cluster.hosts[0].clients);
    if (uv_loop_init(&fair->loop) != 0 || uv_timer_init(&fair->loop, &fair->timer) != 0 ||
        retether_client_new(&fair->loop, "bench", NULL, &fair->client) != 0 ||
        retether_client_add_agent(fair->client, endpoint, why, sizeof(why)) != 0) {
        bench_die("no client");
    }
    fair->timer.data = fair;
}

static void note(struct fair *fair, const uint64_t *before, double seconds)
{
    const char *who = bench_who_name(BENCH_RETETHER);
    double least = 0, most = 0, all = 0;
    struct report_figure *figure;
    char name[64];

    for (unsigned i = 0; i < fair->n; i++) {
        double got = (double)(fair->got[i] - before[i]);

        least = i == 0 || got < least ? got : least;
        most = got > most ? got : most;
        all += got;
    }
    (void)snprintf(name, sizeof(name), "%u sessions, %s: least share by largest", fair->n, fair->payload->name);
    figure = report_figure(&fair->bench->report, "fair", name, "", true);
    report_sample(figure, who, most > 0 ? least / most : 0);
    figure->goal = GOAL_SHARE;
    (void)snprintf(name, sizeof(name), "%u sessions, %s: throughput of all", fair->n, fair->payload->name);
    report_sample(report_figure(&fair->bench->report, "fair", name, "MB/s", true), who, all / 1e6 / seconds);
}

static void round_of(struct bench *bench, const struct payload *payload)
{
    static struct fair fair;
    bool quick = bench->options.quick;
    uint64_t before[SESSIONS], began;

    bench_world_start(bench, 1);
    fair = (struct fair){.bench = bench, .payload = payload, .n = quick ? QUICK_SESSIONS : SESSIONS};
    start_guests(&fair);
    open_client(&fair);
    attach(&fair);
    run_for(&fair, BENCH_LIMIT_MS, late_cb);
    run_for(&fair, quick ? QUICK_MS : SETTLE_MS, stop_cb);
    memcpy(before, fair.got, sizeof(before));
    began = bench_now_ns();
    run_for(&fair, quick ? QUICK_MS : MEASURE_MS, stop_cb);
    note(&fair, before, (double)(bench_now_ns() - began) / 1e9);
    retether_client_close(fair.client, NULL, NULL);
    uv_close((uv_handle_t *)&fair.timer, NULL);
    (void)uv_run(&fair.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&fair.loop);
    (void)close(fair.hold);
    rt_process_kill(fair.guests);
    bench_world_stop(bench);
}

void bench_fair(struct bench *bench)
{
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        bench_say("%s", payloads[i].name);
        for (unsigned round = 0; round < bench_rounds(bench); round++) {
            round_of(bench, &payloads[i]);
        }
    }
}
