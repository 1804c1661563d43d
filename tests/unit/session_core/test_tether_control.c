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

/* Control-down: resize, signal, exec; each item once and in order. The size of a terminal, by item or by attach. */

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

static struct rt_down_item exec_item(uint8_t id, const char *argv0)
{
    return (struct rt_down_item){
        .t = RT_ITEM_EXEC, .id = tx_id(id), .argv = {rt_slice_text(argv0)}, .n_argv = 1, .in = true, .hold = 30000};
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
        enum rt_class cls;
    } rows[] = {
        {"\0\0", 2, RT_CLASS_LIMIT},
        {"\x10\x01", 2, RT_CLASS_LIMIT}, /* 4097 */
        {"\xff\xff", 2, RT_CLASS_LIMIT},
        {"\0\1\x80", 3, RT_CLASS_INVALID},
        {"\0\3\xdd\xff\xff", 5, RT_CLASS_INVALID},
        {"\0\4\x81\xa1t\xc0", 6, RT_CLASS_INVALID},
        {"\0\x09\x82\xa1t\2\xa3sig\0", 11, RT_CLASS_INVALID},
        {"\0\x09\x82\xa1t\2\xa3sig\x41", 11, RT_CLASS_INVALID}, /* 65 */
        {"\0\x12\x83\xa1t\1\xa4rows\xce\0\1\0\0\xa4"
         "cols\1",
         22, RT_CLASS_INVALID}, /* 65536 */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rt_attach_msg other = tx_new(2, 1);
        uint8_t byte;
        open_tty(false);
        tx_bind(&tx, 2, &other);
        tx_data(&tx, 1, RT_STDIN, 0, "a", 1);
        tx_data(&tx, 2, RT_STDIN, 0, "b", 1);
        tx_data(&tx, 1, RT_CONTROL_DOWN, 0, rows[i].bytes, rows[i].size);
        struct rt_refuse_msg why = tx_refused(&tx, 1, rows[i].cls);
        assert_true(rt_slice_equal(why.which, rt_slice_text(rows[i].cls == RT_CLASS_LIMIT ? "item" : "")));
        assert_null(rt_tether_att_by_id(tx.tether, tx_id(1).data));
        assert_int_equal(tx_read(&tx, 0, &byte, 1), 1);
        assert_int_equal(byte, 'b');
        assert_int_equal(tx.hangups, 0);
        tx_close(&tx);
    }
}

/* ---- exec ---- */

static void test_exec(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(7, 1);
    struct rt_attached_msg attached;
    struct rt_down_item item = exec_item(7, "ps");
    struct tx_rx rx = tx_rx(0);
    uint8_t buf[8];
    open_tty(false);
    item.tty = true;
    item.rows = 30;
    item.cols = 90;
    send_item(1, &item);
    assert_int_equal(tx.starts, 2);
    assert_int_equal(tx.start_proc, 1);
    assert_string_equal(tx.argv0, "ps");
    assert_true(tx.start_tty && tx.start_in);
    assert_int_equal(tx.rows, 30);
    tx_produce(&tx, 1, RT_STDOUT, 100);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    msg.p = RT_PROC_ANY;
    tx_attach(&tx, 2, &msg);
    tx_attached(&tx, 2, &attached);
    assert_int_equal(attached.p, 1);
    assert_true(attached.tty);
    assert_int_equal(attached.out[0].c, 0);
    assert_int_equal(tx_consume(&tx, 2, RT_STDOUT, &rx), 100);
    tx_data(&tx, 2, RT_STDIN, 0, "to ps", 5);
    assert_int_equal(tx_read(&tx, 0, buf, 8), 0);
    assert_int_equal(tx_read(&tx, 1, buf, 8), 5);
    uint64_t main_down = down;
    down = 0;
    send_item(2, &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = 2}); /* to its own process */
    assert_int_equal(tx.sig[0].proc, 1);
    down = main_down;
    send_item(1, &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = 3});
    assert_int_equal(tx.sig[1].proc, 0);
    tx_exit(&tx, 1, 3);
    tx_drain(&tx, 2, RT_STDOUT, &rx);
    assert_true(rx.fin);
    assert_int_equal(tx.overs, 0);
    tx_close(&tx);
}

