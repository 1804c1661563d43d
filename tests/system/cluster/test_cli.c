/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/workload_stream.h"
#include "tests/system/cluster/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIGNALS 50

/* The commands on containers that run and that have ended. */

static void test_exec(void **state)
{
    struct rt_cluster_vm *vm = harness_vm("alpha-one", "trap 'exit 3' TERM; while :; do sleep 0.05; done");
    struct harness_attach attach;
    struct rt_process_run run;

    (void)state;
    harness_expect(7, "in\n", ARGS("exec", "alpha-one", "--", "sh", "-c", "echo in; exit 7"));
    harness_expect(127, "", ARGS("exec", "alpha-one", "--", "no-such-command-here"));
    harness_expect(126, "", ARGS("exec", "alpha-one", "--", "/etc/passwd"));
    harness_expect(128 + SIGKILL, "", ARGS("exec", "alpha-one", "--", "sh", "-c", "kill -9 $$"));
    harness_cli(&run, "to and fro\n", 11, ARGS("exec", "-i", "alpha-one", "--", "cat"));
    assert_int_equal(run.status, 0);
    assert_string_equal(run.out, "to and fro\n");
    rt_process_run_free(&run);
    harness_start(&attach, true, ARGS("exec", "-it", "alpha-one", "--", "sh", "-c", "stty size; tty; exit 5"));
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 5);
    assert_non_null(strstr(attach.text, "24 80\r\n/dev/pts/"));
    harness_close(&attach);
    harness_expect(0, "", ARGS("signal", "alpha-one", "TERM"));
    harness_expect(0, "3\n", ARGS("wait", "alpha-one"));
    harness_vm_end(vm, 3);
}

static void test_logs_and_wait_after_the_end(void **state)
{
    struct rt_cluster_vm *vm = harness_vm("ended", "echo first; echo second; echo oops >&2; sleep 2; exit 6");
    struct rt_process_run run;

    (void)state;
    rt_process_sleep_ms(700);
    harness_cli(&run, NULL, 0, ARGS("logs", "ended"));
    assert_int_equal(run.status, 0);
    assert_string_equal(run.out, "first\nsecond\n");
    assert_string_equal(run.err, "oops\n");
    rt_process_run_free(&run);
    harness_cli(&run, NULL, 0, ARGS("logs", "-f", "ended"));
    assert_string_equal(run.out, "first\nsecond\n");
    rt_process_run_free(&run);
    harness_vm_end(vm, 6);
    harness_cli(&run, NULL, 0, ARGS("logs", "ended"));
    assert_string_equal(run.out, "first\nsecond\n");
    assert_string_equal(run.err, "oops\n");
    rt_process_run_free(&run);
    harness_expect(0, "6\n", ARGS("wait", "ended"));
    harness_expect(6, "", ARGS("attach", "ended"));
}

/* Both streams in one: in the order in which they were written. */
static void test_logs_in_order(void **state)
{
    static const char want[] = "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\nout 4\nerr 4\n";
    struct rt_cluster_vm *vm =
        harness_vm("order", "for i in 1 2 3 4; do echo out $i; sleep 0.2; echo err $i >&2; sleep 0.2; done; "
                            "sleep 60");
    char program[RT_PROCESS_PATH], script[RT_PROCESS_PATH + 64];
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    struct rt_process_run run;
    bool whole;

    (void)state;
    rt_process_program("retether", program);
    assert_true(snprintf(script, sizeof(script), "exec '%s' logs order 2>&1", program) < (int)sizeof(script));
    do {
        harness_cli(&run, NULL, 0, (const char *const[]){"sh", "-c", script, NULL});
        assert_int_equal(run.status, 0);
        whole = run.out_size >= sizeof(want) - 1;
        if (whole) {
            assert_string_equal(run.out, want);
        }
        rt_process_run_free(&run);
        rt_process_sleep_ms(100);
        assert_true(rt_process_now_ms() < until);
    } while (!whole);
    harness_expect(0, "", ARGS("signal", "order", "KILL"));
    harness_vm_end(vm, 128 + SIGKILL);
    harness_expect(0, want, (const char *const[]){"sh", "-c", script, NULL}); /* now from the store */
}

