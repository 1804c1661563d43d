/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* The heap of timers against a plain search. */

#define TIMERS 300

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static uint64_t earliest(const struct rt_timer *timers)
{
    uint64_t at = UINT64_MAX;

    for (size_t i = 0; i < TIMERS; i++) {
        at = timers[i].set && timers[i].at < at ? timers[i].at : at;
    }
    return at;
}

static void test_random_walk(void **state)
{
    struct rt_timer *timers = calloc(TIMERS, sizeof(*timers));
    struct rt_timers heap = {NULL};
    uint32_t seed = 7;
    uint64_t now = 0;

    (void)state;
    assert_non_null(timers);
    for (unsigned step = 0; step < 50000; step++) {
        struct rt_timer *timer = &timers[next(&seed) % TIMERS];
        switch (next(&seed) % 4) {
        case 0:
        case 1:
            rt_timer_set(&heap, timer, now + next(&seed) % 1000);
            assert_true(timer->set);
            break;
        case 2:
            rt_timer_clear(&heap, timer);
            assert_false(timer->set);
            break;
        default:
            now += next(&seed) % 20;
            while ((timer = rt_timer_due(&heap, now)) != NULL) {
                assert_true(timer->at <= now);
                assert_true(timer->at <= earliest(timers));
            }
            assert_true(earliest(timers) > now);
            break;
        }
        assert_true(heap.root == NULL ? earliest(timers) == UINT64_MAX : heap.root->at == earliest(timers));
    }
    free(timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_walk)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
