/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/held.h"

#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A new attach to a container that has ended: held for as long as its guest may be on its way. */

static struct rt_store_record *owned(struct fx *fx, const char *cid, const char *host, enum rt_session_state session,
                                     uint64_t life, uint64_t epoch)
{
    struct rt_store_record *record = fx_record(fx, "local", cid);

    record->rule.exists = true;
    record->rule.state = session;
    record->rule.life = life;
    record->rule.epoch = epoch;
    (void)snprintf(record->rule.host, sizeof(record->rule.host), "%s", host);
    return record;
}

/* A second passes; the client says that it is there. */
static void second(struct fx *fx, int client)
{
    fx_tick(fx, 1000);
    fx_send(fx, client, &(struct rt_frame){.type = RT_PING}, NULL);
    (void)fx_want(fx, client, RT_PONG, &(struct rt_frame){0});
}

/* An agent that has just started did not see the guest of an ended container go: it may be on its way. */
static void test_ended_before_this_agent(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");
    struct rt_refuse_msg refuse;
    struct rt_frame frame;
    struct rt_store_record *record = owned(fx, "web", "here", RT_SESSION_ENDED, 5, 7);

    record->code = 3;
    owned(fx, "db", "here", RT_SESSION_ENDED, 5, 7)->seen_ms = fx->store_ms - AG_ENDED_LONG_MS - 1;
    fx_beats(fx, 1);
    fx_send(fx, client, &(struct rt_frame){.type = RT_PING}, NULL);
    (void)fx_want(fx, client, RT_PONG, &frame);
    fx_attach(fx, client, 1, "db", 500, 0, 0);
    fx_answer(fx);
    fx_want_refuse(fx, client, 1, RT_CLASS_ENDED, NULL); /* long ago */
    fx_attach(fx, client, 2, "web", 500, 0, 0);
    fx_answer(fx);
    for (int i = 2; i < RT_WAIT_MAX_MS / 1000; i++) { /* of the agent's life */
        second(fx, client);
        fx_none(fx, client);
    }
    fx_tick(fx, 1000);
    fx_answer(fx);
    fx_want_refuse(fx, client, 2, RT_CLASS_ENDED, &refuse);
    assert_int_equal(refuse.code, 3);
}

/* The guest's link was lost when the container had ended: it may come back, or move, with what was not taken. */
static void test_ended_a_moment_ago(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int client = fx_client(fx, "local");
    struct rt_frame frame;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_record(fx, "local", "web")->rule.state = RT_SESSION_ENDED;
    rt_agent_closed(fx->agent, fx->links[guest.link].id, "gone", fx->now);
    fx_answer(fx);
    fx_attach(fx, client, 1, "web", 500, 0, 0);
    fx_tick(fx, AG_LOOK_GONE_MS);
    fx_answer(fx);
    second(fx, client); /* longer than it asked for */
    fx_none(fx, client);
    fx_record(fx, "local", "web")->rule.state = RT_SESSION_ENDED;
    fx_serve(fx, &guest);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    rt_agent_closed(fx->agent, fx->links[guest.link].id, "gone", fx->now);
    fx_answer(fx);
    fx_want_refuse(fx, client, 1, RT_CLASS_LOST, NULL);
    fx_record(fx, "local", "web")->rule.state = RT_SESSION_ENDED;
    fx_attach(fx, client, 2, "web", 500, 0, 0);
    fx_tick(fx, AG_LOOK_GONE_MS);
    fx_answer(fx);
    second(fx, client);
    fx_none(fx, client);
    fx_tick(fx, RT_LOST_AFTER_MS - AG_LOOK_GONE_MS - 1000);
    fx_answer(fx);
    fx_want_refuse(fx, client, 2, RT_CLASS_ENDED, NULL);
    fx_attach(fx, client, 3, "web", 500, 0, 0); /* and from then on at once */
    fx_answer(fx);
    fx_want_refuse(fx, client, 3, RT_CLASS_ENDED, NULL);
}

/* While its guest was waited for it was created anew, and started where nobody has heard of yet. */
static void test_ended_and_started_anew(void **state)
{
    struct fx *fx = *state;
    struct rt_store_record *record;
    int client;

    fx_tick(fx, RT_WAIT_MAX_MS);
    client = fx_client(fx, "local");
    (void)owned(fx, "web", "there", RT_SESSION_ENDED, 5, 7);
    fx_attach(fx, client, 1, "web", 500, 0, 0);
    fx_answer(fx);
    for (int i = 0; i < RT_WAIT_MAX_MS / 1000 - 1; i++) {
        second(fx, client);
        fx_none(fx, client);
    }
    record = owned(fx, "web", "nowhere", RT_SESSION_RUNNING, 9, 1);
    record->code = 0;
    fx_tick(fx, 1000);
    fx_answer(fx);
    fx_tick(fx, RT_CLAIM_TIMEOUT_MS);
    fx_want_refuse(fx, client, 1, RT_CLASS_RETRY_LATER, NULL);
}

