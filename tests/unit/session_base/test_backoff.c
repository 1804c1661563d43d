/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_pauses(void **state)
{
    static const uint64_t from_nothing[] = {0, 5, 10, 20, 40, 80, 160, 320, 500, 500};
    uint64_t jitter = 1, pause = 0, least = UINT64_MAX, most = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(from_nothing) / sizeof(from_nothing[0]); i++) {
        uint64_t most_now = from_nothing[i];
        uint64_t now = rt_backoff(&pause, 5, 500, &jitter);

        assert_in_range(now, most_now - most_now / 2, most_now);
    }
    for (int i = 0; i < 10000; i++) {
        uint64_t now = rt_backoff(&pause, 5, 500, &jitter);

        least = now < least ? now : least;
        most = now > most ? now : most;
    }
    assert_int_equal(least, 250);
    assert_int_equal(most, 500);
    pause = 300; /* half of the bound would be doubled beyond it */
    (void)rt_backoff(&pause, 5, 500, &jitter);
    assert_int_equal(pause, 500);
}

static void test_jitter(void **state)
{
    uint64_t a = 7, b = 7, c = 8, same = 0;

    (void)state;
    assert_int_equal(rt_jitter(&a, 0), 0);
    assert_int_equal(rt_jitter(&b, 1), 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t n = rt_jitter(&a, 1000);

        assert_true(n < 1000);
        assert_int_equal(n, rt_jitter(&b, 1000));
        same += n == rt_jitter(&c, 1000);
    }
    assert_true(same < 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pauses),
        cmocka_unit_test(test_jitter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
