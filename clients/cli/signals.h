/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_SIGNALS_H
#define RETETHER_CLIENTS_CLI_SIGNALS_H

#include <stdbool.h>
#include <stddef.h>

/* Into an unsigned: "TERM", "SIGTERM", "term", "15". Returns false when there is no such signal. */
bool cli_read_signal(const char *text, void *out);
/* Signals with a name are smaller. */
#define CLI_SIGNALS_END 32

/* "SIGTERM", or "signal 42". */
void cli_signal_name(unsigned signum, char *out, size_t size);

#endif
