/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/workload_stream.h"
#include "tests/system/cluster/harness.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A client that reads nothing for a minute holds the container up for its hold and no longer; another one gets every
 * byte; the sleeper is told exactly what it missed. */

#define RATE 1048576
/* The stream outlasts the sleep. */
#define SECONDS 66
#define HOLD_MS 3000
#define SLEEP_MS 60000
/* Scheduling of busy machines on top of the hold. */
#define SLACK_MS 20000

static struct harness_attach reader, sleeper;

static void read_both(bool sleeping, unsigned ms)
{
    uint64_t until = rt_process_now_ms() + ms;

    while (rt_process_now_ms() < until && (reader.out >= 0 || sleeper.out >= 0)) {
        (void)harness_read(&reader, 10);
        while (!sleeping && harness_read(&sleeper, 0)) {
        }
    }
}

/* Its bytes are the stream but for the gaps that its stderr tells. Returns the bytes missed. */
static uint64_t check_gaps(const struct harness_attach *attach)
{
    const char *at = attach->err_text;
    uint64_t missed = 0, lost, offset;
    struct workload_check check;
    size_t used = 0;

    workload_check_init(&check, 0, WORKLOAD_BINARY, 0);
    while ((at = strstr(at, "[gap: ")) != NULL) {
        size_t size;
        char *end;

        lost = strtoull(at + strlen("[gap: "), &end, 10);
        assert_int_equal(strncmp(end, " bytes lost at ", 15), 0);
        offset = strtoull(end + 15, NULL, 10);
        size = (size_t)(offset - check.offset);
        assert_true(size <= attach->size - used);
        assert_true(workload_check_feed(&check, attach->text + used, size));
        used += size;
        workload_check_skip(&check, offset + lost);
        missed += lost;
        at++;
    }
    assert_true(workload_check_feed(&check, attach->text + used, attach->size - used));
    assert_true(check.offset == (uint64_t)RATE * SECONDS);
    return missed;
}

static void test_sleeper(void **state)
{
    char program[RT_PROCESS_PATH], bytes[32], rate[32];
    const char *const options[] = {"--first-hold", "60s", NULL};
    const char *const command[] = {program, "--out-bytes", bytes, "--in-bytes", "0", "--rate", rate, NULL};
    struct rt_cluster_vm *vm;
    struct workload_report report;
    uint64_t missed;

    (void)state;
    rt_process_program("workload", program);
    (void)snprintf(bytes, sizeof(bytes), "%d", RATE * SECONDS);
    (void)snprintf(rate, sizeof(rate), "%d", RATE);
    assert_int_equal(rt_cluster_vm_start(&harness, "stream", options, command, &vm), 0);
    harness_start(&reader, false, ARGS("attach", "--no-stdin", "--since-offset", "oldest", "--hold", "5m", "stream"));
    harness_start(&sleeper, false, ARGS("attach", "--no-stdin", "--since-offset", "0", "--hold", "3s", "stream"));
    while (sleeper.size == 0 || reader.size == 0) {
        read_both(false, 10);
    }
    read_both(true, SLEEP_MS);
    read_both(false, 2 * HARNESS_LIMIT_MS);
    assert_int_equal(harness_finish(&reader, HARNESS_LIMIT_MS), 0);
    assert_int_equal(harness_finish(&sleeper, HARNESS_LIMIT_MS), 123); /* it was told gaps */

    assert_true(check_gaps(&reader) == 0);
    missed = check_gaps(&sleeper);
    assert_true(missed > 0);
    assert_true(workload_read_report(reader.err_text, &report));
    print_message("the sleeper missed %" PRIu64 " bytes, the container paused for %" PRIu64 " ms\n", missed,
                  report.pause_ms);
    assert_in_range(report.pause_ms, HOLD_MS / 2, HOLD_MS + SLACK_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sleeper)};
    int status = harness_main(1, false, "sleeper", tests, 1);

    harness_close(&reader);
    harness_close(&sleeper);
    return status;
}
