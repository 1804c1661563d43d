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

/* A member of the struct, as the tables name it. */
static void *at(const void *msg, size_t offset)
{
    return (void *)((uintptr_t)msg + offset);
}

static uint64_t *int_at(const void *msg, size_t offset)
{
    return at(msg, offset);
}

static size_t *count_of(const void *msg, const struct rt_msg_field *field)
{
    return at(msg, field->count_offset);
}

static void *element_at(const void *msg, const struct rt_msg_field *field, size_t i)
{
    size_t size = field->kind == RT_FIELD_MAP   ? field->sub->struct_size
                  : field->kind == RT_FIELD_INT ? sizeof(uint64_t)
                                                : sizeof(struct rt_slice);
    return at(msg, field->offset + i * size);
}

/* The first member of both item structs is their `t`. */
static bool needed(const struct rt_msg_field *field, const void *msg)
{
    return field->need == RT_NEED_ALWAYS ||
           (field->need > RT_NEED_ALWAYS && *int_at(msg, 0) == (uint64_t)(field->need - RT_NEED_ALWAYS));
}

static bool is_empty(const struct rt_msg_field *field, const void *msg)
{
    const void *value = at(msg, field->offset);
    if (field->array) {
        return *count_of(msg, field) == 0;
    }
    if (field->kind == RT_FIELD_INT) {
        return *(const uint64_t *)value == 0;
    }
    return field->kind == RT_FIELD_BOOL ? !*(const bool *)value : ((const struct rt_slice *)value)->size == 0;
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

static int write_bytes(struct writer *writer, enum rt_field_kind kind, struct rt_slice slice, uint64_t min,
                       uint64_t max)
{
    bool text = kind == RT_FIELD_STR;
    if (slice.size < min || slice.size > max || (text && !rt_utf8_valid(slice.data, slice.size)) ||
        (kind == RT_FIELD_RUNS && !is_order(slice))) {
        return RT_EINVAL;
    }
    writer->nodes++;
    int rc = text ? msgpack_pack_str(&writer->packer, slice.size) : msgpack_pack_bin(&writer->packer, slice.size);
    return rc == 0 && write_cb(writer, (const char *)slice.data, slice.size) == 0 ? 0 : RT_ELIMIT;
}

static int write_bool(struct writer *writer, bool value)
{
    writer->nodes++;
    return (value ? msgpack_pack_true(&writer->packer) : msgpack_pack_false(&writer->packer)) == 0 ? 0 : RT_ELIMIT;
}

static int write_map(struct writer *writer, const struct rt_msg_table *table, const void *msg);

/* The value of a field, or one element of an array. */
static int write_one(struct writer *writer, const struct rt_msg_field *field, const void *value, uint64_t min,
                     uint64_t max)
{
    switch (field->kind) {
    case RT_FIELD_INT:
        return write_int(writer, *(const uint64_t *)value, min, max);
    case RT_FIELD_BOOL:
        return write_bool(writer, *(const bool *)value);
    case RT_FIELD_STR:
    case RT_FIELD_BIN:
    case RT_FIELD_RUNS:
        return write_bytes(writer, field->kind, *(const struct rt_slice *)value, min, max);
    case RT_FIELD_MAP:
        break;
    }
    return write_map(writer, field->sub, value);
}

static int write_value(struct writer *writer, const struct rt_msg_field *field, const void *msg)
{
    if (!field->array) {
        return write_one(writer, field, at(msg, field->offset), field->min, field->max);
    }
    size_t count = *count_of(msg, field);
    if (count < field->min || count > field->max) {
        return RT_EINVAL;
    }
    writer->nodes++;
    int rc = msgpack_pack_array(&writer->packer, count) == 0 ? 0 : RT_ELIMIT;
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = write_one(writer, field, element_at(msg, field, i), 0, field->each);
    }
    return rc;
}

/* The first number that is above the one that it must not be above; n_ordered: none. */
static size_t disorder(const struct rt_msg_table *table, const void *msg)
{
    size_t i = 0;
    while (i < table->n_ordered && int_at(msg, table->low)[i] <= int_at(msg, table->high)[i]) {
        i++;
    }
    return i;
}

