/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/base/slice.h"
#include "session/core/attachment.h"
#include "session/core/client_att.h"
#include "session/core/client_machine.h"
#include "session/core/frame.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include "tests/unit/session_core/client_fixture.h"
#include "tests/unit/session_core/client_streams.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Attaching: every refusal in every state, giving up, bad terms and options. */

static struct fx fx;

/* What an attachment must do after a refusal. */
enum after { AGAIN, FAILED, REWOUND, UNHEARD /* nobody may say it there */ };

static struct rt_refuse_msg refusal(uint64_t cls)
{
    return (struct rt_refuse_msg){.c = cls, .m = rt_slice_text("because"), .code = 4, .s = 1, .at = 2, .got = 3};
}

static enum after expected(uint64_t cls, bool attached)
{
    switch (cls) {
    case RT_CLASS_RETRY_LATER:
    case RT_CLASS_MOVED: /* not newer */
    case RT_CLASS_LOST:
    case RT_CLASS_JUMP:
        return AGAIN;
    case RT_CLASS_NOT_FOUND:
    case RT_CLASS_LIMIT:
    case RT_CLASS_PROTOCOL:
        return attached ? AGAIN : FAILED;
    case RT_CLASS_REWOUND:
        return REWOUND;
    case RT_CLASS_STALE: /* of a guest's link */
    case RT_CLASS_FORKED:
    case RT_CLASS_SUPERSEDED:
    case RT_CLASS_BAD_AUTH:
    case RT_CLASS_VERSION:
        return UNHEARD;
    default:
        return cls < RT_CLASSES ? FAILED : UNHEARD;
    }
}

static void check_after(struct rt_catt *att, uint64_t cls, bool attached)
{
    struct rt_attach_msg attach;
    enum after after = expected(cls, attached);
    struct rt_catt_event event;
    fx_run(&fx, 10, true);
    if (after == AGAIN) {
        assert_int_equal(fx_take_attach(&fx, 0, &attach), attached ? 3 : 2);
        return;
    }
    (void)fx_take(&fx, 0);
    assert_null(fx_frame(&fx, RT_ATTACH, 0));
    do {
        assert_true(rt_catt_event(att, &event));
    } while (event.kind == RT_CATT_INTERRUPTED);
    assert_int_equal(event.kind, after == REWOUND ? RT_CATT_REWOUND : RT_CATT_FAILED);
    if (after == UNHEARD) {
        assert_int_equal(event.cls, RT_CLASS_PROTOCOL);
        assert_int_equal(event.code, 0);
    } else if (after == FAILED) {
        assert_int_equal(event.cls, cls);
        assert_string_equal(event.text, "because");
        assert_int_equal(event.code, 4);
    } else {
        assert_int_equal(event.stream, 1);
        assert_int_equal(event.from, 2);
    }
    fx_quiet(att);
    fx_run(&fx, 61000, true);
    (void)fx_take(&fx, 0);
    assert_int_equal(fx.n_frames, 0);
    assert_int_equal(fx.slot[0].hangups, 1); /* unused for a minute */
}

static void test_every_class_when_first_asked(void **state)
{
    (void)state;
    for (uint64_t cls = 1; cls < RT_CLASSES + 2; cls++) {
        struct rt_attach_msg attach;
        struct rt_refuse_msg msg = refusal(cls);
        fx_open(&fx, 1);
        struct rt_catt *att = fx_attach(&fx);
        fx_up(&fx, 0);
        fx_refuse(&fx, 0, fx_take_attach(&fx, 0, &attach), &msg);
        check_after(att, cls, false);
        fx_close(&fx);
    }
}

