/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_SENDER_H
#define RETETHER_SESSION_CORE_SENDER_H

#include "session/core/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One direction of one channel, as the side that sends it has it (protocol.md section 3): an output at the tether, an
 * input at the client. It keeps offsets and a digest, no bytes. The bytes are in a ring that the caller owns and hands
 * to each call: the ring of a client's input is its sender's alone, the ring of a process's output is read by the
 * senders of all its attachments, each at its own place. sender.c has an example with offsets. */

struct rt_frame;
struct rt_ring;

struct rt_sender {
    uint64_t acked;  /* consumed by the far end */
    uint64_t sent;   /* the next offset to send on this channel; below the ring's base: a gap is due */
    uint64_t high;   /* after the last byte ever sent: behind a rebinding `sent` starts again at `acked` */
    uint64_t limit;  /* what the far end is ready to take */
    uint64_t resent; /* bytes that were sent on more than one channel, once for each channel after the first */
    /* At `acked`, or at the ring's base once that has passed it; from = at = base while a gap is due. */
    struct rt_digest digest;
    /* Until the far end is known to have this binding's ATTACHED it may go on with what an older binding brought it,
     * whose digest does not start anew behind the gap: kept as `digest` is, but never started anew. */
    struct rt_digest before;
    bool confirmed; /* an ACK has come on this channel: `before` is of no use any more */
    bool fin_told;  /* on this channel */
    bool fin_acked; /* on any channel: the far end has consumed the end */
};

/* What the far end says that it has, in an ACK or at a resume. */
enum rt_far_verdict {
    RT_FAR_TRUE,
    RT_FAR_OLD,     /* it goes back behind an earlier one; nothing has changed */
    RT_FAR_UNSENT,  /* more than was ever sent */
    RT_FAR_ANOTHER, /* other bytes than were sent */
};

/* Which frame rt_sender_put() writes. */
struct rt_sender_turn {
    uint32_t channel;
    uint16_t stream;
    size_t most; /* bytes of DATA in this frame; 0: FIN and GAP only */
};

/* The far end has everything below offset, or begins there. offset <= the ring's head. */
void rt_sender_start(struct rt_sender *sender, const struct rt_ring *ring, uint64_t offset);
/* A new channel: sends again from `acked`, with the initial credit. */
void rt_sender_bind(struct rt_sender *sender, const struct rt_ring *ring);
/* A far end that has nothing of the one whose place it takes: its digest starts at what that one consumed. */
void rt_sender_take_over(struct rt_sender *sender, const struct rt_ring *ring);
/* Compares what the far end brings to a resume, the digest of [from, offset); when it is TRUE, goes on from its offset
 * at rt_sender_bind(). */
enum rt_far_verdict rt_sender_resume(struct rt_sender *sender, const struct rt_ring *ring, uint64_t offset,
                                     uint64_t from, uint64_t digest);
/* An ACK that has passed rt_frame_check_numbers(). */
enum rt_far_verdict rt_sender_ack(struct rt_sender *sender, const struct rt_ring *ring, const struct rt_frame *frame,
                                  const uint8_t *payload);
/* The far end takes nothing behind offset, up to which it has consumed; acked <= offset <= sent. */
void rt_sender_stop(struct rt_sender *sender, const struct rt_ring *ring, uint64_t offset);
/* The ring is about to give up its bytes below base, which the far end may not have consumed. */
void rt_sender_overwritten(struct rt_sender *sender, const struct rt_ring *ring, uint64_t base);

/* Whether there is a frame that may go now. */
bool rt_sender_ready(const struct rt_sender *sender, const struct rt_ring *ring);
/* Writes the next frame, a GAP, DATA or FIN, and returns its size. 0: nothing may go now, or it does not fit. */
size_t rt_sender_put(struct rt_sender *sender, const struct rt_ring *ring, const struct rt_sender_turn *turn,
                     uint8_t *out, size_t cap);

#endif
