/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"
#include "session/core/msg_tables.h"
#include "session/core/order.h"
#include "session/core/protocol.h"

#include "tests/vectors/vector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Every key of every message, at its bound, one beyond it, with every wrong type, and missing: decoded from bytes that
 * this file writes itself, and encoded from the struct. */

/* The bounds of protocol.md, to hold the codec's tables against. Bytes or elements; a third number bounds each element.
 */
static const struct {
    const char *path;
    uint64_t min, max;
    uint32_t element;
} bounds[] = {
    {"hello.role", 0, 32, 0},
    {"hello.cid", 0, 128, 0},
    {"hello.inc", 16, 16, 0},
    {"hello.tok", 0, 1024, 0},
    {"hello.nonce", 16, 16, 0},
    {"hello.name", 0, 64, 0},
    {"welcome.host", 0, 64, 0},
    {"welcome.tkt", 0, 1024, 0},
    {"welcome.agents", 0, 64, 0},
    {"welcome.agents.host", 0, 64, 0},
    {"welcome.agents.addr", 0, 4, 108},
    {"report.procs", 0, 64, 0},
    {"report.procs.base", 3, 3, 0},
    {"report.procs.head", 3, 3, 0},
    {"report.atts", 0, 128, 0},
    {"report.atts.id", 16, 16, 0},
    {"report.atts.cons", 3, 3, 0},
    {"report.atts.app", 2, 2, 0},
    {"end.ord", 2, 1024, 0},
    {"refuse.m", 0, 256, 0},
    {"refuse.host", 0, 64, 0},
    {"refuse.addr", 0, 4, 108},
    {"refuse.which", 0, 32, 0},
    {"attach.cid", 0, 193, 0},
    {"attach.id", 16, 16, 0},
    {"attach.out", 0, 3, 0},
    {"attach.in", 0, 2, 0},
    {"attached.out", 0, 3, 0},
    {"attached.in", 0, 2, 0},
    {"down_item.b", 1, 4000, 0},
    {"exec.argv", 1, 4000, 262080},
    {"exec.env", 0, 4000, 262080},
    {"exec.cwd", 0, 1024, 0},
    {"request.op", 0, 32, 0},
    {"request.cid", 0, 193, 0},
    {"request.label", 0, 256, 0},
    {"request.host", 0, 64, 0},
    {"request.vm", 0, 60, 0},
    {"request.after", 0, 320, 0},
    {"reply.m", 0, 256, 0},
    {"reply.tok", 0, 1024, 0},
    {"reply.next", 0, 320, 0},
    {"reply.ord", 2, 1024, 0},
    {"reply.recs", 0, 32, 0},
    {"reply.recs.cid", 0, 128, 0},
    {"reply.recs.tenant", 0, 64, 0},
    {"reply.recs.label", 0, 256, 0},
    {"reply.recs.host", 0, 64, 0},
    {"reply.recs.inc", 16, 16, 0},
    {"reply.recs.hist", 0, 16, 0},
    {"reply.recs.hist.host", 0, 64, 0},
    {"reply.recs.report", 0, 1024, 0},
    {"reply.hosts", 0, 64, 0},
    {"reply.hosts.host", 0, 64, 0},
    {"reply.hosts.addr", 0, 4, 108},
    {"reply.hosts.ver", 0, 32, 0},
    {"reply.data", 0, 60000, 0},
    {"reply.lims", 0, 64, 0},
    {"reply.lims.set", 0, 32, 0},
    {"reply.lims.who", 0, 64, 0},
    {"reply.chks", 0, 32, 0},
    {"reply.chks.name", 0, 32, 0},
    {"reply.chks.val", 0, 128, 0},
    {"reply.chks.risk", 0, 128, 0},
    {"reply.chks.mend", 0, 128, 0},
    {"reply.local", 0, 64, 0},
};

#define BOUNDS (sizeof(bounds) / sizeof(bounds[0]))
#define SIZE_MAX_TESTED (2 * RT_EXEC_MAX)

