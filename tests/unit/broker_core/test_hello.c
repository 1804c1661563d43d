/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include "broker/core/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
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

/* From a link that proves this virtual machine, up to the answer of the take. */
static void serve_from(struct fx *fx, struct fx_guest *guest, const char *vm)
{
    struct rt_welcome_msg welcome;

    guest->link = fx_open(fx, RT_PEER_GUEST, vm);
    fx_hello_on(fx, guest);
    fx_answer(fx);
    fx_welcome(fx, guest, &welcome);
    guest->life = welcome.life;
    fx_confirm(fx, guest);
    fx_answer(fx);
    (void)fx_renewed(fx, guest);
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

/* The token is good anywhere; the ticket is the virtual machine's that was proved first. */
static void test_ticket_bound_by_proof(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_ticket ticket;
    struct rt_refuse_msg refuse;

    fx_guest(&guest, "web", 1);
    guest.epoch = 1;
    serve_from(fx, &guest, "vm:a");
    assert_int_equal(rt_ticket_decode(guest.token, guest.token_size, &ticket), 0);
    assert_string_equal(ticket.bound_to, "vm:a");
    fx_lost(fx, guest.link);
    guest.epoch++;
    guest.link = fx_open(fx, RT_PEER_GUEST, "vm:b");
    fx_hello_on(fx, &guest);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_BAD_AUTH, &refuse);
    guest.link = fx_open(fx, RT_PEER_GUEST, "");
    fx_hello_on(fx, &guest);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_BAD_AUTH, &refuse);
    serve_from(fx, &guest, "vm:a");
    assert_true(fx_serves(fx, "web"));
}

/* Another start in the same virtual machine: the one before cannot be there any more, so it need not be lost. */
static void test_same_vm_starts_at_once(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, other;
    uint64_t life;

    fx_guest(&guest, "web", 1);
    guest.epoch = 1;
    serve_from(fx, &guest, "vm:a");
    life = guest.life;
    fx_guest(&other, "web", 2);
    other.epoch = 1;
    other.link = fx_open(fx, RT_PEER_GUEST, "vm:b");
    fx_hello_on(fx, &other);
    fx_answer(fx);
    fx_want_refuse(fx, other.link, 0, RT_CLASS_RETRY_LATER, NULL);
    other.link = fx_open(fx, RT_PEER_GUEST, "");
    fx_hello_on(fx, &other);
    fx_answer(fx);
    fx_want_refuse(fx, other.link, 0, RT_CLASS_RETRY_LATER, NULL);
    serve_from(fx, &other, "vm:a");
    assert_true(other.life > life);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_SUPERSEDED, NULL);
    fx_lost(fx, other.link);
    fx_tick(fx, RT_LOST_AFTER_MS);
    fx_answer(fx);
    fx_guest(&guest, "web", 3);
    guest.epoch = 1;
    serve_from(fx, &guest, "vm:a");
    assert_true(guest.life > other.life);
}

