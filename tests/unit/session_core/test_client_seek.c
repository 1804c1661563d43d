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

/* Where a client looks for its guest: moves, lost links, other agents, rounds of them, back-off. */

static struct fx fx;

static struct rt_refuse_msg moved(const char *host, const char *addr, uint64_t life, uint64_t epoch)
{
    return (struct rt_refuse_msg){.c = RT_CLASS_MOVED,
                                  .host = rt_slice_text(host),
                                  .addr = {rt_slice_text(addr)},
                                  .n_addr = 1,
                                  .life = life,
                                  .epoch = epoch};
}

static void test_moved_is_followed_when_newer(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_refuse_msg msg = moved("h1", "unix:/new", 5, 9);
    struct rt_catt *att = fx_live(&fx, 1);
    fx_refuse(&fx, 0, 1, &msg);
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    assert_int_equal(fx.slot[1].dials, 1);
    assert_string_equal(fx.slot[1].addr, "unix:/new");
    assert_int_equal(fx_take(&fx, 0), 0);
    fx_up(&fx, 1);
    assert_int_equal(fx_take_attach(&fx, 1, &attach), 1);
    assert_true(!attach.make && !attach.take);
    assert_int_equal(attach.try_no, 2);
    assert_int_equal(attach.klife, 5);
    assert_int_equal(attach.kepoch, 9);
    fx_attached(&fx, 1, 1, &terms);
    struct rt_catt_event event = fx_event(att, RT_CATT_RESUMED);
    assert_string_equal(event.host, "h1");
    assert_int_equal(event.epoch, 9);
    (void)fx_take(&fx, 1);
    /* older and equal news lead nowhere */
    for (unsigned i = 0; i < 2; i++) {
        msg = moved("h0", "unix:/a0", 5, 9 - i);
        fx_refuse(&fx, 1, i + 1, &msg);
        fx_run(&fx, 20, true);
        assert_int_equal(fx_take(&fx, 0), 0);
        assert_int_equal(fx_take_attach(&fx, 1, &attach), i + 2);
        assert_int_equal(attach.kepoch, 9);
        fx_attached(&fx, 1, i + 2, &terms);
        (void)fx_take(&fx, 1);
    }
    msg = moved("h0", "", 6, 1);
    msg.n_addr = 0; /* known by name */
    fx_refuse(&fx, 1, 3, &msg);
    fx_run(&fx, 20, true);
    assert_int_equal(fx_take_attach(&fx, 0, &attach), 2);
    assert_int_equal(attach.klife, 6);
    fx_close(&fx);
}

static void test_another_life_is_a_rewind(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_catt *att = fx_live(&fx, 1);
    uint32_t channel = fx_cut(&fx, &attach);
    terms.life = 6;
    fx_attached(&fx, 0, channel, &terms);
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    (void)fx_event(att, RT_CATT_REWOUND);
    fx_close(&fx);
}

static void test_link_lost_in_every_state(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    fx_open(&fx, 1);
    struct rt_catt *att = fx_attach(&fx);
    fx_lost(&fx, 0); /* dialling */
    fx_run(&fx, 20, true);
    fx_up(&fx, 0);
    assert_int_equal(fx_take_attach(&fx, 0, &attach), 1);
    fx_lost(&fx, 0); /* asked */
    fx_run(&fx, 20, true);
    fx_up(&fx, 0);
    assert_int_equal(fx_take_attach(&fx, 0, &attach), 1);
    assert_true(attach.make && !attach.take);
    assert_int_equal(attach.try_no, 2);
    fx_attached(&fx, 0, 1, &terms);
    (void)fx_event(att, RT_CATT_ATTACHED);
    assert_int_equal(fx_cut(&fx, &attach), 1); /* live */
    assert_int_equal(attach.try_no, 3);
    fx_lost(&fx, 0); /* asked to resume */
    fx_run(&fx, 1000, true);
    fx_up(&fx, 0);
    assert_int_equal(fx_take_attach(&fx, 0, &attach), 1);
    assert_int_equal(attach.try_no, 4);
    fx_attached(&fx, 0, 1, &terms);
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    (void)fx_event(att, RT_CATT_RESUMED);
    fx_quiet(att);
    fx_close(&fx);
}

