/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The end of a session: stored, kept on disk while the store is out, and claimed first where it has no record. */

static void end(struct fx *fx, int link, uint64_t code, uint64_t out, uint64_t err)
{
    struct rt_end_msg msg = {.code = code, .out = out, .err = err};

    fx_msg(fx, link, &(struct rt_frame){.type = RT_END}, RT_MSG_END, &msg);
}

static void test_end_stored(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_tail(fx, guest.link, RT_STDOUT, 100, "last ", 5);
    fx_tail(fx, guest.link, RT_STDOUT, 105, "words", 5);
    fx_tail(fx, guest.link, RT_STDERR, 0, "oops", 4);
    end(fx, guest.link, 3, 110, 4);
    end(fx, guest.link, 3, 110, 4); /* twice: it is under way */
    fx_none(fx, guest.link);
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
    fx_none(fx, guest.link);
    assert_int_equal(fx->tail_size[0], 10);
    assert_memory_equal(fx->tail[0], "last words", 10);
    assert_memory_equal(fx->tail[1], "oops", 4);
    assert_int_equal(fx->last[RT_STORE_END].end.code, 3);
    assert_int_equal(fx->last[RT_STORE_END].life, guest.life);
    assert_int_equal(fx->n_events[RT_AGENT_ENDED], 1);
    assert_true(fx_serves(fx, "web"));
    end(fx, guest.link, 3, 110, 4); /* its answer was lost: again, now without tails */
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
    fx_lost(fx, guest.link);
    fx_tick(fx, UINT64_C(2) * RT_LOST_AFTER_MS);
    fx_answer(fx);
    assert_int_equal(fx_record(fx, "local", "web")->rule.state, RT_SESSION_ENDED);
}

static void test_end_right_after_confirm(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    fx_confirm(fx, &guest);
    fx_tail(fx, guest.link, RT_STDOUT, 0, "hi\n", 3);
    end(fx, guest.link, 0, 3, 0);
    assert_int_equal(fx->n_submitted[RT_STORE_END], 0);
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
    assert_memory_equal(fx->tail[0], "hi\n", 3);
}

static void test_end_tail_that_does_not_fit(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    static uint8_t bytes[RT_TAIL_MAX];

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_tail(fx, guest.link, RT_STDOUT, 0, bytes, RT_TAIL_MAX);
    fx_tail(fx, guest.link, RT_STDOUT, RT_TAIL_MAX, bytes, 10); /* more than there may be: begins anew */
    fx_tail(fx, guest.link, RT_STDERR, 7, bytes, 10);           /* does not lead to the end */
    end(fx, guest.link, 0, RT_TAIL_MAX + 10, 4);
    assert_int_equal(fx->tail_size[0], 10);
    assert_int_equal(fx->tail_size[1], 0);
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
}

static void test_end_on_disk(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_down(fx);
    fx_tail(fx, guest.link, RT_STDOUT, 0, "hi\n", 3);
    end(fx, guest.link, 0, 3, 0);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    assert_int_equal(fx->n_kept, 1);
    fx_up(fx, false, true);
    fx_answer(fx);
    assert_int_equal(fx->n_dropped, 1);
    assert_memory_equal(fx->tail[0], "hi\n", 3);
    assert_int_equal(fx_record(fx, "local", "web")->rule.state, RT_SESSION_ENDED);
}

static void test_end_times_out(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    end(fx, guest.link, 0, 0, 0);
    fx_fail(fx, RT_ETIMEDOUT);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    fx_tick(fx, 1000); /* tried again by itself */
    fx_answer(fx);
    assert_int_equal(fx->n_dropped, 1);
    end(fx, guest.link, 0, 0, 0);
    fx_fail(fx, RT_EUNAVAIL);
    fx_disk(fx, RT_EIO);
    fx_want_end_ok(fx, guest.link, RT_END_LATER);
    fx->disk_busy = true;
    end(fx, guest.link, 0, 0, 0);
    fx_fail(fx, RT_EUNAVAIL);
    fx_want_end_ok(fx, guest.link, RT_END_LATER);
}

static void test_end_not_found(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx->n_records = 0; /* lost: its claim is taken again, then the end is stored */
    end(fx, guest.link, 7, 0, 0);
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
    assert_int_equal(fx_record(fx, "local", "web")->rule.life, guest.life);
    assert_int_equal(fx_record(fx, "local", "web")->code, 7);
    fx->n_records = 0;
    end(fx, guest.link, 7, 0, 0);
    fx_fail(fx, RT_ENOTFOUND);
    fx_fail(fx, RT_EUNAVAIL); /* of the claim */
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
}

