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

#include "tests/unit/session_core/tether_clients.h"
#include "tests/unit/session_core/tether_fixture.h"
#include "tests/unit/session_core/tether_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* The tether's link to its agent: dialling, hello, refusals, new incarnations, liveness. */

static struct tx tx;

static void test_hello_and_first_flight(void **state)
{
    (void)state;
    struct rt_hello_msg hello;
    static struct rt_report_msg report;
    tx_open(&tx, NULL);
    assert_int_equal(tx_view(&tx).state, RT_TETHER_DIALING);
    tx_connect(&tx, &hello);
    assert_int_equal(hello.vmin, 1);
    assert_int_equal(hello.vmax, 1);
    assert_true(rt_slice_equal(hello.role, rt_slice_text("guest")));
    assert_true(rt_slice_equal(hello.cid, rt_slice_text("box")));
    assert_true(rt_slice_equal(hello.tok, rt_slice_text("join")));
    assert_int_equal(hello.inc.size, RT_ID_SIZE);
    assert_int_equal(hello.nonce.size, RT_ID_SIZE);
    assert_memory_not_equal(hello.inc.data, hello.nonce.data, RT_ID_SIZE);
    assert_int_equal(hello.epoch, 1);
    assert_int_equal(tx_take(&tx), 0); /* nothing before the welcome */
    tx_welcome(&tx, 5, "ticket");
    assert_int_equal(tx_take(&tx), 2);
    assert_int_equal(tx.frames[0].head.type, RT_CONFIRM);
    tx_decode(tx_frame(&tx, RT_REPORT, 0, 0), RT_MSG_REPORT, &report);
    assert_int_equal(report.n_procs, 1);
    assert_int_equal(report.procs[0].st, 1);
    assert_int_equal(report.n_atts, 0);
    assert_int_equal(tx_view(&tx).state, RT_TETHER_LIVE);
    assert_int_equal(tx_view(&tx).life, 5);
    assert_string_equal(tx_view(&tx).host, "h");
    tx_lost(&tx);
    assert_true(tx.dialing); /* at once */
    tx_connect(&tx, &hello);
    assert_true(rt_slice_equal(hello.tok, rt_slice_text("ticket")));
    assert_int_equal(hello.epoch, 2);
    tx_close(&tx);
}

/* Each attempt: its own epoch and nonce, the same incarnation. */
static void test_attempts(void **state)
{
    (void)state;
    uint8_t inc[RT_ID_SIZE], nonce[RT_ID_SIZE];
    struct rt_hello_msg hello;
    tx_open(&tx, NULL);
    tx_connect(&tx, &hello);
    memcpy(inc, hello.inc.data, sizeof(inc));
    memcpy(nonce, hello.nonce.data, sizeof(nonce));
    for (uint64_t epoch = 2; epoch < 6; epoch++) {
        tx_lost(&tx);
        tx_run(&tx, 600, false);
        tx_connect(&tx, &hello);
        assert_int_equal(hello.epoch, epoch);
        assert_memory_equal(hello.inc.data, inc, sizeof(inc));
        assert_memory_not_equal(hello.nonce.data, nonce, sizeof(nonce));
        memcpy(nonce, hello.nonce.data, sizeof(nonce));
    }
    tx_close(&tx);
}

static void test_backoff(void **state)
{
    (void)state;
    uint64_t cap = 5, waits[40], differ = 0;
    tx_open(&tx, NULL);
    for (unsigned i = 0; i < 40; i++) {
        uint64_t from = tx.now;
        tx_lost(&tx);
        assert_false(tx.dialing);
        tx_run(&tx, tx_deadline(&tx) - tx.now, false);
        assert_true(tx.dialing);
        waits[i] = tx.now - from;
        assert_in_range(waits[i], cap / 2, cap);
        cap = cap * 2 < 500 ? cap * 2 : 500;
        differ += i > 10 && waits[i] != waits[i - 1];
    }
    assert_true(differ > 20); /* jitter */
    tx_up(&tx);
    tx_run(&tx, 2000, true);
    tx_lost(&tx); /* a link that lived begins it anew */
    assert_true(tx.dialing);
    uint64_t from = tx.now;
    tx_lost(&tx);
    tx_run(&tx, tx_deadline(&tx) - tx.now, false);
    assert_in_range(tx.now - from, 2, 10);
    tx_close(&tx);
}

