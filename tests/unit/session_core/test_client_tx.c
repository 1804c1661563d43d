/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/base/slice.h"
#include "session/core/attachment.h"
#include "session/core/client.h"
#include "session/core/client_stream.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include "tests/unit/session_core/client_fixture.h"
#include "tests/unit/session_core/client_streams.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What a client sends: windows, replay of what was not applied, digests of the guest, ends, items exactly once. */

static struct fx fx;
static uint8_t pattern[2 * RT_CLIENT_INPUT_MAX], sent[2 * RT_CLIENT_INPUT_MAX];

static int make_pattern(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (uint8_t)(i * 2654435761U >> 13);
    }
    return 0;
}

/* Collects the DATA of a stream in what was just taken; it must begin at `from` and have no holes. Returns its end. */
static uint64_t collect(unsigned stream, uint64_t from)
{
    for (size_t i = 0; i < fx.n_frames; i++) {
        const struct fx_frame *frame = &fx.frames[i];
        if (frame->head.type != RT_DATA || frame->head.stream != stream) {
            continue;
        }
        assert_int_equal(frame->head.offset, from);
        memcpy(sent + from, frame->payload, frame->head.length);
        from += frame->head.length;
    }
    return from;
}

static void test_window_and_limit(void **state)
{
    (void)state;
    uint64_t written, applied;
    struct rt_catt *att = fx_live(&fx, 1);
    assert_int_equal(rt_catt_writable(att), RT_CLIENT_INPUT_MAX);
    assert_int_equal(rt_catt_write(att, pattern, sizeof(pattern)), RT_CLIENT_INPUT_MAX);
    assert_int_equal(rt_catt_write(att, pattern, 1), 0);
    (void)fx_take(&fx, 0);
    assert_int_equal(collect(RT_STDIN, 0), RT_INITIAL_CREDIT);
    assert_int_equal(fx_take(&fx, 0), 0);
    fx_ack(&fx, 0, 1, RT_STDIN, 1000, 100000, fx_digest(pattern, 1000), 0);
    (void)fx_take(&fx, 0);
    assert_int_equal(collect(RT_STDIN, RT_INITIAL_CREDIT), 100000);
    assert_memory_equal(sent, pattern, 100000);
    assert_int_equal(rt_catt_writable(att), 1000);
    rt_catt_input(att, &written, &applied);
    assert_int_equal(written, RT_CLIENT_INPUT_MAX);
    assert_int_equal(applied, 1000);
    fx_ack(&fx, 0, 1, RT_STDIN, 500, 90000, 1, 0); /* old: neither offset nor limit fall */
    assert_int_equal(fx_take(&fx, 0), 0);
    fx_quiet(att);
    fx_close(&fx);
}

static void test_replay_from_acknowledged(void **state)
{
    (void)state;
    for (size_t applied = 100; applied <= 1000; applied += 300) {
        struct rt_attach_msg attach;
        struct rt_attached_msg terms = fx_terms();
        struct rt_catt *att = fx_live(&fx, 1);
        assert_int_equal(rt_catt_write(att, pattern, 1000), 1000);
        (void)fx_take(&fx, 0);
        fx_ack(&fx, 0, 1, RT_STDIN, 100, 50000, fx_digest(pattern, 100), 0);
        uint32_t channel = fx_cut(&fx, &attach);
        assert_int_equal(attach.n_in, 2);
        assert_int_equal(attach.in[0].a, 100);
        assert_int_equal(attach.in[0].h, 1000);
        terms.in[0].a = applied;
        terms.in[0].d = fx_digest(pattern, applied);
        fx_attached(&fx, 0, channel, &terms);
        (void)fx_take(&fx, 0);
        memset(sent, 0, sizeof(sent));
        assert_int_equal(collect(RT_STDIN, applied), 1000);
        assert_memory_equal(sent + applied, pattern + applied, 1000 - applied);
        assert_int_equal(rt_catt_resent(att), 1000 - applied);
        fx_close(&fx);
    }
}

