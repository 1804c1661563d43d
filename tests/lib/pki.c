/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/pki.h"

#include "tests/lib/cluster_process.h"

#include <stdio.h>

#define ARGS_MAX 8
#define LIMIT_MS 60000

int rt_test_pki(const char *const *args)
{
    const char *argv[ARGS_MAX + 3] = {"retether", "pki"};
    struct rt_process_spec spec;
    struct rt_process_run run;
    int rc;

    for (size_t i = 0; i < ARGS_MAX && args[i] != NULL; i++) {
        argv[2 + i] = args[i];
    }
    rt_process_spec_init(&spec, argv);
    if (rt_process_run(&spec, NULL, 0, LIMIT_MS, &run) != 0) {
        return -1;
    }
    rc = run.status == 0 ? 0 : -1;
    if (rc != 0) {
        (void)fprintf(stderr, "retether pki %s: %d: %s", args[0], run.status, run.err);
    }
    rt_process_run_free(&run);
    return rc;
}

int rt_test_pki_ca(const char *ca)
{
    return rt_test_pki((const char *[]){"init", ca, "--domain", "test.example", NULL});
}

int rt_test_pki_issue(const char *ca, const char *role, const char *name, const char *out)
{
    return name == NULL ? rt_test_pki((const char *[]){"issue", "--out", out, ca, role, NULL})
                        : rt_test_pki((const char *[]){"issue", "--out", out, ca, role, name, NULL});
}
