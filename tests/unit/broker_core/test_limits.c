/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/limits.h"
#include "broker/core/machine.h"
#include "session/base/bytes.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "tests/unit/broker_core/fixture_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What a tenant and a client may have: who goes over is told, nobody else notices, and what has ended makes room. */

static void told(struct fx *fx, int client, uint32_t channel, const char *which, uint64_t most, const char *text)
{
    struct rt_refuse_msg refuse;

    fx_want_refuse(fx, client, channel, RT_CLASS_LIMIT, &refuse);
    assert_true(rt_slice_equal(refuse.m, rt_slice_text(text)));
    assert_true(rt_slice_equal(refuse.which, rt_slice_text(which)));
    assert_int_equal(refuse.max, most);
}

static void detach(struct fx *fx, int client, uint32_t channel)
{
    fx_send(fx, client, &(struct rt_frame){.type = RT_DETACH, .channel = channel}, NULL);
}

/* It goes to the guest. */
static void attach(struct fx *fx, int client, uint32_t channel)
{
    fx_attach(fx, client, channel, "web", 0, 0, 0);
    fx_none(fx, client);
}

/* A guest "web" of that tenant. */
static void serve(struct fx *fx, struct fx_guest *guest, const char *tenant)
{
    fx_guest(guest, "web", 1);
    fx_join_token(guest, tenant, "web", "");
    fx_serve(fx, guest);
}

/* Nobody is there, so no tenant has anything. */
static void nothing_left(struct fx *fx)
{
    for (size_t i = 0; i < fx->n_links; i++) {
        if (!fx_closed(fx, (int)i)) {
            fx_lost(fx, (int)i);
        }
    }
    fx_answer(fx);
    for (const struct ag_tenant *tenant = fx->agent->tenants; tenant != NULL; tenant = tenant->hh.next) {
        for (size_t i = 0; i < AG_TENANT_LIMITS; i++) {
            assert_int_equal(tenant->has[i], 0);
        }
        for (size_t i = 0; i < AG_SHARES; i++) {
            assert_int_equal(tenant->shares[i], 0);
        }
    }
}

