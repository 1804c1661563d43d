/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_SAY_H
#define RETETHER_SESSION_CORE_SAY_H

#include <stdbool.h>
#include <stdint.h>

/* Who may say which class of refusal to whom, and which keys a class carries: the table of protocol.md section 6. The
 * agent lets nothing else pass from one peer to another (broker/core/switch.c); who hears a class that nobody may say
 * to it heeds nothing that it says. */

struct rt_refuse_msg;

enum rt_say {
    RT_SAY_LINK_GUEST,   /* agent to guest, of their link: channel 0 */
    RT_SAY_LINK_CLIENT,  /* agent to client, of their link */
    RT_SAY_AGENT_GUEST,  /* agent to guest, on a channel */
    RT_SAY_AGENT_CLIENT, /* agent to client, on a channel */
    RT_SAY_GUEST_CLIENT, /* on a channel, passed by the agent */
    RT_SAY_CLIENT_GUEST, /* on a channel, passed by the agent */
    RT_SAY_REPLY,        /* agent to client, in a REPLY */
    RT_SAYS,
};

/* cls: enum rt_class, or any number that a peer made up. */
bool rt_may_say(enum rt_say say, uint64_t cls);

enum rt_refuse_key {
    RT_KEY_DELAY = 1,
    RT_KEY_WHERE = 2, /* host, addr */
    RT_KEY_LIFE = 4,
    RT_KEY_EPOCH = 8,
    RT_KEY_END = 16,   /* code, sig */
    RT_KEY_LIMIT = 32, /* which, max */
    RT_KEY_AT = 64,    /* s, at, got */
    RT_KEY_TRY = 128,
};

/* Of enum rt_refuse_key, besides `m`. */
unsigned rt_refuse_keys(uint64_t cls);
/* Leaves only the keys that its class carries. */
void rt_refuse_trim(struct rt_refuse_msg *refuse);

#endif
