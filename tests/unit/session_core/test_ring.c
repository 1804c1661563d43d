/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/ring.h"

#include "tests/lib/alloc/allocfail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#define STREAM_MAX 20000 /* bytes that one model run appends */
#define STEPS 3000

/* The stream as it was appended, whole: byte o of the stream is bytes[o]. */
struct model {
    uint8_t bytes[STREAM_MAX];
    uint64_t base, head;
    uint64_t random;
    struct rt_digest digest; /* kept by the ring, at or above base */
    struct rt_ring ring;
};

/* xorshift64 */
static uint64_t next_random(struct model *model, uint64_t below)
{
    model->random ^= model->random << 13;
    model->random ^= model->random >> 7;
    model->random ^= model->random << 17;
    return model->random % below;
}

static void model_append(struct model *model)
{
    uint8_t data[200];
    size_t size = (size_t)next_random(model, sizeof(data));
    size_t room = model->ring.cap - (size_t)(model->head - model->base);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)next_random(model, 256);
    }
    size_t want = size < room ? size : room;
    memcpy(model->bytes + model->head, data, want);
    model->head += want;
    assert_int_equal(rt_ring_append(&model->ring, data, size), want);
}

static void model_fill(struct model *model)
{
    size_t space;
    uint8_t *to = rt_ring_space(&model->ring, &space);
    size_t room = model->ring.cap - (size_t)(model->head - model->base);
    assert_true(space <= room);
    assert_int_equal(space == 0, room == 0);
    assert_int_equal(to == NULL, space == 0);
    if (to == NULL) {
        return;
    }
    assert_true(to >= model->ring.data && to + space <= model->ring.data + model->ring.cap);
    /* All the room, or all up to the end of the memory: never less than could be had. */
    assert_true(space == room || to + space == model->ring.data + model->ring.cap);
    size_t size = (size_t)next_random(model, space + 1);
    for (size_t i = 0; i < size; i++) {
        to[i] = (uint8_t)next_random(model, 256);
        model->bytes[model->head + i] = to[i];
    }
    rt_ring_commit(&model->ring, size);
    model->head += size;
}

static void model_drop(struct model *model)
{
    uint64_t to = model->base + next_random(model, model->head - model->base + 1);
    if (model->digest.at < to) {
        rt_ring_digest(&model->ring, &model->digest, to);
    }
    rt_ring_drop(&model->ring, to);
    model->base = to;
}

static void model_read(struct model *model)
{
    uint64_t from = model->base + next_random(model, model->head - model->base + 1);
    uint64_t left = model->head - from;
    size_t part;
    const uint8_t *at = rt_ring_peek(&model->ring, from, &part);
    assert_true(part <= left);
    assert_int_equal(part == 0, left == 0);
    assert_true(part == left || at + part == model->ring.data + model->ring.cap);
    assert_memory_equal(at, model->bytes + from, part);
    uint8_t copy[STREAM_MAX];
    size_t size = (size_t)next_random(model, 2 * model->ring.cap);
    size_t got = rt_ring_copy(&model->ring, from, copy, size);
    assert_int_equal(got, left < size ? left : size);
    assert_memory_equal(copy, model->bytes + from, got);
}

static void model_check(const struct model *model)
{
    assert_int_equal(model->ring.base, model->base);
    assert_int_equal(model->ring.head, model->head);
    assert_int_equal(rt_ring_room(&model->ring), model->ring.cap - (size_t)(model->head - model->base));
    struct rt_digest ahead = model->digest;
    rt_ring_digest(&model->ring, &ahead, model->head);
    assert_int_equal(ahead.at, model->head);
    assert_true(rt_digest_value(&ahead) == XXH64(model->bytes, (size_t)model->head, 0));
}

static void test_model(void **state)
{
    (void)state;
    static struct model model;
    static const size_t caps[] = {1, 2, 3, 7, 64, 100, 1000};
    for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
        memset(&model, 0, sizeof(model));
        model.random = 88172645463325252 + i;
        rt_digest_start(&model.digest, 0);
        rt_ring_init(&model.ring, caps[i]);
        assert_int_equal(rt_ring_make(&model.ring), 0);
        bool full = false;
        size_t steps = 0;
        for (; steps < STEPS && model.head + caps[i] <= STREAM_MAX; steps++) {
            switch (next_random(&model, 4)) {
            case 0:
                model_append(&model);
                break;
            case 1:
                model_fill(&model);
                break;
            case 2:
                model_drop(&model);
                break;
            default:
                model_read(&model);
                break;
            }
            model_check(&model);
            full = full || model.head - model.base == caps[i];
        }
        assert_true(full && model.head > 5 * caps[i]); /* else the run has not tried what it should */
        rt_ring_close(&model.ring);
    }
}