static int knock(struct fx *fx, const char *tenant)
{
    struct rt_hello_msg hello;
    int link = fx_open(fx, RT_PEER_CLIENT, tenant);

    memset(&hello, 0, sizeof(hello));
    hello.vmin = hello.vmax = 1;
    hello.role = rt_slice_text("client");
    fx_msg(fx, link, &(struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &hello);
    return link;
}

static void test_clients(void **state)
{
    struct fx *fx = *state;
    int first, over;

    fx_limit(fx, RT_LIMIT_TENANT_CLIENTS, 2);
    first = fx_client(fx, "acme");
    (void)fx_client(fx, "acme");
    over = knock(fx, "acme");
    told(fx, over, 0, "limits.tenant_clients", 2,
         "tenant acme has 2 connections at this agent, the most it may have (limits.tenant_clients)");
    assert_true(fx_closed(fx, over));
    assert_int_equal(fx_stats(fx).over[RT_LIMIT_TENANT_CLIENTS], 1);
    assert_int_equal(fx->n_events[RT_AGENT_LIMIT], 1);
    (void)fx_client(fx, "local");
    for (unsigned i = 0; i < 3; i++) {
        (void)fx_client_as(fx, RT_CLIENT_OPERATOR);
    }
    assert_false(fx_closed(fx, first));
    fx_lost(fx, first);
    (void)fx_client(fx, "acme");
    told(fx, knock(fx, "acme"), 0, "limits.tenant_clients", 2,
         "tenant acme has 2 connections at this agent, the most it may have (limits.tenant_clients)");
    nothing_left(fx);
}

static void test_channels(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest, other;
    int a, b, c, boss;

    fx_limit(fx, RT_LIMIT_TENANT_CHANNELS, 2);
    serve(fx, &guest, "local");
    serve(fx, &other, "acme");
    a = fx_client(fx, "local");
    b = fx_client(fx, "local");
    c = fx_client(fx, "acme");
    boss = fx_client_as(fx, RT_CLIENT_OPERATOR_READS);
    attach(fx, a, 1);
    attach(fx, b, 1);
    fx_attach(fx, b, 2, "web", 0, 0, 0);
    told(fx, b, 2, "limits.tenant_channels", 2,
         "tenant local has 2 attachments at this agent, the most it may have (limits.tenant_channels)");
    attach(fx, c, 1);
    for (uint32_t i = 1; i <= 3; i++) {
        struct rt_attach_msg msg = {.cid = rt_slice_text("local/web"),
                                    .id = rt_slice_text("0123456789abcdef"),
                                    .try_no = 1,
                                    .make = true,
                                    .want = 1 << RT_STDOUT};
        fx_msg(fx, boss, &(struct rt_frame){.type = RT_ATTACH, .channel = i}, RT_MSG_ATTACH, &msg);
    }
    assert_int_equal(fx_stats(fx).channels, 6);
    detach(fx, a, 1);
    attach(fx, b, 3);
    fx_attach(fx, a, 2, "web", 0, 0, 0);
    told(fx, a, 2, "limits.tenant_channels", 2,
         "tenant local has 2 attachments at this agent, the most it may have (limits.tenant_channels)");
    fx_lost(fx, b); /* with its two */
    attach(fx, a, 3);
    attach(fx, a, 4);
    fx_lost(fx, guest.link);
    assert_int_equal(fx_stats(fx).channels, 1);
    nothing_left(fx);
}

/* A refusal that is not read takes the place of what it refuses. */
static void test_channels_unread(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int client;

    fx_limit(fx, RT_LIMIT_TENANT_CHANNELS, 1);
    fx_attached(fx, &guest, &client);
    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    fx_lost(fx, guest.link);
    assert_int_equal(fx_stats(fx).channels, 0);
    assert_int_equal(fx->agent->tenants->has[RT_LIMIT_TENANT_CHANNELS], 1);
    fx_queued(fx, client, 0);
    fx_want_refuse(fx, client, 7, RT_CLASS_LOST, NULL);
    assert_int_equal(fx->agent->tenants->has[RT_LIMIT_TENANT_CHANNELS], 0);
    fx_queued(fx, client, RT_LINK_HIGH_WATER + 1);
    fx_attach(fx, client, 8, "web", 0, 0, 0); /* parked, then lost with its link */
    assert_int_equal(fx->agent->tenants->has[RT_LIMIT_TENANT_CHANNELS], 1);
    nothing_left(fx);
}

static void test_channels_of_one(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int a, b;

    fx_limit(fx, RT_LIMIT_CLIENT_CHANNELS, 1);
    serve(fx, &guest, "local");
    a = fx_client(fx, "local");
    b = fx_client(fx, "local");
    attach(fx, a, 1);
    fx_attach(fx, a, 2, "web", 0, 0, 0);
    told(fx, a, 2, "limits.client_channels", 1,
         "this connection has 1 attachments at this agent, the most it may have (limits.client_channels)");
    attach(fx, b, 1);
    detach(fx, a, 1);
    attach(fx, a, 3);
    assert_int_equal(fx_stats(fx).over[RT_LIMIT_CLIENT_CHANNELS], 1);
    nothing_left(fx);
}

static void test_waiting(void **state)
{
    struct fx *fx = *state;
    struct rt_refuse_msg refuse;
    int a, b, c;

    fx_limit(fx, RT_LIMIT_TENANT_WAITING, 1);
    a = fx_client(fx, "local");
    b = fx_client(fx, "local");
    c = fx_client(fx, "acme");
    fx_down(fx);
    fx_attach(fx, a, 1, "web", 5000, 0, 0);
    fx_attach(fx, b, 1, "web", 5000, 0, 0);
    told(
        fx, b, 1, "limits.tenant_waiting", 1,
        "tenant local has 1 attachments and requests that wait for their container at this agent, the most it may have "
        "(limits.tenant_waiting)");
    fx_attach(fx, c, 1, "web", 5000, 0, 0);
    fx_none(fx, a);
    fx_none(fx, c);
    fx_attach(fx, b, 2, "web", 5000, 7, 1); /* one that goes on comes again, and stays open */
    fx_want_refuse(fx, b, 2, RT_CLASS_RETRY_LATER, &refuse);
    assert_true(refuse.delay > 0);
    detach(fx, a, 1);
    fx_attach(fx, b, 3, "web", 5000, 0, 0);
    fx_none(fx, b);
    assert_int_equal(fx_stats(fx).held, 2);
    nothing_left(fx);
}

/* The bytes of attaches that wait. */
static void test_bytes_waiting(void **state)
{
    struct fx *fx = *state;
    int a, c;
    uint64_t size;

    a = fx_client(fx, "local");
    c = fx_client(fx, "acme");
    fx_down(fx);
    fx_attach(fx, a, 1, "web", 5000, 0, 0);
    size = fx->agent->held_bytes;
    assert_int_equal(fx->agent->tenants->has[RT_LIMIT_TENANT_BYTES], size);
    fx_limit(fx, RT_LIMIT_TENANT_BYTES, 2 * size - 1);
    fx_attach(fx, a, 2, "web", 5000, 0, 0);
    fx_want_refuse(fx, a, 2, RT_CLASS_LIMIT, NULL);
    fx_attach(fx, c, 1, "web", 5000, 0, 0);
    detach(fx, a, 1);
    fx_attach(fx, a, 3, "web", 5000, 0, 0);
    fx_none(fx, a);
    fx_none(fx, c);
    nothing_left(fx);
}

/* Of those who read slowly, who has most queued goes. */
static void test_bytes_unread(void **state)
{
    struct fx *fx = *state;
    const uint64_t most = 3 * (uint64_t)RT_LINK_HIGH_WATER;
    int a, b, c, boss;

    fx_limit(fx, RT_LIMIT_TENANT_BYTES, most);
    a = fx_client(fx, "local");
    b = fx_client(fx, "local");
    c = fx_client(fx, "acme");
    boss = fx_client_as(fx, RT_CLIENT_OPERATOR);
    fx_queued(fx, b, RT_LINK_HIGH_WATER); /* not congested: does not count */
    fx_queued(fx, a, (size_t)2 * RT_LINK_HIGH_WATER);
    fx_queued(fx, boss, (size_t)4 * RT_LINK_HIGH_WATER);
    fx_queued(fx, c, (size_t)3 * RT_LINK_HIGH_WATER);
    fx_queued(fx, b, (size_t)2 * RT_LINK_HIGH_WATER);
    told(fx, b, 0, "limits.tenant_bytes", most,
         "tenant local has 3145728 bytes that wait at this agent, the most it may have (limits.tenant_bytes)");
    assert_true(fx_closed(fx, b));
    assert_false(fx_closed(fx, a) || fx_closed(fx, c) || fx_closed(fx, boss));
    b = fx_client(fx, "local");
    fx_queued(fx, a, RT_LINK_HIGH_WATER + 1);
    fx_queued(fx, b, 2 * RT_LINK_HIGH_WATER - 1); /* together as much as there may be */
    assert_false(fx_closed(fx, a) || fx_closed(fx, b));
    fx_limit(fx, RT_LIMIT_TENANT_BYTES, 1);
    fx_queued(fx, b, RT_LINK_HIGH_WATER + 1); /* it reads, so it is not the one who goes */
    assert_false(fx_closed(fx, b));
    fx_queued(fx, a, 0);
    fx_queued(fx, b, RT_LINK_HIGH_WATER / 2);
    assert_int_equal(fx_stats(fx).over[RT_LIMIT_TENANT_BYTES], 1);
    nothing_left(fx);
}

/* Who reads, and grows because others have left no room, stays; as many of those go as it takes. */
static void test_bytes_of_who_stalls(void **state)
{
    struct fx *fx = *state;
    const uint32_t high = RT_LINK_HIGH_WATER;
    int a, b, c, other;

    fx_limit(fx, RT_LIMIT_TENANT_BYTES, 3 * (uint64_t)high);
    a = fx_client(fx, "local");
    b = fx_client(fx, "local");
    other = fx_client(fx, "acme");
    fx_queued(fx, other, (size_t)3 * high);
    fx_queued(fx, a, (size_t)2 * high + high / 2);
    fx_queued(fx, b, high + 1);
    told(fx, a, 0, "limits.tenant_bytes", 3 * (uint64_t)high,
         "tenant local has 3145728 bytes that wait at this agent, the most it may have (limits.tenant_bytes)");
    assert_true(fx_closed(fx, a));
    assert_false(fx_closed(fx, b) || fx_closed(fx, other));
    assert_int_equal(rt_ag_tenant(fx->agent, "local")->has[RT_LIMIT_TENANT_BYTES], high + 1);
    fx_queued(fx, b, 0);
    /* The limit is over by more than one of them. */
    a = fx_client(fx, "local");
    c = fx_client(fx, "local");
    fx_queued(fx, a, high + high / 4);
    fx_queued(fx, c, high + high / 2);
    fx_limit(fx, RT_LIMIT_TENANT_BYTES, high + high / 8);
    fx_queued(fx, b, high + 1);
    assert_true(fx_closed(fx, a) && fx_closed(fx, c));
    assert_false(fx_closed(fx, b));
    assert_int_equal(fx_stats(fx).over[RT_LIMIT_TENANT_BYTES], 3);
    nothing_left(fx);
}

/* An operation that there is not is answered at once, and counts like any other. */
static void asked(struct fx *fx, int client, uint64_t id, enum rt_class cls)
{
    request(fx, client, id, ask("nonsense", ""));
    want(fx, client, id, cls);
}

static void test_requests_of_one(void **state)
{
    struct fx *fx = *state;
    int a = fx_client(fx, "local"), b = fx_client(fx, "local"), boss = fx_client_as(fx, RT_CLIENT_OPERATOR);

    fx_limit(fx, RT_LIMIT_CLIENT_REQUESTS, 4);
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t id = 1; id <= 4; id++) {
            asked(fx, a, id, RT_CLASS_INVALID);
            asked(fx, boss, id, RT_CLASS_INVALID);
        }
        asked(fx, boss, 5, RT_CLASS_LIMIT);
        asked(fx, a, 5, RT_CLASS_LIMIT);
        assert_true(rt_slice_equal(
            reply.m, rt_slice_text("this connection has 4 requests in a second at this agent, the most it may have "
                                   "(limits.client_requests)")));
        asked(fx, b, round, RT_CLASS_INVALID);
        fx_tick(fx, 249);
        asked(fx, a, 6, RT_CLASS_LIMIT);
        fx_tick(fx, 1);
        asked(fx, a, 7, RT_CLASS_INVALID);
        asked(fx, a, 8, RT_CLASS_LIMIT);
        fx_tick(fx, 1000);
    }
    assert_false(fx_closed(fx, a));
    nothing_left(fx);
}

