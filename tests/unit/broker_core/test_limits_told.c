/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/limits.h"
#include "broker/core/machine.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"
#include "tests/unit/broker_core/fixture_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* REQUEST `limits`: what there may be, and is; and who is told. */

static const struct rt_limit_msg *row(const char *setting, const char *tenant)
{
    for (size_t i = 0; i < reply.n_lims; i++) {
        if (rt_slice_equal(reply.lims[i].set, rt_slice_text(setting)) &&
            rt_slice_equal(reply.lims[i].who, rt_slice_text(tenant))) {
            return &reply.lims[i];
        }
    }
    return NULL;
}

static void want_row(const char *setting, const char *tenant, uint64_t has, uint64_t most, uint64_t over)
{
    const struct rt_limit_msg *found = row(setting, tenant);

    assert_non_null(found);
    assert_int_equal(found->has, has);
    assert_int_equal(found->max, most);
    assert_int_equal(found->over, over);
}

/* A client is told of itself and of its tenant, an operator of all. */
static void test_told(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int a, b, boss;

    fx->agent->config.limits[RT_LIMIT_TENANT_CHANNELS] = 1;
    fx->agent->config.limits[RT_LIMIT_CLIENT_REQUESTS] = 10;
    fx->agent->config.limits[RT_LIMIT_TENANT_REQUESTS] = 20;
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    a = fx_client(fx, "local");
    b = fx_client(fx, "acme");
    boss = fx_client_as(fx, RT_CLIENT_OPERATOR);
    fx_attach(fx, a, 1, "web", 0, 0, 0);
    fx_attach(fx, a, 2, "web", 0, 0, 0);
    fx_want_refuse(fx, a, 2, RT_CLASS_LIMIT, NULL);
    request(fx, a, 1, ask("nonsense", ""));
    want(fx, a, 1, RT_CLASS_INVALID);
    request(fx, a, 2, ask("limits", ""));
    want(fx, a, 2, RT_CLASS_OK);
    assert_int_equal(reply.n_hosts, 1);
    assert_true(rt_slice_equal(reply.hosts[0].host, rt_slice_text("here")));
    assert_int_equal(reply.n_lims, RT_LIMITS + AG_SHARES);
    assert_false(reply.more);
    want_row("limits.tenant_sessions", "local", 1, 0, 0);
    want_row("limits.tenant_clients", "local", 1, 0, 0);
    want_row("limits.tenant_channels", "local", 1, 1, 1);
    want_row("shared.lists", "local", 0, RT_AGENT_LISTS_MAX / 2, 0);
    want_row("shared.ends", "local", 0, RT_ENDS_MAX / 2, 0);
    want_row("shared.waiting_bytes", "local", 0, RT_AGENT_HELD_BYTES_MAX / 2, 0);
    want_row("limits.tenant_requests", "local", 4, 20, 0); /* attaches, too */
    want_row("limits.client_channels", "", 1, RT_LINK_CHANNELS_MAX, 0);
    want_row("limits.client_requests", "", 4, 10, 0);
    request(fx, b, 1, ask("limits", ""));
    want(fx, b, 1, RT_CLASS_OK);
    assert_int_equal(reply.n_lims, RT_LIMITS + AG_SHARES);
    want_row("limits.tenant_channels", "acme", 0, 1, 0);
    request(fx, boss, 1, ask("limits", ""));
    want(fx, boss, 1, RT_CLASS_OK);
    want_row("listen.max_guests", "", 1, RT_AGENT_LINKS_MAX, 0);
    want_row("listen.max_clients", "", 3, RT_AGENT_LINKS_MAX, 0);
    want_row("limits.handshakes", "", 0, RT_AGENT_HANDSHAKES_MAX, 0);
    want_row("limits.tenant_channels", "local", 1, 1, 1);
    want_row("limits.tenant_channels", "acme", 0, 1, 0);
    want_row("limits.client_requests", "", 1, 10, 0);
}

/* More tenants than one answer tells of, in several parts. */
static void test_told_of_many(void **state)
{
    struct fx *fx = *state;
    int boss = fx_client_as(fx, RT_CLIENT_OPERATOR);
    size_t rows = 0;
    char name[16];

    for (unsigned i = 0; i < 130; i++) {
        (void)snprintf(name, sizeof(name), "t%u", i);
        rt_ag_tenant(fx->agent, name)->has[RT_LIMIT_TENANT_SESSIONS] = i + 1;
    }
    request(fx, boss, 1, ask("limits", ""));
    do {
        want(fx, boss, 1, RT_CLASS_OK);
        assert_int_equal(reply.n_hosts, rows == 0);
        rows += reply.n_lims;
    } while (reply.more);
    assert_int_equal(rows, 3 + 85 * (AG_TENANT_LIMITS + AG_SHARES) + 2);
    assert_true(rt_slice_equal(reply.m, rt_slice_text("and 45 tenants more")));
}

