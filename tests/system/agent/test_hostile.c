/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/pair.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Hostile input at every listener, of either role on a unix socket and on TCP, while a session streams undisturbed. */

#define SILENT 1000
/* Guests and clients on unix sockets, then the same on TCP. */
#define UNIX_DOORS 2
#define DOORS 4
#define GROWTH_MAX ((size_t)24 << 20)
/* What may wait for one client; AddressSanitizer's own for as many allocations comes to as much again. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GREEDY_MAX ((size_t)32 << 20)
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define GREEDY_MAX ((size_t)32 << 20)
#endif
#ifndef GREEDY_MAX
#define GREEDY_MAX ((size_t)16 << 20)
#endif
#define LOG_MAX ((size_t)1 << 20)

static struct pair pair;
static char tcp_guest[32], tcp_client[32];
static uint64_t rng = 88172645463325252U;

static uint64_t any(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

static const char *listener(const struct daemon *daemon, int which)
{
    const char *const doors[DOORS] = {daemon->guest, daemon->client, tcp_guest, tcp_client};

    return doors[which];
}

/* The address of the TCP listener, whose port the kernel chose: the log tells it. */
static void find_tcp(const struct daemon *daemon, const char *whom, char *out, size_t size)
{
    const char *at = daemon_log(daemon);

    while ((at = strstr(at, PEER_TCP)) != NULL) {
        size_t length = strlen(PEER_TCP);

        length += strspn(at + length, "0123456789");
        if (strncmp(at + length, whom, strlen(whom)) == 0) {
            assert_true(length < size);
            (void)snprintf(out, size, "%.*s", (int)length, at);
            return;
        }
        at += length;
    }
    fail_msg("no TCP listener%s in the log:\n%s", whom, daemon_log(daemon));
}

static void put_header(uint8_t out[RT_FRAME_HEADER], uint32_t length, uint8_t type)
{
    rt_frame_put(out, &(struct rt_frame){.length = length, .type = type});
}

/* Sends bytes as the first of a connection; the agent must refuse and close. Returns the class. */
static int refused(const char *address, const void *data, size_t size)
{
    struct peer peer;
    int cls;

    peer_open(&peer, address);
    (void)peer_write(&peer, data, size);
    cls = peer_refused(&peer, 2000);
    peer_close(&peer);
    return cls;
}

static int setup(void **state)
{
    struct daemon *daemon;

    assert_int_equal(daemon_setup(state), 0);
    daemon = *state;
    daemon_up(daemon, (const char *[]){"--guests", PEER_TCP "0", "--clients", PEER_TCP "0", NULL});
    find_tcp(daemon, " for guests", tcp_guest, sizeof tcp_guest);
    find_tcp(daemon, " for clients", tcp_client, sizeof tcp_client);
    pair_start(&pair, daemon, "victim", 1);
    pair_move(&pair, 4 << 20, 20000);
    return 0;
}

/* The session goes on, and the agent stops cleanly. */
static int teardown(void **state)
{
    struct daemon *daemon = *state;
    int status;

    pair_move(&pair, 1 << 20, 10000);
    pair_close(&pair);
    assert_true(daemon->pid > 0);
    assert_int_equal(kill(daemon->pid, SIGTERM), 0);
    status = daemon_wait(daemon, 3500);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return daemon_teardown(state);
}

static void test_garbage(void **state)
{
    const struct daemon *daemon = *state;
    static uint8_t data[65536];
    size_t rss = daemon_rss(daemon);

    for (int i = 0; i < 400; i++) {
        struct peer peer;

        for (size_t k = 0; k < sizeof data; k += 8) {
            uint64_t word = any();
            memcpy(data + k, &word, 8);
        }
        /* Every other one looks like a hello. */
        if (i % 2 == 0) {
            put_header(data, (uint32_t)(any() % 2048), RT_HELLO);
        }
        peer_open(&peer, listener(daemon, i / 2 % DOORS));
        (void)peer_write(&peer, data, any() % sizeof data);
        if (i % 3 == 0) {
            pair_run(&pair, 1);
        }
        peer_close(&peer);
    }
    pair_move(&pair, 1 << 20, 10000);
    assert_true(daemon_rss(daemon) < rss + GROWTH_MAX);
    assert_true(daemon_said(daemon, "\"event\":\"refused\"") > 0);
}

/* A header that breaks a rule is answered, whatever it is. */
static void test_headers(void **state)
{
    const struct daemon *daemon = *state;

    for (int which = 0; which < DOORS; which++) {
        for (unsigned type = 0; type < 256; type++) {
            uint8_t header[RT_FRAME_HEADER];

            put_header(header, type == RT_HELLO ? 2049 : 65537 + (uint32_t)any() % 4000000000U, (uint8_t)type);
            assert_int_equal(refused(listener(daemon, which), header, sizeof header), RT_CLASS_PROTOCOL);
        }
        pair_run(&pair, 5);
    }
}

