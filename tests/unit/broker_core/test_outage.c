/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/machine.h"
#include "broker/core/take.h"
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Claims without the store: provisional service, what it becomes when the store is back, and what memory refuses. */

static void test_store_silent(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, joins;
    struct rt_refuse_msg refuse;

    fx_guest(&joins, "new", 2);
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_lost(fx, guest.link);
    fx_answer(fx);
    fx_hello(fx, &joins);
    fx_hello(fx, &guest);
    fx_tick(fx, RT_CLAIM_TIMEOUT_MS - 1);
    fx_none(fx, guest.link);
    fx_tick(fx, 1);
    fx_welcome(fx, &guest, NULL);
    fx_tick(fx, RT_STORE_TIMEOUT_MS - RT_CLAIM_TIMEOUT_MS - 1);
    fx_none(fx, joins.link);
    fx_tick(fx, 1);
    fx_want_refuse(fx, joins.link, 0, RT_CLASS_RETRY_LATER, &refuse);
    assert_true(rt_slice_equal(refuse.m, rt_slice_text("the session store is slow, and a first start waits for it")));
    fx_answer(fx); /* too late */
    fx_none(fx, guest.link);
    fx_confirm(fx, &guest); /* served at once: it has waited */
    assert_true(fx_serves(fx, "web"));
    assert_int_equal(fx_stats(fx).provisional, 1);
    fx_answer(fx); /* the take's late reply */
    assert_int_equal(fx_stats(fx).provisional, 0);
    assert_int_equal(fx_stats(fx).claims, 2);
}

static void test_store_down(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, joins;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_down(fx);
    fx_guest(&joins, "new", 2);
    fx_hello(fx, &joins);
    fx_want_refuse(fx, joins.link, 0, RT_CLASS_RETRY_LATER, NULL);
    fx_serve(fx, &guest); /* at once: nobody is asked */
    assert_true(fx_serves(fx, "web"));
    assert_int_equal(fx_stats(fx).provisional, 1);
    fx_tick(fx, 5000);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PING}, NULL);
    fx_up(fx, false, true);
    fx_answer(fx);
    assert_int_equal(fx_stats(fx).provisional, 0);
    assert_int_equal(fx_record(fx, "local", "web")->rule.epoch, 2);
}

/* The first move of an outage finds it, the next ones do not wait; nor does one wait again once the store answers. */
static void test_outage_is_waited_for_once(void **state)
{
    struct fx *fx = *state;
    struct fx_guest first, second;
    size_t tests;

    fx_guest(&first, "web", 1);
    fx_guest(&second, "db", 2);
    fx_serve(fx, &first);
    fx_serve(fx, &second);
    fx_lost(fx, first.link);
    fx_lost(fx, second.link);
    fx_answer(fx);
    fx_hello(fx, &first);
    fx_tick(fx, RT_CLAIM_TIMEOUT_MS);
    fx_welcome(fx, &first, NULL);
    fx_confirm(fx, &first);
    assert_true(fx_serves(fx, "web"));
    tests = fx->n_submitted[RT_STORE_TEST];
    fx_hello(fx, &second);
    fx_welcome(fx, &second, NULL);
    fx_confirm(fx, &second);
    assert_true(fx_serves(fx, "db"));
    assert_int_equal(fx->n_submitted[RT_STORE_TEST], tests);
    assert_int_equal(fx_stats(fx).provisional, 2);
    /* Its late answers are no reason to ask it. */
    fx_tick(fx, RT_CLAIM_TIMEOUT_MS);
    fx_answer(fx);
    assert_int_equal(fx_stats(fx).provisional, 0);
    fx_lost(fx, second.link);
    fx_hello(fx, &second);
    assert_int_equal(fx->n_submitted[RT_STORE_TEST], tests);
    fx_welcome(fx, &second, NULL);
    fx_confirm(fx, &second);
    /* An answer in time is. */
    fx_answer(fx);
    fx_lost(fx, second.link);
    fx_hello(fx, &second);
    assert_int_equal(fx->n_submitted[RT_STORE_TEST], tests + 1);
}

