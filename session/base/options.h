/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_OPTIONS_H
#define RETETHER_SESSION_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* The options of a program, or of one of its commands, as data: one table is what the command line is read by, what the
 * help is printed from, and what a test holds the documentation against. */

/* Bytes of a sentence that says what is wrong with an argument; a longer one is cut. */
#define RT_OPTION_WHY_MAX 320
/* Bytes of a value that has been read, whatever its kind. */
#define RT_VALUE_MAX 128
/* Columns of a help: one fewer than a terminal has, as some break a line that is full. */
#define RT_HELP_COLUMNS 79
/* Where what is said of an option begins; an option that reaches so far has a line for itself. */
#define RT_HELP_COLUMN 24

/* What a value is. */
struct rt_kind {
    const char *name;  /* as usages call it: "DURATION" */
    const char *wants; /* for people who gave something else: "a duration such as 30s" */
    /* Puts the value into `out`: its type, of at most RT_VALUE_MAX bytes, goes with the kind. Returns false when the
     * text is no such value. */
    bool (*read)(const char *text, void *out);
};

struct rt_option {
    const char *name;           /* without the dashes */
    char letter;                /* its short form; '\0': it has none */
    const struct rt_kind *kind; /* of its value; NULL: it takes none */
    const char *help;           /* one line, without a full stop at its end; the help breaks it */
    const char *variable;       /* of the environment: what counts when the option is not given; NULL: none */
};

/* For kinds that take any text: out is a const char *, which then points to the text itself. */
bool rt_read_text(const char *text, void *out);

/* Into a const char *: */
extern const struct rt_kind rt_kind_text, rt_kind_directory, rt_kind_file, rt_kind_endpoint;
/* Into a uint64_t, as rt_read_duration() and rt_read_bytes() have them: */
extern const struct rt_kind rt_kind_duration, rt_kind_bytes;

/* Reads a value of an option. Returns false with a sentence in `why` when the text is none. */
bool rt_option_read(const struct rt_option *option, const char *text, void *out, char why[RT_OPTION_WHY_MAX]);

/* ---- the command line ---- */

enum rt_arg {
    RT_ARG_OVER,    /* there are no more */
    RT_ARG_OPTION,  /* args->option, and its value */
    RT_ARG_WORD,    /* args->value: an argument that is no option */
    RT_ARG_UNKNOWN, /* args->value: an option that is not among these */
    RT_ARG_BAD,     /* a value is missing, or is one too many: `why` says it */
};

/* Arguments are taken one after the other: "--name VALUE", "--name=VALUE", "-n VALUE", "-nVALUE", and "-it" for two
 * options without a value. A long name may be cut as long as it fits one option only. Behind "--" all are words. */
struct rt_args {
    const struct rt_option *const *options; /* NULL-terminated */
    char **argv;                            /* NULL-terminated: those that have not been looked at */
    /* What was found. */
    const struct rt_option *option;
    const char *value;
    /* The reader's own; zero at first. */
    const char *letters; /* the rest of "-it" */
    bool words;          /* "--" has come */
    char unknown[3];
};

enum rt_arg rt_args_next(struct rt_args *args, char why[RT_OPTION_WHY_MAX]);

/* ---- the help ---- */

/* A text for people, in the caller's memory and always NUL-terminated. It is made of constant text: one that does not
 * fit is a programmer's error, and asserted. */
struct rt_help {
    char *out;
    size_t size, used;
};

__attribute__((format(printf, 2, 3))) void rt_help_printf(struct rt_help *help, const char *format, ...);
/* Adds lines of text, broken at blanks; a line that begins with a blank is left as it is. What follows the first break
 * of a line is indented. column: where the text begins. */
void rt_help_text(struct rt_help *help, const char *text, size_t column, size_t indent);
/* "  -n, --tail LINES    begin with the last lines". */
void rt_help_option(struct rt_help *help, const struct rt_option *option);
void rt_help_options(struct rt_help *help, const struct rt_option *const *options);

#endif
