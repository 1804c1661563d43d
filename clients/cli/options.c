/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/options.h"

#include "clients/cli/values.h"
#include "clients/tether/options.h"
#include "session/base/slice.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_CLIENT_AGENT "unix:/run/retether/client.sock"
#define DEFAULT_GUEST_AGENT "unix:/run/retether/guest.sock"
#define DEFAULT_TIMEOUT_MS 10000
#define DEFAULT_HOLD_MS 30000

static const char *const names[] = {
    [CLI_CREATE] = "create", [CLI_RUN] = "run",   [CLI_ATTACH] = "attach", [CLI_EXEC] = "exec",
    [CLI_LOGS] = "logs",     [CLI_WAIT] = "wait", [CLI_SIGNAL] = "signal", [CLI_RESOLVE] = "resolve",
    [CLI_LS] = "ls",         [CLI_SHOW] = "show", [CLI_MOVES] = "moves",   [CLI_HOSTS] = "hosts",
};

const char *cli_command_name(enum cli_command command)
{
    return command < CLI_COMMANDS ? names[command] : "";
}

enum {
    OPT_AGENT = 256,
    OPT_TIMEOUT,
    OPT_JSON,
    OPT_VERSION,
    OPT_NO_STDIN,
    OPT_DETACH_KEYS,
    OPT_SIG_PROXY,
    OPT_SINCE,
    OPT_TAIL_BYTES,
    OPT_HOLD,
    OPT_ALLOW_GAP,
    OPT_LOST_TIMEOUT,
    OPT_PROCESS,
    OPT_CWD,
    OPT_ENV,
    OPT_LABEL,
    OPT_RING,
    OPT_NAME,
    OPT_TETHER,
    OPT_GUEST_AGENT,
    OPT_HOST,
};

#define ON(command) (1U << (command))
#define ALL (ON(CLI_COMMANDS) - 1U)
#define STREAMS (ON(CLI_RUN) | ON(CLI_ATTACH) | ON(CLI_EXEC))
#define JSON                                                                                                           \
    (ON(CLI_CREATE) | ON(CLI_WAIT) | ON(CLI_RESOLVE) | ON(CLI_LS) | ON(CLI_SHOW) | ON(CLI_MOVES) | ON(CLI_HOSTS))

static const struct row {
    const char *name;
    int has_arg;
    int code; /* a letter: the short form too */
    unsigned commands;
} rows[] = {
    {"agent", required_argument, OPT_AGENT, ALL},
    {"timeout", required_argument, OPT_TIMEOUT, ALL},
    {"verbose", no_argument, 'v', ALL},
    {"help", no_argument, 'h', ALL},
    {"version", no_argument, OPT_VERSION, ALL},
    {"json", no_argument, OPT_JSON, JSON},
    {"interactive", no_argument, 'i', ON(CLI_RUN) | ON(CLI_EXEC)},
    {"tty", no_argument, 't', ON(CLI_RUN) | ON(CLI_EXEC)},
    {"no-stdin", no_argument, OPT_NO_STDIN, ON(CLI_ATTACH)},
    {"detach-keys", required_argument, OPT_DETACH_KEYS, STREAMS},
    {"sig-proxy", no_argument, OPT_SIG_PROXY, ON(CLI_ATTACH) | ON(CLI_EXEC)},
    {"since-offset", required_argument, OPT_SINCE, ON(CLI_ATTACH)},
    {"tail", required_argument, 'n', ON(CLI_ATTACH) | ON(CLI_LOGS)},
    {"tail-bytes", required_argument, OPT_TAIL_BYTES, ON(CLI_ATTACH) | ON(CLI_LOGS)},
    {"hold", required_argument, OPT_HOLD, STREAMS},
    {"allow-gap", no_argument, OPT_ALLOW_GAP, STREAMS},
    {"lost-timeout", required_argument, OPT_LOST_TIMEOUT, STREAMS | ON(CLI_LOGS)},
    {"process", required_argument, OPT_PROCESS, ON(CLI_ATTACH)},
    {"follow", no_argument, 'f', ON(CLI_LOGS)},
    {"cwd", required_argument, OPT_CWD, ON(CLI_RUN) | ON(CLI_EXEC)},
    {"env", required_argument, OPT_ENV, ON(CLI_EXEC)},
    {"label", required_argument, OPT_LABEL, ON(CLI_CREATE) | ON(CLI_RUN)},
    {"ring", required_argument, OPT_RING, ON(CLI_CREATE) | ON(CLI_RUN)},
    {"name", required_argument, OPT_NAME, ON(CLI_RUN)},
    {"tether", required_argument, OPT_TETHER, ON(CLI_RUN)},
    {"guest-agent", required_argument, OPT_GUEST_AGENT, ON(CLI_RUN)},
    {"host", required_argument, OPT_HOST, ON(CLI_LS)},
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

__attribute__((format(printf, 2, 3))) static int fail(char why[CLI_WHY_MAX], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why, CLI_WHY_MAX, format, args);
    va_end(args);
    return RT_EINVAL;
}

