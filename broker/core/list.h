/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_LIST_H
#define RETETHER_BROKER_CORE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* A circular list of embedded nodes. A node that is in no list has next NULL. */
struct ag_list {
    struct ag_list *next, *prev;
};

#define ag_of(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void ag_list_init(struct ag_list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool ag_list_empty(const struct ag_list *list)
{
    return list->next == list;
}

static inline bool ag_listed(const struct ag_list *node)
{
    return node->next != NULL;
}

static inline void ag_list_push(struct ag_list *list, struct ag_list *node)
{
    node->next = list;
    node->prev = list->prev;
    list->prev->next = node;
    list->prev = node;
}

static inline void ag_list_remove(struct ag_list *node)
{
    if (node->next != NULL) {
        node->next->prev = node->prev;
        node->prev->next = node->next;
        node->next = NULL;
        node->prev = NULL;
    }
}

/* The first node, taken out, or NULL. */
static inline struct ag_list *ag_list_pop(struct ag_list *list)
{
    struct ag_list *node = list->next;

    if (node == list) {
        return NULL;
    }
    ag_list_remove(node);
    return node;
}

#endif
