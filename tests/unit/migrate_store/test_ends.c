/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "tests/system/store/harness.h"
#include "tests/unit/migrate_store/fake.h"

#include <string.h>

/* What comes after an end is written: who else has it, and what its asker is told when that is not to be known. */

#define WRITTEN "*4\r\n:0\r\n:7\r\n:1\r\n$5\r\nhosta\r\n"
#define ONE_REPLICA "*3\r\n$6\r\nmaster\r\n:9\r\n*1\r\n*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n9\r\n"
#define TWO_REPLICAS                                                                                                   \
    "*3\r\n$6\r\nmaster\r\n:9\r\n*2\r\n*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n9\r\n*3\r\n$1\r\nb\r\n$1\r\n1\r\n$1\r\n9\r\n"

static struct fake fake;
static struct agent *agent;

static int setup(void **state)
{
    (void)state;
    fake_start(&fake);
    agent = agent_start(fake.endpoint, "hosta");
    fake_rule(&fake, "FCALL end", WRITTEN, FAKE_GO_ON, 0);
    fake_forget(&fake);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    agent_stop(agent);
    fake_stop(&fake);
    return 0;
}

static struct rt_store_op end_op(void)
{
    struct rt_store_op op = {.kind = RT_STORE_END, .key = key_of("t", "box"), .life = 7, .epoch = 1};

    return op;
}

static int end(void)
{
    struct rt_store_op op = end_op();

    return submit(agent, &op);
}

static size_t count_logged(const char *part)
{
    size_t n = 0;

    for (size_t i = 0; i < agent->n_log; i++) {
        n += strstr(agent->log[i], part) != NULL;
    }
    return n;
}

static bool is_ready(struct agent *a)
{
    return a->store.only.ends.state == RT_REDIS_READY;
}

static void test_who_has_it(void **state)
{
    (void)state;
    assert_int_equal(end(), 0);
    assert_int_equal(agent->reply.how, RT_END_STORED); /* no replica, nor ever any: nobody to wait for */
    assert_false(agent->reply.unsure);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_OK);
    assert_int_equal(fake_asked(&fake, "WAIT"), 0);
    fake_rule(&fake, "ROLE", TWO_REPLICAS, FAKE_GO_ON, 0);
    assert_int_equal(end(), 0);
    assert_int_equal(agent->reply.how, RT_END_STORED); /* none has acknowledged in time */
    assert_true(agent->reply.unsure && !agent->reply.spread);
    fake_rule(&fake, "WAIT 2 500", ":1\r\n", FAKE_GO_ON, 0);
    assert_int_equal(end(), 0);
    assert_int_equal(agent->reply.how, RT_END_STORED); /* the other one may be the next primary */
    assert_true(agent->reply.unsure && !agent->reply.spread);
    fake_rule(&fake, "WAIT 2 500", ":2\r\n", FAKE_GO_ON, 0);
    assert_int_equal(end(), 0);
    assert_int_equal(agent->reply.how, RT_END_REPLICATED);
    assert_false(agent->reply.unsure);
    /* One of them has gone: it has been promoted, perhaps. */
    fake_rule(&fake, "ROLE", ONE_REPLICA, FAKE_GO_ON, 0);
    fake_rule(&fake, "WAIT 1 500", ":1\r\n", FAKE_GO_ON, 0);
    assert_int_equal(end(), 0);
    assert_int_equal(agent->reply.how, RT_END_STORED);
    assert_true(agent->reply.unsure && agent->reply.spread);
    fake_rule(&fake, "ROLE", FAKE_ROLE, FAKE_GO_ON, 0); /* and both */
    assert_int_equal(end(), 0);
    assert_int_equal(agent->reply.how, RT_END_STORED);
    assert_true(agent->reply.unsure && !agent->reply.spread);
    assert_int_equal(agent->n_errors_logged, 0);
    assert_int_equal(count_logged("not all replicas"), 1); /* once, whatever the number of ends */
}

/* A replica was connected at the greeting, and none is when the first end comes. */
static void test_replica_at_greeting(void **state)
{
    (void)state;
    fake_rule(&fake, "INFO", "$69\r\nrun_id:" FAKE_RUN_ID "\r\nconnected_slaves:1\r\n\r\n", FAKE_GO_ON, 0);
    fake_cut(&fake);
    assert_true(run_until(is_down, agent, 10000));
    assert_true(run_until(is_up, agent, 10000));
    assert_true(run_until(is_ready, agent, 10000));
    fake_rule(&fake, "INFO", FAKE_INFO, FAKE_GO_ON, 0);
    fake_cut(&fake);
    assert_true(run_until(is_down, agent, 10000));
    assert_true(run_until(is_up, agent, 10000));
    assert_true(run_until(is_ready, agent, 10000));
    assert_int_equal(end(), 0);
    assert_true(agent->reply.unsure && !agent->reply.spread);
}

