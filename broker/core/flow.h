/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_FLOW_H
#define RETETHER_BROKER_CORE_FLOW_H

#include "broker/core/channel.h"
#include "broker/core/link.h"
#include "session/base/number.h"
#include "session/core/frame.h"

#include <stdbool.h>
#include <stdint.h>

/* Credit: what the senders of a link's channels are promised. flow.c has the rules. */

/* A flow that has not used half of its window for one to two of these is taken for idle. */
#define AG_GROWN_MS 1000

/* Which side sends a stream's data. */
static inline enum ag_side ag_sender_of(unsigned stream)
{
    return stream == RT_STDIN || stream == RT_CONTROL_DOWN ? AG_CLIENT : AG_GUEST;
}

/* A stream's first frame on this channel tells where it starts; the first bytes from there need no grant. */
static inline void ag_flow_start(struct ag_flow *flow, uint64_t offset)
{
    if (flow->granted == 0) {
        flow->seen = flow->acked = offset;
        flow->granted = flow->wanted = rt_min(offset + RT_INITIAL_CREDIT, RT_COUNTER_MAX - 1);
    }
}

/* Whether the sender has used so much of its credit that it should have more. */
static inline bool ag_flow_low(const struct ag_chan *chan, unsigned stream)
{
    const struct ag_flow *flow = &chan->flow[stream];
    uint32_t window = chan->window[stream] == 0 ? RT_INITIAL_CREDIT : chan->window[stream] * UINT32_C(1024);

    return flow->granted < flow->seen + window / 2;
}

/* Counts what senders may still send to that side, after `seen` or `granted` of one has changed. */
void rt_ag_flow_count(struct rt_agent *agent, struct ag_chan *chan, enum ag_side to);
void rt_ag_flows_forget(struct ag_chan *chan);
/* The highest limit that the sender may be told now. A channel that wants more waits for its receiver's link to drain.
 */
uint64_t rt_ag_flow_allowed(struct rt_agent *agent, struct ag_chan *chan, unsigned stream);
/* Tells the sender of a limit that it was not told when the receiver's ACK passed. */
void rt_ag_flow_raise(struct rt_agent *agent, struct ag_chan *chan, unsigned stream);

#endif
