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

#include "tests/unit/session_core/tether_clients.h"
#include "tests/unit/session_core/tether_fixture.h"
#include "tests/unit/session_core/tether_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ATTACH: who makes an attachment and where it starts; what is refused, and what the refusal leaves behind. */

static struct tx tx;

static struct rt_attached_msg starts(uint64_t from, uint64_t n, uint64_t ne)
{
    static uint8_t id;
    static uint32_t channel = 100;
    struct rt_attach_msg msg = tx_new(++id, 1);
    struct rt_attached_msg attached;
    msg.hold = 0;
    msg.from = from;
    msg.n = n;
    msg.ne = ne;
    tx_attach(&tx, ++channel, &msg);
    tx_attached(&tx, channel, &attached);
    assert_int_equal(attached.n_out, 3);
    return attached;
}

static void test_starts(void **state)
{
    (void)state;
    static const struct {
        uint64_t from, n, ne, out, err;
    } rows[] = {
        {RT_FROM_OLDEST, 0, 0, 0, 0}, {RT_FROM_NOW, 0, 0, 9, 4},     {RT_FROM_OFFSET, 3, 1, 3, 1},
        {RT_FROM_OFFSET, 9, 4, 9, 4}, {RT_FROM_OFFSET, 0, 0, 0, 0},  {RT_FROM_BYTES, 3, 0, 6, 1},
        {RT_FROM_BYTES, 0, 0, 9, 4},  {RT_FROM_BYTES, 100, 0, 0, 0}, {RT_FROM_LINES, 0, 0, 9, 4},
        {RT_FROM_LINES, 1, 0, 5, 2},  {RT_FROM_LINES, 2, 0, 2, 0},   {RT_FROM_LINES, 3, 0, 0, 0},
        {RT_FROM_LINES, 9, 0, 0, 0},
    };
    tx_live(&tx, NULL);
    tx_text(&tx, 0, RT_STDOUT, "a\nbb\nccc\n");
    tx_text(&tx, 0, RT_STDERR, "d\nee"); /* its last line has not ended */
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rt_attached_msg attached = starts(rows[i].from, rows[i].n, rows[i].ne);
        assert_int_equal(attached.out[0].c, rows[i].out);
        assert_int_equal(attached.out[1].c, rows[i].err);
        assert_int_equal(attached.out[0].head, 9);
        assert_int_equal(attached.out[1].head, 4);
        assert_int_equal(attached.out[2].c, 0);
        assert_int_equal(attached.life, 5);
        assert_int_equal(attached.st, 1);
    }
    tx_close(&tx);
    tx_live(&tx, NULL);
    for (uint64_t from = RT_FROM_OLDEST; from <= RT_FROM_LINES; from++) { /* nothing written yet */
        struct rt_attached_msg attached = starts(from, 0, 0);
        assert_int_equal(attached.out[0].c, 0);
    }
    tx_text(&tx, 0, RT_STDOUT, "\n\n");
    assert_int_equal(starts(RT_FROM_LINES, 1, 0).out[0].c, 1);
    assert_int_equal(starts(RT_FROM_LINES, 2, 0).out[0].c, 0);
    tx_close(&tx);
}

/* A ring larger than what is looked through for lines. */
static void test_lines_are_looked_for_nearby(void **state)
{
    (void)state;
    struct rt_tether_config config = tx_config(&tx);
    config.ring_bytes = (size_t)RT_LINES_LOOK_MAX + 100000;
    tx_live(&tx, &config);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, config.ring_bytes), config.ring_bytes);
    assert_int_equal(starts(RT_FROM_LINES, UINT64_C(1) << 40, 0).out[0].c, 100000);
    tx_close(&tx);
}

/* Streams whose beginning is overwritten. */
static void test_starts_behind_the_base(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 3 * TX_RING), 3 * TX_RING);
    struct rt_attached_msg attached = starts(RT_FROM_OLDEST, 0, 0);
    uint64_t base = attached.out[0].c;
    assert_true(base > TX_RING && attached.out[0].head == 3 * TX_RING);
    assert_int_equal(tx_count(&tx, RT_GAP), 0);
    assert_int_equal(starts(RT_FROM_BYTES, 10 * TX_RING, 0).out[0].c, base);
    assert_int_equal(starts(RT_FROM_LINES, 1000000, 0).out[0].c, base);
    assert_int_equal(starts(RT_FROM_OFFSET, base, 0).out[0].c, base);
    assert_int_equal(tx_count(&tx, RT_GAP), 0);
    attached = starts(RT_FROM_OFFSET, base - 1000, 0);
    assert_int_equal(attached.out[0].c, base - 1000);
    assert_int_equal(tx_count(&tx, RT_GAP), 1);
    for (size_t i = 0; i < tx.n_frames; i++) {
        if (tx.frames[i].head.type == RT_GAP) {
            assert_int_equal(tx.frames[i].head.offset, base - 1000);
            assert_int_equal(rt_get_u64(tx.frames[i].payload), base);
        }
    }
    tx_close(&tx);
}

