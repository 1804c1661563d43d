/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"
#include "session/core/tether_machine.h"

#include "tests/unit/session_core/tether_clients.h"
#include "tests/unit/session_core/tether_fixture.h"
#include "tests/unit/session_core/tether_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What an agent claims, and what a guest believes of it: epochs, lives, how an end is kept, how long to wait. */

static struct tx tx;

/* Dials, and is told STALE with this epoch. Returns how long it waits then. */
static uint64_t stale(uint64_t epoch)
{
    struct rt_refuse_msg msg = {.c = RT_CLASS_STALE, .epoch = epoch};
    struct rt_hello_msg hello;
    uint64_t from = tx.now;
    tx_connect(&tx, &hello);
    tx_refuse(&tx, 0, &msg);
    tx_run(&tx, tx.dialing ? 0 : tx_deadline(&tx) - tx.now, false);
    assert_true(tx.dialing);
    return tx.now - from;
}

static uint64_t next_epoch(void)
{
    struct rt_hello_msg hello;
    tx_connect(&tx, &hello);
    tx_lost(&tx);
    tx_run(&tx, 600, false);
    return hello.epoch;
}

static void test_stale_raises_the_epoch(void **state)
{
    (void)state;
    tx_open(&tx, NULL);
    assert_in_range(stale(77), 0, 5);
    assert_int_equal(next_epoch(), 78);
    (void)stale(3); /* never back */
    assert_int_equal(next_epoch(), 80);
    tx_close(&tx);
}

/* Once at once, then slower and slower, whatever it names. */
static void test_stale_again_and_again(void **state)
{
    (void)state;
    uint64_t last = 0;
    tx_open(&tx, NULL);
    assert_in_range(stale(10), 0, 5);
    for (unsigned i = 0; i < 12; i++) {
        last = stale(100 + 10 * i);
    }
    assert_in_range(last, RT_REDIAL_MAX_MS / 2, RT_REDIAL_MAX_MS);
    tx_up(&tx);
    tx_lost(&tx);
    tx_run(&tx, RT_REDIAL_MAX_MS, false);
    assert_in_range(stale(1000), 0, 5); /* a welcome begins it anew */
    tx_close(&tx);
}

/* Up to the highest epoch that leaves room: taken. Above: said, and not taken. */
static void test_stale_leaves_room(void **state)
{
    (void)state;
    static const uint64_t most = RT_COUNTER_MAX - RT_EPOCH_ROOM - 1;
    static const uint64_t bad[] = {most + 1, most + 2, RT_COUNTER_MAX - 2, RT_COUNTER_MAX - 1};
    struct rt_hello_msg hello;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rt_refuse_msg msg = {.c = RT_CLASS_STALE, .epoch = bad[i], .m = rt_slice_text("raise it")};
        tx_open(&tx, NULL);
        tx_connect(&tx, &hello);
        tx_refuse(&tx, 0, &msg);
        assert_int_equal(tx_view(&tx).state, RT_TETHER_REFUSED);
        assert_string_equal(tx_view(&tx).text, "the agent names an epoch that leaves no room for newer ones");
        assert_true(tx_deadline(&tx) - tx.now >= RT_REFUSED_MIN_MS);
        tx_run(&tx, RT_REFUSED_MAX_MS, false);
        tx_connect(&tx, &hello); /* the next one may be honest */
        assert_int_equal(hello.epoch, 2);
        tx_welcome(&tx, 5, "ticket");
        assert_int_equal(tx_view(&tx).state, RT_TETHER_LIVE);
        tx_close(&tx);
    }
    tx_open(&tx, NULL);
    (void)stale(most);
    assert_int_equal(next_epoch(), most + 1);
    tx_close(&tx);
}