static int write_map(struct writer *writer, const struct rt_msg_table *table, const void *msg)
{
    size_t pairs = 0;
    if (disorder(table, msg) < table->n_ordered) {
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
        int rc = write_bytes(writer, RT_FIELD_STR, rt_slice_text(field->key), 0, RT_TEXT_MAX);
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

size_t rt_msg_put(struct rt_frame frame, enum rt_msg_kind kind, const void *msg, uint8_t *out, size_t cap)
{
    int size = cap > RT_FRAME_HEADER ? rt_msg_encode(kind, msg, out + RT_FRAME_HEADER, cap - RT_FRAME_HEADER) : 0;
    if (size <= 0) {
        return 0;
    }
    frame.length = (uint32_t)size;
    rt_frame_put(out, &frame);
    return RT_FRAME_HEADER + (size_t)size;
}

/* --- decoding: the bytes have passed rt_msg_scan --- */

struct reader {
    struct rt_cursor cursor;
    /* Where we are, for errors: the message, then the arrays of maps or values within it. */
    const char *names[LEVELS_MAX + 1];
    size_t index[LEVELS_MAX + 1]; /* of the message: none */
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
        if (i > 0) {
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

/* Bytes of a text, or elements of an array. */
static int check_size(struct reader *reader, const char *key, const char *what, uint64_t size, uint64_t min,
                      uint64_t max)
{
    if (size >= min && size <= max) {
        return 0;
    }
    return fail(reader, key, "%llu %s, wants %s%llu", (unsigned long long)size, what,
                min == max   ? ""
                : size < min ? "at least "
                             : "at most ",
                (unsigned long long)(size < min ? min : max));
}

static int read_bytes(struct reader *reader, const char *key, enum rt_field_kind kind, uint64_t min, uint64_t max,
                      struct rt_slice *slice)
{
    struct rt_node node = take(reader);
    if (node.type != (kind == RT_FIELD_STR ? RT_NODE_STR : RT_NODE_BIN)) {
        return fail(reader, key, kind == RT_FIELD_STR ? "wants text" : "wants bin");
    }
    *slice = (struct rt_slice){.data = node.data, .size = (size_t)node.value};
    int rc = check_size(reader, key, "bytes", node.value, min, max);
    if (rc == 0 && kind == RT_FIELD_RUNS && !is_order(*slice)) {
        return fail(reader, key, "is no order of two tails");
    }
    return rc;
}

static int read_bool(struct reader *reader, const char *key, bool *value)
{
    struct rt_node node = take(reader);
    *value = node.value != 0;
    return node.type == RT_NODE_BOOL ? 0 : fail(reader, key, "wants true or false");
}

static int read_map(struct reader *reader, const struct rt_msg_table *table, const char *key, void *msg);

/* The value of a field, or one element of an array, which has no key. */
static int read_one(struct reader *reader, const struct rt_msg_field *field, const char *key, void *value, uint64_t min,
                    uint64_t max)
{
    switch (field->kind) {
    case RT_FIELD_INT: /* check_values() looks at `min` */
        return read_int(reader, key, max, value);
    case RT_FIELD_BOOL:
        return read_bool(reader, key, value);
    case RT_FIELD_STR:
    case RT_FIELD_BIN:
    case RT_FIELD_RUNS:
        return read_bytes(reader, key, field->kind, min, max, value);
    case RT_FIELD_MAP:
        break;
    }
    return read_map(reader, field->sub, key, value);
}

static int read_value(struct reader *reader, const struct rt_msg_field *field, void *msg)
{
    if (!field->array) {
        return read_one(reader, field, field->key, at(msg, field->offset), field->min, field->max);
    }
    struct rt_node node = take(reader);
    if (node.type != RT_NODE_ARRAY) {
        return fail(reader, field->key, "wants an array");
    }
    int rc = check_size(reader, field->key, "elements", node.value, field->min, field->max);
    size_t level = reader->depth;
    reader->names[level] = field->key;
    for (size_t i = 0; i < node.value && rc == 0; i++) {
        reader->depth = level + 1;
        reader->index[level] = i;
        rc = read_one(reader, field, "", element_at(msg, field, i), 0, field->each);
    }
    reader->depth = level;
    *count_of(msg, field) = rc == 0 ? (size_t)node.value : 0;
    return rc;
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
        if (!field->array && field->kind == RT_FIELD_INT && needed(field, msg) &&
            *int_at(msg, field->offset) < field->min) {
            return fail(reader, field->key, "%llu, wants at least %llu",
                        (unsigned long long)*int_at(msg, field->offset), (unsigned long long)field->min);
        }
    }
    size_t i = disorder(table, msg);
    if (i < table->n_ordered) {
        return fail(reader, table->low_key, "%llu is above %s: %llu", (unsigned long long)int_at(msg, table->low)[i],
                    table->high_key, (unsigned long long)int_at(msg, table->high)[i]);
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
