/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/workload_stream.h"
#include "tests/system/cluster/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An operator drains a host on which a container streams, its agent is killed, and the container is moved away: who is
 * attached notices nothing. */

#define RATE 2097152
#define SECONDS 8

static struct harness_attach reader, waiter;

/* `retether drain WORDS...` as an operator, who knows one agent: that of h1. */
static const char *const *drain(const char *const words[3])
{
    static char program[RT_PROCESS_PATH], agent[160];
    static const char *args[] = {
        "setpriv", "--groups", RT_CLUSTER_OPERATORS, program, "drain", "--agent", agent, NULL, NULL, NULL, NULL};

    rt_process_program("retether", program);
    (void)snprintf(agent, sizeof(agent), "unix:%s", harness.hosts[1].clients);
    for (unsigned i = 0; i < 3; i++) {
        args[7 + i] = words[i];
    }
    return args;
}

#define DRAIN(...) drain((const char *const[3]){__VA_ARGS__})

static void until_state(const char *state)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    struct rt_process_run run;
    char line[64];
    bool found = false;

    (void)snprintf(line, sizeof(line), "{\"host\":\"h0\",\"state\":\"%s\"", state);
    while (!found && rt_process_now_ms() < until) {
        harness_cli(&run, NULL, 0, ARGS("hosts", "--json"));
        found = strstr(run.out, line) != NULL;
        rt_process_run_free(&run);
    }
    assert_true(found);
}

/* At h0, which is the only agent that this client is given. */
static void create(const char *cid)
{
    struct rt_process_run run;

    if (harness_cli_at(&run, 0, false, "create", cid) != 0) {
        fail_msg("create: status %d: %s", run.status, run.err);
    }
    rt_process_run_free(&run);
}

static void denied(void)
{
    struct rt_process_run run;

    assert_int_equal(harness_cli_at(&run, 0, false, "drain", "h0"), 125);
    assert_non_null(strstr(run.err, "not allowed: a vch may not drain hosts"));
    rt_process_run_free(&run);
    assert_int_equal(harness_said(0, "\"event\":\"drains\""), 0);
}

static void test_drain(void **state)
{
    char program[RT_PROCESS_PATH], bytes[32], rate[32];
    const char *const options[] = {"--first-hold", "60s", NULL};
    const char *const command[] = {program, "--out-bytes", bytes, "--in-bytes", "0", "--rate", rate, NULL};
    struct workload_check check;
    struct rt_cluster_vm *vm;

    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: joining a group needs root\n");
        skip();
    }
    rt_process_program("workload", program);
    (void)snprintf(bytes, sizeof(bytes), "%d", RATE * SECONDS);
    (void)snprintf(rate, sizeof(rate), "%d", RATE);
    assert_int_equal(rt_cluster_vm_start(&harness, "leaves", options, command, &vm), 0);
    harness_start(&reader, false, ARGS("attach", "--no-stdin", "--since-offset", "oldest", "--hold", "5m", "leaves"));
    while (reader.size < RATE / 4) {
        (void)harness_read(&reader, 10);
    }
    denied();
    harness_expect(0, "", DRAIN("h0"));
    assert_int_equal(harness_said(0, "\"reason\":\"by unix:1 uid 0\""), 1);
    until_state("draining");
    create("elsewhere");
    harness_expect(122, "", DRAIN("--wait", "--timeout=3s", "h0"));
    harness_start(&waiter, false, DRAIN("--wait", "--json", "h0"));
    harness_until_err(&waiter, "h0 drains; containers there: 1");
    assert_int_equal(kill(vm->tether, SIGSTOP), 0); /* it is long in dialling again */
    rt_cluster_agent_kill(&harness, 0);
    assert_int_equal(rt_cluster_agent_start(&harness, 0), 0);
    assert_int_equal(rt_cluster_agent_wait(&harness, 0, HARNESS_LIMIT_MS), 0);
    harness_until_err(&waiter, "h0 drains; containers there: 0, and perhaps some that have not dialled");
    assert_int_equal(kill(vm->tether, SIGCONT), 0);
    harness_served("leaves", 0);
    until_state("draining");
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 1, "reset"), 0);
    assert_int_equal(harness_finish(&waiter, HARNESS_LIMIT_MS), 0);
    assert_string_equal(waiter.text, "{\"host\":\"h0\",\"draining\":true,\"sessions\":0,\"unsure\":false}\n");
    assert_int_equal(harness_finish(&reader, HARNESS_LIMIT_MS), 0);
    assert_null(strstr(reader.err_text, "[gap"));
    workload_check_init(&check, 0, WORKLOAD_BINARY, 0);
    assert_true(workload_check_feed(&check, reader.text, reader.size));
    assert_true(check.offset == (uint64_t)RATE * SECONDS);
    harness_expect(0, "", DRAIN("--off", "h0"));
    until_state("alive");
    harness_expect(125, "", DRAIN("h9"));
    harness_close(&reader);
    harness_close(&waiter);
    harness_vm_end(vm, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_drain)};

    return harness_main(2, false, "drain", tests, sizeof(tests) / sizeof(tests[0]));
}
