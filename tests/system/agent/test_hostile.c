/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/victim.h"

#include "session/core/class.h"
#include "session/core/msg_hop.h"
#include "session/core/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Hostile input at every listener, of either role on a unix socket and on TCP, while a session streams undisturbed:
 * each is refused with its class, the log tells of each, and the agent does not grow. */

static uint64_t rng = 88172645463325252U;

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
        peer_open(&peer, victim_door(daemon, i / 2 % VICTIM_DOORS));
        (void)peer_write(&peer, data, any() % sizeof data);
        if (i % 3 == 0) {
            pair_run(&victim.pair, 1);
        }
        peer_close(&peer);
    }
    pair_move(&victim.pair, 1 << 20, 10000);
    assert_true(daemon_rss(daemon) < rss + VICTIM_GROWTH_MAX);
    assert_true(daemon_said(daemon, "\"event\":\"refused\"") > 0);
}

/* A header that breaks a rule is answered, whatever it is. */
static void test_headers(void **state)
{
    const struct daemon *daemon = *state;
    uint64_t told = victim_refusals(daemon);

    for (int which = 0; which < VICTIM_DOORS; which++) {
        for (unsigned type = 0; type < 256; type++) {
            uint8_t header[RT_FRAME_HEADER];

            put_header(header, type == RT_HELLO ? 2049 : 65537 + (uint32_t)any() % 4000000000U, (uint8_t)type);
            assert_int_equal(victim_refused(victim_door(daemon, which), header, sizeof header), RT_CLASS_PROTOCOL);
        }
        pair_run(&victim.pair, 5);
    }
    victim_until_refusals(daemon, told + (uint64_t)VICTIM_DOORS * 256);
}

/* Frames that are right in themselves and out of place before the welcome. */
static void test_out_of_place(void **state)
{
    const struct daemon *daemon = *state;
    uint64_t told = victim_refusals(daemon), made = 0;

    for (int which = 0; which < VICTIM_DOORS; which++) {
        for (unsigned type = RT_WELCOME; type <= RT_DETACH; type++) {
            uint8_t frame[RT_FRAME_HEADER + 64] = {0};
            struct rt_frame head = {.type = (uint8_t)type, .channel = type >= RT_ATTACH ? 1 : 0};

            head.length = type == RT_DATA ? 64 : type == RT_ACK ? RT_ACK_PAYLOAD : type == RT_GAP ? RT_GAP_PAYLOAD : 0;
            head.stream = type == RT_GAP ? 1 : 0;
            rt_frame_put(frame, &head);
            assert_int_equal(victim_refused(victim_door(daemon, which), frame, RT_FRAME_HEADER + (size_t)head.length),
                             RT_CLASS_PROTOCOL);
            made++;
        }
    }
    victim_until_refusals(daemon, told + made);
    assert_true(daemon_said(daemon, "\"to\":\"PROTOCOL\"") > 0);
    pair_move(&victim.pair, 1 << 20, 10000);
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
    uint64_t told = victim_refusals(daemon), made = 0;

    for (size_t i = 0; i < sizeof nested; i++) {
        nested[i] = (const uint8_t[]){0xdd, 0x00, 0xff, 0xff, 0xff}[i % 5];
    }
    memset(deep, 0x91, sizeof deep);
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < sizeof bombs / sizeof bombs[0]; i++) {
            uint8_t frame[RT_FRAME_HEADER + 2048];

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
    assert_true(daemon_rss(daemon) < rss + VICTIM_GROWTH_MAX);
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
        for (int which = 0; which < VICTIM_DOORS; which++) {
            struct peer peer;

            peer_open(&peer, victim_door(daemon, which));
            assert_true(peer_write(&peer, frame, cut));
            peer_close(&peer);
        }
        pair_run(&victim.pair, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_garbage, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_headers, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_out_of_place, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_bombs, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_half_frames, victim_setup, victim_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
