/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/tether/fake_agent.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT_MS 120000
#define TAIL_RUNS 200
#define TAIL_BYTES 15000

/* A command on a pseudo-terminal. */

static int tty_setup(void **state)
{
    int rc = fake_setup(state);
    struct fake_agent *agent = *state;

    agent->options[0] = "--tty";
    return rc;
}

static void test_size(void **state)
{
    struct fake_agent *agent = *state;

    fake_start(agent, (const char *const[]){"stty", "size", NULL});
    fake_finish(agent, 0, LIMIT_MS);
    assert_string_equal(fake_text(agent), "24 80\r\n");
}

static void test_resize(void **state)
{
    struct fake_agent *agent = *state;

    agent->rows = 30;
    agent->cols = 100;
    fake_sh(agent, "trap 'stty size' WINCH; stty size; echo ready; while :; do sleep 0.02; done");
    fake_until_text(agent, "ready", LIMIT_MS);
    fake_until_text(agent, "30 100", LIMIT_MS);
    fake_item(agent, &(struct rt_down_item){.t = RT_ITEM_RESIZE, .rows = 41, .cols = 120});
    fake_until_text(agent, "41 120", LIMIT_MS);
    fake_item(agent, &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = SIGKILL});
    fake_finish(agent, 128 + SIGKILL, LIMIT_MS);
}

static void test_interrupt_key(void **state)
{
    struct fake_agent *agent = *state;

    fake_input(agent, "x\n", 2);
    fake_start(agent, (const char *const[]){"cat", NULL});
    fake_until_text(agent, "x\r\nx\r\n", LIMIT_MS);
    fake_input(agent, "\x03", 1);
    fake_finish(agent, 128 + SIGINT, LIMIT_MS);
    assert_int_equal(agent->exit_item.sig, SIGINT);
}

static void test_controlling_terminal(void **state)
{
    struct fake_agent *agent = *state;

    fake_sh(agent, "echo through >/dev/tty; exit 4");
    fake_finish(agent, 4, LIMIT_MS);
    assert_string_equal(fake_text(agent), "through\r\n");
}

/* The suspend key stops the job and leaves the shell: the job has a process group of its own in the foreground. */
static void test_job_control(void **state)
{
    struct fake_agent *agent = *state;

    fake_start(agent,
               (const char *const[]){"sh", "-m", "-c",
                                     "sh -c 'echo job; exec sleep 50'; echo back $?; kill -9 %1; fg; exit 6", NULL});
    fake_until_text(agent, "job\r\n", LIMIT_MS);
    fake_input(agent, "\x1a", 1);
    fake_until_text(agent, "back 148", LIMIT_MS);
    fake_finish(agent, 6, LIMIT_MS);
}

/* A signal is for the job in the foreground, and for the shell. */
static void test_signal_to_the_foreground(void **state)
{
    struct fake_agent *agent = *state;

    fake_start(agent, (const char *const[]){"sh", "-m", "-c",
                                            ("trap 'echo trapped' USR1; sh -c 'echo job; exec sleep 50'; echo back $?; "
                                             "exit 6"),
                                            NULL});
    fake_until_text(agent, "job\r\n", LIMIT_MS);
    fake_item(agent, &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = SIGUSR1});
    fake_finish(agent, 6, LIMIT_MS);
    assert_non_null(strstr(fake_text(agent), "trapped"));
    assert_non_null(strstr(fake_text(agent), "back 138"));
}

static void test_end_of_input(void **state)
{
    struct fake_agent *agent = *state;

    fake_input(agent, "line\n", 5);
    fake_input_end(agent);
    fake_start(agent, (const char *const[]){"cat", NULL});
    fake_finish(agent, 0, LIMIT_MS);
    assert_string_equal(fake_text(agent), "line\r\nline\r\n");
}

static void test_end_in_a_line(void **state)
{
    struct fake_agent *agent = *state;

    fake_input(agent, "begun", 5);
    fake_input_end(agent);
    fake_start(agent, (const char *const[]){"cat", NULL});
    fake_finish(agent, 0, LIMIT_MS);
    assert_string_equal(fake_text(agent), "begunbegun");
}

static void test_raw_binary(void **state)
{
    struct fake_agent *agent = *state;
    uint8_t bytes[100000];

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)fake_random(agent, 256);
    }
    fake_sh(agent, "stty raw -echo; echo go; head -c 100000");
    fake_until_text(agent, "go\n", LIMIT_MS);
    fake_input(agent, bytes, sizeof(bytes));
    fake_finish(agent, 0, LIMIT_MS);
    assert_int_equal(agent->out[0].size, 3 + sizeof(bytes));
    assert_memory_equal(agent->out[0].data + 3, bytes, sizeof(bytes));
}

/* A process that lets go of its terminal has not ended its output: it may open it again. */
static void test_opened_again(void **state)
{
    struct fake_agent *agent = *state;

    fake_sh(agent, "echo first; exec <&- >&- 2>&-; sleep 0.3; echo late >/dev/tty; exit 2");
    fake_finish(agent, 2, LIMIT_MS);
    assert_string_equal(fake_text(agent), "first\r\nlate\r\n");
}

static void test_last_bytes(void **state)
{
    for (unsigned run = 0; run < TAIL_RUNS; run++) {
        void *each = NULL;
        struct fake_agent *agent;
        size_t size;

        assert_int_equal(tty_setup(&each), 0);
        agent = each;
        fake_sh(agent, "head -c 15000 /dev/zero | tr '\\0' x");
        fake_finish(agent, 0, LIMIT_MS);
        size = agent->out[0].size;
        assert_int_equal(strspn(fake_text(agent), "x"), TAIL_BYTES);
        fake_teardown(&each);
        assert_int_equal(size, TAIL_BYTES);
    }
    (void)state;
}

#define TTY_TEST(name) cmocka_unit_test_setup_teardown(name, tty_setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TTY_TEST(test_size),
        TTY_TEST(test_resize),
        TTY_TEST(test_interrupt_key),
        TTY_TEST(test_controlling_terminal),
        TTY_TEST(test_job_control),
        TTY_TEST(test_signal_to_the_foreground),
        TTY_TEST(test_end_of_input),
        TTY_TEST(test_end_in_a_line),
        TTY_TEST(test_raw_binary),
        TTY_TEST(test_opened_again),
        cmocka_unit_test(test_last_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