/* It ended at another host, whose agent cannot be reached. */
static void test_ended_elsewhere(void **state)
{
    struct fx *fx = *state;
    int client;

    fx_tick(fx, RT_WAIT_MAX_MS);
    client = fx_client(fx, "local");
    (void)owned(fx, "web", "there", RT_SESSION_ENDED, 5, 7);
    fx_attach(fx, client, 1, "web", 500, 0, 0);
    fx_answer(fx);
    for (int i = 1; i < RT_WAIT_MAX_MS / 1000; i++) {
        second(fx, client);
        fx_none(fx, client);
    }
    fx_tick(fx, 1000);
    fx_answer(fx);
    fx_want_refuse(fx, client, 1, RT_CLASS_ENDED, NULL);
    fx_attach(fx, client, 2, "web", 500, 0, 0);
    fx_answer(fx);
    fx_host(fx, "there", true); /* its agent is back: it knows */
    fx_want_refuse(fx, client, 2, RT_CLASS_MOVED, NULL);
}

/* Its guest, which had output left, came back to another host, and the news of it were lost on their way here: the
 * record is read again before the hold is over. */
static void test_news_lost(void **state)
{
    struct fx *fx = *state;
    struct rt_refuse_msg refuse;
    int client = fx_client(fx, "local"), other = fx_client(fx, "local");

    fx_host(fx, "there", true);
    (void)owned(fx, "web", "here", RT_SESSION_ENDED, 5, 7);
    (void)owned(fx, "db", "nowhere", RT_SESSION_RUNNING, 5, 7); /* not ended: its agent is not known yet */
    fx_attach(fx, client, 1, "web", 9000, 0, 0);
    fx_attach(fx, other, 1, "db", 9000, 5, 7);
    fx_answer(fx);
    (void)owned(fx, "web", "there", RT_SESSION_RUNNING, 5, 8);
    (void)owned(fx, "db", "there", RT_SESSION_RUNNING, 5, 8);
    fx_tick(fx, AG_LOOK_AGAIN_MS - 1);
    fx_answer(fx);
    fx_none(fx, client);
    fx_tick(fx, 1);
    fx_answer(fx);
    fx_want_refuse(fx, client, 1, RT_CLASS_MOVED, &refuse);
    assert_int_equal(refuse.epoch, 8);
    fx_want_refuse(fx, other, 1, RT_CLASS_MOVED, NULL);
}

/* However often it is found to have ended: nobody is held for longer than an attach may be, or asked for more often. */
static void test_held_no_longer(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");

    (void)owned(fx, "web", "there", RT_SESSION_ENDED, 5, 7); /* which cannot be asked */
    fx_attach(fx, client, 1, "web", 500, 0, 0);
    for (int i = 1; i < RT_WAIT_MAX_MS / 1000; i++) {
        fx_answer(fx);
        second(fx, client);
        fx_none(fx, client);
    }
    fx_answer(fx);
    fx_tick(fx, 1000);
    fx_answer(fx);
    fx_want_refuse(fx, client, 1, RT_CLASS_ENDED, NULL);
    assert_int_equal(fx->n_submitted[RT_STORE_GET], 1 + RT_WAIT_MAX_MS / AG_LOOK_AGAIN_MS);
}

/* Until the store is whole it lets in no guest whose claims were never answered. So a client that was attached is not
 * told the end before a hold that began with a whole store was in vain. */
static void test_guest_kept_out(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");

    (void)owned(fx, "web", "here", RT_SESSION_ENDED, 5, 7);
    fx_up(fx, true, false);
    for (uint32_t channel = 1; channel <= 2; channel++) {
        fx_attach(fx, client, channel, "web", 9000, 5, 7);
        for (int i = 0; i < RT_WAIT_MAX_MS / 1000; i++) {
            fx_answer(fx);
            fx_none(fx, client);
            second(fx, client);
        }
        fx_answer(fx);
        fx_want_refuse(fx, client, channel, channel == 1 ? RT_CLASS_RETRY_LATER : RT_CLASS_ENDED, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_ended_before_this_agent), FX_TEST(test_ended_a_moment_ago), FX_TEST(test_ended_and_started_anew),
        FX_TEST(test_ended_elsewhere),         FX_TEST(test_news_lost),          FX_TEST(test_held_no_longer),
        FX_TEST(test_guest_kept_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
