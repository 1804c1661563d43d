/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/shell.h"

#include "broker/core/link.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "tests/unit/broker/shell_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Links of the agent's shell: taken, counted, bounded, fed with too much, gathered into writes, closed. */

static struct fx_peer one, two;

static struct rt_agent_stats stats(void)
{
    struct rt_agent_stats now;

    rt_agent_stats(shell.agent, &now);
    return now;
}

static struct rt_conn *newest(void)
{
    return RT_LIST_OF(shell.links.prev, struct rt_conn, node);
}

static bool has_conns(void *ctx)
{
    return rt_shell_connections(&shell) == *(size_t *)ctx;
}

static void until_conns(size_t n)
{
    fx_until(has_conns, &n);
}

static void test_accepted_and_let_go(void **state)
{
    (void)state;
    fx_start();
    fx_connect(&one, fx_guest);
    fx_connect(&two, fx_client);
    until_conns(2);
    assert_int_equal(stats().handshakes, 2);
    fx_close(&one);
    until_conns(1);
    assert_int_equal(stats().links, 1);
    assert_int_equal(shell.listeners[0].listener.n_open, 0);
    assert_int_equal(shell.listeners[1].listener.n_open, 1);
    fx_close(&two);
    until_conns(0);
    assert_int_equal(stats().handshakes, 0);
    fx_client_up(&two);
    assert_int_equal(stats().clients, 1);
    fx_stop(0);
    fx_until_closed(&two);
    fx_close(&two);
}

/* A handshake that comes byte by byte is one handshake. */
static void test_byte_by_byte(void **state)
{
    uint8_t hello[RT_SHORT_MAX];
    size_t size = fx_hello(hello, sizeof(hello));
    struct rt_frame frame;

    (void)state;
    fx_start();
    fx_connect(&one, fx_client);
    until_conns(1);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(stats().handshakes, 1);
        fx_send(&one, hello + i, 1);
        fx_turn();
    }
    (void)fx_until_frame(&one, RT_WELCOME, &frame);
    assert_int_equal(stats().handshakes, 0);
    fx_assert_alive(&one);
    fx_close(&one);
    fx_stop(0);
}

static void test_cap_of_a_listener(void **state)
{
    struct fx_peer third;

    (void)state;
    fx_settings.max_clients = 2;
    fx_start();
    fx_client_up(&one);
    fx_client_up(&two);
    fx_connect(&third, fx_client);
    fx_until_closed(&third);
    assert_int_equal(rt_shell_connections(&shell), 2);
    assert_int_equal(stats().turned_away[RT_PEER_CLIENT], 1);
    fx_close(&third);
    fx_assert_alive(&one);
    fx_close(&two);
    until_conns(1);
    fx_client_up(&third); /* there is room again */
    fx_close(&third);
    fx_close(&one);
    fx_stop(0);
}

/* Who reads a little of what waits for it is heard, long before the kernel takes more; who reads nothing is not. */
static void test_slow_reader(void **state)
{
    static uint8_t bytes[1 << 16];
    struct rt_conn *conn;
    const struct ag_link *link;
    uint64_t heard;
    size_t queued;

    (void)state;
    fx_start();
    fx_client_up(&one);
    conn = newest();
    link = rt_ag_link(shell.agent, conn->id);
    while (rt_link_queued(&conn->link) == 0) {
        rt_shell_send(&shell, conn->id, bytes, sizeof(bytes), false);
    }
    queued = rt_link_queued(&conn->link);
    rt_shell_look_at_queues(&shell);
    heard = link->heard;
    fx_turn_for(20);
    rt_shell_look_at_queues(&shell);
    assert_int_equal(link->heard, heard);
    for (size_t n = 0; n < sizeof(bytes);) { /* no less than one piece of the kernel's */
        ssize_t got = recv(one.fd, bytes, sizeof(bytes) - n, 0);
        assert_true(got > 0);
        n += (size_t)got;
    }
    fx_turn_for(20);
    rt_shell_look_at_queues(&shell);
    assert_int_equal(rt_link_queued(&conn->link), queued);
    assert_true(link->heard > heard);
    fx_close(&one);
    fx_stop(0);
}

