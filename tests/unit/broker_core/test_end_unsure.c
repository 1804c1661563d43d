/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/end.h"

#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* An end that the store has taken and may lose at a failover, as not all of its replicas have it: kept on this host's
 * disk until they have, or until a later look finds it in its record. */

static struct fx_guest guest;

/* The container "web" ends; the store takes that, and is not sure of it. */
static void end_unsure(struct fx *fx)
{
    struct rt_end_msg msg = {.code = 7, .out = 3, .err = 0};

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx->unsure = true;
    fx_tail(fx, guest.link, RT_STDOUT, 0, "hi\n", 3);
    fx_msg(fx, guest.link, &(struct rt_frame){.type = RT_END}, RT_MSG_END, &msg);
    fx_answer(fx);
    fx_none(fx, guest.link); /* it is not safe yet */
}

static void kept(struct fx *fx)
{
    end_unsure(fx);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    assert_int_equal(fx->n_kept, 1);
}

/* Time goes on, and the store answers all that it is asked. */
static void pass(struct fx *fx, uint64_t ms)
{
    for (; ms > 0; ms -= 500) {
        fx_tick(fx, 500);
        fx_answer(fx);
    }
}

static bool is_ended(struct fx *fx)
{
    return fx_record(fx, "local", "web")->rule.state == RT_SESSION_ENDED;
}

static void test_replicas_come(void **state)
{
    struct fx *fx = *state;
    size_t ends;

    kept(fx);
    ends = fx->n_submitted[RT_STORE_END];
    pass(fx, 1000);
    assert_int_equal(fx->n_submitted[RT_STORE_END], ends + 1);
    assert_int_equal(fx->n_dropped, 0);
    fx->unsure = false;
    pass(fx, 2000);
    assert_int_equal(fx->n_dropped, 1);
    ends = fx->n_submitted[RT_STORE_END];
    pass(fx, 60000);
    assert_int_equal(fx->n_submitted[RT_STORE_END], ends);
}

/* The replicas that are connected have it, another one is away, and no other primary comes: what is there after
 * AG_LOOK_MS is there to stay. */
static void test_found_there(void **state)
{
    struct fx *fx = *state;

    kept(fx);
    pass(fx, AG_LOOK_MS - 500);
    assert_int_equal(fx->n_dropped, 0);
    pass(fx, 6000);
    assert_int_equal(fx->n_dropped, 1);
    assert_true(is_ended(fx));
}

/* The primary alone has it: if that dies, a replica without it follows, however long it was there. */
static void test_no_replica(void **state)
{
    struct fx *fx = *state;

    fx->lone = true;
    kept(fx);
    pass(fx, 120000);
    assert_int_equal(fx->n_dropped, 0);
    assert_true(is_ended(fx));
    fx->lone = false; /* one comes, the other does not: AG_LOOK_MS from now on */
    pass(fx, AG_KEPT_RETRY_MAX_MS);
    assert_int_equal(fx->n_dropped, 0);
    pass(fx, AG_KEPT_RETRY_MAX_MS);
    assert_int_equal(fx->n_dropped, 1);
}

/* A replica had it, and is away when the end is offered again: the time begins anew. */
static void test_replica_goes(void **state)
{
    struct fx *fx = *state;

    kept(fx);
    pass(fx, 2000);
    fx->lone = true;
    pass(fx, 120000);
    assert_int_equal(fx->n_dropped, 0);
}

/* An END that is not answered tells of no replica either. */
static void test_offer_fails(void **state)
{
    struct fx *fx = *state;

    kept(fx);
    pass(fx, 6500);
    fx_tick(fx, 1000);
    fx_fail(fx, RT_ETIMEDOUT);
    pass(fx, AG_LOOK_MS);
    assert_int_equal(fx->n_dropped, 0);
    pass(fx, 60000);
    assert_int_equal(fx->n_dropped, 1);
}

/* The server has the tails: they go to it once, and to another one that may lack them. */
static void test_tails_once(void **state)
{
    struct fx *fx = *state;
    size_t ends;

    fx->lone = true;
    kept(fx);
    assert_int_equal(fx->tail_size[0], 3);
    for (int i = 0; i < 4; i++) {
        ends = fx->n_submitted[RT_STORE_END];
        pass(fx, AG_KEPT_RETRY_MAX_MS);
        assert_true(fx->n_submitted[RT_STORE_END] > ends);
        assert_true(fx->last[RT_STORE_END].again);
        assert_int_equal(fx->tail_size[0], 0);
    }
    fx_up(fx, false, true);
    fx_answer(fx);
    assert_false(fx->last[RT_STORE_END].again);
    assert_int_equal(fx->tail_size[0], 3);
    /* Its record alone is lost, and nobody has told the agent. */
    pass(fx, 2000);
    assert_int_equal(fx->tail_size[0], 0);
    fx_record(fx, "local", "web")->rule.state = RT_SESSION_RUNNING;
    pass(fx, AG_KEPT_RETRY_MAX_MS);
    assert_true(is_ended(fx));
    fx->lone = false;
    fx->unsure = false;
    ends = fx->n_submitted[RT_STORE_END];
    pass(fx, AG_KEPT_RETRY_MAX_MS);
    assert_int_equal(fx->n_submitted[RT_STORE_END], ends + 1);
    assert_int_equal(fx->n_dropped, 1);
}

