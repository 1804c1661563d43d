/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/workload_stream.h"
#include "tests/system/cluster/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define TAIL_RUNS 40
#define SIZE_RUNS 20
#define TAIL_BYTES 15040
#define TAIL_LINES (TAIL_BYTES / WORKLOAD_BLOCK)

/* `retether` on a terminal. The prompt of the shell is set so that it is known; PS1 comes from the environment. */

#define SHELL "env", "PS1=ready> ", "sh"

static void test_size_follows(void **state)
{
    struct harness_attach attach;

    (void)state;
    harness_start(&attach, true, ARGS("run", "-it", "--", SHELL));
    harness_until(&attach, "ready> ");
    harness_type(&attach, "stty size\n", 10);
    harness_until(&attach, "24 80\r\n");
    harness_window(&attach, 41, 120);
    harness_type(&attach, "sleep 1; stty size; exit 4\n", 27);
    harness_until(&attach, "41 120\r\n");
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 4);
    harness_close(&attach);
}

/* The command begins at the size of the terminal here, not at another that is mended later. */
static void test_first_size(void **state)
{
    char program[RT_PROCESS_PATH], script[RT_PROCESS_PATH + 128];
    const char *const argv[] = {"sh", "-c", script, NULL};

    (void)state;
    rt_process_program("retether", program);
    assert_true(snprintf(script, sizeof(script), "stty rows 31 cols 97; exec '%s' run -it -- stty size", program) <
                (int)sizeof(script));
    for (int i = 0; i < SIZE_RUNS; i++) {
        struct harness_attach attach;

        harness_start(&attach, true, argv);
        assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
        assert_non_null(strstr(attach.text, "31 97\r\n"));
        harness_close(&attach);
    }
}

static void test_interrupt_key(void **state)
{
    struct harness_attach attach;

    (void)state;
    harness_start(&attach, true, ARGS("run", "-it", "--", "cat"));
    harness_type(&attach, "hello\n", 6);
    harness_until(&attach, "hello\r\nhello\r\n");
    harness_type(&attach, "\x03", 1);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 128 + SIGINT);
    harness_close(&attach);
}

static void test_end_of_file_key(void **state)
{
    struct harness_attach attach;

    (void)state;
    harness_start(&attach, true, ARGS("run", "-it", "--", "cat"));
    harness_type(&attach, "bye\n", 4);
    harness_until(&attach, "bye\r\nbye\r\n");
    harness_type(&attach, "\x04", 1);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    harness_close(&attach);
}

static void test_job_control(void **state)
{
    struct harness_attach attach;

    (void)state;
    harness_start(&attach, true, ARGS("run", "-it", "--", SHELL));
    harness_until(&attach, "ready> ");
    harness_type(&attach, "sleep 60\n", 9);
    harness_until(&attach, "sleep 60\r\n");
    rt_process_sleep_ms(300);
    harness_type(&attach, "\x1a", 1);
    harness_until(&attach, "Stopped");
    harness_type(&attach, "kill -9 %1; wait; sleep 0.2; echo over $((40+2))\n", 50);
    harness_until(&attach, "over 42");
    harness_type(&attach, "exit 0\nexit 0\n", 14); /* the first may warn of the stopped job */
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    harness_close(&attach);
}

static void test_detach_and_attach(void **state)
{
    struct harness_attach attach;

    (void)state;
    harness_start(&attach, true, ARGS("run", "-it", "--name", "detached", "--", SHELL));
    harness_until(&attach, "ready> ");
    harness_type(&attach, "echo one $((1+1))\n", 18);
    harness_until(&attach, "one 2\r\n");
    harness_type(&attach, "\x10\x11", 2); /* ctrl-p ctrl-q */
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    harness_close(&attach);
    harness_start(&attach, true, ARGS("attach", "detached"));
    harness_type(&attach, "echo two $((2+2))\n", 18);
    harness_until(&attach, "two 4\r\n");
    harness_type(&attach, "exit 9\n", 7);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 9);
    harness_close(&attach);
}

