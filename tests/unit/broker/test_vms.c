/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/vms.h"

#include "broker/core/link.h"
#include "tests/unit/broker/shell_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* A directory of virtual machines: who comes there, and what it takes for a machine's. */

#define VMS "vms"

static struct fx_peer one, two;

/* fx_path() has one place. */
static const char *at(const char *name, const char *rest)
{
    static char text[4][160];
    static unsigned next;
    char *out = text[next++ % 4];

    (void)snprintf(out, sizeof(text[0]), "%s/" VMS "/%s%s", fx_dir, name, rest);
    return out;
}

static const char *socket_of(const char *name)
{
    return at(name, "/vsock_7000");
}

static void make(const char *name, mode_t mode)
{
    assert_int_equal(mkdir(at(name, ""), 0700), 0);
    assert_int_equal(chmod(at(name, ""), mode), 0);
}

static void start(void)
{
    char item[160];

    (void)snprintf(item, sizeof(item), "vm:%s/" VMS ":7000", fx_dir);
    fx_add(&fx_settings.guests, "%s", item);
    fx_start();
}

static bool is_there(void *ctx)
{
    struct stat info;

    return lstat(socket_of(ctx), &info) == 0 && S_ISSOCK(info.st_mode);
}

static bool is_gone(void *ctx)
{
    return access(socket_of(ctx), F_OK) != 0;
}

static bool none_left(void *ctx)
{
    (void)ctx;
    return shell.n_vms == 0;
}

static bool has_conns(void *ctx)
{
    return rt_shell_connections(&shell) == *(unsigned *)ctx;
}

static char *name_of(const char *name)
{
    static char text[64];

    (void)snprintf(text, sizeof(text), "%s", name);
    return text;
}

/* Whom the machine of the agent takes the newest link for. */
static const char *newest(void)
{
    return ag_link_who(rt_ag_link(shell.agent, RT_LIST_OF(shell.links.prev, struct rt_conn, node)->id));
}

static void comes_as(struct fx_peer *peer, const char *path, unsigned n, const char *who)
{
    fx_connect(peer, path);
    fx_until(has_conns, &n);
    assert_string_equal(newest(), who);
}

