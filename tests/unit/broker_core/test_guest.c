/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* A guest's claims: every row of what may come of them. */

static void test_join(void **state)
{
    struct fx *fx = *state;
    struct rt_welcome_msg welcome;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_hello(fx, &guest);
    assert_int_equal(fx->n_submitted[RT_STORE_TEST], 1);
    fx_answer(fx);
    fx_welcome(fx, &guest, &welcome);
    assert_true(rt_slice_equal(welcome.host, rt_slice_text("here")));
    assert_true(welcome.life > 0);
    assert_false(welcome.drain);
    assert_false(fx_serves(fx, "web")); /* nothing counts before the confirm */
    assert_int_equal(fx->n_submitted[RT_STORE_TAKE], 0);
    fx_confirm(fx, &guest);
    assert_false(fx_serves(fx, "web")); /* nor before the take */
    assert_int_equal(fx->last[RT_STORE_TAKE].claim.granted_life, welcome.life);
    fx_answer(fx);
    assert_true(fx_serves(fx, "web"));
    assert_int_equal(fx_stats(fx).claims, 1);
    assert_int_equal(fx_stats(fx).handshakes, 0);
}

static void test_ticket_of_welcome(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_ticket ticket;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    assert_int_equal(rt_ticket_decode(guest.token, guest.token_size, &ticket), 0);
    assert_false(ticket.join);
    assert_int_equal(ticket.life, guest.life);
    assert_int_equal(ticket.epoch, 1);
    assert_int_equal(ticket.n_ancestors, 0);
    assert_string_equal(ticket.issuer, "here");
    assert_int_equal(ticket.expires_ms, 1700000000000 + UINT64_C(3600000));
    fx_serve(fx, &guest);
    assert_int_equal(rt_ticket_decode(guest.token, guest.token_size, &ticket), 0);
    assert_int_equal(ticket.n_ancestors, 1);
    assert_int_equal(ticket.epoch, 2);
}

/* The store has lost the record and its clock was set back: the number of the new life is above what this agent heard.
 */
static void test_join_above_known_life(void **state)
{
    struct fx *fx = *state;
    struct rt_welcome_msg welcome;
    struct fx_guest guest;
    const uint64_t known = fx->store_ms + 1000000;

    fx_claimed(fx, "web", "there", known, 3);
    fx_guest(&guest, "web", 1);
    fx_hello(fx, &guest);
    assert_int_equal(fx->last[RT_STORE_TEST].claim.life, known);
    fx_answer(fx);
    fx_welcome(fx, &guest, &welcome);
    assert_int_equal(welcome.life, known + 1);
    fx_confirm(fx, &guest);
    fx_answer(fx);
    assert_true(fx_serves(fx, "web"));
    assert_int_equal(fx_record(fx, "local", "web")->rule.life, known + 1);
}

static void test_reconnect_evicts_after_take(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_refuse_msg refuse;
    int old;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    old = guest.link;
    fx_hello(fx, &guest);
    assert_false(fx_closed(fx, old));
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    assert_false(fx_closed(fx, old));
    fx_confirm(fx, &guest);
    assert_false(fx_closed(fx, old));
    fx_answer(fx);
    fx_want_refuse(fx, old, 0, RT_CLASS_STALE, &refuse);
    assert_int_equal(refuse.epoch, 2);
    assert_true(fx_serves(fx, "web"));
    assert_int_equal(fx_stats(fx).served, 1);
    assert_int_equal(fx_stats(fx).guests, 1);
}

