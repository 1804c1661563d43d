/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_DOOR_H
#define RETETHER_BROKER_CORE_DOOR_H

#include "broker/core/agent.h"
#include "broker/core/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who may come in: links and handshakes by role, and by whom the transport says they are. door.c has the rules. */

struct ag_link;

struct ag_who {                     /* one peer, as long as it has a handshake, or a client's link */
    char name[RT_IDENTITY_MAX + 2]; /* role, identity */
    UT_hash_handle hh;
    uint32_t links, handshakes;
    bool lone; /* a machine of its own */
};

/* Closes the oldest handshake, of the role that has more of them. False: there is none. */
bool rt_ag_door_spare(struct rt_agent *agent);
/* A link of this peer, whose handshake begins. 0: there is no room, or no memory. */
rt_link_id rt_ag_door_enter(struct rt_agent *agent, const struct rt_peer *peer);
/* The frame that says why there was no room for this peer. Returns its size; 0: there would be room. */
size_t rt_ag_door_why(struct rt_agent *agent, const struct rt_peer *peer, uint8_t *out, size_t cap);
/* A guest's hello has shown a token of its container. */
void rt_ag_door_token(struct rt_agent *agent, struct ag_link *link);
/* Its handshake is done. */
void rt_ag_door_proved(struct rt_agent *agent, struct ag_link *link);
void rt_ag_door_leave(struct rt_agent *agent, struct ag_link *link);

#endif