/* Served though the take was never answered: ends, and powers off, while the store is out. */
static void end_unclaimed(struct fx *fx, struct fx_guest *guest)
{
    fx_guest(guest, "web", 1);
    fx_hello(fx, guest);
    fx_answer(fx);
    fx_welcome(fx, guest, NULL);
    fx_confirm(fx, guest);
    fx_fail(fx, RT_ETIMEDOUT);
    assert_true(fx_serves(fx, "web"));
    fx_down(fx);
    fx_tail(fx, guest->link, RT_STDOUT, 0, "hi\n", 3);
    end(fx, guest->link, 4, 3, 0);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest->link, RT_END_ON_DISK);
    assert_int_equal(fx->kept.claim.life, guest->life);
    fx_lost(fx, guest->link);
}

static void test_end_of_an_unclaimed_guest(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    end_unclaimed(fx, &guest);
    fx_up(fx, false, true);
    fx_answer(fx);
    assert_int_equal(fx->n_dropped, 1);
    assert_memory_equal(fx->tail[0], "hi\n", 3);
    assert_int_equal(fx_record(fx, "local", "web")->rule.life, guest.life);
    assert_int_equal(fx_record(fx, "local", "web")->rule.state, RT_SESSION_ENDED);
    assert_int_equal(fx_record(fx, "local", "web")->code, 4);
}

/* Nobody has taken it: in a store that is empty and young another start may be the one that was served. Nobody comes.
 */
static void test_end_in_a_young_store(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    end_unclaimed(fx, &guest);
    fx->n_records = 0;
    fx_up(fx, true, false);
    fx_answer(fx);
    assert_int_equal(fx->n_dropped, 0);
    for (unsigned i = 0; i < 120; i++) { /* it is offered again, ever less often */
        fx_tick(fx, 500);
        fx_answer(fx);
    }
    assert_int_equal(fx->n_dropped, 1);
    assert_int_equal(fx_record(fx, "local", "web")->rule.state, RT_SESSION_ENDED);
    assert_int_equal(fx_record(fx, "local", "web")->rule.life, guest.life);
}

/* Started anew elsewhere with the same join token, while this end waited for the store. */
static void test_end_of_an_older_start(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_record *rule;

    end_unclaimed(fx, &guest);
    rule = &fx_record(fx, "local", "web")->rule;
    rule->exists = true;
    rule->state = RT_SESSION_RUNNING;
    rule->life = guest.life + 1000;
    memset(&rule->inc, 99, sizeof(rule->inc));
    (void)snprintf(rule->host, sizeof(rule->host), "there");
    fx_up(fx, false, true);
    fx_answer(fx);
    assert_int_equal(fx->n_dropped, 1);
    assert_int_equal(rule->state, RT_SESSION_RUNNING);
}

/* A copy of it was claimed elsewhere, from the ticket that both had: its session does not end with this one. */
static void test_end_of_a_copy(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_record *rule;
    struct rt_id parent;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    parent = fx_record(fx, "local", "web")->rule.ticket;
    fx_down(fx);
    fx_lost(fx, guest.link);
    fx_serve(fx, &guest); /* unclaimed */
    assert_int_equal(fx_stats(fx).provisional, 1);
    end(fx, guest.link, 4, 0, 0);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    rule = &fx_record(fx, "local", "web")->rule;
    rule->ancestors[0] = parent;
    rule->n_ancestors = 1;
    memset(&rule->ticket, 77, sizeof(rule->ticket));
    memset(&rule->nonce, 78, sizeof(rule->nonce));
    rule->epoch += 5;
    (void)snprintf(rule->host, sizeof(rule->host), "there");
    fx_up(fx, false, true);
    fx_answer(fx);
    assert_int_equal(rule->state, RT_SESSION_RUNNING);
    assert_string_equal(rule->host, "there");
    assert_int_equal(fx->n_dropped, 1);
}

/* Served and claimed; ends, and powers off, while the store is out. */
static void end_in_an_outage(struct fx *fx, struct fx_guest *guest)
{
    fx_guest(guest, "web", 1);
    fx_serve(fx, guest);
    fx_down(fx);
    end(fx, guest->link, 4, 0, 0);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest->link, RT_END_ON_DISK);
    fx_lost(fx, guest->link);
}