static void test_newer_life_supersedes(void **state)
{
    struct fx *fx = *state;
    struct fx_guest old, new;

    fx_guest(&old, "web", 1);
    fx_serve(fx, &old);
    fx_guest(&new, "web", 2);
    fx_hello(fx, &new); /* its join waits while the other is served */
    fx_answer(fx);
    fx_want_refuse(fx, new.link, 0, RT_CLASS_RETRY_LATER, NULL);
    assert_true(fx_serves(fx, "web"));
    fx_record(fx, "local", "web")->rule.state = RT_SESSION_LOST;
    fx->store_ms += UINT64_C(10) * RT_LEASE_MS;
    fx_serve(fx, &new);
    fx_want_refuse(fx, old.link, 0, RT_CLASS_SUPERSEDED, NULL);
    assert_true(fx_serves(fx, "web"));
    fx_hello(fx, &old); /* by memory, without the store */
    assert_int_equal(fx->n_ops, 0);
    fx_want_refuse(fx, old.link, 0, RT_CLASS_SUPERSEDED, NULL);
}

static void test_rewound_and_forked(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, snapshot, clone;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    snapshot = guest;
    fx_serve(fx, &guest);
    snapshot.epoch = 10;
    fx_hello(fx, &snapshot); /* the parent of what was confirmed */
    fx_answer(fx);
    fx_want_refuse(fx, snapshot.link, 0, RT_CLASS_REWOUND, NULL);
    clone = guest;
    clone.epoch = 20;
    fx_hello(fx, &clone);
    fx_answer(fx);
    fx_welcome(fx, &clone, NULL); /* another child, never confirmed */
    fx_serve(fx, &guest);
    fx_confirm(fx, &clone);
    fx_answer(fx);
    fx_want_refuse(fx, clone.link, 0, RT_CLASS_REWOUND, NULL);
    clone.epoch = 30;
    fx_hello(fx, &clone);
    fx_answer(fx);
    fx_want_refuse(fx, clone.link, 0, RT_CLASS_FORKED, NULL);
    assert_true(fx_serves(fx, "web"));
}

static void test_stale_by_memory(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, late;
    struct rt_refuse_msg refuse;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_serve(fx, &guest);
    late = guest;
    late.epoch = 0;
    fx->store = FX_STORE_DOWN;
    fx_hello(fx, &late);
    fx_want_refuse(fx, late.link, 0, RT_CLASS_STALE, &refuse);
    assert_int_equal(refuse.epoch, 2);
    assert_int_equal(refuse.life, guest.life);
    assert_false(fx_closed(fx, guest.link));
}

static void test_memory_heals(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_lost(fx, guest.link);
    fx_claimed(fx, "web", "there", guest.life + 5, 1);
    fx_hello(fx, &guest);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_SUPERSEDED, NULL);
    fx_tick(fx, RT_LEASE_MS + 1);
    fx_answer(fx);
    fx_serve(fx, &guest);
    assert_true(fx_serves(fx, "web"));
}

static void test_news_epoch_makes_stale(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_claimed(fx, "web", "there", guest.life, 9);
    fx_hello(fx, &guest);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_STALE, NULL);
    guest.epoch = 9;
    fx_serve(fx, &guest);
    assert_true(fx_serves(fx, "web"));
}

static void test_two_takes_newest_serves(void **state)
{
    struct fx *fx = *state;
    struct fx_guest one, two;

    fx_guest(&one, "web", 1);
    fx_serve(fx, &one);
    fx_lost(fx, one.link);
    fx_answer(fx);
    fx_hello(fx, &one);
    fx_answer(fx);
    fx_welcome(fx, &one, NULL);
    two = one;
    fx_hello(fx, &two);
    fx_answer(fx);
    fx_welcome(fx, &two, NULL);
    fx_confirm(fx, &two);
    fx_confirm(fx, &one);
    fx_answer(fx);
    fx_want_refuse(fx, one.link, 0, RT_CLASS_REWOUND, NULL);
    assert_true(fx_serves(fx, "web"));
    assert_false(fx_closed(fx, two.link));
    assert_int_equal(fx_stats(fx).served, 1);
}

