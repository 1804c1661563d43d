/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/ring.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"
#include "session/core/tether_machine.h"
#include "session/core/tether_proc.h"

#include "tests/unit/session_core/tether_clients.h"
#include "tests/unit/session_core/tether_fixture.h"
#include "tests/unit/session_core/tether_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Output: credit, acknowledgements, gaps and the digest's way over them. */

static struct tx tx;

/* One attachment of stdout and stderr alone, bound to channel 1. */
static void open_reader(uint64_t hold)
{
    struct rt_attach_msg msg = tx_new(1, 1);
    tx_live(&tx, NULL);
    msg.hold = hold;
    tx_bind(&tx, 1, &msg);
}

static void test_credit(void **state)
{
    (void)state;
    struct tx_rx rx = tx_rx(0);
    open_reader(30000);
    tx_produce(&tx, 0, RT_STDOUT, 60000);
    (void)tx_take(&tx);
    assert_int_equal(tx_consume(&tx, 1, RT_STDOUT, &rx), TX_INITIAL);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_DATA), 0);
    uint64_t limits[] = {TX_INITIAL, TX_INITIAL + 1, TX_INITIAL - 100, 40000, 0, 50001, 1000000};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        uint64_t before = rx.limit;
        rx.limit = limits[i] > before ? limits[i] : before; /* it never falls */
        tx_ack_raw(&tx, 1, RT_STDOUT, rx.next, limits[i], tx_digest(RT_STDOUT, 0, rx.next), 0);
        (void)tx_take(&tx);
        (void)tx_consume(&tx, 1, RT_STDOUT, &rx);
        assert_int_equal(rx.next, rx.limit < 60000 ? rx.limit : 60000);
    }
    tx_close(&tx);
}

/* stdout and stderr go out in the order in which they were written, frame by frame; one whose reader has no more credit
 * does not hold the other up. */
static void test_order(void **state)
{
    (void)state;
    static const unsigned stream[] = {RT_STDERR, RT_STDOUT, RT_STDERR, RT_STDOUT, RT_STDERR};
    static const size_t size[] = {10, 20, 30, 40, 2000};
    uint64_t at[2] = {0, 0};
    size_t n = 0;
    tx_live(&tx, NULL);
    for (size_t i = 0; i < 4; i++) {
        tx_produce(&tx, 0, stream[i], size[i]);
    }
    struct rt_attach_msg msg = tx_new(1, 1);
    tx_attach(&tx, 1, &msg);
    (void)tx_take(&tx);
    for (size_t i = 0; i < tx.n_frames; i++) {
        const struct rt_frame *head = &tx.frames[i].head;
        if (head->type != RT_DATA || head->stream > RT_STDERR) {
            continue;
        }
        assert_int_equal(head->stream, stream[n]);
        assert_int_equal(head->length, size[n]);
        assert_int_equal(head->offset, at[head->stream - RT_STDOUT]);
        at[head->stream - RT_STDOUT] += size[n++];
    }
    assert_int_equal(n, 4);
    tx_produce(&tx, 0, RT_STDERR, TX_INITIAL + 1000); /* more than may come */
    tx_produce(&tx, 0, RT_STDOUT, 5);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_DATA), 2);
    tx_close(&tx);
}

/* An acknowledgement of less than before is old news, limit and all. */
static void test_ack_falls(void **state)
{
    (void)state;
    struct tx_rx rx = tx_rx(0);
    open_reader(30000);
    tx_produce(&tx, 0, RT_STDOUT, 60000);
    (void)tx_take(&tx);
    (void)tx_consume(&tx, 1, RT_STDOUT, &rx);
    tx_ack(&tx, 1, RT_STDOUT, &rx, 0);
    tx_ack_raw(&tx, 1, RT_STDOUT, 10, 100000, 1234, 0);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_DATA) + tx_count(&tx, RT_REFUSE), 0);
    tx_close(&tx);
}

static void rewound(uint64_t offset, uint64_t digest, uint64_t at)
{
    tx_ack_raw(&tx, 1, RT_STDOUT, offset, 100000, digest, 0);
    struct rt_refuse_msg refuse = tx_refused(&tx, 1, RT_CLASS_REWOUND);
    assert_int_equal(refuse.s, RT_STDOUT);
    assert_int_equal(refuse.at, at);
    assert_int_equal(refuse.got, offset);
    assert_null(rt_tether_att_by_id(tx.tether, tx_id(1).data));
    assert_int_equal(tx.hangups, 0); /* nobody else is disturbed */
    tx_close(&tx);
}

