/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include "broker/core/held.h"
#include "broker/core/link.h"
#include "broker/core/queue.h"
#include "session/core/msg_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What a congested link is sent later: kept once, in order; and what waits until it may be asked. */

static void ack(struct fx *fx, int link, uint32_t channel, uint16_t stream, uint64_t consumed, uint8_t flags)
{
    struct rt_frame frame = {
        .type = RT_ACK, .flags = flags, .channel = channel, .stream = stream, .offset = consumed, .length = 16};
    uint8_t payload[RT_ACK_PAYLOAD];

    rt_put_u64(payload, consumed + RT_INITIAL_CREDIT);
    rt_put_u64(payload + 8, consumed * 3);
    fx_send(fx, link, &frame, payload);
}

static void gap(struct fx *fx, int link, uint32_t channel, uint64_t from, uint64_t to)
{
    uint8_t payload[RT_GAP_PAYLOAD];
    struct rt_frame frame = {.type = RT_GAP, .channel = channel, .stream = RT_STDOUT, .offset = from, .length = 8};

    rt_put_u64(payload, to);
    fx_send(fx, link, &frame, payload);
}

static void want_ack(struct fx *fx, int link, uint32_t channel, uint64_t consumed, uint8_t flags)
{
    struct rt_frame frame;
    const uint8_t *payload = fx_want(fx, link, RT_ACK, &frame);

    assert_int_equal(frame.channel, channel);
    assert_int_equal(frame.offset, consumed);
    assert_int_equal(frame.flags, flags);
    assert_int_equal(rt_get_u64(payload + 8), consumed * 3);
}

static void test_newest_and_in_order(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client;

    fx_attached(fx, &guest, &client);
    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    gap(fx, guest.link, 1, 0, 5);
    ack(fx, guest.link, 1, RT_STDIN, 10, RT_ACK_FIN);
    gap(fx, guest.link, 1, 5, 9);
    ack(fx, guest.link, 1, RT_STDIN, 20, 0);
    ack(fx, guest.link, 1, RT_STDIN, 15, 0); /* old news */
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_FIN, .channel = 1, .stream = RT_STDERR, .offset = 4}, NULL);
    fx_none(fx, client);
    fx_data(fx, guest.link, 1, RT_STDOUT, 9, "abc", 3); /* has credit: what came before it goes before it */
    want_ack(fx, client, 7, 20, RT_ACK_FIN);
    assert_int_equal(rt_get_u64(fx_want(fx, client, RT_GAP, &frame)), 9);
    assert_int_equal(frame.offset, 0);
    (void)fx_want(fx, client, RT_FIN, &frame);
    assert_int_equal(frame.offset, 4);
    assert_memory_equal(fx_want(fx, client, RT_DATA, &frame), "abc", 3);
    ack(fx, guest.link, 1, RT_STDIN, 30, 0);
    gap(fx, guest.link, 1, 12, 40);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_FIN, .channel = 1, .stream = RT_STDOUT, .offset = 40}, NULL);
    fx_none(fx, client);
    fx_queued(fx, client, 0);
    want_ack(fx, client, 7, 30, 0);
    assert_int_equal(rt_get_u64(fx_want(fx, client, RT_GAP, &frame)), 40);
    assert_int_equal(frame.offset, 12);
    (void)fx_want(fx, client, RT_FIN, &frame);
    fx_none(fx, client);
    ack(fx, guest.link, 1, RT_STDIN, 31, 0); /* and now at once */
    want_ack(fx, client, 7, 31, 0);
}

/* What is kept counts for as much as is sent of it: a channel that echoes small pieces brings an ACK with each. */
static void test_kept_size(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    const struct ag_chan *chan;
    const uint8_t *payload;
    size_t kept[3], sent;
    int client;

    fx_attached(fx, &guest, &client);
    chan = RT_LIST_OF(rt_ag_link(fx->agent, fx->links[client].id)->chans.next, struct ag_chan, in[AG_CLIENT]);
    assert_int_equal(rt_ag_kept_size(chan, AG_CLIENT), 0);
    for (unsigned i = 0; i < 3; i++) {
        fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
        ack(fx, guest.link, 1, RT_STDIN, 10 + i, 0);
        if (i > 0) {
            gap(fx, guest.link, 1, i, i + 1);
        }
        if (i > 1) {
            fx_send(fx, guest.link, &(struct rt_frame){.type = RT_FIN, .channel = 1, .stream = RT_STDOUT, .offset = 3},
                    NULL);
        }
        kept[i] = rt_ag_kept_size(chan, AG_CLIENT);
        fx_queued(fx, client, 0);
        for (sent = 0; fx_next(fx, client, &frame, &payload);) {
            sent += frame.type == RT_PING ? 0 : RT_FRAME_HEADER + (size_t)frame.length;
        }
        assert_int_equal(kept[i], sent);
    }
    assert_true(kept[0] == RT_FRAME_HEADER + RT_ACK_PAYLOAD && kept[0] < kept[1] && kept[1] < kept[2]);
}

