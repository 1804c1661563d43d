/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/held.h"
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A served session: news, loss, reports, a fresh store, and the stop of the agent. */

static void report(struct fx *fx, int link, unsigned n_atts, uint64_t head)
{
    static struct rt_report_msg msg;
    static const uint8_t id[RT_ID_SIZE];

    memset(&msg, 0, sizeof(msg));
    msg.n_procs = 1;
    msg.procs[0].st = 1;
    msg.procs[0].n_base = msg.procs[0].n_head = 3;
    msg.procs[0].head[0] = head;
    msg.n_atts = n_atts;
    for (unsigned i = 0; i < n_atts; i++) {
        msg.atts[i].id = (struct rt_slice){id, sizeof(id)};
        msg.atts[i].n_cons = 3;
        msg.atts[i].n_app = 2;
    }
    fx_msg(fx, link, &(struct rt_frame){.type = RT_REPORT}, RT_MSG_REPORT, &msg);
}

static void test_news_drop_the_guest(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    struct rt_refuse_msg refuse;
    int client = fx_client(fx, "local");

    fx_host(fx, "there", true);
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_attach(fx, client, 1, "web", 0, 0, 0);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    fx_claimed(fx, "web", "there", guest.life, 0); /* not newer */
    fx_claimed(fx, "web", "here", guest.life, 2);  /* one's own */
    assert_true(fx_serves(fx, "web"));
    fx_claimed(fx, "web", "there", guest.life, 2);
    assert_false(fx_serves(fx, "web"));
    fx_want_refuse(fx, client, 1, RT_CLASS_MOVED, &refuse);
    assert_int_equal(refuse.epoch, 2);
    assert_false(fx_closed(fx, guest.link)); /* asked once more: a copy would answer */
    fx_tick(fx, 1000);
    assert_true(fx_closed(fx, guest.link));
    assert_int_equal(fx_stats(fx).forks, 0);
    fx_answer(fx);
    fx_tick(fx, RT_LOST_AFTER_MS);
    fx_answer(fx);
    assert_int_equal(fx->n_submitted[RT_STORE_STATE], 0); /* not this agent's to write */
}

/* Of two writes of a state under way the first fails: nothing is left to write once the second is there. */
static void test_state_written_twice(void **state)
{
    struct fx *fx = *state;
    struct rt_store_reply failed = {.kind = RT_STORE_STATE, .error = RT_EUNAVAIL};
    struct rt_record *rule = &fx_record(fx, "local", "web")->rule;
    int client = fx_client(fx, "local");

    rule->exists = true;
    rule->state = RT_SESSION_RUNNING;
    rule->life = rule->epoch = 3;
    memcpy(rule->host, "here", sizeof("here"));
    fx_attach(fx, client, 1, "web", 0, 0, 0);
    fx_answer(fx);
    fx_tick(fx, RT_LOST_AFTER_MS);
    assert_int_equal(fx->n_ops, 1);
    failed.id = fx->last[RT_STORE_STATE].id;
    fx->n_ops = 0; /* stays without an answer */
    fx_attach(fx, client, 2, "web", 0, 0, 0);
    fx_answer(fx);
    fx_tick(fx, RT_LOST_AFTER_MS);
    rt_agent_store_reply(fx->agent, &failed, fx->now);
    fx_answer(fx);
    assert_int_equal(rule->state, RT_SESSION_LOST);
    fx_tick(fx, RT_LEASE_MS);
    fx_answer(fx);
    fx_tick(fx, RT_LEASE_MS);
    assert_int_equal(fx->n_submitted[RT_STORE_STATE], 2);
    assert_int_equal(fx_stats(fx).sessions, 0);
}

/* The session may be forgotten when they come. Nobody serves it: it is written lost, which a store without the record
 * refuses, and is forgotten again. */
static void test_news_of_ones_own_claim(void **state)
{
    struct fx *fx = *state;

    fx_claimed(fx, "web", "here", 5, 1);
    fx_tick(fx, RT_LOST_AFTER_MS);
    fx_answer(fx);
    assert_int_equal(fx->n_submitted[RT_STORE_STATE], 1);
    fx_tick(fx, RT_LEASE_MS);
    fx_answer(fx);
    assert_int_equal(fx_stats(fx).sessions, 0);
}