static void test_ack_rewound(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct tx_rx rx = tx_rx(0);
        open_reader(30000);
        tx_produce(&tx, 0, RT_STDOUT, 100);
        (void)tx_take(&tx);
        tx_produce(&tx, 0, RT_STDOUT, 100); /* not sent */
        rx.next = 40;
        tx_ack(&tx, 1, RT_STDOUT, &rx, 100);
        if (i == 0) {
            rewound(101, tx_digest(RT_STDOUT, 0, 101), 40);
        } else if (i == 1) {
            rewound(100, tx_digest(RT_STDOUT, 0, 100) ^ 1, 40);
        } else {
            rewound(40, tx_digest(RT_STDOUT, 0, 40) + 1, 40); /* the same offset again, with other bytes */
        }
    }
}

/* When each attachment could fill all the room there is, they take turns. */
static void test_fairness(void **state)
{
    (void)state;
    struct rt_tether_config config = tx_config(&tx);
    size_t seen[4] = {0};
    config.ring_bytes = RT_RING_BYTES;
    tx_live(&tx, &config);
    for (uint8_t i = 1; i < 4; i++) {
        struct rt_attach_msg msg = tx_new(i, 1);
        tx_bind(&tx, i, &msg);
        tx_ack_raw(&tx, i, RT_STDOUT, 0, RT_RING_BYTES, tx_bytes_digest("", 0), 0);
        tx_ack_raw(&tx, i, RT_STDERR, 0, RT_RING_BYTES, tx_bytes_digest("", 0), 0);
    }
    tx_produce(&tx, 0, RT_STDOUT, RT_RING_BYTES);
    tx_produce(&tx, 0, RT_STDERR, RT_RING_BYTES);
    for (unsigned i = 0; i < 9; i++) {
        size_t least = SIZE_MAX, most = 0;
        tx.out_size = rt_tether_output(tx.tether, tx.out, TX_CAP, tx.now);
        tx_parse(&tx);
        for (size_t k = 0; k < tx.n_frames; k++) {
            if (tx.frames[k].head.type == RT_DATA) {
                seen[tx.frames[k].head.channel] += tx.frames[k].head.length;
            }
        }
        for (unsigned k = 1; k < 4; k++) {
            least = seen[k] < least ? seen[k] : least;
            most = seen[k] > most ? seen[k] : most;
        }
        assert_true(most - least <= (size_t)2 * RT_FRAME_PAYLOAD_MAX);
    }
    tx_close(&tx);
}

/* ---- gaps ---- */

/* An observer that reads nothing while the ring goes round gets the exact gap, then the rest. */
static void test_gap_of_an_observer(void **state)
{
    (void)state;
    struct tx_rx rx = tx_rx(0);
    open_reader(0);
    tx_ack(&tx, 1, RT_STDOUT, &rx, TX_WINDOW);
    tx_produce(&tx, 0, RT_STDOUT, 20000);
    (void)tx_take(&tx);
    assert_int_equal(tx_consume(&tx, 1, RT_STDOUT, &rx), 20000); /* received, not acknowledged */
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 200000), 200000);
    (void)tx_take(&tx);
    (void)tx_consume(&tx, 1, RT_STDOUT, &rx);
    assert_int_equal(rx.gaps, 1);
    assert_int_equal(rx.gap_from, 20000);
    assert_true(rx.gap_to >= 220000 - TX_RING && rx.gap_to <= 220000 - TX_RING + TX_RING / 8);
    tx_ack(&tx, 1, RT_STDOUT, &rx, 262144);
    tx_drain(&tx, 1, RT_STDOUT, &rx);
    assert_int_equal(rx.next, 220000);
    assert_int_equal(rx.gaps, 1);
    assert_true(rx.next > rx.from);
    tx_cut(&tx);
    struct tx_rx err = tx_rx(0);
    struct rt_attach_msg msg = tx_resume(1, 2, &rx, &err, 0, 0);
    tx_bind(&tx, 2, &msg); /* the digest began anew behind the gap */
    tx_close(&tx);
}

