/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/pings.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_answers(void **state)
{
    struct rt_pings pings = {.n = 0};

    (void)state;
    assert_false(rt_pings_answered(&pings, 0));
    rt_pings_sent(&pings, 7);
    rt_pings_sent(&pings, 8);
    assert_false(rt_pings_answered(&pings, 9));
    assert_true(rt_pings_answered(&pings, 8));
    assert_false(rt_pings_answered(&pings, 8)); /* once */
    assert_false(rt_pings_answered(&pings, 7)); /* older than one that was answered */
    rt_pings_sent(&pings, 9);
    assert_true(rt_pings_answered(&pings, 9));
    assert_int_equal(pings.n, 0);
}

static void test_the_oldest_makes_room(void **state)
{
    struct rt_pings pings = {.n = 0};

    (void)state;
    for (unsigned i = 0; i <= RT_PINGS_WAITING_MAX; i++) {
        rt_pings_sent(&pings, i);
    }
    assert_int_equal(pings.n, RT_PINGS_WAITING_MAX);
    assert_false(rt_pings_answered(&pings, 0));
    assert_true(rt_pings_answered(&pings, 1));
    rt_pings_clear(&pings);
    assert_false(rt_pings_answered(&pings, RT_PINGS_WAITING_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_the_oldest_makes_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
