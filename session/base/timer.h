/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_TIMER_H
#define RETETHER_SESSION_BASE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A time that does not come: of deadlines, and of what has not happened. */
#define RT_NEVER UINT64_MAX

/* Timers in a pairing heap: embedded, so that setting one cannot fail; the earliest is found in O(1), set and cleared
 * in O(log n) amortized. */
struct rt_timer {
    struct rt_timer *child, *next, *prev; /* prev: the left sibling, or the parent of a first child */
    uint64_t at;                          /* ms; meaningful while set */
    bool set;
    uint8_t kind; /* the owner's */
};

struct rt_timers {
    struct rt_timer *root;
};

void rt_timer_set(struct rt_timers *timers, struct rt_timer *timer, uint64_t at);
void rt_timer_clear(struct rt_timers *timers, struct rt_timer *timer);
/* When the earliest is due; RT_NEVER: none is set. */
static inline uint64_t rt_timers_at(const struct rt_timers *timers)
{
    return timers->root != NULL ? timers->root->at : RT_NEVER;
}
/* Takes out the earliest timer if it is due, else NULL. */
struct rt_timer *rt_timer_due(struct rt_timers *timers, uint64_t now);

#endif
