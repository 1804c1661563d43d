/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_VALUES_H
#define RETETHER_CLIENTS_CLI_VALUES_H

#include "retether/client.h"
#include "session/base/options.h"

#include <stdbool.h>
#include <stdint.h>

/* What people give as values of options and as arguments. */

/* Where in the output to begin. */
struct cli_start {
    enum retether_from from;
    uint64_t at[2]; /* stdout, stderr */
};

/* Read into a const char *: */
extern const struct rt_kind cli_kind_label, cli_kind_host, cli_kind_vm, cli_kind_program, cli_kind_setting,
    cli_kind_cid, cli_kind_name, cli_kind_prefix, cli_kind_command;
/* Into a uint64_t: */
extern const struct rt_kind cli_kind_ring, cli_kind_lines, cli_kind_process, cli_kind_limit;
/* Into an unsigned; states: 1U << enum retether_state each; sort: enum cli_sort. */
extern const struct rt_kind cli_kind_signal, cli_kind_states, cli_kind_sort;
/* Into a struct cli_start: */
extern const struct rt_kind cli_kind_start;
/* Into a struct cli_keys: */
extern const struct rt_kind cli_kind_keys;

/* The greatest signal; those with a name are smaller than CLI_SIGNALS_END. */
#define CLI_SIGNAL_MAX 64
#define CLI_SIGNALS_END 32

/* Into an unsigned: "TERM", "SIGTERM", "term", "15". Returns false when there is no such signal. */
bool cli_read_signal(const char *text, void *out);
/* "SIGTERM", or "signal 42". */
void cli_signal_name(unsigned signum, char *out, size_t size);
/* The exit status that a code, or when it is not 0 a signal, of a container means. */
int cli_status(unsigned code, unsigned signum);

/* By what a list is sorted. */
enum cli_sort { CLI_BY_ID, CLI_BY_HOST, CLI_BY_STATE, CLI_BY_AGE, CLI_BY_MOVES, CLI_BY_EPOCH, CLI_BY_LABEL, CLI_SORTS };
/* "id" and so on; NULL behind the last. */
const char *cli_sort_name(unsigned key);

/* Into a uint64_t: digits only, below 2^53. */
bool cli_read_count(const char *text, void *out);

#endif
