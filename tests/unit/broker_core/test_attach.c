/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include "broker/core/machine.h"

#include "session/core/msg_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Attaches: bound, held, sent elsewhere, refused; and the tenants that keep them apart. */

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

static void test_held_until_the_guest_comes(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    struct rt_attach_msg attach;
    char why[RT_TEXT_MAX];
    const uint8_t *payload;
    int one = fx_client(fx, "local"), two = fx_client(fx, "local");

    (void)owned(fx, "web", "", RT_SESSION_CREATED, 0, 0);
    fx_attach(fx, one, 5, "web", 5000, 0, 0);
    fx_attach(fx, two, 9, "web", 5000, 0, 0);
    fx_answer(fx);
    fx_none(fx, one);
    assert_int_equal(fx_stats(fx).held, 2);
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    payload = fx_want(fx, guest.link, RT_ATTACH, &frame);
    assert_int_equal(frame.channel, 1);
    assert_int_equal(rt_msg_decode(RT_MSG_ATTACH, payload, frame.length, &attach, why, sizeof(why)), 0);
    assert_int_equal(attach.id.data[0], 5);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    assert_int_equal(frame.channel, 2);
    assert_int_equal(fx_stats(fx).held, 0);
    assert_int_equal(fx_stats(fx).channels, 2);
    fx_say_attached(fx, &guest, 2);
    (void)fx_want(fx, two, RT_ATTACHED, &frame);
    assert_int_equal(frame.channel, 9);
}

static void test_wait_ends(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");
    struct rt_refuse_msg refuse;

    (void)owned(fx, "web", "", RT_SESSION_CREATED, 0, 0);
    fx_attach(fx, client, 1, "web", 700, 0, 0);
    fx_answer(fx);
    fx_tick(fx, 699);
    fx_none(fx, client);
    fx_tick(fx, 1);
    fx_want_refuse(fx, client, 1, RT_CLASS_RETRY_LATER, NULL);
    fx_attach(fx, client, 2, "web", 0, 0, 0);
    fx_answer(fx);
    fx_want_refuse(fx, client, 2, RT_CLASS_RETRY_LATER, &refuse);
    assert_true(refuse.delay > 0);
    assert_int_equal(fx_stats(fx).held, 0);
    fx_attach(fx, client, 3, "web", RT_WAIT_MAX_MS, 0, 0);
    fx_answer(fx);
    for (unsigned i = 0; i < RT_WAIT_MAX_MS / 1000; i++) {
        fx_send(fx, client, &(struct rt_frame){.type = RT_PING}, NULL);
        (void)fx_want(fx, client, RT_PONG, &(struct rt_frame){0});
        fx_tick(fx, 1000);
    }
    fx_want_refuse(fx, client, 3, RT_CLASS_RETRY_LATER, NULL);
}

static void test_not_found(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");

    fx_attach(fx, client, 1, "web", 5000, 0, 0);
    fx_answer(fx);
    fx_want_refuse(fx, client, 1, RT_CLASS_NOT_FOUND, NULL);
    fx_up(fx, true, false); /* a store that is not whole does not know */
    fx_answer(fx);
    fx_attach(fx, client, 2, "web", 300, 0, 0);
    fx_answer(fx);
    fx_none(fx, client);
    fx_tick(fx, 300);
    fx_want_refuse(fx, client, 2, RT_CLASS_RETRY_LATER, NULL);
}

static void test_known_is_not_not_found(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int client = fx_client(fx, "local");

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_lost(fx, guest.link);
    fx_answer(fx);
    fx->n_records = 0; /* the store has lost it */
    fx_attach(fx, client, 1, "web", 3000, 0, 0);
    fx_answer(fx);
    fx_none(fx, client);
    fx_serve(fx, &guest);
    (void)fx_want(fx, guest.link, RT_ATTACH, &(struct rt_frame){0});
}

