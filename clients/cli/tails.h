/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_TAILS_H
#define RETETHER_CLIENTS_CLI_TAILS_H

#include "clients/cli/app.h"

#include <stdint.h>

/* What is left of a container that has ended: its status and the end of its output. */

/* Bytes kept of each stream; more than an agent has. */
#define CLI_TAIL_MAX 65536

/* Changes from one stream to the other whose order is kept. No agent sends more; of more, none would be kept in order.
 */
#define CLI_RUNS_MAX 1024

struct cli_tails {
    unsigned code, signal;
    bool lost;        /* it was lost for good, so there is no status */
    bool cut;         /* the output was given up: there was too much of it in the store */
    char kept_at[65]; /* the host whose agent has the output, and did not answer; "" none */
    uint64_t end[2];  /* stdout, stderr: final offsets */
    uint8_t data[2][CLI_TAIL_MAX];
    size_t size[2]; /* of the bytes before end */
    struct retether_run order[CLI_RUNS_MAX];
    size_t n_order; /* in which the last of them were written */
};

/* Asks for the tails of app->container. done() comes once, with NULL when the container has not ended or is not known.
 * Other failures end the program. once: not asked again when no agent can tell now; done() comes with NULL then too. */
typedef void (*cli_tails_cb)(struct cli_app *app, const struct cli_tails *tails, void *ctx);
void cli_tails_fetch(struct cli_app *app, bool once, cli_tails_cb done, void *ctx);

/* Writes the tails from these offsets on, in the order in which they were written. What is older than the known order
 * comes first, stdout before stderr. *lost counts the bytes behind these offsets that are not in the tails: they are
 * told as a gap, or, when `lost` is NULL, as no longer kept. Returns 0 or an errno. */
int cli_tails_print(const struct cli_tails *tails, const uint64_t from[2], uint64_t *lost);
/* Where the last n lines, or bytes, begin. */
uint64_t cli_tails_start(const struct cli_tails *tails, unsigned stream, enum retether_from from, uint64_t n);

/* "[gap: N bytes lost at OFFSET]" on stderr. */
void cli_gap(unsigned stream, uint64_t from, uint64_t to);
/* "[the first N bytes are not kept any more]": of output from before anybody asked for it. */
void cli_not_kept(unsigned stream, uint64_t size);

#endif
