/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/timer.h"

#include <stddef.h>

static struct rt_timer *merge(struct rt_timer *a, struct rt_timer *b)
{
    struct rt_timer *top = a, *under = b;

    if (a == NULL || b == NULL) {
        return a == NULL ? b : a;
    }
    if (b->at < a->at) {
        top = b;
        under = a;
    }
    under->prev = top;
    under->next = top->child;
    if (top->child != NULL) {
        top->child->prev = under;
    }
    top->child = under;
    top->next = NULL;
    top->prev = NULL;
    return top;
}

/* Two passes: pairs from the left, then all of them from the right. */
static struct rt_timer *merge_siblings(struct rt_timer *first)
{
    struct rt_timer *pairs = NULL, *all = NULL;

    while (first != NULL) {
        struct rt_timer *a = first, *b = first->next;
        first = b == NULL ? NULL : b->next;
        a->next = a->prev = NULL;
        if (b != NULL) {
            b->next = b->prev = NULL;
        }
        a = merge(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs != NULL) {
        struct rt_timer *next = pairs->next;
        pairs->next = NULL;
        all = merge(all, pairs);
        pairs = next;
    }
    return all;
}

void rt_timer_clear(struct rt_timers *timers, struct rt_timer *timer)
{
    struct rt_timer *rest;

    if (!timer->set) {
        return;
    }
    rest = merge_siblings(timer->child);
    if (timers->root == timer) {
        timers->root = rest;
    } else {
        if (timer->prev->child == timer) {
            timer->prev->child = timer->next;
        } else {
            timer->prev->next = timer->next;
        }
        if (timer->next != NULL) {
            timer->next->prev = timer->prev;
        }
        timers->root = merge(timers->root, rest);
    }
    timer->child = timer->next = timer->prev = NULL;
    timer->set = false;
}

void rt_timer_set(struct rt_timers *timers, struct rt_timer *timer, uint64_t at)
{
    if (timer->set && timer->at == at) {
        return;
    }
    rt_timer_clear(timers, timer);
    timer->at = at;
    timer->set = true;
    timer->child = timer->next = timer->prev = NULL;
    timers->root = merge(timers->root, timer);
}

struct rt_timer *rt_timer_due(struct rt_timers *timers, uint64_t now)
{
    struct rt_timer *timer = timers->root;

    if (timer == NULL || timer->at > now) {
        return NULL;
    }
    rt_timer_clear(timers, timer);
    return timer;
}
