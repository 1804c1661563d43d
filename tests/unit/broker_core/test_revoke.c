/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/revoked.h"
#include "session/core/msg_request.h"
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What an operator has revoked: nobody is served under it, whether the store answers or not. */

static struct rt_reply_msg reply;

static void request(struct fx *fx, int client, uint64_t id, const char *op, const char *cid)
{
    struct rt_request_msg msg = {.op = rt_slice_text(op), .cid = rt_slice_text(cid)};

    fx_request(fx, client, id, &msg);
    fx_answer(fx);
    fx_reply(fx, client, id, &reply);
}

static void revoke(struct fx *fx, const char *name)
{
    int boss = fx_client(fx, "");

    request(fx, boss, 1, "revoke", name);
    assert_int_equal(reply.c, RT_CLASS_OK);
}

static void heard(struct fx *fx, const char *cid, uint64_t life)
{
    struct rt_store_news news;

    memset(&news, 0, sizeof(news));
    news.kind = RT_STORE_REVOKED;
    news.life = life;
    (void)snprintf(news.key.tenant, sizeof(news.key.tenant), "local");
    (void)snprintf(news.key.cid, sizeof(news.key.cid), "%s", cid);
    rt_agent_store_news(fx->agent, &news, fx->now);
    fx_settle(fx);
}

static void want_revoked(struct fx *fx, int link, uint32_t channel, enum rt_class cls)
{
    struct rt_refuse_msg refuse;

    fx_want_refuse(fx, link, channel, cls, &refuse);
    assert_true(rt_slice_equal(refuse.m, rt_slice_text(AG_REVOKED_TEXT)));
}

static void refused(struct fx *fx, struct fx_guest *guest)
{
    fx_hello(fx, guest);
    fx_answer(fx);
    want_revoked(fx, guest->link, 0, RT_CLASS_BAD_AUTH);
}

/* Through the agent that serves it: everybody there is told, and it is told who did it. */
static void test_served_here(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, joins;
    int client, boss;

    fx_guest(&joins, "web", 9);
    fx_attached(fx, &guest, &client);
    boss = fx_client(fx, "");
    request(fx, client, 1, "revoke", "web");
    assert_int_equal(reply.c, RT_CLASS_DENIED);
    request(fx, boss, 2, "revoke", "local/none");
    assert_int_equal(reply.c, RT_CLASS_NOT_FOUND);
    request(fx, boss, 3, "revoke", "web");
    assert_int_equal(reply.c, RT_CLASS_INVALID);
    assert_true(fx_serves(fx, "web"));
    assert_int_equal(fx->n_events[RT_AGENT_REVOKED], 0);
    revoke(fx, "local/web");
    assert_int_equal(fx->n_events[RT_AGENT_REVOKED], 1);
    assert_false(fx_serves(fx, "web"));
    want_revoked(fx, client, 7, RT_CLASS_DENIED);
    assert_false(fx_closed(fx, client));
    want_revoked(fx, guest.link, 0, RT_CLASS_BAD_AUTH);
    assert_true(fx_closed(fx, guest.link));
    /* Its ticket, and the token that it joined with. */
    refused(fx, &guest);
    refused(fx, &joins);
    /* Who attaches is told at once, and so is who looks. */
    fx_attach(fx, client, 8, "web", 8000, 0, 0);
    fx_answer(fx);
    want_revoked(fx, client, 8, RT_CLASS_DENIED);
    request(fx, client, 4, "show", "web");
    assert_int_equal(reply.c, RT_CLASS_OK);
    assert_true(reply.recs[0].revoked);
}

/* Through another one: by the news, by a look at the record, and by the answer to a claim. Before any of them has come
 * it is still served. */
