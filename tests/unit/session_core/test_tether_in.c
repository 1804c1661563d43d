/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/frame.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/receiver.h"
#include "session/core/tether.h"

#include "tests/unit/session_core/tether_clients.h"
#include "tests/unit/session_core/tether_fixture.h"
#include "tests/unit/session_core/tether_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Input: every byte once and in order, whatever happens to the channel; the end of stdin. */

static struct tx tx;
static uint8_t buf[RT_STDIN_WINDOW + 100000];

static void bind(uint32_t channel, uint8_t id)
{
    struct rt_attach_msg msg = tx_new(id, 1);
    tx_bind(&tx, channel, &msg);
}

static void resume(uint32_t channel, uint8_t id, uint64_t try_no, uint64_t acked, uint64_t head)
{
    struct tx_rx zero = tx_rx(0);
    struct rt_attach_msg msg = tx_resume(id, try_no, &zero, &zero, acked, head);
    tx_bind(&tx, channel, &msg);
}

static void test_order_among_attachments(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    bind(1, 1);
    bind(2, 2);
    tx_data(&tx, 1, RT_STDIN, 0, "aa", 2);
    tx_data(&tx, 2, RT_STDIN, 0, "BB", 2);
    tx_data(&tx, 1, RT_STDIN, 2, "cc", 2);
    tx_data(&tx, 1, RT_STDIN, 4, "dd", 2);
    tx_data(&tx, 2, RT_STDIN, 2, "EE", 2);
    assert_int_equal(tx_read(&tx, 0, buf, 3), 3);
    assert_int_equal(tx_read(&tx, 0, buf + 3, 100), 7);
    assert_memory_equal(buf, "aaBBccddEE", 10);
    tx_run(&tx, RT_ACK_DELAY_MS, false);
    (void)tx_take(&tx);
    assert_int_equal(tx_in_ack(&tx, 1, RT_STDIN)->head.offset, 6);
    assert_int_equal(tx_in_ack(&tx, 2, RT_STDIN)->head.offset, 4);
    assert_int_equal(rt_get_u64(tx_in_ack(&tx, 1, RT_STDIN)->payload + 8), tx_bytes_digest("aaccdd", 6));
    tx_close(&tx);
}

/* More alternations than the list of runs has places: each attachment's own order stands. */
static void test_many_runs(void **state)
{
    (void)state;
    uint64_t sent[3] = {0}, got[3] = {0};
    tx_live(&tx, NULL);
    for (uint8_t i = 0; i < 3; i++) {
        bind(1 + i, 1 + i);
    }
    for (unsigned i = 0; i < 3000; i++) {
        uint8_t who = (uint8_t)(i % 3), byte = (uint8_t)((unsigned)who << 6 | (unsigned)(sent[who] & 63));
        tx_data(&tx, 1 + who, RT_STDIN, sent[who]++, &byte, 1);
    }
    assert_int_equal(tx_read(&tx, 0, buf, sizeof(buf)), 3000);
    for (unsigned i = 0; i < 3000; i++) {
        unsigned who = buf[i] >> 6;
        assert_int_equal(buf[i] & 63, got[who]++ & 63);
    }
    tx_close(&tx);
}

static void test_many_attachments(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    for (unsigned i = 0; i < RT_ATTS_MAX; i++) {
        bind(1 + i, (uint8_t)i);
    }
    for (unsigned round = 0; round < 8; round++) {
        for (unsigned i = 0; i < RT_ATTS_MAX; i++) {
            uint8_t byte = (uint8_t)i;
            tx_data(&tx, 1 + i, RT_STDIN, round, &byte, 1);
        }
    }
    assert_int_equal(tx_read(&tx, 0, buf, sizeof(buf)), 8 * RT_ATTS_MAX);
    tx_close(&tx);
}

/* The channel was refused; `kept` bytes that came before still reach the process. */
static void refused(uint32_t channel, enum rt_class cls, uint64_t at, size_t kept)
{
    (void)tx_refused(&tx, channel, cls);
    tx_data(&tx, channel, RT_STDIN, at, "zz", 2); /* the channel has ended */
    assert_int_equal(tx_read(&tx, 0, buf, 100), kept);
    (void)tx_take(&tx);
    assert_null(tx_frame(&tx, RT_REFUSE, channel, 0));
}

