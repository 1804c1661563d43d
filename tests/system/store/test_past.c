/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/store/harness.h"

#include "migrate/store/codec.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

/* The past of a record on a real server: label, ring size, when it was made, moves and history outlive an emptied
 * store in what the agents keep of it. */

#define LABEL "two\nlines \xc3\xbc"

static struct rt_slice slice(const char *text)
{
    return (struct rt_slice){(const uint8_t *)text, strlen(text)};
}

static void create(struct agent *agent, const char *cid, struct rt_slice label)
{
    struct rt_store_op op = {.kind = RT_STORE_CREATE, .key = key_of("t", cid), .label = label, .ring = 65536};

    assert_int_equal(submit(agent, &op), 0);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_OK);
}

static struct rt_store_record get(struct agent *agent, const char *cid)
{
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = key_of("t", cid)};

    assert_int_equal(submit(agent, &op), 0);
    assert_int_equal(agent->reply.n_records, 1);
    return agent->records[0];
}

static void command(const char *text)
{
    char answer[64];

    assert_int_equal(rt_test_redis_command(&redis, text, answer, sizeof(answer)), 0);
}

static void take(struct agent *agent, struct rt_store_op *op)
{
    assert_int_equal(submit(agent, op), 0);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_OK);
}

static struct rt_slice past_of(const struct agent *agent, uint8_t room[RT_PAST_MAX])
{
    size_t size = agent->reply.past.size;

    assert_in_range(size, 1, RT_PAST_MAX);
    memcpy(room, agent->reply.past.data, size);
    return (struct rt_slice){room, size};
}

/* What an agent takes again of (life, epoch) that it serves with ticket t. */
static struct rt_store_op again(const char *cid, uint64_t life, uint64_t epoch, uint8_t t, const char *host,
                                struct rt_slice past)
{
    struct rt_store_op op = ticket_op(key_of("t", cid), 7, life, epoch, t, t, host);

    op.past = past;
    return op;
}

/* Created, started on hosta, moved from host to host; returns its life. Its newest epoch and ticket are 1 + moves. */
static uint64_t start(struct agent *agent, const char *cid, struct rt_slice label, const char *const *hosts, uint8_t n)
{
    struct rt_store_op op = join_op(RT_STORE_TAKE, key_of("t", cid), 7, 1, hosts[0]);
    uint64_t life;

    create(agent, cid, label);
    take(agent, &op);
    life = agent->reply.outcome.life;
    for (uint8_t i = 1; i < n; i++) {
        op = ticket_op(key_of("t", cid), 7, life, i + 1u, i, (uint8_t)(i + 1), hosts[i]);
        take(agent, &op);
    }
    return life;
}

static void want_same(const struct rt_store_record *a, const struct rt_store_record *b)
{
    assert_string_equal(a->label, b->label);
    assert_int_equal(a->ring, b->ring);
    assert_int_equal(a->made_ms, b->made_ms);
    assert_int_equal(a->moves, b->moves);
    assert_int_equal(a->n_hist, b->n_hist);
    for (size_t i = 0; i < a->n_hist; i++) {
        assert_string_equal(a->hist[i].host, b->hist[i].host);
        assert_int_equal(a->hist[i].life, b->hist[i].life);
        assert_int_equal(a->hist[i].epoch, b->hist[i].epoch);
        assert_int_equal(a->hist[i].at_ms, b->hist[i].at_ms);
    }
}

static void test_flushed(void **state)
{
    static const char *const hosts[] = {"hosta", "hostb", "hosta"};
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_record before, after;
    struct rt_store_op op;
    uint8_t room[RT_PAST_MAX];
    uint64_t life = start(a, "c", slice(LABEL), hosts, 3);
    struct rt_slice past = past_of(a, room);

    (void)state;
    before = get(a, "c");
    assert_int_equal(before.moves, 2);
    assert_int_equal(before.n_hist, 3);
    for (int i = 0; i < 2; i++) {
        command("FLUSHALL");
        run_for(5); /* another millisecond than that at which it was made */
        op = again("c", life, 3, 3, "hosta", past);
        take(a, &op);
        assert_int_equal(a->reply.past.size, past.size);
        assert_memory_equal(a->reply.past.data, past.data, past.size);
        after = get(a, "c");
        want_same(&before, &after);
    }
    assert_string_equal(after.label, LABEL);
    assert_int_equal(after.ring, 65536);

    /* Its history goes on where it was. */
    op = ticket_op(key_of("t", "c"), 7, life, 4, 3, 4, "hostb");
    take(a, &op);
    after = get(a, "c");
    assert_int_equal(after.moves, 3);
    assert_int_equal(after.n_hist, 4);
    assert_string_equal(after.hist[3].host, "hostb");
    agent_stop(a);
}

/* A test tells no past, and what the record has is not replaced. */
static void test_record_knows_better(void **state)
{
    static const char *const hosts[] = {"hosta"};
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_record before, after;
    struct rt_store_op op;
    uint64_t life = start(a, "c", slice(LABEL), hosts, 1);

    (void)state;
    before = get(a, "c");
    op = again("c", life, 2, 1, "hosta", slice("1 2 3 5\nother9 9 9 there\n"));
    op.kind = RT_STORE_TEST;
    take(a, &op);
    assert_int_equal(a->reply.past.size, 0);
    op.kind = RT_STORE_TAKE;
    take(a, &op);
    after = get(a, "c");
    before.hist[0].epoch = 2; /* a reconnect to the same host */
    want_same(&before, &after);
    agent_stop(a);
}

