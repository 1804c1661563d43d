/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/transport/link.h"

#include "tests/lib/alloc/allocfail.h"
#include "tests/unit/session_transport/fixture.h"

#include <sys/socket.h>

/* Each allocation of a link's life fails once: the link ends with RT_ENOMEM or the bytes arrive; nothing leaks or is
 * closed twice. What libuv allocates is not among them. */

#define TOTAL (3 * MIB)
#define GRAIN 50000 /* the consumer takes multiples of this, so that tails are carried */

struct end {
    struct rt_link link;
    struct end *next; /* passes on to, or NULL */
    size_t seen;
    bool done, closed;
    int reason;
};

static size_t on_data(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct end *end = link->data;
    size_t used = size - size % GRAIN;
    uv_buf_t out;

    if (end->next == NULL) {
        end->seen += size;
        end->done = end->seen >= TOTAL;
        return size;
    }
    if (end->seen + size == TOTAL) {
        used = size;
    }
    end->seen += used;
    out = uv_buf_init((char *)data, (unsigned)used);
    if (used > 0 && rt_link_writev(&end->next->link, buf, &out, 1) != 0) {
        rt_link_close(&end->next->link, RT_LINK_NOW, RT_EIO, "never the first reason");
    }
    return used;
}

static void on_close(struct rt_link *link, int reason, const char *text)
{
    struct end *end = link->data;

    assert_non_null(text);
    assert_false(end->closed);
    end->closed = true;
    end->reason = reason;
}

static void feed(struct end *source, char *bytes)
{
    for (size_t at = 0; at < TOTAL; at += TOTAL / 8) {
        uv_buf_t buf = uv_buf_init(bytes + at, (unsigned)(TOTAL / 8));
        int err = rt_link_writev(&source->link, NULL, &buf, 1);
        if (err != 0) {
            assert_true(err == RT_ENOMEM || err == RT_ECONN);
            return;
        }
    }
}

static void open_end(struct fixture *fixture, struct rt_buf_pool *pool, struct end *end, int fd)
{
    static const struct rt_link_ops ops = {.on_data = on_data, .on_close = on_close};
    struct rt_link_setup setup = {.loop = &fixture->loop, .pool = pool, .ops = &ops};

    end->link.data = end;
    assert_int_equal(rt_link_open(&end->link, fd, &setup), 0);
}

/* source -> relay_in => relay_out -> sink. Returns whether all arrived. */
static bool session(struct fixture *fixture, char *bytes)
{
    struct end ends[4] = {0};
    struct rt_buf_pool pool;
    bool whole, nomem = false, closed = false;
    int in[2], out[2];

    rt_buf_pool_init(&pool);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, in), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, out), 0);
    open_end(fixture, &pool, &ends[0], in[0]);
    open_end(fixture, &pool, &ends[1], in[1]);
    open_end(fixture, &pool, &ends[2], out[0]);
    ends[1].next = &ends[2];
    feed(&ends[0], bytes);
    for (int i = 0; i < 60 && ends[1].seen < TOTAL; i++) {
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    open_end(fixture, &pool, &ends[3], out[1]);
    for (int i = 0; i < 1000 && !ends[3].done; i++) {
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    whole = ends[3].done;
    for (int i = 0; i < 4; i++) {
        if (!ends[i].closed) {
            rt_link_close(&ends[i].link, RT_LINK_NOW, 0, "done");
        }
    }
    for (int i = 0; i < 1000 && !closed; i++) {
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
        closed = ends[0].closed && ends[1].closed && ends[2].closed && ends[3].closed;
    }
    assert_true(closed);
    for (int i = 0; i < 4; i++) {
        nomem = nomem || ends[i].reason == RT_ENOMEM;
    }
    assert_int_equal(whole, !nomem);
    rt_buf_pool_close(&pool);
    assert_int_equal(pool.n_live, 0);
    return whole;
}

static void test_each_allocation_fails(void **state)
{
    char *bytes = calloc(1, TOTAL);
    size_t failures = 0;

    assert_non_null(bytes);
    for (size_t n = 1;; n++) {
        rt_alloc_fail_at(n);
        bool whole = session(*state, bytes);
        if (!rt_alloc_stop()) {
            assert_true(whole);
            break;
        }
        failures += !whole;
    }
    assert_true(failures >= 5); /* the reader, a copy, a reference, a carry and its growth */
    free(bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_each_allocation_fails)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
