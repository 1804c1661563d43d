/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"

#include "tests/unit/session_core/tether_clients.h"
#include "tests/unit/session_core/tether_fixture.h"
#include "tests/unit/session_core/tether_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Frames that an agent must not send, cut frames, floods: the link ends or nothing happens, never anything worse. */

static struct tx tx;

/* A frame of each type that keeps the header's rules. Maps are empty: they lack what they must have. */
static struct rt_frame sample(uint8_t type, uint32_t channel, uint8_t *payload)
{
    struct rt_frame frame = {.type = type, .channel = type >= RT_ATTACH ? channel : 0};
    switch (type) {
    case RT_HELLO:
    case RT_WELCOME:
    case RT_REPORT:
    case RT_REFUSE:
    case RT_REQUEST:
    case RT_REPLY:
    case RT_END:
    case RT_END_OK:
    case RT_ATTACH:
    case RT_ATTACHED:
        payload[0] = 0x80;
        frame.length = 1;
        break;
    case RT_TAIL:
        frame.stream = RT_STDOUT;
        break;
    case RT_DATA:
        frame.length = 1;
        break;
    case RT_ACK:
        frame.length = RT_ACK_PAYLOAD;
        frame.stream = RT_STDOUT;
        rt_put_u64(payload + 8, tx_bytes_digest("", 0));
        break;
    case RT_GAP:
        frame.length = RT_GAP_PAYLOAD;
        frame.stream = RT_STDOUT;
        rt_put_u64(payload, 1);
        break;
    default:
        break;
    }
    return frame;
}

static bool known(uint8_t type)
{
    return type >= RT_HELLO && type <= RT_DETACH && strcmp(rt_frame_name(type), "?") != 0;
}

/* Whether a frame of this type ends the link of a guest that is LIVE. */
static bool ends_live(uint8_t type)
{
    static const uint8_t fine[] = {RT_PING, RT_PONG, RT_DATA, RT_ACK, RT_FIN, RT_DETACH};
    return memchr(fine, type, sizeof(fine)) == NULL;
}

static void test_each_type_before_the_welcome(void **state)
{
    (void)state;
    for (uint8_t type = 0; type < 30; type++) {
        uint8_t payload[64] = {0};
        struct rt_hello_msg hello;
        struct rt_frame frame = sample(type, 9, payload);
        tx_open(&tx, NULL);
        tx_connect(&tx, &hello);
        tx_send(&tx, frame, payload);
        assert_int_equal(tx.hangups, 1);
        assert_int_equal(tx_view(&tx).state, RT_TETHER_DOWN);
        assert_in_range(tx_deadline(&tx), tx.now + 1, tx.now + 500);
        tx_close(&tx);
    }
}

/* Channel 9 is nobody's, 7 is an attachment's; with or without one that is not bound. */
static void live(uint8_t type, uint32_t channel, bool unbound)
{
    uint8_t payload[64] = {0};
    struct rt_frame frame = sample(type, channel, payload);
    struct rt_attach_msg attach = tx_new(1, 1), other = tx_new(2, 1);
    tx_live(&tx, NULL);
    if (unbound) {
        struct rt_refuse_msg gone = {.c = RT_CLASS_LOST};
        tx_bind(&tx, 6, &other);
        tx_refuse(&tx, 6, &gone);
    }
    tx_bind(&tx, 7, &attach);
    tx_send(&tx, frame, payload);
    if (type == RT_ATTACH && channel != 7) { /* its client's fault, not the agent's */
        (void)tx_refused(&tx, channel, RT_CLASS_INVALID);
        assert_int_equal(tx.hangups, 0);
    } else {
        assert_int_equal(tx.hangups, !known(type) || ends_live(type));
    }
    (void)tx_take(&tx);
    tx_close(&tx);
}

static void test_each_type_when_live(void **state)
{
    (void)state;
    for (uint8_t type = 0; type < 30; type++) {
        for (unsigned i = 0; i < 4; i++) {
            live(type, i % 2 ? 7 : 9, i / 2);
        }
    }
}