/* Never longer than its bound: the oldest moves are left out, and all else is whole. */
static void test_largest(void **state)
{
    char names[RT_HISTORY_MAX][RT_HOST_MAX + 1], label[RT_LABEL_MAX + 1];
    const char *hosts[RT_HISTORY_MAX];
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_record before, after;
    struct rt_store_op op;
    uint8_t room[RT_PAST_MAX];
    struct rt_slice past;
    uint64_t life;

    (void)state;
    memset(label, 'l', RT_LABEL_MAX);
    label[RT_LABEL_MAX] = '\0';
    for (size_t i = 0; i < RT_HISTORY_MAX; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "%064zu", i);
        hosts[i] = names[i];
    }
    life = start(a, "c", slice(label), hosts, RT_HISTORY_MAX);
    past = past_of(a, room);
    before = get(a, "c");
    assert_int_equal(before.n_hist, RT_HISTORY_MAX);
    command("FLUSHALL");
    op = again("c", life, RT_HISTORY_MAX, RT_HISTORY_MAX, names[RT_HISTORY_MAX - 1], past);
    take(a, &op);
    after = get(a, "c");
    assert_in_range(after.n_hist, 4, RT_HISTORY_MAX - 1);
    memmove(before.hist, before.hist + RT_HISTORY_MAX - after.n_hist, after.n_hist * sizeof(before.hist[0]));
    before.n_hist = after.n_hist;
    want_same(&before, &after);
    assert_string_equal(after.label, label);
    agent_stop(a);
}

/* As if nothing had been given. */
static void want_ignored(struct agent *a, const char *what)
{
    struct rt_store_record record = get(a, "c");

    if (record.label[0] != '\0' || record.ring != 0 || record.moves != 0 || record.n_hist != 1 ||
        record.made_ms < 1600000000000) {
        fail_msg("was not ignored: %s", what);
    }
}

/* The record is gone, and taken again with this. */
static void give(struct agent *a, struct rt_slice past)
{
    struct rt_store_op op = again("c", 5, 1, 1, "hosta", past);

    command("DEL rt:{t/c}:r");
    take(a, &op);
}

static void test_malformed(void **state)
{
    static const char *const wrong[] = {
        "x",
        "\n",
        "1 2 3\n",
        "1 2 3 4",
        "1 2 3 9\nlabel",
        "-1 2 3 0\n",
        "1e3 2 3 0\n",
        "1 9007199254740992 3 0\n",
        "1 2 99999999999999999 0\n",
        "1 2 3 99999999999999999999999999999999\nlabel",
        " 1 2 3 0\n",
        "1 2 3 0\nno history",
        "1 2 3 0\n1 2 3\n",
        "1 2 3 0\n1 2 3 h",
        "1 2 3 0\n1 2 3 h h\n",
        "1 2 3 0\n1 2 3 h\n\n",
        "1 2 3 0\n1 2 9007199254740992 h\n",
        "1 2 3 0\n1 2 3 0123456789012345678901234567890123456789012345678901234567890123x\n",
    };
    static const char with_nul[] = "1 2 3 3\na\0b";
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    char lines[256] = "1 2 3 0\n", label[512];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        give(a, slice(wrong[i]));
        want_ignored(a, wrong[i]);
    }
    give(a, (struct rt_slice){(const uint8_t *)with_nul, sizeof(with_nul) - 1});
    want_ignored(a, "a NUL in the label");
    for (size_t i = 0; i < RT_HISTORY_MAX + 1; i++) {
        (void)snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "1 2 3 h\n");
    }
    give(a, slice(lines));
    want_ignored(a, "one move too many");
    (void)snprintf(label, sizeof(label), "1 2 3 %d\n%0*d", RT_LABEL_MAX + 1, RT_LABEL_MAX + 1, 0);
    give(a, slice(label));
    want_ignored(a, "a label too long");
    assert_int_equal(a->n_errors_logged, 0);
    /* One from the future: the store's clock went back. */
    give(a, slice("9007199254740991 2 3 0\n1 2 3 h\n"));
    assert_int_equal(get(a, "c").moves, 2);
    assert_in_range(get(a, "c").made_ms, 1600000000000, 9000000000000);
    agent_stop(a);
}

/* Too long: the agent's own end refuses it, and so does the function. */
static void test_too_long(void **state)
{
    static char text[RT_PAST_MAX + 2];
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    redisContext *context = redisConnectUnix(redis.socket);
    struct rt_store_args args;
    struct rt_store_op op;
    redisReply *reply;
    size_t used = (size_t)snprintf(text, sizeof(text), "1 2 3 247\n%0247d", 0);

    (void)state;
    for (int i = 0; i < 12; i++) { /* as it should be, but for its length */
        used += (size_t)snprintf(text + used, sizeof(text) - used, "1 2 3 %057d\n", i);
    }
    assert_int_equal(used, RT_PAST_MAX + 1);
    op = again("c", 5, 1, 1, "hosta", (struct rt_slice){(const uint8_t *)text, used});
    assert_int_equal(submit(a, &op), RT_EINVAL);
    op.past.size = 0;
    assert_int_equal(rt_store_encode(&op, "hosta", &args), 0);
    args.redis.argv[args.redis.n - 1] = text;
    args.redis.size[args.redis.n - 1] = used;
    assert_non_null(context);
    reply = redisCommandArgv(context, args.redis.n, args.redis.argv, args.redis.size);
    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    freeReplyObject(reply);
    redisFree(context);
    want_ignored(a, "too long");
    agent_stop(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_flushed, flush_setup),
        cmocka_unit_test_setup(test_record_knows_better, flush_setup),
        cmocka_unit_test_setup(test_largest, flush_setup),
        cmocka_unit_test_setup(test_malformed, flush_setup),
        cmocka_unit_test_setup(test_too_long, flush_setup),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
