/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/tether/fake_agent.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_MS 120000
#define BULK ((size_t)4 << 20)

/* What happens to the streams when the agent is late, goes away, or talks nonsense. */

static void test_late_agent(void **state)
{
    struct fake_agent *agent = *state;
    char log[16384];
    char *line;
    unsigned downs = 0;

    agent->deaf = true;
    fake_sh(agent, "echo hi; exit 2");
    usleep(700000);
    fake_listen(agent);
    fake_finish(agent, 2, LIMIT_MS);
    assert_string_equal(fake_text(agent), "hi\n");
    /* Many attempts, one line. */
    fake_log(agent, log, sizeof(log));
    assert_true(agent->epoch > 3);
    for (line = log; (line = strstr(line, "\"to\":\"down\"")) != NULL; line++) {
        downs++;
    }
    assert_int_equal(downs, 1);
}

static void echo_bulk(struct fake_agent *agent)
{
    uint8_t *bytes = malloc(BULK);

    assert_non_null(bytes);
    for (size_t i = 0; i < BULK; i++) {
        bytes[i] = (uint8_t)fake_random(agent, 256);
    }
    fake_input(agent, bytes, BULK);
    fake_input_end(agent);
    fake_start(agent, (const char *const[]){"cat", NULL});
    fake_finish(agent, 0, LIMIT_MS);
    assert_int_equal(agent->out[0].size, BULK);
    assert_memory_equal(agent->out[0].data, bytes, BULK);
    assert_int_equal(agent->in[0].acked, BULK);
    free(bytes);
}

static void test_cut_under_load(void **state)
{
    struct fake_agent *agent = *state;

    agent->cut_after = 60000;
    agent->cuts_left = 100;
    echo_bulk(agent);
    assert_int_equal(agent->cuts_left, 0);
    assert_true(agent->interrupted_out >= 50);
    assert_true(agent->interrupted_in >= 50);
}

/* Cuts in hellos, reports and attach answers. */
static void test_cut_in_handshakes(void **state)
{
    struct fake_agent *agent = *state;

    agent->cut_after = 300;
    agent->cuts_left = 25;
    fake_input(agent, "text\n", 5);
    fake_input_end(agent);
    fake_start(agent, (const char *const[]){"cat", NULL});
    fake_finish(agent, 0, LIMIT_MS);
    assert_string_equal(fake_text(agent), "text\n");
}

static bool is_attached(struct fake_agent *agent, const void *arg)
{
    (void)arg;
    return agent->attached;
}

static void test_garbage(void **state)
{
    struct fake_agent *agent = *state;

    fake_start(agent, (const char *const[]){"cat", NULL});
    fake_until(agent, is_attached, NULL, LIMIT_MS);
    fake_garbage(agent);
    agent->attached = false;
    fake_until(agent, is_attached, NULL, LIMIT_MS);
    assert_int_equal(agent->welcomes, 2);
    fake_input(agent, "still\n", 6);
    fake_input_end(agent);
    fake_finish(agent, 0, LIMIT_MS);
    assert_string_equal(fake_text(agent), "still\n");
}

/* Nobody reads: the process blocks, and its memory does not grow; then every byte comes. */
static void test_hold_blocks(void **state)
{
    struct fake_agent *agent = *state;

    agent->options[0] = "--first-hold";
    agent->options[1] = "60s";
    agent->options[2] = "--ring";
    agent->options[3] = "64K";
    agent->deaf = true;
    fake_sh(agent, "head -c 3000000 /dev/zero | tr '\\0' y; echo end");
    usleep(300000);
    fake_listen(agent);
    fake_finish(agent, 0, LIMIT_MS);
    assert_int_equal(strspn(fake_text(agent), "y"), 3000000);
    assert_string_equal(fake_text(agent) + 3000000, "end\n");
}

#define FAKE_TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

/* Its stderr is a pipe that is full and stays so: the container is served all the same, to its end. */
static void test_full_log(void **state)
{
    struct fake_agent *agent = *state;
    char path[128];
    char zero[4096] = {0};
    int reader;
    int writer;

    snprintf(path, sizeof(path), "%s/log", agent->dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0 && writer >= 0);
    while (write(writer, zero, sizeof(zero)) > 0) {
    }
    agent->options[0] = "--log-level";
    agent->options[1] = "debug";
    fake_start(agent, (const char *const[]){"cat", NULL});
    fake_until(agent, is_attached, NULL, LIMIT_MS);
    fake_cut(agent);
    fake_input(agent, "still\n", 6);
    fake_input_end(agent);
    fake_finish(agent, 0, LIMIT_MS);
    assert_string_equal(fake_text(agent), "still\n");
    close(reader);
    close(writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_late_agent), FAKE_TEST(test_cut_under_load), FAKE_TEST(test_cut_in_handshakes),
        FAKE_TEST(test_garbage),    FAKE_TEST(test_hold_blocks),    FAKE_TEST(test_full_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
