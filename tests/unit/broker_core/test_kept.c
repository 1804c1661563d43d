/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A session whose end lies on this host's disk has ended, for everybody who asks here, whatever the store knows. */

/* Served and claimed; ends, and powers off, while the store is out. */
static void end_in_an_outage(struct fx *fx, struct fx_guest *guest)
{
    struct rt_end_msg end = {.code = 4, .out = 3};

    fx_guest(guest, "web", 1);
    fx_serve(fx, guest);
    fx_down(fx);
    fx_send(fx, guest->link, &(struct rt_frame){.type = RT_TAIL, .stream = RT_STDOUT, .length = 3}, "hi\n");
    fx_msg(fx, guest->link, &(struct rt_frame){.type = RT_END}, RT_MSG_END, &end);
    fx_disk(fx, 0);
    assert_int_equal(fx->n_kept, 1);
    fx_lost(fx, guest->link);
}

/* What lies on this host's disk is not lost: not said, and not written, whatever the store knows. */
static void test_kept_is_not_lost(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_record *rule;

    end_in_an_outage(fx, &guest);
    fx_tick(fx, UINT64_C(3) * RT_LOST_AFTER_MS);
    rule = &fx_record(fx, "local", "web")->rule;
    rule->state = RT_SESSION_MOVING; /* and the census finds it as this host's */
    fx_up(fx, true, true);
    fx_fail(fx, RT_ETIMEDOUT);
    fx_down(fx);
    fx_up(fx, true, true);
    fx_answer_one(fx, RT_ETIMEDOUT);
    fx_answer(fx);
    fx_tick(fx, UINT64_C(3) * RT_LOST_AFTER_MS);
    fx_answer(fx);
    assert_int_equal(fx->n_submitted[RT_STORE_STATE], 0);
    assert_int_equal(rule->state, RT_SESSION_ENDED);
}

static struct rt_request_msg request(const char *op, const char *cid)
{
    return (struct rt_request_msg){.op = rt_slice_text(op), .cid = rt_slice_text(cid)};
}

/* How the store answers: it is out, it is late, or it has a record in that state. */
struct knows {
    bool out;
    int error;
    enum rt_session_state state;
};

static void answer(struct fx *fx, const struct knows *knows)
{
    if (knows->error != 0) {
        fx_fail(fx, knows->error);
    } else {
        fx_answer(fx);
    }
}

static void assert_ended(struct fx *fx, int client, const struct knows *knows)
{
    static struct rt_reply_msg reply;
    static uint64_t id;
    static uint32_t channel;
    struct rt_request_msg msg = request("show", "web");
    struct rt_refuse_msg refuse;

    fx_request(fx, client, ++id, &msg);
    answer(fx, knows);
    fx_reply(fx, client, id, &reply);
    assert_int_equal(reply.n_recs, 1);
    assert_int_equal(reply.recs[0].state, RT_SESSION_ENDED);
    assert_int_equal(reply.recs[0].code, 4);
    msg.wait = 5000; /* there is nothing to wait for */
    fx_request(fx, client, ++id, &msg);
    answer(fx, knows);
    fx_reply(fx, client, id, &reply);
    assert_int_equal(reply.recs[0].state, RT_SESSION_ENDED);

    msg = request("tails", "web");
    fx_request(fx, client, ++id, &msg);
    answer(fx, knows);
    fx_reply(fx, client, id, &reply);
    assert_int_equal(reply.c, RT_CLASS_OK);
    assert_int_equal(reply.code, 4);
    assert_int_equal(reply.out, 3);
    assert_false(reply.lost);
    fx_reply(fx, client, id, &reply);
    assert_memory_equal(reply.data.data, "hi\n", 3);

    fx_attach(fx, client, ++channel, "web", 5000, 0, 0);
    answer(fx, knows);
    fx_want_refuse(fx, client, channel, RT_CLASS_ENDED, &refuse);
    assert_int_equal(refuse.code, 4);
    if (!knows->out && knows->error == 0) {
        msg = request("list", "");
        fx_request(fx, client, ++id, &msg);
        answer(fx, knows);
        fx_reply(fx, client, id, &reply);
        assert_int_equal(reply.recs[0].state, RT_SESSION_ENDED);
    }
}