/* The serving agent's link is lost: another live one is asked at once, and left again when the first returns. */
static void test_other_agent_meanwhile(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    fx_open(&fx, 2);
    struct rt_catt *att = fx_attach(&fx);
    fx_run(&fx, 250, true); /* a dial that hangs: the second is dialled as well */
    assert_true(fx.slot[0].dialing && fx.slot[1].dialing);
    fx_up(&fx, 1);
    fx_attached(&fx, 1, fx_take_attach(&fx, 1, &attach), &terms);
    (void)fx_event(att, RT_CATT_ATTACHED);
    (void)fx_take(&fx, 1);
    fx_up(&fx, 0);
    assert_int_equal(fx_take(&fx, 0), 0);
    fx_lost(&fx, 1);
    assert_int_equal(fx_take_attach(&fx, 0, &attach), 1);
    assert_int_equal(attach.klife, 5);
    assert_true(fx.slot[1].dialing);
    fx_up(&fx, 1);
    (void)fx_take(&fx, 0); /* withdrawn */
    assert_int_equal(fx.n_frames, 1);
    assert_int_equal(fx.frames[0].head.type, RT_REFUSE);
    assert_int_equal(fx.frames[0].head.channel, 1);
    assert_int_equal(fx_take_attach(&fx, 1, &attach), 1);
    fx_attached(&fx, 0, 1, &terms); /* too late */
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    fx_quiet(att);
}

static void test_other_agent_knows_better(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_refuse_msg msg = moved("h2", "unix:/a2", 5, 3);
    test_other_agent_meanwhile(state);
    fx_lost(&fx, 1); /* asked there */
    fx_run(&fx, 5, true);
    uint32_t channel = fx_take_attach(&fx, 0, &attach);
    fx_refuse(&fx, 0, channel, &msg);
    assert_int_equal(fx.slot[2].dials, 1); /* newer: at once */
    fx_up(&fx, 2);
    fx_attached(&fx, 2, fx_take_attach(&fx, 2, &attach), &terms);
    fx_close(&fx);
}

/* Even news that gets ever newer is followed at a bounded rate when it leads nowhere. */
static void test_endless_moves_back_off(void **state)
{
    (void)state;
    struct rt_catt *att = fx_live(&fx, 1);
    uint64_t epoch = 1;
    uint32_t channel = 1;
    unsigned asked = 0;
    for (uint64_t end = fx.now + 10000; fx.now < end; fx_run(&fx, 1, true)) {
        for (unsigned i = 0; i < 100 && channel != 0; i++) {
            struct rt_refuse_msg msg = moved("h0", "unix:/a0", 5, ++epoch);
            fx_refuse(&fx, 0, channel, &msg);
            (void)fx_take(&fx, 0);
            channel = fx_frame(&fx, RT_ATTACH, 0) != NULL ? fx_frame(&fx, RT_ATTACH, 0)->head.channel : 0;
            asked += channel != 0;
        }
        (void)fx_take(&fx, 0);
        if (channel == 0 && fx_frame(&fx, RT_ATTACH, 0) != NULL) {
            channel = fx_frame(&fx, RT_ATTACH, 0)->head.channel;
            asked++;
        }
    }
    assert_in_range(asked, 20, 60);
    (void)att;
    fx_close(&fx);
}

static void test_retry_later_elsewhere(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_refuse_msg later = {.c = RT_CLASS_RETRY_LATER, .delay = 300};
    fx_open(&fx, 2);
    struct rt_catt *att = fx_attach(&fx);
    fx_up(&fx, 0);
    fx_attached(&fx, 0, fx_take_attach(&fx, 0, &attach), &terms);
    (void)fx_event(att, RT_CATT_ATTACHED);
    (void)fx_take(&fx, 0);
    fx_refuse(&fx, 0, 1, &later);
    assert_int_equal(fx_take(&fx, 0), 0);
    fx_run(&fx, 299, true);
    assert_int_equal(fx_take(&fx, 0), 0);
    fx_run(&fx, 2, true); /* no elsewhere yet: the same again, and one is dialled */
    assert_int_equal(fx_take_attach(&fx, 0, &attach), 2);
    fx_up(&fx, 1);
    later.delay = 0;
    fx_run(&fx, 10000, true);
    fx_refuse(&fx, 0, 2, &later);
    assert_int_equal(fx_take(&fx, 0), 0);
    uint32_t channel = fx_take_attach(&fx, 1, &attach); /* after having been held: at once */
    fx_run(&fx, 10000, true);
    fx_refuse(&fx, 1, channel, &later);
    assert_int_equal(fx_take_attach(&fx, 0, &attach), 3); /* to and fro */
    fx_run(&fx, RT_CLIENT_ASK_MS + 10, true);
    (void)fx_take(&fx, 0); /* no answer: withdrawn, elsewhere */
    assert_int_equal(fx.frames[0].head.type, RT_REFUSE);
    assert_int_equal(fx_take_attach(&fx, 1, &attach), channel + 1);
    fx_close(&fx);
}

