/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/workload_stream.h"
#include "tests/system/cluster/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The store is only the directory: paused, killed, come back empty, no stream notices; and the table is whole again
 * soon. */

#define RATE 1048576
/* More than all buffers on the way hold, in each direction: so much has to cross each outage. */
#define CROSSING ((size_t)1 << 20)
#define PIECE 4096
/* Until the table is whole after the store came back empty: birth mark, heartbeats, claims. */
#define WHOLE_LIMIT_MS 120000
#define ROWS ((size_t)3)

static struct rt_cluster_vm *vm;
static struct harness_attach attach;
static struct workload_check typed; /* its offset and digest are those of the input so far */

/* Types the next bytes of the input if they are taken now. */
static void type(void)
{
    char piece[PIECE];
    ssize_t n;

    workload_fill(typed.seed, typed.form, typed.offset, piece, sizeof(piece));
    n = write(attach.in, piece, sizeof(piece));
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

/* What the table has of one container besides who serves it. */
struct row {
    const char *cid;
    unsigned host; /* that serves it now */
    char label[64], moves[16], created[40];
    char *history; /* owned: `moves --json` */
};

/* Whether this line of `ls --json`, or of none, has the container as running on its host; then its row is filled. */
static bool read_row(const char *list, struct row *row)
{
    char name[64], state[32] = "", on[32] = "";
    const char *at;

    (void)snprintf(name, sizeof(name), "\"%s\"", row->cid);
    at = strstr(list, name);
    while (at != NULL && at > list && at[-1] != '\n') {
        at--;
    }
    if (at == NULL || !harness_json(at, "state", state, sizeof(state)) || !harness_json(at, "host", on, sizeof(on)) ||
        strcmp(state, "running") != 0 || strcmp(on, harness.hosts[row->host].name) != 0) {
        return false;
    }
    assert_true(harness_json(at, "label", row->label, sizeof(row->label)));
    assert_true(harness_json(at, "moves", row->moves, sizeof(row->moves)));
    assert_true(harness_json(at, "created", row->created, sizeof(row->created)));
    return true;
}

/* Whether `ls --json` has all these as running on their hosts. */
static bool listed(struct row *rows, size_t n)
{
    struct rt_process_run run;
    size_t found = 0;

    harness_cli(&run, NULL, 0, ARGS("ls", "--json"));
    for (size_t i = 0; run.status == 0 && i < n; i++) {
        found += read_row(run.out, &rows[i]);
    }
    rt_process_run_free(&run);
    return found == n;
}

/* Until they are; then reads their history, too. */
static void wait_listed(struct row *rows, size_t n)
{
    uint64_t until = rt_process_now_ms() + WHOLE_LIMIT_MS;
    struct rt_process_run run;

    while (!listed(rows, n)) {
        flow_once();
        if (rt_process_now_ms() > until) {
            print_error("not all containers are in the table as running\n");
            fail();
        }
    }
    for (size_t i = 0; i < n; i++) {
        harness_cli(&run, NULL, 0, ARGS("moves", "--json", rows[i].cid));
        assert_int_equal(run.status, 0);
        free(rows[i].history);
        rows[i].history = strdup(run.out);
        assert_non_null(rows[i].history);
        rt_process_run_free(&run);
    }
}

/* Waits for the table, and wants all in it as it was. */
static void wait_as_before(const struct row *before, size_t n)
{
    struct row now[ROWS] = {0};

    for (size_t i = 0; i < n; i++) {
        now[i].cid = before[i].cid;
        now[i].host = before[i].host;
    }
    wait_listed(now, n);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(now[i].label, before[i].label);
        assert_string_equal(now[i].moves, before[i].moves);
        assert_string_equal(now[i].created, before[i].created);
        assert_string_equal(now[i].history, before[i].history);
        free(now[i].history);
    }
}

