/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/disk.h"

#include "session/base/error.h"
#include "session/core/protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The worker: what it is given is done one after the other, in order, and told once each. */

static uv_loop_t loop;
static struct rt_ends ends;
static struct rt_disk disk;
static uv_sem_t may;

#define DONE_MAX 256

static struct {
    uint64_t done[DONE_MAX]; /* lives, in the order in which the worker came to them; removals as life + 1000 */
    size_t n_done;
    uint32_t told[DONE_MAX];
    int error[DONE_MAX];
    size_t n_told, n_progress;
    int fail;
    size_t tail_sum;
} seen;

static int slow_keep(struct rt_ends *all, const struct rt_store_op *end)
{
    uv_sem_wait(&may);
    seen.done[seen.n_done++] = end->life;
    for (unsigned i = 0; i < 2; i++) {
        for (size_t k = 0; k < end->tail[i].size; k++) {
            seen.tail_sum += end->tail[i].data[k];
        }
    }
    for (size_t k = 0; k < end->end.ord.size; k++) {
        seen.tail_sum += end->end.ord.data[k];
    }
    (void)snprintf(all->why, sizeof(all->why), "life %llu", (unsigned long long)end->life);
    return seen.fail;
}

static void slow_drop(struct rt_ends *all, const struct rt_key *key, uint64_t life)
{
    (void)all;
    assert_string_equal(key->cid, "c");
    uv_sem_wait(&may);
    seen.done[seen.n_done++] = life + 1000;
}

static void kept_cb(void *ctx, uint32_t id, const struct rt_store_op *end, int error, const char *why)
{
    char text[32];

    assert_ptr_equal(ctx, &seen);
    assert_int_equal(end->life, id);
    (void)snprintf(text, sizeof(text), "life %u", id);
    assert_string_equal(why, error == 0 ? "" : text);
    seen.told[seen.n_told] = id;
    seen.error[seen.n_told++] = error;
}

static void progress_cb(void *ctx)
{
    assert_ptr_equal(ctx, &seen);
    seen.n_progress++;
}

static int setup(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    if (uv_loop_init(&loop) != 0 || uv_sem_init(&may, 0) != 0) {
        return -1;
    }
    rt_disk_init(&disk, &loop, &ends, kept_cb, progress_cb, &seen);
    disk.keep = slow_keep;
    disk.drop = slow_drop;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    uv_sem_destroy(&may);
    return uv_loop_close(&loop);
}

static struct rt_store_op end_of(uint64_t life)
{
    struct rt_store_op op = {.kind = RT_STORE_END, .life = life};

    (void)snprintf(op.key.cid, sizeof(op.key.cid), "c");
    return op;
}

static int keep(uint64_t life)
{
    uint8_t tail[3] = {1, 2, 3}; /* gone when this returns */
    struct rt_store_op op = end_of(life);
    int rc;

    op.tail[0] = (struct rt_slice){tail, 1};
    op.tail[1] = (struct rt_slice){tail + 1, 2};
    op.end.ord = (struct rt_slice){tail, 2};
    rc = rt_disk_keep(&disk, (uint32_t)life, &op);
    memset(tail, 99, sizeof(tail));
    return rc;
}

static void drop(uint64_t life)
{
    struct rt_store_op op = end_of(life);

    rt_disk_drop(&disk, &op.key, life);
}

static void let(unsigned n)
{
    while (n-- > 0) {
        uv_sem_post(&may);
    }
}

static void test_in_order(void **state)
{
    static const uint64_t order[] = {1, 2, 1002, 2, 1001, 3};

    (void)state;
    assert_true(rt_disk_idle(&disk));
    assert_int_equal(keep(1), 0);
    assert_int_equal(keep(2), 0);
    drop(2);
    assert_int_equal(keep(2), 0);
    drop(1);
    assert_int_equal(keep(3), 0);
    assert_int_equal(seen.n_told, 0); /* never from within */
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        assert_false(rt_disk_idle(&disk));
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        assert_int_equal(seen.n_progress, i);
        let(1);
        while (seen.n_progress == i) {
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
    }
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_true(rt_disk_idle(&disk));
    assert_int_equal(seen.n_done, sizeof(order) / sizeof(order[0]));
    assert_memory_equal(seen.done, order, sizeof(order));
    assert_int_equal(seen.n_told, 4);
    assert_int_equal(seen.told[2], 2);
    assert_int_equal(seen.error[3], 0);
    assert_int_equal(seen.tail_sum, 4 * (1 + 2 + 3 + 1 + 2));
}

static void test_failure(void **state)
{
    (void)state;
    seen.fail = RT_EIO;
    assert_int_equal(keep(5), 0);
    let(1);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(seen.n_told, 1);
    assert_int_equal(seen.error[0], RT_EIO);
}

static void test_bounds(void **state)
{
    struct rt_store_op op = end_of(1);

    (void)state;
    for (uint64_t life = 1; life <= RT_DISK_KEEPS_MAX; life++) {
        assert_int_equal(keep(life), 0);
    }
    assert_int_equal(keep(99), RT_ELIMIT);
    drop(1); /* is no keep */
    op.tail[1].size = RT_TAIL_MAX + 1;
    assert_int_equal(rt_disk_keep(&disk, 1, &op), RT_EINVAL);
    op = end_of(1);
    op.end.ord.size = RT_ORDER_PACKED_MAX + 1;
    assert_int_equal(rt_disk_keep(&disk, 1, &op), RT_EINVAL);
    let(1);
    while (seen.n_told == 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(keep(100), 0);
    let(RT_DISK_KEEPS_MAX + 1);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(seen.n_told, RT_DISK_KEEPS_MAX + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
