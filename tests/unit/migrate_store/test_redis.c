/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/store/harness.h"
#include "tests/unit/migrate_store/connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The connection: time limits, order of answers, loss in the middle, reconnecting, stopping. */

/* Endpoints in turn, without a pause; the one that answered first is tried first the next time. */
static void test_endpoints_in_turn(void **state)
{
    struct rt_store_endpoint endpoints[3] = {connection_endpoint("redis+unix:///nonexistent/a"),
                                             connection_endpoint("redis+unix:///nonexistent/b"),
                                             connection_endpoint(connection_fake.endpoint)};
    struct rt_redis_config config = connection_config(endpoints, 3);

    (void)state;
    connection_start(&config);
    assert_string_equal(rt_redis_where(&connection.redis), "redis+unix:///nonexistent/a");
    assert_int_equal(connection_call("PING", 1), RT_EUNAVAIL);
    connection_until(&connection.n_ready, 1);
    assert_int_equal(connection.n_down, 2);
    assert_string_equal(rt_redis_where(&connection.redis), connection_fake.endpoint);
    fake_cut(&connection_fake);
    connection_until(&connection.n_down, 3);
    assert_non_null(strstr(connection.why, "closed by the peer"));
    connection_until(&connection.n_ready, 2);
    assert_int_equal(connection.n_down, 3); /* nobody else was asked */
    connection_stop();
}

static void test_answers_in_order(void **state)
{
    (void)state;
    fake_rule(&connection_fake, "BAD", "-ERR no\r\n", FAKE_GO_ON, 0);
    fake_rule(&connection_fake, "PAIR", "*2\r\n:1\r\n$1\r\nx\r\n", FAKE_GO_ON, 0);
    connection_start_one();
    connection_until(&connection.n_ready, 1);
    assert_int_equal(connection_call("PING", 1), 0);
    assert_int_equal(connection_call("BAD", 2), 0);
    assert_int_equal(connection_call("PAIR", 3), 0);
    assert_int_equal(connection.n_answers, 0); /* never from within */
    connection_until(&connection.n_answers, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(connection.answers[i].call, i + 1);
        assert_int_equal(connection.answers[i].error, 0);
    }
    assert_int_equal(connection.answers[0].type, REDIS_REPLY_STATUS);
    assert_int_equal(connection.answers[1].type, REDIS_REPLY_ERROR);
    assert_int_equal(connection.answers[2].type, REDIS_REPLY_ARRAY);
    assert_int_equal(connection.n_down, 0);
    connection_stop();
}

/* The loop is held up, past the end of a call, while its answer comes: it is read before the call is given up. */
static void test_held_up(void **state)
{
    (void)state;
    connection_start_one();
    connection_until(&connection.n_ready, 1);
    for (size_t i = 0; i < 2; i++) { /* each time */
        fake_forget(&connection_fake);
        assert_int_equal(connection_call("PING", i + 1), 0);
        while (fake_asked(&connection_fake, "PING") == 0) {
            (void)uv_run(&loop, UV_RUN_NOWAIT);
        }
        assert_int_equal(connection.n_answers, i);
        uv_sleep(2 * (unsigned)connection.redis.config.call_timeout_ms);
        connection_until(&connection.n_answers, i + 1);
        assert_int_equal(connection.answers[i].error, 0);
    }
    connection_stop();
}

/* The loop is held up before a call leaves it: its time, and the server's, begins when it does. */
static void test_held_up_before(void **state)
{
    struct rt_store_endpoint endpoint = connection_endpoint(connection_fake.endpoint);
    struct rt_redis_config config = connection_config(&endpoint, 1);

    (void)state;
    config.call_timeout_ms = RT_REDIS_SILENCE_MS;
    fake_rule(&connection_fake, "SLOW", "", FAKE_GO_ON, 1);
    connection_start(&config);
    connection_until(&connection.n_ready, 1);
    assert_int_equal(connection_call("SLOW", 1), 0);
    uv_sleep(RT_REDIS_SILENCE_MS + 200);
    for (int i = 0; i < 10; i++) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        uv_sleep(2);
    }
    assert_int_equal(connection.n_answers + connection.n_down, 0);
    fake_say(&connection_fake, "+late\r\n");
    connection_until(&connection.n_answers, 1);
    assert_int_equal(connection.answers[0].error, 0);
    connection_stop();
}

