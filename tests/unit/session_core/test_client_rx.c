/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/attachment.h"
#include "session/core/client.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/receiver.h"

#include "tests/unit/session_core/client_fixture.h"
#include "tests/unit/session_core/client_streams.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What a client receives: acknowledgements, windows, gaps, ends of streams, and what comes again after a resume. */

static struct fx fx;
static uint8_t pattern[2 * RT_CLIENT_WINDOW], got[2 * RT_CLIENT_WINDOW];

static int make_pattern(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (uint8_t)(i * 2654435761U >> 13);
    }
    return 0;
}

static void test_first_acks_open_the_windows(void **state)
{
    (void)state;
    struct rt_catt *att = fx_live(&fx, 1);
    (void)att;
    fx_assert_ack(&fx, RT_STDOUT, 0, RT_CLIENT_WINDOW, fx_digest("", 0));
    fx_assert_ack(&fx, RT_STDERR, 0, RT_CLIENT_WINDOW, fx_digest("", 0));
    fx_assert_ack(&fx, RT_CONTROL_UP, 0, RT_CLIENT_CONTROL_WINDOW, fx_digest("", 0));
    fx_close(&fx);
}

static void test_received_is_not_consumed(void **state)
{
    (void)state;
    struct rt_catt *att = fx_live(&fx, 1);
    fx_data(&fx, 0, 1, RT_STDOUT, 0, pattern, 60000);
    for (unsigned sent = 60000; sent < RT_CLIENT_WINDOW / 4 + 60000; sent += 60000) {
        fx_data(&fx, 0, 1, RT_STDOUT, sent, pattern + sent, 60000);
    }
    fx_run(&fx, 100, true);
    (void)fx_take(&fx, 0);
    assert_null(fx_ack_of(&fx, RT_STDOUT));
    assert_int_equal(rt_catt_offset(att, RT_STDOUT), 0);
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, 10), 10);
    (void)fx_take(&fx, 0);
    assert_null(fx_ack_of(&fx, RT_STDOUT)); /* little: within 20 ms */
    fx_run(&fx, 20, true);
    (void)fx_take(&fx, 0);
    fx_assert_ack(&fx, RT_STDOUT, 10, RT_CLIENT_WINDOW + 10, fx_digest(pattern, 10));
    fx_run(&fx, 50, true);
    (void)fx_take(&fx, 0);
    assert_null(fx_ack_of(&fx, RT_STDOUT)); /* once */
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, RT_CLIENT_WINDOW / 4), RT_CLIENT_WINDOW / 4);
    (void)fx_take(&fx, 0); /* a quarter: at once */
    fx_assert_ack(&fx, RT_STDOUT, RT_CLIENT_WINDOW / 4 + 10, RT_CLIENT_WINDOW + RT_CLIENT_WINDOW / 4 + 10,
                  fx_digest(pattern, RT_CLIENT_WINDOW / 4 + 10));
    fx_close(&fx);
}

/* What came first is known until it is consumed. */
static void test_order(void **state)
{
    (void)state;
    struct rt_catt *att = fx_live(&fx, 1);
    size_t size;
    fx_data(&fx, 0, 1, RT_STDERR, 0, pattern, 10);
    fx_data(&fx, 0, 1, RT_STDERR, 10, pattern + 10, 5);
    fx_data(&fx, 0, 1, RT_STDOUT, 0, pattern, 20);
    fx_data(&fx, 0, 1, RT_STDERR, 15, pattern + 15, 7);
    assert_int_equal(rt_catt_first(att, &size), RT_STDERR);
    assert_int_equal(size, 15);
    assert_int_equal(fx_read(&fx, att, RT_STDERR, got, 15), 15);
    assert_int_equal(rt_catt_first(att, &size), RT_STDOUT);
    assert_int_equal(size, 20);
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, 20), 20);
    assert_int_equal(rt_catt_first(att, &size), RT_STDERR);
    assert_true(size == SIZE_MAX);
    fx_close(&fx);
}

