/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/stream.h"

#include "clients/cli/tails.h"
#include "clients/cli/terminal.h"
#include "clients/cli/text.h"
#include "session/base/file.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* How an attachment ends: what is said, what is still fetched, the exit status. */

bool cli_stream_is_own(const struct cli_stream *stream)
{
    return stream->kind == CLI_STREAM_EXEC || stream->kind == CLI_STREAM_RUN;
}

void cli_stream_go(struct cli_stream *stream, enum cli_stream_state to)
{
    assert(to > stream->state);
    stream->state = to;
}

void cli_stream_end(struct cli_stream *stream, int status)
{
    if (stream->may_end == NULL || stream->may_end(stream, status)) {
        cli_finish(stream->app, status);
    }
}

void cli_stream_leave_terminal(void)
{
    bool raw = cli_terminal_is_raw();

    cli_terminal_cooked();
    if (raw && isatty(STDERR_FILENO)) { /* the cursor is wherever the container left it */
        (void)rt_write_all(STDERR_FILENO, "\n", 1);
    }
}

void cli_stream_tell_untaken(const struct cli_stream *stream)
{
    bool refused = stream->reading == CLI_INPUT_KEYS || stream->reading == CLI_INPUT_REFUSED;
    uint64_t written, taken, left;
    int waiting = 0;

    retether_input(stream->att, &written, &taken);
    left = written - taken + stream->dropped + stream->pending_size - stream->pending_at;
    /* Nobody will read what still waits in a pipe. A terminal was read as it came. */
    if (refused && !isatty(STDIN_FILENO) && ioctl(STDIN_FILENO, FIONREAD, &waiting) == 0 && waiting > 0) {
        left += (uint64_t)waiting;
    }
    if (left > 0) {
        cli_say("%s%" PRIu64 " bytes of input were not taken", refused ? "the process takes no more input; " : "",
                left);
    }
}

void cli_stream_tell_resume(struct cli_stream *stream)
{
    struct cli_resume from = {.container = stream->app->container,
                              .process = stream->process,
                              .tty = stream->tty,
                              .input = stream->input,
                              .sig_proxy = stream->sig_proxy,
                              .observer = stream->kind == CLI_STREAM_LOGS};
    struct cli_text text = {0};

    if ((stream->state != CLI_STREAM_LIVE && stream->state != CLI_STREAM_LEAVING) || stream->until_head) {
        return;
    }
    from.offset[0] = retether_offset(stream->att, RETETHER_STDOUT);
    from.offset[1] = retether_offset(stream->att, RETETHER_STDERR);
    cli_stream_leave_terminal();
    cli_text_printf(&text, "retether: interrupted; this goes on where it stopped:\n  ");
    cli_resume_text(stream->app->options, &from, &text);
    cli_text_add(&text, "\n", 1);
    if (text.failed) {
        cli_say("interrupted: %s", rt_strerror(RT_ENOMEM));
    } else {
        (void)rt_write_all(STDERR_FILENO, text.data, text.size); /* there is nobody to tell when it fails */
    }
    cli_text_free(&text);
    cli_stream_tell_untaken(stream);
}

void cli_stream_fail(struct cli_stream *stream, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    cli_stream_leave_terminal();
    cli_say("%s", text);
    cli_stream_tell_resume(stream);
    cli_stream_end(stream, CLI_EXIT_FAILED);
}

void cli_stream_write_failed(struct cli_stream *stream, int error)
{
    if (error == EPIPE) { /* whoever read this has seen enough */
        cli_stream_end(stream, 128 + SIGPIPE);
    } else {
        cli_stream_fail(stream, "cannot write the output: %s", strerror(error));
    }
}

/* Says why there was no output at all, when the code is that of a command that was not run. Only the code comes from
 * the guest, not the reason. A command that ran may have ended with the same code, so one that has printed anything is
 * believed to have run. */
static void tell_unstarted(const struct cli_stream *stream, unsigned code, uint64_t output)
{
    const char *program;
    const char *cwd = cli_value(stream->app->options, &cli_cwd);

    if (!cli_stream_is_own(stream) || output > 0 || (code != CLI_EXIT_CANNOT_RUN && code != CLI_EXIT_NOT_FOUND)) {
        return;
    }
    program = stream->app->options->argv[0];
    cli_stream_leave_terminal();
    if (code == CLI_EXIT_NOT_FOUND) {
        cli_say("%s: command not found, or it ended with status %d by itself", program, CLI_EXIT_NOT_FOUND);
    } else if (cwd != NULL) {
        cli_say("%s: cannot be run: it is not executable, or %s is no directory there; or it ended with status %d by "
                "itself",
                program, cwd, CLI_EXIT_CANNOT_RUN);
    } else {
        cli_say("%s: cannot be run: it is not executable; or it ended with status %d by itself", program,
                CLI_EXIT_CANNOT_RUN);
    }
}