/* Bytes that came before, in whole or in part: what they say now may be of another past. */
static void test_input_goes_back(void **state)
{
    (void)state;
    static const struct {
        uint64_t offset;
        const char *bytes;
    } back[] = {{0, "hello"}, {3, "loX"}, {4, "o"}, {2, "lloXY"}};
    for (size_t i = 0; i < sizeof(back) / sizeof(back[0]); i++) {
        tx_live(&tx, NULL);
        bind(1, 1);
        tx_data(&tx, 1, RT_STDIN, 0, "hello", 5);
        tx_data(&tx, 1, RT_STDIN, back[i].offset, back[i].bytes, strlen(back[i].bytes));
        refused(1, RT_CLASS_JUMP, 5, 5);
        assert_memory_equal(buf, "hello", 5);
        resume(2, 1, 2, 0, 7); /* the attachment lives on */
        tx_data(&tx, 2, RT_STDIN, 5, "XY", 2);
        assert_int_equal(tx_read(&tx, 0, buf, 100), 2);
        assert_memory_equal(buf, "XY", 2);
        tx_close(&tx);
    }
}

static void test_jump_and_beyond(void **state)
{
    (void)state;
    static uint8_t many[TX_INITIAL + 1];
    tx_live(&tx, NULL);
    bind(1, 1);
    tx_data(&tx, 1, RT_STDIN, 0, "ab", 2);
    assert_int_equal(tx_read(&tx, 0, buf, 100), 2);
    tx_data(&tx, 1, RT_STDIN, 3, "d", 1);
    refused(1, RT_CLASS_JUMP, 2, 0);
    resume(2, 1, 2, 0, 3); /* the attachment lives on */
    tx_data(&tx, 2, RT_STDIN, 2, "cd", 2);
    assert_int_equal(tx_read(&tx, 0, buf, 100), 2);
    assert_memory_equal(buf, "cd", 2);
    bind(3, 2);
    bind(5, 3);
    tx_data(&tx, 3, RT_STDIN, 0, many, TX_INITIAL); /* all that is allowed at first, but its first ACK allows more */
    tx_close(&tx);
    tx_live(&tx, NULL);
    struct rt_attach_msg msg = tx_new(1, 1);
    tx_attach(&tx, 1, &msg);
    tx_data(&tx, 1, RT_STDIN, 0, many, TX_INITIAL + 1);
    refused(1, RT_CLASS_INVALID, 0, 0);
    tx_close(&tx);
}

static void test_window(void **state)
{
    (void)state;
    static uint8_t part[4096];
    uint64_t sent = 0, limit;
    tx_live(&tx, NULL);
    bind(1, 1);
    limit = rt_get_u64(tx_in_ack(&tx, 1, RT_STDIN)->payload); /* the first comes at once */
    assert_int_equal(limit, RT_STDIN_WINDOW);
    assert_int_equal(rt_get_u64(tx_in_ack(&tx, 1, RT_CONTROL_DOWN)->payload), RT_CONTROL_WINDOW);
    for (; sent < limit; sent += sizeof(part)) {
        tx_data(&tx, 1, RT_STDIN, sent, part, sizeof(part));
    }
    (void)tx_take(&tx);
    assert_null(tx_in_ack(&tx, 1, RT_STDIN)); /* nothing applied, nothing told */
    assert_int_equal(tx_read(&tx, 0, buf, 1000), 1000);
    (void)tx_take(&tx);
    assert_int_equal(tx_in_ack(&tx, 1, RT_STDIN)->head.offset, 1000);
    assert_int_equal(rt_get_u64(tx_in_ack(&tx, 1, RT_STDIN)->payload), RT_STDIN_WINDOW + 1000);
    tx_data(&tx, 1, RT_STDIN, sent, part, 1000);
    tx_data(&tx, 1, RT_STDIN, sent + 1000, part, 1);
    (void)tx_refused(&tx, 1, RT_CLASS_INVALID);
    tx_close(&tx);
}

