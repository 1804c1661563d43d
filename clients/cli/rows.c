/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/rows.h"

#include <stdlib.h>
#include <string.h>

void cli_rows_add(struct cli_rows *rows, const void *row, size_t size)
{
    if (rows->n == rows->cap) {
        size_t cap = rows->cap > 0 ? rows->cap * 2 : 64;
        void *more = realloc(rows->data, cap * size);

        if (more == NULL) {
            rows->failed = true;
            return;
        }
        rows->data = more;
        rows->cap = cap;
    }
    memcpy((char *)rows->data + rows->n++ * size, row, size);
}

void cli_rows_sort(const struct cli_rows *rows, size_t size, int (*compare)(const void *a, const void *b))
{
    if (rows->n > 0) {
        qsort(rows->data, rows->n, size, compare);
    }
}

void cli_rows_flush(struct cli_app *app, struct cli_rows *rows, struct cli_table *table, struct cli_text *text)
{
    if (!cli_has(app->options, &cli_json)) {
        cli_table_print(table, text, "");
    }
    text->failed = text->failed || rows->failed;
    free(rows->data);
    memset(rows, 0, sizeof(*rows));
    cli_text_flush(app, text, 0);
}
