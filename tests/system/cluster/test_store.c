/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/workload_stream.h"
#include "tests/system/cluster/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The store is only the directory: paused, killed, come back empty, no stream notices; and the table is whole again
 * soon. */

#define RATE 1048576
#define SECONDS 22
#define PAUSE_MS 3000
/* Until the table is whole after the store came back empty: birth mark, heartbeats, claims. */
#define WHOLE_LIMIT_MS 20000

static struct rt_cluster_vm *vm;
static struct harness_attach attach;

/* Reads for so long; returns the bytes that came. */
static size_t flow(unsigned ms)
{
    uint64_t until = rt_process_now_ms() + ms, now;
    size_t before = attach.size;

    while ((now = rt_process_now_ms()) < until) {
        (void)harness_read(&attach, (unsigned)(until - now));
        if (attach.out < 0) {
            print_error("the attach ended: %s\n", attach.err_text);
            fail();
        }
    }
    return attach.size - before;
}

/* Whether `ls --json` has the container as running on that host. */
static bool listed(unsigned host)
{
    struct rt_process_run run;
    char state[32] = "", on[32] = "";
    const char *at;

    harness_cli(&run, NULL, 0, ARGS("ls", "--json"));
    at = strstr(run.out, "\"stream\"");
    while (at != NULL && at > run.out && at[-1] != '\n') {
        at--;
    }
    if (run.status == 0 && at != NULL) {
        (void)harness_json(at, "state", state, sizeof state);
        (void)harness_json(at, "host", on, sizeof on);
    }
    rt_process_run_free(&run);
    return strcmp(state, "running") == 0 && strcmp(on, harness.hosts[host].name) == 0;
}

static void wait_listed(unsigned host)
{
    uint64_t until = rt_process_now_ms() + WHOLE_LIMIT_MS;

    while (!listed(host)) {
        (void)flow(200);
        if (rt_process_now_ms() > until) {
            print_error("the container is not in the table as running on h%u\n", host);
            fail();
        }
    }
}

static void test_store_out_under_load(void **state)
{
    char program[RT_PROCESS_PATH], bytes[32], rate[32];
    const char *const options[] = {"--first-hold", "60s", NULL};
    const char *const command[] = {program, "--out-bytes", bytes, "--in-bytes", "0", "--rate", rate, NULL};
    struct workload_check check;

    (void)state;
    rt_process_program("workload", program);
    (void)snprintf(bytes, sizeof bytes, "%d", RATE * SECONDS);
    (void)snprintf(rate, sizeof rate, "%d", RATE);
    assert_int_equal(rt_cluster_vm_start(&harness, "stream", options, command, &vm), 0);
    harness_start(&attach, false, ARGS("attach", "--since-offset", "oldest", "--hold", "5m", "stream"));
    harness_type_end(&attach);
    assert_true(flow(2000) > 0);
    wait_listed(0);

    /* paused, and the container moves meanwhile */
    assert_int_equal(rt_test_redis_pause(&harness.redis), 0);
    assert_true(flow(PAUSE_MS / 2) > RATE / 2);
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 1, "reset"), 0);
    (void)flow(PAUSE_MS);
    assert_int_equal(rt_test_redis_resume(&harness.redis), 0);
    wait_listed(1);
    assert_true(flow(PAUSE_MS / 2) > RATE / 2);

    /* killed, and restarted empty */
    assert_int_equal(rt_test_redis_kill(&harness.redis), 0);
    assert_true(flow(PAUSE_MS / 2) > RATE / 2);
    assert_int_equal(rt_test_redis_restart(&harness.redis, true), 0);
    wait_listed(1);
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 0, "eof"), 0);
    wait_listed(0);

    assert_int_equal(harness_finish(&attach, 2 * HARNESS_LIMIT_MS), 0);
    workload_check_init(&check, 0, WORKLOAD_BINARY, 0);
    assert_true(workload_check_feed(&check, attach.text, attach.size));
    assert_int_equal(attach.size, RATE * SECONDS);
    assert_null(strstr(attach.err_text, "[gap"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_store_out_under_load)};
    int status = harness_main(2, true, "store", tests, 1);

    harness_close(&attach);
    return status;
}
