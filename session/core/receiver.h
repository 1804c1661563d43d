/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_RECEIVER_H
#define RETETHER_SESSION_CORE_RECEIVER_H

#include "session/base/error.h"
#include "session/core/digest.h"
#include "session/core/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One direction of one channel, as the side that receives it has it (protocol.md section 3): an input at the tether, an
 * output at the client. It keeps what was received and not consumed. receiver.c has an example with offsets. */

/* Gaps that wait behind bytes; one more joins the newest, and the bytes between the two are given up with it. */
#define RT_GAPS_MAX 16
#define RT_NO_OFFSET UINT64_MAX

struct rt_frame;

struct rt_gap {
    uint64_t from, to;
};

/* What has come of the stream's end.
 *
 *     NONE --FIN--> COME --all consumed, and an ACK says so--> TOLD
 *      ^             | ^---------FIN again, a new channel-------+
 *      +-a new channel, unless all was consumed                     */
enum rt_fin { RT_FIN_NONE, RT_FIN_COME, RT_FIN_TOLD };

struct rt_receiver {
    /* owned; the bytes of [consumed, next) that are in no gap, from offset 0 of its own; made with the first */
    struct rt_ring ring;
    uint64_t consumed;
    uint64_t next;           /* after the last byte, or gap, that came */
    uint64_t told, limit;    /* `consumed` and the limit of the newest ACK */
    uint64_t due_at;         /* when the newest ACK was due */
    uint64_t mark, mark_at;  /* a limit that was told, and when; RT_NO_OFFSET once what it granted has come */
    bool at_mark;            /* a frame has ended there: its sender stood still for want of credit */
    bool grows;              /* its ring becomes larger when it is empty */
    size_t most;             /* bytes: so far */
    struct rt_digest digest; /* of what was consumed, since the start or the last gap */
    struct rt_gap gaps[RT_GAPS_MAX];
    size_t n_gaps;
    uint64_t final; /* RT_NO_OFFSET until known, which may be before FIN has come */
    enum rt_fin fin;
    bool ack_now;
    uint64_t ack_at; /* RT_NO_OFFSET: nothing waits to be told */
};

enum rt_received {
    RT_RECEIVED,
    RT_RECEIVED_JUMP,       /* it does not begin where the last one ended */
    RT_RECEIVED_OVER_LIMIT, /* more than was granted */
    RT_RECEIVED_OVER_END,   /* behind the end, or another end than before */
    RT_RECEIVED_NO_MEMORY,
};

/* Zeroed memory, first of all. A far end whose bytes take long to come gets a larger window, `most` at most. */
void rt_receiver_init(struct rt_receiver *receiver, size_t window, size_t most);
void rt_receiver_close(struct rt_receiver *receiver);
/* The first channel: the stream begins at offset. */
void rt_receiver_start(struct rt_receiver *receiver, uint64_t offset);
/* A new channel: what was received and not consumed is dropped, as the sender sends it again; so is an end that was not
 * consumed. The first ACK is due at once. */
void rt_receiver_bind(struct rt_receiver *receiver);
/* Nobody will consume what has come. */
void rt_receiver_drop(struct rt_receiver *receiver);

/* DATA, GAP or FIN. */
enum rt_received rt_receiver_take(struct rt_receiver *receiver, const struct rt_frame *frame, const uint8_t *payload);
/* The end is known from elsewhere; FIN still has to come. */
enum rt_received rt_receiver_end(struct rt_receiver *receiver, uint64_t offset);

/* The next contiguous bytes to be consumed, up to a gap; size 0: none. */
const uint8_t *rt_receiver_peek(const struct rt_receiver *receiver, size_t *size);
void rt_receiver_consume(struct rt_receiver *receiver, size_t size);
/* The first gap counts as consumed, and with it the bytes before it, which are not. */
void rt_receiver_skip_gap(struct rt_receiver *receiver);
bool rt_receiver_gap_is_next(const struct rt_receiver *receiver);
/* It has consumed everything up to its end. */
bool rt_receiver_is_done(const struct rt_receiver *receiver);
/* Control streams: copies the next item, its length in front, when it has come whole, before a gap. Returns its size
 * with the length, 0 when it has not, RT_EPROTO when it is empty or longer than an item may be. */
RT_MUST_CHECK int rt_receiver_item(const struct rt_receiver *receiver, uint8_t *out, size_t cap);

/* A window that is used up in less is large enough. */
#define RT_WINDOW_TRIP_MS 2
/* What was consumed is told within this time. */
#define RT_ACK_DELAY_MS 20
/* Whether an ACK is due now. What was consumed may wait for more to be told with it, delay_ms at most: until ack_at. */
bool rt_receiver_plan(struct rt_receiver *receiver, uint64_t now, uint64_t delay_ms);
/* Writes ACK, and returns its size; 0: it does not fit. */
size_t rt_receiver_put_ack(struct rt_receiver *receiver, uint32_t channel, uint16_t stream, uint8_t *out, size_t cap);

#endif
