/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/receiver.h"

#include "session/core/frame.h"
#include "session/core/protocol.h"
#include "session/core/ring.h"
#include "session/core/sender.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What a receiver takes, keeps, tells and forgets, whichever end of a link it is at; and a sender and a receiver
 * together, with channels that break between them. */

#define CHANNEL 7
#define STREAM_MAX 100000
#define WINDOW 2000
#define NEVER UINT64_MAX
#define WALKS 300
#define STEPS 500

static uint8_t stream[STREAM_MAX]; /* byte o of the stream is stream[o] */
static struct rt_receiver receiver;

static int make(void **state)
{
    (void)state;
    for (size_t i = 0; i < STREAM_MAX; i++) {
        stream[i] = (uint8_t)(i * 2654435761U >> 11);
    }
    return 0;
}

static void begin_with(size_t window, size_t most)
{
    memset(&receiver, 0, sizeof(receiver));
    rt_receiver_init(&receiver, window, most);
    rt_receiver_start(&receiver, 0);
    rt_receiver_bind(&receiver);
}

static void begin(size_t window)
{
    begin_with(window, window);
}

static enum rt_received bytes(uint64_t offset, const uint8_t *data, size_t size)
{
    return rt_receiver_take(&receiver, &(struct rt_frame){.type = RT_DATA, .offset = offset, .length = (uint32_t)size},
                            data);
}

static enum rt_received data(uint64_t from, uint64_t to)
{
    return bytes(from, stream + from, (size_t)(to - from));
}

static enum rt_received gap(uint64_t from, uint64_t to)
{
    uint8_t payload[RT_GAP_PAYLOAD];
    rt_put_u64(payload, to);
    return rt_receiver_take(&receiver, &(struct rt_frame){.type = RT_GAP, .offset = from}, payload);
}

static enum rt_received fin(uint64_t offset)
{
    return rt_receiver_take(&receiver, &(struct rt_frame){.type = RT_FIN, .offset = offset}, NULL);
}

struct ack {
    uint64_t offset, limit, digest;
    bool fin;
};

static struct ack put_ack(void)
{
    uint8_t out[RT_FRAME_HEADER + RT_ACK_PAYLOAD];
    struct rt_frame frame;
    assert_int_equal(rt_receiver_put_ack(&receiver, CHANNEL, 1, out, sizeof(out) - 1), 0);
    assert_int_equal(rt_receiver_put_ack(&receiver, CHANNEL, 1, out, sizeof(out)), sizeof(out));
    rt_frame_get(out, &frame);
    assert_int_equal(frame.type, RT_ACK);
    assert_int_equal(frame.channel, CHANNEL);
    return (struct ack){frame.offset, rt_get_u64(out + RT_FRAME_HEADER), rt_get_u64(out + RT_FRAME_HEADER + 8),
                        frame.flags == RT_ACK_FIN};
}

static uint64_t digest_of(uint64_t from, uint64_t to)
{
    struct rt_digest digest;
    rt_digest_start(&digest, from);
    rt_digest_extend(&digest, stream + from, (size_t)(to - from));
    return rt_digest_value(&digest);
}

/* The application takes size bytes, which must be there and right. */
static void consume(uint64_t size)
{
    while (size > 0) {
        size_t part;
        const uint8_t *bytes = rt_receiver_peek(&receiver, &part);
        assert_non_null(bytes);
        part = part < size ? part : (size_t)size;
        assert_memory_equal(bytes, stream + receiver.consumed, part);
        rt_receiver_consume(&receiver, part);
        size -= part;
    }
}

/* The numbers of the example in receiver.c. */
static void test_example(void **state)
{
    (void)state;
    size_t size;
    begin(1000);
    (void)put_ack();
    assert_int_equal(data(0, 300), RT_RECEIVED);
    consume(200);
    (void)put_ack();
    consume(100);
    assert_int_equal(data(300, 700), RT_RECEIVED);
    assert_int_equal(gap(700, 900), RT_RECEIVED);
    assert_int_equal(data(900, 1100), RT_RECEIVED);
    assert_int_equal(receiver.told, 200);
    assert_int_equal(receiver.limit, 1200);
    assert_int_equal(receiver.ring.head - receiver.ring.base, 600);
    struct ack ack = put_ack();
    assert_int_equal(ack.offset, 300);
    assert_int_equal(ack.limit, 1500);
    assert_true(ack.digest == digest_of(0, 300));
    (void)rt_receiver_peek(&receiver, &size);
    assert_int_equal(size, 400);
    assert_false(rt_receiver_gap_is_next(&receiver));
    consume(400);
    assert_null(rt_receiver_peek(&receiver, &size));
    assert_true(rt_receiver_gap_is_next(&receiver));
    rt_receiver_skip_gap(&receiver);
    consume(200);
    ack = put_ack();
    assert_int_equal(ack.offset, 1100);
    assert_true(ack.digest == digest_of(900, 1100));
    rt_receiver_close(&receiver);
}

