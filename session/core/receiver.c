/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/receiver.h"

#include "session/base/number.h"
#include "session/core/frame.h"
#include "session/core/protocol.h"

#include <assert.h>
#include <string.h>

/* What is told as consumed has been handed to the application, or written into the process (invariant I2: from then on
 * the sender forgets it). A client with a window of 1,000 bytes, whose application reads slowly:
 *
 *     told 200      consumed 300     gap [700, 900)            next 1100     limit 1200
 *     | consumed, no  | 400 bytes      | will never come | 200     | granted   |
 *     | ACK of it yet | in the ring                      | bytes   |
 *
 * The ring has the 600 bytes that wait; a gap takes no room in it. So 400 more may come: the limit that the next ACK
 * tells is 1100 + 400 = 1500. A limit never falls, as `next` grows with every byte that takes room.
 *
 * DATA at 1100 is the only one that fits. What lies before was had, what lies behind would leave bytes out: both end
 * the channel (JUMP), because a guest that was set back within it sends other bytes at the same offsets. The
 * application consumes 400 bytes, is told the gap (invariant I6), and goes on at 900; the digest starts anew there, at
 * the sender as well.
 *
 * The channel breaks: [300, 1100) is dropped, gap and all, and comes again from 300 on the next channel. Bytes that two
 * channels brought are never mixed: the second one's sender may be a copy with another past behind 300, while up to
 * there the digests were compared (invariant I1). An end that came is forgotten as well, unless it was consumed. */

void rt_receiver_init(struct rt_receiver *receiver, size_t window, size_t most)
{
    rt_ring_init(&receiver->ring, window);
    receiver->most = most;
    receiver->final = RT_NO_OFFSET;
    receiver->ack_at = receiver->mark = RT_NO_OFFSET;
    rt_digest_start(&receiver->digest, 0);
}

void rt_receiver_close(struct rt_receiver *receiver)
{
    rt_ring_close(&receiver->ring);
}

void rt_receiver_start(struct rt_receiver *receiver, uint64_t offset)
{
    receiver->consumed = receiver->next = offset;
    rt_digest_start(&receiver->digest, offset);
}

void rt_receiver_drop(struct rt_receiver *receiver)
{
    receiver->ring.base = receiver->ring.head;
    receiver->next = receiver->consumed;
    receiver->n_gaps = 0;
}

static void move_fin(struct rt_receiver *receiver, enum rt_fin to)
{
    assert(to != RT_FIN_TOLD || receiver->fin != RT_FIN_NONE);
    assert(to != RT_FIN_NONE || receiver->fin != RT_FIN_TOLD);
    receiver->fin = to;
}

void rt_receiver_bind(struct rt_receiver *receiver)
{
    rt_receiver_drop(receiver);
    if (receiver->consumed != receiver->final) {
        receiver->final = RT_NO_OFFSET;
        move_fin(receiver, RT_FIN_NONE);
    } else if (receiver->fin == RT_FIN_TOLD) {
        move_fin(receiver, RT_FIN_COME);
    }
    receiver->told = receiver->consumed;
    receiver->limit = receiver->consumed + RT_INITIAL_CREDIT;
    receiver->ack_now = true;
    receiver->ack_at = receiver->mark = receiver->due_at = RT_NO_OFFSET;
    receiver->at_mark = false;
}

/* ---- what comes ---- */

static enum rt_received take_data(struct rt_receiver *receiver, uint64_t offset, const uint8_t *data, size_t size)
{
    if (offset != receiver->next) {
        return RT_RECEIVED_JUMP;
    }
    if (offset + size > receiver->limit) {
        return RT_RECEIVED_OVER_LIMIT;
    }
    if (offset + size > receiver->final) {
        return RT_RECEIVED_OVER_END;
    }
    if (receiver->grows && receiver->ring.base == receiver->ring.head) { /* nobody reads from it now */
        rt_ring_grow(&receiver->ring, (size_t)rt_min(receiver->ring.cap * UINT64_C(2), receiver->most));
        receiver->grows = false;
    }
    /* The ring is made at the first byte, so that an idle attachment costs none. */
    if (rt_ring_make(&receiver->ring) != 0 || rt_ring_append(&receiver->ring, data, size) != size) {
        return RT_RECEIVED_NO_MEMORY;
    }
    receiver->next += size;
    receiver->at_mark = receiver->at_mark || receiver->next == receiver->mark;
    return RT_RECEIVED;
}