static void test_refusals(void **state)
{
    (void)state;
    struct rt_attach_msg msg;
    tx_live(&tx, NULL);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    msg = tx_new(1, 1);
    msg.cid = rt_slice_text("bo");
    tx_attach_refused(&tx, msg, RT_CLASS_INVALID);
    msg = tx_new(1, 1);
    msg.p = 3;
    tx_attach_refused(&tx, msg, RT_CLASS_INVALID);
    msg.p = RT_PROC_MAX;
    tx_attach_refused(&tx, msg, RT_CLASS_INVALID);
    for (int take = 0; take < 2; take++) {
        msg = tx_new_exec(1, 1);
        msg.make = false;
        msg.take = take == 1;
        tx_attach_refused(&tx, msg, RT_CLASS_UNKNOWN_ATTACHMENT);
    }
    msg = tx_new(1, 1);
    msg.from = RT_FROM_OFFSET;
    msg.n = 11;
    tx_attach_refused(&tx, msg, RT_CLASS_INVALID);
    msg.n = 10;
    msg.ne = 1;
    tx_attach_refused(&tx, msg, RT_CLASS_INVALID);
    msg.make = false; /* none of these left anything behind */
    tx_attach_refused(&tx, msg, RT_CLASS_UNKNOWN_ATTACHMENT);
    tx_close(&tx);
}

/* A map of which one key has another value: of the numbers below 128 the one byte behind its name. */
static void put_value(uint8_t *map, size_t size, const char *key, uint8_t value)
{
    uint8_t *at = memmem(map, size, key, strlen(key));
    assert_non_null(at);
    at[strlen(key)] = value;
}

/* What a later version may mean by it is refused, not passed over. */
static void test_unknown_values(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint8_t known, unknown;
    } rows[] = {{"want", 31, 32}, {"want", 31, 63}, {"from", RT_FROM_LINES, RT_FROM_LINES + 1}};
    struct rt_attach_msg msg = tx_new(1, 1);
    uint8_t map[RT_SHORT_MAX];
    uint32_t channel = 1;
    msg.want = 31;
    msg.from = RT_FROM_LINES;
    tx_live(&tx, NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int size = rt_msg_encode(RT_MSG_ATTACH, &msg, map, sizeof(map));
        put_value(map, (size_t)size, rows[i].key, rows[i].unknown);
        struct rt_frame head = {.type = RT_ATTACH, .channel = channel, .length = (uint32_t)size};
        tx_send(&tx, head, map);
        (void)tx_refused(&tx, channel++, RT_CLASS_INVALID);
        put_value(map, (size_t)size, rows[i].key, rows[i].known);
        head.channel = channel;
        tx_send(&tx, head, map);
        (void)tx_take(&tx);
        assert_non_null(tx_frame(&tx, RT_ATTACHED, channel, 0));
        tx_detach(&tx, channel++);
    }
    tx_close(&tx);
}

/* The first ATTACHED was lost: the same start, whatever has been written since. */
static void test_make_again(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(1, 1);
    struct rt_attached_msg attached;
    struct tx_rx rx = tx_rx(5);
    tx_live(&tx, NULL);
    tx_produce(&tx, 0, RT_STDOUT, 5);
    msg.from = RT_FROM_NOW;
    tx_bind(&tx, 1, &msg);
    tx_produce(&tx, 0, RT_STDOUT, 20);
    (void)tx_take(&tx);
    tx_cut(&tx);
    tx_attach_refused(&tx, msg, RT_CLASS_STOLEN); /* the same try */
    msg.try_no = 2;
    msg.hold = 7; /* its terms are those of the first */
    msg.want = 1 << RT_STDERR;
    tx_attach(&tx, 2, &msg);
    tx_attached(&tx, 2, &attached);
    assert_int_equal(attached.out[0].c, 5);
    assert_int_equal(rt_tether_att_by_id(tx.tether, msg.id.data)->hold_left, 30000);
    assert_int_equal(attached.n_out, 3);
    assert_int_equal(tx_consume(&tx, 2, RT_STDOUT, &rx), 20);
    tx_ack(&tx, 2, RT_STDOUT, &rx, 1000);
    tx_close(&tx);
}

