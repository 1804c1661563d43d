/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
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

/* exec: ATTACH makes the process and its attachment, control-down says in pieces what it runs. Once, whatever is lost
 * in between, and never without an attachment. */

static struct tx tx;

/* control-down of the command under test */
static uint8_t stream[RT_EXEC_MAX * 2];
static size_t stream_size, n_items;

static void put_piece(const uint8_t *what, size_t size, bool last)
{
    struct rt_down_item item = {.t = RT_ITEM_RUN, .b = {what, size}, .last = last};
    stream_size += tx_item(stream + stream_size, &item);
    n_items++;
}

/* In pieces of at most `piece` bytes. */
static void put_pieces(const uint8_t *what, size_t size, size_t piece)
{
    stream_size = n_items = 0;
    for (size_t at = 0; at < size; at += piece) {
        size_t part = size - at < piece ? size - at : piece;
        put_piece(what + at, part, at + part == size);
    }
}

/* "cat" with one more word of this size; returns the size of the whole. */
static size_t put_command(size_t word, size_t piece)
{
    static struct rt_exec_msg msg;
    static uint8_t bytes[RT_EXEC_MAX], what[RT_EXEC_MAX];
    for (size_t i = 0; i < word; i++) {
        bytes[i] = tx_word_byte(i);
    }
    msg.n_argv = word == RT_ARG_MAX ? 3 : 2; /* with the longest word there is, as much as fits behind it */
    msg.argv[0] = rt_slice_text("cat");
    msg.argv[1] = (struct rt_slice){bytes, word};
    msg.argv[2] = (struct rt_slice){bytes, RT_EXEC_MAX - RT_ARG_MAX - 19};
    int size = rt_msg_encode(RT_MSG_EXEC, &msg, what, sizeof(what));
    assert_true(size > 0);
    put_pieces(what, (size_t)size, piece);
    return (size_t)size;
}

/* [from, to) of it, in frames as small as an agent may cut them to, as the credit allows. */
static void send_stream(uint32_t channel, size_t from, size_t to)
{
    while (from < to) {
        size_t part = to - from < 8192 ? to - from : 8192;
        tx_data(&tx, channel, RT_CONTROL_DOWN, from, stream + from, part);
        (void)tx_take(&tx); /* the limit */
        from += part;
    }
}

static const struct rt_proc *proc_of(uint32_t id)
{
    return rt_tether_proc(tx.tether, id);
}

static struct rt_attached_msg ask(uint32_t channel, const struct rt_attach_msg *msg)
{
    struct rt_attached_msg attached;
    tx_attach(&tx, channel, msg);
    tx_attached(&tx, channel, &attached);
    return attached;
}

/* Comes back with what it has acknowledged of its control-down. */
static size_t resume(uint32_t channel, uint64_t try_no, size_t acked)
{
    struct tx_rx zero = tx_rx(0);
    struct rt_attach_msg msg = tx_resume(7, try_no, &zero, &zero, 0, 0);
    msg.exec = true; /* counts for nothing here */
    msg.in[1].a = acked;
    msg.in[1].h = stream_size;
    struct rt_attached_msg attached = ask(channel, &msg);
    size_t applied = (size_t)attached.in[1].a;
    assert_true(applied >= acked);
    assert_int_equal(attached.in[1].d, tx_bytes_digest(stream, applied));
    assert_int_equal(attached.p, 1);
    return applied;
}

