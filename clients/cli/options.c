/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/options.h"

#include "clients/cli/commands.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_CLIENT_AGENT "unix:/run/retether/client.sock"
#define DEFAULT_TIMEOUT_MS 10000

/* ---- what several commands have ---- */

const struct rt_option cli_agent = {"agent", 0, &rt_kind_endpoint,
                                    "an agent to ask: unix:PATH, tcp:ADDRESS:PORT or vsock:CID:PORT; may be given "
                                    "several times (default: RETETHER_AGENTS, or " DEFAULT_CLIENT_AGENT ")",
                                    NULL};
const struct rt_option cli_timeout = {"timeout", 0, &rt_kind_duration,
                                      "for an answer, and for the first attach (default 10s)", NULL};
const struct rt_option cli_verbose = {"verbose", 'v', NULL, "say what the connections do", NULL};
static const struct rt_option help = {"help", 'h', NULL, "show this", NULL};
static const struct rt_option version = {"version", 0, NULL, "show the version", NULL};

const struct rt_option cli_json = {"json", 0, NULL, "print JSON, an object a line", NULL};
const struct rt_option cli_label = {"label", 0, &cli_kind_label, "kept with the session and shown by ls", NULL};
const struct rt_option cli_ring = {"ring", 0, &cli_kind_ring,
                                   "that the tether is to keep of each output stream, such as 64K or 4M", NULL};
const struct rt_option cli_interactive = {"interactive", 'i', NULL,
                                          "pass stdin on (without it the command's stdin is empty)", NULL};
const struct rt_option cli_tty = {"tty", 't', NULL, "give the command a terminal", NULL};
const struct rt_option cli_cwd = {"cwd", 0, &rt_kind_directory, "run it there", NULL};
const struct rt_option cli_sig_proxy = {"sig-proxy", 0, NULL,
                                        "pass SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 on; without it "
                                        "they end the attach only",
                                        NULL};
const struct rt_option cli_detach_keys = {"detach-keys", 0, &cli_kind_keys,
                                          "typed in a row they detach: RETETHER_DETACH_KEYS, or ctrl-p,ctrl-q when "
                                          "stdin is a terminal; none turns them off",
                                          "RETETHER_DETACH_KEYS"};
const struct rt_option cli_hold = {"hold", 0, &rt_kind_duration,
                                   "how long the container may be held up when this end does not keep up, before "
                                   "bytes are given up and told as a gap (default 30s; 0: never held up)",
                                   NULL};
const struct rt_option cli_allow_gap = {"allow-gap", 0, NULL,
                                        "output that was lost does not change a status of 0 (else it is 123)", NULL};
const struct rt_option cli_lost_timeout = {"lost-timeout", 0, &rt_kind_duration,
                                           "end with 124 once the container has been lost for so long (default: wait "
                                           "for ever)",
                                           NULL};
const struct rt_option cli_since_offset = {"since-offset", 0, &cli_kind_start,
                                           "begin at byte N of stdout (and M of stderr, 0 if not given), at the "
                                           "oldest byte kept, or now",
                                           NULL};
const struct rt_option cli_tail = {"tail", 'n', &cli_kind_lines, "begin with the last lines", NULL};
const struct rt_option cli_tail_bytes = {"tail-bytes", 0, &rt_kind_bytes, "begin with the last bytes", NULL};
const struct rt_option cli_no_stdin = {"no-stdin", 0, NULL, "only watch, as when stdin is closed or /dev/null", NULL};
const struct rt_option cli_process = {"process", 0, &cli_kind_process,
                                      "another process than the main one, as show lists them", NULL};

const struct rt_option *const cli_common[] = {&cli_agent, &cli_timeout, &cli_verbose, &help, &version, NULL};

/* They exclude each other. */
static const struct rt_option *const starts[] = {&cli_since_offset, &cli_tail, &cli_tail_bytes, NULL};

const struct cli_argument cli_cid = {&cli_kind_cid, CLI_ONE,
                                     "CID is a container ID, or a beginning of one that fits no other.",
                                     "which container? retether ls lists them"};
const struct cli_argument cli_command_line = {&cli_kind_command, CLI_REST, NULL, "there is no command to run"};

/* ---- what was given ---- */

static bool is_among(const struct rt_option *const *options, const struct rt_option *option)
{
    while (*options != NULL && *options != option) {
        options++;
    }
    return *options != NULL;
}

void cli_list_options(const struct cli_command *command, const struct rt_option *list[CLI_OPTIONS_MAX + 1])
{
    const struct rt_option *const *from[] = {command != NULL ? command->options : CLI_NO_OPTIONS, cli_common};
    size_t n = 0;

    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; from[i][k] != NULL; k++) {
            assert(n < CLI_OPTIONS_MAX);
            list[n++] = from[i][k];
        }
    }
    list[n] = NULL;
}

bool cli_takes(const struct cli_command *command, const struct rt_option *option)
{
    return is_among(command->options, option) || is_among(cli_common, option);
}

static const struct cli_given *last(const struct cli_options *options, const struct rt_option *option)
{
    for (size_t i = options->n_given; i > 0; i--) {
        if (options->given[i - 1].option == option) {
            return &options->given[i - 1];
        }
    }
    return NULL;
}

bool cli_has(const struct cli_options *options, const struct rt_option *option)
{
    return last(options, option) != NULL;
}

