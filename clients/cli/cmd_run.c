/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/stream.h"
#include "clients/cli/terminal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* run: a session is created, a tether started with its token, and attached to. The tether is a child in a session of
 * its own, so that what the keyboard sends comes to it only once, through this program; and it outlives this program
 * when that detaches. */

/* How long the program waits at its end for the tether to hand the exit status in, and to exit. */
#define END_WAIT_MS 3000
/* How long a tether that was never attached to has to exit before it is killed: without an agent it would stay for its
 * --end-timeout. Its command was sent the SIGTERM, and has as long as it needs. --timeout may be shorter. */
#define KILL_WAIT_MS 1000
/* How long output waits for the attach that follows. */
#define FIRST_HOLD "30s"
/* How long the agent has to answer that the session is removed. --timeout may be shorter. */
#define GIVE_BACK_MS 1000
#define ARGS_MAX 24
#define DEFAULT_GUEST_AGENT "unix:/run/retether/guest.sock"

static const struct rt_option name = {"name", 0, &cli_kind_cid, "the container ID (default: a random name)", NULL};
static const struct rt_option tether = {"tether", 0, &cli_kind_program,
                                        "the tether program (default: beside this one, or from PATH)", NULL};
static const struct rt_option guest_agent = {
    "guest-agent", 0, &rt_kind_endpoint,
    "where the tether finds its agent (default: RETETHER_GUEST_AGENT, or " DEFAULT_GUEST_AGENT ")",
    "RETETHER_GUEST_AGENT"};

/* The tether.
 *
 *     NONE --started--> RUNNING --nobody will ever read its output: SIGTERM--> KILLED
 *       \                  \--exits--> GONE <--exits--------------------------/
 *        \--cannot be started---------/
 */
enum child { CHILD_NONE, CHILD_RUNNING, CHILD_KILLED, CHILD_GONE };

struct run {
    struct cli_app *app;
    struct cli_stream stream;
    enum child state;
    uv_process_t child; /* this and the timer are open unless CHILD_NONE */
    uv_timer_t timer;
    bool giving_back; /* the session that never ran is being removed, so that its name is free again */
    int status;       /* the exit status once it is removed */
    char tether[4096];
};

static struct run run;

/* ---- the tether's end ---- */

static void let_go(void)
{
    if (!uv_is_closing((uv_handle_t *)&run.child)) {
        uv_close((uv_handle_t *)&run.child, NULL);
        uv_close((uv_handle_t *)&run.timer, NULL);
    }
}

static uint64_t at_most_timeout(uint64_t ms)
{
    return ms < run.app->options->timeout_ms ? ms : run.app->options->timeout_ms;
}

/* Lets go of it at the program's end, and leaves it to exit_cb until then. */
static void timeout_cb(uv_timer_t *timer)
{
    (void)timer;
    if (run.state == CHILD_KILLED) {
        (void)uv_process_kill(&run.child, SIGKILL);
    }
    if (run.app->over) {
        let_go();
    }
}

static void stop(void)
{
    if (run.state == CHILD_RUNNING) {
        run.state = CHILD_KILLED;
        (void)uv_process_kill(&run.child, SIGTERM);
        (void)uv_timer_start(&run.timer, timeout_cb, at_most_timeout(KILL_WAIT_MS), 0);
    }
}

static void exit_cb(uv_process_t *child, int64_t status, int signum)
{
    bool killed = run.state == CHILD_KILLED;

    (void)child;
    run.state = CHILD_GONE;
    if (run.app->over) {
        let_go();
        return;
    }
    if (run.stream.state == CLI_STREAM_OPEN && !killed) {
        if (signum != 0) {
            cli_stream_fail(&run.stream,
                            "the tether was killed by signal %d before it could be attached to; -v shows its log",
                            signum);
        } else {
            cli_stream_fail(&run.stream,
                            "the tether ended with status %d before it could be attached to; -v shows its log",
                            (int)status);
        }
    }
}