static void test_news_of_a_fork(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_claimed(fx, "web", "there", guest.life, 2);
    (void)fx_want(fx, guest.link, RT_PING, &frame);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PONG, .offset = frame.offset}, NULL);
    assert_true(fx_closed(fx, guest.link));
    assert_int_equal(fx_stats(fx).forks, 1);
    assert_int_equal(fx->n_events[RT_AGENT_FORKED], 1);
}

/* What the guest said before the claim was made, or says without having been asked, proves nothing. */
static void test_old_pongs_prove_no_fork(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame old, fresh;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_tick(fx, RT_PING_IDLE_MS);
    (void)fx_want(fx, guest.link, RT_PING, &old);
    fx_claimed(fx, "web", "there", guest.life, 2);
    (void)fx_want(fx, guest.link, RT_PING, &fresh);
    assert_true(old.offset != fresh.offset);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PONG, .offset = old.offset}, NULL);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PONG, .offset = 1}, NULL);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PONG, .offset = guest.epoch}, NULL);
    assert_false(fx_closed(fx, guest.link));
    fx_tick(fx, 1000);
    assert_true(fx_closed(fx, guest.link));
    assert_int_equal(fx_stats(fx).forks, 0);
    assert_int_equal(fx->n_events[RT_AGENT_FORKED], 0);
}

/* A copy that was given the same life took it at the same epoch: the larger incarnation has it. */
static void test_news_of_a_tie(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve_unclaimed(fx, &guest);
    fx_claimed(fx, "web", "there", guest.life, 1); /* this agent's take is not answered: the store decides */
    assert_true(fx_serves(fx, "web"));
    fx_tick(fx, 50);
    fx_answer(fx);
    assert_int_equal(fx_stats(fx).provisional, 0);
    fx_claimed(fx, "web", "there", guest.life, 1);
    assert_false(fx_serves(fx, "web"));
}

static void test_news_lost(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_store_record *record;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    record = fx_record(fx, "local", "web");
    record->rule.epoch = 4;
    (void)snprintf(record->rule.host, sizeof(record->rule.host), "there");
    report(fx, guest.link, 0, 5);
    fx_answer(fx); /* the refused write tells of the claim */
    assert_false(fx_serves(fx, "web"));
}

static void test_guest_lost(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_store_record *record;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    record = fx_record(fx, "local", "web");
    fx_lost(fx, guest.link);
    fx_tick(fx, RT_MOVING_AFTER_MS - 1);
    fx_answer(fx);
    assert_int_equal(record->rule.state, RT_SESSION_RUNNING);
    fx_tick(fx, 1);
    fx_answer(fx);
    assert_int_equal(record->rule.state, RT_SESSION_MOVING);
    fx_tick(fx, RT_LOST_AFTER_MS - RT_MOVING_AFTER_MS - 1);
    fx_answer(fx);
    assert_int_equal(record->rule.state, RT_SESSION_MOVING);
    fx_tick(fx, 1);
    fx_answer(fx);
    assert_int_equal(record->rule.state, RT_SESSION_LOST);
    fx_serve(fx, &guest);
    assert_int_equal(record->rule.state, RT_SESSION_RUNNING);
    fx_tick(fx, UINT64_C(2) * RT_LOST_AFTER_MS);
    fx_answer(fx);
    assert_int_equal(record->rule.state, RT_SESSION_RUNNING);
}

/* The agent that a guest leaves asks the store nothing and writes nothing, for it and for who waits for it, as long as
 * the news may come. */
static void test_a_move_is_cheap(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int client = fx_client(fx, "local");
    size_t states, gets;

    fx_host(fx, "there", 1);
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_lost(fx, guest.link);
    states = fx->n_submitted[RT_STORE_STATE];
    gets = fx->n_submitted[RT_STORE_GET];
    fx_attach(fx, client, 1, "web", 500, 0, 0);
    fx_tick(fx, AG_LOOK_GONE_MS - 1);
    fx_claimed(fx, "web", "there", guest.life, guest.epoch + 1);
    fx_want_refuse(fx, client, 1, RT_CLASS_MOVED, NULL);
    fx_tick(fx, 2);
    assert_int_equal(fx->n_submitted[RT_STORE_STATE], states);
    assert_int_equal(fx->n_submitted[RT_STORE_GET], gets);
}

