/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/migrate_store/connection.h"

#include "tests/system/store/harness.h"

#include <stdio.h>
#include <string.h>

struct connection connection;
struct fake connection_fake;

void connection_closed_cb(struct rt_redis *closed)
{
    assert_ptr_equal(closed, &connection.redis);
    connection.n_closed++;
}

static void on_ready(void *ctx)
{
    assert_ptr_equal(ctx, &connection);
    connection.n_ready++;
    if (connection.stop_when_ready) {
        rt_redis_stop(&connection.redis, connection_closed_cb);
    }
}

static void on_down(void *ctx, const char *why)
{
    assert_ptr_equal(ctx, &connection);
    connection.n_down++;
    snprintf(connection.why, sizeof(connection.why), "%s", why);
    if (connection.stop_when_down) {
        rt_redis_stop(&connection.redis, connection_closed_cb);
    }
}

static void on_push(void *ctx, const redisReply *reply)
{
    assert_ptr_equal(ctx, &connection);
    assert_int_equal(reply->elements, 3);
    connection.n_pushed++;
}

static void on_doubt(void *ctx)
{
    assert_ptr_equal(ctx, &connection);
    connection.n_doubts++;
}

void connection_answer_cb(void *ctx, int error, const redisReply *reply)
{
    assert_true(connection.n_answers < CONNECTION_ANSWERS_MAX);
    connection.answers[connection.n_answers].call = (size_t)(uintptr_t)ctx;
    connection.answers[connection.n_answers].error = error;
    assert_int_equal(reply != NULL, error == 0);
    if (reply != NULL) {
        connection.answers[connection.n_answers].type = reply->type;
        snprintf(connection.answers[connection.n_answers].text, sizeof(connection.answers[0].text), "%s",
                 reply->str != NULL ? reply->str : "");
    }
    connection.n_answers++;
    if (connection.stop_when_answered) {
        connection.stop_when_answered = false;
        rt_redis_stop(&connection.redis, connection_closed_cb);
    }
    if (connection.drop_when_answered) {
        rt_redis_drop(&connection.redis, "as the test wants");
    }
}

struct rt_redis_config connection_config(const struct rt_store_endpoint *endpoints, size_t n)
{
    return (struct rt_redis_config){.endpoints = endpoints,
                                    .n_endpoints = n,
                                    .call_timeout_ms = 200,
                                    .connect_timeout_ms = 200,
                                    .ctx = &connection,
                                    .on_ready = on_ready,
                                    .on_down = on_down,
                                    .on_push = on_push,
                                    .on_doubt = on_doubt};
}

struct rt_store_endpoint connection_endpoint(const char *text)
{
    struct rt_store_endpoint list[RT_ENDPOINTS_MAX];
    char why[256];
    size_t n = 0;

    assert_int_equal(rt_store_endpoint_parse(text, list, &n, why, sizeof(why)), 0);
    return list[0];
}

void connection_start(const struct rt_redis_config *config)
{
    memset(&connection, 0, sizeof(connection));
    assert_int_equal(rt_redis_init(&connection.redis, &loop, config), 0);
    rt_redis_start(&connection.redis);
}

void connection_start_one(void)
{
    struct rt_store_endpoint endpoint = connection_endpoint(connection_fake.endpoint);
    struct rt_redis_config config = connection_config(&endpoint, 1);

    connection_start(&config);
}

void connection_until(const size_t *count, size_t n)
{
    uint64_t end = uv_hrtime() + (uint64_t)CONNECTION_HANG_MS * 1000000;

    while (*count < n && uv_hrtime() < end) {
        run_for(1);
    }
    assert_true(*count >= n);
}

void connection_stop(void)
{
    rt_redis_stop(&connection.redis, connection_closed_cb);
    connection_until(&connection.n_closed, 1);
}

int connection_call(const char *word, size_t number)
{
    struct rt_redis_args args = {.n = 0};

    rt_redis_text(&args, word);
    return rt_redis_call(&connection.redis, &args, connection_answer_cb, (void *)(uintptr_t)number);
}

int connection_setup(void **state)
{
    (void)state;
    fake_start(&connection_fake);
    return 0;
}

int connection_teardown(void **state)
{
    (void)state;
    fake_stop(&connection_fake);
    return 0;
}
