/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/frame.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"

#include "tests/unit/session_core/tether_clients.h"
#include "tests/unit/session_core/tether_fixture.h"
#include "tests/unit/session_core/tether_process.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Hold budgets: for how long an attachment may keep a full ring from overwriting. */

static struct tx tx;

static void fill(unsigned stream)
{
    (void)tx_produce(&tx, 0, stream, 10 * TX_RING);
    assert_true(tx_blocked(&tx, 0, stream));
}

/* Runs until the stream has room; how long that took. */
static uint64_t blocked_for(unsigned stream)
{
    uint64_t from = tx.now;
    while (tx_blocked(&tx, 0, stream)) {
        assert_true(tx.now - from < UINT64_C(2) * RT_HOLD_MAX_MS);
        assert_true(tx_deadline(&tx) > tx.now);
        tx_tick(&tx, tx_deadline(&tx));
        if (tx.up) {
            tx_send(&tx, (struct rt_frame){.type = RT_PING}, NULL);
        } else if (tx.dialing) {
            tx_lost(&tx);
        }
    }
    return tx.now - from;
}

static void catch_up(uint32_t channel, struct tx_rx *rx)
{
    tx_drain(&tx, channel, RT_STDOUT, rx);
    assert_int_equal(rx->next, tx.written[0][0]);
}

static void test_blocks_for_its_budget(void **state)
{
    (void)state;
    struct tx_rx rx = tx_rx(0);
    tx_live(&tx, NULL);
    tx_hold(&tx, 1, 500);
    tx.now += 700; /* time in which nothing is blocked costs nothing, however seldom the shell calls */
    fill(RT_STDOUT);
    assert_int_equal(blocked_for(RT_STDOUT), 500);
    tx_drain(&tx, 1, RT_STDOUT, &rx); /* now an observer; nothing is lost yet but what was overwritten */
    assert_int_equal(rx.gaps, 1);
    assert_int_equal(rx.gap_from, 0);
    assert_int_equal(rx.gap_to, TX_RING / 8);
    assert_int_equal(rx.next, TX_RING);
    fill(RT_STDOUT); /* it has caught up: the budget is whole again */
    assert_int_equal(blocked_for(RT_STDOUT), 500);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, TX_RING), TX_RING); /* spent: no more */
    assert_int_equal(blocked_for(RT_STDOUT), 0);
    tx_close(&tx);
}

/* A full ring keeps all its bytes, whoever holds them or not, until somebody wants to write more. */
static void test_nothing_given_up_unasked(void **state)
{
    (void)state;
    struct rt_attached_msg attached;
    struct rt_attach_msg msg = tx_new(1, 1);
    size_t room;
    tx_live(&tx, NULL);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, TX_RING), TX_RING);
    assert_null(rt_tether_space(tx.tether, 0, RT_STDOUT, &room));
    tx_tick(&tx, tx.now + 100);
    assert_null(rt_tether_space(tx.tether, 0, RT_STDOUT, &room)); /* to look gives up nothing, nor does time */
    tx_attach(&tx, 1, &msg);
    tx_attached(&tx, 1, &attached);
    assert_int_equal(attached.out[0].c, 0);
    tx_send(&tx, (struct rt_frame){.type = RT_DETACH, .channel = 1}, NULL);
    rt_tether_want_space(tx.tether, 0, RT_STDOUT, tx.now);
    assert_non_null(rt_tether_space(tx.tether, 0, RT_STDOUT, &room));
    assert_int_equal(room, TX_RING / 8);
    tx_close(&tx);
}

static void test_partly_spent(void **state)
{
    (void)state;
    struct tx_rx rx = tx_rx(0);
    tx_live(&tx, NULL);
    tx_hold(&tx, 1, 500);
    fill(RT_STDOUT);
    tx_run(&tx, 300, true);
    (void)tx_take(&tx);
    (void)tx_consume(&tx, 1, RT_STDOUT, &rx);
    tx_ack(&tx, 1, RT_STDOUT, &rx, 0); /* some of it: goes on, but is not caught up */
    assert_false(tx_blocked(&tx, 0, RT_STDOUT));
    tx_run(&tx, 5000, true);
    fill(RT_STDOUT);
    assert_int_equal(blocked_for(RT_STDOUT), 200);
    tx_close(&tx);
}

/* A ring that is full while its reader would take more grows, to RT_RING_GROWTH times of what was wanted. One whose
 * reader has all that it would take stays, and so does one that nobody holds. */
