/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/workload_stream.h"
#include "tests/system/cluster/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* Where an attach begins, what signals and keys do to it, and how it is taken up again. */

/* More than the pipe of a process holds; all of it fits into that and the windows on the way. */
#define TYPED 400000
#define PASTED_ARGS_MAX 16

/* Until `retether logs` prints that, on stdout and on stderr. */
static void until_logged(const char *cid, const char *out, const char *err)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    struct rt_process_run run;
    bool there = false;

    while (!there) {
        harness_cli(&run, NULL, 0, ARGS("logs", cid));
        there = strstr(run.out, out) != NULL && strstr(run.err, err) != NULL;
        rt_process_run_free(&run);
        assert_true(rt_process_now_ms() < until);
    }
}

static void expect_state(const char *cid, const char *state)
{
    struct rt_process_run run;
    char text[32] = "";

    harness_cli(&run, NULL, 0, ARGS("show", "--json", cid));
    assert_int_equal(run.status, 0);
    assert_true(harness_json(run.out, "state", text, sizeof(text)));
    assert_string_equal(text, state);
    rt_process_run_free(&run);
}

static void test_tails(void **state)
{
    struct rt_cluster_vm *vm =
        harness_vm("tails", "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; echo oops $i >&2; done\n"
                            "read word; echo $word; echo $word >&2");
    struct harness_attach lines, bytes, now;

    (void)state;
    until_logged("tails", "line 9\n", "oops 9\n");
    harness_start(&lines, false, ARGS("attach", "--no-stdin", "-n", "2", "tails"));
    harness_start(&bytes, false, ARGS("attach", "--no-stdin", "--tail-bytes", "5", "tails"));
    harness_until(&lines, "line 9\n");
    harness_until(&bytes, "ne 9\n");
    harness_start(&now, false, ARGS("attach", "tails"));
    harness_type(&now, "over\n", 5);
    assert_int_equal(harness_finish(&now, HARNESS_LIMIT_MS), 0);
    assert_string_equal(now.text, "over\n");
    assert_string_equal(now.err_text, "over\n");
    assert_int_equal(harness_finish(&lines, HARNESS_LIMIT_MS), 0);
    assert_string_equal(lines.text, "line 8\nline 9\nover\n");
    assert_string_equal(lines.err_text, "oops 8\noops 9\nover\n");
    assert_int_equal(harness_finish(&bytes, HARNESS_LIMIT_MS), 0);
    assert_string_equal(bytes.text, "ne 9\nover\n");
    assert_string_equal(bytes.err_text, "ps 9\nover\n");
    harness_close(&now);
    harness_close(&lines);
    harness_close(&bytes);
    harness_vm_end(vm, 0);
}

static void test_signals_passed_on(void **state)
{
    static const struct {
        int number;
        const char *line;
    } signals[] = {
        {SIGINT, "got INT\n"},   {SIGHUP, "got HUP\n"},   {SIGQUIT, "got QUIT\n"},
        {SIGUSR1, "got USR1\n"}, {SIGUSR2, "got USR2\n"},
    };
    struct rt_cluster_vm *vm =
        harness_vm("proxied", "for s in INT HUP QUIT USR1 USR2; do trap \"echo got $s\" $s; done\n"
                              "trap 'echo bye; exit 3' TERM\n"
                              "echo ready; while :; do sleep 0.05; done");
    struct harness_attach attach;

    (void)state;
    harness_start(&attach, false, ARGS("attach", "--sig-proxy", "--since-offset", "oldest", "proxied"));
    harness_until(&attach, "ready\n");
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        assert_int_equal(kill(attach.pid, signals[i].number), 0);
        harness_until(&attach, signals[i].line);
    }
    assert_int_equal(kill(attach.pid, SIGTERM), 0);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 3);
    assert_string_equal(attach.text, "ready\ngot INT\ngot HUP\ngot QUIT\ngot USR1\ngot USR2\nbye\n");
    assert_string_equal(attach.err_text, "");
    harness_close(&attach);
    harness_vm_end(vm, 3);
}

