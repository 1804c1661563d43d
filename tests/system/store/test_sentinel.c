/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "tests/system/store/harness.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Real Sentinels: a primary P, which refuses to become a replica as one does that is cut off from them; two replicas;
 * three Sentinels. */

#define HANG_MS 30000
#define SENTINELS ((size_t)3)

static struct rt_test_redis p, replicas[2], sentinels[SENTINELS];
/* Whom a Sentinel of its own monitors under the same name. */
static struct rt_test_redis decoy, liar;
static char endpoint[160];

static int setup(void **state)
{
    static const char *const stubborn[] = {"--rename-command", "SLAVEOF", "", NULL};
    int rc = rt_test_redis_start(&p, NULL, stubborn);

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        rc |= rt_test_redis_start(&replicas[i], &p, NULL);
    }
    for (size_t i = 0; i < SENTINELS; i++) {
        rc |= rt_test_sentinel_start(&sentinels[i], &p);
    }
    for (size_t i = 0; i < SENTINELS && rc == 0; i++) {
        rc |= rt_test_sentinel_wait(&sentinels[i], SENTINELS - 1, 2);
    }
    snprintf(endpoint, sizeof(endpoint), "sentinel://main@127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u", sentinels[0].port,
             sentinels[1].port, sentinels[2].port);
    return rc;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < SENTINELS; i++) {
        rt_test_redis_stop(&sentinels[i]);
    }
    rt_test_redis_stop(&liar);
    rt_test_redis_stop(&decoy);
    rt_test_redis_stop(&replicas[0]);
    rt_test_redis_stop(&replicas[1]);
    rt_test_redis_stop(&p);
    return 0;
}

static bool is_at_p(const struct agent *agent)
{
    return strcmp(rt_redis_where(&agent->store.only.commands), p.tcp_endpoint) == 0;
}

static bool has_left(struct agent *agent)
{
    return is_up(agent) && !is_at_p(agent) && agent->store.only.ends.state == RT_REDIS_READY &&
           agent->store.pubsub.state == RT_REDIS_READY;
}

static struct agent *start(const char *host)
{
    struct rt_store_config config;
    struct agent *agent;

    agent_config(&config, endpoint, host);
    agent = agent_new(&config);
    assert_true(run_until(is_up, agent, HANG_MS));
    run_for(200); /* the other connections */
    return agent;
}

static void all_at_one(const struct agent *agent)
{
    assert_string_equal(rt_redis_where(&agent->store.pubsub), rt_redis_where(&agent->store.only.commands));
    assert_string_equal(rt_redis_where(&agent->store.only.ends), rt_redis_where(&agent->store.only.commands));
}

static void role_of(struct rt_test_redis *server, char *role, size_t size)
{
    redisContext *context = redisConnectUnix(server->socket);
    redisReply *reply = redisCommand(context, "ROLE");

    assert_non_null(reply);
    snprintf(role, size, "%s", reply->element[0]->str);
    freeReplyObject(reply);
    redisFree(context);
}

static void take(struct agent *agent, const char *cid, struct rt_store_op *end)
{
    struct rt_store_op op = join_op(RT_STORE_TAKE, key_of("t", cid), 7, 1, agent->store.self.host);

    assert_int_equal(submit(agent, &op), 0);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_OK);
    *end = (struct rt_store_op){
        .kind = RT_STORE_END, .key = key_of("t", cid), .life = agent->reply.outcome.life, .epoch = 1};
}

static void until_failover(size_t i)
{
    char answer[128] = "";

    for (unsigned ms = 0; ms < HANG_MS; ms += 100) {
        assert_int_equal(rt_test_redis_command(&sentinels[i], "SENTINEL FAILOVER main", answer, sizeof(answer)), 0);
        if (strcmp(answer, "+OK") == 0) {
            return;
        }
        run_for(100);
    }
    fail_msg("no failover: %s", answer);
}

static void test_failover(void **state)
{
    struct agent *a = start("hosta"), *b = start("hostb");
    struct rt_store_op end, late, get = {.kind = RT_STORE_GET, .key = key_of("t", "x")};
    struct rt_store_op create = {.kind = RT_STORE_CREATE, .key = key_of("t", "new")};
    char role[16];

    (void)state;
    assert_true(is_at_p(a) && is_at_p(b));
    all_at_one(a);
    until_replicas(&p, 2);
    take(a, "x", &end);
    take(a, "y", &late);
    assert_int_equal(submit(a, &end), 0);
    assert_int_equal(a->reply.how, RT_END_REPLICATED);
    until_failover(0);
    assert_true(run_until(has_left, a, HANG_MS));
    assert_true(run_until(has_left, b, HANG_MS));
    all_at_one(a);
    all_at_one(b);
    assert_string_equal(rt_redis_where(&a->store.only.commands), rt_redis_where(&b->store.only.commands));
    /* The old one would have them still. */
    role_of(&p, role, sizeof(role));
    assert_string_equal(role, "master");
    assert_true(logged(a, "no longer redis://127.0.0.1"));
    assert_int_equal(submit(a, &create), 0);
    assert_int_equal(submit(b, &get), 0);
    assert_int_equal(b->reply.n_records, 1);
    assert_int_equal(b->reply.records[0].rule.state, RT_SESSION_ENDED);
    /* The old one counts as a replica that is known, and will never follow. */
    assert_int_equal(submit(a, &late), 0);
    assert_int_equal(a->reply.how, RT_END_STORED);
    assert_true(a->reply.unsure);
    agent_stop(a);
    agent_stop(b);
}