static void hello_as(struct fx *fx, int link, const char *role, uint64_t vmin, uint64_t vmax)
{
    struct rt_hello_msg hello;

    memset(&hello, 0, sizeof(hello));
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

/* What comes before it is known who is there ends the link, and nothing is sent on it, whatever happens. */
static void test_unproved(void **state)
{
    struct fx *fx = *state;
    struct rt_peer peer = {.role = RT_PEER_CLIENT};
    struct rt_hello_msg msg = {.vmin = 1, .vmax = 1, .role = rt_slice_text("client")};
    int early = fx_open_as(fx, &peer), late = fx_open_as(fx, &peer), stopped;

    fx_msg(fx, early, &(struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &msg);
    assert_true(fx_closed(fx, early));
    fx_tick(fx, RT_HANDSHAKE_TIMEOUT_MS - 1);
    assert_false(fx_closed(fx, late));
    assert_int_equal(fx_stats(fx).shaking[RT_PEER_CLIENT], 1);
    fx_tick(fx, 1);
    assert_true(fx_closed(fx, late));
    fx_proved(fx, late, RT_CLIENT_OPERATOR, ""); /* too late */
    assert_int_equal(fx_stats(fx).links, 0);
    stopped = fx_open_as(fx, &peer);
    rt_agent_stop(fx->agent, fx->now);
    fx_settle(fx);
    assert_true(fx_closed(fx, stopped));
    assert_int_equal(fx->links[early].out_size + fx->links[late].out_size + fx->links[stopped].out_size, 0);
}

/* Who is there may be known long after the link was opened, as late as its handshake may last. */
static void test_proved_later(void **state)
{
    struct fx *fx = *state;
    struct rt_peer peer = {.role = RT_PEER_CLIENT};
    struct rt_hello_msg msg = {.vmin = 1, .vmax = 1, .role = rt_slice_text("client")};
    int link = fx_open_as(fx, &peer);
    struct rt_frame frame;

    fx_tick(fx, RT_HANDSHAKE_TIMEOUT_MS - 1);
    fx_proved(fx, link, RT_CLIENT_VIEWER, "acme");
    fx_msg(fx, link, &(struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &msg);
    (void)fx_want(fx, link, RT_WELCOME, &frame);
    assert_string_equal(rt_ag_link(fx->agent, fx->links[link].id)->who, "acme");
    assert_int_equal(rt_ag_link(fx->agent, fx->links[link].id)->client->as, RT_CLIENT_VIEWER);
}

static struct rt_peer peer_of(enum rt_peer_role role, unsigned n, bool lone)
{
    struct rt_peer peer;

    memset(&peer, 0, sizeof(peer));
    peer.role = role;
    peer.lone = lone;
    (void)snprintf(peer.identity, sizeof(peer.identity), "peer %u", n);
    return peer;
}

/* So many connections that say nothing. */
static void crowd(struct fx *fx, const struct rt_peer *peer, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        fx_open_as(fx, peer);
    }
}

/* A peer that is one machine has few handshakes: its oldest one goes, nobody else's. */
static void test_handshakes_of_one_machine(void **state)
{
    struct fx *fx = *state;
    struct rt_peer bad = peer_of(RT_PEER_GUEST, 1, true), good = peer_of(RT_PEER_GUEST, 2, true);
    int link = fx_open_as(fx, &good), first = fx_open_as(fx, &bad);

    crowd(fx, &bad, RT_PEER_HANDSHAKES_MAX - 1);
    assert_false(fx_closed(fx, first));
    crowd(fx, &bad, 1);
    assert_true(fx_closed(fx, first));
    assert_false(fx_closed(fx, first + 1));
    crowd(fx, &bad, 20);
    assert_false(fx_closed(fx, link));
    assert_int_equal(fx_stats(fx).shaking[RT_PEER_GUEST], RT_PEER_HANDSHAKES_MAX + 1);
    assert_int_equal(fx_stats(fx).evicted[RT_PEER_GUEST], 21);
    assert_int_equal(fx_stats(fx).turned_away[RT_PEER_GUEST], 0);
}

/* However many connections there are, of whomever: who comes gets in, and is through before he is the oldest. Guests
 * and clients do not take each other's places. */
static void test_handshakes_limit(void **state)
{
    struct fx *fx = *state;
    struct rt_peer peer = peer_of(RT_PEER_GUEST, 0, false);
    struct fx_guest guest;

    for (unsigned i = 0; i < 3 * RT_AGENT_HANDSHAKES_MAX; i++) {
        peer = peer_of(RT_PEER_GUEST, i % 5, false);
        assert_int_not_equal(rt_agent_opened(fx->agent, &peer, fx->now), 0);
    }
    assert_int_equal(fx_stats(fx).shaking[RT_PEER_GUEST], RT_AGENT_HANDSHAKES_MAX);
    assert_int_equal(fx_stats(fx).shaking[RT_PEER_CLIENT], 0);
    (void)fx_client(fx, "local");
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    assert_true(fx_serves(fx, "web"));
    assert_int_equal(fx_stats(fx).turned_away[RT_PEER_GUEST], 0);
}

/* All guests of a host dial at once, through one user. The store has not answered any of them yet. Whoever has shown
 * its token stays, however many come after it and say nothing yet; and all are served once the store answers. */
static void test_claims_stay(void **state)
{
    enum { GUESTS = 40 };
    struct fx *fx = *state;
    struct rt_peer peer = peer_of(RT_PEER_GUEST, 1, false);
    struct fx_guest guest[GUESTS];
    char cid[16];

    for (unsigned i = 0; i < GUESTS; i++) {
        (void)snprintf(cid, sizeof(cid), "web-%u", i);
        fx_guest(&guest[i], cid, (uint8_t)(1 + i));
        guest[i].link = fx_open_as(fx, &peer);
        fx_proved(fx, guest[i].link, RT_CLIENT_NOBODY, "");
        guest[i].epoch = guest[i].nonce = 1;
        fx_hello_on(fx, &guest[i]);
    }
    for (unsigned i = 0; i < RT_AGENT_HANDSHAKES_MAX; i++) {
        assert_int_not_equal(rt_agent_opened(fx->agent, &peer, fx->now), 0);
    }
    assert_int_equal(fx_stats(fx).claiming, GUESTS);
    assert_int_equal(fx_stats(fx).shaking[RT_PEER_GUEST], RT_AGENT_HANDSHAKES_MAX - RT_AGENT_HANDSHAKES_MAX / 4);
    fx_answer(fx);
    for (unsigned i = 0; i < GUESTS; i++) {
        fx_welcome(fx, &guest[i], NULL);
        fx_confirm(fx, &guest[i]);
    }
    fx_answer(fx);
    assert_int_equal(fx_stats(fx).served, GUESTS);
    assert_int_equal(fx_stats(fx).claiming, 0);
}

/* One that has shown its token, and then says nothing more, gives way when all places of guests are taken. */
static void test_silent_claim_gives_way(void **state)
{
    struct fx *fx = *state;
    struct rt_peer peer = peer_of(RT_PEER_GUEST, 1, false);
    struct fx_guest silent, guest;

    fx->agent->config.links_max[RT_PEER_GUEST] = 1;
    fx_guest(&silent, "old", 1);
    fx_hello(fx, &silent);
    assert_int_equal(fx_stats(fx).claiming, 1);
    guest.link = fx_open_as(fx, &peer);
    assert_true(fx_closed(fx, silent.link));
    assert_false(fx_closed(fx, guest.link));
    assert_int_equal(fx_stats(fx).claiming, 0);
    assert_int_equal(fx_stats(fx).evicted[RT_PEER_GUEST], 1);
}

/* Who has just been turned away is told of which limit. */
static void away(struct fx *fx, const struct rt_peer *peer, const char *which, uint64_t most, uint64_t delay)
{
    uint8_t bytes[RT_FRAME_HEADER + RT_SHORT_MAX];
    size_t size = rt_agent_turned_away(fx->agent, peer, bytes, sizeof(bytes));
    struct rt_refuse_msg msg;
    struct rt_frame frame;

    assert_true(size > RT_FRAME_HEADER);
    rt_frame_get(bytes, &frame);
    assert_int_equal(size, RT_FRAME_HEADER + frame.length);
    assert_int_equal(frame.type, RT_REFUSE);
    assert_int_equal(frame.channel, 0);
    assert_int_equal(rt_msg_decode(RT_MSG_REFUSE, bytes + RT_FRAME_HEADER, frame.length, &msg, NULL, 0), 0);
    assert_int_equal(msg.c, RT_CLASS_LIMIT);
    assert_true(rt_slice_equal(msg.which, rt_slice_text(which)));
    assert_int_equal(msg.max, most);
    assert_int_equal(msg.delay, delay);
}

/* One user does not take all places, of handshakes and of links, from the others. */
static void test_places_of_one_user(void **state)
{
    struct fx *fx = *state;
    struct rt_peer bad = peer_of(RT_PEER_CLIENT, 1, false), good = peer_of(RT_PEER_CLIENT, 2, false);
    struct rt_hello_msg hello;
    unsigned n = 0, most = RT_AGENT_LINKS_MAX - RT_AGENT_LINKS_MAX / 4;
    rt_link_id id;

    for (unsigned i = 0; i < 2 * RT_AGENT_HANDSHAKES_MAX; i++) {
        assert_int_not_equal(rt_agent_opened(fx->agent, &bad, fx->now), 0);
    }
    assert_int_equal(fx_stats(fx).shaking[RT_PEER_CLIENT], RT_AGENT_HANDSHAKES_MAX - RT_AGENT_HANDSHAKES_MAX / 4);
    fx_tick(fx, RT_HANDSHAKE_TIMEOUT_MS);
    memset(&hello, 0, sizeof(hello));
    hello.vmin = hello.vmax = 1;
    hello.role = rt_slice_text("client");
    for (; n < most; n++) { /* without the fixture's books: they are many */
        uint8_t bytes[2 * RT_FRAME_HEADER + 256];
        int size = rt_msg_encode(RT_MSG_HELLO, &hello, bytes + sizeof(bytes) - 256, 256);
        assert_true(size > 0);
        rt_frame_put(bytes + RT_FRAME_HEADER, &(struct rt_frame){.type = RT_HELLO, .length = (uint32_t)size});
        id = rt_agent_opened(fx->agent, &bad, fx->now);
        assert_int_not_equal(id, 0);
        rt_agent_proved(fx->agent, id, &(struct rt_proof){.as = RT_CLIENT_VCH, .who = "local"}, fx->now);
        (void)rt_agent_input(fx->agent, id, bytes + RT_FRAME_HEADER, RT_FRAME_HEADER + (size_t)size, fx->now);
    }
    assert_int_equal(rt_agent_opened(fx->agent, &bad, fx->now), 0);
    assert_int_equal(fx_stats(fx).turned_away[RT_PEER_CLIENT], 1);
    away(fx, &bad, "listen.max_clients", most, 0);
    assert_int_not_equal(rt_agent_opened(fx->agent, &good, fx->now), 0);
    assert_int_equal(rt_agent_turned_away(fx->agent, &good, (uint8_t[2100]){0}, 2100), 0);
    fx->agent->config.links_max[RT_PEER_GUEST] = 0;
    good = peer_of(RT_PEER_GUEST, 2, false);
    assert_int_equal(rt_agent_opened(fx->agent, &good, fx->now), 0);
    away(fx, &good, "listen.max_guests", 0, AG_RETRY_DELAY_MS);
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
        FX_TEST(test_bad_hellos),
        FX_TEST(test_expired_and_stolen_tickets),
        FX_TEST(test_bound_token),
        FX_TEST(test_ticket_bound_by_proof),
        FX_TEST(test_same_vm_starts_at_once),
        FX_TEST(test_unknown_key),
        FX_TEST(test_clock_set_later),
        FX_TEST(test_role_and_version),
        FX_TEST(test_handshake_deadline),
        FX_TEST(test_unproved),
        FX_TEST(test_proved_later),
        FX_TEST(test_handshakes_limit),
        FX_TEST(test_claims_stay),
        FX_TEST(test_silent_claim_gives_way),
        FX_TEST(test_handshakes_of_one_machine),
        FX_TEST(test_places_of_one_user),
        FX_TEST(test_byte_by_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