/* What was applied is told with the output that follows, or a little later by itself, or at once when it is much. */
static void test_acks_gather(void **state)
{
    (void)state;
    static uint8_t part[RT_STDIN_WINDOW / 4];
    uint64_t due;
    tx_live(&tx, NULL);
    bind(1, 1);
    tx_run(&tx, 100, false);
    (void)tx_take(&tx);
    tx_data(&tx, 1, RT_STDIN, 0, "a", 1);
    assert_int_equal(tx_read(&tx, 0, buf, 1), 1);
    (void)tx_take(&tx);
    assert_null(tx_in_ack(&tx, 1, RT_STDIN));
    due = tx.now + RT_ACK_DELAY_MS;
    assert_int_equal(tx_deadline(&tx), due);
    tx.now++;
    tx_data(&tx, 1, RT_STDIN, 1, "b", 1);
    assert_int_equal(tx_read(&tx, 0, buf, 1), 1);
    (void)tx_take(&tx);
    assert_null(tx_in_ack(&tx, 1, RT_STDIN));
    assert_int_equal(tx_deadline(&tx), due); /* from the first that waits */
    tx.now = due;
    tx_tick(&tx, tx.now);
    assert_true(tx_deadline(&tx) > due); /* also before the link takes it */
    (void)tx_take(&tx);
    assert_int_equal(tx_in_ack(&tx, 1, RT_STDIN)->head.offset, 2);
    tx_data(&tx, 1, RT_STDIN, 2, "c", 1);
    assert_int_equal(tx_read(&tx, 0, buf, 1), 1);
    (void)tx_take(&tx);
    assert_null(tx_in_ack(&tx, 1, RT_STDIN));
    tx_text(&tx, 0, RT_STDOUT, "C");
    (void)tx_take(&tx);
    assert_int_equal(tx_in_ack(&tx, 1, RT_STDIN)->head.offset, 3);
    assert_non_null(tx_frame(&tx, RT_DATA, 1, 0));
    assert_true(tx_deadline(&tx) > tx.now + RT_ACK_DELAY_MS);
    tx_data(&tx, 1, RT_STDIN, 3, part, sizeof(part));
    assert_int_equal(tx_read(&tx, 0, buf, sizeof(part)), sizeof(part));
    (void)tx_take(&tx);
    assert_int_equal(tx_in_ack(&tx, 1, RT_STDIN)->head.offset, 3 + sizeof(part));
    tx_close(&tx);
}

static void test_not_wanted(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(1, 1);
    struct rt_attached_msg attached;
    msg.want = 1 << RT_STDOUT;
    tx_live(&tx, NULL);
    tx_attach(&tx, 1, &msg);
    tx_attached(&tx, 1, &attached);
    assert_int_equal(attached.n_in, 0);
    tx_data(&tx, 1, RT_STDIN, 0, "x", 1);
    refused(1, RT_CLASS_INVALID, 0, 0);
    tx_close(&tx);
}

/* The channel is replaced after any number of bytes received and applied. */
static void test_each_byte_once(void **state)
{
    (void)state;
    for (uint64_t received = 0; received <= 10; received++) {
        for (uint64_t applied = 0; applied <= received; applied++) {
            size_t n;
            tx_live(&tx, NULL);
            bind(1, 1);
            if (received > 0) {
                tx_data(&tx, 1, RT_STDIN, 0, "0123456789", received);
            }
            n = tx_read(&tx, 0, buf, applied);
            assert_int_equal(n, applied);
            tx_lost(&tx);
            tx_up(&tx);
            resume(2, 1, 2, 0, 10);
            tx_data(&tx, 2, RT_STDIN, n, &"0123456789"[n], 10 - n + (n == 10));
            n += tx_read(&tx, 0, buf + n, 100);
            assert_int_equal(n, 10 + (applied == 10));
            assert_memory_equal(buf, "0123456789", 10);
            tx_close(&tx);
        }
    }
}

