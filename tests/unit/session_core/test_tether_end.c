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

/* The end of a process and of the container: exit items, tails, and END. */

static struct tx tx;

/* Says that all of stdout, and of the streams without a byte, has been consumed, ends included. */
static void consumed_all(uint32_t channel, uint64_t out_size)
{
    struct tx_rx out = tx_rx(0), err = tx_rx(0);
    out.next = out_size;
    out.fin = err.fin = true;
    tx_ack(&tx, channel, RT_STDOUT, &out, 10);
    tx_ack(&tx, channel, RT_STDERR, &err, 10);
    tx_ack_control(&tx, channel, 0);
}

static void test_exit_item_and_end(void **state)
{
    (void)state;
    struct rt_up_item up = {0};
    struct rt_end_msg end;
    tx_live(&tx, NULL);
    tx_hold(&tx, 1, 30000);
    tx_produce(&tx, 0, RT_STDOUT, 100);
    (void)tx_take(&tx);
    rt_tether_exited(tx.tether, 0, 7, 0, tx.now);
    tx_next(&tx);
    tx_produce(&tx, 0, RT_STDOUT, 20); /* what was in the pipe */
    (void)tx_take(&tx);
    assert_int_equal(tx_up_items(&tx, 1, &up), 0);
    rt_tether_eof(tx.tether, 0, RT_STDOUT, tx.now);
    tx_next(&tx);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_END), 0);
    rt_tether_eof(tx.tether, 0, RT_STDERR, tx.now);
    (void)tx_take(&tx);
    assert_int_equal(tx_up_items(&tx, 1, &up), 1);
    assert_int_equal(up.t, RT_ITEM_EXITED);
    assert_int_equal(up.code, 7);
    assert_int_equal(up.out, 120);
    assert_int_equal(up.err, 0);
    assert_int_equal(tx_count(&tx, RT_FIN), 2);
    assert_int_equal(tx_count(&tx, RT_TAIL), 1); /* none for a stream without a byte */
    assert_int_equal(tx_frame(&tx, RT_TAIL, 0, 0)->head.length, 120);
    tx_decode(tx_frame(&tx, RT_END, 0, 0), RT_MSG_END, &end);
    assert_int_equal(end.code, 7);
    assert_int_equal(end.out, 120);
    assert_int_equal(tx.closes, 0);
    tx_end_ok(&tx, RT_END_REPLICATED, 0);
    assert_int_equal(tx.overs, 0);
    consumed_all(1, 120);
    assert_int_equal(tx.overs, 1);
    assert_int_equal(tx_view(&tx).state, RT_TETHER_IS_OVER);
    assert_int_equal(tx_view(&tx).code, 7);
    assert_true(tx_view(&tx).end_ok);
    assert_int_equal(tx_view(&tx).end_how, RT_END_REPLICATED);
    assert_true(tx_deadline(&tx) == UINT64_MAX);
    tx_next(&tx);
    assert_int_equal(tx_take(&tx), 0);
    tx_close(&tx);
}

/* Each of the three that are waited for comes last once. */
static void test_over_needs_all(void **state)
{
    (void)state;
    for (unsigned last = 0; last < 3; last++) {
        tx_live(&tx, NULL);
        tx_hold(&tx, 1, 30000);
        tx_produce(&tx, 0, RT_STDOUT, 10);
        tx_exit(&tx, 0, 0);
        (void)tx_take(&tx);
        struct tx_rx out = tx_rx(0), err = tx_rx(0);
        (void)tx_consume(&tx, 1, RT_STDOUT, &out);
        (void)tx_consume(&tx, 1, RT_STDERR, &err);
        assert_true(out.fin && err.fin);
        if (last != 0) {
            tx_end_ok(&tx, RT_END_STORED, 0);
        }
        if (last != 1) {
            tx_ack_control(&tx, 1, 0);
        }
        tx_ack(&tx, 1, RT_STDERR, &err, 10);
        out.fin = last != 2; /* all bytes, but not their end */
        tx_ack(&tx, 1, RT_STDOUT, &out, 10);
        assert_int_equal(tx.overs, 0);
        out.fin = true;
        if (last == 0) {
            tx_end_ok(&tx, RT_END_STORED, 0);
        } else if (last == 1) {
            tx_ack_control(&tx, 1, 0);
        } else {
            tx_ack(&tx, 1, RT_STDOUT, &out, 10);
        }
        assert_int_equal(tx.overs, 1);
        tx_close(&tx);
    }
}

