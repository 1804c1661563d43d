/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Tickets that are renewed while their guest is served, and those of starts that were welcomed and never taken. */

#define TTL_MS UINT64_C(3600000)

static struct rt_ticket held(const struct fx_guest *guest)
{
    struct rt_ticket ticket;

    assert_int_equal(rt_ticket_decode(guest->token, guest->token_size, &ticket), 0);
    return ticket;
}

/* Greets and is welcomed, before anybody else has confirmed. */
static void welcomed(struct fx *fx, struct fx_guest *guest, uint8_t inc)
{
    fx_guest(guest, "web", inc);
    fx_hello(fx, guest);
    fx_answer(fx);
    fx_welcome(fx, guest, NULL);
}

static void test_renewed_after_the_first_take(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_ticket first, renewed;

    welcomed(fx, &guest, 1);
    first = held(&guest);
    assert_false(first.taken);
    fx_confirm(fx, &guest);
    assert_false(fx_renewed(fx, &guest));
    fx_answer(fx);
    assert_true(fx_renewed(fx, &guest));
    renewed = held(&guest);
    assert_true(renewed.taken);
    first.taken = true;
    assert_memory_equal(&first, &renewed, sizeof(first)); /* the same place, life and epoch */
    assert_memory_equal(&renewed.id, &fx_record(fx, "local", "web")->rule.ticket, RT_ID_SIZE);

    fx_lost(fx, guest.link);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    assert_true(held(&guest).taken);
    fx_confirm(fx, &guest);
    fx_answer(fx);
    assert_true(fx_serves(fx, "web"));
    assert_false(fx_renewed(fx, &guest)); /* nothing new to say */
}

/* The guest has not got it: its ticket is good, and it gets the next one. */
static void test_renewal_lost(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    welcomed(fx, &guest, 1);
    fx_confirm(fx, &guest);
    fx_answer(fx);
    fx_lost(fx, guest.link);
    assert_false(held(&guest).taken);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    assert_true(held(&guest).taken); /* this agent knows */
    fx_confirm(fx, &guest);
    fx_answer(fx);
    assert_true(fx_serves(fx, "web"));
}

/* Nothing but signs of life until a ticket comes. Returns after how long. */
static uint64_t until_renewed(struct fx *fx, struct fx_guest *guest, uint64_t limit_ms)
{
    uint64_t since = fx->now;
    struct rt_frame frame;
    const uint8_t *payload;

    while (fx->now - since < limit_ms) {
        fx_tick(fx, 4000);
        fx_answer(fx);
        fx_send(fx, guest->link, &(struct rt_frame){.type = RT_PING}, NULL);
        while (fx_next(fx, guest->link, &frame, &payload)) {
            if (frame.type == RT_TICKET) {
                memcpy(guest->token, payload, frame.length);
                guest->token_size = frame.length;
                return fx->now - since;
            }
        }
    }
    fail_msg("no ticket");
    return 0;
}

/* A guest that stays for longer than a ticket is good goes on elsewhere all the same. */
static void test_renewed_before_it_expires(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    uint64_t took;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    for (unsigned i = 0; i < 4; i++) {
        took = until_renewed(fx, &guest, TTL_MS);
        assert_in_range(took, TTL_MS * 3 / 8 - 8000, TTL_MS / 2 + 8000);
        assert_true(held(&guest).expires_ms > fx->wall_ms + fx->now + TTL_MS - 8000);
    }
    fx_lost(fx, guest.link);
    fx_serve(fx, &guest);
    assert_true(fx_serves(fx, "web"));
}

/* The clock is set forward by more than half of a ticket's time: it is renewed at the link's next timer. */
static void test_renewed_when_the_clock_is_set(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx->wall_ms += TTL_MS * 3;
    assert_true(until_renewed(fx, &guest, TTL_MS / 4) < 20000);
    fx_lost(fx, guest.link);
    fx_serve(fx, &guest);
    assert_true(fx_serves(fx, "web"));
}

