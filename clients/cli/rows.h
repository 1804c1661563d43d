/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_ROWS_H
#define RETETHER_CLIENTS_CLI_ROWS_H

#include "clients/cli/table.h"

#include <stdbool.h>
#include <stddef.h>

/* The rows of an answer that comes in parts, copied until all are there. */

struct cli_rows {
    void *data; /* owned */
    size_t n, cap;
    bool failed; /* without memory */
};

/* All rows have the same size. */
void cli_rows_add(struct cli_rows *rows, const void *row, size_t size);
void cli_rows_sort(const struct cli_rows *rows, size_t size, int (*compare)(const void *a, const void *b));
/* Prints what they were made into: the table, or with --json the text. Frees them, and ends the program. */
void cli_rows_flush(struct cli_app *app, struct cli_rows *rows, struct cli_table *table, struct cli_text *text);

#endif
