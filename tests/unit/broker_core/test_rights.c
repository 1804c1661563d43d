/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/rights.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What a client may do, by its role. */

/* By role: vch, viewer, operator, and an operator where the configuration lets it read. */
#define ROLES 4

static int client_of(struct fx *fx, unsigned column)
{
    static const enum rt_client_role roles[ROLES] = {RT_CLIENT_VCH, RT_CLIENT_VIEWER, RT_CLIENT_OPERATOR,
                                                     RT_CLIENT_OPERATOR_READS};

    return fx_client_as(fx, roles[column]);
}

/* Every request of every role: refused with DENIED and a text that names the role and what it may not, or asked of the
 * store. */
static void test_requests(void **state)
{
    static const struct {
        const char *op;
        const char *denied[ROLES]; /* NULL: may */
    } cases[] = {
        {"create",
         {NULL, "a viewer may not create containers", "an operator may not create containers",
          "an operator may not create containers"}},
        {"remove",
         {NULL, "a viewer may not remove containers", "an operator may not remove containers",
          "an operator may not remove containers"}},
        {"show", {NULL, NULL, NULL, NULL}},
        {"list", {NULL, NULL, NULL, NULL}},
        {"hosts", {NULL, NULL, NULL, NULL}},
        {"limits", {NULL, NULL, NULL, NULL}},
        {"store", {"a vch may not look at the store", "a viewer may not look at the store", NULL, NULL}},
        {"tails",
         {NULL, NULL, "an operator may not read what containers say, unless access.operators_read is set", NULL}},
        {"revoke", {"a vch may not revoke containers", "a viewer may not revoke containers", NULL, NULL}},
        {"drain", {"a vch may not drain hosts", "a viewer may not drain hosts", NULL, NULL}},
        {"kick", {"a vch may not kick a container's guest", "a viewer may not kick a container's guest", NULL, NULL}},
    };
    struct fx *fx = *state;
    static struct rt_reply_msg reply;

    for (unsigned as = 0; as < ROLES; as++) {
        int client = client_of(fx, as);

        for (uint64_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            const char *denied = cases[i].denied[as];
            char cid[16];
            struct rt_request_msg msg = {.op = rt_slice_text(cases[i].op)};

            (void)snprintf(cid, sizeof(cid), "c%u", as);
            msg.cid = rt_slice_text(strcmp(cases[i].op, "hosts") == 0 || strcmp(cases[i].op, "list") == 0 ? "" : cid);
            fx_request(fx, client, i + 1, &msg);
            fx_answer(fx);
            fx_reply(fx, client, i + 1, &reply);
            if ((reply.c != RT_CLASS_DENIED) != (denied == NULL) ||
                (denied != NULL && !rt_slice_equal(reply.m, rt_slice_text(denied)))) {
                fail_msg("role %u, %s: class %llu, \"%.*s\"", as, cases[i].op, (unsigned long long)reply.c,
                         (int)reply.m.size, (const char *)reply.m.data);
            }
        }
    }
}

static struct rt_attach_msg attach_msg(uint64_t want, bool take, uint64_t hold)
{
    static const uint8_t id[RT_ID_SIZE] = {9};

    return (struct rt_attach_msg){.cid = rt_slice_text("web"),
                                  .id = {id, sizeof(id)},
                                  .try_no = 1,
                                  .make = !take,
                                  .take = take,
                                  .want = want,
                                  .hold = hold};
}

static void attach(struct fx *fx, int client, uint32_t channel, uint64_t want, bool take, uint64_t hold)
{
    struct rt_attach_msg msg = attach_msg(want, take, hold);

    fx_msg(fx, client, &(struct rt_frame){.type = RT_ATTACH, .channel = channel}, RT_MSG_ATTACH, &msg);
}