/* One value of each msgpack type; those of the field's own type are left out by `fits`. */
static const struct {
    char fits;
    uint8_t size;
    uint8_t bytes[5];
} values[] = {
    {'-', 1, {0xc0}},                         /* nil */
    {'b', 1, {0xc3}},                         /* true */
    {'i', 1, {0x01}},                         /* 1 */
    {'-', 1, {0xff}},                         /* -1 */
    {'-', 2, {0xd0, 0x80}},                   /* -128 */
    {'-', 5, {0xca, 0x3f, 0x80, 0x00, 0x00}}, /* 1.0 */
    {'s', 2, {0xa1, 'x'}},                    /* "x" */
    {'-', 3, {0xc4, 0x01, 'x'}},              /* bin: its wrong sizes are tried elsewhere */
    {'-', 3, {0xd4, 0x01, 'x'}},              /* ext */
    {'a', 1, {0x90}},                         /* [] */
    {'-', 1, {0x80}},                         /* {} */
};

/* What is written in the place of one field; the rest of the message is the least that is valid. */
struct change {
    const struct rt_msg_field *field; /* NULL: none */
    bool leave_out;
    const uint8_t *bytes; /* of its value; NULL: as `number` says */
    size_t size;
    uint64_t number;  /* the integer, bytes or elements */
    uint64_t element; /* bytes of each text in it */
    bool unknown;     /* every map gets keys that nobody knows */
};

static uint8_t message[SIZE_MAX_TESTED];
static size_t used;

static void put(const void *bytes, size_t size)
{
    assert_true(size <= sizeof(message) - used);
    memcpy(message + used, bytes, size);
    used += size;
}

static void put_head(uint8_t type, uint64_t value, size_t bytes)
{
    uint8_t head[9] = {type};
    for (size_t i = 0; i < bytes; i++) {
        head[1 + i] = (uint8_t)(value >> (8 * (bytes - 1 - i)) & 0xff);
    }
    put(head, 1 + bytes);
}

static void put_filled(uint8_t type, uint64_t size)
{
    put_head(type, size, 4);
    assert_true(size <= sizeof(message) - used);
    memset(message + used, 'x', (size_t)size);
    used += (size_t)size;
}

static void put_key(const char *key)
{
    put_head(0xdb, strlen(key), 4);
    put(key, strlen(key));
}

static void put_map(const struct rt_msg_table *table, const struct change *change);

static void put_array(const struct rt_msg_field *field, const struct change *change, uint64_t number)
{
    put_head(0xdd, number, 4);
    for (uint64_t i = 0; i < number; i++) {
        if (field->kind == RT_FIELD_INT) {
            put_head(0x01, 0, 0);
        } else if (field->kind == RT_FIELD_MAP) {
            put_map(field->sub, change);
        } else {
            put_filled(field->kind == RT_FIELD_STR ? 0xdb : 0xc6, field == change->field ? change->element : 1);
        }
    }
}

static void put_value(const struct rt_msg_field *field, const struct change *change)
{
    bool changed = field == change->field;
    uint64_t number = changed ? change->number : field->min > 0 ? field->min : 1;
    if (changed && change->bytes != NULL) {
        put(change->bytes, change->size);
        return;
    }
    if (field->array) {
        put_array(field, change, number);
        return;
    }
    switch (field->kind) {
    case RT_FIELD_INT:
        put_head(0xcf, number, 8);
        break;
    case RT_FIELD_BOOL:
        put_head(0xc3, 0, 0);
        break;
    case RT_FIELD_STR:
        put_filled(0xdb, number);
        break;
    case RT_FIELD_BIN:
        put_filled(0xc6, number);
        break;
    case RT_FIELD_RUNS: /* of one byte each */
        put_head(0xc6, number, 4);
        for (uint64_t i = 0; i < number; i++) {
            put_head(0x01, 0, 0);
        }
        break;
    case RT_FIELD_MAP:
        fail_msg("a map outside of an array");
    }
}

