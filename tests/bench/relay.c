/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One stream through a chain: how fast, and what it costs. The time and the CPU of a round are those between the word
 * to the writer and the last byte at the reader; everything stands by then, and nothing has ended. */

#define GIB 1073741824.0
#define MIB 1048576.0
/* strace needs this long to have hold of a process. */
#define TRACE_MS 500

struct payload {
    const char *part, *name;
    unsigned size;
    uint64_t bytes, quick_bytes;
};

static const struct payload payloads[] = {
    {"relay", "64 KiB", 65536, 512U << 20, 16U << 20},
    {"small", "64 B", 64, 16U << 20, 256U << 10},
    {"small", "1 KiB", 1024, 128U << 20, 2U << 20},
};

struct run {
    struct bench *bench;
    const struct payload *payload;
    struct bench_chain chain;
    uint64_t bytes;
    char status[BENCH_PATH], gate[BENCH_PATH];
    int status_fd, gate_fd;
    pid_t writer, reader, pump; /* pump: the one that is ours */
    char lines[256];
    size_t size;
    double seconds, middle_s, chain_s; /* of the round: time, CPU */
};

static void open_fifos(struct run *run)
{
    bench_path(run->bench, "status", run->status);
    bench_path(run->bench, "gate", run->gate);
    (void)unlink(run->status);
    (void)unlink(run->gate);
    if (mkfifo(run->status, 0600) != 0 || mkfifo(run->gate, 0600) != 0) {
        bench_die("%s: %s", run->status, strerror(errno));
    }
    run->status_fd = open(run->status, O_RDWR | O_CLOEXEC);
    run->gate_fd = open(run->gate, O_RDWR | O_CLOEXEC);
    if (run->status_fd < 0 || run->gate_fd < 0) {
        bench_die("%s: %s", run->status, strerror(errno));
    }
}

/* The number of the line that begins with this letter. */
static uint64_t wait_status(struct run *run, char letter)
{
    for (;;) {
        struct pollfd fd = {.fd = run->status_fd, .events = POLLIN};
        char *at, *end;
        ssize_t n;

        for (at = run->lines; (end = memchr(at, '\n', run->size - (size_t)(at - run->lines))) != NULL; at = end + 1) {
            if (at[0] == letter) {
                return strtoull(at + 2, NULL, 10);
            }
        }
        if (poll(&fd, 1, BENCH_LIMIT_MS) != 1 || run->size == sizeof(run->lines)) {
            bench_die("%s: nothing comes through", bench_who_name(run->chain.who));
        }
        n = read(run->status_fd, run->lines + run->size, sizeof(run->lines) - run->size);
        run->size += n > 0 ? (size_t)n : 0;
    }
}

static void begin(struct run *run)
{
    char bytes[32], size[32];
    const char *writes[] = {run->bench->pump, "write", run->status, run->gate, bytes, size, NULL};
    const char *reads[] = {run->bench->pump, "read", run->status, bytes, NULL};
    bool up = run->chain.flow == BENCH_UP;

    (void)snprintf(bytes, sizeof(bytes), "%" PRIu64, run->bytes);
    (void)snprintf(size, sizeof(size), "%u", run->payload->size);
    run->size = 0;
    open_fifos(run);
    bench_chain_open(run->bench, &run->chain, up ? writes : reads);
    run->pump = bench_start(up ? reads : writes, run->chain.from_guest, run->chain.to_guest, -1, NULL);
    (void)close(up ? run->chain.from_guest : run->chain.to_guest);
    if (up) {
        run->chain.from_guest = -1;
    } else {
        run->chain.to_guest = -1;
    }
    run->writer = (pid_t)wait_status(run, 'w');
    run->reader = (pid_t)wait_status(run, 'r');
}

static uint64_t all_cpu_ns(const struct run *run)
{
    return bench_chain_cpu_ns(&run->chain) + bench_cpu_ns(run->writer) + bench_cpu_ns(run->reader);
}

static void transfer(struct run *run)
{
    uint64_t middle = bench_cpu_ns(run->chain.middle), all = all_cpu_ns(run), began = bench_now_ns(), done;

    (void)!write(run->gate_fd, "g", 1);
    done = wait_status(run, 'd');
    run->chain_s = (double)(all_cpu_ns(run) - all) / 1e9;
    run->middle_s = (double)(bench_cpu_ns(run->chain.middle) - middle) / 1e9;
    run->seconds = (double)(done - began) / 1e9;
}

static void end(struct run *run)
{
    (void)!write(run->gate_fd, "e", 1);
    bench_chain_close(&run->chain);
    rt_process_kill(run->pump);
    (void)close(run->status_fd);
    (void)close(run->gate_fd);
}

static void name_figure(char name[64], const char *what, const struct run *run)
{
    (void)snprintf(name, 64, "%s, %s, %s, %s", what, run->payload->name, run->chain.tls ? "tls" : "unix",
                   run->chain.flow == BENCH_UP ? "guest to client" : "client to guest");
}

static void sample(struct run *run)
{
    struct bench_report *report = &run->bench->report;
    const char *part = run->payload->part, *who = bench_who_name(run->chain.who);
    double gib = (double)run->bytes / GIB;
    char name[64];

    name_figure(name, "throughput", run);
    report_sample(report_figure(report, part, name, "MB/s", true), who, (double)run->bytes / 1e6 / run->seconds);
    name_figure(name, "CPU of the chain", run);
    report_sample(report_figure(report, part, name, "s/GiB", false), who, run->chain_s / gib);
    if (run->chain.middle != 0) {
        name_figure(name, "CPU of the middle", run);
        report_sample(report_figure(report, part, name, "s/GiB", false), who, run->middle_s / gib);
    }
}