/* What is asked with an attach, by every role. Only a vch's hold is granted, and only its window counts. */
static void test_attaches(void **state)
{
    static const char no_input[] = "may not send input, run commands or take an attachment over";
    static const struct {
        uint64_t want;
        bool take, exec;
        const char *denied[ROLES]; /* part of the text; NULL: may */
    } cases[] = {
        {1u << RT_STDOUT, false, false, {NULL, NULL, "an operator may not read what containers say", NULL}},
        {0, false, false, {NULL, NULL, "an operator may not read", NULL}},
        {1u << RT_STDIN | 1u << RT_STDOUT, false, false, {NULL, no_input, "may not read", no_input}},
        {1u << RT_CONTROL_DOWN, false, false, {NULL, no_input, "may not read", no_input}},
        {1u << RT_STDOUT, true, false, {NULL, no_input, "may not read", no_input}},
        {1u << RT_STDOUT, false, true, {NULL, no_input, "may not read", no_input}},
    };
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_refuse_msg refuse;
    struct rt_attach_msg msg, got;
    struct rt_frame frame;
    const uint8_t *payload;
    char why[RT_TEXT_MAX], text[RT_TEXT_MAX + 1];

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    for (unsigned as = 0; as < ROLES; as++) {
        int client = client_of(fx, as);

        for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            const char *denied = cases[i].denied[as];

            msg = attach_msg(cases[i].want, cases[i].take, 5000);
            msg.exec = cases[i].exec;
            msg.rows = 24;
            msg.cols = 80;
            msg.cid = rt_slice_text(as >= 2 ? "local/web" : "web");
            fx_msg(fx, client, &(struct rt_frame){.type = RT_ATTACH, .channel = i + 1}, RT_MSG_ATTACH, &msg);
            if (denied != NULL) {
                fx_want_refuse(fx, client, i + 1, RT_CLASS_DENIED, &refuse);
                rt_slice_copy(refuse.m, text, sizeof(text));
                assert_non_null(strstr(text, denied));
                fx_none(fx, guest.link);
            } else {
                fx_answer(fx);
                payload = fx_want(fx, guest.link, RT_ATTACH, &frame);
                assert_int_equal(rt_msg_decode(RT_MSG_ATTACH, payload, frame.length, &got, why, sizeof(why)), 0);
                assert_int_equal(got.hold, as == 0 ? 5000 : 0);
                assert_int_equal(got.rows, as == 0 ? 24 : 0);
                assert_int_equal(got.cols, as == 0 ? 80 : 0);
            }
        }
    }
}

/* An operator says whose container it is: also where both names are as long as they can be. */
static void test_longest_names(void **state)
{
    static struct rt_reply_msg reply;
    static const char *const ops[] = {"show", "tails", "kick", "revoke"};
    static const enum rt_class answers[] = {RT_CLASS_OK, RT_CLASS_NOT_FOUND, RT_CLASS_OK, RT_CLASS_OK};
    struct fx *fx = *state;
    char whole[RT_WHOLE_NAME_MAX + 1], *cid = whole + RT_TENANT_MAX + 1;
    struct rt_attach_msg msg = attach_msg(1u << RT_STDOUT, false, 0);
    struct fx_guest guest;
    struct rt_frame frame;
    int boss = fx_client_as(fx, RT_CLIENT_OPERATOR_READS);

    memset(whole, 't', sizeof(whole));
    whole[RT_TENANT_MAX] = whole[RT_WHOLE_NAME_MAX] = '\0';
    fx_guest(&guest, cid, 1);
    fx_join_token(&guest, whole, cid, "");
    fx_serve(fx, &guest);
    whole[RT_TENANT_MAX] = '/';
    msg.cid = rt_slice_text(whole);
    fx_msg(fx, boss, &(struct rt_frame){.type = RT_ATTACH, .channel = 1}, RT_MSG_ATTACH, &msg);
    fx_answer(fx);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    for (uint64_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        fx_request(fx, boss, i, &(struct rt_request_msg){.op = rt_slice_text(ops[i]), .cid = msg.cid});
        fx_answer(fx);
        fx_reply(fx, boss, i, &reply);
        assert_int_equal(reply.c, answers[i]);
        if (i == 2) {
            (void)fx_want(fx, boss, RT_REFUSE, &frame); /* its attachment is LOST */
        }
    }
}

static void plain(struct fx *fx, int boss, uint32_t channel)
{
    attach(fx, boss, channel, 1u << RT_STDOUT, false, 0);
}

/* A name without its tenant is looked for in all of them, page by page: what is said where it cannot be found, and that
 * its guest is, among others that begin with it. */
static void test_plain_name(void **state)
{
    struct fx *fx = *state;
    struct rt_store_record *other = fx_record(fx, "other", "web-2");
    struct rt_refuse_msg refuse;
    struct rt_frame frame;
    struct fx_guest guest;
    int boss = fx_client_as(fx, RT_CLIENT_OPERATOR_READS);

    other->rule.exists = true;
    fx_up(fx, true, false);
    fx_answer(fx);
    plain(fx, boss, 1);
    fx_answer(fx);
    fx_want_refuse(fx, boss, 1, RT_CLASS_RETRY_LATER, &refuse); /* the store may have lost it */
    fx_up(fx, false, true);
    fx_answer(fx);
    plain(fx, boss, 2);
    fx_answer(fx);
    fx_want_refuse(fx, boss, 2, RT_CLASS_NOT_FOUND, &refuse);
    plain(fx, boss, 3);
    fx_fail(fx, RT_EUNAVAIL);
    fx_none(fx, boss);
    fx_tick(fx, RT_STORE_TIMEOUT_MS);
    fx_want_refuse(fx, boss, 3, RT_CLASS_RETRY_LATER, &refuse);
    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx->page = 1;
    plain(fx, boss, 4);
    fx_answer(fx);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    fx_lost(fx, guest.link);
    (void)fx_want(fx, boss, RT_REFUSE, &frame);
    (void)snprintf(fx_record(fx, "local", "web")->rule.host, RT_HOST_MAX + 1, "there");
    fx_record(fx, "local", "web")->rule.epoch = 9;
    plain(fx, boss, 5);
    fx_answer(fx);
    fx_want_refuse(fx, boss, 5, RT_CLASS_RETRY_LATER, &refuse); /* elsewhere, and nobody knows where that is */
}

