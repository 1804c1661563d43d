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

/* Places at first, and channels for each before there are twice as many. */
#define AG_PLACES_MIN 64
#define AG_CHANS_A_PLACE 4

/* Channels: a pair of (link, channel) mapped to each other, from the ATTACH to a DETACH, a REFUSE or a lost link. */

/* A channel stands in two places, one for each of its keys: the highest bits of the key times an odd number that peers
 * do not know. */
static struct ag_chan **place_of(const struct rt_agent *agent, uint64_t key, enum ag_side side)
{
    uint64_t odd = (agent->config.seed ^ UINT64_C(0x9e3779b97f4a7c15)) | 1;

    return &agent->places[2 * ((key * odd >> 32) * agent->n_places >> 32) + side];
}

static void enter(struct rt_agent *agent, struct ag_chan *chan, enum ag_side side)
{
    struct ag_chan **place = place_of(agent, chan->key[side], side);

    chan->next[side] = *place;
    *place = chan;
}

static void leave(struct rt_agent *agent, struct ag_chan *chan, enum ag_side side)
{
    struct ag_chan **at = place_of(agent, chan->key[side], side);

    while (*at != chan) {
        at = &(*at)->next[side];
    }
    *at = chan->next[side];
}

/* Doubles the places when channels crowd in them. Without memory they stay as they are. False: there are none. */
static bool make_places(struct rt_agent *agent)
{
    uint32_t n = agent->n_places, more = n == 0 ? AG_PLACES_MIN : 2 * n;
    struct ag_chan **old = agent->places, **places;

    if (agent->stats.channels / AG_CHANS_A_PLACE < n) {
        return true;
    }
    places = calloc(more, 2 * sizeof(struct ag_chan *));
    if (places == NULL) {
        return n > 0;
    }
    agent->places = places;
    agent->n_places = more;
    for (uint32_t i = 0; i < 2 * n; i++) {
        enum ag_side side = i % 2 == 0 ? AG_GUEST : AG_CLIENT;
        for (struct ag_chan *chan = old[i], *next; chan != NULL; chan = next) {
            next = chan->next[side];
            enter(agent, chan, side);
        }
    }
    free(old);
    return true;
}

struct ag_chan *rt_ag_chan_at(const struct rt_agent *agent, enum ag_side side, uint64_t key)
{
    struct ag_chan *chan = agent->n_places == 0 ? NULL : *place_of(agent, key, side);

    while (chan != NULL && chan->key[side] != key) {
        chan = chan->next[side];
    }
    return chan;
}

struct ag_chan *rt_ag_chan_new(struct rt_agent *agent, struct ag_session *session, struct ag_link *client,
                               uint32_t channel)
{
    struct ag_link *guest = session->guest;
    struct ag_chan *chan;

    if (guest->last_channel == UINT32_MAX || guest->n_chans >= RT_LINK_CHANNELS_MAX || !make_places(agent)) {
        return NULL;
    }
    chan = calloc(1, sizeof(*chan));
    if (chan == NULL) {
        return NULL;
    }
    chan->key[AG_GUEST] = ag_chan_key(guest->id, guest->last_channel + 1);
    chan->key[AG_CLIENT] = ag_chan_key(client->id, channel);
    enter(agent, chan, AG_GUEST);
    enter(agent, chan, AG_CLIENT);
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
    for (int side = AG_GUEST; side <= AG_CLIENT; side++) {
        assert(chan->link[side] != NULL);
        leave(agent, chan, (enum ag_side)side);
        rt_list_remove(&chan->in[side]);
        rt_list_remove(&chan->wait[side]);
        rt_ag_kept_free(chan, (enum ag_side)side);
        rt_ag_link_loses(chan->link[side]);
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
