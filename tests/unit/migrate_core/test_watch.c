/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Who lives: every state with every look, and what counts as time. */

static struct rt_watch watch;
static struct rt_touch touch;
static uint64_t now;

static int setup(void **state)
{
    (void)state;
    memset(&watch, 0, sizeof(watch));
    memset(&touch, 0, sizeof(touch));
    now = 1000000;
    rt_touch_beat(&touch, now);
    return 0;
}

/* Time goes on, with a heartbeat of our own each second. */
static void pass(uint64_t ms)
{
    for (; ms > RT_HEARTBEAT_MS; ms -= RT_HEARTBEAT_MS) {
        now += RT_HEARTBEAT_MS;
        rt_touch_beat(&touch, now);
    }
    now += ms;
    rt_touch_beat(&touch, now);
}

static enum rt_watch_state look_since(uint64_t seq, uint64_t asked)
{
    struct rt_look look = {.there = seq != 0, .seq = seq, .asked = asked};

    look.instance.b[0] = 7;
    rt_watch_look(&watch, &touch, &look, now);
    return watch.state;
}

static enum rt_watch_state look(uint64_t seq)
{
    return look_since(seq, now);
}

static void test_states(void **state)
{
    (void)state;
    assert_int_equal(watch.state, RT_WATCH_UNKNOWN);
    assert_int_equal(look(5), RT_WATCH_WATCHING);
    pass(RT_HEARTBEAT_EXPIRY_MS - 1);
    assert_int_equal(look(5), RT_WATCH_WATCHING);
    pass(1);
    assert_false(rt_watch_dead(&watch, &touch, now));
    assert_int_equal(look(5), RT_WATCH_DEAD);
    assert_true(rt_watch_dead(&watch, &touch, now));
    assert_int_equal(look(6), RT_WATCH_ALIVE);
    assert_false(rt_watch_dead(&watch, &touch, now));
    pass(RT_HEARTBEAT_EXPIRY_MS - 1);
    assert_int_equal(look(6), RT_WATCH_ALIVE);
    pass(1);
    assert_int_equal(look(6), RT_WATCH_DEAD);
    assert_int_equal(look(3), RT_WATCH_ALIVE); /* the store fell back, or another instance: it was written */
}

/* A row that is not there says as little as a first look, and stands still as any other. */
static void test_no_row(void **state)
{
    (void)state;
    assert_int_equal(look(0), RT_WATCH_WATCHING);
    pass(RT_HEARTBEAT_EXPIRY_MS);
    assert_int_equal(look(0), RT_WATCH_DEAD);
    assert_int_equal(look(1), RT_WATCH_ALIVE);
    assert_int_equal(look(0), RT_WATCH_WATCHING); /* a store that was emptied */
    pass(RT_HEARTBEAT_EXPIRY_MS - 1);
    assert_int_equal(look(0), RT_WATCH_WATCHING);
    assert_int_equal(look(2), RT_WATCH_ALIVE);
}

static void test_another_instance_moves(void **state)
{
    struct rt_look other = {.there = true, .seq = 5};

    (void)state;
    (void)look(5);
    other.asked = now;
    rt_watch_look(&watch, &touch, &other, now);
    assert_int_equal(watch.state, RT_WATCH_ALIVE);
}

/* What the host tells itself is a sign of life at once, with the same sequence too. */
static void test_notice(void **state)
{
    struct rt_look notice = {.there = true, .seq = 5, .notice = true};

    (void)state;
    notice.asked = now;
    rt_watch_look(&watch, &touch, &notice, now);
    assert_int_equal(watch.state, RT_WATCH_ALIVE);
    pass(RT_HEARTBEAT_EXPIRY_MS - 1);
    notice.asked = now;
    rt_watch_look(&watch, &touch, &notice, now);
    notice.notice = false;
    pass(RT_HEARTBEAT_EXPIRY_MS - 1);
    notice.asked = now;
    rt_watch_look(&watch, &touch, &notice, now);
    assert_int_equal(watch.state, RT_WATCH_ALIVE);
}

/* Only the time counts in which the judge was in touch: others could not write either. */
static void test_out_of_touch(void **state)
{
    (void)state;
    (void)look(5);
    now += UINT64_C(10) * RT_HEARTBEAT_EXPIRY_MS; /* this process, or the store, stood still */
    assert_int_equal(look(5), RT_WATCH_WATCHING);
    rt_touch_beat(&touch, now);
    assert_int_equal(look(5), RT_WATCH_WATCHING);
    pass(RT_HEARTBEAT_EXPIRY_MS - 1);
    assert_int_equal(look(5), RT_WATCH_WATCHING);
    rt_touch_break(&touch);
    now++;
    assert_int_equal(look(5), RT_WATCH_WATCHING);
    rt_touch_beat(&touch, now);
    pass(RT_HEARTBEAT_EXPIRY_MS);
    assert_int_equal(look(5), RT_WATCH_DEAD);
    /* Dead, and then the store was away: it may have come back since, and had nowhere to say so. */
    rt_touch_break(&touch);
    assert_false(rt_watch_dead(&watch, &touch, now));
    now += RT_HEARTBEAT_MS;
    rt_touch_beat(&touch, now);
    assert_int_equal(look(5), RT_WATCH_WATCHING);
    pass(RT_HEARTBEAT_EXPIRY_MS);
    assert_int_equal(look(5), RT_WATCH_DEAD);
}

/* An answer says what stood there when it was asked for at the earliest. */
static void test_late_answers(void **state)
{
    uint64_t asked;

    (void)state;
    (void)look(5);
    pass(RT_HEARTBEAT_EXPIRY_MS - 1);
    asked = now;
    pass(RT_HEARTBEAT_EXPIRY_MS);
    assert_int_equal(look_since(5, asked), RT_WATCH_WATCHING);
    asked = now;
    assert_int_equal(look(6), RT_WATCH_ALIVE);
    assert_int_equal(look_since(5, asked - 1), RT_WATCH_ALIVE); /* overtaken: not a step back */
    assert_int_equal(watch.seq, 6);
}

/* A verdict is acted on while it is young. */
static void test_old_verdict(void **state)
{
    (void)state;
    (void)look(5);
    pass(RT_HEARTBEAT_EXPIRY_MS);
    (void)look(5);
    assert_true(rt_watch_dead(&watch, &touch, now));
    pass(RT_TOUCH_LATE_MS - 1);
    assert_true(rt_watch_dead(&watch, &touch, now));
    pass(1);
    assert_int_equal(watch.state, RT_WATCH_DEAD);
    assert_false(rt_watch_dead(&watch, &touch, now));
    (void)look(5);
    assert_true(rt_watch_dead(&watch, &touch, now));
    now += RT_TOUCH_LATE_MS; /* no heartbeat of ours was answered since */
    watch.looked = now;
    assert_false(rt_watch_dead(&watch, &touch, now));
}

static void test_touch(void **state)
{
    (void)state;
    assert_int_equal(touch.since, now);
    pass(RT_TOUCH_LATE_MS - 1);
    assert_int_equal(touch.since, 1000000);
    now += RT_TOUCH_LATE_MS;
    rt_touch_beat(&touch, now);
    assert_int_equal(touch.since, now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_states, setup),
        cmocka_unit_test_setup(test_no_row, setup),
        cmocka_unit_test_setup(test_another_instance_moves, setup),
        cmocka_unit_test_setup(test_notice, setup),
        cmocka_unit_test_setup(test_out_of_touch, setup),
        cmocka_unit_test_setup(test_late_answers, setup),
        cmocka_unit_test_setup(test_old_verdict, setup),
        cmocka_unit_test_setup(test_touch, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