/* The first Sentinel of the list monitors another server by the same name. */
static void test_liar(void **state)
{
    char honest[sizeof(endpoint)];
    struct agent *a;

    (void)state;
    assert_int_equal(rt_test_redis_start(&decoy, NULL, NULL), 0);
    assert_int_equal(rt_test_sentinel_start(&liar, &decoy), 0);
    memcpy(honest, endpoint, sizeof(honest));
    snprintf(endpoint, sizeof(endpoint), "sentinel://main@127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u", liar.port,
             sentinels[1].port, sentinels[2].port);
    a = start("hosta");
    assert_true(is_at_p(a));
    until_failover(0); /* by one that it does not know */
    assert_true(run_until(has_left, a, HANG_MS));
    assert_string_not_equal(rt_redis_where(&a->store.only.commands), decoy.tcp_endpoint);
    agent_stop(a);
    memcpy(endpoint, honest, sizeof(honest));
}

/* The primary stands still, another one is promoted; then it goes on, and takes itself for the primary. */
static void test_stopped(void **state)
{
    struct agent *a = start("hosta");
    char role[16];

    (void)state;
    assert_true(is_at_p(a));
    rt_test_redis_pause(&p);
    assert_true(run_until(has_left, a, HANG_MS));
    rt_test_redis_resume(&p);
    run_for(3000);
    role_of(&p, role, sizeof(role));
    assert_string_equal(role, "master");
    assert_true(has_left(a));
    all_at_one(a);
    agent_stop(a);
}

static bool is_sure(struct agent *agent)
{
    struct rt_store_op get = {.kind = RT_STORE_GET, .key = key_of("t", "x")};

    assert_int_equal(submit(agent, &get), 0);
    return !agent->reply.unsure;
}

static bool becomes_sure(struct agent *agent, bool wanted)
{
    for (unsigned ms = 0; ms < HANG_MS && is_sure(agent) != wanted; ms += 100) {
        run_for(100);
    }
    return is_sure(agent) == wanted;
}

/* Sentinels that take their time, as they do by default: the primary is cut off from them, and all of them name it
 * still. What is found there proves nothing. */
static void test_slow_sentinels(void **state)
{
    struct agent *a;
    char answer[128];

    (void)state;
    for (size_t i = 0; i < SENTINELS; i++) {
        assert_int_equal(rt_test_redis_command(&sentinels[i], "SENTINEL SET main down-after-milliseconds 600000",
                                               answer, sizeof(answer)),
                         0);
        assert_string_equal(answer, "+OK");
    }
    a = start("hosta");
    assert_false(is_sure(a));
    assert_true(becomes_sure(a, true));
    /* What they say to each other and to the agents goes on; their pings to the primary are not answered. */
    assert_int_equal(rt_test_redis_command(&p, "ACL SETUSER default -ping", answer, sizeof(answer)), 0);
    assert_string_equal(answer, "+OK");
    assert_true(becomes_sure(a, false));
    run_for(RT_PRIMARY_SURE_MS + 2000);
    assert_false(is_sure(a));
    assert_true(is_at_p(a) && is_up(a));
    assert_int_equal(rt_test_redis_command(&p, "ACL SETUSER default +ping", answer, sizeof(answer)), 0);
    assert_true(becomes_sure(a, true));
    agent_stop(a);
}

/* Without any Sentinel who has a primary stays there; who has none is told so once. */
static void test_no_sentinels(void **state)
{
    struct agent *a = start("hosta"), *b;
    struct rt_store_op get = {.kind = RT_STORE_GET, .key = key_of("t", "x")};
    struct rt_store_config config;

    (void)state;
    assert_int_equal(submit(a, &get), 0);
    assert_false(a->reply.doubtful);
    for (size_t i = 0; i < SENTINELS; i++) {
        rt_test_redis_kill(&sentinels[i]);
    }
    agent_config(&config, endpoint, "hostb");
    b = agent_new(&config);
    run_for(RT_PRIMARY_FRESH_MS + 1500);
    assert_true(is_up(a) && is_at_p(a));
    assert_true(logged(a, "see to the others"));
    assert_int_equal(submit(a, &get), 0);
    assert_true(a->reply.unsure && a->reply.doubtful);
    assert_false(is_up(b));
    assert_true(logged(b, "no Sentinel names a primary"));
    assert_int_equal(b->n_log, 1);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(rt_test_redis_restart(&sentinels[i], false), 0);
    }
    assert_true(run_until(is_up, b, HANG_MS));
    agent_stop(a);
    agent_stop(b);
}

#define WITH_SENTINELS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SENTINELS(test_failover),       WITH_SENTINELS(test_liar),         WITH_SENTINELS(test_stopped),
        WITH_SENTINELS(test_slow_sentinels), WITH_SENTINELS(test_no_sentinels),
    };

    agent_call_ms = 0; /* the agents' own patience is what is tested */
    return cmocka_run_group_tests(tests, loop_setup, loop_teardown);
}
