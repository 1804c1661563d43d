/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/frames.h"

#include "broker/core/agent.h"
#include "broker/core/attach.h"
#include "broker/core/end.h"
#include "broker/core/guest.h"
#include "broker/core/hosts.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/request.h"
#include "broker/core/send.h"
#include "broker/core/session.h"
#include "migrate/core/store_op.h"
#include "session/base/error.h"
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"

#include <stdlib.h>
#include <string.h>

/* The frames that end at the agent. Which peer may send what in which state has been checked. */

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
        out->n_addr = row->n_addr;
        for (size_t k = 0; k < row->n_addr; k++) {
            out->addr[k] = rt_slice_text(row->addr[k]);
        }
        msg->n_agents++;
    }
}

static void welcome_client(struct rt_agent *agent, struct ag_link *link)
{
    struct rt_frame frame = {.type = RT_WELCOME};
    struct rt_welcome_msg *msg = calloc(1, sizeof *msg);
    int err;

    if (msg == NULL) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_RETRY_LATER, rt_strerror(RT_ENOMEM));
        return;
    }
    msg->v = RT_PROTOCOL_VERSION;
    msg->host = rt_slice_text(agent->config.host);
    msg->agents[0].host = msg->host;
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

static void hello(struct rt_agent *agent, struct ag_link *link, const uint8_t *data, size_t size)
{
    struct rt_hello_msg msg;
    char why[RT_TEXT_MAX];
    bool guest = link->role == RT_PEER_GUEST;

    if (rt_msg_decode(RT_MSG_HELLO, data, size, &msg, why, sizeof why) != 0) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_PROTOCOL, why);
    } else if (!rt_slice_equal(msg.role, rt_slice_text(guest ? "guest" : "client"))) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_DENIED,
                               guest ? "this address is for guests" : "this address is for clients");
    } else if (msg.vmin > RT_PROTOCOL_VERSION || msg.vmax < RT_PROTOCOL_VERSION) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_VERSION, "this agent speaks version 1");
    } else if (guest) {
        rt_ag_guest_hello(agent, link, &msg);
    } else {
        welcome_client(agent, link);
    }
}

static void report(struct rt_agent *agent, struct ag_link *link, const uint8_t *data, size_t size)
{
    char why[RT_TEXT_MAX];
    uint8_t *copy;

    if (rt_msg_decode(RT_MSG_REPORT, data, size, agent->report, why, sizeof why) != 0) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_PROTOCOL, why);
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
        link->report_size = size;
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
    char why[RT_TEXT_MAX];

    if (rt_msg_decode(RT_MSG_END, data, size, &msg, why, sizeof why) != 0) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_PROTOCOL, why);
        return;
    }
    rt_ag_end(agent, link, &msg);
}

static void leaving(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame)
{
    if (frame->type == RT_PONG) {
        agent->stats.forks++;
        rt_ag_event(agent, RT_AGENT_FORKED, link, NULL, "serving", "closed",
                    "it still runs, and another host claimed it");
        rt_ag_link_close(agent, link, "another host claimed it");
    }
}

void rt_ag_frame(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame, uint8_t *p)
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