static void test_requests_of_tenant(void **state)
{
    struct fx *fx = *state;
    int a = fx_client(fx, "local"), b = fx_client(fx, "local"), c = fx_client(fx, "acme");

    fx_limit(fx, RT_LIMIT_TENANT_REQUESTS, 2);
    asked(fx, a, 1, RT_CLASS_INVALID);
    asked(fx, b, 1, RT_CLASS_INVALID);
    asked(fx, a, 2, RT_CLASS_LIMIT);
    assert_true(rt_slice_equal(reply.m, rt_slice_text("tenant local has 2 requests in a second at this agent, the most "
                                                      "it may have (limits.tenant_requests)")));
    asked(fx, c, 1, RT_CLASS_INVALID);
    /* Who leaves and comes again has no new bucket. */
    fx_lost(fx, a);
    fx_lost(fx, b);
    a = fx_client(fx, "local");
    asked(fx, a, 1, RT_CLASS_LIMIT);
    fx_tick(fx, 500);
    asked(fx, a, 2, RT_CLASS_INVALID);
    asked(fx, a, 3, RT_CLASS_LIMIT);
    assert_int_equal(fx_stats(fx).over[RT_LIMIT_TENANT_REQUESTS], 3);
    fx_lost(fx, a);
    fx_lost(fx, c);
    /* Those who have nothing make room for others, but for one whose bucket is not full. */
    fx_lost(fx, fx_client(fx, "third"));
    assert_int_equal(HASH_COUNT(fx->agent->tenants), 2);
    asked(fx, fx_client(fx, "local"), 1, RT_CLASS_LIMIT);
    nothing_left(fx);
    fx_tick(fx, 1500);
    fx_lost(fx, fx_client(fx, "fourth"));
    fx_lost(fx, fx_client(fx, "fifth"));
    assert_int_equal(HASH_COUNT(fx->agent->tenants), 2);
}

