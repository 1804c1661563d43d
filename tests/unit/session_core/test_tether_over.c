/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/order.h"
#include "session/core/protocol.h"
#include "session/core/ring.h"
#include "session/core/tether.h"
#include "session/core/tether_proc.h"

#include "tests/unit/session_core/tether_clients.h"
#include "tests/unit/session_core/tether_fixture.h"
#include "tests/unit/session_core/tether_process.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* When a container that has ended is over: who is waited for, and pipes that stay open. */

static struct tx tx;

/* How long the container stays when everything but its attachments is done. */
static uint64_t stays(void)
{
    uint64_t from;
    tx_exit(&tx, 0, 0);
    (void)tx_take(&tx);
    tx_end_ok(&tx, RT_END_STORED, 0);
    from = tx.now;
    while (!tx.overs) {
        assert_true(tx_deadline(&tx) > tx.now);
        tx_tick(&tx, tx_deadline(&tx));
        if (tx.up && !tx.overs) {
            tx_send(&tx, (struct rt_frame){.type = RT_PING}, NULL);
        }
    }
    return tx.now - from;
}

static void test_waits_for_holds(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(3, 1);
    tx_live(&tx, NULL);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    assert_int_equal(stays(), 0);
    tx_close(&tx);
    tx_live(&tx, NULL);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    tx_hold(&tx, 1, 3000);
    tx_hold(&tx, 2, 7000);
    assert_int_equal(stays(), 7000);
    tx_close(&tx);
    tx_live(&tx, NULL); /* an observer that is bound has a moment, however long it has been quiet before */
    tx_hold(&tx, 1, 0);
    tx.now += 4000;
    tx_send(&tx, (struct rt_frame){.type = RT_PING}, NULL);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    assert_int_equal(stays(), RT_END_GRACE_MS);
    tx_close(&tx);
    tx_live(&tx, NULL); /* one that is not is not waited for */
    tx_produce(&tx, 0, RT_STDOUT, 10);
    tx_hold(&tx, 1, 0);
    tx_cut(&tx);
    assert_int_equal(stays(), 0);
    tx_close(&tx);
    tx_live(&tx, NULL); /* nobody wants anything */
    msg.want = 0;
    tx_bind(&tx, 1, &msg);
    assert_int_equal(stays(), 0);
    tx_close(&tx);
}

/* One that comes when all is over but somebody's hold has the same moment, once. */
static void test_grace_for_who_comes_late(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(2, 1);
    tx_live(&tx, NULL);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    tx_hold(&tx, 1, 2000);
    tx_exit(&tx, 0, 0);
    (void)tx_take(&tx);
    tx_end_ok(&tx, RT_END_STORED, 0);
    tx_run(&tx, 1900, true);
    tx_send(&tx, (struct rt_frame){.type = RT_PING}, NULL);
    msg.hold = 0;
    tx_bind(&tx, 2, &msg);
    tx_run(&tx, RT_END_GRACE_MS - 1, true);
    assert_int_equal(tx.overs, 0);
    msg.try_no = 2;
    tx_bind(&tx, 3, &msg);
    tx_run(&tx, 1, true);
    assert_int_equal(tx.overs, 1);
    tx_close(&tx);
}

/* Observers share that moment, whether they were there or come, one after the other; who may hold has one of its own.
 */
static void test_observers_share_the_grace(void **state)
{
    (void)state;
    struct rt_attach_msg msg;
    tx_live(&tx, NULL);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    tx_hold(&tx, 1, 0);
    tx_exit(&tx, 0, 0);
    (void)tx_take(&tx);
    tx_end_ok(&tx, RT_END_STORED, 0);
    for (unsigned i = 2; i < 6; i++) {
        tx_run(&tx, RT_END_GRACE_MS / 5, true);
        assert_int_equal(tx.overs, 0);
        tx_hold(&tx, i, 0); /* another one */
        msg = tx_new_observer((uint8_t)(i - 1), 2);
        tx_bind(&tx, 100 + i, &msg); /* and the one before, again */
    }
    tx_run(&tx, RT_END_GRACE_MS / 5 - 1, true);
    assert_int_equal(tx.overs, 0);
    tx_hold(&tx, 6, 1);
    tx_run(&tx, RT_END_GRACE_MS - 1, true);
    assert_int_equal(tx.overs, 0);
    tx_hold(&tx, 7, 0); /* there is none left */
    tx_run(&tx, 1, true);
    assert_int_equal(tx.overs, 1);
    tx_close(&tx);
}

/* Acknowledging everything but the end does not buy time for ever. */
static void test_no_refill_at_the_end(void **state)
{
    (void)state;
    struct tx_rx out = tx_rx(0), err = tx_rx(0);
    tx_live(&tx, NULL);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    tx_hold(&tx, 1, 3000);
    (void)tx_consume(&tx, 1, RT_STDOUT, &out);
    tx_exit(&tx, 0, 0);
    (void)tx_take(&tx);
    tx_end_ok(&tx, RT_END_STORED, 0);
    for (uint64_t ms = 0; ms < 3000; ms += 100) {
        assert_int_equal(tx.overs, 0);
        out.fin = false;
        tx_ack(&tx, 1, RT_STDOUT, &out, 10);
        tx_ack(&tx, 1, RT_STDERR, &err, 10);
        tx_ack_control(&tx, 1, 0);
        tx_run(&tx, 100, true);
    }
    assert_int_equal(tx.overs, 1);
    tx_close(&tx);
}