/* The first report of a guest that was taken before does not go just behind its claim. */
static void test_report_of_a_guest_that_came_back(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    size_t reports;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_lost(fx, guest.link);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    fx_confirm(fx, &guest);
    report(fx, guest.link, 1, 7);
    fx_answer(fx);
    reports = fx->n_submitted[RT_STORE_REPORT];
    fx_tick(fx, 1000 - 1);
    assert_int_equal(fx->n_submitted[RT_STORE_REPORT], reports);
    fx_tick(fx, 1);
    assert_int_equal(fx->n_submitted[RT_STORE_REPORT], reports + 1);
}

/* The news of where the guest went are lost: who waits looks, before it gives up. */
static void test_a_move_without_news(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_store_record *record;
    int client = fx_client(fx, "local");

    fx_host(fx, "there", 1);
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    record = fx_record(fx, "local", "web");
    fx_lost(fx, guest.link);
    fx_attach(fx, client, 1, "web", 500, 0, 0);
    record->rule.epoch++;
    memcpy(record->rule.host, "there", sizeof("there"));
    fx_tick(fx, AG_LOOK_GONE_MS);
    fx_answer(fx);
    fx_want_refuse(fx, client, 1, RT_CLASS_MOVED, NULL);
    assert_int_equal(record->rule.state, RT_SESSION_RUNNING);
}

static void test_lost_is_written_when_the_store_is_back(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_down(fx);
    fx_lost(fx, guest.link);
    fx_tick(fx, 4000);
    fx_up(fx, false, true);
    fx_answer(fx);
    fx_tick(fx, 1000);
    fx_answer(fx);
    assert_int_equal(fx_record(fx, "local", "web")->rule.state, RT_SESSION_LOST);
}

static void test_reports(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    size_t written;

    fx_guest(&guest, "web", 1);
    fx_hello(fx, &guest);
    fx_answer(fx);
    fx_welcome(fx, &guest, NULL);
    fx_confirm(fx, &guest);
    report(fx, guest.link, 1, 1); /* in the confirm's flight: before the take is answered */
    assert_int_equal(fx->n_submitted[RT_STORE_REPORT], 0);
    fx_answer(fx);
    assert_int_equal(fx->n_submitted[RT_STORE_REPORT], 1);
    report(fx, guest.link, 1, 1); /* nothing new */
    fx_tick(fx, 1000);
    assert_int_equal(fx->n_submitted[RT_STORE_REPORT], 1);
    written = fx->n_submitted[RT_STORE_REPORT];
    for (unsigned i = 0; i < 20; i++) {
        report(fx, guest.link, 1, 10 + i);
        fx_tick(fx, 100);
        fx_answer(fx);
    }
    assert_true(fx->n_submitted[RT_STORE_REPORT] <= written + 3);
    assert_true(fx->n_submitted[RT_STORE_REPORT] >= written + 2);
    report(fx, guest.link, RT_ATTS_MAX, 99); /* shortened to what a record takes */
    fx_tick(fx, 1000);
    fx_answer(fx);
    assert_true(fx->report_size <= RT_REPORT_MAX);
    assert_true(fx->report_size > RT_REPORT_MAX / 2);
    written = fx->n_submitted[RT_STORE_REPORT];
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_REPORT, .length = 2}, "\xc1\xc1");
    fx_tick(fx, 4000);
    fx_answer(fx);
    assert_int_equal(fx->n_submitted[RT_STORE_REPORT], written); /* an idle session writes nothing */
}

static void test_report_fails(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    report(fx, guest.link, 0, 1);
    assert_int_equal(fx->n_submitted[RT_STORE_REPORT], 1);
    fx_fail(fx, RT_ETIMEDOUT);
    fx_tick(fx, 1000);
    assert_int_equal(fx->n_submitted[RT_STORE_REPORT], 2);
    fx_answer(fx);
    fx_tick(fx, 3000);
    assert_int_equal(fx->n_submitted[RT_STORE_REPORT], 2);
}

