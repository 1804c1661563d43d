/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/transport/link.h"

#include "tests/unit/session_transport/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* A link at each end of a socket pair, or a link and a bare descriptor. Frames of this test: length u32, then bytes of
 * one numbered sequence, so that any byte lost, repeated or moved shows. */

struct end {
    struct rt_link link;
    struct fixture *fixture;

    bool whole_frames; /* consume only whole frames, else all */
    bool echo;
    struct end *pass_to; /* send on, by reference */
    uint64_t seen;       /* payload bytes */
    uint64_t frames;
    uint32_t sequence;
    size_t biggest_tail;

    unsigned drains, closes;
    bool closed;
    bool got_all;
    uint64_t want; /* payload bytes until got_all */
    int reason;
    char text[RT_LINK_TEXT_MAX];
};

static struct rt_buf_pool pool;

static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 131 + (i >> 8) * 7 + (i >> 16));
}

static void check_payload(struct end *end, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != byte_at(end->seen + i)) {
            fail_msg("byte %llu differs", (unsigned long long)(end->seen + i));
        }
    }
    end->seen += size;
}

static size_t take_frames(struct end *end, const uint8_t *data, size_t size)
{
    size_t used = 0;

    while (size - used >= 4) {
        uint32_t length;
        memcpy(&length, data + used, 4);
        if (size - used - 4 < length) {
            break;
        }
        check_payload(end, data + used + 4, length);
        end->frames++;
        used += 4 + length;
    }
    if (size - used > end->biggest_tail) {
        end->biggest_tail = size - used;
    }
    return used;
}

static size_t on_data(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct end *end = link->data;
    size_t used = size;
    uv_buf_t out;

    if (end->whole_frames) {
        used = take_frames(end, data, size);
    } else if (!end->echo && end->pass_to == NULL) {
        check_payload(end, data, size);
    }
    out = uv_buf_init((char *)data, (unsigned)used);
    if (end->echo && used > 0) {
        assert_int_equal(rt_link_writev(link, buf, &out, 1), 0);
    }
    if (end->pass_to != NULL && used > 0) {
        assert_int_equal(rt_link_writev(&end->pass_to->link, buf, &out, 1), 0);
    }
    memset(data - RT_FRAME_HEADER, 0xee, RT_FRAME_HEADER); /* the promised headroom */
    if (end->want != 0 && end->seen >= end->want) {
        end->got_all = true;
    }
    return used;
}

static void on_drain(struct rt_link *link)
{
    struct end *end = link->data;

    end->drains++;
}

static void on_close(struct rt_link *link, int reason, const char *text)
{
    struct end *end = link->data;

    end->closes++;
    end->closed = true;
    end->reason = reason;
    (void)snprintf(end->text, sizeof end->text, "%s", text);
    memset(link, 0x5a, sizeof *link); /* nobody may use it any more */
}

static const struct rt_link_ops ops = {on_data, on_drain, on_close};

static void open_end(struct fixture *fixture, struct end *end, int fd)
{
    end->fixture = fixture;
    end->link.data = end;
    assert_int_equal(rt_link_open_fd(&end->link, &fixture->loop, &pool, fd, &ops), 0);
}

static void pair_of(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static void tcp_pair_of(int fds[2])
{
    struct rt_endpoint any = fixture_endpoint("tcp:127.0.0.1:0");
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(listener, &any.addr.any, any.size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, &any.addr.any, &any.size), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fds[0], &any.addr.any, any.size), 0);
    fds[1] = accept(listener, NULL, NULL);
    assert_true(fds[1] >= 0);
    (void)close(listener);
}

static void close_end(struct fixture *fixture, struct end *end)
{
    if (!end->closed) { /* as it is when its peer went first */
        rt_link_close(&end->link, RT_LINK_NOW, 0, "done");
    }
    fixture_run(fixture, &end->closed);
    assert_int_equal(end->closes, 1);
}

static void nonblocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

/* `total` bytes of the sequence in frames of `size`; returns bytes, to be freed. */
static uint8_t *make_frames(size_t total, size_t size, size_t *bytes)
{
    uint8_t *out = malloc(total + 4 * (total / size + 1)), *at = out;

    assert_non_null(out);
    for (size_t done = 0; done < total;) {
        uint32_t length = (uint32_t)(total - done < size ? total - done : size);
        memcpy(at, &length, 4);
        at += 4;
        for (uint32_t i = 0; i < length; i++) {
            *at++ = byte_at(done + i);
        }
        done += length;
    }
    *bytes = (size_t)(at - out);
    return out;
}

static void setup_pool(void)
{
    rt_buf_pool_init(&pool);
}

static void close_pool(void)
{
    rt_buf_pool_close(&pool);
    assert_int_equal(pool.n_live, 0);
}

static void test_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct rt_link) <= 1024);
}

