/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture_request.h"

#include "migrate/core/claim.h"
#include "session/base/error.h"
#include "session/base/slice.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A host that drains. The agent under test is "here". */

static void drain(struct fx *fx, int client, uint64_t id, const char *host, enum rt_drain what)
{
    struct rt_request_msg msg = ask("drain", "");

    msg.host = rt_slice_text(host);
    msg.drain = what;
    request(fx, client, id, msg);
}

static void want_row(size_t i, const char *host, bool drains)
{
    assert_true(reply.n_hosts > i);
    assert_true(rt_slice_equal(reply.hosts[i].host, rt_slice_text(host)));
    assert_int_equal(reply.hosts[i].drains, drains);
}

/* By its notice, and by a walk through the registry, which alone tells whether it drains. */
static void other(struct fx *fx, const char *host, bool drains)
{
    fx_host(fx, host, false);
    for (size_t i = 0; i < fx->n_hosts; i++) {
        if (strcmp(fx->hosts[i].row.host, host) == 0) {
            fx->hosts[i].row.drains = drains;
        }
    }
    fx_host(fx, host, true);
    fx_beats(fx, 1);
}

static void want_refused(struct fx *fx, int client, uint64_t id, const char *host)
{
    char text[RT_TEXT_MAX + 1];

    request(fx, client, id, ask("create", "new"));
    want(fx, client, id, RT_CLASS_RETRY_LATER);
    rt_slice_copy(reply.m, text, sizeof(text));
    assert_non_null(strstr(text, "host here drains"));
    assert_int_equal(reply.n_hosts, host != NULL);
    if (host != NULL) {
        assert_non_null(strstr(text, host));
        want_row(0, host, false);
        assert_int_equal(reply.hosts[0].n_addr, 1);
    }
}

/* No new session is made, and another host is named that does not drain; guests are served, and who is attached. */
static void test_drain(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, late;
    int client, asker = fx_client(fx, "local"), boss = fx_client(fx, "");

    fx_attached(fx, &guest, &client);
    drain(fx, boss, 1, "here", RT_DRAIN_LOOK);
    want(fx, boss, 1, RT_CLASS_OK);
    want_row(0, "here", false);
    drain(fx, boss, 2, "here", RT_DRAIN_ON);
    fx_none(fx, boss); /* not before the disk has it */
    fx_disk_drains(fx, 0);
    want(fx, boss, 2, RT_CLASS_OK);
    assert_int_equal(reply.n_hosts, 1);
    want_row(0, "here", true);
    assert_int_equal(reply.hosts[0].sessions, 1);
    assert_true(fx->drains_on_disk && fx_stats(fx).drains);
    assert_int_equal(fx->n_events[RT_AGENT_DRAINS], 1);
    want_refused(fx, asker, 3, NULL);
    other(fx, "busy", true);
    want_refused(fx, asker, 4, NULL);
    other(fx, "there", false);
    want_refused(fx, asker, 5, "there");
    assert_int_equal(fx->n_submitted[RT_STORE_CREATE], 0);
    assert_true(fx_serves(fx, "web"));
    fx_bound(fx, &guest, client, 8);
    fx_guest(&late, "late", 2);
    fx_serve(fx, &late);
    assert_true(fx_serves(fx, "late"));
    drain(fx, boss, 6, "here", RT_DRAIN_ON); /* once more: nothing new */
    fx_disk_drains(fx, 0);
    want(fx, boss, 6, RT_CLASS_OK);
    assert_int_equal(reply.hosts[0].sessions, 2);
    assert_int_equal(fx->n_events[RT_AGENT_DRAINS], 1);
    drain(fx, boss, 7, "here", RT_DRAIN_OFF);
    fx_disk_drains(fx, 0);
    want(fx, boss, 7, RT_CLASS_OK);
    want_row(0, "here", false);
    assert_false(fx->drains_on_disk);
    assert_int_equal(fx->n_events[RT_AGENT_DRAINS], 2);
    request(fx, asker, 8, ask("create", "new"));
    fx_answer(fx);
    want(fx, asker, 8, RT_CLASS_OK);
}

/* The last word counts, also on the disk; without the disk the asker is told, and one who has gone is not. */
static void test_disk(void **state)
{
    struct fx *fx = *state;
    int boss = fx_client(fx, ""), gone = fx_client(fx, "");

    drain(fx, gone, 1, "here", RT_DRAIN_ON);
    drain(fx, boss, 1, "here", RT_DRAIN_OFF);
    fx_lost(fx, gone);
    fx_disk_drains(fx, 0);
    fx_none(fx, boss);
    fx_disk_drains(fx, 0);
    want(fx, boss, 1, RT_CLASS_OK);
    want_row(0, "here", false);
    assert_false(fx->drains_on_disk);
    drain(fx, boss, 2, "here", RT_DRAIN_ON);
    fx_disk_drains(fx, RT_EIO);
    want(fx, boss, 2, RT_CLASS_RETRY_LATER);
    assert_true(fx_stats(fx).drains);
    fx->disk_busy = true;
    drain(fx, boss, 3, "here", RT_DRAIN_ON);
    want(fx, boss, 3, RT_CLASS_RETRY_LATER);
    fx->disk_busy = false;
    drain(fx, boss, 4, "here", RT_DRAIN_ON);
    fx_disk_drains(fx, 0);
    want(fx, boss, 4, RT_CLASS_OK);
    assert_true(fx->drains_on_disk);
    drain(fx, boss, 5, "here", RT_DRAIN_OFF); /* the agent ends meanwhile */
}

