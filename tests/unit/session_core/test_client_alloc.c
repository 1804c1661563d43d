/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/base/slice.h"
#include "session/core/attachment.h"
#include "session/core/client.h"
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include "tests/lib/alloc/allocfail.h"
#include "tests/unit/session_core/client_fixture.h"
#include "tests/unit/session_core/client_streams.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Every allocation of a whole session fails in turn: the call fails, or that attachment ends with LIMIT "memory", or
 * the link is dialled again; nothing else happens. */

static struct fx fx;
static unsigned refused; /* calls that failed for want of memory */
static bool ended;       /* the attachment */

/* What the guest of this test applies and has to say. */
static struct {
    uint64_t applied, control;
    struct rt_digest digest, control_digest;
} guest;

static bool over(struct rt_catt *att)
{
    struct rt_catt_event event;
    while (rt_catt_event(att, &event)) {
        if (event.kind == RT_CATT_FAILED) {
            assert_int_equal(event.cls, RT_CLASS_LIMIT);
            assert_string_equal(event.text, "memory");
            ended = true;
            refused++;
        }
    }
    return ended;
}

/* Dials until the link is up. */
static void bring_up(void)
{
    for (unsigned i = 0; i < 10; i++) {
        fx_run(&fx, 10, true);
        if (!fx.slot[0].dialing) {
            break;
        }
        fx.slot[0].dialing = false;
        fx.slot[0].up = true;
        rt_client_connected(fx.client, 0, NULL, fx.now);
        (void)fx_take(&fx, 0);
        struct rt_welcome_msg msg = {.v = 1, .host = rt_slice_text("h0")};
        fx_send_map(&fx, 0, (struct rt_frame){.type = RT_WELCOME}, RT_MSG_WELCOME, &msg);
        refused += !fx.slot[0].up;
    }
    assert_true(fx.slot[0].up);
}

/* Answers the ATTACH of what was just taken. False: there was none, or the attachment is over. */
static bool answer(struct rt_catt *att)
{
    (void)fx_take(&fx, 0);
    const struct fx_frame *frame = fx_frame(&fx, RT_ATTACH, 0);
    if (frame == NULL) {
        return false;
    }
    struct rt_attached_msg terms = fx_terms();
    terms.out[0].head = terms.out[1].head = terms.out[2].head = 100000;
    for (unsigned s = RT_STDOUT; s <= RT_CONTROL_UP; s++) {
        terms.out[s - RT_STDOUT].c = rt_catt_offset(att, s);
    }
    terms.in[0].a = guest.applied;
    terms.in[0].d = rt_digest_value(&guest.digest);
    terms.in[1].a = guest.control;
    terms.in[1].d = rt_digest_value(&guest.control_digest);
    fx_attached(&fx, 0, frame->head.channel, &terms);
    return !over(att);
}

/* Applies what comes on stdin and control-down and acknowledges it. */
static void apply(uint32_t channel)
{
    (void)fx_take(&fx, 0);
    for (size_t i = 0; i < fx.n_frames; i++) {
        const struct rt_frame *head = &fx.frames[i].head;
        bool in = head->stream == RT_STDIN;
        if (head->type != RT_DATA) {
            continue;
        }
        assert_int_equal(head->offset, in ? guest.applied : guest.control);
        rt_digest_extend(in ? &guest.digest : &guest.control_digest, fx.frames[i].payload, head->length);
        *(in ? &guest.applied : &guest.control) += head->length;
    }
    fx_ack(&fx, 0, channel, RT_STDIN, guest.applied, 90000, rt_digest_value(&guest.digest), 0);
    fx_ack(&fx, 0, channel, RT_CONTROL_DOWN, guest.control, 90000, rt_digest_value(&guest.control_digest), 0);
}

