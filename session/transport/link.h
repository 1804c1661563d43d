/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_TRANSPORT_LINK_H
#define RETETHER_SESSION_TRANSPORT_LINK_H

#include "session/transport/buf.h"
#include "session/transport/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/* One connected stream on a libuv loop: unix, TCP or vSocket. Caller-allocated; the memory is the link's from a
 * successful rt_link_open until on_close.
 *
 *            write fails          EOF, error, deadline
 *     OPEN ---------------> LINGER -------------------> CLOSING -> CLOSED (on_close)
 *      |  close(FLUSH), bytes queued     sent, deadline   ^  ^
 *      |---------------> FLUSH ---------------------------'  |
 *      '-------- EOF, error, close(NOW), nothing queued -----'
 *
 * It waits in OPEN (first for the wire's handshake, where that has one), LINGER (reads what the peer said before it
 * went, a refusal for instance), FLUSH and CLOSING. libuv writes without MSG_NOSIGNAL: the program ignores SIGPIPE. */

/* Bytes that wait for a slow peer; a write that would pass it is refused whole with RT_ELIMIT. */
#define RT_LINK_QUEUE_MAX ((size_t)32 * 1024 * 1024)
/* Default of high_water, bytes: a queue that was above it is told once when it has fallen under half. */
#define RT_LINK_QUEUE_HIGH ((size_t)512 * 1024)
/* FLUSH and LINGER last at most this long; what is unsent then is dropped. */
#define RT_LINK_LINGER_MS 1000
/* A wire's handshake that has not been done for so long ends the link with RT_ETIMEDOUT. */
#define RT_LINK_HANDSHAKE_MS 5000
/* A queued piece smaller than this is copied, so that few bytes never pin a whole read buffer. */
#define RT_LINK_COPY_MAX ((size_t)16 * 1024)
/* Pieces and bytes of one write to the kernel. */
#define RT_LINK_IOV_MAX 64
#define RT_LINK_BATCH_MAX ((size_t)256 * 1024)
#define RT_LINK_TEXT_MAX 96

struct rt_link;
struct rt_link_chunk;

struct rt_link_ops {
    /* May be NULL. The wire has a handshake, and by it the far end has proved to be `peer`, which lives during the
     * call. Once, before the first on_data. What was written before goes out behind the handshake. */
    void (*on_ready)(struct rt_link *link, const char *peer);
    /* What has come: the unconsumed tail of the last call and the new bytes, contiguous. Returns how many bytes are
     * consumed; the rest, an incomplete frame of at most RT_BUF_CARRY_MAX bytes, comes again in front of the next bytes
     * (more than that ends the link with RT_ELIMIT). The bytes may be changed in place, as may RT_FRAME_HEADER bytes
     * before data; they are valid until the call returns unless a reference to buf is taken, as rt_link_writev does
     * where it must. */
    size_t (*on_data)(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size);
    /* May be NULL. The queue is empty again, or has fallen from above high_water to half of it. Never from within a
     * write. */
    void (*on_drain)(struct rt_link *link);
    /* Exactly once after a successful open, never from within another call: the memory is the caller's again. reason is
     * what rt_link_close was given, or RT_ECONN, RT_ENOMEM, RT_ELIMIT; text says more and lives until the callback
     * returns. */
    void (*on_close)(struct rt_link *link, int reason, const char *text);
};

enum rt_link_state {
    RT_LINK_CLOSED, /* also before the first open, when zeroed */
    RT_LINK_OPEN,
    RT_LINK_LINGER,
    RT_LINK_FLUSH,
    RT_LINK_CLOSING,
};

enum rt_link_how {
    RT_LINK_NOW,   /* drops what is queued */
    RT_LINK_AFTER, /* sends what is queued first, for at most RT_LINK_LINGER_MS */
};

struct rt_link {
    /* The caller's; open leaves it alone. */
    void *data;

    /* Owner: the link. Read them through the functions below. */
    struct rt_wire wire;
    uv_loop_t *loop;
    uv_timer_t *timer; /* owned, or NULL: deadline of a handshake, LINGER and FLUSH */
    const struct rt_link_ops *ops;
    struct rt_buf_pool *pool;
    int reason;
    uint8_t state; /* enum rt_link_state */
    bool noted;    /* reason and text are final */
    bool above_high;

    uint8_t *carry;                 /* owned, or NULL: the unconsumed tail */
    uint32_t carry_size, carry_cap; /* at most RT_BUF_CARRY_MAX */

    struct rt_link_chunk *first, *last; /* owned list */
    struct rt_link_chunk *flight;       /* last chunk of the write that the wire has, or NULL */
    uint32_t backlog;                   /* bytes of the chunks after flight, at most RT_LINK_QUEUE_MAX */
    uint32_t high_water;                /* bytes; may be set after open */

    uint64_t accepted; /* bytes taken by rt_link_writev */
    uint64_t received; /* bytes read */
    char *text;        /* owned; NULL before, or without memory for it */
};

struct rt_link_setup {
    uv_loop_t *loop;
    struct rt_buf_pool *pool; /* outlives the link */
    const struct rt_link_ops *ops;
    struct rt_wire_setup wire;
};

/* Takes over a connected, non-blocking or blocking, stream socket and starts to read. Returns 0: the descriptor is the
 * link's and on_close will come. Or RT_EINVAL (not a stream socket of a known family): nothing taken, no callback. */
RT_MUST_CHECK int rt_link_open(struct rt_link *link, int fd, const struct rt_link_setup *setup);

/* Sends the n pieces in order. What the kernel does not take at once waits: by a reference to owner (the buffer that
 * holds all pieces, which then must not change) where the piece is large, else as a copy; owner NULL copies always.
 * Returns 0          sent or queued; RT_ELIMIT  nothing taken, the queue would pass RT_LINK_QUEUE_MAX: the caller
 * closes; RT_ECONN, RT_ENOMEM  the link is on its way down by itself, or was closed before; on_close tells. */
RT_MUST_CHECK int rt_link_writev(struct rt_link *link, struct rt_buf *owner, const uv_buf_t *bufs, unsigned n);

/* Bytes that wait for the kernel to take them. */
size_t rt_link_queued(const struct rt_link *link);
/* Bytes handed to the kernel since open. Says nothing about delivery. */
uint64_t rt_link_sent_total(const struct rt_link *link);

/* Bytes that the peer has not read of those that the kernel has; 0 where the kernel does not say. */
size_t rt_link_unread(const struct rt_link *link);

/* Ends the link; on_data and on_drain do not come any more. The first reason and text count, and a NOW hastens an
 * AFTER; else a second call does nothing. reason 0 is allowed: the caller's own wish. */
void rt_link_close(struct rt_link *link, enum rt_link_how how, int reason, const char *text);

#endif
