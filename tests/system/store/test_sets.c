/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "tests/system/store/harness.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The sets that list sessions, on a real server: while sessions move, with the server full, and as records end. */

#define SESSIONS 300

static void command(const char *text)
{
    char answer[128];

    assert_int_equal(rt_test_redis_command(&redis, text, answer, sizeof(answer)), 0);
}

static struct rt_key key_number(size_t i)
{
    char cid[16];

    snprintf(cid, sizeof(cid), "c%04zu", i);
    return key_of("t", cid);
}

static uint64_t join(struct agent *agent, struct rt_key key, const char *host)
{
    struct rt_store_op op = join_op(RT_STORE_TAKE, key, 7, 1, host);

    assert_int_equal(submit(agent, &op), 0);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_OK);
    return agent->reply.outcome.life;
}

static void move(struct agent *to, struct rt_key key, uint64_t life, uint64_t epoch)
{
    struct rt_store_op op = ticket_op(key, 7, life, epoch, (uint8_t)(epoch - 1), (uint8_t)epoch, to->store.self.host);

    assert_int_equal(submit(to, &op), 0);
    assert_int_equal(to->reply.outcome.verdict, RT_CLASS_OK);
}

static const char *awaited_set;
static long long awaited_size;

static bool has_size(struct agent *agent)
{
    (void)agent;
    return redis_number("ZCARD rt:{host/%s}:set", awaited_set) == awaited_size;
}

static void until_size(struct agent *agent, const char *host, long long size)
{
    awaited_set = host;
    awaited_size = size;
    if (!run_until(has_size, agent, 60000)) {
        fail_msg("%s lists %lld", host, redis_number("ZCARD rt:{host/%s}:set", host));
    }
}

/* What the harness keeps of them is bounded. */
static void forget_news(struct agent *agents[3])
{
    for (size_t i = 0; i < 3; i++) {
        agents[i]->n_news = 0;
    }
}

/* Between two pages some move, to and fro: who does not is told once, who does at most once, and what all of it reads
 * grows with what there is to tell. */
static void test_listed_while_moving(void **state)
{
    static const char *const names[] = {"hosta", "hostb", "hostc"};
    static uint64_t lives[SESSIONS];
    static size_t told[SESSIONS];
    struct rt_store_op op = {.kind = RT_STORE_FIND, .key = key_of("t", "")};
    struct agent *agents[3];
    size_t moved = 0, pages = 0;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        agents[i] = agent_start(redis.unix_endpoint, names[i]);
    }
    for (size_t i = 0; i < SESSIONS; i++) {
        lives[i] = join(agents[i % 3], key_number(i), names[i % 3]);
        forget_news(agents);
    }
    run_for(1200); /* all hear of all */
    do {
        assert_int_equal(submit(agents[0], &op), 0);
        for (size_t i = 0; i < agents[0]->reply.n_records; i++) {
            told[strtoul(agents[0]->records[i].key.cid + 1, NULL, 10)]++;
        }
        op.cursor = agents[0]->reply.cursor;
        for (size_t n = 0; n < 6 && moved < SESSIONS / 5; n++, moved++) {
            size_t i = 5 * moved;

            move(agents[(i + 1 + n % 2) % 3], key_number(i), lives[i], 2);
            move(agents[(i + 2 + n) % 3], key_number(i), lives[i], 3);
            forget_news(agents);
        }
        assert_true(++pages < 3 * SESSIONS / RT_LIST_MAX + 3);
    } while (op.cursor.host[0] != '\0');
    for (size_t i = 0; i < SESSIONS; i++) {
        if (told[i] > 1 || (told[i] == 0 && i % 5 != 0)) {
            fail_msg("c%04zu is told %zu times", i, told[i]);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        agent_stop(agents[i]);
    }
}

/* A server without memory takes claims, so it takes what lists them: who has moved is found by its prefix, and none
 * other in its place. */
static void test_full_server(void **state)
{
    struct rt_store_op op = {.kind = RT_STORE_FIND, .key = key_of("t", "c000"), .every = true};
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct agent *b = agent_start(redis.unix_endpoint, "hostb");
    uint64_t life = join(a, key_number(1), "hosta");

    (void)state;
    (void)join(a, key_number(2), "hosta");
    until_size(a, "hosta", 2);
    command("CONFIG SET maxmemory 1");
    move(b, key_number(1), life, 2);
    until_size(b, "hostb", 1);
    run_for(1200);
    assert_int_equal(submit(a, &op), 0);
    assert_true(a->reply.n_records >= 2); /* hosta's set may still have the one that moved */
    assert_string_equal(a->records[0].key.cid, "c0001");
    assert_string_equal(a->records[1].key.cid, "c0002");
    command("CONFIG SET maxmemory 0");
    op.every = false;
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.n_records, 2);
    agent_stop(a);
    agent_stop(b);
}

/* A member that a set has lost is back after the next audit. */
static void test_audit(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = key_number(1), .audit = true};

    (void)state;
    (void)join(a, key_number(1), "hosta");
    until_size(a, "hosta", 1);
    command("DEL rt:{host/hosta}:set");
    assert_int_equal(submit(a, &op), 0);
    until_size(a, "hosta", 1);
    command("HSET rt:{t/c0001}:r set hostx");
    assert_int_equal(submit(a, &op), 0);
    op = (struct rt_store_op){.kind = RT_STORE_FIND, .key = key_number(1)};
    run_for(50);
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.n_records, 1);
    agent_stop(a);
}

/* Nothing grows with history: members go with their records, and nobody needs to list them; those that have moved away
 * go too, some time after. */
