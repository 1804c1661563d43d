/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/stream.h"

#include "tests/system/cluster/harness.h"
#include "tests/vm/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS 2
#define CHUNK 65536
/* A typist that was kept waiting catches up this much of its time at once. */
#define CATCH_UP_MS 20.0
#define FIRST_STEP_MS 5.0
#define END_LIMIT_MS 60000

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

static void note_point(struct vm_stream *stream, double now)
{
    struct vm_stream_point *last = stream->n_points > 0 ? &stream->points[stream->n_points - 1] : NULL;

    if (last != NULL && now - last->at_ms < stream->step_ms) {
        last->bytes = stream->received.offset;
        return;
    }
    if (stream->n_points == VM_STREAM_POINTS) {
        for (size_t i = 0; i < VM_STREAM_POINTS / 2; i++) {
            stream->points[i] = stream->points[2 * i + 1];
        }
        stream->n_points = VM_STREAM_POINTS / 2;
        stream->step_ms *= 2;
    }
    stream->points[stream->n_points++] = (struct vm_stream_point){now, stream->received.offset};
}

static void receive(struct vm_stream *stream)
{
    static _Thread_local uint8_t buf[CHUNK];
    ssize_t n = read(stream->out, buf, sizeof(buf));
    double now = vm_now_ms(), silence;

    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            close_fd(&stream->out);
        }
        return;
    }
    (void)pthread_mutex_lock(&stream->lock);
    silence = now - stream->last_ms;
    if (silence >= VM_STREAM_SILENCE_MS) {
        stream->silences[stream->n_silences++ % VM_STREAM_SILENCES] = (struct vm_stream_silence){silence, now};
    }
    stream->last_ms = now;
    (void)workload_check_feed(&stream->received, buf, (size_t)n);
    note_point(stream, now);
    (void)pthread_mutex_unlock(&stream->lock);
}

static void receive_text(struct vm_stream *stream)
{
    char buf[VM_STREAM_STDERR / 2];
    ssize_t n = read(stream->err, buf, sizeof(buf));
    size_t keep = VM_STREAM_STDERR / 2 - 1;

    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            close_fd(&stream->err);
        }
        return;
    }
    (void)pthread_mutex_lock(&stream->lock);
    if (stream->text_size + (size_t)n >= VM_STREAM_STDERR) {
        memmove(stream->text, stream->text + stream->text_size - keep, keep);
        stream->text_size = keep;
    }
    memcpy(stream->text + stream->text_size, buf, (size_t)n);
    stream->text_size += (size_t)n;
    stream->text[stream->text_size] = '\0';
    (void)pthread_mutex_unlock(&stream->lock);
}

/* Bytes of input that the client has not taken yet. */
struct typing {
    uint8_t buf[CHUNK];
    size_t from, until;
    double credit, credited_ms;
};

static void type(struct vm_stream *stream, struct typing *typing)
{
    double now = vm_now_ms(), most = (double)stream->rate * CATCH_UP_MS / 1000.0;
    bool closing;
    ssize_t n;

    (void)pthread_mutex_lock(&stream->lock);
    closing = stream->closing;
    (void)pthread_mutex_unlock(&stream->lock);
    typing->credit += (now - typing->credited_ms) * (double)stream->rate / 1000.0;
    typing->credited_ms = now;
    typing->credit = typing->credit > most ? most : typing->credit;
    if (typing->from == typing->until) {
        if (closing) {
            close_fd(&stream->in); /* the end of its input is the end of the workload's */
            return;
        }
        typing->from = 0;
        typing->until = typing->credit < 1 ? 0 : (size_t)typing->credit < CHUNK ? (size_t)typing->credit : CHUNK;
        typing->credit -= (double)typing->until;
        workload_fill(stream->seed + 1, WORKLOAD_BINARY, stream->sent, typing->buf, typing->until);
    }
    if (typing->from == typing->until) {
        return;
    }
    n = write(stream->in, typing->buf + typing->from, typing->until - typing->from);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            close_fd(&stream->in);
        }
        return;
    }
    (void)pthread_mutex_lock(&stream->lock);
    rt_digest_extend(&stream->sent_digest, typing->buf + typing->from, (size_t)n);
    stream->sent += (uint64_t)n;
    (void)pthread_mutex_unlock(&stream->lock);
    typing->from += (size_t)n;
}

static void *run(void *arg)
{
    static _Thread_local struct typing typing;
    struct vm_stream *stream = arg;

    typing.credited_ms = vm_now_ms();
    while (stream->out >= 0 || stream->err >= 0) {
        struct pollfd fds[2] = {{.fd = stream->out, .events = POLLIN}, {.fd = stream->err, .events = POLLIN}};

        (void)poll(fds, 2, stream->in >= 0 ? TICK_MS : -1);
        if (fds[0].revents != 0) {
            receive(stream);
        }
        if (fds[1].revents != 0) {
            receive_text(stream);
        }
        if (stream->in >= 0) {
            type(stream, &typing);
        }
    }
    close_fd(&stream->in);
    (void)pthread_mutex_lock(&stream->lock);
    stream->over = true;
    (void)pthread_mutex_unlock(&stream->lock);
    return NULL;
}

