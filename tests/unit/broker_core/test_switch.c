/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Channels: the data path, credit, what ends them, and peers that break the rules. */

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

/* A served guest and a client with one channel: 7 at the client, 1 at the guest. */
static void attached(struct fx *fx, struct fx_guest *guest, int *client)
{
    struct rt_frame frame;

    fx_guest(guest, "web", 1);
    fx_serve(fx, guest);
    *client = fx_client(fx, "local");
    fx_attach(fx, *client, 7, "web", 0, 0, 0);
    (void)fx_want(fx, guest->link, RT_ATTACH, &frame);
    assert_int_equal(frame.channel, 1);
}

static void data(struct fx *fx, int link, uint32_t channel, uint16_t stream, uint64_t offset, const void *bytes,
                 uint32_t size)
{
    struct rt_frame frame = {.type = RT_DATA, .channel = channel, .stream = stream, .offset = offset, .length = size};

    fx_send(fx, link, &frame, bytes);
}

static void ack(struct fx *fx, int link, uint32_t channel, uint16_t stream, uint64_t consumed, uint64_t limit)
{
    struct rt_frame frame = {.type = RT_ACK, .channel = channel, .stream = stream, .offset = consumed};
    uint8_t payload[RT_ACK_PAYLOAD];

    frame.length = sizeof payload;
    rt_put_u64(payload, limit);
    rt_put_u64(payload + 8, 0xd16e57);
    fx_send(fx, link, &frame, payload);
}

static uint64_t want_ack(struct fx *fx, int link, uint64_t consumed)
{
    struct rt_frame frame;
    const uint8_t *payload = fx_want(fx, link, RT_ACK, &frame);

    assert_int_equal(frame.offset, consumed);
    assert_int_equal(rt_get_u64(payload + 8), 0xd16e57);
    return rt_get_u64(payload);
}

static void test_passes_both_ways(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client;

    attached(fx, &guest, &client);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_ATTACHED, .channel = 1, .length = 1}, "x");
    assert_int_equal(fx_want(fx, client, RT_ATTACHED, &frame)[0], 'x');
    assert_int_equal(frame.channel, 7);
    data(fx, guest.link, 1, RT_STDOUT, 100, "hello", 5);
    assert_memory_equal(fx_want(fx, client, RT_DATA, &frame), "hello", 5);
    assert_int_equal(frame.channel, 7);
    assert_int_equal(frame.offset, 100);
    assert_int_equal(frame.stream, RT_STDOUT);
    data(fx, client, 7, RT_STDIN, 0, "typed", 5);
    assert_memory_equal(fx_want(fx, guest.link, RT_DATA, &frame), "typed", 5);
    assert_int_equal(frame.channel, 1);
    fx_send(fx, client, &(struct rt_frame){.type = RT_FIN, .channel = 7, .offset = 5}, NULL);
    (void)fx_want(fx, guest.link, RT_FIN, &frame);
    assert_int_equal(frame.offset, 5);
    fx_send(fx, guest.link,
            &(struct rt_frame){.type = RT_GAP, .channel = 1, .stream = RT_STDERR, .length = RT_GAP_PAYLOAD},
            "\0\0\0\0\0\0\1\0");
    (void)fx_want(fx, client, RT_GAP, &frame);
    fx_send(fx, client, &(struct rt_frame){.type = RT_DETACH, .channel = 7}, NULL);
    (void)fx_want(fx, guest.link, RT_DETACH, &frame);
    assert_int_equal(fx_stats(fx).channels, 0);
    data(fx, guest.link, 1, RT_STDOUT, 105, "more", 4);
    data(fx, client, 7, RT_STDIN, 5, "more", 4);
    fx_none(fx, client);
    fx_none(fx, guest.link);
    assert_int_equal(fx_stats(fx).bytes_up, 5);
    assert_int_equal(fx_stats(fx).bytes_down, 5);
}

static void test_runs_are_one_send(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    uint8_t buf[3 * (RT_FRAME_HEADER + 4)];
    int client;
    size_t sends;

    attached(fx, &guest, &client);
    for (size_t i = 0; i < 3; i++) {
        uint8_t *p = buf + i * (RT_FRAME_HEADER + 4);
        frame = (struct rt_frame){.type = RT_DATA, .channel = 1, .stream = RT_STDOUT, .offset = 4 * i, .length = 4};
        rt_frame_put(p, &frame);
        memset(p + RT_FRAME_HEADER, (int)('a' + i), 4);
    }
    sends = fx->links[client].sends;
    fx_bytes(fx, guest.link, buf, sizeof buf);
    assert_int_equal(fx->links[client].sends, sends + 1);
    for (size_t i = 0; i < 3; i++) {
        (void)fx_want(fx, client, RT_DATA, &frame);
        assert_int_equal(frame.offset, 4 * i);
    }
    fx_none(fx, client);
    /* A frame in the middle that goes nowhere ends the run. */
    for (size_t i = 0; i < 3; i++) {
        frame = (struct rt_frame){
            .type = RT_DATA, .channel = 1 + (i == 1), .stream = RT_STDOUT, .offset = 12 + 4 * i, .length = 4};
        rt_frame_put(buf + i * (RT_FRAME_HEADER + 4), &frame);
    }
    fx_bytes(fx, guest.link, buf, sizeof buf);
    assert_int_equal(fx->links[client].sends, sends + 3);
}

