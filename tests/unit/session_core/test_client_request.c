/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/core/attachment.h"
#include "session/core/client.h"
#include "session/core/client_request.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_request.h"
#include "session/core/protocol.h"

#include "tests/unit/session_core/client_fixture.h"
#include "tests/unit/session_core/client_streams.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Requests of a client: answered, lost with their link, and never sent. */

static struct fx fx;

static void reply(unsigned slot, uint64_t id, uint64_t cls, bool more)
{
    static struct rt_reply_msg msg;
    msg = (struct rt_reply_msg){.c = cls, .more = more};
    fx_send_map(&fx, slot, (struct rt_frame){.type = RT_REPLY, .offset = id}, RT_MSG_REPLY, &msg);
}

static void test_request_and_reply(void **state)
{
    (void)state;
    uint64_t id;
    fx_open(&fx, 1);
    assert_int_equal(rt_client_request(fx.client, fx_request("show"), fx.now, &id), 0);
    fx_up(&fx, 0);
    assert_int_equal(fx_take(&fx, 0), 1);
    assert_int_equal(fx.frames[0].head.type, RT_REQUEST);
    assert_int_equal(fx.frames[0].head.offset, id);
    reply(0, id + 1, 0, false); /* of nobody */
    assert_int_equal(fx.replies, 0);
    reply(0, id, 0, true);
    reply(0, id, RT_CLASS_NOT_FOUND, false);
    reply(0, id, 0, false); /* answered already */
    assert_int_equal(fx.replies, 2);
    assert_int_equal(fx.reply_class, RT_CLASS_NOT_FOUND);
    assert_int_equal(rt_client_request(fx.client, fx_request("show"), fx.now, &id), 0);
    (void)fx_take(&fx, 0);
    fx_send(&fx, 0, (struct rt_frame){.length = 1, .type = RT_REPLY, .offset = id}, "\xc1");
    assert_int_equal(fx.reply_error, RT_EPROTO);
    assert_int_equal(rt_client_request(fx.client, fx_request("show"), fx.now, &id), 0);
    (void)fx_take(&fx, 0);
    fx_run(&fx, RT_REQUEST_TIMEOUT_MS - 1, true);
    assert_int_equal(fx.replies, 3);
    fx_run(&fx, 1, true);
    assert_int_equal(fx.replies, 4);
    assert_int_equal(fx.reply_error, RT_ETIMEDOUT);
    fx_close(&fx);
}

/* The next agent that is dialled is there. */
static unsigned dialled_up(void)
{
    for (unsigned ms = 0; ms < 20000; ms++) {
        fx_run(&fx, 1, true);
        for (unsigned slot = 0; slot < 2; slot++) {
            if (fx.slot[slot].dialing) {
                fx_up(&fx, slot);
                return slot;
            }
        }
    }
    fail_msg("nobody is dialled");
    return 0;
}

static void test_request_lost(void **state)
{
    (void)state;
    uint64_t id;
    fx_open(&fx, 2);
    struct rt_catt *att = fx_attach(&fx);
    fx_run(&fx, 300, true); /* both are dialled */
    fx_up(&fx, 0);
    fx_up(&fx, 1);
    rt_catt_free(att);
    static const char *const ops[] = {"show", "remove", "create"};
    for (unsigned i = 0; i < 3; i++) {
        bool create = i == 2;
        unsigned before = fx.replies;
        assert_int_equal(rt_client_request(fx.client, fx_request(ops[i]), fx.now, &id), 0);
        unsigned slot = fx_take(&fx, 0) > 0 && fx_frame(&fx, RT_REQUEST, 0) != NULL ? 0 : 1;
        if (slot == 1) {
            (void)fx_take(&fx, 1);
        }
        assert_non_null(fx_frame(&fx, RT_REQUEST, 0));
        fx_lost(&fx, slot);
        if (create) { /* it may have happened */
            assert_int_equal(fx.replies, before + 1);
            assert_int_equal(fx.reply_error, RT_EUNKNOWN);
            continue;
        }
        /* Elsewhere: a remove once more, what changes nothing more often, as a few agents may die in a row. */
        unsigned most = i == 0 ? RT_REQUEST_LOST_MAX : 2;
        slot = 1 - slot;
        for (unsigned lost = 1; lost < most; lost++) {
            (void)fx_take(&fx, slot);
            assert_int_equal(fx_frame(&fx, RT_REQUEST, 0)->head.offset, id);
            fx_lost(&fx, slot);
            assert_int_equal(fx.replies, before + (lost + 1 == most ? 1 : 0));
            slot = lost + 1 < most ? dialled_up() : slot;
        }
        assert_int_equal(fx.reply_error, i == 0 ? RT_ECONN : RT_EUNKNOWN);
        (void)fx_attach(&fx);
        for (unsigned up = 0; up < 2; up++) {
            (void)dialled_up();
        }
    }
    fx_close(&fx);
}

static void test_request_without_agents(void **state)
{
    (void)state;
    uint64_t id, begun;
    fx_open(&fx, 0);
    assert_int_equal(rt_client_request(fx.client, fx_request("hosts"), fx.now, &id), RT_ECONN);
    fx_close(&fx);
    fx_open(&fx, 2);
    begun = fx.now;
    assert_int_equal(rt_client_request(fx.client, fx_request("create"), fx.now, &id), 0);
    while (fx.replies == 0 && fx.now - begun < 20000) {
        fx_run(&fx, 1, true);
        for (unsigned i = 0; i < 2; i++) {
            if (fx.slot[i].dialing) {
                fx_lost(&fx, i);
            }
        }
    }
    assert_int_equal(fx.reply_error, RT_ECONN);
    assert_true(fx.now - begun < 5000);
    fx_close(&fx);
    fx_open(&fx, 1); /* a dial that hangs */
    assert_int_equal(rt_client_request(fx.client, fx_request("create"), fx.now, &id), 0);
    fx_run(&fx, RT_REQUEST_TIMEOUT_MS, true);
    assert_int_equal(fx.reply_error, RT_ECONN);
    for (unsigned i = 0; i < RT_CLIENT_REQUESTS_MAX; i++) {
        assert_int_equal(rt_client_request(fx.client, fx_request("show"), fx.now, &id), 0);
    }
    assert_int_equal(rt_client_request(fx.client, fx_request("show"), fx.now, &id), RT_ELIMIT);
    fx_close(&fx);
}

/* The only agent there is does not let this client in, or has too many of its tenant's: that is the answer, at once. */
static void test_request_of_a_stranger(void **state)
{
    static const enum rt_class classes[] = {RT_CLASS_DENIED, RT_CLASS_LIMIT};
    (void)state;
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        uint64_t id;
        fx_open(&fx, 1);
        assert_int_equal(rt_client_request(fx.client, fx_request("create"), fx.now, &id), 0);
        fx_run(&fx, 0, true);
        fx_refuse_link(&fx, classes[i], 0);
        fx_run(&fx, 0, true);
        assert_int_equal(fx.replies, 1);
        assert_int_equal(fx.reply_error, 0);
        assert_int_equal(fx.reply_class, classes[i]);
        fx_close(&fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_and_reply),
        cmocka_unit_test(test_request_lost),
        cmocka_unit_test(test_request_without_agents),
        cmocka_unit_test(test_request_of_a_stranger),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