/* A late answer belongs to the call that gave up, not to the next one. */
static void test_call_times_out(void **state)
{
    (void)state;
    fake_rule(&connection_fake, "SLOW", "", FAKE_GO_ON, 1);
    connection_start_one();
    connection_until(&connection.n_ready, 1);
    assert_int_equal(connection_call("SLOW", 1), 0);
    connection_until(&connection.n_answers, 1);
    assert_int_equal(connection.answers[0].error, RT_ETIMEDOUT);
    assert_int_equal(connection.redis.state, RT_REDIS_READY);
    fake_say(&connection_fake, "+late\r\n");
    assert_int_equal(connection_call("PING", 2), 0);
    connection_until(&connection.n_answers, 2);
    assert_int_equal(connection.answers[1].call, 2);
    assert_string_equal(connection.answers[1].text, "PONG");
    connection_stop();
}

static void test_silence_is_loss(void **state)
{
    (void)state;
    fake_rule(&connection_fake, "SLOW", "", FAKE_SILENCE, 1);
    connection_start_one();
    connection_until(&connection.n_ready, 1);
    assert_int_equal(connection_call("SLOW", 1), 0);
    assert_int_equal(connection_call("PING", 2), 0);
    connection_until(&connection.n_down, 1);
    assert_non_null(strstr(connection.why, "no answer"));
    assert_int_equal(connection.n_answers, 2); /* each once */
    assert_int_equal(connection.answers[0].error, RT_ETIMEDOUT);
    assert_int_equal(connection.answers[1].error, RT_ETIMEDOUT);
    connection_until(&connection.n_ready, 2);
    connection_stop();
}

