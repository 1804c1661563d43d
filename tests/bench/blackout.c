/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A container that writes the time every 0.2 ms is moved between two agents while `retether attach` reads. A move: the
 * name that its tether dials becomes the other agent's, and its connection is shut down. The blackout lasts from then
 * to the first byte at the client that was written after it. Where the time goes is seen from the logs of tether and
 * client, read as they are written:
 *
 *     cut      tether: down     hello sent        live       client: resumed      first byte
 *      |  noticed  |    redial     |  hello, test   | take, news, attach |  first byte   |
 *
 * Beside that the kernel's accounts of tether, agents, client and store, from the cut to the first byte: how long they
 * were on a CPU, and how long they were ready and another one had it. With all on one CPU, what is left of the
 * blackout is time in which none of them had anything to do, or the container and the bench itself ran.
 */

#define MOVES 300
#define QUICK_MOVES 4
#define MOVES_MAX 10000
#define TICK_US "200"
/* A link that lasted for less than a second is dialled again with a delay. */
#define PACE_MS 1200
#define LINE_MAX_SIZE 1024

enum stage { STAGE_CUT, STAGE_DIALING, STAGE_HELLO, STAGE_LIVE, STAGE_RESUMED, STAGE_BYTE, STAGES };
/* What is kept of each move: the stages, with the whole as the first, and what the programs had in it. */
enum { ON_CPU = STAGES, FOR_CPU, SERIES };

static const char *const series_names[SERIES] = {
    "blackout",           "of it: until noticed",         "of it: redial",
    "of it: hello, test", "of it: take, news, re-attach", "of it: first byte",
    "programs on a CPU",  "programs that wait for a CPU",
};

struct log {
    int fd;
    char line[LINE_MAX_SIZE];
    size_t size;
};

struct blackout {
    struct bench *bench;
    struct bench_chain chain;
    struct log logs[2];  /* tether, client */
    uint64_t at[STAGES]; /* of the move under way; 0: not yet */
    uint8_t tick[8];     /* a time that has come in part */
    size_t tick_size;
    double *took[SERIES]; /* owned; ms by move; [STAGE_CUT]: the whole */
    unsigned on, moves;   /* host; done so far */
    char name[BENCH_PATH];
};

/* ---- what is seen ---- */

static void see(struct blackout *b, enum stage stage, uint64_t now)
{
    if (b->at[STAGE_CUT] != 0 && b->at[stage] == 0) {
        b->at[stage] = now;
    }
}

static void see_line(struct blackout *b, const char *line, uint64_t now)
{
    static const struct {
        const char *text;
        enum stage stage;
    } known[] = {{"\"to\":\"dialing\"", STAGE_DIALING},
                 {"\"to\":\"hello\"", STAGE_HELLO},
                 {"\"to\":\"live\"", STAGE_LIVE},
                 {"resumed, served by", STAGE_RESUMED}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strstr(line, known[i].text) != NULL) {
            see(b, known[i].stage, now);
        }
    }
}

static void read_log(struct blackout *b, struct log *log)
{
    ssize_t n = read(log->fd, log->line + log->size, sizeof(log->line) - 1 - log->size);
    uint64_t now = bench_now_ns();
    char *end;

    if (n <= 0) {
        bench_die("the tether or the client has ended");
    }
    log->size += (size_t)n;
    log->line[log->size] = '\0';
    while ((end = strchr(log->line, '\n')) != NULL) {
        *end = '\0';
        see_line(b, log->line, now);
        log->size -= (size_t)(end + 1 - log->line);
        memmove(log->line, end + 1, log->size + 1);
    }
    if (log->size == sizeof(log->line) - 1) {
        log->size = 0;
    }
}

static void read_ticks(struct blackout *b)
{
    static uint8_t block[65536];
    ssize_t n = read(b->chain.from_guest, block, sizeof(block));
    uint64_t now = bench_now_ns();

    if (n <= 0) {
        bench_die("the stream has ended");
    }
    for (ssize_t i = 0; i < n; i++) {
        uint64_t written;

        b->tick[b->tick_size++] = block[i];
        if (b->tick_size == sizeof(b->tick)) {
            b->tick_size = 0;
            memcpy(&written, b->tick, sizeof(written));
            if (b->at[STAGE_CUT] != 0 && written > b->at[STAGE_CUT]) {
                see(b, STAGE_BYTE, now);
            }
        }
    }
}

static void watch(struct blackout *b, int wait_ms)
{
    struct pollfd fds[3] = {{.fd = b->chain.from_guest, .events = POLLIN},
                            {.fd = b->logs[0].fd, .events = POLLIN},
                            {.fd = b->logs[1].fd, .events = POLLIN}};

    if (poll(fds, 3, wait_ms) <= 0) {
        return;
    }
    for (int i = 0; i < 2; i++) { /* what was said of the byte first */
        if (fds[1 + i].revents != 0) {
            read_log(b, &b->logs[i]);
        }
    }
    if (fds[0].revents != 0) {
        read_ticks(b);
    }
}

static void watch_for(struct blackout *b, unsigned ms)
{
    uint64_t until = bench_now_ns() + (uint64_t)ms * 1000000;

    while (bench_now_ns() < until) {
        watch(b, 5);
    }
}

/* ---- moves ---- */

