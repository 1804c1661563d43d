/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/transport/link.h"
#include "tests/unit/session_transport/cipher_wire.h"
#include "tests/unit/session_transport/link_end.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

/* Links over a wire with a handshake, that is not plain. */

static void open_cipher(struct fixture *fixture, struct secure *end, int fd, enum rt_wire_side side,
                        struct cipher_context *context, const char *expect)
{
    struct rt_wire_setup wire = {.ops = &cipher_wire, .context = context, .side = side, .expect = expect};

    open_on(fixture, end, fd, &wire);
}

/* Megabytes there and back, begun with before the handshake. */
static void echo(struct fixture *fixture, bool tcp)
{
    struct secure near = {.end = {.whole_frames = true, .want = 3 * MIB}}, far = {.end.echo = true};
    struct cipher_context contexts[2] = {{.number = 1}, {.number = 2}};
    size_t bytes;
    uint8_t *stream = make_frames(3 * MIB, 60000, &bytes);
    int fds[2];

    setup_pool();
    (tcp ? tcp_pair_of : pair_of)(fds);
    open_cipher(fixture, &near, fds[0], RT_WIRE_DIALLED, &contexts[0], CIPHER_PEER "2");
    open_cipher(fixture, &far, fds[1], RT_WIRE_ACCEPTED, &contexts[1], NULL);
    for (size_t at = 0; at < bytes;) {
        size_t size = bytes - at < 100001 ? bytes - at : 100001;
        write_out(&near, stream + at, size);
        at += size;
    }
    assert_int_equal(rt_link_queued(&near.end.link), bytes);
    assert_int_equal(rt_link_sent_total(&near.end.link), 0);
    fixture_run(fixture, &near.end.got_all);
    assert_int_equal(near.end.seen, 3 * MIB);
    assert_int_equal(near.readies + far.readies, 2);
    assert_string_equal(near.peer, CIPHER_PEER "2");
    assert_string_equal(far.peer, CIPHER_PEER "1");
    assert_int_equal(near.seen_then + far.seen_then, 0);
    assert_int_equal(rt_link_sent_total(&near.end.link), bytes);
    assert_true(near.end.drains > 0);
    close_end(fixture, &near.end);
    fixture_run(fixture, &far.end.closed);
    assert_string_equal(far.end.text, "closed by the peer");
    close_pool();
    free(stream);
}

static void test_echo(void **state)
{
    echo(*state, false);
    echo(*state, true);
}

/* A handshake byte by byte, with the first bytes behind it in one piece; the peer has not read what is written then. */
static void test_cut_handshake(void **state)
{
    struct fixture *fixture = *state;
    struct secure end = {0};
    struct cipher_context context = {.number = 9};
    uint8_t hello[2] = {CIPHER_MARK, 7}, data[4] = {7}, answer[8];
    int fds[2];

    setup_pool();
    pair_of(fds);
    nonblocking(fds[1]);
    open_cipher(fixture, &end, fds[0], RT_WIRE_ACCEPTED, &context, NULL);
    turn(fixture);
    assert_int_equal(write(fds[1], hello, 1), 1);
    turn(fixture);
    assert_int_equal(end.readies, 0);
    assert_non_null(end.end.link.timer);
    data[0] = hello[1];
    for (size_t i = 1; i < sizeof(data); i++) {
        data[i] = byte_at(i - 1) ^ CIPHER_KEY;
    }
    assert_int_equal(write(fds[1], data, sizeof(data)), sizeof(data));
    turn(fixture);
    assert_int_equal(end.readies, 1);
    assert_string_equal(end.peer, CIPHER_PEER "7");
    assert_int_equal(end.end.seen, 3);
    assert_null(end.end.link.timer);
    write_out(&end, "abc", 3);
    turn(fixture);
    assert_true(rt_link_unread(&end.end.link) >= 5);
    assert_int_equal(read(fds[1], answer, sizeof(answer)), 5);
    assert_int_equal(answer[1], 9);
    assert_int_equal(answer[2], 'a' ^ CIPHER_KEY);
    assert_int_equal(rt_link_unread(&end.end.link), 0);
    close_end(fixture, &end.end);
    (void)close(fds[1]);
    close_pool();
}

/* The reason goes up to who opened the link; what was written is dropped. */
static void test_handshake_fails(void **state)
{
    struct fixture *fixture = *state;
    struct secure near = {0}, far = {0};
    struct cipher_context contexts[2] = {{.number = 1}, {.number = 2}};
    int fds[2];

    setup_pool();
    pair_of(fds);
    open_cipher(fixture, &near, fds[0], RT_WIRE_DIALLED, &contexts[0], CIPHER_PEER "3");
    open_cipher(fixture, &far, fds[1], RT_WIRE_ACCEPTED, &contexts[1], NULL);
    write_out(&near, "secret", 6);
    fixture_run(fixture, &near.end.closed);
    assert_int_equal(near.end.reason, RT_EAUTH);
    assert_string_equal(near.end.text, "handshake: expected " CIPHER_PEER "3, " CIPHER_PEER "2 is there");
    fixture_run(fixture, &far.end.closed);
    assert_int_equal(near.readies, 0);
    assert_int_equal(far.end.seen, 0);
    close_pool();
}

