/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture_request.h"

#include "broker/core/hosts.h"
#include "broker/core/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Requests of clients; those that show and list sessions are in test_show.c. */

/* What was made and never started is taken back; nothing else is. */
static void test_remove(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int client = fx_client(fx, "local");

    request(fx, client, 1, ask("remove", "web"));
    fx_answer(fx);
    want(fx, client, 1, RT_CLASS_NOT_FOUND);
    request(fx, client, 2, ask("create", "web"));
    fx_answer(fx);
    want(fx, client, 2, RT_CLASS_OK);
    request(fx, client, 3, ask("remove", "web"));
    fx_answer(fx);
    want(fx, client, 3, RT_CLASS_OK);
    request(fx, client, 4, ask("create", "web"));
    fx_answer(fx);
    want(fx, client, 4, RT_CLASS_OK);
    fx_guest(&guest, "web", 1);
    memcpy(guest.token, reply.tok.data, reply.tok.size);
    guest.token_size = reply.tok.size;
    fx_serve(fx, &guest);
    request(fx, client, 5, ask("remove", "web"));
    fx_answer(fx);
    want(fx, client, 5, RT_CLASS_LIMIT);
}

static void test_create(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_ticket ticket;
    struct rt_request_msg msg = ask("create", "web");
    int client = fx_client(fx, "local");

    msg.label = rt_slice_text("shop");
    msg.ring = 4096;
    fx_request(fx, client, 1, &msg);
    assert_int_equal(fx->last[RT_STORE_CREATE].ring, 4096);
    assert_string_equal(fx->last[RT_STORE_CREATE].key.tenant, "local");
    fx_answer(fx);
    want(fx, client, 1, RT_CLASS_OK);
    assert_int_equal(rt_ticket_decode(reply.tok.data, reply.tok.size, &ticket), 0);
    assert_true(ticket.join);
    assert_string_equal(ticket.key.tenant, "local");
    assert_string_equal(ticket.key.cid, "web");
    assert_string_equal(ticket.bound_to, "");
    fx_guest(&guest, "web", 1);
    memcpy(guest.token, reply.tok.data, reply.tok.size);
    guest.token_size = reply.tok.size;
    fx_serve(fx, &guest);
    assert_true(fx_serves(fx, "web"));
    request(fx, client, 2, ask("create", "web"));
    fx_answer(fx);
    want(fx, client, 2, RT_CLASS_LIMIT);
    request(fx, client, 3, ask("create", "../web"));
    want(fx, client, 3, RT_CLASS_INVALID);
    request(fx, client, 4, ask("create", "db"));
    assert_string_equal(fx->last[RT_STORE_CREATE].key.tenant, "local");
    fx_fail(fx, RT_EUNAVAIL);
    want(fx, client, 4, RT_CLASS_RETRY_LATER);
    request(fx, client, 5, ask("create", "db"));
    fx_fail(fx, RT_ETIMEDOUT); /* it may have been made after all: people are told so by this text */
    want(fx, client, 5, RT_CLASS_RETRY_LATER);
    assert_true(rt_slice_equal(
        reply.m, rt_slice_text("the session store answers too late: it is not known whether it was done")));
    request(fx, client, 6, ask("create", "db"));
    fx_fail(fx, RT_ELIMIT);
    want(fx, client, 6, RT_CLASS_RETRY_LATER);
    assert_true(rt_slice_equal(reply.m, rt_slice_text("the session store is full")));
}

/* The token of a session that is made for one virtual machine is good there only. */
static void test_create_bound(void **state)
{
    struct fx *fx = *state;
    struct rt_ticket ticket;
    struct rt_request_msg msg = ask("create", "web");
    int client = fx_client(fx, "local");

    msg.vm = rt_slice_text("no/name");
    request(fx, client, 1, msg);
    want(fx, client, 1, RT_CLASS_INVALID);
    msg.vm = rt_slice_text("vm-1");
    request(fx, client, 2, msg);
    fx_answer(fx);
    want(fx, client, 2, RT_CLASS_OK);
    assert_int_equal(rt_ticket_decode(reply.tok.data, reply.tok.size, &ticket), 0);
    assert_string_equal(ticket.bound_to, "vm:vm-1");
    msg.op = rt_slice_text("show");
    request(fx, client, 3, msg);
    want(fx, client, 3, RT_CLASS_INVALID);
}