/* Nothing would tell that its guest is served elsewhere: whoever may wait looks there soon. */
static void test_outage_is_looked_past(void **state)
{
    struct fx *fx = *state;
    struct rt_refuse_msg refuse;
    struct fx_guest guest;
    int client;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    client = fx_client(fx, "local");
    fx_down(fx);
    fx_lost(fx, guest.link);
    fx_attach(fx, client, 1, "web", 800, 0, 0);
    fx_tick(fx, 800 / AG_OUTAGE_HOLD_PART - 1);
    fx_none(fx, client);
    fx_tick(fx, 1);
    fx_want_refuse(fx, client, 1, RT_CLASS_RETRY_LATER, &refuse);
    assert_true(
        rt_slice_equal(refuse.m, rt_slice_text("the session store is out, and the container is not at this agent")));
    fx_up(fx, false, true);
    fx_answer(fx);
    fx_attach(fx, client, 2, "web", 800, 0, 0);
    fx_answer(fx);
    fx_tick(fx, 799);
    fx_none(fx, client);
    fx_tick(fx, 1);
    fx_want_refuse(fx, client, 2, RT_CLASS_RETRY_LATER, NULL);
}

/* Slower than a ticket waits, but within the time of an operation: containers start. */
static void test_join_waits_for_a_slow_store(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_hello(fx, &guest);
    fx_tick(fx, RT_STORE_TIMEOUT_MS - 1);
    fx_none(fx, guest.link);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    fx_confirm(fx, &guest);
    fx_tick(fx, RT_STORE_TIMEOUT_MS - 1);
    assert_false(fx_serves(fx, "web"));
    fx_answer(fx);
    assert_true(fx_serves(fx, "web"));
    assert_int_equal(fx_stats(fx).provisional, 0);
}

static void test_take_repeated(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    size_t takes;

    fx_guest(&guest, "web", 1);
    fx_serve_unclaimed(fx, &guest);
    assert_true(fx_serves(fx, "web"));
    takes = fx->n_submitted[RT_STORE_TAKE];
    fx_tick(fx, 50);
    assert_int_equal(fx->n_submitted[RT_STORE_TAKE], takes + 1);
    fx_fail(fx, RT_ETIMEDOUT);
    fx_tick(fx, 99);
    assert_int_equal(fx->n_submitted[RT_STORE_TAKE], takes + 1);
    fx_tick(fx, 1);
    assert_int_equal(fx->n_submitted[RT_STORE_TAKE], takes + 2);
    fx_tick(fx, 3000); /* one at a time, however long it takes */
    assert_int_equal(fx->n_submitted[RT_STORE_TAKE], takes + 2);
    fx_answer(fx);
    assert_int_equal(fx_stats(fx).provisional, 0);
    fx_tick(fx, 3000);
    assert_int_equal(fx->n_submitted[RT_STORE_TAKE], takes + 2);
}

/* The store is slow, and a host's guests come all at once. All are served; no more of their takes are under way than
 * the store may do in time, and the next one goes when one was answered. */
