/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/workload_stream.h"
#include "tests/system/cluster/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What sessions are made with, what exec'd commands get, and names that fit too many. */

#define RING 65536
#define OUTPUT 1000000
#define MANY 7
#define EXEC_BYTES ((size_t)3 << 20)
#define EXEC_RATE "1M"

static uint64_t number(const char *json, const char *field)
{
    char text[32];

    assert_true(harness_json(json, field, text, sizeof(text)));
    return strtoull(text, NULL, 10);
}

static void test_label_and_ring(void **state)
{
    static const char *const with[] = {"--label", "front end", "--ring", "64K", NULL};
    char script[RT_PROCESS_PATH + 64], program[RT_PROCESS_PATH], gap[64], text[64];
    static char want[OUTPUT];
    struct rt_cluster_vm *vm;
    struct rt_process_run run;
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS, head = 0, base = 0;
    const char *out;

    (void)state;
    rt_process_program("workload", program);
    (void)snprintf(script, sizeof(script), "%s --out-bytes %d --in-bytes 0 2>/dev/null; read line", program, OUTPUT);
    harness.create_options = with;
    assert_int_equal(rt_cluster_vm_start(&harness, "ringed", NULL, (const char *[]){"sh", "-c", script, NULL}, &vm), 0);
    harness.create_options = NULL;
    while (head < OUTPUT) { /* nobody reads, and nothing waits for a reader */
        harness_cli(&run, NULL, 0, ARGS("show", "--json", "ringed"));
        assert_int_equal(run.status, 0);
        out = strstr(run.out, "\"stream\":\"stdout\"");
        head = out == NULL ? 0 : number(out, "head");
        if (head == OUTPUT) {
            base = number(out, "base");
            assert_in_range(base, OUTPUT - RING, OUTPUT - RING + RING / 8);
            assert_true(harness_json(run.out, "label", text, sizeof(text)));
            assert_string_equal(text, "front end");
        }
        rt_process_run_free(&run);
        assert_true(rt_process_now_ms() < until);
    }
    harness_cli(&run, NULL, 0, ARGS("logs", "ringed"));
    assert_int_equal(run.status, 0);
    workload_fill(0, WORKLOAD_BINARY, 0, want, sizeof(want));
    assert_int_equal(run.out_size, OUTPUT - base);
    assert_memory_equal(run.out, want + base, OUTPUT - base);
    (void)snprintf(gap, sizeof(gap), "[the first %llu bytes are not kept any more]\n", (unsigned long long)base);
    assert_string_equal(run.err, gap);
    rt_process_run_free(&run);
    harness_cli(&run, NULL, 0, ARGS("ls"));
    assert_non_null(strstr(run.out, "front end"));
    rt_process_run_free(&run);
    harness_cli(&run, "\n", 1, ARGS("attach", "ringed"));
    assert_int_equal(run.status, 0);
    rt_process_run_free(&run);
    harness_vm_end(vm, 0);
}

