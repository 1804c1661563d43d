/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/agent.h"
#include "broker/core/frames.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/send.h"
#include "broker/core/switch.h"
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg_hop.h"
#include "session/core/pings.h"
#include "session/core/protocol.h"

#include <string.h>

/* Bytes of a link, cut into frames: each is carried out, or goes to the other side of its channel. */

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
        rt_ag_switch_data(agent, link, &frame, length, p, n);
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
        rt_ag_switch_frame(agent, link, &frame, p);
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
        used = rt_ag_switch_rest(agent, link, data, size);
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
