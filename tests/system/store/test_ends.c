/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/store/harness.h"

#include "session/core/frame.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends of sessions, and their tails, on a real server. */

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

static void test_end_keeps_status_and_tails(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_op op = {.kind = RT_STORE_END, .key = key_of("t", "c")};
    struct rt_store_op tails = {.kind = RT_STORE_TAILS, .key = key_of("t", "c")};
    static uint8_t out[RT_TAIL_MAX];
    const int ttl_ms = RT_END_TTL_MS;
    const struct rt_store_record *record;

    (void)state;
    for (size_t i = 0; i < sizeof(out); i++) {
        out[i] = (uint8_t)(i * 31);
    }
    assert_int_equal(submit(a, &tails), RT_ENOTFOUND);
    op.end = (struct rt_end_msg){.code = 3, .sig = 0, .out = 70000, .err = 2, .ord = slice("\2\1\7\1")};
    op.tail[0] = (struct rt_slice){out, sizeof(out)};
    op.tail[1] = slice("no");
    assert_int_equal(submit(a, &op), RT_ENOTFOUND);
    op.life = join(a, "c", 7, "hosta");
    assert_int_equal(submit(a, &tails), RT_ENOTFOUND);
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.how, RT_END_STORED); /* no replica */
    assert_int_equal(submit(a, &op), 0);           /* idempotent */
    assert_int_equal(submit(a, &tails), 0);
    assert_false(a->reply.lost);
    assert_int_equal(a->reply.end.code, 3);
    assert_int_equal(a->reply.end.out, 70000);
    assert_int_equal(a->reply.tail[0].size, sizeof(out));
    assert_memory_equal(a->reply.tail[0].data, out, sizeof(out));
    assert_int_equal(a->reply.tail[1].size, 2);
    assert_true(rt_slice_equal(a->reply.end.ord, slice("\2\1\7\1")));
    record = get(a, "t", "c");
    assert_int_equal(record->rule.state, RT_SESSION_ENDED);
    assert_int_equal(record->code, 3);
    assert_int_equal(record->out, 70000);
    assert_true(redis_number("PTTL rt:{t/%s}:r", "c") <= ttl_ms);
    assert_true(redis_number("PTTL rt:{t/%s}:t", "c") > ttl_ms - 60000);

    /* A guest that comes back drains; the status stays. */
    struct rt_store_op back = ticket_op(key_of("t", "c"), 7, op.life, 2, 1, 2, "hosta");
    assert_int_equal(submit(a, &back), 0);
    assert_true(a->reply.outcome.draining);
    assert_int_equal(submit(a, &tails), 0);

    /* Created again: the life is kept against stragglers, the tails are gone. */
    assert_int_equal(create(a, "t", "c", ""), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_OK);
    assert_int_equal(get(a, "t", "c")->rule.life, op.life);
    assert_int_equal(redis_number("EXISTS rt:{t/%s}:t", "c"), 0);
    assert_int_equal(submit(a, &tails), RT_ENOTFOUND);
    back.claim.epoch = 3;
    assert_int_equal(submit(a, &back), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_SUPERSEDED);
    op.tail[0].size = RT_TAIL_MAX + 1;
    assert_int_equal(submit(a, &op), RT_EINVAL);
    agent_stop(a);
}

/* An end that was taken is offered again without its tails. A store that does not have it any more refuses it: else it
 * would have the status, and nobody the output. */
static void test_again(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_op op = {.kind = RT_STORE_END, .key = key_of("t", "c"), .end = {.code = 3, .out = 5}};
    struct rt_store_op again, tails = {.kind = RT_STORE_TAILS, .key = key_of("t", "c")};

    (void)state;
    op.life = join(a, "c", 7, "hosta");
    again = op;
    again.again = true;
    op.tail[0] = slice("hello");
    assert_int_equal(submit(a, &again), RT_ENOTFOUND);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_NOT_FOUND);
    assert_int_equal(get(a, "t", "c")->rule.state, RT_SESSION_RUNNING);
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(submit(a, &again), 0);
    assert_int_equal(a->reply.how, RT_END_STORED);
    assert_int_equal(submit(a, &tails), 0);
    assert_true(rt_slice_equal(a->reply.tail[0], slice("hello")));
    again.end.code = 4;
    assert_int_equal(submit(a, &again), 0);
    assert_int_equal(a->reply.how, RT_END_OTHER);
    agent_stop(a);
}

