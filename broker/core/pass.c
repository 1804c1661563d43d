/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/pass.h"

#include "broker/core/agent.h"
#include "broker/core/channel.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/map.h"
#include "session/base/slice.h"
#include "session/base/text.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/say.h"

#include <stdio.h>
#include <string.h>

/* Ends a channel on which its peer said what it may not say. */
static void forbidden(struct rt_agent *agent, struct ag_chan *chan, const struct ag_link *from, const char *why)
{
    bool guest = from->role == RT_PEER_GUEST;
    char text[RT_TEXT_MAX + 1];
    struct rt_refuse_msg refuse = {.c = RT_CLASS_PROTOCOL};

    (void)snprintf(text, sizeof text, "the %s said %s", guest ? "guest" : "client", why);
    refuse.m = rt_slice_text(text);
    agent->stats.forbidden++;
    rt_ag_event(agent, RT_AGENT_FORBIDDEN, from, chan->session, "", "", text);
    rt_ag_chan_end(agent, chan, NULL, &refuse);
}

void rt_ag_pass_refuse(struct rt_agent *agent, struct ag_chan *chan, const struct ag_link *from, const uint8_t *data,
                       size_t size)
{
    bool guest = from->role == RT_PEER_GUEST;
    struct rt_refuse_msg refuse;
    char why[RT_TEXT_MAX], text[RT_TEXT_MAX + 1];

    if (rt_msg_decode(RT_MSG_REFUSE, data, size, &refuse, why, sizeof why) != 0) {
        forbidden(agent, chan, from, why);
        return;
    }
#ifndef RT_MUTANT_SAYS_ANYTHING
    if (!rt_may_say(guest ? RT_SAY_GUEST_CLIENT : RT_SAY_CLIENT_GUEST, refuse.c)) {
        (void)snprintf(why, sizeof why, "class %llu (%s), which it may not say", (unsigned long long)refuse.c,
                       rt_class_name(refuse.c));
        forbidden(agent, chan, from, why);
        return;
    }
    rt_refuse_trim(&refuse);
#endif
    if (refuse.c == RT_CLASS_UNKNOWN_ATTACHMENT) {
        refuse.life = from->life;
    }
    refuse.m.size = rt_text_copy(refuse.m, text, sizeof text);
    refuse.m.data = (const uint8_t *)text;
    rt_ag_chan_end(agent, chan, chan->link[guest ? AG_CLIENT : AG_GUEST], &refuse);
}

bool rt_ag_pass_attached(struct rt_agent *agent, struct ag_chan *chan, const uint8_t *data, size_t size)
{
    const struct ag_link *guest = chan->link[AG_GUEST];
    struct rt_attached_msg msg;
    char why[RT_TEXT_MAX];

    if (rt_msg_decode(RT_MSG_ATTACHED, data, size, &msg, why, sizeof why) != 0) {
        forbidden(agent, chan, guest, why);
        return false;
    }
    if (msg.life != guest->life || msg.epoch != guest->epoch) {
        forbidden(agent, chan, guest, "another life or epoch than it was given");
        return false;
    }
    return true;
}
