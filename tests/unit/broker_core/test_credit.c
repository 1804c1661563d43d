/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/number.h"
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Credit: the agent's own bound on it, per channel, link and queue. */

static void ack(struct fx *fx, int link, uint32_t channel, uint16_t stream, uint64_t consumed, uint64_t limit)
{
    struct rt_frame frame = {.type = RT_ACK, .channel = channel, .stream = stream, .offset = consumed};
    uint8_t payload[RT_ACK_PAYLOAD];

    frame.length = sizeof(payload);
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

static void test_initial_credit(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    static uint8_t bytes[RT_FRAME_PAYLOAD_MAX];
    struct rt_refuse_msg refuse;
    struct rt_frame frame;
    int client;

    fx_attached(fx, &guest, &client);
    fx_data(fx, guest.link, 1, RT_STDOUT, 5000, bytes, RT_INITIAL_CREDIT);
    (void)fx_want(fx, client, RT_DATA, &frame);
    fx_data(fx, guest.link, 1, RT_STDOUT, 5000 + RT_INITIAL_CREDIT, bytes, 1);
    fx_want_refuse(fx, client, 7, RT_CLASS_LIMIT, &refuse);
    assert_int_equal(refuse.max, 5000 + RT_INITIAL_CREDIT);
    fx_want_refuse(fx, guest.link, 1, RT_CLASS_LIMIT, NULL);
    assert_false(fx_closed(fx, guest.link));
    assert_false(fx_closed(fx, client));
    assert_int_equal(fx_stats(fx).channels, 0);
}

/* The newest limit that the sender was told. */
static uint64_t newest_limit(struct fx *fx, int link, uint64_t granted)
{
    struct rt_frame frame;
    const uint8_t *payload;

    while (fx_next(fx, link, &frame, &payload)) {
        assert_int_equal(frame.type, RT_ACK);
        assert_true(rt_get_u64(payload) >= granted);
        granted = rt_get_u64(payload);
    }
    return granted;
}

/* What was not applied goes out again in one flight, after a resume: its ACK comes with ATTACHED. */
static void test_input_at_once(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client;

    fx_attached(fx, &guest, &client);
    ack(fx, guest.link, 1, RT_STDIN, 5000, 5000 + 262144);
    assert_int_equal(want_ack(fx, client, 5000), 5000 + 262144);
    (void)fx_bound(fx, &guest, client, 8);
    (void)fx_want(fx, client, RT_ATTACHED, &frame);
    ack(fx, guest.link, 2, RT_STDIN, 0, RT_COUNTER_MAX - 1);
    assert_int_equal(newest_limit(fx, client, 0), RT_LINK_GROWN_MAX / 3); /* two channels, and room for a third */
}

static void test_credit_clamped(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    static uint8_t bytes[RT_FRAME_PAYLOAD_MAX];
    struct rt_frame frame;
    uint64_t sent = 0, granted, most = 0;
    int client;

    fx_attached(fx, &guest, &client);
    ack(fx, client, 7, RT_STDOUT, 0, RT_COUNTER_MAX - 1);
    granted = want_ack(fx, guest.link, 0);
    assert_int_equal(granted, RT_INITIAL_CREDIT); /* as long as it says nothing */
    /* As it sends, the agent raises the limit by itself, and never beyond its budget. */
    while (sent < UINT64_C(4) * RT_CHANNEL_BUDGET) {
        uint32_t n = granted - sent < 32768 ? (uint32_t)(granted - sent) : 32768;
        assert_true(n > 0);
        fx_data(fx, guest.link, 1, RT_STDOUT, sent, bytes, n);
        sent += n;
        (void)fx_want(fx, client, RT_DATA, &frame);
        fx->links[client].out_size = fx->links[client].out_read = 0;
        granted = newest_limit(fx, guest.link, granted);
        assert_true(granted - sent <= RT_CHANNEL_BUDGET);
        most = granted - sent > most ? granted - sent : most;
    }
    assert_int_equal(most, RT_CHANNEL_BUDGET);
}

#define SHARED 400

/* A channel sends all that it may. */
static void use_up(struct fx *fx, const struct fx_guest *guest, uint32_t channel, uint64_t sent, uint64_t granted)
{
    static uint8_t bytes[RT_FRAME_PAYLOAD_MAX];

    for (; sent < granted; sent += RT_FRAME_PAYLOAD_MAX) {
        uint64_t left = granted - sent;
        fx_data(fx, guest->link, channel, RT_STDOUT, sent, bytes,
                left < RT_FRAME_PAYLOAD_MAX ? (uint32_t)left : RT_FRAME_PAYLOAD_MAX);
    }
}

/* Many busy channels of one link: each has its part, nobody less than at first, all together no more than the budget.
 * Then the client reads no more, and they send all that they may. */
static void test_credit_shared(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    uint64_t granted[SHARED], all = 0;
    uint32_t channel[SHARED];
    static uint8_t bytes[RT_INITIAL_CREDIT];
    int client;

    fx_attached(fx, &guest, &client);
    for (uint32_t i = 0; i < SHARED; i++) {
        channel[i] = fx_bound(fx, &guest, client, 8 + i);
        ack(fx, client, 8 + i, RT_STDOUT, 0, RT_COUNTER_MAX - 1);
        granted[i] = want_ack(fx, guest.link, 0);
        fx_data(fx, guest.link, channel[i], RT_STDOUT, 0, bytes, RT_INITIAL_CREDIT);
        granted[i] = newest_limit(fx, guest.link, granted[i]);
        assert_true(granted[i] >= UINT64_C(2) * RT_INITIAL_CREDIT);
        all += granted[i] - RT_INITIAL_CREDIT;
        fx->links[client].out_size = fx->links[client].out_read = 0;
    }
    assert_int_equal(granted[0], RT_INITIAL_CREDIT + RT_CHANNEL_BUDGET);
    assert_true(granted[SHARED - 1] < granted[0]);
    assert_true(all > RT_LINK_GROWN_MAX * 2 / 3);
    assert_true(all <= RT_LINK_GROWN_MAX + SHARED * RT_INITIAL_CREDIT);
    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    for (uint32_t i = 0; i < SHARED; i++) {
        use_up(fx, &guest, channel[i], RT_INITIAL_CREDIT, granted[i]);
        fx->links[client].out_size = fx->links[client].out_read = 0;
    }
    assert_int_equal(fx_stats(fx).channels, SHARED + 1); /* promised, so none is dropped */
    assert_true(fx->links[client].queued > RT_LINK_HIGH_WATER + all);
}

/* The bytes of what was sent to the peers are not kept. */
static void throw_away(struct fx *fx, const struct fx_guest *guest, int client)
{
    fx->links[client].out_size = fx->links[client].out_read = 0;
    fx->links[guest->link].out_size = fx->links[guest->link].out_read = 0;
}

/* One more channel whose flow has grown. Returns what it was granted. */
static uint64_t one_grown(struct fx *fx, const struct fx_guest *guest, int client, uint32_t number, uint32_t *channel)
{
    static const uint8_t bytes[RT_INITIAL_CREDIT];
    uint64_t granted;

    *channel = fx_bound(fx, guest, client, number);
    ack(fx, client, number, RT_STDOUT, 0, RT_COUNTER_MAX - 1);
    granted = want_ack(fx, guest->link, 0);
    fx_data(fx, guest->link, *channel, RT_STDOUT, 0, bytes, RT_INITIAL_CREDIT);
    granted = newest_limit(fx, guest->link, granted);
    throw_away(fx, guest, client);
    return granted;
}

/* Much is promised to a link already, and is not used. As many attaches as a link may have go to their guest at once
 * all the same. Then the client reads no more, and all send all that they may. */
static void test_attach_waits_for_nobody(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    uint64_t granted[SHARED];
    uint32_t channel[SHARED], next = 8 + SHARED, last = 0;
    struct rt_frame frame;
    const uint8_t *payload;
    int client;

    fx_attached(fx, &guest, &client);
    for (uint32_t i = 0; i < SHARED; i++) {
        granted[i] = one_grown(fx, &guest, client, 8 + i, &channel[i]);
        assert_true(granted[i] <= RT_INITIAL_CREDIT + RT_CHANNEL_BUDGET);
    }
    for (; fx_stats(fx).channels < RT_LINK_CHANNELS_MAX; next++) {
        assert_true(next < 8 + RT_LINK_CHANNELS_MAX); /* each of them was taken */
        fx_attach(fx, client, next, "web", 0, 0, 0);
        assert_int_equal(fx_stats(fx).held, 0);
        while (fx_next(fx, guest.link, &frame, &payload)) {
            if (frame.type == RT_ATTACH) {
                last = frame.channel;
                fx_say_attached(fx, &guest, last);
            }
        }
        throw_away(fx, &guest, client);
    }
    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    for (uint32_t i = channel[SHARED - 1] + 1; i <= last; i++) {
        for (unsigned stream = RT_STDOUT; stream <= RT_CONTROL_UP; stream++) {
            static const uint8_t bytes[RT_INITIAL_CREDIT];
            fx_data(fx, guest.link, i, (uint16_t)stream, 0, bytes, sizeof(bytes));
        }
        throw_away(fx, &guest, client);
    }
    for (uint32_t i = 0; i < SHARED; i++) {
        use_up(fx, &guest, channel[i], RT_INITIAL_CREDIT, granted[i]);
        throw_away(fx, &guest, client);
    }
    assert_int_equal(fx_stats(fx).channels, RT_LINK_CHANNELS_MAX); /* promised, so none is dropped */
}

/* Half a second, in which both sides say that they live. */
static void pass_time(struct fx *fx, const struct fx_guest *guest, int client)
{
    fx_send(fx, client, &(struct rt_frame){.type = RT_PING}, NULL);
    fx_send(fx, guest->link, &(struct rt_frame){.type = RT_PING}, NULL);
    fx_tick(fx, 500);
    throw_away(fx, guest, client);
}

#define BUSY 100
#define ROUNDS 20

/* Flows that come one after the other, each to less than the one before it, and all send whatever they may: soon each
 * has as much of the link as any other. */
static void test_parts_become_equal(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    static uint64_t sent[BUSY], granted[BUSY], before[BUSY];
    uint64_t least = UINT64_MAX, most = 0;
    uint32_t channel[BUSY];
    int client;

    fx_attached(fx, &guest, &client);
    for (uint32_t i = 0; i < BUSY; i++) {
        granted[i] = one_grown(fx, &guest, client, 8 + i, &channel[i]);
        sent[i] = RT_INITIAL_CREDIT;
    }
    assert_true(granted[0] > 100 * granted[BUSY - 1]);
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (round == ROUNDS / 2) {
            memcpy(before, sent, sizeof(before));
        }
        for (uint32_t i = 0; i < BUSY; i++) {
            use_up(fx, &guest, channel[i], sent[i], granted[i]);
            sent[i] = granted[i];
            granted[i] = newest_limit(fx, guest.link, granted[i]);
            throw_away(fx, &guest, client);
            fx_queued(fx, client, 0);
        }
    }
    for (uint32_t i = 0; i < BUSY; i++) {
        least = rt_min(least, sent[i] - before[i]);
        most = rt_max(most, sent[i] - before[i]);
    }
    assert_true(least * 10 >= most * 8);
    assert_true(least > UINT64_C(1) * ROUNDS / 2 * RT_LINK_GROWN_MAX / (BUSY + 2) / 2);
}