static void test_full(void **state)
{
    (void)state;
    struct rt_ring ring;
    size_t size;
    rt_ring_init(&ring, 8);
    assert_int_equal(rt_ring_make(&ring), 0);
    assert_int_equal(rt_ring_room(&ring), 8);
    assert_int_equal(rt_ring_append(&ring, "abcdefghij", 10), 8);
    assert_int_equal(rt_ring_room(&ring), 0);
    assert_null(rt_ring_space(&ring, &size));
    assert_int_equal(size, 0);
    assert_int_equal(rt_ring_append(&ring, "k", 1), 0);
    const uint8_t *at = rt_ring_peek(&ring, 0, &size);
    assert_int_equal(size, 8);
    assert_memory_equal(at, "abcdefgh", 8);
    rt_ring_close(&ring);
}

static void test_wrap(void **state)
{
    (void)state;
    struct rt_ring ring;
    size_t size;
    uint8_t out[8];
    rt_ring_init(&ring, 8);
    assert_int_equal(rt_ring_make(&ring), 0);
    assert_int_equal(rt_ring_append(&ring, "abcdef", 6), 6);
    rt_ring_drop(&ring, 4);
    assert_int_equal(rt_ring_append(&ring, "ghijkl", 6), 6);
    assert_int_equal(ring.head, 12);
    const uint8_t *at = rt_ring_peek(&ring, 4, &size);
    assert_int_equal(size, 4);
    assert_memory_equal(at, "efgh", 4);
    at = rt_ring_peek(&ring, 8, &size);
    assert_int_equal(size, 4);
    assert_memory_equal(at, "ijkl", 4);
    (void)rt_ring_peek(&ring, 12, &size);
    assert_int_equal(size, 0);
    assert_int_equal(rt_ring_copy(&ring, 5, out, sizeof(out)), 7);
    assert_memory_equal(out, "fghijkl", 7);
    assert_int_equal(rt_ring_copy(&ring, 5, out, 4), 4);
    assert_int_equal(rt_ring_copy(&ring, 12, out, sizeof(out)), 0);
    rt_ring_close(&ring);
}

/* A ring that is empty begins at its start again, wherever its offsets are. */
static void test_begins_anew(void **state)
{
    struct rt_ring ring;
    size_t size;

    (void)state;
    rt_ring_init(&ring, 7);
    assert_int_equal(rt_ring_make(&ring), 0);
    rt_ring_start(&ring, 1000);
    assert_ptr_equal(rt_ring_space(&ring, &size), ring.data);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(rt_ring_append(&ring, "abcde", 5), 5);
        rt_ring_drop(&ring, ring.base + 4);
        assert_ptr_equal(rt_ring_peek(&ring, ring.base, &size), ring.data + 4);
        rt_ring_drop(&ring, ring.head);
        assert_ptr_equal(rt_ring_space(&ring, &size), ring.data);
        assert_int_equal(size, 7);
    }
    assert_int_equal(ring.head, 1100);
    assert_int_equal(rt_ring_append(&ring, "abcdefg", 7), 7);
    rt_ring_start(&ring, 3); /* back: offsets below those that it had */
    assert_int_equal(rt_ring_append(&ring, "xyz", 3), 3);
    assert_memory_equal(rt_ring_peek(&ring, 3, &size), "xyz", 3);
    assert_int_equal(size, 3);
    rt_ring_close(&ring);
}

static void test_digest_part(void **state)
{
    (void)state;
    struct rt_ring ring;
    struct rt_digest digest;
    rt_ring_init(&ring, 8);
    assert_int_equal(rt_ring_make(&ring), 0);
    assert_int_equal(rt_ring_append(&ring, "abcdefgh", 8), 8);
    rt_ring_drop(&ring, 5);
    assert_int_equal(rt_ring_append(&ring, "ijklm", 5), 5);
    rt_digest_start(&digest, 6);
    rt_ring_digest(&ring, &digest, 6);
    assert_true(rt_digest_value(&digest) == XXH64("", 0, 0));
    rt_ring_digest(&ring, &digest, 11);
    assert_int_equal(digest.from, 6);
    assert_int_equal(digest.at, 11);
    assert_true(rt_digest_value(&digest) == XXH64("ghijk", 5, 0));
    rt_ring_close(&ring);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct rt_ring ring;
    memset(&ring, 0xff, sizeof(ring));
    rt_ring_init(&ring, 8);
    rt_alloc_fail_at(1);
    int rc = rt_ring_make(&ring);
    assert_true(rt_alloc_stop());
    assert_int_equal(rc, RT_ENOMEM);
    assert_null(ring.data);
    assert_int_equal(rt_ring_make(&ring), 0);
    rt_ring_close(&ring);
    assert_null(ring.data);
    assert_int_equal(ring.cap, 8);
}

