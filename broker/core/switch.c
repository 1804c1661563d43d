/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/switch.h"

#include "broker/core/agent.h"
#include "broker/core/attach.h"
#include "broker/core/channel.h"
#include "broker/core/frames.h"
#include "broker/core/link.h"
#include "broker/core/list.h"
#include "broker/core/machine.h"
#include "broker/core/pass.h"
#include "session/core/class.h"
#include "session/core/frame.h"
#include "session/core/limits.h"
#include "session/core/msg_hop.h"
#include "session/core/pings.h"
#include "session/core/slice.h"

#include <string.h>

/* The data path. Frames go through where they lie: the channel is patched in the header, runs of frames for one link
 * are sent with one call. A DATA frame that the input cuts goes on as a shorter one; its rest gets a header of its own
 * in the bytes before the next input. So a link never sees a frame that is not whole, whatever happens to the other. */

#define OUTPUTS ((1 << RT_STDOUT) | (1 << RT_STDERR) | (1 << RT_CONTROL_UP))

/* Which side sends a stream's data. */
static enum ag_side sender_of(unsigned stream)
{
    return (OUTPUTS >> stream & 1) != 0 ? AG_GUEST : AG_CLIENT;
}

void rt_ag_run(struct rt_agent *agent, struct ag_link *to, uint8_t *data, size_t size)
{
    if (agent->run_link == to->id && agent->run + agent->run_size == data) {
        agent->run_size += size;
        return;
    }
    rt_ag_flush(agent);
    agent->run_link = to->id;
    agent->run = data;
    agent->run_size = size;
}

static struct ag_chan *find_chan(struct rt_agent *agent, struct ag_link *link, uint32_t channel)
{
    uint64_t key = ag_chan_key(link->id, channel);
    unsigned hash;
    struct ag_chan *chan = link->cache;

    if (link->role == RT_PEER_GUEST) {
        if (chan != NULL && chan->key[AG_GUEST] == key) {
            return chan;
        }
        hash = ag_chan_hash(agent, key);
        HASH_FIND_BYHASHVALUE(hh_guest, agent->by_guest, &key, sizeof key, hash, chan);
    } else {
        if (chan != NULL && chan->key[AG_CLIENT] == key) {
            return chan;
        }
        hash = ag_chan_hash(agent, key);
        HASH_FIND_BYHASHVALUE(hh_client, agent->by_client, &key, sizeof key, hash, chan);
    }
    if (chan != NULL) {
        link->cache = chan;
    }
    return chan;
}

/* What one channel may have on its way to the link. */
static uint64_t budget(const struct ag_link *to)
{
    uint64_t share = RT_LINK_BUDGET / (to->n_chans > 0 ? to->n_chans : 1);

    return share > RT_CHANNEL_BUDGET ? RT_CHANNEL_BUDGET : share < RT_INITIAL_CREDIT ? RT_INITIAL_CREDIT : share;
}

/* A stream's first frame on this channel tells where it starts; the first 32 KiB from there need no grant. */
static void flow_start(struct ag_flow *flow, uint64_t offset)
{
    if (flow->granted == 0) {
        flow->seen = flow->acked = offset;
        flow->granted = flow->wanted = offset + RT_INITIAL_CREDIT;
    }
}

/* The highest limit that the sender may be told now. A channel that wants more waits for its receiver's link to drain.
 */
static uint64_t allowed(struct ag_chan *chan, unsigned stream)
{
    struct ag_flow *flow = &chan->flow[stream];
    enum ag_side to = sender_of(stream) == AG_GUEST ? AG_CLIENT : AG_GUEST;
    struct ag_link *link = chan->link[to];
    uint64_t limit;

#ifdef RT_MUTANT_CREDIT_UNCLAMPED
    return flow->wanted;
#endif
    if (flow->wanted <= flow->granted) {
        return flow->granted;
    }
    if (link->congested) {
        if (!ag_listed(&chan->wait[to])) {
            ag_list_push(&link->waiters, &chan->wait[to]);
        }
        return flow->granted;
    }
    limit = flow->seen + budget(link);
    limit = limit < flow->wanted ? limit : flow->wanted;
    return limit > flow->granted ? limit : flow->granted;
}