/* Page by page, in the order of the names, with what this agent judges of each. */
static void test_hosts(void **state)
{
    struct fx *fx = *state;
    char name[16];
    size_t n = 0;
    int client;

    for (unsigned i = 0; i < FX_HOSTS - 2; i++) {
        (void)snprintf(name, sizeof(name), "host%02u", i);
        fx_host(fx, name, true);
    }
    fx_host(fx, "here", true);
    fx_beats(fx, 2);
    fx_host(fx, "host01", false);
    fx_beats(fx, 25);
    fx_host(fx, "unknown", false); /* came without being heard */
    client = fx_client(fx, "local");
    request(fx, client, 1, ask("hosts", ""));
    do {
        fx_answer_one(fx, 0);
        want(fx, client, 1, RT_CLASS_OK);
        for (size_t i = 0; i < reply.n_hosts; i++) {
            assert_true(rt_slice_equal(reply.hosts[i].host, rt_slice_text(fx->hosts[n].row.host)));
            assert_int_equal(reply.hosts[i].state,
                             rt_slice_equal(reply.hosts[i].host, rt_slice_text("host01"))    ? RT_HOST_DEAD
                             : rt_slice_equal(reply.hosts[i].host, rt_slice_text("unknown")) ? RT_HOST_UNKNOWN
                                                                                             : RT_HOST_ALIVE);
            n++;
        }
    } while (reply.more);
    assert_int_equal(n, FX_HOSTS);
    assert_int_equal(fx->n_ops, 0);
    fx_down(fx);
    request(fx, client, 2, ask("hosts", "")); /* what it has heard */
    n = 0;
    do {
        want(fx, client, 2, RT_CLASS_OK);
        n += reply.n_hosts;
    } while (reply.more);
    assert_int_equal(n, FX_HOSTS - 2);
    fx_queued(fx, client, RT_LINK_HIGH_WATER - 1); /* to one who does not read, one page */
    request(fx, client, 3, ask("hosts", ""));
    want(fx, client, 3, RT_CLASS_OK);
    assert_true(reply.more);
    n = reply.n_hosts;
    fx_none(fx, client);
    fx_queued(fx, client, 0);
    do {
        want(fx, client, 3, RT_CLASS_OK);
        n += reply.n_hosts;
    } while (reply.more);
    assert_int_equal(n, FX_HOSTS - 2);
}

/* Of more hosts than are remembered the one that nobody has asked about for longest is forgotten. */
static void test_hosts_bound(void **state)
{
    static struct rt_store_news news = {.kind = RT_STORE_HOST};
    struct fx *fx = *state;

    for (unsigned i = 0; i <= AG_HOSTS_MAX; i++) {
        (void)snprintf(news.row.host, sizeof(news.row.host), "h%05u", i);
        news.row.seq = i + 1;
        rt_agent_store_news(fx->agent, &news, ++fx->now);
        if (i == 0) {
            (void)rt_ag_host_dead(fx->agent, "h00000");
        }
    }
    assert_int_equal(fx->agent->n_hosts, AG_HOSTS_MAX);
    assert_non_null(rt_ag_host(fx->agent, "h00000"));
    assert_null(rt_ag_host(fx->agent, "h00001"));
    assert_non_null(rt_ag_host(fx->agent, news.row.host));
}

