/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Hellos: what is refused before any claim, and the bounds of a handshake. */

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

/* The key ring is brought to one host after the other: a guest that is ahead of it asks again soon. */
static void test_unknown_key(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_refuse_msg refuse;

    fx->active_key = 2;
    fx->known_key = 2;
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_lost(fx, guest.link);
    fx->known_key = 1; /* as the ring of another host */
    fx_hello(fx, &guest);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_RETRY_LATER, &refuse);
    assert_in_range(refuse.delay, 1, 1000);
    fx->known_key = 2;
    fx_serve(fx, &guest);
    assert_true(fx_serves(fx, "web"));
}

/* The clock is set after the start of the agent: what it seals from then on expires by the new time. */
static void test_clock_set_later(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx->wall_ms += UINT64_C(86400000);
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_lost(fx, guest.link);
    fx_tick(fx, UINT64_C(3600000) - 1);
    fx_answer(fx);
    fx_serve(fx, &guest);
    assert_true(fx_serves(fx, "web"));
    fx_lost(fx, guest.link);
    fx->wall_ms += UINT64_C(3600000);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_bad_hellos),         FX_TEST(test_expired_and_stolen_tickets),
        FX_TEST(test_bound_token),        FX_TEST(test_unknown_key),
        FX_TEST(test_clock_set_later),    FX_TEST(test_role_and_version),
        FX_TEST(test_handshake_deadline), FX_TEST(test_handshakes_limit),
        FX_TEST(test_byte_by_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
