/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct cli_text text;
static bool containers;

static int teardown(void **state)
{
    (void)state;
    cli_text_free(&text);
    return 0;
}

/* The candidates' words, each with a blank behind it; "CID " when containers are among them. */
static const char *complete_words(const char *const *words)
{
    static char out[512];
    size_t used = 0;

    cli_text_free(&text);
    containers = cli_complete_word(cli_commands, (char **)words, &text);
    out[0] = '\0';
    for (const char *line = text.data; line != NULL && *line != '\0'; line += strcspn(line, "\n") + 1) {
        size_t size = strcspn(line, "\t\n");

        assert_int_equal(line[size], '\t');
        assert_true(used + size + 8 < sizeof(out));
        memcpy(out + used, line, size);
        memcpy(out + used + size, " ", 2);
        used += size + 1;
    }
    if (containers) {
        memcpy(out + used, "CID ", 5);
    }
    return out;
}

#define COMPLETE(...) complete_words((const char *const[]){__VA_ARGS__, NULL})

static void test_commands(void **state)
{
    char all[512] = "";

    (void)state;
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        size_t used = strlen(all);

        if (cli_commands[i]->summary != NULL) {
            assert_true((size_t)snprintf(all + used, sizeof(all) - used, "%s ", cli_commands[i]->name) <
                        sizeof(all) - used);
        }
    }
    assert_string_equal(COMPLETE(""), all);
    assert_string_equal(COMPLETE("cr"), "create ");
    assert_string_equal(COMPLETE("re"), "revoke resolve ");
    assert_string_equal(COMPLETE("help", "l"), "logs ls ");
    assert_string_equal(COMPLETE("--agent", "unix:/a", "-v", "mo"), "moves ");
    assert_string_equal(COMPLETE("nonsense", ""), "");
    assert_string_equal(COMPLETE("pki", ""), "init issue revoke show ");
    assert_string_equal(COMPLETE("keys", "a"), "activate ");
    assert_string_equal(COMPLETE("keys", "list", ""), ""); /* a file, which the shell knows */
}

static void test_options(void **state)
{
    (void)state;
    assert_string_equal(COMPLETE("--v"), "--verbose --version ");
    assert_string_equal(COMPLETE("attach", "--ta"), "--tail --tail-bytes ");
    assert_string_equal(COMPLETE("attach", "web", "--ta"), "--tail --tail-bytes ");
    assert_string_equal(COMPLETE("show", "-"), "--json --agent --tls --timeout --verbose --help --version ");
    assert_string_equal(COMPLETE("exec", "web", "ls", "--t"), ""); /* of ls */
    assert_string_equal(COMPLETE("exec", "--", "--t"), "CID ");
}

static void test_arguments(void **state)
{
    (void)state;
    assert_string_equal(COMPLETE("attach", ""), "CID ");
    assert_string_equal(COMPLETE("attach", "-n", "5", "we"), "CID ");
    assert_string_equal(COMPLETE("attach", "-n", ""), ""); /* a number */
    assert_string_equal(COMPLETE("attach", "--hold", "x"), "");
    assert_string_equal(COMPLETE("attach", "web", ""), "");
    assert_string_equal(COMPLETE("exec", "web", ""), "");
    assert_string_equal(COMPLETE("ls", "w"), "CID ");
    assert_string_equal(COMPLETE("ls", "--state", ""), "created running moving lost ended ");
    assert_string_equal(COMPLETE("ls", "--sort", "m"), "moves ");
    assert_string_equal(COMPLETE("ls", "--host", ""), "");
    assert_string_equal(COMPLETE("create", "w"), ""); /* a new one */
    assert_string_equal(COMPLETE("run", ""), "");
    assert_string_equal(COMPLETE("signal", "web", "T"), "TRAP TERM TSTP TTIN TTOU ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_commands, teardown),
        cmocka_unit_test_teardown(test_options, teardown),
        cmocka_unit_test_teardown(test_arguments, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
