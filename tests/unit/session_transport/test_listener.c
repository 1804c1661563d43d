/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/transport/listener.h"

#include "session/base/error.h"
#include "session/core/protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* A listener whose socket file somebody removes. */

#define CONNECTED_MAX 8

struct fixture {
    uv_loop_t loop;
    struct rt_listener listener;
    char dir[32], path[64];
    int accepted[CONNECTED_MAX];
    size_t n_accepted;
    bool closed;
};

static struct fixture fx;

static void accept_cb(struct rt_listener *listener, int fd, const struct rt_listener_peer *peer)
{
    (void)listener;
    (void)peer;
    assert_true(fx.n_accepted < CONNECTED_MAX);
    fx.accepted[fx.n_accepted++] = fd;
}

static void close_cb(struct rt_listener *listener)
{
    (void)listener;
    fx.closed = true;
}

static const struct rt_listener_ops ops = {.on_accept = accept_cb, .on_close = close_cb};

static void parse(struct rt_endpoint *endpoint)
{
    char text[80], why[RT_TEXT_MAX];

    (void)snprintf(text, sizeof(text), "unix:%s", fx.path);
    assert_int_equal(rt_endpoint_parse(endpoint, text, why, sizeof(why)), 0);
}

static int open_listener(struct rt_listener *listener)
{
    struct rt_listener_config config = {.mode = 0600, .max_open = CONNECTED_MAX};
    char why[RT_TEXT_MAX];

    parse(&config.endpoint);
    return rt_listener_open(listener, &fx.loop, &config, &ops, why, sizeof(why));
}

static int dial(void)
{
    struct rt_endpoint endpoint;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    parse(&endpoint);
    assert_int_equal(connect(fd, &endpoint.addr.any, endpoint.size), 0);
    return fd;
}

static int renew(void)
{
    char why[RT_TEXT_MAX] = "";
    int rc = rt_listener_renew(&fx.listener, why, sizeof(why));

    assert_int_equal(why[0] != '\0', rc < 0);
    return rc;
}

static int setup(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    (void)snprintf(fx.dir, sizeof(fx.dir), "/tmp/rt-listen-XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    (void)snprintf(fx.path, sizeof(fx.path), "%s/s", fx.dir);
    assert_int_equal(uv_loop_init(&fx.loop), 0);
    assert_int_equal(open_listener(&fx.listener), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < fx.n_accepted; i++) {
        close(fx.accepted[i]);
    }
    rt_listener_close(&fx.listener);
    while (!fx.closed) {
        (void)uv_run(&fx.loop, UV_RUN_ONCE);
    }
    assert_int_equal(uv_loop_close(&fx.loop), 0);
    (void)unlink(fx.path);
    assert_int_equal(rmdir(fx.dir), 0);
    return 0;
}

/* Who waits in the backlog, who is served and who comes later: none notices. */
static void test_removed(void **state)
{
    int early, served = dial(), late;

    (void)state;
    (void)uv_run(&fx.loop, UV_RUN_ONCE);
    assert_int_equal(fx.n_accepted, 1);
    assert_int_equal(renew(), 0);
    early = dial();
    assert_int_equal(unlink(fx.path), 0);
    assert_int_equal(renew(), 1);
    assert_int_equal(renew(), 0);
    assert_int_equal(fx.n_accepted, 2);
    late = dial();
    (void)uv_run(&fx.loop, UV_RUN_ONCE);
    assert_int_equal(fx.n_accepted, 3);
    assert_int_equal(write(fx.accepted[0], "x", 1), 1);
    close(served);
    close(early);
    close(late);
}

static void assert_file(unsigned mode, gid_t gid)
{
    struct stat info;

    assert_int_equal(lstat(fx.path, &info), 0);
    assert_int_equal(info.st_mode & 07777, mode);
    assert_int_equal(info.st_gid, gid);
}

/* Mode and group of the socket file, at first and when it has been made anew; whatever the umask is. */
static void test_mode_and_group(void **state)
{
    struct rt_listener_config config = {.mode = 0662, .has_group = true, .max_open = CONNECTED_MAX};
    struct rt_listener listener;
    char why[RT_TEXT_MAX];
    mode_t before = umask(S_IRWXG | S_IRWXO);

    (void)state;
    config.gid = geteuid() == 0 ? 12345 : getegid();
    parse(&config.endpoint);
    (void)strcat(config.endpoint.addr.un.sun_path, "2");
    (void)strcat(fx.path, "2");
    assert_int_equal(rt_listener_open(&listener, &fx.loop, &config, &ops, why, sizeof(why)), 0);
    assert_file(0662, config.gid);
    assert_int_equal(unlink(fx.path), 0);
    assert_int_equal(rt_listener_renew(&listener, why, sizeof(why)), 1);
    assert_file(0662, config.gid);
    (void)umask(before);
    rt_listener_close(&listener);
    while (!fx.closed) {
        (void)uv_run(&fx.loop, UV_RUN_ONCE);
    }
    fx.closed = false;
    fx.path[strlen(fx.path) - 1] = '\0';
}

/* A group that the agent may not give the file to: nothing is left there. */
static void test_no_such_right(void **state)
{
    struct rt_listener_config config = {.mode = 0660, .has_group = true, .gid = (gid_t)-2, .max_open = CONNECTED_MAX};
    struct rt_listener listener;
    char why[RT_TEXT_MAX] = "";

    (void)state;
    if (geteuid() == 0) {
        print_message("skipped: root may give a file to any group\n");
        skip();
    }
    parse(&config.endpoint);
    assert_int_equal(unlink(fx.path), 0);
    assert_int_equal(rt_listener_open(&listener, &fx.loop, &config, &ops, why, sizeof(why)), RT_EAUTH);
    assert_non_null(strstr(why, "set the group and the mode"));
    assert_int_equal(access(fx.path, F_OK), -1);
}

/* Another one listens there now, who goes again. */
static void test_replaced(void **state)
{
    struct rt_listener other;

    (void)state;
    assert_int_equal(unlink(fx.path), 0);
    assert_int_equal(open_listener(&other), 0);
    assert_int_equal(renew(), RT_EEXIST);
    rt_listener_close(&other);
    while (!fx.closed) {
        (void)uv_run(&fx.loop, UV_RUN_ONCE);
    }
    fx.closed = false;
    assert_int_equal(renew(), 1);
    close(dial());
}

/* A socket that somebody else has made is listened on, and its file is left to its maker. */
static void test_given(void **state)
{
    struct rt_listener_config config = {.max_open = CONNECTED_MAX};
    struct rt_listener listener;
    char why[RT_TEXT_MAX];
    int dialled;

    (void)state;
    (void)strcat(fx.path, "3");
    parse(&config.endpoint);
    config.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(config.fd, &config.endpoint.addr.any, config.endpoint.size), 0);
    assert_int_equal(listen(config.fd, 1), 0);
    dialled = dial();
    assert_int_equal(rt_listener_open(&listener, &fx.loop, &config, &ops, why, sizeof(why)), 0);
    (void)uv_run(&fx.loop, UV_RUN_ONCE);
    assert_int_equal(fx.n_accepted, 1);
    assert_int_equal(rt_listener_renew(&listener, why, sizeof(why)), 0);
    rt_listener_close(&listener);
    while (!fx.closed) {
        (void)uv_run(&fx.loop, UV_RUN_ONCE);
    }
    fx.closed = false;
    assert_int_equal(unlink(fx.path), 0);
    fx.path[strlen(fx.path) - 1] = '\0';
    close(dialled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mode_and_group, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_such_right, setup, teardown),
        cmocka_unit_test_setup_teardown(test_given, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
