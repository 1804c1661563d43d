/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/demo/demo.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A typist that was kept waiting catches up this much of its time at once. */
#define CATCH_UP_MS 20.0

static void received(struct demo *demo, const void *data, size_t size)
{
    double now = demo_now_ms(), since;
    char why[128];

    if (demo->phase == DEMO_RECOVERING) {
        since = demo->last_read_ms > demo->cut_ms ? demo->last_read_ms : demo->cut_ms;
        demo->silence_ms = now - since > demo->silence_ms ? now - since : demo->silence_ms;
    }
    demo->last_read_ms = now;
    if (!workload_check_feed(&demo->received, data, size) && demo->received.sample_size >= WORKLOAD_SAMPLE) {
        workload_check_explain(&demo->received, why, sizeof(why));
        demo_fail(demo, "output: %s", why);
    }
}

static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char space[65536];

    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(space, sizeof(space));
}

static void out_cb(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct demo *demo = stream->data;

    if (n < 0) {
        demo->out_over = true;
        uv_close((uv_handle_t *)stream, NULL);
    } else {
        received(demo, buf->base, (size_t)n);
    }
}

static void err_cb(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct demo *demo = stream->data;
    size_t keep, size;

    if (n < 0) {
        demo->err_over = true;
        uv_close((uv_handle_t *)stream, NULL);
        return;
    }
    /* only the newest is kept: the last line counts, and what else there may be is for people */
    size = (size_t)n < DEMO_STDERR_MAX / 2 ? (size_t)n : DEMO_STDERR_MAX / 2;
    if (demo->stderr_size + size >= DEMO_STDERR_MAX) {
        keep = DEMO_STDERR_MAX / 2 - 1;
        memmove(demo->stderr_text, demo->stderr_text + demo->stderr_size - keep, keep);
        demo->stderr_size = keep;
    }
    memcpy(demo->stderr_text + demo->stderr_size, buf->base + ((size_t)n - size), size);
    demo->stderr_size += size;
    demo->stderr_text[demo->stderr_size] = '\0';
    if (strstr(demo->stderr_text, "[gap: ") != NULL) {
        demo_fail(demo, "the client was told of a gap: %s", strstr(demo->stderr_text, "[gap: "));
    }
}

static void written_cb(uv_write_t *request, int status)
{
    struct demo *demo = request->data;

    demo->writing = false;
    if (status == UV_EPIPE && !demo->in_over) {
        demo->in_over = true; /* it has ended: its status and its last words will say why */
        uv_close((uv_handle_t *)&demo->in, NULL);
    } else if (status != 0 && status != UV_ECANCELED) {
        demo_fail(demo, "the client takes no more input: %s", uv_strerror(status));
    }
}

void demo_type(struct demo *demo)
{
    double now = demo_now_ms(), most = (double)demo->in_rate * CATCH_UP_MS / 1000.0;
    uint64_t left = demo->in_bytes - demo->sent;
    uv_buf_t buf;
    size_t size;

    demo->in_credit += (now - demo->in_credited_ms) * (double)demo->in_rate / 1000.0;
    demo->in_credited_ms = now;
    demo->in_credit = demo->in_credit > most ? most : demo->in_credit;
    if (demo->writing || demo->in_over) {
        return;
    }
    if (left == 0) {
        demo->in_over = true; /* the end of its input is the end of the container's stdin */
        uv_close((uv_handle_t *)&demo->in, NULL);
        return;
    }
    size = demo->in_credit < 1 ? 0 : (size_t)demo->in_credit;
    size = size > sizeof(demo->in_buf) ? sizeof(demo->in_buf) : size;
    size = size > left ? (size_t)left : size;
    if (size == 0) {
        return;
    }
    workload_fill(DEMO_SEED + 1, WORKLOAD_BINARY, demo->sent, demo->in_buf, size);
    rt_digest_extend(&demo->sent_digest, demo->in_buf, size);
    demo->sent += size;
    demo->in_credit -= (double)size;
    buf = uv_buf_init((char *)demo->in_buf, (unsigned)size);
    demo->in_write.data = demo;
    demo->writing = true;
    if (uv_write(&demo->in_write, (uv_stream_t *)&demo->in, &buf, 1, written_cb) != 0) {
        demo->writing = false;
        demo_fail(demo, "cannot write to the client");
    }
}