/* Whose client has had an ATTACHED is no other one's, unless that says that it takes it: with or without `make`. */
static void in_use(void)
{
    for (int i = 0; i < 4; i++) {
        struct rt_attach_msg msg = tx_new(1, 2);
        msg.make = i % 2 == 1;
        msg.take = i == 3;
        if (msg.take) {
            tx_bind(&tx, 20, &msg);
        } else {
            tx_attach_refused(&tx, msg, RT_CLASS_INVALID);
        }
    }
    tx_close(&tx);
}

static void test_in_use(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(1, 1);
    struct tx_rx rx = tx_rx(0);
    uint8_t byte;
    tx_live(&tx, NULL);
    tx_bind(&tx, 1, &msg);
    tx_ack(&tx, 1, RT_STDOUT, &rx, 1000);
    in_use();
    tx_live(&tx, NULL);
    tx_bind(&tx, 1, &msg);
    tx_data(&tx, 1, RT_STDIN, 0, "x", 1);
    assert_int_equal(tx_read(&tx, 0, &byte, 1), 1);
    in_use();
}

/* What breaks cost is counted: bytes that were sent and have to be sent again. */
static void test_resent(void **state)
{
    (void)state;
    struct rt_attach_msg msg = tx_new(1, 1);
    struct tx_rx rx = tx_rx(0), err = tx_rx(0), early;
    tx_live(&tx, NULL);
    tx_bind(&tx, 1, &msg);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 20), 20);
    tx_drain(&tx, 1, RT_STDOUT, &rx);
    early = rx;
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 30), 30);
    (void)tx_take(&tx);
    assert_int_equal(tx_consume(&tx, 1, RT_STDOUT, &rx), 30);
    assert_int_equal(tx_view(&tx).resent, 0);
    tx_cut(&tx);
    msg = tx_resume(1, 2, &early, &err, 0, 0);
    tx_attach(&tx, 2, &msg);
    assert_int_equal(tx_view(&tx).resent, 0); /* not sent yet */
    tx_cut(&tx);
    msg.try_no = 3;
    tx_bind(&tx, 3, &msg);
    tx_drain(&tx, 3, RT_STDOUT, &early);
    assert_int_equal(tx_view(&tx).resent, 30);
    tx_cut(&tx); /* its client has them after all */
    msg = tx_resume(1, 4, &rx, &err, 0, 0);
    tx_bind(&tx, 4, &msg);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 10), 10);
    tx_drain(&tx, 4, RT_STDOUT, &rx);
    assert_int_equal(tx_view(&tx).resent, 30);
    tx_close(&tx);
}

/* ---- the table ---- */

static void test_table_full(void **state)
{
    (void)state;
    struct rt_attach_msg msg;
    struct rt_refuse_msg gone = {.c = RT_CLASS_LOST};
    struct tx_rx zero = tx_rx(0);
    tx_live(&tx, NULL);
    for (unsigned i = 0; i < RT_ATTS_MAX; i++) {
        msg = tx_new((uint8_t)i, 1);
        msg.hold = i < 64 ? 0 : 30000;
        tx_bind(&tx, 1 + i, &msg);
    }
    msg = tx_new(200, 1);
    tx_attach(&tx, 500, &msg);
    struct rt_refuse_msg refuse = tx_refused(&tx, 500, RT_CLASS_LIMIT);
    assert_int_equal(refuse.max, RT_ATTS_MAX);
    assert_true(rt_slice_equal(refuse.which, rt_slice_text("attachments")));
    tx_refuse(&tx, 1 + 100, &gone); /* unbound, but it holds */
    tx_attach(&tx, 501, &msg);
    (void)tx_refused(&tx, 501, RT_CLASS_LIMIT);
    tx_refuse(&tx, 1 + 101, &gone);
    tx_run(&tx, RT_ATT_DISPLACE_MS - 1, true);
    tx_attach(&tx, 506, &msg);
    (void)tx_refused(&tx, 506, RT_CLASS_LIMIT);
    msg = tx_resume(100, 2, &zero, &zero, 0, 0); /* one of the two comes back, the other one had the time for it */
    tx_bind(&tx, 507, &msg);
    tx_run(&tx, 1, true);
    msg = tx_new(202, 1);
    tx_bind(&tx, 508, &msg);
    msg = tx_resume(101, 2, &zero, &zero, 0, 0);
    tx_attach_refused(&tx, msg, RT_CLASS_UNKNOWN_ATTACHMENT);
    tx_refuse(&tx, 507, &gone);
    msg = tx_new(200, 2);
    tx_refuse(&tx, 1 + 20, &gone);
    tx.now += 10;
    tx_refuse(&tx, 1 + 10, &gone);
    tx_bind(&tx, 502, &msg); /* 20 makes room: it has been away for longest */
    msg = tx_resume(20, 2, &zero, &zero, 0, 0);
    tx_attach_refused(&tx, msg, RT_CLASS_UNKNOWN_ATTACHMENT);
    msg = tx_resume(10, 2, &zero, &zero, 0, 0);
    tx_bind(&tx, 503, &msg);
    msg = tx_resume(100, 3, &zero, &zero, 0, 0);
    tx_bind(&tx, 509, &msg);
    tx_detach(&tx, 509);
    msg = tx_resume(100, 4, &zero, &zero, 0, 0);
    tx_attach_refused(&tx, msg, RT_CLASS_UNKNOWN_ATTACHMENT);
    msg = tx_new(201, 1);
    tx_bind(&tx, 510, &msg);
    tx_close(&tx);
}