static void test_takes_are_paced(void **state)
{
    enum { GUESTS = 4 };
    struct fx *fx = *state;
    struct fx_guest guest[GUESTS];
    static const char *const cids[GUESTS] = {"web", "db", "cache", "queue"};
    size_t takes;

    for (unsigned i = 0; i < GUESTS; i++) {
        fx_guest(&guest[i], cids[i], (uint8_t)(1 + i));
        fx_serve(fx, &guest[i]);
        fx_lost(fx, guest[i].link);
        fx_answer(fx);
    }
    takes = fx->n_submitted[RT_STORE_TAKE];
    fx->agent->store_slow = true;
    fx->agent->retake_flight = AG_RETAKE_FLIGHT_MAX - 1; /* others are under way */
    for (unsigned i = 0; i < GUESTS; i++) {
        fx_hello(fx, &guest[i]);
        fx_welcome(fx, &guest[i], NULL);
        fx_confirm(fx, &guest[i]);
    }
    assert_int_equal(fx_stats(fx).provisional, GUESTS);
    assert_int_equal(fx->n_submitted[RT_STORE_TAKE], takes + 1);
    fx_answer_one(fx, RT_ETIMEDOUT); /* it goes behind the others */
    assert_int_equal(fx->n_submitted[RT_STORE_TAKE], takes + 2);
    fx_tick(fx, AG_TAKE_BACKOFF_MAX_MS);
    assert_int_equal(fx->n_submitted[RT_STORE_TAKE], takes + 2);
    fx_answer(fx);
    assert_int_equal(fx_stats(fx).provisional, 0);
    assert_int_equal(fx->n_submitted[RT_STORE_TAKE], takes + GUESTS + 1);
    assert_int_equal(fx->agent->retake_flight, AG_RETAKE_FLIGHT_MAX - 1);
}

/* A take that had its effect though its answer was lost, of a guest that has gone: another start of the container waits
 * until the record says so. */
static void test_take_unanswered(void **state)
{
    struct fx *fx = *state;

    for (int serving = 0; serving < 2; serving++) {
        const char *cid = serving ? "web" : "db";
        struct rt_record *rule = &fx_record(fx, "local", cid)->rule;
        struct fx_guest guest;

        fx_guest(&guest, cid, 1);
        fx_hello(fx, &guest);
        fx_answer(fx);
        fx_welcome(fx, &guest, NULL);
        fx_confirm(fx, &guest);
        rule->exists = true;
        rule->state = RT_SESSION_RUNNING;
        rule->life = guest.life;
        rule->epoch = guest.epoch;
        memcpy(rule->host, "here", sizeof("here"));
        if (serving) {
            fx_fail(fx, RT_ETIMEDOUT);
            assert_true(fx_serves(fx, cid));
            fx_lost(fx, guest.link);
            fx_tick(fx, RT_MOVING_AFTER_MS);
            fx_answer(fx);
            assert_int_equal(rule->state, RT_SESSION_MOVING);
        } else {
            fx_lost(fx, guest.link);
            fx_fail(fx, RT_ETIMEDOUT);
        }
        fx_tick(fx, RT_LOST_AFTER_MS);
        fx_answer(fx);
        assert_int_equal(rule->state, RT_SESSION_LOST);
    }
    fx_tick(fx, RT_LEASE_MS);
    assert_int_equal(fx_stats(fx).sessions, 0);
}

/* The store falls back to when this host had the container, and its next host has lost it since: nobody else would
 * tell.
 */
static void test_fallen_back(void **state)
{
    struct fx *fx = *state;
    struct rt_record *rule = &fx_record(fx, "local", "web")->rule;

    fx_claimed(fx, "web", "there", 5, 4);
    rule->exists = true;
    rule->state = RT_SESSION_RUNNING;
    rule->life = 5;
    rule->epoch = 3;
    memcpy(rule->host, "here", sizeof("here"));
    fx_down(fx);
    fx_up(fx, true, false);
    fx_answer_one(fx, 0); /* the census */
    assert_int_equal(fx->last[RT_STORE_STATE].epoch, 3);
    fx_fail(fx, RT_ETIMEDOUT);
    fx_tick(fx, RT_LOST_AFTER_MS);
    fx_answer(fx);
    assert_int_equal(rule->state, RT_SESSION_LOST);
    assert_int_equal(fx->n_submitted[RT_STORE_STATE], 2);
}