/* What waits for the process goes on being applied while nobody is bound. */
static void test_applied_while_unbound(void **state)
{
    (void)state;
    struct tx_rx zero = tx_rx(0);
    struct rt_attach_msg msg;
    struct rt_attached_msg attached;
    tx_live(&tx, NULL);
    bind(1, 1);
    bind(2, 2);
    tx_data(&tx, 1, RT_STDIN, 0, "abcd", 4);
    tx_data(&tx, 2, RT_STDIN, 0, "XY", 2);
    tx_lost(&tx);
    assert_int_equal(tx_read(&tx, 0, buf, 3), 3);
    tx_up(&tx);
    msg = tx_resume(1, 2, &zero, &zero, 0, 4);
    tx_attach(&tx, 1, &msg);
    tx_attached(&tx, 1, &attached);
    assert_int_equal(attached.in[0].a, 3);
    assert_int_equal(tx_read(&tx, 0, buf + 3, 100), 2); /* the other's; this one's rest comes again */
    tx_data(&tx, 1, RT_STDIN, 3, "d", 1);
    assert_int_equal(tx_read(&tx, 0, buf + 5, 100), 1);
    assert_memory_equal(buf, "abcXYd", 6);
    tx_close(&tx);
}

static void test_detached_input_is_dropped(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    bind(1, 1);
    bind(2, 2);
    tx_data(&tx, 1, RT_STDIN, 0, "aa", 2);
    tx_data(&tx, 2, RT_STDIN, 0, "bb", 2);
    tx_detach(&tx, 1);
    bind(3, 3); /* in its place in the table */
    tx_data(&tx, 3, RT_STDIN, 0, "cc", 2);
    assert_int_equal(tx_read(&tx, 0, buf, 100), 4);
    assert_memory_equal(buf, "bbcc", 4);
    tx_close(&tx);
}

/* ---- the end of stdin ---- */

static void test_fin(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    bind(1, 1);
    tx_data(&tx, 1, RT_STDIN, 0, "ab", 2);
    tx_fin(&tx, 1, RT_STDIN, 2);
    (void)tx_take(&tx);
    assert_int_equal(tx.stdin_ends, 0); /* not before its bytes */
    assert_int_equal(tx_in_ack(&tx, 1, RT_STDIN)->head.flags, 0);
    assert_int_equal(tx_read(&tx, 0, buf, 100), 2);
    assert_int_equal(tx.stdin_ends, 1);
    (void)tx_take(&tx);
    assert_int_equal(tx_in_ack(&tx, 1, RT_STDIN)->head.flags, RT_ACK_FIN);
    tx_cut(&tx);
    resume(2, 1, 2, 0, 2);
    tx_fin(&tx, 2, RT_STDIN, 2); /* the acknowledgement was lost */
    (void)tx_take(&tx);
    assert_int_equal(tx.stdin_ends, 1);
    assert_int_equal(tx_count(&tx, RT_REFUSE), 0);
    tx_close(&tx);
}

static void test_fin_lost_and_repeated(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    bind(1, 1);
    tx_data(&tx, 1, RT_STDIN, 0, "ab", 2);
    tx_fin(&tx, 1, RT_STDIN, 2);
    assert_int_equal(tx_read(&tx, 0, buf, 1), 1);
    tx_cut(&tx);
    resume(2, 1, 2, 0, 2);
    tx_data(&tx, 2, RT_STDIN, 1, "b", 1);
    assert_int_equal(tx_read(&tx, 0, buf, 1), 1);
    assert_int_equal(tx.stdin_ends, 0); /* the end was dropped with the byte before it */
    tx_fin(&tx, 2, RT_STDIN, 2);
    assert_int_equal(tx.stdin_ends, 1);
    tx_close(&tx);
}

static void test_wrong_fins(void **state)
{
    (void)state;
    static const struct {
        uint64_t offset;
        enum rt_class cls;
    } rows[] = {
        {3, RT_CLASS_JUMP},
        {1, RT_CLASS_INVALID},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        tx_live(&tx, NULL);
        bind(1, 1);
        tx_data(&tx, 1, RT_STDIN, 0, "ab", 2);
        tx_fin(&tx, 1, RT_STDIN, rows[i].offset);
        (void)tx_refused(&tx, 1, rows[i].cls);
        assert_int_equal(tx.hangups, 0);
        tx_close(&tx);
    }
    tx_live(&tx, NULL);
    bind(1, 1);
    tx_fin(&tx, 1, RT_STDIN, 0);
    tx_data(&tx, 1, RT_STDIN, 0, "x", 1); /* the pipe is closed already: it leads nowhere */
    assert_int_equal(tx_read(&tx, 0, buf, 1), 0);
    tx_close(&tx);
    tx_live(&tx, NULL);
    bind(1, 1);
    bind(2, 2);
    tx_fin(&tx, 1, RT_STDIN, 0);
    tx_data(&tx, 1, RT_STDIN, 0, "x", 1); /* after its own end */
    refused(1, RT_CLASS_INVALID, 0, 0);
    tx_close(&tx);
}