/* Nothing is lost silently of what it wrote before its client came, though the ring went round. */
static void test_exec_attached_late(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(7, 1);
    struct rt_down_item item = exec_item(7, "yes");
    struct tx_rx rx = tx_rx(0);
    item.hold = 100;
    open_tty(false);
    send_item(1, &item);
    assert_int_equal(tx_produce(&tx, 1, RT_STDOUT, 3 * TX_RING), TX_RING); /* its attachment holds already */
    tx_run(&tx, 100, true);
    assert_int_equal(tx_produce(&tx, 1, RT_STDOUT, 3 * TX_RING), 3 * TX_RING);
    msg.p = RT_PROC_ANY;
    tx_bind(&tx, 2, &msg);
    (void)tx_consume(&tx, 2, RT_STDOUT, &rx);
    assert_int_equal(rx.gaps, 1);
    assert_int_equal(rx.gap_from, 0);
    tx_ack(&tx, 2, RT_STDOUT, &rx, 262144);
    tx_drain(&tx, 2, RT_STDOUT, &rx);
    assert_int_equal(rx.next, 4 * TX_RING);
    tx_close(&tx);
    open_tty(false); /* from somewhere else, as for any new one */
    down = 0;
    send_item(1, &item);
    tx_produce(&tx, 1, RT_STDOUT, 100);
    msg.from = RT_FROM_BYTES;
    msg.n = 10;
    tx_bind(&tx, 2, &msg);
    rx = tx_rx(90);
    assert_int_equal(tx_consume(&tx, 2, RT_STDOUT, &rx), 10);
    tx_close(&tx);
    open_tty(false); /* a start that makes no sense leaves the attachment as it was */
    down = 0;
    send_item(1, &item);
    msg.from = RT_FROM_OFFSET;
    msg.n = 0;
    msg.ne = 1;
    msg.want = 1 << RT_STDERR;
    tx_attach(&tx, 2, &msg);
    (void)tx_refused(&tx, 2, RT_CLASS_INVALID);
    msg = tx_new(7, 2);
    tx_bind(&tx, 3, &msg);
    tx_produce(&tx, 1, RT_STDOUT, 100);
    (void)tx_take(&tx);
    rx = tx_rx(0);
    assert_int_equal(tx_consume(&tx, 3, RT_STDOUT, &rx), 100);
    tx_close(&tx);
}

static void test_exec_once(void **state)
{
    (void)state;
    struct rt_down_item item = exec_item(7, "ps"), taken = exec_item(1, "ps");
    open_tty(false);
    send_item(1, &item);
    send_item(1, &item); /* the id is known */
    send_item(1, &taken);
    assert_int_equal(tx.starts, 2);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_REFUSE), 0);
    tx_close(&tx);
}

/* Processes of execs are bounded; one that has ended makes room. */
static void test_exec_limit(void **state)
{
    (void)state;
    struct rt_attach_msg msg;
    open_tty(false);
    for (unsigned i = 1; i < RT_PROCS_MAX; i++) {
        struct rt_down_item item = exec_item((uint8_t)(10 + i), "ps");
        send_item(1, &item);
        (void)tx_take(&tx);
    }
    assert_int_equal(tx.starts, RT_PROCS_MAX);
    struct rt_down_item item = exec_item(200, "one more");
    send_item(1, &item);
    assert_int_equal(tx.starts, RT_PROCS_MAX);
    msg = tx_new(200, 1);
    msg.p = RT_PROC_ANY;
    tx_attach(&tx, 2, &msg); /* its client is told */
    (void)tx_refused(&tx, 2, RT_CLASS_UNKNOWN_ATTACHMENT);
    tx_exit(&tx, 5, 0); /* ended: its attachment is there, its place is free */
    item = exec_item(202, "fits");
    send_item(1, &item);
    assert_int_equal(tx.starts, RT_PROCS_MAX + 1);
    assert_string_equal(tx.argv0, "fits");
    assert_int_equal(tx.start_proc, RT_PROCS_MAX); /* ids are never used twice */
    tx_close(&tx);
}