static void test_moved(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");
    struct rt_refuse_msg refuse;

    fx_host(fx, "there", true);
    (void)owned(fx, "web", "there", RT_SESSION_RUNNING, 5, 7);
    fx_attach(fx, client, 1, "web", 3000, 0, 0);
    fx_answer(fx);
    fx_want_refuse(fx, client, 1, RT_CLASS_MOVED, &refuse);
    assert_true(rt_slice_equal(refuse.host, rt_slice_text("there")));
    assert_int_equal(refuse.n_addr, 1);
    assert_true(rt_slice_equal(refuse.addr[0], rt_slice_text("unix:/there")));
    assert_int_equal(refuse.life, 5);
    assert_int_equal(refuse.epoch, 7);
    fx_attach(fx, client, 2, "web", 3000, 5, 6); /* now from memory */
    assert_int_equal(fx->n_ops, 0);
    fx_want_refuse(fx, client, 2, RT_CLASS_MOVED, NULL);
    fx_attach(fx, client, 3, "web", 3000, 5, 7); /* knows that already: held */
    fx_answer(fx);
    fx_none(fx, client);
    fx_claimed(fx, "web", "there", 5, 7); /* once more, late */
    fx_claimed(fx, "web", "there", 5, 3);
    fx_none(fx, client);
    fx_claimed(fx, "web", "there", 5, 8);
    fx_want_refuse(fx, client, 3, RT_CLASS_MOVED, &refuse);
    assert_int_equal(refuse.epoch, 8);
}

/* The news of the claim are here before those of its host, whose agent has just joined: its row is looked at. */
static void test_moved_to_a_new_host(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_refuse_msg refuse;
    int client;

    fx_attached(fx, &guest, &client);
    fx_answer(fx);
    fx_host(fx, "new", false); /* in the registry, and not heard of */
    fx_claimed(fx, "web", "new", guest.life, guest.epoch + 1);
    fx_want_refuse(fx, client, 7, RT_CLASS_LOST, NULL);
    assert_string_equal(fx->last[RT_STORE_HOST_ROW].host, "new");
    fx_attach(fx, client, 8, "web", 3000, guest.life, guest.epoch);
    fx_none(fx, client);
    fx_answer(fx);
    fx_want_refuse(fx, client, 8, RT_CLASS_MOVED, &refuse);
    assert_true(rt_slice_equal(refuse.addr[0], rt_slice_text("unix:/new")));
    /* And when its guest was gone before, and clients wait. */
    fx_host(fx, "newer", false);
    fx_attach(fx, client, 9, "web", 3000, guest.life, guest.epoch + 1);
    fx_answer(fx);
    fx_claimed(fx, "web", "newer", guest.life, guest.epoch + 2);
    fx_none(fx, client);
    fx_answer(fx);
    fx_want_refuse(fx, client, 9, RT_CLASS_MOVED, &refuse);
    assert_true(rt_slice_equal(refuse.host, rt_slice_text("newer")));
}

static void test_not_moved_to_the_dead(void **state)
{
    struct fx *fx = *state;
    int client;

    fx_host(fx, "there", false);
    fx_beats(fx, 8);
    client = fx_client(fx, "local");
    (void)owned(fx, "web", "there", RT_SESSION_RUNNING, 5, 7);
    fx_attach(fx, client, 1, "web", 3000, 0, 0);
    fx_answer(fx);
    fx_none(fx, client);
    fx_host(fx, "there", true); /* it is back */
    fx_want_refuse(fx, client, 1, RT_CLASS_MOVED, NULL);
}

/* For which an attach to an ended record is held. The client stays heard. */
static void wait_out_hold(struct fx *fx, int client)
{
    for (int i = 0; i < RT_WAIT_MAX_MS / 1000; i++) {
        fx_tick(fx, 1000);
        fx_send(fx, client, &(struct rt_frame){.type = RT_PING}, NULL);
        (void)fx_want(fx, client, RT_PONG, &(struct rt_frame){0});
    }
}

static void test_ended(void **state)
{
    struct fx *fx = *state;
    int client;
    struct rt_refuse_msg refuse;
    struct rt_store_record *record = owned(fx, "web", "here", RT_SESSION_ENDED, 5, 7);

    fx_tick(fx, RT_WAIT_MAX_MS); /* a guest of before would have come back by now */
    client = fx_client(fx, "local");
    record->code = 3;
    fx_attach(fx, client, 1, "web", 3000, 0, 0);
    fx_answer(fx);
    fx_want_refuse(fx, client, 1, RT_CLASS_ENDED, &refuse);
    assert_int_equal(refuse.code, 3);
    /* Who was attached may have missed something: its guest may still come back to deliver it. */
    fx_attach(fx, client, 2, "web", 1000, 5, 7);
    fx_answer(fx);
    fx_none(fx, client);
    wait_out_hold(fx, client); /* however short it asked to wait */
    fx_answer(fx);
    fx_want_refuse(fx, client, 2, RT_CLASS_ENDED, &refuse);
    assert_int_equal(refuse.code, 3);
}

