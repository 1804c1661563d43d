/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/stream.h"

#include "clients/cli/tails.h"
#include "clients/cli/terminal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* ---- the end ---- */

/* Called however the program ends. */
static void end_cb(struct cli_app *app, int status)
{
    struct cli_stream *stream = app->data;

    cli_terminal_cooked();
    if (stream->att != NULL) {
        if (stream->state != CLI_STREAM_OPEN && stream->input && app->options->verbose) {
            cli_say("%" PRIu64 " bytes of input were sent again after breaks", retether_resent(stream->att));
        }
        retether_detach(stream->att);
        stream->att = NULL;
    }
    if (stream->reading != CLI_INPUT_NONE) {
        cli_reader_close(&stream->reader);
        uv_close((uv_handle_t *)&stream->held, NULL);
        uv_close((uv_handle_t *)&stream->leave, NULL);
    }
    cli_lost_close(&stream->lost);
    while (stream->writers_open > 0) {
        cli_writer_close(&stream->writer[--stream->writers_open]);
    }
    for (size_t i = 0; i < CLI_SIGNALS; i++) {
        uv_close((uv_handle_t *)&stream->signals[i], NULL);
    }
    if (stream->on_end != NULL) {
        stream->on_end(stream, status);
    }
}

/* ---- output ---- */

static void check_head(struct cli_stream *stream)
{
    if (stream->until_head && stream->reached[0] >= stream->head[0] && stream->reached[1] >= stream->head[1]) {
        cli_stream_end(stream, 0);
    }
}

static size_t output_cb(struct retether_attachment *att, enum retether_stream from, const void *data, size_t size,
                        void *ctx)
{
    struct cli_stream *stream = ctx;
    unsigned s = from - RETETHER_STDOUT;
    uint64_t offset = retether_offset(att, from);
    ssize_t n;

    if (stream->until_head) {
        uint64_t left = stream->head[s] > offset ? stream->head[s] - offset : 0;

        size = size < left ? size : (size_t)left;
    }
    n = cli_writer_write(&stream->writer[s], data, size);
    if (n < 0) {
        cli_stream_write_failed(stream, (int)-n);
        return 0;
    }
    if (s == 1 && n > 0) {
        stream->mid_line = ((const char *)data)[n - 1] != '\n';
    }
    cli_reader_turn(&stream->reader);
    stream->reached[s] = offset + (uint64_t)n;
    check_head(stream);
    return (size_t)n;
}

static void ready_cb(struct cli_writer *writer)
{
    struct cli_stream *stream = writer->data;

    if (stream->att != NULL) {
        retether_resume(stream->att, writer == &stream->writer[0] ? RETETHER_STDOUT : RETETHER_STDERR);
    }
}

/* attach and logs end when nobody reads their output any more: there is nothing left for them to do. */
static void gone_cb(struct cli_writer *writer)
{
    cli_stream_write_failed(writer->data, EPIPE);
}

static void gap_cb(struct retether_attachment *att, enum retether_stream from, uint64_t start, uint64_t end, void *ctx)
{
    struct cli_stream *stream = ctx;

    (void)att;
    cli_gap(from, start, end);
    stream->lost_bytes += end - start;
    stream->mid_line = false;
    stream->reached[from - RETETHER_STDOUT] = end;
    check_head(stream);
}

/* ---- the attachment ---- */

/* Says what is missing at the beginning for a command that wants everything from the first byte on. For run and exec
 * these bytes are lost; for logs they are not kept any more. */
static void tell_missed(struct cli_stream *stream)
{
    bool own = cli_stream_is_own(stream);
    bool all = own || (stream->start.from == RETETHER_FROM_OLDEST && stream->kind == CLI_STREAM_LOGS);

    for (unsigned s = 0; all && s < 2; s++) {
        if (stream->reached[s] > 0 && own) {
            cli_gap(RETETHER_STDOUT + s, 0, stream->reached[s]);
            stream->lost_bytes += stream->reached[s];
        } else if (stream->reached[s] > 0) {
            cli_not_kept(RETETHER_STDOUT + s, stream->reached[s]);
        }
    }
}

static void attached_cb(struct retether_attachment *att, const struct retether_attached *attached, void *ctx)
{
    struct cli_stream *stream = ctx;

    (void)att;
    cli_stream_go(stream, CLI_STREAM_LIVE);
    stream->tty = attached->tty;
    stream->process = attached->process;
    stream->head[0] = attached->head[0];
    stream->head[1] = attached->head[1];
    stream->reached[0] = attached->start[0];
    stream->reached[1] = attached->start[1];
    tell_missed(stream);
    if (stream->app->options->verbose) {
        cli_say("attached to %s, served by %s", stream->app->container, attached->host);
    }
    cli_stream_start(stream);
    check_head(stream);
}

