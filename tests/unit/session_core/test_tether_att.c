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

#include "tests/unit/session_core/tether_clients.h"
#include "tests/unit/session_core/tether_fixture.h"
#include "tests/unit/session_core/tether_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ATTACH: who makes, comes back, takes; what is refused, and what the refusal leaves behind. */

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

/* The class, for an ATTACH on a channel of its own. */
static void refused(struct rt_attach_msg msg, enum rt_class cls)
{
    static uint32_t channel = 1000;
    tx_attach(&tx, ++channel, &msg);
    struct rt_refuse_msg refuse = tx_refused(&tx, channel, cls);
    assert_true(refuse.m.size > 0);
}

static void test_refusals(void **state)
{
    (void)state;
    struct rt_attach_msg msg;
    tx_live(&tx, NULL);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    msg = tx_new(1, 1);
    msg.cid = rt_slice_text("bo");
    refused(msg, RT_CLASS_INVALID);
    msg = tx_new(1, 1);
    msg.p = 3;
    refused(msg, RT_CLASS_INVALID);
    msg.p = RT_PROC_MAX;
    refused(msg, RT_CLASS_INVALID);
    for (int take = 0; take < 2; take++) {
        msg = tx_new_exec(1, 1);
        msg.make = false;
        msg.take = take == 1;
        refused(msg, RT_CLASS_UNKNOWN_ATTACHMENT);
    }
    msg = tx_new(1, 1);
    msg.from = RT_FROM_OFFSET;
    msg.n = 11;
    refused(msg, RT_CLASS_INVALID);
    msg.n = 10;
    msg.ne = 1;
    refused(msg, RT_CLASS_INVALID);
    msg.make = false; /* none of these left anything behind */
    refused(msg, RT_CLASS_UNKNOWN_ATTACHMENT);
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
    refused(msg, RT_CLASS_STOLEN); /* the same try */
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
            refused(msg, RT_CLASS_INVALID);
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
    refused(msg, RT_CLASS_UNKNOWN_ATTACHMENT);
    tx_refuse(&tx, 507, &gone);
    msg = tx_new(200, 2);
    tx_refuse(&tx, 1 + 20, &gone);
    tx.now += 10;
    tx_refuse(&tx, 1 + 10, &gone);
    tx_bind(&tx, 502, &msg); /* 20 makes room: it has been away for longest */
    msg = tx_resume(20, 2, &zero, &zero, 0, 0);
    refused(msg, RT_CLASS_UNKNOWN_ATTACHMENT);
    msg = tx_resume(10, 2, &zero, &zero, 0, 0);
    tx_bind(&tx, 503, &msg);
    msg = tx_resume(100, 3, &zero, &zero, 0, 0);
    tx_bind(&tx, 509, &msg);
    tx_detach(&tx, 509);
    msg = tx_resume(100, 4, &zero, &zero, 0, 0);
    refused(msg, RT_CLASS_UNKNOWN_ATTACHMENT);
    msg = tx_new(201, 1);
    tx_bind(&tx, 510, &msg);
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
        tx_hold(&tx, 1 + i, 0);
    }
    tx_refuse(&tx, 1 + 20, &gone);
    for (int exec = 0; exec < 2; exec++) {
        msg = exec ? tx_new_exec(200, 1) : tx_new(200, 1);
        msg.from = RT_FROM_OFFSET;
        msg.n = 1;
        refused(msg, RT_CLASS_INVALID);
    }
    msg = tx_resume(1 + 20, 2, &zero, &zero, 0, 0);
    tx_bind(&tx, 500, &msg);
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

/* ---- resume ---- */

/* An attachment with 100 bytes of stdout, 50 of stderr sent, 60 and 50 acknowledged, and 3 of 5 bytes of input
 * applied; then its link is cut. */
static void used(struct tx_rx *out, struct tx_rx *err)
{
    struct rt_attach_msg msg = tx_new(1, 1);
    uint8_t buf[3];
    tx_live(&tx, NULL);
    tx_produce(&tx, 0, RT_STDOUT, 60);
    tx_produce(&tx, 0, RT_STDERR, 50);
    *out = *err = tx_rx(0);
    tx_bind(&tx, 1, &msg);
    (void)tx_consume(&tx, 1, RT_STDOUT, out);
    (void)tx_consume(&tx, 1, RT_STDERR, err);
    tx_ack(&tx, 1, RT_STDOUT, out, 1000);
    tx_ack(&tx, 1, RT_STDERR, err, 1000);
    tx_data(&tx, 1, RT_STDIN, 0, "hello", 5);
    assert_int_equal(tx_read(&tx, 0, buf, 3), 3);
    tx_produce(&tx, 0, RT_STDOUT, 40);
    (void)tx_take(&tx);
    tx_cut(&tx);
    assert_int_equal(out->next, 60);
}

