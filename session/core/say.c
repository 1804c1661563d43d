/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/say.h"

#include "session/core/msg_hop.h"
#include "session/core/protocol.h"

#define LINK_GUEST (1 << RT_SAY_LINK_GUEST)
#define LINK_CLIENT (1 << RT_SAY_LINK_CLIENT)
#define LINKS (LINK_GUEST | LINK_CLIENT)
#define TO_GUEST (1 << RT_SAY_AGENT_GUEST)
#define TO_CLIENT (1 << RT_SAY_AGENT_CLIENT)
#define GUEST (1 << RT_SAY_GUEST_CLIENT)
#define CLIENT (1 << RT_SAY_CLIENT_GUEST)
#define CHANNELS (TO_GUEST | TO_CLIENT | GUEST | CLIENT)
#define REPLY (1 << RT_SAY_REPLY)

static const struct {
    uint8_t who;  /* bit enum rt_say */
    uint8_t keys; /* enum rt_refuse_key */
} table[RT_CLASSES] = {
    [RT_CLASS_OK] = {REPLY, 0},
    [RT_CLASS_RETRY_LATER] = {LINKS | TO_CLIENT | REPLY, RT_KEY_DELAY | RT_KEY_LIMIT},
    [RT_CLASS_MOVED] = {TO_CLIENT, RT_KEY_WHERE | RT_KEY_LIFE | RT_KEY_EPOCH},
    [RT_CLASS_STALE] = {LINK_GUEST, RT_KEY_LIFE | RT_KEY_EPOCH},
    [RT_CLASS_REWOUND] = {LINK_GUEST | GUEST | CLIENT, RT_KEY_AT},
    [RT_CLASS_FORKED] = {LINK_GUEST, 0},
    [RT_CLASS_SUPERSEDED] = {LINK_GUEST, 0},
    [RT_CLASS_BAD_AUTH] = {LINKS, 0},
    [RT_CLASS_NOT_FOUND] = {TO_CLIENT | REPLY, 0},
    [RT_CLASS_ENDED] = {TO_CLIENT, RT_KEY_END},
    [RT_CLASS_UNKNOWN_ATTACHMENT] = {GUEST, RT_KEY_LIFE | RT_KEY_AT},
    [RT_CLASS_STOLEN] = {GUEST, RT_KEY_TRY},
    [RT_CLASS_VERSION] = {LINKS, 0},
    [RT_CLASS_LIMIT] = {LINKS | CHANNELS | REPLY, RT_KEY_LIMIT},
    [RT_CLASS_PROTOCOL] = {LINKS | CHANNELS, 0},
    [RT_CLASS_LOST] = {LINKS | CHANNELS, 0},
    [RT_CLASS_JUMP] = {CHANNELS, 0},
    [RT_CLASS_DENIED] = {LINKS | TO_CLIENT | REPLY, 0},
    [RT_CLASS_INVALID] = {TO_CLIENT | GUEST | REPLY, 0},
    [RT_CLASS_AMBIGUOUS] = {TO_CLIENT | REPLY, 0},
};

bool rt_may_say(enum rt_say say, uint64_t cls)
{
    return cls < RT_CLASSES && (table[cls].who >> say & 1) != 0;
}

unsigned rt_refuse_keys(uint64_t cls)
{
    return cls < RT_CLASSES ? table[cls].keys : 0;
}

void rt_refuse_trim(struct rt_refuse_msg *refuse)
{
    unsigned keys = rt_refuse_keys(refuse->c);

    if ((keys & RT_KEY_DELAY) == 0) {
        refuse->delay = 0;
    }
    if ((keys & RT_KEY_WHERE) == 0) {
        refuse->host.size = 0;
        refuse->n_addr = 0;
    }
    if ((keys & RT_KEY_LIFE) == 0) {
        refuse->life = 0;
    }
    if ((keys & RT_KEY_EPOCH) == 0) {
        refuse->epoch = 0;
    }
    if ((keys & RT_KEY_END) == 0) {
        refuse->code = refuse->sig = 0;
    }
    if ((keys & RT_KEY_LIMIT) == 0) {
        refuse->which.size = 0;
        refuse->max = 0;
    }
    refuse->drop = false; /* of a link's claim */
    if ((keys & RT_KEY_AT) == 0) {
        refuse->s = refuse->at = refuse->got = 0;
    }
    if ((keys & RT_KEY_TRY) == 0) {
        refuse->try_no = 0;
    }
}