static void interrupted_cb(struct retether_attachment *att, void *ctx)
{
    struct cli_stream *stream = ctx;

    (void)att;
    cli_lost_interrupted(&stream->lost);
    if (stream->app->options->verbose && !cli_terminal_is_raw()) {
        cli_say("interrupted; looking for %s", stream->app->container);
    }
}

static void resumed_cb(struct retether_attachment *att, const char *host, void *ctx)
{
    struct cli_stream *stream = ctx;

    (void)att;
    cli_lost_resumed(&stream->lost, host);
    if (stream->app->options->verbose && !cli_terminal_is_raw()) {
        cli_say("resumed, served by %s", host);
    }
}

static void exited_cb(struct retether_attachment *att, unsigned code, unsigned signum, void *ctx)
{
    struct cli_stream *stream = ctx;

    cli_stream_go(stream, CLI_STREAM_ENDED);
    cli_stream_exited(stream, code, signum,
                      retether_offset(att, RETETHER_STDOUT) + retether_offset(att, RETETHER_STDERR));
}

static const struct retether_attachment_callbacks callbacks = {
    .size = sizeof(callbacks),
    .attached = attached_cb,
    .output = output_cb,
    .gap = gap_cb,
    .writable = cli_stream_writable,
    .input_closed = cli_stream_input_closed,
    .interrupted = interrupted_cb,
    .resumed = resumed_cb,
    .exited = exited_cb,
    .rewound = cli_stream_rewound,
    .failed = cli_stream_failed,
};

/* ---- beginning ---- */

static void take_options(struct cli_stream *stream, const struct cli_options *options)
{
    bool whole = stream->kind == CLI_STREAM_LOGS || stream->kind == CLI_STREAM_RUN;

    stream->start.from = whole ? RETETHER_FROM_OLDEST : RETETHER_FROM_NOW;
    cli_read_start(options, &stream->start);
    stream->sig_proxy = stream->kind == CLI_STREAM_RUN || cli_has(options, &cli_sig_proxy);
    (void)cli_read(options, &cli_detach_keys, &stream->keys);
}

bool cli_stream_open(struct cli_stream *stream, struct cli_app *app, enum cli_stream_kind kind,
                     const struct retether_record *record)
{
    static const int fds[2] = {STDOUT_FILENO, STDERR_FILENO};

    stream->app = app;
    stream->kind = kind;
    app->data = stream;
    app->on_end = end_cb;
    if (record != NULL) {
        stream->record = *record;
    }
    take_options(stream, app->options);
    cli_stream_open_signals(stream);
    cli_lost_open(&stream->lost, app, cli_stream_lost);
    stream->lost.data = stream;
    for (unsigned s = 0; s < 2; s++) {
        if (cli_writer_open(&stream->writer[s], &app->loop, fds[s]) != RT_OK) {
            cli_stream_fail(stream, "%s cannot be written to; open it for writing", s == 0 ? "stdout" : "stderr");
            return false;
        }
        stream->writers_open = s + 1;
        stream->writer[s].data = stream;
        stream->writer[s].on_ready = ready_cb;
        if (!cli_stream_is_own(stream)) {
            cli_writer_watch(&stream->writer[s], gone_cb);
        }
    }
    return true;
}

void cli_stream_options(const struct cli_stream *stream, struct retether_attach_options *options)
{
    const struct cli_options *given = stream->app->options;

    retether_attach_defaults(options, sizeof(*options));
    options->container = stream->app->container;
    options->process = stream->process;
    options->input = stream->input;
    options->control = stream->sig_proxy;
    options->from = stream->start.from;
    options->start[0] = stream->start.at[0];
    options->start[1] = stream->start.at[1];
    (void)cli_read(given, &cli_hold, &options->hold_ms);
    options->give_up_ms = given->timeout_ms;
    (void)cli_terminal_size(&options->rows, &options->cols); /* without a terminal they stay 0 */
}

void cli_stream_attach(struct cli_stream *stream, const struct retether_attach_options *options,
                       const struct retether_exec_options *exec)
{
    struct retether_client *client = stream->app->client;
    struct retether_attachment_callbacks with = callbacks;
    int rc;

    with.ctx = stream;
    rc = exec != NULL ? retether_exec(client, options, exec, &with, &stream->att)
                      : retether_attach(client, options, &with, &stream->att);
    if (rc != RT_OK && exec != NULL) {
        cli_stream_fail(stream, "the command is too long: at most 256 KiB, and about 4000 words, together with its "
                                "environment; its directory at most 1024 bytes");
    } else if (rc != RT_OK) {
        cli_stream_fail(stream, "cannot attach to \"%s\": %s", options->container, rt_strerror(rc));
    }
}
