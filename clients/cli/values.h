/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_VALUES_H
#define RETETHER_CLIENTS_CLI_VALUES_H

#include "session/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* What people type as values of options. Durations and bytes are read as the tether reads them. */

/* Digits only, below 2^53. */
RT_MUST_CHECK int cli_read_count(const char *text, uint64_t *value);
/* "TERM", "SIGTERM", "term", "15". */
RT_MUST_CHECK int cli_read_signal(const char *text, unsigned *signum);
/* "SIGTERM", or "signal 42". */
void cli_signal_name(unsigned signum, char *out, size_t size);

/* A name for a container that was given none: "brave-otter-7k2f". seed: random. */
void cli_random_name(const uint8_t seed[8], char *out, size_t size);

#endif
