/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Peers that break the rules, go, or fall silent: nobody else is disturbed. */

/* Peers that break a rule: refused, closed, and nobody else is disturbed. */
static void expect_protocol(struct fx *fx, int link, const struct rt_frame *frame)
{
    static const uint8_t zeros[RT_FRAME_PAYLOAD_MAX];

    fx_send(fx, link, frame, zeros);
    fx_want_refuse(fx, link, 0, RT_CLASS_PROTOCOL, NULL);
}

static void test_guests_that_break_rules(void **state)
{
    struct fx *fx = *state;
    struct fx_guest good, bad;
    struct rt_frame frame;
    int client;
    const struct rt_frame frames[] = {
        {.type = RT_HELLO, .length = 1},
        {.type = RT_WELCOME, .length = 1},
        {.type = RT_CONFIRM},
        {.type = RT_ATTACH, .channel = 1, .length = 1},
        {.type = RT_REQUEST, .length = 1},
        {.type = RT_REPLY, .length = 1},
        {.type = RT_END_OK, .length = 1},
        {.type = RT_DETACH, .channel = 1},
        {.type = RT_DATA, .channel = 1, .stream = RT_STDIN, .length = 1},
        {.type = RT_DATA, .channel = 1, .stream = RT_CONTROL_DOWN, .length = 1},
        {.type = RT_ACK, .channel = 1, .stream = RT_STDOUT, .length = RT_ACK_PAYLOAD},
        {.type = RT_END, .length = 1},
        {.type = 77},
        {.type = RT_PING, .channel = 4},
        {.type = RT_DATA, .channel = 0, .stream = 1, .length = 1},
        {.type = RT_DATA, .channel = 1, .stream = 1, .length = 1, .offset = RT_COUNTER_MAX},
    };

    fx_attached(fx, &good, &client);
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        fx_guest(&bad, "bad", (uint8_t)(10 + i));
        fx_record(fx, "local", "bad")->rule.state = RT_SESSION_ENDED;
        fx_serve(fx, &bad);
        expect_protocol(fx, bad.link, &frames[i]);
        fx_answer(fx);
    }
    fx_data(fx, good.link, 1, RT_STDOUT, 0, "fine", 4);
    (void)fx_want(fx, client, RT_DATA, &frame);
    assert_int_equal(fx_stats(fx).guests, 1);
}

static void test_clients_that_break_rules(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int good;
    const struct rt_frame frames[] = {
        {.type = RT_HELLO, .length = 1},
        {.type = RT_CONFIRM},
        {.type = RT_REPORT, .length = 1},
        {.type = RT_TAIL, .stream = 1, .length = 1},
        {.type = RT_END, .length = 1},
        {.type = RT_ATTACHED, .channel = 1, .length = 1},
        {.type = RT_GAP, .channel = 1, .stream = 1, .length = RT_GAP_PAYLOAD},
        {.type = RT_DATA, .channel = 1, .stream = RT_STDOUT, .length = 1},
        {.type = RT_ACK, .channel = 1, .stream = RT_STDIN, .length = RT_ACK_PAYLOAD},
        {.type = RT_ATTACH, .channel = 1, .length = 1},
        {.type = RT_REQUEST, .length = 1},
    };

    fx_attached(fx, &guest, &good);
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        expect_protocol(fx, fx_client(fx, "local"), &frames[i]);
    }
    fx_data(fx, guest.link, 1, RT_STDOUT, 0, "fine", 4);
    (void)fx_want(fx, good, RT_DATA, &frame);
    assert_int_equal(fx_stats(fx).clients, 1);
}

static void test_frames_before_the_handshake(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    const struct rt_frame frames[] = {
        {.type = RT_PING},
        {.type = RT_REPORT, .length = 1},
        {.type = RT_DATA, .channel = 1, .stream = 1, .length = 1},
        {.type = RT_CONFIRM},
        {.type = RT_REQUEST, .length = 1},
        {.type = RT_ATTACH, .channel = 1, .length = 1},
    };

    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        expect_protocol(fx, fx_open(fx, RT_PEER_GUEST, ""), &frames[i]);
        expect_protocol(fx, fx_open(fx, RT_PEER_CLIENT, "local"), &frames[i]);
        fx_guest(&guest, "web", 1);
        fx_hello(fx, &guest);
        expect_protocol(fx, guest.link, &frames[i]); /* TESTING */
        fx_answer(fx);
    }
    fx_guest(&guest, "web", 1);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    expect_protocol(fx, guest.link, &(struct rt_frame){.type = RT_HELLO, .length = 1});
    assert_int_equal(fx_stats(fx).handshakes, 0);
    assert_int_equal(fx_stats(fx).links, 0);
}

static void test_channels_rise(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int client;

    fx_attached(fx, &guest, &client);
    fx_attach(fx, client, 7, "web", 0, 0, 0);
    fx_want_refuse(fx, client, 0, RT_CLASS_PROTOCOL, NULL);
    fx_want_refuse(fx, guest.link, 2 - 1, RT_CLASS_LOST, NULL) /* its only channel */;
}