/* Arguments, environment and directories are bytes: not all of them are text. */
static void test_bytes(void **state)
{
    struct rt_cluster_vm *vm = harness_vm("bytes", "sleep 60");
    char odd[RT_PROCESS_PATH];

    (void)state;
    (void)snprintf(odd, sizeof(odd), "%s/\xff\xfe", harness.dir);
    assert_int_equal(mkdir(odd, 0700), 0);
    harness_expect(0, "\xe9t\xe9 \xff\xfe \xff\n",
                   ARGS("exec", "--cwd", odd, "--env", "ODD=\xff", "bytes", "--", "sh", "-c",
                        "printf '%s %s %s\\n' \"$1\" \"$(basename \"$PWD\")\" \"$ODD\"", "sh", "\xe9t\xe9"));
    assert_int_equal(rmdir(odd), 0);
    harness_expect(0, "", ARGS("signal", "bytes", "KILL"));
    harness_vm_end(vm, 128 + SIGKILL);
}

static void test_prefixes(void **state)
{
    struct rt_cluster_vm *one = harness_vm("beta-one", "read line; echo $line; exit 0");
    struct rt_cluster_vm *two = harness_vm("beta-two", "sleep 60");
    struct rt_process_run run;

    (void)state;
    harness_cli(&run, NULL, 0, ARGS("show", "beta"));
    assert_int_equal(run.status, 125);
    assert_non_null(strstr(run.err, "beta-one"));
    assert_non_null(strstr(run.err, "beta-two"));
    rt_process_run_free(&run);
    harness_cli(&run, NULL, 0, ARGS("show", "no-such"));
    assert_int_equal(run.status, 125);
    rt_process_run_free(&run);
    harness_expect(0, NULL, ARGS("show", "beta-o"));
    harness_cli(&run, "line\n", 5, ARGS("attach", "--since-offset", "oldest", "beta-on"));
    assert_int_equal(run.status, 0);
    assert_string_equal(run.out, "line\n");
    rt_process_run_free(&run);
    harness_expect(0, "", ARGS("signal", "beta-t", "9"));
    harness_vm_end(two, 128 + SIGKILL);
    harness_vm_end(one, 0);
}

/* What starts an attach again where it was interrupted, and continues without a hole. */
static void test_interrupted_attach(void **state)
{
    struct rt_cluster_vm *vm =
        harness_vm("gamma", "i=0; while [ $i -lt 60 ]; do echo line $i; i=$((i+1)); sleep 0.05; done");
    struct harness_attach attach;
    char offset[32], want[2048] = "", all[4096];
    const char *hint;
    size_t size = 0;

    (void)state;
    for (int i = 0; i < 60; i++) {
        size += (size_t)snprintf(want + size, sizeof(want) - size, "line %d\n", i);
    }
    harness_start(&attach, false, ARGS("attach", "--since-offset", "oldest", "gamma"));
    harness_until(&attach, "line 20\n");
    assert_int_equal(kill(attach.pid, SIGINT), 0);
    (void)harness_finish(&attach, HARNESS_LIMIT_MS);
    hint = strstr(attach.err_text, "--since-offset ");
    assert_non_null(hint);
    (void)snprintf(offset, sizeof(offset), "%llu", strtoull(hint + strlen("--since-offset "), NULL, 10));
    assert_int_equal(strtoull(offset, NULL, 10), attach.size);
    (void)snprintf(all, sizeof(all), "%s", attach.text);
    harness_close(&attach);
    harness_start(&attach, false, ARGS("attach", "--since-offset", offset, "gamma"));
    harness_type_end(&attach);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    (void)strncat(all, attach.text, sizeof(all) - strlen(all) - 1);
    assert_string_equal(all, want);
    harness_close(&attach);
    harness_vm_end(vm, 0);
}

/* The agents of the command that is printed: each by a path that a shell would take apart. */
#define AGENTS 7

/* Runs what was printed as whoever reads it would. */
static void start_printed(struct harness_attach *attach, const char *said)
{
    char program[RT_PROCESS_PATH], script[4096];
    const char *line = strstr(said, "\n  retether attach ");

    assert_non_null(line);
    rt_process_program("retether", program);
    assert_true(snprintf(script, sizeof(script), "retether() { exec '%s' \"$@\"; }; %.*s", program,
                         (int)strcspn(line + 3, "\n"), line + 3) < (int)sizeof(script));
    harness_start(attach, false, (const char *const[]){"sh", "-c", script, NULL});
}

