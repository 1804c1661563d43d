/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/attack/honest.h"

#include "tests/lib/workload_stream.h"
#include "tests/system/attack/ground.h"
#include "tests/system/cluster/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What must come for a session to have gone on: more than was under way. */
#define STEP 65536
#define OUT_RATE "384K"
#define IN_RATE "192K"
#define SEEDS 10

static struct session {
    char cid[32], seed[2][16], out[128], err[128], fed[128]; /* paths of what was said */
    struct rt_cluster_vm *vm;
    pid_t source, attach;
    int stop; /* closed: the source ends */
} sessions[HONEST_SESSIONS];

static int make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    return fd;
}

/* What the container reads: it ends with our end of its input. Returns its output. */
static int start_source(struct session *s)
{
    const char *const argv[] = {"workload", "--endless", "--rate", IN_RATE, "--seed", s->seed[1], NULL};
    struct rt_process_spec spec;
    int in[2], out[2];

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    rt_process_spec_init(&spec, argv);
    spec.in = in[0];
    spec.out = out[1];
    spec.err = make_file(s->fed);
    s->source = rt_process_start(&spec);
    assert_true(s->source > 0);
    (void)close(in[0]);
    (void)close(out[1]);
    (void)close(spec.err);
    s->stop = in[1];
    return out[0];
}

static void start_attach(struct session *s, bool tls)
{
    const char *argv[] = {"retether", "attach",  "--since-offset", "oldest", "--hold", "10m",
                          s->cid,     "--agent", attack_tls,       "--tls",  NULL,     NULL};
    struct rt_process_spec spec;

    argv[tls ? 10 : 7] = tls ? attack_in("vch") : NULL;
    rt_process_spec_init(&spec, argv);
    rt_cluster_cli_env(&harness, &spec);
    spec.in = start_source(s);
    spec.out = make_file(s->out);
    spec.err = make_file(s->err);
    s->attach = rt_process_start(&spec);
    assert_true(s->attach > 0);
    (void)close(spec.in);
    (void)close(spec.out);
    (void)close(spec.err);
}

void honest_start(void)
{
    for (unsigned i = 0; i < HONEST_SESSIONS; i++) {
        struct session *s = &sessions[i];
        char program[RT_PROCESS_PATH];
        const char *const options[] = {"--first-hold", "60s", NULL};
        const char *const command[] = {program, "--endless", "--rate", OUT_RATE, "--seed", s->seed[0], NULL};

        rt_process_program("workload", program);
        (void)snprintf(s->cid, sizeof(s->cid), "honest-%u", i + 1);
        for (unsigned k = 0; k < 2; k++) {
            (void)snprintf(s->seed[k], sizeof(s->seed[k]), "%u", SEEDS * (i + 1) + k);
        }
        (void)snprintf(s->out, sizeof(s->out), "%s.out", attack_in(s->cid));
        (void)snprintf(s->err, sizeof(s->err), "%s.err", attack_in(s->cid));
        (void)snprintf(s->fed, sizeof(s->fed), "%s.fed", attack_in(s->cid));
        assert_int_equal(rt_cluster_vm_start(&harness, s->cid, options, command, &s->vm), 0);
        start_attach(s, i == 1);
    }
    honest_go_on();
}

static uint64_t size_of(const char *path)
{
    struct stat file;

    assert_int_equal(stat(path, &file), 0);
    return (uint64_t)file.st_size;
}

/* All of a file; to be freed. */
static char *contents(const char *path, uint64_t *size)
{
    FILE *file = fopen(path, "re");
    char *text;

    assert_non_null(file);
    *size = size_of(path);
    text = malloc(*size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, *size, file), *size);
    text[*size] = '\0';
    assert_int_equal(fclose(file), 0);
    return text;
}

static void show_said(const struct session *s)
{
    uint64_t size;
    char *text = contents(s->err, &size);

    print_error("%s: its attach says: %.2000s\n", s->cid, text);
    free(text);
}

void honest_go_on(void)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS, had[HONEST_SESSIONS];

    for (unsigned i = 0; i < HONEST_SESSIONS; i++) {
        had[i] = size_of(sessions[i].out);
    }
    for (unsigned i = 0; i < HONEST_SESSIONS; i++) {
        while (size_of(sessions[i].out) < had[i] + STEP) {
            if (rt_process_now_ms() > until || rt_process_wait(sessions[i].attach, 0) != RT_PROCESS_LATE) {
                show_said(&sessions[i]);
                fail_msg("%s does not go on", sessions[i].cid);
            }
            rt_process_sleep_ms(5);
        }
    }
}

static struct workload_report report_of(const char *path)
{
    struct workload_report report;
    uint64_t size;
    char *text = contents(path, &size);

    if (!workload_read_report(text, &report)) {
        fail_msg("no report: %.2000s", text);
    }
    free(text);
    return report;
}

static void check(struct session *s)
{
    struct workload_report said, fed;
    struct workload_check stream;
    char why[160];
    uint64_t size;
    char *text;
    int status;

    (void)close(s->stop);
    assert_int_equal(rt_process_wait(s->source, HARNESS_LIMIT_MS), 0);
    status = rt_process_wait(s->attach, HARNESS_LIMIT_MS);
    if (status != 0) {
        show_said(s);
        fail_msg("%s: its attach ends with %d", s->cid, status);
    }
    said = report_of(s->err);
    fed = report_of(s->fed);
    text = contents(s->out, &size);
    workload_check_init(&stream, strtoull(s->seed[0], NULL, 10), WORKLOAD_BINARY, 0);
    if (!workload_check_feed(&stream, text, size)) {
        workload_check_explain(&stream, why, sizeof(why));
        fail_msg("%s: what came of it: %s", s->cid, why);
    }
    free(text);
    assert_true(size > 0 && said.out == size && said.out_hash == rt_digest_value(&stream.digest));
    assert_true(fed.out > 0 && said.in == fed.out && said.in_hash == fed.out_hash);
    print_message("%s: %llu bytes out, %llu bytes in, each as it was sent\n", s->cid, (unsigned long long)said.out,
                  (unsigned long long)said.in);
    assert_int_equal(rt_process_wait(s->vm->tether, HARNESS_LIMIT_MS), 0);
    s->vm->tether = 0;
}

void honest_check(void)
{
    for (unsigned i = 0; i < HONEST_SESSIONS; i++) {
        check(&sessions[i]);
    }
}
