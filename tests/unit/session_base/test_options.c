/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bool read_letter(const char *text, void *out)
{
    *(char *)out = text[0];
    return text[0] >= 'a' && text[0] <= 'z' && text[1] == '\0';
}

static const struct rt_kind word = {"WORD", "a word", rt_read_text};
static const struct rt_kind letter = {"LETTER", "a letter", read_letter};

static const struct rt_option quiet = {"quiet", 'q', NULL, "say nothing", NULL};
static const struct rt_option quick = {"quick", '\0', NULL, "be quick", NULL};
static const struct rt_option name = {"name", 'n', &word,
                                      "a name that is told to everybody who asks for it, and to all of "
                                      "the others too",
                                      NULL};
static const struct rt_option name_of_all = {"name-of-all", 'a', &letter, "one\nor two", NULL};
static const struct rt_option *const options[] = {&quiet, &quick, &name, &name_of_all, NULL};

static char why[RT_OPTION_WHY_MAX];

/* What the arguments are, in short: "name=VALUE", "quiet", "WORD", "?OPTION", "!" for a bad one, separated by blanks.
 */
static const char *read_args(const char *const *argv)
{
    static char out[512];
    struct rt_args args = {.options = options, .argv = (char **)argv};
    size_t used = 0;

    out[0] = why[0] = '\0';
    for (;;) {
        enum rt_arg arg = rt_args_next(&args, why);

        switch (arg) {
        case RT_ARG_OVER:
            return out;
        case RT_ARG_OPTION:
            used += (size_t)snprintf(out + used, sizeof(out) - used, "%s%s%s ", args.option->name,
                                     args.value != NULL ? "=" : "", args.value != NULL ? args.value : "");
            break;
        case RT_ARG_WORD:
        case RT_ARG_UNKNOWN:
            used +=
                (size_t)snprintf(out + used, sizeof(out) - used, "%s%s ", arg == RT_ARG_WORD ? "" : "?", args.value);
            break;
        case RT_ARG_BAD:
            (void)snprintf(out + used, sizeof(out) - used, "!");
            return out;
        }
    }
}

#define READ(...) read_args((const char *const[]){__VA_ARGS__, NULL})

static void test_forms(void **state)
{
    (void)state;
    assert_string_equal(READ("--name", "x", "--name=y", "-n", "z", "-nzz", "-n=a"),
                        "name=x name=y name=z name=zz name==a ");
    assert_string_equal(READ("-qqn", "x", "-qnx"), "quiet quiet name=x quiet name=x ");
    assert_string_equal(READ("--name=", "--name", "", "--name", "--", "--name", "-q"), "name= name= name=-- name=-q ");
    assert_string_equal(READ("one", "-", "", "--quiet", "two"), "one -  quiet two ");
    assert_string_equal(READ("-q", "--", "-q", "--", "--name"), "quiet -q -- --name ");
    assert_string_equal(read_args((const char *const[]){NULL}), "");
}

/* A name may be cut where it is still the only one; a whole name is no beginning of another. */
static void test_short_names(void **state)
{
    (void)state;
    assert_string_equal(READ("--quie", "--name=x", "--name-=y", "--nam=z"), "quiet name=x name-of-all=y ?--nam=z ");
    assert_string_equal(READ("--qui", "--quietly", "--=x", "---"), "?--qui ?--quietly ?--=x ?--- ");
}

static void test_wrong(void **state)
{
    (void)state;
    assert_string_equal(READ("-x", "--nonsense=1", "-qx"), "?-x ?--nonsense=1 quiet ?-x ");
    assert_string_equal(READ("--quiet=1"), "!");
    assert_string_equal(why, "--quiet takes no value");
    assert_string_equal(READ("--name"), "!");
    assert_string_equal(why, "--name needs a value: --name WORD");
    assert_string_equal(READ("-qa"), "quiet !");
    assert_string_equal(why, "-a needs a value: --name-of-all LETTER");
}

static void test_values(void **state)
{
    const char *text = NULL;
    char one = '\0';

    (void)state;
    assert_true(rt_option_read(&name, "some", &text, why));
    assert_string_equal(text, "some");
    assert_true(rt_option_read(&name_of_all, "b", &one, why));
    assert_int_equal(one, 'b');
    assert_false(rt_option_read(&name_of_all, "bc", &one, why));
    assert_string_equal(why, "--name-of-all takes a letter, not \"bc\"");
}

static void test_help(void **state)
{
    char page[1024];
    struct rt_help help = {page, sizeof(page), 0};

    (void)state;
    rt_help_options(&help, options);
    assert_string_equal(page, "  -q, --quiet           say nothing\n"
                              "  --quick               be quick\n"
                              "  -n, --name WORD       a name that is told to everybody who asks for it, and\n"
                              "                        to all of the others too\n"
                              "  -a, --name-of-all LETTER\n"
                              "                        one\n"
                              "                        or two\n");
    help.used = 0;
    rt_help_text(&help,
                 "A line that is not broken.\n\n  but   kept, however long it is, as it begins with a blank: an "
                 "example for instance\nThe end",
                 0, 0);
    assert_string_equal(page,
                        "A line that is not broken.\n\n  but   kept, however long it is, as it begins with a blank: "
                        "an example for instance\nThe end\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),  cmocka_unit_test(test_short_names), cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_values), cmocka_unit_test(test_help),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