/* More connections of one user that say nothing than one may have: the oldest go, whoever comes gets in, those that are
 * done are not disturbed, and neither is who comes to the other door. */
static void test_cap_of_handshakes(void **state)
{
    enum { MOST = RT_AGENT_HANDSHAKES_MAX - RT_AGENT_HANDSHAKES_MAX / 4 };
    struct rlimit files, before;
    struct fx_peer *silent = calloc(MOST, sizeof(*silent));
    static struct fx_peer third;

    (void)state;
    assert_non_null(silent);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    files = before;
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    assert_true(files.rlim_cur > 2 * RT_AGENT_HANDSHAKES_MAX + 64);
    fx_start();
    fx_client_up(&one);
    for (size_t i = 0; i < MOST; i++) {
        fx_connect(&silent[i], fx_client);
        if (i % 100 == 99) {
            until_conns(i + 2);
        }
    }
    until_conns(MOST + 1);
    fx_connect(&two, fx_guest);
    until_conns(MOST + 2);
    assert_int_equal(stats().evicted[RT_PEER_CLIENT], 0);
    fx_connect(&third, fx_client);
    fx_until_closed(&silent[0]);
    fx_close(&third);
    fx_client_up(&third);
    fx_until_closed(&silent[1]);
    assert_int_equal(stats().evicted[RT_PEER_CLIENT], 2);
    assert_int_equal(stats().turned_away[RT_PEER_CLIENT], 0);
    fx_assert_alive(&one);
    for (size_t i = 0; i < MOST; i++) {
        fx_close(&silent[i]);
    }
    fx_close(&two);
    fx_close(&third);
    until_conns(1);
    fx_close(&one);
    fx_stop(0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    free(silent);
}

/* Connections leave descriptors to the store and the state directory. For those for whom none is left the oldest
 * handshake goes, which is counted and told; whoever comes gets in, and who is done stays. */
static void test_descriptors(void **state)
{
    struct rlimit files, before;
    static struct fx_peer many[200 + 3 * RT_SHELL_FDS_SWAP];
    size_t n = 0;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    files = before;
    files.rlim_cur = 200;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    fx_start();
    assert_int_equal(shell.conns_max, 200 - RT_SHELL_FDS_RESERVED);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0); /* the peers are in this process too */
    while (shell.listeners[1].short_of_fds == 0 && n < 200) {
        fx_connect(&many[n++], fx_client);
        fx_turn_for(1);
    }
    assert_true(n < 200);
    for (int i = 0; i < 3 * RT_SHELL_FDS_SWAP; i++) { /* more at once than there is room for; the next one gets in */
        fx_connect(&many[n++], fx_client);
    }
    while (shell.listeners[1].listener.accepted < n) {
        fx_turn_for(1);
    }
    fx_until_closed(&many[0]);
    fx_client_up(&one);
    fx_until_closed(&many[1]);
    assert_true(stats().evicted[RT_PEER_CLIENT] >= 2);
    fx_client_up(&two);
    fx_assert_alive(&one);
    fx_close(&one);
    fx_close(&two);
    while (n > 0) {
        fx_close(&many[--n]);
    }
    until_conns(0);
    fx_client_up(&one);
    fx_close(&one);
    fx_stop(0);
}

