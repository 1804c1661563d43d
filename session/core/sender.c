/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/sender.h"

#include "session/base/number.h"
#include "session/core/frame.h"
#include "session/core/protocol.h"
#include "session/core/ring.h"

/* Every byte is kept from `acked` on, until the far end has consumed it or the ring's owner gives it up, which is told
 * as a gap (invariants I2 and I6). A sender reads this ring of 10,000 bytes; the far end consumes slowly:
 *
 *     0            base 5000     acked 7000    sent 11000    high 12000    head 15000
 *     | overwritten | consumed    | under way   | sent again  | new         |
 *                                                             limit 13000: [11000, 13000) may go now
 *
 * `sent` lies below `high` here because the channel broke when 12,000 bytes had been sent: the new channel began again
 * at `acked`, and [11000, 12000) is what it has still to send for the second time.
 *
 * The owner wants room and gives up [5000, 9000), as this far end may not block it any longer. [7000, 9000) is under
 * way, so no gap is due; only the digest cannot wait for the ACK of these bytes and goes over them now: digest.at is
 * 9000 while `acked` is 7000. When [9000, 14000) goes too, `sent` lies below the base. GAP [11000, 14000) is the next
 * frame; both ends start their digests anew at 14000.
 *
 * The far end's next ACK may say any offset from 7000 to `high`. From digest.at on its digest is compared with that of
 * the bytes here: that a past has changed is found at the first ACK or resume (invariant I1). Below digest.at there is
 * nothing left to compare. */

void rt_sender_start(struct rt_sender *sender, const struct rt_ring *ring, uint64_t offset)
{
    sender->sent = sender->high = sender->acked = offset;
    rt_sender_take_over(sender, ring);
}

void rt_sender_take_over(struct rt_sender *sender, const struct rt_ring *ring)
{
    rt_digest_start(&sender->digest, rt_max(sender->acked, ring->base));
    sender->before = sender->digest;
}

void rt_sender_bind(struct rt_sender *sender, const struct rt_ring *ring)
{
    sender->sent = sender->acked;
    sender->limit = sender->acked + RT_INITIAL_CREDIT;
    sender->fin_told = false;
    sender->confirmed = false;
    sender->before = sender->digest;
    if (sender->acked < ring->base) { /* GAP comes first, and both ends start the digest behind it */
        rt_digest_start(&sender->digest, ring->base);
    }
}

static bool differs(const struct rt_digest *digest, uint64_t from, uint64_t value)
{
    return digest->from != from || rt_digest_value(digest) != value;
}

enum rt_far_verdict rt_sender_resume(struct rt_sender *sender, const struct rt_ring *ring, uint64_t offset,
                                     uint64_t from, uint64_t value)
{
    /* The ATTACHED of the last binding was lost, with its GAP: the far end's digest still began before that gap. */
    bool older =
        !sender->confirmed && (from == sender->before.from || (offset < ring->base && from != sender->digest.from));
    struct rt_digest digest = older ? sender->before : sender->digest;

    if (offset > sender->high || offset < sender->acked) {
        return offset < sender->acked ? RT_FAR_OLD : RT_FAR_UNSENT;
    }
    if (offset >= ring->base) { /* else nothing is left to compare it with, and a gap is due */
        rt_ring_digest(ring, &digest, offset);
        if (differs(&digest, from, value)) {
            return RT_FAR_ANOTHER;
        }
    }
    sender->digest = digest;
    sender->acked = offset;
    return RT_FAR_TRUE;
}

