/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_RUN_H
#define RETETHER_TESTS_SYSTEM_RUN_H

#include "tests/lib/cluster_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Programs of ours that are run to their end, within limit_ms. */

static inline void run_program(struct rt_process_run *result, const char *const *argv, unsigned limit_ms)
{
    struct rt_process_spec spec;

    rt_process_spec_init(&spec, argv);
    assert_int_equal(rt_process_run(&spec, NULL, 0, limit_ms, result), 0);
}

/* Arguments that are not understood: status 2, nothing on stdout, the usage on stderr. */
static inline void run_refused(const char *const *argv, const char *usage, unsigned limit_ms)
{
    struct rt_process_run result;

    run_program(&result, argv, limit_ms);
    assert_int_equal(result.status, 2);
    assert_string_equal(result.out, "");
    assert_non_null(strstr(result.err, usage));
    rt_process_run_free(&result);
}

#endif
