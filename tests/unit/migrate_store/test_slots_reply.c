/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/slots_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Answers to CLUSTER SLOTS, such as they are and such as they should not be. */

#define NODE(host) "*3\r\n" host ":7000\r\n$2\r\nid\r\n"
#define HOST(letter) "$1\r\n" letter "\r\n"
#define RANGE(first, last) ":" #first "\r\n:" #last "\r\n"

static struct rt_slot_map map;
static const struct rt_slot_place asked = {.host = "asked", .port = 6379};

static int parse(const char *text)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    int rc;

    assert_int_equal(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    rc = rt_slots_reply(reply, &asked, &map);
    freeReplyObject(reply);
    redisReaderFree(reader);
    return rc;
}

static void test_three_nodes(void **state)
{
    (void)state;
    assert_int_equal(parse("*4\r\n"
                           "*4\r\n" RANGE(0, 5460) NODE(HOST("a")) NODE(HOST("d")) "*3\r\n" RANGE(
                               5461, 10922) "*4\r\n$1\r\nb\r\n:7001\r\n$2\r\nid\r\n*2\r\n$8\r\nhostname\r\n$1\r\nx\r\n"
                                            "*4\r\n" RANGE(10924, 16383) NODE("$-1\r\n") NODE(HOST("e")) "*4\r\n" RANGE(
                                                10923, 10923) NODE(HOST("a")) NODE(HOST("d"))),
                     0);
    assert_int_equal(map.n_owned, RT_SLOTS);
    assert_int_equal(map.n, 5);
    assert_string_equal(map.nodes[map.owner[0]].place.host, "a");
    assert_string_equal(map.nodes[map.owner[10923]].place.host, "a");
    assert_string_equal(map.nodes[map.owner[5461]].place.host, "b");
    assert_int_equal(map.nodes[map.owner[5461]].place.port, 7001);
    assert_string_equal(map.nodes[map.owner[16383]].place.host, "asked");
    assert_int_equal(rt_slot_map_replicas(&map, map.owner[0]), 1);
    assert_int_equal(rt_slot_map_replicas(&map, map.owner[5461]), 0);

    assert_int_equal(parse("*1\r\n*3\r\n" RANGE(7, 7) NODE("$0\r\n\r\n")), 0);
    assert_int_equal(map.n_owned, 1);
    assert_int_equal(map.n, 1);
    assert_string_equal(map.nodes[map.owner[7]].place.host, "asked");
    assert_int_equal(parse("*0\r\n"), 0); /* a node that has met nobody */
    assert_int_equal(map.n_owned, 0);
}

static void test_senseless(void **state)
{
    static const char *const wrong[] = {
        "-ERR This instance has cluster support disabled\r\n",
        "$-1\r\n",
        ":1\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*0\r\n",
        "*1\r\n*2\r\n" RANGE(0, 1),
        "*1\r\n*3\r\n" RANGE(1, 0) NODE(HOST("a")),
        "*1\r\n*3\r\n" RANGE(0, 16384) NODE(HOST("a")),
        "*1\r\n*3\r\n" RANGE(-1, 5) NODE(HOST("a")),
        "*1\r\n*3\r\n$1\r\n0\r\n:5\r\n" NODE(HOST("a")),
        "*1\r\n*3\r\n" RANGE(0, 1) "$1\r\na\r\n",
        "*1\r\n*3\r\n" RANGE(0, 1) "*1\r\n$1\r\na\r\n",
        "*1\r\n*3\r\n" RANGE(0, 1) "*2\r\n:1\r\n:7000\r\n",
        "*1\r\n*3\r\n" RANGE(0, 1) "*2\r\n$1\r\na\r\n:0\r\n",
        "*1\r\n*3\r\n" RANGE(0, 1) "*2\r\n$1\r\na\r\n:65536\r\n",
        "*1\r\n*3\r\n" RANGE(0, 1) "*2\r\n$1\r\na\r\n$4\r\n7000\r\n",
        "*1\r\n*3\r\n" RANGE(0, 1) NODE("$1\r\n?\r\n"),
        "*1\r\n*3\r\n" RANGE(0, 1) NODE("$3\r\na b\r\n"),
        "*1\r\n*4\r\n" RANGE(0, 1) NODE(HOST("a")) NODE(HOST("a")),
        "*1\r\n*4\r\n" RANGE(0, 1) NODE(HOST("a")) ":1\r\n",
        "*2\r\n*3\r\n" RANGE(0, 5) NODE(HOST("a")) "*3\r\n" RANGE(5, 9) NODE(HOST("b")),
        "*2\r\n*4\r\n" RANGE(0, 4) NODE(HOST("a")) NODE(HOST("b")) "*3\r\n" RANGE(5, 9) NODE(HOST("b")),
    };
    char text[64 + 80 * (RT_SLOT_NODES_MAX + 1)], host[400];
    size_t size;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(parse(wrong[i]), RT_EPROTO);
    }
    memset(host, 'a', sizeof(host));
    snprintf(text, sizeof(text), "*1\r\n*3\r\n" RANGE(0, 1) "*2\r\n$%d\r\n%.*s\r\n:7000\r\n", RT_SLOT_HOST_MAX + 1,
             RT_SLOT_HOST_MAX + 1, host);
    assert_int_equal(parse(text), RT_EPROTO);
    size = (size_t)snprintf(text, sizeof(text), "*%d\r\n", RT_SLOT_NODES_MAX + 1);
    for (int i = 0; i <= RT_SLOT_NODES_MAX; i++) {
        size += (size_t)snprintf(text + size, sizeof(text) - size, "*3\r\n:%d\r\n:%d\r\n*2\r\n$1\r\na\r\n:%d\r\n", i, i,
                                 7000 + i);
    }
    assert_int_equal(parse(text), RT_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_three_nodes), cmocka_unit_test(test_senseless)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