#define IDLE 199
#define IDLE_STEPS 5

/* Flows grow, each to less than the one before it. Then each says `size` bytes every half a second, which are consumed.
 * They keep their windows from the next one no longer. */
static void check_forgotten(struct fx *fx, uint32_t size)
{
    static const uint8_t bytes[RT_INITIAL_CREDIT];
    struct fx_guest guest;
    uint32_t channel[IDLE + 1];
    int client;

    fx_attached(fx, &guest, &client);
    for (uint32_t i = 0; i < IDLE; i++) {
        uint64_t granted = one_grown(fx, &guest, client, 8 + i, &channel[i]);
        assert_true(i < 50 || granted < RT_CHANNEL_BUDGET / 2);
    }
    for (uint32_t step = 0; step < IDLE_STEPS; step++) {
        for (uint32_t i = 0; size > 0 && i < IDLE; i++) {
            uint64_t at = RT_INITIAL_CREDIT + step * size;
            fx_data(fx, guest.link, channel[i], RT_STDOUT, at, bytes, size);
            ack(fx, client, 8 + i, RT_STDOUT, at + size, RT_COUNTER_MAX - 1);
            throw_away(fx, &guest, client);
        }
        pass_time(fx, &guest, client);
    }
    assert_int_equal(one_grown(fx, &guest, client, 8 + IDLE, &channel[IDLE]), RT_INITIAL_CREDIT + RT_CHANNEL_BUDGET);
}