/* No agent ever confirms: given up after a while, but not before those who hold. */
static void test_end_timeout(void **state)
{
    (void)state;
    struct rt_tether_config config = tx_config(&tx);
    config.end_timeout_ms = 4000;
    tx_live(&tx, &config);
    tx_exit(&tx, 0, 0);
    tx_run(&tx, 3999, true);
    assert_int_equal(tx.overs, 0);
    tx_run(&tx, 1, true);
    assert_int_equal(tx.overs, 1);
    assert_false(tx_view(&tx).end_ok);
    tx_close(&tx);
    tx_live(&tx, &config);
    tx_hold(&tx, 1, 9000);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    tx_exit(&tx, 0, 0);
    tx_run(&tx, 8999, true);
    assert_int_equal(tx.overs, 0);
    tx_run(&tx, 1, true);
    assert_int_equal(tx.overs, 1);
    tx_close(&tx);
    config.end_timeout_ms = 0; /* never */
    tx_open(&tx, &config);
    tx_exit(&tx, 0, 0);
    for (unsigned i = 0; i < 1000; i++) {
        tx_lost(&tx);
        tx_run(&tx, 600, false);
        assert_int_equal(tx.overs, 0);
    }
    tx_close(&tx);
}

/* What was written before the first attachment is kept for its budget, also beyond the end. */
static void test_first_hold_at_the_end(void **state)
{
    (void)state;
    struct rt_tether_config config = tx_config(&tx);
    config.first_hold_ms = 5000;
    tx_live(&tx, &config);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    assert_int_equal(stays(), 5000);
    tx_close(&tx);
}

static void test_drain_timeout(void **state)
{
    (void)state;
    struct rt_up_item up = {0};
    tx_live(&tx, NULL);
    tx_hold(&tx, 1, 30000);
    rt_tether_exited(tx.tether, 0, 0, 15, tx.now);
    tx_next(&tx);
    tx_run(&tx, 1000, true);
    tx_produce(&tx, 0, RT_STDOUT, 30); /* a grandchild */
    tx_run(&tx, 999, true);
    assert_int_equal(tx.closes, 0);
    tx_run(&tx, 1, true);
    assert_int_equal(tx.closes, 1);
    assert_int_equal(tx.close_proc, 0);
    (void)tx_take(&tx);
    assert_int_equal(tx_up_items(&tx, 1, &up), 1);
    assert_int_equal(up.sig, 15);
    assert_int_equal(up.out, 30);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 30), 0); /* no more */
    rt_tether_eof(tx.tether, 0, RT_STDOUT, tx.now);
    tx_next(&tx);
    (void)tx_take(&tx);
    assert_int_equal(tx_up_items(&tx, 1, &up), 0);
    tx_close(&tx);
}

/* While a hold keeps the shell from reading, what the process wrote last still waits in its pipe. */
static void test_drain_waits_for_holds(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    tx_hold(&tx, 1, 5000);
    (void)tx_produce(&tx, 0, RT_STDOUT, 2 * TX_RING);
    rt_tether_exited(tx.tether, 0, 0, 0, tx.now);
    tx_next(&tx);
    tx_run(&tx, 4999, true);
    assert_int_equal(tx.closes, 0);
    tx_run(&tx, 1, true);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 1000), 1000);
    tx_run(&tx, 1999, true);
    assert_int_equal(tx.closes, 0);
    tx_run(&tx, 1, true);
    assert_int_equal(tx.closes, 1);
    tx_close(&tx);
}

/* A terminal has one output. */
static void test_terminal_ends_with_one_stream(void **state)
{
    (void)state;
    struct rt_tether_config config = tx_config(&tx);
    config.tty = true;
    tx_live(&tx, &config);
    tx_hold(&tx, 1, 1000);
    size_t room;
    assert_null(tx_space(&tx, 0, RT_STDERR, &room));
    rt_tether_exited(tx.tether, 0, 0, 0, tx.now);
    rt_tether_eof(tx.tether, 0, RT_STDOUT, tx.now);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_END), 1);
    tx_close(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_observers_share_the_grace),
        cmocka_unit_test(test_waits_for_holds),
        cmocka_unit_test(test_grace_for_who_comes_late),
        cmocka_unit_test(test_no_refill_at_the_end),
        cmocka_unit_test(test_end_timeout),
        cmocka_unit_test(test_first_hold_at_the_end),
        cmocka_unit_test(test_drain_timeout),
        cmocka_unit_test(test_drain_waits_for_holds),
        cmocka_unit_test(test_terminal_ends_with_one_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