static void refused_for(struct rt_attach_msg msg, uint32_t channel, const char *which, uint64_t max)
{
    struct rt_refuse_msg refuse;
    tx_attach(&tx, channel, &msg);
    refuse = tx_refused(&tx, channel, RT_CLASS_LIMIT);
    assert_true(rt_slice_equal(refuse.which, rt_slice_text(which)));
    assert_int_equal(refuse.max, max);
}

/* Observers keep nobody out that may hold: there are places that they do not get. */
static void test_observers_leave_room(void **state)
{
    (void)state;
    struct rt_attach_msg observer = tx_new_observer(200, 1), msg;
    struct rt_refuse_msg gone = {.c = RT_CLASS_LOST};
    struct tx_rx zero = tx_rx(0);
    tx_live(&tx, NULL);
    for (unsigned i = 0; i < RT_OBSERVERS_MAX; i++) {
        tx_hold(&tx, 1 + i, 0);
    }
    refused_for(observer, 500, "observers", RT_OBSERVERS_MAX);
    for (unsigned i = RT_OBSERVERS_MAX; i < RT_ATTS_MAX; i++) {
        tx_hold(&tx, 1 + i, 30000);
    }
    refused_for(observer, 501, "observers", RT_OBSERVERS_MAX);
    refused_for(tx_new(201, 1), 502, "attachments", RT_ATTS_MAX);
    tx_refuse(&tx, 100, &gone); /* away for so long that it makes room, but for none of them */
    tx_run(&tx, RT_ATT_DISPLACE_MS, true);
    refused_for(observer, 503, "observers", RT_OBSERVERS_MAX);
    tx_refuse(&tx, 5, &gone);
    tx_bind(&tx, 504, &observer);
    msg = tx_resume(5, 2, &zero, &zero, 0, 0);
    tx_attach_refused(&tx, msg, RT_CLASS_UNKNOWN_ATTACHMENT);
    msg = tx_resume(100, 2, &zero, &zero, 0, 0);
    tx_bind(&tx, 505, &msg);
    tx_close(&tx);
}

/* One observer too many, while places below the one that makes room are free. */
static void test_observer_takes_free_place(void **state)
{
    (void)state;
    struct rt_attach_msg observer = tx_new_observer(200, 1);
    struct rt_refuse_msg gone = {.c = RT_CLASS_LOST};
    tx_live(&tx, NULL);
    for (unsigned i = 0; i < RT_ATTS_MAX; i++) {
        tx_hold(&tx, 1 + i, i < RT_ATTS_MAX - RT_OBSERVERS_MAX ? 30000 : 0);
    }
    tx_detach(&tx, 10);
    tx_detach(&tx, RT_ATTS_MAX - 1);
    tx_bind(&tx, 500, &observer);
    tx_detach(&tx, 12);
    tx_refuse(&tx, RT_ATTS_MAX, &gone);
    observer.id = tx_id(201);
    tx_bind(&tx, 501, &observer);
    assert_null(rt_tether_att_by_id(tx.tether, tx_id(RT_ATTS_MAX).data));
    assert_int_equal(tx.tether->n_atts, RT_ATTS_MAX - 2);
    tx_close(&tx);
}

