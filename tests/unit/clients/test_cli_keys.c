/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/detach_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct cli_keys keys;

/* Types the text in pieces of `step` bytes; returns what came through, "!" behind it when the sequence was found. */
static const char *type(const char *text, size_t size, size_t step)
{
    static uint8_t out[256];
    size_t used = 0;

    keys.seen = 0;
    for (size_t at = 0; at < size; at += step) {
        bool found;

        used +=
            cli_keys_filter(&keys, (const uint8_t *)text + at, at + step < size ? step : size - at, out + used, &found);
        if (found) {
            out[used++] = '!';
            out[used] = '\0';
            return (const char *)out;
        }
    }
    used += cli_keys_flush(&keys, out + used);
    out[used] = '\0';
    return (const char *)out;
}

static void check(const char *text, const char *wants)
{
    for (size_t step = 1; step <= strlen(text); step++) {
        assert_string_equal(type(text, strlen(text), step), wants);
    }
}

static void test_parse(void **state)
{
    static const char *const bad[] = {
        "ctrl-", "ctrl-1", ",", "a,", ",a", "ab", "a,,b", "ctrl-pq", "a b", " ", "\t", "\xc3\xa4", "a,b,c,d,e,f,g,h,i"};

    (void)state;
    assert_int_equal(cli_keys_parse(&keys, "ctrl-p,ctrl-q"), 0);
    assert_int_equal(keys.n, 2);
    assert_int_equal(keys.key[0], 0x10);
    assert_int_equal(keys.key[1], 0x11);
    assert_int_equal(cli_keys_parse(&keys, "ctrl-]"), 0);
    assert_int_equal(keys.key[0], 0x1d);
    assert_int_equal(cli_keys_parse(&keys, "ctrl-P,~,."), 0);
    assert_int_equal(keys.n, 3);
    assert_int_equal(keys.key[2], '.');
    assert_int_equal(cli_keys_parse(&keys, "none"), 0);
    assert_int_equal(keys.n, 0);
    assert_int_equal(cli_keys_parse(&keys, ""), 0);
    assert_int_equal(keys.n, 0);
    assert_int_equal(cli_keys_parse(&keys, "a,b,c,d,e,f,g,h"), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(cli_keys_parse(&keys, bad[i]), RT_EINVAL);
        assert_int_equal(keys.n, 0);
    }
}

static void test_filter(void **state)
{
    (void)state;
    assert_int_equal(cli_keys_parse(&keys, "p,q"), 0);
    check("hello", "hello");
    check("pq", "!");
    check("hi pq gone", "hi !");
    check("ppq", "p!");
    check("pxpq", "px!");
    check("qp", "qp");
    check("p", "p");
    check("pppp", "pppp");
}

/* Sequences that overlap themselves: nothing that could still be one is passed over. */
static void test_overlap(void **state)
{
    (void)state;
    assert_int_equal(cli_keys_parse(&keys, "a,a,b"), 0);
    check("aaab", "a!");
    check("aaaaab", "aaa!");
    check("abaab", "ab!");
    assert_int_equal(cli_keys_parse(&keys, "a,b,a,c"), 0);
    check("ababac", "ab!");
    check("abab", "abab");
}

static void test_none_is_transparent(void **state)
{
    char all[256];
    bool found;
    uint8_t out[256 + CLI_KEYS_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(all); i++) {
        all[i] = (char)i;
    }
    assert_int_equal(cli_keys_parse(&keys, "none"), 0);
    assert_int_equal(cli_keys_filter(&keys, (const uint8_t *)all, sizeof(all), out, &found), sizeof(all));
    assert_memory_equal(out, all, sizeof(all));
    assert_false(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_none_is_transparent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
