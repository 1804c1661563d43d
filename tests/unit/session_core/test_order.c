/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct rt_order order;

static void next(uint64_t out, uint64_t err, unsigned stream, uint64_t to)
{
    const uint64_t at[2] = {out, err};
    uint64_t got;

    assert_int_equal(rt_order_next(&order, at, &got), stream);
    assert_true(got == to);
}

static void test_one_stream(void **state)
{
    (void)state;
    next(0, 0, 0, UINT64_MAX);
    rt_order_add(&order, 1, 5);
    rt_order_add(&order, 1, 9);
    next(0, 0, 1, UINT64_MAX);
    assert_null(order.end);
    rt_order_clear(&order);
}

static void test_turns(void **state)
{
    (void)state;
    rt_order_add(&order, 0, 4);
    rt_order_add(&order, 0, 10);
    rt_order_add(&order, 1, 6);
    rt_order_add(&order, 0, 14);
    rt_order_add(&order, 1, 9);
    next(0, 0, 0, 10);
    next(9, 0, 0, 10);
    next(10, 0, 1, 6);
    next(10, 6, 0, 14);
    next(14, 6, 1, UINT64_MAX); /* the newest run may grow */
    next(14, 9, 1, UINT64_MAX);
    next(14, 0, 1, 6); /* one stream was ahead of the other */
    next(0, 9, 0, 10);
    rt_order_add(&order, 1, 12);
    next(14, 9, 1, UINT64_MAX);
    rt_order_clear(&order);
}

/* The oldest are forgotten: they come first, stream by stream. */
static void test_many(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 2 * RT_ORDER_RUNS_MAX; i++) {
        rt_order_add(&order, 0, i);
        rt_order_add(&order, 1, i);
    }
    next(0, 0, 0, 3 * RT_ORDER_RUNS_MAX / 2 + 1);
    next(3 * RT_ORDER_RUNS_MAX / 2 + 1, 0, 1, 3 * RT_ORDER_RUNS_MAX / 2 + 1);
    next(2000, 1999, 1, 2000);
    next(2000, 2000, 0, 2001);
    rt_order_clear(&order);
}

/* Against a plain list of all bytes. */
static void test_random(void **state)
{
    enum { BYTES = 4000 };
    static uint8_t of[BYTES];
    uint64_t end[2] = {0, 0}, at[2] = {0, 0};

    (void)state;
    srand(7);
    for (size_t i = 0; i < BYTES;) {
        unsigned stream = (unsigned)rand() % 2;
        size_t size = 1 + (size_t)rand() % 20;

        for (; size > 0 && i < BYTES; size--, i++) {
            of[i] = (uint8_t)stream;
            end[stream]++;
        }
        rt_order_add(&order, stream, end[stream]);
    }
    for (size_t i = 0; i < BYTES;) {
        uint64_t to;
        unsigned stream = rt_order_next(&order, at, &to);

        assert_true(to > at[stream]);
        for (; at[stream] < to && i < BYTES; at[stream]++, i++) {
            assert_int_equal(of[i], stream);
        }
    }
    rt_order_clear(&order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_stream),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
