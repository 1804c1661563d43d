/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Slots of keys, the map, what a node's refusals mean, and when the map is asked for. What a real server says of the
 * same is in tests/system/store/test_slots.c. */

#define TEXT(text) text, sizeof(text) - 1

static struct rt_slot_map map;

static struct rt_slot_place at(const char *host, uint16_t port)
{
    struct rt_slot_place place = {.port = port};

    snprintf(place.host, sizeof(place.host), "%s", host);
    return place;
}

static int primary(const char *host)
{
    struct rt_slot_place place = at(host, 7000);

    return rt_slot_map_primary(&map, &place);
}

static int replica(const char *host, unsigned of)
{
    struct rt_slot_place place = at(host, 7000);

    return rt_slot_map_replica(&map, &place, of);
}

static int setup(void **state)
{
    (void)state;
    rt_slot_map_clear(&map);
    return 0;
}

/* 123456789 is the check value of CRC-16/XMODEM, 0x31c3; the others are of the Redis Cluster specification and of
 * CLUSTER KEYSLOT. */
static void test_slots_of_keys(void **state)
{
    static const struct {
        const char *key;
        uint16_t slot;
    } keys[] = {
        {"123456789", 0x31c3}, {"", 0},           {"foo", 12182},          {"bar", 5061},
        {"{bar}", 5061},       {"x{bar}y", 5061}, {"foo{bar}{zap}", 5061},
    };
    static const char *const alike[][2] = {
        {"{user1000}.following", "{user1000}.followers"},
        {"{user1000}.following", "user1000"},
        {"foo{{bar}}zap", "{bar"},
        {"rt:{t/box}:r", "rt:{t/box}:v"},
        {"rt:{reg}:rows", "rt:{reg}:birth"},
        {"rt:{host/}}:set", "rt:{host/}}:tails"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_int_equal(rt_slot_of(keys[i].key, strlen(keys[i].key)), keys[i].slot);
    }
    for (size_t i = 0; i < sizeof(alike) / sizeof(alike[0]); i++) {
        assert_int_equal(rt_slot_of(alike[i][0], strlen(alike[i][0])), rt_slot_of(alike[i][1], strlen(alike[i][1])));
    }
    /* Nothing between the two: all of it counts. */
    assert_int_not_equal(rt_slot_of(TEXT("foo{}{bar}")), 5061);
    assert_int_not_equal(rt_slot_of(TEXT("{}a")), rt_slot_of(TEXT("{}b")));
    assert_int_not_equal(rt_slot_of(TEXT("a{bar")), rt_slot_of(TEXT("bar")));
    assert_int_not_equal(rt_slot_of(TEXT("}bar{")), rt_slot_of(TEXT("bar")));
    /* Bytes, not text. */
    assert_int_not_equal(rt_slot_of(TEXT("a\0b")), rt_slot_of(TEXT("a")));
    assert_int_not_equal(rt_slot_of(TEXT("\xff\xfe")), rt_slot_of(TEXT("\x7f\x7e")));
}

static void test_map(void **state)
{
    struct rt_slot_place place = at("c", 7000);
    int a = primary("a"), b = primary("b");

    (void)state;
    assert_int_equal(a, 0);
    assert_int_equal(b, 1);
    assert_int_equal(primary("a"), a);
    assert_int_equal(replica("r", 0), 0);
    assert_int_equal(replica("r", 0), 0);
    assert_int_equal(rt_slot_map_replicas(&map, 0), 1);
    assert_int_equal(rt_slot_map_replicas(&map, 1), 0);
    /* One that is two things at once. */
    assert_int_equal(primary("r"), RT_EPROTO);
    assert_int_equal(replica("r", 1), RT_EPROTO);
    assert_int_equal(replica("b", 0), RT_EPROTO);
    assert_int_equal(replica("a", 0), RT_EPROTO);
    assert_int_equal(replica("x", 2), RT_EPROTO); /* of a replica */
    assert_int_equal(replica("x", 9), RT_EPROTO); /* of nobody */
    assert_int_equal(map.n, 3);

    assert_int_equal(rt_slot_map_range(&map, 0, 8000, 0), 0);
    assert_int_equal(map.n_owned, 8001);
    assert_int_equal(rt_slot_map_range(&map, 8000, 9000, 1), RT_EPROTO);
    assert_int_equal(rt_slot_map_range(&map, 9001, 9000, 1), RT_EPROTO);
    assert_int_equal(rt_slot_map_range(&map, 9000, RT_SLOTS, 1), RT_EPROTO);
    assert_int_equal(rt_slot_map_range(&map, 9000, UINT64_MAX, 1), RT_EPROTO);
    assert_int_equal(rt_slot_map_range(&map, 9000, 9000, 2), RT_EPROTO); /* a replica */
    assert_int_equal(rt_slot_map_range(&map, 8001, RT_SLOTS - 1, 1), 0);
    assert_int_equal(map.n_owned, RT_SLOTS);
    assert_int_equal(map.owner[8000], 0);
    assert_int_equal(map.owner[8001], 1);

    /* Moved: to one that is there, to a new one, to a replica that has been promoted. */
    assert_int_equal(rt_slot_map_moved(&map, 42, &map.nodes[1].place), 0);
    assert_int_equal(map.owner[42], 1);
    assert_int_equal(rt_slot_map_moved(&map, 43, &place), 0);
    assert_int_equal(map.owner[43], 3);
    place = at("r", 7000);
    assert_int_equal(rt_slot_map_moved(&map, 44, &place), 0);
    assert_int_equal(map.owner[44], 2);
    assert_int_equal(rt_slot_map_replicas(&map, 0), 0);
    assert_int_equal(map.n_owned, RT_SLOTS);
    assert_int_equal(rt_slot_map_moved(&map, RT_SLOTS, &place), RT_EPROTO);
}

static void test_bounds_of_the_map(void **state)
{
    struct rt_slot_place place = at("no place", 7000);
    char host[16];

    (void)state;
    assert_int_equal(rt_slot_map_primary(&map, &place), RT_EPROTO);
    place = at("", 7000);
    assert_int_equal(rt_slot_map_primary(&map, &place), RT_EPROTO);
    place = at("a", 0);
    assert_int_equal(rt_slot_map_primary(&map, &place), RT_EPROTO);
    assert_int_equal(rt_slot_map_moved(&map, 1, &place), RT_EPROTO);
    assert_int_equal(map.n_owned, 0);
    for (unsigned i = 0; i < RT_SLOT_NODES_MAX; i++) {
        snprintf(host, sizeof(host), "h%u", i);
        assert_int_equal(primary(host), i);
    }
    assert_int_equal(primary("one-more"), RT_ELIMIT);
    assert_int_equal(replica("one-more", 0), RT_ELIMIT);
    place = at("one-more", 7000);
    assert_int_equal(rt_slot_map_moved(&map, 1, &place), RT_ELIMIT);
    assert_int_equal(map.owner[1], RT_SLOT_NOBODY);
    assert_int_equal(primary("h63"), 63);
    assert_int_equal(rt_slot_map_find(&map, &place), -1);
}

static void test_what_is_said(void **state)
{
    static const struct {
        const char *error;
        enum rt_slot_said said;
        uint16_t slot;
        const char *host;
        uint16_t port;
    } cases[] = {
        {"MOVED 3999 192.0.2.7:6381", RT_SLOT_SAID_MOVED, 3999, "192.0.2.7", 6381},
        {"ASK 16383 redis-3.example.org:6381", RT_SLOT_SAID_ASK, 16383, "redis-3.example.org", 6381},
        {"MOVED 0 2001:db8::1:6381", RT_SLOT_SAID_MOVED, 0, "2001:db8::1", 6381},
        {"MOVED 3999 :6381", RT_SLOT_SAID_MOVED, 3999, "asked", 6381},
        {"TRYAGAIN Multiple keys request during rehashing of slot", RT_SLOT_SAID_AGAIN, 0, "", 0},
        {"CLUSTERDOWN Hash slot not served", RT_SLOT_SAID_DOWN, 0, "", 0},
        {"CLUSTERDOWN", RT_SLOT_SAID_DOWN, 0, "", 0},
        {"CROSSSLOT Keys in request don't hash to the same slot", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"MOVED", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"MOVED ", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"MOVEDX 3999 a:6381", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"moved 3999 a:6381", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"MOVED 16384 a:6381", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"MOVED 99999999999999999999999 a:6381", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"MOVED -1 a:6381", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"MOVED 1  a:6381", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"MOVED 1 a", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"MOVED 1 a:", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"MOVED 1 a:0", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"MOVED 1 a:65536", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"MOVED 1 a:6381 ", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"MOVED 1 ?:6381", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"MOVED 1 a b:6381", RT_SLOT_SAID_OTHER, 0, "", 0},
        {"ASK 1 a\nb:6381", RT_SLOT_SAID_OTHER, 0, "", 0},
    };
    struct rt_slot_place asked = at("asked", 7000), place;
    char text[400];
    uint16_t slot;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        slot = 0;
        place = at("", 0);
        assert_int_equal(rt_slot_said(cases[i].error, &asked, &slot, &place), cases[i].said);
        if (cases[i].port != 0) {
            assert_int_equal(slot, cases[i].slot);
            assert_string_equal(place.host, cases[i].host);
            assert_int_equal(place.port, cases[i].port);
        }
    }
    memset(text, 'a', sizeof(text));
    memcpy(text, TEXT("MOVED 1 "));
    memcpy(&text[8 + RT_SLOT_HOST_MAX], ":6381", 6);
    assert_int_equal(rt_slot_said(text, &asked, &slot, &place), RT_SLOT_SAID_MOVED);
    assert_int_equal(strlen(place.host), RT_SLOT_HOST_MAX);
    memcpy(&text[8 + RT_SLOT_HOST_MAX], "a:6381", 7);
    assert_int_equal(rt_slot_said(text, &asked, &slot, &place), RT_SLOT_SAID_OTHER);
}

