/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/tether/options.h"

#include "clients/tether/config.h"
#include "session/base/units.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_AGENT "vsock:2:7400"

const char tether_usage[] =
    "Usage: tether [OPTION...] --cid CID [--] COMMAND [ARGUMENT...]\n"
    "\n"
    "Runs COMMAND, keeps its input and output attachable through the agent of whatever host this machine is on, and\n"
    "stays until the exit status is safe and the attachments have read the rest. The command starts at once, whether\n"
    "an agent is there or not.\n"
    "\n"
    "  --cid CID             the container ID (or RETETHER_CID)\n"
    "  --agent ENDPOINT      the agent: vsock:CID:PORT, unix:PATH or tcp:ADDRESS:PORT (default " DEFAULT_AGENT ")\n"
    "  --tty                 give the command a terminal\n"
    "  --tty-size ROWSxCOLS  of this size until someone attaches (default 24x80)\n"
    "  --cwd DIRECTORY       run it there\n"
    "\n"
    "How much, and for how long (DURATION: 1500ms, 30s, 5m, 2h; BYTES: 65536, 64K, 1M):\n"
    "  --ring BYTES          kept of stdout, and of stderr: 4K to 64M (default: what create asked for, or 1M)\n"
    "  --first-hold DURATION how long output may block until someone has attached (default 0: it may not;\n"
    "                        the oldest bytes make room)\n"
    "  --drain-timeout DURATION\n"
    "                        after an exit, how long others may keep the output open (default 2s)\n"
    "  --outage-hold DURATION\n"
    "                        time without an agent that costs attachments nothing of their hold (default 5m)\n"
    "  --end-timeout DURATION\n"
    "                        after the end, how long to look for an agent that takes the exit status\n"
    "                        (default 5m; 0: for ever)\n"
    "\n"
    "As process 1 of a machine:\n"
    "  --init                mount /proc, /sys, /dev and what else is missing, and power off at the end\n"
    "  --module FILE         load this kernel module first (repeated: in the order given)\n"
    "  --link NAME=ADDRESS/PREFIX\n"
    "                        bring this interface up, such as eth0=169.254.10.2/16 (repeatable)\n"
    "  --hostname NAME\n"
    "Without any argument, it is --init --config " TETHER_CONFIG_FILE ".\n"
    "\n"
    "  --config FILE         more options, one a line, without the dashes; the command as \"command PROGRAM\" and\n"
    "                        \"argument TEXT\" lines\n"
    "  --token-file FILE     where the join token is\n"
    "  --log-level LEVEL     error, warn, info (default) or debug\n"
    "  --json-log            log JSON lines on a terminal too\n"
    "  --version, --help\n"
    "\n"
    "Without --token-file, the join token comes from the file that RETETHER_TOKEN_FILE names, or from RETETHER_TOKEN;\n"
    "the command sees neither. With --init also from " TETHER_TOKEN_FILE ".\n"
    "SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 and SIGWINCH are passed on to the command.\n"
    "\n"
    "Exit status: the command's, or 128 + n when signal n ended it; 126 when it cannot be run, 127 when it is not "
    "found;\n"
    "125 when tether itself failed.\n";

enum {
    OPT_AGENT = 256,
    OPT_CID,
    OPT_TTY,
    OPT_TTY_SIZE,
    OPT_CWD,
    OPT_RING,
    OPT_FIRST_HOLD,
    OPT_DRAIN,
    OPT_OUTAGE,
    OPT_END,
    OPT_LEVEL,
    OPT_JSON,
    OPT_INIT,
    OPT_MODULE,
    OPT_LINK,
    OPT_HOSTNAME,
    OPT_CONFIG,
    OPT_TOKEN_FILE,
    OPT_VERSION,
    OPT_HELP,
};

