/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/msg.h"

#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg_scan.h"
#include "session/core/msg_tables.h"
#include "session/core/order.h"
#include "session/core/protocol.h"

#include <assert.h>
#include <msgpack/pack.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Maps within maps of our own tables: reply.recs[].hist[]. */
#define LEVELS_MAX 3
/* Bytes of a path and a text in an error: "reply.recs[31].hist[15].epoch: ...". */
#define PATH_SIZE 96

/* The struct's members, as the tables name them. */
static uint64_t *int_at(const void *msg, size_t offset)
{
    return (uint64_t *)((uintptr_t)msg + offset);
}

static bool *bool_at(const void *msg, size_t offset)
{
    return (bool *)((uintptr_t)msg + offset);
}

static struct rt_slice *slice_at(const void *msg, size_t offset)
{
    return (struct rt_slice *)((uintptr_t)msg + offset);
}

static size_t *count_at(const void *msg, size_t offset)
{
    return (size_t *)((uintptr_t)msg + offset);
}

static void *element_at(const void *msg, const struct rt_msg_field *field, size_t i)
{
    return (void *)((uintptr_t)msg + field->offset + i * field->sub->struct_size);
}

/* The first member of both item structs is their `t`. */
static bool needed(const struct rt_msg_field *field, const void *msg)
{
    return field->need == RT_NEED_ALWAYS ||
           (field->need > RT_NEED_ALWAYS && *int_at(msg, 0) == (uint64_t)(field->need - RT_NEED_ALWAYS));
}

/* Whether it is an order of two tails, whatever their size. */
static bool is_order(struct rt_slice packed)
{
    static const uint64_t most[2] = {RT_TAIL_MAX, RT_TAIL_MAX};
    return rt_order_unpack(packed, most, NULL) > 0;
}

/* --- encoding --- */

struct writer {
    msgpack_packer packer;
    uint8_t *buf;
    size_t cap, size; /* bytes */
    size_t nodes;
};

static int write_cb(void *data, const char *bytes, size_t size)
{
    struct writer *writer = data;
    if (size > writer->cap - writer->size) {
        return -1;
    }
    if (size > 0) {
        memcpy(writer->buf + writer->size, bytes, size);
    }
    writer->size += size;
    return 0;
}

static int write_int(struct writer *writer, uint64_t value, uint64_t min, uint64_t below)
{
    if (value < min || (below != 0 && value >= below)) {
        return RT_EINVAL;
    }
    writer->nodes++;
    return msgpack_pack_uint64(&writer->packer, value) == 0 ? 0 : RT_ELIMIT;
}

static int write_str(struct writer *writer, struct rt_slice text, uint64_t min, uint64_t max)
{
    if (text.size < min || text.size > max || !rt_utf8_valid(text.data, text.size)) {
        return RT_EINVAL;
    }
    writer->nodes++;
    return msgpack_pack_str(&writer->packer, text.size) == 0 &&
                   msgpack_pack_str_body(&writer->packer, text.data, text.size) == 0
               ? 0
               : RT_ELIMIT;
}

static int write_bin(struct writer *writer, struct rt_slice bin, uint64_t min, uint64_t max)
{
    if (bin.size < min || bin.size > max) {
        return RT_EINVAL;
    }
    writer->nodes++;
    return msgpack_pack_bin(&writer->packer, bin.size) == 0 &&
                   msgpack_pack_bin_body(&writer->packer, bin.data, bin.size) == 0
               ? 0
               : RT_ELIMIT;
}

static int write_map(struct writer *writer, const struct rt_msg_table *table, const void *msg);