/* An agent's limit of requests in a second says nothing of where the container is: the same agent is asked again, as
 * soon as it has said, and no other one. */
static void test_limit_is_waited_for(void **state)
{
    struct rt_refuse_msg later = {
        .c = RT_CLASS_RETRY_LATER, .delay = 400, .which = rt_slice_text("limits.client_requests"), .max = 2};
    struct rt_attach_msg attach;
    uint32_t channel = 1;

    (void)state;
    (void)fx_live(&fx, 3);
    for (unsigned i = 0; i < 5; i++) {
        fx_refuse(&fx, 0, channel, &later);
        fx_run(&fx, 399, true);
        assert_int_equal(fx_take(&fx, 0), 0);
        fx_run(&fx, 601, true); /* with the back-off */
        channel = fx_take_attach(&fx, 0, &attach);
        assert_true(!attach.make && !attach.take);
    }
    for (unsigned slot = 1; slot < 3; slot++) {
        assert_false(fx.slot[slot].up || fx.slot[slot].dialing);
    }
    fx_close(&fx);
}

/* So it is when the agent that serves it cannot be reached, and another one is asked in its place. */
static void test_limit_elsewhere_is_waited_for(void **state)
{
    struct rt_refuse_msg later = {
        .c = RT_CLASS_RETRY_LATER, .delay = 400, .which = rt_slice_text("limits.client_requests"), .max = 2};
    struct rt_attached_msg terms = fx_terms();
    struct rt_attach_msg attach;
    struct rt_catt *att;

    (void)state;
    fx_open(&fx, 3);
    att = fx_attach(&fx);
    fx_run(&fx, 1000, true); /* dials that hang: all are dialled */
    for (unsigned slot = 0; slot < 3; slot++) {
        assert_true(fx.slot[slot].dialing);
        fx_up(&fx, slot);
    }
    fx_attached(&fx, 0, fx_take_attach(&fx, 0, &attach), &terms);
    (void)fx_event(att, RT_CATT_ATTACHED);
    fx_lost(&fx, 0);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t channel = fx_take_attach(&fx, 1, &attach);

        fx_refuse(&fx, 1, channel, &later);
        for (unsigned ms = 0; ms < 1000; ms++) { /* with the back-off */
            fx_run(&fx, 1, true);
            if (fx.slot[0].dialing) {
                fx_lost(&fx, 0);
            }
        }
        assert_int_equal(fx_take(&fx, 2), 0);
    }
    assert_true(fx_take_attach(&fx, 1, &attach) > 3);
    fx_close(&fx);
}

/* What the agents do while the store is out: each holds an ATTACH for as long as it may, and knows nothing; one says
 * where the container once was. */
struct holding {
    bool due, stale;
    uint64_t at;
    uint32_t channel;
    unsigned asked;
};

static void hold_or_refuse(struct holding *h, unsigned slot)
{
    struct rt_refuse_msg later = {.c = RT_CLASS_RETRY_LATER};
    const struct fx_frame *frame;
    struct rt_attach_msg attach;
    char why[128];
    (void)fx_take(&fx, slot);
    if ((frame = fx_frame(&fx, RT_ATTACH, 0)) != NULL) {
        assert_int_equal(rt_msg_decode(RT_MSG_ATTACH, frame->payload, frame->head.length, &attach, why, sizeof(why)),
                         0);
        h->asked++;
        h->due = true;
        h->channel = frame->head.channel;
        h->at = fx.now + attach.wait;
        if (h->stale && attach.klife == 0) {
            struct rt_refuse_msg old = moved("h0", "unix:/a0", 5, 1);
            h->due = false;
            fx_refuse(&fx, slot, h->channel, &old);
        }
    }
    if (h->due && fx.now >= h->at) {
        h->due = false;
        fx_refuse(&fx, slot, h->channel, &later);
    }
}

