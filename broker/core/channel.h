/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_CHANNEL_H
#define RETETHER_BROKER_CORE_CHANNEL_H

#include "broker/core/agent.h"
#include "broker/core/machine.h"
#include "session/base/list.h"
#include "session/core/digest.h"
#include "session/core/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A channel: the pair of a guest link's and a client link's, and how far its streams are. */

/* The two ends of a channel. */
enum ag_side { AG_GUEST, AG_CLIENT };

/* Streams that flow to a client. */
#define AG_FLOWS_UP 3

struct ag_kept;
struct ag_link;
struct ag_session;

struct ag_flow {            /* one stream of a channel, from its sender to its receiver */
    uint64_t seen;          /* the sender's offset after what came */
    uint64_t granted;       /* the limit that the sender was told */
    uint64_t wanted;        /* the limit that the receiver told */
    uint64_t acked, digest; /* the receiver's last ACK */
};

struct ag_chan {
    uint64_t key[2];         /* link id << 32 | channel, by enum ag_side */
    struct ag_chan *next[2]; /* in the same place of agent.places */
    struct ag_link *link[2];
    struct rt_list in[2];    /* ag_link.chans */
    struct rt_list wait[2];  /* ag_link.waiters of the side that it is for */
    struct ag_kept *kept[2]; /* owned; by the side that it is for; NULL: nothing */
    uint32_t jammed[2];      /* bytes without credit since that side became congested for the jam-th time */
    uint16_t jam[2];
    uint32_t counted[2], generation[2]; /* bytes in ag_link.grown of that side, and in which */
    uint16_t window[RT_STREAMS];        /* KiB that a flow was last given; 0: not more than the initial credit yet */
    bool attached;                      /* the guest has answered */
    struct ag_session *session;
    struct ag_flow flow[RT_STREAMS];
};

static inline uint64_t ag_chan_key(rt_link_id link, uint32_t channel)
{
    return (uint64_t)link << 32 | channel;
}

static inline unsigned ag_chan_hash(const struct rt_agent *agent, uint64_t key)
{
    return (unsigned)XXH64(&key, sizeof(key), agent->config.seed);
}

#endif