static void test_heard(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest[3];
    static const char *const names[] = {"a", "b", "c"};
    int client = fx_client(fx, "local");

    for (unsigned i = 0; i < 3; i++) {
        fx_guest(&guest[i], names[i], (uint8_t)(i + 1));
        fx_serve(fx, &guest[i]);
        fx_record(fx, "local", names[i])->rule.rev = i == 0 ? 0 : guest[i].life;
        assert_true(fx_serves(fx, names[i]));
    }
    heard(fx, "a", guest[0].life - 1);
    assert_true(fx_serves(fx, "a"));
    heard(fx, "a", guest[0].life);
    want_revoked(fx, guest[0].link, 0, RT_CLASS_BAD_AUTH);
    request(fx, client, 1, "show", "b");
    want_revoked(fx, guest[1].link, 0, RT_CLASS_BAD_AUTH);
    assert_true(reply.recs[0].revoked);
    assert_true(fx_serves(fx, "c"));
    fx_lost(fx, guest[2].link);
    refused(fx, &guest[2]);
    fx_down(fx);
    for (unsigned i = 0; i < 3; i++) {
        refused(fx, &guest[i]);
    }
}

/* With the store out nothing is asked: what was heard holds. */
static void test_store_out(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, other;
    int client = fx_client(fx, "local");

    fx_guest(&guest, "web", 1);
    fx_guest(&other, "db", 2);
    fx_serve(fx, &guest);
    fx_serve(fx, &other);
    revoke(fx, "local/web");
    fx_lost(fx, other.link);
    fx_down(fx);
    refused(fx, &guest);
    fx_serve(fx, &other);
    assert_true(fx_serves(fx, "db"));
    fx_attach(fx, client, 1, "web", 8000, 0, 0);
    fx_tick(fx, 9000);
    want_revoked(fx, client, 1, RT_CLASS_RETRY_LATER);
}

/* Heard between a hello and its confirm, with the store out. */
static void test_heard_meanwhile(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_lost(fx, guest.link);
    fx_down(fx);
    fx_hello(fx, &guest);
    fx_welcome(fx, &guest, NULL);
    heard(fx, "web", guest.life);
    fx_confirm(fx, &guest);
    want_revoked(fx, guest.link, 0, RT_CLASS_BAD_AUTH);
    assert_false(fx_serves(fx, "web"));
}

/* What was heard is given to the disk once, a newer one in its place; the next run, which has it from there, turns its
 * guest away without a store, gives it to no disk, and tells a store. */
static void test_kept(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_key key;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    key = fx_record(fx, "local", "web")->key;
    heard(fx, "web", guest.life);
    heard(fx, "web", guest.life);
    heard(fx, "web", guest.life - 1);
    assert_int_equal(fx->n_revoking, 1);
    fx_disk_revoked(fx, 0);
    assert_int_equal(fx->n_revoking, 0);
    heard(fx, "web", guest.life + 1);
    assert_int_equal(fx->revoked_on_disk, 1);
    fx_disk_revoked(fx, 0);
    assert_int_equal(fx->revoked_on_disk, 1);
    assert_int_equal(fx->revoked_dropped.life, guest.life);
    assert_true(rt_key_equal(&fx->revoked_kept.key, &key));
    assert_int_equal(fx->revoked_kept.life, guest.life + 1);
    fx_close(fx);
    fx_init(fx);
    fx_down(fx);
    fx->revoked_on_disk = 3; /* its files: an older one stays where the agent ends before it is removed */
    rt_agent_kept_revoked(fx->agent, &key, guest.life - 1, fx->now);
    rt_agent_kept_revoked(fx->agent, &key, guest.life, fx->now);
    assert_int_equal(fx->revoked_dropped.life, guest.life - 1);
    rt_agent_kept_revoked(fx->agent, &key, guest.life - 2, fx->now);
    assert_int_equal(fx->revoked_dropped.life, guest.life - 2);
    assert_int_equal(fx->revoked_on_disk, 1);
    assert_int_equal(fx->n_revoking, 0);
    refused(fx, &guest);
    fx_up(fx, true, true);
    fx_answer(fx);
    assert_int_equal(fx->n_submitted[RT_STORE_REVOKE], 1);
    assert_int_equal(fx_record(fx, "local", "web")->rule.rev, guest.life);
}

/* A file goes when a newer one of its container has been written; what could not be written is tried again, one alone
 * until the disk writes again. */
