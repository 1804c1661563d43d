/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "migrate/store/places.h"
#include "session/base/timer.h"

#include <string.h>

static struct rt_places places;

static void init(const char *first, const char *second, uint64_t jitter)
{
    struct rt_store_endpoint list[RT_ENDPOINTS_MAX];
    char why[256];
    size_t n = 0;

    assert_int_equal(rt_store_endpoint_parse(first, list, &n, why, sizeof(why)), 0);
    if (second != NULL) {
        assert_int_equal(rt_store_endpoint_parse(second, list, &n, why, sizeof(why)), 0);
    }
    rt_places_init(&places, list, n, jitter);
}

static void at(const char *text)
{
    assert_string_equal(places.list[places.next].text, text);
}

/* All are tried without a pause; then it doubles from round to round, up to a bound, and half of it is by chance. */
static void test_pauses(void **state)
{
    uint64_t most = RT_PLACES_PAUSE_MIN_MS, sum = 0;

    (void)state;
    init("redis://a:1", "redis://b:1", 1);
    for (int round = 0; round < 100; round++) {
        uint64_t pause;

        at("redis://a:1");
        assert_int_equal(rt_places_plan(&places, false, 0), 0);
        at("redis://b:1");
        pause = rt_places_plan(&places, false, 0);
        assert_true(pause >= most / 2 && pause <= most);
        sum += pause;
        most = 2 * most < RT_PLACES_PAUSE_MAX_MS ? 2 * most : RT_PLACES_PAUSE_MAX_MS;
    }
    assert_true(sum > UINT64_C(60) * RT_PLACES_PAUSE_MAX_MS && sum < UINT64_C(90) * RT_PLACES_PAUSE_MAX_MS);
}

/* A hundred agents that lose the same server do not come again all at once. */
static void test_apart(void **state)
{
    unsigned n[10] = {0};

    (void)state;
    for (uint64_t agent = 0; agent < 100; agent++) {
        uint64_t pause = 0;

        init("redis://a:1", NULL, agent);
        for (int round = 0; round < 10; round++) {
            pause = rt_places_plan(&places, false, 0);
        }
        n[(pause - RT_PLACES_PAUSE_MAX_MS / 2) / (RT_PLACES_PAUSE_MAX_MS / 20 + 1)]++;
    }
    for (int i = 0; i < 10; i++) {
        assert_true(n[i] >= 2 && n[i] <= 25);
    }
}

/* Who answered is dialled first; the pause is short again once a connection has lasted, and grows while none does. */
static void test_good(void **state)
{
    (void)state;
    init("redis://a:1", "redis://b:1", 1);
    assert_int_equal(rt_places_plan(&places, false, 0), 0);
    for (int i = 0; i < 20; i++) {
        assert_true(rt_places_plan(&places, true, RT_PLACES_PAUSE_MAX_MS - 1) > 0);
        at("redis://b:1");
    }
    assert_true(rt_places_plan(&places, true, RT_PLACES_PAUSE_MAX_MS - 1) >= RT_PLACES_PAUSE_MAX_MS / 2);
    assert_true(rt_places_plan(&places, true, RT_PLACES_PAUSE_MAX_MS) <= RT_PLACES_PAUSE_MIN_MS);
}

static void test_set(void **state)
{
    struct rt_store_endpoint other;

    (void)state;
    init("redis://a:1", NULL, 1);
    assert_int_equal(rt_store_endpoint_of("b", "1", true, &other), 0);
    assert_true(rt_places_set(&places, &other));
    assert_false(rt_places_set(&places, &other));
    assert_int_equal(rt_places_plan(&places, false, 0), 0);
    at("rediss://b:1");
    assert_true(rt_places_plan(&places, false, 0) > 0);
    assert_true(rt_places_set(&places, NULL));
    assert_int_equal(rt_places_plan(&places, false, 0), RT_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pauses), cmocka_unit_test(test_apart),
                                       cmocka_unit_test(test_good), cmocka_unit_test(test_set)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
