/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"
#include "session/core/tether_machine.h"
#include "session/core/tether_proc.h"

#include "tests/unit/session_core/tether_clients.h"
#include "tests/unit/session_core/tether_fixture.h"
#include "tests/unit/session_core/tether_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Exec'd processes that have ended: what is kept of them, for whom, for how long. */

#define SMALL 128 /* bytes of output and control that may be left of one that nobody reads */
#define HOLD 5000

static struct tx tx;
static uint32_t channel; /* the newest */
static struct tx_rx out; /* its stdout, as it was received */

static void open_box(void)
{
    struct rt_attach_msg msg = tx_new(1, 1);
    tx_live(&tx, NULL);
    channel = 1;
    tx_bind(&tx, channel, &msg);
}

/* A command on a channel of its own; returns its process. */
static uint32_t exec(uint8_t id, uint64_t hold)
{
    out = tx_rx(0);
    return tx_exec(&tx, ++channel, id, hold);
}

/* Its client is killed. */
static void leave(void)
{
    tx_refuse(&tx, channel, &(struct rt_refuse_msg){.c = RT_CLASS_LOST});
}

static void output(uint32_t proc, size_t size)
{
    size_t room;
    uint8_t *space = tx_space(&tx, proc, RT_STDOUT, &room);
    assert_true(room >= size);
    for (size_t i = 0; i < size; i++) {
        space[i] = tx_byte(RT_STDOUT, i);
    }
    rt_tether_commit(tx.tether, proc, RT_STDOUT, size);
    tx_next(&tx);
}

static const struct rt_proc *proc_of(uint32_t id)
{
    return rt_tether_proc(tx.tether, id);
}

static size_t kept(uint32_t id)
{
    size_t size = 0;
    for (unsigned o = 0; o < RT_OUTS; o++) {
        size += proc_of(id)->ring[o].data != NULL ? proc_of(id)->ring[o].cap : 0;
    }
    return size;
}

/* All memory that the tether has for processes and their input. */
static size_t memory(void)
{
    const struct rt_tether *t = tx.tether;
    size_t size = 0;
    for (size_t i = 0; i < RT_PROCS_MAX; i++) {
        if (t->procs[i] != NULL) {
            size += sizeof(*t->procs[i]) + RT_SEGMENTS_MAX * sizeof(struct rt_segment) + kept(t->procs[i]->id);
        }
    }
    for (size_t i = 0; i < t->n_finished; i++) {
        size += sizeof(*t->finished[i]) + kept(t->finished[i]->id);
    }
    for (size_t i = 0; i < RT_ATTS_MAX; i++) {
        for (size_t s = 0; s < RT_INS; s++) {
            size += t->atts[i].in[s].ring.data != NULL ? t->atts[i].in[s].ring.cap : 0;
        }
    }
    return size;
}

/* Reads it to its end and says that it has all; control-up too. */
static void read_all(uint32_t proc)
{
    const struct rt_ring *control = &proc_of(proc)->ring[RT_CONTROL_UP - RT_STDOUT];
    struct tx_rx err = tx_rx(0);
    struct rt_digest digest;
    tx_drain(&tx, channel, RT_STDOUT, &out);
    err.fin = true;
    tx_ack(&tx, channel, RT_STDERR, &err, 10);
    tx_ack(&tx, channel, RT_STDOUT, &out, 10); /* its end may have come with ATTACHED */
    rt_digest_start(&digest, 0);
    rt_ring_digest(control, &digest, control->head);
    tx_ack_raw(&tx, channel, RT_CONTROL_UP, control->head, control->head + 100, rt_digest_value(&digest), 0);
    assert_true(out.fin);
}

