/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/stream.h"

#include "clients/cli/tails.h"
#include "clients/cli/terminal.h"
#include "clients/cli/values.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const int watched[CLI_SIGNALS] = {SIGINT,  SIGTERM,  SIGHUP,  SIGQUIT, SIGUSR1,
                                         SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT};

/* ---- the end ---- */

/* However the program ends. */
static void end_cb(struct cli_app *app, int status)
{
    struct cli_stream *stream = app->data;

    stream->state = CLI_STREAM_CLOSED;
    cli_terminal_cooked();
    if (stream->att != NULL) {
        retether_detach(stream->att);
        stream->att = NULL;
    }
    if (stream->reader_open) {
        cli_reader_close(&stream->reader);
    }
    while (stream->writers_open > 0) {
        cli_writer_close(&stream->writer[--stream->writers_open]);
    }
    for (size_t i = 0; stream->signals_open && i < CLI_SIGNALS; i++) {
        uv_close((uv_handle_t *)&stream->signals[i], NULL);
    }
    if (stream->on_end != NULL) {
        stream->on_end(stream, status);
    }
}

void cli_stream_end(struct cli_stream *stream, int status)
{
    cli_finish(stream->app, status);
}

void cli_resume_text(const struct cli_options *options, const char *container, uint32_t process, bool tty,
                     const uint64_t offset[2], char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "retether attach %s", container);

    for (size_t i = 0; options->agents_given && i < options->n_agents && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, " --agent %s", options->agents[i]);
    }
    if (process != 0 && used < size) {
        used += (size_t)snprintf(out + used, size - used, " --process %" PRIu32, process);
    }
    if (used < size) {
        used += (size_t)snprintf(out + used, size - used, " --since-offset %" PRIu64, offset[0]);
    }
    if (!tty && offset[1] > 0 && used < size) {
        (void)snprintf(out + used, size - used, ",%" PRIu64, offset[1]);
    }
}

/* After an attach that did not end by itself: how to go on, and what was not taken of the input. */
static void tell_resume(struct cli_stream *stream)
{
    uint64_t offset[2];
    uint64_t written;
    uint64_t taken;
    char text[512];

    if (stream->state != CLI_STREAM_LIVE || stream->until_head) {
        return;
    }
    offset[0] = retether_offset(stream->att, RETETHER_STDOUT);
    offset[1] = retether_offset(stream->att, RETETHER_STDERR);
    retether_input(stream->att, &written, &taken);
    written += stream->pending_size - stream->pending_at;
    cli_terminal_cooked();
    cli_resume_text(stream->app->options, stream->container, stream->process, stream->tty, offset, text, sizeof(text));
    cli_say("interrupted; this goes on where it stopped:\n  %s", text);
    if (written > taken) {
        cli_say("%" PRIu64 " bytes of input were not taken", written - taken);
    }
}

static void fail(struct cli_stream *stream, const char *text)
{
    cli_terminal_cooked();
    cli_say("%s", text);
    tell_resume(stream);
    cli_stream_end(stream, CLI_EXIT_FAILED);
}

/* ---- output ---- */

static void check_head(struct cli_stream *stream)
{
    if (stream->until_head && stream->reached[0] >= stream->head[0] && stream->reached[1] >= stream->head[1]) {
        cli_stream_end(stream, 0);
    }
}

static void write_failed(struct cli_stream *stream, int error)
{
    char text[160];

    if (error == EPIPE) { /* whoever read this has seen enough */
        cli_stream_end(stream, 128 + SIGPIPE);
        return;
    }
    snprintf(text, sizeof(text), "cannot write the output: %s", strerror(error));
    fail(stream, text);
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
        write_failed(stream, (int)-n);
        return 0;
    }
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

static void gap_cb(struct retether_attachment *att, enum retether_stream from, uint64_t start, uint64_t end, void *ctx)
{
    struct cli_stream *stream = ctx;

    (void)att;
    cli_gap(from, start, end);
    stream->reached[from - RETETHER_STDOUT] = end;
    check_head(stream);
}

/* ---- input ---- */

