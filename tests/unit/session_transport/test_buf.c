/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/transport/buf.h"

#include "tests/unit/session_transport/fixture.h"

static void test_reuse_and_bound(void **state)
{
    struct rt_buf_pool pool;
    enum { N = RT_BUF_FREE_MAX + 3 };
    struct rt_buf *bufs[N];

    (void)state;
    rt_buf_pool_init(&pool);
    for (size_t i = 0; i < N; i++) {
        bufs[i] = rt_buf_get(&pool);
        assert_non_null(bufs[i]);
    }
    assert_int_equal(pool.n_live, N);
    for (size_t i = 0; i < N; i++) {
        rt_buf_unref(bufs[i]);
    }
    assert_int_equal(pool.n_live, 0);
    assert_int_equal(pool.n_free, RT_BUF_FREE_MAX);
    bufs[0] = pool.free;
    assert_ptr_equal(rt_buf_get(&pool), bufs[0]);
    assert_int_equal(pool.n_free, RT_BUF_FREE_MAX - 1);
    rt_buf_unref(bufs[0]);
    rt_buf_pool_close(&pool);
}

static void test_reader_is_let_go_only_when_shared(void **state)
{
    struct rt_buf_pool pool;
    struct rt_buf *first, *second;

    (void)state;
    rt_buf_pool_init(&pool);
    rt_buf_settle(&pool);
    first = rt_buf_reader(&pool);
    rt_buf_settle(&pool);
    assert_ptr_equal(rt_buf_reader(&pool), first);
    (void)rt_buf_ref(first);
    rt_buf_settle(&pool);
    second = rt_buf_reader(&pool);
    assert_ptr_not_equal(second, first);
    assert_int_equal(first->refs, 1);
    rt_buf_unref(first);
    assert_int_equal(pool.n_free, 1);
    rt_buf_pool_close(&pool);
    assert_int_equal(pool.n_free, 0);
}

static void test_room(void **state)
{
    struct rt_buf_pool pool;
    struct rt_buf *buf;

    (void)state;
    rt_buf_pool_init(&pool);
    buf = rt_buf_get(&pool);
    assert_non_null(buf);
    memset(rt_buf_data(buf) - RT_BUF_HEADROOM, 1, RT_BUF_HEADROOM + RT_BUF_SIZE);
    assert_true(RT_BUF_HEADROOM >= RT_BUF_CARRY_MAX + RT_FRAME_HEADER);
    rt_buf_unref(buf);
    rt_buf_pool_close(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reuse_and_bound),
        cmocka_unit_test(test_reader_is_let_go_only_when_shared),
        cmocka_unit_test(test_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
