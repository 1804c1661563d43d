/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_times(void **state)
{
    char out[48];

    (void)state;
    rt_time_text(0, out, sizeof(out));
    assert_string_equal(out, "1970-01-01T00:00:00.000Z");
    rt_time_text(UINT64_C(1709210096789), out, sizeof(out));
    assert_string_equal(out, "2024-02-29T12:34:56.789Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