/* The tails are the last 64 KiB of each stream, also when the ring went round. */
static void test_tails(void **state)
{
    (void)state;
    struct rt_tether_config config = tx_config(&tx);
    static const size_t sizes[] = {1, 65535, 65536, 65537, 100000, 500000};
    config.ring_bytes = 131072;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        tx_live(&tx, &config);
        assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, sizes[i]), sizes[i]);
        assert_int_equal(tx_produce(&tx, 0, RT_STDERR, sizes[i] / 2), sizes[i] / 2);
        tx_exit(&tx, 0, 0);
        (void)tx_take(&tx);
        size_t at = 0;
        for (size_t k = 0; k < tx.n_frames; k++) { /* just before END */
            const struct rt_frame *head = &tx.frames[k].head;
            uint64_t size = head->stream == RT_STDOUT ? sizes[i] : sizes[i] / 2;
            uint64_t tail = size < RT_TAIL_MAX ? size : RT_TAIL_MAX;
            if (head->type == RT_END) {
                assert_int_equal(at, sizes[i] > 1 ? 2 : 1);
            }
            if (head->type != RT_TAIL) {
                continue;
            }
            assert_int_equal(head->length, tail);
            assert_int_equal(head->offset, size - tail);
            for (uint64_t b = 0; b < tail; b++) {
                if (tx.frames[k].payload[b] != tx_byte(head->stream, head->offset + b)) {
                    fail_msg("the tail is not what was written");
                }
            }
            at++;
        }
        assert_int_equal(tx_count(&tx, RT_END), 1);
        tx_end_ok(&tx, RT_END_STORED, 0);
        assert_int_equal(tx.overs, 1); /* nobody is attached */
        tx_close(&tx);
    }
}

/* In which order they were written, the same each time that it is told; none for one stream. */
static void test_order_of_tails(void **state)
{
    const uint8_t want[] = {2, 6, 5, 4, 3};
    struct rt_end_msg end;
    (void)state;
    for (unsigned streams = 1; streams <= 2; streams++) {
        tx_live(&tx, NULL);
        for (size_t i = 1; i <= 6; i++) {
            tx_produce(&tx, 0, i % 2 == 1 || streams == 1 ? RT_STDOUT : RT_STDERR, i);
        }
        tx_exit(&tx, 0, 0);
        for (unsigned i = 0; i < 3; i++) {
            (void)tx_take(&tx);
            tx_decode(tx_frame(&tx, RT_END, 0, 0), RT_MSG_END, &end);
            if (streams == 1) {
                assert_int_equal(end.ord.size, 0);
            } else {
                assert_int_equal(end.ord.size, sizeof(want) + 1); /* 1 byte of stdout came first: all that is left */
                assert_memory_equal(end.ord.data, want, sizeof(want));
                assert_int_equal(end.ord.data[sizeof(want)], 2);
            }
            tx_end_ok(&tx, RT_END_LATER, 10);
            tx_run(&tx, 10, true);
        }
        tx_close(&tx);
    }
}

/* As many as have room, of tails that a ring still has. */
static void test_order_is_bounded(void **state)
{
    struct rt_tether_config config = tx_config(&tx);
    struct rt_end_msg end;
    (void)state;
    config.ring_bytes = 131072;
    tx_live(&tx, &config);
    for (size_t i = 0; i < 3000; i++) {
        assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 30), 30);
        assert_int_equal(tx_produce(&tx, 0, RT_STDERR, 1), 1);
    }
    tx_exit(&tx, 0, 0);
    (void)tx_take(&tx);
    tx_decode(tx_frame(&tx, RT_END, 0, 0), RT_MSG_END, &end);
    assert_int_equal(end.ord.size, 1 + RT_ORDER_RUNS_MAX - 2);
    tx_close(&tx);
    tx_live(&tx, &config);
    tx_produce(&tx, 0, RT_STDERR, 9);
    tx_produce(&tx, 0, RT_STDOUT, 1);
    tx_produce(&tx, 0, RT_STDERR, 9);
    tx_produce(&tx, 0, RT_STDOUT, 70000);
    tx_exit(&tx, 0, 0);
    (void)tx_take(&tx);
    tx_decode(tx_frame(&tx, RT_END, 0, 0), RT_MSG_END, &end);
    assert_int_equal(end.ord.size, 4);
    assert_memory_equal(end.ord.data, "\1\200\200\4", 4); /* the tail of stdout is all younger */
    tx_close(&tx);
}

/* END without an answer: again at every reconnect, tails and all; "later": again when it says. */
static void test_end_again(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    tx_exit(&tx, 0, 0);
    for (unsigned i = 0; i < 3; i++) {
        (void)tx_take(&tx);
        assert_int_equal(tx_count(&tx, RT_END), i == 0);
        tx_lost(&tx);
        tx_run(&tx, tx.dialing ? 0 : 600, false);
        struct rt_hello_msg hello;
        tx_connect(&tx, &hello);
        tx_welcome(&tx, 5, "ticket");
        (void)tx_take(&tx);
        assert_int_equal(tx_count(&tx, RT_TAIL), 1);
        assert_int_equal(tx_count(&tx, RT_END), 1);
    }
    for (unsigned i = 0; i < 3; i++) {
        uint64_t delay = i == 0 ? 0 : 2500, wait = delay ? delay : 1000;
        tx_end_ok(&tx, RT_END_LATER, delay);
        assert_int_equal(tx.overs, 0);
        tx_run(&tx, wait - 1, true);
        (void)tx_take(&tx);
        assert_int_equal(tx_count(&tx, RT_END), 0);
        assert_true(tx_deadline(&tx) <= tx.now + 1);
        tx_run(&tx, 1, true);
        (void)tx_take(&tx);
        assert_int_equal(tx_count(&tx, RT_TAIL), 1);
        assert_int_equal(tx_count(&tx, RT_END), 1);
    }
    tx_end_ok(&tx, RT_END_ON_DISK, 0);
    assert_int_equal(tx.overs, 1);
    tx_close(&tx);
    for (unsigned later = 0; later < 2; later++) { /* its life has ended in another way: that is final too */
        tx_live(&tx, NULL);
        tx_exit(&tx, 0, 0);
        tx_run(&tx, 1, true);
        tx_end_ok(&tx, RT_END_OTHER, later ? 500 : 0);
        assert_int_equal(tx.overs, 1);
        tx_close(&tx);
    }
    tx_live(&tx, NULL);
    tx_end_ok(&tx, RT_END_STORED, 0); /* nothing has ended */
    tx_exit(&tx, 0, 0);
    assert_int_equal(tx.overs, 0);
    tx_close(&tx);
}

