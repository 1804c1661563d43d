/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/tether/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The log goes to stderr: a pipe stands in for it. */

static int from, saved;
static struct tether_log tlog;
static char text[65536];

static int setup(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    from = fds[0];
    saved = dup(STDERR_FILENO);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    tether_log_init(&tlog, RT_LOG_INFO, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (tlog.sink.out.fd != tlog.sink.out.given) {
        close(tlog.sink.out.fd);
    }
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(from);
    return 0;
}

/* What was written since the last call; returns the number of lines. */
static unsigned lines(void)
{
    ssize_t n = read(from, text, sizeof(text) - 1);
    unsigned count = 0;

    text[n > 0 ? n : 0] = '\0';
    for (const char *c = text; *c != '\0'; c++) {
        count += *c == '\n';
    }
    return count;
}

static void tell(const char *a, const char *b, const char *reason, uint64_t now)
{
    struct retether_guest_event event = {.kind = RETETHER_GUEST_LINK,
                                         .container = "c1",
                                         .life = 2,
                                         .epoch = 9,
                                         .from = a,
                                         .to = b,
                                         .host = "",
                                         .reason = reason};

    tether_log_event(&tlog, &event, now);
}

static void test_json(void **state)
{
    (void)state;
    tell("live", "down", "a \"quoted\\ \033[31m\nreason", 1);
    assert_int_equal(lines(), 1);
    assert_non_null(strstr(text, "\"level\":\"warn\",\"event\":\"link\",\"container\":\"c1\",\"life\":2,\"epoch\":9,"
                                 "\"from\":\"live\",\"to\":\"down\","
                                 "\"reason\":\"a \\\"quoted\\\\ \\u001b[31m\\u000areason\"}\n"));
}

static void test_plain(void **state)
{
    (void)state;
    tlog.sink.json = false;
    tell("live", "down", "\033[31m\xc2\x9b\xe2\x80\xae", 1);
    assert_int_equal(lines(), 1);
    assert_non_null(
        strstr(text, " tether: level=warn event=link container=c1 life=2 epoch=9 from=live to=down reason="));
    assert_null(strchr(text, '\033'));
    assert_non_null(strstr(text, "\\u001b[31m\\u009b\\u202e"));
}

static void test_resent(void **state)
{
    struct retether_guest_event event = {.kind = RETETHER_GUEST_PROCESS,
                                         .container = "c1",
                                         .process = 3,
                                         .resent = 4096,
                                         .from = "running",
                                         .to = "exited",
                                         .host = "",
                                         .reason = "status 0"};

    (void)state;
    tether_log_event(&tlog, &event, 1);
    assert_int_equal(lines(), 1);
    assert_non_null(strstr(text, "\"reason\":\"status 0\",\"resent\":4096}\n"));
}

static void test_absent_agent_is_told_once(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        tell("down", "dialing", "", i * 500);
        tell("dialing", "down", "nobody there", i * 500);
    }
    assert_int_equal(lines(), 1);
    tell("hello", "live", "", 60000);
    tell("live", "down", "closed", 60001);
    assert_int_equal(lines(), 2);
}

static void test_refusals_are_told_again_in_time(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 24; i++) { /* two minutes */
        tell("hello", "refused", "FORKED", i * 5000);
        tell("refused", "down", "", i * 5000 + 1);
    }
    assert_int_equal(lines(), 2);
    tell("hello", "refused", "REWOUND", 200000);
    assert_int_equal(lines(), 1);
}

static void test_flood_is_bounded(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        tell("hello", "live", "", 1000);
        tell("live", "down", "cut", 1000);
    }
    assert_int_equal(lines(), TETHER_LOG_BURST);
    tell("hello", "live", "", 2000);
    assert_int_equal(lines(), 1);
    assert_non_null(strstr(text, "\"suppressed\":1950"));
}

static void test_stay(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } rows[] = {{300000, "stays up to 5m for one\",\"option\":\"--end-timeout\"}\n"},
                {7200000, "stays up to 2h for one\""},
                {90000, "stays up to 90s for one\""},
                {1500, "stays up to 1500ms for one\""},
                {0, "stays as long as it takes for one\"}\n"}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        tether_log_stay(&tlog, "c1", rows[i].ms);
        assert_int_equal(lines(), 1);
        assert_non_null(strstr(text,
                               "\"level\":\"warn\",\"event\":\"end\",\"container\":\"c1\",\"reason\":\"the command "
                               "has ended, and there is no agent to take its exit status: "));
        assert_non_null(strstr(text, rows[i].text));
    }
    tlog.sink.level = RT_LOG_ERROR;
    tether_log_stay(&tlog, "c1", 0);
    assert_int_equal(lines(), 0);
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_json),
        LOG_TEST(test_plain),
        LOG_TEST(test_resent),
        LOG_TEST(test_absent_agent_is_told_once),
        LOG_TEST(test_refusals_are_told_again_in_time),
        LOG_TEST(test_flood_is_bounded),
        LOG_TEST(test_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