static void test_every_class_when_live_and_asked_again(void **state)
{
    (void)state;
    for (uint64_t cls = 1; cls < RT_CLASSES + 2; cls++) {
        struct rt_attach_msg attach;
        struct rt_refuse_msg lost = {.c = RT_CLASS_LOST}, msg = refusal(cls);
        struct rt_catt *att = fx_live(&fx, 1);
        fx_refuse(&fx, 0, 1, &lost);
        (void)fx_event(att, RT_CATT_INTERRUPTED);
        assert_int_equal(fx_take_attach(&fx, 0, &attach), 2);
        fx_refuse(&fx, 0, 2, &msg);
        check_after(att, cls, true);
        fx_close(&fx);

        att = fx_live(&fx, 1);
        fx_refuse(&fx, 0, 1, &lost);
        assert_int_equal(fx_take_attach(&fx, 0, &attach), 2);
        struct rt_attached_msg terms = fx_terms();
        fx_attached(&fx, 0, 2, &terms);
        (void)fx_take(&fx, 0);
        fx_refuse(&fx, 0, 2, &msg); /* live */
        check_after(att, cls, true);
        fx_close(&fx);
    }
}

static void test_ended_waits_for_the_reader(void **state)
{
    (void)state;
    uint8_t buf[16];
    struct rt_catt *att = fx_live(&fx, 1);
    fx_data(&fx, 0, 1, RT_STDERR, 0, "last words", 10);
    fx_refuse(&fx, 0, 1, &(struct rt_refuse_msg){.c = RT_CLASS_ENDED, .sig = 15});
    fx_quiet(att);
    assert_int_equal(fx_read(&fx, att, RT_STDERR, buf, sizeof(buf)), 10);
    struct rt_catt_event event = fx_event(att, RT_CATT_FAILED);
    assert_int_equal(event.sig, 15);
    assert_string_equal(event.text, "ENDED");
    fx_close(&fx);
}

static void test_give_up(void **state)
{
    (void)state;
    struct rt_attach_options options = {.cid = "box", .want = FX_WANT, .give_up_ms = 700};
    struct rt_catt *att;
    fx_open(&fx, 1);
    assert_int_equal(rt_client_attach(fx.client, &options, fx.now, &att), 0);
    fx_run(&fx, 699, true);
    fx_quiet(att);
    fx_run(&fx, 1, true);
    assert_int_equal(fx_event(att, RT_CATT_FAILED).cls, RT_CLASS_LOST);
    fx_close(&fx);
    fx_open(&fx, 1);
    assert_int_equal(rt_client_attach(fx.client, &options, fx.now, &att), 0);
    fx_up(&fx, 0);
    struct rt_attach_msg attach;
    struct rt_refuse_msg msg = {.c = RT_CLASS_RETRY_LATER, .m = rt_slice_text("no guest yet")};
    fx_refuse(&fx, 0, fx_take_attach(&fx, 0, &attach), &msg);
    fx_run(&fx, 700, true);
    struct rt_catt_event event = fx_event(att, RT_CATT_FAILED);
    assert_int_equal(event.cls, RT_CLASS_RETRY_LATER);
    assert_string_equal(event.text, "no guest yet");
    fx_close(&fx);
}

/* An operator says whose container it is: the longest name there is goes out as it was given. */
static void test_whole_name(void **state)
{
    (void)state;
    struct rt_attach_options options = {.want = FX_WANT};
    struct rt_catt *att;
    struct rt_attach_msg attach;
    memset(options.cid, 'c', RT_WHOLE_NAME_MAX);
    options.cid[RT_TENANT_MAX] = '/';
    fx_open(&fx, 1);
    assert_int_equal(rt_client_attach(fx.client, &options, fx.now, &att), 0);
    fx_up(&fx, 0);
    (void)fx_take_attach(&fx, 0, &attach);
    assert_true(rt_slice_equal(attach.cid, rt_slice_text(options.cid)));
    fx_close(&fx);
}

