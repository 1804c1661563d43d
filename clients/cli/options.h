/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_OPTIONS_H
#define RETETHER_CLIENTS_CLI_OPTIONS_H

#include "clients/cli/keys.h"
#include "retether/client.h"
#include "session/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The command's status was 0, but bytes of its output were lost. */
#define CLI_EXIT_GAP 123
/* The container has been lost for --lost-timeout. */
#define CLI_EXIT_LOST 124
#define CLI_EXIT_FAILED 125
/* A command that was not run, as shells tell it. */
#define CLI_EXIT_CANNOT_RUN 126
#define CLI_EXIT_NOT_FOUND 127
/* Agents given by options; one more is refused. */
#define CLI_AGENTS_MAX 16
#define CLI_WHY_MAX 400

enum cli_command {
    CLI_CREATE,
    CLI_RUN,
    CLI_ATTACH,
    CLI_EXEC,
    CLI_LOGS,
    CLI_WAIT,
    CLI_SIGNAL,
    CLI_RESOLVE,
    CLI_LS,
    CLI_SHOW,
    CLI_MOVES,
    CLI_HOSTS,
    CLI_COMMANDS,
};

enum cli_verb { CLI_DO, CLI_HELP, CLI_VERSION };

struct cli_options {
    enum cli_verb verb;
    enum cli_command command; /* CLI_COMMANDS: none */
    /* all of them */
    const char *agents[CLI_AGENTS_MAX];
    size_t n_agents;
    bool agents_given; /* as options, so that a printed command repeats them */
    uint64_t timeout_ms;
    bool json, verbose;
    char *agents_text; /* owned: copy of RETETHER_AGENTS */
    /* what they work on */
    const char *container; /* or a beginning of its ID */
    char **argv;           /* run, exec */
    unsigned signum;
    /* streams */
    bool input, tty, sig_proxy, follow;
    struct cli_keys keys;
    const char *timeout_text, *hold_text, *keys_text, *lost_timeout_text; /* as given, for a printed command; NULL: not
                                                                           * given */
    const char *start_option;                                             /* that says where to begin; NULL: none */
    enum retether_from from;
    uint64_t start[2];
    uint64_t hold_ms, lost_timeout_ms;
    bool allow_gap;
    uint32_t process;
    const char *cwd;
    const char *env[64 + 1];
    size_t n_env;
    /* create, run */
    const char *label;
    uint64_t ring; /* bytes; 0: the default */
    const char *tether, *guest_agent;
    /* ls */
    const char *host;
};

/* Reads the command line and the environment. Returns 0, or RT_EINVAL, RT_ENOMEM with a sentence in `why`. To be closed
 * in any case; its text is of argv and the environment. */
RT_MUST_CHECK int cli_options_read(struct cli_options *options, int argc, char **argv, char why[CLI_WHY_MAX]);
void cli_options_close(struct cli_options *options);

const char *cli_command_name(enum cli_command command);
/* The help of a command, or with CLI_COMMANDS of the program. */
const char *cli_usage(enum cli_command command);

#endif
