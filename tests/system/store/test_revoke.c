/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/store/harness.h"

#include <string.h>

/* Revocations in the store. */

static int create(struct agent *agent)
{
    struct rt_store_op op = {.kind = RT_STORE_CREATE, .key = key_of("t", "bad")};

    return submit(agent, &op);
}

static uint64_t rev_of(struct agent *agent)
{
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = key_of("t", "bad")};

    assert_int_equal(submit(agent, &op), 0);
    assert_int_equal(agent->reply.n_records, 1);
    return agent->records[0].rule.rev;
}

/* One claim by a token that may start lives from base on. */
static enum rt_class join_from(struct agent *agent, uint8_t inc, uint64_t base)
{
    struct rt_store_op op = join_op(RT_STORE_TAKE, key_of("t", "bad"), inc, 1, "hosta");

    op.claim.base = base;
    assert_int_equal(submit(agent, &op), 0);
    return agent->reply.outcome.verdict;
}

/* What is revoked stays so when its record goes; what is created since then is another matter. */
static void test_revoke(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta"), *b = agent_start(redis.unix_endpoint, "hostb");
    struct rt_store_op op = {.kind = RT_STORE_REVOKE, .key = key_of("t", "bad"), .whole = true};
    const struct rt_store_news *news;
    uint64_t base, life, rev;
    char answer[32];

    (void)state;
    assert_int_equal(submit(a, &op), RT_ENOTFOUND);
    assert_int_equal(create(a), 0);
    base = a->reply.outcome.life;
    assert_int_equal(join_from(a, 1, base), RT_CLASS_OK);
    life = a->reply.outcome.life;
    assert_true(life >= base);
    assert_int_equal(create(a), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_LIMIT);
    assert_int_equal(submit(a, &op), 0);
    rev = a->reply.outcome.life;
    assert_true(rev > life);
    assert_int_equal(rev_of(a), rev);
    run_for(200);
    news = find_news(b, RT_STORE_REVOKED, 0);
    assert_non_null(news);
    assert_true(news->life == rev && strcmp(news->key.cid, "bad") == 0 && strcmp(news->key.tenant, "t") == 0);
    /* Its ticket, its token, and a start that was welcomed before. */
    op = ticket_op(key_of("t", "bad"), 1, life, 2, 1, 2, "hostb");
    op.kind = RT_STORE_TAKE;
    assert_int_equal(submit(b, &op), 0);
    assert_int_equal(b->reply.outcome.verdict, RT_CLASS_BAD_AUTH);
    assert_int_equal(b->reply.outcome.life, rev);
    assert_int_equal(join_from(a, 2, base), RT_CLASS_BAD_AUTH);
    /* Created anew: at once, though it runs by the record. */
    assert_int_equal(create(a), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_OK);
    assert_true(a->reply.outcome.life > rev);
    assert_int_equal(join_from(a, 2, base), RT_CLASS_BAD_AUTH);
    assert_int_equal(create(a), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_LIMIT);
    assert_int_equal(join_from(a, 3, rev + 2), RT_CLASS_OK);
    assert_true(a->reply.outcome.life > rev + 1);
    /* Told again by an agent that knew of the first: that changes nothing; a later one does. */
    op = (struct rt_store_op){.kind = RT_STORE_REVOKE, .key = key_of("t", "bad"), .life = rev};
    assert_int_equal(submit(b, &op), 0);
    assert_int_equal(b->reply.outcome.life, rev);
    op.life = 0;
    assert_int_equal(submit(b, &op), 0);
    assert_true(b->reply.outcome.life >= a->reply.outcome.life);
    rev = b->reply.outcome.life;
    /* Without its record. */
    assert_int_equal(rt_test_redis_command(&redis, "DEL rt:{t/bad}:r", answer, sizeof(answer)), 0);
    assert_string_equal(answer, ":1");
    assert_int_equal(join_from(a, 4, rev), RT_CLASS_BAD_AUTH);
    assert_int_equal(create(a), 0);
    assert_true(a->reply.outcome.life == rev + 2);
    assert_int_equal(rt_test_redis_command(&redis, "PTTL rt:{t/bad}:v", answer, sizeof(answer)), 0);
    assert_string_equal(answer, ":-1");
    agent_stop(a);
    agent_stop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_revoke, flush_setup)};

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
