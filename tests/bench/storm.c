/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <retether/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

/* Many sessions are moved at once, as when a host is evacuated: guests in one process (bench-guests), one client
 * attached to each. A move: what their names lead to is another agent, or three of them, all connections with the old
 * one are shut down, and then each container writes 64 bytes. It is over for a session when these are at the client.
 * Streaming: each also writes 64 bytes ten times a second all the while. */

#define STORM_NAMES 3
#define STORM_MAX 3000
#define STORM_ROUNDS 3
/* Attaches without an answer. */
#define UNDER_WAY_MAX 64
/* A link that lasted for less than a second is dialled again with a delay. */
#define SETTLE_MS 2500
#define QUICK_SETTLE_MS 1100
#define GOAL_MS 250
#define TICK_MS 20

static const unsigned sizes[] = {100, 1000, 3000};
#define QUICK_SIZE 20
/* For a size, with its guests' start and all its rounds. What is not done by then is left out; the figure of the storms
 * that are says so. 3,000 guests take a minute alone to start on a quiet machine: a fork takes the longer the more of
 * them there are. */
#define SIZE_LIMIT_MS 900000
#define KINDS 4 /* of storms: attached or streaming, to one or to three */

struct session {
    struct storm *storm;
    struct retether_attachment *att;
    uint8_t part[8]; /* of a time that has not come whole */
    size_t size;
    uint64_t back; /* when the first byte after the move came; 0: not yet */
};

struct storm {
    struct bench *bench;
    uv_loop_t loop;
    uv_timer_t timer;
    uint64_t deadline; /* of this size */
    uint64_t until;    /* of a wait */
    bool expires;      /* then it has failed, rather than ended */
    bool late;         /* something was not done in time: no more of this size */
    struct retether_client *client;
    struct session *sessions; /* owned */
    unsigned n, asked, attached, back, done;
    uint64_t cut; /* 0: no move is under way */
    pid_t guests;
    int to_guests, from_guests;
};

/* ---- the client ---- */

static void attach_more(struct storm *storm);

static void attached_cb(struct retether_attachment *att, const struct retether_attached *attached, void *ctx)
{
    struct storm *storm = ((struct session *)ctx)->storm;

    (void)att;
    (void)attached;
    if (++storm->attached == storm->n) {
        uv_stop(&storm->loop);
    }
    attach_more(storm);
}

static void see(struct session *session, uint64_t written)
{
    struct storm *storm = session->storm;

    if (storm->cut != 0 && session->back == 0 && written > storm->cut) {
        session->back = bench_now_ns();
        if (++storm->back == storm->n) {
            uv_stop(&storm->loop);
        }
    }
}

static size_t output_cb(struct retether_attachment *att, enum retether_stream stream, const void *data, size_t size,
                        void *ctx)
{
    struct session *session = ctx;
    const uint8_t *bytes = data;

    (void)att;
    (void)stream;
    for (size_t i = 0; i < size; i++) {
        uint64_t written;

        session->part[session->size++] = bytes[i];
        if (session->size == sizeof(session->part)) {
            session->size = 0;
            memcpy(&written, session->part, sizeof(written));
            see(session, written);
        }
    }
    return size;
}

static void attach_more(struct storm *storm)
{
    struct retether_attach_options options;
    char cid[32];

    retether_attach_defaults(&options, sizeof(options));
    options.container = cid;
    options.from = RETETHER_FROM_OLDEST;
    for (; storm->asked < storm->n && storm->asked - storm->attached < UNDER_WAY_MAX; storm->asked++) {
        struct session *session = &storm->sessions[storm->asked];
        const struct retether_attachment_callbacks callbacks = {.size = sizeof(callbacks),
                                                                .attached = attached_cb,
                                                                .output = output_cb,
                                                                .failed = bench_attach_failed,
                                                                .ctx = session};

        (void)snprintf(cid, sizeof(cid), "storm-%u", storm->asked);
        session->storm = storm;
        if (retether_attach(storm->client, &options, &callbacks, &session->att) != 0) {
            bench_die("retether_attach: refused");
        }
    }
}

static void tick_cb(uv_timer_t *timer)
{
    struct storm *storm = timer->data;

    if (bench_now_ns() > storm->until) {
        if (storm->expires || storm->until == storm->deadline) {
            bench_say("%u sessions: late: %u attached, %u back", storm->n, storm->attached, storm->back);
            storm->late = true;
        }
        uv_stop(&storm->loop);
    }
}

/* Until something stops the loop, or for ms. */
static void run_loop(struct storm *storm, unsigned ms, bool expires)
{
    uint64_t until = bench_now_ns() + (uint64_t)ms * 1000000;

    storm->until = until < storm->deadline ? until : storm->deadline;
    storm->expires = expires;
    if (storm->late) {
        return;
    }
    (void)uv_run(&storm->loop, UV_RUN_DEFAULT);
}

static void settle(struct storm *storm)
{
    run_loop(storm, storm->bench->options.quick ? QUICK_SETTLE_MS : SETTLE_MS, false);
}