/* Frames that are right in themselves and out of place before the welcome. */
static void test_out_of_place(void **state)
{
    const struct daemon *daemon = *state;

    for (int which = 0; which < DOORS; which++) {
        for (unsigned type = RT_WELCOME; type <= RT_DETACH; type++) {
            uint8_t frame[RT_FRAME_HEADER + 64] = {0};
            struct rt_frame head = {.type = (uint8_t)type, .channel = type >= RT_ATTACH ? 1 : 0};

            head.length = type == RT_DATA ? 64 : type == RT_ACK ? RT_ACK_PAYLOAD : type == RT_GAP ? RT_GAP_PAYLOAD : 0;
            head.stream = type == RT_GAP ? 1 : 0;
            rt_frame_put(frame, &head);
            (void)refused(listener(daemon, which), frame, RT_FRAME_HEADER + (size_t)head.length);
        }
    }
    pair_move(&pair, 1 << 20, 10000);
}

static void test_bombs(void **state)
{
    const struct daemon *daemon = *state;
    static const uint8_t array[] = {0xdd, 0x05, 0xf5, 0xe1, 0x00}, map[] = {0xdf, 0xff, 0xff, 0xff, 0xff},
                         bin[] = {0x81, 0xa3, 't', 'o', 'k', 0xc6, 0xff, 0xff, 0xff, 0xff},
                         twice[] = {0x82, 0xa4, 'v', 'm', 'i', 'n', 1, 0xa4, 'v', 'm', 'i', 'n', 1};
    static uint8_t nested[155], deep[2048];
    const struct {
        const uint8_t *data;
        size_t size;
    } bombs[] = {{array, sizeof array},   {map, sizeof map},   {bin, sizeof bin},
                 {nested, sizeof nested}, {deep, sizeof deep}, {twice, sizeof twice}};
    size_t rss = daemon_rss(daemon);

    for (size_t i = 0; i < sizeof nested; i++) {
        nested[i] = (const uint8_t[]){0xdd, 0x00, 0xff, 0xff, 0xff}[i % 5];
    }
    memset(deep, 0x91, sizeof deep);
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < sizeof bombs / sizeof bombs[0]; i++) {
            uint8_t frame[RT_FRAME_HEADER + 2048];

            put_header(frame, (uint32_t)bombs[i].size, RT_HELLO);
            memcpy(frame + RT_FRAME_HEADER, bombs[i].data, bombs[i].size);
            assert_int_equal(refused(listener(daemon, round % DOORS), frame, RT_FRAME_HEADER + bombs[i].size),
                             RT_CLASS_PROTOCOL);
        }
        pair_run(&pair, 2);
    }
    assert_true(daemon_rss(daemon) < rss + GROWTH_MAX);
}

/* Half a hello, cut at every byte, then closed. */
static void test_half_frames(void **state)
{
    const struct daemon *daemon = *state;
    struct rt_hello_msg hello = {.vmin = 1, .vmax = 1, .role = rt_slice_text("client")};
    uint8_t frame[RT_FRAME_HEADER + 256];
    int size = rt_msg_encode(RT_MSG_HELLO, &hello, frame + RT_FRAME_HEADER, 256);

    assert_true(size > 0);
    put_header(frame, (uint32_t)size, RT_HELLO);
    for (size_t cut = 0; cut < RT_FRAME_HEADER + (size_t)size; cut++) {
        for (int which = 0; which < DOORS; which++) {
            struct peer peer;

            peer_open(&peer, listener(daemon, which));
            assert_true(peer_write(&peer, frame, cut));
            peer_close(&peer);
        }
        pair_run(&pair, 1);
    }
}

/* Tokens that do not fit, at these doors. */
static void try_tokens(const char *guests, const char *clients, const char *cid, const char *other_cid)
{
    uint8_t token[RT_TOKEN_MAX], other[RT_TOKEN_MAX];
    struct peer client, guest;
    size_t size, other_size;

    peer_client(&client, clients);
    size = peer_create(&client, cid, token);
    other_size = peer_create(&client, other_cid, other);
    /* forged: any bit */
    for (size_t i = 0; i < size; i += 7) {
        token[i] ^= 0x10;
        peer_open(&guest, guests);
        peer_guest_hello(&guest, cid, token, size, 0, 1);
        assert_int_equal(peer_refused(&guest, 3000), RT_CLASS_BAD_AUTH);
        peer_close(&guest);
        token[i] ^= 0x10;
    }
    /* another container's */
    peer_open(&guest, guests);
    peer_guest_hello(&guest, cid, other, other_size, 0, 1);
    assert_int_equal(peer_refused(&guest, 3000), RT_CLASS_BAD_AUTH);
    peer_close(&guest);
    /* none at all */
    peer_open(&guest, guests);
    peer_guest_hello(&guest, "victim", NULL, 0, 0, 1);
    assert_int_not_equal(peer_refused(&guest, 3000), RT_CLASS_OK);
    peer_close(&guest);
    /* at the wrong door */
    peer_open(&guest, clients);
    peer_guest_hello(&guest, cid, token, size, 0, 1);
    assert_int_equal(peer_refused(&guest, 3000), RT_CLASS_DENIED);
    peer_close(&guest);
    peer_close(&client);
}

