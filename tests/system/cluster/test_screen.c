/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/cluster/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a person sees: `retether` in tmux, whose screen is read. tmux has a server, which goes with the cluster's
 * directory. */

#define LINES 200

static char sock[RT_PROCESS_PATH], pid_file[RT_PROCESS_PATH], program[RT_PROCESS_PATH];

/* One command of tmux; its output, to be freed. */
static char *tmux(const char *const *more)
{
    const char *argv[16] = {"tmux", "-S", sock, "-f", "/dev/null"};
    struct rt_process_spec spec;
    struct rt_process_run run;
    char *out;

    for (size_t i = 0; more[i] != NULL; i++) {
        assert_true(i + 6 < sizeof(argv) / sizeof(argv[0]));
        argv[5 + i] = more[i];
    }
    rt_process_spec_init(&spec, argv);
    rt_cluster_cli_env(&harness, &spec);
    assert_int_equal(rt_process_run(&spec, NULL, 0, HARNESS_LIMIT_MS, &run), 0);
    if (run.status != 0) {
        fail_msg("tmux %s: status %d: %s", more[0], run.status, run.err);
    }
    out = strdup(run.out);
    assert_non_null(out);
    rt_process_run_free(&run);
    return out;
}

#define TMUX(...) tmux((const char *const[]){__VA_ARGS__, NULL})

/* Until the screen has this text, or has it no more; the screen, to be freed. */
static char *screen(const char *text, bool has)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;

    for (;;) {
        char *now = TMUX("capture-pane", "-p", "-t", "t");

        if ((strstr(now, text) != NULL) == has) {
            return now;
        }
        if (rt_process_now_ms() >= until) {
            fail_msg("\"%s\" does not %s; the screen has\n%s", text, has ? "come" : "go", now);
        }
        free(now);
        rt_process_sleep_ms(50);
    }
}

static void keys(const char *text)
{
    free(TMUX("send-keys", "-t", "t", "-l", text));
}

static void key(const char *name)
{
    free(TMUX("send-keys", "-t", "t", name));
}

static int setup(void **state)
{
    FILE *file;
    char *pid;

    (void)state;
    rt_process_program("retether", program);
    (void)snprintf(sock, sizeof(sock), "%s/tmux", harness.dir);
    (void)snprintf(pid_file, sizeof(pid_file), "%s/tmux.pid", harness.dir);
    free(TMUX("new-session", "-d", "-s", "t", "-x", "80", "-y", "24", "env PS1='here> ' sh"));
    pid = TMUX("display-message", "-p", "-t", "t", "#{pid}");
    file = fopen(pid_file, "we");
    assert_non_null(file);
    assert_true(fputs(pid, file) >= 0 && fclose(file) == 0);
    free(pid);
    rt_janitor_kill(&harness.janitor, pid_file);
    free(screen("here>", true));
    return 0;
}

static int teardown(void **state)
{
    struct rt_process_run run;

    (void)state;
    /* What a failed test has left running outlives its terminal. */
    harness_cli(&run, NULL, 0, ARGS("signal", "--timeout", "1s", "pager", "KILL"));
    rt_process_run_free(&run);
    free(TMUX("kill-server"));
    return 0;
}

/* Who attaches to a program that fills the screen sees it as it was, though nothing has changed. */
static void test_pager(void **state)
{
    char path[RT_PROCESS_PATH], line[2 * RT_PROCESS_PATH + 64];
    char *first, *again;
    FILE *file;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/text", harness.dir);
    file = fopen(path, "we");
    assert_non_null(file);
    for (int i = 1; i <= LINES; i++) {
        assert_true(fprintf(file, "line %d of the text\n", i) > 0);
    }
    assert_int_equal(fclose(file), 0);
    (void)snprintf(line, sizeof(line), "%s run -it --name pager -- less %s", program, path);
    keys(line);
    key("Enter");
    free(screen("line 23 of the text", true));
    key("Space");
    first = screen("line 46 of the text", true);
    key("C-p");
    key("C-q");
    free(screen("detached; retether attach pager", true));
    keys("clear");
    key("Enter");
    free(screen("line 46 of the text", false));
    (void)snprintf(line, sizeof(line), "%s attach pager", program);
    keys(line);
    key("Enter");
    again = screen("line 46 of the text", true);
    assert_string_equal(again, first);
    free(first);
    free(again);
    key("q");
    free(screen("here>", true));
    harness_expect(0, "0\n", ARGS("wait", "pager"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pager, setup, teardown),
    };

    return harness_main(1, false, "screen", tests, sizeof(tests) / sizeof(tests[0]));
}
