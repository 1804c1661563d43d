/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/stream.h"

#include "tests/system/store/harness.h"

#include <stdio.h>
#include <string.h>

/* One dial: what it tells when it fails, and that it tells nothing once it is forgotten. */

static struct {
    size_t n_open, n_end, n_gone;
    char why[256];
} seen;

static void on_open(void *owner)
{
    (void)owner;
    seen.n_open++;
}

static void on_data(void *owner, const char *data, size_t size)
{
    (void)owner;
    (void)data;
    (void)size;
}

static void on_end(void *owner, const char *why)
{
    (void)owner;
    seen.n_end++;
    snprintf(seen.why, sizeof(seen.why), "%s", why);
}

static void on_gone(void *owner)
{
    (void)owner;
    seen.n_gone++;
}

static bool is_gone(struct agent *agent)
{
    (void)agent;
    return seen.n_gone > 0;
}

/* Dials, and forgets it at once or waits for its end. */
static void dial(const char *where, const char *login, bool forget)
{
    static const struct rt_stream_ops ops = {
        .on_open = on_open, .on_data = on_data, .on_end = on_end, .on_gone = on_gone};
    struct rt_store_endpoint list[RT_ENDPOINTS_MAX];
    struct rt_buf_pool pool;
    struct rt_stream_setup setup = {
        .loop = &loop, .pool = &pool, .endpoint = list, .login_file = login, .timeout_ms = 5000, .ops = &ops};
    struct rt_stream *stream;
    char why[256];
    size_t n = 0;

    memset(&seen, 0, sizeof(seen));
    assert_int_equal(rt_store_endpoint_parse(where, list, &n, why, sizeof(why)), 0);
    rt_buf_pool_init(&pool);
    stream = rt_stream_start(&setup);
    assert_non_null(stream);
    if (forget) {
        rt_stream_forget(stream);
    }
    assert_true(run_until(is_gone, NULL, 5000));
    assert_int_equal(seen.n_open, 0);
    assert_int_equal(seen.n_gone, 1);
    assert_int_equal(seen.n_end, !forget);
    rt_buf_pool_close(&pool);
}

static void test_fails(void **state)
{
    (void)state;
    dial("redis+unix:///no", NULL, false);
    assert_string_equal(seen.why, "connect: No such file or directory");
    dial("redis+unix:///no", "/nonexistent", false);
    assert_non_null(strstr(seen.why, "/nonexistent: "));
}

/* There is no reason then, short or long as the address is. */
static void test_forgotten(void **state)
{
    (void)state;
    dial("redis+unix:///no", NULL, true);
    dial("redis://127.0.0.1:1", NULL, true);
    dial("redis://localhost:1", NULL, true);
    dial("redis+unix:///no", "/nonexistent", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fails), cmocka_unit_test(test_forgotten)};

    return cmocka_run_group_tests(tests, loop_setup, loop_teardown);
}