static void test_tokens(void **state)
{
    const struct daemon *daemon = *state;

    try_tokens(daemon->guest, daemon->client, "tok1", "tok2");
    try_tokens(tcp_guest, tcp_client, "tok3", "tok4");
    assert_true(daemon_said(daemon, "BAD_AUTH") > 0);
}

/* A thousand connections that say nothing, at each door in turn: the session streams, one who speaks still gets in, and
 * after the handshake's deadline they are gone. */
static void test_silent(void **state)
{
    const struct daemon *daemon = *state;
    static struct peer silent[SILENT];
    struct rlimit files;
    size_t rss = daemon_rss(daemon);
    struct peer client;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    for (int which = 0; which < UNIX_DOORS; which++) {
        uint64_t since = test_now_ms();

        for (size_t i = 0; i < SILENT; i++) {
            peer_open(&silent[i], listener(daemon, which));
        }
        pair_move(&pair, 4 << 20, 10000);
        peer_client(&client, daemon->client);
        peer_close(&client);
        assert_true(daemon_rss(daemon) < rss + GROWTH_MAX);
        pair_run(&pair, 5000);
        for (size_t i = 0; i < SILENT; i++) {
            assert_int_equal(peer_refused(&silent[i], 3000), RT_CLASS_LIMIT);
            peer_close(&silent[i]);
        }
        assert_true(test_now_ms() - since < 10000);
    }
    assert_true(daemon_rss(daemon) < rss + GROWTH_MAX);
}

/* More than the handshakes there may be: what is over is closed at once, and the log stays short. */
static void test_flood(void **state)
{
    const struct daemon *daemon = *state;
    static struct peer flood[1500];
    size_t rss = daemon_rss(daemon);

    for (size_t i = 0; i < 1500; i++) {
        peer_open(&flood[i], daemon->guest);
    }
    pair_move(&pair, 1 << 20, 10000);
    for (size_t i = 0; i < 1500; i++) {
        peer_close(&flood[i]);
    }
    for (int i = 0; i < 3000; i++) {
        struct peer peer;

        peer_open(&peer, listener(daemon, i % DOORS));
        (void)peer_write(&peer, "\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377", 20);
        peer_close(&peer);
    }
    pair_run(&pair, 2500);
    assert_true(daemon_rss(daemon) < rss + GROWTH_MAX);
    assert_true(daemon_said(daemon, "\"suppressed\":") > 0);
    assert_true(strlen(daemon_log(daemon)) < LOG_MAX);
}

/* A welcomed client that asks for more and more and reads nothing is held or closed, without growth. */
static void flood_with(const struct daemon *daemon, const uint8_t *frame, size_t size, size_t times)
{
    struct peer client;
    size_t rss = daemon_rss(daemon);
    static uint8_t many[65536];
    size_t n = sizeof many / size;

    for (size_t i = 0; i < n; i++) {
        memcpy(many + i * size, frame, size);
    }
    peer_client(&client, daemon->client);
    for (size_t sent = 0; sent < times && peer_write(&client, many, n * size); sent += n) {
        pair_run(&pair, 1);
    }
    pair_move(&pair, 1 << 20, 10000);
    if (daemon_rss(daemon) >= rss + GREEDY_MAX) {
        fail_msg("it grew by %zu KiB", (daemon_rss(daemon) - rss) / 1024);
    }
    peer_close(&client);
}

static void test_greedy_client(void **state)
{
    const struct daemon *daemon = *state;
    struct rt_request_msg request = {.op = rt_slice_text("list")};
    uint8_t frame[RT_FRAME_HEADER + 256], token[RT_TOKEN_MAX];
    int size = rt_msg_encode(RT_MSG_REQUEST, &request, frame + RT_FRAME_HEADER, 256);
    struct peer client;

    assert_true(size > 0);
    /* Long answers. */
    peer_client(&client, daemon->client);
    for (int i = 0; i < 32; i++) {
        char cid[16];

        (void)snprintf(cid, sizeof cid, "s%d", i);
        (void)peer_create(&client, cid, token);
    }
    peer_close(&client);
    rt_frame_put(frame, &(struct rt_frame){.type = RT_REQUEST, .length = (uint32_t)size, .offset = 1});
    flood_with(daemon, frame, RT_FRAME_HEADER + (size_t)size, 50000);
    /* Short ones. */
    rt_frame_put(frame, &(struct rt_frame){.type = RT_PING});
    flood_with(daemon, frame, RT_FRAME_HEADER, 2000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_of_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bombs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
        cmocka_unit_test_setup_teardown(test_greedy_client, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
