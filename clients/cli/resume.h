/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_RESUME_H
#define RETETHER_CLIENTS_CLI_RESUME_H

#include "clients/cli/options.h"

/* The command that goes on where an attachment stopped: offset in stdout, stderr. */
void cli_resume_text(const struct cli_options *options, const char *container, uint32_t process, bool tty,
                     const uint64_t offset[2], char *out, size_t size);

#endif