/* An agent that welcomes and drops at once is not dialled in a tight circle; a few moves in a row are not delayed. */
static void test_flapping_link(void **state)
{
    (void)state;
    unsigned before;
    tx_open(&tx, NULL);
    tx_up(&tx);
    for (unsigned i = 0; i < 3; i++) {
        tx_lost(&tx);
        assert_true(tx.dialing);
        tx_up(&tx);
    }
    for (unsigned i = 0; i < 20; i++) {
        tx_lost(&tx);
        tx_run(&tx, tx.dialing ? 0 : 600, false);
        tx_up(&tx);
    }
    before = tx.dials;
    tx_lost(&tx);
    assert_int_equal(tx.dials, before);
    assert_true(tx_deadline(&tx) - tx.now >= RT_REDIAL_MAX_MS / 2);
    tx_close(&tx);
}

static void test_hello_timeout(void **state)
{
    (void)state;
    struct rt_hello_msg hello;
    tx_open(&tx, NULL);
    assert_true(tx_deadline(&tx) == UINT64_MAX); /* the shell bounds the dial */
    tx_connect(&tx, &hello);
    assert_int_equal(tx_deadline(&tx), tx.now + 5000);
    tx_run(&tx, 4999, false);
    assert_int_equal(tx.hangups, 0);
    tx_run(&tx, 1, false);
    assert_int_equal(tx.hangups, 1);
    assert_int_equal(tx_view(&tx).state, RT_TETHER_DOWN);
    tx_run(&tx, 5, false);
    assert_true(tx.dialing);
    tx_close(&tx);
}

/* A refusal of the hello: `class` is answered after a time within [least, most]. */
static void refused(const struct rt_refuse_msg *msg, uint64_t least, uint64_t most)
{
    struct rt_hello_msg hello;
    uint64_t from = tx.now;
    unsigned dials = tx.dials;
    tx_connect(&tx, &hello);
    tx_refuse(&tx, 0, msg);
    assert_false(tx.up);
    assert_int_equal(tx_view(&tx).cls, msg->c);
    while (!tx.dialing) {
        assert_int_equal(tx_view(&tx).state, RT_TETHER_REFUSED);
        tx_tick(&tx, tx_deadline(&tx));
    }
    assert_in_range(tx.now - from, least, most);
    assert_int_equal(tx.dials, dials + 1);
}

static void test_refusal_delays(void **state)
{
    (void)state;
    static const struct {
        enum rt_class cls;
        uint64_t delay, least, most;
    } rows[] = {
        {RT_CLASS_RETRY_LATER, 0, 2, 500}, /* the guest's own back-off */
        {RT_CLASS_RETRY_LATER, 700, 700, 720},
        {RT_CLASS_RETRY_LATER, 600000, 30000, 30020},
        {RT_CLASS_MOVED, 0, 5000, 30000},
        {RT_CLASS_STALE, 0, 0, 5},
        {RT_CLASS_REWOUND, 0, 5000, 30000},
        {RT_CLASS_FORKED, 0, 5000, 30000},
        {RT_CLASS_SUPERSEDED, 0, 5000, 30000},
        {RT_CLASS_BAD_AUTH, 0, 5000, 30000},
        {RT_CLASS_NOT_FOUND, 0, 5000, 30000},
        {RT_CLASS_VERSION, 0, 5000, 30000},
        {RT_CLASS_LIMIT, 0, 5000, 30000},
        {RT_CLASS_LIMIT, 5, 5, 500}, /* of handshakes: as after a loss */
        {RT_CLASS_LIMIT, 600000, 30000, 30500},
        {RT_CLASS_PROTOCOL, 0, 5000, 30000},
        {RT_CLASS_LOST, 0, 0, 5},
        {RT_CLASS_DENIED, 0, 5000, 30000},
        {RT_CLASSES + 7, 0, 5000, 30000}, /* of a later version */
    };
    tx_open(&tx, NULL);
    for (unsigned round = 0; round < 8; round++) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            struct rt_refuse_msg msg = {
                .c = rows[i].cls, .delay = rows[i].delay, .m = rt_slice_text("because of this")};
            refused(&msg, rows[i].least, rows[i].most);
            assert_string_equal(tx_view(&tx).text, "because of this");
        }
    }
    tx_close(&tx);
}

/* Refused while it was served: an agent that drops an old link. */
static void test_refused_when_live(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    struct rt_attach_msg attach = tx_new(1, 1);
    struct rt_refuse_msg msg = {.c = RT_CLASS_SUPERSEDED};
    tx_bind(&tx, 1, &attach);
    tx_refuse(&tx, 0, &msg);
    assert_false(tx.up);
    assert_int_equal(tx_view(&tx).state, RT_TETHER_REFUSED);
    assert_in_range(tx_deadline(&tx), tx.now + 5000, tx.now + 30000);
    assert_int_equal(tx_take(&tx), 0);
    tx_close(&tx);
}