const char *cli_value(const struct cli_options *options, const struct rt_option *option)
{
    const struct cli_given *given = last(options, option);

    return given != NULL ? given->value : NULL;
}

bool cli_read(const struct cli_options *options, const struct rt_option *option, void *out)
{
    const char *value = cli_value(options, option);

    return value != NULL && option->kind->read(value, out); /* it was good when it was given */
}

void cli_read_start(const struct cli_options *options, struct cli_start *start)
{
    (void)cli_read(options, &cli_since_offset, start);
    if (cli_read(options, &cli_tail, &start->at[0])) {
        start->from = RETETHER_FROM_LINES;
    }
    if (cli_read(options, &cli_tail_bytes, &start->at[0])) {
        start->from = RETETHER_FROM_BYTES;
    }
}

/* ---- reading ---- */

__attribute__((format(printf, 2, 3))) static int fail(char why[CLI_WHY_MAX], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why, CLI_WHY_MAX, format, args);
    va_end(args);
    return RT_EINVAL;
}

static int fail_missing(const struct cli_command *command, const char *what, char why[CLI_WHY_MAX])
{
    char text[CLI_WHY_MAX / 2] = "";
    struct rt_help usage = {text, sizeof(text), 0};

    cli_usage(&usage, command);
    return fail(why, "%s (usage: %s)", what, text);
}

static int take_option(struct cli_options *options, const struct rt_option *option, const char *value,
                       char why[CLI_WHY_MAX])
{
    _Alignas(max_align_t) char scratch[RT_VALUE_MAX];
    struct cli_given *given;

    if (option == &help || option == &version) {
        options->verb = option == &help ? CLI_HELP : CLI_VERSION;
        return RT_OK;
    }
    if (value != NULL && !rt_option_read(option, value, scratch, why)) {
        return RT_EINVAL;
    }
    for (size_t i = 0; is_among(starts, option) && i < options->n_given; i++) {
        if (options->given[i].option != option && is_among(starts, options->given[i].option)) {
            return fail(why, "--%s and --%s exclude each other: both say where to begin",
                        options->given[i].option->name, option->name);
        }
    }
    given = realloc(options->given, (options->n_given + 1) * sizeof(*given));
    if (given == NULL) {
        (void)fail(why, "%s", rt_strerror(RT_ENOMEM));
        return RT_ENOMEM;
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
        return fail(why, "%s has no option %.*s; it is one of: %s", command != NULL ? command->name : "retether",
                    (int)size, argument, usable);
    }
    return fail(why, "unknown option \"%s\"; retether %s%s--help lists what there is", argument,
                command != NULL ? command->name : "", command != NULL ? " " : "");
}

/* An argument that is no option. Returns true when it, and all after it, is the command to run. */
static bool take_word(struct cli_options *options, size_t n, const char *word, char why[CLI_WHY_MAX], int *rc)
{
    const struct cli_argument *argument = options->command->arguments[n];
    _Alignas(max_align_t) char scratch[RT_VALUE_MAX];

    if (argument == NULL) {
        *rc = fail(why, "\"%s\" is one argument too many; see retether %s --help", word, options->command->name);
    } else if (argument->count == CLI_REST) {
        return true;
    } else if (!argument->kind->read(word, scratch)) {
        *rc = fail(why, "%s is %s, not \"%s\"", argument->kind->name, argument->kind->wants, word);
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
    for (const struct rt_option *const *option = options->command->options; *option != NULL; option++) {
        const char *text = (*option)->variable != NULL ? getenv((*option)->variable) : NULL;
        char inner[CLI_WHY_MAX] = "";
        int rc;

        if (text != NULL && text[0] != '\0' && !cli_has(options, *option) &&
            (rc = take_option(options, *option, text, inner)) != RT_OK) {
            (void)fail(why, "%s: %s", (*option)->variable, inner);
            return rc;
        }
    }
    return RT_OK;
}

static int add_agent(struct cli_options *options, const char *value, char why[CLI_WHY_MAX])
{
    if (options->n_agents == CLI_AGENTS_MAX) {
        return fail(why, "at most %d agents can be given; the others of a cluster are learnt from one", CLI_AGENTS_MAX);
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
        (void)fail(why, "%s", rt_strerror(RT_ENOMEM));
        return RT_ENOMEM;
    }
    for (char *one = strtok_r(options->agents_text, ", \t\n", &rest); one != NULL && rc == RT_OK;
         one = strtok_r(NULL, ", \t\n", &rest)) {
        rc = add_agent(options, one, why);
    }
    return options->n_agents == 0 ? add_agent(options, DEFAULT_CLIENT_AGENT, why) : rc;
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
    return rc == RT_OK ? take_agents(options, why) : rc;
}

static int find_command(struct cli_options *options, const char *name, char why[CLI_WHY_MAX])
{
    options->command = cli_command_named(name);
    return options->command != NULL ? RT_OK : fail(why, "there is no command \"%s\"; retether --help lists them", name);
}

int cli_options_read(struct cli_options *options, int argc, char **argv, char why[CLI_WHY_MAX])
{
    int rc;

    memset(options, 0, sizeof(*options));
    argv += argc > 0;
    rc = parse(options, &argv, why);
    if (rc != RT_OK || options->verb != CLI_DO) {
        return rc;
    }
    if (*argv == NULL) {
        return fail(why, "what is to be done? retether --help lists the commands");
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