static void detached(struct cli_stream *stream)
{
    bool raw = cli_terminal_is_raw();

    cli_terminal_cooked();
    if (isatty(STDERR_FILENO)) {
        if (raw) { /* wherever the cursor is */
            (void)cli_write_all(STDERR_FILENO, "\n", 1);
        }
        cli_say("detached; retether attach %s attaches again", stream->container);
    }
    cli_stream_end(stream, 0);
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
    if (stream->input_end) {
        retether_write_end(stream->att);
    } else {
        cli_reader_start(&stream->reader);
    }
}

static void input_cb(struct cli_reader *reader, const uint8_t *data, size_t size)
{
    struct cli_stream *stream = reader->data;
    bool found = false;

    if (size == 0) {
        stream->input_end = true;
        stream->pending_size = cli_keys_flush(&stream->keys, stream->pending);
    } else {
        stream->pending_size = cli_keys_filter(&stream->keys, data, size, stream->pending, &found);
    }
    stream->pending_at = 0;
    if (found) {
        (void)retether_write(stream->att, stream->pending, stream->pending_size);
        detached(stream);
        return;
    }
    push_input(stream);
}

static void writable_cb(struct retether_attachment *att, void *ctx)
{
    struct cli_stream *stream = ctx;

    (void)att;
    if (stream->reader_open && stream->pending_at < stream->pending_size) {
        push_input(stream);
    }
}

static void input_closed_cb(struct retether_attachment *att, uint64_t applied, void *ctx)
{
    struct cli_stream *stream = ctx;

    (void)att;
    (void)applied;
    if (stream->reader_open && !stream->tty) {
        cli_reader_stop(&stream->reader);
        stream->pending_at = stream->pending_size = 0;
        stream->input_end = true;
    }
}

static void start_input(struct cli_stream *stream)
{
    if (!stream->input) {
        return;
    }
    if (cli_reader_open(&stream->reader, &stream->app->loop, STDIN_FILENO) != RT_OK) {
        retether_write_end(stream->att); /* stdin is closed */
        return;
    }
    stream->reader_open = true;
    stream->reader.data = stream;
    stream->reader.on_data = input_cb;
    if (isatty(STDIN_FILENO)) {
        if (!stream->app->options->keys_given) {
            (void)!cli_keys_parse(&stream->keys, "ctrl-p,ctrl-q");
        }
        if (stream->tty) {
            (void)cli_terminal_raw();
        }
    }
    cli_reader_start(&stream->reader);
}

/* ---- signals ---- */

static void resize(struct cli_stream *stream)
{
    unsigned rows;
    unsigned cols;

    if (stream->tty && stream->att != NULL && cli_terminal_size(&rows, &cols)) {
        (void)!retether_resize(stream->att, rows, cols);
    }
}

static void suspend(void)
{
    bool raw = cli_terminal_is_raw();

    cli_terminal_cooked();
    (void)raise(SIGSTOP);
    if (raw) {
        (void)cli_terminal_raw();
    }
}

static void signal_cb(uv_signal_t *handle, int signum)
{
    struct cli_stream *stream = handle->data;
    bool last = signum == SIGINT || signum == SIGTERM || signum == SIGHUP || signum == SIGQUIT;

    if (signum == SIGWINCH || signum == SIGCONT) {
        resize(stream);
    } else if (signum == SIGTSTP) {
        suspend();
        resize(stream);
    } else if (stream->sig_proxy && stream->att != NULL) {
        (void)!retether_signal(stream->att, (unsigned)signum);
    } else if (last) {
        tell_resume(stream);
        cli_stream_end(stream, 128 + signum);
    }
}

static void open_signals(struct cli_stream *stream)
{
    for (size_t i = 0; i < CLI_SIGNALS; i++) {
        bool user = watched[i] == SIGUSR1 || watched[i] == SIGUSR2;

        (void)uv_signal_init(&stream->app->loop, &stream->signals[i]);
        stream->signals[i].data = stream;
        /* What is not passed on keeps its default action. */
        if (!user || stream->sig_proxy) {
            (void)uv_signal_start(&stream->signals[i], signal_cb, watched[i]);
        }
    }
    stream->signals_open = true;
}

/* ---- the attachment ---- */

static void attached_cb(struct retether_attachment *att, const struct retether_attached *attached, void *ctx)
{
    struct cli_stream *stream = ctx;

    (void)att;
    stream->state = CLI_STREAM_LIVE;
    stream->was_live = true;
    stream->tty = attached->tty;
    stream->process = attached->process;
    stream->head[0] = attached->head[0];
    stream->head[1] = attached->head[1];
    stream->reached[0] = attached->start[0];
    stream->reached[1] = attached->start[1];
    if (stream->app->options->verbose) {
        cli_say("attached to %s, served by %s", stream->container, attached->host);
    }
    start_input(stream);
    resize(stream);
    check_head(stream);
}

