/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/vm_map.h"

#include "broker/core/link.h"
#include "broker/service.h"
#include "tests/unit/broker/shell_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* The file that says which virtual machine has which CID, and who may come in by it. No vSocket is dialled: its peers
 * are made up where accept(2) would have told them. */

static struct rt_vm_map map;
static char why[RT_TEXT_MAX];

static int load(const char *text)
{
    fx_write("map", text, strlen(text), 0644);
    return rt_vm_map_load(&map, fx_path("map"), why);
}

static void test_reads(void **state)
{
    (void)state;
    assert_int_equal(load("# CID NAME\n\n 4\tdb.1 # the second\r\n3 web\n4294967294 z"), 0);
    assert_int_equal(map.n, 3);
    assert_string_equal(rt_vm_map_find(&map, 3), "web");
    assert_string_equal(rt_vm_map_find(&map, 4), "db.1");
    assert_string_equal(rt_vm_map_find(&map, 4294967294U), "z");
    assert_null(rt_vm_map_find(&map, 5));
    assert_null(rt_vm_map_find(&map, 0));
    assert_null(rt_vm_map_find(&map, UINT32_MAX));
    rt_vm_map_free(&map);
    assert_null(rt_vm_map_find(&map, 3));
    assert_int_equal(load(""), 0);
    assert_null(rt_vm_map_find(&map, 3));
    rt_vm_map_free(&map);
}

static void test_refuses(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"3 web\nfour db\n", ":2: the CID is not a number from 3 to 4294967294"},
        {"2 host\n", ":1: the CID is not a number from 3"},
        {"4294967295 any\n", ":1: the CID is not a number from 3"},
        {"-3 web\n", ":1: the CID is not a number from 3"},
        {"3\n", ":1: expected: CID NAME"},
        {"3 web db\n", ":1: expected: CID NAME"},
        {"3 web\n4 ../db\n", ":2: a virtual machine's name is"},
        {"3 0123456789012345678901234567890123456789012345678901234567890\n", ":1: a virtual machine's name is"},
        {"3 web\n4 db\n3 other\n", ":3: this CID is another virtual machine's above"},
        {"3 web\n4 db\n5 web\n", ":3: this virtual machine has another CID above"},
    };
    static char large[RT_VM_MAP_BYTES_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(load(bad[i].text), RT_ECONFIG);
        assert_non_null(strstr(why, fx_path("map")));
        assert_non_null(strstr(why, bad[i].why));
        assert_int_equal(map.n, 0);
        assert_null(rt_vm_map_find(&map, 3));
    }
    fx_write("map", "3 a\0b\n", 6, 0644);
    assert_int_equal(rt_vm_map_load(&map, fx_path("map"), why), RT_ECONFIG);
    memset(large, '\n', sizeof(large) - 1);
    assert_int_equal(load(large), RT_ECONFIG);
    assert_non_null(strstr(why, "map: it is longer than 2097152 bytes"));
    assert_int_equal(load("3 web\n"), 0);
    rt_vm_map_free(&map);
    assert_int_equal(chmod(fx_path("map"), 0664), 0);
    assert_int_equal(rt_vm_map_load(&map, fx_path("map"), why), RT_EAUTH);
    assert_non_null(strstr(why, "map: its mode 0664 lets others write to it: chmod go-w"));
    assert_int_equal(unlink(fx_path("map")), 0);
    assert_int_equal(rt_vm_map_load(&map, fx_path("map"), why), RT_ENOTFOUND);
    assert_int_equal(rt_vm_map_load(&map, fx_dir, why), RT_ECONFIG);
    assert_int_equal(mkfifo(fx_path("map"), 0600), 0);
    assert_int_equal(rt_vm_map_load(&map, fx_path("map"), why), RT_ECONFIG);
}