/* Whatever ends the link before the handshake is done. */
static void test_ends_in_handshake(void **state)
{
    struct fixture *fixture = *state;
    enum { PEER_GOES, CLOSED_NOW, TIME_IS_UP, NO_MEMORY, KINDS };
    static const int reasons[KINDS] = {RT_ECONN, RT_ECANCELED, RT_ETIMEDOUT, RT_ENOMEM};

    for (int kind = 0; kind < KINDS; kind++) {
        struct secure end = {0};
        struct cipher_context context = {.number = 1, .no_memory = kind == NO_MEMORY};
        int fds[2];

        setup_pool();
        pair_of(fds);
        open_cipher(fixture, &end, fds[0], RT_WIRE_DIALLED, &context, NULL);
        turn(fixture);
        if (kind == PEER_GOES) {
            (void)shutdown(fds[1], SHUT_WR);
        } else if (kind == CLOSED_NOW) {
            write_out(&end, "x", 1);
            rt_link_close(&end.end.link, RT_LINK_NOW, RT_ECANCELED, "no more");
        } else if (kind == TIME_IS_UP) {
            assert_true(uv_timer_get_due_in(end.end.link.timer) > RT_LINK_HANDSHAKE_MS / 2);
            uv_timer_set_repeat(end.end.link.timer, 1); /* instead of waiting for it */
            assert_int_equal(uv_timer_again(end.end.link.timer), 0);
        }
        fixture_run(fixture, &end.end.closed);
        assert_int_equal(end.end.reason, reasons[kind]);
        assert_int_equal(end.end.closes, 1);
        assert_int_equal(end.readies, 0);
        assert_int_equal(fcntl(fds[0], F_GETFD), -1);
        (void)close(fds[1]);
        close_pool();
    }
}

/* A last word, said before the handshake is done: it goes out behind that, and nothing that comes is taken. Or the peer
 * never answers. */
static void test_last_word(void **state)
{
    struct fixture *fixture = *state;

    for (int silent = 0; silent < 2; silent++) {
        struct secure end = {0};
        struct cipher_context context = {.number = 1};
        uint8_t answer[4] = {CIPHER_MARK, 2, 'x', 'y'}, got[8];
        int fds[2];

        setup_pool();
        pair_of(fds);
        nonblocking(fds[1]);
        open_cipher(fixture, &end, fds[0], RT_WIRE_DIALLED, &context, NULL);
        write_out(&end, "bye", 3);
        rt_link_close(&end.end.link, RT_LINK_AFTER, RT_ESTATE, "over");
        turn(fixture);
        assert_false(end.end.closed);
        if (!silent) {
            assert_int_equal(write(fds[1], answer, sizeof(answer)), sizeof(answer));
        }
        fixture_run(fixture, &end.end.closed);
        assert_int_equal(end.end.reason, RT_ESTATE);
        assert_int_equal(end.readies, 0);
        assert_int_equal(end.end.seen, 0);
        assert_int_equal(read(fds[1], got, sizeof(got)), silent ? 2 : 5);
        assert_int_equal(got[0], CIPHER_MARK);
        assert_true(silent || got[4] == ('e' ^ CIPHER_KEY));
        (void)close(fds[1]);
        close_pool();
    }
}

static size_t close_at_once(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct secure *secure = link->data;

    (void)buf;
    (void)data;
    secure->end.frames++;
    rt_link_close(link, RT_LINK_NOW, RT_EPROTO, "no");
    return size;
}

/* One read of the socket is several of the link's; the link is closed in the first. */
static void test_close_within_on_data(void **state)
{
    static const struct rt_link_ops closer = {.on_data = close_at_once, .on_close = on_close};
    struct fixture *fixture = *state;
    struct secure end = {0};
    struct cipher_context context = {.number = 1};
    struct rt_link_setup setup = {
        .loop = &fixture->loop, .pool = &pool, .ops = &closer, .wire = {.ops = &cipher_wire, .context = &context}};
    char junk[2000] = {CIPHER_MARK, 2};
    int fds[2];

    setup_pool();
    pair_of(fds);
    end.end.link.data = &end;
    assert_int_equal(rt_link_open(&end.end.link, fds[0], &setup), 0);
    assert_int_equal(write(fds[1], junk, sizeof(junk)), sizeof(junk));
    fixture_run(fixture, &end.end.closed);
    assert_int_equal(end.end.frames, 1);
    (void)close(fds[1]);
    close_pool();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_echo),      TEST(test_cut_handshake),        TEST(test_handshake_fails), TEST(test_ends_in_handshake),
        TEST(test_last_word), TEST(test_close_within_on_data),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