/* Counted is what goes out again: each time, however little of it fits before the next break, and nothing new. */
static void test_resent(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_catt *att = fx_live(&fx, 1);
    assert_int_equal(rt_catt_write(att, pattern, RT_INITIAL_CREDIT + 500), RT_INITIAL_CREDIT + 500);
    (void)fx_take(&fx, 0);
    assert_int_equal(rt_catt_resent(att), 0);
    uint32_t channel = fx_cut(&fx, &attach);
    fx_attached(&fx, 0, channel, &terms);
    assert_int_equal(rt_catt_resent(att), 0); /* not sent yet */
    channel = fx_cut(&fx, &attach);           /* and never on this channel */
    terms.in[0].a = 200;
    terms.in[0].d = fx_digest(pattern, 200);
    fx_attached(&fx, 0, channel, &terms);
    (void)fx_take(&fx, 0);
    assert_int_equal(collect(RT_STDIN, 200), RT_INITIAL_CREDIT + 200);
    assert_int_equal(rt_catt_resent(att), RT_INITIAL_CREDIT - 200);
    channel = fx_cut(&fx, &attach);
    fx_attached(&fx, 0, channel, &terms);
    (void)fx_take(&fx, 0);
    assert_int_equal(rt_catt_resent(att), 2 * RT_INITIAL_CREDIT - 200);
    fx_close(&fx);
}

static void rewound_by(uint64_t a, uint64_t digest)
{
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_catt *att = fx_live(&fx, 1);
    assert_int_equal(rt_catt_write(att, pattern, 1000), 1000);
    (void)fx_take(&fx, 0);
    fx_ack(&fx, 0, 1, RT_STDIN, 100, 50000, fx_digest(pattern, 100), 0);
    assert_int_equal(rt_catt_write(att, pattern, 1000), 1000); /* never sent */
    uint32_t channel = fx_cut(&fx, &attach);
    terms.in[0] = (struct rt_attached_in){.s = RT_STDIN, .a = a, .d = digest};
    fx_attached(&fx, 0, channel, &terms);
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    struct rt_catt_event event = fx_event(att, RT_CATT_REWOUND);
    assert_int_equal(event.stream, RT_STDIN);
    assert_int_equal(event.from, 100);
    assert_int_equal(event.to, a);
    fx_quiet(att);
    (void)fx_take(&fx, 0);
    assert_int_equal(fx_frame(&fx, RT_REFUSE, 0)->head.channel, channel);
    fx_run(&fx, 30000, true);
    assert_null(fx_frame(&fx, RT_ATTACH, 0));
    fx_close(&fx);
}

static void test_impossible_applied_is_a_rewind(void **state)
{
    (void)state;
    rewound_by(99, fx_digest(pattern, 99));
    rewound_by(1001, 0);
    rewound_by(500, fx_digest(pattern, 499));
}

static void test_ack_digest_is_checked(void **state)
{
    (void)state;
    struct rt_catt *att = fx_live(&fx, 1);
    assert_int_equal(rt_catt_write(att, pattern, 1000), 1000);
    (void)fx_take(&fx, 0);
    fx_ack(&fx, 0, 1, RT_STDIN, 10, 50000, fx_digest(pattern, 10) ^ 1, 0);
    assert_int_equal(fx_event(att, RT_CATT_REWOUND).to, 10);
    fx_close(&fx);
    att = fx_live(&fx, 1);
    fx_ack(&fx, 0, 1, RT_STDIN, 1, 50000, fx_digest(pattern, 1), 0); /* of bytes never sent */
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    struct rt_attach_msg attach;
    assert_int_equal(fx_take_attach(&fx, 0, &attach), 2);
    fx_close(&fx);
}

static void test_fin_repeats_until_acknowledged(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_catt *att = fx_live(&fx, 1);
    assert_int_equal(rt_catt_write(att, pattern, 10), 10);
    rt_catt_write_end(att);
    assert_int_equal(rt_catt_write(att, pattern, 10), 0);
    (void)fx_take(&fx, 0);
    assert_int_equal(fx_frame(&fx, RT_FIN, 0)->head.offset, 10);
    assert_int_equal(collect(RT_STDIN, 0), 10);
    terms.in[0].a = 10;
    terms.in[0].d = fx_digest(pattern, 10);
    for (unsigned round = 0; round < 2; round++) {
        fx_attached(&fx, 0, fx_cut(&fx, &attach), &terms);
        (void)fx_take(&fx, 0);
        assert_int_equal(fx_frame(&fx, RT_FIN, 0)->head.offset, 10);
        assert_null(fx_frame(&fx, RT_FIN, 1));
        assert_null(fx_frame(&fx, RT_DATA, 0));
    }
    fx_ack(&fx, 0, fx_frame(&fx, RT_FIN, 0)->head.channel, RT_STDIN, 10, 50000, fx_digest(pattern, 10), RT_ACK_FIN);
    terms.in[0].closed = true; /* its own end: no event */
    fx_attached(&fx, 0, fx_cut(&fx, &attach), &terms);
    (void)fx_take(&fx, 0);
    assert_null(fx_frame(&fx, RT_FIN, 0));
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    (void)fx_event(att, RT_CATT_RESUMED);
    fx_quiet(att);
    fx_close(&fx);
}