static void put_unknown(void)
{
    static const uint8_t nested[] = {0x92, 0x81, 0xa1, 'y', 0x93, 0xc0, 0xc4, 0x00, 0xa0, 0xd4, 0x01, 0x02};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char key[8] = {'?', (char)('a' + i)};
        put_key(key);
        put(values[i].bytes, values[i].size);
    }
    put_key("?nested");
    put(nested, sizeof(nested));
}

static void put_map(const struct rt_msg_table *table, const struct change *change)
{
    uint64_t unknown = change->unknown ? sizeof(values) / sizeof(values[0]) + 1 : 0;
    uint64_t left_out = 0;
    for (size_t i = 0; i < table->n_fields; i++) {
        left_out += change->leave_out && &table->fields[i] == change->field;
    }
    put_head(0xdf, table->n_fields + unknown - left_out, 4);
    if (change->unknown) {
        put_unknown();
    }
    for (size_t i = 0; i < table->n_fields; i++) {
        const struct rt_msg_field *field = &table->fields[i];
        if (!change->leave_out || field != change->field) {
            put_key(field->key);
            put_value(field, change);
        }
    }
}

/* The kind under test, and the way to the table under test within it. */
struct place {
    enum rt_msg_kind kind;
    char path[64];  /* "reply.recs.hist" */
    char error[64]; /* "reply.recs[0].hist[0]" */
    size_t offset;  /* of the first such struct in the message */
    const struct rt_msg_table *table;
};

static union {
    struct rt_reply_msg reply;
    struct rt_report_msg report;
    struct rt_welcome_msg welcome;
    struct rt_down_item down;
    struct rt_exec_msg exec;
} msg;
static char why[160];

static int decode(const struct place *place, const struct change *change)
{
    used = 0;
    put_map(rt_msg_table(place->kind), change);
    uint8_t *exact = malloc(used);
    assert_non_null(exact);
    memcpy(exact, message, used);
    why[0] = '\0';
    int rc = rt_msg_decode(place->kind, exact, used, &msg, why, sizeof(why));
    free(exact);
    return rc;
}

static void accepts(const struct place *place, const struct change *change)
{
    if (decode(place, change) != 0) {
        fail_msg("%s", why);
    }
}

/* `part`: what the error says after the key. */
static void refuses(const struct place *place, const struct change *change, const char *part)
{
    char where[128];
    (void)snprintf(where, sizeof(where), "%s.%s", place->error, change->field->key);
    assert_int_equal(decode(place, change), RT_EPROTO);
    if (strncmp(why, where, strlen(where)) != 0 || strstr(why, part) == NULL) {
        fail_msg("\"%s\" wants: %s ... %s", why, where, part);
    }
}

static uint8_t encoded[RT_EXEC_MAX];

static void try_int(const struct place *place, const struct rt_msg_field *field)
{
    uint64_t below = field->max; /* 0: a digest */
    /* The `t` of an item chooses which keys must be there; all are. */
    if (decode(place, &(struct change){.field = field, .number = below - 1}) != 0 && strstr(why, "is above") == NULL) {
        fail_msg("%s", why);
    }
    if (below != 0) {
        const char *part = below == RT_COUNTER_MAX ? "is not below 2^53" : ", wants at most ";
        refuses(place, &(struct change){.field = field, .number = below}, part);
        refuses(place, &(struct change){.field = field, .number = UINT64_MAX}, part);
    }
    if (field->min > 0) {
        accepts(place, &(struct change){.field = field, .number = field->min});
        if (field->need == RT_NEED_ALWAYS) {
            refuses(place, &(struct change){.field = field, .number = field->min - 1}, ", wants at least ");
        }
    }
}

