/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/redis.h"

#include "tests/system/store/harness.h"
#include "tests/unit/migrate_store/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The connection: greeting, time limits, order of answers, loss in the middle, reconnecting, stopping. */

#define HANG_MS 8000 /* nothing here takes as long */
#define SEEN_MAX 8
static struct fake fake;

/* One connection and what it told. */
static struct {
    struct rt_redis redis;
    size_t n_ready, n_down, n_pushed, n_closed, n_doubts;
    char why[400];
    bool stop_when_ready, stop_when_down;

    /* answers of calls, in their order */
    size_t n_answers;
    struct {
        size_t call;
        int error, type;
        char text[64];
    } answers[SEEN_MAX];
    bool stop_when_answered, drop_when_answered;
} c;

static void closed_cb(struct rt_redis *connection)
{
    assert_ptr_equal(connection, &c.redis);
    c.n_closed++;
}

static void on_ready(void *ctx)
{
    assert_ptr_equal(ctx, &c);
    c.n_ready++;
    if (c.stop_when_ready) {
        rt_redis_stop(&c.redis, closed_cb);
    }
}

static void on_down(void *ctx, const char *why)
{
    assert_ptr_equal(ctx, &c);
    c.n_down++;
    snprintf(c.why, sizeof(c.why), "%s", why);
    if (c.stop_when_down) {
        rt_redis_stop(&c.redis, closed_cb);
    }
}

static void on_push(void *ctx, const redisReply *reply)
{
    assert_ptr_equal(ctx, &c);
    assert_int_equal(reply->elements, 3);
    c.n_pushed++;
}

static void on_doubt(void *ctx)
{
    assert_ptr_equal(ctx, &c);
    c.n_doubts++;
}

static void answer_cb(void *ctx, int error, const redisReply *reply)
{
    assert_true(c.n_answers < SEEN_MAX);
    c.answers[c.n_answers].call = (size_t)(uintptr_t)ctx;
    c.answers[c.n_answers].error = error;
    assert_int_equal(reply != NULL, error == 0);
    if (reply != NULL) {
        c.answers[c.n_answers].type = reply->type;
        snprintf(c.answers[c.n_answers].text, sizeof(c.answers[0].text), "%s", reply->str != NULL ? reply->str : "");
    }
    c.n_answers++;
    if (c.stop_when_answered) {
        c.stop_when_answered = false;
        rt_redis_stop(&c.redis, closed_cb);
    }
    if (c.drop_when_answered) {
        rt_redis_drop(&c.redis, "as the test wants");
    }
}

static struct rt_redis_config config_of(const struct rt_store_endpoint *endpoints, size_t n)
{
    return (struct rt_redis_config){.endpoints = endpoints,
                                    .n_endpoints = n,
                                    .call_timeout_ms = 200,
                                    .connect_timeout_ms = 200,
                                    .ctx = &c,
                                    .on_ready = on_ready,
                                    .on_down = on_down,
                                    .on_push = on_push,
                                    .on_doubt = on_doubt};
}

static struct rt_store_endpoint endpoint_of(const char *text)
{
    struct rt_store_endpoint list[RT_ENDPOINTS_MAX];
    char why[256];
    size_t n = 0;

    assert_int_equal(rt_store_endpoint_parse(text, list, &n, why, sizeof(why)), 0);
    return list[0];
}

static void start(const struct rt_redis_config *config)
{
    memset(&c, 0, sizeof(c));
    assert_int_equal(rt_redis_init(&c.redis, &loop, config), 0);
    rt_redis_start(&c.redis);
}

static void start_one(void)
{
    struct rt_store_endpoint endpoint = endpoint_of(fake.endpoint);
    struct rt_redis_config config = config_of(&endpoint, 1);

    start(&config);
}

/* Runs until *count has reached n. */
static void until(const size_t *count, size_t n)
{
    uint64_t end = uv_hrtime() + (uint64_t)HANG_MS * 1000000;

    while (*count < n && uv_hrtime() < end) {
        run_for(1);
    }
    assert_true(*count >= n);
}

static void stop(void)
{
    rt_redis_stop(&c.redis, closed_cb);
    until(&c.n_closed, 1);
}

static int call(const char *word, size_t number)
{
    struct rt_redis_args args = {.n = 0};

    rt_redis_text(&args, word);
    return rt_redis_call(&c.redis, &args, answer_cb, (void *)(uintptr_t)number);
}

static int fake_setup(void **state)
{
    (void)state;
    fake_start(&fake);
    return 0;
}

