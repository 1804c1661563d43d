/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/victim.h"

#include "session/base/slice.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

/* Peers that come in numbers, or ask for more than they take. */

/* Handshakes that an agent has under way with one user at a time. */
#define HANDSHAKES_MAX 768
#define FLOOD 1500
#define GARBAGE 3000
/* What may wait for one client. */
#define GREEDY_MAX ((size_t)16 << 20)
/* Sessions on a page of a list. */
#define LISTED 32
#define REQUESTS ((size_t)50000)
#define PINGS ((size_t)2000000)
#define LIMIT_MS 15000
#define LOG_MAX ((size_t)1 << 20)

/* Told LIMIT. */
static bool turned_away(const struct peer *peer)
{
    uint8_t bytes[RT_FRAME_HEADER + RT_SHORT_MAX];
    ssize_t size = recv(peer->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
    struct rt_refuse_msg refuse;
    struct rt_frame frame;

    if (size < RT_FRAME_HEADER) {
        assert_true(size < 0); /* not closed without a word */
        return false;
    }
    rt_frame_get(bytes, &frame);
    assert_int_equal(frame.type, RT_REFUSE);
    assert_int_equal(rt_msg_decode(RT_MSG_REFUSE, bytes + RT_FRAME_HEADER, frame.length, &refuse, NULL, 0), 0);
    assert_int_equal(refuse.c, RT_CLASS_LIMIT);
    return true;
}

/* More than the handshakes there may be, at each door in turn: the oldest go, and are told why, the session streams,
 * and whoever comes gets in at once, at this door and at the others. */
static void test_handshakes_cap(void **state)
{
    static struct peer flood[FLOOD];
    struct daemon *daemon = *state;
    size_t rss = daemon_rss(daemon), closed;

    for (int door = 0; door < VICTIM_DOORS; door++) {
        uint64_t limit = test_now_ms() + LIMIT_MS;
        struct peer client;

        for (size_t i = 0; i < FLOOD; i++) {
            peer_open(&flood[i], victim_door(daemon, door));
        }
        do {
            pair_run(&victim.pair, 20);
            closed = 0;
            for (size_t i = 0; i < FLOOD; i++) {
                closed += turned_away(&flood[i]);
            }
        } while (closed < FLOOD - HANDSHAKES_MAX && test_now_ms() < limit);
        assert_true(closed >= FLOOD - HANDSHAKES_MAX);
        assert_int_equal(peer_refused(&flood[0], LIMIT_MS), RT_CLASS_LIMIT);
        assert_false(turned_away(&flood[FLOOD - 1]));
        pair_move(&victim.pair, 1 << 20, LIMIT_MS);
        peer_client(&client, victim_door(daemon, door | 1));
        peer_close(&client);
        for (size_t i = 0; i < FLOOD; i++) {
            peer_close(&flood[i]);
        }
    }
    assert_int_equal(daemon_said(daemon, "turned away"), 0);
    assert_true(daemon_rss(daemon) < rss + VICTIM_GROWTH_MAX);
}

/* However many are refused, the log stays short, and tells how many there were. */
static void test_long_flood(void **state)
{
    const struct daemon *daemon = *state;
    size_t rss = daemon_rss(daemon);
    uint64_t told = victim_refusals(daemon);
    uint8_t garbage[RT_FRAME_HEADER];

    memset(garbage, 0xff, sizeof(garbage));
    for (int i = 0; i < GARBAGE; i++) {
        struct peer peer;

        peer_open(&peer, victim_door(daemon, i % VICTIM_DOORS));
        assert_true(peer_write(&peer, garbage, sizeof(garbage)));
        peer_close(&peer);
        if (i % 100 == 0) {
            pair_run(&victim.pair, 1);
        }
    }
    victim_until_refusals(daemon, told + GARBAGE);
    assert_true(daemon_rss(daemon) < rss + VICTIM_GROWTH_MAX);
    assert_true(daemon_said(daemon, "\"suppressed\":") > 0);
    assert_true(strlen(daemon_log(daemon)) < LOG_MAX);
}

/* Who asks for more and more and reads nothing is held or closed, without growth. Closes it. */
static void ask_without_end(const struct daemon *daemon, struct peer *peer, const uint8_t *frame, size_t size,
                            size_t times)
{
    size_t rss = daemon_rss(daemon), now;
    static uint8_t many[65536];
    size_t n = sizeof(many) / size;

    for (size_t i = 0; i < n; i++) {
        memcpy(many + i * size, frame, size);
    }
    for (size_t sent = 0; sent < times && peer_write(peer, many, n * size); sent += n) {
        pair_run(&victim.pair, 1);
    }
    pair_move(&victim.pair, 1 << 20, LIMIT_MS);
    now = daemon_rss(daemon);
    if (now >= rss + GREEDY_MAX) {
        fail_msg("it grew by %zu KiB", (now - rss) / 1024);
    }
    peer_close(peer);
}

static void test_greedy_client(void **state)
{
    const struct daemon *daemon = *state;
    struct rt_request_msg request = {.op = rt_slice_text("list")};
    uint8_t ask[RT_FRAME_HEADER + 256], ping[RT_FRAME_HEADER], token[RT_TOKEN_MAX];
    int size = rt_msg_encode(RT_MSG_REQUEST, &request, ask + RT_FRAME_HEADER, 256);
    struct peer client;

    assert_true(size > 0);
    rt_frame_put(ask, &(struct rt_frame){.type = RT_REQUEST, .length = (uint32_t)size, .offset = 1});
    rt_frame_put(ping, &(struct rt_frame){.type = RT_PING});
    /* what makes the answers long */
    peer_client(&client, daemon->client);
    for (int i = 0; i < LISTED; i++) {
        char cid[16];

        (void)snprintf(cid, sizeof(cid), "s%d", i);
        (void)peer_create(&client, cid, token);
    }
    peer_close(&client);
    for (int door = 1; door < VICTIM_DOORS; door += 2) {
        peer_client(&client, victim_door(daemon, door));
        ask_without_end(daemon, &client, ask, RT_FRAME_HEADER + (size_t)size, REQUESTS);
        peer_client(&client, victim_door(daemon, door));
        ask_without_end(daemon, &client, ping, sizeof(ping), PINGS);
    }
}

static void test_greedy_guest(void **state)
{
    const struct daemon *daemon = *state;
    uint8_t ping[RT_FRAME_HEADER], token[RT_TOKEN_MAX];
    struct peer client, guest;

    rt_frame_put(ping, &(struct rt_frame){.type = RT_PING});
    peer_client(&client, daemon->client);
    for (int door = 0; door < VICTIM_DOORS; door += 2) {
        char cid[16];
        size_t size;

        (void)snprintf(cid, sizeof(cid), "greedy%d", door);
        size = peer_create(&client, cid, token);
        peer_guest(&guest, victim_door(daemon, door), cid, token, size);
        ask_without_end(daemon, &guest, ping, sizeof(ping), PINGS);
    }
    peer_close(&client);
}

static void serve(const struct daemon *daemon, struct peer *client, struct peer *guest, const char *cid)
{
    uint8_t token[RT_TOKEN_MAX];

    peer_guest(guest, daemon->guest, cid, token, peer_create(client, cid, token));
}

/* A channel of the client to the guest. Returns the guest's. */
static uint32_t attach(struct peer *client, uint32_t channel, struct peer *guest, const char *cid)
{
    uint8_t id[RT_ID_SIZE] = {(uint8_t)channel, (uint8_t)client->fd};
    struct rt_attach_msg attach = {
        .cid = rt_slice_text(cid), .id = {id, sizeof(id)}, .try_no = 1, .want = 31, .wait = 5000};
    struct rt_attached_msg attached = {.life = guest->life, .epoch = 1, .st = 1, .out = {{.s = RT_STDOUT}}, .n_out = 1};
    struct rt_frame frame;
    uint32_t at;

    peer_send_msg(client, (struct rt_frame){.type = RT_ATTACH, .channel = channel}, RT_MSG_ATTACH, &attach);
    (void)peer_wait(guest, RT_ATTACH, &frame, LIMIT_MS);
    at = frame.channel;
    peer_send_msg(guest, (struct rt_frame){.type = RT_ATTACHED, .channel = at}, RT_MSG_ATTACHED, &attached);
    (void)peer_wait(client, RT_ATTACHED, &frame, LIMIT_MS);
    assert_int_equal(frame.channel, channel);
    return at;
}

/* More ACKs than may be queued for anybody. */
static void flood_acks(struct peer *from, uint32_t channel, uint16_t stream)
{
    static uint8_t many[65536];
    size_t size = RT_FRAME_HEADER + RT_ACK_PAYLOAD, n = sizeof(many) / size;

    memset(many, 0, sizeof(many));
    for (size_t i = 0; i < n; i++) {
        rt_frame_put(
            many + i * size,
            &(struct rt_frame){.type = RT_ACK, .channel = channel, .stream = stream, .length = RT_ACK_PAYLOAD});
    }
    for (size_t sent = 0; sent < 3 * GREEDY_MAX; sent += n * size) {
        assert_true(peer_write(from, many, n * size));
    }
}

/* Until it has what the other end sent, behind all that was queued before. */
static void want_data(struct peer *peer, uint32_t channel)
{
    struct rt_frame frame;
    const uint8_t *payload = peer_wait(peer, RT_DATA, &frame, LIMIT_MS);

    assert_int_equal(frame.channel, channel);
    assert_int_equal(frame.length, 5);
    assert_memory_equal(payload, "fine\n", 5);
}

/* A guest that floods its one channel, of a link that another session is on and that is not read meanwhile; a client
 * that floods a guest which another client is attached to. The others go on as if nothing had been. */
static void test_shared_links(void **state)
{
    const struct daemon *daemon = *state;
    static struct peer shared, hostile, good, bad;
    size_t rss;

    peer_client(&shared, daemon->client);
    peer_client(&hostile, daemon->client);
    serve(daemon, &shared, &good, "good");
    serve(daemon, &shared, &bad, "bad");
    assert_int_equal(attach(&shared, 1, &good, "good"), 1);
    assert_int_equal(attach(&shared, 2, &bad, "bad"), 1);
    rss = daemon_rss(daemon);
    flood_acks(&bad, 1, RT_STDIN);
    peer_send(&good, &(struct rt_frame){.type = RT_DATA, .channel = 1, .stream = RT_STDOUT, .length = 5}, "fine\n");
    want_data(&shared, 1);
    assert_int_equal(attach(&hostile, 1, &good, "good"), 2);
    flood_acks(&hostile, 1, RT_STDOUT);
    assert_true(daemon_rss(daemon) < rss + GREEDY_MAX);
    peer_send(&shared, &(struct rt_frame){.type = RT_DATA, .channel = 1, .stream = RT_STDIN, .length = 5}, "fine\n");
    want_data(&good, 1);
    peer_close(&bad);
    peer_close(&good);
    peer_close(&hostile);
    peer_close(&shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_handshakes_cap, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_long_flood, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_greedy_client, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_greedy_guest, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_shared_links, victim_setup, victim_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