static void test_headers_that_break_rules(void **state)
{
    (void)state;
    static const struct rt_frame bad[] = {
        {.type = RT_DATA, .channel = 1, .length = RT_FRAME_PAYLOAD_MAX + 1},
        {.type = RT_DATA, .channel = 1, .length = UINT32_MAX},
        {.type = RT_DATA, .channel = 0, .length = 1},
        {.type = RT_DATA, .channel = 1, .length = 1, .offset = RT_COUNTER_MAX},
        {.type = RT_ACK, .channel = 1, .length = 15, .stream = 1},
        {.type = RT_FIN, .channel = 1, .stream = 5},
        {.type = RT_PING, .flags = 2},
        /* of the other direction: an agent lets none of them pass */
        {.type = RT_DATA, .channel = 1, .length = 1, .stream = RT_STDOUT},
        {.type = RT_ACK, .channel = 1, .length = 16, .stream = RT_STDIN},
        {.type = RT_FIN, .channel = 1, .stream = RT_STDOUT},
        {.type = RT_STOP, .channel = 1},
        {.type = RT_GAP, .channel = 1, .length = 8, .stream = RT_STDOUT},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t header[RT_FRAME_HEADER + 16] = {0};
        rt_frame_put(header, &bad[i]);
        tx_live(&tx, NULL);
        assert_int_equal(rt_tether_input(tx.tether, header, sizeof(header), tx.now), sizeof(header));
        tx_next(&tx);
        assert_int_equal(tx.hangups, 1);
        tx_close(&tx);
    }
}

/* Garbage of every length for each map. */
static void test_maps_that_cannot_be_read(void **state)
{
    (void)state;
    static const uint8_t types[] = {RT_WELCOME, RT_REFUSE, RT_END_OK};
    for (size_t i = 0; i < sizeof(types); i++) {
        for (uint32_t size = 1; size < 40; size++) {
            uint8_t payload[64];
            struct rt_hello_msg hello;
            for (size_t k = 0; k < sizeof(payload); k++) {
                payload[k] = (uint8_t)(0xc1 + k * 37 * size);
            }
            tx_open(&tx, NULL);
            tx_connect(&tx, &hello);
            if (types[i] != RT_WELCOME) {
                tx_welcome(&tx, 5, "ticket");
            }
            tx_send(&tx, (struct rt_frame){.type = types[i], .length = size}, payload);
            assert_int_equal(tx.hangups, 1);
            tx_close(&tx);
        }
    }
}

/* An ATTACH that cannot be read costs who sent it its channel; the other attachments go on. */
static void test_attach_that_cannot_be_read(void **state)
{
    (void)state;
    struct rt_attach_msg attach = tx_new(1, 1);
    uint8_t got[2];
    tx_live(&tx, NULL);
    tx_bind(&tx, 1, &attach);
    for (uint32_t size = 1; size < 40; size++) {
        uint8_t payload[64];
        for (size_t k = 0; k < sizeof(payload); k++) {
            payload[k] = (uint8_t)(0xc1 + k * 37 * size);
        }
        tx_send(&tx, (struct rt_frame){.type = RT_ATTACH, .channel = 1 + size, .length = size}, payload);
        assert_true(tx_refused(&tx, 1 + size, RT_CLASS_INVALID).m.size > 0);
    }
    tx_data(&tx, 1, RT_STDIN, 0, "x", 1);
    assert_int_equal(tx_read(&tx, 0, got, 2), 1);
    assert_int_equal(tx.hangups, 0);
    tx_close(&tx);
}

static void test_channel_used_twice(void **state)
{
    (void)state;
    struct rt_attach_msg attach = tx_new(1, 1), other = tx_new(2, 1);
    tx_live(&tx, NULL);
    tx_bind(&tx, 1, &attach);
    tx_attach(&tx, 1, &other);
    assert_int_equal(tx.hangups, 1);
    tx_close(&tx);
}

/* An agent that asks and asks and does not read the answers is dropped before anything is lost silently. */
static void test_flood_of_refusals(void **state)
{
    (void)state;
    struct rt_attach_msg attach = tx_new(1, 1);
    attach.cid = rt_slice_text("other");
    tx_live(&tx, NULL);
    for (uint32_t i = 1; i <= RT_TETHER_REFUSALS_MAX; i++) {
        tx_attach(&tx, i, &attach);
    }
    assert_int_equal(tx.hangups, 0);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_REFUSE), RT_TETHER_REFUSALS_MAX);
    for (uint32_t i = 1; i <= RT_TETHER_REFUSALS_MAX + 1; i++) {
        tx_attach(&tx, 1000 + i, &attach);
    }
    assert_int_equal(tx.hangups, 1);
    tx_run(&tx, 600, false);
    tx_up(&tx);
    assert_int_equal(tx.hangups, 1);
    tx_close(&tx);
}

