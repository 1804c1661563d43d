/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/tether/options.h"

#include "session/base/units.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_AGENT "vsock:2:7400"

struct tether_option {
    struct rt_option option; /* first: the reader of arguments gives it back */
    /* Where its value goes, as its kind reads it; of one without a value, a bool. */
    size_t at;
    /* Or what is done with it, once it has been read; NULL: nothing else. Returns 0, or a code with a sentence in
     * `why`.
     */
    int (*take)(struct tether_options *options, const void *value, char why[TETHER_WHY_MAX]);
    const char *title; /* of the options from here on; NULL: none */
};

static bool read_size(const char *text, void *out)
{
    unsigned *rows_cols = out;
    struct rt_slice first = {(const uint8_t *)text, strcspn(text, "x")};
    uint64_t row, col;

    if (text[first.size] == '\0' || !rt_read_number(first, UINT16_MAX, &row) ||
        !rt_read_number(rt_slice_text(text + first.size + 1), UINT16_MAX, &col) || row == 0 || col == 0) {
        return false;
    }
    rows_cols[0] = (unsigned)row;
    rows_cols[1] = (unsigned)col;
    return true;
}

static bool read_level(const char *text, void *out)
{
    enum rt_log_level *level = out;

    for (*level = RT_LOG_ERROR; rt_log_levels[*level] != NULL; (*level)++) {
        if (strcmp(text, rt_log_levels[*level]) == 0) {
            return true;
        }
    }
    return false;
}

static bool read_hostname(const char *text, void *out)
{
    return rt_read_text(text, out) && text[0] != '\0' && strlen(text) <= TETHER_HOSTNAME_MAX;
}

static const struct rt_kind kind_cid = {"CID", "a container ID", rt_read_text};
static const struct rt_kind kind_size = {"ROWSxCOLS", "rows and columns such as 24x80", read_size};
static const struct rt_kind kind_level = {"LEVEL", "error, warn, info or debug", read_level};
static const struct rt_kind kind_link = {"NAME=ADDRESS/PREFIX", "NAME=ADDRESS/PREFIX such as eth0=169.254.10.2/16",
                                         tether_read_link};
static const struct rt_kind kind_hostname = {"NAME", "1 to 64 bytes", read_hostname};

static int take_size(struct tether_options *options, const void *value, char why[TETHER_WHY_MAX])
{
    const unsigned *size = value;

    (void)why;
    options->guest.rows = size[0];
    options->guest.cols = size[1];
    return RT_OK;
}

static int take_module(struct tether_options *options, const void *value, char why[TETHER_WHY_MAX])
{
    if (options->boot.n_modules == TETHER_MODULES_MAX) {
        return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "--module is given more than %d times", TETHER_MODULES_MAX);
    }
    options->boot.modules[options->boot.n_modules++] = *(const char *const *)value;
    return RT_OK;
}

static int take_link(struct tether_options *options, const void *value, char why[TETHER_WHY_MAX])
{
    if (options->boot.n_links == TETHER_LINKS_MAX) {
        return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "--link is given more than %d times", TETHER_LINKS_MAX);
    }
    options->boot.links[options->boot.n_links++] = *(const struct tether_link *)value;
    return RT_OK;
}

static int take_config(struct tether_options *options, const void *value, char why[TETHER_WHY_MAX])
{
    if (options->config_file != NULL) {
        return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "--config is given more than once");
    }
    options->config_file = *(const char *const *)value;
    return tether_config_read(options, options->config_file, tether_options_set, why);
}

#define AT(member) offsetof(struct tether_options, member)

