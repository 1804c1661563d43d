/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/door.h"
#include "broker/core/machine.h"
#include "session/core/msg_hop.h"
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* How many handshakes there may be, of all and of one peer: which one gives way, and what it is told. */

static void test_handshakes(void **state)
{
    struct fx *fx = *state;
    struct rt_peer lone = {.role = RT_PEER_CLIENT, .identity = "a", .lone = true}, many = {.role = RT_PEER_CLIENT};
    int first = fx_open_as(fx, &lone), second;

    fx->agent->config.handshakes_max = 8;
    fx->agent->config.peer_handshakes_max = 2;
    (void)fx_open_as(fx, &lone);
    assert_false(fx_closed(fx, first));
    (void)fx_open_as(fx, &lone);
    assert_true(fx_closed(fx, first));
    second = fx_open_as(fx, &many);
    for (unsigned i = 0; i < 6; i++) {
        assert_false(fx_closed(fx, second));
        (void)fx_open_as(fx, &many);
    }
    assert_true(fx_closed(fx, second)); /* the seventh of one peer, of eight */
    assert_int_equal(fx_stats(fx).shaking[RT_PEER_CLIENT], 8);
    fx_none(fx, first); /* their wires still shook hands */
    fx_none(fx, second);
}

/* A handshake that gives way is told of what there are too many, and that it may come again soon; so is a guest whose
 * claim gives way, here as there is no descriptor. */
static void test_handshakes_told(void **state)
{
    struct fx *fx = *state;
    struct rt_peer lone = {.role = RT_PEER_GUEST, .identity = "a", .lone = true}, other = {.role = RT_PEER_GUEST};
    struct rt_refuse_msg refuse;
    struct fx_guest guest;
    int at;

    fx->agent->config.handshakes_max = 4;
    fx->agent->config.peer_handshakes_max = 1;
    at = fx_open_as(fx, &lone);
    fx_proved(fx, at, RT_CLIENT_NOBODY, "");
    (void)fx_open_as(fx, &lone);
    fx_want_refuse(fx, at, 0, RT_CLASS_LIMIT, &refuse);
    assert_true(rt_slice_equal(
        refuse.m,
        rt_slice_text("this agent has 1 handshakes of this peer, the most it may have (limits.peer_handshakes)")));
    assert_true(rt_slice_equal(refuse.which, rt_slice_text("limits.peer_handshakes")));
    assert_int_equal(refuse.max, 1);
    assert_true(fx_closed(fx, at));
    at = fx_open_as(fx, &other);
    fx_proved(fx, at, RT_CLIENT_NOBODY, "");
    for (unsigned i = 0; i < 3; i++) {
        (void)fx_open_as(fx, &other);
    }
    fx_want_refuse(fx, at, 0, RT_CLASS_LIMIT, &refuse);
    assert_true(rt_slice_equal(refuse.which, rt_slice_text("limits.handshakes")));
    assert_int_equal(refuse.max, 3);
    assert_int_equal(refuse.delay, AG_SHAKE_AGAIN_MS);
    fx_guest(&guest, "web", 1);
    fx_hello(fx, &guest); /* it has shown a token, and waits for the store */
    while (fx_stats(fx).shaking[RT_PEER_GUEST] > 0) {
        assert_true(rt_agent_spare(fx->agent, fx->now));
    }
    assert_true(rt_agent_spare(fx->agent, fx->now));
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_RETRY_LATER, &refuse);
    assert_int_equal(refuse.delay, AG_SHAKE_AGAIN_MS);
    assert_true(fx_closed(fx, guest.link));
    assert_false(rt_agent_spare(fx->agent, fx->now));
}

int main(void)
{
    const struct CMUnitTest tests[] = {FX_TEST(test_handshakes), FX_TEST(test_handshakes_told)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
