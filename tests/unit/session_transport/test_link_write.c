/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/transport/link.h"

#include "tests/unit/session_transport/link_end.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

/* What waits for a slow peer, and how a link ends. */

static char *fill_queue(struct end *end, size_t size)
{
    char *bytes = malloc(size);
    uv_buf_t buf = uv_buf_init(bytes, (unsigned)size);

    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)byte_at(i);
    }
    assert_int_equal(rt_link_writev(&end->link, NULL, &buf, 1), 0);
    assert_true(rt_link_queued(&end->link) > 0);
    return bytes;
}

/* A reader that does not read: bytes wait, by reference, up to the limit; then all arrive, once, in order. */
static void test_slow_reader(void **state)
{
    struct fixture *fixture = *state;
    struct end relay = {0}, sink = {0}, slow = {0};
    size_t total = 8 * MIB, sent = 0;
    int in[2], out[2];
    uint8_t *bytes = malloc(total);

    assert_non_null(bytes);
    for (size_t i = 0; i < total; i++) {
        bytes[i] = byte_at(i);
    }
    setup_pool();
    pair_of(in);
    pair_of(out);
    nonblocking(in[1]);
    slow.want = total;
    open_end(fixture, &relay, in[0]);
    open_end(fixture, &sink, out[0]);
    relay.pass_to = &sink;
    while (sent < total) {
        ssize_t n = write(in[1], bytes + sent, total - sent < 200000 ? total - sent : 200000);
        if (n > 0) {
            sent += (size_t)n;
        } else {
            assert_int_equal(errno, EAGAIN);
        }
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    while (relay.link.received < total) {
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    assert_true(rt_link_queued(&sink.link) > 4 * MIB);
    assert_int_equal(rt_link_sent_total(&sink.link) + rt_link_queued(&sink.link), total);
    assert_true(pool.n_live > 4); /* by reference */
    assert_int_equal(sink.drains, 0);
    open_end(fixture, &slow, out[1]);
    fixture_run(fixture, &slow.got_all);
    fixture_sleep(fixture, 20);
    assert_int_equal(slow.seen, total);
    assert_int_equal(sink.drains, 2); /* under half of high water, then empty */
    assert_int_equal(rt_link_sent_total(&sink.link), total);
    close_end(fixture, &relay);
    close_end(fixture, &sink);
    close_end(fixture, &slow);
    (void)close(in[1]);
    close_pool();
    free(bytes);
}

static void test_queue_limit(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    size_t size = MIB, taken = 0;
    char *bytes = calloc(1, size);
    uv_buf_t buf = uv_buf_init(bytes, (unsigned)size);
    int fds[2], err;

    assert_non_null(bytes);
    setup_pool();
    pair_of(fds);
    open_end(fixture, &end, fds[0]);
    while ((err = rt_link_writev(&end.link, NULL, &buf, 1)) == 0) {
        taken += size;
        assert_true(taken <= RT_LINK_QUEUE_MAX + 4 * size);
    }
    assert_int_equal(err, RT_ELIMIT);
    assert_true(rt_link_queued(&end.link) > RT_LINK_QUEUE_MAX - size);
    assert_true(rt_link_queued(&end.link) <= RT_LINK_QUEUE_MAX);
    assert_int_equal(rt_link_sent_total(&end.link) + rt_link_queued(&end.link), taken);
    /* The refusal changed nothing: a smaller write still goes. */
    buf.len = 1;
    assert_int_equal(rt_link_writev(&end.link, NULL, &buf, 1), 0);
    rt_link_close(&end.link, RT_LINK_NOW, RT_ELIMIT, "slow reader");
    assert_int_equal(rt_link_writev(&end.link, NULL, &buf, 1), RT_ECONN);
    fixture_run(fixture, &end.closed);
    assert_int_equal(end.reason, RT_ELIMIT);
    assert_string_equal(end.text, "slow reader");
    (void)close(fds[1]);
    close_pool();
    free(bytes);
}

/* Small writes to a full socket share chunks and arrive in order. */
static void test_small_writes_wait_together(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0}, far = {.want = 400000};
    int fds[2];

    setup_pool();
    pair_of(fds);
    open_end(fixture, &end, fds[0]);
    for (uint64_t i = 0; i < far.want; i++) {
        char byte = (char)byte_at(i);
        uv_buf_t buf = uv_buf_init(&byte, 1);
        assert_int_equal(rt_link_writev(&end.link, NULL, &buf, 1), 0);
    }
    assert_true(rt_link_queued(&end.link) > 100000);
    open_end(fixture, &far, fds[1]);
    fixture_run(fixture, &far.got_all);
    close_end(fixture, &end);
    close_end(fixture, &far);
    close_pool();
}

static void test_close_while_writing(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    int fds[2];
    char *bytes;

    setup_pool();
    pair_of(fds);
    open_end(fixture, &end, fds[0]);
    bytes = fill_queue(&end, 4 * MIB);
    rt_link_close(&end.link, RT_LINK_NOW, 0, "first");
    rt_link_close(&end.link, RT_LINK_NOW, RT_EIO, "second");
    fixture_run(fixture, &end.closed);
    assert_string_equal(end.text, "first");
    assert_int_equal(end.reason, 0);
    assert_int_equal(end.drains, 0);
    (void)close(fds[1]);
    close_pool();
    free(bytes);
}

static void test_flush_close(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0}, far = {0};
    int fds[2];
    char *bytes;

    setup_pool();
    pair_of(fds);
    far.want = 2 * MIB; /* more than the kernel takes at once, and no second's work on a machine that is busy */
    open_end(fixture, &end, fds[0]);
    bytes = fill_queue(&end, far.want);
    rt_link_close(&end.link, RT_LINK_AFTER, RT_EAUTH, "refused");
    rt_link_close(&end.link, RT_LINK_AFTER, 0, "again");
    (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    assert_false(end.closed);
    open_end(fixture, &far, fds[1]);
    fixture_run(fixture, &end.closed);
    fixture_run(fixture, &far.closed);
    assert_int_equal(far.seen, far.want);
    assert_string_equal(far.text, "closed by the peer");
    assert_int_equal(end.reason, RT_EAUTH);
    assert_string_equal(end.text, "refused");
    close_pool();
    free(bytes);
}

static void test_flush_has_a_deadline(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    uint64_t start;
    int fds[2];
    char *bytes;

    setup_pool();
    pair_of(fds);
    open_end(fixture, &end, fds[0]);
    bytes = fill_queue(&end, 4 * MIB);
    start = uv_now(&fixture->loop);
    rt_link_close(&end.link, RT_LINK_AFTER, 0, "slow");
    fixture_run(fixture, &end.closed);
    assert_true(uv_now(&fixture->loop) - start >= RT_LINK_LINGER_MS);
    (void)close(fds[1]);
    close_pool();
    free(bytes);
}

static void test_now_hastens_flush(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    int fds[2];
    char *bytes;

    setup_pool();
    pair_of(fds);
    open_end(fixture, &end, fds[0]);
    bytes = fill_queue(&end, 4 * MIB);
    rt_link_close(&end.link, RT_LINK_AFTER, 0, "flush");
    rt_link_close(&end.link, RT_LINK_NOW, RT_EIO, "now");
    assert_true(fixture_run_for(fixture, &end.closed, RT_LINK_LINGER_MS / 2));
    assert_string_equal(end.text, "flush");
    (void)close(fds[1]);
    close_pool();
    free(bytes);
}

/* The peer said something and went; our write fails first. Its last words still arrive. */
static void test_last_words_after_a_failed_write(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {.want = 1000};
    uint8_t words[1000];
    uv_buf_t buf = uv_buf_init((char *)words, sizeof(words));
    int fds[2];

    setup_pool();
    for (size_t i = 0; i < sizeof(words); i++) {
        words[i] = byte_at(i);
    }
    pair_of(fds);
    assert_int_equal(write(fds[1], words, sizeof(words)), sizeof(words));
    (void)close(fds[1]);
    open_end(fixture, &end, fds[0]);
    assert_int_equal(rt_link_writev(&end.link, NULL, &buf, 1), RT_ECONN);
    assert_int_equal(end.link.state, RT_LINK_LINGER);
    assert_int_equal(rt_link_writev(&end.link, NULL, &buf, 1), RT_ECONN);
    assert_int_equal(rt_link_queued(&end.link), 0);
    fixture_run(fixture, &end.closed);
    assert_int_equal(end.seen, 1000);
    assert_int_equal(end.closes, 1);
    assert_int_equal(end.reason, RT_ECONN);
    assert_non_null(strstr(end.text, "write: broken pipe"));
    close_pool();
}

static void test_reset(void **state)
{
    struct fixture *fixture = *state;
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    struct end end = {0};
    int fds[2];

    setup_pool();
    tcp_pair_of(fds);
    open_end(fixture, &end, fds[0]);
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    (void)close(fds[1]);
    fixture_run(fixture, &end.closed);
    assert_int_equal(end.reason, RT_ECONN);
    assert_string_equal(end.text, "read: connection reset by peer");
    close_pool();
}

/* The peer goes while a queue waits for it. */
static void test_peer_goes_with_a_queue(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    int fds[2];
    char *bytes;

    setup_pool();
    pair_of(fds);
    open_end(fixture, &end, fds[0]);
    bytes = fill_queue(&end, 4 * MIB);
    (void)close(fds[1]);
    fixture_run(fixture, &end.closed);
    assert_int_equal(end.closes, 1);
    assert_int_equal(end.reason, RT_ECONN);
    close_pool();
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_slow_reader),
        TEST(test_queue_limit),
        TEST(test_small_writes_wait_together),
        TEST(test_close_while_writing),
        TEST(test_flush_close),
        TEST(test_flush_has_a_deadline),
        TEST(test_now_hastens_flush),
        TEST(test_last_words_after_a_failed_write),
        TEST(test_reset),
        TEST(test_peer_goes_with_a_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
