/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/options.h"

#include "session/base/units.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool rt_read_text(const char *text, void *out)
{
    *(const char **)out = text;
    return true;
}

static bool read_duration(const char *text, void *out)
{
    return rt_read_duration(text, out);
}

static bool read_bytes(const char *text, void *out)
{
    return rt_read_bytes(text, out);
}

const struct rt_kind rt_kind_text = {"TEXT", "a text", rt_read_text};
const struct rt_kind rt_kind_directory = {"DIRECTORY", "a directory", rt_read_text};
const struct rt_kind rt_kind_file = {"FILE", "a file", rt_read_text};
const struct rt_kind rt_kind_endpoint = {"ENDPOINT", "an endpoint", rt_read_text};
const struct rt_kind rt_kind_duration = {"DURATION", "a duration such as 500ms, 30s, 5m or 2h", read_duration};
const struct rt_kind rt_kind_bytes = {"BYTES", "bytes such as 65536, 64K or 1M", read_bytes};

bool rt_option_read(const struct rt_option *option, const char *text, void *out, char why[RT_OPTION_WHY_MAX])
{
    if (option->kind->read(text, out)) {
        return true;
    }
    (void)snprintf(why, RT_OPTION_WHY_MAX, "--%s takes %s, not \"%s\"", option->name, option->kind->wants, text);
    return false;
}

/* ---- the command line ---- */

/* The option of this name, or the only one whose name begins so. */
static const struct rt_option *by_name(const struct rt_option *const *options, const char *name, size_t size)
{
    const struct rt_option *found = NULL;
    size_t n = 0;

    for (; *options != NULL; options++) {
        if (strncmp((*options)->name, name, size) == 0) {
            if ((*options)->name[size] == '\0') {
                return *options;
            }
            found = *options;
            n++;
        }
    }
    return n == 1 && size > 0 ? found : NULL;
}

static const struct rt_option *by_letter(const struct rt_option *const *options, char letter)
{
    while (*options != NULL && (*options)->letter != letter) {
        options++;
    }
    return *options;
}

/* as: how the option was written. joined: the value that came in the same argument; NULL: none. */
static enum rt_arg take(struct rt_args *args, const struct rt_option *option, const char *as, const char *joined,
                        char why[RT_OPTION_WHY_MAX])
{
    args->option = option;
    args->value = joined;
    if (option->kind == NULL && joined != NULL) {
        (void)snprintf(why, RT_OPTION_WHY_MAX, "--%s takes no value", option->name);
        return RT_ARG_BAD;
    }
    if (option->kind != NULL && joined == NULL) {
        args->value = *args->argv;
        if (args->value == NULL) {
            (void)snprintf(why, RT_OPTION_WHY_MAX, "%s needs a value: --%s %s", as, option->name, option->kind->name);
            return RT_ARG_BAD;
        }
        args->argv++;
    }
    return RT_ARG_OPTION;
}

static enum rt_arg take_long(struct rt_args *args, const char *argument, char why[RT_OPTION_WHY_MAX])
{
    const char *name = argument + 2;
    size_t size = strcspn(name, "=");
    const struct rt_option *option = by_name(args->options, name, size);

    if (option == NULL) {
        args->value = argument;
        return RT_ARG_UNKNOWN;
    }
    return take(args, option, argument, name[size] == '=' ? name + size + 1 : NULL, why);
}

static enum rt_arg take_letter(struct rt_args *args, char why[RT_OPTION_WHY_MAX])
{
    const char as[] = {'-', *args->letters++, '\0'};
    const struct rt_option *option = by_letter(args->options, as[1]);
    const char *joined = NULL;

    if (option == NULL) {
        memcpy(args->unknown, as, sizeof(as));
        args->value = args->unknown;
        return RT_ARG_UNKNOWN;
    }
    if (option->kind != NULL && *args->letters != '\0') {
        joined = args->letters;
        args->letters = "";
    }
    return take(args, option, as, joined, why);
}

enum rt_arg rt_args_next(struct rt_args *args, char why[RT_OPTION_WHY_MAX])
{
    const char *argument;

    if (args->letters != NULL && *args->letters != '\0') {
        return take_letter(args, why);
    }
    argument = *args->argv;
    if (argument == NULL) {
        return RT_ARG_OVER;
    }
    args->argv++;
    if (!args->words && strcmp(argument, "--") == 0) {
        args->words = true;
        return rt_args_next(args, why);
    }
    if (args->words || argument[0] != '-' || argument[1] == '\0') {
        args->value = argument;
        return RT_ARG_WORD;
    }
    if (argument[1] == '-') {
        return take_long(args, argument, why);
    }
    args->letters = argument + 1;
    return take_letter(args, why);
}

/* ---- the help ---- */

static void add(struct rt_help *help, const char *text, size_t size)
{
    assert(help->used + size < help->size);
    memcpy(help->out + help->used, text, size);
    help->used += size;
    help->out[help->used] = '\0';
}

void rt_help_printf(struct rt_help *help, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(help->out + help->used, help->size - help->used, format, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < help->size - help->used);
    help->used += (size_t)n;
}

/* One line of the text, which ends at `end`. */
static void add_line(struct rt_help *help, const char *text, const char *end, size_t column, size_t indent)
{
    bool whole = *text == ' ';

    for (bool first = true; text < end; first = false) {
        const char *blank = whole ? NULL : memchr(text, ' ', (size_t)(end - text));
        size_t size = (size_t)((blank != NULL ? blank : end) - text);

        if (!first && column + 1 + size > RT_HELP_COLUMNS) {
            rt_help_printf(help, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            add(help, " ", 1);
            column++;
        }
        add(help, text, size);
        column += size;
        text += size + (blank != NULL);
    }
    add(help, "\n", 1);
}

void rt_help_text(struct rt_help *help, const char *text, size_t column, size_t indent)
{
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");

        add_line(help, text, text + size, column, indent);
        text += size + (text[size] == '\n');
        if (*text != '\0') {
            rt_help_printf(help, "%*s", (int)indent, "");
            column = indent;
        }
    }
}

void rt_help_option(struct rt_help *help, const struct rt_option *option)
{
    size_t begin = help->used;
    size_t column;

    rt_help_printf(help, "  ");
    if (option->letter != '\0') {
        rt_help_printf(help, "-%c, ", option->letter);
    }
    rt_help_printf(help, "--%s%s%s", option->name, option->kind != NULL ? " " : "",
                   option->kind != NULL ? option->kind->name : "");
    column = help->used - begin;
    if (column + 2 > RT_HELP_COLUMN) {
        rt_help_printf(help, "\n");
        column = 0;
    }
    rt_help_printf(help, "%*s", (int)(RT_HELP_COLUMN - column), "");
    rt_help_text(help, option->help, RT_HELP_COLUMN, RT_HELP_COLUMN);
}

void rt_help_options(struct rt_help *help, const struct rt_option *const *options)
{
    for (; *options != NULL; options++) {
        rt_help_option(help, *options);
    }
}