static void wait_observed(const char *cid)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    struct rt_process_run run;
    bool observed;

    do {
        rt_process_sleep_ms(100);
        harness_cli(&run, NULL, 0, ARGS("show", "--json", cid));
        observed = strstr(run.out, "\"bound\":true,\"observer\":true") != NULL;
        assert_null(strstr(run.out, "\"observer\":false"));
        rt_process_run_free(&run);
    } while (!observed && rt_process_now_ms() < until);
    assert_true(observed);
}

/* Seven long and odd names of an agent, an observer, keys: the printed command has them all, and goes on. */
static void test_printed_command(void **state)
{
    const char *args[2 * AGENTS + 11] = {"retether", "attach", "theta",         "--since-offset", "oldest",
                                         "--hold",   "0",      "--detach-keys", "ctrl-x,',;",     "--no-stdin"};
    static char agents[AGENTS][144], go[160], script[320];
    struct harness_attach attach, again;
    struct rt_cluster_vm *vm;
    size_t n = 10;
    FILE *file;

    (void)state;
    (void)snprintf(go, sizeof(go), "%s/go", harness.dir);
    (void)snprintf(script, sizeof(script), "echo first; while [ ! -e %s ]; do sleep 0.05; done; echo second; exit 5",
                   go);
    for (unsigned i = 0; i < AGENTS; i++) {
        (void)snprintf(agents[i], sizeof(agents[i]), "unix:%s/it's $HOME; %u %030u.client", harness.dir, i, i);
        assert_int_equal(symlink(harness.hosts[0].clients, agents[i] + strlen("unix:")), 0);
        args[n++] = "--agent";
        args[n++] = agents[i];
    }
    args[n] = NULL;
    vm = harness_vm("theta", script);
    harness_served("theta", 0);
    harness_start(&attach, false, args);
    harness_until(&attach, "first\n");
    assert_int_equal(kill(attach.pid, SIGINT), 0);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 128 + SIGINT);
    start_printed(&again, attach.err_text);
    wait_observed("theta");
    file = fopen(go, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(harness_finish(&again, HARNESS_LIMIT_MS), 5);
    assert_string_equal(again.text, "second\n");
    assert_string_equal(again.err_text, "");
    harness_close(&again);
    harness_close(&attach);
    harness_vm_end(vm, 5);
}

static void fails(int status, const char *text, const char *const *args)
{
    struct rt_process_run run;

    harness_cli(&run, NULL, 0, args);
    if (run.status != status || strstr(run.err, text) == NULL || run.out[0] != '\0') {
        print_error("status %d, wanted %d; \"%s\" is not in: %s\n", run.status, status, text, run.err);
        fail();
    }
    rt_process_run_free(&run);
}

/* A status that says that nothing was run comes with a word. */
static void test_commands_that_cannot_be_run(void **state)
{
    struct rt_cluster_vm *vm = harness_vm("iota", "sleep 60");

    (void)state;
    fails(127, "retether: nosuch: command not found", ARGS("run", "--", "nosuch"));
    fails(126, "retether: /etc/passwd: cannot be run", ARGS("run", "--", "/etc/passwd"));
    fails(126, "or /nope is no directory there", ARGS("run", "--cwd", "/nope", "--", "true"));
    fails(127, "retether: nosuch: command not found", ARGS("exec", "iota", "--", "nosuch"));
    fails(126, "or /nope is no directory there", ARGS("exec", "--cwd", "/nope", "iota", "--", "true"));
    harness_expect(0, "", ARGS("signal", "iota", "KILL"));
    harness_vm_end(vm, 128 + SIGKILL);
    fails(126, "retether: iota has ended, and runs no more commands", ARGS("exec", "iota", "--", "true"));
}