static void interrupted_cb(struct retether_attachment *att, void *ctx)
{
    struct cli_stream *stream = ctx;

    (void)att;
    if (stream->app->options->verbose && !cli_terminal_is_raw()) {
        cli_say("interrupted; looking for %s", stream->container);
    }
}

static void resumed_cb(struct retether_attachment *att, const char *host, void *ctx)
{
    struct cli_stream *stream = ctx;

    (void)att;
    if (stream->app->options->verbose && !cli_terminal_is_raw()) {
        cli_say("resumed, served by %s", host);
    }
}

static void exited_cb(struct retether_attachment *att, unsigned code, unsigned signum, void *ctx)
{
    struct cli_stream *stream = ctx;

    (void)att;
    stream->ended = true;
    cli_stream_end(stream, stream->app->options->command == CLI_LOGS ? 0 : cli_status(code, signum));
}

static void rewound_cb(struct retether_attachment *att, enum retether_stream from, uint64_t common, uint64_t ours,
                       void *ctx)
{
    static const char *const names[] = {"stdin", "stdout", "stderr", "control", "control"};
    struct cli_stream *stream = ctx;
    char text[320];

    (void)att;
    snprintf(text, sizeof(text),
             "the container was set back (a reverted snapshot?): of its %s only the first %" PRIu64
             " bytes still hold, %" PRIu64 " were seen here",
             (unsigned)from < 5 ? names[from] : "?", common, ours);
    cli_terminal_cooked();
    cli_say("%s", text);
    cli_stream_end(stream, CLI_EXIT_FAILED);
}

/* The guest has gone with output that had not come here yet: the agents keep its end. */
static void tails_cb(struct cli_app *app, const struct cli_tails *tails, void *ctx)
{
    struct cli_stream *stream = ctx;
    const struct cli_options *options = app->options;
    uint64_t from[2] = {0, 0};
    int rc;

    if (tails == NULL) {
        fail(stream, "the container has ended, and nothing of it is kept");
        return;
    }
    for (unsigned s = 0; s < 2; s++) {
        enum retether_stream which = (enum retether_stream)(RETETHER_STDOUT + s);

        from[s] = stream->state == CLI_STREAM_LIVE ? retether_offset(stream->att, which)
                                                   : cli_tails_start(tails, which, options->from, options->start[0]);
    }
    stream->ended = true;
    cli_terminal_cooked();
    rc = cli_tails_print(tails, from);
    if (rc < 0) {
        write_failed(stream, -rc);
    } else if (tails->lost) {
        cli_say("%s was lost: its machine never came back", stream->container);
        cli_stream_end(stream, CLI_EXIT_FAILED);
    } else {
        cli_stream_end(stream, options->command == CLI_LOGS ? 0 : cli_status(tails->code, tails->signal));
    }
}

static void tell_ended(struct cli_stream *stream, unsigned code, unsigned signum)
{
    char how[64];
    char name[24];

    cli_signal_name(signum, name, sizeof(name));
    if (signum != 0) {
        snprintf(how, sizeof(how), "by %s", name);
    } else {
        snprintf(how, sizeof(how), "with status %u", code);
    }
    cli_say("%s has ended %s; retether logs %s shows its last output", stream->container, how, stream->container);
}

static void ended(struct cli_stream *stream, unsigned code, unsigned signum)
{
    enum cli_command command = stream->app->options->command;

    if (stream->exec || stream->process != 0) {
        cli_terminal_cooked();
        cli_say("%s has ended", stream->container);
        cli_stream_end(stream, CLI_EXIT_FAILED);
    } else if (command == CLI_ATTACH && stream->state == CLI_STREAM_OPEN) {
        tell_ended(stream, code, signum);
        cli_stream_end(stream, cli_status(code, signum));
    } else {
        cli_tails_fetch(stream->app, stream->container, tails_cb, stream);
    }
}

