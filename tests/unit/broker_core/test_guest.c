/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A guest's handshake and the claims: every row of what may come of it. */

static int setup(void **state)
{
    struct fx *fx = calloc(1, sizeof *fx);

    assert_non_null(fx);
    fx_init(fx);
    assert_non_null(fx->agent);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    fx_close(*state);
    free(*state);
    return 0;
}

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

static void test_bad_hellos(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    guest.cid = "other";
    fx_hello(fx, &guest);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_BAD_AUTH, NULL);
    guest.cid = "no such/id";
    fx_hello(fx, &guest);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_PROTOCOL, NULL);
    fx_guest(&guest, "web", 1);
    guest.token[0] ^= 0x40;
    fx_hello(fx, &guest);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_BAD_AUTH, NULL);
    fx_guest(&guest, "web", 1);
    guest.token_size = 0;
    fx_hello(fx, &guest);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_PROTOCOL, NULL);
    fx_guest(&guest, "web", 1);
    guest.epoch = UINT64_MAX; /* becomes 0 */
    fx_hello(fx, &guest);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_PROTOCOL, NULL);
    assert_int_equal(fx_stats(fx).refused, 5);
    assert_int_equal(fx_stats(fx).links, 0);
    assert_int_equal(fx->n_submitted[RT_STORE_TEST], 0);
}

static void test_expired_and_stolen_tickets(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, thief;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    thief = guest;
    thief.inc = 7;
    fx_hello(fx, &thief);
    fx_want_refuse(fx, thief.link, 0, RT_CLASS_BAD_AUTH, NULL);
    fx_lost(fx, guest.link);
    fx_tick(fx, UINT64_C(3600000));
    fx_answer(fx);
    fx_hello(fx, &guest);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_BAD_AUTH, NULL);
}

static void test_bound_token(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_ticket ticket;

    fx_guest(&guest, "web", 1);
    fx_join_token(&guest, "local", "web", "vm-1");
    fx_hello(fx, &guest);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_BAD_AUTH, NULL);
    guest.link = fx_open(fx, RT_PEER_GUEST, "vm-2");
    fx_hello_on(fx, &guest);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_BAD_AUTH, NULL);
    guest.link = fx_open(fx, RT_PEER_GUEST, "vm-1");
    fx_hello_on(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    assert_int_equal(rt_ticket_decode(guest.token, guest.token_size, &ticket), 0);
    assert_string_equal(ticket.bound_to, "vm-1");
}

static void hello_as(struct fx *fx, int link, const char *role, uint64_t vmin, uint64_t vmax)
{
    struct rt_hello_msg hello;

    memset(&hello, 0, sizeof hello);
    hello.vmin = vmin;
    hello.vmax = vmax;
    hello.role = rt_slice_text(role);
    fx_msg(fx, link, &(struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &hello);
}

static void test_role_and_version(void **state)
{
    struct fx *fx = *state;
    int link = fx_open(fx, RT_PEER_GUEST, "");

    hello_as(fx, link, "client", 1, 1);
    fx_want_refuse(fx, link, 0, RT_CLASS_DENIED, NULL);
    link = fx_open(fx, RT_PEER_CLIENT, "local");
    hello_as(fx, link, "guest", 1, 1);
    fx_want_refuse(fx, link, 0, RT_CLASS_DENIED, NULL);
    link = fx_open(fx, RT_PEER_CLIENT, "local");
    hello_as(fx, link, "client", 2, 3);
    fx_want_refuse(fx, link, 0, RT_CLASS_VERSION, NULL);
    link = fx_open(fx, RT_PEER_CLIENT, "local");
    hello_as(fx, link, "client", 1, 9);
    fx_want(fx, link, RT_WELCOME, &(struct rt_frame){0});
}

static void test_handshake_deadline(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int silent = fx_open(fx, RT_PEER_CLIENT, "local");

    fx_guest(&guest, "web", 1);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    fx_tick(fx, RT_HANDSHAKE_TIMEOUT_MS - 1);
    assert_false(fx_closed(fx, silent));
    fx_tick(fx, 1);
    assert_true(fx_closed(fx, silent));
    assert_true(fx_closed(fx, guest.link));
    assert_int_equal(fx_stats(fx).links, 0);
    assert_int_equal(fx_stats(fx).handshakes, 0);
}

static void test_handshakes_limit(void **state)
{
    struct fx *fx = *state;
    struct rt_peer peer;
    rt_link_id ids[RT_AGENT_HANDSHAKES_MAX];

    memset(&peer, 0, sizeof peer);
    peer.role = RT_PEER_GUEST;
    for (size_t i = 0; i < RT_AGENT_HANDSHAKES_MAX; i++) {
        ids[i] = rt_agent_opened(fx->agent, &peer, fx->now);
        assert_int_not_equal(ids[i], 0);
    }
    assert_int_equal(rt_agent_opened(fx->agent, &peer, fx->now), 0);
    rt_agent_closed(fx->agent, ids[5], "gone", fx->now);
    assert_int_not_equal(rt_agent_opened(fx->agent, &peer, fx->now), 0);
}

static void test_store_silent(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, joins;

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
    fx_want_refuse(fx, joins.link, 0, RT_CLASS_RETRY_LATER, NULL);
    fx_welcome(fx, &guest, NULL);
    fx_answer(fx); /* too late */
    fx_none(fx, guest.link);
    fx_confirm(fx, &guest);
    fx_tick(fx, RT_CLAIM_TIMEOUT_MS);
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
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PONG}, NULL);
    fx_up(fx, false, true);
    fx_answer(fx);
    assert_int_equal(fx_stats(fx).provisional, 0);
    assert_int_equal(fx_record(fx, "local", "web")->rule.epoch, 2);
}