/* An ended container by all its views; then its ID is taken anew, and that is told. */
static void test_ended_by_a_signal(void **state)
{
    struct rt_cluster_vm *vm = harness_vm("kappa", "exec sleep 60");
    struct rt_process_run run;

    (void)state;
    harness_expect(0, "", ARGS("signal", "kappa", "INT"));
    harness_vm_end(vm, 128 + SIGINT);
    harness_expect(0, "130\n", ARGS("wait", "kappa"));
    harness_cli(&run, NULL, 0, ARGS("show", "kappa"));
    assert_non_null(strstr(run.out, "exit       SIGINT (status 130)\n"));
    assert_null(strstr(run.out, "exited 0"));
    rt_process_run_free(&run);
    harness_cli(&run, NULL, 0, ARGS("show", "--json", "kappa"));
    assert_null(strstr(run.out, "\"bound\":true"));
    assert_null(strstr(run.out, "\"code\":0"));
    rt_process_run_free(&run);
    harness_cli(&run, NULL, 0, ARGS("create", "kappa"));
    assert_int_equal(run.status, 0);
    assert_string_equal(run.err, "retether: replaces the ended container kappa (status 130); its output is gone\n");
    rt_process_run_free(&run);
}

/* No agent: the command runs and ends, and the tether says why it stays. */
static void test_tether_that_stays(void **state)
{
    char endpoint[128], token[96];
    struct harness_attach tether;
    FILE *file;

    (void)state;
    (void)snprintf(endpoint, sizeof(endpoint), "unix:%s/nobody.guest", harness.dir);
    (void)snprintf(token, sizeof(token), "%s/token", harness.dir);
    file = fopen(token, "w");
    assert_non_null(file);
    assert_true(fputs("rtj1.AAAA\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    harness_start(&tether, false,
                  (const char *const[]){"tether", "--cid", "lambda", "--agent", endpoint, "--token-file", token,
                                        "--end-timeout", "1500ms", "--", "sleep", "60", NULL});
    harness_until_err(&tether, "\"to\":\"running\"");
    assert_int_equal(kill(tether.pid, SIGTERM), 0);
    harness_until_err(&tether, "there is no agent to take its exit status: stays up to 1500ms for one");
    assert_int_equal(harness_finish(&tether, HARNESS_LIMIT_MS), 128 + SIGTERM);
    harness_close(&tether);
}

/* The first connection of an agent to its store is none to another store. */
static void test_first_connection(void **state)
{
    (void)state;
    assert_int_not_equal(harness_said(1, "first connection"), 0);
    assert_int_equal(harness_said(1, "another store"), 0);
}

static void test_moves_and_json(void **state)
{
    struct rt_cluster_vm *vm = harness_vm("delta", "read line; exit 0");
    struct rt_process_run run;
    char text[128];

    (void)state;
    harness_served("delta", 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(rt_cluster_vm_move(&harness, vm, (i + 1) % 2, i % 2 == 0 ? "reset" : "eof"), 0);
        harness_served("delta", (i + 1) % 2);
    }
    harness_cli(&run, NULL, 0, ARGS("show", "--json", "delta"));
    assert_int_equal(run.status, 0);
    assert_true(harness_json(run.out, "moves", text, sizeof(text)));
    assert_string_equal(text, "4");
    assert_true(harness_json(run.out, "state", text, sizeof(text)));
    assert_string_equal(text, "running");
    rt_process_run_free(&run);
    harness_expect(0, NULL, ARGS("moves", "delta"));
    harness_expect(0, NULL, ARGS("hosts"));
    harness_expect(0, NULL, ARGS("ls"));
    harness_cli(&run, "x\n", 2, ARGS("attach", "delta"));
    assert_int_equal(run.status, 0);
    rt_process_run_free(&run);
    harness_vm_end(vm, 0);
}

/* The schema that docs/cli.md gives to programs. */
static void test_json_fields(void **state)
{
    static const struct {
        const char *args[5], *fields;
    } lines[] = {
        {{"retether", "ls", "--json", "epsilon"},
         "container tenant label state host life epoch moves revoked created claimed seen code signal local"},
        {{"retether", "show", "--json", "epsilon"},
         "container tenant label state host life epoch moves revoked created claimed seen code signal local history "
         "processes processes_exited processes_more attachments attachments_more limits"},
        {{"retether", "moves", "--json", "epsilon"}, "container host life epoch at"},
        {{"retether", "resolve", "--json", "epsilon"}, "container state host life epoch addresses local"},
        {{"retether", "hosts", "--json"}, "host state draining age_ms sessions version sequence addresses"},
        {{"retether", "hosts", "--limits", "--json"}, "host setting tenant has most refused"},
        {{"retether", "create", "--json", "zeta"}, "container token"},
        {{"retether", "signal", "epsilon", "KILL"}, ""},
        {{"retether", "wait", "--json", "epsilon"}, "container status code signal"},
    };
    struct rt_cluster_vm *vm = harness_vm("epsilon", "sleep 60");
    struct rt_process_run run;
    char fields[256];

    (void)state;
    harness_served("epsilon", 0);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        harness_cli(&run, NULL, 0, lines[i].args);
        if (run.status != 0) {
            print_error("retether %s: status %d, %s\n", lines[i].args[1], run.status, run.err);
            fail();
        }
        harness_json_fields(run.out, fields, sizeof(fields));
        assert_string_equal(fields, lines[i].fields);
        rt_process_run_free(&run);
    }
    harness_vm_end(vm, 128 + SIGKILL);
}