static void try_bytes(const struct place *place, const struct rt_msg_field *field)
{
    accepts(place, &(struct change){.field = field, .number = field->min});
    accepts(place, &(struct change){.field = field, .number = field->max});
    refuses(place, &(struct change){.field = field, .number = field->max + 1}, "bytes, wants");
    if (field->min > 0) {
        refuses(place, &(struct change){.field = field, .number = field->min - 1}, "bytes, wants");
        refuses(place, &(struct change){.field = field, .number = 0}, "bytes, wants");
    }
    if (field->kind == RT_FIELD_BIN || field->kind == RT_FIELD_RUNS) {
        uint8_t text[2 + RT_ID_SIZE] = {0xd9, RT_ID_SIZE};
        memset(text + 2, 'x', RT_ID_SIZE);
        refuses(place, &(struct change){.field = field, .bytes = text, .size = sizeof(text)}, "wants bin");
    }
}

static void try_array(const struct place *place, const struct rt_msg_field *field)
{
    accepts(place, &(struct change){.field = field, .number = field->min});
    accepts(place, &(struct change){.field = field, .number = field->max});
    refuses(place, &(struct change){.field = field, .number = field->max + 1}, "elements, wants");
    if (field->min > 0) {
        refuses(place, &(struct change){.field = field, .number = field->min - 1}, "elements, wants");
    }
    if (field->kind == RT_FIELD_STR || field->kind == RT_FIELD_BIN) {
        accepts(place, &(struct change){.field = field, .number = 1, .element = field->each});
        refuses(place, &(struct change){.field = field, .number = 1, .element = field->each + 1}, "[0]: ");
    }
    static const uint8_t wrong[] = {0x93, 0xc0, 0xc0, 0xc0}; /* 3, or its bound's number, of nil */
    struct change nils = {.field = field, .bytes = wrong, .size = sizeof(wrong)};
    uint8_t two[] = {0x92, 0xc0, 0xc0};
    if (field->max == 2) {
        nils.bytes = two;
        nils.size = sizeof(two);
    }
    refuses(place, &nils, "[0]: wants");
}

static void try_types(const struct place *place, const struct rt_msg_field *field)
{
    /* By enum rt_field_kind; no value above is a bin of a right size or an array of integers. */
    char own = field->array ? 'a' : "ibs---"[field->kind];
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (values[i].fits != own) {
            refuses(place, &(struct change){.field = field, .bytes = values[i].bytes, .size = values[i].size}, ": ");
        }
    }
}

static void try_missing(const struct place *place, const struct rt_msg_field *field)
{
    struct change change = {.field = field, .leave_out = true};
    /* The least message of an item has t = 1. */
    if (field->need == RT_NEED_ALWAYS || field->need == RT_NEED_ITEM(1)) {
        refuses(place, &change, "is missing");
    } else {
        accepts(place, &change);
    }
}

static const uint8_t fill[RT_EXEC_MAX];

static void try_encode_array(const struct place *place, const struct rt_msg_field *field, void *member)
{
    size_t *count = (size_t *)(void *)((char *)&msg + place->offset + field->count_offset);
    if (field->kind == RT_FIELD_INT) {
        *(uint64_t *)member = RT_COUNTER_MAX;
        assert_int_equal(rt_msg_encode(place->kind, &msg, encoded, sizeof(encoded)), RT_EINVAL);
        *(uint64_t *)member = RT_COUNTER_MAX - 1;
        *count = (size_t)field->min - 1;
        assert_int_equal(rt_msg_encode(place->kind, &msg, encoded, sizeof(encoded)), RT_EINVAL);
    } else if (field->kind != RT_FIELD_MAP) {
        *(struct rt_slice *)member = (struct rt_slice){.data = fill, .size = (size_t)field->each};
        assert_true(rt_msg_encode(place->kind, &msg, encoded, sizeof(encoded)) > 0);
        *(struct rt_slice *)member = (struct rt_slice){.data = fill, .size = (size_t)field->each + 1};
        assert_int_equal(rt_msg_encode(place->kind, &msg, encoded, sizeof(encoded)), RT_EINVAL);
        *(struct rt_slice *)member = rt_slice_text("x");
    }
    *count = (size_t)field->max + 1;
    assert_int_equal(rt_msg_encode(place->kind, &msg, encoded, sizeof(encoded)), RT_EINVAL);
}

