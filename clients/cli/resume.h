/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_RESUME_H
#define RETETHER_CLIENTS_CLI_RESUME_H

#include "clients/cli/options.h"
#include "clients/cli/text.h"

#include <stdbool.h>
#include <stdint.h>

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
