/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_PINGS_H
#define RETETHER_SESSION_CORE_PINGS_H

#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The pings of one link that wait for their PONG. Each has a token that no other ping of the link has, so a PONG says
 * which ping the peer has read: that it lives, or lived, since that one was sent. A PONG with another token answers
 * nothing and is ignored; it is no sign of life either. */

/* As many as a link sends before it is given up as silent; one more makes the oldest unknown. */
#define RT_PINGS_WAITING_MAX (RT_PINGS_MISSED_MAX - 1)

struct rt_pings {
    uint64_t token[RT_PINGS_WAITING_MAX]; /* oldest first */
    unsigned n;
};

void rt_pings_clear(struct rt_pings *pings);
void rt_pings_sent(struct rt_pings *pings, uint64_t token);
/* Whether a PONG of this token answers one; that ping and those before it wait no more. */
bool rt_pings_answered(struct rt_pings *pings, uint64_t token);

#endif