/* Who does not finish in time is closed, however little or much is missing; who has finished stays. */
static void test_handshake_deadline(void **state)
{
    uint8_t hello[RT_SHORT_MAX];
    size_t size = fx_hello(hello, sizeof(hello));
    static struct fx_peer late[3];

    (void)state;
    fx_start();
    fx_client_up(&one);
    for (size_t i = 0; i < 3; i++) {
        fx_connect(&late[i], i == 0 ? fx_guest : fx_client);
        fx_send(&late[i], hello, (const size_t[]){0, 7, size - 1}[i]);
    }
    until_conns(4);
    for (size_t i = 0; i < 3; i++) {
        static struct rt_refuse_msg refuse;
        struct rt_frame frame;
        char why[RT_TEXT_MAX];
        size_t at = fx_until_frame(&late[i], RT_REFUSE, &frame);

        assert_int_equal(rt_msg_decode(RT_MSG_REFUSE, late[i].in + at, frame.length, &refuse, why, sizeof(why)), 0);
        assert_int_equal(refuse.c, RT_CLASS_RETRY_LATER); /* a VM may have been stopped in the middle of it */
        fx_until_closed(&late[i]);
        fx_close(&late[i]);
    }
    until_conns(1);
    assert_int_equal(stats().handshakes, 0);
    fx_assert_alive(&one);
    fx_close(&one);
    fx_stop(0);
}

/* Input that no peer sends: closed with a refusal, without keeping it. */
static void test_oversized(void **state)
{
    static const struct rt_frame frames[] = {
        {.type = RT_HELLO, .length = RT_SHORT_MAX + 1},
        {.type = RT_HELLO, .length = UINT32_MAX},
        {.type = 200, .length = 4},
        {.type = RT_DATA, .length = 100, .channel = 1, .stream = RT_STDIN},
        {.type = RT_HELLO, .length = 0},
    };
    static uint8_t noise[1 << 20];

    (void)state;
    fx_start();
    fx_client_up(&one);
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        for (size_t side = 0; side < 2; side++) {
            struct rt_frame refuse;

            rt_frame_put(noise, &frames[i]);
            fx_connect(&two, side == 0 ? fx_guest : fx_client);
            fx_send(&two, noise, RT_FRAME_HEADER + 3000);
            (void)fx_until_frame(&two, RT_REFUSE, &refuse);
            fx_until_closed(&two);
            fx_close(&two);
            until_conns(1);
        }
    }
    memset(noise, 'G', sizeof(noise));
    fx_connect(&two, fx_client);
    fx_send(&two, noise, sizeof(noise)); /* a megabyte of it */
    fx_until_closed(&two);
    fx_close(&two);
    until_conns(1);
    /* The same from a client that was welcome. */
    fx_client_up(&two);
    rt_frame_put(noise, &(struct rt_frame){.type = RT_REQUEST, .length = RT_FRAME_PAYLOAD_MAX + 1});
    fx_send(&two, noise, sizeof(noise));
    fx_until_closed(&two);
    fx_close(&two);
    until_conns(1);
    fx_assert_alive(&one);
    fx_close(&one);
    fx_stop(0);
}

/* What one call sends to several links, in pieces of every size, more than the arena holds: all of it, in order. */
static void test_gathered_writes(void **state)
{
    static const size_t sizes[] = {1, 20, 3000, 84, RT_LINK_COPY_MAX - 1, RT_LINK_COPY_MAX, 7, 40000, 500};
    static uint8_t bytes[RT_SHELL_ARENA], got[4 * RT_SHELL_ARENA];
    struct fx_peer *peers[] = {&one, &two};
    rt_link_id ids[2];
    size_t sent[2] = {0, 0};

    (void)state;
    fx_start();
    for (size_t i = 0; i < 2; i++) {
        fx_client_up(peers[i]);
        ids[i] = newest()->id;
        peers[i]->size = 0;
    }
    rt_shell_send(&shell, 4711, bytes, 10, false); /* nobody, or nothing */
    rt_shell_send(&shell, ids[0], bytes, 0, false);
    for (size_t n = 0; n < 40; n++) {
        size_t to = n % 2, size = sizes[n % (sizeof(sizes) / sizeof(sizes[0]))];

        if (sent[to] + size > sizeof(got)) {
            break;
        }
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)((sent[to] + i) * 31 >> 3);
        }
        rt_shell_send(&shell, ids[to], bytes, size, false);
        memset(bytes, 0xee, size); /* good during the call only */
        sent[to] += size;
    }
    rt_shell_settle(&shell);
    for (size_t i = 0; i < 2; i++) {
        size_t size = 0;

        while (size < sent[i]) {
            ssize_t n = recv(peers[i]->fd, got + size, sizeof(got) - size, MSG_DONTWAIT);

            size += n > 0 ? (size_t)n : 0;
            fx_turn();
        }
        assert_int_equal(size, sent[i]);
        for (size_t at = 0; at < size; at++) {
            assert_int_equal(got[at], (uint8_t)(at * 31 >> 3));
        }
        fx_close(peers[i]);
    }
    assert_true(shell.n_spare <= RT_SHELL_BATCHES_FREE_MAX);
    fx_stop(0);
}

