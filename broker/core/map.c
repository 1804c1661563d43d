/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/map.h"

#include "broker/core/agent.h"
#include "broker/core/channel.h"
#include "broker/core/flow.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/queue.h"
#include "broker/core/send.h"
#include "broker/core/session.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"

#include <assert.h>
#include <stdlib.h>

/* Channels: a pair of (link, channel) mapped to each other, from the ATTACH to a DETACH, a REFUSE or a lost link. */

static bool enter(struct rt_agent *agent, struct ag_chan *chan)
{
    HASH_ADD_KEYPTR_BYHASHVALUE(hh_guest, agent->by_guest, &chan->key[AG_GUEST], sizeof(chan->key[AG_GUEST]),
                                ag_chan_hash(agent, chan->key[AG_GUEST]), chan);
    if (chan->hh_guest.tbl == NULL) {
        return false;
    }
    HASH_ADD_KEYPTR_BYHASHVALUE(hh_client, agent->by_client, &chan->key[AG_CLIENT], sizeof(chan->key[AG_CLIENT]),
                                ag_chan_hash(agent, chan->key[AG_CLIENT]), chan);
    if (chan->hh_client.tbl == NULL) {
        HASH_DELETE(hh_guest, agent->by_guest, chan);
        return false;
    }
    return true;
}

struct ag_chan *rt_ag_chan_new(struct rt_agent *agent, struct ag_session *session, struct ag_link *client,
                               uint32_t channel)
{
    struct ag_link *guest = session->guest;
    struct ag_chan *chan;

    if (guest->last_channel == UINT32_MAX || guest->n_chans >= RT_LINK_CHANNELS_MAX) {
        return NULL;
    }
    chan = calloc(1, sizeof(*chan));
    if (chan == NULL) {
        return NULL;
    }
    chan->key[AG_GUEST] = ag_chan_key(guest->id, guest->last_channel + 1);
    chan->key[AG_CLIENT] = ag_chan_key(client->id, channel);
    if (!enter(agent, chan)) {
        free(chan);
        return NULL;
    }
    guest->last_channel++;
    chan->session = session;
    chan->link[AG_GUEST] = guest;
    chan->link[AG_CLIENT] = client;
    rt_list_push(&guest->chans, &chan->in[AG_GUEST]);
    rt_list_push(&client->chans, &chan->in[AG_CLIENT]);
    rt_ag_link_gains(agent, guest);
    rt_ag_link_gains(agent, client);
    agent->stats.channels++;
    guest->unanswered++;
    rt_ag_session_event(agent, RT_AGENT_ATTACHED, session, client, "", "", "");
    return chan;
}

void rt_ag_chan_answered(struct rt_agent *agent, struct ag_chan *chan)
{
    if (!chan->attached) {
        chan->attached = true;
        chan->link[AG_GUEST]->unanswered--;
        ag_fact(agent, &chan->link[AG_GUEST]->fact, AG_LINK_OPEN);
    }
}

void rt_ag_chan_free(struct rt_agent *agent, struct ag_chan *chan)
{
    rt_ag_chan_answered(agent, chan);
    rt_ag_flows_forget(chan);
    HASH_DELETE(hh_guest, agent->by_guest, chan);
    HASH_DELETE(hh_client, agent->by_client, chan);
    for (int side = AG_GUEST; side <= AG_CLIENT; side++) {
        assert(chan->link[side] != NULL);
        rt_list_remove(&chan->in[side]);
        rt_list_remove(&chan->wait[side]);
        rt_ag_kept_free(chan, (enum ag_side)side);
        chan->link[side]->n_chans--;
        if (chan->link[side]->cache == chan) {
            chan->link[side]->cache = NULL;
        }
    }
    agent->stats.channels--;
    free(chan);
}

void rt_ag_chan_end(struct rt_agent *agent, struct ag_chan *chan, const struct ag_link *only,
                    const struct rt_refuse_msg *refuse)
{
    struct ag_link *links[2] = {chan->link[AG_GUEST], chan->link[AG_CLIENT]};
    uint32_t channels[2] = {(uint32_t)chan->key[AG_GUEST], (uint32_t)chan->key[AG_CLIENT]};

    rt_ag_session_event(agent, RT_AGENT_DETACHED, chan->session, chan->link[AG_CLIENT], "", rt_class_name(refuse->c),
                        "");
    rt_ag_chan_free(agent, chan); /* before: what refuses it takes its place */
    for (int side = AG_GUEST; side <= AG_CLIENT; side++) {
        if (only == NULL || only == links[side]) {
            rt_ag_refuse(agent, links[side], channels[side], refuse);
        }
    }
}

void rt_ag_chans_end(struct rt_agent *agent, struct ag_link *link, const struct rt_refuse_msg *refuse)
{
    int side = link->role == RT_PEER_GUEST ? AG_GUEST : AG_CLIENT;

    while (!rt_list_empty(&link->chans)) {
        struct ag_chan *chan = RT_LIST_OF(link->chans.next, struct ag_chan, in[side]);
        if (refuse == NULL) {
            rt_ag_chan_free(agent, chan);
        } else {
            rt_ag_chan_end(agent, chan, chan->link[!side], refuse);
        }
    }
}