static void test_disk_fails(void **state)
{
    struct fx *fx = *state;
    char name[16];

    heard(fx, "web", 7);
    fx_disk_revoked(fx, 0);
    assert_int_equal(fx->revoked_kept.life, 7);
    heard(fx, "web", 9);
    heard(fx, "web", 10); /* while 9 is under way */
    assert_int_equal(fx->n_revoking, 1);
    fx_disk_revoked(fx, RT_EIO);
    assert_int_equal(fx->revoked_dropped.life, 0);
    assert_int_equal(fx->n_revoking, 0);
    for (unsigned i = 0; i < 3; i++) {
        fx_tick(fx, AG_REVOKED_DISK_MS - 1);
        assert_int_equal(fx->n_revoking, 0);
        fx_tick(fx, 1);
        assert_int_equal(fx->n_revoking, 1);
        assert_int_equal(fx->revoking[0].life, 10);
        fx_disk_revoked(fx, RT_EIO);
    }
    fx_down(fx); /* whether the store answers or not */
    fx->disk_busy = true;
    fx_tick(fx, AG_REVOKED_DISK_MS);
    assert_int_equal(fx->n_revoking, 0);
    fx->disk_busy = false;
    for (unsigned i = 0; i < AG_REVOKED_WRITING_MAX; i++) {
        (void)snprintf(name, sizeof(name), "c%u", i);
        heard(fx, name, 3);
        assert_int_equal(fx->n_revoking, 0); /* as the disk has failed */
    }
    fx_tick(fx, AG_REVOKED_DISK_MS);
    assert_int_equal(fx->n_revoking, 1);
    fx_disk_revoked(fx, 0);
    assert_int_equal(fx->n_revoking, AG_REVOKED_WRITING_MAX);
    fx_disk_revoked(fx, 0);
    assert_int_equal(fx->n_revoking, 0);
    assert_int_equal(fx->revoked_on_disk, 1 + AG_REVOKED_WRITING_MAX);
    assert_int_equal(fx->revoked_dropped.life, 7);
}

/* As many as are heard of at one time: the disk gets them in turn, and all. */
static void test_many_at_once(void **state)
{
    struct fx *fx = *state;
    char name[16];

    for (unsigned i = 0; i < 10 * AG_REVOKED_WRITING_MAX; i++) {
        (void)snprintf(name, sizeof(name), "c%u", i);
        heard(fx, name, 3);
    }
    assert_int_equal(fx->n_revoking, AG_REVOKED_WRITING_MAX);
    while (fx->n_revoking > 0) {
        fx_disk_revoked(fx, 0);
    }
    assert_int_equal(fx->revoked_on_disk, 10 * AG_REVOKED_WRITING_MAX);
    heard(fx, "c7", 5);
    heard(fx, "c7", 6);
    fx_disk_revoked(fx, 0);
    assert_int_equal(fx->revoked_dropped.life, 3);
    fx_disk_revoked(fx, 0);
    assert_int_equal(fx->revoked_dropped.life, 5);
    assert_int_equal(fx->revoked_kept.life, 6);
    assert_int_equal(fx->revoked_on_disk, 10 * AG_REVOKED_WRITING_MAX);
}

/* A store that has lost everything is told again, also when it does not answer at first. Its guest, which another agent
 * has taken again meanwhile, is turned away. */
static void test_fresh_store(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    size_t told;
    uint64_t life;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    revoke(fx, "local/web");
    life = fx_record(fx, "local", "web")->rule.rev;
    assert_true(life >= guest.life);
    fx_down(fx);
    fx_record_lose(fx, "web");
    told = fx->n_submitted[RT_STORE_REVOKE];
    fx_up(fx, true, false);
    fx_fail(fx, RT_ETIMEDOUT);
    assert_int_equal(fx->n_submitted[RT_STORE_REVOKE], told + 1);
    fx_beats(fx, 1);
    assert_int_equal(fx->n_submitted[RT_STORE_REVOKE], told + 2);
    assert_int_equal(fx_record(fx, "local", "web")->rule.rev, life);
    fx_beats(fx, 3);
    fx_down(fx);
    fx_up(fx, false, true);
    fx_answer(fx);
    assert_int_equal(fx->n_submitted[RT_STORE_REVOKE], told + 2);
    assert_int_equal(fx->n_events[RT_AGENT_REVOKED], 1);
    refused(fx, &guest);
}