/* A report of three processes, of which one has ended, and two attachments; four and five more had no room. */
static void report(struct fx *fx, int link)
{
    static struct rt_report_msg msg;
    static const uint8_t id[RT_ID_SIZE] = {1};

    memset(&msg, 0, sizeof(msg));
    msg.n_procs = 3;
    for (uint64_t i = 0; i < 3; i++) {
        msg.procs[i] = (struct rt_report_proc){.p = i, .st = i == 1 ? 2 : 1, .n_base = 3, .n_head = 3};
    }
    msg.n_atts = 2;
    for (uint64_t i = 0; i < 2; i++) {
        msg.atts[i] = (struct rt_report_att){
            .id = {.data = id, .size = RT_ID_SIZE}, .p = i, .bound = i == 0, .n_cons = 3, .n_app = 2};
    }
    msg.pmore = 4;
    msg.amore = 5;
    fx_msg(fx, link, &(struct rt_frame){.type = RT_REPORT}, RT_MSG_REPORT, &msg);
}

/* What the guest of a container and its tenant may have, where it is served. */
static void test_of_container(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int client, other, boss;

    fx->agent->config.limits[RT_LIMIT_TENANT_CHANNELS] = 9;
    fx_attached(fx, &guest, &client);
    report(fx, guest.link);
    fx_queued(fx, guest.link, 12345);
    other = fx_client_as(fx, RT_CLIENT_VIEWER);
    boss = fx_client_as(fx, RT_CLIENT_OPERATOR);
    request(fx, client, 1, ask("limits", "web"));
    request(fx, other, 1, ask("limits", "local/web")); /* as a record tells it */
    request(fx, boss, 1, ask("limits", "local/web"));
    for (unsigned i = 0; i < 3; i++) {
        want(fx, i == 0 ? client : i == 1 ? other : boss, 1, RT_CLASS_OK);
        assert_int_equal(reply.n_hosts, 1);
        assert_true(rt_slice_equal(reply.hosts[0].host, rt_slice_text("here")));
        assert_int_equal(reply.n_lims, 4 + AG_TENANT_LIMITS + AG_SHARES);
        want_row("processes", "", 6, RT_PROCS_MAX, 0);
        want_row("attachments", "", 7, RT_ATTS_MAX, 0);
        want_row("channels", "", 1, RT_LINK_CHANNELS_MAX, 0);
        want_row("bytes", "", 12345, RT_LINK_QUEUED_MAX, 0);
        want_row("limits.tenant_channels", "local", 1, 9, 0);
        want_row("limits.tenant_clients", "local", 2, 0, 0);
    }
    request(fx, boss, 2, ask("limits", "web"));
    want(fx, boss, 2, RT_CLASS_INVALID);
    request(fx, boss, 3, ask("limits", "nobody/web")); /* a tenant that has nothing here */
    fx_answer(fx);
    want(fx, boss, 3, RT_CLASS_OK);
    assert_int_equal(reply.n_lims, AG_TENANT_LIMITS + AG_SHARES);
    want_row("limits.tenant_channels", "nobody", 0, 9, 0);
    assert_null(rt_ag_tenant_find(fx->agent, "nobody"));
}

/* Where it is served elsewhere that host is named; but no dead one, and none once it is lost or has ended. */
static void test_of_container_elsewhere(void **state)
{
    struct fx *fx = *state;
    static const struct {
        enum rt_session_state state;
        const char *host;
        bool lost, named;
    } rows[] = {
        {RT_SESSION_RUNNING, "there", false, true}, {RT_SESSION_RUNNING, "here", false, false},
        {RT_SESSION_RUNNING, "dead", false, false}, {RT_SESSION_RUNNING, "there", true, false},
        {RT_SESSION_MOVING, "there", false, false}, {RT_SESSION_ENDED, "there", false, false},
    };
    int client;

    fx_host(fx, "there", true);
    fx_host(fx, "dead", false);
    fx_beats(fx, 30);
    client = fx_client(fx, "local");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        running(fx, "local", "web", rows[i].host);
        fx_record(fx, "local", "web")->rule.state = rows[i].state;
        fx_record(fx, "local", "web")->rule.lost_ms = rows[i].lost;
        request(fx, client, i + 1, ask("limits", "web"));
        fx_answer(fx);
        want(fx, client, i + 1, RT_CLASS_OK);
        assert_int_equal(reply.n_hosts, rows[i].named ? 2 : 1);
        assert_true(rt_slice_equal(reply.hosts[0].host, rt_slice_text("here")));
        if (rows[i].named) {
            assert_true(rt_slice_equal(reply.hosts[1].host, rt_slice_text("there")));
            assert_int_equal(reply.hosts[1].n_addr, 1);
        }
        assert_int_equal(reply.n_lims, AG_TENANT_LIMITS + AG_SHARES);
        want_row("limits.tenant_clients", "local", 1, 0, 0);
    }
    fx_down(fx);
    request(fx, client, 9, ask("limits", "web"));
    want(fx, client, 9, RT_CLASS_OK);
    assert_int_equal(reply.n_hosts, 1);
    assert_int_equal(reply.n_lims, AG_TENANT_LIMITS + AG_SHARES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_told),
        FX_TEST(test_told_of_many),
        FX_TEST(test_of_container),
        FX_TEST(test_of_container_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