/* A guest that came back while the store was out, and went: the record still has its claim of before. */
static void test_gone_unclaimed(void **state)
{
    struct fx *fx = *state;

    for (int ended = 0; ended < 2; ended++) {
        const char *cid = ended ? "db" : "web";
        struct rt_record *rule = &fx_record(fx, "local", cid)->rule;
        struct fx_guest guest;

        fx_guest(&guest, cid, (uint8_t)(1 + ended));
        fx_serve(fx, &guest);
        fx_down(fx);
        fx_serve(fx, &guest);
        assert_int_equal(fx_stats(fx).provisional, 1);
        fx_lost(fx, guest.link);
        if (ended) {
            rule->state = RT_SESSION_ENDED;
        }
        fx_up(fx, false, true);
        fx_tick(fx, RT_LOST_AFTER_MS);
        fx_answer(fx);
        assert_int_equal(rule->epoch, 1);
        assert_int_equal(rule->state, ended ? RT_SESSION_ENDED : RT_SESSION_LOST);
        fx_tick(fx, RT_LEASE_MS);
        fx_answer(fx);
        assert_int_equal(fx->n_ops, 0);
    }
}

/* However often a guest comes back while the store is out: no chain grows so long that it reads as a copy. */
static void test_long_outage(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, copy;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_lost(fx, guest.link);
    fx_answer(fx);
    copy = guest;
    fx_down(fx);
    for (int i = 0; i < 3 * RT_ANCESTORS_MAX; i++) {
        fx_tick(fx, RT_LEASE_MS); /* this agent has forgotten it, as another one would never have known it */
        fx_serve(fx, &guest);
        assert_true(fx_serves(fx, "web"));
        fx_lost(fx, guest.link);
    }
    fx_up(fx, false, true);
    fx_answer(fx);
    fx_serve(fx, &guest);
    assert_true(fx_serves(fx, "web"));
    assert_int_equal(fx_record(fx, "local", "web")->rule.epoch, guest.epoch);
    copy.epoch = guest.epoch + 1;
    fx_hello(fx, &copy);
    fx_answer(fx);
    fx_want_refuse(fx, copy.link, 0, RT_CLASS_FORKED, NULL);
    assert_true(fx_serves(fx, "web"));
}

static void test_provisional_refused(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, clone;
    int client;
    struct rt_frame frame;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_lost(fx, guest.link);
    fx_answer(fx);
    clone = guest;
    fx_serve(fx, &guest);
    fx_lost(fx, guest.link);
    fx_answer(fx);
    fx_tick(fx, RT_LEASE_MS); /* this agent has forgotten it */
    fx_answer(fx);
    fx_down(fx);
    clone.epoch = 10;
    fx_serve(fx, &clone);
    assert_true(fx_serves(fx, "web"));
    client = fx_client(fx, "local");
    fx_attach(fx, client, 1, "web", 0, 0, 0);
    (void)fx_want(fx, clone.link, RT_ATTACH, &frame);
    fx_up(fx, false, true);
    fx_answer(fx);
    fx_want_refuse(fx, clone.link, 0, RT_CLASS_REWOUND, NULL);
    fx_want_refuse(fx, client, 1, RT_CLASS_LOST, NULL);
    assert_false(fx_serves(fx, "web"));
    assert_int_equal(fx_stats(fx).provisional, 0);
    assert_int_equal(fx_stats(fx).forks, 1);
    fx_serve(fx, &guest); /* the honest one is welcome */
    assert_true(fx_serves(fx, "web"));
}

static void test_out_chain_guarded_while_served(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, clone;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    clone = guest;
    fx_serve(fx, &guest);
    fx_down(fx);
    clone.epoch = 50;
    fx_hello(fx, &clone);
    fx_want_refuse(fx, clone.link, 0, RT_CLASS_REWOUND, NULL);
    fx_serve(fx, &guest);
    assert_true(fx_serves(fx, "web"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_store_silent),
        FX_TEST(test_store_down),
        FX_TEST(test_outage_is_waited_for_once),
        FX_TEST(test_outage_is_looked_past),
        FX_TEST(test_join_waits_for_a_slow_store),
        FX_TEST(test_take_repeated),
        FX_TEST(test_takes_are_paced),
        FX_TEST(test_take_unanswered),
        FX_TEST(test_fallen_back),
        FX_TEST(test_gone_unclaimed),
        FX_TEST(test_long_outage),
        FX_TEST(test_provisional_refused),
        FX_TEST(test_out_chain_guarded_while_served),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