/* I6: nothing is left out and nothing comes twice without being noticed, also where the offset was had. */
static void test_only_what_is_next(void **state)
{
    (void)state;
    begin(WINDOW);
    (void)put_ack();
    assert_int_equal(data(0, 100), RT_RECEIVED);
    assert_int_equal(data(99, 120), RT_RECEIVED_JUMP);
    assert_int_equal(data(50, 60), RT_RECEIVED_JUMP);
    assert_int_equal(data(101, 102), RT_RECEIVED_JUMP);
    assert_int_equal(gap(99, 200), RT_RECEIVED_JUMP);
    assert_int_equal(gap(101, 200), RT_RECEIVED_JUMP);
    assert_int_equal(fin(101), RT_RECEIVED_JUMP);
    assert_int_equal(data(100, WINDOW + 1), RT_RECEIVED_OVER_LIMIT);
    assert_int_equal(data(100, WINDOW), RT_RECEIVED);
    assert_int_equal(receiver.next, WINDOW);
    rt_receiver_close(&receiver);
}

static void test_ends(void **state)
{
    (void)state;
    begin(WINDOW);
    (void)put_ack();
    assert_int_equal(data(0, 100), RT_RECEIVED);
    assert_int_equal(rt_receiver_end(&receiver, 99), RT_RECEIVED_OVER_END);
    assert_int_equal(rt_receiver_end(&receiver, 200), RT_RECEIVED);
    assert_int_equal(data(100, 201), RT_RECEIVED_OVER_END);
    assert_int_equal(gap(100, 201), RT_RECEIVED_OVER_END);
    assert_int_equal(data(100, 200), RT_RECEIVED);
    consume(200);
    assert_false(put_ack().fin); /* FIN has not come */
    assert_int_equal(fin(200), RT_RECEIVED);
    assert_true(rt_receiver_plan(&receiver, 0, 1000));
    assert_true(put_ack().fin);
    assert_int_equal(fin(200), RT_RECEIVED); /* the answer was lost */
    assert_true(rt_receiver_plan(&receiver, 0, 1000));
    assert_true(put_ack().fin);
    rt_receiver_close(&receiver);
}

/* A new channel brings again what was not consumed, and the end, unless that was. */
static void test_rebinding(void **state)
{
    (void)state;
    begin(WINDOW);
    (void)put_ack();
    assert_int_equal(data(0, 100), RT_RECEIVED);
    assert_int_equal(gap(100, 150), RT_RECEIVED);
    assert_int_equal(fin(150), RT_RECEIVED);
    consume(60);
    rt_receiver_bind(&receiver);
    assert_int_equal(receiver.limit, 60 + RT_INITIAL_CREDIT);
    assert_true(rt_receiver_plan(&receiver, 0, 1000));
    struct ack ack = put_ack();
    assert_int_equal(ack.offset, 60);
    assert_int_equal(ack.limit, 60 + WINDOW);
    assert_int_equal(data(60, 200), RT_RECEIVED); /* another end than before */
    consume(140);
    assert_int_equal(fin(200), RT_RECEIVED);
    rt_receiver_bind(&receiver);
    assert_true(rt_receiver_is_done(&receiver));
    assert_true(put_ack().fin);
    assert_int_equal(data(200, 201), RT_RECEIVED_OVER_END);
    rt_receiver_close(&receiver);
}

