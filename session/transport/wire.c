/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/transport/wire.h"

#include <sys/socket.h>
#include <unistd.h>

/* On unix sockets; the default holds less than one read of small writes. */
#define SEND_BUFFER (1024 * 1024)
/* TCP: a peer whose machine is gone is found also by a link that only listens, as the store's news do. */
#define KEEPALIVE_S 10

static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct rt_wire *wire = handle->data;

    (void)suggested;
    *out = wire->events->on_room(wire);
}

static void read_cb(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct rt_wire *wire = stream->data;

    (void)buf;
    if (size != 0) {
        wire->events->on_read(wire, size);
    }
}

static void plain_pause(struct rt_wire *wire)
{
    (void)uv_read_stop(&wire->uv.stream);
}

static int plain_open(struct rt_wire *wire, uv_loop_t *loop, int fd, int family)
{
    int size = SEND_BUFFER, err;

    if (family == AF_INET || family == AF_INET6) {
        (void)uv_tcp_init(loop, &wire->uv.tcp);
        err = uv_tcp_open(&wire->uv.tcp, fd);
        if (err == 0) {
            (void)uv_tcp_nodelay(&wire->uv.tcp, 1);
            (void)uv_tcp_keepalive(&wire->uv.tcp, 1, KEEPALIVE_S);
        }
    } else {
        (void)uv_pipe_init(loop, &wire->uv.pipe, 0);
        err = uv_pipe_open(&wire->uv.pipe, fd);
        if (err == 0 && family == AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0) {
            (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        }
    }
    wire->uv.handle.data = wire;
    if (err != 0) {
        (void)close(fd);
        return err;
    }
    return uv_read_start(&wire->uv.stream, alloc_cb, read_cb);
}

static int plain_try_write(struct rt_wire *wire, const uv_buf_t *bufs, unsigned n)
{
    return uv_try_write(&wire->uv.stream, bufs, n);
}

static void written_cb(uv_write_t *req, int status)
{
    struct rt_wire *wire = req->handle->data;

    wire->events->on_written(wire, status);
}

static int plain_write(struct rt_wire *wire, const uv_buf_t *bufs, unsigned n)
{
    return uv_write(&wire->write_req, &wire->uv.stream, bufs, n, written_cb);
}

static size_t plain_unsent(const struct rt_wire *wire)
{
    return uv_stream_get_write_queue_size(&wire->uv.stream);
}

static void closed_cb(uv_handle_t *handle)
{
    struct rt_wire *wire = handle->data;

    wire->events->on_closed(wire);
}

static void plain_close(struct rt_wire *wire)
{
    uv_close(&wire->uv.handle, closed_cb);
}

const struct rt_wire_ops rt_wire_plain = {.open = plain_open,
                                          .pause = plain_pause,
                                          .try_write = plain_try_write,
                                          .write = plain_write,
                                          .unsent = plain_unsent,
                                          .close = plain_close};