/* Agents never relay: the other host is named, behind the one that answers, and nothing is done. */
static void test_elsewhere(void **state)
{
    struct fx *fx = *state;
    int boss = fx_client(fx, "");

    other(fx, "there", true);
    drain(fx, boss, 1, "there", RT_DRAIN_OFF);
    want(fx, boss, 1, RT_CLASS_OK);
    assert_int_equal(reply.n_hosts, 2);
    want_row(0, "here", false);
    want_row(1, "there", true);
    assert_int_equal(reply.hosts[1].n_addr, 1);
    drain(fx, boss, 2, "nowhere", RT_DRAIN_ON);
    fx_answer(fx);
    want(fx, boss, 2, RT_CLASS_NOT_FOUND);
    fx_claimed(fx, "web", "ghost", 9, 1); /* it is asked about, and was never there */
    fx_attach(fx, fx_client(fx, "local"), 1, "web", 2000, 0, 0);
    drain(fx, boss, 7, "ghost", RT_DRAIN_ON);
    fx_answer(fx);
    want(fx, boss, 7, RT_CLASS_NOT_FOUND);
    drain(fx, boss, 8, "ghost", RT_DRAIN_ON);
    fx_answer(fx);
    want(fx, boss, 8, RT_CLASS_NOT_FOUND);
    drain(fx, boss, 3, "", RT_DRAIN_ON);
    want(fx, boss, 3, RT_CLASS_INVALID);
    drain(fx, boss, 4, "a b", RT_DRAIN_ON);
    want(fx, boss, 4, RT_CLASS_INVALID);
    fx_down(fx);
    drain(fx, boss, 5, "nowhere", RT_DRAIN_ON);
    want(fx, boss, 5, RT_CLASS_RETRY_LATER);
    drain(fx, boss, 6, "there", RT_DRAIN_ON);
    want(fx, boss, 6, RT_CLASS_OK);
    assert_int_equal(reply.n_hosts, 2);
    assert_false(fx_stats(fx).drains);
    assert_false(fx->drains_writing);
}

static void want_left(struct fx *fx, uint64_t sessions, bool unsure)
{
    int boss = fx_client(fx, "");

    drain(fx, boss, 1, "here", RT_DRAIN_LOOK);
    want(fx, boss, 1, RT_CLASS_OK);
    assert_int_equal(reply.hosts[0].sessions, sessions);
    assert_int_equal(reply.hosts[0].unsure, unsure);
}

/* None is left only when that is known: a guest that has lost its link is there for a lease, unless it is elsewhere or
 * has ended; one that is just coming, or has not come back since the agent started, may be one more. */
static void test_left(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, other;

    want_left(fx, 0, true);
    fx_tick(fx, RT_LEASE_MS - 1);
    want_left(fx, 0, true);
    fx_tick(fx, 1);
    want_left(fx, 0, false);
    fx_guest(&guest, "web", 1);
    fx_hello(fx, &guest);
    want_left(fx, 0, true);
    fx_lost(fx, guest.link);
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_guest(&other, "moves", 2);
    fx_serve(fx, &other);
    want_left(fx, 2, false);
    fx_lost(fx, guest.link);
    fx_lost(fx, other.link);
    want_left(fx, 2, false);
    fx_answer(fx);
    fx_claimed(fx, "moves", "there", other.life, other.epoch + 1);
    want_left(fx, 1, false);
    fx_tick(fx, RT_LOST_AFTER_MS);
    fx_answer(fx);
    want_left(fx, 1, false); /* lost, and may come back */
    fx_hello(fx, &guest);
    want_left(fx, 1, true);
    fx_lost(fx, guest.link);
    fx_tick(fx, RT_LEASE_MS - RT_LOST_AFTER_MS);
    want_left(fx, 0, false);
}

static struct rt_welcome_msg welcome; /* large */

/* A notice does not tell whether its host drains: what is known of that agent stays, of another one nothing is. */
static void test_notice(void **state)
{
    struct fx *fx = *state;
    int boss = fx_client(fx, "");

    other(fx, "there", true);
    fx_host(fx, "there", true);
    drain(fx, boss, 1, "there", RT_DRAIN_LOOK);
    want(fx, boss, 1, RT_CLASS_OK);
    want_row(1, "there", true);
    fx->hosts[0].row.instance.b[0]++;
    fx_host(fx, "there", true);
    drain(fx, boss, 2, "there", RT_DRAIN_LOOK);
    want(fx, boss, 2, RT_CLASS_OK);
    want_row(1, "there", false);
    fx_beats(fx, 1);
    drain(fx, boss, 3, "there", RT_DRAIN_LOOK);
    want(fx, boss, 3, RT_CLASS_OK);
    want_row(1, "there", true);
}

/* A client is told at its HELLO which agents it should rather not ask. */
static void test_welcome(void **state)
{
    struct rt_hello_msg hello = {.vmin = 1, .vmax = 1, .role = rt_slice_text("client")};
    struct fx *fx = *state;
    struct rt_frame frame;
    const uint8_t *payload;
    int link = fx_open(fx, RT_PEER_CLIENT, "local");

    rt_agent_kept_drains(fx->agent, fx->now);
    other(fx, "idle", false);
    other(fx, "there", true);
    fx_msg(fx, link, &(struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &hello);
    payload = fx_want(fx, link, RT_WELCOME, &frame);
    assert_int_equal(rt_msg_decode(RT_MSG_WELCOME, payload, frame.length, &welcome, NULL, 0), 0);
    assert_int_equal(welcome.n_agents, 3);
    assert_true(welcome.agents[0].drains);
    assert_false(welcome.agents[1].drains);
    assert_true(welcome.agents[2].drains);
    want_refused(fx, fx_client(fx, "local"), 1, "idle"); /* it drains since an earlier run */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_drain), FX_TEST(test_disk),   FX_TEST(test_elsewhere),
        FX_TEST(test_left),  FX_TEST(test_notice), FX_TEST(test_welcome),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
