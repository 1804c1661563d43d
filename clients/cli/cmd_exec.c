/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/stream.h"

/* Settings of --env: no container is sent more; one more is refused. */
#define ENV_MAX 4000

static const struct rt_option env = {"env", 0, &cli_kind_setting, "set in its environment; may be given several times",
                                     NULL};

static struct cli_stream stream;
static const char *settings[ENV_MAX + 1]; /* NULL-terminated */

static void found(struct cli_app *app, const struct retether_record *record)
{
    const struct retether_exec_options exec = {.size = sizeof(exec),
                                               .argv = (const char *const *)app->options->argv,
                                               .env = settings,
                                               .cwd = cli_value(app->options, &cli_cwd),
                                               .tty = cli_has(app->options, &cli_tty)};
    struct retether_attach_options options;

    if (cli_stream_open(&stream, app, CLI_STREAM_EXEC, record)) {
        stream.input = cli_has(app->options, &cli_interactive);
        cli_stream_options(&stream, &options);
        cli_stream_attach(&stream, &options, &exec);
    }
}

static void run(struct cli_app *app)
{
    const struct cli_options *given = app->options;
    size_t n = 0;

    for (size_t i = 0; i < given->n_given; i++) {
        if (given->given[i].option != &env) {
            continue;
        }
        if (n == ENV_MAX) {
            cli_fail(app, "--env may be given at most %d times", ENV_MAX);
            return;
        }
        settings[n++] = given->given[i].value;
    }
    cli_find(app);
}

const struct cli_command cli_exec = {
    .name = "exec",
    .summary = "run another command in it",
    .arguments = {&cli_cid, &cli_command_line},
    .options = {&cli_interactive, &cli_tty, &cli_cwd, &env, &cli_sig_proxy, CLI_STREAM_OPTIONS},
    .about = "Runs another command in a container, exactly once however connections fail, and attaches to it.",
    .more = "Exit status: as for attach; 126 also when the container runs no more processes.",
    .run = run,
    .found = found,
};
