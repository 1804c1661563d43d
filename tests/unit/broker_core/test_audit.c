/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/pace.h"
#include "session/core/msg_stream.h"
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Records that the store has lost alone, made anew or set back while their guests are served. */

static struct rt_store_record *web(struct fx *fx)
{
    return fx_record(fx, "local", "web");
}

/* Serves "web", whose record has a past. */
static void serve(struct fx *fx, struct fx_guest *guest)
{
    struct fx_past *past = fx_record_past(fx, "local", "web");

    memcpy(past->data, "past", 4);
    past->size = 4;
    fx_guest(guest, "web", 1);
    fx_serve(fx, guest);
    assert_true(fx_serves(fx, "web"));
}

static void audit(struct fx *fx, const struct fx_guest *guest)
{
    fx_tick(fx, RT_AUDIT_MS / 3);
    fx_send(fx, guest->link, &(struct rt_frame){.type = RT_PING}, NULL);
    fx_tick(fx, RT_AUDIT_MS / 3);
    fx_send(fx, guest->link, &(struct rt_frame){.type = RT_PING}, NULL);
    fx_tick(fx, RT_AUDIT_MS / 3);
    fx_send(fx, guest->link, &(struct rt_frame){.type = RT_PING}, NULL);
    assert_true(fx->last[RT_STORE_GET].audit);
    fx_answer(fx);
}

static void report(struct fx *fx, const struct fx_guest *guest, uint64_t head)
{
    static struct rt_report_msg msg;

    memset(&msg, 0, sizeof(msg));
    msg.n_procs = 1;
    msg.procs[0].st = 1;
    msg.procs[0].n_base = msg.procs[0].n_head = 3;
    msg.procs[0].head[0] = head;
    fx_msg(fx, guest->link, &(struct rt_frame){.type = RT_REPORT}, RT_MSG_REPORT, &msg);
}

static void assert_back(struct fx *fx, const struct fx_guest *guest)
{
    assert_true(web(fx)->rule.exists);
    assert_int_equal(web(fx)->rule.state, RT_SESSION_RUNNING);
    assert_int_equal(web(fx)->rule.life, guest->life);
    assert_int_equal(web(fx)->rule.epoch, guest->epoch);
    assert_true(fx_serves(fx, "web"));
}

/* The audit finds no record: it is there again, with its past and the newest report. */
static void test_lost_found_by_audit(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    size_t reports;

    serve(fx, &guest);
    report(fx, &guest, 1);
    fx_answer(fx);
    reports = fx->n_submitted[RT_STORE_REPORT];
    fx_record_lose(fx, "web");
    audit(fx, &guest);
    assert_back(fx, &guest);
    assert_memory_equal(fx_record_past(fx, "local", "web")->data, "past", 4);
    fx_tick(fx, 1000);
    assert_int_equal(fx->n_submitted[RT_STORE_REPORT], reports + 1);
}

/* So does a report that is refused, at once; and it is written again. */
static void test_lost_found_by_report(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    size_t reports;

    serve(fx, &guest);
    fx_record_lose(fx, "web");
    report(fx, &guest, 1);
    reports = fx->n_submitted[RT_STORE_REPORT];
    fx_answer(fx);
    assert_back(fx, &guest);
    fx_tick(fx, 1000);
    assert_int_equal(fx->n_submitted[RT_STORE_REPORT], reports + 1);
}

/* Made anew where it was lost: who serves it is told, and has it again. */
static void test_made_anew(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    serve(fx, &guest);
    fx_record_lose(fx, "web");
    web(fx)->rule.exists = true;
    web(fx)->rule.state = RT_SESSION_CREATED;
    fx_claimed(fx, "web", "", 0, 0);
    fx_answer(fx);
    assert_back(fx, &guest);
    /* Also when the news of it are lost. */
    memset(&web(fx)->rule, 0, sizeof(web(fx)->rule));
    web(fx)->rule.exists = true;
    web(fx)->rule.state = RT_SESSION_CREATED;
    audit(fx, &guest);
    assert_back(fx, &guest);
    fx_claimed(fx, "db", "", 0, 0); /* not served here */
    assert_int_equal(fx_stats(fx).sessions, 1);
}

/* At an older claim of this host or another. */
static void test_set_back(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    serve(fx, &guest);
    fx_lost(fx, guest.link);
    fx_answer(fx);
    fx_serve(fx, &guest);
    for (int other = 0; other < 2; other++) {
        struct rt_record *rule = &web(fx)->rule;

        rule->epoch = 1;
        rule->ticket = rule->ancestors[0];
        rule->n_ancestors = 0;
        memset(rule->nonce.b, 9, sizeof(rule->nonce.b));
        if (other) {
            memcpy(rule->host, "other", sizeof("other"));
        }
        audit(fx, &guest);
        assert_back(fx, &guest);
        assert_string_equal(web(fx)->rule.host, "here");
    }
}

static void end(struct fx *fx, struct fx_guest *guest)
{
    struct rt_end_msg end = {.code = 3};

    serve(fx, guest);
    fx_msg(fx, guest->link, &(struct rt_frame){.type = RT_END}, RT_MSG_END, &end);
    fx_answer(fx);
    assert_int_equal(web(fx)->rule.state, RT_SESSION_ENDED);
}