static bool joins(struct rt_hello_msg *hello)
{
    tx_connect(&tx, hello);
    return rt_slice_equal(hello->tok, rt_slice_text("join"));
}

static void refuse_again(enum rt_class cls)
{
    struct rt_refuse_msg msg = {.c = cls};
    tx_refuse(&tx, 0, &msg);
    while (!tx.dialing) {
        tx_tick(&tx, tx_deadline(&tx));
    }
}

static void forked_tether(enum rt_class cls)
{
    struct rt_hello_msg hello;
    tx_live(&tx, NULL);
    tx_lost(&tx);
    assert_false(joins(&hello));
    refuse_again(cls);
}

/* After REWOUND or FORKED every second attempt is a join as somebody new; it never gives up the old identity first. */
static void new_incarnation(enum rt_class cls)
{
    struct rt_hello_msg hello;
    uint8_t inc[RT_ID_SIZE];
    struct rt_attach_msg attach = tx_new(1, 1);
    forked_tether(cls);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(joins(&hello));
        memcpy(inc, hello.inc.data, sizeof(inc));
        refuse_again(RT_CLASS_RETRY_LATER);
        assert_false(joins(&hello));
        assert_memory_not_equal(hello.inc.data, inc, sizeof(inc));
        refuse_again(cls);
    }
    assert_true(joins(&hello));
    memcpy(inc, hello.inc.data, sizeof(inc));
    tx_welcome(&tx, 6, "other");
    assert_int_equal(tx_view(&tx).life, 6);
    (void)tx_take(&tx);
    attach.make = false;
    tx_attach(&tx, 1, &attach);
    struct rt_refuse_msg refuse = tx_refused(&tx, 1, RT_CLASS_UNKNOWN_ATTACHMENT);
    assert_int_equal(refuse.life, 6); /* its client sees that it is another one */
    assert_int_equal(refuse.s, RT_STDOUT);
    assert_int_equal(refuse.at, 0);
    tx_lost(&tx);
    tx_run(&tx, tx.dialing ? 0 : RT_REDIAL_MAX_MS, false);
    assert_false(joins(&hello));
    assert_memory_equal(hello.inc.data, inc, sizeof(inc));
    assert_true(rt_slice_equal(hello.tok, rt_slice_text("other")));
    tx_close(&tx);
}

static void test_new_incarnation(void **state)
{
    (void)state;
    new_incarnation(RT_CLASS_REWOUND);
    new_incarnation(RT_CLASS_FORKED);
}

/* Whoever was attached before learns that this is another life, and how much of what came still holds. */
static void test_new_incarnation_tells(void **state)
{
    (void)state;
    struct rt_hello_msg hello;
    struct rt_attach_msg attach = tx_new(1, 1);
    struct rt_refuse_msg refuse;
    struct tx_rx rx = tx_rx(0), err = tx_rx(0);
    tx_live(&tx, NULL);
    tx_bind(&tx, 1, &attach);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 20), 20);
    tx_drain(&tx, 1, RT_STDOUT, &rx);
    assert_int_equal(tx_produce(&tx, 0, RT_STDOUT, 5), 5);
    (void)tx_take(&tx);
    assert_int_equal(tx_consume(&tx, 1, RT_STDOUT, &rx), 5); /* it may have these, or others */
    tx_lost(&tx);
    assert_false(joins(&hello));
    refuse_again(RT_CLASS_REWOUND);
    assert_true(joins(&hello));
    tx_welcome(&tx, 6, "other");
    (void)tx_take(&tx);
    attach = tx_resume(1, 2, &rx, &err, 0, 0);
    tx_attach(&tx, 1, &attach);
    refuse = tx_refused(&tx, 1, RT_CLASS_UNKNOWN_ATTACHMENT);
    assert_int_equal(refuse.life, 6);
    assert_int_equal(refuse.s, RT_STDOUT);
    assert_int_equal(refuse.at, 20);
    tx_close(&tx);
}

