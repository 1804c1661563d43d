/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/primary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Who is the primary, by what Sentinels say. */

#define P "redis://192.0.2.1:6379"
#define Q "redis://192.0.2.2:6379"
#define R "redis://192.0.2.3:6379"

static struct rt_primary primary;
static uint64_t now;

static int setup(void **state)
{
    (void)state;
    rt_primary_init(&primary, 3);
    now = 1000000;
    return 0;
}

static void told(size_t i, const char *place, uint64_t epoch, bool alive, uint64_t replicas)
{
    struct rt_primary_answer answer = {.place = place, .epoch = epoch, .alive = alive, .replicas = replicas};

    rt_primary_said(&primary, i, &answer, now);
}

static void said(size_t i, const char *place, uint64_t epoch)
{
    told(i, place, epoch, true, 0);
}

/* Whom it chooses now; whether that is another one than before must be told right. */
static const char *chosen(void)
{
    char before[RT_PRIMARY_PLACE_MAX + 1];
    bool is_other;

    memcpy(before, primary.place, sizeof(before));
    is_other = rt_primary_choose(&primary, now);
    assert_int_equal(is_other, strcmp(before, primary.place) != 0);
    return primary.place;
}

static void all_say(const char *place, uint64_t epoch)
{
    for (size_t i = 0; i < primary.n; i++) {
        said(i, place, epoch);
    }
}

/* All have said P at 1, whose server says so itself. */
static void on_p(void)
{
    all_say(P, 1);
    assert_string_equal(chosen(), P);
    rt_primary_held(&primary);
}

static void test_vote(void **state)
{
    (void)state;
    assert_string_equal(chosen(), "");
    said(0, P, 1);
    assert_string_equal(chosen(), ""); /* one of three is none, and the others are awaited */
    said(1, P, 1);
    assert_string_equal(chosen(), P); /* the third one need not be heard */
    assert_int_equal(rt_primary_voices(&primary, now), 2);
    assert_true(rt_primary_voted(&primary, now));
}

/* P fails over to Q, as the Sentinels hear of it one by one. */
static void test_failover(void **state)
{
    (void)state;
    on_p();
    said(0, Q, 2);
    assert_string_equal(chosen(), P);
    said(2, Q, 2);
    assert_string_equal(chosen(), Q);
    assert_false(primary.held);
    said(1, P, 1); /* it is cut off with P */
    assert_string_equal(chosen(), Q);
    rt_primary_held(&primary);
    now += 500;
    said(1, P, 1);
    rt_primary_failed(&primary, 0);
    rt_primary_failed(&primary, 2); /* those who know better are gone */
    assert_string_equal(chosen(), Q);
    now += 100 * RT_PRIMARY_OLDER_MS;
    said(1, P, 1);
    assert_string_equal(chosen(), Q); /* for as long as it is held */
    assert_false(rt_primary_voted(&primary, now));
}

