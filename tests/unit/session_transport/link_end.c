/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_transport/link_end.h"

#include "session/base/endpoint.h"
#include "session/core/frame.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

struct rt_buf_pool pool;

uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 131 + (i >> 8) * 7 + (i >> 16));
}

void check_payload(struct end *end, const uint8_t *data, size_t size)
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

void on_close(struct rt_link *link, int reason, const char *text)
{
    struct end *end = link->data;

    end->closes++;
    end->closed = true;
    end->reason = reason;
    (void)snprintf(end->text, sizeof(end->text), "%s", text);
    memset(link, 0x5a, sizeof(*link)); /* nobody may use it any more */
}

const struct rt_link_ops ops = {.on_data = on_data, .on_drain = on_drain, .on_close = on_close};

int open_link(struct fixture *fixture, struct rt_link *link, int fd, const struct rt_link_ops *with)
{
    struct rt_link_setup setup = {.loop = &fixture->loop, .pool = &pool, .ops = with};

    return rt_link_open(link, fd, &setup);
}

void open_end(struct fixture *fixture, struct end *end, int fd)
{
    end->fixture = fixture;
    end->link.data = end;
    assert_int_equal(open_link(fixture, &end->link, fd, &ops), 0);
}

static void on_ready(struct rt_link *link, const char *peer)
{
    struct secure *secure = link->data;

    secure->readies++;
    secure->ready = true;
    secure->seen_then = link->received;
    (void)snprintf(secure->peer, sizeof(secure->peer), "%s", peer);
}

static size_t on_secure_data(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct secure *secure = link->data;

    assert_int_equal(secure->readies, 1);
    return on_data(link, buf, data, size);
}

static const struct rt_link_ops secure_ops = {
    .on_ready = on_ready, .on_data = on_secure_data, .on_drain = on_drain, .on_close = on_close};

void open_on(struct fixture *fixture, struct secure *secure, int fd, const struct rt_wire_setup *wire)
{
    struct rt_link_setup setup = {.loop = &fixture->loop, .pool = &pool, .ops = &secure_ops, .wire = *wire};

    secure->end.fixture = fixture;
    secure->end.link.data = secure;
    assert_int_equal(rt_link_open(&secure->end.link, fd, &setup), 0);
}

void write_out(struct secure *secure, const void *bytes, size_t size)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)size);

    assert_int_equal(rt_link_writev(&secure->end.link, NULL, &buf, 1), 0);
}

void turn(const struct fixture *fixture)
{
    for (int i = 0; i < 5; i++) {
        (void)uv_run((uv_loop_t *)(uintptr_t)&fixture->loop, UV_RUN_NOWAIT);
    }
}

void pair_of(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

void tcp_pair_of(int fds[2])
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

void close_end(struct fixture *fixture, struct end *end)
{
    if (!end->closed) { /* as it is when its peer went first */
        rt_link_close(&end->link, RT_LINK_NOW, 0, "done");
    }
    fixture_run(fixture, &end->closed);
    assert_int_equal(end->closes, 1);
}

void nonblocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

uint8_t *make_frames(size_t total, size_t size, size_t *bytes)
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

void setup_pool(void)
{
    rt_buf_pool_init(&pool);
}

void close_pool(void)
{
    rt_buf_pool_close(&pool);
    assert_int_equal(pool.n_live, 0);
}