enum rt_far_verdict rt_sender_ack(struct rt_sender *sender, const struct rt_ring *ring, const struct rt_frame *frame,
                                  const uint8_t *payload)
{
    sender->confirmed = true;
    if (frame->offset > sender->high || frame->offset < sender->acked) {
        return frame->offset < sender->acked ? RT_FAR_OLD : RT_FAR_UNSENT;
    }
    if (frame->offset >= sender->digest.at) {
        rt_ring_digest(ring, &sender->digest, frame->offset);
        if (differs(&sender->digest, sender->digest.from, rt_get_u64(payload + 8))) {
            return RT_FAR_ANOTHER;
        }
    }
    sender->acked = frame->offset;
    sender->sent = rt_max(sender->sent, sender->acked); /* the far end had it from before the rebinding */
    sender->limit = rt_max(sender->limit, rt_get_u64(payload));
    if ((frame->flags & RT_ACK_FIN) != 0 && ring->ended && sender->acked == ring->head) {
        sender->fin_acked = true;
    }
    return RT_FAR_TRUE;
}

void rt_sender_stop(struct rt_sender *sender, const struct rt_ring *ring, uint64_t offset)
{
    rt_ring_digest(ring, &sender->digest, offset);
    sender->acked = sender->sent = sender->high = offset;
    sender->confirmed = true;
}

void rt_sender_overwritten(struct rt_sender *sender, const struct rt_ring *ring, uint64_t base)
{
    if (!sender->confirmed && sender->before.at < base) {
        rt_ring_digest(ring, &sender->before, base);
    }
    if (sender->digest.at >= base) {
        return;
    }
    if (sender->sent < base) {
        rt_digest_start(&sender->digest, base);
    } else {
        rt_ring_digest(ring, &sender->digest, base);
    }
}

static uint64_t sendable(const struct rt_sender *sender, const struct rt_ring *ring)
{
    uint64_t end = rt_min(sender->limit, ring->head);

    return end > sender->sent ? end - sender->sent : 0;
}

static bool fin_due(const struct rt_sender *sender, const struct rt_ring *ring)
{
    return ring->ended && !sender->fin_told && sender->sent == ring->head;
}

bool rt_sender_ready(const struct rt_sender *sender, const struct rt_ring *ring)
{
    return sender->sent < ring->base || sendable(sender, ring) > 0 || fin_due(sender, ring);
}

/* [sent, end) goes out. What lies below `high` went before a break. */
static void passed(struct rt_sender *sender, uint64_t end)
{
    if (sender->sent < sender->high) {
        sender->resent += rt_min(end, sender->high) - sender->sent;
    }
    sender->sent = end;
    sender->high = rt_max(sender->high, end);
}

static size_t put_gap(struct rt_sender *sender, const struct rt_ring *ring, struct rt_frame frame, uint8_t *out)
{
    frame.type = RT_GAP;
    frame.length = RT_GAP_PAYLOAD;
    sender->sent = ring->base;
    sender->high = rt_max(sender->high, ring->base);
    rt_frame_put(out, &frame);
    rt_put_u64(out + RT_FRAME_HEADER, ring->base);
    return RT_FRAME_HEADER + RT_GAP_PAYLOAD;
}

size_t rt_sender_put(struct rt_sender *sender, const struct rt_ring *ring, const struct rt_sender_turn *turn,
                     uint8_t *out, size_t cap)
{
    struct rt_frame frame = {.stream = turn->stream, .channel = turn->channel, .offset = sender->sent};
    size_t room = cap > RT_FRAME_HEADER ? cap - RT_FRAME_HEADER : 0, size;

    if (room < RT_GAP_PAYLOAD) {
        return 0;
    }
    if (sender->sent < ring->base) {
        return put_gap(sender, ring, frame, out);
    }
    size = (size_t)rt_min(rt_min(turn->most, room), rt_min(RT_FRAME_PAYLOAD_MAX, sendable(sender, ring)));
    if (size > 0) {
        frame.type = RT_DATA;
        frame.length = (uint32_t)size;
        (void)rt_ring_copy(ring, sender->sent, out + RT_FRAME_HEADER, size);
        passed(sender, sender->sent + size);
    } else if (fin_due(sender, ring)) {
        frame.type = RT_FIN;
        sender->fin_told = true;
    } else {
        return 0;
    }
    rt_frame_put(out, &frame);
    return RT_FRAME_HEADER + size;
}