/* The exit as the frames taken tell it on the newest channel. */
static struct rt_up_item told_exit(void)
{
    struct rt_up_item up = {0};
    for (size_t i = 0; i < tx.n_frames; i++) {
        const struct tx_frame *f = &tx.frames[i];
        char why[RT_TEXT_MAX];
        if (f->head.type != RT_DATA || f->head.stream != RT_CONTROL_UP || f->head.channel != channel) {
            continue;
        }
        assert_int_equal(f->head.length, 2 + (f->payload[0] << 8 | f->payload[1]));
        assert_int_equal(rt_msg_decode(RT_MSG_UP_ITEM, f->payload + 2, f->head.length - 2, &up, why, sizeof(why)), 0);
    }
    assert_int_equal(up.t, RT_ITEM_EXITED);
    return up;
}

/* One that is read and left is a status and offsets; whoever comes later learns these. */
static void test_read_and_left(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(9, 1);
    struct rt_attached_msg attached;
    uint32_t proc;
    open_box();
    proc = exec(7, HOLD);
    assert_int_equal(kept(proc), RT_CONTROL_RING); /* a process that writes nothing has no ring */
    output(proc, 1000);
    assert_int_equal(kept(proc), TX_RING + RT_CONTROL_RING);
    tx_exit(&tx, proc, 3);
    assert_true(kept(proc) > TX_RING);
    read_all(proc);
    assert_in_range(kept(proc), 1, SMALL);
    tx_detach(&tx, channel);
    assert_in_range(kept(proc), 1, SMALL);
    msg.p = proc;
    msg.want &= ~(1U << RT_STDIN); /* its end is told, too */
    tx_attach(&tx, ++channel, &msg);
    tx_attached(&tx, channel, &attached);
    assert_int_equal(attached.st, 2);
    assert_int_equal(attached.code, 3);
    assert_int_equal(attached.out[0].head, 1000);
    assert_int_equal(told_exit().code, 3);
    assert_int_equal(told_exit().out, 1000);
    assert_int_equal(tx_frame(&tx, RT_FIN, channel, 0)->head.offset, 1000); /* before stderr's */
    tx_close(&tx);
}

/* Its stdin's window goes with it. */
static void test_input_is_not_kept(void **state)
{
    (void)state;
    size_t before;
    open_box();
    (void)exec(7, HOLD);
    before = memory();
    tx_data(&tx, channel, RT_STDIN, 0, "x", 1);
    assert_int_equal(memory(), before + RT_STDIN_WINDOW);
    tx_exit(&tx, 1, 0);
    assert_true(memory() < before);
    tx_close(&tx);
}

/* A thousand commands, read or not: memory is that of those that are remembered, which are the newest. */
static void test_a_thousand(void **state)
{
    (void)state;
    size_t after[2];
    open_box();
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t id = (uint8_t)(2 + i % 100);
        uint32_t proc = exec(id, 0);
        assert_int_equal(proc, i + 1);
        output(proc, 2000);
        tx_exit(&tx, proc, i % 256);
        if (i % 3 != 0) {
            read_all(proc);
        }
        tx_detach(&tx, channel);
        if (i >= 998) {
            assert_true(tx.tether->n_finished == RT_FINISHED_MAX);
        }
        if (i == 499 || i == 999) {
            after[i / 999] = memory();
        }
    }
    assert_in_range(after[1], after[0] - 1000, after[0] + 1000); /* numbers of other lengths in the items */
    assert_true(after[1] < (size_t)RT_FINISHED_MAX * (sizeof(struct rt_proc) + SMALL) + (size_t)1 * 1024 * 1024);
    assert_null(proc_of(1000 - RT_FINISHED_MAX));
    assert_int_equal(proc_of(1000 - RT_FINISHED_MAX + 1)->code, (1000 - RT_FINISHED_MAX) % 256);
    tx_close(&tx);
}

