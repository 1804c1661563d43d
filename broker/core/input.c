/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/agent.h"
#include "broker/core/end.h"
#include "broker/core/entry.h"
#include "broker/core/guest.h"
#include "broker/core/held.h"
#include "broker/core/hosts.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/request.h"
#include "broker/core/send.h"
#include "broker/core/session.h"
#include "broker/core/switch.h"
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg_hop.h"
#include "session/core/pings.h"
#include "session/core/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a link, cut into frames: each is carried out, or goes to the other side of its channel. */

/* ---- the frames that end at the agent: which peer may send what in which state has been checked ---- */

/* The hosts whose names follow this one's, and around: so the clients of a large cluster are spread over it. */
static void list_agents(struct rt_agent *agent, struct rt_welcome_msg *msg)
{
    size_t first = rt_ag_hosts_behind(agent, agent->config.host);

    for (size_t i = 0; i < agent->n_hosts; i++) {
        const struct ag_host *known = agent->hosts[(first + i) % agent->n_hosts];
        const struct rt_store_host *row = rt_ag_host_reach(agent, known->row.host);
        struct rt_host_msg *out = &msg->agents[msg->n_agents];

        if (row == NULL) {
            continue;
        }
        if (msg->n_agents == RT_AGENTS_MAX) {
            msg->more = true;
            return;
        }
        out->host = rt_slice_text(row->host);
        out->drains = row->drains;
        out->n_addr = row->n_addr;
        for (size_t k = 0; k < row->n_addr; k++) {
            out->addr[k] = rt_slice_text(row->addr[k]);
        }
        msg->n_agents++;
    }
}

/* Its account, in which all counts that it has. False: its tenant has too many, and the link is refused. */
static bool open_account(struct rt_agent *agent, struct ag_link *link)
{
    struct rt_refuse_msg refuse = ag_refusal(RT_CLASS_RETRY_LATER, rt_strerror(RT_ENOMEM));
    struct ag_over over;

    link->client->account = rt_ag_account_open(agent, link->id, ag_link_who(link), &over);
    if (link->client->account == NULL) {
        if (over.text[0] != '\0') {
            refuse = rt_ag_over_refusal(&over);
        }
        rt_ag_link_refuse(agent, link, &refuse);
    }
    return link->client->account != NULL;
}

static void welcome_client(struct rt_agent *agent, struct ag_link *link)
{
    struct rt_frame frame = {.type = RT_WELCOME};
    struct rt_welcome_msg *msg;
    int err;

    if (!open_account(agent, link)) {
        return;
    }
    msg = calloc(1, sizeof(*msg));
    if (msg == NULL) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_RETRY_LATER, rt_strerror(RT_ENOMEM));
        return;
    }
    msg->v = RT_PROTOCOL_VERSION;
    msg->host = rt_slice_text(agent->config.host);
    msg->agents[0].host = msg->host;
    msg->agents[0].drains = agent->drains;
    msg->agents[0].n_addr = agent->config.n_addr;
    for (size_t i = 0; i < agent->config.n_addr; i++) {
        msg->agents[0].addr[i] = rt_slice_text(agent->config.addr[i]);
    }
    msg->n_agents = 1;
    list_agents(agent, msg);
    err = rt_ag_send_msg(agent, link, &frame, RT_MSG_WELCOME, msg);
    free(msg);
    if (err != 0) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_RETRY_LATER, rt_strerror(err));
        return;
    }
    rt_ag_link_state(agent, link, AG_READY);
}

/* Reads a guest's or client's own message. False: it is none, and the link is refused. */
static bool decoded(struct rt_agent *agent, struct ag_link *link, enum rt_msg_kind kind, const uint8_t *data,
                    size_t size, void *msg)
{
    char why[RT_TEXT_MAX];

    if (rt_msg_decode(kind, data, size, msg, why, sizeof(why)) != 0) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_PROTOCOL, why);
        return false;
    }
    return true;
}

static void hello(struct rt_agent *agent, struct ag_link *link, const uint8_t *data, size_t size)
{
    char why[RT_TEXT_MAX];
    struct rt_hello_msg msg;
    bool guest = link->role == RT_PEER_GUEST;

    if (!decoded(agent, link, RT_MSG_HELLO, data, size, &msg)) {
        return;
    }
    if (!rt_slice_equal(msg.role, rt_slice_text(guest ? "guest" : "client"))) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_DENIED,
                               guest ? "this address is for guests" : "this address is for clients");
    } else if (msg.vmin > RT_PROTOCOL_VERSION || msg.vmax < RT_PROTOCOL_VERSION) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_VERSION, "this agent speaks version 1");
    } else if (guest) {
        rt_ag_guest_hello(agent, link, &msg);
    } else if (link->client->as == RT_CLIENT_NOBODY) {
        (void)snprintf(why, sizeof(why),
                       "%s may not use this agent; it takes a rule of access.users, or a client's certificate",
                       ag_link_who(link));
        rt_ag_link_refuse_text(agent, link, RT_CLASS_DENIED, why);
    } else {
        welcome_client(agent, link);
    }
}