/* The first one of the list lies, or is on the wrong side, from the start. */
static void test_first_is_wrong(void **state)
{
    static const struct {
        const char *place;
        uint64_t epoch;
    } lies[] = {{P, 1}, {P, 2}, {P, 99}, {Q, 1}, {Q, 99}, {R, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        (void)setup(NULL);
        said(0, lies[i].place, lies[i].epoch);
        assert_string_equal(chosen(), "");
        said(1, Q, 2);
        said(2, Q, 2);
        assert_string_equal(chosen(), Q);
        assert_int_equal(primary.epoch, 2); /* and not what it has said */
        said(1, R, 3);
        said(2, R, 3);
        assert_string_equal(chosen(), R);
    }
}

/* Place and epoch both count: a majority for a place alone is none. */
static void test_same_place_other_epoch(void **state)
{
    (void)state;
    on_p();
    said(0, Q, 2);
    said(1, Q, 3);
    assert_string_equal(chosen(), P);
    said(0, Q, 3);
    assert_string_equal(chosen(), Q);
}

static void test_old_answers(void **state)
{
    (void)state;
    on_p();
    said(0, Q, 2);
    now += RT_PRIMARY_FRESH_MS - 1;
    said(1, Q, 2);
    assert_string_equal(chosen(), Q); /* just young enough */
    (void)setup(NULL);
    on_p();
    said(0, Q, 2);
    now += RT_PRIMARY_FRESH_MS;
    said(1, Q, 2);
    assert_string_equal(chosen(), P);
    assert_int_equal(rt_primary_voices(&primary, now), 0);
}

static void test_majorities(void **state)
{
    (void)state;
    for (size_t n = 1; n <= RT_SENTINELS_MAX; n++) {
        rt_primary_init(&primary, n);
        for (size_t i = 0; i < n; i++) {
            bool is_enough = 2 * (i + 1) > n;

            said(i, P, 1);
            assert_string_equal(chosen(), is_enough || i + 1 == n ? P : "");
        }
    }
}

/* No majority, and nobody to stay with: the newest epoch, once all were heard or have failed. */
static void test_guess(void **state)
{
    (void)state;
    said(0, P, 1);
    said(1, Q, 2);
    assert_string_equal(chosen(), "");
    rt_primary_failed(&primary, 2);
    assert_string_equal(chosen(), Q);
    assert_false(rt_primary_voted(&primary, now));
    /* It is none: P is of an older epoch, and is tried when that has been said for long enough. */
    rt_primary_lost(&primary);
    assert_string_equal(chosen(), Q);
    for (uint64_t ms = 0; ms < RT_PRIMARY_OLDER_MS; ms += 1000) {
        assert_string_equal(chosen(), Q);
        now += 1000;
        said(0, P, 1);
        said(1, Q, 2);
    }
    assert_string_equal(chosen(), P);
    /* Neither is that one: round again. */
    rt_primary_lost(&primary);
    assert_string_equal(chosen(), Q);
}

/* Of equal epochs the one that is no lie is found, too. */
static void test_guess_goes_round(void **state)
{
    (void)state;
    said(0, P, 2);
    said(1, Q, 2);
    rt_primary_failed(&primary, 2);
    assert_string_equal(chosen(), P);
    rt_primary_lost(&primary);
    assert_string_equal(chosen(), Q);
    rt_primary_lost(&primary);
    assert_string_equal(chosen(), P);
    rt_primary_lost(&primary);
    said(0, P, 2); /* the same again: tried already */
    assert_string_equal(chosen(), Q);
    rt_primary_held(&primary);
    said(0, R, 3); /* one alone cannot move what is held */
    assert_string_equal(chosen(), Q);
}

/* A majority that has lost its files says an older epoch: it is not followed at once, and not refused for ever. */
static void test_older_epoch(void **state)
{
    (void)state;
    all_say(Q, 7);
    assert_string_equal(chosen(), Q);
    rt_primary_held(&primary);
    all_say(P, 0);
    assert_string_equal(chosen(), Q);
    now += RT_PRIMARY_OLDER_MS - 1;
    all_say(P, 0);
    assert_string_equal(chosen(), Q);
    all_say(Q, 7); /* they have learnt better */
    assert_string_equal(chosen(), Q);
    now += 1;
    all_say(P, 0);
    assert_string_equal(chosen(), Q); /* from the beginning */
    now += RT_PRIMARY_OLDER_MS - 1;
    all_say(P, 0);
    assert_string_equal(chosen(), Q);
    now++;
    all_say(P, 0);
    assert_string_equal(chosen(), P);
    assert_int_equal(primary.epoch, 0);
}

/* The same epoch, another place: two answers of one Sentinel, before and after its switch. */
static void test_equal_epoch(void **state)
{
    (void)state;
    on_p();
    said(0, Q, 1);
    said(1, Q, 1);
    assert_string_equal(chosen(), Q);
}

/* A second passes, and all say P at 1; so many of them see it alive. */
static void second(size_t n_alive)
{
    now += 1000;
    for (size_t i = 0; i < primary.n; i++) {
        told(i, P, 1, i < n_alive, 0);
    }
    assert_string_equal(chosen(), P);
}

static bool sure_after(size_t n_alive, uint64_t ms)
{
    for (; ms > 0; ms -= 1000) {
        second(n_alive);
    }
    return rt_primary_sure(&primary, now);
}

/* Sure is it of a primary that a majority has seen alive for long enough, without a break. */
static void test_sure(void **state)
{
    (void)state;
    on_p();
    assert_false(rt_primary_sure(&primary, now));
    assert_false(sure_after(3, RT_PRIMARY_SURE_MS - 1000));
    assert_true(sure_after(3, 1000));
    assert_true(sure_after(2, 60000)); /* one that says otherwise changes nothing */
    assert_false(sure_after(1, 1000));
    assert_true(rt_primary_voted(&primary, now));           /* and it stays the primary */
    assert_false(sure_after(3, RT_PRIMARY_SURE_MS - 1000)); /* one answer that says otherwise: from the beginning */
    assert_true(sure_after(3, 2000));
    /* Two are not heard for a while, or name another place: from the beginning, too. */
    now += RT_PRIMARY_FRESH_MS;
    said(0, P, 1);
    assert_false(sure_after(3, RT_PRIMARY_SURE_MS));
    assert_true(sure_after(3, 1000));
    for (size_t i = 0; i < 2; i++) {
        rt_primary_failed(&primary, i);
    }
    assert_false(sure_after(3, RT_PRIMARY_SURE_MS));
    assert_true(sure_after(3, 1000));
    all_say(P, 2);
    assert_false(sure_after(3, 0));
    all_say(Q, 3);
    assert_string_equal(chosen(), Q);
    assert_false(rt_primary_sure(&primary, now));
}

static void all_know(uint64_t a, uint64_t b, uint64_t c)
{
    told(0, P, 1, true, a);
    told(1, P, 1, true, b);
    told(2, P, 1, true, c);
    assert_string_equal(chosen(), P);
}

/* Replicas are counted by a majority, up and down; one that lies changes nothing. */
static void test_replicas(void **state)
{
    (void)state;
    all_know(2, 2, 2);
    assert_int_equal(primary.replicas, 2);
    all_know(1000000, 2, 2);
    assert_int_equal(primary.replicas, 2);
    all_know(2, 0, 2);
    assert_int_equal(primary.replicas, 2);
    all_know(3, 2, 3); /* one comes */
    assert_int_equal(primary.replicas, 3);
    all_know(1, 3, 3); /* SENTINEL RESET, one after another */
    assert_int_equal(primary.replicas, 3);
    all_know(1, 1, 3);
    assert_int_equal(primary.replicas, 1);
    /* What one knew that has died counts no more; without a majority nothing changes. */
    all_know(2, 2, 9);
    now += RT_PRIMARY_FRESH_MS;
    told(0, P, 1, true, 1);
    assert_string_equal(chosen(), P);
    assert_int_equal(primary.replicas, 2);
    told(1, P, 1, true, 1);
    assert_string_equal(chosen(), P);
    assert_int_equal(primary.replicas, 1);
}

static void test_no_places(void **state)
{
    char text[RT_PRIMARY_PLACE_MAX + 2];

    (void)state;
    on_p();
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    said(0, text, 9);
    said(1, "", 9);
    assert_int_equal(primary.voices[0].state, RT_VOICE_FAILED);
    assert_int_equal(primary.voices[1].state, RT_VOICE_FAILED);
    assert_string_equal(chosen(), P);
    text[sizeof(text) - 2] = '\0';
    said(0, text, 9);
    said(1, text, 9);
    assert_string_equal(chosen(), text);
}

#define TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_vote),        TEST(test_failover),    TEST(test_first_is_wrong), TEST(test_same_place_other_epoch),
        TEST(test_old_answers), TEST(test_majorities),  TEST(test_guess),          TEST(test_guess_goes_round),
        TEST(test_older_epoch), TEST(test_equal_epoch), TEST(test_no_places),      TEST(test_sure),
        TEST(test_replicas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
