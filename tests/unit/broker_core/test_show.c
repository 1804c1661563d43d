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

/* All that a list has, which must be in one REPLY. */
static size_t listed(struct fx *fx, int client, struct rt_request_msg msg)
{
    static uint64_t id = 100;

    request(fx, client, ++id, msg);
    fx_answer(fx);
    want(fx, client, id, RT_CLASS_OK);
    assert_false(reply.more);
    return reply.n_recs;
}

/* By state, age and label, all that are asked for; the state is the one that is told. */
static void test_list_which(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int client = fx_client(fx, "local");
    struct rt_request_msg msg = ask("list", "");
    struct rt_store_record *old;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_record(fx, "local", "web")->rule.state = RT_SESSION_MOVING; /* this agent knows better */
    fx_record(fx, "local", "web")->made_ms = fx->store_ms;
    running(fx, "local", "db", "there");
    old = fx_record(fx, "local", "db");
    old->made_ms = fx->store_ms - 60000;
    old->rule.state = RT_SESSION_LOST;
    (void)snprintf(old->label, sizeof(old->label), "of the shop");
    fx_beats(fx, 1); /* the store's clock is known */
    assert_int_equal(listed(fx, client, msg), 2);
    msg.states = 1U << RT_SESSION_RUNNING;
    assert_int_equal(listed(fx, client, msg), 1);
    assert_true(rt_slice_equal(reply.recs[0].cid, rt_slice_text("web")));
    msg.states = 1U << RT_SESSION_LOST | 1U << RT_SESSION_ENDED;
    assert_int_equal(listed(fx, client, msg), 1);
    assert_true(rt_slice_equal(reply.recs[0].cid, rt_slice_text("db")));
    msg.states = 1U << RT_SESSION_ENDED;
    assert_int_equal(listed(fx, client, msg), 0);
    msg.states = 0;
    msg.older = 50000;
    assert_int_equal(listed(fx, client, msg), 1);
    assert_true(rt_slice_equal(reply.recs[0].cid, rt_slice_text("db")));
    msg.older = 62000;
    assert_int_equal(listed(fx, client, msg), 0);
    fx_tick(fx, 2000); /* the store's clock goes on, also while nobody hears of it */
    assert_int_equal(listed(fx, client, msg), 1);
    msg.older = 0;
    msg.label = rt_slice_text("shop");
    assert_int_equal(listed(fx, client, msg), 1);
    msg.label = rt_slice_text("of the shops");
    assert_int_equal(listed(fx, client, msg), 0);
}

/* In pages: each answer ends early and says where the next one goes on; so does one that finds nothing for long. */
static void test_list_pages(void **state)
{
    static const char *const bad[] = {"x any ",
                                      "1",
                                      "1  local/c01",
                                      "1 any local/c01 more",
                                      "1 any other/c01",
                                      "1 any\n local/c01",
                                      "99999999999999999 any ",
                                      "1 any locals/c01"};
    struct fx *fx = *state;
    int client = fx_client(fx, "local");
    struct rt_request_msg msg = ask("list", "");
    char after[RT_PLACE_MAX + 1] = "";
    size_t n = 0;
    uint64_t id = 1;

    for (unsigned i = 0; i < 50; i++) {
        char cid[8];
        (void)snprintf(cid, sizeof(cid), "c%02u", i);
        running(fx, "local", cid, "here");
    }
    fx->page = 4;
    msg.page = 10;
    do {
        size_t before = n;

        msg.after = rt_slice_text(after);
        fx_request(fx, client, ++id, &msg);
        fx_answer(fx);
        do {
            want(fx, client, id, RT_CLASS_OK);
            n += reply.n_recs;
        } while (reply.more);
        assert_in_range(n - before, 2, 12);
        rt_slice_copy(reply.next, after, sizeof(after));
        fx_none(fx, client);
    } while (after[0] != '\0');
    assert_int_equal(n, 50);
    assert_int_equal(id, 6);
    assert_int_equal(fx->n_ops, 0);
    msg.after = rt_slice_text("");
    msg.states = 1U << RT_SESSION_LOST;
    fx_request(fx, client, ++id, &msg);
    fx_tick(fx, 1000);
    fx_answer_one(fx, 0);
    want(fx, client, id, RT_CLASS_OK);
    assert_int_equal(reply.n_recs, 0);
    assert_false(reply.more);
    assert_true(reply.next.size > 0);
    /* What no agent wrote is refused, also a place among the names of others. */
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        msg.after = rt_slice_text(bad[i]);
        request(fx, client, ++id, msg);
        want(fx, client, id, RT_CLASS_INVALID);
    }
    assert_int_equal(fx->n_ops, 0);
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
        FX_TEST(test_list_which),
        FX_TEST(test_list_pages),
        FX_TEST(test_list_waits_for_the_reader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