static void test_free_says_detach(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_catt *att = fx_live(&fx, 1);
    rt_catt_free(att);
    assert_int_equal(fx_take(&fx, 0), 1);
    assert_int_equal(fx.frames[0].head.type, RT_DETACH);
    assert_int_equal(fx.frames[0].head.channel, 1);
    fx_data(&fx, 0, 1, RT_STDOUT, 0, "x", 1); /* under way: dropped */
    att = fx_attach(&fx);
    rt_catt_free(att); /* before ATTACH went out: nothing to say */
    assert_int_equal(fx_take(&fx, 0), 0);
    att = fx_attach(&fx);
    assert_int_equal(fx_take_attach(&fx, 0, &attach), 2);
    rt_catt_free(att);
    assert_int_equal(fx_take(&fx, 0), 1);
    assert_int_equal(fx.slot[0].hangups, 0);
    fx_close(&fx);
}

static void test_bad_attached(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg good = fx_terms(), bad[6];
    good.out[0].c = good.out[0].head = 5; /* what it has consumed */
    for (unsigned i = 0; i < 6; i++) {
        bad[i] = good;
    }
    bad[0].n_out = 2;    /* a wanted stream is missing */
    bad[1].out[0].c = 4; /* starts before what was asked */
    bad[2].out[0].head = 2;
    bad[2].out[0].c = 5; /* the guest has less than was consumed */
    bad[3].out[1].s = RT_STDOUT;
    bad[4].in[1].s = RT_STDIN;
    bad[5].in[1].s = RT_STDERR;
    for (unsigned i = 0; i < 6; i++) {
        uint8_t buf[8];
        struct rt_catt *att = fx_live(&fx, 1);
        fx_data(&fx, 0, 1, RT_STDOUT, 0, "hello", 5);
        assert_int_equal(fx_read(&fx, att, RT_STDOUT, buf, sizeof(buf)), 5);
        uint32_t channel = fx_cut(&fx, &attach);
        fx_attached(&fx, 0, channel, &bad[i]);
        (void)fx_event(att, RT_CATT_INTERRUPTED);
        if (i == 2) {
            assert_int_equal(fx_event(att, RT_CATT_REWOUND).from, 2);
        } else {
            fx_run(&fx, 20, true);
            assert_int_equal(fx_take_attach(&fx, 0, &attach), channel + 1);
            fx_attached(&fx, 0, channel + 1, &bad[i]);
            assert_int_equal(fx_event(att, RT_CATT_FAILED).cls, RT_CLASS_PROTOCOL);
        }
        fx_close(&fx);
    }
}

/* One that cannot be read ends its own attachment alone. */
static void test_unreadable_attached(void **state)
{
    (void)state;
    static const uint8_t junk[] = {0xc1};
    struct rt_attach_msg attach;
    struct rt_catt *other = fx_live(&fx, 1), *att = fx_attach(&fx);
    uint32_t channel = fx_take_attach(&fx, 0, &attach);
    fx_send(&fx, 0, (struct rt_frame){.type = RT_ATTACHED, .channel = channel, .length = sizeof(junk)}, junk);
    assert_int_equal(fx_event(att, RT_CATT_FAILED).cls, RT_CLASS_PROTOCOL);
    assert_int_equal(rt_catt_write(other, "abc", 3), 3);
    (void)fx_take(&fx, 0);
    assert_int_equal(fx_frame(&fx, RT_REFUSE, 0)->head.channel, channel);
    assert_int_equal(fx_frame(&fx, RT_DATA, 0)->head.channel, 1);
    fx_close(&fx);
}

/* A guest may say that its streams stand at the last offset there is, at once or by a gap. What the client answers is
 * within the bounds: else the agent would end its link, and with that what else is attached there. */
