/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_QUEUE_H
#define RETETHER_BROKER_CORE_QUEUE_H

#include "broker/core/channel.h"
#include "broker/core/link.h"
#include "session/base/list.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is queued to a link, and what waits because too much is: queue.c has the rules. */

/* REPLYs that may come to one link at the same time, by what was asked; a REQUEST beyond waits. */
#define AG_LINK_REPLIES_MAX 2097152
/* Refusals of what a peer sends beyond its limits, while its link is congested; one who goes on and does not read is
 * closed. */
#define AG_LINK_ANSWERS_MAX 262144
/* WELCOME, PINGs, END_OK, and the frame that made a link congested. */
#define AG_LINK_OTHER_MAX 262144
/* Queued bytes at which DATA goes no further, see ag_fits(). */
#define AG_LINK_DATA_MAX (RT_LINK_QUEUED_MAX - AG_LINK_REPLIES_MAX - AG_LINK_ANSWERS_MAX - AG_LINK_OTHER_MAX)

/* Kept of a channel for its congested receiver: at most this, once. */
struct ag_kept {
    uint8_t acks, fin_acks; /* bit per stream; the ACK itself is what ag_flow has */
    uint8_t fins, closed;
    uint8_t gaps;
    uint64_t final[RT_STREAMS];
    uint64_t gap[RT_STREAMS][2]; /* from, to */
    uint32_t attached_size;
    uint8_t *attached; /* owned; the payload */
};

/* The last word on a channel that is gone already: REFUSE or DETACH, a whole frame. */
struct ag_bye {
    struct rt_list node; /* ag_link.byes */
    size_t size;
    uint8_t bytes[];
};

/* Counts bytes that are sent to the link. The assert holds whatever peers do: all that is sent to a congested link is
 * within one of the limits above. */
static inline void ag_queue(struct ag_link *link, size_t size)
{
    assert(size <= RT_LINK_QUEUED_MAX - link->queued);
    link->queued += (uint32_t)size;
    if (link->queued > RT_LINK_HIGH_WATER && !link->congested) {
        link->congested = true;
        link->jam++;
    }
}

/* Whether size bytes of DATA may go to that side of the channel: always while its link is not congested. While it is, a
 * channel may take a quarter of what is left up to AG_LINK_DATA_MAX; who takes more sends many small frames, whose
 * headers no credit counts, and is LOST. What was promised by credit always fits in. */
static inline bool ag_fits(struct ag_chan *chan, enum ag_side side, size_t size)
{
    const struct ag_link *to = chan->link[side];

    if (!to->congested) {
        return true;
    }
    if (chan->jam[side] != (uint16_t)to->jam) {
        chan->jam[side] = (uint16_t)to->jam;
        chan->jammed[side] = 0;
    }
    chan->jammed[side] += (uint32_t)size;
#ifdef RT_MUTANT_SMALL_FRAMES_FREE
    return true;
#endif
    return to->queued < AG_LINK_DATA_MAX && chan->jammed[side] <= (AG_LINK_DATA_MAX - to->queued) / 4;
}

/* Keeps a frame that needs no credit for the congested receiver; `payload` is the frame's. False: there is no memory.
 */
bool rt_ag_keep(struct rt_agent *agent, struct ag_chan *chan, enum ag_side to, const struct rt_frame *frame,
                const uint8_t *payload);
/* Sends what is kept. */
void rt_ag_kept_flush(struct rt_agent *agent, struct ag_chan *chan, enum ag_side to);
/* Bytes that this would be. */
size_t rt_ag_kept_size(const struct ag_chan *chan, enum ag_side to);
void rt_ag_kept_free(struct ag_chan *chan, enum ag_side side);
/* The last frame of a channel that has been freed: now, or when the link has drained. */
void rt_ag_bye(struct rt_agent *agent, struct ag_link *link, const uint8_t *bytes, size_t size);
void rt_ag_byes_free(struct ag_link *link);
/* The link has drained: what waited goes, in the order of queue.c, until it is congested again. */
void rt_ag_drained(struct rt_agent *agent, struct ag_link *link);

#endif
