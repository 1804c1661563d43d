/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/agent.h"
#include "broker/core/ask.h"
#include "broker/core/channel.h"
#include "broker/core/held.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/map.h"
#include "broker/core/rights.h"
#include "broker/core/send.h"
#include "broker/core/session.h"
#include "migrate/core/ticket.h"
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include <string.h>

/* ATTACH: passed on at once to a guest that is served here and open; else held (held.c). While its own link cannot take
 * an answer it is parked first. */

/* Whether this client may ask for that; false with `why`. From a client that may not hold output back the hold is
 * taken, and from one that may not type the size of its window: the container's terminal would have it. Then *changed
 * says that the message is not what its bytes say any more. */
static bool allowed(const struct ag_link *link, struct rt_attach_msg *msg, bool *changed, char why[RT_TEXT_MAX])
{
    bool input = (msg->want & RT_INPUTS) != 0 || msg->take || msg->exec;

    *changed = rt_ag_may(link, AG_MAY_ALL_TENANTS); /* the guest knows itself without its tenant */
    if (!rt_ag_allowed(link, AG_MAY_READ, why) || (input && !rt_ag_allowed(link, AG_MAY_INPUT, why))) {
        return false;
    }
    if (!rt_ag_may(link, AG_MAY_HOLD) && msg->hold > 0) {
        msg->hold = 0;
        *changed = true;
    }
    if (!rt_ag_may(link, AG_MAY_INPUT) && (msg->rows > 0 || msg->cols > 0)) {
        msg->rows = msg->cols = 0;
        *changed = true;
    }
    return true;
}

/* Its link can take an answer: to the guest, where it is served and open, else held. `frame` is the whole frame, which
 * is passed on where it lies, or NULL. */
static void place(struct rt_agent *agent, struct ag_link *link, uint32_t channel, struct rt_attach_msg *msg,
                  struct rt_slice payload, uint8_t *frame)
{
    struct rt_key key;
    struct rt_frame head;
    struct ag_session *session;
    struct ag_chan *chan;
    bool qualified, changed;
    char why[RT_TEXT_MAX];

    if (!allowed(link, msg, &changed, why)) {
        rt_ag_refuse_text(agent, link, channel, RT_CLASS_DENIED, why);
        return;
    }
    if (rt_ag_key(link, msg->cid, &key, &qualified) != 0) {
        rt_ag_refuse_text(agent, link, channel, RT_CLASS_INVALID, "attach.cid: this is no container ID");
        return;
    }
    session = qualified ? rt_ag_session_find(agent, &key) : NULL;
    if (frame == NULL || session == NULL || session->guest == NULL || changed || !rt_ag_guest_open(session->guest)) {
        rt_ag_held_begin(agent, link, channel, msg, &key, qualified, payload, changed);
        return;
    }
    chan = rt_ag_chan_new(agent, session, link, channel);
    if (chan == NULL) {
        rt_ag_refuse_text(agent, link, channel, RT_CLASS_RETRY_LATER, "this agent has no room for another channel");
        return;
    }
    rt_frame_get(frame, &head);
    head.channel = (uint32_t)chan->key[AG_GUEST];
    rt_frame_put(frame, &head);
    rt_ag_run(agent, session->guest, frame, RT_FRAME_HEADER + payload.size);
}

/* Lets parked attaches go on, in the order in which they came, until the link is congested again. */
void rt_ag_attaches_drained(struct rt_agent *agent, struct ag_link *link)
{
    while (!link->congested && !rt_list_empty(&link->client->parked)) {
        struct ag_held *held = RT_LIST_OF(link->client->parked.next, struct ag_held, in_session);
        uint32_t channel = (uint32_t)held->key;
        uint8_t payload[RT_SHORT_MAX];
        struct rt_slice slice = {payload, held->size};
        struct rt_attach_msg msg;
        char why[RT_TEXT_MAX];

        memcpy(payload, held->payload, held->size);
        rt_ag_held_free(agent, held);
        if (rt_msg_decode(RT_MSG_ATTACH, payload, slice.size, &msg, why, sizeof(why)) == 0) { /* as it did before */
            place(agent, link, channel, &msg, slice, NULL);
        }
    }
}

void rt_ag_attach(struct rt_agent *agent, struct ag_link *link, uint32_t channel, uint8_t *frame, size_t size)
{
    struct rt_slice payload = {frame + RT_FRAME_HEADER, size - RT_FRAME_HEADER};
    struct rt_attach_msg msg;
    struct ag_over over;
    char why[RT_TEXT_MAX];
    bool may, reads;

    if (channel <= link->last_channel) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_PROTOCOL, "ATTACH on a channel that is not above all before");
        return;
    }
    link->last_channel = channel;
    may = rt_ag_may_ask(agent, link->client->account, &over); /* one that cannot be read is a request, too */
    reads = rt_msg_decode(RT_MSG_ATTACH, payload.data, payload.size, &msg, why, sizeof(why)) == 0;
    if (!may) { /* that passes in a second: LIMIT, which is the end of an attach, is for its first try alone */
        rt_ag_held_over(agent, link, channel, !reads || (msg.make && msg.try_no <= 1), &over);
        return;
    }
    if (!reads) {
        rt_ag_refuse_text(agent, link, channel, RT_CLASS_INVALID, why);
        return;
    }
    if (!rt_ag_channel_room(agent, link->client->account, link->n_chans, &over)) {
        rt_ag_held_over(agent, link, channel, msg.make, &over);
        return;
    }
    if (link->congested || !rt_list_empty(&link->client->parked)) {
        struct ag_held *held = rt_ag_held_new(agent, link, channel, &msg, payload);
        if (held != NULL) {
            rt_list_push(&link->client->parked, &held->in_session);
        }
        return;
    }
    place(agent, link, channel, &msg, payload, frame);
}