static struct rt_cluster_vm *start_vm(struct row *row, const char *label, const char *const *command)
{
    const char *const options[] = {"--first-hold", "60s", NULL};
    const char *const with[] = {"--label", label, NULL};
    struct rt_cluster_vm *started;

    harness.create_options = label == NULL ? NULL : with;
    assert_int_equal(rt_cluster_vm_start(&harness, row->cid, options, command, &started), 0);
    harness.create_options = NULL;
    return started;
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

/* The table is lost twice; what is served comes back as it was, whoever served it before and since. */
static void lose_the_table(struct row *rows)
{
    assert_int_equal(rt_test_redis_kill(&harness.redis), 0);
    cross("Redis killed");
    assert_int_equal(rt_test_redis_restart(&harness.redis, true), 0);
    wait_as_before(rows, ROWS);
    cross("Redis empty");
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 0, "eof"), 0);
    rows[0].host = 0;
    wait_listed(rows, ROWS);
    assert_string_equal(rows[0].moves, "2");
    assert_int_equal(rt_test_redis_kill(&harness.redis), 0);
    assert_int_equal(rt_test_redis_restart(&harness.redis, true), 0);
    wait_as_before(rows, ROWS);
}

/* Records go one by one, nobody is told, and somebody makes one of them anew: who serves them has them again. */
static void lose_records(const struct row *rows)
{
    struct rt_process_run run;
    char answer[64];

    assert_int_equal(rt_test_redis_command(&harness.redis, "DEL rt:{local/stream}:r", answer, sizeof(answer)), 0);
    cross("a record lost");
    wait_as_before(rows, ROWS);
    assert_int_equal(rt_test_redis_command(&harness.redis, "DEL rt:{local/moved}:r", answer, sizeof(answer)), 0);
    harness_cli(&run, NULL, 0, ARGS("create", "moved")); /* refused where it is served */
    rt_process_run_free(&run);
    wait_as_before(rows, ROWS);
}

static void test_store_out_under_load(void **state)
{
    char program[RT_PROCESS_PATH], rate[32];
    const char *const command[] = {program, "--endless", "--rate", rate, NULL};
    const char *const sleeps[] = {"sleep", "600", NULL};
    struct row rows[ROWS] = {{.cid = "stream"}, {.cid = "moved"}, {.cid = "plain"}};
    struct rt_cluster_vm *moved;

    (void)state;
    rt_process_program("workload", program);
    (void)snprintf(rate, sizeof(rate), "%d", RATE);
    workload_check_init(&typed, 1, WORKLOAD_BINARY, 0);
    vm = start_vm(&rows[0], "under load", command);
    moved = start_vm(&rows[1], "another one", sleeps);
    (void)start_vm(&rows[2], NULL, sleeps);
    harness_start(&attach, false, ARGS("attach", "--since-offset", "oldest", "--hold", "5m", "stream"));
    cross("at first");
    wait_listed(rows, ROWS);
    assert_string_equal(rows[0].label, "under load");
    assert_int_equal(rt_cluster_vm_move(&harness, moved, 1, "reset"), 0);
    rows[1].host = 1;
    wait_listed(rows, ROWS);

    /* paused, and the container moves meanwhile */
    assert_int_equal(rt_test_redis_pause(&harness.redis), 0);
    cross("Redis paused");
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 1, "reset"), 0);
    cross("Redis paused, moved");
    assert_int_equal(rt_test_redis_resume(&harness.redis), 0);
    rows[0].host = 1;
    wait_listed(rows, ROWS);
    assert_string_equal(rows[0].moves, "1");
    cross("Redis back");
    lose_records(rows);

    /* killed, and restarted empty */
    lose_the_table(rows);
    cross("at last");
    check_both();
    for (size_t i = 0; i < ROWS; i++) {
        free(rows[i].history);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_store_out_under_load)};
    int status = harness_main(2, true, "store", tests, 1);

    harness_close(&attach);
    return status;
}