static const struct option long_options[] = {
    {"agent", required_argument, NULL, OPT_AGENT},
    {"cid", required_argument, NULL, OPT_CID},
    {"tty", no_argument, NULL, OPT_TTY},
    {"tty-size", required_argument, NULL, OPT_TTY_SIZE},
    {"cwd", required_argument, NULL, OPT_CWD},
    {"ring", required_argument, NULL, OPT_RING},
    {"first-hold", required_argument, NULL, OPT_FIRST_HOLD},
    {"drain-timeout", required_argument, NULL, OPT_DRAIN},
    {"outage-hold", required_argument, NULL, OPT_OUTAGE},
    {"end-timeout", required_argument, NULL, OPT_END},
    {"log-level", required_argument, NULL, OPT_LEVEL},
    {"json-log", no_argument, NULL, OPT_JSON},
    {"init", no_argument, NULL, OPT_INIT},
    {"module", required_argument, NULL, OPT_MODULE},
    {"link", required_argument, NULL, OPT_LINK},
    {"hostname", required_argument, NULL, OPT_HOSTNAME},
    {"config", required_argument, NULL, OPT_CONFIG},
    {"token-file", required_argument, NULL, OPT_TOKEN_FILE},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

/* What is for the init of a machine, and the files. */
static int take_boot_option(struct tether_options *options, int option, const char *value, char why[TETHER_WHY_MAX])
{
    struct tether_init *boot = &options->boot;

    switch (option) {
    case OPT_INIT:
        options->init = true;
        return RT_OK;
    case OPT_MODULE:
        if (boot->n_modules == TETHER_MODULES_MAX) {
            return tether_fail(RT_EINVAL, why, "more than %d modules", TETHER_MODULES_MAX);
        }
        boot->modules[boot->n_modules++] = value;
        return RT_OK;
    case OPT_LINK:
        if (boot->n_links == TETHER_LINKS_MAX) {
            return tether_fail(RT_EINVAL, why, "more than %d links", TETHER_LINKS_MAX);
        }
        if (tether_read_link(value, &boot->links[boot->n_links++]) != 0) {
            return tether_fail(RT_EINVAL, why, "\"%s\" is no link: NAME=ADDRESS/PREFIX, as in eth0=169.254.10.2/16",
                               value);
        }
        return RT_OK;
    case OPT_HOSTNAME:
        boot->hostname = value;
        if (value[0] == '\0' || strlen(value) > TETHER_HOSTNAME_MAX) {
            return tether_fail(RT_EINVAL, why, "a hostname has 1 to %d bytes", TETHER_HOSTNAME_MAX);
        }
        return RT_OK;
    case OPT_TOKEN_FILE:
        options->token_file = value;
        return RT_OK;
    case OPT_CONFIG:
        if (options->config_file != NULL) {
            return tether_fail(RT_EINVAL, why, "there is more than one --config");
        }
        options->config_file = value;
        return tether_config_read(options, value, why);
    default:
        return tether_fail(RT_EINVAL, why, "unknown option, or one without its value; see tether --help");
    }
}

static int take_option(struct tether_options *options, int option, const char *value, char why[TETHER_WHY_MAX])
{
    struct retether_guest_options *guest = &options->guest;
    uint64_t bytes = 0;
    bool good = true;

    switch (option) {
    case OPT_AGENT:
        guest->agent = value;
        break;
    case OPT_CID:
        guest->cid = value;
        break;
    case OPT_TTY:
        guest->tty = true;
        break;
    case OPT_TTY_SIZE:
        good = tether_read_size(value, &guest->rows, &guest->cols) == RT_OK;
        break;
    case OPT_CWD:
        guest->cwd = value;
        break;
    case OPT_RING:
        good = rt_read_bytes(value, &bytes) && bytes <= SIZE_MAX;
        guest->ring_bytes = (size_t)bytes;
        break;
    case OPT_FIRST_HOLD:
        good = rt_read_duration(value, &guest->first_hold_ms);
        break;
    case OPT_DRAIN:
        good = rt_read_duration(value, &guest->drain_timeout_ms);
        break;
    case OPT_OUTAGE:
        good = rt_read_duration(value, &guest->outage_hold_ms);
        break;
    case OPT_END:
        good = rt_read_duration(value, &guest->end_timeout_ms);
        break;
    case OPT_LEVEL:
        good = tether_log_level(value, &options->log_level) == RT_OK;
        break;
    case OPT_JSON:
        options->json = true;
        break;
    case OPT_VERSION:
        options->verb = TETHER_VERSION;
        break;
    case OPT_HELP:
        options->verb = TETHER_HELP;
        break;
    default:
        return take_boot_option(options, option, value, why);
    }
    return good ? RT_OK : tether_fail(RT_EINVAL, why, "\"%s\" is not what its option takes; see tether --help", value);
}

int tether_options_set(struct tether_options *options, const char *name, const char *value, char why[TETHER_WHY_MAX])
{
    for (const struct option *known = long_options; known->name != NULL; known++) {
        if (strcmp(known->name, name) != 0 || known->val == OPT_CONFIG || known->val == OPT_VERSION ||
            known->val == OPT_HELP) {
            continue;
        }
        if (known->has_arg == no_argument && value[0] != '\0') {
            return tether_fail(RT_EINVAL, why, "\"%s\" takes no value", name);
        }
        if (known->has_arg == required_argument && value[0] == '\0') {
            return tether_fail(RT_EINVAL, why, "\"%s\" has no value", name);
        }
        return take_option(options, known->val, value, why);
    }
    return tether_fail(RT_EINVAL, why, "\"%s\" is not known here; see tether --help", name);
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
static int read_command_line(struct tether_options *options, int argc, char **argv, char why[TETHER_WHY_MAX])
{
    char later[TETHER_WHY_MAX];
    int option;
    int rc = RT_OK;

    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
        int failed = take_option(options, option, optarg, rc == RT_OK ? why : later);

        rc = rc == RT_OK ? failed : rc;
    }
    if (optind < argc) {
        options->guest.argv = (const char *const *)(argv + optind);
    } else if (options->argc > 0) {
        options->guest.argv = options->argv;
    }
    return rc;
}

/* What each option alone cannot say. */
static int check(const struct tether_options *options, bool pid_1, char why[TETHER_WHY_MAX])
{
    const struct tether_init *boot = &options->boot;

    if (options->init && !pid_1) {
        return tether_fail(RT_EINVAL, why, "--init is for process 1 of a machine, and this is another one");
    }
    if (!options->init && (boot->n_modules > 0 || boot->n_links > 0 || boot->hostname != NULL)) {
        return tether_fail(RT_EINVAL, why, "--module, --link and --hostname go with --init only");
    }
    if (options->guest.argv == NULL) {
        return tether_fail(RT_EINVAL, why, "there is no command to run; see tether --help");
    }
    if (options->guest.cid == NULL) {
        return tether_fail(RT_EINVAL, why, "there is no container ID: give --cid or set RETETHER_CID");
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
        rc = tether_config_read(options, TETHER_CONFIG_FILE, why);
        options->guest.argv = options->argc > 0 ? options->argv : NULL;
    } else {
        rc = read_command_line(options, argc, argv, why);
    }
    if (options->verb != TETHER_RUN && !options->init) {
        return RT_OK;
    }
    if (rc == RT_OK) {
        rc = check(options, pid_1, why);
    }
    options->init = options->init && pid_1;
    if (rc != RT_OK) {
        return rc;
    }
    options->verb = TETHER_RUN;
    options->guest.token = options->token;
    return tether_token_read(options->token_file, options->init ? TETHER_TOKEN_FILE : NULL, options->token, why);
}
