/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What clients are told of sessions: show and list, with a prefix, across tenants, and waiting. */

static void test_show(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local"), other = fx_client(fx, "other");
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_record(fx, "local", "web")->rule.state = RT_SESSION_MOVING; /* old news */
    request(fx, client, 9, ask("show", "web"));
    fx_answer(fx);
    want(fx, client, 9, RT_CLASS_OK);
    assert_int_equal(reply.n_recs, 1);
    assert_true(rt_slice_equal(reply.recs[0].cid, rt_slice_text("web")));
    assert_true(rt_slice_equal(reply.recs[0].tenant, rt_slice_text("local")));
    assert_true(rt_slice_equal(reply.recs[0].host, rt_slice_text("here")));
    assert_int_equal(reply.recs[0].state, RT_SESSION_RUNNING);
    assert_int_equal(reply.recs[0].life, guest.life);
    request(fx, client, 10, ask("show", "nothing"));
    request(fx, other, 11, ask("show", "web"));
    fx_answer(fx);
    want(fx, client, 10, RT_CLASS_NOT_FOUND);
    want(fx, other, 11, RT_CLASS_NOT_FOUND);
    request(fx, client, 12, ask("show", "web"));
    fx_fail(fx, RT_ETIMEDOUT); /* it serves it, so it can tell */
    want(fx, client, 12, RT_CLASS_OK);
    assert_int_equal(reply.recs[0].epoch, 1);
    fx_down(fx);
    request(fx, client, 13, ask("show", "web"));
    want(fx, client, 13, RT_CLASS_OK);
    request(fx, client, 14, ask("show", "db"));
    want(fx, client, 14, RT_CLASS_RETRY_LATER);
}

/* The store does not answer: what is served here is told with its label, which comes with the take's answer. */
static void test_show_without_the_store(void **state)
{
    static const char past[] = "1700 1 4096 7\na label1 1 300 hosta\n";
    struct fx *fx = *state;
    struct fx_guest guest;
    struct fx_past *kept = fx_record_past(fx, "local", "web");
    int client = fx_client(fx, "local");

    memcpy(kept->data, past, sizeof(past) - 1);
    kept->size = sizeof(past) - 1;
    fx_guest(&guest, "web", 1);
    fx_serve_unclaimed(fx, &guest);
    assert_true(fx_serves(fx, "web"));
    request(fx, client, 1, ask("show", "web"));
    fx_fail(fx, RT_ETIMEDOUT);
    fx_none(fx, client);
    fx_tick(fx, 1000); /* the take is repeated, and answered */
    fx_answer(fx);
    want(fx, client, 1, RT_CLASS_OK);
    assert_int_equal(reply.n_recs, 1);
    /* From here on it is known. */
    request(fx, client, 2, ask("show", "web"));
    fx_fail(fx, RT_ETIMEDOUT);
    want(fx, client, 2, RT_CLASS_OK);
    assert_int_equal(reply.n_recs, 1);
    assert_true(rt_slice_equal(reply.recs[0].label, rt_slice_text("a label")));
    assert_int_equal(reply.recs[0].moves, 1);
    assert_int_equal(reply.recs[0].n_hist, 1);
    /* Another guest's take is never answered: told without it, in the end. */
    fx_guest(&guest, "db", 2);
    fx_serve_unclaimed(fx, &guest);
    request(fx, client, 3, ask("show", "db"));
    fx_fail(fx, RT_ETIMEDOUT);
    fx_tick(fx, 1999);
    fx_none(fx, client);
    fx_tick(fx, 1);
    fx_fail(fx, RT_ETIMEDOUT);
    want(fx, client, 3, RT_CLASS_OK);
    assert_int_equal(reply.n_recs, 1);
    assert_int_equal(reply.recs[0].label.size, 0);
}

static void test_show_prefix(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");
    struct rt_request_msg msg = ask("show", "we");

    msg.prefix = true;
    running(fx, "local", "web", "there");
    running(fx, "other", "website", "there");
    fx_request(fx, client, 1, &msg);
    fx_answer(fx);
    want(fx, client, 1, RT_CLASS_OK);
    assert_true(rt_slice_equal(reply.recs[0].cid, rt_slice_text("web")));
    for (unsigned i = 0; i < 9; i++) {
        char cid[8];
        (void)snprintf(cid, sizeof(cid), "web%u", i);
        running(fx, "local", cid, "there");
    }
    fx->page = 2;
    fx_request(fx, client, 2, &msg);
    fx_answer(fx);
    want(fx, client, 2, RT_CLASS_AMBIGUOUS);
    assert_true(rt_slice_equal(reply.m, rt_slice_text("web, web0, web1, web2, web3 and more")));
    fx->page = RT_LIST_MAX; /* all are seen: it is told how many */
    fx_request(fx, client, 5, &msg);
    fx_answer(fx);
    want(fx, client, 5, RT_CLASS_AMBIGUOUS);
    assert_true(rt_slice_equal(reply.m, rt_slice_text("web, web0, web1, web2, web3 and 5 more")));
    msg.cid = rt_slice_text("web"); /* whole: fits, whatever else begins with it */
    fx_request(fx, client, 3, &msg);
    fx_answer(fx);
    want(fx, client, 3, RT_CLASS_OK);
    assert_true(rt_slice_equal(reply.recs[0].cid, rt_slice_text("web")));
    msg.cid = rt_slice_text("x");
    fx_request(fx, client, 4, &msg);
    fx_answer(fx);
    want(fx, client, 4, RT_CLASS_NOT_FOUND);
}