/* The last word is said after another look: the guest may have come back elsewhere, and the news of it got lost. */
static void test_ended_is_looked_up_again(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");
    struct rt_refuse_msg refuse;

    fx_host(fx, "there", true);
    (void)owned(fx, "web", "here", RT_SESSION_ENDED, 5, 7);
    fx_attach(fx, client, 1, "web", 1000, 5, 7);
    fx_answer(fx);
    fx_none(fx, client);
    (void)owned(fx, "web", "there", RT_SESSION_ENDED, 5, 8);
    wait_out_hold(fx, client);
    fx_answer(fx);
    fx_want_refuse(fx, client, 1, RT_CLASS_MOVED, &refuse);
    assert_int_equal(refuse.epoch, 8);
}

static void test_ended_without_store(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");

    (void)owned(fx, "web", "here", RT_SESSION_ENDED, 5, 7);
    fx_attach(fx, client, 1, "web", 1000, 5, 7);
    fx_answer(fx);
    wait_out_hold(fx, client);
    fx_none(fx, client);
    fx_tick(fx, RT_CLAIM_TIMEOUT_MS); /* no answer */
    fx_want_refuse(fx, client, 1, RT_CLASS_ENDED, NULL);
}

static void test_own_orphan_is_written_lost(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");
    struct rt_store_record *record = owned(fx, "web", "here", RT_SESSION_RUNNING, 5, 7);

    fx_attach(fx, client, 1, "web", 9000, 0, 0);
    fx_answer(fx);
    fx_tick(fx, RT_LOST_AFTER_MS - 1);
    fx_answer(fx);
    assert_int_equal(record->rule.state, RT_SESSION_RUNNING);
    fx_tick(fx, 1);
    fx_answer(fx);
    assert_int_equal(record->rule.state, RT_SESSION_LOST);
    assert_false(fx_closed(fx, client));
}

static void test_store_out(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");

    (void)owned(fx, "web", "there", RT_SESSION_RUNNING, 5, 7);
    fx_host(fx, "there", true);
    fx_down(fx);
    fx_attach(fx, client, 1, "web", 3000, 0, 0);
    fx_none(fx, client);
    fx_up(fx, false, true); /* looked up again by itself */
    fx_answer(fx);
    fx_want_refuse(fx, client, 1, RT_CLASS_MOVED, NULL);
    fx_attach(fx, client, 2, "db", 3000, 0, 0);
    fx_fail(fx, RT_ETIMEDOUT);
    fx_none(fx, client);
    fx_attach(fx, client, 3, "db", 0, 0, 0);
    fx_fail(fx, RT_ETIMEDOUT);
    fx_want_refuse(fx, client, 3, RT_CLASS_RETRY_LATER, NULL);
}

static void test_given_up_by_the_client(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");

    fx_attach(fx, client, 1, "web", 3000, 0, 0);
    fx_attach(fx, client, 2, "web", 3000, 0, 0);
    fx_send(fx, client, &(struct rt_frame){.type = RT_DETACH, .channel = 1}, NULL);
    assert_int_equal(fx_stats(fx).held, 1);
    fx_lost(fx, client);
    assert_int_equal(fx_stats(fx).held, 0);
    fx_answer(fx); /* replies for nobody */
    fx_tick(fx, 40000);
    assert_int_equal(fx_stats(fx).sessions, 0);
}