/* Without --sig-proxy a signal ends the attach, and only the attach. */
static void test_signals_end_the_attach(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct rt_cluster_vm *vm = harness_vm("lives", "echo ready; read line; echo $line");
    struct harness_attach attach;

    (void)state;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        harness_start(&attach, false, ARGS("attach", "--since-offset", "oldest", "lives"));
        harness_until(&attach, "ready\n");
        assert_int_equal(kill(attach.pid, signals[i]), 0);
        assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 128 + signals[i]);
        assert_string_equal(attach.text, "ready\n");
        assert_string_equal(attach.err_text, "retether: interrupted; this goes on where it stopped:\n"
                                             "  retether attach lives --since-offset 6\n");
        harness_close(&attach);
        expect_state("lives", "running");
    }
    harness_start(&attach, false, ARGS("attach", "lives"));
    harness_type(&attach, "still here\n", 11);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    assert_string_equal(attach.text, "still here\n");
    harness_close(&attach);
    harness_vm_end(vm, 0);
}

static void test_other_detach_keys(void **state)
{
    struct rt_cluster_vm *vm =
        harness_vm("keys", "read a; echo \"1 $a\"; read b; echo \"2 $b\"; read c; echo \"3 $c\"");
    struct harness_attach attach;

    (void)state;
    /* without a terminal there are none by default */
    harness_start(&attach, false, ARGS("attach", "keys"));
    harness_type(&attach, "\x10\x11.\n", 4);
    harness_until(&attach, "1 \x10\x11.\n");
    assert_int_equal(kill(attach.pid, SIGINT), 0);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 128 + SIGINT);
    harness_close(&attach);
    /* a key that begins them and does not go on is passed on */
    harness_start(&attach, false, ARGS("attach", "--detach-keys", "ctrl-a,d", "keys"));
    harness_type(&attach, "x\x01y\n", 4);
    harness_until(&attach, "2 x\x01y\n");
    harness_type(&attach, "\x01\x01\x64", 3);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    assert_string_equal(attach.err_text, "");
    harness_close(&attach);
    expect_state("keys", "running");
    harness_start(&attach, false, ARGS("attach", "--detach-keys", "none", "keys"));
    harness_type(&attach, "z\n", 2);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    assert_string_equal(attach.text, "3 \x01z\n");
    harness_close(&attach);
    harness_vm_end(vm, 0);
}

/* A detach does not wait for ever for a container that takes no input, and says what it did not take. */
static void test_detach_from_who_reads_nothing(void **state)
{
    struct rt_cluster_vm *vm = harness_vm("deaf", "echo ready; while :; do sleep 0.05; done");
    static char typed[TYPED];
    struct harness_attach attach;

    (void)state;
    memset(typed, 'x', sizeof(typed));
    harness_start(&attach, false, ARGS("attach", "--since-offset", "oldest", "--detach-keys", "q,q", "deaf"));
    harness_until(&attach, "ready\n");
    harness_type(&attach, typed, sizeof(typed));
    harness_type(&attach, "qq", 2);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    assert_non_null(strstr(attach.err_text, " bytes of input were not taken\n"));
    harness_close(&attach);
    harness_expect(0, "", ARGS("signal", "deaf", "KILL"));
    harness_vm_end(vm, 128 + SIGKILL);
}

static void test_detach_keys_of_a_terminal(void **state)
{
    struct harness_attach attach;

    (void)state;
    harness_start(&attach, true,
                  ARGS("run", "-it", "--name", "ttykeys", "--detach-keys", "ctrl-],q", "--", "sh", "-c",
                       "stty raw -echo; echo ready; dd bs=1 count=4 2>/dev/null | od -An -tx1; sleep 0.2"));
    harness_until(&attach, "ready");
    harness_type(&attach, "\x10\x11", 2); /* the default ones are keys like others */
    harness_type(&attach,
                 "\x1d"
                 "x",
                 2);
    harness_until(&attach, "10 11 1d 78");
    harness_type(&attach,
                 "\x1d"
                 "q",
                 2);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    harness_close(&attach);
    harness_expect(0, "0\n", ARGS("wait", "ttykeys"));
}

