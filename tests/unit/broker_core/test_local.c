/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The local view: what an agent tells without the store, and that only a whole store says NOT_FOUND. */

#define MANY 40 /* sessions, in several REPLYs */

static char names[MANY][8];

static void serve(struct fx *fx, const char *tenant, const char *cid, uint8_t inc)
{
    struct fx_guest guest;

    fx_guest(&guest, cid, inc);
    fx_join_token(&guest, tenant, cid, "");
    fx_serve(fx, &guest);
}

/* Served and claimed; ends, and powers off, while the store is out. */
static void end_kept(struct fx *fx, const char *cid, uint8_t inc)
{
    struct rt_end_msg end = {.code = 4, .out = 3};
    struct fx_guest guest;

    fx_guest(&guest, cid, inc);
    fx_serve(fx, &guest);
    fx_down(fx);
    fx_msg(fx, guest.link, &(struct rt_frame){.type = RT_END}, RT_MSG_END, &end);
    fx_disk(fx, 0);
    fx_lost(fx, guest.link);
}

static void ask_at_once(struct fx *fx, int client, uint64_t id, const char *prefix, const char *host)
{
    struct rt_request_msg msg = ask("list", prefix);

    msg.host = rt_slice_text(host);
    msg.local = true;
    fx_request(fx, client, id, &msg);
}

/* When nobody has asked in this millisecond. */
static void ask_local(struct fx *fx, int client, uint64_t id, const char *prefix, const char *host)
{
    fx_tick(fx, 1);
    ask_at_once(fx, client, id, prefix, host);
}

/* The whole answer is these names, in this order, under this agent's mark. */
static void want_names(struct fx *fx, int client, uint64_t id, const char *wanted)
{
    char all[1024] = "";

    do {
        want(fx, client, id, RT_CLASS_OK);
        assert_true(rt_slice_equal(reply.local, rt_slice_text("here")));
        for (size_t i = 0; i < reply.n_recs; i++) {
            size_t used = strlen(all);
            (void)snprintf(all + used, sizeof(all) - used, "%s%.*s/%.*s", used > 0 ? " " : "",
                           (int)reply.recs[i].tenant.size, (const char *)reply.recs[i].tenant.data,
                           (int)reply.recs[i].cid.size, (const char *)reply.recs[i].cid.data);
        }
    } while (reply.more);
    assert_string_equal(all, wanted);
}

static void test_list(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local"), other = fx_client(fx, "other"), boss = fx_client(fx, "");
    size_t asked;

    serve(fx, "local", "web", 1);
    serve(fx, "local", "db", 2);
    serve(fx, "other", "web", 3);
    serve(fx, "other", "app", 4);
    running(fx, "local", "far", "there");
    end_kept(fx, "job", 5); /* from here on the store is out */
    request(fx, client, 1, ask("list", ""));
    want(fx, client, 1, RT_CLASS_RETRY_LATER);
    asked = fx->n_submitted[RT_STORE_FIND];
    ask_local(fx, client, 2, "", "");
    want_names(fx, client, 2, "local/db local/job local/web");
    assert_int_equal(reply.recs[1].state, RT_SESSION_ENDED);
    assert_int_equal(reply.recs[1].code, 4);
    assert_int_equal(reply.recs[2].state, RT_SESSION_RUNNING);
    assert_true(rt_slice_equal(reply.recs[2].host, rt_slice_text("here")));
    ask_local(fx, other, 3, "", "");
    want_names(fx, other, 3, "other/app other/web");
    ask_local(fx, boss, 4, "", "here");
    want_names(fx, boss, 4, "local/db local/job local/web other/app other/web");
    ask_local(fx, boss, 5, "other/w", "");
    want_names(fx, boss, 5, "other/web");
    ask_local(fx, client, 6, "d", "");
    want_names(fx, client, 6, "local/db");
    ask_local(fx, client, 7, "", "there"); /* of which nobody but the store knows */
    want_names(fx, client, 7, "");
    ask_local(fx, client, 8, "far", "");
    want_names(fx, client, 8, "");
    assert_int_equal(fx->n_submitted[RT_STORE_FIND], asked);
}

/* Pages, also to a reader that is slow: each name once, in the order of the names. */
static void test_pages(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");
    char wanted[1024] = "";
    size_t used = 0;

    for (unsigned i = 0; i < MANY; i++) {
        unsigned n = (i * 7) % MANY;
        (void)snprintf(names[n], sizeof(names[n]), "c%02u", n);
        serve(fx, "local", names[n], (uint8_t)(i + 1));
    }
    for (unsigned i = 0; i < MANY; i++) {
        used += (size_t)snprintf(wanted + used, sizeof(wanted) - used, "%slocal/%s", i > 0 ? " " : "", names[i]);
    }
    fx_down(fx);
    ask_local(fx, client, 1, "", "");
    want_names(fx, client, 1, wanted);
    fx_none(fx, client);
    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    ask_local(fx, client, 2, "", "");
    fx_none(fx, client); /* waits, as all requests of a link that does not read */
    fx_queued(fx, client, 0);
    want_names(fx, client, 2, wanted);
    fx_none(fx, client);
    ask_local(fx, client, 3, "", "");
    fx_lost(fx, client);
}

static size_t replies(struct fx *fx, int client)
{
    const uint8_t *payload;
    struct rt_frame frame;
    size_t n = 0;

    while (fx_next(fx, client, &frame, &payload)) {
        n += frame.type == RT_REPLY;
    }
    return n;
}

