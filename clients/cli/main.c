/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "session/base/program.h"

#include <signal.h>

/* Bytes of a help. */
#define HELP_MAX 8192

static int print(const char *text)
{
    return rt_program_print(text) != RT_OK ? CLI_EXIT_FAILED : 0;
}

static int print_help(const struct cli_command *command)
{
    static char text[HELP_MAX];
    struct rt_help help = {text, sizeof(text), 0};

    cli_help(&help, command);
    return print(text);
}

int main(int argc, char **argv)
{
    static struct cli_options options;
    char why[CLI_WHY_MAX] = "";
    int status;

    rt_program_hide();
    if (rt_program_hold_fds("/dev/null") != RT_OK) {
        return CLI_EXIT_FAILED;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    if (cli_options_read(&options, argc, argv, why) != RT_OK) {
        cli_say("%s", why);
        status = CLI_EXIT_FAILED;
    } else if (options.verb == CLI_HELP) {
        status = print_help(options.command);
    } else if (options.verb == CLI_VERSION) {
        status = print("retether " RETETHER_VERSION "\n");
    } else {
        status = cli_command_run(&options);
    }
    cli_options_close(&options);
    return status;
}
