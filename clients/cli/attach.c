/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/stream.h"

#include <stdio.h>

/* attach, exec, logs: each finds the container, then carries one attachment. */

static struct cli_stream stream;

static void found(struct cli_app *app, const char *container, const struct retether_record *record)
{
    struct retether_attach_options options;
    const struct cli_options *given = app->options;

    snprintf(stream.container, sizeof(stream.container), "%s", container);
    stream.process = given->process;
    stream.record_state = record != NULL ? record->state : RETETHER_STATE_NONE;
    stream.record_code = record != NULL ? record->code : 0;
    stream.record_signal = record != NULL ? record->signal : 0;
    if (!cli_stream_open(&stream, app)) {
        return;
    }
    stream.input = given->input;
    if (given->command == CLI_ATTACH && stream.input && cli_stdin_is_empty()) {
        stream.input = false;
        if (given->verbose) {
            cli_say("stdin is closed or /dev/null: that of %s is not opened", container);
        }
    }
    cli_stream_options(&stream, &options);
    if (given->command == CLI_LOGS) {
        options.hold_ms = 0;
        options.rows = options.cols = 0;
        stream.until_head = !given->follow;
    }
    if (given->command == CLI_EXEC) {
        const struct retether_exec_options exec = {.size = sizeof(exec),
                                                   .argv = (const char *const *)given->argv,
                                                   .env = given->env,
                                                   .cwd = given->cwd,
                                                   .tty = given->tty};
        cli_stream_exec(&stream, &options, &exec);
    } else {
        cli_stream_attach(&stream, &options);
    }
}

void cli_attach(struct cli_app *app)
{
    cli_find(app, found);
}

void cli_exec(struct cli_app *app)
{
    cli_find(app, found);
}

void cli_logs(struct cli_app *app)
{
    cli_find(app, found);
}
