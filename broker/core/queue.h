/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_QUEUE_H
#define RETETHER_BROKER_CORE_QUEUE_H

#include "broker/core/channel.h"
#include "broker/core/link.h"
#include "broker/core/send.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What waits because too much is queued to a link: queue.c has the rules. */

/* Kept of a channel for its congested receiver: at most this, once. */
struct ag_kept {
    uint8_t acks, fin_acks; /* bit per stream; the ACK itself is what ag_flow has */
    uint8_t fins;
    uint8_t gaps;
    uint64_t final[RT_STREAMS];
    uint64_t gap[RT_STREAMS][2]; /* from, to */
    uint32_t attached_size;
    uint8_t *attached; /* owned; the payload */
};

/* Whether DATA may go to that side of the channel that brings size bytes without credit: its header, and what was kept.
 * Always while its link is not congested. While it is, a channel may bring a quarter of what is left up to
 * AG_LINK_DATA_MAX; who brings more sends many small frames, and is LOST. What was promised has a place of its own. */
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
    return to->queued < AG_LINK_DATA_MAX && chan->jammed[side] <= (AG_LINK_DATA_MAX - to->queued) / 4;
}

/* Keeps a frame that needs no credit for the congested receiver; `payload` is the frame's. False: there is no memory.
 */
bool rt_ag_keep(struct ag_chan *chan, enum ag_side to, const struct rt_frame *frame, const uint8_t *payload);
/* Sends what is kept. */
void rt_ag_kept_flush(struct rt_agent *agent, struct ag_chan *chan, enum ag_side to);
/* Bytes that this would be. */
size_t rt_ag_kept_size(const struct ag_chan *chan, enum ag_side to);
void rt_ag_kept_free(struct ag_chan *chan, enum ag_side side);

#endif
