/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/workload_stream.h"
#include "tests/system/cluster/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An operator kicks a container's guest while it streams: who is attached notices nothing. */

#define KICKS 12
#define RATE 2097152
#define SECONDS 8

static struct harness_attach reader;

/* Both agents are asked in turn, by a beginning of the container's ID or by the whole name; one of them serves it. */
static int kick(unsigned host, bool boss, struct rt_process_run *run)
{
    return harness_cli_at(run, host, boss, "kick", host == 0 ? "kick" : "local/kicked");
}

/* While its guest is on its way back there is nobody to kick. */
static void kick_once(unsigned host)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    struct rt_process_run run;

    while (kick(host, true, &run) != 0) {
        if (strstr(run.err, "no guest of it is connected") == NULL || rt_process_now_ms() > until) {
            fail_msg("kick: status %d: %s", run.status, run.err);
        }
        rt_process_run_free(&run);
        (void)harness_read(&reader, 10);
    }
    assert_string_equal(run.out, "");
    rt_process_run_free(&run);
}

static void test_kick(void **state)
{
    char program[RT_PROCESS_PATH], bytes[32], rate[32];
    const char *const options[] = {"--first-hold", "60s", NULL};
    const char *const command[] = {program, "--out-bytes", bytes, "--in-bytes", "0", "--rate", rate, NULL};
    struct workload_check check;
    struct rt_process_run run;
    struct rt_cluster_vm *vm;

    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: joining a group needs root\n");
        skip();
    }
    rt_process_program("workload", program);
    (void)snprintf(bytes, sizeof(bytes), "%d", RATE * SECONDS);
    (void)snprintf(rate, sizeof(rate), "%d", RATE);
    assert_int_equal(rt_cluster_vm_start(&harness, "kicked", options, command, &vm), 0);
    harness_start(&reader, false, ARGS("attach", "--no-stdin", "--since-offset", "oldest", "--hold", "5m", "kicked"));
    while (reader.size < RATE / 4) {
        (void)harness_read(&reader, 10);
    }
    assert_int_not_equal(kick(0, false, &run), 0);
    assert_non_null(strstr(run.err, "not allowed: a vch may not kick a container's guest"));
    rt_process_run_free(&run);
    for (unsigned i = 0; i < KICKS; i++) {
        kick_once(i % 2);
        for (unsigned k = 0; k < 10; k++) {
            (void)harness_read(&reader, 10);
        }
    }
    assert_int_equal(harness_finish(&reader, HARNESS_LIMIT_MS), 0);
    assert_null(strstr(reader.err_text, "[gap"));
    workload_check_init(&check, 0, WORKLOAD_BINARY, 0);
    assert_true(workload_check_feed(&check, reader.text, reader.size));
    assert_true(check.offset == (uint64_t)RATE * SECONDS);
    assert_int_equal(harness_said(0, "\"event\":\"kicked\""), KICKS);
    assert_true(harness_said(0, "\"reason\":\"by unix:1 uid 0\"") >= KICKS);
    harness_close(&reader);
    harness_vm_end(vm, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kick)};

    return harness_main(2, false, "kick", tests, sizeof(tests) / sizeof(tests[0]));
}
