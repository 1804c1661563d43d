/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_TIMER_H
#define RETETHER_BROKER_CORE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

/* Timers in a pairing heap: embedded, so that setting one cannot fail; the earliest is found in O(1), set and cleared
 * in O(log n) amortized. */
struct ag_timer {
    struct ag_timer *child, *next, *prev; /* prev: the left sibling, or the parent of a first child */
    uint64_t at;                          /* ms; meaningful while set */
    bool set;
    uint8_t kind; /* the owner's */
};

struct ag_timers {
    struct ag_timer *root;
};

void rt_ag_timer_set(struct ag_timers *timers, struct ag_timer *timer, uint64_t at);
void rt_ag_timer_clear(struct ag_timers *timers, struct ag_timer *timer);
/* Takes out the earliest timer if it is due, else NULL. */
struct ag_timer *rt_ag_timer_due(struct ag_timers *timers, uint64_t now);

#endif