static void test_last_words(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_refuse_msg refuse = {.c = RT_CLASS_STOLEN};
    struct rt_frame frame;
    int client;

    fx_attached(fx, &guest, &client);
    (void)fx_bound(fx, &guest, client, 8);
    fx->links[client].out_read = fx->links[client].out_size;
    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    ack(fx, guest.link, 1, RT_STDIN, 10, 0);
    fx_msg(fx, guest.link, &(struct rt_frame){.type = RT_REFUSE, .channel = 1}, RT_MSG_REFUSE, &refuse);
    fx_data(fx, guest.link, 2, RT_STDOUT, 0, "abc", 3);
    fx_data(fx, guest.link, 2, RT_STDOUT, 0, "abc", 3); /* JUMP */
    (void)fx_want(fx, client, RT_DATA, &frame);
    fx_none(fx, client);
    assert_int_equal(fx_stats(fx).channels, 0);
    fx_want_refuse(fx, guest.link, 2, RT_CLASS_JUMP, NULL);
    fx_queued(fx, client, 0);
    fx_want_refuse(fx, client, 7, RT_CLASS_STOLEN, NULL); /* what was kept of it is said by its next ATTACH */
    fx_want_refuse(fx, client, 8, RT_CLASS_JUMP, NULL);
    fx_none(fx, client);
    /* The other way: a DETACH. */
    (void)fx_bound(fx, &guest, client, 9);
    fx_queued(fx, guest.link, RT_LINK_HIGH_WATER + 1);
    fx_send(fx, client, &(struct rt_frame){.type = RT_DETACH, .channel = 9}, NULL);
    fx_none(fx, guest.link);
    fx_queued(fx, guest.link, 0);
    (void)fx_want(fx, guest.link, RT_DETACH, &frame);
    assert_int_equal(frame.channel, 3);
}

static void test_attached_once(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client;

    fx_attached(fx, &guest, &client);
    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    fx_say_attached(fx, &guest, 1);
    fx_none(fx, client);
    fx_data(fx, guest.link, 1, RT_STDOUT, 0, "abc", 3);
    (void)fx_want(fx, client, RT_ATTACHED, &frame);
    assert_int_equal(frame.channel, 7);
    (void)fx_want(fx, client, RT_DATA, &frame);
    fx_say_attached(fx, &guest, 1);
    fx_want_refuse(fx, guest.link, 1, RT_CLASS_PROTOCOL, NULL);
    fx_queued(fx, client, 0);
    fx_want_refuse(fx, client, 7, RT_CLASS_PROTOCOL, NULL);
    assert_false(fx_closed(fx, guest.link));
}

