/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_LIST_H
#define RETETHER_SESSION_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* A circular list of embedded nodes. Its head is a node too, and is initialised. A node that is in no list has next
 * NULL: zeroed memory is such a node. */
struct rt_list {
    struct rt_list *next, *prev;
};

#define RT_LIST_OF(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void rt_list_init(struct rt_list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool rt_list_empty(const struct rt_list *list)
{
    return list->next == list;
}

static inline bool rt_listed(const struct rt_list *node)
{
    return node->next != NULL;
}

/* At the end, unless the node is in a list already. */
static inline void rt_list_push(struct rt_list *list, struct rt_list *node)
{
    if (node->next == NULL) {
        node->next = list;
        node->prev = list->prev;
        list->prev->next = node;
        list->prev = node;
    }
}

static inline void rt_list_remove(struct rt_list *node)
{
    if (node->next != NULL) {
        node->next->prev = node->prev;
        node->prev->next = node->next;
        node->next = NULL;
        node->prev = NULL;
    }
}

/* The first node, taken out, or NULL. */
static inline struct rt_list *rt_list_pop(struct rt_list *list)
{
    struct rt_list *node = list->next;

    if (node == list) {
        return NULL;
    }
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): who frees a node has taken it out of its list */
    rt_list_remove(node);
    return node;
}

#endif
