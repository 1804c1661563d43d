/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/guest_token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint8_t out[64];
static size_t size;

static void check(const char *text, const char *wanted)
{
    assert_int_equal(rt_token_decode(text, out, sizeof(out), &size), RT_OK);
    assert_int_equal(size, strlen(wanted));
    assert_memory_equal(out, wanted, size);
}

static void test_decodes(void **state)
{
    (void)state;
    check("rtj1.Zg", "f");
    check("rtj1.Zm8", "fo");
    check("rtj1.Zm9v", "foo");
    check("rtj1.Zm9vYg", "foob");
    check(" \trtj1.Zm9vYmE\r\n\n", "fooba");
    check("rtj1._-A", "\xff\xe0");
}

static void test_refuses(void **state)
{
    static const char *const bad[] = {
        "",          "rtj1.",       "rtj1",     "rtj2.Zm9v", "Zm9v",    "rtj1.Zm9v=", "rtj1.Zm9v Zm9v",
        "rtj1.Zm+v", "rtj1.Zm9v\1", "rtj1.Zm/", "rtj1.A",    "rtj1.Zh", "rtj1.Zm9",   "rtj1.Zm9vA",
        "RTJ1.Zm9v", "rtj1 .Zm9v",  "rtj1..Zg",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (rt_token_decode(bad[i], out, sizeof(out), &size) != RT_EINVAL) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
    }
}

static void test_bound(void **state)
{
    (void)state;
    assert_int_equal(rt_token_decode("rtj1.Zm9v", out, 3, &size), RT_OK);
    assert_int_equal(rt_token_decode("rtj1.Zm9v", out, 2, &size), RT_ELIMIT);
    assert_int_equal(rt_token_decode("rtj1.Zm9v", out, 0, &size), RT_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decodes),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