/* A guest's whole stream of frames of every kind, and the bytes of its DATA as a client gets them. */
static size_t script(uint8_t *out)
{
    struct rt_frame frame;
    size_t n = 0, at = 0;
    const struct rt_frame frames[] = {
        {.type = RT_ATTACHED, .channel = 1, .length = 3},
        {.type = RT_DATA, .channel = 1, .stream = RT_STDOUT, .length = 30},
        {.type = RT_DATA, .channel = 1, .stream = RT_STDOUT, .offset = 30, .length = 1},
        {.type = RT_PING, .offset = 99},
        {.type = RT_DATA, .channel = 2, .stream = RT_STDOUT, .length = 10},
        {.type = RT_DATA, .channel = 1, .stream = RT_STDERR, .length = 17},
        {.type = RT_ACK, .channel = 1, .stream = RT_STDIN, .length = RT_ACK_PAYLOAD},
        {.type = RT_DATA, .channel = 1, .stream = RT_STDOUT, .offset = 31, .length = 25},
        {.type = RT_FIN, .channel = 1, .stream = RT_STDOUT, .offset = 56},
    };

    for (; at < sizeof frames / sizeof frames[0]; at++) {
        frame = frames[at];
        rt_frame_put(out + n, &frame);
        n += RT_FRAME_HEADER;
        for (uint32_t i = 0; i < frame.length; i++) {
            out[n++] = (uint8_t)(frame.type == RT_ACK ? 0 : frame.offset + i + frame.stream);
        }
    }
    return n;
}

/* Everything that the client got, DATA merged: (type, stream, bytes). */
static size_t merged(struct fx *fx, int client, uint8_t *out)
{
    struct rt_frame frame, last = {0};
    const uint8_t *payload;
    size_t n = 0;

    while (fx_next(fx, client, &frame, &payload)) {
        if (frame.type == RT_PING) {
            continue;
        }
        assert_int_equal(frame.channel, 7);
        if (frame.type != RT_DATA || last.type != RT_DATA || last.stream != frame.stream) {
            out[n++] = frame.type;
            out[n++] = (uint8_t)frame.stream;
            out[n++] = (uint8_t)frame.offset;
        } else {
            assert_int_equal(frame.offset, last.offset + last.length);
        }
        memcpy(out + n, payload, frame.length);
        n += frame.length;
        last = frame;
    }
    return n;
}

static size_t run_cut(size_t cut, size_t chunk, uint8_t *out)
{
    struct fx *fx = calloc(1, sizeof *fx);
    struct fx_guest guest;
    uint8_t frames[1024];
    size_t n = script(frames), size;
    int client;

    assert_non_null(fx);
    fx_init(fx);
    attached(fx, &guest, &client);
    fx->links[guest.link].chunk = chunk;
    fx_bytes(fx, guest.link, frames, cut);
    fx_bytes(fx, guest.link, frames + cut, n - cut);
    assert_int_equal(fx->links[guest.link].in_size, 0);
    size = merged(fx, client, out);
    fx_close(fx);
    free(fx);
    return size;
}

static void test_cut_anywhere(void **state)
{
    uint8_t whole[1024], frames[1024], other[1024];
    size_t n = script(frames), size = run_cut(0, 0, whole);

    (void)state;
    assert_true(size > 100);
    for (size_t cut = 0; cut <= n; cut++) {
        assert_int_equal(run_cut(cut, 0, other), size);
        assert_memory_equal(other, whole, size);
    }
    for (size_t chunk = 1; chunk < 64; chunk++) {
        assert_int_equal(run_cut(0, chunk, other), size);
        assert_memory_equal(other, whole, size);
    }
}

static void test_guest_dies_in_a_frame(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame = {.type = RT_DATA, .channel = 1, .stream = RT_STDOUT, .length = 1000};
    uint8_t head[RT_FRAME_HEADER + 10] = {0};
    int client;

    attached(fx, &guest, &client);
    rt_frame_put(head, &frame);
    fx_bytes(fx, guest.link, head, sizeof head);
    fx_lost(fx, guest.link);
    (void)fx_want(fx, client, RT_DATA, &frame);
    assert_int_equal(frame.length, 10);
    fx_want_refuse(fx, client, 7, RT_CLASS_LOST, NULL);
    fx_none(fx, client);
    fx_serve(fx, &guest); /* the client's link goes on */
    fx_attach(fx, client, 8, "web", 0, 0, 0);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    data(fx, guest.link, 1, RT_STDOUT, 10, "on", 2);
    (void)fx_want(fx, client, RT_DATA, &frame);
    assert_int_equal(frame.channel, 8);
}