static int fake_teardown(void **state)
{
    (void)state;
    fake_stop(&fake);
    return 0;
}

/* What was sent is not kept: neither the password, nor as whom it came in, but for its name. */
static void test_password_is_wiped(void **state)
{
    struct rt_store_endpoint endpoint = endpoint_of(fake.endpoint);
    struct rt_redis_config config = config_of(&endpoint, 1);

    (void)state;
    config.login_file = login_file("agent\nsecret-password\n");
    start(&config);
    until(&c.n_ready, 1);
    assert_int_equal(fake_asked(&fake, "AUTH agent secret-password"), 1);
    assert_true(c.redis.out_cap > 0);
    assert_null(memmem(c.redis.out, c.redis.out_cap, "secret-password", 15));
    assert_string_equal(c.redis.user, "agent");
    stop();
}

/* Each greeting that is refused: what on_down is told, and that it is tried again. */
static void test_refused_greetings(void **state)
{
    static const struct {
        const char *ask, *answer;
        enum fake_then then;
        const char *why;
    } cases[] = {
        {"AUTH", "-WRONGPASS invalid username-password pair\r\n", FAKE_GO_ON,
         "AUTH: WRONGPASS invalid username-password pair; mend the file of the password: it is read at each dial"},
        {"ROLE", "-NOAUTH Authentication required.\r\n", FAKE_GO_ON, "it wants a password, and none is set for it"},
        {"AUTH", ":1\r\n", FAKE_GO_ON, "AUTH: unexpected answer"},
        {"AUTH", "", FAKE_CLOSE, "closed by the peer"},
        {"ROLE", "-LOADING wait\r\n", FAKE_GO_ON, "ROLE: LOADING wait"},
        {"ROLE", "-NOPERM no\r\n", FAKE_GO_ON, "ROLE: NOPERM no"},
        {"ROLE", "+master\r\n", FAKE_GO_ON, "ROLE: unexpected answer"},
        {"ROLE", "*0\r\n", FAKE_GO_ON, "ROLE: unexpected answer"},
        {"ROLE", "*-1\r\n", FAKE_GO_ON, "ROLE: unexpected answer"},
        {"ROLE", "*1\r\n:1\r\n", FAKE_GO_ON, "ROLE: unexpected answer"},
        {"ROLE", "*1\r\n$5\r\nslave\r\n", FAKE_GO_ON, "not the primary"},
        {"ROLE", "*1\r\n$8\r\nsentinel\r\n", FAKE_GO_ON, "not the primary"},
        {"ROLE", "*3\r\n$6\r\nmas", FAKE_CLOSE, "closed by the peer"},
        {"ROLE", "*3\r\n$6\r\nmas", FAKE_SILENCE, "greeting: timed out"},
        {"ROLE", "", FAKE_SILENCE, "greeting: timed out"},
        {"ROLE", "%3\r\n", FAKE_GO_ON, "not RESP"},
        {"ROLE", "$99999999999\r\n", FAKE_GO_ON, "too large"},
        {"AUTH", "+OK\r\n+OK\r\n+OK\r\n", FAKE_GO_ON, "ROLE: unexpected answer"},
    };
    struct rt_store_endpoint endpoint = endpoint_of(fake.endpoint);
    struct rt_redis_config config = config_of(&endpoint, 1);

    (void)state;
    config.login_file = login_file("agent\nsecret\n");
    config.host = "hosta";
    config.task = "commands";
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_no_rules(&fake);
        fake_rule(&fake, cases[i].ask, cases[i].answer, cases[i].then, 1);
        start(&config);
        until(&c.n_down, 1);
        if (strstr(c.why, cases[i].why) == NULL || strncmp(c.why, fake.endpoint, strlen(fake.endpoint)) != 0) {
            fail_msg("case %zu: told \"%s\"", i, c.why);
        }
        assert_int_equal(c.n_ready, 0);
        until(&c.n_ready, 1); /* the rule is gone: the next dial is greeted */
        assert_int_equal(c.n_down, 1);
        assert_true(fake_asked(&fake, "AUTH agent secret") > 0);
        assert_true(fake_asked(&fake, "CLIENT SETNAME retetherd-hosta/commands") > 0);
        stop();
    }
}

