/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/cluster/harness.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A store without room: a container that ends meanwhile has ended for everybody, and its last output is had from the
 * agent that keeps it, until there is room. */

static void set_maxmemory(const char *value)
{
    char command[64], answer[64];

    (void)snprintf(command, sizeof(command), "CONFIG SET maxmemory %s", value);
    assert_int_equal(rt_test_redis_command(&harness.redis, command, answer, sizeof(answer)), 0);
}

static void touch(const char *path)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

static bool is_empty(const char *path)
{
    struct dirent *entry;
    size_t n = 0;
    DIR *dir = opendir(path);

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        n += entry->d_name[0] != '.';
    }
    (void)closedir(dir);
    return n == 0;
}

/* Both streams in one, as they were written. */
static void expect_logs(const char *agent, const char *want)
{
    char program[RT_PROCESS_PATH], script[RT_PROCESS_PATH + 192];

    rt_process_program("retether", program);
    assert_true(snprintf(script, sizeof(script), "exec '%s' logs --timeout 2m --agent '%s' full 2>&1", program, agent) <
                (int)sizeof(script));
    harness_expect(0, want, (const char *const[]){"sh", "-c", script, NULL});
}

static void test_full(void **state)
{
    static const char want[] = "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\nlast words\n";
    char go[96], script[320], first[112], second[112], ends[128];
    struct rt_cluster_vm *vm;
    struct rt_process_run run;
    uint64_t until;

    (void)state;
    (void)snprintf(go, sizeof(go), "%s/go", harness.dir);
    (void)snprintf(
        script, sizeof(script),
        "while [ ! -e %s ]; do sleep 0.02; done; for i in 1 2 3; do echo out $i; sleep 0.2; echo err $i >&2; "
        "sleep 0.2; done; echo last words; exit 7",
        go);
    (void)snprintf(second, sizeof(second), "unix:%s", harness.hosts[1].clients);
    (void)snprintf(ends, sizeof(ends), "%s/ends", harness.hosts[0].state);
    vm = harness_vm("full", script);
    harness_served("full", 0);
    set_maxmemory("1");
    touch(go);
    harness_vm_end(vm, 7);
    assert_false(is_empty(ends));
    harness_expect(0, "7\n", ARGS("wait", "--agent", second, "full"));
    expect_logs(second, want);
    harness_expect(7, NULL, ARGS("attach", "--agent", second, "--no-stdin", "full"));

    /* Who keeps them is gone: the status is there, and what is not is said; after the time in which the guest might
     * come. */
    rt_cluster_agent_kill(&harness, 0);
    harness_expect(0, "7\n", ARGS("wait", "--agent", second, "full"));
    harness_cli(&run, NULL, 0, ARGS("logs", "--timeout", "2m", "--agent", second, "full"));
    assert_int_equal(run.status, 0);
    assert_non_null(strstr(run.err, "is kept by the agent of h0 alone"));
    rt_process_run_free(&run);

    /* The next agent of that host has them on its disk, and nobody else has. */
    assert_int_equal(rt_cluster_agent_start(&harness, 0), 0);
    assert_int_equal(rt_cluster_agent_wait(&harness, 0, HARNESS_LIMIT_MS), 0);
    (void)snprintf(first, sizeof(first), "unix:%s", harness.hosts[0].clients);
    expect_logs(first, want);
    assert_false(is_empty(ends));

    /* There is room again: it stores what it has found. */
    set_maxmemory("0");
    until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    while (!is_empty(ends)) {
        assert_true(rt_process_now_ms() < until);
        (void)usleep(20000);
    }
    rt_cluster_agent_kill(&harness, 0);
    expect_logs(second, want);
    harness_expect(0, "7\n", ARGS("wait", "--agent", second, "full"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_full)};

    return harness_main(2, false, "full", tests, 1);
}
