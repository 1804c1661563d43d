/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"

#include "tests/unit/session_core/tether_clients.h"
#include "tests/unit/session_core/tether_fixture.h"
#include "tests/unit/session_core/tether_process.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Control-down: resize and signal; each item once and in order. The size of a terminal, by item or by attach. */

static struct tx tx;
static uint64_t down; /* offset of the next item of attachment 1 */

static void open_tty(bool tty)
{
    struct rt_tether_config config = tx_config(&tx);
    struct rt_attach_msg msg = tx_new(1, 1);
    config.tty = tty;
    tx_live(&tx, &config);
    tx_bind(&tx, 1, &msg);
    down = 0;
}

static void send_item(uint32_t channel, const struct rt_down_item *item)
{
    uint8_t bytes[2 + RT_ITEM_MAX];
    size_t size = tx_item(bytes, item);
    tx_data(&tx, channel, RT_CONTROL_DOWN, down, bytes, size);
    down += size;
}

static void test_signals_in_order(void **state)
{
    (void)state;
    open_tty(false);
    for (unsigned sig = 1; sig <= 64; sig++) {
        send_item(1, &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = sig});
    }
    assert_int_equal(tx.sigs, 64);
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(tx.sig[i].sig, i + 1);
    }
    send_item(1, &(struct rt_down_item){.t = 99}); /* of a later version */
    assert_int_equal(tx.sigs, 64);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_REFUSE), 0);
    assert_int_equal(tx_in_ack(&tx, 1, RT_CONTROL_DOWN)->head.offset, down);
    tx_close(&tx);
}

/* More signals at once than there may be actions: the rest wait in their stream, and a tick, due at once, goes on. */
static void test_more_than_wait(void **state)
{
    (void)state;
    enum { COUNT = 3 * RT_TETHER_ACTIONS_MAX };
    static uint8_t frame[RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX];
    struct rt_tether_action action;
    size_t size = 0;
    unsigned told = 0;
    open_tty(false);
    (void)tx_take(&tx); /* the limit */
    for (unsigned i = 0; i < COUNT; i++) {
        size += tx_item(frame + RT_FRAME_HEADER + size,
                        &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = 1 + i % RT_SIG_MAX});
    }
    rt_frame_put(
        frame, &(struct rt_frame){.length = (uint32_t)size, .type = RT_DATA, .stream = RT_CONTROL_DOWN, .channel = 1});
    assert_int_equal(rt_tether_input(tx.tether, frame, RT_FRAME_HEADER + size, tx.now), RT_FRAME_HEADER + size);
    for (unsigned round = 1; told < COUNT; round++) {
        assert_true(rt_tether_deadline(tx.tether) <= tx.now);
        while (rt_tether_next(tx.tether, &action)) {
            assert_int_equal(action.kind, RT_TETHER_SIGNAL);
            assert_int_equal(action.sig, 1 + told % RT_SIG_MAX);
            told++;
        }
        assert_int_equal(told, round * RT_TETHER_ACTIONS_MAX); /* to take them brings about no more */
        rt_tether_tick(tx.tether, tx.now);
    }
    assert_false(rt_tether_next(tx.tether, &action));
    assert_true(rt_tether_deadline(tx.tether) > tx.now);
    tx_close(&tx);
}

static void test_items_cut_anywhere(void **state)
{
    (void)state;
    uint8_t bytes[256];
    size_t size = tx_item(bytes, &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = 15});
    size += tx_item(bytes + size, &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = 10});
    for (size_t a = 1; a < size; a++) {
        for (size_t b = a; b < size; b++) {
            open_tty(false);
            tx_data(&tx, 1, RT_CONTROL_DOWN, 0, bytes, a);
            if (b > a) {
                tx_data(&tx, 1, RT_CONTROL_DOWN, a, bytes + a, b - a);
            }
            tx_data(&tx, 1, RT_CONTROL_DOWN, b, bytes + b, size - b);
            assert_int_equal(tx.sigs, 2);
            assert_int_equal(tx.sig[0].sig, 15);
            assert_int_equal(tx.sig[1].sig, 10);
            tx_close(&tx);
        }
    }
}

