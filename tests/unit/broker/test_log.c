/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct rt_log log_under_test;
static int ends[2];
static char text[1 << 20];

static int setup(void **state)
{
    (void)state;
    if (pipe2(ends, O_CLOEXEC) != 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
        return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (log_under_test.sink.out.fd != log_under_test.sink.out.given) {
        close(log_under_test.sink.out.fd);
    }
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static const char *taken(void)
{
    size_t used = 0;
    ssize_t n;

    while ((n = read(ends[0], text + used, sizeof(text) - 1 - used)) > 0) {
        used += (size_t)n;
    }
    text[used] = '\0';
    return text;
}

static size_t count(const char *in, const char *part)
{
    size_t n = 0;

    for (; (in = strstr(in, part)) != NULL; in++) {
        n++;
    }
    return n;
}

static struct rt_agent_event claimed(void)
{
    struct rt_agent_event event = {.kind = RT_AGENT_CLAIMED, .link = 7, .life = 3, .epoch = 12};

    (void)snprintf(event.key.tenant, sizeof(event.key.tenant), "local");
    (void)snprintf(event.key.cid, sizeof(event.key.cid), "web.1");
    (void)snprintf(event.from, sizeof(event.from), "taking");
    (void)snprintf(event.to, sizeof(event.to), "serving");
    (void)snprintf(event.reason, sizeof(event.reason), "moved here");
    return event;
}

static void test_text(void **state)
{
    struct rt_agent_event event = claimed();

    (void)state;
    rt_log_init(&log_under_test, ends[1], RT_LOG_INFO, RT_LOG_TEXT);
    rt_log_event(&log_under_test, &event, 5);
    assert_non_null(strstr(taken(), " level=info event=claimed tenant=local container=web.1 life=3 epoch=12 link=7 "
                                    "from=taking to=serving reason=\"moved here\"\n"));
}

static void test_json(void **state)
{
    struct rt_agent_event event = claimed();

    (void)state;
    rt_log_init(&log_under_test, ends[1], RT_LOG_INFO, RT_LOG_AUTO); /* a pipe is no terminal */
    rt_log_event(&log_under_test, &event, 5);
    assert_non_null(strstr(taken(),
                           "Z\",\"level\":\"info\",\"event\":\"claimed\",\"tenant\":\"local\",\"container\":"
                           "\"web.1\",\"life\":3,\"epoch\":12,\"link\":7,\"from\":\"taking\",\"to\":\"serving\","
                           "\"reason\":\"moved here\"}\n"));
    assert_true(strncmp(text, "{\"time\":\"20", 11) == 0);
}

static void test_level(void **state)
{
    struct rt_agent_event event = claimed();

    (void)state;
    rt_log_init(&log_under_test, ends[1], RT_LOG_WARN, RT_LOG_TEXT);
    rt_log_event(&log_under_test, &event, 5);
    assert_string_equal(taken(), "");
    event.kind = RT_AGENT_FORKED;
    rt_log_event(&log_under_test, &event, 5);
    assert_non_null(strstr(taken(), "level=error event=forked"));
    event.kind = RT_AGENT_SESSION_STATE;
    (void)snprintf(event.to, sizeof(event.to), "lost");
    rt_log_event(&log_under_test, &event, 5);
    assert_non_null(strstr(taken(), "level=warn event=session"));
}

/* A flood of one kind is cut and counted, hides no other kind, and its end is told. */
static void test_flood(void **state)
{
    struct rt_agent_event refused = {.kind = RT_AGENT_REFUSED, .link = 1}, event = claimed();
    uint64_t now = 1000;

    (void)state;
    rt_log_init(&log_under_test, ends[1], RT_LOG_INFO, RT_LOG_TEXT);
    for (int i = 0; i < 5000; i++) {
        rt_log_event(&log_under_test, &refused, now);
    }
    rt_log_event(&log_under_test, &event, now);
    taken();
    assert_int_equal(count(text, "event=refused"), RT_LOG_BURST);
    assert_int_equal(count(text, "event=claimed"), 1);
    rt_log_flush(&log_under_test, now);
    assert_string_equal(taken(), "");
    now += 1000;
    rt_log_flush(&log_under_test, now);
    assert_non_null(strstr(taken(), "event=refused reason=\"lines were suppressed\" suppressed=4801"));
    rt_log_event(&log_under_test, &refused, now);
    assert_int_equal(count(taken(), "suppressed"), 0);
    /* Full again in time, and no fuller. */
    now += 1000000;
    for (int i = 0; i < 5000; i++) {
        rt_log_event(&log_under_test, &refused, now);
    }
    assert_int_equal(count(taken(), "event=refused"), RT_LOG_BURST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_level, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