static void test_comes_by_its_socket(void **state)
{
    struct stat info;

    (void)state;
    assert_int_equal(mkdir(at("", ""), 0755), 0);
    make("a", 0700);
    start();
    assert_true(is_there(name_of("a")));
    assert_int_equal(stat(socket_of("a"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0666);
    make("b.2", 0770);
    fx_until(is_there, name_of("b.2"));
    comes_as(&one, socket_of("a"), 1, "vm:a");
    comes_as(&two, socket_of("b.2"), 2, "vm:b.2");
    assert_int_equal(shell.n_vms, 2);
    fx_close(&one);
    fx_close(&two);
    fx_stop(0);
    assert_true(is_gone(name_of("a")));
    assert_int_equal(rmdir(at("a", "")), 0); /* nothing is left behind in it */
    assert_int_equal(rmdir(at("b.2", "")), 0);
    assert_int_equal(rmdir(at("", "")), 0);
}

static void test_directory_goes_and_comes(void **state)
{
    (void)state;
    start(); /* it makes the directory */
    make("a", 0700);
    fx_until(is_there, name_of("a"));
    comes_as(&one, socket_of("a"), 1, "vm:a");
    assert_int_equal(unlink(socket_of("a")), 0);
    assert_int_equal(rmdir(at("a", "")), 0);
    fx_until(none_left, NULL);
    assert_int_equal(rt_shell_connections(&shell), 1); /* what is connected stays */
    make("a", 0700);
    fx_until(is_there, name_of("a"));
    comes_as(&two, socket_of("a"), 2, "vm:a");
    fx_close(&one);
    fx_close(&two);
    /* All of it goes, and comes again. */
    assert_int_equal(unlink(socket_of("a")), 0);
    assert_int_equal(rmdir(at("a", "")), 0);
    assert_int_equal(rmdir(at("", "")), 0);
    fx_until(none_left, NULL);
    if (mkdir(at("", ""), 0755) != 0) {
        assert_int_equal(errno, EEXIST); /* the agent was quicker */
    }
    make("a", 0700);
    fx_until(is_there, name_of("a"));
    fx_stop(0);
}

/* Whatever its monitor does in its own directory harms no other one. */
static void test_socket_is_replaced(void **state)
{
    static const char text[] = "precious";
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct stat info;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    start();
    make("a", 0700);
    make("b", 0700);
    fx_until(is_there, name_of("b"));
    assert_int_equal(unlink(socket_of("a")), 0);
    fx_until(is_there, name_of("a")); /* removed: made anew */
    fx_write("precious", text, sizeof(text), 0600);
    assert_int_equal(unlink(socket_of("a")), 0);
    assert_int_equal(symlink(fx_path("precious"), socket_of("a")), 0);
    fx_turn_for(1500);
    assert_int_equal(stat(fx_path("precious"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(info.st_size, sizeof(text));
    assert_int_equal(shell.n_vms, 1);
    assert_int_equal(unlink(socket_of("a")), 0);
    /* The other one's socket in its place: it is another machine's, and stays so. */
    assert_int_equal(link(socket_of("b"), socket_of("a")), 0);
    fx_turn_for(1500);
    comes_as(&one, socket_of("a"), 1, "vm:b");
    assert_int_equal(unlink(socket_of("a")), 0);
    /* One of its own, on which it answers itself. */
    assert_true(fd >= 0);
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", socket_of("a"));
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 8), 0);
    fx_turn_for(1500);
    assert_int_equal(shell.n_vms, 1);
    assert_int_equal(close(fd), 0);
    fx_until(is_there, name_of("a")); /* left behind: replaced */
    comes_as(&two, socket_of("b"), 2, "vm:b");
    fx_close(&one);
    fx_close(&two);
    fx_stop(0);
}

/* Somebody has connected to the machine's socket, as accept(2) tells it. */
static void accepted_for(struct rt_vm *vm)
{
    struct rt_listener_peer who = {.kind = RT_ENDPOINT_UNIX, .text = "unix"};
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    vm->at.listener.n_open++;
    rt_shell_accept_cb(&vm->at.listener, fds[1], &who);
    assert_int_equal(close(fds[0]), 0);
}

/* A socket that has moved along with its directory is nobody's until it has the new name. */
static void test_renamed(void **state)
{
    struct fx_peer *peer = &one;

    (void)state;
    start();
    make("a", 0700);
    fx_until(is_there, name_of("a"));
    assert_int_equal(rename(at("a", ""), at("b", "")), 0);
    accepted_for(shell.vms[0]->by_name); /* before the agent has heard of it */
    assert_int_equal(rt_shell_connections(&shell), 0);
    fx_connect(peer, socket_of("b")); /* in the backlog of a */
    make("a", 0700);
    fx_until(is_there, name_of("a")); /* who was in the backlog has been looked at by then */
    assert_int_equal(rt_shell_connections(&shell), 0);
    fx_until_closed(peer);
    fx_close(peer);
    fx_turn_for(1500);
    comes_as(&one, socket_of("b"), 1, "vm:b");
    comes_as(&two, socket_of("a"), 2, "vm:a");
    fx_close(&one);
    fx_close(&two);
    fx_stop(0);
}

static void test_no_machines(void **state)
{
    char names[3][80] = {"two words", "new\nline", "-x"};
    char longest[RT_VM_MAX + 2];

    (void)state;
    start();
    for (unsigned i = 0; i < 3; i++) {
        make(names[i], 0700);
    }
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    make(longest, 0700);
    make("open", 0701);
    make("target", 0700);
    fx_until(is_there, name_of("target"));
    assert_int_equal(symlink("target", at("link", "")), 0);
    fx_write(VMS "/file", "", 0, 0600);
    fx_turn_for(2500);
    assert_int_equal(shell.n_vms, 1);
    assert_true(is_gone(name_of("open")));
    assert_int_equal(shell.vms[0]->told.n, 7);
    assert_int_equal(chmod(at("open", ""), 0700), 0);
    fx_until(is_there, name_of("open"));
    assert_int_equal(chmod(at("open", ""), 0755), 0);
    fx_until(is_gone, name_of("open"));
    fx_stop(0);
}

static void test_directory_of_somebody_else(void **state)
{
    (void)state;
    assert_int_equal(mkdir(at("", ""), 0755), 0);
    assert_int_equal(chmod(at("", ""), 0777), 0);
    fx_add(&fx_settings.guests, "vm:%s/" VMS, fx_dir);
    fx_refused();
}

/* What an agent that was killed has left behind. */
static void test_stale(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    (void)state;
    assert_int_equal(mkdir(at("", ""), 0755), 0);
    make("a", 0700);
    for (unsigned i = 0; i < 2; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", i == 0 ? socket_of("a") : at(".vsock_7000", ""));
        assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&addr, sizeof(addr)), 0);
        assert_int_equal(close(fd), 0);
    }
    start();
    comes_as(&one, socket_of("a"), 1, "vm:a");
    fx_close(&one);
    fx_stop(0);
}

/* One machine has so many connections; the others have theirs. */
static void test_cap_of_a_machine(void **state)
{
    static struct fx_peer many[RT_VM_CONNECTIONS_MAX + 1];
    unsigned n = RT_PEER_HANDSHAKES_MAX;

    (void)state;
    start();
    make("a", 0700);
    make("b", 0700);
    fx_until(is_there, name_of("a"));
    fx_until(is_there, name_of("b"));
    for (unsigned i = 0; i <= RT_VM_CONNECTIONS_MAX; i++) {
        fx_connect(&many[i], socket_of("a"));
    }
    fx_until(has_conns, &n); /* its oldest handshakes made place for its newest */
    comes_as(&one, socket_of("b"), n + 1, "vm:b");
    for (unsigned i = 0; i <= RT_VM_CONNECTIONS_MAX; i++) {
        fx_close(&many[i]);
    }
    fx_close(&one);
    fx_stop(0);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, fx_setup, fx_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(test_comes_by_its_socket),
        WITH_DIR(test_directory_goes_and_comes),
        WITH_DIR(test_socket_is_replaced),
        WITH_DIR(test_renamed),
        WITH_DIR(test_no_machines),
        WITH_DIR(test_directory_of_somebody_else),
        WITH_DIR(test_stale),
        WITH_DIR(test_cap_of_a_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
