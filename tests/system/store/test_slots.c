/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/slots_reply.h"

#include "tests/lib/redis_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What we make of a cluster, held against a real one: three primaries, and a replica of the first. */

#define HANG_MS 60000
#define KEYS 4000
#define KEY_BYTES 24

static struct rt_test_cluster cluster;
static redisContext *nodes[RT_TEST_CLUSTER_NODES_MAX];
static uint64_t seed = 77000000;

static uint64_t draw(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return seed >> 33;
}

static int setup(void **state)
{
    (void)state;
    if (rt_test_cluster_start(&cluster, 3, 1) != 0) {
        return -1;
    }
    for (size_t i = 0; i < 4; i++) {
        nodes[i] = redisConnect("127.0.0.1", cluster.nodes[i].port);
        if (nodes[i] == NULL || nodes[i]->err != 0) {
            return -1;
        }
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        redisFree(nodes[i]);
    }
    rt_test_cluster_stop(&cluster);
    return 0;
}

static struct rt_slot_place place_of(size_t i)
{
    return (struct rt_slot_place){.host = "127.0.0.1", .port = cluster.nodes[i].port};
}

static void load(size_t i, struct rt_slot_map *map)
{
    struct rt_slot_place asked = place_of(i);
    redisReply *reply = redisCommand(nodes[i], "CLUSTER SLOTS");

    assert_non_null(reply);
    assert_int_equal(rt_slots_reply(reply, &asked, map), 0);
    freeReplyObject(reply);
}

/* A node names a replica when it has heard how far that is. */
static void load_whole(size_t i, struct rt_slot_map *map)
{
    struct timespec step = {.tv_nsec = 20000000};
    int ms = 0;

    for (load(i, map); map->n < 4 && ms < HANG_MS; ms += 20) {
        nanosleep(&step, NULL);
        load(i, map);
    }
    assert_int_equal(map->n, 4);
    assert_int_equal(map->n_owned, RT_SLOTS);
}

/* Which of our nodes has the slot. */
static size_t owner_of(const struct rt_slot_map *map, unsigned slot)
{
    assert_int_not_equal(map->owner[slot], RT_SLOT_NOBODY);
    for (size_t i = 0; i < 4; i++) {
        if (map->nodes[map->owner[slot]].place.port == cluster.nodes[i].port) {
            return i;
        }
    }
    fail();
    return 0;
}

/* What node i refuses the command with, as read by rt_slot_said(). */
static enum rt_slot_said said_by(size_t i, const char *command, uint16_t *slot, struct rt_slot_place *place)
{
    struct rt_slot_place asked = place_of(i);
    redisReply *reply = redisCommand(nodes[i], command);
    enum rt_slot_said said;

    assert_non_null(reply);
    said = reply->type == REDIS_REPLY_ERROR ? rt_slot_said(reply->str, &asked, slot, place) : RT_SLOT_SAID_OTHER;
    if (said == RT_SLOT_SAID_OTHER && reply->type == REDIS_REPLY_ERROR) {
        fail_msg("%s: %s", command, reply->str);
    }
    freeReplyObject(reply);
    return said;
}

static void run(size_t i, const char *format, ...)
{
    redisReply *reply;
    va_list args;

    va_start(args, format);
    reply = redisvCommand(nodes[i], format, args);
    va_end(args);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR) {
        fail_msg("%s: %s", format, reply->str);
    }
    freeReplyObject(reply);
}

/* Any bytes, braces often. */
static void test_slots_of_keys(void **state)
{
    static const char *const ours[] = {"foo{}{bar}", "foo{{bar}}zap",    "{}",           "{",
                                       "}",          "rt:{host/}x}:set", "rt:{reg}:rows"};
    char key[KEY_BYTES];

    (void)state;
    for (unsigned i = 0; i < KEYS; i++) {
        bool is_ours = i < sizeof(ours) / sizeof(ours[0]);
        size_t size = is_ours ? strlen(ours[i]) : draw() % sizeof(key);
        redisReply *reply;

        for (size_t j = 0; j < size; j++) {
            key[j] = is_ours ? ours[i][j] : draw() % 3 == 0 ? "{}"[draw() % 2] : (char)draw();
        }
        reply = redisCommand(nodes[0], "CLUSTER KEYSLOT %b", key, size);
        assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
        assert_int_equal(rt_slot_of(key, size), reply->integer);
        freeReplyObject(reply);
    }
}