static void goal(struct run *run, const char *what, const char *unit, bool more, enum bench_who who, double ratio)
{
    char name[64];

    name_figure(name, what, run);
    report_goal(report_figure(&run->bench->report, run->payload->part, name, unit, more), bench_who_name(who), ratio);
}

static void goals(struct run *run)
{
    bool small = run->payload->size == 64;
    double middle = small ? 0.3 : run->chain.tls ? 0.7 : 0.5;

    if (run->payload->size != 64 && run->payload->size != 65536) {
        return;
    }
    goal(run, "throughput", "MB/s", true, BENCH_HAPROXY, small ? 2.0 : 1.5);
    goal(run, "CPU of the chain", "s/GiB", false, BENCH_HAPROXY, small ? 0.7 : 0.8);
    goal(run, "CPU of the middle", "s/GiB", false, BENCH_HAPROXY, middle);
    if (!small && !run->chain.tls) {
        goal(run, "CPU of the middle", "s/GiB", false, BENCH_HAPROXY_BIG, 0.9);
    }
}

/* ---- system calls, of a round of their own: tracing makes everything slower ---- */

/* The last number but the text of the line "... total" in what strace -c says, or -1. */
static double calls_of(const char *path)
{
    char line[256];
    double calls = -1;
    FILE *file = fopen(path, "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char *at = line;

        for (unsigned i = 0; strstr(line, " total") != NULL && i < 4; i++) { /* percent, seconds, us a call, calls */
            calls = strtod(at, &at);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return calls;
}

static void trace(struct run *run)
{
    char pid[16], out[BENCH_PATH], name[64];
    const char *argv[] = {"strace", "-c", "-f", "-o", out, "-p", pid, NULL};
    double calls;
    pid_t tracer;

    begin(run);
    bench_path(run->bench, "strace", out);
    (void)unlink(out);
    (void)snprintf(pid, sizeof(pid), "%d", (int)run->chain.middle);
    tracer = bench_start(argv, -1, -1, -1, NULL);
    rt_process_sleep_ms(TRACE_MS);
    transfer(run);
    (void)kill(tracer, SIGINT);
    if (rt_process_wait(tracer, BENCH_LIMIT_MS) == RT_PROCESS_LATE) {
        bench_die("strace does not end");
    }
    end(run);
    calls = calls_of(out);
    if (calls < 0) {
        bench_say("strace cannot trace here: no system calls");
        return;
    }
    name_figure(name, "system calls of the middle", run);
    report_sample(report_figure(&run->bench->report, run->payload->part, name, "1/MiB", false),
                  bench_who_name(run->chain.who), calls / ((double)run->bytes / MIB));
}

static void measure(struct bench *bench, const struct payload *payload, bool tls, enum bench_flow flow)
{
    struct run run = {.bench = bench, .payload = payload, .chain = {.tls = tls, .flow = flow}};

    run.bytes = bench->options.quick ? payload->quick_bytes : payload->bytes;
    bench_say("%s, %s, %s", payload->name, tls ? "tls" : "unix",
              flow == BENCH_UP ? "guest to client" : "client to guest");
    for (unsigned round = 0; round < bench_rounds(bench); round++) {
        for (enum bench_who who = 0; who < BENCH_WHOS; who++) {
            if (bench_who_there(bench, who)) {
                run.chain.who = who;
                begin(&run);
                transfer(&run);
                end(&run);
                sample(&run);
            }
        }
    }
    goals(&run);
    if (tls || !bench_has("strace")) {
        return;
    }
    run.bytes = (bench->options.quick ? payload->quick_bytes : payload->bytes) / 4;
    for (enum bench_who who = BENCH_RETETHER; who <= BENCH_HAPROXY_BIG; who++) {
        if (bench_who_there(bench, who)) {
            run.chain.who = who;
            trace(&run);
        }
    }
    if (payload->size == 65536) {
        char name[64];

        name_figure(name, "system calls of the middle", &run);
        report_figure(&bench->report, payload->part, name, "1/MiB", false)->goal = 25;
    }
}

double bench_rate(struct bench *bench, struct bench_chain *chain, uint64_t bytes)
{
    struct run run = {.bench = bench, .payload = &payloads[0], .chain = *chain, .bytes = bytes};

    begin(&run);
    transfer(&run);
    end(&run);
    return (double)bytes / 1e6 / run.seconds;
}

static void measure_part(struct bench *bench, const char *part)
{
    bench_world_start(bench, 1);
    if (!bench_has("strace")) {
        bench_say("no strace here: no system calls");
    }
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        for (int tls = 0; strcmp(payloads[i].part, part) == 0 && tls < 2; tls++) {
            measure(bench, &payloads[i], tls == 1, BENCH_UP);
            measure(bench, &payloads[i], tls == 1, BENCH_DOWN);
        }
    }
    bench_world_stop(bench);
}

void bench_relay(struct bench *bench)
{
    measure_part(bench, "relay");
}

void bench_small(struct bench *bench)
{
    measure_part(bench, "small");
}