static void given_back(bool answered)
{
    if (!answered && !run.app->over) {
        cli_say("%s could not be taken back: the name may be in use for a week", run.app->container);
    }
    cli_finish(run.app, run.status);
}

static void given_back_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    (void)client;
    (void)ctx;
    given_back(reply->error == 0 && reply->cls != RETETHER_RETRY_LATER);
}

static void give_up_cb(uv_timer_t *timer)
{
    (void)timer;
    given_back(false);
}

/* A container that never ran leaves nothing behind. Its tether is stopped before the session is removed, as it might
 * still join otherwise. */
static bool may_end(struct cli_stream *stream, int status)
{
    if (stream->state != CLI_STREAM_OPEN || run.giving_back || run.app->over) {
        return !run.giving_back || run.app->over;
    }
    run.status = status;
    stop();
    if (retether_remove(run.app->client, stream->app->container, given_back_cb, NULL) != RT_OK) {
        return true;
    }
    run.giving_back = true;
    (void)uv_timer_start(&run.app->timer, give_up_cb, at_most_timeout(GIVE_BACK_MS), 0);
    return false;
}

static void end_cb(struct cli_stream *stream, int status)
{
    (void)status;
    if (run.state == CHILD_NONE) {
        return;
    }
    if (stream->state == CLI_STREAM_OPEN) {
        stop();
    }
    if (run.state == CHILD_GONE || stream->state == CLI_STREAM_LIVE || stream->state == CLI_STREAM_LEAVING) {
        let_go(); /* it has ended, or goes on without this program */
    } else if (run.state == CHILD_RUNNING) {
        (void)uv_timer_start(&run.timer, timeout_cb, END_WAIT_MS, 0);
    }
}

/* ---- the tether's beginning ---- */

/* Beside this program, else wherever PATH has it. */
static const char *find_tether(const struct cli_options *options)
{
    ssize_t n;
    char *slash;

    if (cli_has(options, &tether)) {
        return cli_value(options, &tether);
    }
    n = readlink("/proc/self/exe", run.tether, sizeof(run.tether) - sizeof("tether"));
    if (n > 0) {
        run.tether[n] = '\0';
        slash = strrchr(run.tether, '/');
        if (slash != NULL) {
            snprintf(slash + 1, sizeof("tether"), "tether");
            if (access(run.tether, X_OK) == 0) {
                return run.tether;
            }
        }
    }
    return "tether";
}

/* All but the command. Returns how many. */
static size_t fill_args(const char *args[ARGS_MAX], const struct cli_options *options, const char *tty_size)
{
    const char *const given[][2] = {
        {"--cid", run.app->container},
        {"--agent", run.stream.guest_agent},
        {"--first-hold", FIRST_HOLD},
        {"--tty-size", tty_size},
        {"--cwd", cli_value(options, &cli_cwd)},
        {"--ring", cli_value(options, &cli_ring)},
    };
    size_t n = 0;

    args[n++] = find_tether(options);
    if (cli_has(options, &cli_tty)) {
        args[n++] = "--tty";
    }
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        if (given[i][1] != NULL) {
            args[n++] = given[i][0];
            args[n++] = given[i][1];
        }
    }
    args[n++] = "--";
    return n;
}

