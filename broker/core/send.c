/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/send.h"

#include "broker/core/agent.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "session/base/error.h"
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"

#include <stdlib.h>
#include <string.h>

/* Sending on a link: every byte is counted here or in rt_ag_run(). */

void rt_ag_jam(struct rt_agent *agent, struct ag_link *link)
{
    struct ag_account *account = ag_link_account(link);

    if (!link->congested) {
        link->congested = true;
        link->jam++;
    }
    if (account != NULL && !rt_ag_account_jam(agent, account, link->queued)) {
        ag_fact(agent, &link->fact, AG_LINK_OVER);
    }
}

void rt_ag_send_bytes(struct rt_agent *agent, struct ag_link *link, const uint8_t *data, size_t size)
{
    if (link->state == AG_GONE || link->state == AG_UNPROVED) {
        return;
    }
    if (agent->run_link == link->id) {
        rt_ag_flush(agent);
    }
    ag_queue(agent, link, size);
    agent->config.io.send(agent->config.io.ctx, link->id, data, size, false);
}

void rt_ag_send_frame(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame,
                      const uint8_t *payload)
{
    rt_frame_put(agent->scratch, frame);
    if (payload != NULL) {
        memcpy(agent->scratch + RT_FRAME_HEADER, payload, frame->length);
    }
    rt_ag_send_bytes(agent, link, agent->scratch, RT_FRAME_HEADER + (size_t)frame->length);
}

void rt_ag_answered(struct rt_agent *agent, struct ag_link *link, size_t size)
{
    if (!link->congested) {
        return;
    }
    link->answers += (uint32_t)size;
    if (link->answers > AG_LINK_ANSWERS_MAX) {
        rt_ag_link_close(agent, link, "does not read what it asked for");
    }
}

/* Writes the whole frame to scratch. Returns its size or a negative code. */
static int put_msg(struct rt_agent *agent, const struct rt_frame *frame, enum rt_msg_kind kind, const void *msg)
{
    struct rt_frame whole = *frame;
    int size = rt_msg_encode(kind, msg, agent->scratch + RT_FRAME_HEADER, RT_FRAME_PAYLOAD_MAX);

    if (size < 0) {
        return size;
    }
    whole.length = (uint32_t)size;
    rt_frame_put(agent->scratch, &whole);
    return RT_FRAME_HEADER + size;
}

int rt_ag_send_msg(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame, enum rt_msg_kind kind,
                   const void *msg)
{
    int size = put_msg(agent, frame, kind, msg);

    if (size < 0) {
        return size;
    }
    rt_ag_send_bytes(agent, link, agent->scratch, (size_t)size);
    return 0;
}

void rt_ag_refuse(struct rt_agent *agent, struct ag_link *link, uint32_t channel, const struct rt_refuse_msg *refuse)
{
    struct rt_frame frame = {.type = RT_REFUSE, .channel = channel};
    struct rt_refuse_msg cut = *refuse;
    int size;

    if (link->state == AG_GONE) {
        return;
    }
    if (cut.m.size > RT_TEXT_MAX) {
        cut.m.size = RT_TEXT_MAX;
    }
    size = put_msg(agent, &frame, RT_MSG_REFUSE, &cut);
    if (size < 0) {
        struct rt_refuse_msg bare = {.c = refuse->c, .delay = refuse->delay};
        size = put_msg(agent, &frame, RT_MSG_REFUSE, &bare);
    }
    if (size < 0) {
        return;
    }
    if (channel != 0 && link->n_chans < RT_LINK_CHANNELS_MAX) {
        rt_ag_bye(agent, link, agent->scratch, (size_t)size);
        return;
    }
    rt_ag_send_bytes(agent, link, agent->scratch, (size_t)size);
    rt_ag_answered(agent, link, (size_t)size);
}

void rt_ag_refuse_text(struct rt_agent *agent, struct ag_link *link, uint32_t channel, enum rt_class cls,
                       const char *text)
{
    struct rt_refuse_msg refuse = ag_refusal(cls, text);

    rt_ag_refuse(agent, link, channel, &refuse);
}

void rt_ag_bye(struct rt_agent *agent, struct ag_link *link, const uint8_t *bytes, size_t size)
{
    struct ag_bye *bye = NULL;

    if (!link->congested) {
        rt_ag_send_bytes(agent, link, bytes, size);
        return;
    }
    bye = malloc(sizeof(*bye) + size);
    if (bye == NULL) { /* without its last word the peer would wait for ever */
        rt_ag_link_close(agent, link, rt_strerror(RT_ENOMEM));
        return;
    }
    *bye = (struct ag_bye){.size = size};
    memcpy(bye->bytes, bytes, size);
    rt_list_push(&link->byes, &bye->node);
    link->n_chans++;
    ag_account_channel(ag_link_account(link), 1);
}

void rt_ag_run(struct rt_agent *agent, struct ag_link *to, uint8_t *data, size_t size)
{
    ag_queue(agent, to, size);
    if (agent->run_link == to->id && agent->run + agent->run_size == data) {
        agent->run_size += size;
        return;
    }
    rt_ag_flush(agent);
    agent->run_link = to->id;
    agent->run = data;
    agent->run_size = size;
}

void rt_ag_link_refuse(struct rt_agent *agent, struct ag_link *link, const struct rt_refuse_msg *refuse)
{
    char text[RT_TEXT_MAX + 1];

    if (link->state == AG_GONE) {
        return;
    }
    rt_slice_copy(refuse->m, text, sizeof(text));
    agent->stats.refused++;
    rt_ag_link_event(agent, RT_AGENT_REFUSED, link, rt_class_name(refuse->c), text);
    rt_ag_refuse(agent, link, 0, refuse);
    rt_ag_link_close(agent, link, rt_class_name(refuse->c));
}

void rt_ag_link_refuse_text(struct rt_agent *agent, struct ag_link *link, enum rt_class cls, const char *text)
{
    struct rt_refuse_msg refuse = ag_refusal(cls, text);

    rt_ag_link_refuse(agent, link, &refuse);
}

void rt_ag_link_ping(struct rt_agent *agent, struct ag_link *link)
{
    struct rt_frame frame = {.type = RT_PING};

    agent->config.io.random(agent->config.io.ctx, &frame.offset, sizeof(frame.offset));
    rt_pings_sent(&link->pinged, frame.offset);
    rt_ag_send_frame(agent, link, &frame, NULL);
}
