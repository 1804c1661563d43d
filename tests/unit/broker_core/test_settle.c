/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include "broker/core/machine.h"
#include "tests/lib/alloc/allocfail.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What happens in the middle of something else: it is carried out behind that, once, and before the call returns. */

static void settled(const struct fx *fx)
{
    assert_false(ag_unsettled(fx->agent));
}

/* A client's link is closed while its attaches are told, one after the other, where their container is. */
static void test_closed_in_a_walk(void **state)
{
    struct fx *fx = *state;
    struct rt_refuse_msg refuse;
    int full = fx_client(fx, "local"), other = fx_client(fx, "local");

    fx_host(fx, "there", true);
    (void)fx_record(fx, "local", "web");
    for (uint32_t channel = 1; channel <= 3; channel++) {
        fx_attach(fx, full, channel, "web", 5000, 0, 0);
        fx_attach(fx, other, channel, "web", 5000, 0, 0);
    }
    fx_answer(fx);
    assert_int_equal(fx_stats(fx).held, 6);
    fx_queued(fx, full, RT_LINK_HIGH_WATER + 1);
    rt_alloc_fail_from(1); /* what is said to it would have to wait */
    fx_claimed(fx, "web", "there", 5, 1);
    assert_true(rt_alloc_stop());
    settled(fx);
    assert_true(fx_closed(fx, full));
    assert_int_equal(fx_stats(fx).held, 0);
    assert_int_equal(fx_stats(fx).links, 1);
    for (uint32_t channel = 1; channel <= 3; channel++) {
        fx_want_refuse(fx, other, channel, RT_CLASS_MOVED, &refuse);
    }
    fx_none(fx, other);
}

/* A newer connection of a guest: its old link's channels are over before an attach goes to the new one. */
static void test_evicted_before_bound(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client = fx_client(fx, "local"), old;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    for (uint32_t channel = 1; channel <= 2; channel++) {
        (void)fx_bound(fx, &guest, client, channel);
        (void)fx_want(fx, client, RT_ATTACHED, &frame);
    }
    old = guest.link;
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    fx_confirm(fx, &guest);
    fx_attach(fx, client, 3, "web", 5000, 0, 0); /* goes to the old one, which is served yet */
    fx_answer(fx);
    settled(fx);
    assert_true(fx_closed(fx, old));
    for (uint32_t channel = 1; channel <= 3; channel++) {
        fx_want_refuse(fx, client, channel, RT_CLASS_LOST, NULL);
    }
    fx_none(fx, client);
    assert_int_equal(fx_stats(fx).channels, 0);
    fx_attach(fx, client, 4, "web", 5000, 0, 0);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    assert_int_equal(frame.channel, 1);
}

/* Both ends of a channel go in one call. */
static void test_both_ends_gone(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client = fx_client(fx, "local");

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    (void)fx_bound(fx, &guest, client, 1);
    (void)fx_want(fx, client, RT_ATTACHED, &frame);
    rt_agent_stop(fx->agent, fx->now);
    settled(fx);
    assert_int_equal(fx_stats(fx).links, 0);
    assert_int_equal(fx_stats(fx).channels, 0);
    fx_want_refuse(fx, client, 1, RT_CLASS_LOST, NULL); /* of its guest, then of itself */
    fx_want_refuse(fx, client, 0, RT_CLASS_LOST, NULL);
    fx_none(fx, client);
}

/* A session that nothing holds is forgotten behind the call in which somebody looked for it. */
static void test_forgotten_behind_the_call(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");

    fx_attach(fx, client, 1, "web", 0, 0, 0);
    assert_int_equal(fx_stats(fx).sessions, 1);
    fx_answer(fx);
    fx_want_refuse(fx, client, 1, RT_CLASS_NOT_FOUND, NULL);
    assert_int_equal(fx_stats(fx).sessions, 0);
    settled(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_closed_in_a_walk),
        FX_TEST(test_evicted_before_bound),
        FX_TEST(test_both_ends_gone),
        FX_TEST(test_forgotten_behind_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