/* Each node says the same; whom it names has the slot, and whom it does not says who has. */
static void test_map(void **state)
{
    struct rt_slot_map map, other;
    struct rt_slot_place place;
    char command[64];
    uint16_t slot;

    (void)state;
    load_whole(0, &map);
    for (size_t i = 1; i < 4; i++) {
        load_whole(i, &other);
        for (unsigned s = 0; s < RT_SLOTS; s++) {
            assert_int_equal(owner_of(&map, s), owner_of(&other, s));
        }
    }
    assert_int_equal(rt_slot_map_replicas(&map, map.owner[0]), 1);
    assert_int_equal(rt_slot_map_replicas(&map, map.owner[RT_SLOTS - 1]), 0);
    for (unsigned i = 0; i < 100; i++) {
        size_t size = (size_t)snprintf(command, sizeof(command), "GET k%" PRIu64, draw());
        unsigned s = rt_slot_of(command + 4, size - 4);
        size_t owner = owner_of(&map, s);

        run(owner, command);
        assert_int_equal(said_by((owner + 1) % 3, command, &slot, &place), RT_SLOT_SAID_MOVED);
        assert_int_equal(slot, s);
        assert_int_equal(rt_slot_map_find(&map, &place), map.owner[s]);
    }
}

/* A slot goes from one node to another: what both say meanwhile, about a key that has gone and one that has not. */
static void test_slot_that_moves(void **state)
{
    unsigned slot = rt_slot_of("{go}", 4);
    struct rt_slot_map map, after;
    struct rt_slot_place place;
    char ids[2][64];
    size_t from, to;
    uint16_t named = 0;

    (void)state;
    load(0, &map);
    from = owner_of(&map, slot);
    to = (from + 1) % 3;
    run(from, "SET {go}here 1");
    assert_int_equal(rt_test_cluster_command(&cluster.nodes[from], "CLUSTER MYID", ids[0], sizeof(ids[0])), 0);
    assert_int_equal(rt_test_cluster_command(&cluster.nodes[to], "CLUSTER MYID", ids[1], sizeof(ids[1])), 0);
    run(to, "CLUSTER SETSLOT %u IMPORTING %s", slot, ids[0]);
    run(from, "CLUSTER SETSLOT %u MIGRATING %s", slot, ids[1]);

    run(from, "GET {go}here");
    assert_int_equal(said_by(from, "GET {go}gone", &named, &place), RT_SLOT_SAID_ASK);
    assert_int_equal(named, slot);
    assert_int_equal(
        rt_slot_map_find(&map, &place),
        rt_slot_map_find(&map, &(struct rt_slot_place){.host = "127.0.0.1", .port = cluster.nodes[to].port}));
    assert_int_equal(said_by(to, "GET {go}gone", &named, &place), RT_SLOT_SAID_MOVED);
    run(to, "ASKING");
    run(to, "GET {go}gone");
    assert_int_equal(said_by(from, "MGET {go}here {go}gone", &named, &place), RT_SLOT_SAID_AGAIN);
    run(to, "ASKING");
    assert_int_equal(said_by(to, "MGET {go}gone {go}too", &named, &place), RT_SLOT_SAID_AGAIN);

    run(from, "MIGRATE 127.0.0.1 %u {go}here 0 5000", cluster.nodes[to].port);
    run(to, "CLUSTER SETSLOT %u NODE %s", slot, ids[1]);
    run(from, "CLUSTER SETSLOT %u NODE %s", slot, ids[1]);
    assert_int_equal(said_by(from, "GET {go}here", &named, &place), RT_SLOT_SAID_MOVED);
    assert_int_equal(rt_slot_map_moved(&map, named, &place), 0);
    load(from, &after);
    for (unsigned s = 0; s < RT_SLOTS; s++) {
        assert_int_equal(owner_of(&map, s), owner_of(&after, s));
    }
}

/* A primary dies: nobody has its slots, then its replica. */
static void test_replica_that_is_promoted(void **state)
{
    struct timespec step = {.tv_nsec = 20000000};
    struct rt_slot_map map;
    struct rt_slot_place place;
    uint16_t slot;
    int ms = 0;

    (void)state;
    load(1, &map);
    assert_int_equal(owner_of(&map, 0), 0);
    assert_int_equal(rt_test_redis_kill(&cluster.nodes[0]), 0);
    do {
        nanosleep(&step, NULL);
        load(1, &map);
        ms += 20;
    } while ((map.owner[0] == RT_SLOT_NOBODY || owner_of(&map, 0) == 0) && ms < HANG_MS);
    assert_int_equal(owner_of(&map, 0), 3);
    assert_int_equal(map.n_owned, RT_SLOTS);
    assert_int_equal(rt_slot_map_replicas(&map, map.owner[0]), 0);
    assert_int_equal(rt_test_redis_kill(&cluster.nodes[3]), 0); /* now there is nobody left to follow it */
    for (ms = 0; said_by(1, "GET x", &slot, &place) != RT_SLOT_SAID_DOWN && ms < HANG_MS; ms += 20) {
        nanosleep(&step, NULL);
    }
    assert_true(ms < HANG_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_of_keys),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_slot_that_moves),
        cmocka_unit_test(test_replica_that_is_promoted),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
