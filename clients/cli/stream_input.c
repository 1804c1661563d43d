/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/stream.h"

#include "clients/cli/terminal.h"

#include <assert.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* What goes to the container: stdin with its detach keys, signals, the terminal's size. */

static const int watched[CLI_SIGNALS] = {SIGINT,  SIGTERM,  SIGHUP,  SIGQUIT, SIGUSR1,
                                         SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT};

/* For how long a detach waits until what was typed before it has been taken. */
#define LEAVE_MS 2000
#define LEAVE_STEP_MS 10
/* For how long a key that may be the first of the detach keys is held back: a person types the next one sooner. */
#define KEYS_MS 300

/* ---- input ---- */

static void go(struct cli_stream *stream, enum cli_input to)
{
    assert(to > stream->reading);
    stream->reading = to;
}

static bool is_refused(const struct cli_stream *stream)
{
    return stream->reading == CLI_INPUT_KEYS || stream->reading == CLI_INPUT_REFUSED;
}

/* Gives the attachment what it takes; reads on when it took all. */
static void push_input(struct cli_stream *stream)
{
    stream->pending_at +=
        retether_write(stream->att, stream->pending + stream->pending_at, stream->pending_size - stream->pending_at);
    if (stream->pending_at < stream->pending_size) {
        cli_reader_stop(&stream->reader);
        return;
    }
    stream->pending_at = stream->pending_size = 0;
    if (stream->state == CLI_STREAM_LEAVING) {
        return;
    }
    if (stream->reading == CLI_INPUT_ENDED) {
        retether_write_end(stream->att);
    } else {
        cli_reader_start(&stream->reader);
    }
}

static void detached(struct cli_stream *stream)
{
    cli_stream_leave_terminal();
    cli_stream_tell_untaken(stream);
    if (isatty(STDERR_FILENO)) {
        cli_say("detached; retether attach %s attaches again", stream->app->container);
    }
    cli_stream_end(stream, 0);
}

/* Whether the process has taken all input, or takes no more. */
static bool all_taken(const struct cli_stream *stream)
{
    uint64_t written, taken;

    retether_input(stream->att, &written, &taken);
    return stream->reading != CLI_INPUT_OPEN || (stream->pending_at == stream->pending_size && taken == written);
}

static void leave_cb(uv_timer_t *timer)
{
    struct cli_stream *stream = timer->data;

    if (all_taken(stream) || uv_now(timer->loop) >= stream->leave_until_ms) {
        detached(stream);
    }
}

/* A detach drops what is on its way, so it waits. */
static void leave(struct cli_stream *stream)
{
    uv_loop_t *loop = &stream->app->loop;

    cli_stream_go(stream, CLI_STREAM_LEAVING);
    cli_reader_stop(&stream->reader);
    push_input(stream);
    stream->leave_until_ms = uv_now(loop) + LEAVE_MS;
    (void)uv_timer_start(&stream->leave, leave_cb, 0, LEAVE_STEP_MS);
}

/* Counts and drops input that the process will never take. */
static void drop_input(struct cli_stream *stream)
{
    stream->dropped += stream->pending_size - stream->pending_at;
    stream->pending_at = stream->pending_size = 0;
    if (stream->reading == CLI_INPUT_REFUSED || stream->state == CLI_STREAM_LEAVING) {
        cli_reader_stop(&stream->reader);
    } else {
        cli_reader_start(&stream->reader);
    }
}

/* Passes on what was read, or drops it when the process takes no more. */
static void pass_input(struct cli_stream *stream)
{
    if (is_refused(stream)) {
        drop_input(stream);
    } else {
        push_input(stream);
    }
}

/* The next key did not come: what was held back was typed for the container. */
static void keys_cb(uv_timer_t *timer)
{
    struct cli_stream *stream = timer->data;

    if (stream->state != CLI_STREAM_LIVE) {
        return;
    }
    stream->pending_size += cli_keys_flush(&stream->keys, stream->pending + stream->pending_size);
    pass_input(stream);
}

static void input_cb(struct cli_reader *reader, const uint8_t *data, size_t size)
{
    struct cli_stream *stream = reader->data;
    bool found = false;

    if (size == 0 && reader->error != 0) {
        /* It is not the end of the input: the process must not believe that it has all of it. */
        cli_stream_fail(stream, "cannot read stdin: %s", strerror(reader->error));
        return;
    }
    (void)uv_timer_stop(&stream->held);
    if (size == 0) {
        go(stream, is_refused(stream) ? CLI_INPUT_REFUSED : CLI_INPUT_ENDED);
        stream->pending_size = cli_keys_flush(&stream->keys, stream->pending);
    } else {
        stream->pending_size = cli_keys_filter(&stream->keys, data, size, stream->pending, &found);
    }
    stream->pending_at = 0;
    if (found) {
        leave(stream);
        return;
    }
    pass_input(stream);
    if (stream->keys.seen > 0) {
        (void)uv_timer_start(&stream->held, keys_cb, KEYS_MS, 0);
    }
}