static void test_take_for_nobody(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    fx_confirm(fx, &guest);
    fx_lost(fx, guest.link);
    fx_answer(fx);
    assert_int_equal(fx_record(fx, "local", "web")->rule.state, RT_SESSION_RUNNING);
    fx_tick(fx, RT_LOST_AFTER_MS);
    fx_answer(fx);
    assert_int_equal(fx_record(fx, "local", "web")->rule.state, RT_SESSION_LOST);
}

static void owned_by(struct fx *fx, const char *cid, const char *host)
{
    struct rt_record *rule = &fx_record(fx, "local", cid)->rule;

    rule->exists = true;
    rule->state = RT_SESSION_RUNNING;
    rule->life = 5;
    (void)snprintf(rule->host, sizeof(rule->host), "%s", host);
}

static void want_later(struct fx *fx, struct fx_guest *guest)
{
    fx_hello(fx, guest);
    fx_answer(fx);
    fx_want_refuse(fx, guest->link, 0, RT_CLASS_RETRY_LATER, NULL);
}

/* A second start waits for as long as the owner's own row moves, or has not been seen standing still for the lease:
 * a host that nobody knows is not dead. */
static void test_owner_dead(void **state)
{
    struct fx *fx = *state;
    struct fx_guest gone, still, living;

    owned_by(fx, "web", "gone"); /* without a row */
    owned_by(fx, "db", "still");
    owned_by(fx, "box", "living");
    fx_host(fx, "living", true);
    fx_host(fx, "still", true);
    fx_beats(fx, 1);
    fx_host(fx, "still", false);
    fx_guest(&gone, "web", 1);
    fx_guest(&still, "db", 2);
    fx_guest(&living, "box", 3);
    want_later(fx, &gone);
    assert_int_equal(fx->n_submitted[RT_STORE_HOST_ROW], 1); /* looked at, at once */
    for (int i = 0; i < 4; i++) {
        want_later(fx, &gone);
        want_later(fx, &still);
        fx_beats(fx, 1);
    }
    fx_beats(fx, 2);
    fx_hello(fx, &gone);
    fx_answer(fx);
    fx_welcome(fx, &gone, NULL);
    fx_hello(fx, &still);
    fx_answer(fx);
    fx_welcome(fx, &still, NULL);
    want_later(fx, &living);
    fx_beats(fx, 8);
    want_later(fx, &living);
}

/* While this agent is out of touch with the store, nobody's standing still counts. */
static void test_owner_dead_out_of_touch(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    owned_by(fx, "db", "still");
    fx_host(fx, "still", true);
    fx_beats(fx, 1);
    fx_host(fx, "still", false);
    fx_guest(&guest, "db", 2);
    want_later(fx, &guest);
    fx_tick(fx, UINT64_C(2) * RT_HEARTBEAT_EXPIRY_MS); /* no heartbeat is answered */
    want_later(fx, &guest);
    fx_beats(fx, 2);
    want_later(fx, &guest);
    fx_beats(fx, 6);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
}

/* More hosts than any page or list holds: those that nothing is known of are looked at, and live. */
static void test_owner_among_many(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    char name[16];

    for (unsigned i = 0; i < FX_HOSTS; i++) {
        (void)snprintf(name, sizeof(name), "host%02u", i);
        fx_host(fx, name, true);
    }
    owned_by(fx, "box", "host79");
    fx_guest(&guest, "box", 3);
    for (int i = 0; i < 20; i++) {
        want_later(fx, &guest);
        fx_beats(fx, 1);
    }
    fx_host(fx, "host79", false);
    fx_beats(fx, 1);
    want_later(fx, &guest);
    fx_beats(fx, 7);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
}

/* Another agent has this one's name: it serves nobody until the store is its own again. */
static void test_name_taken(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_store_news taken = {.kind = RT_STORE_TAKEN};

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx->store = FX_STORE_DOWN;
    rt_agent_store_news(fx->agent, &taken, fx->now);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_RETRY_LATER, NULL);
    assert_true(fx->links[guest.link].closed);
    fx_hello(fx, &guest); /* with its ticket, which is served in an outage */
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_RETRY_LATER, NULL);
    fx_up(fx, true, true);
    fx_answer(fx);
    fx_serve(fx, &guest);
}

