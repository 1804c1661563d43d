/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/switch.h"

#include "broker/core/agent.h"
#include "broker/core/channel.h"
#include "broker/core/flow.h"
#include "broker/core/held.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/map.h"
#include "broker/core/queue.h"
#include "broker/core/rights.h"
#include "broker/core/send.h"
#include "broker/core/session.h"
#include "session/base/error.h"
#include "session/base/list.h"
#include "session/base/slice.h"
#include "session/base/text.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/say.h"

#include <stdio.h>

/* The data path. Frames go through where they lie: the channel is patched in the header, runs of frames for one link
 * are sent with one call. A DATA frame that the input cuts goes on as a shorter one; its rest gets a header of its own
 * in the bytes before the next input. So a link never sees a frame that is not whole, whatever happens to the other. */

/* What one peer says to the other on a channel, beyond bytes, is read here, and passed only where protocol.md section 6
 * lets it say so. Else the channel ends with PROTOCOL on both sides. That costs the peer which said it its channel, and
 * nobody else anything. */

static void end_channel(struct rt_agent *agent, struct ag_chan *chan, enum rt_class cls, const char *text)
{
    struct rt_refuse_msg refuse = ag_refusal(cls, text);

    rt_ag_chan_end(agent, chan, NULL, &refuse);
}

/* Ends a channel on which its peer said what it may not say. */
static void forbidden(struct rt_agent *agent, struct ag_chan *chan, const struct ag_link *from, const char *why)
{
    bool guest = from->role == RT_PEER_GUEST;
    char text[RT_TEXT_MAX + 1];

    (void)snprintf(text, sizeof(text), "the %s said %s", guest ? "guest" : "client", why);
    agent->stats.forbidden++;
    rt_ag_session_event(agent, RT_AGENT_FORBIDDEN, chan->session, from, "", "", text);
    end_channel(agent, chan, RT_CLASS_PROTOCOL, text);
}

/* A REFUSE of this link's peer: goes on as a frame of our own, with what its class may carry. The channel is over. */
static void pass_refuse(struct rt_agent *agent, struct ag_chan *chan, const struct ag_link *from, const uint8_t *data,
                        size_t size)
{
    bool guest = from->role == RT_PEER_GUEST;
    struct rt_refuse_msg refuse;
    char why[RT_TEXT_MAX], text[RT_TEXT_MAX + 1];

    if (rt_msg_decode(RT_MSG_REFUSE, data, size, &refuse, why, sizeof(why)) != 0) {
        forbidden(agent, chan, from, why);
        return;
    }
    if (!rt_may_say(guest ? RT_SAY_GUEST_CLIENT : RT_SAY_CLIENT_GUEST, refuse.c)) {
        (void)snprintf(why, sizeof(why), "class %llu (%s), which it may not say", (unsigned long long)refuse.c,
                       rt_class_name(refuse.c));
        forbidden(agent, chan, from, why);
        return;
    }
    rt_refuse_trim(&refuse);
    if (refuse.c == RT_CLASS_UNKNOWN_ATTACHMENT) {
        refuse.life = from->life;
    }
    refuse.m.size = rt_text_copy(refuse.m, text, sizeof(text));
    refuse.m.data = (const uint8_t *)text;
    rt_ag_chan_end(agent, chan, chan->link[guest ? AG_CLIENT : AG_GUEST], &refuse);
}

/* The guest's answer to the ATTACH: one, which goes on as it is; else the channel is over. */
static bool switch_attached(struct rt_agent *agent, struct ag_chan *chan, const uint8_t *data, size_t size)
{
    const struct ag_link *guest = chan->link[AG_GUEST];
    struct rt_attached_msg msg;
    char why[RT_TEXT_MAX];

    if (rt_msg_decode(RT_MSG_ATTACHED, data, size, &msg, why, sizeof(why)) != 0) {
        forbidden(agent, chan, guest, why);
        return false;
    }
    if (msg.life != guest->life || msg.epoch != guest->epoch) {
        forbidden(agent, chan, guest, "another life or epoch than it was given");
        return false;
    }
    if (chan->attached) {
        end_channel(agent, chan, RT_CLASS_PROTOCOL, "a second ATTACHED");
        return false;
    }
    rt_ag_chan_answered(agent, chan);
    return true;
}

static struct ag_chan *find_chan(struct rt_agent *agent, struct ag_link *link, uint32_t channel)
{
    uint64_t key = ag_chan_key(link->id, channel);
    enum ag_side side = link->role == RT_PEER_GUEST ? AG_GUEST : AG_CLIENT;
    struct ag_chan *chan = link->cache;

    if (chan != NULL && chan->key[side] == key) {
        return chan;
    }
    chan = rt_ag_chan_at(agent, side, key);
    if (chan != NULL) {
        link->cache = chan;
    }
    return chan;
}

