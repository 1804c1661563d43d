/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct rt_order order;

static void next(uint64_t out, uint64_t err, unsigned stream, uint64_t to)
{
    const uint64_t at[2] = {out, err};
    uint64_t got;

    assert_int_equal(rt_order_next(&order, at, &got), stream);
    assert_true(got == to);
}

static void test_one_stream(void **state)
{
    (void)state;
    next(0, 0, 0, UINT64_MAX);
    rt_order_add(&order, 1, 5);
    rt_order_add(&order, 1, 9);
    next(0, 0, 1, UINT64_MAX);
    assert_null(order.end);
    rt_order_clear(&order);
}

static void test_turns(void **state)
{
    (void)state;
    rt_order_add(&order, 0, 4);
    rt_order_add(&order, 0, 10);
    rt_order_add(&order, 1, 6);
    rt_order_add(&order, 0, 14);
    rt_order_add(&order, 1, 9);
    next(0, 0, 0, 10);
    next(9, 0, 0, 10);
    next(10, 0, 1, 6);
    next(10, 6, 0, 14);
    next(14, 6, 1, UINT64_MAX); /* the newest run may grow */
    next(14, 9, 1, UINT64_MAX);
    next(14, 0, 1, 6); /* one stream was ahead of the other */
    next(0, 9, 0, 10);
    rt_order_add(&order, 1, 12);
    next(14, 9, 1, UINT64_MAX);
    rt_order_clear(&order);
}

/* The oldest are forgotten: they come first, stream by stream. */
static void test_many(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= UINT64_C(2) * RT_ORDER_RUNS_MAX; i++) {
        rt_order_add(&order, 0, i);
        rt_order_add(&order, 1, i);
    }
    next(0, 0, 0, 3 * RT_ORDER_RUNS_MAX / 2 + 1);
    next(3 * RT_ORDER_RUNS_MAX / 2 + 1, 0, 1, 3 * RT_ORDER_RUNS_MAX / 2 + 1);
    next(2000, 1999, 1, 2000);
    next(2000, 2000, 0, 2001);
    rt_order_clear(&order);
}

/* Against a plain list of all bytes. */
static void test_random(void **state)
{
    enum { BYTES = 4000 };
    static uint8_t of[BYTES];
    uint64_t end[2] = {0, 0}, at[2] = {0, 0};

    (void)state;
    srand(7);
    for (size_t i = 0; i < BYTES;) {
        unsigned stream = (unsigned)rand() % 2;
        size_t size = 1 + (size_t)rand() % 20;

        for (; size > 0 && i < BYTES; size--, i++) {
            of[i] = (uint8_t)stream;
            end[stream]++;
        }
        rt_order_add(&order, stream, end[stream]);
    }
    for (size_t i = 0; i < BYTES;) {
        uint64_t to;
        unsigned stream = rt_order_next(&order, at, &to);

        assert_true(to > at[stream]);
        for (; at[stream] < to && i < BYTES; at[stream]++, i++) {
            assert_int_equal(of[i], stream);
        }
    }
    rt_order_clear(&order);
}

/* ---- packed ---- */

static uint8_t packed[RT_ORDER_PACKED_MAX];
static struct rt_run runs[RT_ORDER_PACKED_MAX];

static size_t pack(uint64_t out, uint64_t err)
{
    const uint64_t start[2] = {out, err};

    return rt_order_pack(&order, start, packed);
}

static size_t unpack(const void *bytes, size_t size, uint64_t out, uint64_t err)
{
    const uint64_t end[2] = {out, err};
    size_t n = rt_order_unpack((struct rt_slice){bytes, size}, end, runs);

    assert_int_equal(rt_order_unpack((struct rt_slice){bytes, size}, end, NULL), n);
    return n;
}

static void run_is(size_t i, unsigned stream, uint64_t from, uint64_t to)
{
    assert_int_equal(runs[i].stream, stream);
    assert_true(runs[i].from == from && runs[i].to == to);
}

static void test_packed(void **state)
{
    const uint8_t whole[] = {2, 3, 0x84, 1, 6}, part[] = {2, 3, 50};

    (void)state;
    assert_int_equal(pack(0, 0), 0);
    rt_order_add(&order, 0, 10);
    assert_int_equal(pack(0, 0), 0); /* one stream needs none */
    rt_order_add(&order, 1, 6);
    rt_order_add(&order, 0, 142);
    rt_order_add(&order, 1, 9);
    assert_int_equal(pack(0, 0), sizeof(whole)); /* the oldest is what is left */
    assert_memory_equal(packed, whole, sizeof(whole));
    assert_int_equal(unpack(packed, sizeof(whole), 142, 9), 3);
    run_is(0, 1, 0, 6);
    run_is(1, 0, 10, 142);
    run_is(2, 1, 6, 9);
    assert_int_equal(pack(92, 0), sizeof(part)); /* a tail begins within a run: all else is older */
    assert_memory_equal(packed, part, sizeof(part));
    assert_int_equal(pack(10, 6), 4);
    assert_int_equal(pack(142, 9), 0);
    assert_int_equal(unpack(packed, 0, 142, 9), 0);
    rt_order_clear(&order);
}