void cli_stream_writable(struct retether_attachment *att, void *ctx)
{
    struct cli_stream *stream = ctx;

    (void)att;
    if (stream->pending_at < stream->pending_size) {
        push_input(stream);
    }
}

void cli_stream_input_closed(struct retether_attachment *att, uint64_t applied, void *ctx)
{
    struct cli_stream *stream = ctx;

    (void)att;
    (void)applied;
    if (stream->reading != CLI_INPUT_NONE && !is_refused(stream)) {
        bool keys = stream->reading == CLI_INPUT_OPEN && isatty(STDIN_FILENO);

        go(stream, keys ? CLI_INPUT_KEYS : CLI_INPUT_REFUSED);
        drop_input(stream);
    }
}

/* ---- the terminal ---- */

/* Tells the container the size of this one. */
static void resize(struct cli_stream *stream)
{
    unsigned rows;
    unsigned cols;

    if (stream->tty && stream->att != NULL && cli_terminal_size(&rows, &cols)) {
        (void)!retether_resize(stream->att, rows, cols);
    }
}

/* When the process has a terminal and this program has one too, this one is set raw, so that keys are not handled
 * twice. */
static void set_terminal(struct cli_stream *stream)
{
    bool keys = stream->tty && stream->reading != CLI_INPUT_NONE && isatty(STDIN_FILENO);

    if (stream->tty && !(keys && cli_terminal_raw())) {
        (void)cli_terminal_raw_output();
    }
}

static void start_input(struct cli_stream *stream)
{
    if (cli_reader_open(&stream->reader, &stream->app->loop, STDIN_FILENO) != RT_OK) {
        retether_write_end(stream->att); /* stdin is closed */
        return;
    }
    go(stream, CLI_INPUT_OPEN);
    stream->reader.data = stream;
    stream->reader.on_data = input_cb;
    (void)uv_timer_init(&stream->app->loop, &stream->held);
    (void)uv_timer_init(&stream->app->loop, &stream->leave);
    stream->held.data = stream->leave.data = stream;
    if (isatty(STDIN_FILENO) && !cli_has(stream->app->options, &cli_detach_keys)) {
        (void)!cli_keys_parse(&stream->keys, "ctrl-p,ctrl-q");
    }
    cli_reader_start(&stream->reader);
}

void cli_stream_start(struct cli_stream *stream)
{
    if (stream->input) {
        start_input(stream);
    }
    set_terminal(stream);
    resize(stream);
}

/* ---- signals ---- */

static void signal_cb(uv_signal_t *handle, int signum)
{
    struct cli_stream *stream = handle->data;
    bool last = signum == SIGINT || signum == SIGTERM || signum == SIGHUP || signum == SIGQUIT;

    if (signum == SIGWINCH) {
        resize(stream);
    } else if (signum == SIGTSTP) {
        cli_terminal_cooked();
        (void)raise(SIGSTOP); /* goes on with SIGCONT, which is watched too */
    } else if (signum == SIGCONT) {
        if (stream->state != CLI_STREAM_OPEN) {
            set_terminal(stream);
        }
        resize(stream);
    } else if (last && stream->state == CLI_STREAM_OPEN && stream->kind != CLI_STREAM_EXEC) {
        /* There is nobody to pass it on to yet, and perhaps never. An exec may be under way, and its command is to get
         * it. */
        cli_say("interrupted before %s was attached to", stream->app->container);
        cli_stream_end(stream, 128 + signum);
    } else if (stream->sig_proxy && stream->att != NULL) {
        (void)!retether_signal(stream->att, (unsigned)signum);
    } else if (last) {
        cli_stream_tell_resume(stream);
        cli_stream_end(stream, 128 + signum);
    }
}

void cli_stream_open_signals(struct cli_stream *stream)
{
    for (size_t i = 0; i < CLI_SIGNALS; i++) {
        bool user = watched[i] == SIGUSR1 || watched[i] == SIGUSR2;

        (void)uv_signal_init(&stream->app->loop, &stream->signals[i]);
        stream->signals[i].data = stream;
        /* A signal that is not passed on keeps its default action. */
        if (!user || stream->sig_proxy) {
            (void)uv_signal_start(&stream->signals[i], signal_cb, watched[i]);
        }
    }
}