/* Commands wait for a store that is out, as long as they were told to, and then say what to do. */
static void test_store_that_is_out(void **state)
{
    static const char *const commands[][6] = {
        {"retether", "ls", NULL},
        {"retether", "show", "out", NULL},
        {"retether", "resolve", "out", NULL},
        {"retether", "hosts", NULL},
        {"retether", "logs", "out", NULL},
        {"retether", "create", "--json", "out-new", NULL},
        {"retether", "run", "--", "true", NULL},
    };
    enum { N = sizeof(commands) / sizeof(commands[0]) };
    struct rt_cluster_vm *vm = harness_vm("out", "echo last; exit 4");
    struct harness_attach runs[N];
    struct rt_process_run run;

    (void)state;
    harness_expect(0, "4\n", ARGS("wait", "out"));
    harness_vm_end(vm, 4);
    assert_int_equal(rt_test_redis_kill(&harness.redis), 0);
    harness_cli(&run, NULL, 0, ARGS("create", "--timeout", "800ms", "out-never"));
    assert_int_equal(run.status, 122);
    assert_string_equal(run.out, "");
    assert_non_null(strstr(run.err, "not possible for 800 ms"));
    assert_non_null(strstr(run.err, "can the agent reach its Redis, and has that room?"));
    rt_process_run_free(&run);
    for (size_t i = 0; i < N; i++) {
        harness_start(&runs[i], false, commands[i]);
    }
    rt_process_sleep_ms(1200);
    assert_int_equal(rt_test_redis_restart(&harness.redis, false), 0);
    for (size_t i = 0; i < N; i++) {
        int status = harness_finish(&runs[i], HARNESS_LIMIT_MS);

        if (status != 0) {
            print_error("retether %s: status %d, %s\n", commands[i][1], status, runs[i].err_text);
            fail();
        }
        if (strcmp(commands[i][1], "logs") == 0) {
            assert_string_equal(runs[i].text, "last\n");
        }
        harness_close(&runs[i]);
    }
    harness_expect(0, NULL, ARGS("show", "out-new"));
    harness_expect(125, "", ARGS("create", "out-new"));
    harness_expect(0, NULL, ARGS("create", "out-never")); /* the refusal meant that nothing was made */
}

/* The signal may end the process, its tether and its machine before the word that it came. */
static void test_signals_that_end(void **state)
{
    char cid[16];

    (void)state;
    for (int i = 0; i < SIGNALS; i++) {
        struct rt_cluster_vm *vm;

        (void)snprintf(cid, sizeof(cid), "kill-%d", i);
        vm = harness_vm(cid, i % 2 == 0 ? "exec sleep 60" : "sleep 60");
        harness_expect(0, "", ARGS("signal", cid, "KILL"));
        harness_vm_end(vm, 128 + SIGKILL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exec),
        cmocka_unit_test(test_logs_and_wait_after_the_end),
        cmocka_unit_test(test_logs_in_order),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_interrupted_attach),
        cmocka_unit_test(test_printed_command),
        cmocka_unit_test(test_commands_that_cannot_be_run),
        cmocka_unit_test(test_ended_by_a_signal),
        cmocka_unit_test(test_tether_that_stays),
        cmocka_unit_test(test_first_connection),
        cmocka_unit_test(test_moves_and_json),
        cmocka_unit_test(test_json_fields),
        cmocka_unit_test(test_signals_that_end),
        cmocka_unit_test(test_store_that_is_out),
    };

    return harness_main(2, false, "cli", tests, sizeof(tests) / sizeof(tests[0]));
}
