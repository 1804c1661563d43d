/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/victim.h"

#include "session/core/msg_request.h"
#include "session/core/slice.h"

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

/* Closed, and nothing was said. */
static bool turned_away(const struct peer *peer)
{
    char byte;

    return recv(peer->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* More than the handshakes there may be, at each door in turn: the oldest go, the session streams, and whoever comes
 * gets in at once, at this door and at the others. */
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
        assert_true(turned_away(&flood[0]));
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

    memset(garbage, 0xff, sizeof garbage);
    for (int i = 0; i < GARBAGE; i++) {
        struct peer peer;

        peer_open(&peer, victim_door(daemon, i % VICTIM_DOORS));
        assert_true(peer_write(&peer, garbage, sizeof garbage));
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
    size_t n = sizeof many / size;

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

        (void)snprintf(cid, sizeof cid, "s%d", i);
        (void)peer_create(&client, cid, token);
    }
    peer_close(&client);
    for (int door = 1; door < VICTIM_DOORS; door += 2) {
        peer_client(&client, victim_door(daemon, door));
        ask_without_end(daemon, &client, ask, RT_FRAME_HEADER + (size_t)size, REQUESTS);
        peer_client(&client, victim_door(daemon, door));
        ask_without_end(daemon, &client, ping, sizeof ping, PINGS);
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

        (void)snprintf(cid, sizeof cid, "greedy%d", door);
        size = peer_create(&client, cid, token);
        peer_guest(&guest, victim_door(daemon, door), cid, token, size);
        ask_without_end(daemon, &guest, ping, sizeof ping, PINGS);
    }
    peer_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_handshakes_cap, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_long_flood, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_greedy_client, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_greedy_guest, victim_setup, victim_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