/* Nothing was written, so nobody is waited for. */
static void test_another_end(void **state)
{
    (void)state;
    fake_rule(&fake, "ROLE", TWO_REPLICAS, FAKE_GO_ON, 0);
    fake_rule(&fake, "FCALL end", "*4\r\n:3\r\n:7\r\n:1\r\n$5\r\nhosta\r\n", FAKE_GO_ON, 0);
    assert_int_equal(end(), 0);
    assert_int_equal(agent->reply.how, RT_END_OTHER);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_ENDED);
    assert_int_equal(fake_asked(&fake, "ROLE"), 0);
}

/* Every answer on the way that is not to be: the asker is told, and may ask again. */
static void test_rejected(void **state)
{
    static const struct {
        const char *ask, *answer;
        enum fake_then then;
        int error;
    } cases[] = {
        {"ROLE", ":1\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {"ROLE", "-NOPERM no\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {"ROLE", "*2\r\n$6\r\nmaster\r\n:0\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {"ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n:0\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {"ROLE", "*3\r\n$6\r\nmas", FAKE_CLOSE, RT_ETIMEDOUT},
        {"ROLE", "", FAKE_SILENCE, RT_ETIMEDOUT},
        {"WAIT", "+OK\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {"WAIT", "-ERR WAIT cannot be used with replica instances\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {"WAIT", "*0\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {"WAIT", ":", FAKE_CLOSE, RT_ETIMEDOUT},
        {"WAIT", "", FAKE_SILENCE, RT_ETIMEDOUT},
        {"FCALL end", "*4\r\n:0\r\n", FAKE_CLOSE, RT_ETIMEDOUT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_no_rules(&fake);
        fake_rule(&fake, "FCALL end", WRITTEN, FAKE_GO_ON, 0);
        fake_rule(&fake, "ROLE", TWO_REPLICAS, FAKE_GO_ON, 0);
        fake_rule(&fake, cases[i].ask, cases[i].answer, cases[i].then, 1);
        if (end() != cases[i].error) {
            fail_msg("case %zu: %d", i, agent->reply.error);
        }
        assert_true(is_up(agent)); /* the connection for commands has no part in it */
        if (cases[i].then != FAKE_GO_ON) {
            rt_redis_drop(&agent->store.only.ends, "test");
            run_for(1);
        }
        assert_true(run_until(is_ready, agent, 10000));
        assert_int_equal(end(), 0);
        assert_int_equal(agent->reply.how, RT_END_STORED);
    }
}

static bool has_all(struct agent *a)
{
    return a->store.n_ops == 0;
}

/* Ends that are written while a WAIT is under way share the next one. */
static void test_shared_wait(void **state)
{
    struct rt_store_op op = end_op();

    (void)state;
    fake_rule(&fake, "ROLE", TWO_REPLICAS, FAKE_GO_ON, 0);
    fake_rule(&fake, "WAIT", ":2\r\n", FAKE_GO_ON, 0);
    for (uint64_t i = 0; i < 100; i++) {
        op.id = 1000 + i;
        assert_int_equal(rt_store_submit(&agent->store, &op), 0);
    }
    assert_true(run_until(has_all, agent, 10000));
    assert_int_equal(agent->n_errors[0], 100);
    assert_true(fake_asked(&fake, "WAIT") < 100 && fake_asked(&fake, "WAIT") >= 1);
}

/* One waits for its replicas, others are written behind it. */
static bool is_between(struct agent *a)
{
    return a->store.only.waited != NULL && a->store.only.written != NULL;
}

/* The connection is lost with ends in every stage; none is left unanswered, and none answered twice. */
static void test_lost(void **state)
{
    struct rt_store_op op = end_op();

    (void)state;
    fake_rule(&fake, "ROLE", "", FAKE_SILENCE, 0);
    for (uint64_t i = 0; i < 3; i++) {
        op.id = 2000 + i;
        assert_int_equal(rt_store_submit(&agent->store, &op), 0);
    }
    assert_true(run_until(is_between, agent, 10000));
    assert_int_equal(agent->store.n_ops, 3);
    fake_no_rules(&fake);
    fake_cut(&fake);
    assert_true(run_until(has_all, agent, 10000));
    assert_int_equal(agent->n_errors[-RT_ETIMEDOUT], 3);
    assert_null(agent->store.only.waited);
    assert_null(agent->store.only.written);
    assert_true(run_until(is_up, agent, 10000));
    /* Stopped with one waited for and one written. */
    assert_true(run_until(is_ready, agent, 10000));
    fake_rule(&fake, "FCALL end", WRITTEN, FAKE_GO_ON, 0);
    fake_rule(&fake, "ROLE", "", FAKE_SILENCE, 0);
    assert_int_equal(rt_store_submit(&agent->store, &op), 0);
    assert_int_equal(rt_store_submit(&agent->store, &op), 0);
    assert_true(run_until(is_between, agent, 10000));
}

#define WITH_AGENT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_AGENT(test_who_has_it), WITH_AGENT(test_replica_at_greeting), WITH_AGENT(test_another_end),
        WITH_AGENT(test_rejected),   WITH_AGENT(test_shared_wait),         WITH_AGENT(test_lost),
    };

    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}