static void test_every_agent_is_asked(void **state)
{
    (void)state;
    for (int stale = 0; stale < 2; stale++) {
        struct holding agents[3] = {{.stale = false}, {.stale = stale != 0}, {.stale = false}};
        struct rt_refuse_msg lost = {.c = RT_CLASS_LOST};
        (void)fx_live(&fx, 3);
        fx_refuse(&fx, 0, 1, &lost);
        for (unsigned i = 0; i < 120000 / 50; i++) {
            for (unsigned slot = 0; slot < 3; slot++) {
                fx_next(&fx);
                if (fx.slot[slot].dialing) {
                    fx_up(&fx, slot);
                }
                if (fx.slot[slot].up) {
                    hold_or_refuse(&agents[slot], slot);
                }
            }
            fx_run(&fx, 50, true);
        }
        for (unsigned slot = 0; slot < 3; slot++) {
            assert_in_range(agents[slot].asked, 3, 20);
        }
        fx_close(&fx);
    }
}

/* A store that has lost writes may have the guest served under an older claim than the client knows of. */
static void test_what_is_known_is_forgotten(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_refuse_msg later = {.c = RT_CLASS_RETRY_LATER};
    uint64_t waited = 0;
    fx_open(&fx, 1);
    struct rt_catt *att = fx_attach(&fx);
    fx_up(&fx, 0);
    fx_attached(&fx, 0, fx_take_attach(&fx, 0, &attach), &terms);
    (void)fx_event(att, RT_CATT_ATTACHED);
    fx_refuse(&fx, 0, 1, &later);
    for (unsigned i = 0; i < 20 && waited < RT_WAIT_MAX_MS; i++) {
        fx_run(&fx, 1000, true);
        uint32_t channel = fx_take_attach(&fx, 0, &attach);
        assert_int_equal(attach.klife, terms.life);
        waited = attach.wait;
        fx_refuse(&fx, 0, channel, &later);
    }
    assert_int_equal(waited, RT_WAIT_MAX_MS);
    fx_run(&fx, 1000, true);
    (void)fx_take_attach(&fx, 0, &attach);
    assert_int_equal(attach.klife, 0);
    assert_int_equal(attach.kepoch, 0);
    assert_true(!attach.make && !attach.take);
    fx_close(&fx);
}

static void refuse_until_it_fails(struct rt_catt *att, uint32_t channel)
{
    struct rt_catt_event event;
    struct rt_refuse_msg msg = {.c = RT_CLASS_NOT_FOUND};
    uint64_t begun = fx.now;
    unsigned tries = 0;
    fx_refuse(&fx, 0, channel, &msg);
    while (!rt_catt_event(att, &event) || event.kind == RT_CATT_INTERRUPTED) {
        assert_true(++tries < 500);
        fx_run(&fx, 250, true);
        (void)fx_take(&fx, 0);
        if (fx_frame(&fx, RT_ATTACH, 0) == NULL) {
            continue;
        }
        channel = fx_frame(&fx, RT_ATTACH, 0)->head.channel;
        fx_refuse(&fx, 0, channel, &msg);
    }
    assert_int_equal(event.kind, RT_CATT_FAILED);
    assert_int_equal(event.cls, RT_CLASS_NOT_FOUND);
    assert_true(fx.now - begun >= RT_NOT_FOUND_GRACE_MS && fx.now - begun < RT_NOT_FOUND_GRACE_MS + 1000);
    assert_true(channel < 250);
}

static void test_not_found_has_a_grace(void **state)
{
    (void)state;
    refuse_until_it_fails(fx_live(&fx, 1), 1);
    fx_close(&fx);
}

/* Who takes another's attachment knows that its container is there. */
static void test_not_found_has_a_grace_for_a_named_one(void **state)
{
    (void)state;
    struct rt_attach_options options = {.cid = "box", .want = FX_WANT, .id = {1}, .steal = true};
    struct rt_attach_msg attach;
    struct rt_catt *att;
    fx_open(&fx, 1);
    assert_int_equal(rt_client_attach(fx.client, &options, fx.now, &att), 0);
    fx_next(&fx);
    fx_up(&fx, 0);
    refuse_until_it_fails(att, fx_take_attach(&fx, 0, &attach));
    fx_close(&fx);
}

static uint32_t asked_again(void)
{
    struct rt_attach_msg attach;
    fx_run(&fx, RT_REDIAL_MAX_MS, true);
    return fx_take_attach(&fx, 0, &attach);
}

