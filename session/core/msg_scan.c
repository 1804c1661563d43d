/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/msg_scan.h"

#include "session/base/text.h"
#include "session/core/frame.h"
#include "session/core/protocol.h"

#include <assert.h>
#include <string.h>

#define KEYS_MAX (RT_MSG_NODES_MAX / 2)

/* A key that was seen. Small, because KEYS_MAX of them lie on the stack. */
struct seen_key {
    uint32_t at; /* bytes from the start of the payload */
    uint32_t size;
    uint16_t map; /* number of the map it belongs to */
};

struct level {
    uint32_t left; /* nodes still to come; in a map the next one is a key when this is even */
    uint16_t map;  /* the map's number, 0 for an array */
};

struct scan {
    const uint8_t *data;
    size_t depth, nodes, keys;
    uint16_t maps;
    struct level levels[RT_MSG_DEPTH_MAX];
    struct seen_key seen[KEYS_MAX];
};

bool rt_utf8_valid(const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        uint32_t point;
        at += rt_text_char(data + at, size - at, &point);
        if (point == RT_TEXT_BAD) {
            return false;
        }
    }
    return true;
}

/* Takes a big-endian integer of `bytes` bytes. */
static bool take_uint(struct rt_cursor *cursor, size_t bytes, uint64_t *value)
{
    if (bytes > (size_t)(cursor->end - cursor->at)) {
        return false;
    }
    *value = 0;
    for (size_t i = 0; i < bytes; i++) {
        *value = *value << 8 | *cursor->at++;
    }
    return true;
}

/* Takes a node's body: bytes, or the promise of nodes of at least one byte each. */
static const char *take_body(struct rt_cursor *cursor, struct rt_node *node, enum rt_node_type type, uint64_t count)
{
    size_t left = (size_t)(cursor->end - cursor->at);
    node->type = type;
    node->value = count;
    if (type == RT_NODE_ARRAY || type == RT_NODE_MAP) {
        return count > (type == RT_NODE_MAP ? left / 2 : left) ? "a count beyond the bytes that follow" : NULL;
    }
    if (count > left) {
        return "a size beyond the bytes that follow";
    }
    node->data = cursor->at;
    cursor->at += count;
    return NULL;
}

/* The forms whose first byte is followed by a number of 1, 2, 4 or 8 bytes. */
static const struct {
    uint8_t type;
    uint8_t bytes; /* of the number; 0: a form without one, or none at all */
    uint8_t is_signed;
} forms[] = {
    /* from 0xc4 */
    {RT_NODE_BIN, 1, 0},   {RT_NODE_BIN, 2, 0},   {RT_NODE_BIN, 4, 0},   {RT_NODE_EXT, 1, 0},  {RT_NODE_EXT, 2, 0},
    {RT_NODE_EXT, 4, 0},   {RT_NODE_FLOAT, 4, 0}, {RT_NODE_FLOAT, 8, 0}, {RT_NODE_UINT, 1, 0}, {RT_NODE_UINT, 2, 0},
    {RT_NODE_UINT, 4, 0},  {RT_NODE_UINT, 8, 0},  {RT_NODE_UINT, 1, 1},  {RT_NODE_UINT, 2, 1}, {RT_NODE_UINT, 4, 1},
    {RT_NODE_UINT, 8, 1},  {RT_NODE_EXT, 0, 0},   {RT_NODE_EXT, 0, 0},   {RT_NODE_EXT, 0, 0},  {RT_NODE_EXT, 0, 0},
    {RT_NODE_EXT, 0, 0},   {RT_NODE_STR, 1, 0},   {RT_NODE_STR, 2, 0},   {RT_NODE_STR, 4, 0},  {RT_NODE_ARRAY, 2, 0},
    {RT_NODE_ARRAY, 4, 0}, {RT_NODE_MAP, 2, 0},   {RT_NODE_MAP, 4, 0},
};

static const char *take_form(struct rt_cursor *cursor, struct rt_node *node, uint8_t lead)
{
    size_t form = lead - (size_t)0xc4;
    enum rt_node_type type = (enum rt_node_type)forms[form].type;
    size_t bytes = forms[form].bytes;
    uint64_t number;
    if (!take_uint(cursor, bytes, &number)) {
        return "the payload ends within a value";
    }
    if (type == RT_NODE_UINT || type == RT_NODE_FLOAT) {
        bool negative = forms[form].is_signed && bytes > 0 && (number >> (8 * bytes - 1) & 1) != 0;
        node->type = negative ? RT_NODE_NEGATIVE : type;
        node->value = number;
        return NULL;
    }
    if (type == RT_NODE_EXT) {
        /* fixext 1, 2, 4, 8, 16; one byte more than its data, for its type */
        uint64_t data_size = bytes == 0 ? UINT64_C(1) << (lead - 0xd4) : number;
        return take_body(cursor, node, type, data_size + 1);
    }
    return take_body(cursor, node, type, number);
}