static void test_invalid(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");
    struct rt_refuse_msg refuse;
    uint8_t junk[40];

    fx_attach(fx, client, 1, "../web", 0, 0, 0);
    fx_want_refuse(fx, client, 1, RT_CLASS_INVALID, NULL);
    fx_attach(fx, client, 2, "other/web", 0, 0, 0);
    fx_want_refuse(fx, client, 2, RT_CLASS_INVALID, NULL);
    for (uint32_t size = 1; size < 40; size++) { /* what cannot be read costs its channel only */
        memset(junk, (int)(0xc1 + size), sizeof(junk));
        fx_send(fx, client, &(struct rt_frame){.type = RT_ATTACH, .channel = 3 + size, .length = size}, junk);
        fx_want_refuse(fx, client, 3 + size, RT_CLASS_INVALID, &refuse);
        assert_true(refuse.m.size > 0);
    }
    assert_int_equal(fx_stats(fx).held, 0);
    assert_false(fx_closed(fx, client));
}

/* What a later version may mean by it is not passed on. */
static void test_unknown_values(void **state)
{
    struct fx *fx = *state;
    static const struct {
        const char *key;
        uint8_t unknown;
    } rows[] = {{"want", 32}, {"want", 64 + 31}, {"from", RT_FROM_LINES + 1}};
    static const uint8_t id[RT_ID_SIZE] = {1};
    const struct rt_attach_msg msg = {
        .cid = rt_slice_text("web"), .id = {id, RT_ID_SIZE}, .try_no = 1, .want = 31, .from = RT_FROM_LINES};
    struct fx_guest guest;
    int client = fx_client(fx, "local");

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t map[RT_SHORT_MAX], *at;
        int size = rt_msg_encode(RT_MSG_ATTACH, &msg, map, sizeof(map));

        assert_true(size > 0);
        at = memmem(map, (size_t)size, rows[i].key, strlen(rows[i].key));
        assert_non_null(at);
        at[strlen(rows[i].key)] = rows[i].unknown;
        fx_send(fx, client, &(struct rt_frame){.type = RT_ATTACH, .channel = 1 + i, .length = (uint32_t)size}, map);
        fx_want_refuse(fx, client, 1 + i, RT_CLASS_INVALID, NULL);
    }
    fx_none(fx, guest.link);
}

static void test_channels_limit(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int client = fx_client(fx, "local");
    struct rt_refuse_msg refuse;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    for (uint32_t i = 1; i <= RT_LINK_CHANNELS_MAX; i++) {
        fx_attach(fx, client, i, "web", 0, 0, 0);
    }
    fx_none(fx, client);
    fx_attach(fx, client, RT_LINK_CHANNELS_MAX + 1, "web", 0, 0, 0);
    fx_want_refuse(fx, client, RT_LINK_CHANNELS_MAX + 1, RT_CLASS_LIMIT, &refuse);
    assert_int_equal(refuse.max, RT_LINK_CHANNELS_MAX);
}

static void test_held_limit(void **state)
{
    struct fx *fx = *state;
    uint32_t channel = 0;
    int client = -1;

    (void)owned(fx, "web", "", RT_SESSION_CREATED, 0, 0);
    for (unsigned i = 0; i < RT_AGENT_HELD_MAX; i++) {
        if (i % RT_LINK_CHANNELS_MAX == 0) {
            client = fx_client(fx, "local");
            channel = 0;
        }
        fx_attach(fx, client, ++channel, "web", 5000, 0, 0);
        fx_answer(fx);
    }
    assert_int_equal(fx_stats(fx).held, RT_AGENT_HELD_MAX);
    client = fx_client(fx, "local");
    fx_attach(fx, client, 1, "web", 5000, 0, 0);
    fx_want_refuse(fx, client, 1, RT_CLASS_RETRY_LATER, NULL);
}

/* Clients that wait for what nobody serves do not keep a guest from being served. */
static void test_room_for_guests(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    char cid[32];
    uint32_t channel = 0;
    int client = -1;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_lost(fx, guest.link);
    fx_answer(fx);
    fx_tick(fx, RT_LEASE_MS); /* this agent has forgotten it */
    fx_answer(fx);
    fx_down(fx);
    for (unsigned i = 0; i < RT_AGENT_SESSIONS_MAX; i++) {
        if (i % RT_LINK_CHANNELS_MAX == 0) {
            client = fx_client(fx, "local");
            channel = 0;
        }
        (void)snprintf(cid, sizeof(cid), "c%u", i);
        fx_attach(fx, client, ++channel, cid, 10000, 0, 0);
    }
    fx_want_refuse(fx, client, 1, RT_CLASS_RETRY_LATER, NULL);
    assert_true(fx_stats(fx).sessions < RT_AGENT_SESSIONS_MAX);
    fx_serve(fx, &guest);
    assert_true(fx_serves(fx, "web"));
}

