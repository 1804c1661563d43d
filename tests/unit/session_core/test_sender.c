/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/sender.h"

#include "session/core/frame.h"
#include "session/core/protocol.h"
#include "session/core/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What a sender keeps, sends again, tells as a gap and compares, whichever end of a link it is at. */

#define CHANNEL 7
#define STREAM_MAX 100000
#define WALKS 300
#define STEPS 400

static uint8_t stream[STREAM_MAX]; /* byte o of the stream is stream[o] */
static struct rt_ring ring;
static struct rt_sender sender;

struct far {       /* who consumes: what it says of itself */
    uint64_t next; /* received up to here */
    struct rt_digest digest;
    uint64_t limit;
    bool fin;
};
static struct far far;

static int make(void **state)
{
    (void)state;
    for (size_t i = 0; i < STREAM_MAX; i++) {
        stream[i] = (uint8_t)(i * 2654435761U >> 11);
    }
    return 0;
}

static void begin(size_t cap)
{
    memset(&sender, 0, sizeof(sender));
    memset(&far, 0, sizeof(far));
    rt_ring_init(&ring, cap);
    assert_int_equal(rt_ring_make(&ring), 0);
    rt_sender_start(&sender, &ring, 0);
    rt_sender_bind(&sender, &ring);
    rt_digest_start(&far.digest, 0);
    far.limit = RT_INITIAL_CREDIT;
}

static void write_up_to(uint64_t end)
{
    size_t size = (size_t)(end - ring.head);
    assert_int_equal(rt_ring_append(&ring, stream + ring.head, size), size);
}

static void give_up(uint64_t base)
{
    rt_sender_overwritten(&sender, &ring, base);
    rt_ring_drop(&ring, base);
}

static void rebind(void)
{
    rt_sender_bind(&sender, &ring);
    far.next = far.digest.at;
    far.limit = far.next + RT_INITIAL_CREDIT;
    far.fin = false;
}

/* Takes one frame into `frame`; the far end has consumed nothing of it yet. False: there was none. */
static bool take(size_t most, struct rt_frame *frame)
{
    static uint8_t out[RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX];
    struct rt_sender_turn turn = {.channel = CHANNEL, .stream = 1, .most = most};
    bool ready = rt_sender_ready(&sender, &ring);
    const char *why = "";
    size_t size = rt_sender_put(&sender, &ring, &turn, out, sizeof(out));

    assert_true(ready == (size > 0) || most == 0);
    if (size == 0) {
        return false;
    }
    rt_frame_get(out, frame);
    assert_int_equal(rt_frame_check(frame, RT_WAY_GUEST_AGENT, &why), 0);
    assert_int_equal(frame->length + RT_FRAME_HEADER, size);
    assert_int_equal(frame->channel, CHANNEL);
    assert_int_equal(frame->offset, far.next); /* nothing left out, nothing twice */
    if (frame->type == RT_DATA) {
        far.next += frame->length;
        assert_true(far.next <= far.limit);
        assert_memory_equal(out + RT_FRAME_HEADER, stream + frame->offset, frame->length);
    } else if (frame->type == RT_GAP) {
        assert_true(rt_get_u64(out + RT_FRAME_HEADER) > far.next);
        far.next = rt_get_u64(out + RT_FRAME_HEADER);
        assert_int_equal(far.next, ring.base);
        rt_digest_start(&far.digest, far.next); /* with an application that takes the gap at once */
    } else {
        assert_int_equal(frame->type, RT_FIN);
        assert_true(ring.ended && frame->offset == ring.head);
        assert_false(far.fin);
        far.fin = true;
    }
    return true;
}

struct cursor { /* what the far end says that it has */
    uint64_t offset, digest, from, limit;
    bool fin;
};

static enum rt_far_verdict resume(const struct cursor *cursor)
{
    return rt_sender_resume(&sender, &ring, cursor->offset, cursor->from, cursor->digest);
}

static enum rt_far_verdict say(const struct cursor *cursor)
{
    uint8_t payload[RT_ACK_PAYLOAD];
    struct rt_frame frame = {.length = RT_ACK_PAYLOAD,
                             .type = RT_ACK,
                             .flags = cursor->fin ? RT_ACK_FIN : 0,
                             .channel = CHANNEL,
                             .offset = cursor->offset};
    rt_put_u64(payload, cursor->limit);
    rt_put_u64(payload + 8, cursor->digest);
    return rt_sender_ack(&sender, &ring, &frame, payload);
}

static struct cursor consumed(uint64_t offset)
{
    rt_digest_extend(&far.digest, stream + far.digest.at, (size_t)(offset - far.digest.at));
    return (struct cursor){
        .offset = offset, .digest = rt_digest_value(&far.digest), .from = far.digest.from, .limit = far.limit};
}

static enum rt_far_verdict ack(uint64_t offset, uint64_t limit)
{
    far.limit = limit;
    struct cursor cursor = consumed(offset);
    cursor.fin = far.fin && offset == ring.head;
    return say(&cursor);
}