static void test_take_repeated(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    size_t takes;

    fx_guest(&guest, "web", 1);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    fx_confirm(fx, &guest);
    fx_fail(fx, RT_ETIMEDOUT);
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

static void test_owner_dead(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_record *rule = &fx_record(fx, "local", "web")->rule;

    rule->exists = true;
    rule->state = RT_SESSION_RUNNING;
    rule->life = 5;
    (void)snprintf(rule->host, sizeof rule->host, "dead");
    fx_guest(&guest, "web", 1);
    fx_hello(fx, &guest);
    fx_answer(fx); /* unknown, so the registry is asked: not there */
    assert_int_equal(fx->n_submitted[RT_STORE_HOSTS], 1);
    fx_welcome(fx, &guest, NULL);

    rule = &fx_record(fx, "local", "db")->rule;
    rule->exists = true;
    rule->state = RT_SESSION_RUNNING;
    rule->life = 5;
    (void)snprintf(rule->host, sizeof rule->host, "living");
    fx_guest(&guest, "db", 2);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_RETRY_LATER, NULL);
    fx_host(fx, "living", false);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
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
    (void)snprintf(rule->host, sizeof rule->host, "here");
    fx_guest(&guest, "web", 1);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_RETRY_LATER, NULL);
    fx_tick(fx, RT_LOST_AFTER_MS);
    fx_answer(fx);
    assert_int_equal(rule->state, RT_SESSION_LOST);
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

static void test_byte_by_byte(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    guest.link = fx_open(fx, RT_PEER_GUEST, "");
    fx->links[guest.link].chunk = 1;
    guest.epoch = 1;
    fx_hello_on(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    fx_confirm(fx, &guest);
    fx_answer(fx);
    assert_true(fx_serves(fx, "web"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_join),
        TEST(test_ticket_of_welcome),
        TEST(test_reconnect_evicts_after_take),
        TEST(test_newer_life_supersedes),
        TEST(test_rewound_and_forked),
        TEST(test_stale_by_memory),
        TEST(test_memory_heals),
        TEST(test_news_epoch_makes_stale),
        TEST(test_bad_hellos),
        TEST(test_expired_and_stolen_tickets),
        TEST(test_bound_token),
        TEST(test_role_and_version),
        TEST(test_handshake_deadline),
        TEST(test_handshakes_limit),
        TEST(test_store_silent),
        TEST(test_store_down),
        TEST(test_take_repeated),
        TEST(test_provisional_refused),
        TEST(test_out_chain_guarded_while_served),
        TEST(test_two_takes_newest_serves),
        TEST(test_take_for_nobody),
        TEST(test_owner_dead),
        TEST(test_own_orphan_becomes_lost),
        TEST(test_draining),
        TEST(test_byte_by_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