/* Commands whose clients are killed before they have read: the next one runs at once, however many there are. */
static void test_killed_clients_take_no_place(void **state)
{
    (void)state;
    open_box();
    for (unsigned i = 0; i < RT_ATTS_MAX - 1; i++) {
        uint32_t proc = exec((uint8_t)(2 + i), 30000);
        assert_int_equal(tx.starts, 2 + i);
        output(proc, 100);
        leave();
        tx_exit(&tx, proc, 0);
    }
    tx_run(&tx, RT_ATT_DISPLACE_MS, true); /* attachments, too, are bounded: the oldest makes room */
    (void)exec(250, 30000);
    assert_int_equal(tx.starts, 1 + RT_ATTS_MAX);
    (void)exec(251, 30000);
    assert_int_equal(tx.starts, 2 + RT_ATTS_MAX);
    tx_close(&tx);
}

/* Until then nobody takes a place from bytes that only this guest has: a client that was killed looks like one whose
 * link was cut, and that one comes back and has all. */
static void test_unread_gives_no_way(void **state)
{
    (void)state;
    struct rt_attach_msg msg;
    open_box();
    for (unsigned i = 0; i < RT_ATTS_MAX - 1; i++) {
        uint32_t proc = exec((uint8_t)(2 + i), 30000);
        output(proc, 100);
        leave();
        tx_exit(&tx, proc, 0);
    }
    tx_run(&tx, RT_ATT_DISPLACE_MS / 2, true);
    msg = tx_new_exec(250, 1);
    tx_attach(&tx, ++channel, &msg);
    (void)tx_refused(&tx, channel, RT_CLASS_LIMIT);
    for (unsigned i = 0; i < RT_ATTS_MAX - 1; i++) {
        struct tx_rx none = tx_rx(0);
        out = tx_rx(0);
        msg = tx_resume((uint8_t)(2 + i), 2, &out, &none, 0, 0);
        msg.n_in = 0;
        tx_bind(&tx, ++channel, &msg);
        (void)tx_consume(&tx, channel, RT_STDOUT, &out);
        assert_int_equal(out.gaps, 0);
        assert_int_equal(out.next, 100);
    }
    tx_close(&tx);
}

/* A client that was killed: its hold is spent, from then on its output may go; a move begins nothing anew. What comes
 * back later is told the gap and the exit. */
static void test_abandoned(void **state)
{
    (void)state;
    struct tx_rx err = tx_rx(0);
    struct rt_attach_msg msg;
    uint32_t proc;
    open_box();
    proc = exec(7, HOLD);
    output(proc, 100);
    tx_exit(&tx, proc, 5);
    tx_run(&tx, 60000, true);
    assert_true(kept(proc) > TX_RING); /* slow is not away */
    leave();
    for (unsigned i = 0; i < 20; i++) {
        assert_true(kept(proc) > TX_RING);
        tx_run(&tx, 1400, true);
        tx_cut(&tx);
    }
    assert_int_equal(rt_tether_att_by_id(tx.tether, tx_id(7).data)->hold_left, 0);
    tx_run(&tx, RT_ATT_DISPLACE_MS - 20 * 1400, true);
    assert_in_range(kept(proc), 1, SMALL);
    msg = tx_resume(7, 2, &out, &err, 0, 0);
    msg.n_in = 0;
    tx_bind(&tx, ++channel, &msg);
    (void)tx_consume(&tx, channel, RT_STDOUT, &out);
    assert_int_equal(out.gaps, 1);
    assert_int_equal(out.next, 100);
    assert_int_equal(told_exit().code, 5);
    assert_true(out.fin);
    tx_close(&tx);
}

/* An exec that asked for no hold, and whose client comes back a moment after the command has ended. */
static void test_observer_comes_late(void **state)
{
    (void)state;
    struct tx_rx none = tx_rx(0);
    struct rt_attach_msg msg;
    uint32_t proc;
    open_box();
    proc = exec(7, 0);
    leave();
    output(proc, 100);
    tx_exit(&tx, proc, 0);
    tx_run(&tx, RT_ATT_DISPLACE_MS - 1000, true);
    msg = tx_resume(7, 2, &out, &none, 0, 0);
    msg.n_in = 0;
    tx_bind(&tx, ++channel, &msg);
    (void)tx_consume(&tx, channel, RT_STDOUT, &out);
    read_all(proc);
    tx_close(&tx);
    open_box(); /* it never comes */
    proc = exec(7, 0);
    leave();
    output(proc, 100);
    tx_exit(&tx, proc, 0);
    tx_run(&tx, RT_ATT_DISPLACE_MS + 5000, true);
    assert_in_range(kept(proc), 1, SMALL);
    tx_close(&tx);
}

