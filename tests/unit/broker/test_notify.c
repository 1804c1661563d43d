/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker/shell_fixture.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What the agent tells its service manager; the test's socket stands for that one. */

static int manager;
static char said[8192];

static void bind_to(const char *name)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t size = strlen(name);

    memcpy(addr.sun_path, name, size);
    if (name[0] == '@') {
        addr.sun_path[0] = '\0';
    }
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(manager >= 0);
    assert_int_equal(
        bind(manager, (struct sockaddr *)&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    said[0] = '\0';
}

/* All datagrams so far, each with a bar behind it. */
static const char *heard(void)
{
    size_t size = strlen(said);
    ssize_t n;

    while ((n = recv(manager, said + size, sizeof(said) - size - 2, 0)) > 0) {
        size += (size_t)n;
        said[size++] = '|';
        said[size] = '\0';
    }
    return said;
}

static void test_text(void **state)
{
    struct rt_notify notify;

    (void)state;
    bind_to("@rt-notify-test");
    assert_int_equal(setenv("WATCHDOG_USEC", "30000000", 1), 0);
    rt_notify_open(&notify);
    assert_null(getenv("NOTIFY_SOCKET")); /* not for what it starts */
    assert_null(getenv("WATCHDOG_USEC"));
    rt_notify_say(&notify, "READY=1");
    rt_notify_alive(&notify);
    assert_string_equal(heard(), "READY=1|WATCHDOG=1|");
    rt_notify_reloading(&notify);
    assert_non_null(strstr(heard(), "|RELOADING=1\nMONOTONIC_USEC="));
    rt_notify_close(&notify);
    rt_notify_say(&notify, "late");
    assert_null(strstr(heard(), "late"));
    (void)close(manager);
}

/* Nobody listens, and names that are none. */
static void test_nobody(void **state)
{
    static const char *const names[] = {"", "/", "relative", "/nonexistent/socket"};
    char longest[200];
    struct rt_notify notify;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
        rt_notify_open(&notify);
        assert_int_equal(notify.fd >= 0, i == 3);
        rt_notify_say(&notify, "READY=1");
        rt_notify_close(&notify);
    }
    memset(longest, '/', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(setenv("NOTIFY_SOCKET", longest, 1), 0);
    rt_notify_open(&notify);
    assert_int_equal(notify.fd, -1);
    rt_notify_open(&notify); /* not in the environment */
    assert_int_equal(notify.fd, -1);
}

/* The watchdog is somebody else's, or none. */
static void test_unwatched(void **state)
{
    struct rt_notify notify;
    char other[24];

    (void)state;
    bind_to("@rt-notify-test");
    assert_int_equal(setenv("WATCHDOG_USEC", "30000000", 1), 0);
    (void)snprintf(other, sizeof(other), "%ld", (long)getpid() + 1);
    assert_int_equal(setenv("WATCHDOG_PID", other, 1), 0);
    rt_notify_open(&notify);
    rt_notify_alive(&notify);
    assert_string_equal(heard(), "");
    rt_notify_close(&notify);
    (void)close(manager);
}

static bool has_said(void *ctx)
{
    return strstr(heard(), ctx) != NULL;
}

/* A whole life of an agent: ready once it listens, alive while its loop turns, a reload told from begin to end. */
static void test_life(void **state)
{
    char name[64];

    (void)state;
    (void)snprintf(name, sizeof(name), "%s/notify", fx_dir);
    bind_to(name);
    assert_int_equal(setenv("WATCHDOG_USEC", "30000000", 1), 0);
    fx_start();
    assert_int_equal(strncmp(heard(), "READY=1\n", 8), 0);
    assert_int_equal(access(fx_client, F_OK), 0);
    fx_until(has_said, (void *)(uintptr_t) "|WATCHDOG=1|");
    assert_int_equal(raise(SIGHUP), 0);
    fx_until(has_said, (void *)(uintptr_t) "|RELOADING=1\n");
    fx_until(has_said, (void *)(uintptr_t) "|READY=1|");
    fx_stop(0);
    assert_non_null(strstr(heard(), "|STOPPING=1|"));
    (void)close(manager);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_unwatched),
        cmocka_unit_test_setup_teardown(test_life, fx_setup, fx_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
