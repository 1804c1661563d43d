/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/store/harness.h"

#include "session/core/frame.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every operation on a real server. */

static struct rt_slice slice(const char *text)
{
    return (struct rt_slice){(const uint8_t *)text, strlen(text)};
}

static int create(struct agent *agent, const char *tenant, const char *cid, const char *label)
{
    struct rt_store_op op = {.kind = RT_STORE_CREATE, .key = key_of(tenant, cid), .label = slice(label), .ring = 4096};

    return submit(agent, &op);
}

static const struct rt_store_record *get(struct agent *agent, const char *tenant, const char *cid)
{
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = key_of(tenant, cid)};

    assert_int_equal(submit(agent, &op), 0);
    return agent->reply.n_records ? &agent->records[0] : NULL;
}

/* Takes the session for the first time and returns its life. */
static uint64_t join(struct agent *agent, const char *cid, uint8_t inc, const char *host)
{
    struct rt_store_op op = join_op(RT_STORE_TAKE, key_of("t", cid), inc, 1, host);

    assert_int_equal(submit(agent, &op), 0);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_OK);
    return agent->reply.outcome.life;
}

/* A record that nobody has claimed can be taken back; its name is free again. */
static void test_remove(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_op op = {.kind = RT_STORE_REMOVE, .key = key_of("t", "brief")};

    (void)state;
    assert_int_equal(submit(a, &op), RT_ENOTFOUND);
    assert_int_equal(create(a, "t", "brief", ""), 0);
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_OK);
    assert_null(get(a, "t", "brief"));
    assert_int_equal(create(a, "t", "brief", ""), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_OK);
    (void)join(a, "brief", 1, "hosta");
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_LIMIT);
    assert_non_null(get(a, "t", "brief"));
    agent_stop(a);
}

static void test_create_and_get(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    const struct rt_store_record *record;

    (void)state;
    assert_null(get(a, "t", "one"));
    assert_int_equal(create(a, "t", "one", "a label"), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_OK);
    record = get(a, "t", "one");
    assert_non_null(record);
    assert_true(record->rule.exists);
    assert_int_equal(record->rule.state, RT_SESSION_CREATED);
    assert_int_equal(record->rule.life, 0);
    assert_string_equal(record->label, "a label");
    assert_int_equal(record->ring, 4096);
    assert_true(record->made_ms > 1600000000000);
    assert_string_equal(record->rule.host, "");
    assert_int_equal(create(a, "t", "one", "again"), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_LIMIT);
    assert_null(get(a, "other", "one")); /* another tenant's */
    assert_true(redis_number("PTTL rt:{t/%s}:r", "one") > RT_STORE_WHOLE_MS);
    agent_stop(a);
}

static void test_claim_moves_and_is_published(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct agent *b = agent_start(redis.tcp_endpoint, "hostb");
    struct rt_store_op op;
    const struct rt_store_record *record;
    const struct rt_store_news *news;
    uint64_t life;

    (void)state;
    op = join_op(RT_STORE_TEST, key_of("t", "c"), 7, 1, "hosta");
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_OK);
    assert_null(get(a, "t", "c")); /* a test writes nothing */
    life = join(a, "c", 7, "hosta");
    assert_true(life > 1600000000000);
    record = get(a, "t", "c");
    assert_int_equal(record->rule.state, RT_SESSION_RUNNING);
    assert_int_equal(record->rule.life, life);
    assert_int_equal(record->n_hist, 1);
    assert_int_equal(record->moves, 0);

    op = ticket_op(key_of("t", "c"), 7, life, 2, 1, 2, "hostb");
    assert_int_equal(submit(b, &op), 0);
    assert_int_equal(b->reply.outcome.verdict, RT_CLASS_OK);
    assert_true(b->reply.outcome.moved);
    assert_string_equal(b->reply.outcome.host, "hosta");
    run_for(50);
    news = find_news(a, RT_STORE_CLAIMED, 0);
    assert_non_null(news); /* its own */
    news = find_news(a, RT_STORE_CLAIMED, (size_t)(news - a->news) + 1);
    assert_non_null(news);
    assert_string_equal(news->host, "hostb");
    assert_string_equal(news->key.cid, "c");
    assert_string_equal(news->key.tenant, "t");
    assert_int_equal(news->life, life);
    assert_int_equal(news->epoch, 2);
    record = get(a, "t", "c");
    assert_int_equal(record->moves, 1);
    assert_int_equal(record->n_hist, 2);
    assert_string_equal(record->hist[1].host, "hostb");
    assert_int_equal(redis_number("ZCARD rt:{host/%s}:set", "hostb"), 1);

    /* The same take again, as after a lost reply: nothing new. */
    assert_int_equal(submit(b, &op), 0);
    assert_int_equal(b->reply.outcome.verdict, RT_CLASS_OK);
    assert_int_equal(get(a, "t", "c")->moves, 1);

    op = ticket_op(key_of("t", "c"), 7, life, 2, 2, 3, "hosta");
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_STALE);
    assert_int_equal(a->reply.outcome.epoch, 2);
    agent_stop(a);
    agent_stop(b);
}