/* The numbers of the example in sender.c. */
static void test_example(void **state)
{
    (void)state;
    struct rt_frame frame;
    begin(10000);
    write_up_to(5000);
    assert_true(take(SIZE_MAX, &frame));
    assert_int_equal(ack(0, 12000), RT_FAR_TRUE);
    assert_true(take(SIZE_MAX, &frame));
    assert_int_equal(ack(5000, 12000), RT_FAR_TRUE);
    give_up(5000);
    write_up_to(15000);
    assert_true(take(SIZE_MAX, &frame)); /* its limit is 12000 */
    assert_int_equal(ack(7000, 12000), RT_FAR_TRUE);
    rebind();
    assert_int_equal(sender.sent, 7000);
    assert_int_equal(ack(7000, 13000), RT_FAR_TRUE);
    assert_true(take(4000, &frame));
    assert_int_equal(sender.acked, 7000);
    assert_int_equal(sender.sent, 11000);
    assert_int_equal(sender.high, 12000);
    assert_int_equal(sender.resent, 4000);
    give_up(9000);
    assert_int_equal(sender.digest.at, 9000);
    give_up(14000);
    assert_true(take(SIZE_MAX, &frame));
    assert_int_equal(frame.type, RT_GAP);
    assert_int_equal(frame.offset, 11000);
    assert_int_equal(far.next, 14000);
    assert_int_equal(sender.digest.from, 14000);
    assert_false(take(SIZE_MAX, &frame)); /* beyond the limit of 13000 */
    assert_int_equal(ack(14000, 20000), RT_FAR_TRUE);
    assert_true(take(SIZE_MAX, &frame));
    assert_int_equal(ack(15000, 20000), RT_FAR_TRUE);
    rt_ring_close(&ring);
}

/* I1: a far end that has other bytes, or more than was sent, is told apart, at an ACK and at a resume. */
static void test_another_past(void **state)
{
    (void)state;
    struct rt_frame frame;
    begin(1000);
    write_up_to(500);
    assert_true(take(SIZE_MAX, &frame));
    assert_int_equal(ack(100, 1000), RT_FAR_TRUE);
    struct cursor is = consumed(300);
    struct cursor other = is, before = is, beyond = is, behind = is;
    other.digest++;
    before.from = 1;
    beyond.offset = 501;
    behind.offset = 99;
    assert_int_equal(resume(&other), RT_FAR_ANOTHER);
    assert_int_equal(resume(&before), RT_FAR_ANOTHER);
    assert_int_equal(resume(&beyond), RT_FAR_UNSENT);
    assert_int_equal(resume(&behind), RT_FAR_OLD);
    assert_int_equal(sender.acked, 100); /* nothing of that counts */
    assert_int_equal(resume(&is), RT_FAR_TRUE);
    assert_int_equal(sender.acked, 300);
    rebind();
    assert_true(take(SIZE_MAX, &frame));
    assert_int_equal(frame.offset, 300);
    assert_int_equal(say(&behind), RT_FAR_OLD);
    assert_int_equal(say(&beyond), RT_FAR_UNSENT);
    other = consumed(400);
    other.digest++;
    assert_int_equal(say(&other), RT_FAR_ANOTHER);
    rt_ring_close(&ring);
}

/* An old ACK changes nothing, though its limit is higher. */
static void test_old_ack(void **state)
{
    (void)state;
    struct rt_frame frame;
    begin(5000);
    write_up_to(5000);
    assert_true(take(SIZE_MAX, &frame));
    assert_int_equal(ack(1000, 2000), RT_FAR_TRUE);
    struct cursor old = {.offset = 500, .limit = 4000};
    assert_int_equal(say(&old), RT_FAR_OLD);
    assert_int_equal(sender.limit, 2000);
    assert_true(take(SIZE_MAX, &frame));
    assert_int_equal(ack(1200, 1500), RT_FAR_TRUE); /* nor does a limit fall */
    assert_int_equal(sender.limit, 2000);
    rt_ring_close(&ring);
}

/* The GAP of a binding and its ATTACHED were lost: the far end resumes with the digest that it had before that gap. */
static void test_gap_that_was_lost(void **state)
{
    (void)state;
    struct rt_frame frame;
    begin(1000);
    write_up_to(1000);
    assert_true(take(600, &frame));
    assert_int_equal(ack(400, 3000), RT_FAR_TRUE);
    struct cursor has = consumed(500); /* its ACK was lost */
    give_up(450);
    rt_sender_bind(&sender, &ring); /* 400 is what was acknowledged: a gap to 450 is due */
    assert_int_equal(sender.digest.from, 450);
    assert_int_equal(resume(&has), RT_FAR_TRUE);
    assert_int_equal(sender.digest.from, 0);
    rebind();
    assert_true(take(SIZE_MAX, &frame));
    assert_int_equal(frame.type, RT_DATA);
    assert_int_equal(frame.offset, 500);
    assert_int_equal(ack(1000, 3000), RT_FAR_TRUE);
    rt_ring_close(&ring);
}