static void test_fresh_store(void **state)
{
    struct fx *fx = *state;
    struct fx_guest web, db;
    size_t takes;

    fx_guest(&web, "web", 1);
    fx_guest(&db, "db", 2);
    fx_serve(fx, &web);
    fx_serve(fx, &web);
    fx_serve(fx, &db);
    takes = fx->n_submitted[RT_STORE_TAKE];
    fx_up(fx, false, true); /* the same store: nothing to do */
    fx_answer(fx);
    assert_int_equal(fx->n_submitted[RT_STORE_TAKE], takes);
    fx_up(fx, true, false);
    fx_answer(fx);
    assert_int_equal(fx->n_submitted[RT_STORE_TAKE], takes + 2);
    fx->n_records = 0; /* flushed */
    fx_up(fx, true, false);
    fx_answer(fx);
    assert_int_equal(fx->n_records, 2);
    assert_int_equal(fx_record(fx, "local", "web")->rule.life, web.life);
    assert_int_equal(fx_record(fx, "local", "web")->rule.epoch, 2);
    assert_int_equal(fx_record(fx, "local", "db")->rule.life, db.life);
    assert_int_equal(fx_stats(fx).served, 2);
    fx_serve(fx, &web); /* its ticket descends from what was written */
    assert_int_equal(fx_record(fx, "local", "web")->rule.epoch, 3);
}

static void test_fresh_store_refuses(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_record *rule;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    rule = &fx_record(fx, "local", "web")->rule;
    rule->life += 100; /* another start was served meanwhile */
    memset(rule->inc.b, 9, sizeof(rule->inc.b));
    (void)snprintf(rule->host, sizeof(rule->host), "there");
    fx_up(fx, true, true);
    fx_answer(fx);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_SUPERSEDED, NULL);
    assert_false(fx_serves(fx, "web"));
    assert_int_equal(fx_stats(fx).served, 0);
}

static void test_census(void **state)
{
    struct fx *fx = *state;
    struct rt_record *rule;

    for (unsigned i = 0; i < 5; i++) {
        char cid[8];
        (void)snprintf(cid, sizeof(cid), "c%u", i);
        rule = &fx_record(fx, "local", cid)->rule;
        rule->exists = true;
        rule->state = RT_SESSION_RUNNING;
        rule->life = rule->epoch = 3;
        (void)snprintf(rule->host, sizeof(rule->host), i == 4 ? "there" : "here");
    }
    fx->page = 2;
    fx_up(fx, true, true);
    fx_answer(fx);
    fx_tick(fx, RT_LOST_AFTER_MS);
    fx_answer(fx);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(fx->records[i].rule.state, i == 4 ? RT_SESSION_RUNNING : RT_SESSION_LOST);
    }
}

static void test_stop(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_peer peer;
    int client = fx_client(fx, "local");
    size_t written;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_attach(fx, client, 1, "web", 0, 0, 0);
    report(fx, guest.link, 0, 1);
    report(fx, guest.link, 0, 2);
    written = fx->n_submitted[RT_STORE_REPORT];
    rt_agent_stop(fx->agent, fx->now);
    assert_int_equal(fx->n_submitted[RT_STORE_REPORT], written + 1);
    assert_true(fx_closed(fx, guest.link));
    fx_want_refuse(fx, client, 1, RT_CLASS_LOST, NULL);
    fx_want_refuse(fx, client, 0, RT_CLASS_LOST, NULL);
    assert_int_equal(fx_stats(fx).links, 0);
    memset(&peer, 0, sizeof(peer));
    assert_int_equal(rt_agent_opened(fx->agent, &peer, fx->now), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_news_drop_the_guest),
        FX_TEST(test_state_written_twice),
        FX_TEST(test_news_of_ones_own_claim),
        FX_TEST(test_news_of_a_fork),
        FX_TEST(test_old_pongs_prove_no_fork),
        FX_TEST(test_news_of_a_tie),
        FX_TEST(test_news_lost),
        FX_TEST(test_guest_lost),
        FX_TEST(test_a_move_is_cheap),
        FX_TEST(test_a_move_without_news),
        FX_TEST(test_report_of_a_guest_that_came_back),
        FX_TEST(test_lost_is_written_when_the_store_is_back),
        FX_TEST(test_reports),
        FX_TEST(test_report_fails),
        FX_TEST(test_fresh_store),
        FX_TEST(test_fresh_store_refuses),
        FX_TEST(test_census),
        FX_TEST(test_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
