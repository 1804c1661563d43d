/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/end.h"

#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A guest tells its end again, while the store is asked for what it told first: a tail that was missing then is in the
 * store before the guest is told that its end is safe. */

static const uint8_t order[] = {2, 1, 1, 1, 1, 1};

static struct fx_guest guest;

static void end(struct fx *fx, bool tails, bool ordered)
{
    struct rt_end_msg msg = {.code = 7, .out = 3, .err = 3, .ord = {order, ordered ? sizeof(order) : 0}};

    if (tails) {
        fx_tail(fx, guest.link, RT_STDOUT, 0, "ace", 3);
        fx_tail(fx, guest.link, RT_STDERR, 0, "bdf", 3);
    }
    fx_msg(fx, guest.link, &(struct rt_frame){.type = RT_END}, RT_MSG_END, &msg);
}

/* What the store is asked meanwhile is not answered before its turn comes. */
static void again(struct fx *fx)
{
    struct rt_store_op asked = fx->ops[0];

    assert_int_equal(fx->n_ops, 1);
    fx->n_ops = 0;
    fx_lost(fx, guest.link);
    fx_serve(fx, &guest);
    end(fx, true, true);
    assert_int_equal(fx->n_ops, 0);
    fx->ops[fx->n_ops++] = asked;
}

static void serve(struct fx *fx)
{
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
}

static void want_whole(struct fx *fx)
{
    assert_int_equal(fx->tail_size[0], 3);
    assert_int_equal(fx->tail_size[1], 3);
    assert_memory_equal(fx->tail[0], "ace", 3);
    assert_int_equal(fx->order_size, sizeof(order));
}

static void test_tails_join(void **state)
{
    struct fx *fx = *state;

    serve(fx);
    end(fx, false, false);
    again(fx);
    fx_answer_one(fx, 0);
    fx_none(fx, guest.link); /* the store has no tails yet */
    assert_int_equal(fx->n_submitted[RT_STORE_END], 2);
    want_whole(fx);
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
    assert_int_equal(fx->n_submitted[RT_STORE_END], 2);
}

static void test_order_joins(void **state)
{
    struct fx *fx = *state;

    serve(fx);
    end(fx, true, false);
    again(fx);
    fx_answer_one(fx, 0);
    fx_none(fx, guest.link);
    want_whole(fx);
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
}

/* What has joined nothing costs nothing. */
static void test_nothing_joins(void **state)
{
    struct fx *fx = *state;

    serve(fx);
    end(fx, true, true);
    again(fx);
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
    assert_int_equal(fx->n_submitted[RT_STORE_END], 1);
}

/* The store has the end without its tails, and is not sure of that: it is not asked again for that alone. */
static void test_tails_join_unsure(void **state)
{
    struct fx *fx = *state;

    serve(fx);
    fx->unsure = true;
    end(fx, false, false);
    again(fx);
    fx_answer_one(fx, 0);
    assert_int_equal(fx->n_submitted[RT_STORE_END], 2);
    assert_false(fx->last[RT_STORE_END].again);
    want_whole(fx);
    fx_answer(fx);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    assert_int_equal(fx->kept.tail[0].size, 3);
}

/* A look finds the end in its record, which has not what joined while it was looked for. */
static void test_tails_join_a_look(void **state)
{
    struct fx *fx = *state;
    size_t ends;

    serve(fx);
    fx->unsure = true;
    end(fx, false, false);
    fx_answer(fx);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    while (fx->n_ops != 1 || fx->ops[0].kind != RT_STORE_GET || fx->ops[0].audit) {
        fx_answer(fx);
        fx_tick(fx, 500);
        fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PING}, NULL);
    }
    fx->unsure = false;
    ends = fx->n_submitted[RT_STORE_END];
    again(fx);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    fx_answer_one(fx, 0);
    assert_int_equal(fx->n_dropped, 0);
    fx_answer(fx); /* the claim, then the end */
    assert_int_equal(fx->n_submitted[RT_STORE_END], ends + 1);
    want_whole(fx);
    assert_int_equal(fx->n_dropped, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_tails_join),        FX_TEST(test_order_joins),       FX_TEST(test_nothing_joins),
        FX_TEST(test_tails_join_unsure), FX_TEST(test_tails_join_a_look),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