/* The guest was served elsewhere after it had told its end here: that is the same life, and it ends. */
static void test_end_after_a_later_epoch(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_record *rule;

    end_in_an_outage(fx, &guest);
    rule = &fx_record(fx, "local", "web")->rule;
    rule->ancestors[0] = rule->ticket;
    rule->n_ancestors = 1;
    memset(&rule->ticket, 77, sizeof(rule->ticket));
    rule->epoch += 2;
    fx_up(fx, false, true);
    fx_answer_one(fx, 0);
    assert_int_equal(fx->n_submitted[RT_STORE_TAKE], 2); /* as the first one: refused, for the record is there */
    fx_answer(fx);
    assert_int_equal(fx->n_dropped, 1);
    assert_int_equal(rule->state, RT_SESSION_ENDED);
    assert_int_equal(rule->epoch, 3);
}

static void test_end_of_a_life_that_is_over(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_record *rule;

    end_in_an_outage(fx, &guest);
    rule = &fx_record(fx, "local", "web")->rule; /* started anew elsewhere */
    rule->life++;
    memset(&rule->inc, 99, sizeof(rule->inc));
    fx_up(fx, false, true);
    fx_answer(fx);
    assert_int_equal(fx->n_dropped, 1);
    assert_int_equal(rule->state, RT_SESSION_RUNNING);
    assert_int_equal(rule->life, guest.life + 1);
}

/* A disk may take seconds: nothing is told before it has the end, and the store is asked meanwhile. */
static void test_end_on_a_slow_disk(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_down(fx);
    end(fx, guest.link, 4, 0, 0);
    fx_tick(fx, 3000);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PONG}, NULL);
    fx_none(fx, guest.link);
    fx_up(fx, false, true);
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
    assert_int_equal(fx_record(fx, "local", "web")->rule.state, RT_SESSION_ENDED);
    end(fx, guest.link, 4, 0, 0); /* its answer was lost; the file that is still to come must not stay */
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
    assert_int_equal(fx->n_dropped, 0);
    fx_disk(fx, 0);
    assert_int_equal(fx->n_dropped, 1);
    fx_none(fx, guest.link);
    end(fx, guest.link, 4, 0, 0);
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
}

/* The disk fails while the store is asked: that answer decides, also when it is no. */
static void test_end_when_both_fail(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_down(fx);
    end(fx, guest.link, 4, 0, 0);
    fx_up(fx, false, true);
    fx_disk(fx, RT_EIO);
    fx_none(fx, guest.link);
    fx_fail(fx, RT_ETIMEDOUT);
    fx_none(fx, guest.link); /* the disk is tried again */
    fx_disk(fx, RT_EIO);
    fx_want_end_ok(fx, guest.link, RT_END_LATER);
    end(fx, guest.link, 4, 0, 0);
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
    assert_int_equal(fx->n_kept, 0);
}

/* The guest comes back, on another connection, while its end is under way. */
static void test_end_again_meanwhile(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_down(fx);
    end(fx, guest.link, 4, 3, 0);
    fx_lost(fx, guest.link);
    fx_serve(fx, &guest);
    end(fx, guest.link, 5, 3, 0); /* not decided yet */
    fx_want_end_ok(fx, guest.link, RT_END_LATER);
    fx_tail(fx, guest.link, RT_STDOUT, 0, "hi\n", 3);
    end(fx, guest.link, 4, 3, 0);
    fx_none(fx, guest.link);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    fx_none(fx, guest.link);
    assert_int_equal(fx->n_kept, 1);
    fx_up(fx, false, true);
    fx_answer(fx);
    assert_memory_equal(fx->tail[0], "hi\n", 3);
    assert_int_equal(fx_record(fx, "local", "web")->code, 4);
}

/* The first end of a life stands, on the disk as in the store. */
static void test_end_told_otherwise(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_down(fx);
    fx_tail(fx, guest.link, RT_STDOUT, 0, "hi\n", 3);
    end(fx, guest.link, 4, 3, 0);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    end(fx, guest.link, 4, 3, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    end(fx, guest.link, 5, 3, 0);
    fx_want_end_ok(fx, guest.link, RT_END_OTHER);
    fx_tail(fx, guest.link, RT_STDOUT, 0, "ho\n", 3);
    end(fx, guest.link, 4, 3, 0);
    fx_want_end_ok(fx, guest.link, RT_END_OTHER);
    fx_up(fx, false, true);
    fx_answer(fx);
    assert_int_equal(fx_record(fx, "local", "web")->code, 4);
    assert_memory_equal(fx->tail[0], "hi\n", 3);
    end(fx, guest.link, 5, 3, 0);
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_OTHER);
    assert_int_equal(fx_record(fx, "local", "web")->code, 4);
    assert_int_equal(fx->n_kept, 1);
    assert_int_equal(fx->n_events[RT_AGENT_ENDED], 2 + 3); /* kept, stored; each other one is told in the log */
}

