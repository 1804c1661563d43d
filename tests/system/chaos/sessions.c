/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/chaos/chaos.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The containers that stay: their clients, what goes through them, their moves. */

#define RATE "20000" /* bytes/s of each container's output */
#define TYPE_MS 50
#define TYPED 1000
#define MOVE_MS 250
#define TICK_MS 10
/* A client that has heard nothing for so long while the store is whole, or is not, has lost its stream. */
#define SILENT_MS 90000

static void pair(int fds[2])
{
    if (pipe2(fds, O_CLOEXEC) != 0) {
        perror("chaos: pipe");
        exit(1);
    }
}

static int start_attach(struct chaos *chaos, struct chaos_session *session)
{
    const char *const argv[] = {"retether", "attach", "--since-offset", "oldest", "--hold", "10m", session->cid, NULL};
    struct rt_process_spec spec;
    int in[2], out[2], err[2];

    pair(in);
    pair(out);
    pair(err);
    rt_process_spec_init(&spec, argv);
    rt_cluster_cli_env(&chaos->cluster, &spec);
    spec.in = in[0];
    spec.out = out[1];
    spec.err = err[1];
    session->attach = rt_process_start(&spec);
    (void)close(in[0]);
    (void)close(out[1]);
    (void)close(err[1]);
    session->in = in[1];
    session->out = out[0];
    session->err = err[0];
    (void)fcntl(session->in, F_SETFL, O_NONBLOCK);
    (void)fcntl(session->out, F_SETFL, O_NONBLOCK);
    (void)fcntl(session->err, F_SETFL, O_NONBLOCK);
    session->heard_at = rt_process_now_ms();
    return session->attach > 0 ? 0 : -1;
}

static int start_session(struct chaos *chaos, size_t i)
{
    struct chaos_session *session = &chaos->sessions[i];
    char program[RT_PROCESS_PATH], seed[24];
    const char *const command[] = {program, "--endless", "--rate", RATE, "--seed", seed, NULL};
    const char *const options[] = {"--first-hold", "2m", NULL};

    session->in = session->out = session->err = -1;
    session->seed = 2 * i;
    (void)snprintf(session->cid, sizeof(session->cid), "stays-%zu", i);
    (void)snprintf(seed, sizeof(seed), "%" PRIu64, session->seed);
    rt_process_program("workload", program);
    workload_check_init(&session->received, session->seed, WORKLOAD_BINARY, 0);
    rt_digest_start(&session->typed, 0);
    return rt_cluster_vm_start(&chaos->cluster, session->cid, options, command, &session->vm) != 0 ||
                   start_attach(chaos, session) != 0
               ? -1
               : 0;
}