static void test_window_full_then_reopened_at_once(void **state)
{
    (void)state;
    struct rt_catt *att = fx_live(&fx, 1);
    for (size_t at = 0; at < RT_CLIENT_WINDOW; at += 65536) {
        fx_data(&fx, 0, 1, RT_STDOUT, at, pattern + at, 65536);
    }
    (void)fx_take(&fx, 0);
    assert_null(fx_ack_of(&fx, RT_STDOUT));
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, 1), 1); /* the sender stands: one byte is worth an ACK */
    (void)fx_take(&fx, 0);
    fx_assert_ack(&fx, RT_STDOUT, 1, RT_CLIENT_WINDOW + 1, fx_digest(pattern, 1));
    fx_data(&fx, 0, 1, RT_STDOUT, RT_CLIENT_WINDOW, pattern + RT_CLIENT_WINDOW, 1);
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got + 1, sizeof(got) - 1), RT_CLIENT_WINDOW);
    assert_memory_equal(got, pattern, RT_CLIENT_WINDOW + 1);
    fx_close(&fx);
}

static void test_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_catt *att = fx_live(&fx, 1);
    for (uint32_t channel = 1; channel <= 2; channel++) {
        for (size_t at = 0; at < RT_CLIENT_WINDOW; at += 65536) {
            fx_data(&fx, 0, channel, RT_STDOUT, at, pattern + at, 65536);
        }
        fx_data(&fx, 0, channel, RT_STDOUT, RT_CLIENT_WINDOW, pattern, 1);
        if (channel == 2) {
            break;
        }
        assert_int_equal(fx_event(att, RT_CATT_INTERRUPTED).kind, RT_CATT_INTERRUPTED);
        assert_int_equal(fx_take_attach(&fx, 0, &attach), 2);
        const struct fx_frame *refuse = fx_frame(&fx, RT_REFUSE, 0);
        struct rt_refuse_msg msg;
        char why[64];
        assert_int_equal(rt_msg_decode(RT_MSG_REFUSE, refuse->payload, refuse->head.length, &msg, why, sizeof(why)), 0);
        assert_int_equal(msg.c, RT_CLASS_LIMIT);
        terms.out[0].head = RT_CLIENT_WINDOW;
        fx_attached(&fx, 0, 2, &terms);
        (void)fx_take(&fx, 0);
        assert_int_equal(fx_event(att, RT_CATT_RESUMED).kind, RT_CATT_RESUMED);
    }
    /* the same at the same place: told, after what was received has been read */
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, sizeof(got)), RT_CLIENT_WINDOW);
    assert_int_equal(fx_event(att, RT_CATT_FAILED).cls, RT_CLASS_LIMIT);
    fx_close(&fx);
}

static void test_jump_attaches_again_once(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_catt *att = fx_live(&fx, 1);
    fx_data(&fx, 0, 1, RT_STDOUT, 0, pattern, 10);
    fx_data(&fx, 0, 1, RT_STDOUT, 11, pattern + 11, 10);
    assert_int_equal(fx_take_attach(&fx, 0, &attach), 2);
    assert_int_equal(attach.try_no, 2);
    assert_int_equal(attach.n_out, 3);
    assert_int_equal(attach.out[0].c, 0);
    terms.out[0].head = 100;
    fx_attached(&fx, 0, 2, &terms);
    fx_data(&fx, 0, 2, RT_STDOUT, 0, pattern, 20);
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, sizeof(got)), 20);
    assert_memory_equal(got, pattern, 20);
    fx_data(&fx, 0, 2, RT_STDOUT, 21, pattern, 1); /* elsewhere: once more */
    fx_run(&fx, 10, true);
    assert_int_equal(fx_take_attach(&fx, 0, &attach), 3);
    terms.out[0].c = 20;
    fx_attached(&fx, 0, 3, &terms);
    fx_data(&fx, 0, 3, RT_STDOUT, 21, pattern, 1);
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    assert_int_equal(fx_event(att, RT_CATT_FAILED).cls, RT_CLASS_JUMP);
    fx_quiet(att);
    fx_close(&fx);
}