static void test_resume_anywhere(void **state)
{
    (void)state;
    struct tx_rx out, err;
    struct rt_attached_msg attached;
    for (uint64_t c = 60; c <= 100; c++) {
        used(&out, &err);
        tx_produce(&tx, 0, RT_STDOUT, 7);
        out.next = c;
        struct rt_attach_msg msg = tx_resume(1, 2, &out, &err, 3, 5);
        tx_attach(&tx, 2, &msg);
        tx_attached(&tx, 2, &attached);
        assert_int_equal(attached.out[0].c, c);
        assert_int_equal(attached.out[1].c, 50);
        assert_int_equal(attached.in[0].a, 3);
        assert_int_equal(attached.in[0].d, tx_bytes_digest("hel", 3));
        assert_false(attached.in[0].closed);
        out.limit = c + TX_INITIAL;
        assert_int_equal(tx_consume(&tx, 2, RT_STDOUT, &out), 107 - c);
        tx_ack(&tx, 2, RT_STDOUT, &out, 1000);
        (void)tx_take(&tx);
        assert_int_equal(tx_count(&tx, RT_REFUSE), 0);
        tx_close(&tx);
    }
}

/* A failed check ends the attachment, with what this side knows. */
static void rewound(struct rt_attach_msg msg, uint64_t s, uint64_t at, uint64_t got)
{
    tx_attach(&tx, 9, &msg);
    struct rt_refuse_msg refuse = tx_refused(&tx, 9, RT_CLASS_REWOUND);
    assert_int_equal(refuse.s, s);
    assert_int_equal(refuse.at, at);
    assert_int_equal(refuse.got, got);
    msg.try_no++;
    refused(msg, RT_CLASS_UNKNOWN_ATTACHMENT);
    tx_close(&tx);
}

static void test_resume_rewound(void **state)
{
    (void)state;
    struct tx_rx out, err;
    struct rt_attach_msg msg;
    used(&out, &err); /* consumed more than was ever sent */
    msg = tx_resume(1, 2, &out, &err, 3, 5);
    msg.out[0].c = 101;
    rewound(msg, RT_STDOUT, 60, 101);
    used(&out, &err); /* less than it acknowledged */
    msg = tx_resume(1, 2, &out, &err, 3, 5);
    msg.out[1].c = 49;
    rewound(msg, RT_STDERR, 50, 49);
    used(&out, &err); /* other bytes */
    msg = tx_resume(1, 2, &out, &err, 3, 5);
    msg.out[0].d ^= 1;
    rewound(msg, RT_STDOUT, 60, 60);
    used(&out, &err); /* other bytes behind what it acknowledged */
    out.next = 80;
    msg = tx_resume(1, 2, &out, &err, 3, 5);
    msg.out[0].d ^= 1;
    rewound(msg, RT_STDOUT, 60, 80);
    used(&out, &err); /* a gap that there never was */
    msg = tx_resume(1, 2, &out, &err, 3, 5);
    msg.out[0].df = 1;
    rewound(msg, RT_STDOUT, 60, 60);
    used(&out, &err); /* acknowledged input that is not known */
    msg = tx_resume(1, 2, &out, &err, 4, 5);
    rewound(msg, RT_STDIN, 3, 4);
    used(&out, &err); /* applied input that it never wrote */
    msg = tx_resume(1, 2, &out, &err, 2, 2);
    rewound(msg, RT_STDIN, 3, 2);
    used(&out, &err);
    msg = tx_resume(1, 2, &out, &err, 3, 5);
    msg.in[1].a = msg.in[1].h = 1;
    rewound(msg, RT_CONTROL_DOWN, 0, 1);
}

static void test_resume_streams(void **state)
{
    (void)state;
    struct tx_rx out, err;
    struct rt_attach_msg good, msg;
    used(&out, &err);
    good = tx_resume(1, 2, &out, &err, 3, 5);
    msg = good; /* one is missing */
    msg.n_out = 2;
    refused(msg, RT_CLASS_INVALID);
    msg = good; /* twice */
    msg.out[2] = msg.out[0];
    refused(msg, RT_CLASS_INVALID);
    msg = good; /* the wrong way */
    msg.out[2].s = RT_STDIN;
    refused(msg, RT_CLASS_INVALID);
    msg = good;
    msg.out[2].s = RT_CONTROL_DOWN;
    refused(msg, RT_CLASS_INVALID);
    msg = good;
    msg.in[0].s = RT_STDOUT;
    refused(msg, RT_CLASS_INVALID);
    msg = good;
    msg.in[1] = msg.in[0];
    refused(msg, RT_CLASS_INVALID);
    tx_bind(&tx, 2, &good); /* it has lived through all that */
    tx_close(&tx);
}