/* The old identity is welcome again: a verdict that was wrong heals, attachments and all. */
static void test_verdict_heals(void **state)
{
    (void)state;
    struct rt_hello_msg hello;
    struct rt_attach_msg attach = tx_new(1, 1);
    tx_live(&tx, NULL);
    tx_bind(&tx, 1, &attach);
    tx_lost(&tx);
    assert_false(joins(&hello));
    refuse_again(RT_CLASS_FORKED);
    assert_true(joins(&hello));
    refuse_again(RT_CLASS_RETRY_LATER);
    assert_false(joins(&hello));
    tx_welcome(&tx, 5, "again");
    struct tx_rx zero = tx_rx(0);
    attach = tx_resume(1, 2, &zero, &zero, 0, 0);
    tx_bind(&tx, 1, &attach);
    tx_lost(&tx);
    assert_false(joins(&hello));
    refuse_again(RT_CLASS_BAD_AUTH);
    assert_false(joins(&hello));
    tx_close(&tx);
}

static void test_superseded_never_joins(void **state)
{
    (void)state;
    struct rt_hello_msg hello;
    forked_tether(RT_CLASS_SUPERSEDED);
    for (unsigned i = 0; i < 4; i++) {
        assert_false(joins(&hello));
        refuse_again(i % 2 ? RT_CLASS_SUPERSEDED : RT_CLASS_FORKED);
    }
    tx_close(&tx);
    forked_tether(RT_CLASS_FORKED); /* also when it comes later */
    assert_true(joins(&hello));
    refuse_again(RT_CLASS_RETRY_LATER);
    for (unsigned i = 0; i < 3; i++) {
        assert_false(joins(&hello));
        refuse_again(RT_CLASS_SUPERSEDED);
    }
    tx_close(&tx);
}

/* A later life has an end of its own to be stored. */
static void test_new_life_ends_again(void **state)
{
    (void)state;
    struct rt_hello_msg hello;
    struct rt_attach_msg attach = tx_new(1, 1);
    tx_live(&tx, NULL);
    tx_bind(&tx, 1, &attach);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    tx_exit(&tx, 0, 0);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_END), 1);
    struct rt_end_ok_msg ok = {.how = RT_END_STORED};
    tx_send_map(&tx, (struct rt_frame){.type = RT_END_OK}, RT_MSG_END_OK, &ok);
    assert_int_equal(tx.overs, 0); /* its client has not read all */
    tx_lost(&tx);
    assert_false(joins(&hello));
    refuse_again(RT_CLASS_FORKED);
    assert_true(joins(&hello));
    tx_welcome(&tx, 6, "other");
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_END), 1);
    tx_send_map(&tx, (struct rt_frame){.type = RT_END_OK}, RT_MSG_END_OK, &ok);
    assert_int_equal(tx.overs, 1);
    tx_close(&tx);
}

/* Pings of the link, when the agent never says a word. Returns when it was given up; pings are counted. */
static uint64_t silence(uint64_t *first, unsigned *pings)
{
    uint64_t from = tx.now;
    unsigned hangups = tx.hangups;
    *pings = 0;
    while (tx.hangups == hangups) {
        tx_tick(&tx, tx_deadline(&tx));
        (void)tx_take(&tx);
        if (tx_count(&tx, RT_PING) > 0 && (*pings)++ == 0) {
            *first = tx.now - from;
        }
    }
    assert_string_equal(tx.reason, "the agent is silent");
    assert_true(tx.dialing);
    return tx.now - from;
}

static void test_pings(void **state)
{
    (void)state;
    uint64_t first = 0;
    unsigned pings = 0;
    struct rt_attach_msg attach = tx_new(1, 1);
    tx_live(&tx, NULL);
    assert_int_equal(silence(&first, &pings), 15000);
    assert_int_equal(first, 5000);
    assert_int_equal(pings, 2);
    tx_up(&tx);
    tx_bind(&tx, 1, &attach);
    assert_int_equal(silence(&first, &pings), 3000);
    assert_int_equal(first, 1000);
    assert_int_equal(pings, 2);
    tx_close(&tx);
}

static void test_any_frame_is_life(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    for (unsigned i = 0; i < 10; i++) {
        tx_run(&tx, 4999, false);
        (void)tx_take(&tx);
        assert_int_equal(tx_count(&tx, RT_PING), 0);
        tx_send(&tx, (struct rt_frame){.type = RT_PING, .offset = 100 + i}, NULL);
        (void)tx_take(&tx);
        assert_int_equal(tx_frame(&tx, RT_PONG, 0, 0)->head.offset, 100 + i);
        assert_int_equal(tx_count(&tx, RT_PONG), 1);
    }
    assert_int_equal(tx.hangups, 0);
    tx_close(&tx);
}