static void test_exec(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new_exec(7, 1);
    struct tx_rx rx = tx_rx(0);
    static struct rt_report_msg report;
    uint8_t buf[8];
    tx_live(&tx, NULL);
    tx_hold(&tx, 1, 30000);
    msg.tty = true;
    msg.rows = 30;
    msg.cols = 90;
    tx_run(&tx, RT_REPORT_INTERVAL_MS, true);
    struct rt_attached_msg attached = ask(2, &msg);
    assert_int_equal(attached.p, 1);
    assert_int_equal(attached.st, 0);
    assert_true(attached.tty);
    tx_run(&tx, RT_REPORT_INTERVAL_MS, true);
    tx_data(&tx, 2, RT_STDIN, 0, "to ps", 5); /* waits for it */
    tx_decode(tx_frame(&tx, RT_REPORT, 0, 0), RT_MSG_REPORT, &report);
    assert_int_equal(report.procs[1].p, 1);
    assert_int_equal(report.procs[1].st, 0);
    assert_int_equal(tx.starts, 1);
    tx_run_word(&tx, 2, "ps");
    assert_int_equal(tx.starts, 2);
    assert_int_equal(tx.start_proc, 1);
    assert_string_equal(tx.argv0, "ps");
    assert_true(tx.start_tty && tx.start_in);
    assert_int_equal(tx.rows, 30);
    assert_int_equal(tx_read(&tx, 0, buf, 8), 0);
    assert_int_equal(tx_read(&tx, 1, buf, 8), 5);
    tx_produce(&tx, 1, RT_STDOUT, 100);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    (void)tx_take(&tx);
    assert_int_equal(tx_consume(&tx, 2, RT_STDOUT, &rx), 100);
    tx_exit(&tx, 1, 3);
    tx_drain(&tx, 2, RT_STDOUT, &rx);
    assert_true(rx.fin);
    assert_int_equal(tx.overs, 0);
    tx_close(&tx);
}

/* Signals that follow what it is to run are its own. */
static void test_items_behind(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new_exec(7, 1);
    tx_live(&tx, NULL);
    (void)ask(2, &msg);
    (void)put_command(10, RT_PIECE_MAX);
    stream_size += tx_item(stream + stream_size, &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = 2});
    tx.starts_wait = true;
    send_stream(2, 0, stream_size);
    assert_int_equal(tx.starts, 2);
    assert_int_equal(tx.sigs, 0); /* what comes behind waits for the start */
    rt_tether_started(tx.tether, 1, 0, tx.now);
    tx_next(&tx);
    assert_int_equal(tx.sigs, 1);
    assert_int_equal(tx.sig[0].proc, 1);
    tx_close(&tx);
}

/* In however many pieces, as long as it may be; one byte more is too much. */
static void test_bounds(void **state)
{
    (void)state;
    static const uint8_t more[RT_PIECE_MAX];
    const size_t around = 1 + 5 + 1 + 5 + 3; /* what a command of "cat" and another word takes beside that */
    const size_t words[] = {0, 1, RT_PIECE_MAX - around, 9000, (size_t)200 * 1024, RT_ARG_MAX};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct rt_attach_msg msg = tx_new_exec(7, 1);
        tx_live(&tx, NULL);
        (void)ask(2, &msg);
        size_t size = put_command(words[i], RT_PIECE_MAX);
        assert_int_equal(n_items, (size + RT_PIECE_MAX - 1) / RT_PIECE_MAX);
        assert_int_equal(size, i == 2 ? RT_PIECE_MAX : i == 5 ? RT_EXEC_MAX : size);
        send_stream(2, 0, stream_size);
        assert_int_equal(tx.starts, 2);
        assert_int_equal(tx.word, words[i]);
        tx_close(&tx);
    }
    for (size_t piece = 1; piece <= RT_PIECE_MAX; piece += RT_PIECE_MAX / 2) {
        struct rt_attach_msg msg = tx_new_exec(7, 1);
        tx_live(&tx, NULL);
        (void)ask(2, &msg);
        (void)put_command(5000, piece);
        send_stream(2, 0, stream_size);
        assert_int_equal(tx.word, 5000);
        tx_close(&tx);
    }
    struct rt_attach_msg msg = tx_new_exec(7, 1);
    tx_live(&tx, NULL);
    (void)ask(2, &msg);
    stream_size = 0;
    for (size_t left = RT_EXEC_MAX; left > 0;) {
        size_t part = left < RT_PIECE_MAX ? left : RT_PIECE_MAX;
        put_piece(more, part, false);
        left -= part;
    }
    send_stream(2, 0, stream_size);
    assert_int_equal(tx_count(&tx, RT_REFUSE), 0);
    assert_int_equal(proc_of(1)->run_size, RT_EXEC_MAX);
    size_t before = stream_size;
    put_piece(more, 1, false); /* not the last: it is its size that is too much */
    tx_data(&tx, 2, RT_CONTROL_DOWN, before, stream + before, stream_size - before);
    (void)tx_refused(&tx, 2, RT_CLASS_INVALID);
    assert_null(rt_tether_att_by_id(tx.tether, tx_id(7).data));
    assert_null(proc_of(1));
    tx_close(&tx);
}