/* Tells the sender of a limit that it was not told when the receiver's ACK passed. */
static void raise_limit(struct rt_agent *agent, struct ag_chan *chan, unsigned stream)
{
    struct ag_flow *flow = &chan->flow[stream];
    enum ag_side from = sender_of(stream);
    uint64_t limit = allowed(chan, stream);
    uint8_t payload[RT_ACK_PAYLOAD];
    struct rt_frame ack = {.type = RT_ACK, .length = RT_ACK_PAYLOAD, .stream = (uint16_t)stream};

    if (limit <= flow->granted) {
        return;
    }
    flow->granted = limit;
    ack.channel = (uint32_t)chan->key[from];
    ack.offset = flow->acked;
    rt_put_u64(payload, limit);
    rt_put_u64(payload + 8, flow->digest);
    rt_ag_send_frame(agent, chan->link[from], &ack, payload);
}

void rt_ag_drained(struct rt_agent *agent, struct ag_link *link)
{
    enum ag_side side = link->role == RT_PEER_GUEST ? AG_GUEST : AG_CLIENT;
    struct ag_list *node;

    while (!link->congested && (node = ag_list_pop(&link->waiters)) != NULL) {
        struct ag_chan *chan = ag_of(node, struct ag_chan, wait[side]);
        for (unsigned stream = 0; stream < RT_STREAMS; stream++) {
            if (sender_of(stream) != side && chan->flow[stream].granted != 0) {
                raise_limit(agent, chan, stream);
            }
        }
    }
}

static void end_channel(struct rt_agent *agent, struct ag_chan *chan, enum rt_class cls, const char *text, uint64_t max)
{
    struct rt_refuse_msg refuse = {.c = cls, .m = rt_slice_text(text), .max = max};

    if (cls == RT_CLASS_LIMIT) {
        refuse.which = rt_slice_text("limit");
    }
    rt_ag_chan_end(agent, chan, NULL, &refuse);
}

/* Sends n bytes of a DATA frame on. The header's place is at p, the bytes follow it. `length` is the whole frame's. */
static void switch_data(struct rt_agent *agent, struct ag_link *link, struct rt_frame *frame, uint32_t length,
                        uint8_t *p, uint32_t n)
{
    struct ag_chan *chan = find_chan(agent, link, frame->channel);
    enum ag_side from = link->role == RT_PEER_GUEST ? AG_GUEST : AG_CLIENT;
    struct ag_flow *flow;
    struct ag_link *to;

    if (chan == NULL) {
        return;
    }
    flow = &chan->flow[frame->stream];
    to = chan->link[!from];
    flow_start(flow, frame->offset);
    if (frame->offset != flow->seen) { /* of another past, perhaps: the next attach compares digests */
        end_channel(agent, chan, RT_CLASS_JUMP, "DATA went back, or left bytes out", 0);
        return;
    }
    if (frame->offset + length > flow->granted) {
        end_channel(agent, chan, RT_CLASS_LIMIT, "DATA beyond the limit that was granted", flow->granted);
        return;
    }
    flow->seen = frame->offset + n;
    frame->channel = (uint32_t)chan->key[!from];
    frame->length = n;
#ifdef RT_MUTANT_PARTIAL_FRAMES
    frame->length = length;
    if (p == agent->rest_at) {
        rt_ag_run(agent, to, p + RT_FRAME_HEADER, n);
        return;
    }
#endif
    rt_frame_put(p, frame);
    rt_ag_run(agent, to, p, RT_FRAME_HEADER + (size_t)n);
    agent->stats.frames++;
    *(from == AG_GUEST ? &agent->stats.bytes_up : &agent->stats.bytes_down) += n;
    if (flow->wanted > flow->granted && flow->granted - flow->seen < RT_INITIAL_CREDIT / 2) {
        raise_limit(agent, chan, frame->stream);
    }
}