/* What `wait` and `logs` were told stays true: the same end is stored again, whatever tails are missing, another is
 * not. */
static void test_the_first_end_stands(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    const struct rt_end_msg first = {.code = 3, .sig = 0, .out = 5, .err = 2};
    const struct rt_end_msg others[] = {
        {.code = 4, .out = 5, .err = 2},
        {.code = 3, .sig = 9, .out = 5, .err = 2},
        {.code = 3, .out = 6, .err = 2},
        {.code = 3, .out = 5, .err = 3},
        {.code = 0},
    };
    struct rt_store_op op = {.kind = RT_STORE_END, .key = key_of("t", "c"), .end = first};
    struct rt_store_op tails = {.kind = RT_STORE_TAILS, .key = key_of("t", "c")};

    (void)state;
    op.life = join(a, "c", 7, "hosta");
    op.tail[0] = slice("hello");
    assert_int_equal(submit(a, &op), 0);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        op.end = others[i];
        assert_int_equal(submit(a, &op), 0);
        assert_int_equal(a->reply.how, RT_END_OTHER);
    }
    op.end = first;
    op.tail[0] = slice("jello");
    op.tail[1] = slice("no");
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.how, RT_END_OTHER);
    assert_int_equal(submit(a, &tails), 0);
    assert_int_equal(a->reply.end.code, 3);
    assert_int_equal(a->reply.tail[0].size, 5);
    assert_memory_equal(a->reply.tail[0].data, "hello", 5);
    assert_int_equal(a->reply.tail[1].size, 0);

    /* The tail that was missing comes, then both stay also when it comes without. */
    op.tail[0] = slice("hello");
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.how, RT_END_STORED);
    op.tail[0] = op.tail[1] = slice("");
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.how, RT_END_STORED);
    assert_int_equal(submit(a, &tails), 0);
    assert_memory_equal(a->reply.tail[0].data, "hello", 5);
    assert_int_equal(a->reply.tail[1].size, 2);

    /* Another life has its own. */
    op.life = join(a, "c", 8, "hosta");
    op.end = others[0];
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.how, RT_END_STORED);
    assert_int_equal(submit(a, &tails), 0);
    assert_int_equal(a->reply.end.code, 4);
    assert_int_equal(a->reply.tail[0].size, 0);
    agent_stop(a);
}

/* The order of the tails is stored with them, stands as they do, and goes with them. */
static void test_order(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_op op = {.kind = RT_STORE_END, .key = key_of("t", "c"), .end = {.out = 3, .err = 2}};
    struct rt_store_op mark, tails = {.kind = RT_STORE_TAILS, .key = key_of("t", "c")};
    char answer[64];

    (void)state;
    op.life = join(a, "c", 7, "hosta");
    mark = op;
    mark.kind = RT_STORE_MARK;
    assert_int_equal(submit(a, &mark), 0);
    op.tail[0] = slice("ace");
    op.tail[1] = slice("bd");
    for (unsigned i = 0; i < 3; i++) { /* not known at first; then it stays, also when it comes without */
        op.end.ord = slice(i == 1 ? "\1\1\1\1\1" : "");
        assert_int_equal(submit(a, &op), 0);
        assert_int_equal(a->reply.how, RT_END_STORED);
        assert_int_equal(submit(a, &tails), 0);
        assert_true(rt_slice_equal(a->reply.end.ord, slice(i > 0 ? "\1\1\1\1\1" : "")));
    }
    assert_int_equal(submit(a, &mark), 0);
    assert_int_equal(a->reply.how, RT_END_STORED);
    op.end.ord = slice("\1\2\2");
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.how, RT_END_OTHER);
    op.end.ord.size = RT_ORDER_PACKED_MAX + 1;
    assert_int_equal(submit(a, &op), RT_EINVAL);
    op.end.ord = slice("");

    /* What a store has that is no order of its tails hides none of them. */
    assert_int_equal(rt_test_redis_command(&redis, "HSET rt:{t/c}:t ord nonsense", answer, sizeof(answer)), 0);
    assert_int_equal(submit(a, &tails), 0);
    assert_int_equal(a->reply.end.ord.size, 0);
    assert_int_equal(a->reply.tail[0].size, 3);
    assert_int_equal(rt_test_redis_command(&redis, "DEL rt:{t/c}:t", answer, sizeof(answer)), 0);
    assert_int_equal(submit(a, &tails), 0);
    assert_int_equal(a->reply.end.ord.size, 0);
    agent_stop(a);
}