/* More gaps than there is room for: the last ones become one, with what lies between them. */
static void test_gaps_join(void **state)
{
    (void)state;
    size_t size;
    begin(WINDOW);
    (void)put_ack();
    for (uint64_t i = 0; i < UINT64_C(3) * RT_GAPS_MAX; i++) {
        assert_int_equal(data(10 * i, 10 * i + 5), RT_RECEIVED);
        assert_int_equal(gap(10 * i + 5, 10 * i + 10), RT_RECEIVED);
    }
    for (uint64_t i = 0; i < RT_GAPS_MAX; i++) {
        consume(5);
        assert_true(rt_receiver_gap_is_next(&receiver));
        rt_receiver_skip_gap(&receiver);
    }
    assert_int_equal(receiver.consumed, 30 * RT_GAPS_MAX);
    assert_null(rt_receiver_peek(&receiver, &size));
    assert_int_equal(receiver.ring.base, receiver.ring.head);
    rt_receiver_close(&receiver);
}

static void test_no_limit_beyond_the_last_offset(void **state)
{
    (void)state;
    begin(WINDOW);
    assert_int_equal(gap(0, RT_COUNTER_MAX - 100), RT_RECEIVED);
    assert_int_equal(put_ack().limit, RT_COUNTER_MAX - 1);
    rt_receiver_close(&receiver);
}

/* When an ACK is due: at once after a binding, for a quarter of the window, for a sender that would stop, for an end;
 * else after the delay. Nothing consumed: nothing to tell. */
static void test_when_to_tell(void **state)
{
    (void)state;
    begin(4000);
    assert_true(rt_receiver_plan(&receiver, 0, 20));
    (void)put_ack();
    assert_int_equal(data(0, 2000), RT_RECEIVED);
    assert_false(rt_receiver_plan(&receiver, 50, 20));
    assert_int_equal(receiver.ack_at, NEVER);
    consume(100);
    assert_false(rt_receiver_plan(&receiver, 50, 20));
    assert_int_equal(receiver.ack_at, 70);
    consume(100);
    assert_false(rt_receiver_plan(&receiver, 60, 20));
    assert_int_equal(receiver.ack_at, 70); /* from the first that waits */
    assert_true(rt_receiver_plan(&receiver, 70, 20));
    assert_int_equal(put_ack().offset, 200);
    consume(999);
    assert_false(rt_receiver_plan(&receiver, 80, 20));
    consume(1);
    assert_true(rt_receiver_plan(&receiver, 80, 20));
    assert_int_equal(put_ack().limit, 5200);
    assert_int_equal(data(2000, 5200), RT_RECEIVED); /* all that was granted: it stops */
    assert_false(rt_receiver_plan(&receiver, 90, 20));
    consume(1);
    assert_true(rt_receiver_plan(&receiver, 90, 20));
    (void)put_ack();
    consume(1);
    assert_true(rt_receiver_plan(&receiver, 95, 0)); /* a delay of nothing */
    rt_receiver_close(&receiver);
}

/* All that was granted comes trip_ms later and is consumed, then one byte more. Returns the window. */
static size_t window_after(uint64_t *now, uint64_t trip_ms)
{
    *now += trip_ms;
    assert_int_equal(data(receiver.next, receiver.mark), RT_RECEIVED);
    consume(receiver.next - receiver.consumed);
    assert_true(rt_receiver_plan(&receiver, *now, 20));
    (void)put_ack();
    assert_int_equal(data(receiver.next, receiver.next + 1), RT_RECEIVED);
    consume(1);
    return receiver.ring.cap;
}

/* The window follows the link: it doubles, up to its bound, where a sender used all of it and that took long. */
static void test_window_follows(void **state)
{
    uint64_t now = 1000;

    (void)state;
    begin_with(1000, 3000);
    assert_true(rt_receiver_plan(&receiver, now, 20));
    (void)put_ack();
    assert_int_equal(window_after(&now, RT_WINDOW_TRIP_MS - 1), 1000); /* soon enough */
    assert_int_equal(window_after(&now, RT_WINDOW_TRIP_MS), 2000);
    assert_int_equal(window_after(&now, 10), 3000);
    assert_int_equal(window_after(&now, 10), 3000);
    rt_receiver_close(&receiver);
}

/* It stays where a reader is slow, where the sender had more credit, and for a stream that may not have more. Bytes
 * that are looked at keep their place. */