static void test_show_across_tenants(void **state)
{
    struct fx *fx = *state;
    int boss = fx_client(fx, "");

    running(fx, "one", "web", "there");
    running(fx, "one", "website", "there");
    running(fx, "two", "db", "there");
    request(fx, boss, 1, ask("show", "web"));
    fx_answer(fx);
    want(fx, boss, 1, RT_CLASS_OK);
    assert_true(rt_slice_equal(reply.recs[0].tenant, rt_slice_text("one")));
    request(fx, boss, 2, ask("show", "two/db"));
    fx_answer(fx);
    want(fx, boss, 2, RT_CLASS_OK);
    running(fx, "two", "web", "there");
    request(fx, boss, 3, ask("show", "web"));
    fx_answer(fx);
    want(fx, boss, 3, RT_CLASS_AMBIGUOUS);
    assert_true(rt_slice_equal(reply.m, rt_slice_text("one/web, two/web")));
}

static void test_show_waits(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");
    struct rt_request_msg msg = ask("show", "web");
    struct fx_guest guest;

    msg.wait = 2000;
    fx_request(fx, client, 1, &msg);
    fx_answer(fx);
    fx_none(fx, client);
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    want(fx, client, 1, RT_CLASS_OK);
    assert_int_equal(reply.recs[0].state, RT_SESSION_RUNNING);
    fx_request(fx, client, 2, &msg); /* nothing to wait for */
    fx_answer(fx);
    want(fx, client, 2, RT_CLASS_OK);
    msg.cid = rt_slice_text("db");
    fx_request(fx, client, 3, &msg);
    fx_answer(fx);
    fx_tick(fx, 1999);
    fx_none(fx, client);
    fx_tick(fx, 1);
    fx_answer(fx);
    want(fx, client, 3, RT_CLASS_NOT_FOUND);
    fx_request(fx, client, 4, &msg);
    fx_answer(fx);
    running(fx, "local", "db", "there");
    fx_claimed(fx, "db", "there", 3, 3);
    fx_answer(fx);
    want(fx, client, 4, RT_CLASS_OK);
    msg.cid = rt_slice_text("mq");
    fx_request(fx, client, 5, &msg);
    fx_answer(fx);
    fx_lost(fx, client);
    fx_tick(fx, 5000);
}

/* A prefix may come to fit another container while it is waited for. */
static void test_wait_with_a_prefix(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");
    struct rt_request_msg bad[] = {{.op = rt_slice_text("show"), .cid = rt_slice_text("we"), .prefix = true, .wait = 1},
                                   {.op = rt_slice_text("list"), .wait = 1},
                                   {.op = rt_slice_text("tails"), .cid = rt_slice_text("web"), .wait = 1}};
    struct rt_reply_msg answer;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fx_request(fx, client, i + 1, &bad[i]);
        fx_reply(fx, client, i + 1, &answer);
        assert_int_equal(answer.c, RT_CLASS_INVALID);
        assert_true(answer.m.size > 0);
    }
    assert_int_equal(fx->n_ops, 0);
}

static void test_list(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");
    struct rt_request_msg msg = ask("list", "");
    size_t n = 0;

    request(fx, client, 1, msg);
    fx_answer(fx);
    want(fx, client, 1, RT_CLASS_OK);
    assert_int_equal(reply.n_recs, 0);
    assert_false(reply.more);
    for (unsigned i = 0; i < 50; i++) {
        char cid[8];
        (void)snprintf(cid, sizeof(cid), "c%02u", i);
        running(fx, i % 10 == 9 ? "other" : "local", cid, i < 10 ? "there" : "here");
    }
    fx_request(fx, client, 2, &msg);
    fx_answer(fx);
    do {
        want(fx, client, 2, RT_CLASS_OK);
        n += reply.n_recs;
    } while (reply.more);
    assert_int_equal(n, 45);
    fx_none(fx, client);
    msg.cid = rt_slice_text("c0");
    msg.host = rt_slice_text("there");
    fx_request(fx, client, 3, &msg);
    fx_answer(fx);
    want(fx, client, 3, RT_CLASS_OK);
    assert_int_equal(reply.n_recs, 9);
    assert_false(reply.more);
    request(fx, client, 4, ask("list", ""));
    fx_fail(fx, RT_EUNAVAIL);
    want(fx, client, 4, RT_CLASS_RETRY_LATER);
}

static void test_list_waits_for_the_reader(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");

    running(fx, "local", "a", "there");
    running(fx, "local", "b", "there");
    fx->page = 1;
    request(fx, client, 1, ask("list", ""));
    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    fx_answer(fx);
    want(fx, client, 1, RT_CLASS_OK);
    assert_true(reply.more);
    fx_none(fx, client);
    fx_queued(fx, client, 0);
    fx_answer(fx);
    want(fx, client, 1, RT_CLASS_OK);
    assert_false(reply.more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_wait_with_a_prefix),
        FX_TEST(test_show),
        FX_TEST(test_show_without_the_store),
        FX_TEST(test_show_prefix),
        FX_TEST(test_show_across_tenants),
        FX_TEST(test_show_waits),
        FX_TEST(test_list),
        FX_TEST(test_list_waits_for_the_reader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
