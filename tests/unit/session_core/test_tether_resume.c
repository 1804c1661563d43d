/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/receiver.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"

#include "tests/unit/session_core/tether_clients.h"
#include "tests/unit/session_core/tether_fixture.h"
#include "tests/unit/session_core/tether_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ATTACH of an attachment that is known: where it goes on, what shows that a past has changed, and who has it now. */

static struct tx tx;

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
    tx_attach_refused(&tx, msg, RT_CLASS_UNKNOWN_ATTACHMENT);
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
    tx_attach_refused(&tx, msg, RT_CLASS_INVALID);
    msg = good; /* twice */
    msg.out[2] = msg.out[0];
    tx_attach_refused(&tx, msg, RT_CLASS_INVALID);
    msg = good; /* the wrong way */
    msg.out[2].s = RT_STDIN;
    tx_attach_refused(&tx, msg, RT_CLASS_INVALID);
    msg = good;
    msg.out[2].s = RT_CONTROL_DOWN;
    tx_attach_refused(&tx, msg, RT_CLASS_INVALID);
    msg = good;
    msg.in[0].s = RT_STDOUT;
    tx_attach_refused(&tx, msg, RT_CLASS_INVALID);
    msg = good;
    msg.in[1] = msg.in[0];
    tx_attach_refused(&tx, msg, RT_CLASS_INVALID);
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
        tx_attach(&tx, 99, &msg);
        assert_int_equal(tx_refused(&tx, 99, RT_CLASS_STOLEN).try_no, 7);
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
    assert_int_equal(tx_refused(&tx, 2, RT_CLASS_STOLEN).try_no, 0); /* it must not take it back */
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
    tx_run(&tx, RT_ACK_DELAY_MS, false);
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
        cmocka_unit_test(test_resume_anywhere), cmocka_unit_test(test_resume_rewound),
        cmocka_unit_test(test_resume_streams),  cmocka_unit_test(test_older_try),
        cmocka_unit_test(test_rebinding),       cmocka_unit_test(test_steal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