/* Ways to lose it with calls under way: these may have happened, what follows is refused, and it is dialled again. */
static void test_lost_in_the_middle(void **state)
{
    static const struct {
        const char *answer;
        enum fake_then then;
        int error; /* of the call that is answered so */
        const char *why;
    } cases[] = {
        {"", FAKE_CLOSE, RT_ETIMEDOUT, "closed by the peer"},
        {"$10\r\nhalf", FAKE_CLOSE, RT_ETIMEDOUT, "closed by the peer"},
        {"*3\r\n:1\r\n", FAKE_CLOSE, RT_ETIMEDOUT, "closed by the peer"},
        {"nonsense\r\n", FAKE_GO_ON, RT_ETIMEDOUT, "not RESP"},
        {"*70000\r\n", FAKE_GO_ON, RT_ETIMEDOUT, "too large"},
        {"-READONLY You can't write against a read only replica.\r\n", FAKE_GO_ON, 0, "no longer the primary"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_no_rules(&connection_fake);
        connection_start_one();
        connection_until(&connection.n_ready, 1);
        fake_rule(&connection_fake, "FIRST", cases[i].answer, cases[i].then, 1);
        fake_rule(&connection_fake, "SECOND", "", FAKE_SILENCE, 1);
        assert_int_equal(connection_call("FIRST", 1), 0);
        assert_int_equal(connection_call("SECOND", 2), 0);
        connection_until(&connection.n_down, 1);
        if (strstr(connection.why, cases[i].why) == NULL) {
            fail_msg("case %zu: told \"%s\"", i, connection.why);
        }
        assert_int_equal(connection.n_answers, 2);
        assert_int_equal(connection.answers[0].error, cases[i].error);
        assert_int_equal(connection.answers[1].error, RT_ETIMEDOUT);
        assert_int_equal(connection_call("PING", 3), RT_EUNAVAIL);
        connection_until(&connection.n_ready, 2);
        connection_stop();
    }
}

static void test_pushes(void **state)
{
    struct rt_store_endpoint endpoint = connection_endpoint(connection_fake.endpoint);
    struct rt_redis_config config = connection_config(&endpoint, 1);

    (void)state;
    config.pubsub = true;
    connection_start(&config);
    connection_until(&connection.n_ready, 1);
    fake_rule(&connection_fake, "PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n", FAKE_GO_ON, 0);
    assert_int_equal(connection_call("PING", 1), 0);
    fake_say(&connection_fake, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n");
    connection_until(&connection.n_pushed, 1);
    connection_until(&connection.n_answers, 1);
    assert_int_equal(connection.answers[0].type, REDIS_REPLY_ARRAY);
    assert_int_equal(connection.n_down, 0);
    /* What looks much like one is an answer to nothing. */
    fake_say(&connection_fake, "*3\r\n$8\r\npmessage\r\n$1\r\na\r\n$1\r\nb\r\n");
    connection_until(&connection.n_down, 1);
    assert_non_null(strstr(connection.why, "nobody asked"));
    assert_int_equal(connection.n_pushed, 1);
    connection_stop();
}

static void test_bounds(void **state)
{
    struct rt_redis_args large = {.n = 0}, small = {.n = 0};
    char *bytes = calloc(1, RT_REDIS_QUEUE_MAX);
    size_t n = 0;
    int rc = 0;

    (void)state;
    assert_int_equal(
        rt_redis_init(&connection.redis, &loop, &(struct rt_redis_config){.n_endpoints = RT_ENDPOINTS_MAX + 1}),
        RT_EINVAL);
    assert_non_null(bytes);
    fake_rule(&connection_fake, "HOLD", "", FAKE_SILENCE, 0);
    connection_start_one();
    connection_until(&connection.n_ready, 1);
    rt_redis_arg(&large, bytes, RT_REDIS_QUEUE_MAX);
    assert_int_equal(rt_redis_call(&connection.redis, &large, connection_answer_cb, NULL), RT_ELIMIT);
    rt_redis_text(&small, "HOLD");
    while (n <= RT_REDIS_CALLS_MAX && (rc = rt_redis_call(&connection.redis, &small, NULL, NULL)) == 0) {
        n++;
    }
    assert_int_equal(rc, RT_ELIMIT);
    assert_int_equal(n, RT_REDIS_CALLS_MAX);
    assert_int_equal(connection.n_answers, 0); /* a refused call has no answer */
    free(bytes);
    connection_stop();
    assert_int_equal(connection.n_answers, 0);
}

/* Aimed by its owner: at nobody, at one, at another one, and at nobody again. */
static void test_aimed(void **state)
{
    static struct fake other;
    struct rt_redis_config config = connection_config(NULL, 0);
    struct rt_store_endpoint here = connection_endpoint(connection_fake.endpoint), there;

    (void)state;
    fake_start(&other);
    there = connection_endpoint(other.endpoint);
    connection_start(&config);
    run_for(50);
    assert_int_equal(connection.n_ready + connection.n_down, 0); /* nobody is dialled, and nothing is wrong */
    rt_redis_aim(&connection.redis, &here);
    connection_until(&connection.n_ready, 1);
    assert_string_equal(rt_redis_at(&connection.redis)->text, connection_fake.endpoint);
    rt_redis_aim(&connection.redis, &here);
    run_for(20);
    assert_int_equal(connection.n_down, 0); /* it is there already */
    fake_rule(&connection_fake, "SLOW", "", FAKE_GO_ON, 1);
    assert_int_equal(connection_call("SLOW", 1), 0);
    rt_redis_aim(&connection.redis, &there);
    assert_int_equal(connection_call("PING", 2), RT_EUNAVAIL); /* from now on: it is no primary any more */
    connection_until(&connection.n_ready, 2);
    assert_string_equal(rt_redis_where(&connection.redis), other.endpoint);
    assert_int_equal(connection.n_down, 1);
    assert_true(strncmp(connection.why, connection_fake.endpoint, strlen(connection_fake.endpoint)) == 0);
    assert_int_equal(connection.n_answers, 1);
    assert_int_equal(connection.answers[0].error, RT_ETIMEDOUT);
    rt_redis_aim(&connection.redis, NULL);
    connection_until(&connection.n_down, 2);
    run_for(50);
    assert_int_equal(connection.redis.state, RT_REDIS_WAITING);
    assert_int_equal(other.n_connections, 1);
    rt_redis_aim(&connection.redis, &there);
    connection_until(&connection.n_ready, 3);
    connection_stop();
    fake_stop(&other);
}

/* What a primary answers that may have been replaced: it is asked for its role again, and its owner is told. */
static void test_doubts(void **state)
{
    static const char *const doubtful[] = {"-NOREPLICAS Not enough good replicas to write.\r\n",
                                           "-MISCONF Errors writing to the AOF file: No space left on device\r\n",
                                           "-LOADING Redis is loading the dataset in memory\r\n",
                                           "-MASTERDOWN Link with MASTER is down\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(doubtful) / sizeof(doubtful[0]); i++) {
        fake_no_rules(&connection_fake);
        fake_forget(&connection_fake);
        connection_start_one();
        connection_until(&connection.n_ready, 1);
        fake_rule(&connection_fake, "WRITE", doubtful[i], FAKE_GO_ON, 0);
        assert_int_equal(connection_call("WRITE", 1), 0);
        assert_int_equal(connection_call("WRITE", 2), 0);
        connection_until(&connection.n_answers, 2);
        run_for(20);
        assert_int_equal(fake_asked(&connection_fake, "ROLE"), 2); /* at the greeting, and once for both */
        assert_true(connection.n_doubts >= 1);
        assert_int_equal(connection.n_down, 0);
        assert_int_equal(connection.n_ready, 1);
        fake_rule(&connection_fake, "ROLE", "*1\r\n$5\r\nslave\r\n", FAKE_GO_ON, 1);
        assert_int_equal(connection_call("WRITE", 3), 0);
        connection_until(&connection.n_down, 1);
        assert_non_null(strstr(connection.why, "not the primary"));
        connection_stop();
    }
}

/* From every state and from within every callback. */
static void test_stops(void **state)
{
    (void)state;
    connection_start_one();
    connection_stop(); /* waiting, nothing dialled yet */
    connection_start_one();
    run_for(0);
    connection_stop(); /* dialling or greeting */
    fake_rule(&connection_fake, "ROLE", "", FAKE_SILENCE, 1);
    connection_start_one();
    run_for(20);
    assert_int_equal(connection.redis.state, RT_REDIS_GREETING);
    connection_stop();
    connection_start_one();
    connection.stop_when_ready = true;
    connection_until(&connection.n_closed, 1);
    assert_int_equal(connection.n_down, 0);
    connection_start_one();
    connection_until(&connection.n_ready, 1);
    connection.stop_when_down = true;
    fake_cut(&connection_fake);
    connection_until(&connection.n_closed, 1);
    connection_start_one();
    connection_until(&connection.n_ready, 1);
    assert_int_equal(connection_call("PING", 1), 0);
    assert_int_equal(connection_call("PING", 2), 0);
    connection.stop_when_answered = true;
    connection_until(&connection.n_closed, 1);
    assert_int_equal(connection.n_answers, 2);
    assert_int_equal(connection.answers[0].error, 0);
    assert_int_equal(connection.answers[1].error, RT_ECANCELED);
    assert_int_equal(connection.n_down, 0); /* who stops it knows */
    connection_start_one();
    connection_until(&connection.n_ready, 1);
    fake_rule(&connection_fake, "SLOW", "", FAKE_GO_ON, 1);
    assert_int_equal(connection_call("SLOW", 1), 0);
    connection.stop_when_answered = true; /* by its time limit */
    connection_until(&connection.n_closed, 1);
    assert_int_equal(connection.answers[0].error, RT_ETIMEDOUT);
}

/* Dropped by its user, from a callback too; a drop of what is not connected does nothing. */
static void test_drops(void **state)
{
    (void)state;
    connection_start_one();
    rt_redis_drop(&connection.redis, "not yet");
    connection_until(&connection.n_ready, 1);
    assert_int_equal(connection.n_down, 0);
    connection.drop_when_answered = true;
    assert_int_equal(connection_call("PING", 1), 0);
    assert_int_equal(connection_call("PING", 2), 0);
    connection_until(&connection.n_down, 1);
    assert_non_null(strstr(connection.why, "as the test wants"));
    assert_int_equal(connection.n_answers, 2);
    assert_int_equal(connection.answers[1].error, RT_ETIMEDOUT);
    connection_until(&connection.n_ready, 2);
    connection_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FAKE(test_endpoints_in_turn),
        WITH_FAKE(test_answers_in_order),
        WITH_FAKE(test_held_up),
        WITH_FAKE(test_held_up_before),
        WITH_FAKE(test_call_times_out),
        WITH_FAKE(test_silence_is_loss),
        WITH_FAKE(test_lost_in_the_middle),
        WITH_FAKE(test_pushes),
        WITH_FAKE(test_bounds),
        WITH_FAKE(test_aimed),
        WITH_FAKE(test_doubts),
        WITH_FAKE(test_stops),
        WITH_FAKE(test_drops),
    };

    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}