/* ---- values ---- */

static int bad_value(const char *option, const char *value, const char *wants, char why[CLI_WHY_MAX])
{
    return fail(why, "--%s takes %s, not \"%s\"", option, wants, value);
}

static int read_duration(const char *option, const char *value, uint64_t *ms, char why[CLI_WHY_MAX])
{
    if (tether_read_duration(value, ms) != RT_OK) {
        return bad_value(option, value, "a duration such as 500ms, 30s, 5m or 2h", why);
    }
    return RT_OK;
}

static int read_bytes(const char *option, const char *value, uint64_t *bytes, char why[CLI_WHY_MAX])
{
    size_t size;

    if (tether_read_bytes(value, &size) != RT_OK) {
        return bad_value(option, value, "bytes such as 65536, 64K or 1M", why);
    }
    *bytes = size;
    return RT_OK;
}

/* Several options say where to begin; each may be repeated, but not mixed with another. */
static int choose_start(struct cli_options *options, const char *option, char why[CLI_WHY_MAX])
{
    if (options->start_option != NULL && strcmp(options->start_option, option) != 0) {
        return fail(why, "--%s and --%s exclude each other: both say where to begin", options->start_option, option);
    }
    options->start_option = option;
    return RT_OK;
}

static int read_since(struct cli_options *options, const char *value, char why[CLI_WHY_MAX])
{
    char first[32];
    const char *comma = strchr(value, ',');
    size_t size = comma != NULL ? (size_t)(comma - value) : strlen(value);

    if (choose_start(options, "since-offset", why) != RT_OK) {
        return RT_EINVAL;
    }
    if (strcmp(value, "oldest") == 0 || strcmp(value, "now") == 0) {
        options->from = value[0] == 'o' ? RETETHER_FROM_OLDEST : RETETHER_FROM_NOW;
        return RT_OK;
    }
    options->from = RETETHER_FROM_OFFSET;
    options->start[1] = 0;
    if (size < sizeof(first)) {
        memcpy(first, value, size);
        first[size] = '\0';
        if (cli_read_count(first, &options->start[0]) == RT_OK &&
            (comma == NULL || cli_read_count(comma + 1, &options->start[1]) == RT_OK)) {
            return RT_OK;
        }
    }
    return bad_value("since-offset", value, "oldest, now, or an offset in stdout (and with a comma one in stderr)",
                     why);
}

static int read_tail(struct cli_options *options, int code, const char *value, char why[CLI_WHY_MAX])
{
    bool lines = code == 'n';

    if (choose_start(options, lines ? "tail" : "tail-bytes", why) != RT_OK) {
        return RT_EINVAL;
    }
    options->from = lines ? RETETHER_FROM_LINES : RETETHER_FROM_BYTES;
    if (!lines) {
        return read_bytes("tail-bytes", value, &options->start[0], why);
    }
    return cli_read_count(value, &options->start[0]) == RT_OK ? RT_OK
                                                              : bad_value("tail", value, "a number of lines", why);
}