/* Asks at `now`, and is answered. */
static size_t ask(struct rt_slot_turns *turns, uint64_t now, bool has_map, bool whole)
{
    size_t node;

    assert_true(rt_slot_turns_due(turns) <= now);
    node = rt_slot_turns_ask(turns, 3, now);
    assert_true(rt_slot_turns_due(turns) == RT_SLOT_NEVER);
    rt_slot_turns_answered(turns, has_map, has_map, whole);
    return node;
}

static void test_turns(void **state)
{
    struct rt_slot_turns turns = {0};
    uint64_t now = 5;

    (void)state;
    rt_slot_turns_doubt(&turns);
    assert_int_equal(ask(&turns, now, true, true), 0);
    assert_int_equal(rt_slot_turns_due(&turns), now + RT_SLOT_OLD_MS); /* all is well */

    /* However often there is reason to, it is asked for four times a second, and each node in its turn. */
    for (size_t i = 1; i < 8; i++) {
        for (size_t j = 0; j < 100; j++) {
            rt_slot_turns_doubt(&turns);
        }
        now += RT_SLOT_ASK_MS;
        assert_int_equal(rt_slot_turns_due(&turns), now);
        assert_int_equal(ask(&turns, now, true, true), i % 3);
    }
    /* None has come, or one with a hole: again soon. */
    now = rt_slot_turns_due(&turns);
    assert_int_equal(ask(&turns, now, false, false), 2);
    now += RT_SLOT_ASK_MS;
    assert_int_equal(ask(&turns, now, true, false), 0);
    now += RT_SLOT_ASK_MS;
    assert_int_equal(ask(&turns, now, true, true), 1);
    assert_int_equal(rt_slot_turns_due(&turns), now + RT_SLOT_OLD_MS);

    /* While nothing changes it is asked for less and less often, down to how often it is anyway. A change is news. */
    for (uint64_t pause = RT_SLOT_ASK_MS, i = 0; i < 8; i++) {
        now = rt_slot_turns_due(&turns);
        (void)rt_slot_turns_ask(&turns, 1, now);
        rt_slot_turns_answered(&turns, i % 2 == 0, false, false);
        assert_int_equal(rt_slot_turns_due(&turns), now + pause);
        pause = 2 * pause < RT_SLOT_OLD_MS ? 2 * pause : RT_SLOT_OLD_MS;
    }
    now = rt_slot_turns_due(&turns);
    assert_int_equal(ask(&turns, now, true, true), 1);

    /* A doubt that comes while the answer is awaited is one about that answer, too. */
    now += RT_SLOT_OLD_MS;
    assert_int_equal(rt_slot_turns_ask(&turns, 3, now), 2);
    rt_slot_turns_doubt(&turns);
    rt_slot_turns_answered(&turns, true, false, true);
    assert_int_equal(rt_slot_turns_due(&turns), now + RT_SLOT_ASK_MS);
    /* The cluster has shrunk. */
    now += RT_SLOT_ASK_MS;
    assert_int_equal(rt_slot_turns_ask(&turns, 2, now), 0);
    rt_slot_turns_answered(&turns, true, false, true);
    now += RT_SLOT_OLD_MS;
    assert_int_equal(rt_slot_turns_ask(&turns, 1, now), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_of_keys),
        cmocka_unit_test_setup(test_map, setup),
        cmocka_unit_test_setup(test_bounds_of_the_map, setup),
        cmocka_unit_test(test_what_is_said),
        cmocka_unit_test(test_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