static void test_refused_options(void **state)
{
    static const char *const bad[][8] = {
        {"retether", "create", "--ring", "4095", "refused", NULL},
        {"retether", "create", "--ring", "65M", "refused", NULL},
        {"retether", "create", "--ring", "much", "refused", NULL},
        {"retether", "run", "--ring", "1K", "--", "true", NULL},
        {"retether", "create", "no/slash", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        harness_expect(125, "", bad[i]);
    }
    harness_expect(0, "", ARGS("ls", "--json", "refused"));
}

static void test_exec_environment(void **state)
{
    struct rt_cluster_vm *vm = harness_vm("execs", "export KEPT=kept ONE=main; cd /usr; read line");
    struct rt_process_run run;

    (void)state;
    harness_expect(0, "/tmp 1 two words\n",
                   ARGS("exec", "--cwd", "/tmp", "--env", "ONE=1", "--env", "TWO=two words", "execs", "--", "sh", "-c",
                        "echo $(pwd) $ONE \"$TWO\""));
    harness_expect(0, "empty,\n",
                   ARGS("exec", "--env", "NONE=", "execs", "--", "sh", "-c", "echo ${NONE-unset}empty,$TWO"));
    harness_expect(126, NULL, ARGS("exec", "--cwd", "/no/such/directory", "execs", "--", "true"));
    harness_expect(125, "", ARGS("exec", "--env", "without", "execs", "--", "true"));
    harness_cli(&run, "\n", 1, ARGS("attach", "execs"));
    assert_int_equal(run.status, 0);
    rt_process_run_free(&run);
    harness_vm_end(vm, 0);
}

/* The agent dies in the middle of an exec, twice: it goes on where it was, and has run once. */
static void test_exec_cut(void **state)
{
    char program[RT_PROCESS_PATH], bytes[32];
    struct rt_cluster_vm *vm = harness_vm("execcut", "read line");
    struct harness_attach attach;
    struct workload_check check;
    struct workload_report report;
    struct rt_process_run run;

    (void)state;
    rt_process_program("workload", program);
    (void)snprintf(bytes, sizeof(bytes), "%zu", EXEC_BYTES);
    harness_served("execcut", 0);
    harness_start(
        &attach, false,
        ARGS("exec", "-i", "execcut", "--", program, "--out-bytes", bytes, "--in-bytes", "64", "--rate", EXEC_RATE));
    for (size_t cut = 1; cut <= 2; cut++) {
        while (attach.size < cut * EXEC_BYTES / 4) {
            assert_true(harness_read(&attach, HARNESS_LIMIT_MS));
        }
        rt_cluster_agent_kill(&harness, 0);
        assert_int_equal(rt_cluster_agent_start(&harness, 0), 0);
    }
    workload_fill(1, WORKLOAD_BINARY, 0, bytes, 32);
    harness_type(&attach, bytes, 32);
    workload_fill(1, WORKLOAD_BINARY, 32, bytes, 32);
    harness_type(&attach, bytes, 32);
    harness_type_end(&attach);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    assert_int_equal(attach.size, EXEC_BYTES);
    workload_check_init(&check, 0, WORKLOAD_BINARY, 0);
    assert_true(workload_check_feed(&check, attach.text, attach.size));
    assert_true(workload_read_report(attach.err_text, &report));
    assert_int_equal(report.out_hash, rt_digest_value(&check.digest));
    assert_int_equal(report.in, 64);
    harness_close(&attach);
    harness_served("execcut", 0);
    harness_cli(&run, NULL, 0, ARGS("show", "--json", "execcut"));
    assert_non_null(strstr(run.out, "\"process\":1"));
    assert_null(strstr(run.out, "\"process\":2"));
    rt_process_run_free(&run);
    harness_cli(&run, "\n", 1, ARGS("attach", "execcut"));
    assert_int_equal(run.status, 0);
    rt_process_run_free(&run);
    harness_vm_end(vm, 0);
}

/* A beginning of too many names lists five, and says how many more there are. */
static void test_many_candidates(void **state)
{
    struct rt_process_run run;
    char cid[16];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(cid, sizeof(cid), "many-%d", i);
        harness_expect(0, NULL, ARGS("create", cid));
    }
    harness_cli(&run, NULL, 0, ARGS("attach", "man"));
    assert_int_equal(run.status, 125);
    assert_string_equal(run.out, "");
    assert_string_equal(run.err,
                        "retether: \"man\" fits several containers: many-0, many-1, many-2, many-3, many-4 and 2 "
                        "more; type more of it\n");
    rt_process_run_free(&run);
    harness_expect(0, NULL, ARGS("show", "many-3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_label_and_ring),   cmocka_unit_test(test_refused_options),
        cmocka_unit_test(test_exec_environment), cmocka_unit_test(test_exec_cut),
        cmocka_unit_test(test_many_candidates),
    };

    return harness_main(1, false, "sessions", tests, sizeof(tests) / sizeof(tests[0]));
}