/* The streams of one channel are counted beside each other. */
static void test_one_channel(void **state)
{
    static const uint8_t bytes[RT_INITIAL_CREDIT];
    struct fx *fx = *state;
    struct fx_guest guest;
    uint64_t all = 0;
    int client;

    fx_attached(fx, &guest, &client);
    for (unsigned s = RT_STDOUT; s <= RT_CONTROL_UP; s++) {
        ack(fx, client, 7, (uint16_t)s, 0, RT_COUNTER_MAX - 1);
        (void)want_ack(fx, guest.link, 0);
        fx_data(fx, guest.link, 1, (uint16_t)s, 0, bytes, RT_INITIAL_CREDIT);
        all += newest_limit(fx, guest.link, 0) - RT_INITIAL_CREDIT;
        throw_away(fx, &guest, client);
    }
    assert_true(all > RT_LINK_GROWN_MAX / 2);
    assert_true(all <= RT_LINK_GROWN_MAX + UINT64_C(3) * RT_INITIAL_CREDIT);
}

/* What fell silent and says a few bytes is granted no more, which nobody would count, before it has used what it has.
 */
static void test_trickle_gets_no_more(void **state)
{
    static const uint8_t bytes[8];
    struct fx *fx = *state;
    struct fx_guest guest;
    uint64_t granted;
    uint32_t channel;
    int client;

    fx_attached(fx, &guest, &client);
    granted = one_grown(fx, &guest, client, 8, &channel);
    assert_int_equal(granted, RT_INITIAL_CREDIT + RT_CHANNEL_BUDGET);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t at = RT_INITIAL_CREDIT + i * sizeof(bytes);

        pass_time(fx, &guest, client);
        fx_data(fx, guest.link, channel, RT_STDOUT, at, bytes, sizeof(bytes));
        throw_away(fx, &guest, client);
        ack(fx, client, 8, RT_STDOUT, at + sizeof(bytes), RT_COUNTER_MAX - 1);
        if (i > 5) {
            assert_int_equal(newest_limit(fx, guest.link, 0), granted);
        } else {
            granted = newest_limit(fx, guest.link, 0);
        }
        throw_away(fx, &guest, client);
    }
}