/* ---- cut anywhere ---- */

/* A session of an agent with one client, as the bytes that reach the tether. */
static size_t script(uint8_t *out, size_t cap)
{
    size_t size = 0;
    struct rt_welcome_msg welcome = {.v = 1, .host = rt_slice_text("h"), .life = 5, .tkt = rt_slice_text("ticket")};
    struct rt_attach_msg attach = tx_new(1, 1);
    struct rt_down_item item = {.t = RT_ITEM_SIGNAL, .sig = 2};
    struct {
        struct rt_frame head;
        enum rt_msg_kind kind;
        const void *msg, *raw;
    } parts[8] = {0};
    uint8_t control[128], ack[RT_ACK_PAYLOAD];
    size_t n = tx_item(control, &item);
    rt_put_u64(ack, 100000);
    rt_put_u64(ack + 8, tx_digest(RT_STDOUT, 0, 100));
    parts[0].head.type = RT_WELCOME;
    parts[0].kind = RT_MSG_WELCOME;
    parts[0].msg = &welcome;
    parts[1].head = (struct rt_frame){.type = RT_ATTACH, .channel = 1};
    parts[1].kind = RT_MSG_ATTACH;
    parts[1].msg = &attach;
    parts[2].head = (struct rt_frame){.type = RT_DATA, .channel = 1, .length = 5};
    parts[2].raw = "hello";
    parts[3].head = (struct rt_frame){.type = RT_ACK, .channel = 1, .stream = 1, .offset = 100, .length = 16};
    parts[3].raw = ack;
    parts[4].head = (struct rt_frame){.type = RT_DATA, .channel = 1, .stream = 4, .length = (uint32_t)(n - 3)};
    parts[4].raw = control;
    parts[5].head = (struct rt_frame){.type = RT_DATA, .channel = 1, .stream = 4, .offset = n - 3, .length = 3};
    parts[5].raw = control + n - 3;
    parts[6].head = (struct rt_frame){.type = RT_FIN, .channel = 1, .offset = 5};
    parts[7].head = (struct rt_frame){.type = RT_PING, .offset = 9};
    for (size_t i = 0; i < 8; i++) {
        assert_true(cap - size > 4096);
        if (parts[i].msg != NULL) {
            parts[i].head.length =
                (uint32_t)rt_msg_encode(parts[i].kind, parts[i].msg, out + size + RT_FRAME_HEADER, 2048);
        } else if (parts[i].raw != NULL) {
            memcpy(out + size + RT_FRAME_HEADER, parts[i].raw, parts[i].head.length);
        }
        rt_frame_put(out + size, &parts[i].head);
        size += RT_FRAME_HEADER + parts[i].head.length;
    }
    return size;
}

/* Feeds [from, to) of the script, keeping what is not taken. */
static size_t feed(const uint8_t *bytes, size_t from, size_t to)
{
    size_t used = rt_tether_input(tx.tether, bytes + from, to - from, tx.now);
    assert_true(used <= to - from);
    tx_next(&tx);
    return from + used;
}

/* What the session came to; its output in tx.out. */
static void play(const uint8_t *bytes, size_t size, size_t ack_at, size_t cut)
{
    struct rt_hello_msg hello;
    uint8_t stdin_bytes[16];
    tx_open(&tx, NULL);
    tx_produce(&tx, 0, RT_STDOUT, 300);
    tx_connect(&tx, &hello);
    /* The client has its output before it acknowledges. */
    size_t at = 0;
    if (cut < ack_at) {
        at = feed(bytes, 0, cut);
    }
    while (at < size) {
        size_t end = at + RT_FRAME_HEADER;
        struct rt_frame frame;
        rt_frame_get(bytes + at, &frame);
        end += frame.length;
        if (frame.type == RT_ACK) { /* the output is taken before, whatever was cut */
            tx.out_size = rt_tether_output(tx.tether, tx.out, tx.out_cap, tx.now);
            tx_parse(&tx);
        }
        if (cut > at && cut < end) {
            assert_int_equal(feed(bytes, at, cut), at);
        }
        at = feed(bytes, at, end);
    }
    assert_int_equal(tx.hangups, 0);
    assert_int_equal(tx.sigs, 1);
    assert_int_equal(tx_read(&tx, 0, stdin_bytes, 16), 5);
    assert_memory_equal(stdin_bytes, "hello", 5);
    assert_int_equal(tx.stdin_ends, 1);
    (void)tx_take(&tx);
    assert_int_equal(tx_frame(&tx, RT_PONG, 0, 0)->head.offset, 9);
    assert_int_equal(tx_in_ack(&tx, 1, RT_STDIN)->head.offset, 5);
    assert_int_equal(tx_in_ack(&tx, 1, RT_STDIN)->head.flags, RT_ACK_FIN);
}