static void test_channel_ends_in_a_frame(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame = {.type = RT_DATA, .channel = 1, .stream = RT_STDOUT, .length = 20};
    uint8_t bytes[RT_FRAME_HEADER + 20] = {0};
    int client;

    attached(fx, &guest, &client);
    rt_frame_put(bytes, &frame);
    fx_bytes(fx, guest.link, bytes, RT_FRAME_HEADER + 5);
    (void)fx_want(fx, client, RT_DATA, &frame);
    fx_send(fx, client, &(struct rt_frame){.type = RT_DETACH, .channel = 7}, NULL);
    (void)fx_want(fx, guest.link, RT_DETACH, &frame);
    fx_bytes(fx, guest.link, bytes + RT_FRAME_HEADER + 5, 15);
    fx_none(fx, client);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PING, .offset = 3}, NULL);
    (void)fx_want(fx, guest.link, RT_PONG, &frame); /* framing is intact */
    assert_int_equal(frame.offset, 3);
}

static void test_initial_credit(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    static uint8_t bytes[RT_FRAME_PAYLOAD_MAX];
    struct rt_refuse_msg refuse;
    struct rt_frame frame;
    int client;

    attached(fx, &guest, &client);
    data(fx, guest.link, 1, RT_STDOUT, 5000, bytes, 32768);
    (void)fx_want(fx, client, RT_DATA, &frame);
    data(fx, guest.link, 1, RT_STDOUT, 5000 + 32768, bytes, 1);
    fx_want_refuse(fx, client, 7, RT_CLASS_LIMIT, &refuse);
    fx_want_refuse(fx, guest.link, 1, RT_CLASS_LIMIT, NULL);
    assert_false(fx_closed(fx, guest.link));
    assert_false(fx_closed(fx, client));
    assert_int_equal(fx_stats(fx).channels, 0);
}

static void test_credit_clamped(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    static uint8_t bytes[RT_FRAME_PAYLOAD_MAX];
    struct rt_frame frame;
    uint64_t limit, sent = 0, granted;
    int client;

    attached(fx, &guest, &client);
    ack(fx, client, 7, RT_STDOUT, 0, RT_COUNTER_MAX - 1);
    granted = want_ack(fx, guest.link, 0);
    assert_int_equal(granted, RT_CHANNEL_BUDGET);
    /* As it sends, the agent raises the limit by itself, and never beyond its budget. */
    while (sent < UINT64_C(4) * RT_CHANNEL_BUDGET) {
        const uint8_t *payload;
        assert_true(granted - sent >= 32768);
        data(fx, guest.link, 1, RT_STDOUT, sent, bytes, 32768);
        sent += 32768;
        (void)fx_want(fx, client, RT_DATA, &frame);
        fx->links[client].out_size = fx->links[client].out_read = 0;
        while (fx_next(fx, guest.link, &frame, &payload)) {
            assert_int_equal(frame.type, RT_ACK);
            limit = rt_get_u64(payload);
            assert_true(limit > granted);
            assert_true(limit <= sent + RT_CHANNEL_BUDGET);
            granted = limit;
        }
    }
}