static enum rt_received take_gap(struct rt_receiver *receiver, uint64_t from, uint64_t to)
{
    struct rt_gap *last = receiver->n_gaps > 0 ? &receiver->gaps[receiver->n_gaps - 1] : NULL;

    if (from != receiver->next) {
        return RT_RECEIVED_JUMP;
    }
    if (to > receiver->final) {
        return RT_RECEIVED_OVER_END;
    }
    if (last != NULL && (last->to == receiver->next || receiver->n_gaps == RT_GAPS_MAX)) {
        receiver->ring.head -= receiver->next - last->to;
        last->to = to;
    } else {
        receiver->gaps[receiver->n_gaps++] = (struct rt_gap){receiver->next, to};
    }
    receiver->next = to;
    return RT_RECEIVED;
}

enum rt_received rt_receiver_end(struct rt_receiver *receiver, uint64_t offset)
{
    if (offset < receiver->next || (receiver->final != RT_NO_OFFSET && receiver->final != offset)) {
        return RT_RECEIVED_OVER_END;
    }
    receiver->final = offset;
    return RT_RECEIVED;
}

static enum rt_received take_fin(struct rt_receiver *receiver, uint64_t offset)
{
    enum rt_received is = offset > receiver->next ? RT_RECEIVED_JUMP : rt_receiver_end(receiver, offset);

    if (is == RT_RECEIVED) {
        move_fin(receiver, RT_FIN_COME); /* also again: its sender may have lost the answer */
    }
    return is;
}

enum rt_received rt_receiver_take(struct rt_receiver *receiver, const struct rt_frame *frame, const uint8_t *payload)
{
    switch (frame->type) {
    case RT_DATA:
        return take_data(receiver, frame->offset, payload, frame->length);
    case RT_GAP:
        return take_gap(receiver, frame->offset, rt_get_u64(payload));
    default:
        return take_fin(receiver, frame->offset);
    }
}

/* ---- what is consumed ---- */

const uint8_t *rt_receiver_peek(const struct rt_receiver *receiver, size_t *size)
{
    const uint8_t *data;

    *size = 0;
    if (receiver->ring.base == receiver->ring.head) {
        return NULL;
    }
    data = rt_ring_peek(&receiver->ring, receiver->ring.base, size);
    if (receiver->n_gaps > 0 && receiver->gaps[0].from - receiver->consumed < *size) {
        *size = (size_t)(receiver->gaps[0].from - receiver->consumed);
    }
    return *size > 0 ? data : NULL;
}

void rt_receiver_consume(struct rt_receiver *receiver, size_t size)
{
    while (size > 0) {
        size_t part;
        const uint8_t *data = rt_receiver_peek(receiver, &part);

        assert(part > 0);
        part = (size_t)rt_min(part, size);
        rt_digest_extend(&receiver->digest, data, part);
        rt_ring_drop(&receiver->ring, receiver->ring.base + part);
        receiver->consumed += part;
        size -= part;
    }
}

bool rt_receiver_gap_is_next(const struct rt_receiver *receiver)
{
    return receiver->n_gaps > 0 && receiver->gaps[0].from == receiver->consumed;
}

void rt_receiver_skip_gap(struct rt_receiver *receiver)
{
    assert(receiver->n_gaps > 0);
    rt_ring_drop(&receiver->ring, receiver->ring.base + (receiver->gaps[0].from - receiver->consumed));
    receiver->consumed = receiver->gaps[0].to;
    rt_digest_start(&receiver->digest, receiver->consumed);
    receiver->n_gaps--;
    memmove(receiver->gaps, receiver->gaps + 1, receiver->n_gaps * sizeof(receiver->gaps[0]));
}