/* What the container took of the input, by the record; waits until there is no more to come. */
static size_t input_taken(const char *cid)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    size_t taken = 0, before;
    unsigned same = 0;

    while (same < 3) {
        struct rt_process_run run;
        char text[32] = "";

        before = taken;
        harness_cli(&run, NULL, 0, ARGS("show", "--json", cid));
        if (harness_json(run.out, "stdin_taken", text, sizeof(text))) {
            taken = (size_t)strtoull(text, NULL, 10);
        }
        rt_process_run_free(&run);
        same = taken > 0 && taken == before ? same + 1 : 0;
        assert_true(rt_process_now_ms() < until);
        rt_process_sleep_ms(600); /* reports come once a second */
    }
    return taken;
}

/* The command on the line that begins with two blanks, as a shell would split it. */
static void paste(const char *said, char *copy, size_t size, const char *args[PASTED_ARGS_MAX])
{
    const char *at = strstr(said, "\n  retether attach ");
    size_t n = 0;

    assert_non_null(at);
    at += 3;
    (void)snprintf(copy, size, "%.*s", (int)strcspn(at, "\n"), at);
    for (char *word = strtok(copy, " "); word != NULL && n < PASTED_ARGS_MAX - 1; word = strtok(NULL, " ")) {
        args[n++] = word;
    }
    args[n] = NULL;
}

/* Nothing is lost or repeated in either direction by who reads what an interrupted attach says. */
static void test_taken_up_again(void **state)
{
    char script[RT_PROCESS_PATH + 128], program[RT_PROCESS_PATH], told[64], copy[256];
    static char typed[TYPED];
    const char *args[PASTED_ARGS_MAX];
    struct harness_attach attach;
    struct workload_report report;
    struct rt_cluster_vm *vm;
    size_t taken;
    int left;

    (void)state;
    rt_process_program("workload", program);
    (void)snprintf(script, sizeof(script),
                   "trap : USR1; echo ready; sleep 60 & wait; kill $!; exec %s --out-bytes 640 --in-bytes %d", program,
                   TYPED);
    workload_fill(1, WORKLOAD_BINARY, 0, typed, sizeof(typed));
    vm = harness_vm("pasted", script);
    harness_start(&attach, false, ARGS("attach", "--since-offset", "oldest", "pasted"));
    harness_until(&attach, "ready\n");
    harness_type(&attach, typed, sizeof(typed));
    do { /* until it has read all */
        (void)harness_read(&attach, 10);
        assert_int_equal(ioctl(attach.in, FIONREAD, &left), 0);
    } while (left > 0);
    taken = input_taken("pasted");
    assert_in_range(taken, 1, TYPED - 1);
    assert_int_equal(kill(attach.pid, SIGINT), 0);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 128 + SIGINT);
    (void)snprintf(told, sizeof(told), "retether: %zu bytes of input were not taken\n", TYPED - taken);
    assert_non_null(strstr(attach.err_text, told));
    paste(attach.err_text, copy, sizeof(copy), args);
    harness_close(&attach);

    harness_start(&attach, false, args);
    harness_expect(0, "", ARGS("signal", "pasted", "USR1"));
    harness_type(&attach, typed + taken, sizeof(typed) - taken);
    harness_type_end(&attach);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    assert_true(workload_read_report(attach.err_text, &report));
    assert_int_equal(report.in, TYPED);
    assert_int_equal(report.out, attach.size);
    harness_close(&attach);
    harness_vm_end(vm, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tails),
        cmocka_unit_test(test_signals_passed_on),
        cmocka_unit_test(test_signals_end_the_attach),
        cmocka_unit_test(test_other_detach_keys),
        cmocka_unit_test(test_detach_from_who_reads_nothing),
        cmocka_unit_test(test_detach_keys_of_a_terminal),
        cmocka_unit_test(test_taken_up_again),
    };

    return harness_main(1, false, "attach", tests, sizeof(tests) / sizeof(tests[0]));
}
