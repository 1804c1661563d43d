/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/pki.h"
#include "tests/system/cluster/harness.h"

#include <stdio.h>
#include <string.h>

/* Who may only read, by its certificate: a viewer, and an operator where operators read. What they see of a container
 * is exact, also across a move; what they may not do they are told in words. */

static const char *const operators_read[] = {"--operators-read", "yes", NULL};
static char viewer[128], boss[128];

static int prepare(struct rt_cluster *cluster, unsigned host)
{
    char ca[128];

    cluster->hosts[host].agent_options = operators_read;
    if (rt_cluster_tls(cluster, host) != 0) {
        return -1;
    }
    (void)snprintf(ca, sizeof(ca), "%s/ca", cluster->dir);
    (void)snprintf(viewer, sizeof(viewer), "%s/viewer", cluster->dir);
    (void)snprintf(boss, sizeof(boss), "%s/operator", cluster->dir);
    return host == 0 && (rt_test_pki_issue(ca, "viewer", "local", viewer) != 0 ||
                         rt_test_pki_issue(ca, "operator", NULL, boss) != 0)
               ? -1
               : 0;
}

static void test_reads(void **state)
{
    struct rt_cluster_vm *vm = harness_vm("seen", "while read -r line; do echo \"got $line\"; done");
    struct harness_attach typist, watches[4];

    (void)state;
    harness_start(&typist, false, ARGS("attach", "seen"));
    harness_type(&typist, "one\n", 4);
    harness_until(&typist, "got one\n");
    harness_start(&watches[0], false,
                  ARGS("attach", "--tls", viewer, "--no-stdin", "--since-offset", "oldest", "seen"));
    harness_start(&watches[1], false, ARGS("logs", "--tls", viewer, "-f", "seen"));
    harness_start(&watches[2], false, ARGS("logs", "--tls", boss, "-f", "local/seen"));
    harness_start(&watches[3], true, /* with a terminal, whose size changes nothing there */
                  ARGS("attach", "--tls", viewer, "--no-stdin", "--since-offset", "oldest", "seen"));
    for (unsigned i = 0; i < 4; i++) {
        harness_until(&watches[i], "got one");
    }
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 1, "reset"), 0);
    harness_type(&typist, "two\n", 4);
    for (unsigned i = 0; i < 4; i++) {
        harness_until(&watches[i], "got two");
    }
    harness_expect(0, "got one\ngot two\n", ARGS("logs", "--tls", viewer, "seen"));
    harness_type_end(&typist);
    assert_int_equal(harness_finish(&typist, HARNESS_LIMIT_MS), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(harness_finish(&watches[i], HARNESS_LIMIT_MS), 0);
        assert_string_equal(watches[i].text, i < 3 ? "got one\ngot two\n" : "got one\r\ngot two\r\n");
        harness_close(&watches[i]);
    }
    harness_expect(0, "0\n", ARGS("wait", "--tls", viewer, "seen"));
    harness_close(&typist);
    harness_vm_end(vm, 0);
}

static void denied(const char *const *args, const char *says)
{
    struct harness_attach attach;

    harness_start(&attach, false, args); /* its stdin is a pipe, which is open */
    harness_until_err(&attach, says);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 125);
    assert_string_equal(attach.text, "");
    harness_close(&attach);
}

static void test_does_nothing(void **state)
{
    struct rt_cluster_vm *vm = harness_vm("let-be", "read -r line; exit 3");
    struct harness_attach waits, typist;

    (void)state;
    harness_start(&waits, false, ARGS("wait", "--tls", viewer, "let-be"));
    denied(ARGS("attach", "--tls", viewer, "let-be"), "not allowed: a viewer may not send input");
    denied(ARGS("attach", "--tls", boss, "local/let-be"), "not allowed: an operator may not send input");
    denied(ARGS("attach", "--tls", viewer, "--no-stdin", "--sig-proxy", "let-be"), "not allowed: a viewer may not");
    denied(ARGS("signal", "--tls", viewer, "let-be", "KILL"), "not allowed: a viewer may not");
    denied(ARGS("exec", "--tls", viewer, "let-be", "true"), "not allowed: a viewer may not");
    harness_start(&typist, false, ARGS("attach", "let-be"));
    harness_type(&typist, "go\n", 3);
    assert_int_equal(harness_finish(&typist, HARNESS_LIMIT_MS), 3);
    assert_int_equal(harness_finish(&waits, HARNESS_LIMIT_MS), 0);
    assert_string_equal(waits.text, "3\n");
    harness_close(&typist);
    harness_close(&waits);
    harness_vm_end(vm, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reads), cmocka_unit_test(test_does_nothing)};

    return harness_main_in(2, false, prepare, "who only reads", tests, 2);
}
