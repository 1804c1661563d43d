/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/machine.h"
#include "session/core/protocol.h"
#include "tests/unit/broker_core/fixture_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* REQUEST `store`: what the newest look at the store has found, also when there is no store. */

/* All are well but one, and one that is not known. */
static void look_of(struct rt_store_look *look)
{
    memset(look, 0, sizeof(*look));
    look->replicas = 2;
    for (enum rt_check i = 0; i < RT_CHECKS; i++) {
        struct rt_store_check *check = &look->checks[i];

        *check = (struct rt_store_check){.name = "check", .risk = "", .mend = "", .state = RT_CHECK_OK};
        (void)snprintf(check->value, sizeof(check->value), "value %d", (int)i);
    }
    look->checks[1].state = RT_CHECK_UNKNOWN;
    look->checks[2] = (struct rt_store_check){.name = "rights", .risk = "a risk", .mend = "do", .state = RT_CHECK_WEAK};
    memset(look->checks[2].value, 'x', RT_CHECK_VALUE_MAX);
}

static void want_store(struct fx *fx, int client, uint64_t id)
{
    request(fx, client, id, ask("store", ""));
    want(fx, client, id, RT_CLASS_OK);
    assert_false(reply.more);
    assert_int_equal(reply.n_hosts, 1);
    assert_true(rt_slice_equal(reply.hosts[0].host, rt_slice_text("here")));
}

static void test_told(void **state)
{
    struct fx *fx = *state;
    struct rt_store_look look;
    struct rt_store_news news = {.kind = RT_STORE_LOOKED, .look = &look};
    int boss = fx_client_as(fx, RT_CLIENT_OPERATOR);

    want_store(fx, boss, 1);
    assert_int_equal(reply.n_chks, 0);
    assert_true(rt_slice_equal(reply.m, rt_slice_text("the store has not been looked at yet")));
    look_of(&look);
    rt_agent_store_news(fx->agent, &news, fx->now);
    memset(&look, 0, sizeof(look)); /* it was copied */
    fx_tick(fx, 700);
    fx_down(fx);
    want_store(fx, boss, 2);
    assert_int_equal(reply.n_chks, RT_CHECKS);
    assert_int_equal(reply.age, 700);
    assert_int_equal(reply.m.size, 0);
    assert_int_equal(reply.chks[0].state, RT_CHECK_IS_OK);
    assert_true(rt_slice_equal(reply.chks[0].val, rt_slice_text("value 0")));
    assert_int_equal(reply.chks[1].state, RT_CHECK_IS_UNKNOWN);
    assert_int_equal(reply.chks[2].state, RT_CHECK_IS_WEAK);
    assert_int_equal(reply.chks[2].val.size, RT_CHECK_VALUE_MAX);
    assert_true(rt_slice_equal(reply.chks[2].name, rt_slice_text("rights")));
    assert_true(rt_slice_equal(reply.chks[2].risk, rt_slice_text("a risk")));
    assert_true(rt_slice_equal(reply.chks[2].mend, rt_slice_text("do")));
}

/* They are counted, for the log. */
static void test_counted(void **state)
{
    struct fx *fx = *state;
    struct rt_store_look look;
    struct rt_store_news news = {.kind = RT_STORE_LOOKED, .look = &look};

    look_of(&look);
    rt_agent_store_news(fx->agent, &news, fx->now);
    assert_int_equal(fx_stats(fx).store_weak, 1);
    assert_int_equal(fx_stats(fx).store_unknown, 1);
    assert_int_equal(fx_stats(fx).store_replicas, 2);
    look.checks[2].state = RT_CHECK_OK;
    rt_agent_store_news(fx->agent, &news, fx->now);
    assert_int_equal(fx_stats(fx).store_weak, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FX_TEST(test_told), FX_TEST(test_counted)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
