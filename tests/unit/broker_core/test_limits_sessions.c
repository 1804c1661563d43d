/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/limits.h"
#include "broker/core/machine.h"
#include "broker/core/made.h"
#include "tests/unit/broker_core/fixture_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* How many sessions a tenant has at an agent: those that are served, and those that are made and not started. */

static void create(struct fx *fx, int client, const char *cid, enum rt_class cls)
{
    static uint64_t id;

    request(fx, client, ++id, ask("create", cid));
    fx_answer(fx);
    want(fx, client, id, cls);
}

static void test_sessions(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int client = fx_client(fx, "local"), other = fx_client(fx, "acme");

    fx_limit(fx, RT_LIMIT_TENANT_SESSIONS, 2);
    create(fx, client, "a", RT_CLASS_OK);
    create(fx, client, "web", RT_CLASS_OK);
    fx_guest(&guest, "web", 1);
    memcpy(guest.token, reply.tok.data, reply.tok.size);
    guest.token_size = reply.tok.size;
    create(fx, client, "c", RT_CLASS_LIMIT);
    assert_true(rt_slice_equal(reply.m, rt_slice_text("tenant local has 2 sessions at this agent, the most it may have "
                                                      "(limits.tenant_sessions)")));
    create(fx, other, "c", RT_CLASS_OK);
    /* One that starts is the same one. */
    fx_serve(fx, &guest);
    create(fx, client, "c", RT_CLASS_LIMIT);
    /* One that is taken back is none, nor is one that another host serves. */
    request(fx, client, 100, ask("remove", "a"));
    fx_answer(fx);
    want(fx, client, 100, RT_CLASS_OK);
    create(fx, client, "c", RT_CLASS_OK);
    create(fx, client, "d", RT_CLASS_LIMIT);
    fx_claimed(fx, "c", "there", 5, 1);
    create(fx, client, "d", RT_CLASS_OK);
    create(fx, client, "e", RT_CLASS_LIMIT);
    /* Nor one whose guest has gone. */
    fx_lost(fx, guest.link);
    fx_answer(fx);
    create(fx, client, "e", RT_CLASS_OK);
    create(fx, client, "f", RT_CLASS_LIMIT);
    assert_int_equal(fx_stats(fx).over[RT_LIMIT_TENANT_SESSIONS], 5);
}

/* A create counts while it is asked for; one that fails, and one that nobody waits for, counts no more. */
static void test_sessions_asked_for(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");

    fx_limit(fx, RT_LIMIT_TENANT_SESSIONS, 1);
    request(fx, client, 1, ask("create", "a"));
    request(fx, client, 2, ask("create", "b"));
    want(fx, client, 2, RT_CLASS_LIMIT);
    fx_fail(fx, RT_EUNAVAIL);
    want(fx, client, 1, RT_CLASS_RETRY_LATER);
    request(fx, client, 3, ask("create", "a"));
    fx_lost(fx, client);
    fx_answer(fx);
    client = fx_client(fx, "local");
    create(fx, client, "b", RT_CLASS_OK);
    create(fx, client, "c", RT_CLASS_LIMIT);
    fx_lost(fx, client);
    /* Nobody has started it, or nobody has heard of that. */
    fx_tick(fx, AG_MADE_MS);
    fx_answer(fx);
    client = fx_client(fx, "local");
    create(fx, client, "c", RT_CLASS_OK);
    create(fx, client, "d", RT_CLASS_LIMIT);
}

/* Guests that come run already, so they are served however many there are; but their tenant makes no more. */
static void test_guests_come_in(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guests[3];
    static const char *const cids[] = {"a", "b", "c"};
    int client;

    fx_limit(fx, RT_LIMIT_TENANT_SESSIONS, 1);
    for (size_t i = 0; i < 3; i++) {
        fx_guest(&guests[i], cids[i], 1);
        fx_serve(fx, &guests[i]);
        assert_true(fx_serves(fx, cids[i]));
    }
    client = fx_client(fx, "local");
    create(fx, client, "d", RT_CLASS_LIMIT);
    fx_serve(fx, &guests[0]); /* on another link: its old one goes */
    assert_int_equal(fx->agent->tenants->has[RT_LIMIT_TENANT_SESSIONS], 3);
    for (size_t i = 0; i < 3; i++) {
        fx_lost(fx, guests[i].link);
    }
    fx_answer(fx);
    create(fx, client, "d", RT_CLASS_OK);
}

/* Places of made ones are bounded for all tenants together. */
static void test_made_bounded(void **state)
{
    struct fx *fx = *state;
    struct rt_key key;

    memset(&key, 0, sizeof(key));
    for (unsigned i = 0; i < RT_AGENT_MADE_MAX + 2; i++) {
        (void)snprintf(key.tenant, sizeof(key.tenant), i < 2 ? "acme" : "local");
        (void)snprintf(key.cid, sizeof(key.cid), "c%u", i);
        rt_ag_made_note(fx->agent, &key);
    }
    assert_int_equal(HASH_COUNT(fx->agent->made), RT_AGENT_MADE_MAX);
    assert_int_equal(rt_ag_tenant(fx->agent, "acme")->has[RT_LIMIT_TENANT_SESSIONS], 0); /* they were the oldest */
    assert_int_equal(rt_ag_tenant(fx->agent, "local")->has[RT_LIMIT_TENANT_SESSIONS], RT_AGENT_MADE_MAX);
    rt_ag_made_note(fx->agent, &key); /* made anew */
    assert_int_equal(rt_ag_tenant(fx->agent, "local")->has[RT_LIMIT_TENANT_SESSIONS], RT_AGENT_MADE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_sessions),
        FX_TEST(test_sessions_asked_for),
        FX_TEST(test_guests_come_in),
        FX_TEST(test_made_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
