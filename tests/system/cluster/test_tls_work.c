/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/pki.h"
#include "tests/lib/workload_stream.h"
#include "tests/system/cluster/harness.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Work over TLS: commands, connections that resume, certificates that are renewed under load. Clients are told TLS
 * addresses alone (rt_cluster_tls()). */

#define HOSTS 2
#define SEED 7
#define OUT_BYTES ((uint64_t)12 << 20)
#define IN_BYTES ((uint64_t)3 << 20)
#define RATE "3M"
/* Of input between two renewals. */
#define PIECE ((uint64_t)256 << 10)

#define ECHO "while read -r line; do echo \"got $line\"; done"

static void test_commands(void **state)
{
    struct rt_cluster_vm *vm;
    struct rt_process_run run;

    (void)state;
    harness_expect(3, "out\n", ARGS("run", "--name", "tls-run", "--", "sh", "-c", "echo out; exit 3"));
    harness_expect(0, "out\n", ARGS("logs", "tls-run"));
    harness_expect(0, "3\n", ARGS("wait", "tls-run"));
    vm = harness_vm("tls-exec", "echo began; " ECHO);
    harness_expect(4, "in\n", ARGS("exec", "tls-exec", "--", "sh", "-c", "echo in; exit 4"));
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 1, "reset"), 0);
    harness_served("tls-exec", 1);
    harness_cli(&run, "to and fro\n", 11, ARGS("exec", "-i", "tls-exec", "--", "cat"));
    assert_int_equal(run.status, 0);
    assert_string_equal(run.out, "to and fro\n");
    rt_process_run_free(&run);
    harness_expect(0, "began\n", ARGS("logs", "tls-exec"));
    harness_expect(0, "", ARGS("signal", "tls-exec", "TERM"));
    harness_vm_end(vm, 128 + SIGTERM);
    harness_expect(0, "143\n", ARGS("wait", "tls-exec"));
    for (unsigned i = 0; i < HOSTS; i++) {
        assert_int_equal(harness_said(i, "\"tls:127.0.0.1") > 0, 1);
    }
}

/* Stops the agent in good order, so that it says what it has counted, and starts another one. */
static void restart(unsigned host, int signum)
{
    assert_int_equal(kill(harness.hosts[host].pid, signum), 0);
    assert_int_not_equal(rt_process_wait(harness.hosts[host].pid, HARNESS_LIMIT_MS), RT_PROCESS_LATE);
    assert_int_equal(rt_cluster_agent_start(&harness, host), 0);
    assert_int_equal(rt_cluster_agent_wait(&harness, host, HARNESS_LIMIT_MS), 0);
}

/* The container is on this host, to which an agent has sent the client, or which the client was given. */
static void resumes_at(unsigned host, const char *cid)
{
    struct rt_cluster_vm *vm = harness_vm(cid, ECHO);
    struct harness_attach attach;

    if (host != 0) {
        assert_int_equal(rt_cluster_vm_move(&harness, vm, host, "reset"), 0);
    }
    harness_served(cid, host);
    harness_start(&attach, false,
                  ARGS("attach", "--since-offset", "oldest", "--agent", harness.hosts[0].more_clients, cid));
    harness_type(&attach, "one\n", 4);
    harness_until(&attach, "got one\n");
    restart(host, SIGKILL);
    harness_type(&attach, "two\n", 4);
    harness_until(&attach, "got two\n");
    restart(host, SIGTERM);
    harness_until_said(host, " tls_resumed 1", 1);
    harness_type(&attach, "three\n", 6);
    harness_until(&attach, "got three\n");
    harness_type_end(&attach);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    assert_string_equal(attach.text, "got one\ngot two\ngot three\n");
    harness_close(&attach);
    harness_vm_end(vm, 0);
}

/* Who comes again to an agent resumes the session of TLS with it, also with another process of that agent: the keys of
 * its tickets come from the key ring. */
static void test_resumed(void **state)
{
    (void)state;
    resumes_at(1, "tls-sent");
    resumes_at(0, "tls-given");
}

static void type(struct harness_attach *attach, uint64_t *at)
{
    static uint8_t piece[PIECE];

    workload_fill(SEED + 1, WORKLOAD_BINARY, *at, piece, sizeof(piece));
    harness_type(attach, piece, sizeof(piece));
    *at += sizeof(piece);
}

/* What both ends saw, and that the client never had to connect anew. */
static void check(const struct harness_attach *attach)
{
    struct workload_check check;
    struct workload_report report;

    workload_check_init(&check, SEED, WORKLOAD_BINARY, 0);
    assert_true(workload_check_feed(&check, attach->text, attach->size));
    assert_int_equal(check.offset, OUT_BYTES);
    assert_true(workload_read_report(attach->err_text, &report));
    assert_int_equal(report.out, OUT_BYTES);
    assert_int_equal(report.in, IN_BYTES);
    if (strstr(attach->err_text, "interrupted") != NULL ||
        strstr(attach->err_text, "retether: 0 bytes of input were sent again") == NULL) {
        fail_msg("%s", attach->err_text);
    }
}

/* The agent's certificate is made anew under load, again and again: who is there stays, and who comes is let in. */
static void test_renewed_under_load(void **state)
{
    const char *command[] = {NULL, "--out-bytes", "12M", "--in-bytes", "3M", "--rate", RATE, "--seed", "7", NULL};
    const char *options[] = {"--first-hold", "60s", NULL};
    char program[RT_PROCESS_PATH], ca[128];
    struct rt_cluster_vm *vm;
    struct harness_attach attach;
    uint64_t at = 0;
    unsigned renewed = 0;

    (void)state;
    rt_process_program("workload", program);
    command[0] = program;
    (void)snprintf(ca, sizeof(ca), "%s/ca", harness.dir);
    assert_int_equal(rt_cluster_vm_start(&harness, "tls-load", options, command, &vm), 0);
    harness_start(
        &attach, false,
        ARGS("attach", "-v", "--since-offset", "oldest", "--agent", harness.hosts[0].more_clients, "tls-load"));
    while (at < IN_BYTES) {
        type(&attach, &at);
        assert_int_equal(rt_test_pki_issue(ca, "agent", "h0", harness.hosts[0].tls), 0);
        assert_int_equal(kill(harness.hosts[0].pid, SIGHUP), 0);
        harness_until_said(0, "; certificates of ", ++renewed);
        harness_expect(0, NULL, ARGS("ls", "--agent", harness.hosts[0].more_clients));
        while (harness_read(&attach, 1)) {
        }
    }
    harness_type_end(&attach);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    check(&attach);
    harness_close(&attach);
    harness_vm_end(vm, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_commands), cmocka_unit_test(test_resumed),
                                       cmocka_unit_test(test_renewed_under_load)};

    return harness_main_in(HOSTS, false, rt_cluster_tls, "work over TLS", tests, sizeof(tests) / sizeof(tests[0]));
}
