/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_TRANSPORT_WIRE_H
#define RETETHER_SESSION_TRANSPORT_WIRE_H

#include "session/base/error.h"

#include <stddef.h>
#include <uv.h>

/* The way of a link's bytes into its socket and out of it, as a table: a wire that encrypts takes the place of the
 * plain one, and the link above it stays as it is. Sizes are those of the link's bytes, not of what lies on the socket.
 *
 *     link      queue, deadlines, carry, close       (link.c)
 *     wire      bytes <-> what the socket carries    (this table)
 *     socket    unix, TCP, vSocket, on a libuv loop */

struct rt_wire;

/* What the wire tells the link that it is part of. */
struct rt_wire_events {
    /* Where the next bytes go; size 0: no memory, which the read is told as UV_ENOBUFS. */
    uv_buf_t (*on_room)(struct rt_wire *wire);
    /* Bytes that lie where on_room said, or UV_EOF, or another libuv code. */
    void (*on_read)(struct rt_wire *wire, ssize_t size);
    /* The rt_wire_write() under way is done: 0 or a libuv code. */
    void (*on_written)(struct rt_wire *wire, int status);
    /* The last call: the memory is the link's again. */
    void (*on_closed)(struct rt_wire *wire);
};

struct rt_wire_ops {
    /* Makes the wire over a connected stream socket and starts to read. Returns 0 or a libuv code; the descriptor is
     * taken, and on_closed follows a close, either way. */
    int (*open)(struct rt_wire *wire, uv_loop_t *loop, int fd, int family);
    void (*pause)(struct rt_wire *wire); /* reads no more */
    /* As many bytes as go out at once: their count, UV_EAGAIN for none, or another libuv code. Not while a write is
     * under way. */
    int (*try_write)(struct rt_wire *wire, const uv_buf_t *bufs, unsigned n);
    /* Sends all; the bytes stay as they are until on_written, which comes later. Returns 0, or a libuv code and then
     * nothing comes. One at a time. */
    int (*write)(struct rt_wire *wire, const uv_buf_t *bufs, unsigned n);
    /* Bytes of the write under way that the kernel has not taken. */
    size_t (*unsent)(const struct rt_wire *wire);
    void (*close)(struct rt_wire *wire);
};

struct rt_wire {
    const struct rt_wire_ops *ops;
    const struct rt_wire_events *events;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tcp_t tcp;
    } uv;
    uv_write_t write_req;
};

/* Bytes go over the socket as they are. */
extern const struct rt_wire_ops rt_wire_plain;

#endif
