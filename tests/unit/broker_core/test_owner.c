/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/pace.h"
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Records whose owner's host has died for good: marked as lost by whoever is asked, and by nobody else's death. */

static struct rt_reply_msg reply; /* large */

static struct rt_record *running(struct fx *fx, const char *cid, const char *host)
{
    struct rt_record *rule = &fx_record(fx, "local", cid)->rule;

    rule->exists = true;
    rule->state = RT_SESSION_RUNNING;
    rule->life = rule->epoch = 3;
    (void)snprintf(rule->host, sizeof(rule->host), "%s", host);
    return rule;
}

/* n seconds in which the client says that it is there. */
static void beats(struct fx *fx, int client, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        fx_beats(fx, 1);
        fx_send(fx, client, &(struct rt_frame){.type = RT_PING}, NULL);
        (void)fx_want(fx, client, RT_PONG, &(struct rt_frame){0});
    }
}

static void request(struct fx *fx, int client, uint64_t id, const char *op, const char *cid, enum rt_class cls)
{
    struct rt_request_msg msg;

    memset(&msg, 0, sizeof(msg));
    msg.op = rt_slice_text(op);
    msg.cid = rt_slice_text(cid);
    fx_request(fx, client, id, &msg);
    fx_answer(fx);
    fx_reply(fx, client, id, &reply);
    assert_string_equal(rt_class_name(reply.c), rt_class_name(cls));
}

static int setup(void **state)
{
    struct fx *fx;

    if (fx_setup(state) != 0) {
        return -1;
    }
    fx = *state;
    fx_host(fx, "dead", true);
    fx_host(fx, "living", true);
    fx_beats(fx, 2);
    fx_host(fx, "dead", false);
    return 0;
}

/* What is asked, of a container whose owner is dead, one whose owner lives, and one that nobody has heard of. */
static void check(struct fx *fx, const char *op, enum rt_class cls)
{
    const struct rt_record *dead = running(fx, "web", "dead"), *living = running(fx, "db", "living");
    const struct rt_record *gone = running(fx, "box", "gone");
    int client = fx_client(fx, "local");

    request(fx, client, 1, op, "web", cls);
    request(fx, client, 2, op, "db", cls);
    request(fx, client, 3, op, "box", cls);
    assert_true(dead->lost_ms == 0 && gone->lost_ms == 0);
    beats(fx, client, 7);
    request(fx, client, 4, op, "web", cls);
    request(fx, client, 5, op, "db", cls);
    request(fx, client, 6, op, "box", cls);
    assert_int_equal(dead->lost_ms, fx->store_ms);
    assert_int_equal(gone->lost_ms, fx->store_ms);
    assert_int_equal(dead->state, RT_SESSION_RUNNING); /* a second start does not have to wait for a lease */
    assert_int_equal(living->lost_ms, 0);
    beats(fx, client, 1);
    request(fx, client, 7, "show", "web", RT_CLASS_OK);
    assert_int_equal(reply.recs[0].state, RT_SESSION_LOST);
    request(fx, client, 8, "show", "db", RT_CLASS_OK);
    assert_int_equal(reply.recs[0].state, RT_SESSION_RUNNING);
    assert_true(dead->lost_ms < fx->store_ms); /* once: the time goes on from there */
}

static void test_show(void **state)
{
    check(*state, "show", RT_CLASS_OK);
}

static void test_tails(void **state)
{
    check(*state, "tails", RT_CLASS_NOT_FOUND);
}

static void test_create(void **state)
{
    check(*state, "create", RT_CLASS_LIMIT);
}

static void test_list(void **state)
{
    check(*state, "list", RT_CLASS_OK);
}

/* Who waits need not ask again. */
static void test_held_attach(void **state)
{
    struct fx *fx = *state;
    const struct rt_record *dead = running(fx, "web", "dead");
    int client = fx_client(fx, "local");

    fx_attach(fx, client, 1, "web", 10000, 3, 3);
    fx_answer(fx);
    assert_int_equal(dead->lost_ms, 0);
    beats(fx, client, 7);
    assert_int_not_equal(dead->lost_ms, 0);
    assert_int_equal(dead->state, RT_SESSION_RUNNING);
}

/* A start that comes after it was marked has no lease to wait for. */
static void test_second_start(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    const struct rt_record *dead = running(fx, "web", "dead");
    int client = fx_client(fx, "local");

    request(fx, client, 1, "show", "web", RT_CLASS_OK);
    beats(fx, client, 7);
    request(fx, client, 2, "show", "web", RT_CLASS_OK);
    assert_int_not_equal(dead->lost_ms, 0);
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    assert_int_equal(dead->lost_ms, 0);
    assert_string_equal(dead->host, "here");
}

/* An owner that lives after all takes the mark away when it reads its own record. */
static void test_owner_lives(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_record *rule;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    rule = &fx_record(fx, "local", "web")->rule;
    rule->lost_ms = fx->store_ms;
    for (unsigned i = 0; i < RT_AUDIT_MS / 1000 + 1; i++) {
        fx_beats(fx, 1);
        fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PING}, NULL);
    }
    assert_int_equal(rule->lost_ms, 0);
    assert_int_equal(rule->state, RT_SESSION_RUNNING);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fx_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_show),        TEST(test_tails),        TEST(test_create),      TEST(test_list),
        TEST(test_held_attach), TEST(test_second_start), TEST(test_owner_lives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
