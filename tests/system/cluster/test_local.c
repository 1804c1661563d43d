/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/cluster/harness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* The store is out, killed or standing still: `ls` and `show` tell what the agent serves, and say that it is no more
 * than that; nothing says that a container is not there. */

/* At one host's agent. */
static int at(struct rt_process_run *run, unsigned host, const char *const *args)
{
    const char *argv[16] = {"retether", args[0], "--timeout", "3s", "--agent"};
    char agent[128];
    size_t n = 5;

    (void)snprintf(agent, sizeof(agent), "unix:%s", harness.hosts[host].clients);
    argv[n++] = agent;
    for (size_t i = 1; args[i] != NULL; i++) {
        argv[n++] = args[i];
    }
    harness_cli(run, NULL, 0, argv);
    return run->status;
}

#define AT(run, host, ...) at(run, host, (const char *const[]){__VA_ARGS__, NULL})

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* What each agent serves it tells, marked; of the rest it says that it cannot be known. */
static void look(void)
{
    static const char *const mine[] = {"left", "right"}, *const names[] = {"h0", "h1"};
    struct rt_process_run run;
    char mark[64];

    for (unsigned host = 0; host < 2; host++) {
        assert_int_equal(AT(&run, host, "ls"), 0);
        (void)snprintf(mark, sizeof(mark), "local view of %s: ", names[host]);
        assert_true(has(run.err, mark));
        assert_true(has(run.out, mine[host]));
        assert_false(has(run.out, mine[!host]));
        assert_false(has(run.out, "ended"));
        rt_process_run_free(&run);
        assert_int_equal(AT(&run, host, "ls", "--json", mine[host]), 0);
        (void)snprintf(mark, sizeof(mark), "\"local\":\"%s\"", names[host]);
        assert_true(has(run.out, mark));
        rt_process_run_free(&run);
        assert_int_equal(AT(&run, host, "show", mine[host]), 0);
        (void)snprintf(mark, sizeof(mark), "local, of %s\n", names[host]);
        assert_true(has(run.out, "running"));
        assert_true(has(run.out, mark));
        rt_process_run_free(&run);
        assert_int_equal(AT(&run, host, "show", mine[!host]), 122);
        assert_true(has(run.err, "the session store cannot be asked"));
        assert_false(has(run.err, "there is no container"));
        rt_process_run_free(&run);
    }
}

static void nothing_is_not_found(void)
{
    static const char *const asked[][6] = {
        {"show", "nix"},         {"resolve", "nix"},        {"moves", "nix"}, {"attach", "nix"},
        {"exec", "nix", "true"}, {"signal", "nix", "KILL"}, {"logs", "nix"},
    };
    struct harness_attach waits;
    struct rt_process_run run;

    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        (void)at(&run, 0, asked[i]);
        if (run.status != 122 || has(run.err, "there is no container")) {
            print_error("retether %s: status %d\n%s\n", asked[i][0], run.status, run.err);
            fail();
        }
        rt_process_run_free(&run);
    }
    harness_start(&waits, false, ARGS("wait", "nix"));
    harness_until_err(&waits, "waiting for a container of exactly this name");
    assert_int_equal(kill(waits.pid, SIGTERM), 0);
    assert_int_equal(harness_finish(&waits, HARNESS_LIMIT_MS), 128 + SIGTERM);
    assert_false(has(waits.err_text, "there is no container"));
    harness_close(&waits);
}

static void test_store_out(void **state)
{
    const char *const command[] = {"cat", NULL};
    struct harness_attach attach;
    struct rt_cluster_vm *vm;
    struct rt_process_run run;

    (void)state;
    assert_int_equal(rt_cluster_vm_start(&harness, "right", NULL, command, &vm), 0);
    harness_served("right", 0);
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 1, "reset"), 0);
    harness_served("right", 1);
    assert_int_equal(rt_cluster_vm_start(&harness, "left", NULL, command, &vm), 0);
    harness_served("left", 0);
    harness_vm_end(harness_vm("past", "exit 3"), 3);
    harness_expect(0, "3\n", ARGS("wait", "past"));
    assert_int_equal(AT(&run, 0, "ls", "--json"), 0);
    assert_false(has(run.out, "\"local\":\"")); /* null: the store says it */
    assert_string_equal(run.err, "");
    rt_process_run_free(&run);

    assert_int_equal(rt_test_redis_pause(&harness.redis), 0);
    look();
    assert_int_equal(rt_test_redis_kill(&harness.redis), 0);
    look();
    nothing_is_not_found();
    harness_start(&attach, false, ARGS("attach", "left"));
    harness_type(&attach, "hello\n", 6);
    harness_until(&attach, "hello\n");
    harness_type_end(&attach);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    harness_close(&attach);

    /* a whole store says it, and no other */
    assert_int_equal(rt_test_redis_restart(&harness.redis, false), 0);
    harness_cli(&run, NULL, 0, ARGS("show", "--timeout", "2m", "nix"));
    assert_int_equal(run.status, 125);
    assert_true(has(run.err, "there is no container \"nix\""));
    rt_process_run_free(&run);
    assert_int_equal(AT(&run, 0, "ls"), 0);
    assert_true(has(run.out, "past") && has(run.out, "right"));
    assert_string_equal(run.err, "");
    rt_process_run_free(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_store_out)};

    return harness_main(2, false, "local", tests, 1);
}
