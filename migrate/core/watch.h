/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_CORE_WATCH_H
#define RETETHER_MIGRATE_CORE_WATCH_H

#include "migrate/core/ticket.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether another host's agent lives, as one agent judges it. Each agent raises the sequence of its own row in the
 * registry once a second. A *look* is that row, read by its name, or that there is none. The judge compares looks, by
 * its own monotonic clock; the store's clock decides nothing, and neither does a host's absence from some list.
 *
 *     UNKNOWN --first look--> WATCHING --another sequence--> ALIVE
 *                                |  ^                          |
 *                 the same for   |  | the row is gone          | the same for the lease
 *                 the lease      v  |                          v
 *                               DEAD <-------------------------+
 *                                 \--another sequence--> ALIVE
 *
 * Waiting states: WATCHING and ALIVE, for a look that was asked for a lease after the first one that saw the same. Only
 * the time counts in which the judge itself was in touch with the store: while it was not, others were not either. So a
 * dead host is WATCHING again once that touch was broken. */

/* Between two heartbeats; a row that stood still for the second is dead. */
#define RT_HEARTBEAT_MS 1000
#define RT_HEARTBEAT_EXPIRY_MS 5000
/* A heartbeat of the judge's own that is answered so long after the one before says that the store, or the judge, was
 * away: what stood still until then proves nothing. */
#define RT_TOUCH_LATE_MS (2 * RT_HEARTBEAT_MS + RT_HEARTBEAT_MS / 2)

/* The judge's own touch with the store. Zeros: none. */
struct rt_touch {
    bool on;
    uint64_t since; /* without a break */
    uint64_t last;  /* the newest answer to a heartbeat of its own */
};

/* A heartbeat of the judge's own was answered at now. */
void rt_touch_beat(struct rt_touch *touch, uint64_t now);
/* The store is out of reach, or is another one. */
void rt_touch_break(struct rt_touch *touch);

enum rt_watch_state { RT_WATCH_UNKNOWN, RT_WATCH_WATCHING, RT_WATCH_ALIVE, RT_WATCH_DEAD };

/* What is known of one host's row. Zeros: nothing. */
struct rt_watch {
    enum rt_watch_state state;
    bool there; /* at the newest look there was a row: */
    struct rt_id instance;
    uint64_t seq;
    uint64_t since;  /* when it was first seen so */
    uint64_t looked; /* when the newest look was asked for */
};

struct rt_look {
    bool there;
    struct rt_id instance;
    uint64_t seq;
    uint64_t asked; /* when it was sent to the store: what stood there later is not known */
    bool notice;    /* told by the host itself, at this moment: a sign of life whatever was seen before */
};

void rt_watch_look(struct rt_watch *watch, const struct rt_touch *touch, const struct rt_look *look, uint64_t now);
/* Dead, by a look that is young enough to act on it. */
bool rt_watch_dead(const struct rt_watch *watch, const struct rt_touch *touch, uint64_t now);

#endif
