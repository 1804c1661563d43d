/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"

#define CLI_LIST(command) &command,
const struct cli_command *const cli_commands[] = {CLI_COMMANDS(CLI_LIST) NULL};
#undef CLI_LIST

int cli_command_run(const struct cli_options *options)
{
    static struct cli_app app;
    int status = cli_app_open(&app, options);

    if (status != 0) {
        return status;
    }
    if (options->command->run != NULL) {
        options->command->run(&app);
    } else {
        cli_find(&app);
    }
    return cli_app_run(&app);
}
