/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"

#include "tests/lib/alloc/allocfail.h"
#include "tests/unit/session_core/tether_clients.h"
#include "tests/unit/session_core/tether_fixture.h"
#include "tests/unit/session_core/tether_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Every allocation of a whole session fails in turn: there is no tether, or a channel ends as LOST and comes again, or
 * an item waits for memory; nothing that was applied is ever lost or applied twice. */

static struct tx tx;

static const char text[] = "typed by hand";

/* Sends the input that is not applied yet on a channel; true when it went through. */
static bool type(uint32_t channel, uint64_t from)
{
    tx_data(&tx, channel, RT_STDIN, from, text + from, sizeof(text) - from);
    (void)tx_take(&tx);
    return tx_frame(&tx, RT_REFUSE, channel, 0) == NULL;
}

/* stdin by try until it is all in. */
static void input(void)
{
    struct tx_rx zero = tx_rx(0);
    uint8_t got[sizeof(text)];
    for (uint32_t channel = 1; !type(channel, 0); channel++) {
        struct rt_refuse_msg refuse;
        tx_decode(tx_frame(&tx, RT_REFUSE, channel, 0), RT_MSG_REFUSE, &refuse);
        assert_int_equal(refuse.c, RT_CLASS_LOST);
        assert_true(channel < 3);
        struct rt_attach_msg msg = tx_resume(1, channel + 1, &zero, &zero, 0, sizeof(text));
        tx_bind(&tx, channel + 1, &msg);
    }
    assert_int_equal(tx_read(&tx, 0, got, sizeof(got)), sizeof(text));
    assert_memory_equal(got, text, sizeof(text));
}

static void signal(void)
{
    struct tx_rx zero = tx_rx(0);
    struct rt_attach_msg msg = tx_resume(1, 9, &zero, &zero, 0, sizeof(text));
    uint8_t bytes[64];
    size_t size = tx_item(bytes, &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = 2});
    tx_bind(&tx, 20, &msg);
    tx_data(&tx, 20, RT_CONTROL_DOWN, 0, bytes, size);
    (void)tx_take(&tx);
    if (tx_frame(&tx, RT_REFUSE, 20, 0) != NULL) { /* no ring for it */
        msg.try_no = 10;
        msg.in[1].h = size;
        tx_bind(&tx, 21, &msg);
        tx_data(&tx, 21, RT_CONTROL_DOWN, 0, bytes, size);
    }
    assert_int_equal(tx.sigs, 1);
}

/* A command that finds no memory is asked for again; one that was begun runs, once. Returns whether any was short. */
static bool exec(void)
{
    struct rt_attach_msg msg = tx_new_exec(7, 1);
    struct tx_rx zero = tx_rx(0);
    uint32_t channel = 30;
    unsigned starts = tx.starts;
    bool none = false;
    for (bool bound = false; !bound; channel++) {
        tx_attach(&tx, channel, &msg);
        (void)tx_take(&tx);
        bound = tx_frame(&tx, RT_ATTACHED, channel, 0) != NULL;
        if (bound) {
            msg = tx_resume(7, 2, &zero, &zero, 0, 0);
            msg.in[1].h = 1000;
            tx_run_word(&tx, channel, "ps");
            (void)tx_take(&tx);
            bound = tx_frame(&tx, RT_REFUSE, channel, 0) == NULL; /* else no ring for its pieces */
        }
        if (!bound) {
            struct rt_refuse_msg refuse;
            tx_decode(tx_frame(&tx, RT_REFUSE, channel, 0), RT_MSG_REFUSE, &refuse);
            assert_int_equal(refuse.c, RT_CLASS_LOST);
            assert_true(channel < 32);
            none = true;
        }
    }
    none = none || tx.starts == starts;
    rt_tether_tick(tx.tether, tx.now); /* an item that found no memory is taken up again */
    tx_next(&tx);
    assert_int_equal(tx.starts, starts + 1);
    assert_string_equal(tx.argv0, "ps");
    return none;
}

/* Returns whether something was refused for want of memory. */
static bool session(void)
{
    struct rt_attach_msg msg = tx_new(1, 1);
    bool none;
    memset(&tx, 0, sizeof(tx));
    tx.config = tx_config(&tx);
    tx.now = 1000;
    tx.out_cap = TX_CAP;
    tx.tether = rt_tether_new(&tx.config, tx.now);
    if (tx.tether == NULL) {
        return true;
    }
    tx_next(&tx);
    tx_up(&tx);
    tx_bind(&tx, 1, &msg);
    input();
    signal();
    none = exec();
    tx_produce(&tx, 0, RT_STDOUT, 1000);
    tx_exit(&tx, 0, 0);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_END), 1);
    tx_close(&tx);
    return none;
}

static void test_every_allocation_fails(void **state)
{
    (void)state;
    unsigned refused = 0;
    for (size_t n = 1;; n++) {
        rt_alloc_fail_at(n);
        bool short_of = session();
        refused += short_of;
        if (!rt_alloc_stop()) {
            assert_false(short_of);
            assert_true(n > 12);
            break;
        }
    }
    assert_true(refused >= 9); /* the tether and the exec; what is tried again goes through */
}

/* The data path allocates nothing. */
static void test_no_allocation_per_frame(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(1, 1);
    struct tx_rx rx = tx_rx(0);
    uint8_t buf[16];
    tx_live(&tx, NULL);
    tx_bind(&tx, 1, &msg);
    tx_data(&tx, 1, RT_STDIN, 0, "x", 1); /* its ring is made now */
    rt_alloc_fail_at(0);
    for (uint64_t i = 1; i < 1000; i++) {
        tx_data(&tx, 1, RT_STDIN, i, "x", 1);
        (void)tx_read(&tx, 0, buf, sizeof(buf));
        tx_produce(&tx, 0, RT_STDOUT, 200);
        (void)tx_take(&tx);
        (void)tx_consume(&tx, 1, RT_STDOUT, &rx);
        if (i % 100 == 0) {
            tx_ack(&tx, 1, RT_STDOUT, &rx, 100000);
        }
    }
    (void)rt_alloc_stop();
    assert_int_equal(rt_alloc_count(), 0);
    tx_close(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_no_allocation_per_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