/* The bytes of a DATA frame whose first part has gone on already. */
static size_t take_rest(struct rt_agent *agent, struct ag_link *link, uint8_t *data, size_t size)
{
    uint32_t left = link->rest, n = size < left ? (uint32_t)size : left;
    struct rt_frame frame = {.type = RT_DATA, .stream = link->rest_stream, .channel = link->rest_channel};

    frame.offset = link->rest_offset;
    link->rest -= n;
    link->rest_offset += n;
#ifdef RT_MUTANT_PARTIAL_FRAMES
    agent->rest_at = data - RT_FRAME_HEADER;
#endif
    switch_data(agent, link, &frame, left, data - RT_FRAME_HEADER, n);
#ifdef RT_MUTANT_PARTIAL_FRAMES
    agent->rest_at = NULL;
#endif
    return n;
}

static void switch_ack(struct rt_agent *agent, struct ag_chan *chan, const struct rt_frame *frame, uint8_t *payload)
{
    struct ag_flow *flow = &chan->flow[frame->stream];
    uint64_t limit = rt_get_u64(payload);

    (void)agent;
    flow_start(flow, frame->offset);
    flow->acked = frame->offset;
    flow->digest = rt_get_u64(payload + 8);
    if (limit > flow->wanted) {
        flow->wanted = limit;
    }
    flow->granted = allowed(chan, frame->stream);
    if (limit > flow->granted) {
        rt_put_u64(payload, flow->granted);
    }
}

/* A whole frame of a channel, other than DATA. */
static void switch_frame(struct rt_agent *agent, struct ag_link *link, struct rt_frame *frame, uint8_t *p)
{
    struct ag_chan *chan = find_chan(agent, link, frame->channel);
    enum ag_side from = link->role == RT_PEER_GUEST ? AG_GUEST : AG_CLIENT;
    bool over = frame->type == RT_DETACH || frame->type == RT_REFUSE;

    if (chan == NULL) {
        struct ag_held *held = over ? rt_ag_held_at(agent, link, frame->channel) : NULL;
        if (held != NULL) {
            rt_ag_held_free(agent, held);
        }
        return;
    }
    if (frame->type == RT_REFUSE) {
        agent->stats.frames++;
        rt_ag_pass_refuse(agent, chan, link, p + RT_FRAME_HEADER, frame->length);
        return;
    }
    if (frame->type == RT_ATTACHED && !rt_ag_pass_attached(agent, chan, p + RT_FRAME_HEADER, frame->length)) {
        return;
    }
    if (frame->type == RT_ACK) {
        switch_ack(agent, chan, frame, p + RT_FRAME_HEADER);
    } else if (frame->type == RT_GAP) {
        struct ag_flow *flow = &chan->flow[frame->stream];
        uint64_t to = rt_get_u64(p + RT_FRAME_HEADER);
        flow_start(flow, frame->offset);
        if (frame->offset != flow->seen) {
            end_channel(agent, chan, RT_CLASS_JUMP, "a GAP that does not begin where the bytes end", 0);
            return;
        }
        if (to > flow->seen) {
            flow->seen = to;
        }
    }
    frame->channel = (uint32_t)chan->key[!from];
    rt_frame_put(p, frame);
    rt_ag_run(agent, chan->link[!from], p, RT_FRAME_HEADER + (size_t)frame->length);
    agent->stats.frames++;
    if (frame->type == RT_DETACH) {
        rt_ag_event(agent, RT_AGENT_DETACHED, chan->link[AG_CLIENT], chan->session, "", rt_frame_name(frame->type), "");
        rt_ag_chan_free(agent, chan);
    }
}

#define BIT(type) (UINT32_C(1) << (type))
#define CHANNEL_TYPES                                                                                                  \
    (BIT(RT_ATTACHED) | BIT(RT_DATA) | BIT(RT_ACK) | BIT(RT_FIN) | BIT(RT_GAP) | BIT(RT_DETACH) | BIT(RT_REFUSE))

/* What a peer may send now, by its link's state: of what goes its way at all. */
static bool may_send(const struct ag_link *link, const struct rt_frame *frame)
{
    static const uint32_t handshake = BIT(RT_HELLO) | BIT(RT_CONFIRM);
    uint32_t types = 0;

    switch ((enum ag_link_state)link->state) {
    case AG_OPEN:
        types = BIT(RT_HELLO);
        break;
    case AG_TESTING:
        break;
    case AG_WELCOMED:
        types = BIT(RT_CONFIRM);
        break;
    case AG_TAKING:
    case AG_SERVING:
    case AG_LEAVING:
    case AG_DOOMED:
    case AG_READY:
        types = ~handshake;
#ifdef RT_MUTANT_CLAIM_AT_HELLO
        types |= BIT(RT_CONFIRM);
#endif
        break;
    }
    return (types & BIT(frame->type)) != 0;
}

