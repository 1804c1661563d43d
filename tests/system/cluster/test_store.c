/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/workload_stream.h"
#include "tests/system/cluster/harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The store is only the directory: paused, killed, come back empty, no stream notices; and the table is whole again
 * soon. */

#define RATE 1048576
/* More than all buffers on the way hold, in each direction: so much has to cross each outage. */
#define CROSSING ((size_t)1 << 20)
#define PIECE 4096
/* Until the table is whole after the store came back empty: birth mark, heartbeats, claims. */
#define WHOLE_LIMIT_MS 20000

static struct rt_cluster_vm *vm;
static struct harness_attach attach;
static struct workload_check typed; /* its offset and digest are those of the input so far */

/* Types the next bytes of the input if they are taken now. */
static void type(void)
{
    char piece[PIECE];
    ssize_t n;

    workload_fill(typed.seed, typed.form, typed.offset, piece, sizeof piece);
    n = write(attach.in, piece, sizeof piece);
    if (n > 0) {
        assert_true(workload_check_feed(&typed, piece, (size_t)n));
    } else {
        assert_true(n < 0 && (errno == EAGAIN || errno == EINTR));
    }
}

/* One look at both directions; input comes at about the rate of the output, so that none runs ahead for long. */
static void flow_once(void)
{
    if (typed.offset < attach.size + CROSSING) {
        type();
    }
    (void)harness_read(&attach, 2);
    if (attach.out < 0) {
        print_error("the attach ended: %s\n", attach.err_text);
        fail();
    }
}

/* Until so many more bytes have been taken and have come. */
static void cross(const char *what)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS, in = typed.offset + CROSSING;
    size_t out = attach.size + CROSSING;

    while (attach.size < out || typed.offset < in) {
        flow_once();
        if (rt_process_now_ms() > until) {
            print_error("%s: %zu bytes of output and %zu of input missing\n%s\n", what,
                        attach.size < out ? out - attach.size : 0, typed.offset < in ? (size_t)(in - typed.offset) : 0,
                        attach.err_text);
            fail();
        }
    }
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
        flow_once();
        if (rt_process_now_ms() > until) {
            print_error("the container is not in the table as running on h%u\n", host);
            fail();
        }
    }
}

/* Both directions ended whole: what one end sent is what the other saw. */
static void check_both(void)
{
    struct workload_check got;
    struct workload_report report;

    harness_type_end(&attach);
    assert_int_equal(harness_finish(&attach, 2 * HARNESS_LIMIT_MS), 0);
    assert_null(strstr(attach.err_text, "[gap"));
    assert_true(workload_read_report(attach.err_text, &report));
    workload_check_init(&got, 0, WORKLOAD_BINARY, 0);
    assert_true(workload_check_feed(&got, attach.text, attach.size));
    assert_int_equal(attach.size, report.out);
    assert_int_equal(rt_digest_value(&got.digest), report.out_hash);
    assert_int_equal(typed.offset, report.in);
    assert_int_equal(rt_digest_value(&typed.digest), report.in_hash);
}

static void test_store_out_under_load(void **state)
{
    char program[RT_PROCESS_PATH], rate[32];
    const char *const options[] = {"--first-hold", "60s", NULL};
    const char *const command[] = {program, "--endless", "--rate", rate, NULL};

    (void)state;
    rt_process_program("workload", program);
    (void)snprintf(rate, sizeof rate, "%d", RATE);
    workload_check_init(&typed, 1, WORKLOAD_BINARY, 0);
    assert_int_equal(rt_cluster_vm_start(&harness, "stream", options, command, &vm), 0);
    harness_start(&attach, false, ARGS("attach", "--since-offset", "oldest", "--hold", "5m", "stream"));
    cross("at first");
    wait_listed(0);

    /* paused, and the container moves meanwhile */
    assert_int_equal(rt_test_redis_pause(&harness.redis), 0);
    cross("Redis paused");
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 1, "reset"), 0);
    cross("Redis paused, moved");
    assert_int_equal(rt_test_redis_resume(&harness.redis), 0);
    wait_listed(1);
    cross("Redis back");

    /* killed, and restarted empty */
    assert_int_equal(rt_test_redis_kill(&harness.redis), 0);
    cross("Redis killed");
    assert_int_equal(rt_test_redis_restart(&harness.redis, true), 0);
    wait_listed(1);
    cross("Redis empty");
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 0, "eof"), 0);
    wait_listed(0);
    cross("at last");
    check_both();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_store_out_under_load)};
    int status = harness_main(2, true, "store", tests, 1);

    harness_close(&attach);
    return status;
}