/* The channel, or the link, is lost at any place of what it is to run: it goes on there, and is run once. */
static void test_once_over_cuts(void **state)
{
    (void)state;
    (void)put_command(9000, RT_PIECE_MAX);
    for (size_t cut = 0; cut <= stream_size; cut += cut < 20 || stream_size - cut < 20 ? 1 : 97) {
        for (int moved = 0; moved < 2; moved++) {
            struct rt_attach_msg msg = tx_new_exec(7, 1);
            tx_live(&tx, NULL);
            (void)ask(2, &msg);
            send_stream(2, 0, cut);
            assert_int_equal(tx.starts, 1 + (cut == stream_size));
            if (moved) {
                tx_cut(&tx);
            } else {
                tx_refuse(&tx, 2, &(struct rt_refuse_msg){.c = RT_CLASS_LOST});
            }
            send_stream(3, resume(3, 2, 0), stream_size);
            assert_int_equal(tx.starts, 2);
            assert_int_equal(tx.word, 9000);
            assert_int_equal(resume(4, 3, stream_size), stream_size);
            assert_null(proc_of(2));
            tx_close(&tx);
        }
    }
}

/* The first ATTACHED was lost: the same process, which runs once; so does one whose id is that of any attachment. */
static void test_asked_again(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new_exec(7, 1);
    tx_live(&tx, NULL);
    tx_hold(&tx, 1, 30000);
    assert_int_equal(ask(2, &msg).p, 1);
    msg.try_no = 2;
    assert_int_equal(ask(3, &msg).p, 1);
    tx_cut(&tx);
    msg.try_no = 3;
    assert_int_equal(ask(4, &msg).p, 1);
    assert_null(proc_of(2));
    tx_run_word(&tx, 4, "ps");
    assert_int_equal(tx.starts, 2);
    tx_cut(&tx);
    struct rt_attach_msg other = tx_new_exec(1, 2);
    assert_int_equal(ask(5, &other).p, 0);
    tx_run_word(&tx, 5, "ps"); /* the main process runs already */
    assert_int_equal(tx.starts, 2);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_REFUSE), 0);
    tx_close(&tx);
}

/* Pieces behind the last one are of no use. */
static void test_told_once(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new_exec(7, 1);
    tx_live(&tx, NULL);
    (void)ask(2, &msg);
    (void)put_command(10, 15);
    size_t size = stream_size;
    memcpy(stream + size, stream, size);
    stream_size = 2 * size;
    send_stream(2, 0, stream_size);
    assert_int_equal(tx.starts, 2);
    assert_int_equal(rt_tether_att_by_id(tx.tether, tx_id(7).data)->in[RT_CONTROL_IN].consumed, 2 * size);
    tx_close(&tx);
}

/* What cannot be read runs nothing, and leaves nothing. */
static void test_unreadable(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } rows[] = {
        {"\x80", 1},
        {"\xc0", 1},
        {"\x81\xa4"
         "argv\x90",
         7},
        {"\x81\xa4"
         "argv\x91\xa2ls",
         10}, /* text */
        {"\x81\xa4"
         "argv\x91\xc4\2l",
         10}, /* cut off */
        {"\x81\xa4"
         "argv\x91\xc4\2ls\xc0",
         12}, /* trailing */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t piece = 1; piece <= rows[i].size; piece += rows[i].size) {
            struct rt_attach_msg msg = tx_new_exec(7, 1);
            tx_live(&tx, NULL);
            tx_hold(&tx, 1, 30000);
            (void)ask(2, &msg);
            put_pieces((const uint8_t *)rows[i].bytes, rows[i].size, piece);
            tx_data(&tx, 2, RT_CONTROL_DOWN, 0, stream, stream_size);
            (void)tx_refused(&tx, 2, RT_CLASS_INVALID);
            assert_null(rt_tether_att_by_id(tx.tether, tx_id(7).data));
            assert_null(proc_of(1));
            assert_int_equal(tx.starts, 1);
            tx_close(&tx);
        }
    }
}