/* What the file says at each dial counts, and no more than that is needed is kept. */
static void test_login(void **state)
{
    struct rt_store_endpoint endpoint = endpoint_of(fake.endpoint);
    struct rt_redis_config config = config_of(&endpoint, 1);
    const char *path = login_file("");

    (void)state;
    config.login_file = path;
    start(&config);
    until(&c.n_down, 2); /* it does not dial without */
    assert_non_null(strstr(c.why, path));
    assert_non_null(strstr(c.why, "wants one line, a password"));
    assert_int_equal(fake.n_connections, 0);
    (void)login_file("old secret");
    until(&c.n_ready, 1);
    assert_int_equal(fake_asked(&fake, "AUTH old secret"), 1);
    (void)login_file("agent\nnew\n");
    fake_cut(&fake);
    until(&c.n_ready, 2);
    assert_int_equal(fake_asked(&fake, "AUTH old secret"), 1);
    assert_int_equal(fake_asked(&fake, "AUTH agent new"), 1);
    assert_int_equal(c.redis.stream->login.password[0], '\0');
    stop();
    start(&config);
    run_for(0);
    stop(); /* while it is read */
}

/* Endpoints in turn, without a pause; the one that answered first is tried first the next time. */
static void test_endpoints_in_turn(void **state)
{
    struct rt_store_endpoint endpoints[3] = {endpoint_of("redis+unix:///nonexistent/a"),
                                             endpoint_of("redis+unix:///nonexistent/b"), endpoint_of(fake.endpoint)};
    struct rt_redis_config config = config_of(endpoints, 3);

    (void)state;
    start(&config);
    assert_string_equal(rt_redis_where(&c.redis), "redis+unix:///nonexistent/a");
    assert_int_equal(call("PING", 1), RT_EUNAVAIL);
    until(&c.n_ready, 1);
    assert_int_equal(c.n_down, 2);
    assert_string_equal(rt_redis_where(&c.redis), fake.endpoint);
    fake_cut(&fake);
    until(&c.n_down, 3);
    assert_non_null(strstr(c.why, "closed by the peer"));
    until(&c.n_ready, 2);
    assert_int_equal(c.n_down, 3); /* nobody else was asked */
    stop();
}

static void test_answers_in_order(void **state)
{
    (void)state;
    fake_rule(&fake, "BAD", "-ERR no\r\n", FAKE_GO_ON, 0);
    fake_rule(&fake, "PAIR", "*2\r\n:1\r\n$1\r\nx\r\n", FAKE_GO_ON, 0);
    start_one();
    until(&c.n_ready, 1);
    assert_int_equal(call("PING", 1), 0);
    assert_int_equal(call("BAD", 2), 0);
    assert_int_equal(call("PAIR", 3), 0);
    assert_int_equal(c.n_answers, 0); /* never from within */
    until(&c.n_answers, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(c.answers[i].call, i + 1);
        assert_int_equal(c.answers[i].error, 0);
    }
    assert_int_equal(c.answers[0].type, REDIS_REPLY_STATUS);
    assert_int_equal(c.answers[1].type, REDIS_REPLY_ERROR);
    assert_int_equal(c.answers[2].type, REDIS_REPLY_ARRAY);
    assert_int_equal(c.n_down, 0);
    stop();
}

/* The loop is held up, past the end of a call, while its answer comes: it is read before the call is given up. */
static void test_held_up(void **state)
{
    (void)state;
    start_one();
    until(&c.n_ready, 1);
    fake_forget(&fake);
    assert_int_equal(call("PING", 1), 0);
    while (fake_asked(&fake, "PING") == 0) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(c.n_answers, 0);
    uv_sleep(2 * (unsigned)c.redis.config.call_timeout_ms);
    until(&c.n_answers, 1);
    assert_int_equal(c.answers[0].error, 0);
    stop();
}

/* A late answer belongs to the call that gave up, not to the next one. */
static void test_call_times_out(void **state)
{
    (void)state;
    fake_rule(&fake, "SLOW", "", FAKE_GO_ON, 1);
    start_one();
    until(&c.n_ready, 1);
    assert_int_equal(call("SLOW", 1), 0);
    until(&c.n_answers, 1);
    assert_int_equal(c.answers[0].error, RT_ETIMEDOUT);
    assert_int_equal(c.redis.state, RT_REDIS_READY);
    fake_say(&fake, "+late\r\n");
    assert_int_equal(call("PING", 2), 0);
    until(&c.n_answers, 2);
    assert_int_equal(c.answers[1].call, 2);
    assert_string_equal(c.answers[1].text, "PONG");
    stop();
}