/* No room for its attachment: it does not run. */
static void test_exec_never_unseen(void **state)
{
    (void)state;
    open_tty(false);
    for (unsigned i = 2; i <= RT_ATTS_MAX; i++) {
        struct rt_attach_msg msg = tx_new((uint8_t)i, 1);
        tx_bind(&tx, i, &msg);
    }
    struct rt_down_item item = exec_item(200, "unseen");
    send_item(1, &item);
    assert_int_equal(tx.starts, 1);
    tx_detach(&tx, 2);
    send_item(1, &item);
    assert_int_equal(tx.starts, 2);
    tx_close(&tx);
}

static void test_exec_fails(void **state)
{
    (void)state;
    struct rt_down_item item = exec_item(7, "nothing");
    struct rt_attach_msg msg = tx_new(7, 1);
    struct rt_attached_msg attached;
    open_tty(false);
    tx.start_code = 127;
    send_item(1, &item);
    msg.p = RT_PROC_ANY;
    tx_attach(&tx, 2, &msg);
    tx_attached(&tx, 2, &attached);
    assert_int_equal(attached.st, 2);
    assert_int_equal(attached.code, 127);
    assert_true(attached.in[0].closed);
    assert_int_equal(tx.overs, 0);
    tx_close(&tx);
}

/* The main process ends: the others are killed, one that was being started as well; no more are run. */
static void test_execs_end_with_the_container(void **state)
{
    (void)state;
    struct rt_down_item item = exec_item(7, "a"), late = exec_item(8, "b"), refused = exec_item(9, "c");
    open_tty(false);
    send_item(1, &item);
    tx.starts_wait = true;
    send_item(1, &late);
    assert_int_equal(tx.starts, 3);
    rt_tether_exited(tx.tether, 0, 0, 0, tx.now);
    tx_next(&tx);
    assert_int_equal(tx.sigs, 1);
    assert_int_equal(tx.sig[0].sig, 9);
    assert_int_equal(tx.sig[0].proc, 1);
    rt_tether_started(tx.tether, 2, 0, tx.now);
    tx_next(&tx);
    assert_int_equal(tx.sigs, 2);
    assert_int_equal(tx.sig[1].proc, 2);
    send_item(1, &refused);
    assert_int_equal(tx.starts, 3);
    tx_close(&tx);
}

/* Items for a process that is being started wait for it; then START goes out before them. */
static void test_items_wait_for_the_start(void **state)
{
    (void)state;
    struct rt_down_item item = exec_item(7, "a");
    struct rt_attach_msg msg = tx_new(7, 1);
    open_tty(false);
    tx.starts_wait = true;
    send_item(1, &item);
    msg.p = RT_PROC_ANY;
    tx_bind(&tx, 2, &msg);
    down = 0;
    send_item(2, &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = 2});
    assert_int_equal(tx.sigs, 0);
    rt_tether_started(tx.tether, 1, 0, tx.now);
    tx_next(&tx);
    assert_int_equal(tx.sigs, 1);
    assert_int_equal(tx.sig[0].proc, 1);
    tx_close(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signals_in_order),
        cmocka_unit_test(test_more_than_wait),
        cmocka_unit_test(test_items_cut_anywhere),
        cmocka_unit_test(test_items_once_over_a_cut),
        cmocka_unit_test(test_terminal_terms),
        cmocka_unit_test(test_redraw),
        cmocka_unit_test(test_resize_last_wins),
        cmocka_unit_test(test_bad_items),
        cmocka_unit_test(test_exec),
        cmocka_unit_test(test_exec_attached_late),
        cmocka_unit_test(test_exec_once),
        cmocka_unit_test(test_exec_limit),
        cmocka_unit_test(test_exec_never_unseen),
        cmocka_unit_test(test_exec_fails),
        cmocka_unit_test(test_execs_end_with_the_container),
        cmocka_unit_test(test_items_wait_for_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