/* Hung up by the machine: what was sent goes out before the end, and nothing after it. */
static void test_hung_up(void **state)
{
    static const char last[] = "last words";
    rt_link_id id;

    (void)state;
    fx_start();
    fx_client_up(&one);
    one.size = 0;
    id = newest()->id;
    rt_shell_send(&shell, id, (const uint8_t *)last, sizeof(last), false);
    rt_shell_hang_up(&shell, id, "as the test wants");
    rt_shell_send(&shell, id, (const uint8_t *)"more", 4, false);
    rt_shell_hang_up(&shell, id, "again");
    rt_shell_settle(&shell);
    fx_until_closed(&one);
    assert_int_equal(one.size, sizeof(last));
    assert_memory_equal(one.in, last, sizeof(last));
    fx_close(&one);
    until_conns(0);
    rt_agent_closed(shell.agent, id, "as the test wants", rt_shell_now(&shell)); /* for it was not its own doing */
    fx_stop(0);
}

/* Listeners that cannot be had: the agent does not start, and leaves none of the others behind. */
static void test_listeners_refused(void **state)
{
    static const char *const bad[] = {"unix:", "tcp:localhost:1", "nonsense", "unix:/proc/no/such/socket"};
    struct stat info;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fx_settings.clients.n = 1;
        fx_add(&fx_settings.clients, "%s", bad[i]);
        fx_refused();
    }
    fx_settings.clients.n = 1;
    fx_write("file", "x", 1, 0600);
    fx_add(&fx_settings.clients, "unix:%s", fx_path("file"));
    fx_refused();
    assert_int_equal(stat(fx_path("file"), &info), 0); /* not ours: still there */
    fx_settings.clients.n = 1;
    fx_add(&fx_settings.clients, "unix:%s", fx_client); /* the same twice */
    fx_refused();
    fx_settings.clients.n = 1;
    fx_start();
    assert_int_equal(stat(fx_client, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    fx_stop(0);
}

/* Each socket has the mode and the group of its own item, also when it has been made anew. */
static void test_socket_modes(void **state)
{
    struct stat info;

    (void)state;
    fx_settings.guests.n = 0;
    fx_add(&fx_settings.guests, "unix:%s,group=%lu,mode=0660", fx_guest, (unsigned long)getegid());
    fx_settings.clients.n = 0;
    fx_add(&fx_settings.clients, "unix:%s,mode=0602", fx_client);
    fx_start();
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(stat(fx_guest, &info), 0);
        assert_int_equal(info.st_mode & 07777, 0660);
        assert_int_equal(info.st_gid, getegid());
        assert_int_equal(stat(fx_client, &info), 0);
        assert_int_equal(info.st_mode & 07777, 0602);
        assert_int_equal(unlink(fx_guest), 0);
        assert_int_equal(unlink(fx_client), 0);
        rt_shell_look_after_listeners(&shell);
    }
    fx_stop(0);
}

