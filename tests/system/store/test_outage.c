/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "tests/system/store/harness.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Redis paused, killed, restarted, flushed, rolled back, failed over: news and replies. */

static size_t count_news(const struct agent *agent, enum rt_store_news_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < agent->n_news; i++) {
        n += agent->news[i].kind == kind;
    }
    return n;
}

static const struct rt_store_news *last_up(const struct agent *agent)
{
    for (size_t i = agent->n_news; i > 0; i--) {
        if (agent->news[i - 1].kind == RT_STORE_UP) {
            return &agent->news[i - 1];
        }
    }
    fail_msg("no UP");
    return NULL;
}

static int get(struct agent *agent, const char *cid)
{
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = key_of("t", cid)};

    return submit(agent, &op);
}

static uint64_t join(struct agent *agent, const char *cid)
{
    struct rt_store_op op = join_op(RT_STORE_TAKE, key_of("t", cid), 7, 1, agent->store.self.host);

    assert_int_equal(submit(agent, &op), 0);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_OK);
    return agent->reply.outcome.life;
}

static size_t ups;

static bool is_up_again(struct agent *agent)
{
    return is_up(agent) && count_news(agent, RT_STORE_UP) > ups;
}

static void wait_up(struct agent *agent, uint64_t ms)
{
    assert_true(run_until(is_up_again, agent, ms));
    ups = count_news(agent, RT_STORE_UP);
}

/* Behind the fresh UP may come another one, once the news are subscribed to. */
static bool is_fresh_again(struct agent *agent)
{
    size_t n = 0;

    for (size_t i = 0; i < agent->n_news; i++) {
        if (agent->news[i].kind == RT_STORE_UP && ++n > ups && agent->news[i].fresh) {
            return is_up(agent);
        }
    }
    return false;
}

/* Another store. The old one may have been told whole just before it went: that is no news of this one. */
static void wait_fresh(struct agent *agent, uint64_t ms)
{
    assert_true(run_until(is_fresh_again, agent, ms));
    ups = count_news(agent, RT_STORE_UP);
}

static void note_ups(struct agent *agent)
{
    ups = count_news(agent, RT_STORE_UP);
}

static void test_short_pause(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    uint64_t start;

    (void)state;
    rt_test_redis_pause(&redis);
    uv_update_time(&loop);
    start = uv_now(&loop);
    assert_int_equal(get(a, "x"), RT_ETIMEDOUT);
    assert_true(uv_now(&loop) - start >= RT_REDIS_CALL_MS - 100);
    assert_int_equal(get(a, "x"), RT_ETIMEDOUT);
    rt_test_redis_resume(&redis);
    /* The late answers are swallowed, the next ones are the right ones. */
    assert_int_equal(get(a, "x"), 0);
    assert_int_equal(a->reply.n_records, 0);
    join(a, "x");
    assert_int_equal(get(a, "x"), 0);
    assert_int_equal(a->reply.n_records, 1);
    assert_null(find_news(a, RT_STORE_DOWN, 0));
    agent_stop(a);
}

static void test_long_pause(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = key_of("t", "x")};
    size_t replies;

    (void)state;
    note_ups(a);
    rt_test_redis_pause(&redis);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(rt_store_submit(&a->store, &op), 0);
    }
    assert_true(run_until(is_down, a, 5000));
    assert_int_equal(count_news(a, RT_STORE_DOWN), 1);
    assert_int_equal(a->n_errors[-RT_ETIMEDOUT], 1000);
    assert_int_equal(a->store.n_ops, 0);
    assert_int_equal(rt_store_submit(&a->store, &op), RT_EUNAVAIL);
    replies = a->n_replies;
    run_for(3000); /* dials that connect and hear nothing */
    assert_int_equal(a->store.only.commands.calls.n <= 2, 1);
    rt_test_redis_resume(&redis);
    wait_up(a, 5000);
    assert_false(last_up(a)->fresh);
    assert_int_equal(a->n_replies, replies);
    assert_int_equal(get(a, "x"), 0);
    assert_int_equal(count_news(a, RT_STORE_DOWN), 1);
    agent_stop(a);
}

static void test_killed_and_back(void **state)
{
    struct agent *a = agent_start(redis.tcp_endpoint, "hosta");
    struct agent *b = agent_start(redis.tcp_endpoint, "hostb");

    (void)state;
    run_for(1200);
    join(a, "x");
    note_ups(a);
    rt_test_redis_kill(&redis);
    assert_true(run_until(is_down, a, 500));
    assert_int_equal(get(a, "x"), RT_EUNAVAIL);
    run_for(RT_HEARTBEAT_EXPIRY_MS + 500); /* all rows grow old */
    assert_int_equal(rt_test_redis_restart(&redis, false), 0);
    wait_fresh(a, 3000); /* a restart may have lost writes */
    assert_false(last_up(a)->whole);
    assert_int_equal(get(a, "x"), 0);
    assert_int_equal(a->reply.n_records, 1);
    run_for(2000);
    assert_true(is_up(b));
    agent_stop(a);
    agent_stop(b);
}