/* Cut after `have` of 40 bytes came and `read` of them were consumed; all comes again from there, in pieces. */
static void resume_at(size_t have, size_t read, size_t piece)
{
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_catt *att = fx_live(&fx, 1);
    memset(got, 0, sizeof(got));
    if (have > 0) {
        fx_data(&fx, 0, 1, RT_STDOUT, 0, pattern, have);
    }
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, read), read);
    uint32_t channel = fx_cut(&fx, &attach);
    assert_int_equal(attach.out[0].c, read);
    assert_int_equal(attach.out[0].df, 0);
    assert_int_equal(attach.out[0].d, fx_digest(pattern, read));
    terms.out[0].c = read;
    terms.out[0].head = 40;
    fx_attached(&fx, 0, channel, &terms);
    for (size_t at = read; at < 40; at += piece) {
        fx_data(&fx, 0, channel, RT_STDOUT, at, pattern + at, 40 - at < piece ? 40 - at : piece);
    }
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got + read, sizeof(got) - read), 40 - read);
    assert_memory_equal(got, pattern, 40);
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    (void)fx_event(att, RT_CATT_RESUMED);
    fx_quiet(att);
    fx_run(&fx, 20, true);
    (void)fx_take(&fx, 0);
    fx_assert_ack(&fx, RT_STDOUT, 40, RT_CLIENT_WINDOW + 40, fx_digest(pattern, 40));
    fx_close(&fx);
}

static void test_duplicates_at_every_boundary(void **state)
{
    (void)state;
    for (size_t have = 0; have <= 40; have += 4) {
        for (size_t read = 0; read <= have; read += 3) {
            for (size_t piece = 1; piece <= 40; piece += 13) {
                resume_at(have, read, piece);
            }
        }
    }
}

static void test_frames_cut_at_every_byte(void **state)
{
    (void)state;
    uint8_t frame[RT_FRAME_HEADER + 7];
    rt_frame_put(frame, &(struct rt_frame){.length = 7, .type = RT_DATA, .stream = RT_STDOUT, .channel = 1});
    memcpy(frame + RT_FRAME_HEADER, pattern, 7);
    for (size_t cut = 0; cut < sizeof(frame); cut++) {
        struct rt_catt *att = fx_live(&fx, 1);
        assert_int_equal(rt_client_input(fx.client, 0, frame, cut, fx.now), 0);
        assert_int_equal(rt_client_input(fx.client, 0, frame, sizeof(frame), fx.now), sizeof(frame));
        assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, sizeof(got)), 7);
        fx_close(&fx);
    }
}

/* What was received from one past of the guest and not consumed is not mixed with another's. */
static void test_two_pasts_are_not_mixed(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_catt *att = fx_live(&fx, 1);
    fx_data(&fx, 0, 1, RT_STDOUT, 0, pattern, 40);
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, 10), 10);
    uint32_t channel = fx_cut(&fx, &attach);
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, 10), 0); /* the cursor is under way */
    terms.out[0].c = 10;
    terms.out[0].head = 20;
    fx_attached(&fx, 0, channel, &terms);
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, 10), 0);
    fx_data(&fx, 0, channel, RT_STDOUT, 10, pattern + 100, 20);
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, sizeof(got)), 20);
    assert_memory_equal(got, pattern + 100, 20);
    fx_close(&fx);
}

/* A resume that is answered by the end leaves what was received to be read. */
static void test_end_while_resuming_keeps_what_came(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_catt *att = fx_live(&fx, 1);
    fx_data(&fx, 0, 1, RT_STDOUT, 0, pattern, 40);
    fx_gap(&fx, 0, 1, RT_STDOUT, 40, 50);
    uint32_t channel = fx_cut(&fx, &attach);
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    fx_refuse(&fx, 0, channel, &(struct rt_refuse_msg){.c = RT_CLASS_ENDED, .code = 1});
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, sizeof(got)), 40);
    (void)fx_event(att, RT_CATT_GAP);
    assert_int_equal(fx_event(att, RT_CATT_FAILED).code, 1);
    fx_close(&fx);
}