static int read_process(struct cli_options *options, const char *value, char why[CLI_WHY_MAX])
{
    uint64_t number;

    if (cli_read_count(value, &number) != RT_OK || number >= UINT32_MAX) {
        return bad_value("process", value, "the number of a process as show lists it", why);
    }
    options->process = (uint32_t)number;
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

static int add_env(struct cli_options *options, const char *value, char why[CLI_WHY_MAX])
{
    if (options->n_env == sizeof(options->env) / sizeof(options->env[0]) - 1 || strchr(value, '=') == NULL) {
        return bad_value("env", value, "NAME=VALUE, at most 64 times", why);
    }
    options->env[options->n_env++] = value;
    return RT_OK;
}

/* ---- options ---- */

static int take_plain(struct cli_options *options, int code)
{
    switch (code) {
    case 'v':
        options->verbose = true;
        return RT_OK;
    case 'h':
        options->verb = CLI_HELP;
        return RT_OK;
    case OPT_VERSION:
        options->verb = CLI_VERSION;
        return RT_OK;
    case OPT_JSON:
        options->json = true;
        return RT_OK;
    case 'i':
        options->input = true;
        return RT_OK;
    case 't':
        options->tty = true;
        return RT_OK;
    case OPT_NO_STDIN:
        options->input = false;
        return RT_OK;
    case OPT_SIG_PROXY:
        options->sig_proxy = true;
        return RT_OK;
    case OPT_ALLOW_GAP:
        options->allow_gap = true;
        return RT_OK;
    case 'f':
        options->follow = true;
        return RT_OK;
    default:
        return RT_EINVAL;
    }
}

static int take_text(struct cli_options *options, int code, const char *value)
{
    switch (code) {
    case OPT_CWD:
        options->cwd = value;
        return RT_OK;
    case OPT_LABEL:
        options->label = value;
        return RT_OK;
    case OPT_NAME:
        options->container = value;
        return RT_OK;
    case OPT_TETHER:
        options->tether = value;
        return RT_OK;
    case OPT_GUEST_AGENT:
        options->guest_agent = value;
        return RT_OK;
    case OPT_HOST:
        options->host = value;
        return RT_OK;
    default:
        return RT_EINVAL;
    }
}

static int read_ring(struct cli_options *options, const char *value, char why[CLI_WHY_MAX])
{
    int rc = read_bytes("ring", value, &options->ring, why);

    if (rc == RT_OK && (options->ring < RT_RING_BYTES_MIN || options->ring > RT_RING_BYTES_MAX)) {
        rc = bad_value("ring", value, "4K to 64M", why);
    }
    return rc;
}

static int take_value(struct cli_options *options, int code, const char *value, char why[CLI_WHY_MAX])
{
    switch (code) {
    case OPT_AGENT:
        options->agents_given = true;
        return add_agent(options, value, why);
    case OPT_TIMEOUT:
        options->timeout_text = value;
        return read_duration("timeout", value, &options->timeout_ms, why);
    case OPT_DETACH_KEYS:
        options->keys_text = value;
        return cli_keys_parse(&options->keys, value) == RT_OK
                   ? RT_OK
                   : bad_value("detach-keys", value, "keys such as ctrl-p,ctrl-q, or none", why);
    case OPT_SINCE:
        return read_since(options, value, why);
    case 'n':
    case OPT_TAIL_BYTES:
        return read_tail(options, code, value, why);
    case OPT_HOLD:
        options->hold_text = value;
        return read_duration("hold", value, &options->hold_ms, why);
    case OPT_LOST_TIMEOUT:
        options->lost_timeout_text = value;
        return read_duration("lost-timeout", value, &options->lost_timeout_ms, why);
    case OPT_PROCESS:
        return read_process(options, value, why);
    case OPT_ENV:
        return add_env(options, value, why);
    case OPT_RING:
        return read_ring(options, value, why);
    default:
        return take_text(options, code, value);
    }
}

/* Why getopt refused the argument. */
static int bad_option(const struct cli_options *options, int code, const char *argument, char why[CLI_WHY_MAX])
{
    const char *command = cli_command_name(options->command);
    bool is_long = strncmp(argument, "--", 2) == 0;
    const char *name = is_long ? argument + 2 : argument;
    size_t length = strcspn(name, "=");
    char usable[160] = "";

    if (code == ':') {
        return fail(why, "%s needs a value; retether %s --help says which", argument, command);
    }
    for (size_t i = 0; is_long && i < N_ROWS; i++) {
        if (strlen(rows[i].name) != length || strncmp(rows[i].name, name, length) != 0) {
            continue;
        }
        if ((rows[i].commands & ON(options->command)) != 0) {
            return fail(why, "--%s takes no value", rows[i].name);
        }
        for (unsigned c = 0; c < CLI_COMMANDS; c++) {
            if ((rows[i].commands & ON(c)) != 0) {
                size_t used = strlen(usable);
                snprintf(usable + used, sizeof(usable) - used, "%s%s", used > 0 ? ", " : "", names[c]);
            }
        }
        return fail(why, "%s has no option --%s; it is one of: %s", command[0] != '\0' ? command : "retether",
                    rows[i].name, usable);
    }
    return fail(why, "unknown option \"%s\"; retether %s%s--help lists what there is", argument, command,
                command[0] != '\0' ? " " : "");
}

/* Fills getopt's tables with the options of a command (CLI_COMMANDS: those of all). */
static void fill_tables(enum cli_command command, struct option longs[N_ROWS + 1], char shorts[64])
{
    unsigned want = command == CLI_COMMANDS ? ALL : ON(command);
    size_t n = 0;
    size_t used = 0;

    /* "-": arguments that are no options come in their order; ":": a missing value is told apart. */
    shorts[used++] = command == CLI_COMMANDS ? '+' : '-';
    shorts[used++] = ':';
    for (size_t i = 0; i < N_ROWS; i++) {
        if ((rows[i].commands & want) != want && (command == CLI_COMMANDS || (rows[i].commands & want) == 0)) {
            continue;
        }
        longs[n++] = (struct option){rows[i].name, rows[i].has_arg, NULL, rows[i].code};
        if (rows[i].code < 256) {
            shorts[used++] = (char)rows[i].code;
            if (rows[i].has_arg == required_argument) {
                shorts[used++] = ':';
            }
        }
    }
    memset(&longs[n], 0, sizeof(longs[n]));
    shorts[used] = '\0';
}

/* An argument that is no option. Returns true when it, and all after it, is the command to run. */
static bool take_argument(struct cli_options *options, const char *argument, char why[CLI_WHY_MAX], int *rc)
{
    bool wants_one = options->command != CLI_RUN && options->command != CLI_HOSTS;

    if (options->command == CLI_RUN || (options->command == CLI_EXEC && options->container != NULL)) {
        return true;
    }
    if (options->command == CLI_SIGNAL && options->container != NULL && options->signum == 0) {
        *rc = cli_read_signal(argument, &options->signum) == RT_OK
                  ? RT_OK
                  : fail(why, "there is no signal \"%s\"; it is a name such as TERM or SIGTERM, or a number", argument);
    } else if (wants_one && options->container == NULL) {
        options->container = argument;
    } else {
        *rc = fail(why, "\"%s\" is one argument too many; see retether %s --help", argument,
                   cli_command_name(options->command));
    }
    return false;
}

static int parse(struct cli_options *options, int argc, char **argv, char why[CLI_WHY_MAX])
{
    struct option longs[N_ROWS + 1];
    char shorts[64];
    int code;
    int rc = RT_OK;

    fill_tables(options->command, longs, shorts);
    optind = 0; /* glibc: starts anew, whatever was parsed before */
    opterr = 0;
    while (rc == RT_OK && options->verb == CLI_DO && (code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        if (code == 1) {
            if (take_argument(options, optarg, why, &rc)) {
                optind--;
                break;
            }
        } else if (code == '?' || code == ':') {
            char letter[3] = {'-', (char)optopt, '\0'};
            rc = bad_option(options, code, optopt > 0 && optopt < 256 ? letter : argv[optind - 1], why);
        } else if (optarg != NULL) {
            rc = take_value(options, code, optarg, why);
        } else {
            rc = take_plain(options, code);
        }
    }
    return rc;
}

/* What follows "--". */
static int take_rest(struct cli_options *options, int argc, char **argv, char why[CLI_WHY_MAX])
{
    int rc = RT_OK;

    while (optind < argc && rc == RT_OK && !take_argument(options, argv[optind], why, &rc)) {
        optind++;
    }
    if (optind < argc && rc == RT_OK) {
        options->argv = &argv[optind];
    }
    return rc;
}

/* ---- what must be there, and defaults ---- */

static int complete(struct cli_options *options, char why[CLI_WHY_MAX])
{
    const char *command = cli_command_name(options->command);
    bool free = options->command == CLI_RUN || options->command == CLI_LS || options->command == CLI_HOSTS;

    if (options->container == NULL && !free) {
        return fail(why, "which container? retether %s --help shows how, retether ls lists them", command);
    }
    /* A beginning of an ID is one too. */
    if (options->container != NULL && options->command != CLI_LS && !rt_cid_valid(rt_slice_text(options->container))) {
        return fail(why,
                    "\"%s\" is no container ID, which is a letter or digit, then up to %d letters, digits, and _ . -",
                    options->container, RETETHER_CONTAINER_MAX - 1);
    }
    if (options->label != NULL && strlen(options->label) > RT_LABEL_MAX) {
        return fail(why, "--label takes up to %d bytes", RT_LABEL_MAX);
    }
    if ((options->command == CLI_RUN || options->command == CLI_EXEC) && options->argv == NULL) {
        return fail(why, "there is no command to run: retether %s %s-- COMMAND [ARGUMENT...]", command,
                    options->command == CLI_EXEC ? "CID " : "");
    }
    if (options->command == CLI_SIGNAL && options->signum == 0) {
        return fail(why, "which signal? retether signal CID TERM");
    }
    return RT_OK;
}

static int default_agents(struct cli_options *options, char why[CLI_WHY_MAX])
{
    const char *text = getenv("RETETHER_AGENTS");
    char *rest;
    int rc = RT_OK;

    if (options->n_agents > 0) {
        return RT_OK;
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
    if (options->n_agents == 0) {
        rc = add_agent(options, DEFAULT_CLIENT_AGENT, why);
    }
    return rc;
}

/* What a person always wants; the option goes first. */
static int default_keys(struct cli_options *options, char why[CLI_WHY_MAX])
{
    const char *text = getenv("RETETHER_DETACH_KEYS");

    if (options->keys_text != NULL || text == NULL || text[0] == '\0') {
        return RT_OK;
    }
    options->keys_text = text;
    return cli_keys_parse(&options->keys, text) == RT_OK
               ? RT_OK
               : fail(why, "RETETHER_DETACH_KEYS is keys such as ctrl-p,ctrl-q, or none, not \"%s\"", text);
}

static void set_defaults(struct cli_options *options)
{
    const char *guest = getenv("RETETHER_GUEST_AGENT");

    memset(options, 0, sizeof(*options));
    options->command = CLI_COMMANDS;
    options->timeout_ms = DEFAULT_TIMEOUT_MS;
    options->hold_ms = DEFAULT_HOLD_MS;
    options->guest_agent = guest != NULL && guest[0] != '\0' ? guest : DEFAULT_GUEST_AGENT;
}

static void command_defaults(struct cli_options *options)
{
    bool whole = options->command == CLI_LOGS || options->command == CLI_RUN;

    options->from = whole ? RETETHER_FROM_OLDEST : RETETHER_FROM_NOW;
    options->input = options->command == CLI_ATTACH;
    options->sig_proxy = options->command == CLI_RUN;
}

static int find_command(struct cli_options *options, const char *name, char why[CLI_WHY_MAX])
{
    for (unsigned i = 0; i < CLI_COMMANDS; i++) {
        if (strcmp(names[i], name) == 0) {
            options->command = (enum cli_command)i;
            return RT_OK;
        }
    }
    return fail(why, "there is no command \"%s\"; retether --help lists them", name);
}

int cli_options_read(struct cli_options *options, int argc, char **argv, char why[CLI_WHY_MAX])
{
    int first;
    int rc;

    set_defaults(options);
    rc = parse(options, argc, argv, why);
    if (rc != RT_OK || options->verb != CLI_DO) {
        return rc;
    }
    first = optind;
    if (first < argc && strcmp(argv[first], "help") == 0) {
        options->verb = CLI_HELP;
        return first + 1 < argc ? find_command(options, argv[first + 1], why) : RT_OK;
    }
    if (first >= argc) {
        return fail(why, "what is to be done? retether --help lists the commands");
    }
    if ((rc = find_command(options, argv[first], why)) != RT_OK) {
        return rc;
    }
    command_defaults(options);
    rc = parse(options, argc - first, argv + first, why);
    if (rc == RT_OK && options->verb == CLI_DO) {
        rc = take_rest(options, argc - first, argv + first, why);
    }
    if (rc == RT_OK && options->verb == CLI_DO) {
        rc = complete(options, why);
    }
    if (rc == RT_OK && options->verb == CLI_DO && (ON(options->command) & STREAMS) != 0) {
        rc = default_keys(options, why);
    }
    return rc == RT_OK && options->verb == CLI_DO ? default_agents(options, why) : rc;
}

void cli_options_close(struct cli_options *options)
{
    free(options->agents_text);
    options->agents_text = NULL;
}
