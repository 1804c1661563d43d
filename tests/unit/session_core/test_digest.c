/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "The guest's memory is the log, and live migration moves it for free.";

static void test_known(void **state)
{
    (void)state;
    struct rt_digest digest;
    rt_digest_start(&digest, 7);
    assert_int_equal(digest.from, 7);
    assert_int_equal(digest.at, 7);
    /* XXH64 of nothing and of "abc", seed 0, as its own documentation and `xxhsum -H1` give them. */
    assert_true(rt_digest_value(&digest) == UINT64_C(0xef46db3751d8e999));
    rt_digest_extend(&digest, "abc", 3);
    assert_true(rt_digest_value(&digest) == UINT64_C(0x44bc2cf5ad770999));
    assert_int_equal(digest.from, 7);
    assert_int_equal(digest.at, 10);
}

static void test_any_split(void **state)
{
    (void)state;
    size_t size = sizeof(text) - 1;
    uint64_t whole = XXH64(text, size, 0);
    for (size_t first = 0; first <= size; first++) {
        for (size_t second = first; second <= size; second++) {
            struct rt_digest digest;
            rt_digest_start(&digest, 0);
            rt_digest_extend(&digest, text, first);
            rt_digest_extend(&digest, text + first, second - first);
            rt_digest_extend(&digest, text + second, size - second);
            assert_true(rt_digest_value(&digest) == whole);
            assert_int_equal(digest.at, size);
        }
    }
}

static void test_copy(void **state)
{
    (void)state;
    struct rt_digest digest;
    rt_digest_start(&digest, 0);
    rt_digest_extend(&digest, text, 40);
    struct rt_digest ahead = digest;
    rt_digest_extend(&ahead, text + 40, 10);
    assert_true(rt_digest_value(&digest) == XXH64(text, 40, 0));
    assert_true(rt_digest_value(&ahead) == XXH64(text, 50, 0));
    assert_int_equal(digest.at, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_any_split),
        cmocka_unit_test(test_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