/* The encoder refuses in the struct what the decoder refuses in bytes. */
static void try_encode(const struct place *place, const struct rt_msg_field *field)
{
    used = 0;
    put_map(rt_msg_table(place->kind), &(struct change){.field = NULL});
    assert_int_equal(rt_msg_decode(place->kind, message, used, &msg, why, sizeof(why)), 0);
    assert_true(rt_msg_encode(place->kind, &msg, encoded, sizeof(encoded)) > 0);
    void *member = (char *)&msg + place->offset + field->offset;
    if (field->array) {
        try_encode_array(place, field, member);
        return;
    }
    switch (field->kind) {
    case RT_FIELD_BOOL:
    case RT_FIELD_MAP:
        return;
    case RT_FIELD_INT:
        if (field->max == 0) { /* a digest */
            *(uint64_t *)member = UINT64_MAX;
            assert_true(rt_msg_encode(place->kind, &msg, encoded, sizeof(encoded)) > 0);
            return;
        }
        *(uint64_t *)member = field->max - 1; /* may now be above what it must not be above */
        int size = rt_msg_encode(place->kind, &msg, encoded, sizeof(encoded));
        assert_true(size > 0 || (size == RT_EINVAL && place->table->n_ordered > 0));
        *(uint64_t *)member = field->max;
        break;
    case RT_FIELD_RUNS: {
        uint8_t runs[RT_ORDER_PACKED_MAX + 1];
        memset(runs, 1, sizeof(runs));
        *(struct rt_slice *)member = (struct rt_slice){.data = runs, .size = (size_t)field->max};
        assert_true(rt_msg_encode(place->kind, &msg, encoded, sizeof(encoded)) > 0);
        *(struct rt_slice *)member = (struct rt_slice){.data = runs, .size = (size_t)field->max + 1};
        assert_int_equal(rt_msg_encode(place->kind, &msg, encoded, sizeof(encoded)), RT_EINVAL);
        runs[0] = 0;
        *(struct rt_slice *)member = (struct rt_slice){.data = runs, .size = (size_t)field->max};
        assert_int_equal(rt_msg_encode(place->kind, &msg, encoded, sizeof(encoded)), RT_EINVAL);
        return;
    }
    case RT_FIELD_STR:
    case RT_FIELD_BIN:
        *(struct rt_slice *)member = (struct rt_slice){.data = fill, .size = (size_t)field->max};
        assert_true(rt_msg_encode(place->kind, &msg, encoded, sizeof(encoded)) > 0);
        *(struct rt_slice *)member = (struct rt_slice){.data = fill, .size = (size_t)field->max + 1};
        break;
    }
    assert_int_equal(rt_msg_encode(place->kind, &msg, encoded, sizeof(encoded)), RT_EINVAL);
}

static void try_field(const struct place *place, const struct rt_msg_field *field)
{
    if (field->array) {
        try_array(place, field);
    } else if (field->kind == RT_FIELD_INT) {
        try_int(place, field);
    } else if (field->kind != RT_FIELD_BOOL) {
        try_bytes(place, field);
    }
    try_types(place, field);
    try_missing(place, field);
    try_encode(place, field);
}

static void each_field(const struct place *place, void (*each)(const struct place *, const struct rt_msg_field *))
{
    assert_true(place->table->n_fields <= RT_MSG_FIELDS_MAX);
    for (size_t i = 0; i < place->table->n_fields; i++) {
        const struct rt_msg_field *field = &place->table->fields[i];
        each(place, field);
        if (field->kind == RT_FIELD_MAP) {
            struct place below = {.kind = place->kind, .offset = place->offset + field->offset, .table = field->sub};
            (void)snprintf(below.path, sizeof(below.path), "%.40s.%.20s", place->path, field->key);
            (void)snprintf(below.error, sizeof(below.error), "%.35s.%.20s[0]", place->error, field->key);
            each_field(&below, each);
        }
    }
}

