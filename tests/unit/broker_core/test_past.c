/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The past of a record: an agent keeps the store's text of it and gives it back with the next take. */

static void set_past(struct fx *fx, const char *cid, char letter, size_t size)
{
    struct fx_past *past = fx_record_past(fx, "local", cid);

    assert_true(size <= sizeof(past->data));
    memset(past->data, letter, size);
    past->size = size;
}

static void want_past(const uint8_t *data, size_t size, char letter, size_t want)
{
    assert_int_equal(size, want);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(data[i], letter);
    }
}

static void want_given(const struct fx *fx, char letter, size_t size)
{
    const struct rt_slice *past = &fx->last[RT_STORE_TAKE].past;

    want_past(past->data, past->size, letter, size);
}

static void want_recorded(struct fx *fx, const char *cid, char letter, size_t size)
{
    const struct fx_past *past = fx_record_past(fx, "local", cid);

    want_past(past->data, past->size, letter, size);
}

/* Served once with a record that has this past. */
static void serve(struct fx *fx, struct fx_guest *guest, const char *cid, uint8_t inc, char letter, size_t size)
{
    fx_guest(guest, cid, inc);
    set_past(fx, cid, letter, size);
    fx_serve(fx, guest);
    assert_true(fx_serves(fx, cid));
}

static void flush(struct fx *fx)
{
    fx->n_records = 0;
    fx_up(fx, true, false);
    fx_answer(fx);
}

static void test_flushed(void **state)
{
    struct fx *fx = *state;
    struct fx_guest web, db, job;

    serve(fx, &web, "web", 1, 'w', 90);
    want_given(fx, 0, 0); /* nothing was known of it */
    serve(fx, &db, "db", 2, 'd', RT_PAST_MAX);
    serve(fx, &job, "job", 3, 0, 0); /* the store tells of none */
    for (int i = 0; i < 2; i++) {
        flush(fx);
        assert_int_equal(fx->n_records, 3);
        want_recorded(fx, "web", 'w', 90);
        want_recorded(fx, "db", 'd', RT_PAST_MAX);
        want_recorded(fx, "job", 0, 0);
    }
}

/* The newest is kept, of whatever size; one that says nothing, or too much, changes nothing. */
static void test_newest(void **state)
{
    static const struct {
        char letter;
        size_t size;
    } told[] = {{'a', 10}, {'b', 10}, {'c', RT_PAST_MAX}, {'d', 1}, {'e', 700}};
    struct fx *fx = *state;
    struct fx_guest guest;

    serve(fx, &guest, "web", 1, '0', 20);
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        set_past(fx, "web", told[i].letter, told[i].size);
        fx_serve(fx, &guest); /* this take's answer has it */
        flush(fx);
        want_given(fx, told[i].letter, told[i].size);
    }
    set_past(fx, "web", 0, 0);
    fx_serve(fx, &guest);
    fx_record_past(fx, "local", "web")->size = RT_PAST_MAX + 1; /* never read: refused by its size */
    fx_serve(fx, &guest);
    flush(fx);
    want_given(fx, 'e', 700);
    want_recorded(fx, "web", 'e', 700);
}

/* A guest that comes back before the agent knows that the store is empty: the take of its hello carries it, too. */
static void test_comes_back_first(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    serve(fx, &guest, "web", 1, 'w', 90);
    fx_lost(fx, guest.link);
    fx_answer(fx);
    fx->n_records = 0;
    fx_serve(fx, &guest);
    assert_true(fx_serves(fx, "web"));
    want_recorded(fx, "web", 'w', 90);
}

/* A take that failed, and one without an answer: both are repeated with it. */
static void test_repeated(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    serve(fx, &guest, "web", 1, 'w', 90);
    fx->n_records = 0;
    fx_up(fx, true, false);
    fx_fail(fx, RT_ETIMEDOUT);
    want_given(fx, 'w', 90);
    fx_tick(fx, 1000);
    want_given(fx, 'w', 90);
    fx_answer(fx);
    want_recorded(fx, "web", 'w', 90);
}

/* It ends before the agent knows that the store is empty: its end's claim carries it. */
static void test_ends_first(void **state)
{
    const struct rt_frame head = {.type = RT_END};
    const struct rt_end_msg end = {.code = 3};
    struct fx *fx = *state;
    struct fx_guest guest;

    serve(fx, &guest, "web", 1, 'w', 90);
    fx->n_records = 0;
    fx_msg(fx, guest.link, &head, RT_MSG_END, &end);
    fx_answer(fx);
    assert_int_equal(fx_record(fx, "local", "web")->rule.state, RT_SESSION_ENDED);
    want_recorded(fx, "web", 'w', 90);
}

/* Nobody has been seen of it for a lease: what this agent remembered is gone with the session. */
static void test_forgotten(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    serve(fx, &guest, "web", 1, 'w', 90);
    fx_lost(fx, guest.link);
    fx_answer(fx);
    fx_tick(fx, RT_LOST_AFTER_MS);
    fx_answer(fx);
    fx_tick(fx, RT_LEASE_MS);
    fx->n_records = 0;
    fx_serve(fx, &guest);
    assert_true(fx_serves(fx, "web"));
    want_given(fx, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_flushed),  FX_TEST(test_newest),     FX_TEST(test_comes_back_first),
        FX_TEST(test_repeated), FX_TEST(test_ends_first), FX_TEST(test_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