/* An ATTACH of an ID that the guest is asked for, and what comes of it here: 0 nothing yet. */
static void attach_as(struct fx *fx, int client, uint32_t channel, uint64_t try_no, bool make, enum rt_class cls)
{
    struct rt_attach_msg msg = {.cid = rt_slice_text("web"),
                                .id = rt_slice_text("0123456789abcdef"),
                                .try_no = try_no,
                                .make = make,
                                .want = 1 << RT_STDOUT};

    fx_msg(fx, client, &(struct rt_frame){.type = RT_ATTACH, .channel = channel}, RT_MSG_ATTACH, &msg);
    if (cls != RT_CLASS_OK) {
        fx_want_refuse(fx, client, channel, cls, NULL);
    }
    fx_none(fx, client);
}

/* Half of what is shared by all is the most for one tenant: lists under way, which are those that the store has not
 * answered to the end. */
static void test_half_of_the_lists(void **state)
{
    enum { MOST = RT_AGENT_LISTS_MAX / 2 };
    struct fx *fx = *state;
    int clients[MOST + 1], other = fx_client(fx, "acme"), boss = fx_client_as(fx, RT_CLIENT_OPERATOR);

    for (unsigned i = 0; i <= MOST; i++) {
        clients[i] = fx_client(fx, "local");
        request(fx, clients[i], 1, ask("list", ""));
    }
    want(fx, clients[MOST], 1, RT_CLASS_LIMIT);
    assert_true(rt_slice_equal(reply.m, rt_slice_text("tenant local has 32 lists and searches under way, half of what "
                                                      "this agent has for all (shared.lists)")));
    request(fx, other, 1, ask("list", ""));
    request(fx, boss, 1, ask("list", ""));
    fx_lost(fx, clients[0]); /* its list goes with it */
    request(fx, clients[MOST], 2, ask("list", ""));
    request(fx, clients[MOST], 3, ask("list", ""));
    want(fx, clients[MOST], 3, RT_CLASS_LIMIT);
    fx_answer(fx);
    want(fx, other, 1, RT_CLASS_OK);
    want(fx, boss, 1, RT_CLASS_OK);
    for (unsigned i = 1; i < MOST; i++) {
        want(fx, clients[i], 1, RT_CLASS_OK);
    }
    want(fx, clients[MOST], 2, RT_CLASS_OK);
    nothing_left(fx);
}