/* A store that is full has no room for tails: it takes the status, and the end is offered again. */
static void test_end_in_a_full_store(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_tail(fx, guest.link, RT_STDOUT, 0, "hi\n", 3);
    end(fx, guest.link, 4, 3, 0);
    fx_answer_one(fx, RT_ELIMIT);
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    assert_int_equal(fx->n_submitted[RT_STORE_MARK], 1);
    assert_int_equal(fx->last[RT_STORE_MARK].tail[0].size, 0);
    fx_answer(fx);
    assert_int_equal(fx_record(fx, "local", "web")->rule.state, RT_SESSION_ENDED);
    assert_int_equal(fx_record(fx, "local", "web")->code, 4);
    assert_int_equal(fx->n_dropped, 0);
    fx_lost(fx, guest.link);
    for (unsigned i = 0; i < 5; i++) { /* again and again, each time later, marked once */
        fx_tick(fx, UINT64_C(1000) << i);
        fx_answer_one(fx, 0); /* the take */
        assert_int_equal(fx->n_submitted[RT_STORE_END], 2 + i);
        fx_answer_one(fx, RT_ELIMIT);
    }
    assert_int_equal(fx->n_submitted[RT_STORE_MARK], 1);
    assert_int_equal(fx->n_submitted[RT_STORE_STATE], 0);
    fx_tick(fx, 30000);
    fx_answer(fx);
    assert_int_equal(fx->n_dropped, 1);
    assert_memory_equal(fx->tail[0], "hi\n", 3);
}

/* The store comes back while it is asked to mark the end, and has lost the record: the end is offered again. */
static void test_mark_refused(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    end(fx, guest.link, 4, 0, 0);
    fx_answer_one(fx, RT_ELIMIT);
    fx_disk(fx, 0);
    assert_int_equal(fx->n_submitted[RT_STORE_MARK], 1);
    fx_record_lose(fx, "web");
    fx_up(fx, false, true);
    fx_answer(fx);
    fx_tick(fx, 30000);
    fx_answer(fx);
    assert_int_equal(fx_record(fx, "local", "web")->rule.state, RT_SESSION_ENDED);
    assert_int_equal(fx_record(fx, "local", "web")->code, 4);
    assert_int_equal(fx->n_dropped, 1);
}

static void test_end_kept_by_an_earlier_run(void **state)
{
    struct fx *fx = *state;
    struct rt_store_op op;
    struct rt_record *rule = &fx_record(fx, "local", "web")->rule;

    rule->exists = true;
    rule->state = RT_SESSION_MOVING;
    rule->life = 5;
    memset(&op, 0, sizeof(op));
    (void)snprintf(op.key.tenant, sizeof(op.key.tenant), "local");
    (void)snprintf(op.key.cid, sizeof(op.key.cid), "web");
    op.life = op.claim.life = 5;
    op.end.out = 2;
    op.tail[0] = rt_slice_text("ab");
    rt_agent_kept_end(fx->agent, &op, fx->now);
    (void)snprintf(op.key.cid, sizeof(op.key.cid), "gone"); /* its record is lost */
    rt_agent_kept_end(fx->agent, &op, fx->now);
    fx_up(fx, true, true);
    fx_answer(fx);
    assert_int_equal(rule->state, RT_SESSION_ENDED);
    assert_int_equal(fx->n_dropped, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_end_stored),
        FX_TEST(test_end_right_after_confirm),
        FX_TEST(test_end_tail_that_does_not_fit),
        FX_TEST(test_end_on_disk),
        FX_TEST(test_end_times_out),
        FX_TEST(test_end_not_found),
        FX_TEST(test_end_of_an_unclaimed_guest),
        FX_TEST(test_end_in_a_young_store),
        FX_TEST(test_end_of_an_older_start),
        FX_TEST(test_end_of_a_copy),
        FX_TEST(test_end_after_a_later_epoch),
        FX_TEST(test_end_of_a_life_that_is_over),
        FX_TEST(test_end_on_a_slow_disk),
        FX_TEST(test_end_when_both_fail),
        FX_TEST(test_end_again_meanwhile),
        FX_TEST(test_end_told_otherwise),
        FX_TEST(test_end_in_a_full_store),
        FX_TEST(test_mark_refused),
        FX_TEST(test_end_kept_by_an_earlier_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