void cli_stream_exited(struct cli_stream *stream, unsigned code, unsigned signum, uint64_t output)
{
    int status = cli_status(code, signum);

    tell_unstarted(stream, signum == 0 ? code : 0, output);
    if (stream->kind == CLI_STREAM_LOGS) {
        cli_stream_end(stream, 0);
        return;
    }
    if (stream->lost_bytes > 0) {
        bool changed = status == 0 && !cli_has(stream->app->options, &cli_allow_gap);

        cli_stream_leave_terminal();
        if (stream->mid_line) {
            (void)rt_write_all(STDERR_FILENO, "\n", 1);
        }
        cli_say("%" PRIu64 " bytes of the output were lost%s", stream->lost_bytes,
                changed ? ", so the status is not the command's 0; --allow-gap keeps it" : "");
        status = changed ? CLI_EXIT_GAP : status;
    }
    cli_stream_end(stream, status);
}

void cli_stream_lost(struct cli_lost *lost)
{
    struct cli_stream *stream = lost->data;

    cli_stream_leave_terminal();
    cli_say("%s has been lost for %s; it is not waited for any longer", stream->app->container,
            cli_value(stream->app->options, &cli_lost_timeout));
    cli_stream_tell_resume(stream);
    cli_stream_end(stream, CLI_EXIT_LOST);
}

void cli_stream_rewound(struct retether_attachment *att, const struct retether_rewound *rewound, void *ctx)
{
    static const char *const names[] = {"stdin", "stdout", "stderr", "control", "control"};
    struct cli_stream *stream = ctx;

    (void)att;
    cli_stream_leave_terminal();
    if (rewound->anew) {
        cli_say("%s was started anew, and what was printed here is from before; retether attach %s attaches to the new "
                "start",
                stream->app->container, stream->app->container);
    } else {
        cli_say("%s was set back, perhaps by a reverted snapshot: of its %s only the first %" PRIu64
                " bytes still hold, %" PRIu64 " came here; retether attach %s attaches anew",
                stream->app->container, (unsigned)rewound->stream < 5 ? names[rewound->stream] : "output",
                rewound->common, rewound->ours, stream->app->container);
    }
    cli_stream_end(stream, CLI_EXIT_FAILED);
}

/* Says why there is less of the output than there could be. */
static void tell_missing(const struct cli_stream *stream, const struct cli_tails *tails)
{
    if (tails->cut) {
        cli_stream_leave_terminal();
        cli_say("the last output of %s is not kept any more: the session store has room for that of the newest ends "
                "only; the agents' settings store.tails and store.tails_host give it more",
                stream->app->container);
    } else if (tails->kept_at[0] != '\0') {
        cli_stream_leave_terminal();
        cli_say("the last output of %s is kept by the agent of %s alone, which does not answer now; try again when it "
                "does",
                stream->app->container, tails->kept_at);
    }
}