/* A store that has lost it is told again: the WELCOME does not say that the record has ended. */
static void test_end_lost(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    tx_hold(&tx, 1, 30000);
    tx_exit(&tx, 0, 0);
    (void)tx_take(&tx);
    tx_end_ok(&tx, RT_END_STORED, 0);
    tx_cut(&tx);
    assert_int_equal(tx_count(&tx, RT_END), 1);
    tx_end_ok(&tx, RT_END_STORED, 0);
    tx.drain = true;
    tx_cut(&tx);
    assert_int_equal(tx_count(&tx, RT_END), 0);
    tx_close(&tx);
}

/* Once it is stored, no reconnect says it again. */
static void test_end_said_once(void **state)
{
    (void)state;
    struct tx_rx out = tx_rx(0), err = tx_rx(0);
    tx_live(&tx, NULL);
    tx_hold(&tx, 1, 30000);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    tx_exit(&tx, 0, 0);
    (void)tx_take(&tx);
    tx_end_ok(&tx, RT_END_STORED, 0);
    tx.drain = true;
    tx_cut(&tx);
    assert_int_equal(tx_count(&tx, RT_END) + tx_count(&tx, RT_TAIL), 0);
    struct rt_attach_msg msg = tx_resume(1, 2, &out, &err, 0, 0);
    tx_bind(&tx, 2, &msg);
    (void)tx_consume(&tx, 2, RT_STDOUT, &out);
    (void)tx_consume(&tx, 2, RT_STDERR, &err);
    assert_true(out.fin && err.fin); /* told again after the rebinding */
    tx_ack(&tx, 2, RT_STDOUT, &out, 10);
    tx_ack(&tx, 2, RT_STDERR, &err, 10);
    assert_int_equal(tx.overs, 0);
    tx_ack_control(&tx, 2, 0);
    assert_int_equal(tx.overs, 1);
    tx_close(&tx);
}

static void test_command_that_cannot_start(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(1, 1);
    struct rt_attached_msg attached;
    struct rt_up_item up = {0};
    tx_open(&tx, NULL);
    tx_close(&tx);
    tx.starts = 0;
    tx.dialing = false;
    tx.start_code = 127;
    tx.tether = rt_tether_new(&tx.config, tx.now);
    tx_next(&tx);
    tx_up(&tx);
    assert_int_equal(tx_count(&tx, RT_END), 1);
    tx_attach(&tx, 1, &msg);
    tx_attached(&tx, 1, &attached);
    assert_int_equal(attached.st, 2);
    assert_int_equal(attached.code, 127);
    assert_int_equal(tx_up_items(&tx, 1, &up), 1);
    assert_int_equal(up.code, 127);
    tx_close(&tx);
}

/* An exec'd process that ends is no end of the container; its attachment is waited for all the same. */
static void test_exec_at_the_end(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    assert_int_equal(tx_exec(&tx, 1, 7, 6000), 1);
    tx_produce(&tx, 1, RT_STDOUT, 10);
    tx_refuse(&tx, 1, &(struct rt_refuse_msg){.c = RT_CLASS_LOST});
    tx_exit(&tx, 0, 0);
    (void)tx_take(&tx);
    tx_end_ok(&tx, RT_END_STORED, 0);
    tx_exit(&tx, 1, 0);
    tx_run(&tx, 5999, true);
    assert_int_equal(tx.overs, 0);
    tx_run(&tx, 1, true);
    assert_int_equal(tx.overs, 1);
    tx_close(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_item_and_end),
        cmocka_unit_test(test_over_needs_all),
        cmocka_unit_test(test_tails),
        cmocka_unit_test(test_order_of_tails),
        cmocka_unit_test(test_order_is_bounded),
        cmocka_unit_test(test_end_again),
        cmocka_unit_test(test_end_lost),
        cmocka_unit_test(test_end_said_once),
        cmocka_unit_test(test_command_that_cannot_start),
        cmocka_unit_test(test_exec_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