static void test_credit_shared(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client;
    uint64_t limit;

    attached(fx, &guest, &client);
    for (uint32_t i = 8; i < 8 + 255; i++) {
        fx_attach(fx, client, i, "web", 0, 0, 0);
        (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    }
    ack(fx, client, 7, RT_STDOUT, 0, RT_COUNTER_MAX - 1);
    limit = want_ack(fx, guest.link, 0);
    assert_int_equal(limit, RT_LINK_BUDGET / 256);
    for (uint32_t i = 300; i < 300 + 512; i++) {
        fx_attach(fx, client, i, "web", 0, 0, 0);
        (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    }
    ack(fx, client, 8, RT_STDOUT, 0, RT_COUNTER_MAX - 1);
    limit = want_ack(fx, guest.link, 0);
    assert_int_equal(limit, 32768); /* never under the initial credit */
}

static void test_congested_gets_no_credit(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client;

    attached(fx, &guest, &client);
    fx_attach(fx, client, 8, "web", 0, 0, 0);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    rt_agent_queued(fx->agent, fx->links[client].id, RT_LINK_HIGH_WATER + 1, fx->now);
    ack(fx, client, 8, RT_STDOUT, 0, 200000);
    assert_int_equal(want_ack(fx, guest.link, 0), 32768);
    ack(fx, client, 7, RT_STDOUT, 10, 200010);
    assert_int_equal(want_ack(fx, guest.link, 10), 32768 + 10);
    rt_agent_queued(fx->agent, fx->links[client].id, RT_LINK_HIGH_WATER / 2 + 1, fx->now);
    fx_none(fx, guest.link);
    rt_agent_queued(fx->agent, fx->links[client].id, RT_LINK_HIGH_WATER / 2 - 1, fx->now);
    assert_int_equal(want_ack(fx, guest.link, 0), 200000); /* channel 8 waited first */
    assert_int_equal(want_ack(fx, guest.link, 10), 200010);
    fx_none(fx, guest.link);
    /* The other way: stdin towards the guest. */
    rt_agent_queued(fx->agent, fx->links[guest.link].id, RT_LINK_HIGH_WATER + 1, fx->now);
    ack(fx, guest.link, 1, RT_STDIN, 0, 100000);
    assert_int_equal(want_ack(fx, client, 0), 32768);
    rt_agent_queued(fx->agent, fx->links[guest.link].id, 0, fx->now);
    assert_int_equal(want_ack(fx, client, 0), 100000);
}

static void test_limit_never_falls(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int client;

    attached(fx, &guest, &client);
    ack(fx, client, 7, RT_STDOUT, 0, 100000);
    assert_int_equal(want_ack(fx, guest.link, 0), 100000);
    rt_agent_queued(fx->agent, fx->links[client].id, RT_LINK_HIGH_WATER + 1, fx->now);
    ack(fx, client, 7, RT_STDOUT, 50000, 150000);
    assert_int_equal(want_ack(fx, guest.link, 50000), 100000);
}

static void test_data_goes_back(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client;

    attached(fx, &guest, &client);
    data(fx, guest.link, 1, RT_STDOUT, 0, "abcd", 4);
    (void)fx_want(fx, client, RT_DATA, &frame);
    data(fx, guest.link, 1, RT_STDOUT, 0, "efgh", 4); /* a past that has changed */
    fx_want_refuse(fx, client, 7, RT_CLASS_JUMP, NULL);
    fx_want_refuse(fx, guest.link, 1, RT_CLASS_JUMP, NULL);
}

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

    attached(fx, &good, &client);
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        fx_guest(&bad, "bad", (uint8_t)(10 + i));
        fx_record(fx, "local", "bad")->rule.state = RT_SESSION_ENDED;
        fx_serve(fx, &bad);
        expect_protocol(fx, bad.link, &frames[i]);
        fx_answer(fx);
    }
    data(fx, good.link, 1, RT_STDOUT, 0, "fine", 4);
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

    attached(fx, &guest, &good);
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        expect_protocol(fx, fx_client(fx, "local"), &frames[i]);
    }
    data(fx, guest.link, 1, RT_STDOUT, 0, "fine", 4);
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

    attached(fx, &guest, &client);
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

    attached(fx, &guest, &client);
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

    attached(fx, &guest, &client);
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

    attached(fx, &guest, &client);
    fx_tick(fx, RT_PING_BUSY_MS);
    (void)fx_want(fx, guest.link, RT_PING, &frame);
    (void)fx_want(fx, client, RT_PING, &frame);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PONG, .offset = frame.offset}, NULL);
    fx_tick(fx, UINT64_C(2) * RT_PING_BUSY_MS); /* the client misses its third */
    assert_true(fx_closed(fx, client));
    assert_false(fx_closed(fx, guest.link));
    fx_want_refuse(fx, guest.link, 1, RT_CLASS_LOST, NULL);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PONG, .offset = frame.offset}, NULL);
    fx->links[guest.link].out_read = fx->links[guest.link].out_size;
    fx_tick(fx, RT_PING_IDLE_MS - 1); /* no channel any more */
    fx_none(fx, guest.link);
    fx_tick(fx, 1 + UINT64_C(2) * RT_PING_IDLE_MS);
    assert_true(fx_closed(fx, guest.link));
    assert_false(fx_serves(fx, "web"));
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_passes_both_ways),
        TEST(test_runs_are_one_send),
        cmocka_unit_test(test_cut_anywhere),
        TEST(test_guest_dies_in_a_frame),
        TEST(test_channel_ends_in_a_frame),
        TEST(test_initial_credit),
        TEST(test_credit_clamped),
        TEST(test_credit_shared),
        TEST(test_congested_gets_no_credit),
        TEST(test_limit_never_falls),
        TEST(test_data_goes_back),
        TEST(test_guests_that_break_rules),
        TEST(test_clients_that_break_rules),
        TEST(test_frames_before_the_handshake),
        TEST(test_channels_rise),
        TEST(test_client_lost),
        TEST(test_refuse_from_peers),
        TEST(test_pings),
        TEST(test_attach_to_an_idle_guest_keeps_it),
        TEST(test_ping_flood_unread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