/* The oldest have no room. */
static void test_packed_many(void **state)
{
    const uint64_t sizes[] = {1, 127, 128, 16383, 16384};

    (void)state;
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        uint64_t size = sizes[k], end = 3 * (uint64_t)RT_ORDER_RUNS_MAX * size;
        size_t bytes = size < 128 ? 1 : size < 16384 ? 2 : 3, n = (RT_ORDER_PACKED_MAX - 1) / bytes;

        n = n < RT_ORDER_RUNS_MAX - 2 ? n : RT_ORDER_RUNS_MAX - 2; /* the oldest two have forgotten where they begin */

        for (uint64_t i = size; i <= end; i += size) {
            rt_order_add(&order, 0, i);
            rt_order_add(&order, 1, i);
        }
        assert_int_equal(pack(0, 0), 1 + n * bytes);
        assert_int_equal(unpack(packed, 1 + n * bytes, end, end), n);
        run_is(n - 1, 1, end - size, end);
        run_is(n - 2, 0, end - size, end);
        if (size > 1) {
            run_is(0, n % 2, end - (n + 1) / 2 * size, end - (n - 1) / 2 * size);
        }
        rt_order_clear(&order);
    }
}

/* Older bytes first, then the runs: the plain list of all bytes, as far as the order is told. */
static void test_packed_random(void **state)
{
    enum { BYTES = 3000 };
    static uint8_t of[BYTES];

    (void)state;
    for (unsigned seed = 0; seed < 50; seed++) {
        uint64_t end[2] = {0, 0}, start[2], older[2] = {0, 0};
        size_t size, n, at = BYTES;

        srand(seed);
        for (size_t i = 0; i < BYTES;) {
            unsigned stream = (unsigned)rand() % 2;

            for (size_t run = 1 + (size_t)rand() % 300; run > 0 && i < BYTES; run--, i++) {
                of[i] = (uint8_t)stream;
                end[stream]++;
            }
            rt_order_add(&order, stream, end[stream]);
        }
        for (unsigned s = 0; s < 2; s++) {
            start[s] = end[s] == 0 ? 0 : (uint64_t)rand() % end[s];
        }
        size = pack(start[0], start[1]);
        n = unpack(packed, size, end[0], end[1]);
        for (size_t i = n; i-- > 0;) {
            assert_true(runs[i].from >= start[runs[i].stream] && runs[i].from < runs[i].to);
            for (uint64_t b = runs[i].from; b < runs[i].to; b++) {
                assert_int_equal(of[--at], runs[i].stream);
            }
        }
        for (size_t i = 0; i < at; i++) {
            older[of[i]]++;
        }
        for (unsigned s = 0; s < 2 && n > 0; s++) { /* what is told is all of one tail, or all but the oldest run */
            size_t i = 0;

            while (i < n && runs[i].stream != s) {
                i++;
            }
            assert_true(i == n || runs[i].from == older[s]);
        }
        assert_true(n == 0 || older[0] <= start[0] || older[1] <= start[1]);
        rt_order_clear(&order);
    }
}

/* What a peer may send: nothing that reaches beyond the streams, and one way to say a thing. */
static void test_unpack_bad(void **state)
{
    static const struct {
        uint8_t bytes[9];
        size_t size;
    } bad[] = {
        {{1}, 1},                                    /* no run */
        {{0, 1}, 2},                                 /* of no stream */
        {{3, 1}, 2},                                 /* likewise */
        {{1, 0}, 2},                                 /* of no byte */
        {{1, 5, 0, 5}, 4},                           /* likewise */
        {{1, 0x81}, 2},                              /* goes on */
        {{1, 0x81, 0x80}, 3},                        /* likewise */
        {{1, 0x81, 0x00}, 3},                        /* not in its shortest form */
        {{1, 101}, 2},                               /* beyond the stream */
        {{2, 51}, 2},                                /* likewise */
        {{1, 60, 50, 41}, 4},                        /* in two runs */
        {{1, 255, 255, 255, 255, 255, 255, 127}, 8}, /* far beyond */
        {{1, 255, 255, 255, 255, 255, 255, 255, 255}, 9},
    };
    uint8_t many[RT_ORDER_PACKED_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(unpack(bad[i].bytes, bad[i].size, 100, 50), 0);
    }
    assert_int_equal(unpack("\1\144\62", 3, 100, 50), 2);
    memset(many, 1, sizeof(many));
    assert_int_equal(unpack(many, sizeof(many) - 1, 1000, 1000), RT_ORDER_PACKED_MAX - 1);
    assert_int_equal(unpack(many, sizeof(many), 1000, 1000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_stream),    cmocka_unit_test(test_turns),      cmocka_unit_test(test_many),
        cmocka_unit_test(test_random),        cmocka_unit_test(test_packed),     cmocka_unit_test(test_packed_many),
        cmocka_unit_test(test_packed_random), cmocka_unit_test(test_unpack_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
