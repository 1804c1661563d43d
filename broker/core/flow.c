/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/flow.h"

#include "broker/core/agent.h"
#include "broker/core/channel.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/queue.h"
#include "broker/core/send.h"

/* What has been promised must be held when its receiver stops reading, so all promises of a link together are bounded:
 *
 *     | initial: 3 KiB for each of the channels that a link may have | grown: at most RT_LINK_GROWN_MAX |
 *
 * - Initial credit (RT_INITIAL_CREDIT a stream) comes with the channel. Its place is kept for as many channels as a
 * link may have: an ATTACH never waits until others have used what they were promised, and a flow can always have so
 * much again. So none starves.
 * - A flow of output grows once it has used half of what it had: those that say nothing, most control and error
 *   streams, keep nothing from the others. One of input grows with its first ACK. It may then have half of what is left
 *   to grow, at most RT_CHANNEL_BUDGET: n busy flows come to have 1 / (n + 2) of it each.
 * - Credit cannot be taken back, and a flow may fall silent with all of it, or go on with a few bytes a second. When it
 *   has not used half of its window for a second or two it is not counted any more, else some dozens of such would keep
 *   everybody else small for ever. Should many of these wake up together while their receiver does not read, ag_fits()
 *   is what keeps the bound.
 *
 * Two sums by generation do the forgetting: what has grown in this one, and in the one before. */

/* Begins another generation when it is time. The last but one is forgotten. */
static void turn(struct ag_link *link, uint64_t now)
{
    uint64_t past = now - link->grown_at;

    if (past < AG_GROWN_MS) {
        return;
    }
    link->generation++;
    link->grown[link->generation & 1] = 0;
    if (past >= UINT64_C(2) * AG_GROWN_MS) {
        link->generation++;
        link->grown[link->generation & 1] = 0;
    }
    link->grown_at = now;
}

static bool is_remembered(const struct ag_chan *chan, enum ag_side to)
{
    return chan->link[to]->generation - chan->generation[to] < 2;
}

static void uncount(struct ag_chan *chan, enum ag_side to)
{
    struct ag_link *link = chan->link[to];

    if (chan->counted[to] > 0 && is_remembered(chan, to)) {
        link->grown[chan->generation[to] & 1] -= chan->counted[to];
    }
    chan->counted[to] = 0;
}

static uint32_t grown(const struct ag_flow *flow)
{
    return flow->granted > flow->seen + RT_INITIAL_CREDIT ? (uint32_t)(flow->granted - flow->seen - RT_INITIAL_CREDIT)
                                                          : 0;
}

/* Bytes of credit above the initial that a channel's senders to that side have. */
static uint32_t grown_to(const struct ag_chan *chan, enum ag_side to)
{
    const struct ag_flow *flow = chan->flow;

    return to == AG_CLIENT ? grown(&flow[RT_STDOUT]) + grown(&flow[RT_STDERR]) + grown(&flow[RT_CONTROL_UP])
                           : grown(&flow[RT_STDIN]) + grown(&flow[RT_CONTROL_DOWN]);
}

void rt_ag_flow_count(struct rt_agent *agent, struct ag_chan *chan, enum ag_side to)
{
    struct ag_link *link = chan->link[to];

    turn(link, agent->now);
    uncount(chan, to);
    if (!is_remembered(chan, to)) {
        return;
    }
    chan->counted[to] = grown_to(chan, to);
    link->grown[chan->generation[to] & 1] += chan->counted[to];
}

void rt_ag_flows_forget(struct ag_chan *chan)
{
    uncount(chan, AG_GUEST);
    uncount(chan, AG_CLIENT);
}

/* The guest's first ACK of an input comes in one flight with ATTACHED: what it grants lets a client send all again that
 * was not applied, without another round trip. */
static bool may_grow(const struct ag_chan *chan, unsigned stream)
{
    if (ag_sender_of(stream) == AG_CLIENT) {
        return true;
    }
    return chan->window[stream] != 0 || ag_flow_low(chan, stream);
}

/* What one flow may have on its way to the link, on which the other flows of its channel have `beside`. */
static uint32_t share(const struct ag_link *to, uint32_t beside)
{
    uint32_t used = to->grown[0] + to->grown[1] + beside,
             window = used < RT_LINK_GROWN_MAX ? (RT_LINK_GROWN_MAX - used) / 2 : 0;

    window = window < RT_CHANNEL_BUDGET ? window : RT_CHANNEL_BUDGET;
    return window > RT_INITIAL_CREDIT ? window : RT_INITIAL_CREDIT;
}

uint64_t rt_ag_flow_allowed(struct rt_agent *agent, struct ag_chan *chan, unsigned stream)
{
    struct ag_flow *flow = &chan->flow[stream];
    enum ag_side to = !ag_sender_of(stream);
    struct ag_link *link = chan->link[to];
    bool uses = chan->window[stream] == 0 || ag_flow_low(chan, stream);
    uint64_t limit;

    if (flow->wanted <= flow->granted || !may_grow(chan, stream)) {
        return flow->granted;
    }
    if (link->congested) {
        if (!rt_listed(&chan->wait[to])) {
            rt_list_push(&link->waiters, &chan->wait[to]);
        }
        return flow->granted;
    }
    turn(link, agent->now);
    if (!uses && !is_remembered(chan, to)) {
        return flow->granted; /* it fell silent, and is not counted: more once it needs that */
    }
    uncount(chan, to);
    chan->window[stream] = (uint16_t)(share(link, grown_to(chan, to) - grown(flow)) / 1024);
    limit = flow->seen + chan->window[stream] * UINT64_C(1024);
    limit = limit < flow->wanted ? limit : flow->wanted;
    if (limit <= flow->granted) {
        return flow->granted;
    }
    if (uses) {
        chan->generation[to] = link->generation;
    }
    return limit;
}

void rt_ag_flow_raise(struct rt_agent *agent, struct ag_chan *chan, unsigned stream)
{
    struct ag_flow *flow = &chan->flow[stream];
    enum ag_side from = ag_sender_of(stream);
    uint64_t limit = rt_ag_flow_allowed(agent, chan, stream);
    uint8_t payload[RT_ACK_PAYLOAD];
    struct rt_frame ack = {.type = RT_ACK, .length = RT_ACK_PAYLOAD, .stream = (uint16_t)stream};
    bool more = limit > flow->granted;

    flow->granted = limit;
    rt_ag_flow_count(agent, chan, !from);
    if (!more) {
        return;
    }
    ack.channel = (uint32_t)chan->key[from];
    ack.offset = flow->acked;
    rt_put_u64(payload, limit);
    rt_put_u64(payload + 8, flow->digest);
    if (chan->link[from]->congested) {
        (void)rt_ag_keep(chan, from, &ack, payload); /* without memory: with the receiver's next ACK */
    } else {
        rt_ag_send_frame(agent, chan->link[from], &ack, payload);
    }
}