/* A guest is asked AG_UNANSWERED_MAX things at a time; whoever comes later waits for its answers, in order. */
static void test_unanswered(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client;

    fx_attached(fx, &guest, &client);
    for (uint32_t i = 0; i < AG_UNANSWERED_MAX + 1; i++) {
        fx_attach(fx, client, 8 + i, "web", RT_WAIT_MAX_MS, 0, 0);
    }
    for (uint32_t i = 1; i < AG_UNANSWERED_MAX; i++) {
        (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    }
    fx_none(fx, guest.link);
    assert_int_equal(fx_stats(fx).held, 2);
    fx_say_attached(fx, &guest, 1);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    fx_none(fx, guest.link);
    fx_send(fx, client, &(struct rt_frame){.type = RT_DETACH, .channel = 8}, NULL); /* not answered, and gone */
    (void)fx_want(fx, guest.link, RT_DETACH, &frame);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    assert_int_equal(fx_stats(fx).held, 0);
}

/* While the client's link is congested its attaches wait where they came; while the guest's is, before it. */
static void test_attaches_wait(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client;

    fx_attached(fx, &guest, &client);
    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    fx_attach(fx, client, 8, "web", 0, 0, 0);
    fx_attach(fx, client, 9, "web", 0, 0, 0);
    fx_attach(fx, client, 10, "web", 0, 0, 0);
    fx_send(fx, client, &(struct rt_frame){.type = RT_DETACH, .channel = 9}, NULL);
    fx_none(fx, guest.link);
    fx_queued(fx, client, 0);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    assert_int_equal(frame.channel, 2);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    fx_none(fx, guest.link);
    fx_queued(fx, guest.link, RT_LINK_HIGH_WATER + 1);
    fx_attach(fx, client, 11, "web", RT_WAIT_MAX_MS, 0, 0);
    fx_none(fx, guest.link);
    fx_attach(fx, client, 12, "web", 100, 0, 0);
    fx_tick(fx, 100);
    fx_want_refuse(fx, client, 12, RT_CLASS_RETRY_LATER, NULL);
    fx_queued(fx, guest.link, 0);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    assert_int_equal(fx_stats(fx).held, 0);
}

/* When the store is back, an attach that is held is looked up anew. One whose own link is congested is not held yet,
 * and no name of it has been read by its client's rights: it must not find another tenant's container. */
static void test_parked_is_not_looked_up(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int client, other;
    size_t finds;

    fx_attached(fx, &guest, &client);
    finds = fx->n_submitted[RT_STORE_FIND];
    other = fx_client(fx, "other");
    fx_queued(fx, other, RT_LINK_HIGH_WATER + 1);
    fx_attach(fx, other, 8, "web", 0, 0, 0);
    fx_up(fx, false, true);
    assert_int_equal(fx->n_submitted[RT_STORE_FIND], finds);
    fx_answer(fx);
    fx_none(fx, guest.link);
    fx_queued(fx, other, 0);
    fx_answer(fx);
    fx_want_refuse(fx, other, 8, RT_CLASS_NOT_FOUND, NULL);
    fx_none(fx, guest.link);
}

/* An ATTACH of more than a kilobyte to a container that there is not. payload: RT_SHORT_MAX + 1 bytes. */
static struct rt_frame long_attach(uint8_t *payload)
{
    static const uint8_t key[] = {0xa2, 'z', 'z', 0xc5, 0x04, 0x00}; /* "zz": bin of 1,024 */
    uint8_t id[RT_ID_SIZE] = {1};
    struct rt_attach_msg attach = {.cid = rt_slice_text("none"), .id = {id, sizeof(id)}, .try_no = 1, .wait = 10000};
    int size = rt_msg_encode(RT_MSG_ATTACH, &attach, payload, RT_SHORT_MAX);

    assert_true(size > 0 && size < 1000);
    payload[0]++; /* one key more, that nobody knows */
    memcpy(payload + size, key, sizeof(key));
    memset(payload + size + 6, 'z', 1024);
    return (struct rt_frame){.type = RT_ATTACH, .length = (uint32_t)size + 6 + 1024};
}

/* As many as a link may have held. */
static void hold_all(struct fx *fx, int client, struct rt_frame *frame, const uint8_t *payload)
{
    for (uint32_t i = 1; i <= RT_LINK_HELD_BYTES_MAX / frame->length; i++) {
        frame->channel = i;
        fx_send(fx, client, frame, payload);
        if (i % 100 == 0) {
            fx_fail(fx, RT_ETIMEDOUT);
        }
    }
    fx_fail(fx, RT_ETIMEDOUT);
    fx_none(fx, client);
}

static void test_held_bytes(void **state)
{
    struct fx *fx = *state;
    uint8_t payload[RT_SHORT_MAX + 1] = {0};
    struct rt_frame frame = long_attach(payload);
    int client = fx_client(fx, "local");

    hold_all(fx, client, &frame, payload);
    frame.channel++;
    fx_send(fx, client, &frame, payload);
    fx_want_refuse(fx, client, frame.channel, RT_CLASS_RETRY_LATER, NULL);
    frame.channel++;
    frame.length = RT_SHORT_MAX + 1;
    fx_send(fx, client, &frame, payload);
    fx_want_refuse(fx, client, 0, RT_CLASS_PROTOCOL, NULL);
    assert_int_equal(fx_stats(fx).held, 0);
}

/* Those of all links. */
static void test_held_bytes_of_all(void **state)
{
    struct fx *fx = *state;
    uint8_t payload[RT_SHORT_MAX + 1] = {0};
    struct rt_frame frame = long_attach(payload), got;
    uint64_t held = 0;
    int client = -1;

    for (int i = 0; i < RT_AGENT_HELD_BYTES_MAX / RT_LINK_HELD_BYTES_MAX; i++) {
        hold_all(fx, fx_client(fx, i % 2 == 0 ? "local" : "acme"), &frame, payload);
    }
    client = fx_client(fx, "other");                                      /* as no tenant has more than half */
    for (frame.channel = 1; held != fx_stats(fx).held; frame.channel++) { /* what is left by the others */
        const uint8_t *none;

        held = fx_stats(fx).held;
        fx_send(fx, client, &frame, payload);
        if (held == fx_stats(fx).held) {
            assert_true(fx_next(fx, client, &got, &none));
            assert_int_equal(got.type, RT_REFUSE);
            assert_int_equal(got.channel, frame.channel);
        }
    }
    assert_true(held * frame.length <= RT_AGENT_HELD_BYTES_MAX);
    assert_true((held + 1) * frame.length > RT_AGENT_HELD_BYTES_MAX);
}

/* Answers have their place before they are asked for: a client that asks for much and reads nothing is not closed. */
static void test_requests_wait(void **state)
{
    struct fx *fx = *state;
    struct rt_request_msg msg;
    int client = fx_client(fx, "local");
    size_t asked = fx->n_submitted[RT_STORE_FIND];
    uint64_t next = 0;

    memset(&msg, 0, sizeof(msg));
    msg.op = rt_slice_text("list");
    for (uint64_t i = 0; i < 100; i++) {
        fx_request(fx, client, i, &msg);
    }
    assert_true(fx->n_submitted[RT_STORE_FIND] - asked < 20);
    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    fx_answer(fx); /* those that were under way; no other is begun with */
    assert_true(fx->n_submitted[RT_STORE_FIND] - asked < 20);
    fx_queued(fx, client, 0);
    fx_answer(fx);
    while (next < 100) {
        struct rt_frame frame;
        (void)fx_want(fx, client, RT_REPLY, &frame);
        assert_int_equal(frame.offset, next++);
    }
    fx_none(fx, client);
}

/* Who takes what waits for it, however slowly, need not have seen the PING that lies behind. */
static void test_slow_is_not_silent(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");

    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    for (int i = 0; i < 4 * RT_PINGS_MISSED_MAX; i++) {
        fx_tick(fx, RT_PING_IDLE_MS);
        rt_agent_taken(fx->agent, fx->links[client].id, fx->now);
        assert_false(fx_closed(fx, client));
    }
    for (int i = 0; i < RT_PINGS_MISSED_MAX; i++) {
        assert_false(fx_closed(fx, client));
        fx_tick(fx, RT_PING_IDLE_MS);
    }
    assert_true(fx_closed(fx, client));
}

/* A stream that begins at the last offset there is: no frame says a limit beyond it. */
static void test_limit_of_the_last_offset(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame = {
        .type = RT_ACK, .channel = 1, .stream = RT_STDIN, .offset = RT_COUNTER_MAX - 1, .length = RT_ACK_PAYLOAD};
    uint8_t payload[RT_ACK_PAYLOAD] = {0};
    int client;

    fx_attached(fx, &guest, &client);
    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    rt_put_u64(payload, RT_COUNTER_MAX - 1);
    fx_send(fx, guest.link, &frame, payload);
    fx_queued(fx, client, 0);
    assert_true(rt_get_u64(fx_want(fx, client, RT_ACK, &frame)) < RT_COUNTER_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_newest_and_in_order),     FX_TEST(test_kept_size),          FX_TEST(test_last_words),
        FX_TEST(test_attached_once),           FX_TEST(test_unanswered),         FX_TEST(test_attaches_wait),
        FX_TEST(test_parked_is_not_looked_up), FX_TEST(test_held_bytes),         FX_TEST(test_held_bytes_of_all),
        FX_TEST(test_requests_wait),           FX_TEST(test_slow_is_not_silent), FX_TEST(test_limit_of_the_last_offset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