void vm_stream_start(struct vm_stream *stream, const char *const *args, uint64_t seed, uint64_t rate)
{
    int in[2], out[2], err[2];
    struct rt_process_spec spec;

    vm_stream_close(stream); /* of a case that failed */
    memset(stream, 0, sizeof(*stream));
    (void)pthread_mutex_init(&stream->lock, NULL);
    stream->seed = seed;
    stream->rate = rate;
    stream->step_ms = FIRST_STEP_MS;
    stream->last_ms = vm_now_ms();
    workload_check_init(&stream->received, seed, WORKLOAD_BINARY, 0);
    rt_digest_start(&stream->sent_digest, 0);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    rt_process_spec_init(&spec, args);
    rt_cluster_cli_env(&harness, &spec);
    spec.in = in[0];
    spec.out = out[1];
    spec.err = err[1];
    stream->pid = rt_process_start(&spec);
    close_fd(&in[0]);
    close_fd(&out[1]);
    close_fd(&err[1]);
    assert_true(stream->pid > 0);
    stream->in = in[1];
    stream->out = out[0];
    stream->err = err[0];
    (void)fcntl(stream->in, F_SETFL, O_NONBLOCK);
    assert_int_equal(pthread_create(&stream->thread, NULL, run, stream), 0);
    stream->started = true;
}

/* A consistent look; false: it is over. */
static bool look(struct vm_stream *stream, uint64_t *received, uint64_t *sent)
{
    bool over;

    (void)pthread_mutex_lock(&stream->lock);
    *received = stream->received.offset;
    *sent = stream->sent;
    over = stream->over || stream->received.verdict != WORKLOAD_GOOD;
    (void)pthread_mutex_unlock(&stream->lock);
    return !over;
}

static void until(struct vm_stream *stream, uint64_t received, uint64_t sent)
{
    uint64_t limit = rt_process_now_ms() + END_LIMIT_MS, got, typed;
    char why[128] = "";

    while (look(stream, &got, &typed) && (got < received || typed < sent)) {
        if (rt_process_now_ms() >= limit) {
            break;
        }
        rt_process_sleep_ms(TICK_MS);
    }
    if (got < received || typed < sent) {
        (void)pthread_mutex_lock(&stream->lock);
        if (stream->received.verdict != WORKLOAD_GOOD) {
            workload_check_explain(&stream->received, why, sizeof(why));
        }
        print_error("stream: %" PRIu64 " of %" PRIu64 " bytes came, %" PRIu64 " of %" PRIu64 " were typed %s\n%s\n",
                    got, received, typed, sent, why, stream->text);
        (void)pthread_mutex_unlock(&stream->lock);
        fail();
    }
}

void vm_stream_until(struct vm_stream *stream, uint64_t bytes)
{
    until(stream, bytes, 0);
}

void vm_stream_more(struct vm_stream *stream, uint64_t bytes)
{
    uint64_t received, sent;

    (void)look(stream, &received, &sent);
    until(stream, received + bytes, stream->rate > 0 ? sent + 1 : 0);
}

uint64_t vm_stream_received(struct vm_stream *stream)
{
    uint64_t received, sent;

    (void)look(stream, &received, &sent);
    return received;
}

void vm_stream_mark(struct vm_stream *stream)
{
    (void)pthread_mutex_lock(&stream->lock);
    stream->n_silences = 0;
    (void)pthread_mutex_unlock(&stream->lock);
}

double vm_stream_blackout(struct vm_stream *stream, double resumed_ms)
{
    struct vm_stream_silence longest = {.end_ms = resumed_ms};
    size_t n;

    vm_stream_more(stream, VM_STREAM_WINDOW);
    (void)pthread_mutex_lock(&stream->lock);
    n = stream->n_silences < VM_STREAM_SILENCES ? stream->n_silences : VM_STREAM_SILENCES;
    for (size_t i = 0; i < n; i++) {
        if (stream->silences[i].end_ms > resumed_ms && stream->silences[i].ms > longest.ms) {
            longest = stream->silences[i];
        }
    }
    (void)pthread_mutex_unlock(&stream->lock);
    return longest.end_ms - resumed_ms;
}

static void compare(struct vm_stream *stream, int status)
{
    struct workload_report report = {0};

    if (status != 0 || !workload_read_report(stream->text, &report) || strstr(stream->text, "[gap: ") != NULL) {
        print_error("stream: status %d\n%s\n", status, stream->text);
        fail();
    }
    assert_int_equal(stream->received.offset, report.out);
    assert_int_equal(stream->sent, report.in);
    assert_int_equal(rt_digest_value(&stream->received.digest), report.out_hash);
    assert_int_equal(rt_digest_value(&stream->sent_digest), report.in_hash);
}

int vm_stream_wait(struct vm_stream *stream)
{
    uint64_t limit = rt_process_now_ms() + END_LIMIT_MS;
    bool over = false;
    char why[128];
    int status;

    while (!over && rt_process_now_ms() < limit) {
        (void)pthread_mutex_lock(&stream->lock);
        over = stream->over;
        (void)pthread_mutex_unlock(&stream->lock);
        rt_process_sleep_ms(TICK_MS);
    }
    if (!over) {
        print_error("stream: it does not end\n%s\n", stream->text);
        fail();
    }
    (void)pthread_join(stream->thread, NULL);
    stream->started = false;
    status = rt_process_wait(stream->pid, END_LIMIT_MS);
    if (status != RT_PROCESS_LATE) {
        stream->pid = 0;
    }
    if (stream->received.verdict != WORKLOAD_GOOD) {
        workload_check_explain(&stream->received, why, sizeof(why));
        print_error("stream: %s\n%s\n", why, stream->text);
        fail();
    }
    return status;
}

void vm_stream_finish(struct vm_stream *stream)
{
    (void)pthread_mutex_lock(&stream->lock);
    stream->closing = true;
    (void)pthread_mutex_unlock(&stream->lock);
    compare(stream, vm_stream_wait(stream));
}

void vm_stream_close(struct vm_stream *stream)
{
    rt_process_kill(stream->pid);
    stream->pid = 0;
    if (stream->started) {
        (void)pthread_join(stream->thread, NULL);
        stream->started = false;
        (void)pthread_mutex_destroy(&stream->lock);
    }
}