/* What rt_ring_last_lines() is, byte by byte. */
static uint64_t lines_slowly(const struct rt_ring *ring, const uint8_t *bytes, uint64_t n, size_t look)
{
    uint64_t end = ring->head - ring->base > look ? ring->head - look : ring->base;
    uint64_t at = ring->head;

    for (; at > end && n > 0; at--) {
        if (bytes[at - 1] == '\n' && at != ring->head && --n == 0) {
            return at;
        }
    }
    return n == 0 ? ring->head : end;
}

/* Wherever the ring wraps, however many lines, however far it may look. */
static void test_last_lines(void **state)
{
    (void)state;
    static const uint64_t counts[] = {0, 1, 2, 3, 7, 100, UINT64_MAX};
    static const size_t looks[] = {0, 1, 5, 63, 64, 65, SIZE_MAX};
    uint8_t bytes[300];
    struct rt_ring ring;

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = i % 13 == 4 || i % 7 == 2 || (i > 100 && i < 120) ? '\n' : 'x';
    }
    rt_ring_init(&ring, 64);
    assert_int_equal(rt_ring_make(&ring), 0);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        if (rt_ring_room(&ring) == 0) {
            rt_ring_drop(&ring, ring.base + 1 + i % 3);
        }
        assert_int_equal(rt_ring_append(&ring, bytes + i, 1), 1);
        for (size_t n = 0; n < sizeof(counts) / sizeof(counts[0]); n++) {
            for (size_t l = 0; l < sizeof(looks) / sizeof(looks[0]); l++) {
                assert_int_equal(rt_ring_last_lines(&ring, counts[n], looks[l]),
                                 lines_slowly(&ring, bytes, counts[n], looks[l]));
            }
        }
    }
    rt_ring_close(&ring);
}

/* The byte at each offset up to size is the offset; the oldest go where there is no room. */
static void go_round(struct rt_ring *ring, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)i;

        if (rt_ring_room(ring) == 0) {
            rt_ring_drop(ring, ring->base + 1);
        }
        assert_int_equal(rt_ring_append(ring, &byte, 1), 1);
    }
}

/* What is held stays where it is; a ring without memory has no space until it gets some. */
static void test_shrink(void **state)
{
    (void)state;
    uint8_t got[64];
    size_t size;
    struct rt_ring ring;

    for (unsigned drop = 0; drop <= 60; drop++) {
        rt_ring_init(&ring, 64);
        assert_null(rt_ring_space(&ring, &size));
        assert_int_equal(rt_ring_append(&ring, "x", 1), 0);
        assert_int_equal(rt_ring_make(&ring), 0);
        go_round(&ring, 100);
        rt_ring_drop(&ring, 40 + drop);
        rt_ring_shrink(&ring);
        assert_int_equal(ring.cap, 60 - drop);
        assert_int_equal(rt_ring_room(&ring), 0);
        assert_null(rt_ring_space(&ring, &size));
        assert_int_equal(size, 0);
        assert_int_equal(rt_ring_copy(&ring, 40 + drop, got, sizeof(got)), 60 - drop);
        for (unsigned i = 0; i < 60 - drop; i++) {
            assert_int_equal(got[i], 40 + drop + i);
        }
        (void)rt_ring_peek(&ring, 100, &size);
        assert_int_equal(size, 0);
        rt_ring_close(&ring);
    }
}

/* A ring that grows keeps what it holds, wherever that lies, and each offset. */
static void test_grow(void **state)
{
    for (unsigned drop = 0; drop <= 60; drop += 20) {
        struct rt_ring ring;
        uint8_t got[128];

        (void)state;
        rt_ring_init(&ring, 64);
        rt_ring_grow(&ring, 65);
        assert_null(ring.data); /* not before it is made */
        assert_int_equal(rt_ring_make(&ring), 0);
        go_round(&ring, 100);
        rt_ring_drop(&ring, 40 + drop);
        rt_ring_grow(&ring, 128);
        assert_int_equal(rt_ring_room(&ring), 128 - (60 - drop));
        assert_int_equal(rt_ring_append(&ring, "abc", 3), 3);
        assert_int_equal(rt_ring_copy(&ring, 40 + drop, got, sizeof(got)), 63 - drop);
        for (unsigned i = 0; i < 60 - drop; i++) {
            assert_int_equal(got[i], 40 + drop + i);
        }
        assert_memory_equal(got + 60 - drop, "abc", 3);
        rt_ring_close(&ring);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_lines),  cmocka_unit_test(test_shrink),    cmocka_unit_test(test_model),
        cmocka_unit_test(test_full),        cmocka_unit_test(test_wrap),      cmocka_unit_test(test_digest_part),
        cmocka_unit_test(test_begins_anew), cmocka_unit_test(test_no_memory), cmocka_unit_test(test_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
