/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* What idle sessions cost the store: bounded, however many there are. */

static void test_audits(void **state)
{
    (void)state;
    assert_int_equal(rt_audit_ms(0), 15000);
    assert_int_equal(rt_audit_ms(12000), 15000);
    assert_int_equal(rt_audit_ms(100000), 125000);
    assert_int_equal(rt_audit_ms(1000000), 1250000);
    assert_int_equal(rt_audit_ms(2880000), 3600000);
    assert_int_equal(rt_audit_ms(UINT64_MAX), 3600000);
    for (uint64_t sessions = 1000; sessions <= 2880000; sessions += 1000) {
        assert_true(sessions * 1000 / rt_audit_ms(sessions) <= RT_AUDITS_MAX);
    }
}

static void test_walks(void **state)
{
    (void)state;
    assert_int_equal(rt_walk_pause_ms(0), 0);
    for (uint64_t hosts = 1; hosts <= 4096; hosts++) {
        assert_true(hosts * RT_WALK_PAGE * 1000 / rt_walk_pause_ms(hosts) <= RT_WALK_LOOKS_MAX);
    }
}

/* Both together: an audit is two reads. */
static void test_sum(void **state)
{
    (void)state;
    assert_true(2 * RT_AUDITS_MAX + RT_WALK_LOOKS_MAX <= 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_audits), cmocka_unit_test(test_walks),
                                       cmocka_unit_test(test_sum)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