static void test_cut_at_every_byte(void **state)
{
    (void)state;
    static uint8_t bytes[65536], whole[TX_CAP];
    size_t size = script(bytes, sizeof(bytes)), whole_size, ack_at = 0;
    struct rt_frame frame;
    for (rt_frame_get(bytes, &frame); frame.type != RT_ACK; rt_frame_get(bytes + ack_at, &frame)) {
        ack_at += RT_FRAME_HEADER + frame.length;
    }
    play(bytes, size, ack_at, size);
    whole_size = tx.out_size;
    memcpy(whole, tx.out, whole_size);
    tx_close(&tx);
    for (size_t cut = 0; cut < size; cut++) {
        play(bytes, size, ack_at, cut);
        assert_int_equal(tx.out_size, whole_size);
        assert_memory_equal(tx.out, whole, whole_size);
        tx_close(&tx);
    }
}

/* The link is cut after every byte of the session, and of what the guest answers: the next one always works. */
static void test_link_cut_at_every_byte(void **state)
{
    (void)state;
    static uint8_t bytes[65536];
    size_t size = script(bytes, sizeof(bytes));
    for (size_t cut = 0; cut <= size; cut++) {
        struct rt_hello_msg hello;
        struct rt_attach_msg attach = tx_new(2, 1);
        tx_open(&tx, NULL);
        tx_produce(&tx, 0, RT_STDOUT, 300);
        tx_connect(&tx, &hello);
        (void)feed(bytes, 0, cut);
        (void)tx_take(&tx);
        if (tx.up) {
            tx_lost(&tx);
        }
        tx_run(&tx, tx.dialing ? 0 : 600, false);
        tx_up(&tx);
        tx_bind(&tx, 1, &attach);
        struct tx_rx rx = tx_rx(0);
        assert_int_equal(tx_consume(&tx, 1, RT_STDOUT, &rx), 300);
        tx_close(&tx);
    }
}

/* ---- small buffers ---- */

/* Whatever room a call is given, it is not exceeded, and the frames are those of the protocol. */
static void test_small_output_buffers(void **state)
{
    (void)state;
    struct rt_hello_msg hello;
    struct rt_attach_msg attach = tx_new(1, 1);
    for (size_t cap = 1; cap < 2000; cap += 7) {
        tx_open(&tx, NULL);
        tx.out_cap = TX_CAP;
        tx_connect(&tx, &hello);
        tx_welcome(&tx, 5, "ticket");
        tx_attach(&tx, 1, &attach);
        tx_produce(&tx, 0, RT_STDOUT, 5000);
        (void)tx_take(&tx);
        struct tx_rx rx = tx_rx(0);
        (void)tx_consume(&tx, 1, RT_STDOUT, &rx);
        tx_ack(&tx, 1, RT_STDOUT, &rx, 100000);
        tx_produce(&tx, 0, RT_STDOUT, 20000);
        tx.out_cap = cap;
        (void)tx_take(&tx);
        (void)tx_consume(&tx, 1, RT_STDOUT, &rx);
        assert_int_equal(rx.next == 25000, cap > RT_FRAME_HEADER + RT_GAP_PAYLOAD);
        tx_close(&tx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_type_before_the_welcome),
        cmocka_unit_test(test_each_type_when_live),
        cmocka_unit_test(test_headers_that_break_rules),
        cmocka_unit_test(test_maps_that_cannot_be_read),
        cmocka_unit_test(test_attach_that_cannot_be_read),
        cmocka_unit_test(test_channel_used_twice),
        cmocka_unit_test(test_flood_of_refusals),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_link_cut_at_every_byte),
        cmocka_unit_test(test_small_output_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