/* ---- the guests ---- */

static void point(const struct bench *bench, unsigned name, unsigned host)
{
    char path[BENCH_PATH], next[BENCH_PATH], text[32];

    (void)snprintf(text, sizeof(text), "guest-%u", name);
    bench_path(bench, text, path);
    bench_path(bench, "guest-next", next);
    if (symlink(bench->cluster.hosts[host].guests, next) != 0 || rename(next, path) != 0) {
        bench_die("%s: %s", path, strerror(errno));
    }
}

static void tell(const struct storm *storm, char command)
{
    if (write(storm->to_guests, &command, 1) != 1) {
        bench_die("the guests are gone");
    }
}

static void listen_to(struct storm *storm, char line[64])
{
    size_t size = 0;

    while (size < 63 && (size == 0 || line[size - 1] != '\n')) {
        struct pollfd fd = {.fd = storm->from_guests, .events = POLLIN};
        uint64_t now = bench_now_ns();
        int left_ms = now < storm->deadline ? (int)((storm->deadline - now) / 1000000) : 0;

        if (poll(&fd, 1, left_ms) != 1) {
            bench_say("%u sessions: late: the guests do not answer", storm->n);
            storm->late = true;
            break;
        }
        if (read(fd.fd, line + size, 1) != 1) {
            bench_die("the guests are gone");
        }
        size++;
    }
    line[size] = '\0';
}

static double resent(struct storm *storm)
{
    char line[64];

    tell(storm, 'r');
    listen_to(storm, line);
    return strtod(line, NULL);
}

pid_t bench_guests(struct bench *bench, unsigned n, const char *flood, int ends[2])
{
    char agent[160], number[16];
    const char *argv[] = {"bench-guests", bench->cluster.dir, agent, number, flood, NULL};
    int in[2], out[2];
    pid_t pid;

    (void)snprintf(agent, sizeof(agent), "unix:%s", bench->cluster.hosts[0].clients);
    (void)snprintf(number, sizeof(number), "%u", n);
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
        bench_die("pipe: %s", strerror(errno));
    }
    for (unsigned i = 0; i < STORM_NAMES; i++) {
        point(bench, i, 0);
    }
    pid = bench_start(argv, in[0], out[1], -1, NULL);
    (void)close(in[0]);
    (void)close(out[1]);
    ends[0] = in[1];
    ends[1] = out[0];
    return pid;
}

static void start_guests(struct storm *storm)
{
    char line[64];
    int ends[2];

    storm->guests = bench_guests(storm->bench, storm->n, NULL, ends);
    storm->to_guests = ends[0];
    storm->from_guests = ends[1];
    listen_to(storm, line);
    bench_say("%u sessions: the guests are there", storm->n);
}

/* ---- moves ---- */

static void cut(struct storm *storm, unsigned host)
{
    (void)bench_cut(storm->guests, storm->bench->cluster.hosts[host].guests, &storm->cut);
}

/* Until all sessions are back. */
static void wait_back(struct storm *storm)
{
    tell(storm, 'w');
    run_loop(storm, BENCH_LIMIT_MS, true);
    storm->cut = 0;
}

static void begin(struct storm *storm)
{
    storm->back = 0;
    for (unsigned i = 0; i < storm->n; i++) {
        storm->sessions[i].back = 0;
    }
}

static double agents_cpu_s(const struct storm *storm)
{
    uint64_t ns = 0;

    for (unsigned i = 0; i < storm->bench->cluster.n_hosts; i++) {
        ns += bench_cpu_ns(storm->bench->cluster.hosts[i].pid);
    }
    return (double)ns / 1e9;
}

static void sample(struct storm *storm, const char *how, const char *what, const char *unit, double value, double goal)
{
    struct report_figure *figure;
    char name[64];

    (void)snprintf(name, sizeof(name), "%u sessions, %s: %s", storm->n, how, what);
    figure = report_figure(&storm->bench->report, "storm", name, unit, false);
    report_sample(figure, bench_who_name(BENCH_RETETHER), value);
    figure->goal = goal;
}

static void note(struct storm *storm, uint64_t cut_at, const char *how)
{
    double *times = calloc(storm->n, sizeof(*times));

    if (times == NULL) {
        bench_die("no memory");
    }
    for (unsigned i = 0; i < storm->n; i++) {
        times[i] = (double)(storm->sessions[i].back - cut_at) / 1e6;
    }
    report_sort(times, storm->n);
    sample(storm, how, "p50", "ms", report_rank(times, storm->n, 0.5), 0);
    sample(storm, how, "p99", "ms", report_rank(times, storm->n, 0.99), 0);
    sample(storm, how, "last", "ms", times[storm->n - 1], storm->n == 1000 ? GOAL_MS : 0);
    bench_say("%u sessions, %s: p50 %.1f ms, p99 %.1f ms, last %.1f ms", storm->n, how,
              report_rank(times, storm->n, 0.5), report_rank(times, storm->n, 0.99), times[storm->n - 1]);
    free(times);
}