const char *rt_node_next(struct rt_cursor *cursor, struct rt_node *node)
{
    if (cursor->at == cursor->end) {
        return "the payload ends too early";
    }
    uint8_t lead = *cursor->at++;
    *node = (struct rt_node){.type = RT_NODE_NIL};
    if (lead <= 0x7f) {
        node->type = RT_NODE_UINT;
        node->value = lead;
        return NULL;
    }
    if (lead <= 0x8f) {
        return take_body(cursor, node, RT_NODE_MAP, lead & 0x0f);
    }
    if (lead <= 0x9f) {
        return take_body(cursor, node, RT_NODE_ARRAY, lead & 0x0f);
    }
    if (lead <= 0xbf) {
        return take_body(cursor, node, RT_NODE_STR, lead & 0x1f);
    }
    if (lead >= 0xe0) {
        node->type = RT_NODE_NEGATIVE;
        return NULL;
    }
    if (lead >= 0xc4) {
        return take_form(cursor, node, lead);
    }
    if (lead == 0xc1) {
        return "0xc1, which msgpack never uses";
    }
    if (lead != 0xc0) {
        node->type = RT_NODE_BOOL;
        node->value = lead & 1;
    }
    return NULL;
}

void rt_node_skip(struct rt_cursor *cursor)
{
    uint64_t left = 1;
    while (left > 0) {
        struct rt_node node;
        const char *fault = rt_node_next(cursor, &node);
        assert(fault == NULL); /* rt_msg_scan has read the same bytes */
        (void)fault;
        left--;
        if (node.type == RT_NODE_ARRAY) {
            left += node.value;
        } else if (node.type == RT_NODE_MAP) {
            left += 2 * node.value;
        }
    }
}

/* Accounts for a node in its parent: its key if it is one, and the end of the parents that it completes. */
static const char *scan_place(struct scan *scan, const struct rt_node *node)
{
    if (scan->depth == 0) {
        return node->type == RT_NODE_MAP ? NULL : "not a map";
    }
    struct level *level = &scan->levels[scan->depth - 1];
    bool key = level->map != 0 && level->left % 2 == 0;
    level->left--;
    if (!key) {
        return NULL;
    }
    if (node->type != RT_NODE_STR) {
        return "a key that is not text";
    }
    scan->seen[scan->keys++] = (struct seen_key){
        .at = (uint32_t)(node->data - scan->data),
        .size = (uint32_t)node->value,
        .map = level->map,
    };
    return NULL;
}

static const char *scan_node(struct scan *scan, struct rt_cursor *cursor)
{
    struct rt_node node;
    const char *fault = rt_node_next(cursor, &node);
    if (fault != NULL) {
        return fault;
    }
    if (++scan->nodes > RT_MSG_NODES_MAX) {
        return "over 4096 nodes";
    }
    fault = scan_place(scan, &node);
    if (fault != NULL) {
        return fault;
    }
    if (node.type == RT_NODE_STR && !rt_utf8_valid(node.data, (size_t)node.value)) {
        return "text that is not valid UTF-8";
    }
    if (node.type == RT_NODE_ARRAY || node.type == RT_NODE_MAP) {
        if (scan->depth == RT_MSG_DEPTH_MAX) {
            return "nested deeper than 8";
        }
        bool map = node.type == RT_NODE_MAP;
        scan->levels[scan->depth++] = (struct level){
            .left = (uint32_t)(map ? 2 * node.value : node.value),
            .map = map ? ++scan->maps : 0,
        };
    }
    while (scan->depth > 0 && scan->levels[scan->depth - 1].left == 0) {
        scan->depth--;
    }
    return NULL;
}

static int compare_keys(const struct scan *scan, const struct seen_key *a, const struct seen_key *b)
{
    if (a->map != b->map) {
        return a->map < b->map ? -1 : 1;
    }
    if (a->size != b->size) {
        return a->size < b->size ? -1 : 1;
    }
    return memcmp(scan->data + a->at, scan->data + b->at, a->size);
}

/* Sorts the keys (shell sort: n^1.5 at worst whatever a peer sends, and no allocation as in qsort) and returns one that
 * occurs twice in its map, or NULL. */
static const struct seen_key *find_duplicate(struct scan *scan)
{
    size_t gap = 1;
    while (gap < scan->keys / 3) {
        gap = 3 * gap + 1;
    }
    for (; gap > 0; gap /= 3) {
        for (size_t i = gap; i < scan->keys; i++) {
            struct seen_key key = scan->seen[i];
            size_t j = i;
            for (; j >= gap && compare_keys(scan, &key, &scan->seen[j - gap]) < 0; j -= gap) {
                scan->seen[j] = scan->seen[j - gap];
            }
            scan->seen[j] = key;
        }
    }
    for (size_t i = 1; i < scan->keys; i++) {
        if (compare_keys(scan, &scan->seen[i - 1], &scan->seen[i]) == 0) {
            return &scan->seen[i];
        }
    }
    return NULL;
}

int rt_msg_scan(const uint8_t *data, size_t size, struct rt_scan_fault *fault)
{
    assert(size <= RT_EXEC_MAX);
    struct rt_cursor cursor = {.at = data, .end = data + size};
    struct scan scan;
    scan.data = data;
    scan.depth = scan.nodes = scan.keys = 0;
    scan.maps = 0;
    do {
        fault->at = (size_t)(cursor.at - data);
        fault->what = scan_node(&scan, &cursor);
        if (fault->what != NULL) {
            return RT_EPROTO;
        }
    } while (scan.depth > 0);
    if (cursor.at != cursor.end) {
        *fault = (struct rt_scan_fault){.what = "trailing bytes", .at = (size_t)(cursor.at - data)};
        return RT_EPROTO;
    }
    const struct seen_key *twice = find_duplicate(&scan);
    if (twice != NULL) {
        *fault = (struct rt_scan_fault){.what = "a duplicate key", .at = twice->at};
        return RT_EPROTO;
    }
    return 0;
}