/* What is made of lists at a time is bounded, however many are asked for; one whose asker has gone is left out. */
static void test_turns(void **state)
{
    static const size_t wanted[] = {4, 4, 4, 3, 0};
    struct fx *fx = *state;
    int client = fx_client(fx, "local"), gone = fx_client(fx, "local");

    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "c%02u", i);
        serve(fx, "local", names[i], (uint8_t)(i + 1));
    }
    fx_down(fx);
    fx_tick(fx, 10);
    (void)replies(fx, client);
    for (uint64_t id = 1; id <= 5; id++) { /* of three pages each */
        ask_at_once(fx, client, id, "", "");
    }
    ask_at_once(fx, gone, 1, "", "");
    fx_lost(fx, gone);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        assert_int_equal(replies(fx, client), wanted[i]);
        fx_tick(fx, 1);
    }
}

static void test_invalid(void **state)
{
    static const char *const others[] = {"show", "tails", "hosts", "limits", "create"};
    struct fx *fx = *state;
    int client = fx_client(fx, "local");

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct rt_request_msg msg = ask(others[i], "web");

        msg.local = true;
        fx_request(fx, client, i + 1, &msg);
        want(fx, client, i + 1, RT_CLASS_INVALID);
    }
}

/* A show is marked when the store did not say it. */
static void test_show_is_marked(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");

    serve(fx, "local", "web", 1);
    request(fx, client, 1, ask("show", "web"));
    fx_answer(fx);
    want(fx, client, 1, RT_CLASS_OK);
    assert_int_equal(reply.local.size, 0);
    end_kept(fx, "job", 2);
    request(fx, client, 2, ask("show", "web"));
    want(fx, client, 2, RT_CLASS_OK);
    assert_true(rt_slice_equal(reply.local, rt_slice_text("here")));
    request(fx, client, 3, ask("show", "job"));
    want(fx, client, 3, RT_CLASS_OK);
    assert_true(rt_slice_equal(reply.local, rt_slice_text("here")));
    assert_int_equal(reply.recs[0].state, RT_SESSION_ENDED);
}

/* Of what is served here all is said; of all else nothing is said not to be there, however it is asked for. */
static void nothing_is_not_found(struct fx *fx, int client, int boss, bool answers)
{
    static const char *const asked[] = {"show", "tails", "remove"}, *const bosses[] = {"kick", "revoke"};
    struct rt_refuse_msg refuse;
    uint64_t id = 100;

    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        request(fx, client, ++id, ask(asked[i], "nothing"));
        if (answers) {
            fx_answer(fx);
        }
        want(fx, client, id, RT_CLASS_RETRY_LATER);
    }
    for (size_t i = 0; i < sizeof(bosses) / sizeof(bosses[0]); i++) {
        if (answers && i == 1 && !fx->doubtful) {
            break; /* a store that is not whole revokes what it does not know */
        }
        request(fx, boss, ++id, ask(bosses[i], "local/nothing"));
        if (answers) {
            fx_answer(fx);
        }
        want(fx, boss, id, RT_CLASS_RETRY_LATER);
    }
    request(fx, boss, ++id, ask("show", "nothing"));
    if (answers) {
        fx_answer(fx);
    }
    want(fx, boss, id, RT_CLASS_RETRY_LATER);
    fx_attach(fx, client, 7, "nothing", 0, 0, 0);
    if (answers) {
        fx_answer(fx);
    }
    fx_tick(fx, 2500);
    fx_want_refuse(fx, client, 7, RT_CLASS_RETRY_LATER, &refuse);
}

static void test_store_out(void **state)
{
    struct fx *fx = *state;

    fx_down(fx);
    nothing_is_not_found(fx, fx_client(fx, "local"), fx_client(fx, ""), false);
}

static void test_store_not_whole(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local"), boss = fx_client(fx, "");

    serve(fx, "local", "web", 1);
    fx_up(fx, true, false);
    fx_answer(fx);
    nothing_is_not_found(fx, client, boss, true);
    request(fx, client, 1, ask("tails", "web")); /* it runs here: that is known */
    fx_answer(fx);
    want(fx, client, 1, RT_CLASS_NOT_FOUND);
    running(fx, "local", "far", "there");
    request(fx, client, 2, ask("tails", "far")); /* as the store has it */
    fx_answer(fx);
    want(fx, client, 2, RT_CLASS_NOT_FOUND);
}

/* Whole, and perhaps not the primary: what it lacks may be at another server. */
static void test_store_doubtful(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local"), boss = fx_client(fx, "");

    fx->doubtful = true;
    nothing_is_not_found(fx, client, boss, true);
    running(fx, "local", "far", "there"); /* what it has it tells */
    request(fx, client, 1, ask("show", "far"));
    fx_answer(fx);
    want(fx, client, 1, RT_CLASS_OK);
    fx->doubtful = false;
    request(fx, client, 2, ask("show", "nothing"));
    fx_answer(fx);
    want(fx, client, 2, RT_CLASS_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FX_TEST(test_list),
                                       FX_TEST(test_pages),
                                       FX_TEST(test_turns),
                                       FX_TEST(test_invalid),
                                       FX_TEST(test_show_is_marked),
                                       FX_TEST(test_store_out),
                                       FX_TEST(test_store_not_whole),
                                       FX_TEST(test_store_doubtful)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