static const struct tether_option table[] = {
    {{"cid", 0, &kind_cid, "the container ID (or RETETHER_CID)", NULL}, AT(guest.cid), NULL, NULL},
    {{"agent", 0, &rt_kind_endpoint,
      "the agent: vsock:CID:PORT, unix:PATH or tcp:ADDRESS:PORT (default " DEFAULT_AGENT ")", NULL},
     AT(guest.agent),
     NULL,
     NULL},
    {{"tty", 0, NULL, "give the command a terminal", NULL}, AT(guest.tty), NULL, NULL},
    {{"tty-size", 0, &kind_size, "of this size until someone attaches (default 24x80)", NULL}, 0, take_size, NULL},
    {{"cwd", 0, &rt_kind_directory, "run it there", NULL}, AT(guest.cwd), NULL, NULL},
    {{"ring", 0, &rt_kind_bytes, "kept of stdout, and of stderr: 4K to 64M (default: what create asked for, or 1M)",
      NULL},
     AT(guest.ring_bytes),
     NULL,
     "How much, and for how long (DURATION: 1500ms, 30s, 5m, 2h; BYTES: 65536, 64K, 1M):"},
    {{"first-hold", 0, &rt_kind_duration,
      "how long output may block until someone has attached who may hold it, or type (default 0: it may not; the "
      "oldest bytes make room)",
      NULL},
     AT(guest.first_hold_ms),
     NULL,
     NULL},
    {{"drain-timeout", 0, &rt_kind_duration, "after an exit, how long others may keep the output open (default 2s)",
      NULL},
     AT(guest.drain_timeout_ms),
     NULL,
     NULL},
    {{"outage-hold", 0, &rt_kind_duration,
      "time without an agent that costs attachments nothing of their hold (default 5m)", NULL},
     AT(guest.outage_hold_ms),
     NULL,
     NULL},
    {{"end-timeout", 0, &rt_kind_duration,
      "after the end, how long to look for an agent that takes the exit status (default 5m; 0: for ever)", NULL},
     AT(guest.end_timeout_ms),
     NULL,
     NULL},
    {{"init", 0, NULL, "mount /proc, /sys, /dev and what else is missing, and power off at the end", NULL},
     AT(init),
     NULL,
     "As process 1 of a machine (without any argument: --init --config " TETHER_CONFIG_FILE "):"},
    {{"module", 0, &rt_kind_file, "load this kernel module first (repeated: in the order given)", NULL},
     0,
     take_module,
     NULL},
    {{"link", 0, &kind_link, "bring this interface up, such as eth0=169.254.10.2/16 (repeatable)", NULL},
     0,
     take_link,
     NULL},
    {{"hostname", 0, &kind_hostname, "the name of the machine", NULL}, AT(boot.hostname), NULL, NULL},
    {{"config", 0, &rt_kind_file,
      "more options, one a line, without the dashes; the command as \"command PROGRAM\" and \"argument TEXT\" lines",
      NULL},
     0,
     take_config,
     "Other options:"},
    {{"token-file", 0, &rt_kind_file, "where the join token is", NULL}, AT(token_file), NULL, NULL},
    {{"log-level", 0, &kind_level, "error, warn, info (default) or debug", NULL}, AT(log_level), NULL, NULL},
    {{"json-log", 0, NULL, "log JSON lines on a terminal too", NULL}, AT(json), NULL, NULL},
    {{"version", 0, NULL, "show the version", NULL}, AT(version), NULL, NULL},
    {{"help", 0, NULL, "show this", NULL}, AT(help), NULL, NULL},
};

#define N_OPTIONS (sizeof(table) / sizeof(table[0]))

void tether_help(struct rt_help *help)
{
    rt_help_text(
        help,
        "Usage: tether [OPTION...] --cid CID [--] COMMAND [ARGUMENT...]\n"
        "\n"
        "Runs COMMAND, keeps its input and output attachable through the agent of whatever host this machine is "
        "on, and stays until the exit status is safe and the attachments have read the rest. The command "
        "starts at once, whether an agent is there or not.\n"
        "\n",
        0, 0);
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (table[i].title != NULL) {
            rt_help_printf(help, "\n");
            rt_help_text(help, table[i].title, 0, 0);
        }
        rt_help_option(help, &table[i].option);
    }
    rt_help_text(
        help,
        "\n"
        "Without --token-file, the join token comes from the file that RETETHER_TOKEN_FILE names, or from "
        "RETETHER_TOKEN; the command sees neither. With --init also from " TETHER_TOKEN_FILE ".\n"
        "SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 and SIGWINCH are passed on to the command.\n"
        "\n"
        "Exit status: the command's, or 128 + n when signal n ended it; 126 when it cannot be run, 127 when it "
        "is not found; 125 when tether itself failed.\n",
        0, 0);
}

static int take(struct tether_options *options, const struct tether_option *option, const char *value,
                char why[TETHER_WHY_MAX])
{
    _Alignas(max_align_t) char scratch[RT_VALUE_MAX];
    void *at = option->take != NULL ? scratch : (char *)options + option->at;

    if (option->option.kind != NULL && !rt_option_read(&option->option, value, at, why)) {
        return RT_EINVAL;
    }
    if (option->take != NULL) {
        return option->take(options, at, why);
    }
    if (option->option.kind == NULL) {
        *(bool *)at = true;
    }
    return RT_OK;
}