/* Bytes that were sent and are not acknowledged may be overwritten: the digest goes on over them. */
static void test_digest_over_overwritten_bytes(void **state)
{
    (void)state;
    struct tx_rx rx = tx_rx(0);
    open_reader(0);
    tx_ack(&tx, 1, RT_STDOUT, &rx, 262144);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 30000), 30000);
        (void)tx_take(&tx);
        assert_int_equal(tx_consume(&tx, 1, RT_STDOUT, &rx), 30000);
    }
    rx.limit = 100;
    tx_ack_raw(&tx, 1, RT_STDOUT, 10, 262144, 99, 0); /* below the base: nobody can check it any more */
    tx_ack(&tx, 1, RT_STDOUT, &rx, 262144);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_REFUSE), 0);
    assert_int_equal(rx.gaps, 0);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    (void)tx_take(&tx);
    (void)tx_consume(&tx, 1, RT_STDOUT, &rx);
    tx_ack_raw(&tx, 1, RT_STDOUT, rx.next, 0, tx_digest(RT_STDOUT, 0, rx.next) ^ 4, 0);
    (void)tx_refused(&tx, 1, RT_CLASS_REWOUND);
    tx_close(&tx);
}

/* A resume behind the base: a gap from exactly there. Once more, because the gap was lost: the same. */
static void test_gap_lost_and_resumed(void **state)
{
    (void)state;
    struct tx_rx rx = tx_rx(0), lost, err = tx_rx(0);
    struct rt_attach_msg msg;
    open_reader(0);
    tx_ack(&tx, 1, RT_STDOUT, &rx, TX_WINDOW);
    tx_produce(&tx, 0, RT_STDOUT, 20000);
    (void)tx_take(&tx);
    (void)tx_consume(&tx, 1, RT_STDOUT, &rx);
    rx.next = 12345; /* consumed, not acknowledged */
    tx_lost(&tx);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 200000), 200000);
    tx_up(&tx);
    for (uint32_t channel = 2; channel < 6; channel++) {
        msg = tx_resume(1, channel, &rx, &err, 0, 0);
        tx_bind(&tx, channel, &msg);
        lost = rx;
        lost.limit = lost.next + TX_INITIAL;
        (void)tx_consume(&tx, channel, RT_STDOUT, &lost);
        assert_int_equal(lost.gaps, 1);
        assert_int_equal(lost.gap_from, 12345);
        if (channel % 2) {
            tx_cut(&tx);
        }
        tx_produce(&tx, 0, RT_STDOUT, 30000);
    }
    msg = tx_resume(1, 6, &rx, &err, 0, 0);
    tx_bind(&tx, 6, &msg);
    rx.limit = rx.next + TX_INITIAL;
    (void)tx_consume(&tx, 6, RT_STDOUT, &rx);
    tx_ack(&tx, 6, RT_STDOUT, &rx, 262144);
    tx_drain(&tx, 6, RT_STDOUT, &rx);
    assert_int_equal(rx.next, 340000);
    tx_close(&tx);
}

/* Consumed behind the gap, acknowledged or not: the resume compares what came after the gap. */
static void test_resume_after_a_gap(void **state)
{
    (void)state;
    for (unsigned acked = 0; acked < 2; acked++) {
        struct tx_rx rx = tx_rx(0), err = tx_rx(0);
        struct rt_attach_msg msg;
        open_reader(0);
        assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 100000), 100000);
        tx_ack(&tx, 1, RT_STDOUT, &rx, 262144);
        (void)tx_take(&tx);
        (void)tx_consume(&tx, 1, RT_STDOUT, &rx);
        assert_int_equal(rx.next, 100000);
        if (acked) {
            tx_ack(&tx, 1, RT_STDOUT, &rx, 262144);
        }
        assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 20000), 20000);
        tx_cut(&tx);
        msg = tx_resume(1, 2, &rx, &err, 0, 0);
        msg.out[0].d ^= 1;
        tx_attach(&tx, 2, &msg);
        (void)tx_refused(&tx, 2, RT_CLASS_REWOUND);
        tx_close(&tx);
    }
}

/* The client resumed where the ring had already been overwritten, its ATTACHED was lost, and it went on with bytes that
 * the channel before had brought: its digest covers them, and no gap. */
