/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/token_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int decode(const char *text, uint8_t *out, size_t cap)
{
    return rt_token_text_decode(text, strlen(text), out, cap);
}

static void test_examples(void **state)
{
    static const struct {
        const char *bytes, *text;
    } rows[] = {
        {"f", "rtj1.Zg"},         {"fo", "rtj1.Zm8"},
        {"foo", "rtj1.Zm9v"},     {"foobar", "rtj1.Zm9vYmFy"}, /* RFC 4648 section 10 */
        {"\xfb\xff", "rtj1.-_8"}, {"\xff\xff\xff", "rtj1.____"},
    };
    char text[64];
    uint8_t bytes[64];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        size_t size = strlen(rows[i].bytes);
        assert_int_equal(rt_token_text_encode((const uint8_t *)rows[i].bytes, size, text, sizeof(text)),
                         strlen(rows[i].text));
        assert_string_equal(text, rows[i].text);
        assert_int_equal(decode(text, bytes, sizeof(bytes)), size);
        assert_memory_equal(bytes, rows[i].bytes, size);
    }
}

static void test_every_size(void **state)
{
    uint8_t token[RT_TOKEN_MAX + 1], back[RT_TOKEN_MAX + 1];
    char text[RT_TOKEN_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(token); i++) {
        token[i] = (uint8_t)(i * 151 + i / 256);
    }
    for (size_t size = 1; size <= RT_TOKEN_MAX; size++) {
        int length = rt_token_text_encode(token, size, text, sizeof(text));
        assert_true(length > 0);
        assert_int_equal(strlen(text), length);
        assert_int_equal(rt_token_text_encode(token, size, text, (size_t)length), RT_ELIMIT);
        assert_int_equal(rt_token_text_decode(text, (size_t)length, back, size), size);
        assert_memory_equal(token, back, size);
        assert_int_equal(rt_token_text_decode(text, (size_t)length, back, size - 1), RT_ELIMIT);
    }
    assert_int_equal(strlen(text), RT_TOKEN_TEXT_MAX - 1);
    assert_int_equal(rt_token_text_encode(token, sizeof(token), text, sizeof(text)), RT_ELIMIT);
}

static void test_too_long(void **state)
{
    char text[RT_TOKEN_TEXT_MAX + 4];
    uint8_t bytes[RT_TOKEN_MAX + 8];

    (void)state;
    memset(text, 'A', sizeof(text) - 1);
    memcpy(text, RT_TOKEN_PREFIX, sizeof(RT_TOKEN_PREFIX) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(decode(text, bytes, sizeof(bytes)), RT_ELIMIT);
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "",           "rtj1.",          "rtj1",        "Zm9v",        "rtj2.Zm9v",
        "RTJ1.Zm9v",  "rtj1.Z",         "rtj1.Zm9vY",  "rtj1.Zh",     "rtj1.Zm9",
        "rtj1.Zg==",  "rtj1.Zm+v",      "rtj1.Zm/v",   "rtj1.Zm 9v",  "rtj1.Zm\n9v",
        "rtj1. Zm9v", "rtj1.Zm9\xc3",   "  ",          "x rtj1.Zm9v", "rtj1 .Zm9v",
        "rtj1..Zg",   "rtj1.Zm9v Zm9v", "rtj1.Zm9v\1",
    };
    uint8_t bytes[64];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        if (decode(bad[i], bytes, sizeof(bytes)) != RT_EPROTO) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    assert_int_equal(rt_token_text_decode("rtj1.Zm\0v", 9, bytes, sizeof(bytes)), RT_EPROTO);
}

static void test_blanks_around(void **state)
{
    uint8_t bytes[8];

    (void)state;
    assert_int_equal(decode(" \t\r\nrtj1.Zm9v\r\n \t", bytes, sizeof(bytes)), 3);
    assert_memory_equal(bytes, "foo", 3);
}

static void test_ring(void **state)
{
    static const struct {
        const char *text;
        size_t size;
        uint64_t ring;
        int rc;
    } rows[] = {
        {"rtj1.AAAA", 9, 0, 0},
        {"rtj1.AAAA.ring=65536", 9, 65536, 0},
        {"rtj1.AAAA.ring=65536 \n", 9, 65536, 0},
        {"rtj1.AAAA.ring=", 9, 0, RT_EPROTO},
        {"rtj1.AAAA.ring=64K", 9, 64, RT_EPROTO},
        {"rtj1.AAAA.ring=-1", 9, 0, RT_EPROTO},
        {"rtj1.AAAA.ring=1.ring=2", 9, 1, RT_EPROTO},
        {"rtj1.AAAA.ring=999999999999999", 9, UINT64_C(999999999999999), 0},
        {"rtj1.AAAA.ring=1000000000000000", 9, 0, RT_EPROTO},
        {"", 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t size = strlen(rows[i].text);
        uint64_t ring = 1;

        assert_int_equal(rt_token_text_ring(rows[i].text, &size, &ring), rows[i].rc);
        assert_int_equal(size, rows[i].size);
        assert_int_equal(ring, rows[i].ring);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring),     cmocka_unit_test(test_examples), cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_too_long), cmocka_unit_test(test_refused),  cmocka_unit_test(test_blanks_around),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