static void test_all_must_end(void **state)
{
    (void)state;
    struct rt_attach_msg watcher = tx_new(9, 1);
    tx_live(&tx, NULL);
    watcher.want = 1 << RT_STDOUT; /* never opened stdin */
    tx_bind(&tx, 9, &watcher);
    bind(1, 1);
    bind(2, 2);
    bind(3, 3);
    tx_fin(&tx, 1, RT_STDIN, 0);
    tx_data(&tx, 2, RT_STDIN, 0, "x", 1);
    tx_fin(&tx, 2, RT_STDIN, 1);
    assert_int_equal(tx_read(&tx, 0, buf, 1), 1);
    assert_int_equal(tx.stdin_ends, 0);
    tx_fin(&tx, 3, RT_STDIN, 0); /* the last that had not */
    assert_int_equal(tx.stdin_ends, 1);
    tx_close(&tx);
    tx_live(&tx, NULL);
    bind(1, 1);
    tx_detach(&tx, 1); /* nobody has ended anything */
    assert_int_equal(tx.stdin_ends, 0);
    tx_close(&tx);
}

/* Whoever goes without having ended stdin, in whichever way, leaves it open: what others have done before must not end
 * a container. Who comes later takes the place. */
static void test_who_goes_ends_nothing(void **state)
{
    (void)state;
    struct rt_attach_msg msg;

    for (int way = 0; way < 3; way++) {
        tx_live(&tx, NULL);
        bind(1, 1);
        bind(2, 2);
        tx_fin(&tx, 1, RT_STDIN, 0);
        if (way == 0) {
            tx_detach(&tx, 2);
        } else if (way == 1) {
            tx_data(&tx, 2, RT_CONTROL_DOWN, 0, "\0\0", 2); /* thrown out */
        } else {
            tx_refuse(&tx, 2, &(struct rt_refuse_msg){.c = RT_CLASS_LOST}); /* forgotten in the end */
            tx_run(&tx, 1200000, true);
        }
        assert_int_equal(tx.stdin_ends, 0);
        msg = tx_new(9, 1);
        msg.want = 1 << RT_STDOUT; /* opens no stdin: takes no place */
        tx_bind(&tx, 9, &msg);
        assert_int_equal(tx.stdin_ends, 0);
        bind(3, 3);
        tx_detach(&tx, 3);
        assert_int_equal(tx.stdin_ends, 0);
        bind(4, 4);
        tx_fin(&tx, 4, RT_STDIN, 0);
        assert_int_equal(tx.stdin_ends, 1);
        tx_close(&tx);
    }
}

static void test_once(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(1, 1);
    tx_live(&tx, NULL);
    msg.once = true;
    tx_bind(&tx, 1, &msg);
    bind(2, 2);
    tx_data(&tx, 2, RT_STDIN, 0, "last", 4);
    tx_data(&tx, 1, RT_STDIN, 0, "x", 1);
    tx_fin(&tx, 1, RT_STDIN, 1);
    tx_data(&tx, 2, RT_STDIN, 4, "too late", 8); /* the end does not wait for it */
    assert_int_equal(tx.stdin_ends, 0);
    assert_int_equal(tx_read(&tx, 0, buf, 5), 5);
    assert_int_equal(tx.stdin_ends, 1);
    assert_int_equal(tx_read(&tx, 0, buf, 100), 0);
    (void)tx_take(&tx);
    const struct tx_frame *stop = tx_frame(&tx, RT_STOP, 2, 0); /* the others are told how far they came */
    assert_non_null(stop);
    assert_int_equal(stop->head.offset, 4);
    tx_close(&tx);
}

