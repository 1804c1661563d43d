/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/say.h"
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
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
        {.type = RT_DATA, .channel = 1, .stream = RT_STREAMS, .length = 1},
        {.type = RT_DATA, .channel = 1, .stream = 1, .length = 1, .flags = 1},
        {.type = RT_ACK, .channel = 1, .length = RT_ACK_PAYLOAD, .flags = 2},
        {.type = RT_STOP, .channel = 1, .flags = 1},
    };

    fx_attached(fx, &good, &client);
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
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
        {.type = RT_REFUSE, .length = 1},
        {.type = RT_FIN, .channel = 1, .stream = RT_STDOUT},
        {.type = RT_STOP, .channel = 1},
        {.type = RT_DATA, .channel = 1, .stream = RT_STREAMS, .length = 1},
        {.type = RT_FIN, .channel = 1, .flags = 1},
        {.type = RT_ACK, .channel = 1, .stream = RT_STDOUT, .length = RT_ACK_PAYLOAD, .flags = 128},
        {.type = RT_DETACH, .channel = 1, .flags = 1},
    };

    fx_attached(fx, &guest, &good);
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
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

    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
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

/* All that a REFUSE can carry, in a text that would steer a terminal. */
static struct rt_refuse_msg everything(uint64_t cls)
{
    return (struct rt_refuse_msg){.c = cls,
                                  .m = rt_slice_text("so\033[2J"),
                                  .delay = 1,
                                  .host = rt_slice_text("evil"),
                                  .addr = {rt_slice_text("tcp:10.0.0.1:1")},
                                  .n_addr = 1,
                                  .life = 1700000000000,
                                  .epoch = 99,
                                  .code = 3,
                                  .which = rt_slice_text("which"),
                                  .max = 5,
                                  .s = 1,
                                  .at = 6,
                                  .got = 7};
}

/* One class, said by one peer to the other: what may be said goes on as the agent's own frame, the rest ends the
 * channel on both sides, and nothing else. */
static void says(uint64_t cls, bool from_guest)
{
    struct fx *fx = malloc(sizeof(*fx));
    struct fx_guest guest;
    struct rt_refuse_msg msg = everything(cls), got, want = everything(cls);
    int client, from, to;

    assert_non_null(fx);
    fx_init(fx);
    fx_attached(fx, &guest, &client);
    from = from_guest ? guest.link : client;
    to = from_guest ? client : guest.link;
    fx_msg(fx, from, &(struct rt_frame){.type = RT_REFUSE, .channel = from_guest ? 1 : 7}, RT_MSG_REFUSE, &msg);
    if (rt_may_say(from_guest ? RT_SAY_GUEST_CLIENT : RT_SAY_CLIENT_GUEST, cls)) {
        fx_want_refuse(fx, to, from_guest ? 7 : 1, (enum rt_class)cls, &got);
        rt_refuse_trim(&want);
        assert_int_equal(got.m.size, 6);
        assert_memory_equal(got.m.data, "so?[2J", 6);
        assert_int_equal(got.n_addr + got.host.size + got.delay + got.epoch + got.code, 0);
        assert_int_equal(got.life, cls == RT_CLASS_UNKNOWN_ATTACHMENT ? guest.life : 0);
        assert_int_equal(got.which.size, want.which.size);
        assert_int_equal(got.max, want.max);
        assert_int_equal(got.at, want.at);
        assert_int_equal(fx_stats(fx).forbidden, 0);
        fx_none(fx, from);
    } else {
        fx_want_refuse(fx, to, from_guest ? 7 : 1, RT_CLASS_PROTOCOL, &got);
        assert_int_equal(got.n_addr + got.host.size + got.life + got.epoch, 0);
        fx_want_refuse(fx, from, from_guest ? 1 : 7, RT_CLASS_PROTOCOL, NULL);
        assert_int_equal(fx_stats(fx).forbidden, 1);
        assert_int_equal(fx->n_events[RT_AGENT_FORBIDDEN], 1);
    }
    assert_int_equal(fx_stats(fx).channels, 0);
    assert_false(fx_closed(fx, guest.link));
    assert_false(fx_closed(fx, client));
    fx_attach(fx, client, 9, "web", 0, 0, 0); /* all else goes on */
    (void)fx_want(fx, guest.link, RT_ATTACH, &(struct rt_frame){0});
    fx_close(fx);
    free(fx);
}

static void test_what_peers_may_say(void **state)
{
    (void)state;
    for (uint64_t cls = 0; cls <= RT_CLASSES + 1; cls++) {
        says(cls, true);
        says(cls, false);
    }
}