static void talk(struct rt_catt *att, uint32_t channel)
{
    uint8_t item[64], buf[64];
    struct rt_up_item up = {.t = RT_ITEM_RESIZED, .rows = 1, .cols = 2};
    size_t size = fx_item(item, &up);
    uint64_t out = rt_catt_offset(att, RT_STDOUT);
    int error = rt_catt_signal(att, 2);
    assert_true(error == 0 || error == RT_ENOMEM);
    refused += error != 0;
    if (rt_catt_write(att, "0123456789", 10) != 10) {
        assert_true(over(att));
        return;
    }
    apply(channel);
    fx_data(&fx, 0, channel, RT_STDOUT, out, "hello", 5);
    if (over(att)) {
        return;
    }
    assert_int_equal(fx_read(&fx, att, RT_STDOUT, buf, sizeof(buf)), 5);
    fx_data(&fx, 0, channel, RT_CONTROL_UP, rt_catt_offset(att, RT_CONTROL_UP), item, size);
    (void)over(att);
}

static void ask(void)
{
    uint64_t id;
    struct rt_request_msg request = {.op = rt_slice_text("show"), .cid = rt_slice_text("box")};
    static struct rt_reply_msg reply;
    int error = rt_client_request(fx.client, &request, fx.now, &id);
    if (error != 0) {
        assert_int_equal(error, RT_ENOMEM);
        refused++;
        return;
    }
    (void)fx_take(&fx, 0);
    fx_send_map(&fx, 0, (struct rt_frame){.type = RT_REPLY, .offset = id}, RT_MSG_REPLY, &reply);
    assert_true(fx.reply_error == 0 || fx.reply_error == RT_ENOMEM);
    refused += fx.reply_error != 0;
}

static void session(void)
{
    struct rt_client_config config = {.seed = 7, .ctx = &fx, .random = fx_random, .on_reply = fx_on_reply};
    struct rt_attach_options options = {.cid = "box", .want = FX_WANT};
    struct rt_catt *att;
    memset(&fx, 0, sizeof(fx));
    memset(&guest, 0, sizeof(guest));
    ended = false;
    rt_digest_start(&guest.digest, 0);
    rt_digest_start(&guest.control_digest, 0);
    fx.client = rt_client_new(&config);
    if (fx.client == NULL) {
        refused++;
        return;
    }
    assert_int_equal(rt_client_add_agent(fx.client, "unix:/a0"), 0);
    int error = rt_client_attach(fx.client, &options, fx.now, &att);
    if (error != 0) {
        assert_int_equal(error, RT_ENOMEM);
        refused++;
    } else {
        bring_up();
        if (!over(att) && answer(att)) {
            talk(att, 1);
            ask();
            fx_lost(&fx, 0);
            fx_run(&fx, 1, true);
            if (!over(att)) { /* else nobody needs the link */
                bring_up();
            }
            if (!over(att) && answer(att)) {
                talk(att, 1);
            }
        }
    }
    rt_client_free(fx.client);
}

static void test_every_allocation_fails(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        refused = 0;
        rt_alloc_fail_at(n);
        session();
        if (!rt_alloc_stop()) {
            assert_true(n > 8);
            assert_int_equal(refused, 0);
            break;
        }
        assert_true(refused > 0); /* never swallowed */
    }
}

static void test_no_allocation_per_frame(void **state)
{
    (void)state;
    uint8_t buf[100];
    struct rt_catt *att = fx_live(&fx, 1);
    assert_int_equal(rt_catt_write(att, "x", 1), 1);
    fx_data(&fx, 0, 1, RT_STDOUT, 0, "x", 1);
    (void)fx_take(&fx, 0);
    rt_alloc_fail_at(0);
    for (uint64_t i = 1; i < 1000; i++) {
        assert_int_equal(rt_catt_write(att, "x", 1), 1);
        fx_data(&fx, 0, 1, RT_STDOUT, i, "x", 1);
        (void)fx_read(&fx, att, RT_STDOUT, buf, sizeof(buf));
        fx_run(&fx, 21, true);
        (void)fx_take(&fx, 0);
    }
    (void)rt_alloc_stop();
    assert_int_equal(rt_alloc_count(), 0);
    fx_close(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_no_allocation_per_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
