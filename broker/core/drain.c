/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/agent.h"
#include "broker/core/channel.h"
#include "broker/core/end.h"
#include "broker/core/entry.h"
#include "broker/core/flow.h"
#include "broker/core/held.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/queue.h"
#include "broker/core/request.h"
#include "broker/core/send.h"
#include "session/base/list.h"
#include "session/core/protocol.h"

#include <stdlib.h>

/* A link that was congested takes frames again. */

static void drain_chan(struct rt_agent *agent, struct ag_chan *chan, enum ag_side side)
{
    rt_ag_kept_flush(agent, chan, side);
    for (unsigned stream = 0; stream < RT_STREAMS; stream++) {
        if (ag_sender_of(stream) != side && chan->flow[stream].granted != 0) {
            rt_ag_flow_raise(agent, chan, stream);
        }
    }
}

static void drained(struct rt_agent *agent, struct ag_link *link)
{
    enum ag_side side = link->role == RT_PEER_GUEST ? AG_GUEST : AG_CLIENT;
    struct rt_list *node;

    while (!link->congested && (node = rt_list_pop(&link->byes)) != NULL) {
        struct ag_bye *bye = RT_LIST_OF(node, struct ag_bye, node);
        rt_ag_link_loses(link);
        rt_ag_send_bytes(agent, link, bye->bytes, bye->size);
        free(bye);
    }
    while (!link->congested && (node = rt_list_pop(&link->waiters)) != NULL) {
        drain_chan(agent, RT_LIST_OF(node, struct ag_chan, wait[side]), side);
    }
    if (link->pings > 0 && link->state >= AG_SERVING && !link->congested) {
        rt_ag_link_ping(agent, link);
    }
    if (side == AG_GUEST) {
        rt_ag_end_drained(agent, link);
        if (link->session != NULL) {
            rt_ag_held_bind(agent, link->session);
        }
    } else {
        rt_ag_attaches_drained(agent, link);
        rt_ag_requests_drained(agent, link);
    }
}

void rt_ag_queued(struct rt_agent *agent, struct ag_link *link, size_t queued)
{
    struct ag_account *account = ag_link_account(link);

    link->queued = 0;
    if (account != NULL && account->jammed > 0 && queued <= RT_LINK_HIGH_WATER) {
        (void)rt_ag_account_jam(agent, account, 0);
    }
    ag_queue(agent, link, queued);
    if (link->congested && queued < RT_LINK_HIGH_WATER / 2) {
        link->congested = false;
        link->answers = 0;
        drained(agent, link);
    }
}