/* What cannot be read, and an ATTACHED of a life or an epoch that the guest was not given. */
static void test_what_guests_may_not_say(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int client;
    struct rt_frame frame;
    uint8_t refuse[] = {0x81, 0xa1, 'c', 0xff};

    fx_attached(fx, &guest, &client);
    for (uint32_t i = 0; i < 6; i++) {
        uint32_t at = 10 + i, channel = 2 + i;
        struct fx_guest liar = guest;

        fx_attach(fx, client, at, "web", 0, 0, 0);
        (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
        assert_int_equal(frame.channel, channel);
        liar.life += i == 0;
        liar.life -= i == 1;
        liar.epoch += i == 2;
        liar.epoch -= i == 3;
        if (i < 4) {
            fx_say_attached(fx, &liar, channel);
        } else {
            frame = (struct rt_frame){
                .type = i == 4 ? RT_ATTACHED : RT_REFUSE, .channel = channel, .length = sizeof(refuse)};
            fx_send(fx, guest.link, &frame, refuse);
        }
        fx_want_refuse(fx, client, at, RT_CLASS_PROTOCOL, NULL);
        fx_want_refuse(fx, guest.link, channel, RT_CLASS_PROTOCOL, NULL);
        assert_int_equal(fx_stats(fx).forbidden, i + 1);
    }
    fx_say_attached(fx, &guest, 1);
    (void)fx_want(fx, client, RT_ATTACHED, &frame);
    assert_int_equal(frame.channel, 7);
    assert_int_equal(fx_stats(fx).channels, 1);
}

/* A report that breaks a rule is answered, before the take is and after: whoever reads the record would believe it. */
static void test_bad_reports(void **state)
{
    static const struct {
        const char *text;
        uint8_t head;
        uint8_t st;
    } rows[] = {{"report.procs[0].base: 1 is above head: 0", 0, 1}, {"report.procs[0].st: 3, wants at most 2", 1, 3}};
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_refuse_msg refuse;

    for (unsigned i = 0; i < 4; i++) {
        uint8_t bytes[] = {
            0x82, 0xa5, 'p',  'r', 'o', 'c',  's', 0x91, 0x84, 0xa1, 'p', 0,   0xa2, 's', 't',  rows[i / 2].st,
            0xa4, 'b',  'a',  's', 'e', 0x93, 1,   0,    0,    0xa4, 'h', 'e', 'a',  'd', 0x93, rows[i / 2].head,
            0,    0,    0xa4, 'a', 't', 't',  's', 0x90};
        fx_guest(&guest, "web", (uint8_t)(1 + i));
        fx_hello(fx, &guest);
        fx_answer(fx);
        fx_welcome(fx, &guest, NULL);
        fx_confirm(fx, &guest);
        if (i % 2 == 0) {
            fx_answer(fx);
            assert_true(fx_serves(fx, "web"));
        }
        fx_send(fx, guest.link, &(struct rt_frame){.type = RT_REPORT, .length = sizeof(bytes)}, bytes);
        fx_want_refuse(fx, guest.link, 0, RT_CLASS_PROTOCOL, &refuse);
        assert_int_equal(refuse.m.size, strlen(rows[i / 2].text));
        assert_memory_equal(refuse.m.data, rows[i / 2].text, refuse.m.size);
        fx_close(fx);
        fx_init(fx);
    }
}

/* Of their link peers say nothing: they close it. */
static void test_refuse_of_a_link(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_refuse_msg refuse = {.c = RT_CLASS_LOST};
    int client;

    fx_attached(fx, &guest, &client);
    fx_msg(fx, guest.link, &(struct rt_frame){.type = RT_REFUSE}, RT_MSG_REFUSE, &refuse);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_PROTOCOL, NULL);
    fx_want_refuse(fx, client, 7, RT_CLASS_LOST, NULL);
    fx_msg(fx, client, &(struct rt_frame){.type = RT_REFUSE}, RT_MSG_REFUSE, &refuse);
    fx_want_refuse(fx, client, 0, RT_CLASS_PROTOCOL, NULL);
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

    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    fx_send(fx, client, &(struct rt_frame){.type = RT_PING}, NULL);
    fx_none(fx, client);
    memset(&request, 0, sizeof(request));
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
        cmocka_unit_test(test_what_peers_may_say),
        FX_TEST(test_what_guests_may_not_say),
        FX_TEST(test_refuse_of_a_link),
        FX_TEST(test_bad_reports),
        FX_TEST(test_pings),
        FX_TEST(test_pongs_that_answer_nothing),
        FX_TEST(test_attach_to_an_idle_guest_keeps_it),
        FX_TEST(test_ping_flood_unread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