/* A new reader takes the place of one whose digest it has not: its own starts at what that one consumed. */
static void test_take_over(void **state)
{
    (void)state;
    struct rt_frame frame;
    begin(1000);
    write_up_to(1000);
    assert_true(take(600, &frame));
    assert_int_equal(ack(400, 3000), RT_FAR_TRUE);
    rt_sender_take_over(&sender, &ring);
    rt_digest_start(&far.digest, 400);
    rebind();
    assert_true(take(SIZE_MAX, &frame));
    assert_int_equal(frame.offset, 400);
    assert_int_equal(ack(1000, 3000), RT_FAR_TRUE);
    rt_ring_close(&ring);
}

/* The end is told behind the last byte, again on each channel, and known to be consumed once that was said. */
static void test_end(void **state)
{
    (void)state;
    struct rt_frame frame = {0};
    begin(1000);
    write_up_to(300);
    ring.ended = true;
    assert_true(take(100, &frame));
    assert_false(take(0, &frame)); /* not before the last byte */
    assert_true(take(SIZE_MAX, &frame));
    assert_int_equal(frame.type, RT_DATA);
    assert_true(take(0, &frame)); /* needs no credit, and is no DATA */
    assert_int_equal(frame.type, RT_FIN);
    assert_false(take(SIZE_MAX, &frame));
    assert_int_equal(ack(200, 2000), RT_FAR_TRUE);
    assert_false(sender.fin_acked);
    rebind();
    assert_true(take(SIZE_MAX, &frame));
    assert_int_equal(frame.offset, 200);
    assert_true(take(SIZE_MAX, &frame));
    assert_int_equal(frame.type, RT_FIN);
    assert_int_equal(ack(300, 2000), RT_FAR_TRUE);
    assert_true(sender.fin_acked);
    rt_ring_close(&ring);
}

/* The far end takes no more than it has: what it consumed is still compared. */
static void test_stop(void **state)
{
    (void)state;
    struct rt_frame frame;
    begin(1000);
    write_up_to(500);
    assert_true(take(SIZE_MAX, &frame));
    rt_sender_stop(&sender, &ring, 350);
    rt_ring_drop(&ring, 350);
    ring.head = 350;
    struct cursor cursor = consumed(350);
    assert_int_equal(resume(&cursor), RT_FAR_TRUE);
    rebind();
    assert_false(take(SIZE_MAX, &frame));
    rt_ring_close(&ring);
}

/* ---- a walk ---- */

static uint64_t random_state;

static uint64_t below(uint64_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % n;
}

static void step(void)
{
    struct rt_frame frame;
    uint64_t room = rt_ring_room(&ring), unread = far.next - far.digest.at;
    switch (below(8)) {
    case 0: /* the process writes */
    case 1:
        if (ring.head + room < STREAM_MAX && room > 0) {
            write_up_to(ring.head + 1 + below(room));
        }
        break;
    case 2: /* somebody else needs room */
        give_up(ring.base + below(ring.head - ring.base + 1));
        break;
    case 3:
    case 4:
        (void)take(1 + (size_t)below(400), &frame);
        break;
    case 5:
    case 6:
        assert_int_equal(ack(far.digest.at + below(unread + 1), far.limit + below(300)), RT_FAR_TRUE);
        break;
    default: { /* the channel breaks; perhaps it had consumed more than it could say */
        struct cursor cursor = consumed(far.digest.at + below(unread + 1));
        assert_int_equal(resume(&cursor), RT_FAR_TRUE);
        rebind();
        break;
    }
    }
    assert_true(sender.acked <= sender.sent && sender.sent <= sender.high && sender.high <= ring.head);
}

/* Whatever happens between, the far end gets each byte once and in its place, or is told a gap (checked in take()). */
static void test_walks(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= WALKS; seed++) {
        struct rt_frame frame;
        random_state = seed * UINT64_C(0x9e3779b97f4a7c15);
        begin(1 + (size_t)below(600));
        for (int i = 0; i < STEPS; i++) {
            step();
        }
        ring.ended = true;
        while (!sender.fin_acked) {
            while (take(SIZE_MAX, &frame)) {
            }
            assert_int_equal(ack(far.next, far.next + 1000), RT_FAR_TRUE);
        }
        assert_int_equal(far.next, ring.head);
        rt_ring_close(&ring);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example),   cmocka_unit_test(test_another_past),
        cmocka_unit_test(test_old_ack),   cmocka_unit_test(test_gap_that_was_lost),
        cmocka_unit_test(test_take_over), cmocka_unit_test(test_end),
        cmocka_unit_test(test_stop),      cmocka_unit_test(test_walks),
    };
    return cmocka_run_group_tests(tests, make, NULL);
}