/* Ten minutes of time with an agent, in however many pieces; time without one does not count. */
static void test_forgotten_in_spite_of_moves(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(2, 1);
    open_box();
    msg.hold = 0;
    tx_bind(&tx, ++channel, &msg);
    leave();
    for (unsigned i = 0; i < 19; i++) {
        tx_run(&tx, RT_ATT_FORGET_MS / 20, true);
        tx_lost(&tx);
        tx.now += 400000; /* a long outage */
        tx_tick(&tx, tx.now);
        tx_up(&tx);
    }
    assert_non_null(rt_tether_att_by_id(tx.tether, tx_id(2).data));
    tx_run(&tx, RT_ATT_FORGET_MS / 20 + 5, true);
    assert_null(rt_tether_att_by_id(tx.tether, tx_id(2).data));
    tx_close(&tx);
}

/* More attachments to finished commands than there is room to remember: none that somebody is attached to goes. */
static void test_attached_are_remembered(void **state)
{
    (void)state;
    open_box();
    for (unsigned i = 0; i < RT_ATTS_MAX - 1; i++) {
        uint32_t proc = exec((uint8_t)(2 + i), HOLD);
        tx_exit(&tx, proc, 1);
    }
    for (unsigned i = 0; i < 40; i++) { /* the last place, over and over */
        uint32_t last = channel;
        uint32_t proc;
        tx_detach(&tx, last);
        proc = exec(250, HOLD);
        tx_exit(&tx, proc, 1);
    }
    for (size_t i = 0; i < RT_ATTS_MAX; i++) {
        assert_non_null(proc_of(tx.tether->atts[i].proc));
    }
    assert_int_equal(tx.tether->n_finished, RT_FINISHED_MAX);
    tx_close(&tx);
}

/* A report lists what runs and what somebody is attached to; the rest is a number. */
static void test_report(void **state)
{
    (void)state;
    static struct rt_report_msg report;
    uint32_t attached, runs;
    open_box();
    attached = exec(200, HOLD);
    tx_exit(&tx, attached, 0);
    for (unsigned i = 0; i < 30; i++) {
        uint32_t proc = exec((uint8_t)(2 + i), HOLD);
        tx_exit(&tx, proc, 0);
        tx_detach(&tx, channel);
    }
    runs = exec(201, HOLD);
    tx_run(&tx, RT_REPORT_INTERVAL_MS, true);
    (void)tx_take(&tx);
    tx_decode(tx_frame(&tx, RT_REPORT, 0, 0), RT_MSG_REPORT, &report);
    assert_int_equal(report.n_procs, 3);
    assert_int_equal(report.procs[0].p, 0);
    assert_int_equal(report.procs[1].p, runs);
    assert_int_equal(report.procs[1].st, 1);
    assert_int_equal(report.procs[2].p, attached);
    assert_int_equal(report.procs[2].st, 2);
    assert_int_equal(report.done, 30);
    assert_int_equal(report.n_atts, 3);
    tx_close(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_and_left),
        cmocka_unit_test(test_input_is_not_kept),
        cmocka_unit_test(test_a_thousand),
        cmocka_unit_test(test_killed_clients_take_no_place),
        cmocka_unit_test(test_unread_gives_no_way),
        cmocka_unit_test(test_abandoned),
        cmocka_unit_test(test_observer_comes_late),
        cmocka_unit_test(test_forgotten_in_spite_of_moves),
        cmocka_unit_test(test_attached_are_remembered),
        cmocka_unit_test(test_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