bool rt_receiver_is_done(const struct rt_receiver *receiver)
{
    return receiver->consumed == receiver->final;
}

int rt_receiver_item(const struct rt_receiver *receiver, uint8_t *out, size_t cap)
{
    uint64_t have = (receiver->n_gaps > 0 ? receiver->gaps[0].from : receiver->next) - receiver->consumed;
    size_t size;

    if (have < 2) {
        return 0;
    }
    (void)rt_ring_copy(&receiver->ring, receiver->ring.base, out, (size_t)rt_min(have, cap));
    size = (size_t)out[0] << 8 | out[1];
    if (size == 0 || size > RT_ITEM_MAX) {
        return RT_EPROTO;
    }
    return have < 2 + size ? 0 : (int)size + 2;
}

/* ---- what is told ---- */

/* A sender may name any offset as the next one; beyond the last that there is no ACK can grant anything. */
static uint64_t limit_of(const struct rt_receiver *receiver)
{
    uint64_t limit = receiver->next + rt_ring_room(&receiver->ring);

    return rt_min(limit, RT_COUNTER_MAX - 1);
}

/* The window follows the link. Where a frame ends at a limit that was told some time ago, and little waits to be
 * consumed, the sender stood still for want of credit, and not for want of a reader. */
static void follow(struct rt_receiver *receiver, uint64_t now)
{
    if (receiver->next < receiver->mark) {
        return;
    }
    if (receiver->at_mark && rt_ring_room(&receiver->ring) >= receiver->ring.cap / 2 &&
        now >= receiver->mark_at + RT_WINDOW_TRIP_MS) {
        receiver->grows = receiver->ring.cap < receiver->most;
    }
    receiver->mark = RT_NO_OFFSET;
    receiver->at_mark = false;
}

bool rt_receiver_plan(struct rt_receiver *receiver, uint64_t now, uint64_t delay_ms)
{
    uint64_t news = receiver->consumed - receiver->told;
    bool stopped, ended;

    follow(receiver, now);
    stopped = receiver->next >= receiver->limit && limit_of(receiver) > receiver->limit;
    ended = receiver->fin == RT_FIN_COME && rt_receiver_is_done(receiver);
    if (news > 0 && now + delay_ms < receiver->ack_at) {
        receiver->ack_at = now + delay_ms;
    }
    if (stopped || ended || news >= receiver->ring.cap / 4 || now >= receiver->ack_at) {
        receiver->ack_now = true;
    }
    if (receiver->ack_now) {
        receiver->ack_at = RT_NO_OFFSET;
        receiver->due_at = now;
    }
    return receiver->ack_now;
}

size_t rt_receiver_put_ack(struct rt_receiver *receiver, uint32_t channel, uint16_t stream, uint8_t *out, size_t cap)
{
    struct rt_frame frame = {.length = RT_ACK_PAYLOAD, .type = RT_ACK, .stream = stream, .channel = channel};

    if (cap < RT_FRAME_HEADER + RT_ACK_PAYLOAD) {
        return 0;
    }
    receiver->told = frame.offset = receiver->consumed;
    receiver->limit = limit_of(receiver);
    if (receiver->mark == RT_NO_OFFSET &&
        receiver->due_at != RT_NO_OFFSET) { /* the first after a binding is not timed */
        receiver->mark = receiver->limit;
        receiver->mark_at = receiver->due_at;
    }
    if (receiver->fin != RT_FIN_NONE && rt_receiver_is_done(receiver)) {
        move_fin(receiver, RT_FIN_TOLD);
        frame.flags = RT_ACK_FIN;
    }
    receiver->ack_now = false;
    receiver->ack_at = RT_NO_OFFSET;
    rt_frame_put(out, &frame);
    rt_put_u64(out + RT_FRAME_HEADER, receiver->limit);
    rt_put_u64(out + RT_FRAME_HEADER + 8, rt_digest_value(&receiver->digest));
    return RT_FRAME_HEADER + RT_ACK_PAYLOAD;
}