/* Megabytes through three links (send, echo, take frames), written in odd pieces, over both kinds of socket. */
static void echo_frames(struct fixture *fixture, bool tcp, size_t frame, size_t piece)
{
    struct end near = {.whole_frames = true}, far = {.echo = true};
    size_t total = 6 * 1024 * 1024, bytes;
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
        if (rt_link_queued(&near.link) > 1024 * 1024) {
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

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
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

static void test_frame_too_long(void **state)
{
    static const struct rt_link_ops greedy = {take_nothing, NULL, on_close};
    struct fixture *fixture = *state;
    struct end end = {0};
    char junk[1000] = {0};
    int fds[2];

    setup_pool();
    pair_of(fds);
    nonblocking(fds[1]);
    end.link.data = &end;
    assert_int_equal(rt_link_open_fd(&end.link, &fixture->loop, &pool, fds[0], &greedy), 0);
    for (int i = 0; i < 200 && !end.closed; i++) {
        (void)!write(fds[1], junk, sizeof junk);
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    fixture_run(fixture, &end.closed);
    assert_int_equal(end.reason, RT_ELIMIT);
    (void)close(fds[1]);
    close_pool();
}

/* A reader that does not read: bytes wait, by reference, up to the limit; then all arrive, once, in order. */
static void test_slow_reader(void **state)
{
    struct fixture *fixture = *state;
    struct end relay = {0}, sink = {0}, slow = {0};
    size_t total = 8 * 1024 * 1024, sent = 0;
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
    open_end(fixture, &slow, out[1]);
    rt_link_pause(&slow.link);
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
    assert_true(rt_link_queued(&sink.link) > 4 * 1024 * 1024);
    assert_int_equal(rt_link_sent_total(&sink.link) + rt_link_queued(&sink.link), total);
    assert_true(pool.n_live > 4); /* by reference */
    assert_int_equal(sink.drains, 0);
    rt_link_resume(&slow.link);
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
    size_t size = 1024 * 1024, taken = 0;
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

static void test_close_while_writing(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    int fds[2];
    char *bytes;

    setup_pool();
    pair_of(fds);
    open_end(fixture, &end, fds[0]);
    bytes = fill_queue(&end, 4 * 1024 * 1024);
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
    far.want = 4 * 1024 * 1024;
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
    bytes = fill_queue(&end, 4 * 1024 * 1024);
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
    bytes = fill_queue(&end, 4 * 1024 * 1024);
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
    uv_buf_t buf = uv_buf_init((char *)words, sizeof words);
    int fds[2];

    setup_pool();
    for (size_t i = 0; i < sizeof words; i++) {
        words[i] = byte_at(i);
    }
    pair_of(fds);
    assert_int_equal(write(fds[1], words, sizeof words), sizeof words);
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
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
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
    bytes = fill_queue(&end, 4 * 1024 * 1024);
    (void)close(fds[1]);
    fixture_run(fixture, &end.closed);
    assert_int_equal(end.closes, 1);
    assert_int_equal(end.reason, RT_ECONN);
    close_pool();
    free(bytes);
}

static void test_pause_and_resume(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {.want = 10};
    uint8_t words[10];
    int fds[2];

    setup_pool();
    for (size_t i = 0; i < sizeof words; i++) {
        words[i] = byte_at(i);
    }
    pair_of(fds);
    open_end(fixture, &end, fds[0]);
    rt_link_resume(&end.link);
    rt_link_pause(&end.link);
    rt_link_pause(&end.link);
    assert_int_equal(write(fds[1], words, sizeof words), sizeof words);
    fixture_sleep(fixture, 30);
    assert_int_equal(end.seen, 0);
    rt_link_resume(&end.link);
    fixture_run(fixture, &end.got_all);
    rt_link_pause(&end.link);
    (void)close(fds[1]);
    fixture_sleep(fixture, 30);
    assert_false(end.closed);
    rt_link_resume(&end.link);
    fixture_run(fixture, &end.closed);
    rt_link_close(&(struct rt_link){0}, RT_LINK_NOW, 0, "never opened: does nothing");
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
    static const struct rt_link_ops closer = {close_at_once, NULL, on_close};
    struct fixture *fixture = *state;
    struct end end = {0};
    int fds[2];
    char junk[100] = {0};

    setup_pool();
    pair_of(fds);
    end.link.data = &end;
    assert_int_equal(rt_link_open_fd(&end.link, &fixture->loop, &pool, fds[0], &closer), 0);
    for (int i = 0; i < 10; i++) {
        (void)!write(fds[1], junk, sizeof junk);
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
    assert_int_equal(rt_link_open_fd(&link, &fixture->loop, &pool, fds[0], &ops), RT_EINVAL);
    assert_int_equal(rt_link_open_fd(&link, &fixture->loop, &pool, -1, &ops), RT_EINVAL);
    (void)close(fds[0]);
    (void)close(fds[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    assert_int_equal(rt_link_open_fd(&link, &fixture->loop, &pool, fds[0], &ops), RT_EINVAL);
    (void)close(fds[0]);
    (void)close(fds[1]);
    close_pool();
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
    socklen_t size = sizeof value;

    setup_pool();
    pair_of(fds);
    open_end(fixture, &local, fds[0]);
    assert_int_equal(getsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &value, &size), 0);
    assert_true(value >= 400 * 1024); /* 2 MiB where allowed, else what net.core.wmem_max leaves */
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_small),
        TEST(test_echo),
        TEST(test_cut_everywhere),
        TEST(test_longest_carry_trickles),
        TEST(test_frame_too_long),
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
        TEST(test_pause_and_resume),
        TEST(test_close_within_on_data),
        TEST(test_open_rejects),
        TEST(test_open_fails_late),
        TEST(test_socket_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