static void test_window_stays(void **state)
{
    const uint8_t *seen;
    uint64_t limit;
    size_t size;

    (void)state;
    begin_with(1000, 3000);
    (void)rt_receiver_plan(&receiver, 0, 20);
    (void)put_ack();
    assert_int_equal(data(0, 1000), RT_RECEIVED); /* the limit, 10 ms later, and nobody reads */
    (void)rt_receiver_plan(&receiver, 10, 20);
    consume(1000);
    (void)rt_receiver_plan(&receiver, 10, 20);
    limit = put_ack().limit;
    assert_int_equal(limit, 2000);
    assert_int_equal(data(1000, 1990), RT_RECEIVED);
    consume(990);
    (void)rt_receiver_plan(&receiver, 30, 20);
    assert_int_equal(put_ack().limit, 2990);
    assert_int_equal(data(1990, 2010), RT_RECEIVED); /* over the mark: it did not stop there */
    consume(20);
    (void)rt_receiver_plan(&receiver, 40, 20);
    assert_int_equal(put_ack().limit, 3010);
    rt_receiver_close(&receiver);

    begin_with(1000, 3000);
    (void)put_ack(); /* the first of a channel, which nobody has planned */
    assert_int_equal(data(0, 1000), RT_RECEIVED);
    consume(1000);
    (void)rt_receiver_plan(&receiver, 50, 20);
    assert_int_equal(put_ack().limit, 2000);
    assert_int_equal(data(1000, 1001), RT_RECEIVED);
    assert_int_equal(receiver.ring.cap, 1000);
    rt_receiver_close(&receiver);

    begin_with(1000, 3000);
    (void)rt_receiver_plan(&receiver, 0, 20);
    (void)put_ack();
    assert_int_equal(data(0, 1000), RT_RECEIVED);
    consume(600);
    seen = rt_receiver_peek(&receiver, &size);
    (void)rt_receiver_plan(&receiver, 10, 20);
    (void)put_ack();
    assert_int_equal(data(1000, 1100), RT_RECEIVED);
    assert_ptr_equal(rt_receiver_peek(&receiver, &size), seen);
    consume(500);
    assert_int_equal(data(1100, 1101), RT_RECEIVED); /* now nobody looks */
    assert_int_equal(rt_ring_room(&receiver.ring), 1999);
    rt_receiver_close(&receiver);
}

static void test_items(void **state)
{
    (void)state;
    const uint8_t items[] = {0, 3, 'a', 'b', 'c', 0, 0};
    const uint8_t longest[] = {0x10, 0x01};
    uint8_t out[2 + RT_ITEM_MAX];
    begin(WINDOW);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(rt_receiver_item(&receiver, out, sizeof(out)), 0);
        assert_int_equal(bytes(i, items + i, 1), RT_RECEIVED);
    }
    assert_int_equal(rt_receiver_item(&receiver, out, sizeof(out)), 5);
    assert_memory_equal(out, items, 5);
    rt_receiver_consume(&receiver, 5);
    assert_int_equal(bytes(5, items + 5, 2), RT_RECEIVED);
    assert_int_equal(rt_receiver_item(&receiver, out, sizeof(out)), RT_EPROTO);
    rt_receiver_bind(&receiver);
    assert_int_equal(bytes(5, longest, 2), RT_RECEIVED);
    assert_int_equal(rt_receiver_item(&receiver, out, sizeof(out)), RT_EPROTO);
    rt_receiver_bind(&receiver);
    assert_int_equal(bytes(5, items, 4), RT_RECEIVED); /* a gap in the middle of an item */
    assert_int_equal(gap(9, 20), RT_RECEIVED);
    assert_int_equal(rt_receiver_item(&receiver, out, sizeof(out)), 0);
    rt_receiver_skip_gap(&receiver);
    assert_int_equal(receiver.consumed, 20);
    assert_int_equal(bytes(20, items, 5), RT_RECEIVED);
    assert_int_equal(rt_receiver_item(&receiver, out, sizeof(out)), 5);
    rt_receiver_close(&receiver);
}

/* ---- a sender and a receiver ---- */

static struct rt_ring ring;
static struct rt_sender sender;
static uint64_t random_state, missed;

static uint64_t below(uint64_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % n;
}