static int spawn(const char *token)
{
    const struct cli_options *options = run.app->options;
    char tty_size[32];
    unsigned rows, cols;
    bool sized = cli_has(options, &cli_tty) && cli_terminal_size(&rows, &cols);
    size_t n, n_command = 0;
    const char **args;
    uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE}, {.flags = UV_IGNORE}, {.flags = UV_IGNORE}};
    uv_process_options_t child = {.exit_cb = exit_cb, .flags = UV_PROCESS_DETACHED, .stdio_count = 3, .stdio = stdio};
    int rc;

    if (sized) {
        snprintf(tty_size, sizeof(tty_size), "%ux%u", rows, cols);
    }
    while (options->argv[n_command] != NULL) {
        n_command++;
    }
    args = (const char **)calloc(ARGS_MAX + n_command + 1, sizeof(*args));
    if (args == NULL || setenv("RETETHER_TOKEN", token, 1) != 0) {
        free((void *)args);
        return UV_ENOMEM;
    }
    n = fill_args(args, options, sized ? tty_size : NULL);
    memcpy((void *)(args + n), (void *)options->argv, n_command * sizeof(*args));
    if (options->verbose) {
        stdio[2].flags = UV_INHERIT_FD;
        stdio[2].data.fd = STDERR_FILENO;
    }
    child.file = args[0];
    child.args = (char **)args;
    (void)unsetenv("RETETHER_TOKEN_FILE");
    (void)uv_timer_init(&run.app->loop, &run.timer);
    rc = uv_spawn(&run.app->loop, &run.child, &child);
    run.state = rc == 0 ? CHILD_RUNNING : CHILD_GONE; /* the handles are open even when it failed */
    (void)unsetenv("RETETHER_TOKEN");
    free((void *)args);
    return rc;
}

static void created(struct cli_app *app, const struct retether_reply *reply)
{
    struct retether_attach_options options;
    bool input = cli_has(app->options, &cli_interactive);
    int rc;

    cli_tell_replaced(app);
    run.stream.on_end = end_cb;
    run.stream.may_end = may_end;
    run.stream.guest_agent =
        cli_has(app->options, &guest_agent) ? cli_value(app->options, &guest_agent) : DEFAULT_GUEST_AGENT;
    if (!cli_stream_open(&run.stream, app, CLI_STREAM_RUN, NULL)) {
        return;
    }
    rc = spawn(reply->token != NULL ? reply->token : "");
    if (rc != 0) {
        cli_stream_fail(&run.stream, "cannot start \"%s\": %s; --tether PATH names the program",
                        find_tether(app->options), uv_strerror(rc));
        return;
    }
    if (!cli_has(app->options, &name) && isatty(STDERR_FILENO)) {
        cli_say("running as %s", app->container);
    }
    /* Without -i the process gets an empty stdin, as from /dev/null; a terminal just has nobody typing. */
    run.stream.input = input;
    cli_stream_options(&run.stream, &options);
    options.input = input || !cli_has(app->options, &cli_tty);
    options.input_once = !input;
    cli_stream_attach(&run.stream, &options, NULL);
    if (!input && run.stream.att != NULL) {
        retether_write_end(run.stream.att);
    }
}

/* A random name is made anew for each try. The last try may have taken its name, although no answer said so. */
static int ask_create(struct cli_app *app, retether_reply_cb cb)
{
    uint8_t seed[8];

    if (!cli_has(app->options, &name)) {
        if (getrandom(seed, sizeof(seed), 0) != sizeof(seed)) {
            cli_fail(app, "no name can be made up, as there are no random numbers; give one with --name");
            return RT_OK;
        }
        cli_random_name(seed, app->container, sizeof(app->container));
    }
    return cli_ask_create(app, cb);
}

static void start(struct cli_app *app)
{
    static const struct cli_request request = {.ask = ask_create, .take = created};

    run.app = app;
    if (!cli_has(app->options, &name)) {
        cli_ask(app, &request);
        return;
    }
    snprintf(app->container, sizeof(app->container), "%s", cli_value(app->options, &name));
    cli_create_over(app, &request);
}

const struct cli_command cli_run = {
    .name = "run",
    .summary = "create, run here, attach: to try it out",
    .arguments = {&cli_command_line},
    .options = {&cli_interactive, &cli_tty, &name, &cli_cwd, &cli_label, &cli_ring, &tether, &guest_agent,
                CLI_STREAM_OPTIONS},
    .about = "Runs a command in a tether on this machine and attaches to it from its first byte: create, tether and "
             "attach in one, to try things out. Signals are passed on; the exit status is the command's. After a "
             "detach the command goes on. With --verbose the tether's log is shown too.",
    .run = start,
};