/* Never attached, because nobody serves the container. */
static void not_served(struct cli_stream *stream, const char *text)
{
    const char *name = stream->container;

    if (stream->record_state == RETETHER_CREATED) {
        cli_say("%s has been created, but its tether has not come: start it with the token that create printed; a "
                "longer --timeout waits for it",
                name);
    } else {
        cli_say("%s is not served by any agent now (%s); retether show %s tells where it was last, a longer --timeout "
                "waits for it",
                name, text, name);
    }
}

static void failed_cb(struct retether_attachment *att, unsigned cls, const char *text, unsigned code, unsigned signum,
                      void *ctx)
{
    struct cli_stream *stream = ctx;
    bool live = stream->state == CLI_STREAM_LIVE;

    (void)att;
    if (cls == RETETHER_ENDED) {
        ended(stream, code, signum);
        return;
    }
    cli_terminal_cooked();
    if (cls == RETETHER_UNKNOWN_ATTACHMENT && stream->exec && !live) {
        cli_say("%s runs no more processes: at most %d at a time, and none behind its main one", stream->container,
                RETETHER_PROCESSES_MAX);
        cli_stream_end(stream, 126);
        return;
    }
    if (!live && (cls == RETETHER_RETRY_LATER || cls == RETETHER_LOST)) {
        not_served(stream, text);
    } else if (live) {
        cli_say("%s: %s", retether_class_name(cls), text);
        tell_resume(stream);
    } else {
        cli_say_class(stream->app, cls, text);
    }
    cli_stream_end(stream, CLI_EXIT_FAILED);
}

static const struct retether_attachment_callbacks callbacks = {
    .attached = attached_cb,
    .output = output_cb,
    .gap = gap_cb,
    .writable = writable_cb,
    .input_closed = input_closed_cb,
    .interrupted = interrupted_cb,
    .resumed = resumed_cb,
    .exited = exited_cb,
    .rewound = rewound_cb,
    .failed = failed_cb,
};

/* ---- beginning ---- */

bool cli_stream_open(struct cli_stream *stream, struct cli_app *app)
{
    static const int fds[2] = {STDOUT_FILENO, STDERR_FILENO};

    stream->app = app;
    app->data = stream;
    app->on_end = end_cb;
    stream->sig_proxy = app->options->sig_proxy;
    stream->keys = app->options->keys;
    for (unsigned s = 0; s < 2; s++) {
        if (cli_writer_open(&stream->writer[s], &app->loop, fds[s]) != RT_OK) {
            cli_say("%s cannot be written to", s == 0 ? "stdout" : "stderr");
            cli_stream_end(stream, CLI_EXIT_FAILED);
            return false;
        }
        stream->writers_open = s + 1;
        stream->writer[s].data = stream;
        stream->writer[s].on_ready = ready_cb;
    }
    open_signals(stream);
    return true;
}

void cli_stream_options(const struct cli_stream *stream, struct retether_attach_options *options)
{
    const struct cli_options *given = stream->app->options;

    retether_attach_defaults(options);
    options->container = stream->container;
    options->process = given->process;
    options->input = stream->input;
    options->from = given->from;
    options->start[0] = given->start[0];
    options->start[1] = given->start[1];
    options->hold_ms = given->hold_ms;
    options->give_up_ms = given->timeout_ms;
    if (!cli_terminal_size(&options->rows, &options->cols)) {
        options->rows = options->cols = 0;
    }
}

static void begun(struct cli_stream *stream, int rc)
{
    if (rc == RT_ELIMIT) {
        cli_say("the command, its environment and directory are too long together");
        cli_stream_end(stream, CLI_EXIT_FAILED);
    } else if (rc != RT_OK) {
        cli_say("cannot attach to \"%s\": %s", stream->container, rt_strerror(rc));
        cli_stream_end(stream, CLI_EXIT_FAILED);
    }
}

void cli_stream_attach(struct cli_stream *stream, const struct retether_attach_options *options)
{
    struct retether_attachment_callbacks with = callbacks;

    with.ctx = stream;
    begun(stream, retether_attach(stream->app->client, options, &with, &stream->att));
}

void cli_stream_exec(struct cli_stream *stream, const struct retether_attach_options *options,
                     const struct retether_exec_options *exec)
{
    struct retether_attachment_callbacks with = callbacks;

    with.ctx = stream;
    stream->exec = true;
    begun(stream, retether_exec(stream->app->client, options, exec, &with, &stream->att));
}