/* One frame goes over. False: the sender has none. */
static bool pass(size_t most)
{
    static uint8_t out[RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX];
    struct rt_sender_turn turn = {.channel = CHANNEL, .stream = 1, .most = most};
    struct rt_frame frame;
    if (rt_sender_put(&sender, &ring, &turn, out, sizeof(out)) == 0) {
        return false;
    }
    rt_frame_get(out, &frame);
    assert_int_equal(rt_receiver_take(&receiver, &frame, out + RT_FRAME_HEADER), RT_RECEIVED);
    return true;
}

static void tell(bool lost)
{
    uint8_t out[RT_FRAME_HEADER + RT_ACK_PAYLOAD];
    struct rt_frame frame;
    assert_int_equal(rt_receiver_put_ack(&receiver, CHANNEL, 1, out, sizeof(out)), sizeof(out));
    rt_frame_get(out, &frame);
    if (!lost) {
        assert_int_equal(rt_sender_ack(&sender, &ring, &frame, out + RT_FRAME_HEADER), RT_FAR_TRUE);
    }
}

/* The channel breaks and all that is on it; ATTACH names what was consumed. */
static void rebind(void)
{
    assert_int_equal(
        rt_sender_resume(&sender, &ring, receiver.consumed, receiver.digest.from, rt_digest_value(&receiver.digest)),
        RT_FAR_TRUE);
    rt_sender_bind(&sender, &ring);
    rt_receiver_bind(&receiver);
}

static void read_some(void)
{
    size_t size;
    if (rt_receiver_gap_is_next(&receiver)) {
        missed += receiver.gaps[0].to - receiver.gaps[0].from;
        rt_receiver_skip_gap(&receiver);
    } else if (rt_receiver_peek(&receiver, &size) != NULL) {
        consume(1 + below(size));
    }
}

static void step(void)
{
    uint64_t room = rt_ring_room(&ring), base;
    switch (below(10)) {
    case 0:
    case 1:
        if (ring.head + room < STREAM_MAX) {
            (void)rt_ring_append(&ring, stream + ring.head, (size_t)below(room + 1));
        }
        break;
    case 2:
        base = ring.base + below(ring.head - ring.base + 1);
        rt_sender_overwritten(&sender, &ring, base);
        rt_ring_drop(&ring, base);
        break;
    case 3:
    case 4:
    case 5:
        (void)pass(1 + (size_t)below(300));
        break;
    case 6:
    case 7:
        read_some();
        break;
    case 8:
        if (rt_receiver_plan(&receiver, below(100), 20)) {
            tell(false);
        }
        break;
    default:
        if (below(2) == 0) {
            tell(true); /* it had told, and it was lost with the channel */
        }
        rebind();
        break;
    }
}

/* I1, I2, I6: whatever breaks and is overwritten between them, the reader has each byte once and right (consume()), or
 * was told a gap; and at the end both know that it has all. */
static void test_walks(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= WALKS; seed++) {
        random_state = seed * UINT64_C(0x9e3779b97f4a7c15);
        missed = 0;
        begin(RT_INITIAL_CREDIT + (size_t)below(2000));
        memset(&sender, 0, sizeof(sender));
        rt_ring_init(&ring, 1 + (size_t)below(1500));
        assert_int_equal(rt_ring_make(&ring), 0);
        rt_sender_start(&sender, &ring, 0);
        rt_sender_bind(&sender, &ring);
        for (int i = 0; i < STEPS; i++) {
            step();
        }
        ring.ended = true;
        for (int i = 0; !sender.fin_acked; i++) {
            assert_true(i < 100000);
            (void)pass(SIZE_MAX);
            read_some();
            tell(false);
        }
        assert_true(rt_receiver_is_done(&receiver));
        assert_int_equal(receiver.consumed, ring.head);
        assert_true(missed <= receiver.consumed);
        rt_ring_close(&ring);
        rt_receiver_close(&receiver);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example),      cmocka_unit_test(test_only_what_is_next),
        cmocka_unit_test(test_ends),         cmocka_unit_test(test_rebinding),
        cmocka_unit_test(test_gaps_join),    cmocka_unit_test(test_no_limit_beyond_the_last_offset),
        cmocka_unit_test(test_when_to_tell), cmocka_unit_test(test_items),
        cmocka_unit_test(test_walks),        cmocka_unit_test(test_window_follows),
        cmocka_unit_test(test_window_stays),
    };
    return cmocka_run_group_tests(tests, make, NULL);
}
