/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "tests/system/store/harness.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

/* A real server that takes no writes, or denies a right: it is said once, with what to do; what can be read is read;
 * and all is well when the cause is gone. */

#define HANG_MS 30000

static struct rt_test_redis server;
static redisContext *context;
static struct agent *agent;

static int setup_with(const char *const *options)
{
    int rc = rt_test_redis_start(&server, NULL, options);

    context = redisConnect("127.0.0.1", server.port);
    return rc != 0 || context == NULL || context->err != 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    redisFree(context);
    rt_test_redis_stop(&server);
    return 0;
}

static void answered(redisReply *reply)
{
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR) {
        fail_msg("%s", reply->str);
    }
    freeReplyObject(reply);
}

static void command(const char *text)
{
    answered(redisCommand(context, text));
}

static size_t count_logged(const char *part)
{
    size_t n = 0;

    for (size_t i = 0; i < agent->n_log; i++) {
        n += strstr(agent->log[i], part) != NULL;
    }
    return n;
}

static bool is_refused(struct agent *a)
{
    return logged(a, "writes refused");
}

static bool is_taken_again(struct agent *a)
{
    return logged(a, "writes are taken again");
}

/* While writes are refused: creates are, reads are not, ends are for the disk. It is up, and says it once. */
static void refused(const char *why, const struct rt_store_op *end)
{
    struct rt_store_op create = {.kind = RT_STORE_CREATE, .key = key_of("t", "new")};
    struct rt_store_op get = {.kind = RT_STORE_GET, .key = key_of("t", "x")}, copy = *end;

    assert_true(run_until(is_refused, agent, HANG_MS));
    assert_int_equal(submit(agent, &create), RT_EUNAVAIL);
    assert_int_equal(submit(agent, &copy), RT_EUNAVAIL);
    assert_int_equal(submit(agent, &get), 0);
    assert_int_equal(agent->reply.n_records, 1);
    run_for(3500); /* heartbeats */
    assert_true(is_up(agent));
    assert_int_equal(count_logged("writes refused"), 1);
    assert_int_equal(count_logged(why), 1);
}

static struct rt_store_op start(void)
{
    struct rt_store_op op;

    agent = agent_start(server.tcp_endpoint, "hosta");
    op = join_op(RT_STORE_TAKE, key_of("t", "x"), 7, 1, "hosta");
    assert_int_equal(submit(agent, &op), 0);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_OK);
    return (struct rt_store_op){
        .kind = RT_STORE_END, .key = key_of("t", "x"), .life = agent->reply.outcome.life, .epoch = 1};
}

static int setup_replicated(void **state)
{
    static const char *const options[] = {"--min-replicas-max-lag", "2", NULL};

    (void)state;
    return setup_with(options);
}

/* The only replica dies, with the settings that want one. */
static void test_last_replica(void **state)
{
    struct rt_store_op end;
    struct rt_test_redis replica;

    (void)state;
    assert_int_equal(rt_test_redis_start(&replica, &server, NULL), 0);
    end = start();
    assert_int_equal(submit(agent, &end), 0); /* a replica is known from here on */
    command("CONFIG SET min-replicas-to-write 1");
    rt_test_redis_kill(&replica);
    refused("bring one back, or add one", &end);
    assert_int_equal(rt_test_redis_restart(&replica, false), 0);
    assert_true(run_until(is_taken_again, agent, HANG_MS));
    assert_int_equal(submit(agent, &end), 0);
    agent_stop(agent);
    rt_test_redis_stop(&replica);
}

static int setup_alone(void **state)
{
    (void)state;
    return setup_with(NULL);
}

/* Its directory has gone: it cannot save. */
static void test_disk(void **state)
{
    struct rt_store_op end;

    (void)state;
    end = start();
    rt_test_remove_tree(server.dir);
    answered(redisCommand(context, "CONFIG SET save %s", "3600 1"));
    command("BGSAVE");
    refused("make room there", &end);
    answered(redisCommand(context, "CONFIG SET save %s", ""));
    assert_true(run_until(is_taken_again, agent, HANG_MS));
    assert_int_equal(submit(agent, &end), 0);
    agent_stop(agent);
}

static bool says_subscribe(struct agent *a)
{
    return logged(a, "refuses SUBSCRIBE");
}

static bool is_subscribed(struct agent *a)
{
    return a->store.pubsub.state == RT_REDIS_READY && a->store.pubsub.calls.n == 0;
}

/* A user that may not subscribe: what it lacks is said, once; it works all the same. */
static void test_no_right_to_subscribe(void **state)
{
    struct rt_store_config config;
    struct rt_store_op end;

    (void)state;
    command("ACL SETUSER agent on >secret ~* &* +@all -subscribe");
    agent_config(&config, server.tcp_endpoint, "hosta");
    config.login_file = login_file("agent\nsecret\n");
    agent = agent_new(&config);
    assert_true(run_until(is_up, agent, HANG_MS));
    assert_true(run_until(says_subscribe, agent, HANG_MS));
    run_for(4000);
    assert_int_equal(count_logged("refuses SUBSCRIBE: NOPERM"), 1);
    assert_int_equal(count_logged("give its user +subscribe, &rt:claimed and &rt:hosts"), 1);
    end = (struct rt_store_op){.kind = RT_STORE_CREATE, .key = key_of("t", "new")};
    assert_int_equal(submit(agent, &end), 0);
    command("ACL SETUSER agent +subscribe");
    run_for(1500);
    assert_true(run_until(is_subscribed, agent, HANG_MS));
    agent_stop(agent);
}

/* The end is stored, and soon with the replica too: on a busy machine a replica is slow to say so, and then the same
 * end is offered again, as agents do. */
static void replicated(struct rt_store_op *end)
{
    uint64_t limit = uv_hrtime() + UINT64_C(1000000) * HANG_MS;

    do {
        assert_int_equal(submit(agent, end), 0);
    } while (agent->reply.how == RT_END_STORED && uv_hrtime() < limit);
    assert_int_equal(agent->reply.how, RT_END_REPLICATED);
}

/* A user that may not ask whether a replica has an end: no end is stored, and it is said once why. */
static void test_no_right_to_wait(void **state)
{
    struct rt_store_op end;
    struct rt_test_redis replica;

    (void)state;
    assert_int_equal(rt_test_redis_start(&replica, &server, NULL), 0);
    end = start();
    until_replicas(&server, 1);
    command("ACL SETUSER default -wait");
    assert_int_equal(submit(agent, &end), RT_EUNAVAIL);
    assert_int_equal(submit(agent, &end), RT_EUNAVAIL);
    assert_int_equal(count_logged("the store refuses: NOPERM"), 1);
    assert_int_equal(count_logged("'wait'"), 1);
    command("ACL SETUSER default +wait");
    replicated(&end);
    agent_stop(agent);
    rt_test_redis_stop(&replica);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_last_replica, setup_replicated, teardown),
        cmocka_unit_test_setup_teardown(test_disk, setup_alone, teardown),
        cmocka_unit_test_setup_teardown(test_no_right_to_wait, setup_alone, teardown),
        cmocka_unit_test_setup_teardown(test_no_right_to_subscribe, setup_alone, teardown),
    };

    return cmocka_run_group_tests(tests, loop_setup, loop_teardown);
}