/* Two copies that were given one life: the larger incarnation takes it, and that is told though no number rises. */
static void test_claim_of_a_tie_is_published(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_op op;
    size_t n = 0;
    uint64_t life = join(a, "c", 7, "hosta");

    (void)state;
    op = ticket_op(key_of("t", "c"), 8, life, 1, 50, 51, "hostb");
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_OK);
    run_for(50);
    for (const struct rt_store_news *news = find_news(a, RT_STORE_CLAIMED, 0); news != NULL;
         news = find_news(a, RT_STORE_CLAIMED, (size_t)(news - a->news) + 1)) {
        n++;
        assert_string_equal(news->host, n == 1 ? "hosta" : "hostb");
        assert_int_equal(news->epoch, 1);
    }
    assert_int_equal(n, 2);
    assert_int_equal(get(a, "t", "c")->moves, 1);
    agent_stop(a);
}

static void test_history_is_bounded(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    uint64_t life = join(a, "c", 7, "hosta");
    const struct rt_store_record *record;

    (void)state;
    for (uint8_t i = 1; i <= 40; i++) {
        /* Every third is a mere reconnect to the same host: no new entry. */
        struct rt_store_op op = ticket_op(key_of("t", "c"), 7, life, i + 1u, i, (uint8_t)(i + 1),
                                          i % 3 == 0   ? "hostb"
                                          : i % 3 == 1 ? "hosta"
                                                       : "hostb");

        assert_int_equal(submit(a, &op), 0);
        assert_int_equal(a->reply.outcome.verdict, RT_CLASS_OK);
    }
    record = get(a, "t", "c");
    assert_int_equal(record->n_hist, RT_HISTORY_MAX);
    assert_int_equal(record->hist[RT_HISTORY_MAX - 1].epoch, 41);
    assert_int_equal(record->rule.epoch, 41);
    for (size_t i = 1; i < record->n_hist; i++) {
        assert_string_not_equal(record->hist[i].host, record->hist[i - 1].host);
        assert_true(record->hist[i].epoch > record->hist[i - 1].epoch);
    }
    assert_int_equal(record->moves, 26);
    assert_true(redis_number("HSTRLEN rt:{t/%s}:r hist", "c") < 600);
    agent_stop(a);
}

static void test_report_and_state_are_fenced(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_op op = {.kind = RT_STORE_REPORT, .key = key_of("t", "c"), .epoch = 1};
    uint8_t report[RT_REPORT_MAX];
    const struct rt_store_record *record;
    uint64_t lost_ms;

    (void)state;
    memset(report, 0, sizeof(report));
    report[3] = '\n';
    op.report = (struct rt_slice){report, sizeof(report)};
    assert_int_equal(submit(a, &op), RT_ENOTFOUND);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_NOT_FOUND);
    op.life = join(a, "c", 7, "hosta");
    assert_int_equal(submit(a, &op), 0);
    record = get(a, "t", "c");
    assert_int_equal(record->report_size, sizeof(report));
    assert_memory_equal(record->report, report, sizeof(report));
    assert_true(record->seen_ms > 0);
    op.epoch = 2;
    assert_int_equal(submit(a, &op), RT_ENOTFOUND);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_STALE);
    assert_int_equal(a->reply.outcome.epoch, 1);
    assert_string_equal(a->reply.outcome.host, "hosta");
    op.report.size++;
    assert_int_equal(submit(a, &op), RT_EINVAL);

    op = (struct rt_store_op){.kind = RT_STORE_STATE, .key = key_of("t", "c"), .life = op.life, .epoch = 1};
    op.state = RT_SESSION_LOST;
    assert_int_equal(submit(a, &op), 0);
    record = get(a, "t", "c");
    assert_int_equal(record->rule.state, RT_SESSION_LOST);
    assert_true(record->rule.lost_ms > 0);
    lost_ms = record->rule.lost_ms;
    op.state = RT_SESSION_MOVING; /* its agent was halted, and finds its guest gone */
    assert_int_equal(submit(a, &op), 0);
    record = get(a, "t", "c");
    assert_int_equal(record->rule.state, RT_SESSION_LOST);
    assert_true(record->rule.lost_ms == lost_ms);
    op.state = RT_SESSION_ENDED;
    assert_int_equal(submit(a, &op), RT_EINVAL);
    op.state = RT_SESSION_MOVING;
    op.life++;
    assert_int_equal(submit(a, &op), RT_ENOTFOUND);
    agent_stop(a);
}

static bool find_every;

