/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What the simulation's program says and ends with: a simulation that cannot fail would prove nothing. */

#define LIMIT_MS 600000

#define RUN(result, ...) run_program(result, (const char *const[]){__VA_ARGS__, NULL}, LIMIT_MS)

/* The line that tells the violation. */
static void violation(const struct rt_process_run *result, char *line, size_t size)
{
    const char *at = strstr(result->err, "sim: seed ");

    assert_non_null(at);
    (void)snprintf(line, size, "%.*s", (int)strcspn(at, "\n"), at);
}

/* A violated invariant: the seed, the virtual time, what broke, how to see it again; and so it is. */
static void test_violation(void **state)
{
    char first[512], again[512], seed[32], replay[96];
    struct rt_process_run result;

    (void)state;
    RUN(&result, "rt-sim-broken", "--seeds", "200");
    assert_int_equal(result.status, 1);
    violation(&result, first, sizeof(first));
    (void)snprintf(seed, sizeof(seed), "%llu", strtoull(first + strlen("sim: seed "), NULL, 10));
    (void)snprintf(replay, sizeof(replay), "\nsim: replay with: ./dev sim --seed %s -v\n", seed);
    assert_non_null(strstr(result.err, replay));
    assert_non_null(strstr(first, " ms, event "));
    rt_process_run_free(&result);

    RUN(&result, "rt-sim-broken", "--seed", seed, "-v");
    assert_int_equal(result.status, 1);
    violation(&result, again, sizeof(again));
    assert_string_equal(again, first);
    assert_true(result.out_size + result.err_size > 1000); /* event by event */
    rt_process_run_free(&result);

    RUN(&result, "rt-sim", "--seed", seed);
    assert_int_equal(result.status, 0);
    rt_process_run_free(&result);
}

static void test_missing_fault(void **state)
{
    struct rt_process_run result;

    (void)state;
    RUN(&result, "rt-sim", "--seed", "1", "--every-fault");
    assert_int_equal(result.status, 3);
    assert_non_null(strstr(result.out, "  ^ never happened\n"));
    assert_non_null(strstr(result.out, "\nsim: 1 seeds, "));
    rt_process_run_free(&result);
    RUN(&result, "rt-sim", "--seed", "1");
    assert_int_equal(result.status, 0);
    assert_null(strstr(result.out, "never happened"));
    rt_process_run_free(&result);
}

static void test_same_seed_same_run(void **state)
{
    struct rt_process_run one, two;

    (void)state;
    RUN(&one, "rt-sim", "--seeds", "3", "--first", "40", "-v");
    RUN(&two, "rt-sim", "--seeds", "3", "--first", "40", "-v");
    assert_int_equal(one.status, 0);
    assert_int_equal(two.status, 0);
    for (struct rt_process_run *each = &one;; each = &two) {
        char *time = strstr(each->out, " failed, ");

        assert_non_null(time);
        *time = '\0';
        if (each == &two) {
            break;
        }
    }
    assert_string_equal(one.out, two.out);
    assert_string_equal(one.err, two.err);
    rt_process_run_free(&one);
    rt_process_run_free(&two);
}

static void test_usage(void **state)
{
    static const char *const bad[][4] = {
        {"rt-sim", "--nonsense", NULL},    {"rt-sim", "--seeds", "many", NULL}, {"rt-sim", "--seed", "", NULL},
        {"rt-sim", "--first", "-1", NULL}, {"rt-sim", "--events", "1x", NULL},  {"rt-sim", "7", NULL},
    };
    struct rt_process_run result;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        run_refused(bad[i], "--seeds N", LIMIT_MS);
    }
    RUN(&result, "rt-sim", "--help");
    assert_int_equal(result.status, 0);
    assert_non_null(strstr(result.out, "--seeds N"));
    rt_process_run_free(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_violation),
        cmocka_unit_test(test_missing_fault),
        cmocka_unit_test(test_same_seed_same_run),
        cmocka_unit_test(test_usage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