static void test_walk(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct agent *b = agent_start(redis.unix_endpoint, "hostb");
    uint64_t life = 0;
    char text[64];

    (void)state;
    for (size_t i = 0; i < 40; i++) {
        life = join(a, key_number(i), "hosta");
    }
    until_size(a, "hosta", 40);
    for (size_t i = 0; i < 37; i++) {
        snprintf(text, sizeof(text), "DEL rt:{t/c%04zu}:r", i);
        command(text);
    }
    move(b, key_number(39), life, 2);
    until_size(b, "hostb", 1);
    assert_int_equal(redis_number("ZCARD rt:{host/%s}:set", "hosta"), 40);
    a->store.walks = 0;        /* the next heartbeat begins one */
    until_size(a, "hosta", 3); /* the one that moved may still be looked for here */
    command("HSET rt:{t/c0039}:r claimed 1000");
    a->store.walks = 0;
    until_size(a, "hosta", 2);
    assert_int_equal(redis_number("ZCARD rt:{host/%s}:set", "hostb"), 1);
    agent_stop(a);
    agent_stop(b);
}

static const char *awaited_record;

static bool is_fresh(struct agent *agent)
{
    (void)agent;
    return redis_number("PTTL rt:{t/%s}:r", awaited_record) > 6LL * 24 * 3600 * 1000;
}

/* A record that has little time left gets more while its container lives, however old the connection to the store is;
 * one that is lost or has ended does not. */
static void test_time_to_live(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        (void)join(a, key_number(i), "hosta");
    }
    until_size(a, "hosta", 3);
    for (size_t i = 0; i < 3; i++) {
        char text[64];
        snprintf(text, sizeof(text), "PEXPIRE rt:{t/c%04zu}:r 3600000", i);
        command(text);
    }
    command("HSET rt:{t/c0000}:r st 4");
    command("HSET rt:{t/c0001}:r st 5");
    rt_redis_drop(&a->store.only.commands, "test");
    assert_true(run_until(is_up, a, 10000));
    a->store.walks = 0;
    awaited_record = "c0002";
    assert_true(run_until(is_fresh, a, 60000));
    assert_true(redis_number("PTTL rt:{t/%s}:r", "c0000") <= 3600000);
    assert_true(redis_number("PTTL rt:{t/%s}:r", "c0001") <= 3600000);
    agent_stop(a);
}

/* A record is made anew where one was lost: whoever serves it hears of that, and its take brings back its own past. */
static void test_created_over_a_lost_one(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_op op = {.kind = RT_STORE_CREATE, .key = key_number(1)};
    const struct rt_store_news *news;
    uint8_t past[RT_PAST_MAX];
    uint64_t life;

    (void)state;
    op.label = (struct rt_slice){(const uint8_t *)"first", 5};
    assert_int_equal(submit(a, &op), 0);
    life = join(a, key_number(1), "hosta");
    memcpy(past, a->reply.past.data, a->reply.past.size);
    command("DEL rt:{t/c0001}:r");
    run_for(50); /* the news of that claim */
    a->n_news = 0;
    op.label = (struct rt_slice){(const uint8_t *)"second", 6};
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_OK);
    run_for(100);
    news = find_news(a, RT_STORE_CLAIMED, 0);
    assert_non_null(news);
    assert_int_equal(news->life, 0);
    assert_string_equal(news->host, "");
    assert_string_equal(news->key.cid, "c0001");
    {
        size_t size = 0;
        struct rt_store_op take = ticket_op(key_number(1), 7, life, 1, 1, 1, "hosta");

        for (const uint8_t *at = past; *at != '\n'; at++) {
            size++;
        }
        take.past = (struct rt_slice){past, size + 1 + 5};
        assert_int_equal(submit(a, &take), 0);
        assert_int_equal(a->reply.outcome.verdict, RT_CLASS_OK);
        assert_int_equal(a->reply.outcome.life, life);
    }
    op = (struct rt_store_op){.kind = RT_STORE_GET, .key = key_number(1)};
    assert_int_equal(submit(a, &op), 0);
    assert_string_equal(a->records[0].label, "first");
    agent_stop(a);
}

/* Sessions that are only made do not get the last tenth of the memory: what runs can still be written. */
static void test_last_tenth(void **state)
{
    struct rt_store_op create = {.kind = RT_STORE_CREATE, .key = key_of("t", "new")};
    struct rt_store_op report = {.kind = RT_STORE_REPORT, .key = key_of("t", "c"), .epoch = 1};
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    char limit[64];
    long long used;

    (void)state;
    report.life = join(a, report.key, "hosta");
    report.report = rt_slice_text("report");
    used =
        redis_number("EVAL %s 0", "return tonumber(string.match(redis.call('INFO', 'memory'), 'used_memory:(%d+)'))");
    (void)snprintf(limit, sizeof(limit), "CONFIG SET maxmemory %lld", used / 100 * 106);
    command(limit);
    assert_int_equal(submit(a, &create), RT_ELIMIT);
    assert_int_equal(submit(a, &report), 0);
    command("CONFIG SET maxmemory 0");
    assert_int_equal(submit(a, &create), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_OK);
    agent_stop(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_listed_while_moving, flush_setup),
        cmocka_unit_test_setup(test_full_server, flush_setup),
        cmocka_unit_test_setup(test_last_tenth, flush_setup),
        cmocka_unit_test_setup(test_audit, flush_setup),
        cmocka_unit_test_setup(test_walk, flush_setup),
        cmocka_unit_test_setup(test_time_to_live, flush_setup),
        cmocka_unit_test_setup(test_created_over_a_lost_one, flush_setup),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