/* A PONG is life only as the answer to a ping of this link, once. */
static void test_pongs(void **state)
{
    (void)state;
    uint64_t token;
    tx_live(&tx, NULL);
    tx_tick(&tx, tx.now + 5000);
    (void)tx_take(&tx);
    token = tx_frame(&tx, RT_PING, 0, 0)->head.offset;
    tx_send(&tx, (struct rt_frame){.type = RT_PONG, .offset = token}, NULL);
    tx_tick(&tx, tx.now + 5000);
    (void)tx_take(&tx);
    assert_true(tx_frame(&tx, RT_PING, 0, 0)->head.offset != token);
    tx_send(&tx, (struct rt_frame){.type = RT_PONG, .offset = token}, NULL);
    tx_send(&tx, (struct rt_frame){.type = RT_PONG, .offset = 1}, NULL);
    tx_tick(&tx, tx.now + 9999);
    (void)tx_take(&tx);
    assert_int_equal(tx.hangups, 0);
    tx_send(&tx, (struct rt_frame){.type = RT_PONG, .offset = token}, NULL);
    tx_tick(&tx, tx.now + 1);
    (void)tx_take(&tx);
    assert_int_equal(tx.hangups, 1);
    assert_string_equal(tx.reason, "the agent is silent");
    tx_close(&tx);
}

/* A link that takes nothing for a while costs no timer that has passed. */
static void test_no_spinning_when_congested(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    tx_produce(&tx, 0, RT_STDOUT, 10);
    unsigned ticks = 0;
    for (uint64_t end = tx.now + 10000; tx_deadline(&tx) < end; ticks++) {
        assert_true(tx_deadline(&tx) > tx.now);
        tx_tick(&tx, tx_deadline(&tx));
        tx_send(&tx, (struct rt_frame){.type = RT_PING}, NULL); /* it still hears */
    }
    assert_true(ticks < 10);
    (void)tx_take(&tx);
    assert_int_equal(tx_count(&tx, RT_REPORT), 1);
    tx_close(&tx);
}

static void test_reports_once_a_second(void **state)
{
    (void)state;
    unsigned reports = 0;
    tx_live(&tx, NULL);
    for (unsigned i = 0; i < 1000; i++) {
        tx_produce(&tx, 0, RT_STDOUT, 1);
        tx_run(&tx, 10, true);
        (void)tx_take(&tx);
        reports += tx_count(&tx, RT_REPORT) > 0;
    }
    assert_in_range(reports, 9, 11);
    tx_run(&tx, 2000, true);
    (void)tx_take(&tx);
    for (unsigned i = 0; i < 30; i++) { /* none when nothing changes */
        tx_run(&tx, 1000, true);
        (void)tx_take(&tx);
        assert_int_equal(tx_count(&tx, RT_REPORT), 0);
    }
    tx_close(&tx);
}

/* What a link that was lost brought late, or a shell says twice, is nothing. */
static void test_late_calls(void **state)
{
    (void)state;
    uint8_t ping[RT_FRAME_HEADER];
    rt_frame_put(ping, &(struct rt_frame){.type = RT_PING});
    tx_live(&tx, NULL);
    tx_lost(&tx);
    uint64_t epoch = tx_view(&tx).epoch;
    assert_int_equal(rt_tether_input(tx.tether, ping, sizeof(ping), tx.now), sizeof(ping));
    tx_up(&tx);
    rt_tether_connected(tx.tether, tx.now);
    assert_int_equal(tx_view(&tx).state, RT_TETHER_LIVE);
    assert_int_equal(tx_view(&tx).epoch, epoch);
    tx_lost(&tx);
    tx_lost(&tx);
    rt_tether_lost(tx.tether, tx.now);
    assert_int_equal(tx_view(&tx).state, RT_TETHER_DOWN);
    tx_close(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_and_first_flight),
        cmocka_unit_test(test_attempts),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_flapping_link),
        cmocka_unit_test(test_hello_timeout),
        cmocka_unit_test(test_refusal_delays),
        cmocka_unit_test(test_refused_when_live),
        cmocka_unit_test(test_new_incarnation),
        cmocka_unit_test(test_new_incarnation_tells),
        cmocka_unit_test(test_verdict_heals),
        cmocka_unit_test(test_superseded_never_joins),
        cmocka_unit_test(test_new_life_ends_again),
        cmocka_unit_test(test_pings),
        cmocka_unit_test(test_any_frame_is_life),
        cmocka_unit_test(test_pongs),
        cmocka_unit_test(test_no_spinning_when_congested),
        cmocka_unit_test(test_reports_once_a_second),
        cmocka_unit_test(test_late_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