static void bad_frame(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame, const char *why)
{
    struct rt_refuse_msg refuse = {.c = RT_CLASS_PROTOCOL};
    char text[RT_TEXT_MAX];
    size_t n = 0;
    const char *parts[] = {rt_frame_name(frame->type), ": ", why};

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t size = strlen(parts[i]);
        size = size < sizeof text - n ? size : sizeof text - n;
        memcpy(text + n, parts[i], size);
        n += size;
    }
    refuse.m.data = (const uint8_t *)text;
    refuse.m.size = n;
    rt_ag_link_refuse(agent, link, &refuse);
}

/* Whether the frame is one to heed; it is a sign of life then. A PONG that answers no ping of this link is neither. */
static bool heed(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame)
{
    if (frame->type == RT_PONG && !rt_pings_answered(&link->pinged, frame->offset)) {
        return false;
    }
    link->heard = agent->now;
    link->pings = 0;
    return true;
}

/* One frame at p. Returns the bytes used, 0 when more are needed. The link may be gone afterwards. */
static size_t take_frame(struct rt_agent *agent, struct ag_link *link, uint8_t *p, size_t size)
{
    struct rt_frame frame;
    const char *why;
    size_t whole;

    if (size < RT_FRAME_HEADER) {
        return 0;
    }
    rt_frame_get(p, &frame);
    if (rt_frame_check(&frame, link->role == RT_PEER_GUEST ? RT_WAY_GUEST_AGENT : RT_WAY_CLIENT_AGENT, &why) != 0) {
        bad_frame(agent, link, &frame, why);
        return size;
    }
    if (!may_send(link, &frame)) {
        bad_frame(agent, link, &frame, "not now");
        return size;
    }
    whole = RT_FRAME_HEADER + (size_t)frame.length;
    if (!heed(agent, link, &frame)) {
        return whole;
    }
    if (frame.type == RT_DATA) {
        uint32_t length = frame.length, n = length;
        if (size == RT_FRAME_HEADER) {
            return 0; /* a part of no bytes is no frame */
        }
        if (size < whole) {
            n = (uint32_t)(size - RT_FRAME_HEADER);
            link->rest = length - n;
            link->rest_channel = frame.channel;
            link->rest_stream = frame.stream;
            link->rest_offset = frame.offset + n;
        }
        switch_data(agent, link, &frame, length, p, n);
        return RT_FRAME_HEADER + (size_t)n;
    }
    if (size < whole) {
        return 0;
    }
    if (rt_frame_check_numbers(&frame, p + RT_FRAME_HEADER, &why) != 0) {
        bad_frame(agent, link, &frame, why);
        return size;
    }
    if (frame.channel != 0 && (BIT(frame.type) & CHANNEL_TYPES) != 0) {
        switch_frame(agent, link, &frame, p);
    } else {
        rt_ag_frame(agent, link, &frame, p);
    }
    return whole;
}

size_t rt_agent_input(struct rt_agent *agent, rt_link_id id, uint8_t *data, size_t size, uint64_t now)
{
    struct ag_link *link = rt_ag_link(agent, id);
    size_t used = 0;

    if (now > agent->now) {
        agent->now = now;
    }
    if (link == NULL || link->state == AG_DOOMED) {
        return size;
    }
    if (link->rest > 0 && size > 0) {
        link->heard = agent->now;
        link->pings = 0;
        used = take_rest(agent, link, data, size);
    }
    while (used < size && link != NULL && link->state != AG_DOOMED) {
        size_t n = take_frame(agent, link, data + used, size - used);
        if (n == 0) {
            break;
        }
        used += n;
        link = rt_ag_link(agent, id);
    }
    rt_ag_flush(agent);
    return link == NULL || link->state == AG_DOOMED ? size : used;
}
