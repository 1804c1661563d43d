/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/cluster/harness.h"

#include <string.h>
#include <unistd.h>

/* An operator revokes a container while it streams: nobody is served any more, at no agent, whatever becomes of agents
 * and store; its tenant may create it anew. */

static struct harness_attach reader;

static int revoke_as(unsigned host, bool boss, struct rt_process_run *run)
{
    return harness_cli_at(run, host, boss, "revoke", boss ? "local/bad" : "bad");
}

/* Its tether, which dials host 0 on and on, is refused once more. */
static void refused_again(void)
{
    static const char text[] = "this container has been revoked";

    harness_until_said(0, text, harness_said(0, text) + 1);
}

static void test_revoke(void **state)
{
    struct rt_process_run run;
    struct rt_cluster_vm *vm, *fresh;
    char answer[64];

    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: joining a group needs root\n");
        skip();
    }
    vm = harness_vm("bad", "while :; do echo tick; sleep 0.05; done");
    harness_start(&reader, false, ARGS("attach", "--no-stdin", "bad"));
    harness_until(&reader, "tick\ntick\n");
    assert_int_not_equal(revoke_as(1, false, &run), 0);
    assert_non_null(strstr(run.err, "not allowed: a vch may not revoke containers"));
    rt_process_run_free(&run);
    harness_served("bad", 0);
    if (revoke_as(1, true, &run) != 0) {
        fail_msg("revoke: status %d: %s", run.status, run.err);
    }
    rt_process_run_free(&run);
    assert_int_equal(harness_finish(&reader, HARNESS_LIMIT_MS), 125);
    assert_non_null(strstr(reader.err_text, "this container has been revoked"));
    assert_int_equal(harness_said(1, "\"event\":\"revoked\""), 1);
    assert_int_equal(harness_said(1, "\"reason\":\"by unix:1 uid 0\""), 1);
    refused_again();
    harness_cli(&run, NULL, 0, ARGS("show", "--json", "bad"));
    assert_non_null(strstr(run.out, "\"revoked\":true"));
    rt_process_run_free(&run);
    harness_cli(&run, NULL, 0, ARGS("attach", "--no-stdin", "bad"));
    assert_int_equal(run.status, 125);
    assert_non_null(strstr(run.err, "this container has been revoked"));
    rt_process_run_free(&run);
    /* Agents that know nothing, with the store; then without it. */
    for (unsigned host = 0; host < 2; host++) {
        rt_cluster_agent_kill(&harness, host);
        assert_int_equal(rt_cluster_agent_start(&harness, host), 0);
        assert_int_equal(rt_cluster_agent_wait(&harness, host, HARNESS_LIMIT_MS), 0);
    }
    refused_again();
    assert_int_equal(rt_test_redis_kill(&harness.redis), 0);
    refused_again();
    assert_int_equal(harness_said(0, "\"event\":\"provisional\""), 0);
    /* A store that has lost everything is told by the agent that knows. */
    assert_int_equal(rt_test_redis_restart(&harness.redis, true), 0);
    do {
        assert_int_equal(rt_test_redis_command(&harness.redis, "EXISTS rt:{local/bad}:v", answer, sizeof(answer)), 0);
    } while (strcmp(answer, ":1") != 0);
    refused_again();
    /* Created anew: another VM with the new token is served, this one is not. */
    fresh = harness_vm("bad", "echo anew");
    harness_expect(0, "anew\n", ARGS("attach", "--no-stdin", "--since-offset", "oldest", "bad"));
    harness_vm_end(fresh, 0);
    refused_again();
    rt_cluster_vm_kill(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_revoke)};
    int status = harness_main(2, false, "revoke", tests, 1);

    harness_close(&reader);
    return status;
}
