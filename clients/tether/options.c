/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/tether/options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_AGENT "vsock:2:7400"
#define DURATION_MAX_MS (UINT64_C(10) * 365 * 24 * 3600 * 1000)

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
    "  --log-level LEVEL     error, warn, info (default) or debug\n"
    "  --json-log            log JSON lines on a terminal too\n"
    "  --version, --help\n"
    "\n"
    "The join token comes from the file that RETETHER_TOKEN_FILE names, or from RETETHER_TOKEN; the command sees "
    "neither.\n"
    "SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 and SIGWINCH are passed on to the command.\n"
    "\n"
    "Exit status: the command's, or 128 + n when signal n ended it; 126 when it cannot be run, 127 when it is not "
    "found;\n"
    "125 when tether itself failed.\n";

enum {
    OPT_AGENT = 256,
    OPT_CID,
    OPT_TTY,
    OPT_CWD,
    OPT_RING,
    OPT_FIRST_HOLD,
    OPT_DRAIN,
    OPT_OUTAGE,
    OPT_END,
    OPT_LEVEL,
    OPT_JSON,
    OPT_VERSION,
    OPT_HELP,
};

static const struct option long_options[] = {
    {"agent", required_argument, NULL, OPT_AGENT},
    {"cid", required_argument, NULL, OPT_CID},
    {"tty", no_argument, NULL, OPT_TTY},
    {"cwd", required_argument, NULL, OPT_CWD},
    {"ring", required_argument, NULL, OPT_RING},
    {"first-hold", required_argument, NULL, OPT_FIRST_HOLD},
    {"drain-timeout", required_argument, NULL, OPT_DRAIN},
    {"outage-hold", required_argument, NULL, OPT_OUTAGE},
    {"end-timeout", required_argument, NULL, OPT_END},
    {"log-level", required_argument, NULL, OPT_LEVEL},
    {"json-log", no_argument, NULL, OPT_JSON},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

__attribute__((format(printf, 3, 4))) static int fail(int code, char why[TETHER_WHY_MAX], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why, TETHER_WHY_MAX, format, args);
    va_end(args);
    return code;
}

static int read_number(const char *text, uint64_t *value, const char **rest)
{
    char *end;

    if (text[0] < '0' || text[0] > '9') {
        return RT_EINVAL;
    }
    errno = 0;
    *value = strtoull(text, &end, 10);
    *rest = end;
    return errno == 0 ? RT_OK : RT_EINVAL;
}

int tether_read_duration(const char *text, uint64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    const char *rest;
    uint64_t value;

    if (read_number(text, &value, &rest) != 0) {
        return RT_EINVAL;
    }
    if (value == 0 && rest[0] == '\0') {
        *ms = 0;
        return RT_OK;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(rest, units[i].unit) == 0 && value <= DURATION_MAX_MS / units[i].ms) {
            *ms = value * units[i].ms;
            return RT_OK;
        }
    }
    return RT_EINVAL;
}

int tether_read_bytes(const char *text, size_t *bytes)
{
    const char *rest;
    uint64_t value;
    unsigned shift;

    if (read_number(text, &value, &rest) != 0 || (rest[0] != '\0' && rest[1] != '\0')) {
        return RT_EINVAL;
    }
    switch (rest[0]) {
    case '\0':
        shift = 0;
        break;
    case 'K':
    case 'k':
        shift = 10;
        break;
    case 'M':
    case 'm':
        shift = 20;
        break;
    default:
        return RT_EINVAL;
    }
    if (value > (uint64_t)SIZE_MAX >> shift) {
        return RT_EINVAL;
    }
    *bytes = (size_t)(value << shift);
    return RT_OK;
}

static int take_option(struct tether_options *options, int option, const char *value, char why[TETHER_WHY_MAX])
{
    struct retether_guest_options *guest = &options->guest;
    int rc = RT_OK;

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
    case OPT_CWD:
        guest->cwd = value;
        break;
    case OPT_RING:
        rc = tether_read_bytes(value, &guest->ring_bytes);
        break;
    case OPT_FIRST_HOLD:
        rc = tether_read_duration(value, &guest->first_hold_ms);
        break;
    case OPT_DRAIN:
        rc = tether_read_duration(value, &guest->drain_timeout_ms);
        break;
    case OPT_OUTAGE:
        rc = tether_read_duration(value, &guest->outage_hold_ms);
        break;
    case OPT_END:
        rc = tether_read_duration(value, &guest->end_timeout_ms);
        break;
    case OPT_LEVEL:
        rc = tether_log_level(value, &options->log_level);
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
        return fail(RT_EINVAL, why, "unknown option, or one without its value; see tether --help");
    }
    return rc == 0 ? RT_OK : fail(rc, why, "\"%s\" is not what its option takes; see tether --help", value);
}

static int read_token_file(const char *path, char *out, size_t size, char why[TETHER_WHY_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t n = -1;

    while (fd >= 0 && (n = read(fd, out + used, size - used)) != 0) {
        if (n > 0) {
            used += (size_t)n;
        }
        if ((n < 0 && errno != EINTR) || used == size) {
            break;
        }
    }
    if (n < 0) {
        int error = errno;

        if (fd >= 0) {
            close(fd);
        }
        return fail(RT_EIO, why, "cannot read RETETHER_TOKEN_FILE %s: %s", path, strerror(error));
    }
    close(fd);
    if (used == size) {
        return fail(RT_EINVAL, why, "RETETHER_TOKEN_FILE %s holds more than a token", path);
    }
    out[used] = '\0';
    return RT_OK;
}

static int read_token(struct tether_options *options, char why[TETHER_WHY_MAX])
{
    const char *path = getenv("RETETHER_TOKEN_FILE");
    char *text = getenv("RETETHER_TOKEN");
    int rc = RT_OK;

    if (path != NULL) {
        rc = read_token_file(path, options->token, sizeof(options->token), why);
    } else if (text == NULL) {
        rc = fail(RT_EINVAL, why, "there is no join token: set RETETHER_TOKEN_FILE or RETETHER_TOKEN");
    } else if (strlen(text) >= sizeof(options->token)) {
        rc = fail(RT_EINVAL, why, "RETETHER_TOKEN holds more than a token");
    } else {
        snprintf(options->token, sizeof(options->token), "%s", text);
    }
    if (text != NULL) {
        explicit_bzero(text, strlen(text)); /* /proc/PID/environ shows this memory */
    }
    (void)unsetenv("RETETHER_TOKEN");
    (void)unsetenv("RETETHER_TOKEN_FILE");
    options->guest.token = options->token;
    return rc;
}

int tether_options_read(struct tether_options *options, int argc, char **argv, char why[TETHER_WHY_MAX])
{
    int option;
    int rc;

    memset(options, 0, sizeof(*options));
    retether_guest_defaults(&options->guest);
    options->guest.agent = DEFAULT_AGENT;
    options->guest.cid = getenv("RETETHER_CID");
    options->guest.reap_all = true;
    options->log_level = TETHER_LOG_INFO;
    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
        if ((rc = take_option(options, option, optarg, why)) != 0) {
            return rc;
        }
        if (options->verb != TETHER_RUN) {
            return RT_OK;
        }
    }
    if (optind >= argc) {
        return fail(RT_EINVAL, why, "there is no command to run; see tether --help");
    }
    if (options->guest.cid == NULL) {
        return fail(RT_EINVAL, why, "there is no container ID: give --cid or set RETETHER_CID");
    }
    options->guest.argv = (const char *const *)(argv + optind);
    return read_token(options, why);
}