static void test_asked_where_it_is_kept(void **state)
{
    static const struct knows all[] = {
        {.out = true},
        {.error = RT_ETIMEDOUT},
        {.state = RT_SESSION_RUNNING},
        {.state = RT_SESSION_MOVING},
        {.state = RT_SESSION_LOST},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct fx *fx = *state;
        struct fx_guest guest;
        int client;

        end_in_an_outage(fx, &guest);
        fx_tick(fx, UINT64_C(2) * RT_LEASE_MS); /* what was known besides is forgotten */
        if (!all[i].out) {
            fx_up(fx, false, true);
            fx_fail(fx, RT_EUNAVAIL); /* it does not take the end now */
        }
        fx_record(fx, "local", "web")->rule.state = all[i].state;
        client = fx_client(fx, "local");
        assert_ended(fx, client, &all[i]);
        fx_close(fx);
        fx_init(fx);
    }
}

/* A whole store that has lost the record says that there is none: this host's disk knows better. */
static void test_asked_without_a_record(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int client;

    end_in_an_outage(fx, &guest);
    fx_tick(fx, UINT64_C(2) * RT_LEASE_MS);
    fx->n_records = 0;
    fx_up(fx, false, true);
    fx_fail(fx, RT_EUNAVAIL);
    client = fx_client(fx, "local");
    assert_ended(fx, client, &(struct knows){.error = RT_ENOTFOUND});
}

/* Started again, and lost or running since: the older end says nothing of that life. */
static void test_asked_about_a_later_life(void **state)
{
    static const enum rt_session_state states[] = {RT_SESSION_RUNNING, RT_SESSION_LOST, RT_SESSION_ENDED};
    static struct rt_reply_msg reply;
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_store_record *record;
    int client;

    end_in_an_outage(fx, &guest);
    fx_tick(fx, UINT64_C(2) * RT_LEASE_MS);
    record = fx_record(fx, "local", "web");
    record->rule.life = guest.life + 1;
    record->code = 9;
    (void)snprintf(record->rule.host, sizeof(record->rule.host), "there");
    fx_up(fx, false, true);
    fx_fail(fx, RT_EUNAVAIL);
    client = fx_client(fx, "local");
    for (uint64_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        struct rt_request_msg msg = request("tails", "web");

        record->rule.state = states[i];
        fx_request(fx, client, 10 + i, &msg);
        fx_answer(fx);
        fx_reply(fx, client, 10 + i, &reply);
        assert_int_equal(reply.c, states[i] == RT_SESSION_RUNNING ? RT_CLASS_NOT_FOUND : RT_CLASS_OK);
        assert_int_equal(reply.lost, states[i] == RT_SESSION_LOST);
        assert_int_not_equal(reply.code, 4);
        msg = request("show", "web");
        fx_request(fx, client, 20 + i, &msg);
        fx_answer(fx);
        fx_reply(fx, client, 20 + i, &reply);
        assert_int_equal(reply.recs[0].state, states[i]);
        while (reply.more) {
            fx_reply(fx, client, 10 + i, &reply);
        }
    }
}

/* The store had no room for the tails: whoever is asked elsewhere has the status, and says who has them. */
static void test_asked_elsewhere(void **state)
{
    static const char *const keepers[] = {"there", "unheard-of", "here", ""};
    static struct rt_reply_msg reply;
    struct fx *fx = *state;
    struct rt_store_record *record = fx_record(fx, "local", "web");
    int client = fx_client(fx, "local");

    fx_host(fx, "there", true);
    record->rule = (struct rt_record){.exists = true, .state = RT_SESSION_ENDED, .life = 5};
    record->code = 4;
    record->out = 3;
    for (size_t i = 0; i < sizeof(keepers) / sizeof(keepers[0]); i++) {
        struct rt_request_msg msg = request("tails", "web");
        bool elsewhere = keepers[i][0] != '\0' && strcmp(keepers[i], "here") != 0;

        (void)snprintf(fx->keeper, sizeof(fx->keeper), "%s", keepers[i]);
        fx_request(fx, client, i, &msg);
        fx_answer(fx);
        fx_reply(fx, client, i, &reply);
        assert_int_equal(reply.c, RT_CLASS_OK);
        assert_int_equal(reply.code, 4);
        assert_false(reply.more);
        assert_int_equal(reply.n_hosts, elsewhere);
        if (elsewhere) {
            assert_true(rt_slice_equal(reply.hosts[0].host, rt_slice_text(keepers[i])));
            assert_int_equal(reply.hosts[0].n_addr, i == 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_kept_is_not_lost),       FX_TEST(test_asked_where_it_is_kept),
        FX_TEST(test_asked_without_a_record), FX_TEST(test_asked_about_a_later_life),
        FX_TEST(test_asked_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
