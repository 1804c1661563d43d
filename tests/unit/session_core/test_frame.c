/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

/* The table of protocol.md section 1 a second time, as it reads there. */
struct row {
    const char *name;
    uint32_t min, max;   /* payload bytes */
    const char *streams; /* digits */
    uint8_t type, flags;
    char channel; /* '0', '+' not 0, '?' any */
    char offset;  /* '0', 'c' counter, 's' counter of the first byte, 't' token */
};

static const struct row rows[] = {
    {"HELLO", 1, 2048, "0", 1, 0, '0', '0'},      {"WELCOME", 1, 65536, "0", 2, 0, '0', '0'},
    {"CONFIRM", 0, 0, "0", 3, 0, '0', '0'},       {"REPORT", 1, 65536, "0", 4, 0, '0', '0'},
    {"REFUSE", 1, 65536, "0", 5, 0, '?', '0'},    {"PING", 0, 0, "0", 6, 0, '0', 't'},
    {"PONG", 0, 0, "0", 7, 0, '0', 't'},          {"REQUEST", 1, 65536, "0", 8, 0, '0', 'c'},
    {"REPLY", 1, 65536, "0", 9, 0, '0', 'c'},     {"TAIL", 0, 65536, "12", 10, 0, '0', 's'},
    {"END", 1, 65536, "0", 11, 0, '0', '0'},      {"END_OK", 1, 65536, "0", 12, 0, '0', '0'},
    {"ATTACH", 1, 65536, "0", 16, 0, '+', '0'},   {"ATTACHED", 1, 65536, "0", 17, 0, '+', '0'},
    {"DATA", 1, 65536, "01234", 18, 0, '+', 's'}, {"ACK", 16, 16, "01234", 19, 1, '+', 'c'},
    {"FIN", 0, 0, "0124", 20, 1, '+', 'c'},       {"GAP", 8, 8, "123", 21, 0, '+', 'c'},
    {"DETACH", 0, 0, "0", 22, 0, '+', '0'},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static struct rt_frame good(const struct row *row)
{
    return (struct rt_frame){
        .length = row->min,
        .type = row->type,
        .stream = (uint16_t)(row->streams[0] - '0'),
        .channel = row->channel == '+' ? 1 : 0,
    };
}

static bool passes(const struct rt_frame *frame)
{
    const char *why = "unset";
    int rc = rt_frame_check(frame, &why);
    if (rc == 0) {
        assert_null(why);
    } else {
        assert_int_equal(rc, RT_EPROTO);
        assert_non_null(why);
    }
    return rc == 0;
}

static void expect_why(const struct rt_frame *frame, const char *part)
{
    const char *why = NULL;
    assert_int_equal(rt_frame_check(frame, &why), RT_EPROTO);
    assert_non_null(strstr(why, part));
}

static void test_layout(void **state)
{
    (void)state;
    static const uint8_t bytes[RT_FRAME_HEADER] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a,
                                                   0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14};
    struct rt_frame frame;
    rt_frame_get(bytes, &frame);
    assert_int_equal(frame.length, 0x01020304);
    assert_int_equal(frame.type, 5);
    assert_int_equal(frame.flags, 6);
    assert_int_equal(frame.stream, 0x0708);
    assert_int_equal(frame.channel, 0x090a0b0c);
    assert_true(frame.offset == UINT64_C(0x0d0e0f1011121314));
    uint8_t out[RT_FRAME_HEADER];
    rt_frame_put(out, &frame);
    assert_memory_equal(out, bytes, sizeof(bytes));
    memset(&frame, 0xff, sizeof(frame));
    rt_frame_put(out, &frame);
    struct rt_frame again;
    rt_frame_get(out, &again);
    assert_int_equal(again.length, UINT32_MAX);
    assert_int_equal(again.stream, UINT16_MAX);
    assert_true(again.offset == UINT64_MAX);
}

static void test_u64(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
    uint8_t bytes[8];
    rt_put_u64(bytes, UINT64_C(0xfedcba9876543210));
    assert_memory_equal(bytes, expected, 8);
    assert_true(rt_get_u64(expected) == UINT64_C(0xfedcba9876543210));
}

static void test_types(void **state)
{
    (void)state;
    size_t known = 0;
    for (unsigned type = 0; type <= UINT8_MAX; type++) {
        if (known < ROWS && rows[known].type == type) {
            struct rt_frame frame = good(&rows[known]);
            assert_true(passes(&frame));
            assert_string_equal(rt_frame_name((uint8_t)type), rows[known].name);
            known++;
            continue;
        }
        struct rt_frame frame = {.type = (uint8_t)type, .channel = 1};
        expect_why(&frame, "unknown frame type");
        assert_string_equal(rt_frame_name((uint8_t)type), "?");
    }
    assert_int_equal(known, ROWS);
}

static void test_lengths(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        struct rt_frame frame = good(&rows[i]);
        frame.length = rows[i].max;
        assert_true(passes(&frame));
        frame.length = rows[i].max + 1;
        expect_why(&frame, "payload is");
        frame.length = UINT32_MAX;
        expect_why(&frame, "longer than 65536");
        if (rows[i].min > 0) {
            frame.length = rows[i].min - 1;
            expect_why(&frame, "too short");
        }
    }
}

static void test_streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        struct rt_frame frame = good(&rows[i]);
        for (unsigned stream = 0; stream <= UINT16_MAX; stream++) {
            frame.stream = (uint16_t)stream;
            bool allowed = stream < 10 && strchr(rows[i].streams, '0' + (int)stream) != NULL;
            assert_int_equal(passes(&frame), allowed);
        }
        frame.stream = RT_STREAMS;
        expect_why(&frame, "stream is not allowed");
    }
}

static void test_flags(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        struct rt_frame frame = good(&rows[i]);
        for (unsigned flags = 0; flags <= UINT8_MAX; flags++) {
            frame.flags = (uint8_t)flags;
            assert_int_equal(passes(&frame), flags == 0 || flags == rows[i].flags);
        }
        expect_why(&frame, "unknown flag");
    }
}

static void test_channels(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        struct rt_frame frame = good(&rows[i]);
        frame.channel = 0;
        assert_int_equal(passes(&frame), rows[i].channel != '+');
        frame.channel = 1;
        assert_int_equal(passes(&frame), rows[i].channel != '0');
        frame.channel = UINT32_MAX;
        assert_int_equal(passes(&frame), rows[i].channel != '0');
    }
}

static void test_offsets(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        struct rt_frame frame = good(&rows[i]);
        char rule = rows[i].offset;
        frame.offset = 1;
        assert_int_equal(passes(&frame), rule != '0');
        frame.offset = RT_COUNTER_MAX;
        assert_int_equal(passes(&frame), rule == 't');
        frame.offset = UINT64_MAX;
        assert_int_equal(passes(&frame), rule == 't');
        frame.offset = RT_COUNTER_MAX - 1;
        assert_int_equal(passes(&frame), rule == 't' || rule == 'c' || (rule == 's' && frame.length == 0));
        if (rule == 's') {
            frame.length = rows[i].max;
            frame.offset = RT_COUNTER_MAX - 1 - rows[i].max;
            assert_true(passes(&frame));
            frame.offset++;
            expect_why(&frame, "offset after the last byte");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),   cmocka_unit_test(test_u64),     cmocka_unit_test(test_types),
        cmocka_unit_test(test_lengths),  cmocka_unit_test(test_streams), cmocka_unit_test(test_flags),
        cmocka_unit_test(test_channels), cmocka_unit_test(test_offsets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