static void test_restarted_empty_and_whole_later(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");

    (void)state;
    join(a, "x");
    note_ups(a);
    rt_test_redis_kill(&redis);
    assert_int_equal(rt_test_redis_restart(&redis, true), 0);
    wait_fresh(a, 3000);
    assert_false(last_up(a)->whole);
    assert_int_equal(get(a, "x"), 0);
    assert_int_equal(a->reply.n_records, 0);
    run_for(200); /* the subscription */
    note_ups(a);
    wait_up(a, RT_STORE_WHOLE_MS + 2000);
    assert_false(last_up(a)->fresh);
    assert_true(last_up(a)->whole);
    agent_stop(a);
}

static void test_flushed_and_rolled_back(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    redisContext *context = redisConnectUnix(redis.socket);
    redisReply *row;
    char answer[64];

    (void)state;
    note_ups(a);
    assert_int_equal(rt_test_redis_command(&redis, "FLUSHALL", answer, sizeof(answer)), 0);
    wait_fresh(a, 1500);
    row = redisCommand(context, "HGET rt:{reg}:rows hosta");
    assert_non_null(row);
    run_for(2500);
    assert_int_equal(count_news(a, RT_STORE_UP), ups);
    freeReplyObject(redisCommand(context, "HSET rt:{reg}:rows hosta %b", row->str, row->len));
    wait_fresh(a, 1500); /* our sequence went back */
    freeReplyObject(redisCommand(context, "HDEL rt:{reg}:rows hosta"));
    wait_fresh(a, 1500); /* our row is missing */
    freeReplyObject(row);
    redisFree(context);
    agent_stop(a);
}

static void test_resubscription_is_told(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    char answer[64];
    size_t claims;

    (void)state;
    note_ups(a);
    assert_int_equal(rt_test_redis_command(&redis, "CLIENT KILL TYPE pubsub", answer, sizeof(answer)), 0);
    wait_up(a, 1000);
    assert_false(last_up(a)->fresh);
    assert_null(find_news(a, RT_STORE_DOWN, 0));
    claims = count_news(a, RT_STORE_CLAIMED);
    join(a, "x");
    run_for(50);
    assert_int_equal(count_news(a, RT_STORE_CLAIMED), claims + 1);
    agent_stop(a);
}

static struct agent *start_instance(uint8_t instance)
{
    struct rt_store_config config;

    agent_config(&config, redis.unix_endpoint, "hosta");
    config.instance = id_of(instance);
    return agent_new(&config);
}

static bool is_taken(struct agent *agent)
{
    return count_news(agent, RT_STORE_TAKEN) > 0;
}

static void test_duplicate_name(void **state)
{
    struct agent *a = start_instance(1), *b, *c;
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = key_of("t", "x")};

    (void)state;
    assert_true(run_until(is_up, a, 2000));
    b = start_instance(2);
    assert_true(run_until(is_taken, b, 4000));
    assert_false(is_up(b));
    assert_int_equal(rt_store_submit(&b->store, &op), RT_EUNAVAIL);
    run_for(2500);
    assert_int_equal(count_news(b, RT_STORE_TAKEN), 1);
    assert_int_equal(count_news(b, RT_STORE_UP), 0);
    assert_true(is_up(a));
    assert_int_equal(count_news(a, RT_STORE_TAKEN), 0);
    agent_stop(b);
    agent_stop(a);
    /* The same installation comes back at once; another one waits until the row has stood still for long enough, and
     * calls nobody alive. */
    a = start_instance(1);
    assert_true(run_until(is_up, a, 500));
    agent_stop(a);
    c = start_instance(3);
    assert_true(run_until(is_up, c, RT_HEARTBEAT_EXPIRY_MS + 2500));
    assert_int_equal(count_news(c, RT_STORE_TAKEN), 0);
    agent_stop(c);
}

/* An agent stood still for so long that another one has its name. It is out of the store at its next heartbeat, and
 * back once the other one has gone. */
