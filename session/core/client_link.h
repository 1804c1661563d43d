/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_CLIENT_LINK_H
#define RETETHER_SESSION_CORE_CLIENT_LINK_H

#include "session/base/list.h"
#include "session/core/pings.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An agent and the link to it. */

#define RT_CLIENT_IDLE_MS 60000 /* an unused link is closed after this */

struct rt_client;

/*  DOWN --DIAL--> DIALING --connected--> HELLO --WELCOME--> LIVE --another link is silent--> SUSPECT
 *   ^                |                     |                 | ^                               |  |
 *   +------lost------+----lost, hung up----+-----------------+ +-------anything comes----------+  |
 *   +---------------------------------------------------------------------------------------------+
 *
 *  SUSPECT: live, but pinged as a busy one and not asked. Waiting: DOWN (retry_at), DIALING (the shell's dial), HELLO
 *  (RT_HANDSHAKE_TIMEOUT_MS), LIVE and SUSPECT (pings, idle). */
enum rt_clink_state { RT_CLINK_DOWN, RT_CLINK_DIALING, RT_CLINK_HELLO, RT_CLINK_LIVE, RT_CLINK_SUSPECT };

/* What the link is still to be told. */
enum rt_clink_due { RT_CLINK_DUE_HELLO = 1, RT_CLINK_DUE_PING = 2, RT_CLINK_DUE_PONG = 4 };

struct rt_closing { /* a channel's end that is still to be told */
    uint32_t channel;
    uint8_t type; /* RT_DETACH or RT_REFUSE */
    uint64_t cls;
};

struct rt_clink { /* an agent known (n_addr > 0) and the link to it */
    enum rt_clink_state state;
    uint64_t since; /* of the state; of both live ones */
    char addr[RT_ADDRS_MAX][RT_ADDR_MAX + 1];
    size_t n_addr;
    size_t addr_turn;             /* which is dialled next, modulo n_addr */
    bool configured;              /* addr[0] was given by the application */
    char host[RT_HOST_MAX + 1];   /* "" until it is known */
    bool guessed;                 /* dialled at addr[0] as given, where `host` was before */
    char proved[RT_HOST_MAX + 1]; /* of which host the far end has shown a certificate, or "" */
    bool drains;                  /* its host is to be left: others are asked rather */
    bool disproved;               /* with the HANGUP: WELCOME has named another one */
    unsigned refs;                /* attachments and requests that name this slot */
    uint64_t unused_since;        /* valid while refs is 0 */

    uint64_t retry_at, backoff;
    unsigned failures; /* since the last WELCOME; a lost LIVE link counts as one */
    uint64_t refused;  /* enum rt_class of a final refusal of the link, 0 none */
    char refused_text[RT_TEXT_MAX + 1];
    const char *hangup; /* HANGUP to be told to the shell */

    uint64_t ping_at, pong_token;
    struct rt_pings pinged;
    unsigned missed;
    unsigned due; /* bits of enum rt_clink_due */
    uint32_t next_channel;
    size_t channels;             /* attachments asked or live here */
    struct rt_closing *closings; /* owned; room for n_closings + channels is kept */
    size_t n_closings, cap_closings;
    struct rt_list control, data; /* attachments with something to write, in turn */
};

/* LIVE or SUSPECT. */
static inline bool rt_clink_live(const struct rt_clink *link)
{
    return link->state >= RT_CLINK_LIVE;
}

/* Asserts that the drawing above has this way. */
void rt_clink_move(struct rt_client *client, struct rt_clink *link, enum rt_clink_state to);

/* The link ends here; its attachments seek and its requests go elsewhere when the call that came from outside ends.
 * hangup: why, when the shell must close it. */
void rt_clink_down(struct rt_client *client, int slot, const char *hangup);
uint64_t rt_clink_interval(const struct rt_clink *link);
/* As rt_client_input(). */
size_t rt_clink_input(struct rt_client *client, int slot, const uint8_t *data, size_t size);

#endif
