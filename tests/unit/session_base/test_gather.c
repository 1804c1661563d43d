/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/gather.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* n reads of size bytes within one millisecond; returns what the last one said. */
static bool read_n(struct rt_gather *gather, unsigned n, size_t size, uint64_t now)
{
    bool alone = false;

    for (unsigned i = 0; i < n; i++) {
        alone = rt_gather_read(gather, size, now);
        assert_true(!alone || i + 1 == n);
    }
    return alone;
}

static void test_burst(void **state)
{
    struct rt_gather gather = {0};

    (void)state;
    assert_true(read_n(&gather, RT_GATHER_READS, 64, 7));
    assert_true(rt_gather_read(&gather, 38000, 8));
    assert_true(rt_gather_read(&gather, 1024, 9));
    assert_false(rt_gather_read(&gather, 1023, 10)); /* less than the others brought that began it */
    assert_false(read_n(&gather, RT_GATHER_READS - 2, 64, 10));
    assert_true(read_n(&gather, 1, 64, 10)); /* the read that ended it was the first of a new burst */
}

/* Fewer in each millisecond, for however long. */
static void test_few(void **state)
{
    struct rt_gather gather = {0};

    (void)state;
    for (uint64_t now = 0; now < 1000; now++) {
        assert_false(read_n(&gather, RT_GATHER_READS - 1, 1, now));
    }
}

/* An echo: before each byte that is read another one was written. Nobody is that fast; a stream in both directions is
 * gathered like one. */
static void test_turns(void **state)
{
    struct rt_gather gather = {0};

    (void)state;
    for (unsigned i = 0; i < RT_GATHER_READS * RT_GATHER_TURNS - 1; i++) {
        rt_gather_turn(&gather);
        assert_false(rt_gather_read(&gather, 1, 0));
    }
    rt_gather_turn(&gather);
    assert_true(rt_gather_read(&gather, 1, 0));
}

static void test_bulk(void **state)
{
    struct rt_gather gather = {0};

    (void)state;
    assert_false(read_n(&gather, 100, RT_GATHER_SMALL, 0));
    assert_false(read_n(&gather, RT_GATHER_READS - 1, 10, 0));
    assert_false(rt_gather_read(&gather, RT_GATHER_SMALL, 0)); /* no burst of small writes */
    assert_true(read_n(&gather, RT_GATHER_READS, RT_GATHER_SMALL - 1, 0));
    assert_false(rt_gather_read(&gather, RT_GATHER_MUCH, 1));
}

static void test_nothing(void **state)
{
    struct rt_gather gather = {0};

    (void)state;
    assert_false(read_n(&gather, 100, 0, 0)); /* a read that brought nothing is none */
    assert_true(read_n(&gather, RT_GATHER_READS, 1, 0));
    assert_false(rt_gather_read(&gather, 0, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst), cmocka_unit_test(test_few),     cmocka_unit_test(test_turns),
        cmocka_unit_test(test_bulk),  cmocka_unit_test(test_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