/* The process closes its stdin with bytes waiting and more, and an end, on their way. */
static void test_closed_by_the_process(void **state)
{
    (void)state;
    struct rt_attached_msg attached;
    tx_live(&tx, NULL);
    bind(1, 1);
    tx_data(&tx, 1, RT_STDIN, 0, "abcdef", 6);
    assert_int_equal(tx_read(&tx, 0, buf, 2), 2);
    rt_tether_stdin_closed(tx.tether, 0, tx.now);
    (void)tx_take(&tx);
    const struct tx_frame *stop = tx_frame(&tx, RT_STOP, 1, 0);
    assert_int_equal(stop->head.offset, 2);
    tx_data(&tx, 1, RT_STDIN, 6, "ghi", 3);
    tx_data(&tx, 1, RT_STDIN, 9, "jkl", 3);
    tx_fin(&tx, 1, RT_STDIN, 12);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_REFUSE) + tx_count(&tx, RT_STOP), 0);
    assert_int_equal(tx_read(&tx, 0, buf, 100), 0);
    assert_int_equal(tx.stdin_ends, 0);
    tx_cut(&tx);
    struct tx_rx zero = tx_rx(0);
    struct rt_attach_msg msg = tx_resume(1, 2, &zero, &zero, 2, 12);
    tx_attach(&tx, 2, &msg);
    tx_attached(&tx, 2, &attached);
    assert_true(attached.in[0].closed);
    assert_int_equal(attached.in[0].a, 2);
    assert_int_equal(tx_count(&tx, RT_STOP), 1); /* told again */
    tx_close(&tx);
}

/* A terminal can be typed at after its VEOF, and ended again by another one. */
static void test_terminal_ends_again(void **state)
{
    (void)state;
    struct rt_tether_config config = tx_config(&tx);
    struct rt_attach_msg msg;
    struct rt_attached_msg attached;
    config.tty = true;
    tx_live(&tx, &config);
    for (uint8_t i = 1; i < 4; i++) {
        msg = tx_new(i, 1);
        tx_attach(&tx, i, &msg);
        tx_attached(&tx, i, &attached);
        assert_false(attached.in[0].closed);
        tx_data(&tx, i, RT_STDIN, 0, "ls\n", 3);
        assert_int_equal(tx_read(&tx, 0, buf, 100), 3);
        tx_fin(&tx, i, RT_STDIN, 3);
        assert_int_equal(tx.stdin_ends, i);
        (void)tx_take(&tx);
        assert_int_equal(tx_count(&tx, RT_STOP), 0);
        if (i == 2) {
            tx_detach(&tx, i);
        }
    }
    msg = tx_new(9, 1); /* one that leaves without an end brings none about */
    tx_bind(&tx, 9, &msg);
    tx_detach(&tx, 9);
    assert_int_equal(tx.stdin_ends, 3);
    tx_close(&tx);
}

/* Input before the process runs waits for it. */
static void test_before_the_start(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    rt_tether_free(tx.tether);
    tx.starts_wait = true;
    tx.starts = 0;
    tx.up = tx.dialing = false;
    tx.tether = rt_tether_new(&tx.config, tx.now);
    tx_next(&tx);
    assert_int_equal(tx.starts, 1);
    tx_up(&tx);
    bind(1, 1);
    tx_data(&tx, 1, RT_STDIN, 0, "early", 5);
    tx_fin(&tx, 1, RT_STDIN, 5);
    assert_int_equal(tx_read(&tx, 0, buf, 100), 0);
    rt_tether_started(tx.tether, 0, 0, tx.now);
    assert_int_equal(tx_read(&tx, 0, buf, 100), 5);
    assert_int_equal(tx.stdin_ends, 1);
    tx_close(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_among_attachments),
        cmocka_unit_test(test_many_runs),
        cmocka_unit_test(test_many_attachments),
        cmocka_unit_test(test_input_goes_back),
        cmocka_unit_test(test_jump_and_beyond),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_acks_gather),
        cmocka_unit_test(test_not_wanted),
        cmocka_unit_test(test_each_byte_once),
        cmocka_unit_test(test_applied_while_unbound),
        cmocka_unit_test(test_detached_input_is_dropped),
        cmocka_unit_test(test_fin),
        cmocka_unit_test(test_fin_lost_and_repeated),
        cmocka_unit_test(test_wrong_fins),
        cmocka_unit_test(test_all_must_end),
        cmocka_unit_test(test_who_goes_ends_nothing),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_closed_by_the_process),
        cmocka_unit_test(test_terminal_ends_again),
        cmocka_unit_test(test_before_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
