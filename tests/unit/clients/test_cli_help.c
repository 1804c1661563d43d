/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What is made from the descriptions of the commands, and docs/cli.md against them. */

#define SCREEN_LINES 24

static char text[8192];
static char *docs;

static int read_docs(void **state)
{
    FILE *file = fopen("docs/cli.md", "re");

    (void)state;
    docs = calloc(1, 1 << 18);
    assert_non_null(docs);
    assert_non_null(file);
    assert_true(fread(docs, 1, (1 << 18) - 1, file) > 0);
    return fclose(file);
}

static int free_docs(void **state)
{
    (void)state;
    free(docs);
    return 0;
}

static const char *help_of(const struct cli_command *command)
{
    struct rt_help help = {text, sizeof(text), 0};

    cli_help(&help, command);
    return text;
}

/* Returns the lines. */
static size_t check_columns(const char *page)
{
    size_t lines = 0;

    for (; *page != '\0'; page += strcspn(page, "\n") + 1, lines++) {
        size_t size = strcspn(page, "\n");

        if (size > RT_HELP_COLUMNS || (size > 0 && page[size - 1] == ' ')) {
            fail_msg("too long, or blanks at its end: %.*s", (int)size, page);
        }
    }
    return lines;
}

static void test_help(void **state)
{
    (void)state;
    for (const struct cli_command *const *command = cli_commands; *command != NULL; command++) {
        const struct rt_option *const *lists[] = {(*command)->options, cli_common_of(*command)};
        const char *page = help_of(*command);

        (void)check_columns(page);
        assert_memory_equal(page, "Usage: retether ", 16);
        assert_memory_equal(page + 16, (*command)->name, strlen((*command)->name));
        for (size_t i = 0; i < 2; i++) {
            for (const struct rt_option *const *option = lists[i]; *option != NULL; option++) {
                char name[64];

                snprintf(name, sizeof(name), "--%s%c", (*option)->name, (*option)->kind != NULL ? ' ' : '\0');
                assert_non_null(strstr(page, name));
            }
        }
    }
    assert_true(check_columns(help_of(NULL)) < SCREEN_LINES);
    for (const struct cli_command *const *command = cli_commands; *command != NULL; command++) {
        assert_true((*command)->summary == NULL || strstr(text, (*command)->summary) != NULL);
    }
}

/* Two options of one command with one name, or one letter, would hide each other. */
static void test_names(void **state)
{
    (void)state;
    for (const struct cli_command *const *command = cli_commands; *command != NULL; command++) {
        const struct rt_option *all[64];
        size_t n = 0;

        for (size_t i = 0; (*command)->options[i] != NULL; i++) {
            all[n++] = (*command)->options[i];
        }
        for (size_t i = 0; cli_common_of(*command)[i] != NULL; i++) {
            all[n++] = cli_common_of(*command)[i];
        }
        for (size_t i = 0; i < n; i++) {
            for (size_t k = 0; k < i; k++) {
                assert_string_not_equal(all[i]->name, all[k]->name);
                assert_true(all[i]->letter == '\0' || all[i]->letter != all[k]->letter);
            }
        }
    }
}

/* ---- docs/cli.md ---- */

/* The section that has this line, up to the next heading. */
static void section_with(const char *line, const char **begin, const char **end)
{
    const char *at = strstr(docs, line);

    if (at == NULL) {
        fail_msg("docs/cli.md has no line \"%.*s\": run ./dev docs, then say there what the help does not",
                 (int)strcspn(line + 1, "\n"), line + 1);
        return;
    }
    *end = strstr(at, "\n## ");
    *end = *end != NULL ? *end : docs + strlen(docs);
    *begin = docs;
    for (const char *next = docs; (next = strstr(next, "\n## ")) != NULL && next < at; next++) {
        *begin = next;
    }
}

static bool is_named(const char *begin, const char *end, const char *name)
{
    for (const char *at = begin; (at = strstr(at, name)) != NULL && at < end; at++) {
        if (strchr("` =\n", at[strlen(name)]) != NULL) {
            return true;
        }
    }
    return false;
}

/* ./dev docs has written the list of commands, and each has a section with its usage and all of its options. */
static void test_documented(void **state)
{
    static const char fence[] = "\n```text retether --help\n";
    const char *list = strstr(docs, fence);
    size_t size = strlen(help_of(NULL));

    (void)state;
    if (list == NULL || strncmp(list + strlen(fence), text, size) != 0 ||
        strncmp(list + strlen(fence) + size, "```\n", 4) != 0) {
        fail_msg("docs/cli.md does not have what retether --help prints: run ./dev docs");
    }
    for (const struct cli_command *const *command = cli_commands; *command != NULL; command++) {
        struct rt_help line = {text, sizeof(text), 0};
        const char *begin = docs, *end = docs;

        rt_help_printf(&line, "\n    ");
        cli_usage(&line, *command);
        rt_help_printf(&line, "\n");
        section_with(text, &begin, &end);
        for (const struct rt_option *const *option = (*command)->options; *option != NULL; option++) {
            char name[64];

            snprintf(name, sizeof(name), "--%s", (*option)->name);
            if (!is_named(begin, end, name)) {
                fail_msg("the section of %s in docs/cli.md does not name %s", (*command)->name, name);
            }
        }
    }
}

static bool is_option(const char *name, size_t size)
{
    for (const struct cli_command *const *command = cli_commands; *command != NULL; command++) {
        const struct rt_option *const *lists[] = {(*command)->options, cli_common_of(*command)};

        for (size_t i = 0; i < 2; i++) {
            for (const struct rt_option *const *option = lists[i]; *option != NULL; option++) {
                if (strlen((*option)->name) == size && strncmp((*option)->name, name, size) == 0) {
                    return true;
                }
            }
        }
    }
    return false;
}

/* It names no option that is gone. */
static void test_nothing_stale(void **state)
{
    const char *tether = strstr(docs, "\n## tether"); /* a program of its own */
    const char *behind = tether != NULL ? strstr(tether + 1, "\n## ") : NULL;

    (void)state;
    assert_non_null(behind);
    for (const char *at = docs; (at = strstr(at, "`--")) != NULL; at++) {
        size_t size = strspn(at + 3, "abcdefghijklmnopqrstuvwxyz-");

        if ((at < tether || at > behind) && size > 0 && !is_option(at + 3, size)) {
            fail_msg("docs/cli.md names --%.*s, which no command has", (int)size, at + 3);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_documented),
        cmocka_unit_test(test_nothing_stale),
    };

    return cmocka_run_group_tests(tests, read_docs, free_docs);
}