/* Whom no rule fits is told so, and has no more than its hello. */
static void test_stranger(void **state)
{
    struct rt_refuse_msg refuse;
    struct rt_frame frame;
    uint8_t hello[RT_SHORT_MAX];
    char why[RT_TEXT_MAX], wanted[RT_TEXT_MAX];
    size_t at;

    (void)state;
    fx_settings.access.rules[0] =
        (struct rt_access_rule){.whom = RT_ACCESS_USER, .id.uid = geteuid() + 1, .as = RT_CLIENT_OPERATOR};
    fx_start();
    fx_connect(&one, fx_client);
    fx_send(&one, hello, fx_hello(hello, sizeof(hello)));
    at = fx_until_frame(&one, RT_REFUSE, &frame);
    assert_int_equal(rt_msg_decode(RT_MSG_REFUSE, one.in + at, frame.length, &refuse, why, sizeof(why)), 0);
    assert_int_equal(refuse.c, RT_CLASS_DENIED);
    (void)snprintf(wanted, sizeof(wanted),
                   "user %lu may not use this agent; it takes a rule of access.users, or a client's certificate",
                   (unsigned long)geteuid());
    assert_true(rt_slice_equal(refuse.m, rt_slice_text(wanted)));
    fx_until_closed(&one);
    fx_close(&one);
    fx_stop(0);
}

/* By its group, which only the kernel knows. */
static void test_group(void **state)
{
    (void)state;
    fx_settings.access = (struct rt_access){
        .rules = {{.whom = RT_ACCESS_USER, .id.uid = geteuid() + 1, .as = RT_CLIENT_OPERATOR},
                  {.whom = RT_ACCESS_GROUP, .id.gid = getegid(), .as = RT_CLIENT_VIEWER, .tenant = "acme"}},
        .n = 2};
    fx_start();
    fx_client_up(&one);
    assert_string_equal(rt_ag_link(shell.agent, newest()->id)->who, "acme");
    fx_close(&one);
    fx_stop(0);
}

static void test_stop_with_peers(void **state)
{
    (void)state;
    fx_start();
    fx_client_up(&one);
    fx_connect(&two, fx_guest); /* in the middle of its handshake */
    until_conns(2);
    fx_stop(3);
    fx_until_closed(&one);
    fx_until_closed(&two);
    fx_close(&one);
    fx_close(&two);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, fx_setup, fx_teardown)

static bool is_stopping(void *ctx)
{
    (void)ctx;
    return shell.phase == RT_SHELL_STOPPING;
}

/* The agent ends behind the last connection, of whichever service, also when the machine knows none. */
static void test_stop_waits_for_all(void **state)
{
    struct rt_listener *listener = &shell.listeners[0].listener;

    (void)state;
    fx_start();
    listener->n_open++; /* another service's */
    rt_shell_stop(&shell, 0);
    fx_until(is_stopping, NULL);
    (void)uv_timer_stop(&shell.again); /* no deadline, however slow this machine is */
    fx_turn_for(300);
    assert_int_equal(shell.phase, RT_SHELL_STOPPING);
    rt_listener_release(listener);
    rt_shell_progress(&shell);
    fx_stop(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(test_accepted_and_let_go),
        WITH_DIR(test_byte_by_byte),
        WITH_DIR(test_cap_of_a_listener),
        WITH_DIR(test_cap_of_handshakes),
        WITH_DIR(test_descriptors),
        WITH_DIR(test_handshake_deadline),
        WITH_DIR(test_slow_reader),
        WITH_DIR(test_oversized),
        WITH_DIR(test_gathered_writes),
        WITH_DIR(test_hung_up),
        WITH_DIR(test_listeners_refused),
        WITH_DIR(test_stop_with_peers),
        WITH_DIR(test_stop_waits_for_all),
        WITH_DIR(test_socket_modes),
        WITH_DIR(test_stranger),
        WITH_DIR(test_group),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
