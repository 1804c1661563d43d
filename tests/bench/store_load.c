/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* How the store grows: bench-load makes hosts and sessions and says what they cost (tests/bench/load/load.h); then they
 * are listed by a real agent for a real `retether ls`. */

#define HOSTS 100
#define SESSIONS 20000
#define SECONDS 5
#define QUICK_HOSTS 8
#define QUICK_SESSIONS 400
#define QUICK_SECONDS 1
#define SEED "1"
#define LINE_MAX_BYTES 256

static struct report_figure *sample(struct bench *bench, const char *name, const char *unit, bool more, double value)
{
    struct report_figure *figure = report_figure(&bench->report, "load", name, unit, more);

    report_sample(figure, bench_who_name(BENCH_RETETHER), value);
    return figure;
}

/* "name|unit|more or less|goal|value" */
static void take_line(struct bench *bench, char *line)
{
    char *field[5], *rest = line;

    for (unsigned i = 0; i < 5; i++) {
        field[i] = strsep(&rest, "|\n");
        if (field[i] == NULL) {
            bench_die("bench-load says: %s", line);
        }
    }
    sample(bench, field[0], field[1], strcmp(field[2], "more") == 0, strtod(field[4], NULL))->goal =
        strtod(field[3], NULL);
}

static void ask(struct bench *bench, const char *command)
{
    char answer[64];

    if (rt_test_redis_command(&bench->cluster.redis, command, answer, sizeof(answer)) != 0 || answer[0] != '+') {
        bench_die("%s: %s", command, answer);
    }
}

/* Its figures, up to its "ready". *hold: closed, it ends. */
static pid_t run_load(struct bench *bench, unsigned hosts, unsigned sessions, int *hold)
{
    char program[RT_PROCESS_PATH], n_hosts[16], n_sessions[16], seconds[16], line[LINE_MAX_BYTES];
    const char *argv[] = {program, bench->cluster.redis.socket, n_hosts, n_sessions, seconds, SEED, NULL};
    int in[2], out[2];
    bool ready = false;
    FILE *lines;
    pid_t pid;

    rt_process_program("bench-load", program);
    (void)snprintf(n_hosts, sizeof(n_hosts), "%u", hosts);
    (void)snprintf(n_sessions, sizeof(n_sessions), "%u", sessions);
    (void)snprintf(seconds, sizeof(seconds), "%d", bench->options.quick ? QUICK_SECONDS : SECONDS);
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
        bench_die("pipe: %s", strerror(errno));
    }
    pid = bench_start(argv, in[0], out[1], STDERR_FILENO, NULL);
    (void)close(in[0]);
    (void)close(out[1]);
    lines = fdopen(out[0], "r");
    while (lines != NULL && !ready && fgets(line, sizeof(line), lines) != NULL) {
        ready = strcmp(line, "ready\n") == 0;
        if (!ready) {
            take_line(bench, line);
        }
    }
    if (!ready) {
        bench_die("bench-load has failed");
    }
    (void)fclose(lines);
    *hold = in[1];
    return pid;
}

struct listing {
    double first_ms, all_ms, peak_mib;
    unsigned lines;
};

/* `retether ls` with these arguments, to its end. */
static void ls(struct bench *bench, const char *const *args, struct listing *listing)
{
    static char bytes[65536];
    struct rt_process_spec spec;
    struct rusage usage;
    uint64_t began;
    int out[2], status;
    ssize_t n;
    pid_t pid;

    memset(listing, 0, sizeof(*listing));
    if (pipe2(out, O_CLOEXEC) != 0) {
        bench_die("pipe: %s", strerror(errno));
    }
    rt_process_spec_init(&spec, args);
    rt_cluster_cli_env(&bench->cluster, &spec);
    spec.out = out[1];
    spec.err = STDERR_FILENO;
    began = bench_now_ns();
    pid = rt_process_start(&spec);
    (void)close(out[1]);
    while ((n = read(out[0], bytes, sizeof(bytes))) > 0) {
        if (listing->first_ms <= 0) {
            listing->first_ms = (double)(bench_now_ns() - began) / 1e6;
        }
        for (ssize_t i = 0; i < n; i++) {
            listing->lines += bytes[i] == '\n';
        }
    }
    listing->all_ms = (double)(bench_now_ns() - began) / 1e6;
    (void)close(out[0]);
    if (pid < 0 || wait4(pid, &status, 0, &usage) != pid || status != 0) {
        bench_die("retether ls has failed");
    }
    listing->peak_mib = (double)usage.ru_maxrss / 1024;
}

static void list_it(struct bench *bench, unsigned sessions)
{
    struct listing listing;

    ls(bench, (const char *const[]){"retether", "ls", NULL}, &listing);
    if (listing.lines < sessions * 99 / 100) {
        bench_die("retether ls of %u sessions has %u lines", sessions, listing.lines);
    }
    sample(bench, "retether ls, all", "s", false, listing.all_ms / 1e3)->goal = 30.0 * sessions / 1e6 + 1;
    sample(bench, "retether ls, its first line", "ms", false, listing.first_ms);
    sample(bench, "retether ls, peak memory", "MiB", false, listing.peak_mib)->goal = 50;
    sample(bench, "the agent's peak memory", "MiB", false, bench_memory(bench->cluster.hosts[0].pid, "VmHWM:") / 1024);
    ls(bench, (const char *const[]){"retether", "ls", "--host", "load-0001", NULL}, &listing);
    sample(bench, "retether ls --host", "ms", false, listing.all_ms)->goal = 200;
}

void bench_load(struct bench *bench)
{
    unsigned hosts = bench->options.quick ? QUICK_HOSTS : HOSTS;
    unsigned sessions = bench->options.quick ? QUICK_SESSIONS : SESSIONS;
    int hold;
    pid_t pid;

    hosts = bench->options.hosts > 0 ? bench->options.hosts : hosts;
    sessions = bench->options.sessions > 0 ? bench->options.sessions : sessions;
    if (sessions < hosts) {
        bench_die("fewer sessions than hosts");
    }
    bench_world_start(bench, 1);
    ask(bench, "CONFIG SET hash-max-listpack-value 1024");
    ask(bench, "CONFIG SET appendonly no"); /* the disk is not measured */
    bench_say("%u sessions on %u hosts", sessions, hosts);
    pid = run_load(bench, hosts, sessions, &hold);
    list_it(bench, sessions);
    (void)close(hold);
    rt_process_kill(pid);
    bench_world_stop(bench);
}
