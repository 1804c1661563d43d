/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/listen_item.h"
#include "broker/settings.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Sockets that are passed as systemd passes them; this process stands for systemd, and for the agent that is started.
 */

#define FIRST 3
#define PASSED 4

static char dir[] = "/tmp/rt-passed-XXXXXX", text[PASSED][RT_ENDPOINT_TEXT_MAX];
static struct rt_settings settings;
static enum rt_settings_verb verb;
static char why[RT_SETTING_WHY_MAX];

/* A socket of this address at descriptor FIRST + i; tells text[i] where it is. */
static void put(size_t i, const char *address, int type, bool listens)
{
    struct rt_endpoint endpoint;
    int fd;

    assert_int_equal(rt_endpoint_parse(&endpoint, address, why, sizeof(why)), 0);
    fd = socket(endpoint.addr.any.sa_family, type, 0);
    assert_true(fd >= 0);
    if (endpoint.kind == RT_ENDPOINT_UNIX) {
        (void)unlink(rt_endpoint_path(&endpoint));
    }
    assert_int_equal(bind(fd, &endpoint.addr.any, endpoint.size), 0);
    assert_true(!listens || listen(fd, 1) == 0);
    endpoint.size = sizeof(endpoint.addr);
    assert_int_equal(getsockname(fd, &endpoint.addr.any, &endpoint.size), 0);
    rt_endpoint_print(&endpoint, text[i], sizeof(text[i]));
    if (fd != FIRST + (int)i) {
        assert_int_equal(dup2(fd, FIRST + (int)i), FIRST + (int)i);
        assert_int_equal(close(fd), 0);
    }
}

static void put_unix(size_t i)
{
    char address[64];

    (void)snprintf(address, sizeof(address), "unix:%s/%zu", dir, i);
    put(i, address, SOCK_STREAM, true);
}