static size_t find_all(struct agent *agent, const char *tenant, const char *prefix, const char *host, char *seen)
{
    struct rt_store_op op = {.kind = RT_STORE_FIND, .key = key_of(tenant, prefix), .every = find_every};
    size_t total = 0, pages = 0;

    snprintf(op.host, sizeof(op.host), "%s", host);
    do {
        assert_int_equal(submit(agent, &op), 0);
        for (size_t i = 0; i < agent->reply.n_records; i++) {
            if (seen != NULL) {
                seen[strtol(agent->records[i].key.cid + 2, NULL, 10)]++;
            }
        }
        total += agent->reply.n_records;
        op.cursor = agent->reply.cursor;
        assert_true(++pages < 100);
    } while (op.cursor.host[0] != '\0');
    return total;
}

static void test_find_by_prefix_over_hosts(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct agent *b = agent_start(redis.unix_endpoint, "hostb");
    char seen[200] = {0}, cid[32], answer[64];

    (void)state;
    run_for(1100); /* a hears of b */
    for (int i = 0; i < 150; i++) {
        snprintf(cid, sizeof(cid), "%s%03d", i % 2 ? "x-" : "y-", i);
        assert_int_equal(create(i % 3 ? a : b, "t", cid, ""), 0);
    }
    assert_int_equal(create(a, "other", "x-001", ""), 0);
    assert_int_equal(find_all(a, "t", "", "", seen), 150);
    for (int i = 0; i < 150; i++) {
        assert_int_equal(seen[i], 1);
    }
    assert_int_equal(find_all(a, "t", "x-", "", NULL), 75);
    assert_int_equal(find_all(a, "t", "x-00", "", NULL), 5);
    assert_int_equal(find_all(a, "t", "x-001", "", NULL), 1);
    assert_int_equal(find_all(a, "t", "z", "", NULL), 0);
    assert_int_equal(find_all(a, "t", "", "hostb", NULL), 50);
    assert_int_equal(find_all(a, "", "", "", NULL), 151);
    assert_int_equal(find_all(a, "", "x-001", "", NULL), 2);

    /* In two hosts' sets, as while it moves: told once, where its record says. A search for one is told both. */
    assert_int_equal(rt_test_redis_command(&redis, "ZADD rt:{host/hostb}:set 0 t/x-007", answer, sizeof(answer)), 0);
    assert_int_equal(find_all(a, "t", "x-", "", NULL), 75);
    assert_int_equal(find_all(a, "t", "", "hostb", NULL), 50);
    find_every = true;
    assert_int_equal(find_all(a, "t", "x-007", "", NULL), 2);
    find_every = false;
    /* A member without a record is passed over. */
    assert_int_equal(rt_test_redis_command(&redis, "DEL rt:{t/x-001}:r", answer, sizeof(answer)), 0);
    assert_int_equal(find_all(a, "t", "x-001", "", NULL), 0);
    agent_stop(a);
    agent_stop(b);
}

/* Marked as lost by another host, as its owner is dead: the state stays, a lease later it counts as lost. */
static void test_owner_dead(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_op take = join_op(RT_STORE_TAKE, key_of("t", "x"), 1, 1, "hostb");
    struct rt_store_op mark = {
        .kind = RT_STORE_STATE, .key = key_of("t", "x"), .state = RT_SESSION_LOST, .host = "hostb"};
    struct rt_store_op get = {.kind = RT_STORE_GET, .key = key_of("t", "x")};
    struct rt_store_op tails = {.kind = RT_STORE_TAILS, .key = key_of("t", "x")};
    struct rt_store_op create = {.kind = RT_STORE_CREATE, .key = key_of("t", "x")};
    char answer[64];
    uint64_t marked;

    (void)state;
    assert_int_equal(submit(a, &take), 0);
    mark.life = a->reply.outcome.life;
    mark.epoch = take.claim.epoch;
    memcpy(mark.host, "hostc", 6);
    assert_int_equal(submit(a, &mark), RT_ENOTFOUND); /* another's */
    memcpy(mark.host, "hostb", 6);
    mark.epoch++;
    assert_int_equal(submit(a, &mark), RT_ENOTFOUND);
    mark.epoch--;
    assert_int_equal(submit(a, &mark), 0);
    assert_int_equal(submit(a, &get), 0);
    assert_int_equal(a->records[0].rule.state, RT_SESSION_RUNNING);
    marked = a->records[0].rule.lost_ms;
    assert_int_not_equal(marked, 0);
    run_for(5);
    assert_int_equal(submit(a, &mark), 0); /* the lease is not started anew */
    assert_int_equal(submit(a, &get), 0);
    assert_int_equal(a->records[0].rule.lost_ms, marked);
    assert_int_equal(submit(a, &tails), RT_ENOTFOUND);
    assert_int_equal(submit(a, &create), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_LIMIT);
    assert_int_equal(rt_test_redis_command(&redis, "HSET rt:{t/x}:r lost 1", answer, sizeof(answer)), 0);
    assert_int_equal(submit(a, &tails), 0);
    assert_true(a->reply.lost);
    assert_int_equal(submit(a, &create), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_OK);
    mark.state = RT_SESSION_RUNNING;
    assert_int_equal(submit(a, &mark), RT_EINVAL);
    agent_stop(a);
}

