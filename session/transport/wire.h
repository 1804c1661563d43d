/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_TRANSPORT_WIRE_H
#define RETETHER_SESSION_TRANSPORT_WIRE_H

#include "session/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

/* The way of a link's bytes into its socket and out of it, as a table. A wire that encrypts is another table, with a
 * plain wire of its own below; the link, and whoever uses it, stays as it is. Sizes are those of the link's bytes, not
 * of what lies on the socket.
 *
 *     link      queue, deadlines, carry, close       (link.c)
 *     wire      bytes <-> what the socket carries    (this table)
 *     socket    unix, TCP, vSocket, on a libuv loop  (rt_wire_plain)
 *
 *     open --[handshake --> on_ready]--> on_read ..., on_written ... --> on_end --> close --> on_closed
 *                 '-- failed: on_end
 *
 * The link may write and close at any time behind open, in the handshake too. */

struct rt_wire;

/* What the wire tells the link that it is part of. Behind close there is on_closed alone. */
struct rt_wire_events {
    /* A wire with a handshake: it is done, and `peer` is who the far end has proved to be; lives during the call. Once,
     * before the first on_read. */
    void (*on_ready)(struct rt_wire *wire, const char *peer);
    /* Where the next bytes go; size 0: no memory, the wire ends. */
    uv_buf_t (*on_room)(struct rt_wire *wire);
    /* Bytes that lie where on_room said. Not behind pause. */
    void (*on_read)(struct rt_wire *wire, size_t size);
    /* The write under way is done: 0 or a libuv code. */
    void (*on_written)(struct rt_wire *wire, int status);
    /* Nothing more can be read: the peer has closed, the handshake has failed. A code of error.h, and why, for people.
     */
    void (*on_end)(struct rt_wire *wire, int reason, const char *why);
    /* The last call: the memory is the link's again. Never from within close. */
    void (*on_closed)(struct rt_wire *wire);
};

enum rt_wire_side { RT_WIRE_ACCEPTED, RT_WIRE_DIALLED };

/* What a wire is to be. All zero: plain. */
struct rt_wire_setup {
    const struct rt_wire_ops *ops; /* NULL: rt_wire_plain */
    void *context;                 /* the ops' own, for all wires of a kind: keys, certificates. Outlives them. */
    enum rt_wire_side side;
    const char *expect; /* who the far end must prove to be, or NULL: anybody. Read by open alone. */
    bool guess;         /* anybody may be there; `expect` is who was there before, which may spare work */
};

struct rt_wire_ops {
    bool handshake; /* on_ready will come */
    /* Makes the wire over a connected stream socket and starts to read, or to shake hands. Returns 0 or a libuv code;
     * the descriptor is taken, and on_closed follows a close, either way. */
    int (*open)(struct rt_wire *wire, uv_loop_t *loop, int fd, const struct rt_wire_setup *setup);
    /* No more on_read, for good. What the wire reads for itself, as in a handshake, it reads on. */
    void (*pause)(struct rt_wire *wire);
    /* As many bytes as go out at once: their count, UV_EAGAIN for none, or another libuv code. It keeps nothing. Not
     * while a write is under way. NULL: a wire that keeps what it has made of the bytes, so they go in batches. */
    int (*try_write)(struct rt_wire *wire, const uv_buf_t *bufs, unsigned n);
    /* Sends all, behind the handshake; the bytes stay as they are until on_written, which comes later. Returns 0, or a
     * libuv code and then nothing comes. One at a time. */
    int (*write)(struct rt_wire *wire, const uv_buf_t *bufs, unsigned n);
    /* Bytes of the write under way that the kernel has not taken. */
    size_t (*unsent)(const struct rt_wire *wire);
    /* Bytes on the socket that the kernel has and the peer has not read; 0 where the kernel does not say. */
    size_t (*unread)(const struct rt_wire *wire);
    void (*close)(struct rt_wire *wire);
};

struct rt_wire {
    const struct rt_wire_ops *ops;
    const struct rt_wire_events *events;
    void *state; /* owned by the ops: theirs from open until on_closed */
    union {      /* of rt_wire_plain */
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tcp_t tcp;
    } uv;
};

/* Bytes go over the socket as they are. */
extern const struct rt_wire_ops rt_wire_plain;

#endif
