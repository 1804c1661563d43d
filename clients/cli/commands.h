/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_COMMANDS_H
#define RETETHER_CLIENTS_CLI_COMMANDS_H

#include "clients/cli/app.h"

/* The list of commands, in the order in which the help has them. Each is a struct cli_command in its file, cmd_NAME.c.
 */
#define CLI_COMMANDS(X)                                                                                                \
    X(cli_create)                                                                                                      \
    X(cli_run)                                                                                                         \
    X(cli_attach)                                                                                                      \
    X(cli_exec)                                                                                                        \
    X(cli_logs)                                                                                                        \
    X(cli_wait)                                                                                                        \
    X(cli_signal)                                                                                                      \
    X(cli_kick)                                                                                                        \
    X(cli_revoke)                                                                                                      \
    X(cli_drain)                                                                                                       \
    X(cli_resolve)                                                                                                     \
    X(cli_ls)                                                                                                          \
    X(cli_show)                                                                                                        \
    X(cli_moves)                                                                                                       \
    X(cli_hosts)                                                                                                       \
    X(cli_keys)                                                                                                        \
    X(cli_pki)                                                                                                         \
    X(cli_complete)

#define CLI_DECLARE(command) extern const struct cli_command command;
CLI_COMMANDS(CLI_DECLARE)
#undef CLI_DECLARE

/* The same; NULL-terminated. */
extern const struct cli_command *const cli_commands[];

/* Reads the command line and the environment. Returns 0, or RT_EINVAL, RT_ENOMEM with a sentence in `why`. To be closed
 * in any case. */
RT_MUST_CHECK int cli_options_read(struct cli_options *options, int argc, char **argv, char why[CLI_WHY_MAX]);
void cli_options_close(struct cli_options *options);

/* Runs the command to its end. Returns the program's exit status. Once a process. */
int cli_command_run(const struct cli_options *options);

/* "retether exec [OPTION...] CID [--] COMMAND [ARGUMENT...]". */
void cli_usage(struct rt_help *help, const struct cli_command *command);
/* "exec CID -- COMMAND". */
void cli_command_and_arguments(struct rt_help *help, const struct cli_command *command);
/* The help of a command; NULL: of the program. */
void cli_help(struct rt_help *help, const struct cli_command *command);

/* Adds what may stand for the last of the words behind "retether", a candidate a line: the word, and behind a tab what
 * it is for. words: NULL-terminated, at least one. Returns true when it may also be a container. */
bool cli_complete_word(const struct cli_command *const *commands, char **words, struct cli_text *out);

#endif
