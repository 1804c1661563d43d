/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_CLIST_H
#define RETETHER_SESSION_CORE_CLIST_H

#include <stdbool.h>
#include <stddef.h>

struct rt_clist { /* a ring of nodes; a node that is in no list points to itself */
    struct rt_clist *prev, *next;
};

#define RT_CLIST_OF(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void rt_clist_init(struct rt_clist *node)
{
    node->prev = node;
    node->next = node;
}

static inline bool rt_clist_empty(const struct rt_clist *node)
{
    return node->next == node;
}

static inline void rt_clist_remove(struct rt_clist *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    rt_clist_init(node);
}

/* At the end, unless it is in a list already. */
static inline void rt_clist_add(struct rt_clist *list, struct rt_clist *node)
{
    if (!rt_clist_empty(node))
        return;
    node->prev = list->prev;
    node->next = list;
    list->prev->next = node;
    list->prev = node;
}

#endif
