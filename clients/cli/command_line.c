/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads the command line: options, the command's name, its options and arguments; then the environment. */

#define DEFAULT_TIMEOUT_MS 10000

/* They exclude each other. */
static const struct rt_option *const starts[] = {&cli_since_offset, &cli_tail, &cli_tail_bytes, NULL};

static int fail_missing(const struct cli_command *command, const char *what, char why[CLI_WHY_MAX])
{
    char text[CLI_WHY_MAX / 2] = "";
    struct rt_help usage = {text, sizeof(text), 0};

    cli_usage(&usage, command);
    return rt_fail(RT_EINVAL, why, CLI_WHY_MAX, "%s (usage: %s)", what, text);
}

static int take_option(struct cli_options *options, const struct rt_option *option, const char *value,
                       char why[CLI_WHY_MAX])
{
    _Alignas(max_align_t) char scratch[RT_VALUE_MAX];
    struct cli_given *given;

    if (option == &cli_show_help || option == &cli_show_version) {
        options->verb = option == &cli_show_help ? CLI_HELP : CLI_VERSION;
        return RT_OK;
    }
    if (value != NULL && !rt_option_read(option, value, scratch, why)) {
        return RT_EINVAL;
    }
    for (size_t i = 0; cli_is_among(starts, option) && i < options->n_given; i++) {
        if (options->given[i].option != option && cli_is_among(starts, options->given[i].option)) {
            return rt_fail(RT_EINVAL, why, CLI_WHY_MAX, "--%s and --%s exclude each other: both say where to begin",
                           options->given[i].option->name, option->name);
        }
    }
    given = realloc(options->given, (options->n_given + 1) * sizeof(*given));
    if (given == NULL) {
        return rt_fail(RT_ENOMEM, why, CLI_WHY_MAX, "%s", rt_strerror(RT_ENOMEM));
    }
    given[options->n_given++] = (struct cli_given){option, value};
    options->given = given;
    return RT_OK;
}

/* An option that this command does not have: perhaps another one does. */
static int unknown_option(const struct cli_command *command, const char *argument, char why[CLI_WHY_MAX])
{
    size_t size = strcspn(argument, "=");
    char usable[160] = "";
    size_t used = 0;

    for (const struct cli_command *const *other = cli_commands; *other != NULL; other++) {
        for (const struct rt_option *const *option = (*other)->options; *option != NULL; option++) {
            if (size > 2 && strlen((*option)->name) == size - 2 &&
                strncmp((*option)->name, argument + 2, size - 2) == 0 && used < sizeof(usable)) {
                used += (size_t)snprintf(usable + used, sizeof(usable) - used, "%s%s", used > 0 ? ", " : "",
                                         (*other)->name);
            }
        }
    }
    if (used > 0) {
        return rt_fail(RT_EINVAL, why, CLI_WHY_MAX, "%s has no option %.*s; it is one of: %s",
                       command != NULL ? command->name : "retether", (int)size, argument, usable);
    }
    return rt_fail(RT_EINVAL, why, CLI_WHY_MAX, "unknown option \"%s\"; retether %s%s--help lists what there is",
                   argument, command != NULL ? command->name : "", command != NULL ? " " : "");
}

/* An argument that is no option. Returns true when it, and all after it, is the command to run. */
static bool take_word(struct cli_options *options, size_t n, const char *word, char why[CLI_WHY_MAX], int *rc)
{
    const struct cli_argument *argument = options->command->arguments[n];
    _Alignas(max_align_t) char scratch[RT_VALUE_MAX];

    if (argument == NULL) {
        *rc = rt_fail(RT_EINVAL, why, CLI_WHY_MAX, "\"%s\" is one argument too many; see retether %s --help", word,
                      options->command->name);
    } else if (argument->count == CLI_REST) {
        return true;
    } else if (!argument->kind->read(word, scratch)) {
        *rc = rt_fail(RT_EINVAL, why, CLI_WHY_MAX, "%s is %s, not \"%s\"", argument->kind->name, argument->kind->wants,
                      word);
    } else {
        options->word[n] = word;
    }
    return false;
}

/* Reads up to the command's name when there is none yet, else up to the command that it is to run. *argv is then what
 * was not read. */
static int parse(struct cli_options *options, char ***argv, char why[CLI_WHY_MAX])
{
    const struct rt_option *list[CLI_OPTIONS_MAX + 1];
    struct rt_args args = {.options = list, .argv = *argv};
    size_t words = 0;
    int rc = RT_OK;

    cli_list_options(options->command, list);

    while (rc == RT_OK && options->verb == CLI_DO) {
        switch (rt_args_next(&args, why)) {
        case RT_ARG_OVER:
            *argv = args.argv;
            return RT_OK;
        case RT_ARG_OPTION:
            rc = take_option(options, args.option, args.value, why);
            break;
        case RT_ARG_UNKNOWN:
            rc = unknown_option(options->command, args.value, why);
            break;
        case RT_ARG_BAD:
            rc = RT_EINVAL;
            break;
        case RT_ARG_WORD:
            if (options->command == NULL || take_word(options, words++, args.value, why, &rc)) {
                *argv = args.argv - 1;
                return RT_OK;
            }
            break;
        }
    }
    return rc;
}