/* The last epoch that a hello can carry is used; then there is silence, and the reason. */
static void test_out_of_epochs(void **state)
{
    (void)state;
    struct rt_tether_config config = tx_config(&tx);
    struct rt_hello_msg hello;
    config.end_timeout_ms = 1000;
    tx_open(&tx, &config);
    tx.tether->epoch = RT_COUNTER_MAX - 2;
    tx_lost(&tx);
    tx_run(&tx, 10, false);
    tx_connect(&tx, &hello);
    assert_int_equal(hello.epoch, RT_COUNTER_MAX - 1);
    tx_lost(&tx);
    tx_run(&tx, 3600000, false);
    assert_false(tx.dialing);
    assert_int_equal(tx_view(&tx).state, RT_TETHER_REFUSED);
    assert_int_equal(tx_view(&tx).cls, RT_CLASS_LIMIT);
    assert_string_not_equal(tx_view(&tx).text, "");
    assert_true(tx_deadline(&tx) == UINT64_MAX);
    tx_exit(&tx, 0, 3); /* it ends as without an agent */
    tx_run(&tx, 1000, false);
    assert_int_equal(tx.overs, 1);
    tx_close(&tx);
}

static void test_bad_welcomes(void **state)
{
    (void)state;
    struct rt_hello_msg hello;
    struct rt_welcome_msg bad[4];
    tx_open(&tx, NULL);
    for (unsigned i = 0; i < 4; i++) {
        bad[i] = (struct rt_welcome_msg){.v = 1, .host = rt_slice_text("h"), .life = 5, .tkt = rt_slice_text("t")};
    }
    bad[0].v = 2;
    bad[1].life = 0;
    bad[2].tkt.size = 0;
    for (unsigned i = 0; i < 4; i++) {
        tx_connect(&tx, &hello);
        tx_send_map(&tx, (struct rt_frame){.type = RT_WELCOME}, RT_MSG_WELCOME, &bad[i]);
        assert_int_equal(tx.up, i == 3);
        if (i < 3) {
            tx_run(&tx, RT_REFUSED_MIN_MS, false);
        }
    }
    tx_close(&tx);
}

/* A ticket is of one life: who welcomes to another one is not believed. */
static void test_welcome_to_another_life(void **state)
{
    (void)state;
    struct rt_hello_msg hello;
    tx_live(&tx, NULL);
    tx_lost(&tx);
    tx_connect(&tx, &hello);
    tx_welcome(&tx, 6, "other");
    assert_false(tx.up);
    assert_int_equal(tx_view(&tx).life, 5);
    tx_run(&tx, RT_REFUSED_MIN_MS, false);
    tx_connect(&tx, &hello);
    assert_memory_equal(hello.tok.data, "ticket", 6);
    tx_welcome(&tx, 5, "next");
    assert_int_equal(tx_view(&tx).state, RT_TETHER_LIVE);
    tx_close(&tx);
}

static void end_ok(uint64_t how, uint64_t delay)
{
    struct rt_end_ok_msg msg = {.how = how, .delay = delay};
    tx_send_map(&tx, (struct rt_frame){.type = RT_END_OK}, RT_MSG_END_OK, &msg);
}

/* An end that is kept in no way that there is, or put off for ever, is told again. */
static void test_ends_that_are_not_kept(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    tx_exit(&tx, 0, 0);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_END), 1);
    end_ok(RT_END_LATER, RT_DELAY_MAX_MS);
    tx_run(&tx, RT_REFUSED_MAX_MS, true);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_END), 1);
    tx_send(&tx, (struct rt_frame){.type = RT_END_OK, .length = 6}, "\x81\xa3how\x05"); /* none that is known */
    assert_int_equal(tx.overs, 0);
    assert_false(tx.up);
    assert_false(tx_view(&tx).end_ok);
    tx_run(&tx, 600, false);
    tx_up(&tx);
    end_ok(RT_END_ON_DISK, 0);
    assert_int_equal(tx.overs, 1);
    tx_close(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stale_raises_the_epoch), cmocka_unit_test(test_stale_again_and_again),
        cmocka_unit_test(test_stale_leaves_room),      cmocka_unit_test(test_out_of_epochs),
        cmocka_unit_test(test_bad_welcomes),           cmocka_unit_test(test_welcome_to_another_life),
        cmocka_unit_test(test_ends_that_are_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