static void test_too_many(void **state)
{
    static char text[(RT_VM_MAP_MAX + 1) * 16];
    size_t used = 0;

    (void)state;
    for (unsigned i = 0; i < RT_VM_MAP_MAX; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%u v%u\n", 3 + i, i);
    }
    assert_int_equal(load(text), 0);
    assert_int_equal(map.n, RT_VM_MAP_MAX);
    assert_string_equal(rt_vm_map_find(&map, 3 + 777), "v777");
    rt_vm_map_free(&map);
    (void)snprintf(text + used, sizeof(text) - used, "99999 v\n");
    assert_int_equal(load(text), RT_ECONFIG);
    assert_non_null(strstr(why, ":16385: too many"));
}

/* ---- who comes in by it ---- */

/* A guest with this CID connects to the agent's listener for guests: its end, or -1 when it is turned away. */
static int comes(uint32_t cid)
{
    struct rt_listener *listener = &shell.listeners[0].listener;
    struct rt_listener_peer who = {.kind = RT_ENDPOINT_VSOCK, .cid = cid};
    unsigned before = rt_shell_connections(&shell);
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    (void)snprintf(who.text, sizeof(who.text), "vsock:%lu:1024", (unsigned long)cid);
    listener->n_open++;
    rt_shell_accept_cb(listener, fds[1], &who);
    if (rt_shell_connections(&shell) == before) {
        assert_int_equal(close(fds[0]), 0);
        return -1;
    }
    return fds[0];
}

static const char *newest(void)
{
    return ag_link_who(rt_ag_link(shell.agent, RT_LIST_OF(shell.links.prev, struct rt_conn, node)->id));
}

static void test_without_a_map(void **state)
{
    int fd;

    (void)state;
    fx_start();
    fd = comes(7);
    assert_true(fd >= 0);
    assert_string_equal(newest(), "");
    assert_int_equal(close(fd), 0);
    fx_stop(0);
}

static bool has(void *ctx)
{
    return shell.vm_map.used.n == *(size_t *)ctx;
}

static bool has_failed(void *ctx)
{
    (void)ctx;
    return shell.vm_map.phase == RT_MAP_IDLE && shell.vm_map.error != 0;
}

static void test_comes_by_its_cid(void **state)
{
    size_t n = 2;
    int fd, other;

    (void)state;
    fx_write("map", "3 web\n", 6, 0600);
    (void)snprintf(fx_settings.guests_map, sizeof(fx_settings.guests_map), "%s", fx_path("map"));
    fx_start();
    fd = comes(3);
    assert_true(fd >= 0);
    assert_string_equal(newest(), "vm:web");
    assert_int_equal(comes(4), -1);
    fx_write("map", "3 web\n4 db\n", 11, 0600); /* seen without a signal */
    fx_until(has, &n);
    other = comes(4);
    assert_true(other >= 0);
    assert_string_equal(newest(), "vm:db");
    fx_write("map", "3 web\n4 db\n5 \n", 14, 0600);
    rt_shell_look_at_vm_map(&shell, true);
    rt_shell_look_at_vm_map(&shell, true); /* while it is read: once more behind that */
    fx_until(has_failed, NULL);
    assert_non_null(strstr(shell.vm_map.why, "map:3: expected: CID NAME"));
    assert_int_equal(shell.vm_map.used.n, 2); /* what was read before */
    assert_int_equal(unlink(fx_path("map")), 0);
    fx_turn_for(1500);
    assert_int_equal(shell.vm_map.used.n, 2);
    assert_int_equal(comes(5), -1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(other), 0);
    n = 0;
    fx_write("map", "", 0, 0600);
    fx_until(has, &n);
    assert_int_equal(comes(3), -1); /* an empty map lets nobody in */
    fx_stop(0);
}

static void test_not_started_without_it(void **state)
{
    (void)state;
    (void)snprintf(fx_settings.guests_map, sizeof(fx_settings.guests_map), "%s", fx_path("none"));
    fx_refused();
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, fx_setup, fx_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(test_reads),         WITH_DIR(test_refuses),          WITH_DIR(test_too_many),
        WITH_DIR(test_without_a_map), WITH_DIR(test_comes_by_its_cid), WITH_DIR(test_not_started_without_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
