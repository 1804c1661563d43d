/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/victim.h"

#include "session/base/slice.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

/* Hostile input at every listener, of either role on a unix socket and on TCP, while a session streams undisturbed:
 * each gets the answer that is due, the log tells of each, and the agent does not grow. */

#define GARBAGE_MAX ((size_t)65536)
#define GARBAGE_ROUNDS 12
#define HELLO_PAYLOAD_MAX 2048
/* Until an agent ends a handshake, and then a guard against hanging. */
#define DEADLINE_MS 5000
#define LIMIT_MS 20000
#define HALVES_MAX 512

static const uint64_t seed = 88172645463325252U;
static uint64_t rng;

static uint64_t any(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

static void put_header(uint8_t out[RT_FRAME_HEADER], uint32_t length, uint8_t type)
{
    rt_frame_put(out, &(struct rt_frame){.length = length, .type = type});
}

static size_t put_hello(uint8_t *out, const char *role, uint64_t version)
{
    struct rt_hello_msg hello = {.vmin = version, .vmax = version, .role = rt_slice_text(role)};
    int size = rt_msg_encode(RT_MSG_HELLO, &hello, out + RT_FRAME_HEADER, HELLO_PAYLOAD_MAX);

    assert_true(size > 0);
    put_header(out, (uint32_t)size, RT_HELLO);
    return RT_FRAME_HEADER + (size_t)size;
}

/* ---- garbage ---- */

static size_t noise(uint8_t *out, size_t least, size_t most)
{
    size_t size = least + (size_t)any() % (most - least + 1);

    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(any() >> 24);
    }
    return size;
}

static size_t make_noise(uint8_t *out, int door)
{
    (void)door;
    return noise(out, RT_FRAME_HEADER, GARBAGE_MAX);
}

static size_t make_crumb(uint8_t *out, int door)
{
    (void)door;
    return noise(out, 1, RT_FRAME_HEADER - 1);
}

/* The header of a hello, and then anything but one. */
static size_t make_hello_noise(uint8_t *out, int door)
{
    size_t length = 1 + (size_t)any() % HELLO_PAYLOAD_MAX;

    (void)door;
    put_header(out, (uint32_t)length, RT_HELLO);
    return RT_FRAME_HEADER + noise(out + RT_FRAME_HEADER, length, length + 4096);
}

static size_t make_empty_hello(uint8_t *out, int door)
{
    (void)door;
    put_header(out, 0, RT_HELLO);
    return RT_FRAME_HEADER;
}

/* Peers that look for another service. */
static size_t make_foreign(uint8_t *out, int door)
{
    static const char *const lines[VICTIM_DOORS] = {
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        "\x16\x03\x01\x02\x05\x01\x01\xfc\x03\x03 a TLS client hello", "*1\r\n$7\r\nCOMMAND\r\n*1\r\n$4\r\nPING\r\n"};
    size_t size = strlen(lines[door]);

    memcpy(out, lines[door], size);
    return size;
}

static size_t make_other_role(uint8_t *out, int door)
{
    return put_hello(out, VICTIM_IS_CLIENTS(door) ? "guest" : "client", 1);
}

static size_t make_other_version(uint8_t *out, int door)
{
    return put_hello(out, VICTIM_IS_CLIENTS(door) ? "client" : "guest", 2);
}

static size_t make_bare_guest(uint8_t *out, int door)
{
    return put_hello(out, VICTIM_IS_CLIENTS(door) ? "nobody" : "guest", 1);
}

enum leaving { STAYS, ENDS /* its side */, VANISHES };

static const struct garbage {
    const char *name;
    size_t (*make)(uint8_t *out, int door); /* at most GARBAGE_MAX + a header */
    enum leaving leaving;
    int answer[2]; /* at a guests' door, at a clients': a class, or VICTIM_CLOSED */
} garbage[] = {
    {"noise", make_noise, STAYS, {RT_CLASS_PROTOCOL, RT_CLASS_PROTOCOL}},
    {"noise of one that is gone", make_noise, VANISHES, {RT_CLASS_PROTOCOL, RT_CLASS_PROTOCOL}},
    {"a crumb", make_crumb, ENDS, {VICTIM_CLOSED, VICTIM_CLOSED}},
    {"noise in a hello", make_hello_noise, STAYS, {RT_CLASS_PROTOCOL, RT_CLASS_PROTOCOL}},
    {"an empty hello", make_empty_hello, STAYS, {RT_CLASS_PROTOCOL, RT_CLASS_PROTOCOL}},
    {"another protocol", make_foreign, STAYS, {RT_CLASS_PROTOCOL, RT_CLASS_PROTOCOL}},
    {"another role", make_other_role, STAYS, {RT_CLASS_DENIED, RT_CLASS_DENIED}},
    {"another version", make_other_version, STAYS, {RT_CLASS_VERSION, RT_CLASS_VERSION}},
    {"nothing but a role", make_bare_guest, STAYS, {RT_CLASS_PROTOCOL, RT_CLASS_DENIED}},
};