int tether_options_set(struct tether_options *options, const char *name, const char *value, char why[TETHER_WHY_MAX])
{
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const struct tether_option *known = &table[i];

        if (strcmp(known->option.name, name) != 0 || known->take == take_config ||
            (known->take == NULL && (known->at == AT(version) || known->at == AT(help)))) {
            continue;
        }
        if (known->option.kind == NULL && value[0] != '\0') {
            return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "\"%s\" takes no value", name);
        }
        if (known->option.kind != NULL && value[0] == '\0') {
            return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "\"%s\" has no value", name);
        }
        return take(options, known, value, why);
    }
    return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "\"%s\" is not known here; see tether --help", name);
}

/* A kernel starts its init without arguments, or with the words of its command line that it did not know itself.
 * Nothing but those can have come when no option is among them and the environment names no container. */
static bool started_by_kernel(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') {
            return false;
        }
    }
    return argc <= 1 || getenv("RETETHER_CID") == NULL;
}

static void set_defaults(struct tether_options *options)
{
    memset(options, 0, sizeof(*options));
    retether_guest_defaults(&options->guest, sizeof(options->guest));
    options->guest.agent = DEFAULT_AGENT;
    options->guest.cid = getenv("RETETHER_CID");
    options->guest.reap_all = true;
    options->log_level = RT_LOG_INFO;
}

/* The first failure is told, but what comes after it is looked at all the same: an --init behind it decides what
 * becomes of the machine. */
static int read_command_line(struct tether_options *options, char **argv, char why[TETHER_WHY_MAX])
{
    const struct rt_option *list[N_OPTIONS + 1] = {NULL};
    struct rt_args args = {.options = list, .argv = argv};
    char text[TETHER_WHY_MAX];
    enum rt_arg arg;
    int rc = RT_OK;

    for (size_t i = 0; i < N_OPTIONS; i++) {
        list[i] = &table[i].option;
    }
    while ((arg = rt_args_next(&args, text)) != RT_ARG_OVER && arg != RT_ARG_WORD) {
        int failed = RT_EINVAL;

        if (arg == RT_ARG_OPTION) {
            failed = take(options, (const struct tether_option *)args.option, args.value, text);
        } else if (arg == RT_ARG_UNKNOWN) {
            (void)rt_fail(RT_EINVAL, text, TETHER_WHY_MAX, "unknown option \"%s\"; see tether --help", args.value);
        }
        if (rc == RT_OK && failed != RT_OK) {
            rc = rt_fail(failed, why, TETHER_WHY_MAX, "%s", text);
        }
    }
    if (arg == RT_ARG_WORD) {
        options->guest.argv = (const char *const *)(args.argv - 1);
    } else if (options->argc > 0) {
        options->guest.argv = options->argv;
    }
    return rc;
}

/* Checks what depends on several options. */
static int check(const struct tether_options *options, bool pid_1, char why[TETHER_WHY_MAX])
{
    const struct tether_init *boot = &options->boot;

    if (options->init && !pid_1) {
        return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "--init is for process 1 of a machine only");
    }
    if (!options->init && (boot->n_modules > 0 || boot->n_links > 0 || boot->hostname != NULL)) {
        return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "--module, --link and --hostname go with --init only");
    }
    if (options->guest.argv == NULL) {
        return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "there is no command to run; see tether --help");
    }
    if (options->guest.cid == NULL) {
        return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "there is no container ID: give --cid, or set RETETHER_CID");
    }
    return RT_OK;
}

int tether_options_read(struct tether_options *options, int argc, char **argv, bool pid_1, char why[TETHER_WHY_MAX])
{
    int rc;

    set_defaults(options);
    if (pid_1 && started_by_kernel(argc, argv)) {
        options->init = true;
        options->config_file = TETHER_CONFIG_FILE;
        rc = tether_config_read(options, TETHER_CONFIG_FILE, tether_options_set, why);
        options->guest.argv = options->argc > 0 ? options->argv : NULL;
    } else {
        rc = read_command_line(options, argv + (argc > 0), why);
    }
    if ((options->help || options->version) && !options->init) {
        return RT_OK;
    }
    if (rc == RT_OK) {
        rc = check(options, pid_1, why);
    }
    options->init = options->init && pid_1;
    if (rc != RT_OK) {
        return rc;
    }
    options->guest.token = options->token;
    return tether_token_read(options->token_file, options->init ? TETHER_TOKEN_FILE : NULL, options->token, why);
}
