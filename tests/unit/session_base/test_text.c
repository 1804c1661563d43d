/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void copies(const char *text, const char *expected)
{
    char out[64];
    assert_int_equal(rt_text_copy(rt_slice_text(text), out, sizeof(out)), strlen(expected));
    assert_string_equal(out, expected);
}

static void test_copy(void **state)
{
    (void)state;
    copies("", "");
    copies("plain, caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "plain, caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    copies("a\033[2Jb\ac\r\nd\te\177f", "a?[2Jb?c??d?e?f");
    copies("\xc2\x9b"
           "31m\xc2\x80\xc2\x9f",
           "?31m??"); /* C1, as UTF-8 */
    copies("\x9b"
           "31m",
           "?31m"); /* and as a byte */
    copies("\xe2\x80\xae"
           "txt.exe\xe2\x80\xac",
           "?txt.exe?"); /* turned round */
    copies("\xe2\x81\xa6x\xe2\x81\xa9\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c", "?x????");
    copies("a\xe2\x80\xa8"
           "b\xe2\x80\xa9"
           "c\xef\xbb\xbf",
           "a?b?c?");
    copies("\xf3\xa0\x81\x81", "?");                                       /* a tag */
    copies("\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82", "???????????"); /* no UTF-8 */
    char nul[] = {'a', 0, 'b'}, out[8];
    assert_int_equal(rt_text_copy((struct rt_slice){(const uint8_t *)nul, 3}, out, sizeof(out)), 3);
    assert_string_equal(out, "a?b");
}

/* Cut between two characters, at every size. */
static void test_cut(void **state)
{
    (void)state;
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    static const size_t fits[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
    for (size_t size = 1; size <= sizeof(fits) / sizeof(fits[0]); size++) {
        char *out = malloc(size); /* of just this size: ASan sees a byte more */
        assert_non_null(out);
        assert_int_equal(rt_text_copy(rt_slice_text(text), out, size), fits[size - 1]);
        assert_memory_equal(out, text, fits[size - 1]);
        assert_int_equal(out[fits[size - 1]], 0);
        free(out);
    }
}

/* No byte of any two controls what reads it; nothing grows. */
static void test_all_pairs(void **state)
{
    (void)state;
    for (unsigned pair = 0; pair <= 0xffff; pair++) {
        uint8_t bytes[2] = {(uint8_t)(pair >> 8), (uint8_t)pair};
        char out[4];
        size_t n = rt_text_copy((struct rt_slice){bytes, 2}, out, sizeof(out));
        assert_in_range(n, 1, 2);
        for (size_t i = 0; i < n; i++) {
            uint8_t c = (uint8_t)out[i];
            assert_true(c >= 0x20 && c != 0x7f);
            assert_true(c < 0x80 || n == 2);
        }
        assert_false((uint8_t)out[0] == 0xc2 && (uint8_t)out[1] < 0xa0);
    }
}

static void json(const char *text, const char *expected)
{
    char out[128];
    size_t size = rt_text_quote(text, out, sizeof(out));

    assert_true(out[0] == '"' && out[size - 1] == '"');
    out[size - 1] = '\0';
    assert_string_equal(out + 1, expected);
}

/* Cut at every size: it has its quotes, and no part of a character. */
static void test_json_cut(void **state)
{
    static const char text[] = "a\n\xf3\xa0\x81\x81";
    char out[64];
    size_t last = 2;

    (void)state;
    for (size_t size = 2; size < sizeof(out); size++) {
        size_t n = rt_text_quote(text, out, size);

        assert_true(n <= size && n >= last);
        assert_true(n == 2 || n == 3 || n == 9 || n == 21);
        assert_true(out[0] == '"' && out[n - 1] == '"');
        last = n;
    }
    assert_int_equal(last, 21);
}

static void test_json(void **state)
{
    (void)state;
    json("caf\xc3\xa9", "caf\xc3\xa9");
    json("a\"b\\c\n\033\177", "a\\\"b\\\\c\\u000a\\u001b\\u007f");
    json("\xc2\x9b\xe2\x80\xae\xf3\xa0\x81\x81", "\\u009b\\u202e\\udb40\\udc41");
    json("\xff\xe2\x82", "\\ufffd\\ufffd\\ufffd");
}

static void test_hex(void **state)
{
    static const uint8_t bytes[] = {0x00, 0x9f, 0xab, 0xff};
    static const char *const bad[] = {"",         "009fabf",  "009fabff0", "009fabfF", "009fabfg",
                                      "009f abf", "009fabf:", "009fab/f",  "009fab@f"};
    char text[2 * sizeof(bytes) + 1];
    uint8_t out[sizeof(bytes)];

    (void)state;
    rt_hex(bytes, sizeof(bytes), text);
    assert_string_equal(text, "009fabff");
    assert_true(rt_unhex(rt_slice_text("009fabff"), out, sizeof(out)));
    assert_memory_equal(out, bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(rt_unhex(rt_slice_text(bad[i]), out, sizeof(out)));
    }
}

/* One bit in each place, and what is behind the end. */
static void test_same_secret(void **state)
{
    uint8_t a[16], b[16];

    (void)state;
    memset(a, 0x5a, sizeof(a));
    memcpy(b, a, sizeof(b));
    assert_true(rt_same_secret(a, b, sizeof(a)));
    assert_true(rt_same_secret(a, b, 0));
    for (size_t i = 0; i < 8 * sizeof(a); i++) {
        b[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(rt_same_secret(a, b, sizeof(a)));
        assert_true(rt_same_secret(a, b, i / 8));
        b[i / 8] = 0x5a;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),        cmocka_unit_test(test_cut),      cmocka_unit_test(test_all_pairs),
        cmocka_unit_test(test_json),        cmocka_unit_test(test_json_cut), cmocka_unit_test(test_hex),
        cmocka_unit_test(test_same_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