static int open_end(struct demo *demo, uv_pipe_t *pipe, int fd)
{
    (void)uv_pipe_init(&demo->loop, pipe, 0);
    pipe->data = demo;
    return uv_pipe_open(pipe, fd);
}

int demo_attach(struct demo *demo)
{
    const char *argv[] = {"retether", "attach", "-v", "--since-offset", "oldest", "--hold", "10m", DEMO_CID, NULL};
    struct rt_process_spec spec;
    int in[2], out[2], err[2];

    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
        return -1;
    }
    rt_process_spec_init(&spec, argv);
    rt_cluster_cli_env(&demo->cluster, &spec);
    spec.in = in[0];
    spec.out = out[1];
    spec.err = err[1];
    demo->attach = rt_process_start(&spec);
    demo->attach_status = -2;
    (void)close(in[0]);
    (void)close(out[1]);
    (void)close(err[1]);
    if (demo->attach < 0 || open_end(demo, &demo->in, in[1]) != 0 || open_end(demo, &demo->out, out[0]) != 0 ||
        open_end(demo, &demo->err, err[0]) != 0) {
        return -1;
    }
    demo->last_read_ms = demo->in_credited_ms = demo_now_ms();
    return uv_read_start((uv_stream_t *)&demo->out, alloc_cb, out_cb) != 0 ||
                   uv_read_start((uv_stream_t *)&demo->err, alloc_cb, err_cb) != 0
               ? -1
               : 0;
}

void demo_streams_close(struct demo *demo)
{
    if (!demo->in_over) {
        demo->in_over = true;
        uv_close((uv_handle_t *)&demo->in, NULL);
    }
    if (!demo->out_over) {
        demo->out_over = true;
        uv_close((uv_handle_t *)&demo->out, NULL);
    }
    if (!demo->err_over) {
        demo->err_over = true;
        uv_close((uv_handle_t *)&demo->err, NULL);
    }
}

const char *demo_said(const struct demo *demo)
{
    const char *complaint = strstr(demo->stderr_text, "workload: stdin");

    return complaint != NULL
               ? complaint
               : demo->stderr_text + (demo->stderr_size > DEMO_QUOTE ? demo->stderr_size - DEMO_QUOTE : 0);
}

/* The client's last words. */
static bool read_resent(struct demo *demo)
{
    static const char words[] = " bytes of input were sent again";
    const char *at = strstr(demo->stderr_text, words), *digits = at;

    while (at != NULL && digits > demo->stderr_text && digits[-1] >= '0' && digits[-1] <= '9') {
        digits--;
    }
    if (at == NULL || digits == at) {
        return false;
    }
    demo->resent_in = strtoull(digits, NULL, 10);
    return true;
}

void demo_compare(struct demo *demo)
{
    struct workload_report report;
    char why[128];
    bool told = read_resent(demo);

    if (demo->received.verdict != WORKLOAD_GOOD) {
        workload_check_explain(&demo->received, why, sizeof(why));
        demo_fail(demo, "output: %s", why);
    }
    if (!workload_read_report(demo->stderr_text, &report)) {
        demo_fail(demo, "the container did not say what it saw; the client's stderr: %.*s", DEMO_QUOTE,
                  demo_said(demo));
    } else if (report.out != demo->out_bytes || demo->received.offset != report.out) {
        demo_fail(demo, "output: %" PRIu64 " bytes of %" PRIu64 " written, %" PRIu64 " received", report.out,
                  demo->out_bytes, demo->received.offset);
    } else if (report.in != demo->sent || demo->sent != demo->in_bytes) {
        demo_fail(demo, "input: %" PRIu64 " bytes of %" PRIu64 " sent, %" PRIu64 " read", demo->sent, demo->in_bytes,
                  report.in);
    } else if (report.out_hash != rt_digest_value(&demo->received.digest) ||
               report.in_hash != rt_digest_value(&demo->sent_digest)) {
        demo_fail(demo, "the hashes of both ends differ");
    } else if (demo->attach_status != 0) {
        demo_fail(demo, "the client ended with status %d", demo->attach_status);
    } else if (!told) {
        demo_fail(demo, "the client did not say how much input it sent again");
    }
}
