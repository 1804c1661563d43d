/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/limits.h"
#include "broker/core/machine.h"

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

/* So many ends of a tenant lie on the disk. */
static void fill_of(struct fx *fx, const char *tenant, unsigned n)
{
    struct rt_store_op op;

    memset(&op, 0, sizeof(op));
    (void)snprintf(op.key.tenant, sizeof(op.key.tenant), "%s", tenant);
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(op.key.cid, sizeof(op.key.cid), "c%u", i);
        rt_agent_kept_end(fx->agent, &op, fx->now);
    }
}

static void fill(struct fx *fx, unsigned n)
{
    fill_of(fx, "others", n);
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

/* A guest whose line is slow: between its frames more time passes than tails may rest. It tells all again once, and no
 * more. Its end has so much of its first tail. */
static void trickle(struct fx *fx, unsigned first_s, unsigned second_s, size_t out)
{
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    for (unsigned i = 0; i < 2; i++) {
        fx_tail(fx, guest.link, RT_STDOUT, 0, "hello", 5);
        rest(fx, guest.link, first_s);
        fx_tail(fx, guest.link, RT_STDERR, 0, "oops", 4);
        rest(fx, guest.link, second_s);
        end(fx, guest.link, 5, 4);
        if (i == 0) {
            fx_want_end_ok(fx, guest.link, RT_END_LATER);
        }
    }
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
    assert_int_equal(fx->tail_size[0], out);
    assert_int_equal(fx->tail_size[1], 4);
}

static void test_trickles(void **state)
{
    trickle(*state, 16, 16, 5);
}

/* One that is slower yet: its end is stored with what is there of its tails. */
static void test_trickles_for_long(void **state)
{
    trickle(*state, 70, 0, 0);
}

/* Nothing that a guest says keeps the last place for it for ever. */
static void test_keeps_no_place(void **state)
{
    struct fx *fx = *state;
    struct fx_guest idle, guest;

    fx_guest(&idle, "idle", 1);
    fx_guest(&guest, "web", 2);
    fx_serve(fx, &idle);
    fx_serve(fx, &guest);
    fx_down(fx);
    fill(fx, RT_ENDS_MAX - 1);
    fx_tail(fx, idle.link, RT_STDOUT, 0, NULL, 0); /* no place at all */
    fx_tail(fx, guest.link, RT_STDOUT, 0, "x", 1);
    fx_tail(fx, idle.link, RT_STDOUT, 0, "x", 1);
    fx_tail(fx, guest.link, RT_STDOUT, 0, NULL, 0);
    for (unsigned i = 0; i < 6; i++) {
        rest(fx, idle.link, 3);
        fx_tail(fx, guest.link, RT_STDOUT, 0, NULL, 0);
        fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PING}, NULL);
    }
    drain(fx, guest.link);
    end(fx, idle.link, 0, 0); /* it had no place for its tail */
    fx_want_end_ok(fx, idle.link, RT_END_LATER);
    fx_tail(fx, idle.link, RT_STDOUT, 0, "x", 1);
    for (unsigned i = 0; i < 14; i++) {
        rest(fx, guest.link, 5);
        fx_tail(fx, idle.link, RT_STDOUT, 0, "x", 1); /* goes on, and comes to no end */
    }
    end(fx, guest.link, 1, 0);
    fx_want_end_ok(fx, guest.link, RT_END_LATER); /* forgotten long ago */
    fx_tail(fx, guest.link, RT_STDOUT, 0, "x", 1);
    end(fx, guest.link, 1, 0);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
}

/* Half of the places are the most for one tenant, whose other guests wait. */
static void test_half_of_the_ends(void **state)
{
    struct fx *fx = *state;
    struct fx_guest first, next, other;
    const struct ag_tenant *tenant;

    fx_guest(&first, "first", 1);
    fx_guest(&next, "next", 2);
    fx_guest(&other, "other", 3);
    fx_join_token(&other, "acme", "other", "");
    fx_serve(fx, &first);
    fx_serve(fx, &next);
    fx_serve(fx, &other);
    fx_down(fx);
    fill_of(fx, "local", RT_ENDS_MAX / 2 - 1);
    fx_tail(fx, first.link, RT_STDOUT, 0, "x", 1);
    fx_tail(fx, next.link, RT_STDOUT, 0, "x", 1);
    fx_tail(fx, other.link, RT_STDOUT, 0, "x", 1);
    tenant = rt_ag_tenant_find(fx->agent, "local");
    assert_int_equal(tenant->shares[AG_SHARE_ENDS], RT_ENDS_MAX / 2);
    assert_int_equal(tenant->shares_over[AG_SHARE_ENDS], 1);
    assert_int_equal(fx->n_events[RT_AGENT_LIMIT], 1);
    end(fx, next.link, 1, 0);
    fx_want_end_ok(fx, next.link, RT_END_LATER);
    end(fx, other.link, 1, 0);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, other.link, RT_END_ON_DISK);
    fx_lost(fx, first.link);
    assert_int_equal(tenant->shares[AG_SHARE_ENDS], RT_ENDS_MAX / 2 - 1);
    end(fx, next.link, 1, 0);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, next.link, RT_END_ON_DISK);
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
    const struct CMUnitTest tests[] = {FX_TEST(test_without_an_end),    FX_TEST(test_slow),
                                       FX_TEST(test_told_again),        FX_TEST(test_trickles),
                                       FX_TEST(test_trickles_for_long), FX_TEST(test_keeps_no_place),
                                       FX_TEST(test_half_of_the_ends),  FX_TEST(test_ends_limit),
                                       FX_TEST(test_no_place)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
