/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"

/* From options to the command that they name. */

int cli_command_run(const struct cli_options *options)
{
    static void (*const commands[CLI_COMMANDS])(struct cli_app * app) = {
        [CLI_CREATE] = cli_create, [CLI_RUN] = cli_run,   [CLI_ATTACH] = cli_attach, [CLI_EXEC] = cli_exec,
        [CLI_LOGS] = cli_logs,     [CLI_WAIT] = cli_wait, [CLI_SIGNAL] = cli_signal, [CLI_RESOLVE] = cli_resolve,
        [CLI_LS] = cli_ls,         [CLI_SHOW] = cli_show, [CLI_MOVES] = cli_moves,   [CLI_HOSTS] = cli_hosts,
    };
    static struct cli_app app;
    int status = cli_app_open(&app, options);

    if (status != 0) {
        return status;
    }
    commands[options->command](&app);
    return cli_app_run(&app);
}
