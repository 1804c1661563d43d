/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_TETHER_OPTIONS_H
#define RETETHER_CLIENTS_TETHER_OPTIONS_H

#include "clients/tether/log.h"
#include "retether/guest.h"
#include "session/core/error.h"

#include <stdbool.h>
#include <stddef.h>

#define TETHER_TOKEN_TEXT_MAX 2048
#define TETHER_WHY_MAX 320

enum tether_verb { TETHER_RUN, TETHER_HELP, TETHER_VERSION };

struct tether_options {
    enum tether_verb verb;
    struct retether_guest_options guest; /* its text is of argv, the environment, and token */
    enum tether_log_level log_level;
    bool json; /* also on a terminal */
    char token[TETHER_TOKEN_TEXT_MAX];
};

/* Reads the command line, then, to run, the token from RETETHER_TOKEN_FILE or RETETHER_TOKEN; what concerns the tether
 * alone is taken out of the environment. Returns 0, or RT_EINVAL or RT_EIO with a sentence in `why`. */
RT_MUST_CHECK int tether_options_read(struct tether_options *options, int argc, char **argv, char why[TETHER_WHY_MAX]);

extern const char tether_usage[];

/* "1500ms", "30s", "5m", "2h"; a bare 0 needs no unit. RT_EINVAL otherwise. */
RT_MUST_CHECK int tether_read_duration(const char *text, uint64_t *ms);
/* "65536", "64K", "1M" (powers of 1024). RT_EINVAL otherwise. */
RT_MUST_CHECK int tether_read_bytes(const char *text, size_t *bytes);

#endif