/* The guest is gone, and some of its output had not come here yet. The agents keep the end of it. */
static void tails_cb(struct cli_app *app, const struct cli_tails *tails, void *ctx)
{
    struct cli_stream *stream = ctx;
    bool unkept = stream->kind == CLI_STREAM_LOGS && stream->state == CLI_STREAM_OPEN;
    uint64_t from[2] = {0, 0};
    int rc;

    if (tails == NULL) {
        cli_stream_fail(stream, "the container has ended, and neither its output nor its status is kept any more");
        return;
    }
    for (unsigned s = 0; s < 2; s++) {
        enum retether_stream which = (enum retether_stream)(RETETHER_STDOUT + s);

        from[s] = stream->state != CLI_STREAM_OPEN
                      ? retether_offset(stream->att, which)
                      : cli_tails_start(tails, which, stream->start.from, stream->start.at[0]);
    }
    cli_stream_go(stream, CLI_STREAM_ENDED);
    rc = cli_tails_print(tails, from, unkept ? NULL : &stream->lost_bytes);
    if (rc != 0) {
        cli_stream_write_failed(stream, rc);
        return;
    }
    if (tails->size[1] > 0) {
        stream->mid_line = tails->data[1][tails->size[1] - 1] != '\n';
    }
    if (tails->lost) {
        cli_stream_fail(stream, "%s was lost: its machine never came back, so there is no status", app->container);
    } else {
        tell_missing(stream, tails);
        cli_stream_exited(stream, tails->code, tails->signal, tails->end[0] + tails->end[1]);
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
    cli_say("%s has ended %s; retether logs %s shows its last output", stream->app->container, how,
            stream->app->container);
}

static void ended(struct cli_stream *stream, unsigned code, unsigned signum)
{
    bool exec = stream->kind == CLI_STREAM_EXEC;

    if (exec && stream->state == CLI_STREAM_OPEN) {
        cli_say("%s has ended, and runs no more commands", stream->app->container);
        cli_stream_end(stream, CLI_EXIT_CANNOT_RUN);
    } else if (exec || stream->process != 0) { /* only the status of the main process is kept */
        cli_stream_leave_terminal();
        cli_say("%s has ended; retether wait %s prints its status", stream->app->container, stream->app->container);
        cli_stream_end(stream, CLI_EXIT_FAILED);
    } else if (stream->kind == CLI_STREAM_ATTACH && stream->state == CLI_STREAM_OPEN) {
        tell_ended(stream, code, signum);
        cli_stream_end(stream, cli_status(code, signum));
    } else {
        cli_tails_fetch(stream->app, false, tails_cb, stream);
    }
}

/* Whether the attach never began because nobody serves the container, or the agent that is said to serve it cannot be
 * reached. */
static bool is_unserved(const struct cli_stream *stream, unsigned cls)
{
    return stream->state == CLI_STREAM_OPEN &&
           (cls == RETETHER_RETRY_LATER || cls == RETETHER_LOST || cls == RETETHER_MOVED);
}

static void not_served(struct cli_stream *stream, const char *text)
{
    const char *name = stream->app->container;

    if (stream->kind == CLI_STREAM_RUN) {
        cli_say(
            "the tether has not reached the agent at %s (%s); -v shows the tether's log, --guest-agent names another "
            "agent",
            stream->guest_agent, text);
    } else if (stream->record.state == RETETHER_STATE_NONE) {
        cli_say(
            "\"%s\" could not be looked up, as the session store is out, and no agent serves a container of exactly "
            "this name; type the whole ID, or wait for it with a longer --timeout",
            name);
    } else if (stream->record.state == RETETHER_CREATED) {
        cli_say(
            "%s has been created, but its tether has not come: start it with the token that create printed, or wait "
            "for it with a longer --timeout",
            name);
    } else if (stream->record.state == RETETHER_STATE_LOST) {
        cli_say(
            "%s is lost: its machine has not come back; retether show %s says where it was last, a longer --timeout "
            "waits for it",
            name, name);
    } else {
        cli_say("%s is not served by any agent now (%s); retether show %s says where it was last, a longer --timeout "
                "waits for it",
                name, text, name);
    }
}

/* The container could not be looked up, and nobody served it in time. It may have ended all the same. */
static void unknown_cb(struct cli_app *app, const struct cli_tails *tails, void *ctx)
{
    struct cli_stream *stream = ctx;

    if (tails == NULL) {
        not_served(stream, "");
        cli_stream_end(stream, CLI_EXIT_LATER);
    } else if (stream->kind == CLI_STREAM_LOGS || tails->lost) {
        tails_cb(app, tails, stream);
    } else {
        ended(stream, tails->code, tails->signal);
    }
}

void cli_stream_failed(struct retether_attachment *att, unsigned cls, const char *text, unsigned code, unsigned signum,
                       void *ctx)
{
    struct cli_stream *stream = ctx;
    bool live = stream->state != CLI_STREAM_OPEN;

    (void)att;
    if (cls == RETETHER_ENDED) {
        ended(stream, code, signum);
        return;
    }
    /* The container has ended, but an agent waits for its guest for longer than --timeout: then its record tells how it
     * ended. */
    if (is_unserved(stream, cls) && stream->record.state == RETETHER_STATE_ENDED) {
        ended(stream, stream->record.code, stream->record.signal);
        return;
    }
    if (is_unserved(stream, cls) && stream->record.state == RETETHER_STATE_NONE && stream->kind != CLI_STREAM_RUN) {
        cli_tails_fetch(stream->app, true, unknown_cb, stream);
        return;
    }
    cli_stream_leave_terminal();
    /* INVALID also behind ATTACHED: when the main process ends before the guest was told what to run. */
    if (stream->kind == CLI_STREAM_EXEC && (cls == RETETHER_INVALID || (cls == RETETHER_LIMIT && !live))) {
        cli_say("%s cannot run the command now: %s", stream->app->container, text);
        cli_stream_end(stream, CLI_EXIT_CANNOT_RUN);
        return;
    }
    if (is_unserved(stream, cls)) {
        not_served(stream, text);
    } else if (live) {
        cli_say("%s: %s", retether_class_name(cls), text);
        cli_stream_tell_resume(stream);
    } else {
        cli_say_class(stream->app, cls, text);
    }
    cli_stream_end(stream, CLI_EXIT_FAILED);
}