/* RETRY_LATER between them neither ends the grace nor lengthens it. */
static void test_not_found_by_turns_ends(void **state)
{
    (void)state;
    struct rt_catt *att = fx_live(&fx, 1);
    struct rt_refuse_msg not_found = {.c = RT_CLASS_NOT_FOUND}, later = {.c = RT_CLASS_RETRY_LATER};
    uint64_t begun = fx.now;
    uint32_t channel = 1;
    for (unsigned i = 0; fx.now - begun < RT_NOT_FOUND_GRACE_MS; i++) {
        fx_refuse(&fx, 0, channel, i % 2 == 0 ? &not_found : &later);
        channel = asked_again();
        fx_run(&fx, 4000, true); /* for which it is held */
    }
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    fx_quiet(att);
    fx_refuse(&fx, 0, channel, &not_found);
    assert_int_equal(fx_event(att, RT_CATT_FAILED).cls, RT_CLASS_NOT_FOUND);
    fx_close(&fx);
}

/* A store that is emptied a second time is forgiven anew, and so is one that loses what it has just said. */
static void test_not_found_begins_anew(void **state)
{
    (void)state;
    struct rt_refuse_msg later = {.c = RT_CLASS_RETRY_LATER}, not_found = {.c = RT_CLASS_NOT_FOUND};
    struct rt_catt *att = fx_live(&fx, 1);
    uint32_t channel = 1;
    fx_refuse(&fx, 0, channel, &not_found);
    for (uint64_t begun = fx.now; fx.now - begun < RT_NOT_FOUND_GRACE_MS;) {
        channel = asked_again();
        fx_run(&fx, 4000, true);
        fx_refuse(&fx, 0, channel, &later);
    }
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    refuse_until_it_fails(att, asked_again());
    fx_close(&fx);

    att = fx_live(&fx, 1);
    fx_refuse(&fx, 0, 1, &not_found);
    fx_run(&fx, RT_NOT_FOUND_GRACE_MS / 2, true);
    struct rt_refuse_msg msg = moved("h0", "unix:/a0", 50, 1);
    fx_refuse(&fx, 0, asked_again(), &msg);
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    refuse_until_it_fails(att, asked_again());
    fx_close(&fx);
}

/* A guest or an agent that says LOST as fast as it is asked: at most 5 + 10 + ... ms apart, then one in 250..500 ms. */
static void test_refusals_back_off(void **state)
{
    (void)state;
    struct rt_attached_msg terms = fx_terms();
    struct rt_refuse_msg msg = {.c = RT_CLASS_LOST};
    for (unsigned live = 0; live < 2; live++) {
        struct rt_catt *att = fx_live(&fx, 1);
        fx_refuse(&fx, 0, 1, &msg);
        unsigned asked = 0;
        for (uint64_t end = fx.now + 10000; fx.now < end; fx_run(&fx, 1, true)) {
            (void)fx_take(&fx, 0);
            const struct fx_frame *attach = fx_frame(&fx, RT_ATTACH, 0);
            if (attach == NULL) {
                continue;
            }
            uint32_t channel = attach->head.channel;
            asked++;
            if (live) {
                fx_attached(&fx, 0, channel, &terms);
            }
            fx_refuse(&fx, 0, channel, &msg);
        }
        assert_in_range(asked, 10000 / RT_REDIAL_MAX_MS, 10000 / (RT_REDIAL_MAX_MS / 2) + 12);
        (void)att;
        fx_close(&fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moved_is_followed_when_newer),
        cmocka_unit_test(test_another_life_is_a_rewind),
        cmocka_unit_test(test_link_lost_in_every_state),
        cmocka_unit_test(test_other_agent_knows_better),
        cmocka_unit_test(test_endless_moves_back_off),
        cmocka_unit_test(test_retry_later_elsewhere),
        cmocka_unit_test(test_limit_is_waited_for),
        cmocka_unit_test(test_limit_elsewhere_is_waited_for),
        cmocka_unit_test(test_every_agent_is_asked),
        cmocka_unit_test(test_what_is_known_is_forgotten),
        cmocka_unit_test(test_not_found_has_a_grace),
        cmocka_unit_test(test_not_found_has_a_grace_for_a_named_one),
        cmocka_unit_test(test_not_found_by_turns_ends),
        cmocka_unit_test(test_not_found_begins_anew),
        cmocka_unit_test(test_refusals_back_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