/* On one channel nothing comes twice: bytes below the next offset are another past's, so the digests are compared anew.
 */
static void test_overlaps_attach_again(void **state)
{
    (void)state;
    for (size_t back = 1; back <= 20; back++) {
        struct rt_attach_msg attach;
        struct rt_catt *att = fx_live(&fx, 1);
        fx_data(&fx, 0, 1, RT_STDOUT, 0, pattern, 20);
        assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, 10), 10);
        fx_data(&fx, 0, 1, RT_STDOUT, 20 - back, pattern + 100, 20);
        assert_int_equal(fx_take_attach(&fx, 0, &attach), 2);
        assert_int_equal(attach.out[0].c, 10);
        assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, sizeof(got)), 0);
        fx_close(&fx);
    }
}

static void test_gap_in_stream_order(void **state)
{
    (void)state;
    struct rt_catt *att = fx_live(&fx, 1);
    fx_data(&fx, 0, 1, RT_STDOUT, 0, pattern, 10);
    fx_gap(&fx, 0, 1, RT_STDOUT, 10, 5000000);
    (void)fx_take(&fx, 0); /* the gap went past the limit: a new one at once */
    fx_assert_ack(&fx, RT_STDOUT, 0, 5000000 + RT_CLIENT_WINDOW - 10, fx_digest("", 0));
    fx_data(&fx, 0, 1, RT_STDOUT, 5000000, pattern, 5);
    fx_quiet(att);
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, sizeof(got)), 10);
    struct rt_catt_event event = fx_event(att, RT_CATT_GAP);
    assert_int_equal(event.stream, RT_STDOUT);
    assert_int_equal(event.from, 10);
    assert_int_equal(event.to, 5000000);
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, sizeof(got)), 5);
    assert_int_equal(rt_catt_offset(att, RT_STDOUT), 5000005);
    fx_run(&fx, 20, true);
    (void)fx_take(&fx, 0); /* the digest started anew after the gap */
    fx_assert_ack(&fx, RT_STDOUT, 5000005, 5000005 + RT_CLIENT_WINDOW, fx_digest(pattern, 5));
    fx_close(&fx);
}

/* After a resume a gap may cover what was buffered: told whole, and the digest starts anew at its end. */
static void test_gap_after_resume(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    for (uint64_t to = 20; to <= 60; to += 20) {
        struct rt_catt *att = fx_live(&fx, 1);
        fx_data(&fx, 0, 1, RT_STDOUT, 0, pattern, 40);
        assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, 10), 10);
        uint32_t channel = fx_cut(&fx, &attach);
        terms.out[0].c = to == 60 ? 60 : 10; /* a greater start needs the gap as well */
        terms.out[0].head = 100;
        fx_attached(&fx, 0, channel, &terms);
        (void)fx_take(&fx, 0);
        fx_gap(&fx, 0, channel, RT_STDOUT, 10, to);
        fx_data(&fx, 0, channel, RT_STDOUT, to, pattern + to, 100 - to);
        (void)fx_event(att, RT_CATT_INTERRUPTED);
        (void)fx_event(att, RT_CATT_RESUMED);
        struct rt_catt_event event = fx_event(att, RT_CATT_GAP);
        assert_int_equal(event.from, 10);
        assert_int_equal(event.to, to);
        assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, sizeof(got)), 100 - to);
        assert_memory_equal(got, pattern + to, 100 - to);
        fx_quiet(att);
        fx_run(&fx, 20, true);
        (void)fx_take(&fx, 0);
        fx_assert_ack(&fx, RT_STDOUT, 100, 100 + RT_CLIENT_WINDOW, fx_digest(pattern + to, 100 - to));
        fx_close(&fx);
    }
}

