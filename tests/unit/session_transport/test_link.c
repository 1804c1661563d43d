/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/transport/link.h"

#include "tests/unit/session_transport/link_end.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

/* What a link reads and carries over. */

static void test_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct rt_link) <= 1024);
}

/* Megabytes through three links (send, echo, take frames), written in odd pieces, over both kinds of socket. */
static void echo_frames(struct fixture *fixture, bool tcp, size_t frame, size_t piece)
{
    struct end near = {.whole_frames = true}, far = {.echo = true};
    size_t total = 6 * MIB, bytes;
    uint8_t *stream = make_frames(total, frame, &bytes);
    int fds[2];

    setup_pool();
    (tcp ? tcp_pair_of : pair_of)(fds);
    near.want = total;
    open_end(fixture, &near, fds[0]);
    open_end(fixture, &far, fds[1]);
    for (size_t at = 0; at < bytes;) {
        size_t size = bytes - at < piece ? bytes - at : piece;
        uv_buf_t bufs[3] = {
            uv_buf_init((char *)stream + at, (unsigned)(size / 3)),
            uv_buf_init(NULL, 0),
            uv_buf_init((char *)stream + at + size / 3, (unsigned)(size - size / 3)),
        };
        assert_int_equal(rt_link_writev(&near.link, NULL, bufs, 3), 0);
        at += size;
        if (rt_link_queued(&near.link) > MIB) {
            (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
        }
    }
    fixture_run(fixture, &near.got_all);
    assert_int_equal(near.seen, total);
    assert_int_equal(near.frames, (total + frame - 1) / frame);
    assert_int_equal(rt_link_sent_total(&near.link), bytes);
    assert_int_equal(rt_link_queued(&near.link), 0);
    assert_int_equal(near.link.carry_size, 0);
    assert_null(near.link.carry);
    close_end(fixture, &near);
    fixture_run(fixture, &far.closed);
    assert_int_equal(far.reason, RT_ECONN);
    assert_int_equal(near.reason, 0);
    assert_string_equal(near.text, "done");
    close_pool();
    free(stream);
}

static void test_echo(void **state)
{
    static const struct {
        size_t frame, piece;
    } cases[] = {{65536, 100000}, {65536, 65536 + 4}, {1000, 7777}, {13, 999}, {65535, 300001}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        echo_frames(*state, false, cases[i].frame, cases[i].piece);
        echo_frames(*state, true, cases[i].frame, cases[i].piece);
    }
}

/* A stream of small frames cut at every byte. */
static void test_cut_everywhere(void **state)
{
    struct fixture *fixture = *state;
    size_t total = 300, bytes;
    uint8_t *stream = make_frames(total, 37, &bytes);

    for (size_t cut = 1; cut < bytes; cut++) {
        struct end end = {.whole_frames = true, .want = total};
        int fds[2];

        setup_pool();
        pair_of(fds);
        open_end(fixture, &end, fds[0]);
        assert_int_equal(write(fds[1], stream, cut), cut);
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
        assert_int_equal(end.link.received, cut);
        assert_int_equal(end.link.carry_size, cut - end.seen - 4 * end.frames);
        assert_int_equal(write(fds[1], stream + cut, bytes - cut), bytes - cut);
        fixture_run(fixture, &end.got_all);
        assert_null(end.link.carry);
        close_end(fixture, &end);
        (void)close(fds[1]);
        close_pool();
    }
    free(stream);
}

/* The longest frame, a byte at a time: the tail is kept, and cheaply. */
static void test_longest_carry_trickles(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {.whole_frames = true, .want = RT_BUF_CARRY_MAX - 4};
    size_t bytes, at = 0;
    uint8_t *stream = make_frames(end.want, end.want, &bytes);
    int fds[2];

    setup_pool();
    assert_int_equal(bytes, RT_BUF_CARRY_MAX);
    pair_of(fds);
    open_end(fixture, &end, fds[0]);
    while (at < bytes) {
        size_t size = at < 3000 || at >= bytes - 300 ? 1 : 4001;
        size = at < bytes - 300 && at + size > bytes - 300 ? bytes - 300 - at : size;
        assert_int_equal(write(fds[1], stream + at, size), size);
        at += size;
        while (end.link.received < at) {
            (void)uv_run(&fixture->loop, UV_RUN_ONCE);
        }
        assert_true(end.link.carry_cap <= RT_BUF_CARRY_MAX);
    }
    assert_true(end.got_all);
    assert_int_equal(end.frames, 1);
    assert_int_equal(end.biggest_tail, RT_BUF_CARRY_MAX - 1);
    close_end(fixture, &end);
    (void)close(fds[1]);
    close_pool();
    free(stream);
}

static size_t take_nothing(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    (void)link;
    (void)buf;
    (void)data;
    (void)size;
    return 0;
}

/* The longest tail that a link keeps, and one byte more. */
static void test_frame_too_long(void **state)
{
    static const struct rt_link_ops greedy = {.on_data = take_nothing, .on_close = on_close};
    struct fixture *fixture = *state;
    struct end end = {0};
    char junk[1000] = {0};
    size_t sent = 0;
    int fds[2];

    setup_pool();
    pair_of(fds);
    end.link.data = &end;
    assert_int_equal(open_link(fixture, &end.link, fds[0], &greedy), 0);
    while (sent < RT_BUF_CARRY_MAX) {
        size_t size = RT_BUF_CARRY_MAX - sent < sizeof(junk) ? RT_BUF_CARRY_MAX - sent : sizeof(junk);
        assert_int_equal(write(fds[1], junk, size), size);
        sent += size;
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    fixture_sleep(fixture, 10);
    assert_false(end.closed);
    assert_int_equal(end.link.carry_size, RT_BUF_CARRY_MAX);
    assert_int_equal(write(fds[1], junk, 1), 1);
    fixture_run(fixture, &end.closed);
    assert_int_equal(end.reason, RT_ELIMIT);
    (void)close(fds[1]);
    close_pool();
}

static size_t take_three(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct end *end = link->data;

    (void)buf;
    size = size < 3 ? size : 3;
    check_payload(end, data, size);
    return size;
}

/* A consumer that takes less than it was given before. */
static void test_part_of_the_tail(void **state)
{
    static const struct rt_link_ops sparing = {.on_data = take_three, .on_close = on_close};
    struct fixture *fixture = *state;
    struct end end = {0};
    size_t sent = 0;
    int fds[2];

    setup_pool();
    pair_of(fds);
    end.link.data = &end;
    assert_int_equal(open_link(fixture, &end.link, fds[0], &sparing), 0);
    for (size_t round = 0; round < 400; round++) {
        size_t size = round < 100 ? 10 : 1;
        uint8_t bytes[10];
        for (size_t i = 0; i < size; i++) {
            bytes[i] = byte_at(sent + i);
        }
        assert_int_equal(write(fds[1], bytes, size), size);
        sent += size;
        while (end.link.received < sent) {
            (void)uv_run(&fixture->loop, UV_RUN_ONCE);
        }
        assert_int_equal(end.seen + end.link.carry_size, sent);
    }
    assert_int_equal(end.seen, 1200);
    close_end(fixture, &end);
    (void)close(fds[1]);
    close_pool();
}

static size_t close_at_once(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct end *end = link->data;

    (void)buf;
    (void)data;
    end->frames++;
    rt_link_close(link, RT_LINK_NOW, RT_EPROTO, "no");
    return size - 1; /* what is left does not matter any more */
}

static void test_close_within_on_data(void **state)
{
    static const struct rt_link_ops closer = {.on_data = close_at_once, .on_close = on_close};
    struct fixture *fixture = *state;
    struct end end = {0};
    int fds[2];
    char junk[100] = {0};

    setup_pool();
    pair_of(fds);
    end.link.data = &end;
    assert_int_equal(open_link(fixture, &end.link, fds[0], &closer), 0);
    for (int i = 0; i < 10; i++) {
        (void)!write(fds[1], junk, sizeof(junk));
    }
    fixture_run(fixture, &end.closed);
    assert_int_equal(end.frames, 1);
    assert_int_equal(end.reason, RT_EPROTO);
    (void)close(fds[1]);
    close_pool();
}

static void test_open_rejects(void **state)
{
    struct fixture *fixture = *state;
    struct rt_link link = {0};
    int fds[2];

    setup_pool();
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(open_link(fixture, &link, fds[0], &ops), RT_EINVAL);
    assert_int_equal(open_link(fixture, &link, -1, &ops), RT_EINVAL);
    (void)close(fds[0]);
    (void)close(fds[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    assert_int_equal(open_link(fixture, &link, fds[0], &ops), RT_EINVAL);
    (void)close(fds[0]);
    (void)close(fds[1]);
    close_pool();
    rt_link_close(&(struct rt_link){0}, RT_LINK_NOW, 0, "never opened: does nothing");
}

static void ignore_cb(uv_poll_t *poll, int status, int events)
{
    (void)poll;
    (void)status;
    (void)events;
}

/* A descriptor that libuv will not take, because something watches it: the link is opened, closes it, and tells. */
static void test_open_fails_late(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    bool closed = false;
    uv_poll_t poll;
    int fds[2];

    setup_pool();
    tcp_pair_of(fds);
    assert_int_equal(uv_poll_init(&fixture->loop, &poll, fds[0]), 0);
    assert_int_equal(uv_poll_start(&poll, UV_READABLE, ignore_cb), 0);
    open_end(fixture, &end, fds[0]);
    poll.data = &closed;
    uv_close((uv_handle_t *)&poll, fixture_closed_cb);
    fixture_run(fixture, &end.closed);
    assert_true(closed);
    assert_int_equal(end.reason, RT_EEXIST);
    assert_int_equal(end.closes, 1);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1);
    (void)close(fds[1]);
    close_pool();
}

static void test_socket_options(void **state)
{
    struct fixture *fixture = *state;
    struct end local = {0}, remote = {0};
    int fds[2], value = 0;
    socklen_t size = sizeof(value);

    setup_pool();
    pair_of(fds);
    open_end(fixture, &local, fds[0]);
    assert_int_equal(getsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &value, &size), 0);
    assert_true(value >= (int)(400 * KIB)); /* 2 MiB where allowed, else what net.core.wmem_max leaves */
    (void)close(fds[1]);
    close_end(fixture, &local);
    tcp_pair_of(fds);
    open_end(fixture, &remote, fds[0]);
    assert_int_equal(getsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &value, &size), 0);
    assert_int_equal(value, 1);
    (void)close(fds[1]);
    close_end(fixture, &remote);
    close_pool();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_small),
        TEST(test_echo),
        TEST(test_cut_everywhere),
        TEST(test_longest_carry_trickles),
        TEST(test_frame_too_long),
        TEST(test_part_of_the_tail),
        TEST(test_close_within_on_data),
        TEST(test_open_rejects),
        TEST(test_open_fails_late),
        TEST(test_socket_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