/* Back to the first host. */
static void go_home(struct storm *storm)
{
    begin(storm);
    for (unsigned i = 0; i < STORM_NAMES; i++) {
        point(storm->bench, i, 0);
    }
    for (unsigned i = 1; i < storm->bench->cluster.n_hosts; i++) {
        cut(storm, i);
    }
    wait_back(storm);
}

static void storm_once(struct storm *storm, bool streaming, bool spread)
{
    const struct rt_cluster *cluster = &storm->bench->cluster;
    double cpu = agents_cpu_s(storm), store = (double)bench_cpu_ns(cluster->redis.pid) / 1e9, again = resent(storm);
    double peak = 0;
    uint64_t cut_at;
    char how[48];

    (void)snprintf(how, sizeof(how), "%s, %s", streaming ? "streaming" : "attached", spread ? "to three" : "to one");
    begin(storm);
    for (unsigned i = 0; i < STORM_NAMES; i++) {
        point(storm->bench, i, spread ? 1 + i : 1);
    }
    cut(storm, 0);
    cut_at = storm->cut;
    wait_back(storm);
    if (storm->late) {
        return;
    }
    note(storm, cut_at, how);
    storm->done++;
    sample(storm, how, "CPU of the agents", "s", agents_cpu_s(storm) - cpu, 0);
    sample(storm, how, "CPU of the store", "s", (double)bench_cpu_ns(cluster->redis.pid) / 1e9 - store, 0);
    settle(storm);
    for (unsigned i = 0; i < cluster->n_hosts; i++) {
        double kib = bench_memory(cluster->hosts[i].pid, "VmHWM:");

        peak = kib > peak ? kib : peak;
    }
    sample(storm, how, "largest agent so far", "MiB", peak / 1024, 0);
    if (streaming) {
        sample(storm, how, "bytes sent again", "B", resent(storm) - again, 0);
    }
    go_home(storm);
    settle(storm);
}

static void rounds_of(struct storm *storm, unsigned rounds)
{
    struct report_figure *figure;
    char name[64];

    for (unsigned i = 0; !storm->late && i < KINDS * rounds; i++) {
        bool streaming = i / 2 % 2 == 1;

        if (i % 2 == 0) {
            tell(storm, streaming ? 's' : 'q');
        }
        storm_once(storm, streaming, i % 2 == 1);
    }
    (void)snprintf(name, sizeof(name), "%u sessions: storms done, of %u", storm->n, KINDS * rounds);
    figure = report_figure(&storm->bench->report, "storm", name, "", true);
    report_sample(figure, bench_who_name(BENCH_RETETHER), storm->done);
    figure->goal = KINDS * rounds;
}

static void storm_of(struct bench *bench, unsigned n)
{
    static struct storm storm;
    unsigned rounds = bench_rounds(bench) < STORM_ROUNDS ? bench_rounds(bench) : STORM_ROUNDS;
    char why[RETETHER_TEXT_MAX], endpoint[160];

    bench_say("%u sessions", n);
    bench_world_start(bench, 1 + STORM_NAMES);
    storm = (struct storm){.bench = bench, .n = n, .sessions = calloc(n, sizeof(*storm.sessions))};
    storm.deadline = bench_now_ns() + (uint64_t)SIZE_LIMIT_MS * 1000000;
    start_guests(&storm);
    if (storm.sessions == NULL || uv_loop_init(&storm.loop) != 0 || uv_timer_init(&storm.loop, &storm.timer) != 0 ||
        retether_client_new(&storm.loop, "bench", NULL, &storm.client) != 0) {
        bench_die("no client");
    }
    for (unsigned i = 0; i < bench->cluster.n_hosts; i++) {
        (void)snprintf(endpoint, sizeof(endpoint), "unix:%s", bench->cluster.hosts[i].clients);
        if (retether_client_add_agent(storm.client, endpoint, why, sizeof(why)) != 0) {
            bench_die("%s", why);
        }
    }
    storm.timer.data = &storm;
    (void)uv_timer_start(&storm.timer, tick_cb, TICK_MS, TICK_MS);
    attach_more(&storm);
    run_loop(&storm, BENCH_LIMIT_MS, true);
    settle(&storm);
    rounds_of(&storm, rounds);
    retether_client_close(storm.client, NULL, NULL);
    uv_close((uv_handle_t *)&storm.timer, NULL);
    (void)uv_run(&storm.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&storm.loop);
    (void)close(storm.to_guests);
    (void)close(storm.from_guests);
    rt_process_kill(storm.guests);
    free(storm.sessions);
    bench_world_stop(bench);
}

void bench_storm(struct bench *bench)
{
    for (size_t i = 0; i < (bench->options.quick ? 1 : sizeof(sizes) / sizeof(sizes[0])); i++) {
        storm_of(bench, bench->options.quick ? QUICK_SIZE : sizes[i]);
    }
}