/* A client that goes in the middle takes its process along: at once when it says so, else when it had the time to come
 * back. */
static void test_client_gone(void **state)
{
    (void)state;
    (void)put_command(9000, RT_PIECE_MAX);
    for (int says = 0; says < 2; says++) {
        struct rt_attach_msg msg = tx_new_exec(7, 1);
        msg.hold = 2000;
        tx_live(&tx, NULL);
        (void)ask(2, &msg);
        send_stream(2, 0, 5000);
        if (says) {
            tx_detach(&tx, 2);
        } else {
            tx_refuse(&tx, 2, &(struct rt_refuse_msg){.c = RT_CLASS_LOST});
            tx_run(&tx, 2000 + RT_ATT_DISPLACE_MS - 1, true);
            assert_non_null(proc_of(1));
            tx_run(&tx, 2, true);
        }
        assert_null(proc_of(1));
        assert_null(rt_tether_att_by_id(tx.tether, tx_id(7).data));
        assert_int_equal(tx.starts, 1);
        tx_close(&tx);
    }
}

/* Nobody else is attached to what does not run yet. */
static void test_nobody_else(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new_exec(7, 1), other = tx_new(8, 1);
    tx_live(&tx, NULL);
    (void)ask(2, &msg);
    other.p = 1;
    tx_attach(&tx, 3, &other);
    (void)tx_refused(&tx, 3, RT_CLASS_INVALID);
    tx_run_word(&tx, 2, "ps");
    assert_int_equal(ask(4, &other).p, 1);
    tx_close(&tx);
}

/* Processes are bounded; one that does not run yet counts, one that has ended makes room. */
static void test_no_place(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new_exec(200, 1);
    tx_live(&tx, NULL);
    for (unsigned i = 1; i < RT_PROCS_MAX - 1; i++) {
        assert_int_equal(tx_exec(&tx, i, (uint8_t)i, 30000), i);
    }
    struct rt_attach_msg waits = tx_new_exec(100, 1);
    (void)ask(100, &waits);
    tx_attach(&tx, 200, &msg);
    struct rt_refuse_msg why = tx_refused(&tx, 200, RT_CLASS_LIMIT);
    assert_true(rt_slice_equal(why.which, rt_slice_text("processes")));
    assert_int_equal(why.max, RT_PROCS_MAX);
    assert_null(rt_tether_att_by_id(tx.tether, tx_id(200).data));
    tx_exit(&tx, 5, 0);
    assert_int_equal(ask(201, &msg).p, RT_PROCS_MAX); /* ids are never used twice */
    tx_detach(&tx, 100);
    msg.id = tx_id(202);
    (void)ask(202, &msg);
    tx_close(&tx);
}

/* No room for its attachment: no process. */
static void test_never_unseen(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new_exec(200, 1);
    tx_live(&tx, NULL);
    for (unsigned i = 1; i <= RT_ATTS_MAX; i++) {
        tx_hold(&tx, i, 30000);
    }
    tx_attach(&tx, 200, &msg);
    struct rt_refuse_msg why = tx_refused(&tx, 200, RT_CLASS_LIMIT);
    assert_true(rt_slice_equal(why.which, rt_slice_text("attachments")));
    assert_null(proc_of(1));
    tx_detach(&tx, 2);
    assert_int_equal(ask(201, &msg).p, 1);
    tx_close(&tx);
}