/* Finishes it, and wants its terminal as it was. */
static int finish_restored(struct harness_attach *attach)
{
    int fd = dup(attach->out), status;
    struct termios after;

    assert_true(fd >= 0);
    status = harness_finish(attach, HARNESS_LIMIT_MS);
    assert_int_equal(tcgetattr(fd, &after), 0); /* a master tells its slave's */
    assert_true((after.c_oflag & OPOST) != 0);
    assert_true((after.c_lflag & ECHO) != 0);
    assert_true((after.c_lflag & ISIG) != 0);
    (void)close(fd);
    return status;
}

/* The container's terminal has ended its lines already: this one must not do it again, though it takes no keys. */
static void test_without_input(void **state)
{
    struct harness_attach run, attach;

    (void)state;
    harness_start(&run, true,
                  ARGS("run", "-t", "--name", "watched", "--", "sh", "-c",
                       "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); sleep 0.1; done"));
    harness_until(&run, "line 8\r\n");
    harness_start(&attach, true, ARGS("attach", "--no-stdin", "watched"));
    harness_until(&attach, "\r\nline ");
    harness_type(&attach, "\x03", 1);
    assert_int_equal(finish_restored(&attach), 128 + SIGINT);
    assert_null(strstr(attach.text, "\r\r\n"));
    assert_non_null(strstr(attach.text, "attach watched --no-stdin --since-offset "));
    harness_close(&attach);
    harness_type(&run, "\x03", 1); /* run passes it on */
    assert_int_equal(finish_restored(&run), 128 + SIGINT);
    assert_null(strstr(run.text, "\r\r\n"));
    harness_close(&run);
}

static void test_interrupt_without_input(void **state)
{
    struct harness_attach attach;

    (void)state;
    harness_start(&attach, true,
                  ARGS("run", "-t", "--name", "passed", "--", "sh", "-c",
                       "trap 'echo caught; exit 8' INT; echo ready; for i in $(seq 300); do sleep 0.1; done"));
    harness_until(&attach, "ready\r\n");
    harness_type(&attach, "\x03", 1);
    assert_int_equal(finish_restored(&attach), 8);
    assert_non_null(strstr(attach.text, "caught\r\n"));
    harness_close(&attach);
}

/* A terminal's newest bytes are in the kernel when its process ends. */
static void test_last_bytes(void **state)
{
    static char want[TAIL_BYTES + TAIL_LINES + 1], text[TAIL_BYTES];
    char program[RT_PROCESS_PATH], bytes[16], name[16];
    struct harness_attach attach;
    size_t n = 0;

    (void)state;
    rt_process_program("workload", program);
    (void)snprintf(bytes, sizeof(bytes), "%d", TAIL_BYTES);
    workload_fill(0, WORKLOAD_TEXT, 0, text, sizeof(text));
    for (size_t i = 0; i < sizeof(text); i++) {
        if (text[i] == '\n') {
            want[n++] = '\r';
        }
        want[n++] = text[i];
    }
    for (int i = 0; i < TAIL_RUNS; i++) {
        (void)snprintf(name, sizeof(name), "tail-%d", i); /* so that it need not tell a random one */
        harness_start(
            &attach, true,
            ARGS("run", "-it", "--name", name, "--", program, "--line", "--out-bytes", bytes, "--in-bytes", "0"));
        assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
        if (attach.size < n || memcmp(attach.text, want, n) != 0 || strstr(attach.text + n, " ms\r\n") == NULL) {
            print_error("run %d: %zu bytes, the last: %.200s\n", i, attach.size,
                        attach.text + (attach.size > 200 ? attach.size - 200 : 0));
            fail();
        }
        harness_close(&attach);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size_follows),
        cmocka_unit_test(test_interrupt_key),
        cmocka_unit_test(test_first_size),
        cmocka_unit_test(test_end_of_file_key),
        cmocka_unit_test(test_job_control),
        cmocka_unit_test(test_detach_and_attach),
        cmocka_unit_test(test_last_bytes),
        cmocka_unit_test(test_without_input),
        cmocka_unit_test(test_interrupt_without_input),
    };

    return harness_main(1, false, "tty", tests, sizeof(tests) / sizeof(tests[0]));
}