static void test_guest_closes_input(void **state)
{
    (void)state;
    uint64_t written, applied;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_catt *att = fx_live(&fx, 1);
    assert_int_equal(rt_catt_write(att, pattern, 50000), 50000);
    fx_ack(&fx, 0, 1, RT_STDIN, 0, 32768, fx_digest("", 0), 0);
    (void)fx_take(&fx, 0);
    fx_stop(&fx, 0, 1, 20000);
    assert_int_equal(fx_event(att, RT_CATT_INPUT_CLOSED).from, 20000);
    rt_catt_input(att, &written, &applied);
    assert_int_equal(written, 50000);
    assert_int_equal(applied, 20000);
    assert_int_equal(rt_catt_writable(att), 0);
    rt_catt_write_end(att);
    assert_int_equal(fx_take(&fx, 0), 0);
    uint32_t channel = fx_cut(&fx, &attach);
    assert_int_equal(attach.in[0].a, 20000);
    assert_int_equal(attach.in[0].h, 20000);
    terms.in[0] = (struct rt_attached_in){.s = RT_STDIN, .a = 20000, .d = fx_digest(pattern, 20000), .closed = true};
    fx_attached(&fx, 0, channel, &terms);
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    (void)fx_event(att, RT_CATT_RESUMED);
    fx_quiet(att);
    terms.in[0].a = 30000; /* more than it closed at */
    channel = fx_cut(&fx, &attach);
    fx_attached(&fx, 0, channel, &terms);
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    (void)fx_event(att, RT_CATT_REWOUND);
    fx_close(&fx);
}

static void test_process_without_stdin(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    fx_open(&fx, 1);
    struct rt_catt *att = fx_attach(&fx);
    assert_int_equal(rt_catt_write(att, pattern, 10), 10);
    fx_up(&fx, 0);
    terms.in[0] = terms.in[1];
    terms.n_in = 1;
    fx_attached(&fx, 0, fx_take_attach(&fx, 0, &attach), &terms);
    (void)fx_event(att, RT_CATT_ATTACHED);
    assert_int_equal(fx_event(att, RT_CATT_INPUT_CLOSED).from, 0);
    fx_close(&fx);
}

/* Reads the items out of control-down bytes. */
static size_t items(uint64_t from, uint64_t to, struct rt_down_item *out, size_t max)
{
    size_t n = 0;
    char why[64];
    while (from < to) {
        size_t size = (size_t)sent[from] << 8 | sent[from + 1];
        assert_true(n < max && from + 2 + size <= to);
        assert_int_equal(rt_msg_decode(RT_MSG_DOWN_ITEM, sent + from + 2, size, &out[n++], why, sizeof(why)), 0);
        from += 2 + size;
    }
    return n;
}

static void test_items_in_order_once(void **state)
{
    (void)state;
    static struct rt_down_item got[8];
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    fx_open(&fx, 1);
    struct rt_catt *att = fx_attach(&fx);
    assert_int_equal(rt_catt_resize(att, 1, 1), 0);
    assert_int_equal(rt_catt_resize(att, 2, 2), 0); /* replaces */
    assert_int_equal(rt_catt_signal(att, 2), 0);
    assert_int_equal(rt_catt_resize(att, 3, 3), 0); /* a signal lies between: its own item */
    assert_int_equal(rt_catt_resize(att, 4, 4), 0);
    fx_up(&fx, 0);
    fx_attached(&fx, 0, fx_take_attach(&fx, 0, &attach), &terms);
    (void)fx_take(&fx, 0);
    uint64_t end = collect(RT_CONTROL_DOWN, 0);
    assert_int_equal(items(0, end, got, 8), 3);
    assert_int_equal(got[0].rows, 2);
    assert_int_equal(got[1].sig, 2);
    assert_int_equal(got[2].rows, 4);
    assert_false(rt_catt_applied(att));
    assert_int_equal(rt_catt_resize(att, 5, 5), 0); /* what was sent stays */
    (void)fx_take(&fx, 0);
    uint64_t more = collect(RT_CONTROL_DOWN, end);
    assert_int_equal(items(0, more, got, 8), 4);
    terms.in[1].a = end;
    terms.in[1].d = fx_digest(sent, end);
    fx_attached(&fx, 0, fx_cut(&fx, &attach), &terms);
    (void)fx_take(&fx, 0);
    assert_int_equal(collect(RT_CONTROL_DOWN, end), more);
    fx_ack(&fx, 0, fx_frame(&fx, RT_DATA, 0)->head.channel, RT_CONTROL_DOWN, more, 50000, fx_digest(sent, more), 0);
    assert_true(rt_catt_applied(att));
    fx_close(&fx);
}