static void test_offsets_at_the_bound(void **state)
{
    (void)state;
    const uint64_t last = RT_COUNTER_MAX - 1;
    for (unsigned by_gap = 0; by_gap < 2; by_gap++) {
        struct rt_attach_msg attach;
        struct rt_attached_msg terms = fx_terms();
        const char *why = "";
        (void)fx_live(&fx, 1);
        (void)fx_attach(&fx);
        uint32_t channel = fx_take_attach(&fx, 0, &attach);
        for (unsigned i = 0; by_gap == 0 && i < 3; i++) {
            terms.out[i].c = terms.out[i].head = last;
        }
        fx_attached(&fx, 0, channel, &terms);
        for (uint16_t s = RT_STDOUT; by_gap == 1 && s <= RT_CONTROL_UP; s++) {
            uint8_t to[8];
            rt_put_u64(to, last);
            fx_send(&fx, 0, (struct rt_frame){.length = 8, .type = RT_GAP, .stream = s, .channel = channel}, to);
        }
        (void)fx_take(&fx, 0);
        unsigned acks = 0;
        for (size_t i = 0; i < fx.n_frames; i++) {
            assert_int_equal(rt_frame_check(&fx.frames[i].head, RT_WAY_CLIENT_AGENT, &why), 0);
            assert_int_equal(rt_frame_check_numbers(&fx.frames[i].head, fx.frames[i].payload, &why), 0);
            acks += fx.frames[i].head.type == RT_ACK && fx.frames[i].head.channel == channel;
        }
        assert_int_equal(acks, 3);
        fx_close(&fx);
    }
}

#define STEP (UINT64_C(1) << 20)

static struct rt_catt *steal(struct rt_attach_msg *attach)
{
    struct rt_attach_options options = {.cid = "box", .id = {9}, .want = FX_WANT, .steal = true};
    struct rt_catt *att;
    fx_open(&fx, 1);
    assert_int_equal(rt_client_attach(fx.client, &options, fx.now, &att), 0);
    fx_up(&fx, 0);
    fx_run(&fx, 20, true);
    assert_int_equal(fx_take_attach(&fx, 0, attach), 1);
    assert_true(attach->take && !attach->make);
    assert_int_equal(attach->try_no, 1);
    return att;
}

static void stolen(uint32_t channel, uint64_t newest)
{
    fx_refuse(&fx, 0, channel, &(struct rt_refuse_msg){.c = RT_CLASS_STOLEN, .try_no = newest});
}

/* However often an attachment was taken: the newest try is named, and the next above it leaves room for attempts of
 * who had it that no guest has seen. */
static void test_steal_goes_above(void **state)
{
    (void)state;
    static const uint64_t newest[] = {1, 7, STEP << 30};
    struct rt_attach_msg attach;
    for (size_t i = 0; i < sizeof(newest) / sizeof(newest[0]); i++) {
        struct rt_attached_msg terms = fx_terms();
        (void)steal(&attach);
        stolen(1, newest[i]);
        fx_run(&fx, 20, true);
        assert_int_equal(fx_take_attach(&fx, 0, &attach), 2);
        assert_true(attach.take);
        assert_int_equal(attach.try_no, newest[i] + STEP);
        fx_attached(&fx, 0, 2, &terms);
        fx_refuse(&fx, 0, 2, &(struct rt_refuse_msg){.c = RT_CLASS_LOST});
        fx_run(&fx, 20, true);
        (void)fx_take_attach(&fx, 0, &attach);
        assert_false(attach.take);
        assert_int_equal(attach.try_no, newest[i] + STEP + 1);
        fx_close(&fx);
    }
}

/* It ends: for who lies about the newest try, or raises it each time, and for who was thrown out by the next. */
static void test_steal_ends(void **state)
{
    (void)state;
    static const uint64_t newest[] = {0, RT_COUNTER_MAX - STEP, RT_COUNTER_MAX - 1};
    struct rt_attach_msg attach;
    struct rt_catt *att;
    for (size_t i = 0; i < sizeof(newest) / sizeof(newest[0]); i++) {
        att = steal(&attach);
        stolen(1, newest[i]);
        assert_int_equal(fx_event(att, RT_CATT_FAILED).cls, RT_CLASS_STOLEN);
        fx_close(&fx);
    }
    att = steal(&attach);
    stolen(1, 500);
    fx_run(&fx, 20, true);
    stolen(fx_take_attach(&fx, 0, &attach), 500); /* below its own by now */
    assert_int_equal(fx_event(att, RT_CATT_FAILED).cls, RT_CLASS_STOLEN);
    fx_close(&fx);
    att = steal(&attach);
    stolen(1, 500);
    for (unsigned i = 1; i < 8; i++) {
        fx_run(&fx, 2000, true);
        uint32_t channel = fx_take_attach(&fx, 0, &attach);
        fx_quiet(att);
        stolen(channel, attach.try_no + 3);
    }
    fx_run(&fx, 2000, true);
    uint32_t last = fx_take_attach(&fx, 0, &attach);
    stolen(last, attach.try_no + 3);
    assert_int_equal(fx_event(att, RT_CATT_FAILED).cls, RT_CLASS_STOLEN);
    fx_close(&fx);
}

