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
 *   streams, keep nothing from the others. One of input grows with its first ACK. Where n channels are busy, each may
 *   have 1 / (n + 1) of it, at most RT_CHANNEL_BUDGET, and never more than half of what is left: so whoever comes finds
 *   something, while those before him still have the larger parts of a smaller number.
 * - Credit cannot be taken back, and a flow may fall silent with all of it, or go on with a few bytes a second. When it
 *   has not used half of its window for a second or two it is not counted any more, else some dozens of such would keep
 *   everybody else small for ever. Should many of these wake up together while their receiver does not read, ag_fits()
 *   is what keeps the bound.
 *
 * Sums by generation do the forgetting: what has grown in this one and in the one before, and of how many channels. For
 * example 12 MiB, and a second channel beside one that is at work. The first has been promised 5 MiB, so the second
 * gets 3.5, half of what is left. When the first has used 1 MiB of its 5 it is promised no more: its part is 4. So they
 * come to have 4 MiB each, also where the one asks more often than the other. */

static void begin(struct ag_link *link)
{
    link->generation++;
    link->grown[link->generation & 1] = 0;
    link->busy[link->generation & 1] = 0;
}

/* Begins another generation when it is time. The last but one is forgotten. */
static void turn(struct ag_link *link, uint64_t now)
{
    uint64_t past = now - link->grown_at;

    if (past < AG_GROWN_MS) {
        return;
    }
    begin(link);
    if (past >= UINT64_C(2) * AG_GROWN_MS) {
        begin(link);
    }
    link->grown_at = now;
}

static bool is_remembered(const struct ag_chan *chan, enum ag_side to)
{
    return chan->link[to]->generation - chan->generation[to] < 2;
}

/* A channel counts among the busy ones of the generation in which it last wanted more. */
static void leave(struct ag_chan *chan, enum ag_side to)
{
    if (is_remembered(chan, to)) {
        chan->link[to]->busy[chan->generation[to] & 1]--;
    }
}

static void join(struct ag_chan *chan, enum ag_side to)
{
    struct ag_link *link = chan->link[to];

    leave(chan, to);
    chan->generation[to] = link->generation;
    link->busy[link->generation & 1]++;
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
    for (int to = AG_GUEST; to <= AG_CLIENT; to++) {
        uncount(chan, (enum ag_side)to);
        leave(chan, (enum ag_side)to);
    }
}

/* The guest's first ACK of an input comes in one flight with ATTACHED: what it grants lets a client send all again that
 * was not applied, without another round trip. Else more is promised only to who has used half: where the ACKs of one
 * came more often than those of another, it would have more of the link. */
static bool may_grow(const struct ag_chan *chan, unsigned stream)
{
    return ag_flow_low(chan, stream) || (ag_sender_of(stream) == AG_CLIENT && chan->window[stream] == 0);
}

/* What one flow may have on its way to that side. What its channel's other flows have is a part of the channel's. */
static uint32_t share(const struct ag_chan *chan, enum ag_side to, const struct ag_flow *flow)
{
    const struct ag_link *link = chan->link[to];
    uint32_t beside = grown_to(chan, to) - grown(flow), used = link->grown[0] + link->grown[1] + beside,
             left = used < RT_LINK_GROWN_MAX ? RT_LINK_GROWN_MAX - used : 0,
             others = link->busy[0] + link->busy[1] - is_remembered(chan, to), part = RT_LINK_GROWN_MAX / (others + 2),
             window = part > beside ? part - beside : 0;

    window = window < left / 2 ? window : left / 2;
    window = window < RT_CHANNEL_BUDGET ? window : RT_CHANNEL_BUDGET;
    return window > RT_INITIAL_CREDIT ? window : RT_INITIAL_CREDIT;
}

uint64_t rt_ag_flow_allowed(struct rt_agent *agent, struct ag_chan *chan, unsigned stream)
{
    struct ag_flow *flow = &chan->flow[stream];
    enum ag_side to = !ag_sender_of(stream);
    struct ag_link *link = chan->link[to];
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
    uncount(chan, to);
    chan->window[stream] = (uint16_t)(share(chan, to, flow) / 1024);
    limit = flow->seen + chan->window[stream] * UINT64_C(1024);
    limit = limit < flow->wanted ? limit : flow->wanted;
    if (limit <= flow->granted) {
        return flow->granted;
    }
    join(chan, to);
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