static void point(struct blackout *b, unsigned host)
{
    char next[BENCH_PATH + 8];

    (void)snprintf(next, sizeof(next), "%s.next", b->name);
    (void)unlink(next);
    if (symlink(b->bench->cluster.hosts[host].guests, next) != 0 || rename(next, b->name) != 0) {
        bench_die("%s: %s", next, strerror(errno));
    }
    b->on = host;
}

/* ns on a CPU, and ready for one, of all programs together so far. */
static void spent(const struct blackout *b, uint64_t sum[2])
{
    const struct rt_cluster *cluster = &b->bench->cluster;
    const pid_t pids[] = {b->chain.entry, b->chain.exit, cluster->hosts[0].pid, cluster->hosts[1].pid,
                          cluster->redis.pid};

    sum[0] = sum[1] = 0;
    for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
        uint64_t one[2];

        bench_sched_ns(pids[i], one);
        sum[0] += one[0];
        sum[1] += one[1];
    }
}

static void note(struct blackout *b, const uint64_t before[2], const uint64_t after[2])
{
    uint64_t last = b->at[STAGE_CUT];

    for (enum stage stage = STAGE_DIALING; stage < STAGES; stage++) {
        uint64_t at = b->at[stage] < last ? last : b->at[stage]; /* seen late, or not at all */

        b->took[stage][b->moves] = (double)(at - last) / 1e6;
        last = at;
    }
    b->took[ON_CPU][b->moves] = (double)(after[0] - before[0]) / 1e6;
    b->took[FOR_CPU][b->moves] = (double)(after[1] - before[1]) / 1e6;
    b->took[STAGE_CUT][b->moves++] = (double)(b->at[STAGE_BYTE] - b->at[STAGE_CUT]) / 1e6;
}

static void move(struct blackout *b)
{
    uint64_t until = bench_now_ns() + (uint64_t)BENCH_LIMIT_MS * 1000000, at;
    const char *old = b->bench->cluster.hosts[b->on].guests;
    uint64_t before[2], after[2];

    point(b, 1 - b->on);
    memset(b->at, 0, sizeof(b->at));
    spent(b, before);
    if (bench_cut(b->chain.entry, old, &at) != 1) {
        bench_die("the tether is not connected with its agent");
    }
    b->at[STAGE_CUT] = at;
    while (b->at[STAGE_BYTE] == 0) {
        if (bench_now_ns() > until) {
            bench_die("nothing comes after a move");
        }
        watch(b, 5);
    }
    spent(b, after);
    note(b, before, after);
}

static void pin(struct blackout *b, bool one_cpu)
{
    bench_chain_pin(&b->chain, one_cpu);
    bench_pin(b->bench->cluster.hosts[1].pid, one_cpu);
    bench_pin(b->bench->cluster.redis.pid, one_cpu);
}

static void report(struct blackout *b, const char *how, const double goals[2])
{
    struct bench_report *report = &b->bench->report;
    char name[64];

    for (int series = 0; series < SERIES; series++) {
        static const double ranks[] = {0.5, 0.99};

        report_sort(b->took[series], b->moves);
        for (int i = 0; i < 2; i++) {
            struct report_figure *figure;

            (void)snprintf(name, sizeof(name), "%s, %s, %s", series_names[series], how, i == 0 ? "p50" : "p99");
            figure = report_figure(report, "blackout", name, "ms", false);
            report_sample(figure, bench_who_name(BENCH_RETETHER), report_rank(b->took[series], b->moves, ranks[i]));
            figure->goal = series == STAGE_CUT ? goals[i] : 0;
        }
    }
}

static void run(struct blackout *b, bool one_cpu, unsigned moves)
{
    static const double goals[2][2] = {{1, 4}, {0.5, 2}};

    bench_say("%u moves%s", moves, one_cpu ? ", all on one CPU" : "");
    pin(b, one_cpu);
    b->moves = 0;
    for (unsigned i = 0; i < moves; i++) {
        watch_for(b, PACE_MS);
        move(b);
    }
    report(b, one_cpu ? "on one CPU" : "free", goals[one_cpu]);
    pin(b, false);
}

void bench_blackout(struct bench *bench)
{
    static struct blackout b;
    const char *guest[] = {bench->pump, "tick", TICK_US, NULL};
    unsigned moves = bench->options.quick ? QUICK_MOVES : MOVES;
    char agent[BENCH_PATH + 8];

    moves = bench->options.moves > 0 ? bench->options.moves : moves;
    bench_world_start(bench, 2);
    b = (struct blackout){.bench = bench, .chain = {.who = BENCH_RETETHER, .flow = BENCH_UP, .verbose = true}};
    bench_path(bench, "guest", b.name);
    (void)snprintf(agent, sizeof(agent), "unix:%s", b.name);
    for (int i = 0; i < SERIES; i++) {
        b.took[i] = calloc(MOVES_MAX, sizeof(double));
        if (b.took[i] == NULL) {
            bench_die("no memory");
        }
    }
    point(&b, 0);
    b.chain.guest_agent = agent;
    b.chain.client_agent = strchr(bench->cluster.agents_env, '=') + 1;
    bench_chain_open(bench, &b.chain, guest);
    b.logs[0].fd = b.chain.entry_log;
    b.logs[1].fd = b.chain.exit_log;
    watch_for(&b, PACE_MS);
    run(&b, false, (moves + 1) / 2);
    run(&b, true, (moves + 1) / 2);
    bench_chain_close(&b.chain);
    for (int i = 0; i < SERIES; i++) {
        free(b.took[i]);
    }
    bench_world_stop(bench);
}
