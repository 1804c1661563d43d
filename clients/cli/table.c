/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/table.h"

#include "session/base/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const colours[] = {[CLI_PLAIN] = "",
                                      [CLI_GREEN] = "\033[32m",
                                      [CLI_YELLOW] = "\033[33m",
                                      [CLI_RED] = "\033[31m",
                                      [CLI_DIM] = "\033[2m"};

bool cli_colours(void)
{
    const char *none = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && (none == NULL || none[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

/* Columns that text takes on a terminal, a wide character counted as one. */
static size_t columns_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

void cli_table_init(struct cli_table *table, char *heads, bool with_colours)
{
    char *rest = NULL;

    memset(table, 0, sizeof(*table));
    table->colours = with_colours;
    for (char *head = strtok_r(heads, " ", &rest); head != NULL && table->columns < CLI_COLUMNS_MAX;
         head = strtok_r(NULL, " ", &rest)) {
        table->right[table->columns] = head[0] == '>';
        table->heads[table->columns++] = head + (head[0] == '>');
    }
}

void cli_table_add(struct cli_table *table, enum cli_colour colour, const char *text)
{
    char *copy;

    if (table->n == table->cap) {
        size_t cap = table->cap > 0 ? table->cap * 2 : 64;
        struct cli_cell *more = realloc(table->cells, cap * sizeof(*more));

        if (more == NULL) {
            table->failed = true;
            return;
        }
        table->cells = more;
        table->cap = cap;
    }
    copy = malloc(strlen(text) + 1);
    if (copy == NULL) {
        table->failed = true;
        return;
    }
    (void)rt_text_copy(rt_slice_text(text), copy, strlen(text) + 1);
    for (size_t size = strlen(copy); size > 0 && copy[size - 1] == ' '; size--) {
        copy[size - 1] = '\0';
    }
    table->cells[table->n++] = (struct cli_cell){copy, colour};
}

void cli_table_addf(struct cli_table *table, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    cli_table_add(table, CLI_PLAIN, text);
}

/* *pad: blanks that stand before this cell; they are written only in front of something, so that no line ends in
 * blanks. */
static void print_cell(const struct cli_table *table, struct cli_text *out, size_t column, const char *text,
                       enum cli_colour colour, size_t width, size_t *pad)
{
    size_t blanks = width - columns_of(text);
    bool right = table->right[column];

    *pad += right ? blanks : 0;
    if (text[0] != '\0') {
        cli_text_printf(out, "%*s", (int)*pad, "");
        *pad = 0;
        if (table->colours && colour != CLI_PLAIN) {
            cli_text_printf(out, "%s%s\033[0m", colours[colour], text);
        } else {
            cli_text_add(out, text, strlen(text));
        }
    }
    *pad += (right ? 0 : blanks) + 2;
}

void cli_table_part(struct cli_table *table, struct cli_text *out)
{
    size_t pad = 0;

    assert(table->columns > 0);
    for (size_t c = 0; c < table->columns && !table->headed; c++) {
        table->width[c] = columns_of(table->heads[c]);
    }
    for (size_t i = 0; i < table->n; i++) {
        size_t *width = &table->width[i % table->columns], w = columns_of(table->cells[i].text);

        *width = w > *width ? w : *width;
    }
    for (size_t c = 0; c < table->columns && !table->headed; c++) {
        print_cell(table, out, c, table->heads[c], CLI_DIM, table->width[c], &pad);
    }
    if (!table->headed) {
        cli_text_add(out, "\n", 1);
    }
    for (size_t i = 0; i < table->n; i++) {
        size_t column = i % table->columns;

        pad = column == 0 ? 0 : pad;
        print_cell(table, out, column, table->cells[i].text, table->cells[i].colour, table->width[column], &pad);
        if (column + 1 == table->columns) {
            cli_text_add(out, "\n", 1);
        }
        free(table->cells[i].text);
    }
    table->headed = true;
    table->n = 0;
    out->failed = out->failed || table->failed;
}

void cli_table_print(struct cli_table *table, struct cli_text *out)
{
    cli_table_part(table, out);
    free(table->cells);
    memset(table, 0, sizeof(*table));
}

void cli_list_take(struct cli_list *list, struct cli_app *app, char *heads, const void *rows, size_t n, bool more)
{
    bool json = cli_has(app->options, &cli_json);
    struct cli_text text = {0};
    struct cli_table table;

    cli_text_add(&list->rows, rows, n * list->row_size);
    if (more) {
        return;
    }
    if (list->rows.size > 0) {
        qsort(list->rows.data, list->rows.size / list->row_size, list->row_size, list->compare);
    }
    cli_table_init(&table, heads, cli_colours());
    for (size_t at = 0; at < list->rows.size; at += list->row_size) {
        list->add(list->rows.data + at, json ? NULL : &table, json ? &text : NULL);
    }
    if (!json) {
        cli_table_print(&table, &text);
    }
    text.failed = text.failed || list->rows.failed;
    cli_text_free(&list->rows);
    cli_text_flush(app, &text);
}