static int write_array(struct writer *writer, const struct rt_msg_field *field, const void *msg)
{
    size_t count = *count_at(msg, field->count_offset);
    if (count < field->min || count > field->max) {
        return RT_EINVAL;
    }
    writer->nodes++;
    if (msgpack_pack_array(&writer->packer, count) != 0) {
        return RT_ELIMIT;
    }
    for (size_t i = 0; i < count; i++) {
        int rc;
        if (field->kind == RT_FIELD_INTS) {
            rc = write_int(writer, int_at(msg, field->offset)[i], 0, RT_COUNTER_MAX);
        } else if (field->kind == RT_FIELD_STRS) {
            rc = write_str(writer, slice_at(msg, field->offset)[i], 0, field->text_max);
        } else if (field->kind == RT_FIELD_BINS) {
            rc = write_bin(writer, slice_at(msg, field->offset)[i], 0, field->text_max);
        } else {
            rc = write_map(writer, field->sub, element_at(msg, field, i));
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int write_value(struct writer *writer, const struct rt_msg_field *field, const void *msg)
{
    switch ((enum rt_field_kind)field->kind) {
    case RT_FIELD_INT:
        return write_int(writer, *int_at(msg, field->offset), needed(field, msg) ? field->min : 0, field->max);
    case RT_FIELD_DIGEST:
        return write_int(writer, *int_at(msg, field->offset), 0, 0);
    case RT_FIELD_BOOL:
        writer->nodes++;
        return (*bool_at(msg, field->offset) ? msgpack_pack_true(&writer->packer)
                                             : msgpack_pack_false(&writer->packer)) == 0
                   ? 0
                   : RT_ELIMIT;
    case RT_FIELD_STR:
        return write_str(writer, *slice_at(msg, field->offset), field->min, field->max);
    case RT_FIELD_RUNS:
        return is_order(*slice_at(msg, field->offset))
                   ? write_bin(writer, *slice_at(msg, field->offset), field->min, field->max)
                   : RT_EINVAL;
    case RT_FIELD_BIN:
        return write_bin(writer, *slice_at(msg, field->offset), field->min, field->max);
    case RT_FIELD_INTS:
    case RT_FIELD_STRS:
    case RT_FIELD_BINS:
    case RT_FIELD_MAPS:
        return write_array(writer, field, msg);
    }
    return RT_EINVAL;
}

static bool is_empty(const struct rt_msg_field *field, const void *msg)
{
    switch ((enum rt_field_kind)field->kind) {
    case RT_FIELD_INT:
    case RT_FIELD_DIGEST:
        return *int_at(msg, field->offset) == 0;
    case RT_FIELD_BOOL:
        return !*bool_at(msg, field->offset);
    case RT_FIELD_STR:
    case RT_FIELD_BIN:
    case RT_FIELD_RUNS:
        return slice_at(msg, field->offset)->size == 0;
    case RT_FIELD_INTS:
    case RT_FIELD_STRS:
    case RT_FIELD_BINS:
    case RT_FIELD_MAPS:
        break;
    }
    return *count_at(msg, field->count_offset) == 0;
}

/* The first pair of members that is the wrong way round, and which of its numbers; NULL: none. */
static const struct rt_msg_order *disorder(const struct rt_msg_table *table, const void *msg, size_t *at)
{
    for (size_t i = 0; i < table->n_orders; i++) {
        const struct rt_msg_order *order = &table->orders[i];
        for (*at = 0; *at < order->count; ++*at) {
            if (int_at(msg, order->low)[*at] > int_at(msg, order->high)[*at]) {
                return order;
            }
        }
    }
    return NULL;
}

static int write_map(struct writer *writer, const struct rt_msg_table *table, const void *msg)
{
    size_t pairs = 0, at;
    if (disorder(table, msg, &at) != NULL) {
        return RT_EINVAL;
    }
    for (size_t i = 0; i < table->n_fields; i++) {
        pairs += needed(&table->fields[i], msg) || !is_empty(&table->fields[i], msg);
    }
    writer->nodes++;
    if (msgpack_pack_map(&writer->packer, pairs) != 0) {
        return RT_ELIMIT;
    }
    for (size_t i = 0; i < table->n_fields; i++) {
        const struct rt_msg_field *field = &table->fields[i];
        if (!needed(field, msg) && is_empty(field, msg)) {
            continue;
        }
        int rc = write_str(writer, rt_slice_text(field->key), 0, RT_TEXT_MAX);
        if (rc == 0) {
            rc = write_value(writer, field, msg);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int rt_msg_encode(enum rt_msg_kind kind, const void *msg, uint8_t *buf, size_t cap)
{
    const struct rt_msg_table *table = rt_msg_table(kind);
    if (table == NULL) {
        return RT_EINVAL;
    }
    struct writer writer = {.buf = buf, .cap = cap < table->size_max ? cap : table->size_max};
    msgpack_packer_init(&writer.packer, &writer, write_cb);
    int rc = write_map(&writer, table, msg);
    if (rc != 0) {
        return rc;
    }
    return writer.nodes > RT_MSG_NODES_MAX ? RT_ELIMIT : (int)writer.size;
}

/* --- decoding: the bytes have passed rt_msg_scan --- */

struct reader {
    struct rt_cursor cursor;
    /* Where we are, for errors: the message, then the arrays of maps or values within it. */
    const char *names[LEVELS_MAX + 1];
    size_t index[LEVELS_MAX + 1];
    bool indexed[LEVELS_MAX + 1];
    size_t depth;
    char *why; /* not owned */
    size_t why_size;
};

static int fail(struct reader *reader, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int fail(struct reader *reader, const char *key, const char *format, ...)
{
    char path[PATH_SIZE] = "";
    char text[PATH_SIZE];
    size_t used = 0;
    for (size_t i = 0; i < reader->depth && used < sizeof(path); i++) {
        char index[24] = "";
        if (reader->indexed[i]) {
            (void)snprintf(index, sizeof(index), "[%zu]", reader->index[i]);
        }
        bool last = i + 1 == reader->depth && key[0] == '\0';
        int n = snprintf(path + used, sizeof(path) - used, "%s%s%s", reader->names[i], index, last ? "" : ".");
        used += n > 0 ? (size_t)n : 0;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)snprintf(reader->why, reader->why_size, "%s%s: %s", path, key, text);
    return RT_EPROTO;
}

static struct rt_node take(struct reader *reader)
{
    struct rt_node node;
    const char *fault = rt_node_next(&reader->cursor, &node);
    assert(fault == NULL); /* rt_msg_scan has read the same bytes */
    (void)fault;
    return node;
}

static int read_int(struct reader *reader, const char *key, uint64_t below, uint64_t *value)
{
    struct rt_node node = take(reader);
    if (node.type == RT_NODE_NEGATIVE) {
        return fail(reader, key, "wants an integer of 0 or more");
    }
    if (node.type != RT_NODE_UINT) {
        return fail(reader, key, "wants an integer");
    }
    if (below == RT_COUNTER_MAX && node.value >= below) {
        return fail(reader, key, "is not below 2^53");
    }
    if (below != 0 && node.value >= below) {
        return fail(reader, key, "%llu, wants at most %llu", (unsigned long long)node.value,
                    (unsigned long long)(below - 1));
    }
    *value = node.value;
    return 0;
}

static int read_bytes(struct reader *reader, const char *key, enum rt_node_type type, uint64_t min, uint64_t max,
                      struct rt_slice *slice)
{
    struct rt_node node = take(reader);
    if (node.type != type) {
        return fail(reader, key, type == RT_NODE_STR ? "wants text" : "wants bin");
    }
    if (node.value < min || node.value > max) {
        return fail(reader, key, "%llu bytes, wants %s%llu", (unsigned long long)node.value,
                    min == max         ? ""
                    : node.value < min ? "at least "
                                       : "at most ",
                    (unsigned long long)(node.value < min ? min : max));
    }
    *slice = (struct rt_slice){.data = node.data, .size = (size_t)node.value};
    return 0;
}

static int read_map(struct reader *reader, const struct rt_msg_table *table, const char *key, void *msg);

static int read_array(struct reader *reader, const struct rt_msg_field *field, void *msg)
{
    struct rt_node node = take(reader);
    if (node.type != RT_NODE_ARRAY) {
        return fail(reader, field->key, "wants an array");
    }
    if (node.value < field->min) {
        return fail(reader, field->key, "%llu elements, wants %s%llu", (unsigned long long)node.value,
                    field->min == field->max ? "" : "at least ", (unsigned long long)field->min);
    }
    if (node.value > field->max) {
        return fail(reader, field->key, "%llu elements, wants %s%llu", (unsigned long long)node.value,
                    field->min == field->max ? "" : "at most ", (unsigned long long)field->max);
    }
    size_t count = (size_t)node.value;
    size_t level = reader->depth++;
    reader->names[level] = field->key;
    reader->indexed[level] = true;
    for (size_t i = 0; i < count; i++) {
        reader->index[level] = i;
        int rc;
        if (field->kind == RT_FIELD_INTS) {
            rc = read_int(reader, "", RT_COUNTER_MAX, &int_at(msg, field->offset)[i]);
        } else if (field->kind == RT_FIELD_STRS) {
            rc = read_bytes(reader, "", RT_NODE_STR, 0, field->text_max, &slice_at(msg, field->offset)[i]);
        } else if (field->kind == RT_FIELD_BINS) {
            rc = read_bytes(reader, "", RT_NODE_BIN, 0, field->text_max, &slice_at(msg, field->offset)[i]);
        } else {
            rc = read_map(reader, field->sub, "", element_at(msg, field, i));
        }
        if (rc != 0) {
            return rc;
        }
    }
    reader->depth--;
    *count_at(msg, field->count_offset) = count;
    return 0;
}

static int read_value(struct reader *reader, const struct rt_msg_field *field, void *msg)
{
    switch ((enum rt_field_kind)field->kind) {
    case RT_FIELD_INT:
        return read_int(reader, field->key, field->max, int_at(msg, field->offset));
    case RT_FIELD_DIGEST:
        return read_int(reader, field->key, 0, int_at(msg, field->offset));
    case RT_FIELD_BOOL: {
        struct rt_node node = take(reader);
        if (node.type != RT_NODE_BOOL) {
            return fail(reader, field->key, "wants true or false");
        }
        *bool_at(msg, field->offset) = node.value != 0;
        return 0;
    }
    case RT_FIELD_STR:
        return read_bytes(reader, field->key, RT_NODE_STR, field->min, field->max, slice_at(msg, field->offset));
    case RT_FIELD_BIN:
        return read_bytes(reader, field->key, RT_NODE_BIN, field->min, field->max, slice_at(msg, field->offset));
    case RT_FIELD_RUNS: {
        int rc = read_bytes(reader, field->key, RT_NODE_BIN, field->min, field->max, slice_at(msg, field->offset));
        return rc != 0 || is_order(*slice_at(msg, field->offset))
                   ? rc
                   : fail(reader, field->key, "is no order of two tails");
    }
    case RT_FIELD_INTS:
    case RT_FIELD_STRS:
    case RT_FIELD_BINS:
    case RT_FIELD_MAPS:
        return read_array(reader, field, msg);
    }
    return RT_EPROTO;
}

/* The number of the table's field of that key, or n_fields. */
static size_t find_field(const struct rt_msg_table *table, const struct rt_node *key)
{
    size_t i = 0;
    struct rt_slice slice = {.data = key->data, .size = (size_t)key->value};
    while (i < table->n_fields && !rt_slice_equal(slice, rt_slice_text(table->fields[i].key))) {
        i++;
    }
    return i;
}

/* Checks that need the whole map: keys that must be there, and pairs of numbers. */
static int check_values(struct reader *reader, const struct rt_msg_table *table, const void *msg)
{
    for (size_t i = 0; i < table->n_fields; i++) {
        const struct rt_msg_field *field = &table->fields[i];
        if (field->kind == RT_FIELD_INT && needed(field, msg) && *int_at(msg, field->offset) < field->min) {
            return fail(reader, field->key, "%llu, wants at least %llu",
                        (unsigned long long)*int_at(msg, field->offset), (unsigned long long)field->min);
        }
    }
    size_t at;
    const struct rt_msg_order *order = disorder(table, msg, &at);
    if (order != NULL) {
        return fail(reader, order->low_key, "%llu is above %s: %llu", (unsigned long long)int_at(msg, order->low)[at],
                    order->high_key, (unsigned long long)int_at(msg, order->high)[at]);
    }
    return 0;
}

static int read_map(struct reader *reader, const struct rt_msg_table *table, const char *key, void *msg)
{
    struct rt_node map = take(reader);
    if (map.type != RT_NODE_MAP) {
        return fail(reader, key, "wants a map");
    }
    uint32_t found = 0; /* bit i: fields[i] has come */
    for (uint64_t pair = 0; pair < map.value; pair++) {
        struct rt_node name = take(reader);
        size_t i = find_field(table, &name);
        if (i == table->n_fields) {
            rt_node_skip(&reader->cursor);
            continue;
        }
        found |= UINT32_C(1) << i;
        int rc = read_value(reader, &table->fields[i], msg);
        if (rc != 0) {
            return rc;
        }
    }
    for (size_t i = 0; i < table->n_fields; i++) {
        if (needed(&table->fields[i], msg) && (found >> i & 1) == 0) {
            return fail(reader, table->fields[i].key, "is missing");
        }
    }
    return check_values(reader, table, msg);
}

int rt_msg_decode(enum rt_msg_kind kind, const uint8_t *data, size_t size, void *msg, char *why, size_t why_size)
{
    const struct rt_msg_table *table = rt_msg_table(kind);
    assert(table != NULL);
    memset(msg, 0, table->struct_size);
    struct reader reader = {
        .cursor = {.at = data, .end = data + size},
        .why = why,
        .why_size = why_size,
    };
    if (size > table->size_max) {
        return fail(&reader, table->name, "%zu bytes, wants at most %zu", size, table->size_max);
    }
    struct rt_scan_fault fault;
    if (rt_msg_scan(data, size, &fault) != 0) {
        return fail(&reader, table->name, "%s, at byte %zu", fault.what, fault.at);
    }
    reader.names[0] = table->name;
    reader.depth = 1;
    return read_map(&reader, table, "", msg);
}
