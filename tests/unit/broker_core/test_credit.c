/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Credit: the agent's own bound on it, per channel, link and queue. */

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

static void test_initial_credit(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    static uint8_t bytes[RT_FRAME_PAYLOAD_MAX];
    struct rt_refuse_msg refuse;
    struct rt_frame frame;
    int client;

    fx_attached(fx, &guest, &client);
    fx_data(fx, guest.link, 1, RT_STDOUT, 5000, bytes, 32768);
    (void)fx_want(fx, client, RT_DATA, &frame);
    fx_data(fx, guest.link, 1, RT_STDOUT, 5000 + 32768, bytes, 1);
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

    fx_attached(fx, &guest, &client);
    ack(fx, client, 7, RT_STDOUT, 0, RT_COUNTER_MAX - 1);
    granted = want_ack(fx, guest.link, 0);
    assert_int_equal(granted, RT_CHANNEL_BUDGET);
    /* As it sends, the agent raises the limit by itself, and never beyond its budget. */
    while (sent < UINT64_C(4) * RT_CHANNEL_BUDGET) {
        const uint8_t *payload;
        assert_true(granted - sent >= 32768);
        fx_data(fx, guest.link, 1, RT_STDOUT, sent, bytes, 32768);
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

    fx_attached(fx, &guest, &client);
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

    fx_attached(fx, &guest, &client);
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

    fx_attached(fx, &guest, &client);
    ack(fx, client, 7, RT_STDOUT, 0, 100000);
    assert_int_equal(want_ack(fx, guest.link, 0), 100000);
    rt_agent_queued(fx->agent, fx->links[client].id, RT_LINK_HIGH_WATER + 1, fx->now);
    ack(fx, client, 7, RT_STDOUT, 50000, 150000);
    assert_int_equal(want_ack(fx, guest.link, 50000), 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_initial_credit),           FX_TEST(test_credit_clamped),    FX_TEST(test_credit_shared),
        FX_TEST(test_congested_gets_no_credit), FX_TEST(test_limit_never_falls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
