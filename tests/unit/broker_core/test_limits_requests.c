/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/limits.h"
#include "broker/core/machine.h"

#include "tests/unit/broker_core/fixture.h"
#include "tests/unit/broker_core/fixture_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Requests of one tenant that take what all tenants share: another one's are answered. */

/* Searches for one container by a prefix are asked of the store as lists are. */
static void test_half_of_the_searches(void **state)
{
    enum { MOST = RT_AGENT_LISTS_MAX / 2 };
    struct rt_request_msg show = {.op = rt_slice_text("show"), .cid = rt_slice_text("w"), .prefix = true};
    struct fx *fx = *state;
    int clients[MOST + 1], other = fx_client(fx, "acme");
    size_t before = fx->n_submitted[RT_STORE_FIND];

    for (unsigned i = 0; i <= MOST; i++) {
        clients[i] = fx_client(fx, "local");
        request(fx, clients[i], 1, show);
    }
    for (unsigned i = 0; i <= MOST; i++) {
        fx_answer_one(fx, 0); /* nobody has exactly this name: it is searched for */
    }
    assert_int_equal(fx->n_submitted[RT_STORE_FIND], before + MOST);
    want(fx, clients[MOST], 1, RT_CLASS_LIMIT);
    request(fx, clients[MOST], 2, ask("list", ""));
    want(fx, clients[MOST], 2, RT_CLASS_LIMIT);
    request(fx, other, 1, ask("list", ""));
    request(fx, other, 2, show);
    fx_answer(fx);
    want(fx, other, 1, RT_CLASS_OK);
    want(fx, other, 2, RT_CLASS_NOT_FOUND);
    for (unsigned i = 0; i < MOST; i++) {
        want(fx, clients[i], 1, RT_CLASS_NOT_FOUND);
    }
    request(fx, clients[MOST], 3, show);
    fx_answer(fx);
    want(fx, clients[MOST], 3, RT_CLASS_NOT_FOUND);
    assert_int_equal(rt_ag_tenant_find(fx->agent, "local")->shares[AG_SHARE_LISTS], 0);
}

/* Who waits with `show` counts as who waits with an attach: each has an entry here for a name that nobody may have. */
static void test_shows_that_wait(void **state)
{
    struct rt_request_msg show = {.op = rt_slice_text("show"), .cid = rt_slice_text("none"), .wait = 5000};
    struct fx *fx = *state;
    int a, b, c;

    fx_limit(fx, RT_LIMIT_TENANT_WAITING, 2);
    a = fx_client(fx, "local");
    b = fx_client(fx, "local");
    c = fx_client(fx, "acme");
    request(fx, a, 1, show);
    show.cid = rt_slice_text("nobody");
    request(fx, a, 2, show);
    request(fx, b, 1, show);
    request(fx, c, 1, show);
    fx_answer(fx);
    want(fx, b, 1, RT_CLASS_LIMIT);
    fx_none(fx, a);
    fx_none(fx, c);
    assert_int_equal(fx_stats(fx).held, 3);
    fx_attach(fx, b, 1, "web", 5000, 0, 0);
    fx_want_refuse(fx, b, 1, RT_CLASS_LIMIT, NULL);
    fx_tick(fx, 5000);
    fx_answer(fx);
    want(fx, a, 1, RT_CLASS_NOT_FOUND);
    want(fx, a, 2, RT_CLASS_NOT_FOUND);
    want(fx, c, 1, RT_CLASS_NOT_FOUND);
    assert_int_equal(fx_stats(fx).held, 0);
    request(fx, b, 2, show);
    fx_answer(fx);
    fx_none(fx, b);
    fx_lost(fx, b); /* what waits goes with it */
    assert_int_equal(rt_ag_tenant_find(fx->agent, "local")->has[RT_LIMIT_TENANT_WAITING], 0);
    assert_int_equal(fx_stats(fx).held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FX_TEST(test_half_of_the_searches), FX_TEST(test_shows_that_wait)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