/* Nothing of the attachment that another try has bound is touched by an older one. */
static void test_older_try(void **state)
{
    (void)state;
    struct tx_rx out, err;
    struct rt_attach_msg msg;
    used(&out, &err);
    msg = tx_resume(1, 7, &out, &err, 3, 5);
    tx_bind(&tx, 2, &msg);
    for (uint64_t try_no = 1; try_no <= 7; try_no++) {
        msg.try_no = try_no;
        msg.take = try_no % 2 != 0;
        refused(msg, RT_CLASS_STOLEN);
    }
    tx_data(&tx, 2, RT_STDIN, 3, "lo", 2);
    uint8_t buf[8];
    assert_int_equal(tx_read(&tx, 0, buf, 8), 2);
    tx_close(&tx);
}

static void test_rebinding(void **state)
{
    (void)state;
    struct tx_rx out, err;
    struct rt_attach_msg msg;
    used(&out, &err);
    msg = tx_resume(1, 2, &out, &err, 3, 5);
    tx_bind(&tx, 2, &msg);
    msg.try_no = 3;
    tx_attach(&tx, 3, &msg); /* the old channel is still there */
    (void)tx_refused(&tx, 2, RT_CLASS_LOST);
    assert_non_null(tx_frame(&tx, RT_ATTACHED, 3, 0));
    tx_data(&tx, 2, RT_STDIN, 3, "XX", 2); /* its frames are nobody's */
    tx_fin(&tx, 2, RT_STDIN, 5);
    tx_detach(&tx, 2);
    uint8_t buf[8];
    assert_int_equal(tx_read(&tx, 0, buf, 8), 0);
    tx_data(&tx, 3, RT_STDIN, 3, "lo", 2);
    assert_int_equal(tx_read(&tx, 0, buf, 8), 2);
    assert_memory_equal(buf, "lo", 2);
    msg = tx_resume(1, 4, &out, &err, 9, 9);
    tx_attach(&tx, 4, &msg); /* one that proves another past takes the old one with it */
    (void)tx_refused(&tx, 4, RT_CLASS_REWOUND);
    assert_non_null(tx_frame(&tx, RT_REFUSE, 3, 0));
    tx_close(&tx);
}

static void test_steal(void **state)
{
    (void)state;
    struct tx_rx out, err;
    struct rt_attached_msg attached;
    used(&out, &err);
    struct rt_attach_msg msg = tx_resume(1, 2, &out, &err, 3, 5);
    tx_bind(&tx, 2, &msg);
    msg.take = true;
    msg.try_no = 3;
    tx_attach(&tx, 3, &msg);
    (void)tx_refused(&tx, 2, RT_CLASS_STOLEN);
    assert_non_null(tx_frame(&tx, RT_ATTACHED, 3, 0));
    msg = tx_new(1, 4); /* one that has nothing of it goes on behind what was consumed */
    msg.take = true;    /* `make` says nothing of one that is there */
    tx_attach(&tx, 4, &msg);
    tx_attached(&tx, 4, &attached);
    assert_int_equal(attached.out[0].c, 60);
    assert_int_equal(attached.out[1].c, 50);
    assert_int_equal(attached.in[0].a, 3);
    assert_int_equal(attached.in[0].d, tx_bytes_digest("", 0)); /* of what it sends itself */
    out = tx_rx(60);
    assert_int_equal(tx_consume(&tx, 4, RT_STDOUT, &out), 40);
    tx_ack(&tx, 4, RT_STDOUT, &out, 1000); /* its digest starts there too */
    tx_data(&tx, 4, RT_STDIN, 3, "me", 2);
    uint8_t buf[8];
    assert_int_equal(tx_read(&tx, 0, buf, 8), 2);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_REFUSE), 0);
    assert_int_equal(rt_get_u64(tx_in_ack(&tx, 4, RT_STDIN)->payload + 8), tx_bytes_digest("me", 2));
    tx_cut(&tx);
    err = tx_rx(50);
    msg = tx_resume(1, 5, &out, &err, 3, 5);
    tx_attach(&tx, 5, &msg);
    tx_attached(&tx, 5, &attached);
    assert_int_equal(attached.in[0].d, tx_bytes_digest("me", 2));
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
        cmocka_unit_test(test_refused_displaces_none),
        cmocka_unit_test(test_forgetting),
        cmocka_unit_test(test_resume_anywhere),
        cmocka_unit_test(test_resume_rewound),
        cmocka_unit_test(test_resume_streams),
        cmocka_unit_test(test_older_try),
        cmocka_unit_test(test_rebinding),
        cmocka_unit_test(test_resent),
        cmocka_unit_test(test_steal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
