/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_TABLE_H
#define RETETHER_CLIENTS_CLI_TABLE_H

#include "clients/cli/app.h"

#include <stdbool.h>
#include <stddef.h>

/* A table for people: columns as wide as their widest cell, two blanks between, numbers aligned right. No
 * line ends in blanks. */

#define CLI_COLUMNS_MAX 10

enum cli_colour { CLI_PLAIN, CLI_GREEN, CLI_YELLOW, CLI_RED, CLI_DIM };

struct cli_cell {
    char *text; /* owned */
    enum cli_colour colour;
};

struct cli_table {
    size_t columns;
    const char *heads[CLI_COLUMNS_MAX];
    bool right[CLI_COLUMNS_MAX];
    bool colours;
    bool headed;                   /* the heads have been printed */
    size_t width[CLI_COLUMNS_MAX]; /* of what has been printed, at least */
    struct cli_cell *cells;        /* owned, row by row */
    size_t n, cap;
    bool failed; /* without memory */
};

/* Whether stdout is a terminal whose user wants colours. */
bool cli_colours(void);

/* heads: names with a blank between, a leading > for a column of numbers: "CONTAINER >AGE". */
void cli_table_init(struct cli_table *table, char *heads, bool colours);
/* The next cell, from left to right and row to row. What is no printable UTF-8 is shown as ?, blanks
 * at its end are not shown. */
void cli_table_add(struct cli_table *table, enum cli_colour colour, const char *text);
__attribute__((format(printf, 2, 3))) void cli_table_addf(struct cli_table *table, const char *format, ...);
/* Prints the rows added so far, and forgets them; those that follow stand in the same columns. */
void cli_table_part(struct cli_table *table, struct cli_text *out);
/* Prints and frees it. */
void cli_table_print(struct cli_table *table, struct cli_text *out);

/* What agents list in parts: all rows are collected, sorted, and printed as a table, or with --json an object a line.
 */
struct cli_list {
    size_t row_size;
    int (*compare)(const void *a, const void *b);
    /* Adds a row to the one that is not NULL. */
    void (*add)(const void *row, struct cli_table *table, struct cli_text *json);
    struct cli_text rows; /* one behind the other, without what they point to */
};

/* Takes a part. Behind the last one prints the list, and ends the program. */
void cli_list_take(struct cli_list *list, struct cli_app *app, char *heads, const void *rows, size_t n, bool more);

#endif
