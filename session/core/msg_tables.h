/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_MSG_TABLES_H
#define RETETHER_SESSION_CORE_MSG_TABLES_H

#include "session/core/msg.h"

/* The keys of protocol.md sections 2, 5 and 7, one table per struct of msg.h, in the order in which an encoder writes
 * them. Private to the codec. */

enum rt_field_kind {
    RT_FIELD_INT,    /* uint64_t from `min` (where it must be there) to below `max` */
    RT_FIELD_DIGEST, /* uint64_t, all of it */
    RT_FIELD_BOOL,   /* bool */
    RT_FIELD_STR,    /* struct rt_slice, `min` to `max` bytes */
    RT_FIELD_BIN,    /* the same */
    RT_FIELD_RUNS,   /* the same: an order (order.h) of two tails */
    RT_FIELD_INTS,   /* uint64_t[max] below RT_COUNTER_MAX and a size_t count, `min` to `max` elements */
    RT_FIELD_STRS,   /* struct rt_slice[max] and a count; each at most `text_max` bytes */
    RT_FIELD_BINS,   /* the same */
    RT_FIELD_MAPS,   /* a struct of `sub` [max] and a count */
};

/* rt_msg_field.need: never, always, or (above RT_NEED_ALWAYS) RT_NEED_ITEM(t): for items of that `t`. */
#define RT_NEED_NEVER 0
#define RT_NEED_ALWAYS 1
#define RT_NEED_ITEM(t) ((t) + RT_NEED_ALWAYS)

struct rt_msg_field {
    const char *key;
    uint8_t kind; /* enum rt_field_kind */
    uint8_t need;
    uint32_t offset, count_offset; /* in the struct */
    uint64_t min, max;
    uint32_t text_max; /* bytes */
    const struct rt_msg_table *sub;
};

/* Of two members of a message the first is never above the second: uint64_t, or `count` of them each. */
struct rt_msg_order {
    const char *low_key, *high_key;
    uint16_t low, high; /* in the struct */
    uint16_t count;
};

struct rt_msg_table {
    const char *name;
    size_t struct_size;
    size_t size_max; /* bytes on the wire */
    const struct rt_msg_field *fields;
    size_t n_fields; /* at most RT_MSG_FIELDS_MAX */
    const struct rt_msg_order *orders;
    size_t n_orders;
};

/* A table's fields fit the bits of a word. */
#define RT_MSG_FIELDS_MAX 32

/* NULL for what is no kind. */
const struct rt_msg_table *rt_msg_table(enum rt_msg_kind kind);

#endif