/* The bytes of attaches that wait, each as long as it can be. */
static void test_half_of_what_waits(void **state)
{
    const uint64_t room = RT_AGENT_HELD_BYTES_MAX / 2 / RT_SHORT_MAX;
    struct fx *fx = *state;
    static uint8_t payload[RT_SHORT_MAX];
    struct rt_attach_msg msg = {.cid = rt_slice_text("nothing"),
                                .id = rt_slice_text("0123456789abcdef"),
                                .try_no = 1,
                                .make = true,
                                .want = 1 << RT_STDOUT,
                                .wait = 10000};
    struct rt_refuse_msg refuse;
    int other = fx_client(fx, "acme"), client = 0;
    int size = rt_msg_encode(RT_MSG_ATTACH, &msg, payload, sizeof(payload));

    fx_down(fx); /* which asks nothing */
    assert_true(size > 0 && payload[0] >= 0x80 && payload[0] < 0x8f);
    payload[0]++; /* one key more, of which nobody knows */
    memcpy(payload + size, (const uint8_t[]){0xa2, 'z', 'z', 0xc5}, 4);
    rt_put_u16(payload + size + 4, (uint16_t)(RT_SHORT_MAX - size - 6));
    for (uint64_t i = 0; i <= room; i++) {
        if (i % 1000 == 0) {
            client = fx_client(fx, "local");
        }
        fx_send(fx, client,
                &(struct rt_frame){.type = RT_ATTACH, .channel = (uint32_t)(i % 1000 + 1), .length = RT_SHORT_MAX},
                payload);
        if (i < room) {
            fx_none(fx, client);
        }
    }
    fx_want_refuse(fx, client, (uint32_t)(room % 1000 + 1), RT_CLASS_LIMIT, &refuse);
    assert_true(rt_slice_equal(refuse.which, rt_slice_text("shared.waiting_bytes")));
    assert_int_equal(refuse.max, RT_AGENT_HELD_BYTES_MAX / 2);
    fx_send(fx, other, &(struct rt_frame){.type = RT_ATTACH, .channel = 1, .length = RT_SHORT_MAX}, payload);
    fx_none(fx, other);
}