static void say(const char *fds, const char *names)
{
    char pid[24];

    (void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    assert_int_equal(setenv("LISTEN_PID", pid, 1) + setenv("LISTEN_FDS", fds, 1), 0);
    assert_int_equal(names == NULL ? unsetenv("LISTEN_FDNAMES") : setenv("LISTEN_FDNAMES", names, 1), 0);
}

/* The agent's settings, with these flags. */
static int read_settings(const char *first, ...)
{
    char *argv[16] = {(char *)(uintptr_t) "retetherd"};
    int argc = 1;
    va_list args;

    va_start(args, first);
    for (const char *arg = first; arg != NULL && argc < 15; arg = va_arg(args, const char *)) {
        argv[argc++] = (char *)(uintptr_t)arg;
    }
    va_end(args);
    why[0] = '\0';
    return rt_settings_read(&settings, &verb, argc, argv, why);
}

static int setup(void **state)
{
    (void)state;
    for (int fd = FIRST; fd < FIRST + PASSED; fd++) { /* what whoever started the test has left */
        (void)close(fd);
    }
    return 0;
}

static int teardown(void **state)
{
    for (size_t i = 0; i < PASSED; i++) {
        char path[64];

        (void)snprintf(path, sizeof(path), "%s/%zu", dir, i);
        (void)unlink(path);
    }
    return setup(state);
}

static int fd_of(const char *item, size_t list)
{
    struct rt_listen_item parsed;

    assert_int_equal(rt_listen_item_parse(&parsed, item, why, sizeof(why)), 0);
    return rt_passed_find(&settings.passed, list, &parsed.endpoint);
}

#define CLIENTS offsetof(struct rt_settings, clients)
#define GUESTS offsetof(struct rt_settings, guests)

/* Each joins the list of its name, beside what stands there, or in the place of what stands there for its address. */
static void test_join(void **state)
{
    char item[RT_ENDPOINT_TEXT_MAX + 16];

    (void)state;
    put_unix(0);
    put_unix(1);
    put(2, "tcp:127.0.0.1:0", SOCK_STREAM, true);
    put(3, "tcp:127.0.0.1:0", SOCK_STREAM, true);
    say("4", "listen.clients:listen.guests:listen.guests:listen.clients");
    (void)snprintf(item, sizeof(item), "%s,mode=0660", text[0]);
    assert_int_equal(read_settings("--clients", item, "--guests", "unix:/run/other", "--tls", "/certs", NULL), 0);
    assert_int_equal(settings.clients.n, 2);
    assert_string_equal(settings.clients.item[0], item);
    assert_memory_equal(settings.clients.item[1], "tls:", 4); /* clients on a network have TLS */
    assert_string_equal(settings.clients.item[1] + 3, text[3] + 3);
    assert_int_equal(settings.guests.n, 3);
    assert_string_equal(settings.guests.item[0], "unix:/run/other");
    assert_string_equal(settings.guests.item[1], text[1]);
    assert_string_equal(settings.guests.item[2], text[2]);
    assert_int_equal(fd_of(item, CLIENTS), 3);
    assert_int_equal(fd_of(text[1], GUESTS), 4);
    assert_int_equal(fd_of(text[2], GUESTS), 5);
    assert_int_equal(fd_of(settings.clients.item[1], CLIENTS), 6);
    assert_int_equal(fd_of(text[1], CLIENTS), 0);
    assert_int_equal(fd_of("unix:/run/other", GUESTS), 0);
    for (int fd = FIRST; fd < FIRST + PASSED; fd++) {
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    }
    assert_null(getenv("LISTEN_PID"));
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_FDNAMES"));
}

/* Another process's, and none. */
static void test_none(void **state)
{
    (void)state;
    say("1", "listen.clients"); /* that descriptor is not even open */
    assert_int_equal(setenv("LISTEN_PID", "1", 1), 0);
    assert_int_equal(read_settings(NULL), 0);
    assert_int_equal(settings.passed.n, 0);
    assert_null(getenv("LISTEN_FDS"));
    say("0", "");
    assert_int_equal(read_settings(NULL), 0);
    assert_int_equal(settings.clients.n, 1);
    assert_int_equal(settings.passed.n, 0);
}

static void refuse(const char *says)
{
    assert_int_equal(read_settings(NULL), RT_ECONFIG);
    if (strstr(why, says) == NULL) {
        fail_msg("%s; wanted: %s", why, says);
    }
}

static void test_wrong(void **state)
{
    static const struct {
        const char *fds, *names, *says;
    } bad[] = {
        {"x", "listen.clients", "LISTEN_FDS=x: a number"},
        {"17", "listen.clients", "at most 16 sockets are taken"},
        {"1", "control", "a socket was passed as \"control\": its unit has FileDescriptorName=listen.guests or "},
        {"1", "listen.clients:listen.guests", "LISTEN_FDNAMES has more names than LISTEN_FDS has descriptors: listen."},
        {"2", "listen.clients", "descriptor 4, passed as \"\": it has no name in LISTEN_FDNAMES"},
        {"1", NULL, "descriptor 3, passed as \"\": it has no name in LISTEN_FDNAMES"},
        {"2", "listen.clients:listen.guests", "descriptor 4, passed as \"listen.guests\": it is not open"},
    };

    (void)state;
    put_unix(0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        say(bad[i].fds, bad[i].names);
        refuse(bad[i].says);
    }
    say("1", "listen.clients");
    assert_int_equal(setenv("LISTEN_PID", "me", 1), 0);
    refuse("LISTEN_PID=me is no process");
}

/* What is no socket of ours, and what the settings themselves would not take. */
static void test_wrong_sockets(void **state)
{
    int fd;

    (void)state;
    fd = open("/dev/null", O_RDONLY);
    assert_int_equal(fd, FIRST);
    say("1", "listen.clients");
    refuse("descriptor 3, passed as \"listen.clients\": it is no stream socket");
    put(0, "tcp:127.0.0.1:0", SOCK_DGRAM, false);
    say("1", "listen.clients");
    refuse("it is no stream socket");
    put(0, "tcp:127.0.0.1:0", SOCK_STREAM, false);
    say("1", "listen.clients");
    refuse("it does not listen (its unit has Accept=no)");
    put(0, "tcp:127.0.0.1:0", SOCK_STREAM, true);
    say("1", "listen.clients");
    refuse("takes certificates: set tls");
    put(0, "tcp:0.0.0.0:0", SOCK_STREAM, true);
    say("1", "listen.guests");
    refuse("a socket was passed as \"listen.guests\": tcp:0.0.0.0:");
    assert_int_equal(close(FIRST), 0);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(fd, FIRST);
    assert_int_equal(
        bind(fd, (const struct sockaddr *)&(struct sockaddr_un){.sun_family = AF_UNIX}, sizeof(sa_family_t)),
        0); /* a name in the kernel's own space */
    assert_int_equal(listen(fd, 1), 0);
    say("1", "listen.clients");
    refuse("it has no address that the agent can use");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_join, setup, teardown),
        cmocka_unit_test_setup_teardown(test_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_sockets, setup, teardown),
    };
    int failed;

    if (mkdtemp(dir) == NULL) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)rmdir(dir);
    return failed;
}