/* Returns 1 when the agent has to tell of a refusal. */
static unsigned throw(const struct daemon *daemon, const struct garbage *kind, int door)
{
    static uint8_t data[RT_FRAME_HEADER + GARBAGE_MAX];
    size_t size = kind->make(data, door);
    int due = kind->answer[VICTIM_IS_CLIENTS(door)];
    struct peer peer;

    peer_open(&peer, victim_door(daemon, door));
    (void)peer_write(&peer, data, size);
    if (kind->leaving == ENDS) {
        assert_int_equal(shutdown(peer.fd, SHUT_WR), 0);
    }
    if (kind->leaving != VANISHES) {
        int answer = peer_refused(&peer, LIMIT_MS);

        if (answer != due) {
            fail_msg("%s at door %d: answered with %d, not %d", kind->name, door, answer, due);
        }
        assert_true(due == VICTIM_CLOSED || peer.why[0] != '\0');
    }
    peer_close(&peer);
    return due != VICTIM_CLOSED;
}

static void throw_all(const struct daemon *daemon)
{
    uint64_t told = victim_refusals(daemon);

    rng = seed;
    for (int round = 0; round < GARBAGE_ROUNDS; round++) {
        for (int door = 0; door < VICTIM_DOORS; door++) {
            for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
                told += throw(daemon, &garbage[i], door);
            }
            pair_run(&victim.pair, 1);
        }
    }
    victim_until_refusals(daemon, told);
}

static void test_garbage(void **state)
{
    victim_again(*state, throw_all);
}

/* ---- frames ---- */

/* A header that breaks a rule is answered, whatever it is. */
static void break_headers(const struct daemon *daemon)
{
    uint64_t told = victim_refusals(daemon);

    rng = seed;
    for (int which = 0; which < VICTIM_DOORS; which++) {
        for (unsigned type = 0; type < 256; type++) {
            uint8_t header[RT_FRAME_HEADER];

            put_header(header, type == RT_HELLO ? 2049 : 65537 + (uint32_t)any() % 4000000000U, (uint8_t)type);
            assert_int_equal(victim_refused(victim_door(daemon, which), header, sizeof(header)), RT_CLASS_PROTOCOL);
        }
        pair_run(&victim.pair, 5);
    }
    victim_until_refusals(daemon, told + (uint64_t)VICTIM_DOORS * 256);
}

static void test_headers(void **state)
{
    victim_again(*state, break_headers);
}

/* Frames that are right in themselves and out of place before the welcome. */
static void misplace(const struct daemon *daemon)
{
    uint64_t told = victim_refusals(daemon), made = 0;

    for (int which = 0; which < 3 * VICTIM_DOORS; which++) {
        for (unsigned type = RT_WELCOME; type <= RT_DETACH; type++) {
            uint8_t frame[RT_FRAME_HEADER + 64] = {0};
            struct rt_frame head = {.type = (uint8_t)type, .channel = type >= RT_ATTACH ? 1 : 0};

            head.length = type == RT_DATA ? 64 : type == RT_ACK ? RT_ACK_PAYLOAD : type == RT_GAP ? RT_GAP_PAYLOAD : 0;
            head.stream = type == RT_GAP ? 1 : 0;
            rt_frame_put(frame, &head);
            assert_int_equal(
                victim_refused(victim_door(daemon, which % VICTIM_DOORS), frame, RT_FRAME_HEADER + (size_t)head.length),
                RT_CLASS_PROTOCOL);
            made++;
        }
        pair_run(&victim.pair, 1);
    }
    victim_until_refusals(daemon, told + made);
    assert_true(daemon_said(daemon, "\"to\":\"PROTOCOL\"") > 0);
}

static void test_out_of_place(void **state)
{
    victim_again(*state, misplace);
}

