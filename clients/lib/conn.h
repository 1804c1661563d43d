/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_LIB_CONN_H
#define RETETHER_CLIENTS_LIB_CONN_H

#include "session/transport/dialled.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A connection to an agent, from its dialling to the end of its link: what both halves of the library share. Each
 * attempt has its own memory: a connection that the machine gave up may still be closing while the next one is dialled.
 *
 *     dial --> CURRENT --(hangup; or lost, told by itself)--> on its way down --> free
 *
 * Only a current connection carries bytes; the pointer `*place` of its owner names it exactly as long. */

/* Buffers given to one link in one step; what is left goes in the next iteration. */
#define RT_CONN_BUFFERS_MAX 4

struct rt_conn;

struct rt_conn_ops {
    /* The link is up, and its handshake done: `peer` is who the far end has proved to be, NULL on a wire without one.
     * False: it is not who it should be, and `why` says so; the connection ends. */
    bool (*connected)(struct rt_conn *conn, const char *peer, char *why, size_t why_size);
    /* Bytes that came; returns how many are consumed, as on_data of a link. */
    size_t (*input)(struct rt_conn *conn, const uint8_t *data, size_t size);
    /* Fills out with what there is to send; returns its bytes, 0 for nothing. */
    size_t (*output)(struct rt_conn *conn, uint8_t *out, size_t cap);
    /* A current connection has ended by itself; it is not current any more. Once. */
    void (*lost)(struct rt_conn *conn, const char *reason);
    /* A step of the owner is due: one of the above has come, or a link would take more. */
    void (*wake)(void *owner);
    /* Exactly once after rt_conn_dial, never from within a call of this file: a connection has been freed. */
    void (*freed)(void *owner);
};

/* What the connections of one owner share. */
struct rt_conn_set {
    void *owner; /* for ops */
    uv_loop_t *loop;
    const struct rt_conn_ops *ops;
    struct rt_buf_pool pool;
    struct rt_buf *out; /* owned reference: the write buffer, or NULL */
    unsigned n;         /* connections, with those on their way down */
};

struct rt_conn {
    struct rt_conn_set *set;
    struct rt_conn **place; /* the owner's; NULL: not current */
    struct rt_dialled to;
    bool up; /* connected() has come */
};

void rt_conn_set_init(struct rt_conn_set *set, void *owner, uv_loop_t *loop, const struct rt_conn_ops *ops);
/* Every connection has been freed. */
void rt_conn_set_close(struct rt_conn_set *set);

/* Makes a connection the current one of *place, which must be empty, and dials. It is zeroed, begins an allocation, and
 * belongs to its link from now on. wire: what to open it with; NULL: a plain one. */
void rt_conn_dial(struct rt_conn *conn, struct rt_conn_set *set, struct rt_conn **place,
                  const struct rt_endpoint *endpoint, const struct rt_wire_setup *wire);

/* Takes a current connection from its place and closes it; `lost` does not come. */
void rt_conn_hangup(struct rt_conn *conn, enum rt_link_how how, const char *reason);

/* Gives a current connection's link what there is to send. Returns whether there may be more that it would take. */
bool rt_conn_pump(struct rt_conn *conn);

#endif