/* More gaps than are kept: bytes are given up into them, exactly. */
static void test_many_gaps_join(void **state)
{
    (void)state;
    struct rt_catt *att = fx_live(&fx, 1);
    uint64_t at = 0, lost = 0, read = 0;
    unsigned gaps = 0;
    for (unsigned i = 0; i < 3 * RT_GAPS_MAX; i++) {
        fx_data(&fx, 0, 1, RT_STDOUT, at, pattern + at, 10);
        fx_gap(&fx, 0, 1, RT_STDOUT, at + 10, at + 15);
        at += 15;
    }
    fx_data(&fx, 0, 1, RT_STDOUT, at, pattern + at, 10);
    at += 10;
    while (read + lost < at) {
        uint64_t offset = rt_catt_offset(att, RT_STDOUT);
        size_t n = fx_read(&fx, att, RT_STDOUT, got, sizeof(got));
        assert_memory_equal(got, pattern + offset, n);
        read += n;
        struct rt_catt_event event;
        if (!rt_catt_event(att, &event)) {
            break;
        }
        assert_int_equal(event.kind, RT_CATT_GAP);
        assert_int_equal(event.from, read + lost);
        lost += event.to - event.from;
        gaps++;
    }
    assert_int_equal(read + lost, at);
    assert_int_equal(gaps, RT_GAPS_MAX);
    fx_close(&fx);
}

static void test_fin_and_its_ack(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_catt *att = fx_live(&fx, 1);
    fx_data(&fx, 0, 1, RT_STDOUT, 0, pattern, 10);
    fx_fin(&fx, 0, 1, RT_STDOUT, 10);
    fx_quiet(att);
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, sizeof(got)), 10);
    assert_int_equal(fx_event(att, RT_CATT_EOF).from, 10);
    (void)fx_take(&fx, 0);
    assert_int_equal(fx_ack_of(&fx, RT_STDOUT)->head.flags, RT_ACK_FIN);
    uint32_t channel = fx_cut(&fx, &attach); /* that ACK may be lost: FIN comes again and is acknowledged again */
    terms.out[0].c = terms.out[0].head = 10;
    fx_attached(&fx, 0, channel, &terms);
    (void)fx_take(&fx, 0);
    fx_fin(&fx, 0, channel, RT_STDOUT, 10);
    (void)fx_take(&fx, 0);
    assert_int_equal(fx_ack_of(&fx, RT_STDOUT)->head.flags, RT_ACK_FIN);
    fx_data(&fx, 0, channel, RT_STDOUT, 10, pattern, 1); /* beyond its own end */
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    assert_int_equal(fx_event(att, RT_CATT_REWOUND).from, 10);
    fx_close(&fx);
}

static void test_nothing_after_rewound(void **state)
{
    (void)state;
    struct rt_catt *att = fx_live(&fx, 1);
    size_t size;
    fx_data(&fx, 0, 1, RT_STDOUT, 0, pattern, 10);
    fx_gap(&fx, 0, 1, RT_STDOUT, 10, 20);
    fx_data(&fx, 0, 1, RT_STDOUT, 20, pattern + 20, 10);
    fx_fin(&fx, 0, 1, RT_STDOUT, 25); /* less than it sent: what is buffered belongs to another past */
    assert_int_equal(fx_event(att, RT_CATT_REWOUND).from, 25);
    assert_null(rt_catt_peek(att, RT_STDOUT, &size));
    assert_int_equal(size, 0);
    fx_quiet(att);
    fx_close(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_acks_open_the_windows),
        cmocka_unit_test(test_received_is_not_consumed),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_window_full_then_reopened_at_once),
        cmocka_unit_test(test_beyond_the_limit_is_refused),
        cmocka_unit_test(test_jump_attaches_again_once),
        cmocka_unit_test(test_duplicates_at_every_boundary),
        cmocka_unit_test(test_frames_cut_at_every_byte),
        cmocka_unit_test(test_two_pasts_are_not_mixed),
        cmocka_unit_test(test_end_while_resuming_keeps_what_came),
        cmocka_unit_test(test_overlaps_attach_again),
        cmocka_unit_test(test_gap_in_stream_order),
        cmocka_unit_test(test_gap_after_resume),
        cmocka_unit_test(test_many_gaps_join),
        cmocka_unit_test(test_fin_and_its_ack),
        cmocka_unit_test(test_nothing_after_rewound),
    };
    return cmocka_run_group_tests(tests, make_pattern, NULL);
}