/* The next container's end does not have this one offered sooner. */
static void test_others_end(void **state)
{
    struct rt_end_msg msg = {.code = 1};
    struct fx *fx = *state;
    static struct fx_guest other;
    size_t ends;

    fx->lone = true;
    kept(fx);
    pass(fx, 120000);
    ends = fx->n_submitted[RT_STORE_END];
    for (int i = 0; i < 4; i++) {
        char cid[] = "other0";

        cid[5] = (char)('0' + i);
        fx_guest(&other, cid, 1);
        fx_serve(fx, &other);
        fx_msg(fx, other.link, &(struct rt_frame){.type = RT_END}, RT_MSG_END, &msg);
        fx_answer(fx);
        fx_disk(fx, 0);
        pass(fx, 2000);
    }
    /* Each of the four at 0 and 1000 ms, those before the last one at 3000, the first one at 7000 as well: and the
     * first container's at most once in 8000. */
    assert_in_range(fx->n_submitted[RT_STORE_END] - ends, 8, 13);
}

/* A failover has lost it, and the agent was told of none. */
static void test_not_there(void **state)
{
    struct fx *fx = *state;
    size_t ends;

    kept(fx);
    pass(fx, 8000); /* the next time is the look */
    ends = fx->n_submitted[RT_STORE_END];
    fx_record(fx, "local", "web")->rule.state = RT_SESSION_RUNNING;
    pass(fx, 8000);
    assert_int_equal(fx->n_dropped, 0);
    assert_true(fx->n_submitted[RT_STORE_END] > ends);
    assert_true(is_ended(fx));
    assert_false(fx->last[RT_STORE_END].again);
    assert_int_equal(fx->tail_size[0], 3);
    pass(fx, 60000);
    assert_int_equal(fx->n_dropped, 1);
}

/* The record shows another end of this life than was stored: that one was lost, too. */
static void test_another_there(void **state)
{
    struct fx *fx = *state;

    kept(fx);
    pass(fx, 8000);
    fx_record(fx, "local", "web")->out = 2;
    pass(fx, 8000);
    assert_int_equal(fx->n_dropped, 1); /* the first one stands */
    assert_int_equal(fx_record(fx, "local", "web")->out, 2);
}

/* Another primary: what the old one had proves nothing. */
static void test_another_store(void **state)
{
    struct fx *fx = *state;
    size_t takes;

    kept(fx);
    pass(fx, 8000);
    takes = fx->n_submitted[RT_STORE_TAKE];
    fx_record(fx, "local", "web")->rule.state = RT_SESSION_RUNNING;
    fx_up(fx, true, true);
    fx_answer(fx);
    assert_true(fx->n_submitted[RT_STORE_TAKE] > takes); /* it may lack the claim as well */
    assert_true(is_ended(fx));
    pass(fx, AG_LOOK_MS - 500);
    assert_int_equal(fx->n_dropped, 0);
    pass(fx, 10000);
    assert_int_equal(fx->n_dropped, 1);
}

/* While it is not sure that this server is the primary, what is found there proves nothing. */
static void test_not_the_primary(void **state)
{
    struct fx *fx = *state;

    kept(fx);
    fx->doubtful = true;
    pass(fx, 120000);
    assert_int_equal(fx->n_dropped, 0);
    fx->doubtful = false;
    pass(fx, 60000);
    assert_int_equal(fx->n_dropped, 1);
}

/* The look is not answered: it is looked at again. */
static void test_look_fails(void **state)
{
    struct fx *fx = *state;

    kept(fx);
    pass(fx, 8000);
    for (int i = 0; i < 10; i++) {
        fx_tick(fx, 1000);
        fx_fail(fx, RT_ETIMEDOUT);
    }
    assert_int_equal(fx->n_dropped, 0);
    pass(fx, 60000);
    assert_int_equal(fx->n_dropped, 1);
}

/* The disk takes nothing: the guest, which answers pings, waits for the look. */
static void test_no_disk(void **state)
{
    struct fx *fx = *state;
    struct rt_frame frame = {.type = RT_PING};
    struct rt_end_ok_msg msg = {.how = RT_END_LATER};
    const uint8_t *payload = NULL;
    char why[RT_TEXT_MAX];
    uint64_t began;

    end_unsure(fx);
    fx->disk_busy = true;
    fx_disk(fx, RT_EIO);
    began = fx->now;
    while (frame.type != RT_END_OK && fx->now - began < 60000) {
        pass(fx, 500);
        while (frame.type != RT_END_OK && fx_next(fx, guest.link, &frame, &payload)) {
            if (frame.type == RT_PING) {
                fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PONG, .offset = frame.offset}, NULL);
            }
        }
    }
    assert_int_equal(frame.type, RT_END_OK);
    assert_true(fx->now - began >= AG_LOOK_MS);
    assert_int_equal(rt_msg_decode(RT_MSG_END_OK, payload, frame.length, &msg, why, sizeof(why)), 0);
    assert_int_equal(msg.how, RT_END_STORED);
    assert_int_equal(fx->n_kept + fx->n_dropped, 0);
}

/* The guest has gone, and comes back: its end is on its way still. */
static void test_guest_comes_back(void **state)
{
    struct rt_end_msg msg = {.code = 7, .out = 3, .err = 0};
    struct fx *fx = *state;

    kept(fx);
    fx_msg(fx, guest.link, &(struct rt_frame){.type = RT_END}, RT_MSG_END, &msg);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    assert_int_equal(fx->n_kept, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_replicas_come), FX_TEST(test_found_there),   FX_TEST(test_not_there),
        FX_TEST(test_another_there), FX_TEST(test_another_store), FX_TEST(test_not_the_primary),
        FX_TEST(test_look_fails),    FX_TEST(test_no_disk),       FX_TEST(test_guest_comes_back),
        FX_TEST(test_no_replica),    FX_TEST(test_replica_goes),  FX_TEST(test_offer_fails),
        FX_TEST(test_tails_once),    FX_TEST(test_others_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