static void report(struct rt_agent *agent, struct ag_link *link, const uint8_t *data, size_t size)
{
    uint8_t *copy;

    if (!decoded(agent, link, RT_MSG_REPORT, data, size, agent->report)) {
        return;
    }
    if (link->session != NULL) {
        rt_ag_session_report(agent, link->session, data, size);
        return;
    }
    if (link->state != AG_TAKING) {
        return;
    }
    copy = realloc(link->report, size);
    if (copy != NULL) {
        memcpy(copy, data, size);
        link->report = copy;
        link->report_size = (uint32_t)size;
    }
}

static void pong(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *ping)
{
    struct rt_frame frame = {.type = RT_PONG, .offset = ping->offset};

    /* What is queued to it is sign of life enough. */
    if (!link->congested) {
        rt_ag_send_frame(agent, link, &frame, NULL);
    }
}

static void end(struct rt_agent *agent, struct ag_link *link, const uint8_t *data, size_t size)
{
    struct rt_end_msg msg;

    if (decoded(agent, link, RT_MSG_END, data, size, &msg)) {
        rt_ag_end(agent, link, &msg);
    }
}

static void leaving(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame)
{
    if (frame->type == RT_PONG) {
        agent->stats.forks++;
        rt_ag_link_event(agent, RT_AGENT_FORKED, link, "closed", "it still runs, and another host claimed it");
        rt_ag_link_close(agent, link, "another host claimed it");
    }
}

/* Carries out a frame that is not switched. */
static void own_frame(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame, uint8_t *p)
{
    uint8_t *payload = p + RT_FRAME_HEADER;

    if (link->state == AG_LEAVING) {
        leaving(agent, link, frame);
        return;
    }
    switch (frame->type) {
    case RT_HELLO:
        hello(agent, link, payload, frame->length);
        break;
    case RT_CONFIRM:
        rt_ag_guest_confirm(agent, link);
        break;
    case RT_REPORT:
        report(agent, link, payload, frame->length);
        break;
    case RT_PING:
        pong(agent, link, frame);
        break;
    case RT_REQUEST:
        rt_ag_request(agent, link, frame->offset, payload, frame->length);
        break;
    case RT_TAIL:
        rt_ag_tail(agent, link, frame, payload);
        break;
    case RT_END:
        end(agent, link, payload, frame->length);
        break;
    case RT_ATTACH:
        rt_ag_attach(agent, link, frame->channel, p, RT_FRAME_HEADER + (size_t)frame->length);
        break;
    default: /* PONG: that it answers a ping was all that counts */
        break;
    }
}

/* ---- frames from bytes ---- */

#define BIT(type) (UINT32_C(1) << (type))
#define CHANNEL_TYPES                                                                                                  \
    (BIT(RT_ATTACHED) | BIT(RT_DATA) | BIT(RT_ACK) | BIT(RT_FIN) | BIT(RT_GAP) | BIT(RT_STOP) | BIT(RT_DETACH) |       \
     BIT(RT_REFUSE))

/* Whether the state of the link allows the frame. rt_frame_check() has seen that such a peer may send it at all. */
static bool may_send(const struct ag_link *link, const struct rt_frame *frame)
{
    static const uint32_t handshake = BIT(RT_HELLO) | BIT(RT_CONFIRM);
    uint32_t types = 0;

    switch ((enum ag_link_state)link->state) {
    case AG_UNPROVED:
        break;
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
    case AG_GONE:
    case AG_READY:
        types = ~handshake;
        break;
    }
    return (types & BIT(frame->type)) != 0;
}

static void bad_frame(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame, const char *why)
{
    char text[RT_TEXT_MAX + 1];

    (void)snprintf(text, sizeof(text), "%s: %s", rt_frame_name(frame->type), why);
    rt_ag_link_refuse_text(agent, link, RT_CLASS_PROTOCOL, text);
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
        own_frame(agent, link, &frame, p);
    }
    return whole;
}

size_t rt_ag_input(struct rt_agent *agent, rt_link_id id, uint8_t *data, size_t size)
{
    struct ag_link *link = rt_ag_link(agent, id);
    size_t used = 0, n = size;

    if (link != NULL && link->rest > 0 && size > 0) {
        link->heard = agent->now;
        link->pings = 0;
        used = rt_ag_switch_rest(agent, link, data, size);
    }
    while (n > 0) {
        if (ag_unsettled(agent)) {
            rt_ag_settle(agent);
            link = rt_ag_link(agent, id);
        }
        n = link == NULL || used == size ? 0 : take_frame(agent, link, data + used, size - used);
        used += n;
    }
    rt_ag_flush(agent);
    return link == NULL ? size : used;
}