/* ---- what was not given ---- */

/* What the environment says, as far as the command has such an option. */
static int take_variables(struct cli_options *options, char why[CLI_WHY_MAX])
{
    const struct rt_option *list[CLI_OPTIONS_MAX + 1];

    cli_list_options(options->command, list);
    for (const struct rt_option *const *option = list; *option != NULL; option++) {
        const char *text = (*option)->variable != NULL ? getenv((*option)->variable) : NULL;
        char inner[CLI_WHY_MAX] = "";
        int rc;

        if (text != NULL && text[0] != '\0' && !cli_has(options, *option) &&
            (rc = take_option(options, *option, text, inner)) != RT_OK) {
            return rt_fail(rc, why, CLI_WHY_MAX, "%s: %s", (*option)->variable, inner);
        }
    }
    return RT_OK;
}

static int add_agent(struct cli_options *options, const char *value, char why[CLI_WHY_MAX])
{
    if (options->n_agents == CLI_AGENTS_MAX) {
        return rt_fail(RT_EINVAL, why, CLI_WHY_MAX,
                       "at most %d agents can be given; the others of a cluster are learnt from one", CLI_AGENTS_MAX);
    }
    options->agents[options->n_agents++] = value;
    return RT_OK;
}

static int take_agents(struct cli_options *options, char why[CLI_WHY_MAX])
{
    const char *text = getenv("RETETHER_AGENTS");
    char *rest;
    int rc = RT_OK;

    options->agents_given = cli_has(options, &cli_agent);
    for (size_t i = 0; i < options->n_given && rc == RT_OK; i++) {
        rc = options->given[i].option == &cli_agent ? add_agent(options, options->given[i].value, why) : RT_OK;
    }
    if (options->agents_given) {
        return rc;
    }
    options->agents_text = strdup(text != NULL ? text : "");
    if (options->agents_text == NULL) {
        return rt_fail(RT_ENOMEM, why, CLI_WHY_MAX, "%s", rt_strerror(RT_ENOMEM));
    }
    for (char *one = strtok_r(options->agents_text, ", \t\n", &rest); one != NULL && rc == RT_OK;
         one = strtok_r(NULL, ", \t\n", &rest)) {
        rc = add_agent(options, one, why);
    }
    return options->n_agents == 0 ? add_agent(options, CLI_AGENT_DEFAULT, why) : rc;
}

static int complete(struct cli_options *options, char why[CLI_WHY_MAX])
{
    const struct cli_command *command = options->command;
    int rc;

    for (size_t i = 0; command->arguments[i] != NULL; i++) {
        const struct cli_argument *argument = command->arguments[i];
        bool missing = argument->count == CLI_REST ? options->argv == NULL : options->word[i] == NULL;

        if (missing && argument->count != CLI_OPTIONAL) {
            return fail_missing(command, argument->missing, why);
        }
    }
    options->timeout_ms = DEFAULT_TIMEOUT_MS;
    (void)cli_read(options, &cli_timeout, &options->timeout_ms);
    options->verbose = cli_has(options, &cli_verbose);
    rc = take_variables(options, why);
    return rc == RT_OK && !command->local ? take_agents(options, why) : rc;
}

static int find_command(struct cli_options *options, const char *name, char why[CLI_WHY_MAX])
{
    options->command = cli_command_named(options->commands, name);
    return options->command != NULL
               ? RT_OK
               : rt_fail(RT_EINVAL, why, CLI_WHY_MAX, "there is no command \"%s\"; retether --help lists them", name);
}

int cli_options_read(struct cli_options *options, int argc, char **argv, char why[CLI_WHY_MAX])
{
    int rc;

    memset(options, 0, sizeof(*options));
    options->commands = cli_commands;
    argv += argc > 0;
    rc = parse(options, &argv, why);
    if (rc != RT_OK || options->verb != CLI_DO) {
        return rc;
    }
    if (*argv == NULL) {
        return rt_fail(RT_EINVAL, why, CLI_WHY_MAX, "what is to be done? retether --help lists the commands");
    }
    if (strcmp(*argv, "help") == 0) {
        options->verb = CLI_HELP;
        return argv[1] != NULL ? find_command(options, argv[1], why) : RT_OK;
    }
    rc = find_command(options, *argv++, why);
    if (rc == RT_OK) {
        rc = parse(options, &argv, why);
    }
    if (rc == RT_OK && *argv != NULL) {
        options->argv = argv;
    }
    return rc == RT_OK && options->verb == CLI_DO ? complete(options, why) : rc;
}

void cli_options_close(struct cli_options *options)
{
    free(options->given);
    options->given = NULL;
    free(options->agents_text);
    options->agents_text = NULL;
}