static void test_name_lost_in_a_pause(void **state)
{
    struct agent *a = start_instance(1), *b;
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = key_of("t", "x")};

    (void)state;
    assert_true(run_until(is_up, a, 2000));
    uv_timer_stop(&a->store.heart);
    b = start_instance(2);
    assert_true(run_until(is_up, b, RT_HEARTBEAT_EXPIRY_MS + 2500));
    assert_int_equal(count_news(b, RT_STORE_TAKEN), 0);
    note_ups(a);
    rt_store_registry_beat(&a->store);
    assert_true(run_until(is_taken, a, 2000));
    assert_false(is_up(a));
    assert_int_equal(rt_store_submit(&a->store, &op), RT_EUNAVAIL);
    assert_true(is_up(b));
    agent_stop(b);
    for (int i = 0; i < 20 && !is_up(a); i++) {
        rt_store_registry_beat(&a->store);
        run_for(500);
    }
    assert_true(is_up_again(a) && last_up(a)->fresh);
    agent_stop(a);
}

/* A row of a time that the store's clock has not reached (it went back) is judged by its sequence all the same. */
static void test_clock_went_back(void **state)
{
    redisContext *context = redisConnectUnix(redis.socket);
    struct agent *a;

    (void)state;
    freeReplyObject(redisCommand(context, "HSET rt:{reg}:rows hosta %s",
                                 "00112233445566778899aabbccddeeff\n3\n99999999999999\n0\n0.1\nm\ntcp:a:1\n"));
    a = start_instance(1);
    assert_true(run_until(is_up, a, RT_HEARTBEAT_EXPIRY_MS + 2500));
    redisFree(context);
    agent_stop(a);
}

/* A name is looked up, and all its addresses are tried: "localhost" has ::1 too on most machines, where nobody listens.
 * What no resolver knows is given up for the next one. */
static void test_names(void **state)
{
    struct rt_store_config config;
    struct agent *a;
    char named[64];

    (void)state;
    snprintf(named, sizeof(named), "redis://localhost:%u", redis.port);
    agent_config(&config, "redis://nobody.invalid:6379", "hosta");
    config.endpoints[1] = named;
    config.n_endpoints = 2;
    a = agent_new(&config);
    assert_true(run_until(is_up, a, 30000));
    assert_string_equal(rt_redis_where(&a->store.only.commands), named);
    assert_true(logged(a, "redis://nobody.invalid:6379: connect: "));
    agent_stop(a);
}

static void test_endpoints_in_turn(void **state)
{
    struct rt_test_redis replica, another; /* as many replicas as three endpoints promise */
    struct rt_store_config config;
    struct rt_store_op op = {.kind = RT_STORE_END, .key = key_of("t", "x")};
    struct agent *a;
    char answer[64];
    uint64_t start;

    (void)state;
    assert_int_equal(rt_test_redis_start(&replica, &redis, NULL), 0);
    assert_int_equal(rt_test_redis_start(&another, &redis, NULL), 0);
    agent_config(&config, "redis+unix:///nonexistent/socket", "hosta");
    config.endpoints[1] = replica.tcp_endpoint; /* answers, but is not the primary */
    config.endpoints[2] = redis.tcp_endpoint;
    config.n_endpoints = 3;
    a = agent_new(&config);
    assert_true(run_until(is_up, a, 3000));
    until_replicas(&redis, 2);
    op.life = join(a, "x");
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.how, RT_END_REPLICATED);
    rt_test_redis_pause(&replica);
    uv_update_time(&loop);
    start = uv_now(&loop);
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.how, RT_END_STORED);
    assert_true(uv_now(&loop) - start >= RT_STORE_WAIT_MS - 50);
    /* Many ends share the waits. */
    for (int i = 0; i < 50; i++) {
        assert_int_equal(rt_store_submit(&a->store, &op), 0);
    }
    assert_int_equal(get(a, "x"), 0); /* and nobody else waits */
    run_for(2500);
    assert_int_equal(a->store.n_ops, 0);
    assert_int_equal(a->n_errors[0], a->n_replies);
    rt_test_redis_resume(&replica);
    run_for(500);

    /* Failover: the primary dies, the replica is promoted. */
    note_ups(a);
    rt_test_redis_kill(&redis);
    run_for(200);
    assert_false(is_up(a));
    assert_int_equal(rt_test_redis_promote(&replica), 0);
    wait_fresh(a, 4000);
    assert_int_equal(get(a, "x"), 0);
    assert_int_equal(a->reply.n_records, 1);

    /* The old primary comes back as one, and the one in use is made its replica: found by READONLY. */
    assert_int_equal(rt_test_redis_restart(&redis, false), 0);
    run_for(1500); /* all connections are back */
    assert_int_equal(count_news(a, RT_STORE_DOWN), 1);
    snprintf(answer, sizeof(answer), "REPLICAOF 127.0.0.1 %u", redis.port);
    note_ups(a);
    assert_int_equal(rt_test_redis_command(&replica, answer, answer, sizeof(answer)), 0);
    wait_up(a, 5000);
    assert_int_equal(count_news(a, RT_STORE_DOWN), 2);
    assert_string_equal(rt_redis_where(&a->store.only.commands), redis.tcp_endpoint);
    run_for(500); /* the other connections follow */
    assert_string_equal(rt_redis_where(&a->store.pubsub), redis.tcp_endpoint);
    assert_string_equal(rt_redis_where(&a->store.only.ends), redis.tcp_endpoint);
    agent_stop(a);
    rt_test_redis_stop(&another);
    rt_test_redis_stop(&replica);
}