static void test_sessions_limit(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    char cid[32];

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    for (unsigned i = 0; i < RT_AGENT_SESSIONS_MAX + 10; i++) {
        (void)snprintf(cid, sizeof(cid), "c%u", i);
        fx_claimed(fx, cid, "there", 1, 1);
    }
    assert_int_equal(fx_stats(fx).sessions, RT_AGENT_SESSIONS_MAX);
    assert_true(fx_serves(fx, "web"));
}

static void attach_outputs(struct fx *fx, int client, uint32_t channel, const char *cid, uint64_t wait)
{
    uint8_t id[RT_ID_SIZE];
    struct rt_attach_msg msg = {.cid = rt_slice_text(cid),
                                .id = {id, sizeof(id)},
                                .try_no = 1,
                                .make = true,
                                .want = 1u << RT_STDOUT,
                                .wait = wait};

    memset(id, (int)channel, sizeof(id));
    fx_msg(fx, client, &(struct rt_frame){.type = RT_ATTACH, .channel = channel}, RT_MSG_ATTACH, &msg);
}

static void test_tenants(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int other = fx_client(fx, "other"), boss;
    struct rt_frame frame;
    struct rt_attach_msg attach;
    char why[RT_TEXT_MAX];
    const uint8_t *payload;

    fx->agent->config.operators_read = true;
    boss = fx_client(fx, "");
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_attach(fx, other, 1, "web", 0, 0, 0);
    fx_answer(fx);
    fx_want_refuse(fx, other, 1, RT_CLASS_NOT_FOUND, NULL);
    attach_outputs(fx, boss, 1, "local/web", 0);
    payload = fx_want(fx, guest.link, RT_ATTACH, &frame);
    assert_int_equal(rt_msg_decode(RT_MSG_ATTACH, payload, frame.length, &attach, why, sizeof(why)), 0);
    assert_true(rt_slice_equal(attach.cid, rt_slice_text("web"))); /* the guest knows itself by this */
    fx->page = 1;
    attach_outputs(fx, boss, 2, "web", 100);
    fx_answer(fx);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    assert_int_equal(frame.channel, 2);
    (void)fx_record(fx, "local", "webshop");
    (void)fx_record(fx, "other", "web");
    attach_outputs(fx, boss, 3, "web", 100);
    fx_answer(fx);
    fx_want_refuse(fx, boss, 3, RT_CLASS_AMBIGUOUS, NULL);
    attach_outputs(fx, boss, 4, "nothing", 100);
    fx_answer(fx);
    fx_want_refuse(fx, boss, 4, RT_CLASS_NOT_FOUND, NULL);
    attach_outputs(fx, boss, 5, "/web", 100);
    fx_want_refuse(fx, boss, 5, RT_CLASS_INVALID, NULL);
}

static void test_byte_by_byte(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client = fx_client(fx, "local");

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx->links[client].chunk = 1;
    fx_attach(fx, client, 1, "web", 0, 0, 0);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    assert_int_equal(frame.channel, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_held_until_the_guest_comes),
        FX_TEST(test_wait_ends),
        FX_TEST(test_not_found),
        FX_TEST(test_known_is_not_not_found),
        FX_TEST(test_moved),
        FX_TEST(test_moved_to_a_new_host),
        FX_TEST(test_not_moved_to_the_dead),
        FX_TEST(test_ended),
        FX_TEST(test_ended_is_looked_up_again),
        FX_TEST(test_ended_without_store),
        FX_TEST(test_own_orphan_is_written_lost),
        FX_TEST(test_store_out),
        FX_TEST(test_given_up_by_the_client),
        FX_TEST(test_invalid),
        FX_TEST(test_unknown_values),
        FX_TEST(test_channels_limit),
        FX_TEST(test_held_limit),
        FX_TEST(test_room_for_guests),
        FX_TEST(test_sessions_limit),
        FX_TEST(test_tenants),
        FX_TEST(test_byte_by_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