/* Ends a channel for a frame that does not fit its stream. */
static void end_at(struct rt_agent *agent, struct ag_chan *chan, enum rt_class cls, const char *text,
                   const struct rt_frame *frame)
{
    const struct ag_flow *flow = &chan->flow[frame->stream];
    struct rt_refuse_msg refuse = {.c = cls, .m = rt_slice_text(text)};

    if (cls == RT_CLASS_LIMIT) {
        refuse.which = rt_slice_text("limit");
        refuse.max = flow->granted;
    }
    rt_ag_chan_end(agent, chan, NULL, &refuse);
}

void rt_ag_switch_data(struct rt_agent *agent, struct ag_link *link, struct rt_frame *frame, uint32_t length,
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
    if (from == AG_CLIENT && !rt_ag_may(link, AG_MAY_INPUT)) { /* of an attachment that another client made */
        forbidden(agent, chan, link, "input, which its role may not send");
        return;
    }
    ag_flow_start(flow, frame->offset);
    if (frame->offset != flow->seen) { /* its sender may have gone back in time: the next attach compares digests */
        end_at(agent, chan, RT_CLASS_JUMP, "DATA went back, or left bytes out", frame);
        return;
    }
    if (frame->offset + length > flow->granted) {
        end_at(agent, chan, RT_CLASS_LIMIT, "DATA beyond the limit that was granted", frame);
        return;
    }
    if (!ag_fits(chan, !from, RT_FRAME_HEADER + rt_ag_kept_size(chan, !from))) {
        end_channel(agent, chan, RT_CLASS_LOST, "too many small frames for a peer that reads slowly");
        return;
    }
    if (chan->kept[!from] != NULL) {
        rt_ag_kept_flush(agent, chan, !from);
    }
    flow->seen = frame->offset + n;
    frame->channel = (uint32_t)chan->key[!from];
    frame->length = n;
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

size_t rt_ag_switch_rest(struct rt_agent *agent, struct ag_link *link, uint8_t *data, size_t size)
{
    uint32_t left = link->rest, n = size < left ? (uint32_t)size : left;
    struct rt_frame frame = {.type = RT_DATA, .stream = link->rest_stream, .channel = link->rest_channel};

    frame.offset = link->rest_offset;
    link->rest -= n;
    link->rest_offset += n;
    rt_ag_switch_data(agent, link, &frame, left, data - RT_FRAME_HEADER, n);
    return n;
}

/* Reads an ACK, and lowers its limit to what may be granted. False: it is older than one that is kept, and must not
 * take the place of that. */
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
        end_at(agent, chan, RT_CLASS_JUMP, "a GAP that does not begin where the bytes end", frame);
        return false;
    }
    if (to > flow->seen) {
        flow->seen = to;
        rt_ag_flow_count(agent, chan, AG_CLIENT);
    }
    return true;
}

/* The last frame of a channel that is passed: DETACH. */
static void switch_last(struct rt_agent *agent, struct ag_chan *chan, enum ag_side to, const struct rt_frame *frame,
                        uint8_t *p)
{
    struct ag_link *link = chan->link[to];

    rt_ag_session_event(agent, RT_AGENT_DETACHED, chan->session, chan->link[AG_CLIENT], "", rt_frame_name(frame->type),
                        "");
    rt_ag_chan_free(agent, chan);
    if (link->congested) {
        rt_ag_bye(agent, link, p, RT_FRAME_HEADER + (size_t)frame->length);
    } else {
        rt_ag_run(agent, link, p, RT_FRAME_HEADER + (size_t)frame->length);
    }
}

void rt_ag_switch_frame(struct rt_agent *agent, struct ag_link *link, struct rt_frame *frame, uint8_t *p)
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
        pass_refuse(agent, chan, link, payload, frame->length);
        return;
    }
    if (frame->type == RT_FIN && to == AG_GUEST && !rt_ag_may(link, AG_MAY_INPUT)) {
        forbidden(agent, chan, link, "the end of an input that its role may not send");
        return;
    }
    if (frame->type == RT_ACK) {
        newest = switch_ack(agent, chan, frame, payload);
    } else if ((frame->type == RT_GAP && !switch_gap(agent, chan, frame, payload)) ||
               (frame->type == RT_ATTACHED && !switch_attached(agent, chan, payload, frame->length))) {
        return;
    }
    frame->channel = (uint32_t)chan->key[to];
    rt_frame_put(p, frame);
    agent->stats.frames++;
    if (frame->type == RT_DETACH) {
        switch_last(agent, chan, to, frame, p);
    } else if (!chan->link[to]->congested) {
        rt_ag_run(agent, chan->link[to], p, RT_FRAME_HEADER + (size_t)frame->length);
    } else if (newest && !rt_ag_keep(chan, to, frame, payload)) {
        end_channel(agent, chan, RT_CLASS_LOST, rt_strerror(RT_ENOMEM));
    }
}