static void bomb(const struct daemon *daemon)
{
    static const uint8_t array[] = {0xdd, 0x05, 0xf5, 0xe1, 0x00}, map[] = {0xdf, 0xff, 0xff, 0xff, 0xff},
                         bin[] = {0x81, 0xa3, 't', 'o', 'k', 0xc6, 0xff, 0xff, 0xff, 0xff},
                         twice[] = {0x82, 0xa4, 'v', 'm', 'i', 'n', 1, 0xa4, 'v', 'm', 'i', 'n', 1};
    static uint8_t nested[155], deep[HELLO_PAYLOAD_MAX];
    const struct {
        const uint8_t *data;
        size_t size;
    } bombs[] = {{array, sizeof(array)},   {map, sizeof(map)},   {bin, sizeof(bin)},
                 {nested, sizeof(nested)}, {deep, sizeof(deep)}, {twice, sizeof(twice)}};
    uint64_t told = victim_refusals(daemon), made = 0;

    for (size_t i = 0; i < sizeof(nested); i++) {
        nested[i] = (const uint8_t[]){0xdd, 0x00, 0xff, 0xff, 0xff}[i % 5];
    }
    memset(deep, 0x91, sizeof(deep));
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
            uint8_t frame[RT_FRAME_HEADER + HELLO_PAYLOAD_MAX];

            put_header(frame, (uint32_t)bombs[i].size, RT_HELLO);
            memcpy(frame + RT_FRAME_HEADER, bombs[i].data, bombs[i].size);
            assert_int_equal(
                victim_refused(victim_door(daemon, round % VICTIM_DOORS), frame, RT_FRAME_HEADER + bombs[i].size),
                RT_CLASS_PROTOCOL);
            made++;
        }
        pair_run(&victim.pair, 2);
    }
    victim_until_refusals(daemon, told + made);
}

static void test_bombs(void **state)
{
    victim_again(*state, bomb);
}

/* ---- half frames ---- */

/* Half a hello, cut at every byte, of a peer that then ends its side: the agent closes without a word, and the log
 * tells of it. */
static void cut_and_end(const struct daemon *daemon)
{
    static const char closed[] = "link-closed";
    uint64_t told = victim_told(daemon, closed), refused = victim_refusals(daemon);
    uint8_t hello[RT_FRAME_HEADER + HELLO_PAYLOAD_MAX];

    for (int which = 0; which < VICTIM_DOORS; which++) {
        size_t size = put_hello(hello, VICTIM_IS_CLIENTS(which) ? "client" : "guest", 1);

        for (size_t cut = 0; cut < size; cut++) {
            struct peer peer;

            peer_open(&peer, victim_door(daemon, which));
            assert_true(peer_write(&peer, hello, cut));
            assert_int_equal(shutdown(peer.fd, SHUT_WR), 0);
            assert_int_equal(peer_refused(&peer, LIMIT_MS), VICTIM_CLOSED);
            peer_close(&peer);
            told++;
        }
        pair_run(&victim.pair, 1);
    }
    victim_until(daemon, closed, told);
    assert_int_equal(victim_refusals(daemon), refused);
}

static void test_half_frames_ended(void **state)
{
    victim_again(*state, cut_and_end);
}

/* The same of a peer that then waits: at the deadline of a handshake it is told so, and closed. */
static void cut_and_wait(const struct daemon *daemon)
{
    static struct peer halves[HALVES_MAX];
    uint64_t told = victim_refusals(daemon);
    uint8_t hello[RT_FRAME_HEADER + HELLO_PAYLOAD_MAX];
    size_t n = 0;

    for (int which = 0; which < VICTIM_DOORS; which++) {
        size_t size = put_hello(hello, VICTIM_IS_CLIENTS(which) ? "client" : "guest", 1);

        for (size_t cut = 0; cut < size; cut++) {
            assert_true(n < HALVES_MAX);
            peer_open(&halves[n], victim_door(daemon, which));
            assert_true(peer_write(&halves[n++], hello, cut));
        }
    }
    pair_run(&victim.pair, DEADLINE_MS);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(peer_refused(&halves[i], LIMIT_MS), RT_CLASS_RETRY_LATER);
        assert_string_equal(halves[i].why, "the handshake took longer than 5 s");
        peer_close(&halves[i]);
    }
    victim_until_refusals(daemon, told + n);
    assert_true(daemon_said(daemon, "\"to\":\"RETRY_LATER\",\"reason\":\"the handshake took longer than 5 s\"") > 0);
}

static void test_half_frames_held(void **state)
{
    victim_again(*state, cut_and_wait);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_garbage, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_headers, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_out_of_place, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_bombs, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_half_frames_ended, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_half_frames_held, victim_setup, victim_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