static void test_ring_grows(void **state)
{
    const size_t most = RT_RING_GROWTH * TX_RING;

    (void)state;
    tx_live(&tx, NULL);
    tx_hold(&tx, 1, 30000);
    tx_ack_raw(&tx, 1, RT_STDOUT, 0, TX_RING, tx_digest(RT_STDOUT, 0, 0), 0);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 2 * TX_RING), TX_RING);
    assert_true(tx_blocked(&tx, 0, RT_STDOUT));
    (void)tx_take(&tx);
    tx_ack_raw(&tx, 1, RT_STDOUT, 1000, 2 * TX_RING, tx_digest(RT_STDOUT, 0, 1000), 0);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, TX_RING), TX_RING); /* up to the limit */
    (void)tx_produce(&tx, 0, RT_STDOUT, 2 * TX_RING);
    assert_true(tx_blocked(&tx, 0, RT_STDOUT));
    assert_int_equal(tx.written[0][0], 1000 + 2 * TX_RING);
    (void)tx_take(&tx);
    tx_ack_raw(&tx, 1, RT_STDOUT, 2000, 100 * TX_RING, tx_digest(RT_STDOUT, 0, 2000), 0);
    (void)tx_produce(&tx, 0, RT_STDOUT, 100 * TX_RING);
    assert_true(tx_blocked(&tx, 0, RT_STDOUT));
    assert_int_equal(tx.written[0][0], 2000 + most);
    tx_close(&tx);
}

/* Nor does one grow for a reader that holds nothing, or beyond RT_RING_GROWN_MAX. */
static void test_ring_stays(void **state)
{
    struct rt_tether_config config = tx_config(&tx);

    (void)state;
    tx_live(&tx, NULL);
    tx_hold(&tx, 1, 30000);
    tx_hold(&tx, 2, 0);
    tx_ack_raw(&tx, 2, RT_STDOUT, 0, 100 * TX_RING, tx_digest(RT_STDOUT, 0, 0), 0);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 2 * TX_RING), TX_RING);
    tx_close(&tx);

    config.ring_bytes = RT_RING_GROWN_MAX;
    tx_live(&tx, &config);
    tx_hold(&tx, 1, 30000);
    tx_ack_raw(&tx, 1, RT_STDOUT, 0, RT_COUNTER_MAX - 1, tx_digest(RT_STDOUT, 0, 0), 0);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 2 * RT_RING_GROWN_MAX), RT_RING_GROWN_MAX);
    tx_close(&tx);
}

static void test_observers_and_others(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(2, 1);
    tx_live(&tx, NULL);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 3 * TX_RING), 3 * TX_RING); /* nobody holds */
    tx_hold(&tx, 1, 0);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 3 * TX_RING), 3 * TX_RING);
    msg.want = 1 << RT_STDERR;
    tx_bind(&tx, 2, &msg);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 3 * TX_RING), 3 * TX_RING);
    fill(RT_STDERR);
    assert_int_equal(blocked_for(RT_STDERR), 30000);
    tx_close(&tx);
}

static void test_several(void **state)
{
    (void)state;
    struct tx_rx rx = tx_rx(0);
    tx_live(&tx, NULL);
    tx_hold(&tx, 1, 500);
    tx_hold(&tx, 2, 800);
    tx_hold(&tx, 3, 100000);
    fill(RT_STDOUT);
    catch_up(3, &rx); /* it is not in the way */
    assert_int_equal(blocked_for(RT_STDOUT), 800);
    fill(RT_STDOUT); /* the third is, now */
    assert_int_equal(blocked_for(RT_STDOUT), 100000);
    tx_close(&tx);
    tx_live(&tx, NULL);
    tx_hold(&tx, 1, 500);
    tx_hold(&tx, 2, 800);
    fill(RT_STDOUT);
    tx_run(&tx, 600, true);
    assert_true(tx_blocked(&tx, 0, RT_STDOUT));
    tx_detach(&tx, 2);
    assert_false(tx_blocked(&tx, 0, RT_STDOUT));
    tx_close(&tx);
}

static void test_unlimited_is_cut(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(1, 1);
    struct rt_attached_msg attached;
    tx_live(&tx, NULL);
    msg.hold = RT_COUNTER_MAX - 1;
    tx_attach(&tx, 1, &msg);
    tx_attached(&tx, 1, &attached);
    fill(RT_STDOUT);
    assert_int_equal(blocked_for(RT_STDOUT), RT_HOLD_MAX_MS);
    tx_close(&tx);
}

