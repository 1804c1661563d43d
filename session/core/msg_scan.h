/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_MSG_SCAN_H
#define RETETHER_SESSION_CORE_MSG_SCAN_H

#include "session/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reading msgpack (the spec at github.com/msgpack/msgpack) from bytes that nobody vouches for, without allocating: a
 * cursor over its nodes, and the check that a payload passes before anything in it is looked at. Private to the codec.
 */

enum rt_node_type {
    RT_NODE_NIL,
    RT_NODE_BOOL,
    RT_NODE_UINT,     /* zero and above, however it was encoded */
    RT_NODE_NEGATIVE, /* an integer below zero */
    RT_NODE_FLOAT,
    RT_NODE_STR,
    RT_NODE_BIN,
    RT_NODE_EXT,
    RT_NODE_ARRAY,
    RT_NODE_MAP,
};

struct rt_node {
    enum rt_node_type type;
    uint64_t value;      /* BOOL, UINT: itself; STR, BIN, EXT: bytes; ARRAY: elements; MAP: pairs */
    const uint8_t *data; /* STR, BIN, EXT: the bytes; not owned */
};

struct rt_cursor {
    const uint8_t *at;
    const uint8_t *end;
};

struct rt_scan_fault {
    const char *what; /* a static text */
    size_t at;        /* the byte where it was seen */
};

/* Reads the node at the cursor and steps behind it (behind the head of an array or map). Returns NULL, or a static text
 * that says what is wrong: no byte past `end` is read, and a count or size never exceeds the bytes left. */
const char *rt_node_next(struct rt_cursor *cursor, struct rt_node *node);

/* Steps over one node and all it holds. Only on bytes that have passed rt_msg_scan. */
void rt_node_skip(struct rt_cursor *cursor);

/* Whether the bytes are exactly one map with text keys, no key twice in a map, valid UTF-8, at most RT_MSG_DEPTH_MAX
 * arrays and maps within each other (the payload's own map is the first) and RT_MSG_NODES_MAX nodes (each array, map,
 * key and value is one). size <= RT_EXEC_MAX. Returns 0 or RT_EPROTO with `fault`. */
RT_MUST_CHECK int rt_msg_scan(const uint8_t *data, size_t size, struct rt_scan_fault *fault);

bool rt_utf8_valid(const uint8_t *data, size_t size);

#endif