static void test_steal(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_refuse_msg msg = {.c = RT_CLASS_STOLEN};
    struct rt_catt *att = steal(&attach);
    assert_int_equal(rt_catt_writable(att), 0); /* where its input begins is the guest's to say */
    terms.in[0].a = 4000;
    fx_attached(&fx, 0, 1, &terms);
    (void)fx_event(att, RT_CATT_ATTACHED);
    assert_int_equal(rt_catt_write(att, "abc", 3), 3);
    (void)fx_take(&fx, 0);
    assert_int_equal(fx_frame(&fx, RT_DATA, 0)->head.offset, 4000);
    fx_ack(&fx, 0, 1, RT_STDIN, 4003, 50000, fx_digest("abc", 3), 0);
    fx_quiet(att);
    fx_refuse(&fx, 0, 1, &msg); /* stolen back */
    assert_int_equal(fx_event(att, RT_CATT_FAILED).cls, RT_CLASS_STOLEN);
    fx_close(&fx);
}

static void test_invalid_options(void **state)
{
    (void)state;
    struct rt_catt *att;
    struct rt_attach_options good = {.cid = "box", .want = FX_WANT}, bad[6];
    for (unsigned i = 0; i < 6; i++) {
        bad[i] = good;
    }
    bad[0].cid[0] = '-';
    bad[1].want = 1U << RT_STREAMS;
    bad[2].steal = true;
    bad[3].proc = (uint64_t)RT_PROC_MAX + 1;
    bad[4].n = RT_COUNTER_MAX;
    memset(bad[5].cid, 'x', sizeof(bad[5].cid));
    fx_open(&fx, 1);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(rt_client_attach(fx.client, &bad[i], fx.now, &att), RT_EINVAL);
    }
    for (unsigned i = 0; i < RT_CLIENT_ATTS_MAX; i++) {
        assert_int_equal(rt_client_attach(fx.client, &good, fx.now, &att), 0);
    }
    assert_int_equal(rt_client_attach(fx.client, &good, fx.now, &att), RT_ELIMIT);
    fx_close(&fx);
}

/* What ATTACHED tells is the newest claim known: no agent sends the client back to it, nor to an older one. */
static void test_claim_of_attached(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    (void)fx_live(&fx, 1);
    for (uint64_t epoch = 1; epoch < 4; epoch++) {
        uint32_t channel = fx_cut(&fx, &attach);
        assert_int_equal(attach.klife, 5);
        assert_int_equal(attach.kepoch, epoch);
        terms.epoch = epoch + 1;
        fx_attached(&fx, 0, channel, &terms);
    }
    fx_close(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claim_of_attached),
        cmocka_unit_test(test_every_class_when_first_asked),
        cmocka_unit_test(test_every_class_when_live_and_asked_again),
        cmocka_unit_test(test_ended_waits_for_the_reader),
        cmocka_unit_test(test_give_up),
        cmocka_unit_test(test_whole_name),
        cmocka_unit_test(test_free_says_detach),
        cmocka_unit_test(test_bad_attached),
        cmocka_unit_test(test_offsets_at_the_bound),
        cmocka_unit_test(test_unreadable_attached),
        cmocka_unit_test(test_steal_goes_above),
        cmocka_unit_test(test_steal_ends),
        cmocka_unit_test(test_steal),
        cmocka_unit_test(test_invalid_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