static void test_silence_is_loss(void **state)
{
    (void)state;
    fake_rule(&fake, "SLOW", "", FAKE_SILENCE, 1);
    start_one();
    until(&c.n_ready, 1);
    assert_int_equal(call("SLOW", 1), 0);
    assert_int_equal(call("PING", 2), 0);
    until(&c.n_down, 1);
    assert_non_null(strstr(c.why, "no answer"));
    assert_int_equal(c.n_answers, 2); /* each once */
    assert_int_equal(c.answers[0].error, RT_ETIMEDOUT);
    assert_int_equal(c.answers[1].error, RT_ETIMEDOUT);
    until(&c.n_ready, 2);
    stop();
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
        fake_no_rules(&fake);
        start_one();
        until(&c.n_ready, 1);
        fake_rule(&fake, "FIRST", cases[i].answer, cases[i].then, 1);
        fake_rule(&fake, "SECOND", "", FAKE_SILENCE, 1);
        assert_int_equal(call("FIRST", 1), 0);
        assert_int_equal(call("SECOND", 2), 0);
        until(&c.n_down, 1);
        if (strstr(c.why, cases[i].why) == NULL) {
            fail_msg("case %zu: told \"%s\"", i, c.why);
        }
        assert_int_equal(c.n_answers, 2);
        assert_int_equal(c.answers[0].error, cases[i].error);
        assert_int_equal(c.answers[1].error, RT_ETIMEDOUT);
        assert_int_equal(call("PING", 3), RT_EUNAVAIL);
        until(&c.n_ready, 2);
        stop();
    }
}

static void test_pushes(void **state)
{
    struct rt_store_endpoint endpoint = endpoint_of(fake.endpoint);
    struct rt_redis_config config = config_of(&endpoint, 1);

    (void)state;
    config.pubsub = true;
    start(&config);
    until(&c.n_ready, 1);
    fake_rule(&fake, "PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n", FAKE_GO_ON, 0);
    assert_int_equal(call("PING", 1), 0);
    fake_say(&fake, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n");
    until(&c.n_pushed, 1);
    until(&c.n_answers, 1);
    assert_int_equal(c.answers[0].type, REDIS_REPLY_ARRAY);
    assert_int_equal(c.n_down, 0);
    /* What looks much like one is an answer to nothing. */
    fake_say(&fake, "*3\r\n$8\r\npmessage\r\n$1\r\na\r\n$1\r\nb\r\n");
    until(&c.n_down, 1);
    assert_non_null(strstr(c.why, "nobody asked"));
    assert_int_equal(c.n_pushed, 1);
    stop();
}

static void test_bounds(void **state)
{
    struct rt_redis_args large = {.n = 0}, small = {.n = 0};
    char *bytes = calloc(1, RT_REDIS_QUEUE_MAX);
    size_t n = 0;
    int rc = 0;

    (void)state;
    assert_int_equal(rt_redis_init(&c.redis, &loop, &(struct rt_redis_config){.n_endpoints = RT_ENDPOINTS_MAX + 1}),
                     RT_EINVAL);
    assert_non_null(bytes);
    fake_rule(&fake, "HOLD", "", FAKE_SILENCE, 0);
    start_one();
    until(&c.n_ready, 1);
    rt_redis_arg(&large, bytes, RT_REDIS_QUEUE_MAX);
    assert_int_equal(rt_redis_call(&c.redis, &large, answer_cb, NULL), RT_ELIMIT);
    rt_redis_text(&small, "HOLD");
    while (n <= RT_REDIS_CALLS_MAX && (rc = rt_redis_call(&c.redis, &small, NULL, NULL)) == 0) {
        n++;
    }
    assert_int_equal(rc, RT_ELIMIT);
    assert_int_equal(n, RT_REDIS_CALLS_MAX);
    assert_int_equal(c.n_answers, 0); /* a refused call has no answer */
    free(bytes);
    stop();
    assert_int_equal(c.n_answers, 0);
}

/* Aimed by its owner: at nobody, at one, at another one, and at nobody again. */
static void test_aimed(void **state)
{
    static struct fake other;
    struct rt_redis_config config = config_of(NULL, 0);
    struct rt_store_endpoint here = endpoint_of(fake.endpoint), there;

    (void)state;
    fake_start(&other);
    there = endpoint_of(other.endpoint);
    start(&config);
    run_for(50);
    assert_int_equal(c.n_ready + c.n_down, 0); /* nobody is dialled, and nothing is wrong */
    rt_redis_aim(&c.redis, &here);
    until(&c.n_ready, 1);
    assert_string_equal(rt_redis_at(&c.redis)->text, fake.endpoint);
    rt_redis_aim(&c.redis, &here);
    run_for(20);
    assert_int_equal(c.n_down, 0); /* it is there already */
    fake_rule(&fake, "SLOW", "", FAKE_GO_ON, 1);
    assert_int_equal(call("SLOW", 1), 0);
    rt_redis_aim(&c.redis, &there);
    assert_int_equal(call("PING", 2), RT_EUNAVAIL); /* from now on: it is no primary any more */
    until(&c.n_ready, 2);
    assert_string_equal(rt_redis_where(&c.redis), other.endpoint);
    assert_int_equal(c.n_down, 1);
    assert_true(strncmp(c.why, fake.endpoint, strlen(fake.endpoint)) == 0);
    assert_int_equal(c.n_answers, 1);
    assert_int_equal(c.answers[0].error, RT_ETIMEDOUT);
    rt_redis_aim(&c.redis, NULL);
    until(&c.n_down, 2);
    run_for(50);
    assert_int_equal(c.redis.state, RT_REDIS_WAITING);
    assert_int_equal(other.n_connections, 1);
    rt_redis_aim(&c.redis, &there);
    until(&c.n_ready, 3);
    stop();
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
        fake_no_rules(&fake);
        fake_forget(&fake);
        start_one();
        until(&c.n_ready, 1);
        fake_rule(&fake, "WRITE", doubtful[i], FAKE_GO_ON, 0);
        assert_int_equal(call("WRITE", 1), 0);
        assert_int_equal(call("WRITE", 2), 0);
        until(&c.n_answers, 2);
        run_for(20);
        assert_int_equal(fake_asked(&fake, "ROLE"), 2); /* at the greeting, and once for both */
        assert_true(c.n_doubts >= 1);
        assert_int_equal(c.n_down, 0);
        assert_int_equal(c.n_ready, 1);
        fake_rule(&fake, "ROLE", "*1\r\n$5\r\nslave\r\n", FAKE_GO_ON, 1);
        assert_int_equal(call("WRITE", 3), 0);
        until(&c.n_down, 1);
        assert_non_null(strstr(c.why, "not the primary"));
        stop();
    }
}