static void shut(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

static void hear(struct chaos *chaos, struct chaos_session *session, const uint8_t *data, size_t size)
{
    char why[128];

    session->heard_at = rt_process_now_ms();
    if (!workload_check_feed(&session->received, data, size)) {
        workload_check_explain(&session->received, why, sizeof(why));
        chaos_fail(chaos, "%s: output: %s", session->cid, why);
    }
}

static void read_out(struct chaos *chaos, struct chaos_session *session)
{
    static uint8_t data[65536];
    ssize_t n = read(session->out, data, sizeof(data));

    if (n > 0) {
        hear(chaos, session, data, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        shut(&session->out);
    }
}

static void read_err(struct chaos_session *session)
{
    ssize_t n;

    if (session->said_size > CHAOS_ERR_MAX / 2) { /* the newest counts */
        session->said_size -= CHAOS_ERR_MAX / 4;
        memmove(session->said, session->said + CHAOS_ERR_MAX / 4, session->said_size);
    }
    n = read(session->err, session->said + session->said_size, CHAOS_ERR_MAX / 4);
    if (n > 0) {
        session->said_size += (size_t)n;
        session->said[session->said_size] = '\0';
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        shut(&session->err);
    }
}

static void type(struct chaos *chaos, struct chaos_session *session)
{
    uint8_t data[TYPED];
    ssize_t n;

    workload_fill(session->seed + 1, WORKLOAD_BINARY, session->n_typed, data, sizeof(data));
    n = write(session->in, data, sizeof(data));
    if (n > 0) {
        rt_digest_extend(&session->typed, data, (size_t)n);
        session->n_typed += (uint64_t)n;
    } else if (errno != EAGAIN && errno != EINTR) {
        chaos_fail(chaos, "%s: nobody takes input: %s: %s", session->cid, strerror(errno), session->said);
    }
}

/* Once for all clients. */
static void pump(struct chaos *chaos, unsigned limit_ms)
{
    struct pollfd fds[2 * CHAOS_SESSIONS_MAX];
    uint64_t now;

    for (size_t i = 0; i < chaos->n_sessions; i++) {
        fds[2 * i] = (struct pollfd){.fd = chaos->sessions[i].out, .events = POLLIN};
        fds[2 * i + 1] = (struct pollfd){.fd = chaos->sessions[i].err, .events = POLLIN};
    }
    (void)poll(fds, 2 * chaos->n_sessions, (int)limit_ms);
    now = rt_process_now_ms();
    for (size_t i = 0; i < chaos->n_sessions; i++) {
        struct chaos_session *session = &chaos->sessions[i];

        if (session->out >= 0 && fds[2 * i].revents != 0) {
            read_out(chaos, session);
        }
        if (session->err >= 0 && fds[2 * i + 1].revents != 0) {
            read_err(session);
        }
        if (session->in >= 0 && now >= session->type_at) {
            session->type_at = now + TYPE_MS;
            type(chaos, session);
        }
    }
}

static void watch(struct chaos *chaos)
{
    uint64_t now = rt_process_now_ms();

    for (size_t i = 0; i < chaos->n_sessions; i++) {
        struct chaos_session *session = &chaos->sessions[i];

        if (session->out < 0) {
            chaos_fail(chaos, "%s: the attach has ended: %s", session->cid, session->said);
        } else if (now > session->heard_at + SILENT_MS) {
            chaos_fail(chaos, "%s: no byte has come for %d s: %s", session->cid, SILENT_MS / 1000, session->said);
        }
    }
}

static void move(struct chaos *chaos)
{
    static const char *const styles[] = {"reset", "eof", "hang"};
    struct chaos_session *session = &chaos->sessions[chaos_random(chaos, chaos->n_sessions)];
    unsigned host = (session->vm->on + 1 + (unsigned)chaos_random(chaos, CHAOS_HOSTS - 1)) % CHAOS_HOSTS;

    if (rt_cluster_vm_move(&chaos->cluster, session->vm, host, styles[chaos_random(chaos, 3)]) != 0) {
        chaos_fail(chaos, "%s cannot be moved", session->cid);
    }
    chaos->n_moves++;
}

void chaos_run(struct chaos *chaos, uint64_t ms)
{
    uint64_t until = rt_process_now_ms() + ms, now;

    do {
        pump(chaos, TICK_MS);
        watch(chaos);
        now = rt_process_now_ms();
        if (chaos->moving && now >= chaos->move_at) {
            chaos->move_at = now + MOVE_MS / 2 + chaos_random(chaos, MOVE_MS);
            move(chaos);
        }
        chaos_shorts_step(chaos);
    } while (now < until && chaos->failure[0] == '\0');
}

void chaos_wait(struct chaos *chaos, uint64_t ms)
{
    uint64_t until = rt_process_now_ms() + ms, now;

    chaos_run(chaos, ms);
    now = rt_process_now_ms();
    if (now < until) {
        rt_process_sleep_ms((unsigned)(until - now));
    }
}

static bool all_flow(const struct chaos *chaos)
{
    for (size_t i = 0; i < chaos->n_sessions; i++) {
        if (chaos->sessions[i].received.offset == 0) {
            return false;
        }
    }
    return true;
}

/* A container that nobody has claimed yet is known to the store alone: one that is emptied then has lost it. */
int chaos_sessions_start(struct chaos *chaos)
{
    for (size_t i = 0; i < chaos->n_sessions; i++) {
        if (start_session(chaos, i) != 0) {
            return -1;
        }
    }
    while (chaos->failure[0] == '\0' && !all_flow(chaos)) {
        chaos_run(chaos, TICK_MS);
    }
    return 0;
}

static void compare(struct chaos *chaos, const struct chaos_session *session, int status)
{
    struct workload_report report;

    if (status != 0) {
        chaos_fail(chaos, "%s: the attach ended with %d: %s", session->cid, status, session->said);
    } else if (!workload_read_report(session->said, &report)) {
        chaos_fail(chaos, "%s: the container has said nothing at its end: %s", session->cid, session->said);
    } else if (report.out != session->received.offset ||
               report.out_hash != rt_digest_value(&session->received.digest)) {
        chaos_fail(chaos, "%s: %" PRIu64 " bytes were written, %" PRIu64 " came, or not the same", session->cid,
                   report.out, session->received.offset);
    } else if (report.in != session->n_typed || report.in_hash != rt_digest_value(&session->typed)) {
        chaos_fail(chaos, "%s: %" PRIu64 " bytes were typed, %" PRIu64 " read, or not the same", session->cid,
                   session->n_typed, report.in);
    }
}

static bool any_open(const struct chaos *chaos)
{
    for (size_t i = 0; i < chaos->n_sessions; i++) {
        if (chaos->sessions[i].out >= 0 || chaos->sessions[i].err >= 0) {
            return true;
        }
    }
    return false;
}

void chaos_sessions_end(struct chaos *chaos)
{
    uint64_t until = rt_process_now_ms() + CHAOS_LIMIT_MS;

    for (size_t i = 0; i < chaos->n_sessions; i++) {
        shut(&chaos->sessions[i].in);
    }
    while (any_open(chaos) && rt_process_now_ms() < until) {
        pump(chaos, TICK_MS);
    }
    for (size_t i = 0; i < chaos->n_sessions; i++) {
        struct chaos_session *session = &chaos->sessions[i];
        int status = rt_process_wait(session->attach, 1000);

        if (status == RT_PROCESS_LATE) {
            chaos_fail(chaos, "%s: the attach does not end: %s", session->cid, session->said);
            continue;
        }
        session->attach = 0;
        compare(chaos, session, status);
    }
}

void chaos_sessions_kill(struct chaos *chaos)
{
    for (size_t i = 0; i < chaos->n_sessions; i++) {
        rt_process_kill(chaos->sessions[i].attach);
    }
}