static void test_lost_is_told_after_its_lease(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_op op = {.kind = RT_STORE_STATE, .key = key_of("t", "c"), .epoch = 1, .state = RT_SESSION_LOST};
    struct rt_store_op tails = {.kind = RT_STORE_TAILS, .key = key_of("t", "c")};
    char answer[64];

    (void)state;
    op.life = join(a, "c", 7, "hosta");
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(submit(a, &tails), RT_ENOTFOUND);
    assert_int_equal(rt_test_redis_command(&redis, "HSET rt:{t/c}:r lost 1000", answer, sizeof(answer)), 0);
    assert_int_equal(submit(a, &op), 0); /* again: the lease is not started anew */
    assert_int_equal(submit(a, &tails), 0);
    assert_true(a->reply.lost);
    agent_stop(a);
}

static void set_maxmemory(const char *value)
{
    char command[64], answer[64];

    (void)snprintf(command, sizeof(command), "CONFIG SET maxmemory %s", value);
    assert_int_equal(rt_test_redis_command(&redis, command, answer, sizeof(answer)), 0);
}

/* A server without room takes the status, and who keeps the tails; the end itself once there is room. */
static void test_full(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct agent *b = agent_start(redis.unix_endpoint, "hostb");
    struct rt_store_op op = {.kind = RT_STORE_END, .key = key_of("t", "c"), .end = {.code = 3, .out = 5}};
    struct rt_store_op mark, tails = {.kind = RT_STORE_TAILS, .key = key_of("t", "c")};

    (void)state;
    op.life = join(a, "c", 7, "hosta");
    op.tail[0] = slice("hello");
    mark = op;
    mark.kind = RT_STORE_MARK;
    mark.tail[0].size = 0;
    mark.life++;
    assert_int_equal(submit(a, &mark), RT_ENOTFOUND);
    mark.life--;
    set_maxmemory("1");
    assert_int_equal(submit(a, &op), RT_ELIMIT);
    assert_int_equal(submit(a, &mark), 0);
    assert_int_equal(a->reply.how, RT_END_STORED);
    assert_int_equal(submit(a, &mark), 0); /* again */
    assert_int_equal(a->reply.how, RT_END_STORED);
    assert_int_equal(get(b, "t", "c")->rule.state, RT_SESSION_ENDED);
    assert_int_equal(get(b, "t", "c")->code, 3);
    assert_true(redis_number("PTTL rt:{t/%s}:r", "c") <= RT_END_TTL_MS);
    assert_int_equal(submit(b, &tails), 0);
    assert_int_equal(b->reply.end.code, 3);
    assert_int_equal(b->reply.tail[0].size, 0);
    assert_int_equal(b->reply.outcome.life, op.life);
    assert_string_equal(b->reply.outcome.host, "hosta");
    mark.end.code = 4; /* the first end stands, also as a mark */
    assert_int_equal(submit(b, &mark), 0);
    assert_int_equal(b->reply.how, RT_END_OTHER);
    set_maxmemory("0");
    op.end.code = 4;
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.how, RT_END_OTHER);
    op.end.code = 3;
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.how, RT_END_STORED);
    assert_int_equal(submit(b, &tails), 0);
    assert_int_equal(b->reply.tail[0].size, 5);
    assert_string_equal(b->reply.outcome.host, "");
    mark.end.code = 3; /* one that was late changes nothing */
    assert_int_equal(submit(a, &mark), 0);
    assert_int_equal(submit(b, &tails), 0);
    assert_int_equal(b->reply.tail[0].size, 5);
    assert_string_equal(b->reply.outcome.host, "");
    agent_stop(a);
    agent_stop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_end_keeps_status_and_tails, flush_setup),
        cmocka_unit_test_setup(test_again, flush_setup),
        cmocka_unit_test_setup(test_the_first_end_stands, flush_setup),
        cmocka_unit_test_setup(test_order, flush_setup),
        cmocka_unit_test_setup(test_full, flush_setup),
        cmocka_unit_test_setup(test_lost_is_told_after_its_lease, flush_setup),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
