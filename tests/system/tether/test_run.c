/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/tether/fake_agent.h"

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
#define BULK ((size_t)1 << 20)

/* A command with pipes: streams, exit statuses, signals, environment. */

static void test_echo(void **state)
{
    struct fake_agent *agent = *state;

    fake_start(agent, (const char *const[]){"echo", "hi", NULL});
    fake_finish(agent, 0, LIMIT_MS);
    assert_string_equal(fake_text(agent), "hi\n");
    assert_true(agent->exited);
    assert_int_equal(agent->exit_item.out, 3);
    assert_int_equal(agent->end.out, 3);
    assert_int_equal(agent->tail_size[0], 3);
    assert_memory_equal(agent->tail[0], "hi\n", 3);
}

static void test_streams_apart(void **state)
{
    struct fake_agent *agent = *state;

    fake_sh(agent, "echo out; echo err >&2; exit 3");
    fake_finish(agent, 3, LIMIT_MS);
    assert_string_equal(fake_text(agent), "out\n");
    assert_string_equal((const char *)agent->out[1].data, "err\n");
    assert_int_equal(agent->exit_item.code, 3);
}

static void test_not_found(void **state)
{
    struct fake_agent *agent = *state;

    fake_start(agent, (const char *const[]){"no-such-command-here", NULL});
    fake_finish(agent, 127, LIMIT_MS);
    assert_int_equal(agent->exit_item.code, 127);
}

static void test_cannot_run(void **state)
{
    struct fake_agent *agent = *state;

    fake_start(agent, (const char *const[]){"/etc/passwd", NULL});
    fake_finish(agent, 126, LIMIT_MS);
    assert_int_equal(agent->exit_item.code, 126);
}

static void test_bad_cwd(void **state)
{
    struct fake_agent *agent = *state;
    char log[4096];

    agent->options[0] = "--cwd";
    agent->options[1] = "/no/such/directory";
    fake_start(agent, (const char *const[]){"true", NULL});
    fake_finish(agent, 126, LIMIT_MS);
    fake_log(agent, log, sizeof(log));
    assert_non_null(strstr(log, "/no/such/directory"));
}

static void test_cwd(void **state)
{
    struct fake_agent *agent = *state;

    agent->options[0] = "--cwd";
    agent->options[1] = "/usr";
    fake_start(agent, (const char *const[]){"pwd", NULL});
    fake_finish(agent, 0, LIMIT_MS);
    assert_string_equal(fake_text(agent), "/usr\n");
}

static void test_killed(void **state)
{
    struct fake_agent *agent = *state;

    fake_sh(agent, "kill -9 $$");
    fake_finish(agent, 128 + SIGKILL, LIMIT_MS);
    assert_int_equal(agent->exit_item.sig, SIGKILL);
}

static void test_signals_forwarded(void **state)
{
    struct fake_agent *agent = *state;
    static const struct {
        int sig;
        const char *text;
    } sent[] = {{SIGUSR1, "usr1"}, {SIGHUP, "hup"},   {SIGINT, "int"},
                {SIGQUIT, "quit"}, {SIGWINCH, "win"}, {SIGTERM, "term"}};

    /* The read is restarted by none of them: `wait` returns, and the trap runs. */
    fake_sh(agent, "trap 'echo usr1' USR1; trap 'echo hup' HUP; trap 'echo int' INT; trap 'echo quit' QUIT;"
                   "trap 'echo win' WINCH; trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.02; done");
    fake_until_text(agent, "ready\n", LIMIT_MS);
    for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]) - 1; i++) {
        assert_int_equal(kill(agent->tether, sent[i].sig), 0);
        fake_until_text(agent, sent[i].text, LIMIT_MS);
    }
    assert_int_equal(kill(agent->tether, SIGTERM), 0);
    fake_finish(agent, 5, LIMIT_MS);
}

static void test_signal_item(void **state)
{
    struct fake_agent *agent = *state;

    fake_sh(agent, "echo ready; exec sleep 50");
    fake_until_text(agent, "ready\n", LIMIT_MS);
    fake_item(agent, &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = SIGTERM});
    fake_finish(agent, 128 + SIGTERM, LIMIT_MS);
    assert_int_equal(agent->exit_item.sig, SIGTERM);
}