static void test_bad_operations(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = key_of("t", "")};

    (void)state;
    assert_int_equal(submit(a, &op), RT_EINVAL);
    op.key = key_of("t", "a/b");
    assert_int_equal(submit(a, &op), RT_EINVAL);
    op.key = key_of("t\nx", "a");
    assert_int_equal(submit(a, &op), RT_EINVAL);
    op = join_op(RT_STORE_TAKE, key_of("t", "a"), 1, 1, "");
    assert_int_equal(submit(a, &op), RT_EINVAL);
    op = join_op(RT_STORE_TAKE, key_of("t", "a"), 1, 1, "hosta");
    op.claim.epoch = RT_COUNTER_MAX;
    assert_int_equal(submit(a, &op), RT_EINVAL);
    op = (struct rt_store_op){.kind = RT_STORE_FIND, .cursor = {.host = "zzz", .member = "t/a"}};
    assert_int_equal(submit(a, &op), 0); /* behind all that there is */
    assert_int_equal(a->reply.n_records, 0);
    agent_stop(a);
}

/* The functions are lost under a running agent: loaded again, nobody notices. */
static void test_functions_come_back(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    char answer[64];

    (void)state;
    assert_int_equal(rt_test_redis_command(&redis, "FUNCTION FLUSH", answer, sizeof(answer)), 0);
    assert_int_equal(create(a, "t", "one", ""), 0);
    assert_int_equal(rt_test_redis_command(&redis, "FUNCTION FLUSH", answer, sizeof(answer)), 0);
    run_for(1100);
    assert_int_equal(create(a, "t", "two", ""), 0);
    assert_null(find_news(a, RT_STORE_DOWN, 0));
    agent_stop(a);
}

static void test_poisoned_record(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = key_of("t", "bad")};
    char answer[64];

    (void)state;
    assert_int_equal(create(a, "t", "bad", ""), 0);
    assert_int_equal(create(a, "t", "good", ""), 0);
    assert_int_equal(rt_test_redis_command(&redis, "HSET rt:{t/bad}:r inc xyz", answer, sizeof(answer)), 0);
    assert_int_equal(submit(a, &op), RT_EUNAVAIL);
    assert_int_equal(find_all(a, "t", "", "", NULL), 1);
    assert_true(logged(a, "makes no sense"));
    agent_stop(a);
}

static size_t many_done;

static bool all_back(struct agent *agent)
{
    return agent->n_replies >= many_done;
}

static void test_many_at_once(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = key_of("t", "one")};

    (void)state;
    for (size_t i = 0; i < RT_STORE_OPS_MAX; i++) {
        assert_int_equal(rt_store_submit(&a->store, &op), 0);
    }
    assert_int_equal(rt_store_submit(&a->store, &op), RT_ELIMIT);
    many_done = a->n_replies + RT_STORE_OPS_MAX;
    assert_true(run_until(all_back, a, 10000));
    assert_int_equal(a->store.n_ops, 0);
    assert_int_equal(a->n_errors[0], RT_STORE_OPS_MAX);
    /* Stopped with operations under way: each has its reply. */
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(rt_store_submit(&a->store, &op), 0);
    }
    op.kind = RT_STORE_FIND;
    assert_int_equal(rt_store_submit(&a->store, &op), 0);
    op.kind = RT_STORE_END;
    assert_int_equal(rt_store_submit(&a->store, &op), 0);
    agent_stop(a); /* asserts that none is owed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_create_and_get, flush_setup),
        cmocka_unit_test_setup(test_remove, flush_setup),
        cmocka_unit_test_setup(test_claim_moves_and_is_published, flush_setup),
        cmocka_unit_test_setup(test_claim_of_a_tie_is_published, flush_setup),
        cmocka_unit_test_setup(test_history_is_bounded, flush_setup),
        cmocka_unit_test_setup(test_report_and_state_are_fenced, flush_setup),
        cmocka_unit_test_setup(test_find_by_prefix_over_hosts, flush_setup),
        cmocka_unit_test_setup(test_owner_dead, flush_setup),
        cmocka_unit_test_setup(test_bad_operations, flush_setup),
        cmocka_unit_test_setup(test_functions_come_back, flush_setup),
        cmocka_unit_test_setup(test_poisoned_record, flush_setup),
        cmocka_unit_test_setup(test_many_at_once, flush_setup),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
