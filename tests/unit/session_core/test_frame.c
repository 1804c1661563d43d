/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The table of protocol.md section 1 a second time, as it reads there. */
struct row {
    const char *name;
    uint32_t min, max;     /* payload bytes */
    const char *ways;      /* gG guest to agent and back, cC client to agent and back */
    const char *up, *down; /* streams toward the client, toward the guest */
    uint8_t type;
    char channel; /* '0', '+' not 0, '?' any from an agent, else not 0 */
    char offset;  /* '0', 'c' counter, 's' counter of the first byte, 't' token */
};

static const struct row rows[] = {
    {"HELLO", 1, 2048, "gc", "0", "0", 1, '0', '0'},     {"WELCOME", 1, 65536, "GC", "0", "0", 2, '0', '0'},
    {"CONFIRM", 0, 0, "g", "0", "0", 3, '0', '0'},       {"REPORT", 1, 65536, "g", "0", "0", 4, '0', '0'},
    {"REFUSE", 1, 2048, "gGcC", "0", "0", 5, '?', '0'},  {"PING", 0, 0, "gGcC", "0", "0", 6, '0', 't'},
    {"PONG", 0, 0, "gGcC", "0", "0", 7, '0', 't'},       {"REQUEST", 1, 2048, "c", "0", "0", 8, '0', 'c'},
    {"REPLY", 1, 65536, "C", "0", "0", 9, '0', 'c'},     {"TAIL", 0, 65536, "g", "12", "", 10, '0', 's'},
    {"END", 1, 2048, "g", "0", "0", 11, '0', '0'},       {"END_OK", 1, 2048, "G", "0", "0", 12, '0', '0'},
    {"TICKET", 1, 1024, "G", "0", "0", 13, '0', '0'},    {"ATTACH", 1, 2048, "Gc", "0", "0", 16, '+', '0'},
    {"ATTACHED", 1, 2048, "gC", "0", "0", 17, '+', '0'}, {"DATA", 1, 65536, "gGcC", "123", "04", 18, '+', 's'},
    {"ACK", 16, 16, "gGcC", "04", "123", 19, '+', 'c'},  {"FIN", 0, 0, "gGcC", "12", "0", 20, '+', 'c'},
    {"GAP", 8, 8, "gC", "123", "", 21, '+', 'c'},        {"STOP", 0, 0, "gC", "0", "", 22, '+', 'c'},
    {"DETACH", 0, 0, "Gc", "0", "0", 23, '+', '0'},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))
#define UP (RT_WAY_GUEST_AGENT | RT_WAY_AGENT_CLIENT)

static const unsigned ways[] = {RT_WAY_GUEST_AGENT, RT_WAY_AGENT_GUEST, RT_WAY_CLIENT_AGENT, RT_WAY_AGENT_CLIENT};

static struct rt_frame good(const struct row *row)
{
    const char *streams = row->up[0] != '\0' ? row->up : row->down;
    return (struct rt_frame){
        .length = row->min,
        .type = row->type,
        .stream = (uint16_t)(streams[0] - '0'),
        .channel = row->channel == '+' ? 1 : 0,
    };
}

static bool passes_on(const struct rt_frame *frame, unsigned on)
{
    const char *why = "unset";
    int rc = rt_frame_check(frame, on, &why);
    if (rc == 0) {
        assert_null(why);
    } else {
        assert_int_equal(rc, RT_EPROTO);
        assert_non_null(why);
    }
    return rc == 0;
}

static bool passes(const struct rt_frame *frame)
{
    return passes_on(frame, RT_WAY_ANY);
}

static void expect_why(const struct rt_frame *frame, const char *part)
{
    const char *why = NULL;
    assert_int_equal(rt_frame_check(frame, RT_WAY_ANY, &why), RT_EPROTO);
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

static bool in(const char *digits, unsigned stream)
{
    return stream < 10 && strchr(digits, '0' + (int)stream) != NULL;
}

/* Every type, flag and stream on every way. */
static void test_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
            bool goes = strchr(rows[i].ways, "gGcC"[w]) != NULL, up = (ways[w] & UP) != 0;
            struct rt_frame frame = good(&rows[i]);
            frame.channel = rows[i].channel != '0';
            for (unsigned flags = 0; flags <= UINT8_MAX; flags++) {
                const char *streams = up ? rows[i].up : rows[i].down;
                if (flags != 0) { /* "your FIN has been consumed" */
                    streams = flags > 1 || strcmp(rows[i].name, "ACK") != 0 ? "" : up ? "0" : "12";
                }
                frame.flags = (uint8_t)flags;
                for (unsigned stream = 0; stream <= RT_STREAMS + 1; stream++) {
                    frame.stream = (uint16_t)stream;
                    assert_int_equal(passes_on(&frame, ways[w]), goes && in(streams, stream));
                }
            }
            if (!goes) {
                const char *why;
                assert_int_equal(rt_frame_check(&frame, ways[w], &why), RT_EPROTO);
                assert_non_null(strstr(why, "does not go this way"));
            }
        }
    }
}