static void each_key(void (*each)(const struct place *, const struct rt_msg_field *))
{
    for (unsigned kind = 0; kind < RT_MSG_KINDS; kind++) {
        const char *name = rt_vector_kind_name((enum rt_msg_kind)kind);
        struct place place = {.kind = (enum rt_msg_kind)kind, .table = rt_msg_table((enum rt_msg_kind)kind)};
        (void)snprintf(place.path, sizeof(place.path), "%s", name);
        (void)snprintf(place.error, sizeof(place.error), "%s", name);
        each_field(&place, each);
    }
}

static void test_every_key(void **state)
{
    (void)state;
    each_key(try_field);
}

static size_t bounds_met;

/* Integers that have a bound of their own, wherever the key stands; the others are counters. */
static void check_number(const struct place *place, const struct rt_msg_field *field)
{
    static const struct {
        const char *table, *key; /* table NULL: any */
        uint64_t min, max;
    } rows[] = {
        {NULL, "s", 0, RT_CONTROL_DOWN},
        {NULL, "code", 0, 255},
        {"down_item", "sig", 1, 64},
        {NULL, "sig", 0, 64},
        {NULL, "delay", 0, 600000},
        {"attach", "hold", 0, RT_COUNTER_MAX - 1},
        {NULL, "hold", 0, 600000},
        {NULL, "rows", 0, 65535},
        {NULL, "cols", 0, 65535},
        {NULL, "p", 0, UINT32_MAX},
        {NULL, "st", 0, 2},
        {"reply.hosts", "state", 0, 2},
        {"reply.chks", "state", 0, 2},
        {NULL, "state", 0, 5},
        {NULL, "how", 0, RT_END_OTHER},
        {"refuse", "try", 0, RT_COUNTER_MAX - 1},
        {NULL, "try", 1, RT_COUNTER_MAX - 1},
        {NULL, "want", 0, 31},
        {NULL, "from", 0, 4},
        {NULL, "wait", 0, 10000},
        {"request", "states", 0, 63},
        {"request", "drain", 0, RT_DRAIN_OFF},
    };
    if (strcmp(field->key, "d") == 0) {
        assert_true(field->min == 0 && field->max == 0); /* a digest */
        return;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].key, field->key) == 0 &&
            (rows[i].table == NULL || strcmp(rows[i].table, place->path) == 0)) {
            assert_true(field->min == rows[i].min && field->max == rows[i].max + 1);
            return;
        }
    }
    assert_true(field->min == 0 && field->max == RT_COUNTER_MAX);
}

static void check_bound(const struct place *place, const struct rt_msg_field *field)
{
    char path[96];
    if (place->kind == RT_MSG_RECORD) {
        return; /* a row of reply.recs */
    }
    if (!field->array && field->kind == RT_FIELD_INT) {
        check_number(place, field);
    }
    if (!field->array && (field->kind == RT_FIELD_INT || field->kind == RT_FIELD_BOOL)) {
        return;
    }
    (void)snprintf(path, sizeof(path), "%s.%s", place->path, field->key);
    for (size_t i = 0; i < BOUNDS; i++) {
        if (strcmp(bounds[i].path, path) == 0) {
            assert_int_equal(field->min, bounds[i].min);
            assert_int_equal(field->max, bounds[i].max);
            assert_int_equal(field->each, field->kind == RT_FIELD_INT ? RT_COUNTER_MAX : bounds[i].element);
            bounds_met++;
            return;
        }
    }
    fail_msg("%s has no bound in this test", path);
}

static void test_bounds_as_written(void **state)
{
    (void)state;
    bounds_met = 0;
    each_key(check_bound);
    assert_int_equal(bounds_met, BOUNDS);
}

static void test_unknown_keys(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < RT_MSG_KINDS; kind++) {
        struct place place = {.kind = (enum rt_msg_kind)kind};
        accepts(&place, &(struct change){.unknown = true});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds_as_written),
        cmocka_unit_test(test_every_key),
        cmocka_unit_test(test_unknown_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