static void test_own_orphan_becomes_lost(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_record *rule = &fx_record(fx, "local", "web")->rule;

    rule->exists = true;
    rule->state = RT_SESSION_RUNNING;
    rule->life = 5;
    rule->epoch = 3;
    (void)snprintf(rule->host, sizeof(rule->host), "here");
    fx_guest(&guest, "web", 1);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_RETRY_LATER, NULL);
    fx_tick(fx, RT_LOST_AFTER_MS);
    fx_answer(fx);
    assert_int_equal(rule->state, RT_SESSION_LOST);
}

/* An earlier run of this agent died while its take was on the way; the store has done it behind the census. */
static void test_take_of_an_earlier_run(void **state)
{
    struct fx *fx = *state;
    struct rt_record *rule = &fx_record(fx, "local", "web")->rule;

    rule->exists = true;
    rule->state = RT_SESSION_RUNNING;
    rule->life = 5;
    rule->epoch = 3;
    (void)snprintf(rule->host, sizeof(rule->host), "here");
    fx_claimed(fx, "web", "here", 5, 3);
    fx_tick(fx, RT_LOST_AFTER_MS - 1);
    fx_answer(fx);
    assert_int_equal(rule->state, RT_SESSION_RUNNING);
    fx_tick(fx, 1);
    fx_answer(fx);
    assert_int_equal(rule->state, RT_SESSION_LOST);
}

/* The news of a take may be here before its answer, and once more long after it. */
static void test_news_of_the_own_take(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_record *rule = &fx_record(fx, "local", "web")->rule;

    fx_guest(&guest, "web", 1);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    fx_confirm(fx, &guest);
    fx_claimed(fx, "web", "here", guest.life, guest.epoch);
    fx_answer(fx);
    assert_true(fx_serves(fx, "web"));
    fx_claimed(fx, "web", "here", guest.life, guest.epoch);
    fx_tick(fx, UINT64_C(2) * RT_LOST_AFTER_MS);
    fx_answer(fx);
    assert_true(fx_serves(fx, "web"));
    assert_int_equal(rule->state, RT_SESSION_RUNNING);
}

static void test_draining(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_welcome_msg welcome;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_lost(fx, guest.link);
    fx_answer(fx);
    fx_record(fx, "local", "web")->rule.state = RT_SESSION_ENDED;
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, &welcome);
    assert_true(welcome.drain);
    fx_confirm(fx, &guest);
    fx_answer(fx);
    assert_true(fx_serves(fx, "web"));
    assert_int_equal(fx_record(fx, "local", "web")->rule.state, RT_SESSION_ENDED);
    fx_lost(fx, guest.link); /* stays ended */
    fx_tick(fx, UINT64_C(2) * RT_LOST_AFTER_MS);
    fx_answer(fx);
    assert_int_equal(fx_record(fx, "local", "web")->rule.state, RT_SESSION_ENDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_join),
        FX_TEST(test_ticket_of_welcome),
        FX_TEST(test_join_above_known_life),
        FX_TEST(test_reconnect_evicts_after_take),
        FX_TEST(test_newer_life_supersedes),
        FX_TEST(test_rewound_and_forked),
        FX_TEST(test_stale_by_memory),
        FX_TEST(test_memory_heals),
        FX_TEST(test_news_epoch_makes_stale),
        FX_TEST(test_two_takes_newest_serves),
        FX_TEST(test_take_for_nobody),
        FX_TEST(test_owner_dead),
        FX_TEST(test_owner_dead_out_of_touch),
        FX_TEST(test_owner_among_many),
        FX_TEST(test_name_taken),
        FX_TEST(test_own_orphan_becomes_lost),
        FX_TEST(test_take_of_an_earlier_run),
        FX_TEST(test_news_of_the_own_take),
        FX_TEST(test_draining),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
