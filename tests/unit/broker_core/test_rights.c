/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What a client may do, by its role. */

/* Every request of every role: refused with DENIED, or asked of the store. */
static void test_requests(void **state)
{
    static const struct {
        const char *op;
        bool may[RT_CLIENT_ROLES]; /* vch, viewer, operator */
    } cases[] = {{"create", {true, false, true}}, {"remove", {true, false, true}}, {"show", {true, true, true}},
                 {"list", {true, true, true}},    {"hosts", {true, true, true}},   {"tails", {true, true, true}}};
    struct fx *fx = *state;
    static struct rt_reply_msg reply;

    for (unsigned as = 0; as < RT_CLIENT_ROLES; as++) {
        int client = fx_client_as(fx, (enum rt_client_role)as);

        for (uint64_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            char cid[16];
            struct rt_request_msg msg = {.op = rt_slice_text(cases[i].op)};

            (void)snprintf(cid, sizeof(cid), "c%u", as);
            msg.cid = rt_slice_text(strcmp(cases[i].op, "hosts") == 0 || strcmp(cases[i].op, "list") == 0 ? "" : cid);
            fx_request(fx, client, i + 1, &msg);
            fx_answer(fx);
            fx_reply(fx, client, i + 1, &reply);
            if ((reply.c != RT_CLASS_DENIED) != cases[i].may[as]) {
                fail_msg("role %u, %s: class %llu", as, cases[i].op, (unsigned long long)reply.c);
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

/* A viewer reads, and holds nothing back whatever it asks for. */
static void test_viewer_reads(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    int viewer = fx_client_as(fx, RT_CLIENT_VIEWER), vch = fx_client_as(fx, RT_CLIENT_VCH);
    struct rt_refuse_msg refuse;
    struct rt_attach_msg got, exec;
    struct rt_frame frame;
    const uint8_t *payload;
    char why[RT_TEXT_MAX];

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    attach(fx, viewer, 1, 1u << RT_STDIN | 1u << RT_STDOUT, false, 0);
    fx_want_refuse(fx, viewer, 1, RT_CLASS_DENIED, &refuse);
    attach(fx, viewer, 2, 1u << RT_CONTROL_DOWN, false, 0);
    fx_want_refuse(fx, viewer, 2, RT_CLASS_DENIED, &refuse);
    attach(fx, viewer, 3, 1u << RT_STDOUT, true, 0);
    fx_want_refuse(fx, viewer, 3, RT_CLASS_DENIED, &refuse);
    exec = attach_msg(1u << RT_STDOUT, false, 0);
    exec.exec = true;
    fx_msg(fx, viewer, &(struct rt_frame){.type = RT_ATTACH, .channel = 4}, RT_MSG_ATTACH, &exec);
    fx_want_refuse(fx, viewer, 4, RT_CLASS_DENIED, &refuse);
    fx_none(fx, guest.link);
    for (uint32_t i = 0; i < 2; i++) {
        attach(fx, i == 0 ? viewer : vch, 5, 1u << RT_STDOUT, false, 5000);
        fx_answer(fx);
        payload = fx_want(fx, guest.link, RT_ATTACH, &frame);
        assert_int_equal(rt_msg_decode(RT_MSG_ATTACH, payload, frame.length, &got, why, sizeof(why)), 0);
        assert_int_equal(got.hold, i == 0 ? 0 : 5000);
    }
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
    attach(fx, viewer, 1, 1u << RT_STDOUT, false, 0);
    fx_answer(fx);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    fx_say_attached(fx, &guest, frame.channel);
    (void)fx_want(fx, viewer, RT_ATTACHED, &frame);
    fx_data(fx, viewer, 1, RT_STDIN, 0, "rm", 2);
    fx_want_refuse(fx, viewer, 1, RT_CLASS_PROTOCOL, &refuse);
    fx_want_refuse(fx, guest.link, 1, RT_CLASS_PROTOCOL, &refuse);
    assert_int_equal(fx_stats(fx).forbidden, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_requests),
        FX_TEST(test_viewer_reads),
        FX_TEST(test_viewer_sends_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