static void test_tails(void **state)
{
    struct fx *fx = *state;
    struct rt_store_record *record;
    int client = fx_client(fx, "local");
    size_t got = 0;

    running(fx, "local", "web", "here");
    request(fx, client, 1, ask("tails", "web"));
    fx_answer(fx);
    want(fx, client, 1, RT_CLASS_NOT_FOUND);
    record = fx_record(fx, "local", "web");
    record->rule.state = RT_SESSION_ENDED;
    record->code = 3;
    record->out = 1000000;
    record->err = 4;
    fx->tail_size[0] = RT_TAIL_MAX;
    fx->tail_size[1] = 4;
    memset(fx->tail[0], 'o', RT_TAIL_MAX);
    memset(fx->tail[1], 'e', 4);
    fx->order_size = 4;
    memcpy(fx->order, "\1\2\4\6", 4);
    request(fx, client, 2, ask("tails", "web"));
    fx_answer(fx);
    want(fx, client, 2, RT_CLASS_OK);
    assert_int_equal(reply.code, 3);
    assert_int_equal(reply.out, 1000000);
    assert_int_equal(reply.ord.size, 4);
    assert_memory_equal(reply.ord.data, "\1\2\4\6", 4);
    assert_true(reply.more);
    while (got < RT_TAIL_MAX) {
        want(fx, client, 2, RT_CLASS_OK);
        assert_int_equal(reply.s, RT_STDOUT);
        assert_int_equal(reply.o, 1000000 - RT_TAIL_MAX + got);
        got += reply.data.size;
        assert_true(reply.more);
    }
    want(fx, client, 2, RT_CLASS_OK);
    assert_int_equal(reply.s, RT_STDERR);
    assert_int_equal(reply.o, 0);
    assert_int_equal(reply.data.size, 4);
    assert_false(reply.more);
}

static void test_tails_of_a_kept_end(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");
    struct rt_store_op op;

    memset(&op, 0, sizeof(op));
    (void)snprintf(op.key.tenant, sizeof(op.key.tenant), "local");
    (void)snprintf(op.key.cid, sizeof(op.key.cid), "web");
    op.life = 5;
    op.end.out = 2;
    op.end.code = 8;
    op.end.err = 1;
    op.tail[0] = rt_slice_text("ab");
    op.tail[1] = rt_slice_text("c");
    op.end.ord = rt_slice_text("\1\1\1");
    rt_agent_kept_end(fx->agent, &op, fx->now);
    fx_down(fx);
    request(fx, client, 1, ask("tails", "web"));
    want(fx, client, 1, RT_CLASS_OK);
    assert_int_equal(reply.code, 8);
    assert_true(rt_slice_equal(reply.ord, rt_slice_text("\1\1\1")));
    want(fx, client, 1, RT_CLASS_OK);
    assert_true(rt_slice_equal(reply.data, rt_slice_text("ab")));
    want(fx, client, 1, RT_CLASS_OK);
    assert_true(rt_slice_equal(reply.data, rt_slice_text("c")));
}

/* The store answers a client that has left, about a session that this agent knows nothing of. */
static void test_answers_for_nobody(void **state)
{
    static const char *const ops[] = {"create", "show", "list", "hosts", "tails"};
    struct fx *fx = *state;

    running(fx, "local", "web", "there");
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        int client = fx_client(fx, "local");
        request(fx, client, 1, ask(ops[i], "web"));
        fx_lost(fx, client);
        fx_answer(fx);
    }
    assert_int_equal(fx_stats(fx).links, 0);
    assert_int_equal(fx_stats(fx).sessions, 0);
}

static void test_bounds(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");

    request(fx, client, 1, ask("destroy", "web"));
    want(fx, client, 1, RT_CLASS_INVALID);
    fx->store = FX_STORE_UP;
    for (unsigned i = 0; i < 256; i++) {
        request(fx, client, i, ask("show", "web"));
        if (fx->n_ops == FX_OPS) {
            break;
        }
    }
    request(fx, client, 999, ask("hosts", ""));
    want(fx, client, 999, RT_CLASS_LIMIT);
    fx_lost(fx, client);
    fx_answer(fx);
}

