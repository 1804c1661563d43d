/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/switch.h"

#include "broker/core/agent.h"
#include "broker/core/attach.h"
#include "broker/core/channel.h"
#include "broker/core/flow.h"
#include "broker/core/frames.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/pass.h"
#include "broker/core/queue.h"
#include "session/base/error.h"
#include "session/base/list.h"
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg_hop.h"
#include "session/core/pings.h"
#include "session/core/protocol.h"

#include <string.h>

/* The data path. Frames go through where they lie: the channel is patched in the header, runs of frames for one link
 * are sent with one call. A DATA frame that the input cuts goes on as a shorter one; its rest gets a header of its own
 * in the bytes before the next input. So a link never sees a frame that is not whole, whatever happens to the other. */

void rt_ag_run(struct rt_agent *agent, struct ag_link *to, uint8_t *data, size_t size)
{
    ag_queue(to, size);
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
    ag_flow_start(flow, frame->offset);
    if (frame->offset != flow->seen) { /* of another past, perhaps: the next attach compares digests */
        end_channel(agent, chan, RT_CLASS_JUMP, "DATA went back, or left bytes out", 0);
        return;
    }
    if (frame->offset + length > flow->granted) {
        end_channel(agent, chan, RT_CLASS_LIMIT, "DATA beyond the limit that was granted", flow->granted);
        return;
    }
    if (!ag_fits(chan, !from, RT_FRAME_HEADER + (size_t)n + rt_ag_kept_size(chan, !from))) {
        end_channel(agent, chan, RT_CLASS_LOST, "too many small frames for who reads so slowly", 0);
        return;
    }
    if (chan->kept[!from] != NULL) {
        rt_ag_kept_flush(agent, chan, !from);
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
    if (flow->wanted > flow->granted && ag_flow_low(chan, frame->stream)) {
        rt_ag_flow_raise(agent, chan, frame->stream);
    } else {
        rt_ag_flow_count(agent, chan, !from);
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

/* Reads an ACK, and lowers its limit to what may be granted. False: it is old news, and goes no further where it would
 * take the newest's place. */
static bool switch_ack(struct rt_agent *agent, struct ag_chan *chan, const struct rt_frame *frame, uint8_t *payload)
{
    struct ag_flow *flow = &chan->flow[frame->stream];
    uint64_t limit = rt_get_u64(payload);
    bool newest;

    ag_flow_start(flow, frame->offset);
    newest = frame->offset >= flow->acked;
    if (newest) {
        flow->acked = frame->offset;
        flow->digest = rt_get_u64(payload + 8);
    }
    if (limit > flow->wanted) {
        flow->wanted = limit;
    }
    flow->granted = rt_ag_flow_allowed(agent, chan, frame->stream);
    rt_ag_flow_count(agent, chan, !ag_sender_of(frame->stream));
    if (limit > flow->granted) {
        rt_put_u64(payload, flow->granted);
    }
    return newest;
}

/* A GAP begins where the bytes end. */
static bool switch_gap(struct rt_agent *agent, struct ag_chan *chan, const struct rt_frame *frame,
                       const uint8_t *payload)
{
    struct ag_flow *flow = &chan->flow[frame->stream];
    uint64_t to = rt_get_u64(payload);

    ag_flow_start(flow, frame->offset);
    if (frame->offset != flow->seen) {
        end_channel(agent, chan, RT_CLASS_JUMP, "a GAP that does not begin where the bytes end", 0);
        return false;
    }
    if (to > flow->seen) {
        flow->seen = to;
        rt_ag_flow_count(agent, chan, AG_CLIENT);
    }
    return true;
}

/* The guest's answer to the ATTACH: one. */
static bool switch_attached(struct rt_agent *agent, struct ag_chan *chan)
{
    if (chan->attached) {
        end_channel(agent, chan, RT_CLASS_PROTOCOL, "a second ATTACHED", 0);
        return false;
    }
    rt_ag_chan_answered(chan);
    rt_ag_held_bind(agent, chan->session);
    return true;
}

/* The last frame of a channel that is passed: DETACH. */
static void switch_last(struct rt_agent *agent, struct ag_chan *chan, enum ag_side to, const struct rt_frame *frame,
                        uint8_t *p)
{
    struct ag_link *link = chan->link[to];

    rt_ag_event(agent, RT_AGENT_DETACHED, chan->link[AG_CLIENT], chan->session, "", rt_frame_name(frame->type), "");
    rt_ag_chan_free(agent, chan);
    if (link->congested) {
        rt_ag_bye(agent, link, p, RT_FRAME_HEADER + (size_t)frame->length);
    } else {
        rt_ag_run(agent, link, p, RT_FRAME_HEADER + (size_t)frame->length);
    }
}

/* A whole frame of a channel, other than DATA. */
static void switch_frame(struct rt_agent *agent, struct ag_link *link, struct rt_frame *frame, uint8_t *p)
{
    struct ag_chan *chan = find_chan(agent, link, frame->channel);
    enum ag_side to = link->role == RT_PEER_GUEST ? AG_CLIENT : AG_GUEST;
    bool over = frame->type == RT_DETACH || frame->type == RT_REFUSE, newest = true;
    uint8_t *payload = p + RT_FRAME_HEADER;

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
        newest = switch_ack(agent, chan, frame, payload);
    } else if ((frame->type == RT_GAP && !switch_gap(agent, chan, frame, payload)) ||
               (frame->type == RT_ATTACHED && !switch_attached(agent, chan))) {
        return;
    }
    frame->channel = (uint32_t)chan->key[to];
    rt_frame_put(p, frame);
    agent->stats.frames++;
    if (frame->type == RT_DETACH) {
        switch_last(agent, chan, to, frame, p);
#ifdef RT_MUTANT_FRAMES_UNKEPT
    } else if (true) {
#else
    } else if (!chan->link[to]->congested) {
#endif
        rt_ag_run(agent, chan->link[to], p, RT_FRAME_HEADER + (size_t)frame->length);
    } else if (newest && !rt_ag_keep(agent, chan, to, frame, payload)) {
        end_channel(agent, chan, RT_CLASS_LOST, rt_strerror(RT_ENOMEM), 0);
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