/* An ATTACH is a request like any other. One that is over is told LIMIT on its first try; who comes again, or goes on,
 * comes later, and so loses nothing. */
static void test_attaches_are_requests(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_refuse_msg refuse;
    int a, b, c, boss;

    fx_limit(fx, RT_LIMIT_CLIENT_REQUESTS, 2);
    fx_limit(fx, RT_LIMIT_TENANT_REQUESTS, 3);
    serve(fx, &guest, "local");
    a = fx_client(fx, "local");
    b = fx_client(fx, "local");
    c = fx_client(fx, "acme");
    boss = fx_client_as(fx, RT_CLIENT_OPERATOR);
    attach(fx, a, 1);
    asked(fx, a, 1, RT_CLASS_INVALID);
    fx_attach(fx, a, 2, "web", 0, 0, 0);
    told(fx, a, 2, "limits.client_requests", 2,
         "this connection has 2 requests in a second at this agent, the most it may have (limits.client_requests)");
    attach_as(fx, a, 3, 1, true, RT_CLASS_LIMIT);
    attach_as(fx, a, 4, 2, true, RT_CLASS_RETRY_LATER);
    attach_as(fx, a, 5, 1, false, RT_CLASS_RETRY_LATER);
    asked(fx, a, 2, RT_CLASS_LIMIT);
    attach(fx, b, 1);
    fx_attach(fx, b, 2, "web", 0, 0, 0);
    told(fx, b, 2, "limits.tenant_requests", 3,
         "tenant local has 3 requests in a second at this agent, the most it may have (limits.tenant_requests)");
    /* Nor does one that makes no sense cost nothing. */
    for (uint32_t i = 1; i <= 3; i++) {
        fx_send(fx, c, &(struct rt_frame){.type = RT_ATTACH, .channel = i, .length = 1}, "\x80");
        fx_want_refuse(fx, c, i, i < 3 ? RT_CLASS_INVALID : RT_CLASS_LIMIT, &refuse);
    }
    for (uint32_t i = 1; i <= 3; i++) {
        attach_as(fx, boss, i, 1, true, i < 3 ? RT_CLASS_DENIED : RT_CLASS_LIMIT);
    }
    fx_tick(fx, 100);
    fx_msg(fx, a, &(struct rt_frame){.type = RT_ATTACH, .channel = 6}, RT_MSG_ATTACH,
           &(struct rt_attach_msg){.cid = rt_slice_text("web"), .id = rt_slice_text("0123456789abcdef"), .try_no = 2});
    fx_want_refuse(fx, a, 6, RT_CLASS_RETRY_LATER, &refuse); /* and where it is, as soon as there is a token */
    assert_true(rt_slice_equal(refuse.which, rt_slice_text("limits.client_requests")));
    assert_int_equal(refuse.max, 2);
    assert_int_equal(refuse.delay, 400);
    fx_tick(fx, 400);
    attach_as(fx, a, 7, 3, true, RT_CLASS_OK);
    attach_as(fx, a, 8, 3, true, RT_CLASS_RETRY_LATER);
    assert_int_equal(fx_stats(fx).channels, 3);
    assert_int_equal(fx_stats(fx).over[RT_LIMIT_TENANT_REQUESTS], 1);
    assert_false(fx_closed(fx, a) || fx_closed(fx, b) || fx_closed(fx, c) || fx_closed(fx, boss));
    nothing_left(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_clients),
        FX_TEST(test_channels),
        FX_TEST(test_channels_unread),
        FX_TEST(test_channels_of_one),
        FX_TEST(test_waiting),
        FX_TEST(test_bytes_waiting),
        FX_TEST(test_bytes_unread),
        FX_TEST(test_bytes_of_who_stalls),
        FX_TEST(test_requests_of_one),
        FX_TEST(test_requests_of_tenant),
        FX_TEST(test_half_of_the_lists),
        FX_TEST(test_half_of_what_waits),
        FX_TEST(test_attaches_are_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