/* Where the configuration says so, an operator is one that reads. */
static void test_operators_read(void **state)
{
    struct fx *fx = *state;

    assert_false(rt_ag_may(rt_ag_link(fx->agent, fx->links[fx_client_as(fx, RT_CLIENT_OPERATOR)].id), AG_MAY_READ));
    fx->agent->config.operators_read = true;
    assert_true(rt_ag_may(rt_ag_link(fx->agent, fx->links[fx_client_as(fx, RT_CLIENT_OPERATOR)].id), AG_MAY_READ));
    assert_false(rt_ag_may(rt_ag_link(fx->agent, fx->links[fx_client_as(fx, RT_CLIENT_OPERATOR)].id), AG_MAY_INPUT));
}

/* Nobody is refused at its hello, with who it is. */
static void test_nobody(void **state)
{
    struct fx *fx = *state;
    struct rt_peer peer = {.role = RT_PEER_CLIENT};
    struct rt_hello_msg hello = {.vmin = 1, .vmax = 1, .role = rt_slice_text("client")};
    struct rt_refuse_msg refuse;
    int link = fx_open_as(fx, &peer);

    fx_proved(fx, link, RT_CLIENT_NOBODY, "user 1001");
    fx_msg(fx, link, &(struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &hello);
    fx_want_refuse(fx, link, 0, RT_CLASS_DENIED, &refuse);
    assert_true(rt_slice_equal(
        refuse.m,
        rt_slice_text("user 1001 may not use this agent; it takes a rule of access.users, or a client's certificate")));
    assert_true(fx->links[link].closed);
}

/* The attachment of another client, whose id it knows somehow: it may read that too, and no more. */
static void test_viewer_sends_nothing(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int viewer = fx_client_as(fx, RT_CLIENT_VIEWER);
    struct rt_refuse_msg refuse;
    struct rt_frame frame;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    for (uint32_t i = 1; i <= 2; i++) {
        attach(fx, viewer, i, 1u << RT_STDOUT, false, 0);
        fx_answer(fx);
        (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
        fx_say_attached(fx, &guest, frame.channel);
        (void)fx_want(fx, viewer, RT_ATTACHED, &frame);
        if (i == 1) {
            fx_data(fx, viewer, i, RT_STDIN, 0, "rm", 2);
        } else {
            fx_send(fx, viewer, &(struct rt_frame){.type = RT_FIN, .stream = RT_STDIN, .channel = i}, NULL);
        }
        fx_want_refuse(fx, viewer, i, RT_CLASS_PROTOCOL, &refuse);
        fx_want_refuse(fx, guest.link, i, RT_CLASS_PROTOCOL, &refuse);
        assert_int_equal(fx_stats(fx).forbidden, i);
    }
}

/* The id of somebody's attachment is told whole to those alone who may do what it gives a right to. */
static void test_ids_are_hidden(void **state)
{
    static const uint8_t id[RT_ID_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
                         hidden[RT_ID_SIZE] = {1, 2, 3, 4};
    static struct rt_report_msg sent, got;
    static struct rt_reply_msg reply;
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    sent.n_atts = 1;
    sent.atts[0] = (struct rt_report_att){.id = {id, sizeof(id)}, .n_cons = 3, .n_app = 2};
    fx_msg(fx, guest.link, &(struct rt_frame){.type = RT_REPORT}, RT_MSG_REPORT, &sent);
    for (unsigned as = 0; as < ROLES; as++) {
        int client = client_of(fx, as);

        for (uint64_t i = 1; i <= 2; i++) {
            struct rt_request_msg msg = {.op = rt_slice_text(i == 1 ? "show" : "list")};

            msg.cid = rt_slice_text(i == 2 ? "" : as >= 2 ? "local/web" : "web");
            fx_request(fx, client, i, &msg);
            fx_answer(fx);
            fx_reply(fx, client, i, &reply);
            assert_int_equal(reply.c, RT_CLASS_OK);
            assert_int_equal(reply.n_recs, 1);
            assert_int_equal(
                rt_msg_decode(RT_MSG_REPORT, reply.recs[0].report.data, reply.recs[0].report.size, &got, NULL, 0), 0);
            assert_int_equal(got.n_atts, 1);
            assert_memory_equal(got.atts[0].id.data, as == 0 ? id : hidden, RT_ID_SIZE);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_requests),
        FX_TEST(test_attaches),
        FX_TEST(test_longest_names),
        FX_TEST(test_plain_name),
        FX_TEST(test_operators_read),
        FX_TEST(test_nobody),
        FX_TEST(test_viewer_sends_nothing),
        FX_TEST(test_ids_are_hidden),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