/* Without an agent no client can read: that is not charged, for as long as an outage may last. */
static void test_outage(void **state)
{
    (void)state;
    struct rt_tether_config config = tx_config(&tx);
    config.outage_hold_ms = 4000;
    tx_live(&tx, &config);
    tx_hold(&tx, 1, 500);
    fill(RT_STDOUT);
    tx_run(&tx, 100, true);
    tx_lost(&tx);
    assert_int_equal(blocked_for(RT_STDOUT), 4400);
    tx_close(&tx);
    tx_live(&tx, &config);
    tx_hold(&tx, 1, 500);
    fill(RT_STDOUT);
    for (unsigned i = 0; i < 5; i++) { /* each outage anew; the time between them counts */
        tx_run(&tx, 90, true);
        tx_lost(&tx);
        for (uint64_t end = tx.now + 3000; tx.now < end;) {
            tx_tick(&tx, tx_deadline(&tx) < end ? tx_deadline(&tx) : end);
            if (tx.dialing && tx.now < end) {
                tx_lost(&tx);
            }
        }
        tx_run(&tx, tx.dialing ? 0 : 600, false);
        tx_up(&tx);
    }
    assert_int_equal(blocked_for(RT_STDOUT), 50);
    tx_close(&tx);
}

/* A fresh tether that never met an agent. */
static void test_first_hold(void **state)
{
    (void)state;
    struct rt_tether_config config = tx_config(&tx);
    struct rt_attach_msg msg = tx_new(1, 1);
    config.first_hold_ms = 700;
    config.outage_hold_ms = 2000;
    tx_live(&tx, &config);
    fill(RT_STDOUT);
    assert_int_equal(blocked_for(RT_STDOUT), 700);
    tx_close(&tx);
    tx_open(&tx, &config);
    fill(RT_STDOUT);
    assert_int_equal(blocked_for(RT_STDOUT), 2700);
    tx_close(&tx);
    tx_live(&tx, &config); /* the first attachment that is none ends it, an observer does not */
    fill(RT_STDOUT);
    tx_hold(&tx, 1, 0);
    assert_true(tx_blocked(&tx, 0, RT_STDOUT));
    tx_run(&tx, 600, true);
    assert_true(tx_blocked(&tx, 0, RT_STDOUT));
    tx_hold(&tx, 2, 300);
    assert_int_equal(blocked_for(RT_STDOUT), 300);
    tx_close(&tx);
    tx_live(&tx, &config); /* nor does one make it longer */
    fill(RT_STDOUT);
    tx_hold(&tx, 1, 0);
    assert_int_equal(blocked_for(RT_STDOUT), 700);
    tx_close(&tx);
    tx_live(&tx, &config); /* who has an input is no observer: one that sends a signal, for instance */
    msg.hold = 0;
    fill(RT_STDOUT);
    tx_bind(&tx, 1, &msg);
    assert_false(tx_blocked(&tx, 0, RT_STDOUT));
    tx_close(&tx);
    config.first_hold_ms = 0;
    tx_open(&tx, &config);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 3 * TX_RING), 3 * TX_RING);
    tx_close(&tx);
}

/* The client is gone for good: its attachment is unbound and costs its budget once. */
static void test_unbound_holds(void **state)
{
    (void)state;
    struct rt_refuse_msg gone = {.c = RT_CLASS_LOST};
    tx_live(&tx, NULL);
    tx_hold(&tx, 1, 500);
    tx_refuse(&tx, 1, &gone);
    fill(RT_STDOUT);
    assert_int_equal(blocked_for(RT_STDOUT), 500);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 9 * TX_RING), 9 * TX_RING);
    tx_close(&tx);
}

/* A cursor below the base has its gap due: it holds what is behind it. */
static void test_holds_from_its_gap(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(1, 1);
    struct tx_rx rx = tx_rx(5);
    tx_live(&tx, NULL);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 3 * TX_RING), 3 * TX_RING);
    msg.from = RT_FROM_OFFSET;
    msg.n = 5;
    msg.hold = 600;
    tx_bind(&tx, 1, &msg);
    (void)tx_consume(&tx, 1, RT_STDOUT, &rx);
    assert_int_equal(rx.gap_from, 5);
    (void)tx_produce(&tx, 0, RT_STDOUT, TX_RING);
    assert_int_equal(blocked_for(RT_STDOUT), 600);
    tx_close(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_for_its_budget),
        cmocka_unit_test(test_nothing_given_up_unasked),
        cmocka_unit_test(test_partly_spent),
        cmocka_unit_test(test_ring_grows),
        cmocka_unit_test(test_ring_stays),
        cmocka_unit_test(test_observers_and_others),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_unlimited_is_cut),
        cmocka_unit_test(test_outage),
        cmocka_unit_test(test_first_hold),
        cmocka_unit_test(test_unbound_holds),
        cmocka_unit_test(test_holds_from_its_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
