/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/store/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The budget of tails on a real server: the oldest go, exit status and offsets stay, and there is room for others. */

#define ORDER "\1\1\1"
#define FULL_BYTES (UINT64_C(2) * RT_TAIL_MAX + sizeof(ORDER) - 1 + 512) /* what a full end counts as */

static uint8_t tail[RT_TAIL_MAX];

static struct agent *start(const char *host, uint64_t of_host, uint64_t of_all)
{
    struct rt_store_config config;
    struct agent *agent;

    agent_config(&config, redis.unix_endpoint, host);
    config.tails_host = of_host;
    config.tails_all = of_all;
    agent = agent_new(&config);
    assert_true(run_until(is_up, agent, 10000));
    return agent;
}

static struct rt_store_op end_op(struct agent *agent, const char *cid, uint8_t inc)
{
    struct rt_store_op join = join_op(RT_STORE_TAKE, key_of("t", cid), inc, 1, agent->store.self.host);
    struct rt_store_op op = {.kind = RT_STORE_END, .key = key_of("t", cid)};

    agent->n_news = 0;
    assert_int_equal(submit(agent, &join), 0);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_OK);
    op.life = agent->reply.outcome.life;
    op.end =
        (struct rt_end_msg){.code = 3, .out = 70000, .err = 80000, .ord = {(const uint8_t *)ORDER, sizeof(ORDER) - 1}};
    op.tail[0] = op.tail[1] = (struct rt_slice){tail, sizeof(tail)};
    return op;
}

/* Ends it, with full tails; an older end is older by a ms at least. */
static void end(struct agent *agent, const char *cid)
{
    struct rt_store_op op = end_op(agent, cid, 7);

    assert_int_equal(submit(agent, &op), 0);
    run_for(2);
}

static bool has_swept(struct agent *agent)
{
    return agent->store.tails.sweep == RT_TAILS_IDLE;
}

/* Whether the tails are still there; the status always is. */
static bool has_tails(struct agent *agent, const char *cid)
{
    struct rt_store_op op = {.kind = RT_STORE_TAILS, .key = key_of("t", cid)};

    assert_true(run_until(has_swept, agent, 10000));
    assert_int_equal(submit(agent, &op), 0);
    assert_int_equal(agent->reply.end.code, 3);
    assert_int_equal(agent->reply.end.out, 70000);
    assert_int_equal(agent->reply.cut, agent->reply.tail[0].size == 0);
    assert_int_equal(agent->reply.tail[0].size, agent->reply.tail[1].size);
    assert_int_equal(agent->reply.end.ord.size, agent->reply.cut ? 0 : sizeof(ORDER) - 1);
    return !agent->reply.cut;
}

static void test_of_a_host(void **state)
{
    struct agent *a = start("hosta", 2 * FULL_BYTES, 9 * FULL_BYTES);
    struct rt_store_op first = end_op(a, "c1", 7);

    (void)state;
    assert_int_equal(submit(a, &first), 0);
    run_for(2);
    end(a, "c2");
    assert_true(has_tails(a, "c1"));
    end(a, "c3");
    assert_false(has_tails(a, "c1"));
    assert_true(has_tails(a, "c2"));
    assert_true(has_tails(a, "c3"));

    /* Told again it is the same end; what was given up does not come back. */
    assert_int_equal(submit(a, &first), 0);
    assert_int_equal(a->reply.how, RT_END_STORED);
    assert_false(has_tails(a, "c1"));

    /* A new start of it has tails of its own. */
    first = end_op(a, "c1", 8);
    assert_int_equal(submit(a, &first), 0);
    assert_true(has_tails(a, "c1"));
    agent_stop(a);
}

/* Of all hosts the oldest goes, whoever's it is. */
static void test_of_all(void **state)
{
    struct agent *a = start("hosta", 9 * FULL_BYTES, 3 * FULL_BYTES);
    struct agent *b = start("hostb", 9 * FULL_BYTES, 3 * FULL_BYTES);

    (void)state;
    end(a, "a1");
    end(b, "b1");
    end(a, "a2");
    assert_true(has_tails(a, "a1"));
    assert_true(has_tails(b, "b1"));
    end(b, "b2");
    assert_true(run_until(has_swept, b, 10000));
    assert_false(has_tails(a, "a1"));
    assert_true(has_tails(a, "b1"));
    agent_stop(a); /* nobody is left who would look after its tails */
    end(b, "b3");
    assert_false(has_tails(b, "b1"));
    end(b, "b4");
    assert_false(has_tails(b, "a2"));
    assert_true(has_tails(b, "b2"));
    assert_true(has_tails(b, "b3"));
    assert_true(has_tails(b, "b4"));
    agent_stop(b);
}

/* A server with little memory, and as many full ends as would fill it several times: it takes new sessions. */
static void test_server_with_little_memory(void **state)
{
    struct agent *a = start("hosta", 0, 0);
    struct rt_store_op create = {.kind = RT_STORE_CREATE, .key = key_of("t", "new")};
    char answer[64], cid[32];

    (void)state;
    assert_int_equal(rt_test_redis_command(&redis, "CONFIG SET maxmemory 64mb", answer, sizeof(answer)), 0);
    for (unsigned i = 0; i < 1200; i++) {
        struct rt_store_op op;

        snprintf(cid, sizeof(cid), "c%u", i);
        op = end_op(a, cid, 7);
        assert_int_equal(submit(a, &op), 0);
    }
    assert_int_equal(submit(a, &create), 0);
    assert_true(has_tails(a, "c1199"));
    assert_false(has_tails(a, "c0"));
    assert_int_equal(rt_test_redis_command(&redis, "CONFIG SET maxmemory 0", answer, sizeof(answer)), 0);
    agent_stop(a);
}

/* Entries that say nothing, or too much, are no reason to stop. */
static void test_poisoned(void **state)
{
    static const char *const poison[] = {
        "ZADD rt:{host/hosta}:tails 1 nonsense", "HSET rt:{host/hosta}:sizes t/x rubbish",
        "ZADD rt:{host/hosta}:tails 1 t/x",      "HSET rt:{tails}:sums ghost 999999999",
        "ZADD rt:{tails}:oldest 1 ghost",
    };
    struct agent *a = start("hosta", 2 * FULL_BYTES, 2 * FULL_BYTES);
    char answer[64];

    (void)state;
    for (size_t i = 0; i < sizeof(poison) / sizeof(poison[0]); i++) {
        assert_int_equal(rt_test_redis_command(&redis, poison[i], answer, sizeof(answer)), 0);
    }
    end(a, "c1");
    end(a, "c2");
    end(a, "c3");
    assert_false(has_tails(a, "c1"));
    assert_true(has_tails(a, "c3"));
    agent_stop(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_of_a_host, flush_setup),
        cmocka_unit_test_setup(test_of_all, flush_setup),
        cmocka_unit_test_setup(test_server_with_little_memory, flush_setup),
        cmocka_unit_test_setup(test_poisoned, flush_setup),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