/* The link is lost within an item: it is applied as a whole or not at all. */
static void test_items_once_over_a_cut(void **state)
{
    (void)state;
    uint8_t bytes[256];
    size_t one = tx_item(bytes, &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = 15});
    size_t size = one + tx_item(bytes + one, &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = 10});
    for (size_t cut = 1; cut <= size; cut++) {
        struct rt_attached_msg attached;
        struct tx_rx zero = tx_rx(0);
        struct rt_attach_msg msg = tx_resume(1, 2, &zero, &zero, 0, 0);
        open_tty(false);
        tx_data(&tx, 1, RT_CONTROL_DOWN, 0, bytes, cut);
        tx_cut(&tx);
        msg.in[1].h = size;
        tx_attach(&tx, 2, &msg);
        tx_attached(&tx, 2, &attached);
        uint64_t applied = attached.in[1].a;
        assert_int_equal(applied, cut < one ? 0 : cut < size ? one : size);
        assert_int_equal(attached.in[1].d, tx_bytes_digest(bytes, applied));
        if (applied < size) {
            tx_data(&tx, 2, RT_CONTROL_DOWN, applied, bytes + applied, size - applied);
        }
        assert_int_equal(tx.sigs, 2);
        assert_int_equal(tx.sig[1].sig, 10);
        tx_close(&tx);
    }
}

static void test_terminal_terms(void **state)
{
    (void)state;
    struct rt_tether_config config = tx_config(&tx);
    struct rt_attached_msg attached;
    struct rt_attach_msg msg = tx_new(1, 1);
    config.tty = true;
    config.rows = 24;
    config.cols = 80;
    tx_live(&tx, &config);
    assert_true(tx.start_tty && tx.start_in);
    assert_int_equal(tx.rows, 24);
    msg.rows = 50;
    msg.cols = 100;
    tx_attach(&tx, 1, &msg);
    tx_attached(&tx, 1, &attached);
    assert_true(attached.tty);
    assert_int_equal(tx.resizes, 1);
    assert_int_equal(tx.rows, 50);
    assert_int_equal(tx.cols, 100);
    msg = tx_new(2, 1);
    msg.cols = 10;
    tx_bind(&tx, 2, &msg);
    msg = tx_new(3, 1);
    msg.rows = 10;
    tx_bind(&tx, 3, &msg);
    assert_int_equal(tx.resizes, 1); /* sizes that make no sense */
    tx_close(&tx);
}

/* Who comes to a terminal of the same size sees it drawn: it has another size for a moment. The first one has seen all,
 * and another size is drawn anyway. */
static void test_redraw(void **state)
{
    (void)state;
    struct rt_tether_config config = tx_config(&tx);
    struct rt_attach_msg msg;
    config.tty = true;
    config.rows = 24;
    config.cols = 80;
    tx_live(&tx, &config);
    for (uint8_t i = 1; i < 4; i++) {
        msg = tx_new(i, 1);
        msg.rows = 24;
        msg.cols = 80;
        tx_bind(&tx, i, &msg);
        assert_int_equal(tx.resizes, i == 1 ? 1 : i * 2 - 2);
        assert_int_equal(tx.rows, i == 1 ? 24 : 23);
        tx_run(&tx, 1000, true);
        assert_int_equal(tx.resizes, i * 2 - 1);
        assert_int_equal(tx.rows, 24);
    }
    tx_cut(&tx);
    msg = tx_new(4, 1);
    msg.rows = 10;
    msg.cols = 80;
    tx_bind(&tx, 4, &msg);
    assert_int_equal(tx.resizes, 6);
    tx_run(&tx, 1000, true);
    assert_int_equal(tx.resizes, 6);
    assert_int_equal(tx.rows, 10);
    tx_close(&tx);
}

