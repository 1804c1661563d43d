/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_TETHER_OPTIONS_H
#define RETETHER_CLIENTS_TETHER_OPTIONS_H

#include "clients/tether/init.h"
#include "clients/tether/log.h"
#include "retether/guest.h"
#include "session/base/error.h"
#include "session/base/options.h"

#include <stdbool.h>
#include <stddef.h>

#define TETHER_WHY_MAX RT_OPTION_WHY_MAX
/* Read by a process 1 that is given nothing else. */
#define TETHER_CONFIG_FILE "/etc/retether/tether.conf"
#define TETHER_CONFIG_MAX 65536 /* bytes of a configuration; a larger one is refused */
#define TETHER_ARGV_MAX 128     /* command and arguments in a configuration; more are refused */
#define TETHER_KEYS_MAX 32      /* options of different names */
#define TETHER_TOKEN_TEXT_MAX 2048
/* Tried with --init when nothing else names one. */
#define TETHER_TOKEN_FILE "/etc/retether/token"

struct tether_options {
    bool help, version;                  /* is asked for, instead of a run */
    struct retether_guest_options guest; /* its text is of argv, the environment, config, and token */
    enum rt_log_level log_level;
    bool json; /* also on a terminal */
    bool init; /* process 1 is to be an init; set also when reading fails, as process 1 must not exit then */
    struct tether_init boot;
    const char *config_file;
    const char *token_file;
    char token[TETHER_TOKEN_TEXT_MAX];
    char config[TETHER_CONFIG_MAX];
    const char *argv[TETHER_ARGV_MAX + 1]; /* the configuration's command, NULL-terminated */
    size_t argc;
};

/* Reads the command line, then, to run, the token; what concerns the tether alone is taken out of the environment.
 * pid_1: as the first process of a machine; when nothing on the command line is for it, it reads TETHER_CONFIG_FILE, as
 * an init. Returns 0, or RT_EINVAL or RT_EIO with a sentence in `why`. */
RT_MUST_CHECK int tether_options_read(struct tether_options *options, int argc, char **argv, bool pid_1,
                                      char why[TETHER_WHY_MAX]);

/* One option by its name, without dashes; value: "" when there is none. Those that make no sense in a configuration are
 * refused. Returns as above. */
typedef int tether_set(struct tether_options *options, const char *name, const char *value, char why[TETHER_WHY_MAX]);
tether_set tether_options_set;

/* What --help prints. */
void tether_help(struct rt_help *help);

/* Options out of a file, one a line, as on the command line without the dashes; `command` and `argument` (repeated)
 * make the command. Blanks around a value are not part of it; lines that begin with '#' say nothing.
 *
 *     cid web1
 *     agent tcp:169.254.1.1:7400
 *     command /bin/sh
 *
 * Each line is given to `set`. The text stays in options->config. Returns 0, or RT_EINVAL or RT_EIO with "FILE:LINE:
 * what is wrong" in `why`. */
RT_MUST_CHECK int tether_config_read(struct tether_options *options, const char *path, tether_set *set,
                                     char why[TETHER_WHY_MAX]);

/* The join token: of the file `path` when that is not NULL, else of the one that RETETHER_TOKEN_FILE names, else of
 * RETETHER_TOKEN, else of the file `fallback` when that is not NULL. The variables leave the environment, and their
 * bytes the process. Returns 0, or RT_EINVAL or RT_EIO with a sentence in `why`. */
RT_MUST_CHECK int tether_token_read(const char *path, const char *fallback, char token[TETHER_TOKEN_TEXT_MAX],
                                    char why[TETHER_WHY_MAX]);

#endif
