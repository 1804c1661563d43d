/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_OPTIONS_H
#define RETETHER_CLIENTS_CLI_OPTIONS_H

#include "clients/cli/text.h"
#include "clients/cli/values.h"
#include "session/base/error.h"
#include "session/base/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* It cannot be said or done now, and may be later: the session store cannot be asked. */
#define CLI_EXIT_LATER 122
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
/* Arguments that a command takes, besides a command to run. */
#define CLI_WORDS_MAX 4
/* Options of one command, with those of all; asserted. */
#define CLI_OPTIONS_MAX 32
#define CLI_WHY_MAX RT_OPTION_WHY_MAX
#define CLI_AGENT_DEFAULT "unix:/run/retether/client.sock"

struct cli_app;

enum cli_count { CLI_ONE, CLI_OPTIONAL, CLI_REST /* it and all that follows is a command to run */ };

struct cli_argument {
    const struct rt_kind *kind;
    enum cli_count count;
    const char *help;    /* in the command's help; NULL: nothing */
    const char *missing; /* what is asked when it is missing */
};

/* One of several things that a command does, which its first argument names: "retether pki issue ...". */
struct cli_action {
    const char *name;
    const char *usage;                                    /* its arguments: "DIR ROLE [NAME]" */
    size_t least, most;                                   /* so many, besides its name */
    const struct rt_option *options[CLI_OPTIONS_MAX + 1]; /* of the command's, those that it takes */
    void (*run)(struct cli_app *app);
};

/* All that is known of a command. Each has a file of its own, and its line in commands.h. */
struct cli_command {
    const char *name;
    const char *summary;                                     /* one line; NULL: it is for programs, and not listed */
    const struct cli_argument *arguments[CLI_WORDS_MAX + 2]; /* NULL-terminated */
    const struct rt_option *options[CLI_OPTIONS_MAX + 1];    /* the same, besides those of all commands */
    const char *about;                                       /* its help, in lines; before the arguments */
    const char *more;                                        /* behind the options; NULL: nothing */
    const struct cli_action *actions;                        /* of cli_act(); the last has no name; NULL: none */
    /* What it does; the loop does the rest. run(), or when there is none found(), with the container that its first
     * argument names. record is NULL when no agent could look it up now (the store is out); not if the command needs
     * it. */
    void (*run)(struct cli_app *app);
    void (*found)(struct cli_app *app, const struct retether_record *record);
    bool needs_record; /* else the name is taken as typed */
    bool local;        /* asks no agent, and has no options of agents */
};

enum cli_verb { CLI_DO, CLI_HELP, CLI_VERSION };

struct cli_given {
    const struct rt_option *option;
    const char *value;
};

/* A command line that has been read. Its text is of argv and the environment. */
struct cli_options {
    enum cli_verb verb;
    const struct cli_command *const *commands; /* all there are; NULL-terminated */
    const struct cli_command *command;         /* NULL: none */
    struct cli_given *given;                   /* owned: in their order */
    size_t n_given;
    const char *word[CLI_WORDS_MAX]; /* the arguments; NULL: not given */
    char **argv;                     /* a command to run; NULL: none */
    /* of all commands */
    const char *agents[CLI_AGENTS_MAX];
    size_t n_agents;
    bool agents_given; /* as options, so that a printed command repeats them */
    char *agents_text; /* owned: copy of RETETHER_AGENTS */
    uint64_t timeout_ms;
    bool verbose;
};

/* Whether an option was given, or its variable was set. */
bool cli_has(const struct cli_options *options, const struct rt_option *option);
/* What was given last, as text; NULL: nothing. */
const char *cli_value(const struct cli_options *options, const struct rt_option *option);
/* Reads what was given last as the option's kind has it. Returns false, and leaves `out` alone, when nothing was. */
bool cli_read(const struct cli_options *options, const struct rt_option *option, void *out);

/* As --since-offset, --tail or --tail-bytes say; else *start stays as it is. */
void cli_read_start(const struct cli_options *options, struct cli_start *start);

/* All options of a command (NULL: of the program, before there is one); NULL-terminated. */
void cli_list_options(const struct cli_command *command, const struct rt_option *list[CLI_OPTIONS_MAX + 1]);
/* NULL: there is none of this name. */
const struct cli_command *cli_command_named(const struct cli_command *const *commands, const char *name);
bool cli_is_among(const struct rt_option *const *options, const struct rt_option *option);
const struct rt_option *const *cli_common_of(const struct cli_command *command);

/* Options that more than one command has. */
extern const struct rt_option cli_timeout, cli_agent, cli_tls, cli_verbose, cli_show_help, cli_show_version;
extern const struct rt_option cli_json, cli_label, cli_ring, cli_vm;
extern const struct rt_option cli_interactive, cli_tty, cli_cwd, cli_sig_proxy;
extern const struct rt_option cli_detach_keys, cli_hold, cli_allow_gap, cli_lost_timeout;
extern const struct rt_option cli_since_offset, cli_tail, cli_tail_bytes;
/* Of attach, but printed for those who go on with one. */
extern const struct rt_option cli_no_stdin, cli_process;

/* Those of each command, of each that asks no agent, and of what carries a stream. */
extern const struct rt_option *const cli_common[], *const cli_common_local[];
#define CLI_STREAM_OPTIONS &cli_detach_keys, &cli_hold, &cli_allow_gap, &cli_lost_timeout

/* Arguments that more than one command has. */
extern const struct cli_argument cli_cid, cli_command_line;

/* An attachment that stopped, and where. */
struct cli_resume {
    const char *container;
    uint32_t process;
    bool tty, input, sig_proxy;
    bool observer;      /* it never held the container up */
    uint64_t offset[2]; /* in stdout, stderr */
};

/* Adds the command that goes on there, with the options that were given and that attach has, quoted for a POSIX shell.
 */
void cli_resume_text(const struct cli_options *options, const struct cli_resume *from, struct cli_text *out);

#endif
