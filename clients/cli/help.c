/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"

/* The help, made from the descriptions of the commands. */

/* Where the list of commands has what each is for. */
#define SUMMARY_COLUMN 24

static void add_arguments(struct rt_help *help, const struct cli_command *command, const char *rest)
{
    for (const struct cli_argument *const *argument = command->arguments; *argument != NULL; argument++) {
        const char *name = (*argument)->count == CLI_REST ? rest : (*argument)->kind->name;

        rt_help_printf(help, (*argument)->count == CLI_OPTIONAL ? " [%s]" : " %s", name);
    }
}

void cli_usage(struct rt_help *help, const struct cli_command *command)
{
    rt_help_printf(help, "retether %s [OPTION...]", command->name);
    add_arguments(help, command, "[--] COMMAND [ARGUMENT...]");
}

void cli_command_and_arguments(struct rt_help *help, const struct cli_command *command)
{
    rt_help_printf(help, "%s", command->name);
    add_arguments(help, command, "-- COMMAND");
}

static void help_command(struct rt_help *help, const struct cli_command *command)
{
    rt_help_printf(help, "Usage: ");
    cli_usage(help, command);
    rt_help_printf(help, "\n\n");
    rt_help_text(help, command->about, 0, 0);
    for (const struct cli_argument *const *argument = command->arguments; *argument != NULL; argument++) {
        if ((*argument)->help != NULL) {
            rt_help_text(help, (*argument)->help, 0, 0);
        }
    }
    if (command->options[0] != NULL) {
        rt_help_printf(help, "\n");
        rt_help_options(help, command->options);
    }
    rt_help_printf(help, "\n");
    rt_help_options(help, cli_common_of(command));
    if (command->more != NULL) {
        rt_help_printf(help, "\n");
        rt_help_text(help, command->more, 0, 0);
    }
}

/* Fits a terminal of 24 lines. */
static void help_program(struct rt_help *help)
{
    rt_help_printf(help, "Usage: retether COMMAND [OPTION...] [ARGUMENT...]\n"
                         "Reaches containers whose streams survive moves between hosts.\n\n");
    for (const struct cli_command *const *command = cli_commands; *command != NULL; command++) {
        if ((*command)->summary != NULL) {
            size_t begin = help->used, width;

            rt_help_printf(help, "  ");
            cli_command_and_arguments(help, *command);
            width = help->used - begin;
            rt_help_printf(help, "%*s%s\n", width < SUMMARY_COLUMN ? (int)(SUMMARY_COLUMN - width) : 2, "",
                           (*command)->summary);
        }
    }
    rt_help_printf(help, "COMMAND --help shows more; --version is this program's. All commands have:\n");
    rt_help_option(help, &cli_agent);
}

void cli_help(struct rt_help *help, const struct cli_command *command)
{
    if (command != NULL) {
        help_command(help, command);
    } else {
        help_program(help);
    }
}