/* From every state and from within every callback. */
static void test_stops(void **state)
{
    (void)state;
    start_one();
    stop(); /* waiting, nothing dialled yet */
    start_one();
    run_for(0);
    stop(); /* dialling or greeting */
    fake_rule(&fake, "ROLE", "", FAKE_SILENCE, 1);
    start_one();
    run_for(20);
    assert_int_equal(c.redis.state, RT_REDIS_GREETING);
    stop();
    start_one();
    c.stop_when_ready = true;
    until(&c.n_closed, 1);
    assert_int_equal(c.n_down, 0);
    start_one();
    until(&c.n_ready, 1);
    c.stop_when_down = true;
    fake_cut(&fake);
    until(&c.n_closed, 1);
    start_one();
    until(&c.n_ready, 1);
    assert_int_equal(call("PING", 1), 0);
    assert_int_equal(call("PING", 2), 0);
    c.stop_when_answered = true;
    until(&c.n_closed, 1);
    assert_int_equal(c.n_answers, 2);
    assert_int_equal(c.answers[0].error, 0);
    assert_int_equal(c.answers[1].error, RT_ECANCELED);
    assert_int_equal(c.n_down, 0); /* who stops it knows */
    start_one();
    until(&c.n_ready, 1);
    fake_rule(&fake, "SLOW", "", FAKE_GO_ON, 1);
    assert_int_equal(call("SLOW", 1), 0);
    c.stop_when_answered = true; /* by its time limit */
    until(&c.n_closed, 1);
    assert_int_equal(c.answers[0].error, RT_ETIMEDOUT);
}

/* Dropped by its user, from a callback too; a drop of what is not connected does nothing. */
static void test_drops(void **state)
{
    (void)state;
    start_one();
    rt_redis_drop(&c.redis, "not yet");
    until(&c.n_ready, 1);
    assert_int_equal(c.n_down, 0);
    c.drop_when_answered = true;
    assert_int_equal(call("PING", 1), 0);
    assert_int_equal(call("PING", 2), 0);
    until(&c.n_down, 1);
    assert_non_null(strstr(c.why, "as the test wants"));
    assert_int_equal(c.n_answers, 2);
    assert_int_equal(c.answers[1].error, RT_ETIMEDOUT);
    until(&c.n_ready, 2);
    stop();
}

#define WITH_FAKE(test) cmocka_unit_test_setup_teardown(test, fake_setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FAKE(test_refused_greetings),
        WITH_FAKE(test_password_is_wiped),
        WITH_FAKE(test_login),
        WITH_FAKE(test_endpoints_in_turn),
        WITH_FAKE(test_answers_in_order),
        WITH_FAKE(test_held_up),
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