static void test_digest_of_an_older_binding(void **state)
{
    (void)state;
    struct tx_rx rx = tx_rx(0), err = tx_rx(0);
    struct rt_attach_msg msg;
    for (unsigned turn = 0; turn < 3; turn++) {
        open_reader(0);
        rx = tx_rx(0);
        tx_ack(&tx, 1, RT_STDOUT, &rx, 262144);
        assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 60000), 60000);
        (void)tx_take(&tx);
        (void)tx_consume(&tx, 1, RT_STDOUT, &rx);
        tx_lost(&tx);
        assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 10000), 10000);
        tx_up(&tx);
        rx.next = 1000; /* so much of it is consumed, the rest waits at the client */
        msg = tx_resume(1, 2, &rx, &err, 0, 0);
        tx_bind(&tx, 2, &msg); /* with a gap, all of which is lost */
        assert_int_equal(tx_count(&tx, RT_GAP), 1);
        tx_lost(&tx);
        if (turn > 0) { /* the base goes on past what this binding sent */
            assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 16384), 16384);
        }
        tx_up(&tx);
        if (turn > 1) {
            rx.next = 2000;
            msg = tx_resume(1, 3, &rx, &err, 0, 0);
            tx_bind(&tx, 3, &msg);
            tx_cut(&tx);
        }
        rx.next = 60000;
        msg = tx_resume(1, 4, &rx, &err, 0, 0);
        tx_attach(&tx, 4, &msg);
        tx_ack(&tx, 4, RT_STDOUT, &rx, TX_WINDOW);
        (void)tx_take(&tx);
        assert_int_equal(tx_count(&tx, RT_REFUSE), 0);
        assert_int_equal(tx_consume(&tx, 4, RT_STDOUT, &rx), turn > 0 ? 26384 : 10000);
        tx_ack(&tx, 4, RT_STDOUT, &rx, 1000);
        (void)tx_take(&tx);
        assert_int_equal(tx_count(&tx, RT_REFUSE), 0);
        tx_close(&tx);
    }
    open_reader(0); /* but not other bytes */
    rx = tx_rx(0);
    tx_ack(&tx, 1, RT_STDOUT, &rx, 262144);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 60000), 60000);
    (void)tx_take(&tx);
    tx_lost(&tx);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 10000), 10000);
    tx_up(&tx);
    rx.next = 1000;
    msg = tx_resume(1, 2, &rx, &err, 0, 0);
    tx_bind(&tx, 2, &msg);
    tx_cut(&tx);
    rx.next = 60000;
    msg = tx_resume(1, 3, &rx, &err, 0, 0);
    msg.out[0].d ^= 1;
    tx_attach(&tx, 3, &msg);
    (void)tx_refused(&tx, 3, RT_CLASS_REWOUND);
    tx_close(&tx);
}

/* The other side of it: the client has consumed the gap of a binding before it was lost. */
static void test_digest_of_a_binding_with_a_gap(void **state)
{
    (void)state;
    struct tx_rx rx = tx_rx(0), err = tx_rx(0);
    struct rt_attach_msg msg;
    open_reader(0);
    tx_ack(&tx, 1, RT_STDOUT, &rx, TX_WINDOW);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 20000), 20000);
    (void)tx_take(&tx);
    (void)tx_consume(&tx, 1, RT_STDOUT, &rx);
    tx_lost(&tx);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 100000), 100000);
    tx_up(&tx);
    msg = tx_resume(1, 2, &rx, &err, 0, 0);
    tx_bind(&tx, 2, &msg);
    rx.limit = 200000;
    (void)tx_consume(&tx, 2, RT_STDOUT, &rx);
    assert_int_equal(rx.gaps, 1);
    tx_ack_raw(&tx, 2, RT_STDOUT, 20000, 200000, tx_digest(RT_STDOUT, 0, 20000), 0); /* its first, before the gap */
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_REFUSE), 0);
    (void)tx_consume(&tx, 2, RT_STDOUT, &rx);
    assert_int_equal(rx.next, 120000);
    tx_cut(&tx);
    rx.next = 100000;
    msg = tx_resume(1, 3, &rx, &err, 0, 0);
    tx_bind(&tx, 3, &msg);
    tx_ack(&tx, 3, RT_STDOUT, &rx, TX_WINDOW);
    (void)tx_consume(&tx, 3, RT_STDOUT, &rx); /* its initial credit */
    (void)tx_take(&tx);
    (void)tx_consume(&tx, 3, RT_STDOUT, &rx);
    assert_int_equal(rx.next, 120000);
    tx_close(&tx);
}