/* A request that cannot be read is answered; what else the client has on its link goes on. */
static void test_unreadable(void **state)
{
    struct fx *fx = *state;
    int client = fx_client(fx, "local");
    struct rt_reply_msg answer;

    fx_send(fx, client, &(struct rt_frame){.type = RT_REQUEST, .offset = 9, .length = 1}, "\x80");
    fx_reply(fx, client, 9, &answer);
    assert_int_equal(answer.c, RT_CLASS_INVALID);
    assert_non_null(strstr((const char *)answer.m.data, "request.op: is missing"));
    assert_false(fx_closed(fx, client));
}

/* By an operator, through the agent that serves it: the guest's link is dropped, with the store or without, and what
 * was attached is told to attach again. */
static void test_kick(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_refuse_msg refuse;
    int client, boss;

    fx_attached(fx, &guest, &client);
    boss = fx_client(fx, "");
    request(fx, client, 1, ask("kick", "web"));
    want(fx, client, 1, RT_CLASS_DENIED);
    assert_true(rt_slice_equal(reply.m, rt_slice_text("a vch may not kick a container's guest")));
    request(fx, boss, 2, ask("kick", "web"));
    want(fx, boss, 2, RT_CLASS_INVALID);
    request(fx, boss, 3, ask("kick", "other/web"));
    fx_answer(fx);
    want(fx, boss, 3, RT_CLASS_NOT_FOUND);
    assert_true(fx_serves(fx, "web"));
    assert_int_equal(fx->n_events[RT_AGENT_KICKED], 0);
    fx_down(fx);
    request(fx, boss, 4, ask("kick", "local/web"));
    want(fx, boss, 4, RT_CLASS_OK);
    assert_int_equal(reply.n_hosts, 0);
    assert_int_equal(fx->n_events[RT_AGENT_KICKED], 1);
    assert_true(fx->links[guest.link].closed);
    assert_false(fx->links[client].closed);
    assert_false(fx_serves(fx, "web"));
    fx_want_refuse(fx, client, 7, RT_CLASS_LOST, &refuse);
    /* Once more while it is away: there is nobody to kick. */
    fx_up(fx, false, true);
    fx_answer(fx);
    request(fx, boss, 5, ask("kick", "local/web"));
    fx_answer(fx);
    want(fx, boss, 5, RT_CLASS_INVALID);
    guest.epoch++;
    fx_serve(fx, &guest);
    request(fx, boss, 6, ask("kick", "local/web"));
    want(fx, boss, 6, RT_CLASS_OK);
}

/* Another host serves it: that one is named, and nothing is done. */
static void test_kick_elsewhere(void **state)
{
    struct fx *fx = *state;
    int boss = fx_client(fx, "");

    running(fx, "local", "web", "there");
    running(fx, "local", "over", "there");
    fx_record(fx, "local", "over")->rule.state = RT_SESSION_ENDED;
    request(fx, boss, 1, ask("kick", "local/web"));
    fx_answer(fx);
    want(fx, boss, 1, RT_CLASS_OK);
    assert_int_equal(reply.n_hosts, 1);
    assert_true(rt_slice_equal(reply.hosts[0].host, rt_slice_text("there")));
    request(fx, boss, 2, ask("kick", "local/over"));
    fx_answer(fx);
    want(fx, boss, 2, RT_CLASS_INVALID);
    request(fx, boss, 3, ask("kick", "local/web"));
    fx_fail(fx, RT_ETIMEDOUT);
    want(fx, boss, 3, RT_CLASS_RETRY_LATER);
    assert_int_equal(fx->n_events[RT_AGENT_KICKED], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_unreadable),
        FX_TEST(test_create),
        FX_TEST(test_create_bound),
        FX_TEST(test_remove),
        FX_TEST(test_hosts),
        FX_TEST(test_hosts_bound),
        FX_TEST(test_tails),
        FX_TEST(test_tails_of_a_kept_end),
        FX_TEST(test_answers_for_nobody),
        FX_TEST(test_bounds),
        FX_TEST(test_kick),
        FX_TEST(test_kick_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
