/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What a client is told of the agents. */

static struct rt_welcome_msg welcome; /* large */

static void greet(struct fx *fx)
{
    struct rt_frame frame;
    struct rt_hello_msg hello;
    char why[RT_TEXT_MAX];
    const uint8_t *payload;
    int link = fx_open(fx, RT_PEER_CLIENT, "local");

    memset(&hello, 0, sizeof(hello));
    hello.vmin = hello.vmax = 1;
    hello.role = rt_slice_text("client");
    fx_msg(fx, link, &(struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &hello);
    payload = fx_want(fx, link, RT_WELCOME, &frame);
    assert_int_equal(rt_msg_decode(RT_MSG_WELCOME, payload, frame.length, &welcome, why, sizeof(why)), 0);
}

static void test_welcome_lists_agents(void **state)
{
    struct fx *fx = *state;

    fx_host(fx, "dead", false);
    fx_host(fx, "there", true);
    fx_host(fx, "here", true);
    fx_beats(fx, 8);
    greet(fx);
    assert_int_equal(welcome.n_agents, 2);
    assert_false(welcome.more);
    assert_true(rt_slice_equal(welcome.agents[0].host, rt_slice_text("here")));
    assert_true(rt_slice_equal(welcome.agents[0].addr[0], rt_slice_text("unix:/here")));
    assert_true(rt_slice_equal(welcome.agents[1].host, rt_slice_text("there")));
}

/* More than fit: itself, then those whose names follow its own, and around; and that there are more. */
static void test_welcome_of_many(void **state)
{
    struct fx *fx = *state;
    char name[16];

    for (unsigned i = 0; i < 40; i++) {
        (void)snprintf(name, sizeof(name), "a%02u", i);
        fx_host(fx, name, true);
    }
    for (unsigned i = 0; i < 40; i++) {
        (void)snprintf(name, sizeof(name), "z%02u", i);
        fx_host(fx, name, true);
    }
    greet(fx);
    assert_int_equal(welcome.n_agents, RT_AGENTS_MAX);
    assert_true(welcome.more);
    assert_true(rt_slice_equal(welcome.agents[0].host, rt_slice_text("here")));
    assert_true(rt_slice_equal(welcome.agents[1].host, rt_slice_text("z00")));
    assert_true(rt_slice_equal(welcome.agents[40].host, rt_slice_text("z39")));
    assert_true(rt_slice_equal(welcome.agents[41].host, rt_slice_text("a00")));
    assert_true(rt_slice_equal(welcome.agents[63].host, rt_slice_text("a22")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_welcome_lists_agents),
        FX_TEST(test_welcome_of_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