/* ---- control-up ---- */

/* What a client of control-up alone has. */
static struct {
    uint8_t part[TX_CAP]; /* received, not a whole item yet */
    size_t have;
    uint64_t next, from;
    unsigned gaps, items;
} reader;

/* Takes the whole items off; each must be one. */
static void read_items(void)
{
    struct rt_up_item up;
    char why[RT_TEXT_MAX];
    while (reader.have >= 2) {
        size_t size = (size_t)(reader.part[0] << 8 | reader.part[1]);
        if (reader.have < 2 + size) {
            break;
        }
        assert_int_equal(rt_msg_decode(RT_MSG_UP_ITEM, reader.part + 2, size, &up, why, sizeof(why)), 0);
        assert_int_equal(up.t, RT_ITEM_RESIZED);
        reader.items++;
        reader.have -= 2 + size;
        memmove(reader.part, reader.part + 2 + size, reader.have);
    }
}

static void read_control(uint32_t channel)
{
    struct rt_digest digest;
    for (size_t i = 0; i < tx.n_frames; i++) {
        const struct tx_frame *f = &tx.frames[i];
        if (f->head.channel != channel || f->head.stream != RT_CONTROL_UP) {
            continue;
        }
        assert_int_equal(f->head.offset, reader.next);
        if (f->head.type == RT_GAP) {
            reader.next = reader.from = rt_get_u64(f->payload);
            reader.gaps++;
            reader.have = 0;
        } else {
            memcpy(reader.part + reader.have, f->payload, f->head.length);
            reader.have += f->head.length;
            reader.next += f->head.length;
        }
    }
    read_items();
    rt_digest_start(&digest, reader.from);
    rt_ring_digest(&rt_tether_proc(tx.tether, 0)->ring[RT_CONTROL_UP - RT_STDOUT], &digest, reader.next);
    tx_ack_raw(&tx, channel, RT_CONTROL_UP, reader.next, reader.next + 20000, rt_digest_value(&digest), 0);
}

/* Resizes by one client, told to another that does not listen: the oldest items go, whole. */
static void test_control_up_overwritten(void **state)
{
    (void)state;
    struct rt_tether_config config = tx_config(&tx);
    struct rt_attach_msg msg = tx_new(1, 1), slow = tx_new(2, 1);
    uint64_t down = 0;
    config.tty = true;
    tx_live(&tx, &config);
    slow.want = 1 << RT_CONTROL_UP;
    tx_bind(&tx, 2, &slow);
    msg.want = 1 << RT_CONTROL_DOWN;
    tx_bind(&tx, 1, &msg);
    for (unsigned i = 1; i <= 9000; i++) {
        struct rt_down_item item = {.t = RT_ITEM_RESIZE, .rows = i, .cols = 80};
        uint8_t bytes[64];
        size_t size = tx_item(bytes, &item);
        tx_data(&tx, 1, RT_CONTROL_DOWN, down, bytes, size);
        down += size;
        if (i % 100 == 0) {
            (void)tx_take(&tx); /* acknowledgements of the items */
        }
    }
    assert_int_equal(tx.rows, 9000);
    tx_cut(&tx);
    slow.try_no = 2;
    tx_bind(&tx, 3, &slow);
    for (unsigned round = 0; round < 100; round++) {
        read_control(3);
        (void)tx_take(&tx);
        assert_int_equal(tx_count(&tx, RT_REFUSE), 0);
    }
    assert_int_equal(reader.gaps, 1);
    assert_in_range(reader.items, 2000, 8999);
    assert_int_equal(reader.have, 0);
    tx_close(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_credit),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_ack_falls),
        cmocka_unit_test(test_ack_rewound),
        cmocka_unit_test(test_fairness),
        cmocka_unit_test(test_gap_of_an_observer),
        cmocka_unit_test(test_digest_over_overwritten_bytes),
        cmocka_unit_test(test_gap_lost_and_resumed),
        cmocka_unit_test(test_resume_after_a_gap),
        cmocka_unit_test(test_digest_of_an_older_binding),
        cmocka_unit_test(test_digest_of_a_binding_with_a_gap),
        cmocka_unit_test(test_control_up_overwritten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