/* Its tenant creates it anew: the new token is good at once, the old ones are not. */
static void test_created_anew(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, old, fresh;
    int client = fx_client(fx, "local");

    fx_guest(&old, "web", 3);
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    revoke(fx, "local/web");
    request(fx, client, 1, "create", "web");
    assert_int_equal(reply.c, RT_CLASS_OK);
    fx_guest(&fresh, "web", 2);
    memcpy(fresh.token, reply.tok.data, reply.tok.size);
    fresh.token_size = reply.tok.size;
    refused(fx, &old);
    refused(fx, &guest);
    fx_serve(fx, &fresh);
    assert_true(fx_serves(fx, "web"));
    request(fx, client, 2, "show", "web");
    assert_false(reply.recs[0].revoked);
    refused(fx, &old);
    refused(fx, &guest);
    assert_true(fx_serves(fx, "web"));
    fx_attach(fx, client, 9, "web", 8000, 0, 0);
    (void)fx_want(fx, fresh.link, RT_ATTACH, &(struct rt_frame){0});
    revoke(fx, "local/web");
    want_revoked(fx, fresh.link, 0, RT_CLASS_BAD_AUTH);
}

/* One more than are kept: the first one heard of is forgotten, and the store alone knows it. */
static void test_bound(void **state)
{
    struct fx *fx = *state;
    struct fx_guest first, second;
    char name[16];

    fx_guest(&first, "first", 1);
    fx_guest(&second, "second", 2);
    fx_serve(fx, &first);
    fx_serve(fx, &second);
    revoke(fx, "local/first");
    revoke(fx, "local/second");
    for (unsigned i = 2; i < RT_AGENT_REVOKED_MAX; i++) {
        (void)snprintf(name, sizeof(name), "c%u", i);
        heard(fx, name, 7);
        fx_disk_revoked(fx, 0);
    }
    fx_disk_revoked(fx, 0);
    fx_down(fx);
    refused(fx, &first);
    assert_int_equal(fx->revoked_on_disk, RT_AGENT_REVOKED_MAX);
    heard(fx, "more", 7);
    assert_string_equal(fx->revoked_dropped.key.cid, "first");
    fx_disk_revoked(fx, 0);
    assert_int_equal(fx->revoked_on_disk, RT_AGENT_REVOKED_MAX);
    refused(fx, &second);
    fx_hello(fx, &first);
    fx_welcome(fx, &first, NULL);
    fx_up(fx, false, true);
    fx_confirm(fx, &first);
    fx_answer(fx);
    want_revoked(fx, first.link, 0, RT_CLASS_BAD_AUTH);
    assert_false(fx_serves(fx, "first"));
    while (fx->n_revoking > 0) {
        fx_disk_revoked(fx, 0);
    }
    heard(fx, "late", 7); /* is forgotten again before it is written: then its file goes, too */
    for (unsigned i = 0; i < RT_AGENT_REVOKED_MAX; i++) {
        (void)snprintf(name, sizeof(name), "d%u", i);
        heard(fx, name, 7);
    }
    assert_string_equal(fx->revoking[0].key.cid, "late");
    while (fx->n_revoking > 0) {
        fx_disk_revoked(fx, 0);
    }
    assert_string_equal(fx->revoked_dropped.key.cid, "late");
    assert_int_equal(fx->revoked_on_disk, RT_AGENT_REVOKED_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_served_here),  FX_TEST(test_heard),      FX_TEST(test_store_out),    FX_TEST(test_heard_meanwhile),
        FX_TEST(test_kept),         FX_TEST(test_disk_fails), FX_TEST(test_many_at_once), FX_TEST(test_fresh_store),
        FX_TEST(test_created_anew), FX_TEST(test_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
