/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/acl.h"
#include "tests/system/cluster/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Real agents at a store that gives them the ACL of docs/operations.md: all that people do works, nothing is denied,
 * and an operator sees what is missing. */

static struct harness_attach reader;

static int prepare(struct rt_cluster *cluster, unsigned host)
{
    static const char login[] = "retether\nsecret\n";
    struct rt_test_acl acl;
    int fd, rc;

    if (host != 0) {
        return 0;
    }
    (void)snprintf(cluster->store_password, sizeof(cluster->store_password), "%.60s/password", cluster->dir);
    fd = open(cluster->store_password, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -1;
    }
    rc = write(fd, login, strlen(login)) == (ssize_t)strlen(login) ? 0 : -1;
    (void)close(fd);
    return rc != 0 || rt_test_acl_read(&acl, false) != 0 ? -1 : rt_test_acl_set(&cluster->redis, &acl, "secret");
}

static void want_nothing_denied(void)
{
    char answer[64];

    assert_int_equal(rt_test_redis_command(&harness.redis, "ACL LOG", answer, sizeof(answer)), 0);
    assert_string_equal(answer, "*0");
    for (unsigned host = 0; host < 2; host++) {
        assert_int_equal(harness_said(host, "NOPERM"), 0);
    }
}

/* `hosts --store` of a host as an operator has it; by group, which needs root. */
static void want_store(unsigned host, const char *row)
{
    struct rt_process_run run;

    if (geteuid() != 0) {
        return;
    }
    assert_int_not_equal(harness_cli_at(&run, host, false, "hosts", "--store"), 0);
    assert_non_null(strstr(run.err, "not allowed: a vch may not look at the store"));
    rt_process_run_free(&run);
    assert_int_equal(harness_cli_at(&run, host, true, "hosts", "--store"), 0);
    if (strstr(run.out, row) == NULL) {
        fail_msg("no \"%s\" in\n%s", row, run.out);
    }
    rt_process_run_free(&run);
}

static void test_people(void **state)
{
    struct rt_process_run run;
    struct rt_cluster_vm *web, *brief;

    (void)state;
    web = harness_vm("web", "i=0; while read -r l; do echo got $l; done; exit 7");
    harness_start(&reader, false, ARGS("attach", "--hold", "5m", "web"));
    harness_type(&reader, "one\n", 4);
    harness_until(&reader, "got one\n");
    assert_int_equal(rt_cluster_vm_move(&harness, web, 1, "reset"), 0);
    harness_type(&reader, "two\n", 4);
    harness_until(&reader, "got two\n");
    harness_served("web", 1);
    harness_expect(0, "in\n", ARGS("exec", "web", "--", "echo", "in"));
    brief = harness_vm("brief", "echo said; exit 3");
    harness_expect(0, "3\n", ARGS("wait", "brief"));
    harness_expect(0, "said\n", ARGS("logs", "brief"));
    harness_vm_end(brief, 3);
    harness_cli(&run, NULL, 0, ARGS("ls"));
    assert_non_null(strstr(run.out, "web"));
    assert_non_null(strstr(run.out, "brief"));
    rt_process_run_free(&run);
    harness_cli(&run, NULL, 0, ARGS("show", "we")); /* by a prefix */
    assert_non_null(strstr(run.out, "web"));
    rt_process_run_free(&run);
    if (geteuid() == 0) {
        assert_int_equal(harness_cli_at(&run, 1, true, "kick", "local/web"), 0);
        rt_process_run_free(&run);
        assert_int_equal(harness_cli_at(&run, 0, true, "revoke", "local/brief"), 0);
        rt_process_run_free(&run);
    }
    harness_type(&reader, "three\n", 6);
    harness_until(&reader, "got three\n");
    harness_type_end(&reader);
    assert_int_equal(harness_finish(&reader, HARNESS_LIMIT_MS), 7);
    harness_close(&reader);
    harness_vm_end(web, 7);
    want_nothing_denied();
    want_store(0, "rights                   ok       all ");
    want_store(0, "functions                ok       ours are there");
}

/* What is taken away is said, by the agent that starts now at once, and to who asks for it. */
static void test_missing(void **state)
{
    (void)state;
    assert_int_equal(rt_test_acl_change(&harness.redis, "-wait"), 0);
    rt_cluster_agent_kill(&harness, 1);
    assert_int_equal(rt_cluster_agent_start(&harness, 1), 0);
    assert_int_equal(rt_cluster_agent_wait(&harness, 1, HARNESS_LIMIT_MS), 0);
    harness_until_said(1, "the store's rights: missing: +wait: what needs them fails", 1);
    want_store(1, "weak     missing: +wait");
    assert_int_equal(rt_test_acl_change(&harness.redis, "+wait"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_people), cmocka_unit_test(test_missing)};

    return harness_main_in(2, false, prepare, "acl", tests, sizeof(tests) / sizeof(tests[0]));
}