/* An ATTACH that is refused takes nobody's place. */
static void test_refused_displaces_none(void **state)
{
    (void)state;
    struct rt_attach_msg msg;
    struct rt_refuse_msg gone = {.c = RT_CLASS_LOST};
    struct tx_rx zero = tx_rx(0);
    tx_live(&tx, NULL);
    for (unsigned i = 0; i < RT_ATTS_MAX; i++) {
        tx_hold(&tx, 1 + i, i < RT_OBSERVERS_MAX ? 0 : 30000);
    }
    tx_refuse(&tx, 1 + 20, &gone);
    for (int exec = 0; exec < 2; exec++) {
        msg = exec ? tx_new_exec(200, 1) : tx_new(200, 1);
        msg.from = RT_FROM_OFFSET;
        msg.n = 1;
        tx_attach_refused(&tx, msg, RT_CLASS_INVALID);
    }
    msg = tx_resume(1 + 20, 2, &zero, &zero, 0, 0);
    tx_bind(&tx, 500, &msg);
    tx_close(&tx);
}

/* The last place of a full table, too, can be given to another; and one that is free is found again. */
static void test_last_place(void **state)
{
    (void)state;
    struct rt_refuse_msg gone = {.c = RT_CLASS_LOST};
    struct tx_rx zero = tx_rx(0);
    struct rt_attach_msg msg;
    tx_live(&tx, NULL);
    for (unsigned i = 0; i < RT_ATTS_MAX; i++) {
        tx_hold(&tx, 1 + i, i < RT_ATTS_MAX - RT_OBSERVERS_MAX ? 30000 : 0);
    }
    tx_refuse(&tx, RT_ATTS_MAX, &gone);
    msg = tx_new(200, 1);
    tx_bind(&tx, 500, &msg);
    tx_refuse(&tx, 500, &gone);
    msg = tx_resume(200, 2, &zero, &zero, 0, 0);
    tx_bind(&tx, 501, &msg);
    for (unsigned i = 2; i < RT_ATTS_MAX; i++) { /* all but the first and the last */
        tx_detach(&tx, i);
    }
    assert_int_equal(tx.tether->n_atts, RT_ATTS_MAX);
    tx_detach(&tx, 501);
    assert_int_equal(tx.tether->n_atts, 1);
    msg = tx_new(201, 1);
    tx_bind(&tx, 502, &msg);
    assert_int_equal(tx.tether->n_atts, 2);
    tx_close(&tx);
}

static bool known(uint8_t id)
{
    return rt_tether_att_by_id(tx.tether, tx_id(id).data) != NULL;
}

static void test_forgetting(void **state)
{
    (void)state;
    struct rt_attach_msg observer = tx_new(1, 1), holder = tx_new(2, 1), bound = tx_new(3, 1);
    struct rt_refuse_msg gone = {.c = RT_CLASS_LOST};
    observer.hold = bound.hold = 0;
    holder.hold = RT_HOLD_MAX_MS;
    tx_live(&tx, NULL);
    tx_bind(&tx, 1, &observer);
    tx_bind(&tx, 2, &holder);
    tx_bind(&tx, 3, &bound);
    tx_refuse(&tx, 1, &gone);
    tx_refuse(&tx, 2, &gone);
    tx_run(&tx, RT_ATT_FORGET_MS - 1, true);
    assert_true(known(1));
    tx_run(&tx, 1, true);
    assert_false(known(1));
    tx_run(&tx, RT_HOLD_MAX_MS - 1, true); /* a hold is a promise */
    assert_true(known(2));
    tx_run(&tx, 1, true);
    assert_false(known(2));
    assert_true(known(3));
    tx_lost(&tx); /* nobody can come while there is no agent */
    for (unsigned i = 0; i < 100; i++) {
        tx_run(&tx, tx.dialing ? 0 : 600, false);
        tx.now += 60000;
        tx_lost(&tx);
    }
    assert_true(known(3));
    tx_run(&tx, 600, false);
    tx_up(&tx);
    tx_run(&tx, RT_ATT_FORGET_MS - 1, true);
    assert_true(known(3));
    tx_run(&tx, 1, true);
    assert_false(known(3));
    tx_close(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starts),
        cmocka_unit_test(test_lines_are_looked_for_nearby),
        cmocka_unit_test(test_starts_behind_the_base),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_unknown_values),
        cmocka_unit_test(test_make_again),
        cmocka_unit_test(test_in_use),
        cmocka_unit_test(test_table_full),
        cmocka_unit_test(test_observers_leave_room),
        cmocka_unit_test(test_observer_takes_free_place),
        cmocka_unit_test(test_refused_displaces_none),
        cmocka_unit_test(test_last_place),
        cmocka_unit_test(test_forgetting),
        cmocka_unit_test(test_resent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
