/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/transport/wire.h"

#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* On unix sockets; the default holds less than one read of small writes. */
#define SEND_BUFFER (1024 * 1024)
/* On TCP. So a link that only listens, like the one for the store's news, notices when its peer's machine is gone. */
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
    if (size > 0) {
        wire->events->on_read(wire, (size_t)size);
    } else if (size == UV_EOF) {
        wire->events->on_end(wire, RT_ECONN, "closed by the peer");
    } else if (size == UV_ENOBUFS) {
        wire->events->on_end(wire, RT_ENOMEM, "no memory to read");
    } else if (size < 0) {
        char why[64];

        (void)snprintf(why, sizeof(why), "read: %s", uv_strerror((int)size));
        wire->events->on_end(wire, RT_ECONN, why);
    }
}

static void plain_pause(struct rt_wire *wire)
{
    (void)uv_read_stop(&wire->uv.stream);
}

static int plain_open(struct rt_wire *wire, uv_loop_t *loop, int fd, const struct rt_wire_setup *setup)
{
    int family = 0, buffer = SEND_BUFFER, err;
    socklen_t size = sizeof(family);

    (void)setup;
    (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
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
        if (err == 0 && family == AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer)) != 0) {
            (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
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

    free(req);
    wire->events->on_written(wire, status);
}

static int plain_write(struct rt_wire *wire, const uv_buf_t *bufs, unsigned n)
{
    uv_write_t *req = malloc(sizeof(*req)); /* an idle link has none */
    int err = req == NULL ? UV_ENOMEM : uv_write(req, &wire->uv.stream, bufs, n, written_cb);

    if (err != 0) {
        free(req);
    }
    return err;
}

static size_t plain_unsent(const struct rt_wire *wire)
{
    return uv_stream_get_write_queue_size(&wire->uv.stream);
}

static size_t plain_unread(const struct rt_wire *wire)
{
    uv_os_fd_t fd;
    int unread = 0;

    if (uv_fileno(&wire->uv.handle, &fd) != 0 || ioctl(fd, SIOCOUTQ, &unread) != 0 || unread < 0) {
        return 0;
    }
    return (size_t)unread;
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
                                          .unread = plain_unread,
                                          .close = plain_close};