static void test_client_lost(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client;

    fx_attached(fx, &guest, &client);
    fx_attach(fx, client, 8, "web", 0, 0, 0);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    fx_lost(fx, client);
    fx_want_refuse(fx, guest.link, 1, RT_CLASS_LOST, NULL);
    fx_want_refuse(fx, guest.link, 2, RT_CLASS_LOST, NULL);
    assert_int_equal(fx_stats(fx).channels, 0);
    assert_true(fx_serves(fx, "web"));
}

static void test_refuse_from_peers(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_refuse_msg refuse = {.c = RT_CLASS_STOLEN};
    int client;

    fx_attached(fx, &guest, &client);
    fx_msg(fx, guest.link, &(struct rt_frame){.type = RT_REFUSE, .channel = 1}, RT_MSG_REFUSE, &refuse);
    fx_want_refuse(fx, client, 7, RT_CLASS_STOLEN, NULL);
    assert_int_equal(fx_stats(fx).channels, 0);
    fx_msg(fx, client, &(struct rt_frame){.type = RT_REFUSE}, RT_MSG_REFUSE, &refuse);
    assert_true(fx_closed(fx, client));
}

static void test_pings(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client;

    fx_attached(fx, &guest, &client);
    fx_tick(fx, RT_PING_BUSY_MS);
    (void)fx_want(fx, guest.link, RT_PING, &frame);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PONG, .offset = frame.offset}, NULL);
    (void)fx_want(fx, client, RT_PING, &frame);
    fx_tick(fx, UINT64_C(2) * RT_PING_BUSY_MS); /* the client misses its third */
    assert_true(fx_closed(fx, client));
    assert_false(fx_closed(fx, guest.link));
    fx_want_refuse(fx, guest.link, 1, RT_CLASS_LOST, NULL);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PING}, NULL);
    fx->links[guest.link].out_read = fx->links[guest.link].out_size;
    fx_tick(fx, RT_PING_IDLE_MS - 1); /* no channel any more */
    fx_none(fx, guest.link);
    fx_tick(fx, 1 + UINT64_C(2) * RT_PING_IDLE_MS);
    assert_true(fx_closed(fx, guest.link));
    assert_false(fx_serves(fx, "web"));
}

/* Neither a PONG of a token that was never sent nor the same one twice keeps a silent link. */
static void test_pongs_that_answer_nothing(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client;

    fx_attached(fx, &guest, &client);
    fx_tick(fx, RT_PING_BUSY_MS);
    (void)fx_want(fx, guest.link, RT_PING, &frame);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PONG, .offset = frame.offset}, NULL);
    fx_tick(fx, RT_PING_BUSY_MS);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PONG, .offset = frame.offset}, NULL);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PONG, .offset = 1}, NULL);
    fx_send(fx, client, &(struct rt_frame){.type = RT_PING}, NULL);
    fx_tick(fx, RT_PING_BUSY_MS);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PONG, .offset = frame.offset}, NULL);
    assert_false(fx_closed(fx, guest.link));
    fx_tick(fx, RT_PING_BUSY_MS);
    assert_true(fx_closed(fx, guest.link));
}

static void test_attach_to_an_idle_guest_keeps_it(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int client;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_tick(fx, RT_PING_IDLE_MS - 1); /* silent for longer than three of the shorter intervals */
    client = fx_client(fx, "local");
    fx_attach(fx, client, 1, "web", 0, 0, 0);
    fx_tick(fx, 100);
    assert_false(fx_closed(fx, guest.link));
}

static void test_ping_flood_unread(void **state)
{
    struct fx *fx = *state;
    struct rt_request_msg request;
    int client = fx_client(fx, "local");

    rt_agent_queued(fx->agent, fx->links[client].id, RT_LINK_HIGH_WATER + 1, fx->now);
    fx_send(fx, client, &(struct rt_frame){.type = RT_PING}, NULL);
    fx_none(fx, client);
    memset(&request, 0, sizeof request);
    request.op = rt_slice_text("nonsense");
    for (unsigned i = 0; i < 40000 && !fx_closed(fx, client); i++) {
        fx_request(fx, client, i, &request);
        fx->links[client].out_size = fx->links[client].out_read = 0;
        fx_tick(fx, 0);
    }
    assert_true(fx_closed(fx, client));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_guests_that_break_rules),
        FX_TEST(test_clients_that_break_rules),
        FX_TEST(test_frames_before_the_handshake),
        FX_TEST(test_channels_rise),
        FX_TEST(test_client_lost),
        FX_TEST(test_refuse_from_peers),
        FX_TEST(test_pings),
        FX_TEST(test_pongs_that_answer_nothing),
        FX_TEST(test_attach_to_an_idle_guest_keeps_it),
        FX_TEST(test_ping_flood_unread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
