/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        uint64_t max, value;
    } good[] = {{"0", 0, 0},
                {"007", 9, 7},
                {"65535", 65535, 65535},
                {"9007199254740991", (UINT64_C(1) << 53) - 1, (UINT64_C(1) << 53) - 1},
                {"18446744073709551615", UINT64_MAX, UINT64_MAX}},
      bad[] = {{"", 9, 0},
               {"1", 0, 0},
               {"9", 8, 0},
               {" 1", 9, 0},
               {"1 ", 9, 0},
               {"-1", UINT64_MAX, 0},
               {"+1", UINT64_MAX, 0},
               {"0x1", UINT64_MAX, 0},
               {"65536", 65535, 0},
               {"9007199254740992", (UINT64_C(1) << 53) - 1, 0},
               {"18446744073709551616", UINT64_MAX, 0},
               {"99999999999999999999999", UINT64_MAX, 0}};
    uint64_t value;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(rt_read_number(rt_slice_text(good[i].text), good[i].max, &value));
        assert_int_equal(value, good[i].value);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(rt_read_number(rt_slice_text(bad[i].text), bad[i].max, &value));
    }
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"0", 0},       {"0s", 0},       {"7ms", 7},       {"30s", 30000},
                {"5m", 300000}, {"2h", 7200000}, {"1d", 86400000}, {"3650d", UINT64_C(315360000000)}};
    static const char *const bad[] = {
        "", "5", "s", "-1s", "1.5s", "1 s", "5w", "3651d", "99999999999999999999s", "300000000h"};
    uint64_t ms;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(rt_read_duration(good[i].text, &ms));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(rt_read_duration(bad[i], &ms));
    }
}

static void test_bytes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"4096", 4096}, {"64K", 65536}, {"64k", 65536}, {"3M", 3 << 20}, {"3m", 3 << 20}};
    static const char *const bad[] = {"", "K", "-1", "1KB", "1G", "99999999999999999999", "18446744073709551615K"};
    uint64_t bytes;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(rt_read_bytes(good[i].text, &bytes));
        assert_int_equal(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(rt_read_bytes(bad[i], &bytes));
    }
}

static void test_duration_text(void **state)
{
    static const char *const texts[] = {"0ms", "1ms", "1500ms", "90s", "5m", "2h", "30d"};
    char out[32];
    uint64_t ms;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_true(rt_read_duration(texts[i], &ms));
        rt_duration_text(ms, out, sizeof(out));
        assert_string_equal(out, texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_duration_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