static void test_items_have_bounds(void **state)
{
    (void)state;
    struct rt_catt *att = fx_live(&fx, 1);
    int error = 0, n = 0;
    while ((error = rt_catt_signal(att, 2)) == 0) {
        assert_true(++n < RT_CLIENT_INPUT_MAX);
    }
    assert_int_equal(error, RT_ELIMIT);
    assert_true(n > RT_CLIENT_INPUT_MAX / 20);
    fx_close(&fx);
    struct rt_attach_options options = {.cid = "box", .want = 1U << RT_STDOUT};
    fx_open(&fx, 1);
    assert_int_equal(rt_client_attach(fx.client, &options, fx.now, &att), 0);
    assert_int_equal(rt_catt_signal(att, 2), RT_ESTATE);
    assert_int_equal(rt_catt_write(att, "x", 1), 0);
    fx_close(&fx);
}

/* What to run goes before all else, in pieces, behind the first ATTACHED; and goes on where it was applied. */
static void test_run_in_pieces(void **state)
{
    (void)state;
    static uint8_t what[3 * RT_PIECE_MAX];
    static struct rt_down_item got[8];
    struct rt_attach_options options = {.cid = "box", .want = FX_WANT, .exec = true, .tty = true};
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_catt *att;
    fx_open(&fx, 1);
    assert_int_equal(rt_client_attach(fx.client, &options, fx.now, &att), 0);
    assert_int_equal(rt_catt_run(att, what, 2 * RT_PIECE_MAX + 1), 0);
    assert_int_equal(rt_catt_signal(att, 2), 0);
    assert_false(rt_catt_run_is_unsure(att));
    fx_next(&fx);
    fx_up(&fx, 0);
    uint32_t channel = fx_take_attach(&fx, 0, &attach);
    assert_true(attach.make && attach.exec && attach.tty);
    (void)fx_take(&fx, 0);
    assert_null(fx_frame(&fx, RT_DATA, 0));
    fx_refuse(&fx, 0, channel, &(struct rt_refuse_msg){.c = RT_CLASS_LOST}); /* the ATTACHED may have been lost */
    fx_run(&fx, RT_REDIAL_MAX_MS, true);
    channel = fx_take_attach(&fx, 0, &attach);
    assert_true(attach.make && attach.exec);
    terms.in[1].a = 0;
    fx_attached(&fx, 0, channel, &terms);
    (void)fx_take(&fx, 0);
    uint64_t end = collect(RT_CONTROL_DOWN, 0);
    assert_int_equal(end, RT_INITIAL_CREDIT);
    assert_false(rt_catt_run_is_unsure(att)); /* the last piece is still here */
    fx_ack(&fx, 0, channel, RT_CONTROL_DOWN, 0, 50000, fx_digest(sent, 0), 0);
    (void)fx_take(&fx, 0);
    end = collect(RT_CONTROL_DOWN, end);
    assert_int_equal(items(0, end, got, 8), 4);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(got[i].t, RT_ITEM_RUN);
        assert_int_equal(got[i].b.size, i < 2 ? RT_PIECE_MAX : 1);
        assert_int_equal(got[i].last, i == 2);
    }
    assert_int_equal(got[3].t, RT_ITEM_SIGNAL);
    assert_true(rt_catt_run_is_unsure(att));
    uint64_t one = 2 + ((size_t)sent[0] << 8 | sent[1]);
    terms.in[1].a = one;
    terms.in[1].d = fx_digest(sent, one);
    fx_attached(&fx, 0, fx_cut(&fx, &attach), &terms);
    assert_false(attach.make || attach.exec);
    (void)fx_take(&fx, 0);
    assert_int_equal(fx_frame(&fx, RT_DATA, 0)->head.offset, one);
    fx_ack(&fx, 0, fx_frame(&fx, RT_DATA, 0)->head.channel, RT_CONTROL_DOWN, end, 50000, fx_digest(sent, end), 0);
    assert_true(rt_catt_applied(att) && !rt_catt_run_is_unsure(att));
    fx_close(&fx);
}

