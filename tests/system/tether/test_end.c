/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/tether/fake_agent.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_MS 120000

/* How it ends, and what else runs beside the main process. */

static void test_pipe_kept_open(void **state)
{
    struct fake_agent *agent = *state;
    uint64_t began = fake_now_ms();
    long pid;

    agent->options[0] = "--drain-timeout";
    agent->options[1] = "200ms";
    fake_sh(agent, "sleep 60 & echo $!");
    fake_finish(agent, 0, LIMIT_MS);
    assert_true(fake_now_ms() - began < 10000);
    pid = strtol(fake_text(agent), NULL, 10);
    assert_true(pid > 1);
    kill((pid_t)pid, SIGKILL);
}

static void test_late_writer(void **state)
{
    struct fake_agent *agent = *state;

    fake_sh(agent, "(sleep 0.2; echo late) & echo first");
    fake_finish(agent, 0, LIMIT_MS);
    assert_string_equal(fake_text(agent), "first\nlate\n");
}

static void test_short_lived(void **state)
{
    (void)state;
    for (unsigned run = 0; run < 100; run++) {
        void *each = NULL;
        struct fake_agent *agent;

        assert_int_equal(fake_setup(&each), 0);
        agent = each;
        fake_start(agent, (const char *const[]){"echo", "hi", NULL});
        fake_finish(agent, 0, LIMIT_MS);
        assert_string_equal(fake_text(agent), "hi\n");
        fake_teardown(&each);
    }
}

static void test_no_agent(void **state)
{
    struct fake_agent *agent = *state;

    agent->deaf = true;
    agent->options[0] = "--end-timeout";
    agent->options[1] = "300ms";
    fake_sh(agent, "exit 9");
    fake_finish(agent, 9, LIMIT_MS);
}

static void test_end_not_confirmed(void **state)
{
    struct fake_agent *agent = *state;

    agent->slow_end = true;
    agent->options[0] = "--end-timeout";
    agent->options[1] = "500ms";
    fake_sh(agent, "echo done; exit 7");
    fake_finish(agent, 7, LIMIT_MS);
    assert_string_equal(fake_text(agent), "done\n");
}

static void test_nobody_attached(void **state)
{
    struct fake_agent *agent = *state;

    agent->no_attach = true;
    fake_sh(agent, "echo tail; exit 1");
    fake_finish(agent, 1, LIMIT_MS);
    assert_int_equal(agent->end.code, 1);
    assert_int_equal(agent->tail_size[0], 5);
    assert_memory_equal(agent->tail[0], "tail\n", 5);
}

/* As init does: orphans that come to the tether are waited for. */
static void test_orphans_reaped(void **state)
{
    struct fake_agent *agent = *state;

    agent->subreaper = true;
    fake_sh(agent, "p=$(sh -c 'sleep 0.2 >/dev/null & echo $!')\n"
                   "grep -qx \"PPid:.$PPID\" /proc/$p/status && echo mine\n"
                   "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do\n"
                   "  [ -e /proc/$p ] || { echo gone; exit 0; }\n"
                   "  sleep 0.1\n"
                   "done\n"
                   "echo zombie");
    fake_finish(agent, 0, LIMIT_MS);
    assert_string_equal(fake_text(agent), "mine\ngone\n");
}

static bool namespaces_work(void)
{
    return geteuid() == 0 && system("unshare --pid --fork --mount-proc true 2>/dev/null") == 0;
}

/* As the init of its machine: orphans come to it and are reaped, the exit status passes, and nothing is left. */
static void test_as_init(void **state)
{
    struct fake_agent *agent = *state;

    if (!namespaces_work()) {
        print_message("skipped: making a pid namespace needs root\n");
        skip();
    }
    agent->pid_1 = true;
    fake_sh(agent, "echo parent $PPID $(cat /proc/1/comm)\n"
                   "p=$(sh -c 'sleep 0.2 >/dev/null & echo $!')\n"
                   "grep -qx 'PPid:.1' /proc/$p/status && echo orphan\n"
                   "while [ -e /proc/$p ]; do sleep 0.05; done\n"
                   "echo gone\n"
                   "sleep 60 >/dev/null 2>&1 &\n"
                   "exit 42");
    fake_finish(agent, 42, LIMIT_MS);
    assert_string_equal(fake_text(agent), "parent 1 tether\norphan\ngone\n");
}

static void test_as_init_signal(void **state)
{
    struct fake_agent *agent = *state;

    if (!namespaces_work()) {
        print_message("skipped: making a pid namespace needs root\n");
        skip();
    }
    agent->pid_1 = true;
    fake_sh(agent, "echo bye; kill -KILL $$");
    fake_finish(agent, 128 + SIGKILL, LIMIT_MS);
    assert_string_equal(fake_text(agent), "bye\n");
}

static void test_exec(void **state)
{
    struct fake_agent *agent = *state;
    char script[256];

    snprintf(script, sizeof(script), "echo ready; while ! [ -s %s/exec ]; do sleep 0.02; done; cat %s/exec; exit 3",
             agent->dir, agent->dir);
    agent->env[0] = "RT_BASE=base";
    agent->env[1] = "RT_MORE=old";
    fake_sh(agent, script);
    fake_until_text(agent, "ready\n", LIMIT_MS);
    snprintf(script, sizeof(script), "echo $PWD $RT_BASE $RT_MORE >%s/exec.new; mv %s/exec.new %s/exec", agent->dir,
             agent->dir, agent->dir);
    fake_exec(agent, (const char *const[]){"sh", "-c", script, NULL}, (const char *const[]){"RT_MORE=new", NULL},
              "/usr");
    fake_finish(agent, 3, LIMIT_MS);
    assert_string_equal(fake_text(agent), "ready\n/usr base new\n");
}

/* The container is its main process: what was exec'd into it ends with it, with all that its session started. */
static void test_exec_ends_with_main(void **state)
{
    struct fake_agent *agent = *state;
    char script[256];
    char text[32] = "";
    char path[128];
    FILE *file;
    long pid;

    snprintf(script, sizeof(script), "echo ready; while ! [ -s %s/exec ]; do sleep 0.02; done", agent->dir);
    fake_sh(agent, script);
    fake_until_text(agent, "ready\n", LIMIT_MS);
    snprintf(script, sizeof(script), "sleep 60 & echo $! >%s/exec; wait", agent->dir);
    fake_exec(agent, (const char *const[]){"sh", "-c", script, NULL}, NULL, NULL);
    fake_finish(agent, 0, LIMIT_MS);
    snprintf(path, sizeof(path), "%s/exec", agent->dir);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    pid = strtol(text, NULL, 10);
    assert_true(pid > 1);
    for (unsigned i = 0; i < 200 && kill((pid_t)pid, 0) == 0; i++) {
        fake_step(agent, 10);
    }
    assert_int_not_equal(kill((pid_t)pid, 0), 0);
}

#define FAKE_TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_pipe_kept_open),      FAKE_TEST(test_late_writer),
        cmocka_unit_test(test_short_lived),  FAKE_TEST(test_no_agent),
        FAKE_TEST(test_end_not_confirmed),   FAKE_TEST(test_nobody_attached),
        FAKE_TEST(test_orphans_reaped),      FAKE_TEST(test_exec),
        FAKE_TEST(test_exec_ends_with_main), FAKE_TEST(test_as_init),
        FAKE_TEST(test_as_init_signal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
