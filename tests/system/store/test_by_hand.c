/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/store/harness.h"

#include <stdio.h>
#include <string.h>

/* Servers without Sentinels: an operator makes another one the primary, by hand. Nobody tells the agent how many
 * replicas there are: so many as servers are listed besides the primary, or were ever seen. */

#define HANG_MS 30000

static struct rt_test_redis p, q;

static int setup(void **state)
{
    (void)state;
    return rt_test_redis_start(&p, NULL, NULL) | rt_test_redis_start(&q, &p, NULL);
}

static int teardown(void **state)
{
    (void)state;
    rt_test_redis_stop(&q);
    rt_test_redis_stop(&p);
    return 0;
}

static struct agent *start(const char *other)
{
    struct rt_store_config config;
    struct agent *agent;

    agent_config(&config, p.tcp_endpoint, "hosta");
    if (other != NULL) {
        config.endpoints[config.n_endpoints++] = other;
    }
    agent = agent_new(&config);
    assert_true(run_until(is_up, agent, HANG_MS));
    return agent;
}

/* A container is claimed, and ends; the answer is in agent->reply. */
static void end(struct agent *agent, const char *cid)
{
    struct rt_store_op take = join_op(RT_STORE_TAKE, key_of("t", cid), 7, 1, "hosta");
    struct rt_store_op op = {.kind = RT_STORE_END, .key = key_of("t", cid), .epoch = 1};

    assert_int_equal(submit(agent, &take), 0);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_OK);
    op.life = agent->reply.outcome.life;
    assert_int_equal(submit(agent, &op), 0);
}

static bool is_sure_of(struct agent *agent, const char *cid)
{
    struct rt_store_op get = {.kind = RT_STORE_GET, .key = key_of("t", cid)};

    assert_int_equal(submit(agent, &get), 0);
    assert_int_equal(agent->reply.n_records, 1);
    return !agent->reply.unsure;
}

static bool is_at_q(struct agent *agent)
{
    return is_up(agent) && strcmp(rt_redis_where(&agent->store.only.commands), q.tcp_endpoint) == 0 &&
           agent->store.only.ends.state == RT_REDIS_READY;
}

/* Q is made the primary before the agent writes its first end, and P its replica later: what ends between is lost. */
static void test_two_listed(void **state)
{
    char command[64], answer[64];
    struct agent *a;

    (void)state;
    until_replicas(&p, 1);
    a = start(q.tcp_endpoint);
    assert_int_equal(rt_test_redis_promote(&q), 0);
    until_replicas(&p, 0);
    end(a, "x");
    assert_int_equal(a->reply.how, RT_END_STORED);
    assert_true(a->reply.unsure && !a->reply.spread);
    assert_false(is_sure_of(a, "x")); /* nor does it help to look */
    assert_true(logged(a, "not all replicas have what is stored"));
    snprintf(command, sizeof(command), "REPLICAOF 127.0.0.1 %u", q.port);
    assert_int_equal(rt_test_redis_command(&p, command, answer, sizeof(answer)), 0);
    assert_true(run_until(is_at_q, a, HANG_MS));
    for (unsigned ms = 0; ms < HANG_MS && a->reply.how != RT_END_REPLICATED; ms += 1000) {
        char cid[16];

        snprintf(cid, sizeof(cid), "y%u", ms / 1000);
        end(a, cid); /* P is in step, sooner or later */
        run_for(100);
    }
    assert_int_equal(a->reply.how, RT_END_REPLICATED);
    assert_false(a->reply.unsure);
    agent_stop(a);
}

/* Two are listed, and the other one was never seen to be a replica. */
static void test_listed(void **state)
{
    struct agent *a;

    (void)state;
    assert_int_equal(rt_test_redis_promote(&q), 0);
    until_replicas(&p, 0);
    a = start(q.tcp_endpoint);
    end(a, "x");
    assert_true(a->reply.unsure && !a->reply.spread);
    agent_stop(a);
}

/* One is listed; its replica was there when the agent came. */
static void test_seen(void **state)
{
    struct agent *a;

    (void)state;
    until_replicas(&p, 1);
    a = start(NULL);
    assert_int_equal(rt_test_redis_promote(&q), 0);
    until_replicas(&p, 0);
    end(a, "x");
    assert_true(a->reply.unsure && !a->reply.spread);
    agent_stop(a);
}

/* A server that never had a replica is as safe as its disk. */
static void test_alone(void **state)
{
    struct agent *a;

    (void)state;
    assert_int_equal(rt_test_redis_promote(&q), 0);
    until_replicas(&p, 0);
    a = start(NULL);
    end(a, "x");
    assert_int_equal(a->reply.how, RT_END_STORED);
    assert_false(a->reply.unsure);
    assert_true(is_sure_of(a, "x"));
    agent_stop(a);
}

#define WITH_SERVERS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {WITH_SERVERS(test_two_listed), WITH_SERVERS(test_listed),
                                       WITH_SERVERS(test_seen), WITH_SERVERS(test_alone)};

    return cmocka_run_group_tests(tests, loop_setup, loop_teardown);
}