/* As long as it may be, and other items beside it; one byte more is refused. */
static void test_run_has_bounds(void **state)
{
    (void)state;
    static const uint8_t what[RT_EXEC_MAX + 1];
    struct rt_attach_options options = {.cid = "box", .want = FX_WANT, .exec = true};
    struct rt_catt *att;
    int n = 0;
    fx_open(&fx, 1);
    assert_int_equal(rt_client_attach(fx.client, &options, fx.now, &att), 0);
    assert_int_equal(rt_catt_run(att, what, RT_EXEC_MAX), 0);
    while (rt_catt_signal(att, 2) == 0) {
        n++;
    }
    assert_true(n > RT_CLIENT_INPUT_MAX / 20);
    rt_catt_free(att);
    assert_int_equal(rt_client_attach(fx.client, &options, fx.now, &att), 0);
    assert_int_equal(rt_catt_run(att, what, RT_EXEC_MAX + 1), RT_ELIMIT);
    rt_catt_free(att);
    options.want = 1U << RT_STDOUT;
    assert_int_equal(rt_client_attach(fx.client, &options, fx.now, &att), 0);
    assert_int_equal(rt_catt_run(att, what, 1), RT_ESTATE);
    fx_close(&fx);
}

/* Many attachments, one with a full window: each gets its turn in every batch, control frames before all bytes. */
static void test_turns(void **state)
{
    (void)state;
    enum { N = 8 };
    struct rt_catt *att[N];
    uint32_t channel[N];
    struct rt_attached_msg terms = fx_terms();
    static uint8_t buf[RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX];
    fx_open(&fx, 1);
    for (int i = 0; i < N; i++) {
        att[i] = fx_attach(&fx);
    }
    fx_up(&fx, 0);
    assert_int_equal(fx_take(&fx, 0), N);
    for (unsigned i = 0; i < N; i++) {
        channel[i] = fx.frames[i].head.channel;
        assert_int_equal(channel[i], i + 1);
        fx_attached(&fx, 0, channel[i], &terms);
        fx_ack(&fx, 0, channel[i], RT_STDIN, 0, 32768, fx_digest("", 0), 0);
        assert_int_equal(rt_catt_write(att[i], pattern, 32768), 32768);
    }
    size_t size = rt_client_output(fx.client, 0, buf, sizeof(buf), fx.now);
    uint64_t per[N] = {0};
    bool data = false;
    for (size_t at = 0; at < size;) {
        struct rt_frame head;
        rt_frame_get(buf + at, &head);
        assert_false(data && head.type == RT_ACK);
        data = data || head.type == RT_DATA;
        if (head.type == RT_DATA) {
            per[head.channel - 1] += head.length;
        }
        at += RT_FRAME_HEADER + head.length;
    }
    assert_true(size > sizeof(buf) - 100);
    for (int i = 0; i < 3; i++) {
        assert_true(per[i] >= RT_TX_QUANTUM);
    }
    (void)fx_take(&fx, 0);
    for (size_t i = 0; i < fx.n_frames; i++) {
        per[fx.frames[i].head.channel - 1] += fx.frames[i].head.length;
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(per[i], 32768);
    }
    fx_close(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window_and_limit),
        cmocka_unit_test(test_replay_from_acknowledged),
        cmocka_unit_test(test_resent),
        cmocka_unit_test(test_impossible_applied_is_a_rewind),
        cmocka_unit_test(test_ack_digest_is_checked),
        cmocka_unit_test(test_fin_repeats_until_acknowledged),
        cmocka_unit_test(test_guest_closes_input),
        cmocka_unit_test(test_process_without_stdin),
        cmocka_unit_test(test_items_in_order_once),
        cmocka_unit_test(test_items_have_bounds),
        cmocka_unit_test(test_run_in_pieces),
        cmocka_unit_test(test_run_has_bounds),
        cmocka_unit_test(test_turns),
    };
    return cmocka_run_group_tests(tests, make_pattern, NULL);
}