/* Signals arrive unblocked and with default dispositions, whatever the tether was started with. */
static void test_signal_state(void **state)
{
    struct fake_agent *agent = *state;

    fake_start(agent, (const char *const[]){"grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status", NULL});
    fake_finish(agent, 0, LIMIT_MS);
    assert_string_equal(fake_text(agent), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

static void test_stdin(void **state)
{
    struct fake_agent *agent = *state;

    fake_input(agent, "one\ntwo\n", 8);
    fake_input_end(agent);
    fake_start(agent, (const char *const[]){"cat", NULL});
    fake_finish(agent, 0, LIMIT_MS);
    assert_string_equal(fake_text(agent), "one\ntwo\n");
    assert_int_equal(agent->in[0].acked, 8);
}

static void test_binary_both_ways(void **state)
{
    struct fake_agent *agent = *state;
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
    free(bytes);
}

static bool stdin_closed(struct fake_agent *agent, const void *arg)
{
    (void)arg;
    return agent->in[0].closed;
}

/* The process closes its stdin with input under way: told, with what was applied, while it runs on. */
static void test_process_closes_stdin(void **state)
{
    struct fake_agent *agent = *state;
    static const uint8_t bytes[400000]; /* more than the pipe holds */

    fake_input(agent, bytes, sizeof(bytes));
    fake_sh(agent, "head -c 10 >/dev/null; exec <&-; echo closed; exec sleep 50");
    fake_until_text(agent, "closed\n", LIMIT_MS);
    fake_until(agent, stdin_closed, NULL, LIMIT_MS);
    assert_true(agent->in[0].acked < sizeof(bytes));
    assert_int_equal(kill(agent->tether, SIGTERM), 0);
    fake_finish(agent, 128 + SIGTERM, LIMIT_MS);
}

static void test_stdin_closed_unasked(void **state)
{
    struct fake_agent *agent = *state;

    fake_sh(agent, "exec <&-; exec sleep 50");
    fake_until(agent, stdin_closed, NULL, LIMIT_MS);
    assert_int_equal(kill(agent->tether, SIGTERM), 0);
    fake_finish(agent, 128 + SIGTERM, LIMIT_MS);
}

static void test_environment(void **state)
{
    struct fake_agent *agent = *state;

    agent->env[0] = "RT_TEST_MARK=here";
    fake_sh(agent, "env; tr '\\0' '\\n' </proc/$PPID/environ; tr '\\0' '\\n' </proc/$PPID/cmdline");
    fake_finish(agent, 0, LIMIT_MS);
    assert_non_null(strstr(fake_text(agent), "RT_TEST_MARK=here"));
    assert_null(strstr(fake_text(agent), "RETETHER_TOKEN=rtj"));
    assert_null(strstr(fake_text(agent), FAKE_TOKEN));
}

static void test_token_file(void **state)
{
    struct fake_agent *agent = *state;
    char path[128];
    char env[160];
    FILE *file;

    snprintf(path, sizeof(path), "%s/log", agent->dir); /* removed with the log */
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(FAKE_TOKEN "\n", file);
    fclose(file);
    snprintf(env, sizeof(env), "RETETHER_TOKEN_FILE=%s", path);
    agent->env[0] = env;
    agent->env[1] = "RETETHER_TOKEN=nonsense";
    fake_sh(agent, "env");
    fake_finish(agent, 0, LIMIT_MS);
    assert_null(strstr(fake_text(agent), "RETETHER_TOKEN"));
}

static void test_no_descriptors_leak(void **state)
{
    struct fake_agent *agent = *state;
    int leak = dup(1); /* without close-on-exec: the tether inherits it */

    fake_start(agent, (const char *const[]){"ls", "/proc/self/fd", NULL});
    fake_finish(agent, 0, LIMIT_MS);
    close(leak);
    assert_string_equal(fake_text(agent), "0\n1\n2\n3\n"); /* 3 is the directory that ls reads */
}

static void test_refuses_bad_arguments(void **state)
{
    struct fake_agent *agent = *state;
    char log[4096];

    agent->options[0] = "--ring";
    agent->options[1] = "much";
    fake_start(agent, (const char *const[]){"true", NULL});
    fake_finish(agent, 125, LIMIT_MS);
    fake_log(agent, log, sizeof(log));
    assert_non_null(strstr(log, "\"level\":\"error\""));
    assert_non_null(strstr(log, "much"));
}

static void test_refuses_bad_token(void **state)
{
    struct fake_agent *agent = *state;

    agent->env[0] = "RETETHER_TOKEN=something";
    fake_start(agent, (const char *const[]){"true", NULL});
    fake_finish(agent, 125, LIMIT_MS);
    assert_int_equal(agent->welcomes, 0);
}

#define FAKE_TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_echo),
        FAKE_TEST(test_streams_apart),
        FAKE_TEST(test_not_found),
        FAKE_TEST(test_cannot_run),
        FAKE_TEST(test_bad_cwd),
        FAKE_TEST(test_cwd),
        FAKE_TEST(test_killed),
        FAKE_TEST(test_signals_forwarded),
        FAKE_TEST(test_signal_item),
        FAKE_TEST(test_signal_state),
        FAKE_TEST(test_stdin),
        FAKE_TEST(test_binary_both_ways),
        FAKE_TEST(test_process_closes_stdin),
        FAKE_TEST(test_stdin_closed_unasked),
        FAKE_TEST(test_environment),
        FAKE_TEST(test_token_file),
        FAKE_TEST(test_no_descriptors_leak),
        FAKE_TEST(test_refuses_bad_arguments),
        FAKE_TEST(test_refuses_bad_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