/* Sizes of several clients, by item and by attach: the last one counts, and each that is another is told to all. */
static void test_resize_last_wins(void **state)
{
    (void)state;
    uint8_t bytes[256];
    size_t size = 0;
    open_tty(true);
    for (unsigned i = 1; i < 5; i++) {
        size += tx_item(bytes + size, &(struct rt_down_item){.t = RT_ITEM_RESIZE, .rows = i, .cols = (uint64_t)10 * i});
    }
    tx_data(&tx, 1, RT_CONTROL_DOWN, 0, bytes, size);
    down = size;
    assert_int_equal(tx.resizes, 1);
    assert_int_equal(tx.rows, 4);
    assert_int_equal(tx.cols, 40);
    send_item(1, &(struct rt_down_item){.t = RT_ITEM_RESIZE, .rows = 0, .cols = 10});
    send_item(1, &(struct rt_down_item){.t = RT_ITEM_RESIZE, .rows = 4, .cols = 40}); /* set again, not told */
    assert_int_equal(tx.resizes, 2);
    struct rt_attach_msg other = tx_new(2, 1);
    other.rows = 5;
    other.cols = 50;
    tx_attach(&tx, 2, &other);
    (void)tx_take(&tx);
    assert_int_equal(tx.resizes, 3);
    unsigned told = 0;
    for (size_t i = 0; i < tx.n_frames; i++) {
        if (tx.frames[i].head.type == RT_DATA && tx.frames[i].head.stream == RT_CONTROL_UP &&
            tx.frames[i].head.channel == 1) {
            for (size_t at = 0; at < tx.frames[i].head.length; told++) {
                const uint8_t *p = tx.frames[i].payload + at;
                struct rt_up_item up;
                char why[RT_TEXT_MAX];
                size_t n = (size_t)(p[0] << 8 | p[1]);
                assert_int_equal(rt_msg_decode(RT_MSG_UP_ITEM, p + 2, n, &up, why, sizeof(why)), 0);
                assert_int_equal(up.t, RT_ITEM_RESIZED);
                assert_int_equal(up.rows, told + 1);
                at += 2 + n;
            }
        }
    }
    assert_int_equal(told, 5);
    tx_close(&tx);
    open_tty(false);
    send_item(1, &(struct rt_down_item){.t = RT_ITEM_RESIZE, .rows = 2, .cols = 10});
    assert_int_equal(tx.resizes, 0); /* no terminal */
    tx_close(&tx);
}

/* An item that cannot be read, or is too long, ends its attachment and nothing else. */
static void test_bad_items(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } rows[] = {
        {"\0\0", 2},
        {"\x10\x01", 2}, /* 4097 */
        {"\xff\xff", 2},
        {"\0\1\x80", 3},
        {"\0\3\xdd\xff\xff", 5},
        {"\0\4\x81\xa1t\xc0", 6},
        {"\0\x09\x82\xa1t\2\xa3sig\0", 11},
        {"\0\x09\x82\xa1t\2\xa3sig\x41", 11}, /* 65 */
        {"\0\x12\x83\xa1t\1\xa4rows\xce\0\1\0\0\xa4"
         "cols\1",
         22}, /* 65536 */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rt_attach_msg other = tx_new(2, 1);
        uint8_t byte;
        open_tty(false);
        tx_bind(&tx, 2, &other);
        tx_data(&tx, 1, RT_STDIN, 0, "a", 1);
        tx_data(&tx, 2, RT_STDIN, 0, "b", 1);
        tx_data(&tx, 1, RT_CONTROL_DOWN, 0, rows[i].bytes, rows[i].size);
        (void)tx_refused(&tx, 1, RT_CLASS_INVALID);
        assert_null(rt_tether_att_by_id(tx.tether, tx_id(1).data));
        assert_int_equal(tx_read(&tx, 0, &byte, 1), 1);
        assert_int_equal(byte, 'b');
        assert_int_equal(tx.hangups, 0);
        tx_close(&tx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signals_in_order),   cmocka_unit_test(test_more_than_wait),
        cmocka_unit_test(test_items_cut_anywhere), cmocka_unit_test(test_items_once_over_a_cut),
        cmocka_unit_test(test_terminal_terms),     cmocka_unit_test(test_redraw),
        cmocka_unit_test(test_resize_last_wins),   cmocka_unit_test(test_bad_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