/* The numbers in a payload are counters too. */
static void test_numbers(void **state)
{
    (void)state;
    uint8_t payload[RT_ACK_PAYLOAD];
    struct rt_frame ack = {.type = RT_ACK, .length = RT_ACK_PAYLOAD, .channel = 1, .offset = 7};
    struct rt_frame gap = {.type = RT_GAP, .length = RT_GAP_PAYLOAD, .stream = 1, .channel = 1, .offset = 7};
    const char *why;
    memset(payload, 0xff, sizeof(payload)); /* a digest may have all bits */
    rt_put_u64(payload, RT_COUNTER_MAX - 1);
    assert_int_equal(rt_frame_check_numbers(&ack, payload, &why), 0);
    assert_int_equal(rt_frame_check_numbers(&gap, payload, &why), 0);
    rt_put_u64(payload, RT_COUNTER_MAX);
    assert_int_equal(rt_frame_check_numbers(&ack, payload, &why), RT_EPROTO);
    assert_string_equal(why, "limit is not below 2^53");
    assert_int_equal(rt_frame_check_numbers(&gap, payload, &why), RT_EPROTO);
    assert_string_equal(why, "its end is not below 2^53");
    rt_put_u64(payload, 7);
    assert_int_equal(rt_frame_check_numbers(&ack, payload, &why), 0);
    assert_int_equal(rt_frame_check_numbers(&gap, payload, &why), RT_EPROTO);
    assert_string_equal(why, "it ends where it begins, or before");
    rt_put_u64(payload, 8);
    assert_int_equal(rt_frame_check_numbers(&gap, payload, &why), 0);
    assert_null(why);
}

/* The next cell of a row of a markdown table, without the blanks around it. */
static bool cell(char **at, char *out, size_t size)
{
    char *end = strchr(*at, '|');
    if (end == NULL) {
        return false;
    }
    size_t from = strspn(*at, " "), to = (size_t)(end - *at);
    while (to > from && (*at)[to - 1] == ' ') {
        to--;
    }
    assert_true(to - from < size);
    memcpy(out, *at + from, to - from);
    out[to - from] = '\0';
    *at = end + 1;
    return true;
}

/* What the text of a direction says, in the letters of `rows`. */
static const char *ways_of(const char *text)
{
    static const char *const known[][2] = {
        {"any", "gGcC"},
        {"guest, client -> agent", "gc"},
        {"agent -> guest, client", "GC"},
        {"guest -> agent", "g"},
        {"agent -> guest", "G"},
        {"client -> agent", "c"},
        {"agent -> client", "C"},
        {"client -> agent -> guest", "Gc"},
        {"guest -> agent -> client", "gC"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i][0], text) == 0) {
            return known[i][1];
        }
    }
    return "?";
}

static void streams_of(const char *text, char digits[8])
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        if (*text >= '0' && *text <= '9') {
            digits[n++] = *text;
        }
    }
    digits[n] = '\0';
}

/* protocol.md says the same. */
static void test_text(void **state)
{
    (void)state;
    char line[512], what[64], digits[8];
    size_t found = 0;
    FILE *file = fopen("docs/protocol.md", "r");
    assert_non_null(file);
    while (found < ROWS && fgets(line, sizeof(line), file) != NULL) {
        const struct row *row = &rows[found];
        char *at = line + 1, *end;
        if (line[0] != '|' || !cell(&at, what, sizeof(what)) || strtoul(what, &end, 10) != row->type || *end != '\0') {
            continue;
        }
        assert_true(cell(&at, what, sizeof(what)));
        assert_string_equal(what, row->name);
        assert_true(cell(&at, what, sizeof(what)));
        assert_string_equal(ways_of(what), row->ways);
        assert_true(cell(&at, what, sizeof(what)));
        assert_true(row->channel == (strcmp(what, "0") == 0 ? '0' : strcmp(what, "yes") == 0 ? '+' : '?'));
        for (int way = 0; way < 2; way++) {
            assert_true(cell(&at, what, sizeof(what)));
            streams_of(what, digits);
            assert_string_equal(digits, way == 0 ? row->up : row->down);
        }
        found++;
    }
    (void)fclose(file);
    assert_int_equal(found, ROWS);
}

static void test_channels(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        struct rt_frame frame = good(&rows[i]);
        frame.channel = 0;
        assert_int_equal(passes(&frame), rows[i].channel != '+');
        if (rows[i].channel == '?') {
            for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
                assert_int_equal(passes_on(&frame, ways[w]), "gGcC"[w] < 'a');
            }
        }
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
        cmocka_unit_test(test_lengths),  cmocka_unit_test(test_ways),    cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_channels), cmocka_unit_test(test_offsets), cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