static void test_cannot_start(void **state)
{
    (void)state;
    struct rt_up_item up;
    tx_live(&tx, NULL);
    tx.start_code = 127;
    (void)tx_exec(&tx, 2, 7, 30000);
    (void)tx_take(&tx);
    assert_int_equal(tx_up_items(&tx, 2, &up), 1);
    assert_int_equal(up.t, RT_ITEM_EXITED);
    assert_int_equal(up.code, 127);
    assert_int_equal(tx.overs, 0);
    tx_close(&tx);
}

/* The main process ends: the others are killed, one that was being started as well; no more are run, and who asks, or
 * was about to, is told. */
static void test_main_process_ends(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new_exec(9, 1);
    tx_live(&tx, NULL);
    (void)tx_exec(&tx, 2, 7, 30000);
    (void)ask(3, &msg);
    tx.starts_wait = true;
    (void)tx_exec(&tx, 4, 8, 30000);
    assert_int_equal(tx.starts, 3);
    rt_tether_exited(tx.tether, 0, 0, 0, tx.now);
    tx_next(&tx);
    assert_int_equal(tx.sigs, 1);
    assert_int_equal(tx.sig[0].sig, 9);
    assert_int_equal(tx.sig[0].proc, 1);
    rt_tether_started(tx.tether, 3, 0, tx.now);
    tx_next(&tx);
    assert_int_equal(tx.sigs, 2);
    assert_int_equal(tx.sig[1].proc, 3);
    tx_run_word(&tx, 3, "late");
    (void)tx_refused(&tx, 3, RT_CLASS_INVALID);
    assert_null(proc_of(2));
    msg.id = tx_id(10);
    tx_attach(&tx, 5, &msg);
    struct rt_refuse_msg why = tx_refused(&tx, 5, RT_CLASS_INVALID);
    assert_true(rt_slice_equal(why.m, rt_slice_text(RT_TETHER_RUNS_NONE)));
    assert_int_equal(tx.starts, 3);
    tx_close(&tx);
}

/* One that was not told what to run keeps no ended container, whether its client is there or not. */
static void test_no_end_waits(void **state)
{
    (void)state;
    for (int away = 0; away < 2; away++) {
        struct rt_attach_msg msg = tx_new_exec(7, 1);
        msg.hold = RT_HOLD_MAX_MS;
        tx_live(&tx, NULL);
        (void)ask(2, &msg);
        if (away) {
            tx_refuse(&tx, 2, &(struct rt_refuse_msg){.c = RT_CLASS_LOST});
        }
        tx_exit(&tx, 0, 0);
        (void)tx_take(&tx);
        assert_int_equal(tx.overs, 0);
        tx_end_ok(&tx, RT_END_STORED, 0);
        tx_next(&tx);
        assert_int_equal(tx.overs, 1);
        tx_close(&tx);
    }
}

/* A start that makes no sense leaves no process behind, nor does one who could never say what to run. */
static void test_start_is_wrong(void **state)
{
    (void)state;
    struct rt_attach_msg beyond = tx_new_exec(7, 1), mute = tx_new_exec(8, 1);
    beyond.from = RT_FROM_OFFSET;
    beyond.n = 1;
    mute.want &= ~(UINT64_C(1) << RT_CONTROL_DOWN);
    tx_live(&tx, NULL);
    tx_attach(&tx, 2, &beyond);
    (void)tx_refused(&tx, 2, RT_CLASS_INVALID);
    tx_attach(&tx, 3, &mute);
    (void)tx_refused(&tx, 3, RT_CLASS_INVALID);
    assert_null(proc_of(1));
    tx_close(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exec),
        cmocka_unit_test(test_items_behind),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_once_over_cuts),
        cmocka_unit_test(test_asked_again),
        cmocka_unit_test(test_told_once),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_client_gone),
        cmocka_unit_test(test_nobody_else),
        cmocka_unit_test(test_no_place),
        cmocka_unit_test(test_never_unseen),
        cmocka_unit_test(test_cannot_start),
        cmocka_unit_test(test_main_process_ends),
        cmocka_unit_test(test_no_end_waits),
        cmocka_unit_test(test_start_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
