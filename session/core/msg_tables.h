/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_MSG_TABLES_H
#define RETETHER_SESSION_CORE_MSG_TABLES_H

#include "session/core/msg.h"

#include <stdbool.h>

/* The keys of protocol.md sections 2, 5 and 7, one table per struct of msg.h, in the order in which an encoder writes
 * them. Private to the codec. */

/* What a value is in its struct, and what bounds it. */
enum rt_field_kind {
    RT_FIELD_INT,  /* uint64_t from `min` (where it must be there) to below `max`; 0: all 64 bits */
    RT_FIELD_BOOL, /* bool */
    RT_FIELD_STR,  /* struct rt_slice, `min` to `max` bytes */
    RT_FIELD_BIN,  /* the same */
    RT_FIELD_RUNS, /* the same: an order (order.h) of two tails */
    RT_FIELD_MAP,  /* the struct of `sub`: elements of arrays only */
};

/* rt_msg_field.need: never, always, or (above RT_NEED_ALWAYS) RT_NEED_ITEM(t): for items of that `t`. */
#define RT_NEED_NEVER 0
#define RT_NEED_ALWAYS 1
#define RT_NEED_ITEM(t) ((t) + RT_NEED_ALWAYS)

struct rt_msg_field {
    const char *key;
    enum rt_field_kind kind;
    uint8_t need;
    bool array;                    /* of up to `max` such values, `min` at least, and a size_t count */
    uint32_t offset, count_offset; /* in the struct */
    uint64_t min, max;
    uint64_t each; /* an array's elements have 0 as their `min`, and this as their `max` */
    const struct rt_msg_table *sub;
};

struct rt_msg_table {
    const char *name;
    size_t struct_size;
    size_t size_max; /* bytes on the wire */
    const struct rt_msg_field *fields;
    size_t n_fields; /* at most RT_MSG_FIELDS_MAX */
    /* Of two members the first is never above the second: n_ordered numbers each, 0 where there is no such pair. */
    const char *low_key, *high_key;
    uint16_t low, high; /* in the struct */
    uint16_t n_ordered;
};

/* A table's fields fit the bits of a word. */
#define RT_MSG_FIELDS_MAX 32

/* NULL for what is no kind. */
const struct rt_msg_table *rt_msg_table(enum rt_msg_kind kind);

#endif
