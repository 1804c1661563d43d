/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct rt_log_sink sink;
static struct rt_log_line line;
static int ends[2];
static char text[1 << 16];

static int setup(void **state)
{
    (void)state;
    if (pipe2(ends, O_CLOEXEC) != 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
        return -1;
    }
    rt_log_open(&sink, ends[1], RT_LOG_INFO, RT_LOG_AUTO, NULL); /* a pipe is no terminal: JSON */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (sink.out.fd != sink.out.given) {
        close(sink.out.fd);
    }
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static const char *taken(void)
{
    ssize_t n = read(ends[0], text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void tell(const char *reason)
{
    rt_log_begin(&line, &sink, RT_LOG_WARN, "link");
    rt_log_number(&line, "life", 2);
    rt_log_field(&line, "from", "");
    rt_log_count(&line, "resent", 0);
    rt_log_field(&line, "reason", reason);
    rt_log_end(&line);
}

static void test_json(void **state)
{
    (void)state;
    tell("a \"quoted\\ one");
    assert_true(strncmp(taken(), "{\"time\":\"20", 11) == 0);
    assert_non_null(strstr(text, "Z\",\"level\":\"warn\",\"event\":\"link\",\"life\":2,"
                                 "\"reason\":\"a \\\"quoted\\\\ one\"}\n"));
}

static void test_text(void **state)
{
    (void)state;
    sink.json = false;
    tell("in words");
    assert_string_equal(taken() + 12, " level=warn event=link life=2 reason=\"in words\"\n");
    assert_true(text[2] == ':' && text[5] == ':' && text[8] == '.');
    sink.program = "tether";
    tell("word");
    assert_string_equal(taken() + 12, " tether: level=warn event=link life=2 reason=word\n");
}

static void test_hostile_text(void **state)
{
    (void)state;
    tell("a\n\033[2J\"\\\x7f caf\xc3\xa9 \xc2\x9b \xff\xc0\xaf\xed\xa0\x80 \xf0\x9f\x98\x80 \xe2\x82 \xe2\x80\xae");
    assert_non_null(strstr(taken(), "a\\u000a\\u001b[2J\\\"\\\\\\u007f caf\xc3\xa9 \\u009b \\ufffd\\ufffd\\ufffd"
                                    "\\ufffd\\ufffd\\ufffd \xf0\x9f\x98\x80 \\ufffd\\ufffd \\u202e\"}\n"));
    assert_null(strpbrk(text, "\033\x7f"));
    assert_string_equal(strchr(text, '\n'), "\n");
}

/* A line that is too long is cut between two characters, loses what would come behind, and still ends as one. */
static void test_cut(void **state)
{
    static char big[2 * RT_LINE_OUT_MAX];

    (void)state;
    for (int json = 0; json < 2; json++) {
        for (size_t size = RT_LINE_OUT_MAX - 200; size < RT_LINE_OUT_MAX; size++) {
            memset(big, json ? '\n' : 'x', size);
            big[json ? size / 6 : size] = '\0';
            sink.json = json;
            sink.out.unwritten = UINT64_MAX;
            rt_log_begin(&line, &sink, RT_LOG_INFO, "x");
            rt_log_field(&line, "reason", big);
            rt_log_field(&line, "more", "there is no room for this one in every case");
            rt_log_number(&line, "number", UINT64_MAX);
            rt_log_end(&line);
            assert_true(strlen(taken()) <= RT_LINE_OUT_MAX);
            assert_non_null(
                strstr(text, json ? "\"unwritten\":18446744073709551615}\n" : " unwritten=18446744073709551615\n"));
            big[json ? size / 6 : size] = json ? '\n' : 'x';
        }
    }
    memset(big, '\n', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    tell(big);
    assert_string_equal(taken() + strlen(text) - 9, "\\u000a\"}\n");
}

/* Nobody reads, and the pipe's end waits: lines are lost, and the next one says how many, whole as it is. */
static void test_stalled_reader(void **state)
{
    uint64_t lost;
    char expected[80];

    (void)state;
    (void)fcntl(ends[1], F_SETPIPE_SZ, 4096);
    for (unsigned i = 0; i < 2000; i++) {
        tell("nobody reads this, over and over again");
    }
    lost = sink.out.unwritten;
    assert_true(lost > 1000);
    taken();
    (void)snprintf(expected, sizeof(expected), ",\"reason\":\"read\",\"unwritten\":%llu}\n", (unsigned long long)lost);
    tell("read");
    assert_non_null(strstr(taken(), expected));
    tell("read");
    assert_non_null(strstr(taken(), "\"reason\":\"read\"}\n"));
}

/* Full at first, whenever that is; then what the time gives, and never more than full. */
static void test_budget(void **state)
{
    static const uint64_t starts[] = {0, 1, 1000000};

    (void)state;
    for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
        struct rt_log_budget budget = {0};
        uint64_t now = starts[s];
        unsigned admitted = 0;

        for (unsigned i = 0; i < 100; i++) {
            admitted += rt_log_admit(&budget, 10, 2, now);
        }
        assert_int_equal(admitted, 10);
        assert_int_equal(budget.suppressed, 90);
        now += 1001;
        for (unsigned i = 0; i < 100; i++) {
            admitted += rt_log_admit(&budget, 10, 2, now);
        }
        assert_int_equal(admitted, 12);
        rt_log_begin(&line, &sink, RT_LOG_INFO, "x");
        rt_log_suppressed(&line, &budget);
        rt_log_end(&line);
        assert_non_null(strstr(taken(), ",\"suppressed\":188}\n"));
        assert_int_equal(budget.suppressed, 0);
        now += 3600000;
        for (unsigned i = 0; i < 100; i++) {
            admitted += rt_log_admit(&budget, 10, 2, now);
        }
        assert_int_equal(admitted, 22);
    }
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_json), LOG_TEST(test_text),           LOG_TEST(test_hostile_text),
        LOG_TEST(test_cut),  LOG_TEST(test_stalled_reader), LOG_TEST(test_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