/* What fell silent with a large window does not keep it from others for long. */
static void test_idle_credit_is_forgotten(void **state)
{
    check_forgotten(*state, 0);
}

/* Nor does what goes on with a few bytes now and then. */
static void test_unused_credit_is_forgotten(void **state)
{
    check_forgotten(*state, 8);
}

static void test_congested_gets_no_credit(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    static uint8_t bytes[RT_INITIAL_CREDIT];
    int client;

    fx_attached(fx, &guest, &client);
    (void)fx_bound(fx, &guest, client, 8);
    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    fx_data(fx, guest.link, 2, RT_STDOUT, 0, bytes, RT_INITIAL_CREDIT);
    fx_data(fx, guest.link, 1, RT_STDOUT, 0, bytes, RT_INITIAL_CREDIT);
    ack(fx, client, 8, RT_STDOUT, 0, 200000);
    assert_int_equal(want_ack(fx, guest.link, 0), RT_INITIAL_CREDIT);
    ack(fx, client, 7, RT_STDOUT, 10, 200010);
    assert_int_equal(want_ack(fx, guest.link, 10), RT_INITIAL_CREDIT);
    fx_queued(fx, client, RT_LINK_HIGH_WATER / 2 + 1);
    fx_none(fx, guest.link);
    fx_queued(fx, client, RT_LINK_HIGH_WATER / 2 - 1);
    assert_int_equal(want_ack(fx, guest.link, 0), 200000); /* channel 8 waited first */
    assert_int_equal(want_ack(fx, guest.link, 10), 200010);
    fx_none(fx, guest.link);
    fx_queued(fx, client, 0);
    /* The other way: stdin towards the guest. */
    fx->links[client].out_read = fx->links[client].out_size;
    fx_queued(fx, guest.link, RT_LINK_HIGH_WATER + 1);
    fx_data(fx, client, 7, RT_STDIN, 0, bytes, RT_INITIAL_CREDIT);
    ack(fx, guest.link, 1, RT_STDIN, 0, 100000);
    assert_int_equal(want_ack(fx, client, 0), RT_INITIAL_CREDIT);
    fx_queued(fx, guest.link, 0);
    assert_int_equal(want_ack(fx, client, 0), 100000);
}

static void test_limit_never_falls(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    static uint8_t bytes[RT_INITIAL_CREDIT];
    int client;

    fx_attached(fx, &guest, &client);
    fx_data(fx, guest.link, 1, RT_STDOUT, 0, bytes, RT_INITIAL_CREDIT);
    ack(fx, client, 7, RT_STDOUT, 0, 100000);
    assert_int_equal(want_ack(fx, guest.link, 0), 100000);
    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    ack(fx, client, 7, RT_STDOUT, 1000, 150000);
    assert_int_equal(want_ack(fx, guest.link, 1000), 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_initial_credit),
        FX_TEST(test_input_at_once),
        FX_TEST(test_credit_clamped),
        FX_TEST(test_credit_shared),
        FX_TEST(test_attach_waits_for_nobody),
        FX_TEST(test_parts_become_equal),
        FX_TEST(test_idle_credit_is_forgotten),
        FX_TEST(test_unused_credit_is_forgotten),
        FX_TEST(test_congested_gets_no_credit),
        FX_TEST(test_limit_never_falls),
        FX_TEST(test_one_channel),
        FX_TEST(test_trickle_gets_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
