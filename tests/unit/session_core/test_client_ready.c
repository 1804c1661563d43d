/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/attachment.h"
#include "session/core/client.h"
#include "session/core/client_att.h"
#include "session/core/client_machine.h"
#include "session/core/frame.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include "tests/unit/session_core/client_fixture.h"
#include "tests/unit/session_core/client_streams.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Which attachments a shell has to look at, in which order, and that the others cost nothing. */

#define MANY 40

static struct fx fx;

static unsigned named(void)
{
    unsigned n = 0;
    while (rt_client_ready(fx.client) != NULL) {
        n++;
    }
    return n;
}

static void assert_named(const struct rt_catt *att)
{
    assert_ptr_equal(rt_client_ready(fx.client), att);
    assert_null(rt_client_ready(fx.client));
}

static void test_whatever_comes_names_it(void **state)
{
    (void)state;
    uint8_t item[64];
    struct rt_catt *att = fx_live(&fx, 1);
    assert_named(att); /* ATTACHED */
    assert_null(rt_catt_data(att));
    fx_data(&fx, 0, 1, RT_STDOUT, 0, "abc", 3);
    assert_named(att);
    assert_int_equal(named(), 0); /* once */
    fx_gap(&fx, 0, 1, RT_STDOUT, 3, 10);
    assert_named(att); /* though it is not told yet */
    rt_catt_consumed(att, RT_STDOUT, 3, fx.now);
    assert_named(att); /* now it is */
    (void)fx_event(att, RT_CATT_GAP);
    fx_fin(&fx, 0, 1, RT_STDOUT, 10);
    assert_named(att);
    (void)fx_event(att, RT_CATT_EOF);
    assert_int_equal(rt_catt_resize(att, 1, 2), 0);
    assert_int_equal(named(), 0); /* what the application does itself */
    (void)fx_take(&fx, 0);
    const struct fx_frame *resize = fx_frame(&fx, RT_DATA, 0);
    fx_ack(&fx, 0, 1, RT_CONTROL_DOWN, resize->head.length, 1024, fx_digest(resize->payload, resize->head.length), 0);
    assert_named(att); /* applied */
    size_t size = fx_item(item, &(struct rt_up_item){.t = RT_ITEM_RESIZED, .rows = 3, .cols = 4});
    fx_data(&fx, 0, 1, RT_CONTROL_UP, 0, item, size);
    assert_named(att);
    (void)fx_event(att, RT_CATT_RESIZED);
    rt_catt_wake(att);
    assert_named(att); /* at the shell's wish */
    fx_close(&fx);
}

static void test_links_name_it(void **state)
{
    (void)state;
    struct rt_attach_msg msg;
    struct rt_attached_msg terms = fx_terms();
    struct rt_catt *att = fx_live(&fx, 1);
    (void)named();
    uint32_t channel = fx_cut(&fx, &msg);
    assert_named(att);
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    fx_attached(&fx, 0, channel, &terms);
    assert_named(att);
    (void)fx_event(att, RT_CATT_RESUMED);
    fx_refuse(&fx, 0, channel, &(struct rt_refuse_msg){.c = RT_CLASS_STOLEN});
    assert_named(att);
    (void)fx_event(att, RT_CATT_FAILED);
    fx_close(&fx);
}

static void test_one_that_gives_up_is_named(void **state)
{
    (void)state;
    struct rt_attach_options options = {.cid = "box", .want = FX_WANT, .give_up_ms = 500, .data = &fx};
    struct rt_catt *att;
    fx_open(&fx, 1);
    assert_int_equal(rt_client_attach(fx.client, &options, fx.now, &att), 0);
    assert_ptr_equal(rt_catt_data(att), &fx);
    fx_next(&fx);
    fx_up(&fx, 0);
    fx_run(&fx, 499, true);
    assert_int_equal(named(), 0);
    fx_run(&fx, 1, true);
    assert_named(att);
    (void)fx_event(att, RT_CATT_FAILED);
    fx_close(&fx);
}

/* MANY attachments, live on the channels from 1. */
static void many(struct rt_catt *atts[MANY])
{
    struct rt_attached_msg terms = fx_terms();
    fx_open(&fx, 1);
    for (unsigned i = 0; i < MANY; i++) {
        atts[i] = fx_attach(&fx);
    }
    fx_up(&fx, 0);
    (void)fx_take(&fx, 0);
    for (unsigned i = 0; i < MANY; i++) {
        fx_attached(&fx, 0, i + 1, &terms);
    }
    (void)fx_take(&fx, 0);
    assert_int_equal(named(), MANY);
}

static void test_first_come_first_named(void **state)
{
    (void)state;
    struct rt_catt *atts[MANY];
    many(atts);
    fx_data(&fx, 0, 30, RT_STDOUT, 0, "a", 1);
    fx_data(&fx, 0, 3, RT_STDOUT, 0, "b", 1);
    fx_data(&fx, 0, 30, RT_STDOUT, 1, "c", 1);
    fx_data(&fx, 0, 12, RT_STDERR, 0, "d", 1);
    assert_ptr_equal(rt_client_ready(fx.client), atts[29]);
    rt_catt_wake(atts[29]); /* it has more: behind the others */
    assert_ptr_equal(rt_client_ready(fx.client), atts[2]);
    rt_catt_free(atts[11]); /* one that is gone is not named */
    assert_named(atts[29]);
    fx_close(&fx);
}

/* Acknowledgements are due in the order in which they began to be owed, and nobody else is looked at. */
static void test_acks_in_turn(void **state)
{
    (void)state;
    static const uint32_t owing[] = {7, 3, 31};
    struct rt_catt *atts[MANY];
    uint8_t got[8];
    many(atts);
    fx_run(&fx, RT_CLIENT_ASK_MS, true); /* what they waited for before they were attached */
    for (unsigned i = 0; i < 3; i++) {
        fx_data(&fx, 0, owing[i], RT_STDOUT, 0, "x", 1);
        assert_int_equal(fx_read(&fx, atts[owing[i] - 1], RT_STDOUT, got, sizeof(got)), 1);
        fx_run(&fx, 5, true);
    }
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(atts[i]->timer.set, i + 1 == 7 || i + 1 == 3 || i + 1 == 31);
    }
    (void)fx_take(&fx, 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_null(fx_frame(&fx, RT_ACK, 0));
        fx_run(&fx, 5, true);
        (void)fx_take(&fx, 0);
        assert_non_null(fx_frame(&fx, RT_ACK, 0));
        assert_int_equal(fx_frame(&fx, RT_ACK, 0)->head.channel, owing[i]);
        assert_null(fx_frame(&fx, RT_ACK, 1));
        (void)fx_take(&fx, 0);
    }
    for (unsigned i = 0; i < MANY; i++) {
        assert_false(atts[i]->timer.set);
    }
    fx_close(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_comes_names_it),
        cmocka_unit_test(test_links_name_it),
        cmocka_unit_test(test_one_that_gives_up_is_named),
        cmocka_unit_test(test_first_come_first_named),
        cmocka_unit_test(test_acks_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