/* Another key seals: every guest gets its ticket under it, though no ticket is old. */
static void test_renewed_under_a_new_key(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    assert_int_equal(held(&guest).key_id, 0);
    fx->active_key = fx->known_key = 2;
    rt_agent_rekeyed(fx->agent, fx->now);
    assert_true(until_renewed(fx, &guest, 10000) > 0);
    assert_int_equal(held(&guest).key_id, 2);
    assert_true(held(&guest).taken);
}

/* A guest that does not read gets no tickets on top of each other: one, once it reads again. */
static void test_not_renewed_for_who_does_not_read(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_queued(fx, guest.link, RT_LINK_HIGH_WATER + 1);
    for (unsigned i = 0; i < TTL_MS / 1000; i++) {
        fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PING}, NULL);
        fx_tick(fx, 1000);
        assert_false(fx_renewed(fx, &guest));
    }
    fx_queued(fx, guest.link, 0);
    assert_true(until_renewed(fx, &guest, TTL_MS) <= 20000);
}

static void test_renewed_stays_bound(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_join_token(&guest, "local", "web", "vm-1");
    guest.epoch = 1;
    guest.link = fx_open(fx, RT_PEER_GUEST, "vm-1");
    fx_hello_on(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    fx_confirm(fx, &guest);
    fx_answer(fx);
    assert_true(fx_renewed(fx, &guest));
    assert_string_equal(held(&guest).bound_to, "vm-1");
}

/* Two starts with one token, both welcomed before either confirms: the first that confirms is served. The other's
 * ticket, though its life be newer, is worth its join token. */
static void test_two_joins_race(void **state)
{
    struct fx *fx = *state;
    struct fx_guest one, other;
    struct rt_refuse_msg refuse;

    welcomed(fx, &one, 1);
    fx->store_ms += 50;
    welcomed(fx, &other, 2);
    assert_true(other.life > one.life);
    fx_confirm(fx, &one);
    fx_answer(fx);
    fx_confirm(fx, &other);
    fx_answer(fx);
    fx_want_refuse(fx, other.link, 0, RT_CLASS_RETRY_LATER, &refuse);
    assert_true(refuse.drop);
    fx_hello(fx, &other); /* as if it had kept its ticket */
    fx_answer(fx);
    fx_want_refuse(fx, other.link, 0, RT_CLASS_RETRY_LATER, &refuse);
    assert_false(refuse.drop);
    assert_false(fx_closed(fx, one.link));
    assert_int_equal(fx_record(fx, "local", "web")->rule.life, one.life);
}

/* The same, and the store does not answer the second take: who is served stays. */
static void test_silent_store_and_two_joins(void **state)
{
    struct fx *fx = *state;
    struct fx_guest one, other;

    welcomed(fx, &one, 1);
    fx->store_ms += 50;
    welcomed(fx, &other, 2);
    fx_confirm(fx, &one);
    fx_answer(fx);
    fx_confirm(fx, &other);
    fx_fail(fx, RT_ETIMEDOUT);
    fx_want_refuse(fx, other.link, 0, RT_CLASS_RETRY_LATER, NULL);
    fx_down(fx);
    fx_hello(fx, &other);
    fx_want_refuse(fx, other.link, 0, RT_CLASS_RETRY_LATER, NULL);
    assert_false(fx_closed(fx, one.link));
    assert_true(fx_serves(fx, "web"));
}

/* The store falls back to a time before the guest was taken, and another start is in its place. The agent that serves
 * the guest knows that it was taken, even if the guest's own ticket does not say so. */
static void test_taken_again_after_a_fall_back(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_record *rule;

    welcomed(fx, &guest, 1);
    fx_confirm(fx, &guest);
    fx_answer(fx);
    rule = &fx_record(fx, "local", "web")->rule;
    memset(&rule->inc, 99, sizeof(rule->inc));
    memset(&rule->ticket, 98, sizeof(rule->ticket));
    rule->life = guest.life - 1;
    (void)snprintf(rule->host, sizeof(rule->host), "there");
    fx_up(fx, true, false);
    fx_answer(fx);
    assert_true(fx_serves(fx, "web"));
    assert_false(fx_closed(fx, guest.link));
    assert_int_equal(rule->life, guest.life);
    assert_string_equal(rule->host, "here");
}

/* The same at an agent that does not know it: its renewed ticket tells that it was taken. The first one does not. */
static void test_elsewhere_after_a_fall_back(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, old;
    struct rt_record *rule;

    welcomed(fx, &guest, 1);
    fx_confirm(fx, &guest);
    fx_answer(fx);
    old = guest;
    assert_true(fx_renewed(fx, &guest));
    fx_lost(fx, guest.link);
    fx_answer(fx);
    for (unsigned i = 0; i < 2 * RT_LEASE_MS / 1000; i++) {
        fx_tick(fx, 1000);
        fx_answer(fx);
    }
    assert_int_equal(fx_stats(fx).sessions, 0); /* as an agent that never knew it */
    rule = &fx_record(fx, "local", "web")->rule;
    rule->state = RT_SESSION_LOST;
    rule->lost_ms = fx->store_ms;
    memset(&rule->inc, 99, sizeof(rule->inc));
    memset(&rule->ticket, 98, sizeof(rule->ticket));
    rule->life = guest.life - 1;
    (void)snprintf(rule->host, sizeof(rule->host), "there");
    fx_hello(fx, &old);
    fx_answer(fx);
    fx_want_refuse(fx, old.link, 0, RT_CLASS_RETRY_LATER, NULL);
    fx_serve(fx, &guest);
    assert_true(fx_serves(fx, "web"));
    assert_int_equal(rule->life, guest.life);
}

/* Of two that were welcomed the other was taken, at a newer life, and its place is free again: the one that comes with
 * its ticket takes no welcome to another life than that ticket's, so it is told to join. */
static void test_untaken_ticket_of_a_life_gone_by(void **state)
{
    struct fx *fx = *state;
    struct fx_guest one, other;
    struct rt_refuse_msg refuse;
    struct rt_record *rule;

    welcomed(fx, &one, 1);
    fx->store_ms += 50;
    welcomed(fx, &other, 2);
    fx_confirm(fx, &other);
    fx_answer(fx);
    fx_lost(fx, other.link);
    fx_answer(fx);
    for (unsigned i = 0; i < 2 * RT_LEASE_MS / 1000; i++) {
        fx_tick(fx, 1000);
        fx_answer(fx);
    }
    rule = &fx_record(fx, "local", "web")->rule;
    rule->state = RT_SESSION_LOST;
    rule->lost_ms = fx->store_ms - RT_LEASE_MS;
    fx_hello(fx, &one);
    fx_answer(fx);
    fx_want_refuse(fx, one.link, 0, RT_CLASS_RETRY_LATER, &refuse);
    assert_true(refuse.drop);
    fx_guest(&one, "web", 1);
    fx_serve(fx, &one);
    assert_true(one.life > other.life);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_renewed_after_the_first_take),      FX_TEST(test_renewal_lost),
        FX_TEST(test_renewed_before_it_expires),         FX_TEST(test_renewed_when_the_clock_is_set),
        FX_TEST(test_renewed_under_a_new_key),           FX_TEST(test_renewed_stays_bound),
        FX_TEST(test_not_renewed_for_who_does_not_read), FX_TEST(test_two_joins_race),
        FX_TEST(test_silent_store_and_two_joins),        FX_TEST(test_taken_again_after_a_fall_back),
        FX_TEST(test_elsewhere_after_a_fall_back),       FX_TEST(test_untaken_ticket_of_a_life_gone_by),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