static bool says_evicts(struct agent *a)
{
    return logged(a, "the store's maxmemory-policy: allkeys-lru: it may evict sessions");
}

static void test_warnings(void **state)
{
    static const char *const options[] = {"--maxmemory-policy", "allkeys-lru", "--requirepass", "secret", NULL};
    struct rt_test_redis other = {.pid = 0};
    struct rt_store_config config;
    struct agent *a;
    redisContext *context;

    (void)state;
    /* With a password the fixture's PING is refused; the server is set so when it runs. */
    assert_int_equal(rt_test_redis_start(&other, NULL, NULL), 0);
    context = redisConnectUnix(other.socket);
    for (size_t i = 0; options[i] != NULL; i += 2) {
        freeReplyObject(redisCommand(context, "CONFIG SET %s %s", options[i] + 2, options[i + 1]));
    }
    freeReplyObject(redisCommand(context, "AUTH secret"));
    freeReplyObject(redisCommand(context, "CONFIG SET appendonly no"));
    redisFree(context);

    agent_config(&config, other.unix_endpoint, "hosta");
    a = agent_new(&config);
    run_for(500);
    assert_false(is_up(a));
    assert_true(logged(a, "NOAUTH"));
    agent_stop(a);
    config.login_file = login_file("wrong\n");
    a = agent_new(&config);
    run_for(500);
    assert_false(is_up(a));
    assert_true(logged(a, "AUTH: WRONGPASS"));
    assert_true(logged(a, "mend the file of the password: it is read at each dial"));
    assert_int_equal(a->n_log, 1);
    assert_false(logged(a, "wrong"));
    (void)login_file("default\nsecret\n"); /* mended, without a restart */
    assert_true(run_until(is_up, a, 2000));
    assert_true(run_until(says_evicts, a, 10000)); /* with the next heartbeat */
    assert_true(logged(a, "append-only"));
    agent_stop(a);
    rt_test_redis_stop(&other);
}

/* No memory left: new sessions and ends are refused, moves and heartbeats go on, nobody looks dead. */
static void test_full(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct agent *b = agent_start(redis.unix_endpoint, "hostb");
    struct rt_store_op op = {.kind = RT_STORE_CREATE, .key = key_of("t", "x")};
    char answer[64];

    (void)state;
    run_for(1200);
    assert_int_equal(rt_test_redis_command(&redis, "CONFIG SET maxmemory 1", answer, sizeof(answer)), 0);
    assert_int_equal(submit(a, &op), RT_ELIMIT);
    join(a, "x");
    run_for(1500);
    op = (struct rt_store_op){.kind = RT_STORE_HOSTS};
    assert_int_equal(submit(a, &op), 0);
    assert_true(a->hosts[0].age_ms < 1500 && a->hosts[1].age_ms < 1500);
    assert_int_equal(rt_test_redis_command(&redis, "CONFIG SET maxmemory 0", answer, sizeof(answer)), 0);
    agent_stop(a);
    agent_stop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_short_pause, flush_setup),
        cmocka_unit_test_setup(test_long_pause, flush_setup),
        cmocka_unit_test_setup(test_killed_and_back, flush_setup),
        cmocka_unit_test_setup(test_restarted_empty_and_whole_later, flush_setup),
        cmocka_unit_test_setup(test_flushed_and_rolled_back, flush_setup),
        cmocka_unit_test_setup(test_resubscription_is_told, flush_setup),
        cmocka_unit_test_setup(test_duplicate_name, flush_setup),
        cmocka_unit_test_setup(test_name_lost_in_a_pause, flush_setup),
        cmocka_unit_test_setup(test_clock_went_back, flush_setup),
        cmocka_unit_test_setup(test_full, flush_setup),
        cmocka_unit_test_setup(test_endpoints_in_turn, flush_setup),
        cmocka_unit_test_setup(test_names, flush_setup),
        cmocka_unit_test_setup(test_warnings, flush_setup),
    };

    agent_call_ms = 0; /* the agents' own patience is what is tested */
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
