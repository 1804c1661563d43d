/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_CLIENT_MACHINE_H
#define RETETHER_SESSION_CORE_CLIENT_MACHINE_H

#include "session/base/list.h"
#include "session/base/slice.h"
#include "session/base/timer.h"
#include "session/core/client.h"
#include "session/core/client_link.h"

#include <stddef.h>
#include <stdint.h>

/* The client machine's own structure, shared by the client*.c files only, from the ground up: client_link.c (agents and
 * the links to them), client_att.c (where an attachment asks), client_request.c, client_tx.c and client_rx.c (streams),
 * client_bind.c (ATTACH and ATTACHED), client_refuse.c (what refusals mean), client_event.c (what the application
 * sees), client_input.c (what it sends), client_frames.c (frames of a link), client.c (lives and deadlines). */

#define RT_CLIENT_HASH 1024      /* buckets of (link, channel); longer chains beyond */
#define RT_CLIENT_ALT_MS 200     /* an agent that is still being dialled after this is not waited for alone */
#define RT_BACKOFF_FREE_MS 40    /* up to this wait, rt_catt_again_elsewhere() does not wait */
#define RT_CLIENT_STABLE_MS 1000 /* what lasted this long starts its back-off anew */
#define RT_NO_SLOT (-1)

enum rt_client_timer { RT_CLIENT_TIMER_ATT, RT_CLIENT_TIMER_REQUEST };

struct rt_catt;

struct rt_client {
    struct rt_client_config config;
    uint64_t now, random;
    struct rt_timers timers; /* of attachments and requests, each never later than its owner's deadline */
    struct rt_clink links[RT_CLIENT_AGENTS_MAX];
    int n_links;   /* slots from here on have never named an agent */
    uint64_t gone; /* bit per slot: its link went down, and who asked there has not been told */
    struct rt_list atts, requests;
    struct rt_list ready; /* attachments that may have something to tell, in the order in which they got it */
    size_t n_atts, n_requests;
    uint64_t request_id;
    unsigned request_turn;
    struct rt_catt *hash[RT_CLIENT_HASH];
};

static inline void rt_client_at(struct rt_client *client, uint64_t now)
{
    if (now > client->now) {
        client->now = now;
    }
}

/* Makes *slot name another agent (or RT_NO_SLOT) and counts. */
void rt_client_refer(struct rt_client *client, int *slot, int to);
/* The slot of an agent by host name or address, made if need be; RT_NO_SLOT when there is no room. */
int rt_client_learn(struct rt_client *client, struct rt_slice host, const struct rt_slice *addr, size_t n_addr);
/* A slot that is not live, for somebody who needs any agent: the one that may be dialled first. */
int rt_client_candidate(const struct rt_client *client, int except, unsigned turn);

#endif
