/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/workload_stream.h"
#include "tests/system/cluster/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 200
#define BULK ((size_t)1 << 20)

/* Containers that end at once, and what a pipe carries: nothing is truncated, no status is lost. */

static void test_echo_in_a_row(void **state)
{
    (void)state;
    for (int i = 0; i < RUNS; i++) {
        char text[32], line[40];

        (void)snprintf(text, sizeof(text), "hi %d", i);
        (void)snprintf(line, sizeof(line), "%s\n", text);
        harness_expect(0, line, ARGS("run", "--", "echo", text));
    }
}

static void test_statuses(void **state)
{
    (void)state;
    harness_expect(7, "seven\n", ARGS("run", "--", "sh", "-c", "echo seven; exit 7"));
    harness_expect(127, "", ARGS("run", "--", "no-such-command-here"));
    harness_expect(126, "", ARGS("run", "--", "/etc/passwd"));
    harness_expect(128 + SIGKILL, "x\n", ARGS("run", "--", "sh", "-c", "echo x; kill -9 $$"));
}

static void test_streams_apart(void **state)
{
    struct rt_process_run run;

    (void)state;
    harness_cli(&run, NULL, 0, ARGS("run", "--", "sh", "-c", "echo out; echo err >&2; exit 3"));
    assert_int_equal(run.status, 3);
    assert_string_equal(run.out, "out\n");
    assert_string_equal(run.err, "err\n");
    rt_process_run_free(&run);
}

/* All byte values, more than any window or ring holds, and the end of the input. */
static void test_binary_both_ways(void **state)
{
    char *input = malloc(4 * BULK);
    struct rt_process_run run;

    (void)state;
    assert_non_null(input);
    workload_fill(1, WORKLOAD_BINARY, 0, input, 4 * BULK);
    harness_cli(&run, input, 4 * BULK, ARGS("run", "-i", "--", "cat"));
    assert_string_equal(run.err, "");
    assert_int_equal(run.status, 0);
    assert_int_equal(run.out_size, 4 * BULK);
    assert_memory_equal(run.out, input, 4 * BULK);
    rt_process_run_free(&run);
    free(input);
}

static void test_stdin_ends(void **state)
{
    struct rt_process_run run;

    (void)state;
    harness_cli(&run, "one\ntwo\n", 8, ARGS("run", "-i", "--", "sh", "-c", "wc -l; echo ended"));
    assert_int_equal(run.status, 0);
    assert_string_equal(run.out, "2\nended\n");
    rt_process_run_free(&run);
}

/* Its process has ended, but someone else holds the pipe: the end does not wait for that for ever. */
static void test_grandchild_keeps_the_pipe(void **state)
{
    uint64_t began = rt_process_now_ms();

    (void)state;
    harness_expect(0, "done\n", ARGS("run", "--", "sh", "-c", "sleep 20 & echo done"));
    assert_true(rt_process_now_ms() - began < 15000);
}

static void test_bulk_then_end(void **state)
{
    char program[RT_PROCESS_PATH];
    struct workload_check check;
    struct rt_process_run run;

    (void)state;
    rt_process_program("workload", program);
    for (int i = 0; i < 5; i++) {
        harness_cli(&run, NULL, 0,
                    ARGS("run", "--", program, "--out-bytes", "3000001", "--in-bytes", "0", "--seed", "9"));
        assert_int_equal(run.status, 0);
        assert_int_equal(run.out_size, 3000001);
        workload_check_init(&check, 9, WORKLOAD_BINARY, 0);
        assert_true(workload_check_feed(&check, run.out, run.out_size));
        rt_process_run_free(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo_in_a_row), cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_streams_apart), cmocka_unit_test(test_binary_both_ways),
        cmocka_unit_test(test_stdin_ends),    cmocka_unit_test(test_grandchild_keeps_the_pipe),
        cmocka_unit_test(test_bulk_then_end),
    };

    return harness_main(1, false, "short", tests, sizeof(tests) / sizeof(tests[0]));
}