/* Taken again it would seem to run, and its status would be gone: the guest comes back, and tells its end anew. */
static void test_end_lost(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    for (int how = 0; how < 3; how++) {
        struct rt_record *rule = &web(fx)->rule;
        size_t takes;

        end(fx, &guest);
        takes = fx->n_submitted[RT_STORE_TAKE];
        if (how == 0) { /* all of it */
            fx_record_lose(fx, "web");
        } else if (how == 1) { /* back to when it ran */
            rule->state = RT_SESSION_RUNNING;
        } else { /* to another host's end of it */
            rule->epoch--;
            memcpy(rule->host, "other", sizeof("other"));
        }
        audit(fx, &guest);
        assert_true(fx_closed(fx, guest.link));
        assert_int_equal(fx->n_submitted[RT_STORE_TAKE], takes);
        fx_record_lose(fx, "web");
    }
}

/* An end on this host's disk is on its way into the store, whose record says meanwhile that it runs. */
static void test_end_under_way(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_end_msg end = {.code = 3};

    serve(fx, &guest);
    fx_msg(fx, guest.link, &(struct rt_frame){.type = RT_END}, RT_MSG_END, &end);
    fx_fail(fx, RT_EUNAVAIL);
    fx_disk(fx, 0);
    for (uint64_t ms = 0; !fx->last[RT_STORE_GET].audit && ms < RT_AUDIT_MS; ms += 100) {
        fx_tick(fx, 100);
        fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PING}, NULL);
        if (!fx->last[RT_STORE_GET].audit) {
            fx_fail(fx, RT_EUNAVAIL);
        }
    }
    assert_true(fx->last[RT_STORE_GET].audit);
    assert_int_equal(web(fx)->rule.state, RT_SESSION_RUNNING);
    fx_answer(fx);
    assert_false(fx_closed(fx, guest.link));
}

/* The more sessions all hosts serve, the less often each is audited. No row counts for more than a host can have. */
static void test_pace(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    size_t before;

    fx_host(fx, "big", true);
    fx->hosts[0].row.sessions = UINT64_C(1) << 40;
    fx_host(fx, "large", true);
    fx->hosts[1].row.sessions = 15616;
    fx_beats(fx, 3);
    serve(fx, &guest);
    before = fx->n_submitted[RT_STORE_GET];
    for (unsigned i = 0; i < 4 * 40; i++) {
        fx_beats(fx, 1);
        fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PING}, NULL);
    }
    assert_in_range(fx->n_submitted[RT_STORE_GET] - before, 3, 5);
    fx->hosts[0].row.sessions = fx->hosts[1].row.sessions = 0;
    for (unsigned i = 0; i < 40; i++) {
        fx_beats(fx, 1);
        fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PING}, NULL);
    }
    before = fx->n_submitted[RT_STORE_GET];
    for (unsigned i = 0; i < 4 * 15; i++) {
        fx_beats(fx, 1);
        fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PING}, NULL);
    }
    assert_in_range(fx->n_submitted[RT_STORE_GET] - before, 3, 5);
}

/* The guest has just gone when its record is found missing: it is there again, and lost if the guest does not come. */
static void test_lost_while_moving(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    serve(fx, &guest);
    fx_record_lose(fx, "web");
    fx_lost(fx, guest.link);
    fx_tick(fx, RT_MOVING_AFTER_MS);
    fx_answer(fx);
    assert_true(web(fx)->rule.exists);
    assert_memory_equal(fx_record_past(fx, "local", "web")->data, "past", 4);
    fx_tick(fx, RT_LOST_AFTER_MS);
    fx_answer(fx);
    assert_int_equal(web(fx)->rule.state, RT_SESSION_LOST);
    fx_serve(fx, &guest);
    assert_back(fx, &guest);
}

/* News come late, of a claim that the store has lost since with the record: the one that was made anew is known as lost
 * all the same, as nobody serves it. */
static void test_late_news_of_a_lost_record(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    serve(fx, &guest);
    fx_record_lose(fx, "web");
    fx_lost(fx, guest.link);
    fx_tick(fx, RT_MOVING_AFTER_MS);
    fx_answer(fx);
    assert_true(web(fx)->rule.exists);
    fx_claimed(fx, "web", "other", guest.life, guest.epoch + 5);
    fx_answer(fx);
    assert_int_equal(web(fx)->rule.state, RT_SESSION_LOST);
    assert_int_equal(web(fx)->rule.epoch, guest.epoch);
}

/* Its name is not given away here meanwhile, and the record is there again. */
static void test_create_of_what_is_served(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_request_msg msg = {.op = rt_slice_text("create"), .cid = rt_slice_text("web")};
    struct rt_reply_msg reply;
    int client = fx_client(fx, "local");

    serve(fx, &guest);
    fx_record_lose(fx, "web");
    fx_request(fx, client, 5, &msg);
    fx_answer(fx);
    fx_reply(fx, client, 5, &reply);
    assert_int_equal(reply.c, RT_CLASS_LIMIT);
    assert_back(fx, &guest);
}

/* Somebody took this host for dead. */
static void test_written_lost_by_another(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    serve(fx, &guest);
    web(fx)->rule.state = RT_SESSION_LOST;
    audit(fx, &guest);
    assert_back(fx, &guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_lost_found_by_audit),
        FX_TEST(test_lost_found_by_report),
        FX_TEST(test_made_anew),
        FX_TEST(test_set_back),
        FX_TEST(test_end_lost),
        FX_TEST(test_end_under_way),
        FX_TEST(test_pace),
        FX_TEST(test_lost_while_moving),
        FX_TEST(test_late_news_of_a_lost_record),
        FX_TEST(test_create_of_what_is_served),
        FX_TEST(test_written_lost_by_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
