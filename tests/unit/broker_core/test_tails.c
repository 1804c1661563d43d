/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The tails of an end while they come: slowly, in part, without an END, or without a place. */

static void end(struct fx *fx, int link, uint64_t out, uint64_t err)
{
    struct rt_end_msg msg = {.out = out, .err = err};

    fx_msg(fx, link, &(struct rt_frame){.type = RT_END}, RT_MSG_END, &msg);
}

/* So many ends lie on the disk. */
static void fill(struct fx *fx, unsigned n)
{
    struct rt_store_op op;

    memset(&op, 0, sizeof(op));
    (void)snprintf(op.key.tenant, sizeof(op.key.tenant), "local");
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(op.key.cid, sizeof(op.key.cid), "c%u", i);
        rt_agent_kept_end(fx->agent, &op, fx->now);
    }
}

static void drain(struct fx *fx, int link)
{
    struct rt_frame frame;
    const uint8_t *payload;

    while (fx_next(fx, link, &frame, &payload)) {
    }
}

/* For so many seconds nothing comes but pings. */
static void rest(struct fx *fx, int link, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        fx_tick(fx, 1000);
        fx_send(fx, link, &(struct rt_frame){.type = RT_PING}, NULL);
    }
    fx_answer(fx);
    drain(fx, link);
}

static void test_without_an_end(void **state)
{
    struct fx *fx = *state;
    struct fx_guest idle, guest;

    fx_guest(&idle, "idle", 1);
    fx_guest(&guest, "web", 2);
    fx_serve(fx, &idle);
    fx_serve(fx, &guest);
    fx_down(fx);
    fill(fx, RT_ENDS_MAX - 1);
    fx_tail(fx, idle.link, RT_STDOUT, 0, "x", 1);
    end(fx, guest.link, 0, 0);
    fx_want_end_ok(fx, guest.link, RT_END_LATER);
    for (unsigned i = 0; i < 15; i++) {
        fx_tick(fx, 1000);
        fx_send(fx, idle.link, &(struct rt_frame){.type = RT_PING}, NULL);
        fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PING}, NULL);
    }
    drain(fx, guest.link);
    end(fx, guest.link, 0, 0);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    assert_true(fx_serves(fx, "idle"));
}

/* Over a slow line, a serial one, two tails take longer than one may rest. */
static void test_slow(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_tail(fx, guest.link, RT_STDOUT, 0, "hello", 5);
    rest(fx, guest.link, 6);
    fx_tail(fx, guest.link, RT_STDERR, 0, "oops", 4);
    rest(fx, guest.link, 6);
    end(fx, guest.link, 5, 4);
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
    assert_int_equal(fx->tail_size[0], 5);
    assert_int_equal(fx->tail_size[1], 4);
}

/* A guest that stood still in the middle tells all again: its end is not stored without what it had told. */
static void test_told_again(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_tail(fx, guest.link, RT_STDOUT, 0, "hello", 5);
    rest(fx, guest.link, 15);
    fx_tail(fx, guest.link, RT_STDERR, 0, "oops", 4);
    end(fx, guest.link, 5, 4);
    fx_want_end_ok(fx, guest.link, RT_END_LATER);
    fx_tail(fx, guest.link, RT_STDOUT, 0, "hello", 5);
    fx_tail(fx, guest.link, RT_STDERR, 0, "oops", 4);
    end(fx, guest.link, 5, 4);
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
    assert_int_equal(fx->tail_size[0], 5);
    assert_int_equal(fx->tail_size[1], 4);
}

static void test_ends_limit(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_down(fx);
    fill(fx, RT_ENDS_MAX);
    fx_tail(fx, guest.link, RT_STDOUT, 0, "x", 1);
    end(fx, guest.link, 1, 0);
    fx_want_end_ok(fx, guest.link, RT_END_LATER);
    assert_int_equal(fx->n_kept, 0);
}

/* There is a place when its END comes, and there was none when its tail came. */
static void test_no_place(void **state)
{
    struct fx *fx = *state;
    struct fx_guest other, guest;

    fx_guest(&other, "other", 1);
    fx_guest(&guest, "web", 2);
    fx_serve(fx, &other);
    fx_serve(fx, &guest);
    fx_down(fx);
    fill(fx, RT_ENDS_MAX - 1);
    fx_tail(fx, other.link, RT_STDOUT, 0, "x", 1);
    fx_tail(fx, guest.link, RT_STDOUT, 0, "x", 1);
    fx_lost(fx, other.link);
    end(fx, guest.link, 1, 0);
    fx_want_end_ok(fx, guest.link, RT_END_LATER);
    fx_tail(fx, guest.link, RT_STDOUT, 0, "x", 1);
    end(fx, guest.link, 1, 0);
    assert_int_equal(fx->kept.tail[0].size, 1);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FX_TEST(test_without_an_end), FX_TEST(test_slow), FX_TEST(test_told_again),
                                       FX_TEST(test_ends_limit), FX_TEST(test_no_place)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
