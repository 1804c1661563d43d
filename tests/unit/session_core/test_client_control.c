/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/attachment.h"
#include "session/core/client.h"
#include "session/core/client_stream.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include "tests/unit/session_core/client_fixture.h"
#include "tests/unit/session_core/client_streams.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What control-up tells a client: sizes, the exit, which comes last, and gaps between items. */

static struct fx fx;
static const uint8_t pattern[] = "0123456789";
static uint8_t got[64];

static void test_exit_comes_last(void **state)
{
    (void)state;
    uint8_t item[64];
    struct rt_up_item resized = {.t = RT_ITEM_RESIZED, .rows = 24, .cols = 80};
    struct rt_up_item exited = {.t = RT_ITEM_EXITED, .code = 3, .out = 30, .err = 5};
    for (size_t cut = 1; cut < 12; cut++) {
        struct rt_catt *att = fx_live(&fx, 1);
        size_t n = fx_item(item, &resized);
        n += fx_item(item + n, &exited);
        fx_data(&fx, 0, 1, RT_CONTROL_UP, 0, item, cut);
        fx_data(&fx, 0, 1, RT_CONTROL_UP, cut, item + cut, n - cut);
        assert_int_equal(fx_event(att, RT_CATT_RESIZED).cols, 80);
        fx_quiet(att);
        fx_data(&fx, 0, 1, RT_STDOUT, 0, pattern, 10);
        fx_gap(&fx, 0, 1, RT_STDOUT, 10, 30);
        fx_fin(&fx, 0, 1, RT_STDOUT, 30);
        fx_data(&fx, 0, 1, RT_STDERR, 0, pattern, 5);
        fx_fin(&fx, 0, 1, RT_STDERR, 5);
        assert_int_equal(fx_read(&fx, att, RT_STDERR, got, sizeof(got)), 5);
        assert_int_equal(fx_event(att, RT_CATT_EOF).stream, RT_STDERR);
        fx_quiet(att);
        assert_int_equal(fx_read(&fx, att, RT_STDOUT, got, sizeof(got)), 10);
        assert_int_equal(fx_event(att, RT_CATT_GAP).to, 30);
        assert_int_equal(fx_event(att, RT_CATT_EOF).stream, RT_STDOUT);
        struct rt_catt_event event = fx_event(att, RT_CATT_EXITED);
        assert_int_equal(event.code, 3);
        assert_int_equal(event.out, 30);
        fx_run(&fx, 20, true);
        (void)fx_take(&fx, 0);
        fx_assert_ack(&fx, RT_CONTROL_UP, n, n + RT_CLIENT_CONTROL_WINDOW, fx_digest(item, n));
        /* what happens to the link afterwards concerns nobody */
        fx_refuse(&fx, 0, 1, &(struct rt_refuse_msg){.c = RT_CLASS_ENDED, .code = 3});
        fx_quiet(att);
        fx_close(&fx);
    }
}

static void test_exit_known_at_attach(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    fx_open(&fx, 1);
    struct rt_catt *att = fx_attach(&fx);
    fx_up(&fx, 0);
    assert_int_equal(fx_take_attach(&fx, 0, &attach), 1);
    terms.st = 2;
    terms.sig = 9;
    terms.out[2].c = terms.out[2].head = 77;
    fx_attached(&fx, 0, 1, &terms);
    (void)fx_event(att, RT_CATT_ATTACHED);
    (void)fx_event(att, RT_CATT_EOF);
    (void)fx_event(att, RT_CATT_EOF);
    assert_int_equal(fx_event(att, RT_CATT_EXITED).sig, 9);
    fx_close(&fx);
}

static void test_control_gap_skips_a_part_item(void **state)
{
    (void)state;
    uint8_t item[64];
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_up_item resized = {.t = RT_ITEM_RESIZED, .rows = 24, .cols = 80};
    size_t n = fx_item(item, &resized);
    struct rt_catt *att = fx_live(&fx, 1);
    fx_data(&fx, 0, 1, RT_CONTROL_UP, 0, item, n - 1);
    uint32_t channel = fx_cut(&fx, &attach);
    assert_int_equal(attach.out[2].c, 0);
    terms.out[2].head = 1000 + n;
    fx_attached(&fx, 0, channel, &terms);
    fx_gap(&fx, 0, channel, RT_CONTROL_UP, 0, 1000);
    fx_data(&fx, 0, channel, RT_CONTROL_UP, 1000, item, n);
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    (void)fx_event(att, RT_CATT_RESUMED);
    assert_int_equal(fx_event(att, RT_CATT_GAP).stream, RT_CONTROL_UP);
    assert_int_equal(fx_event(att, RT_CATT_RESIZED).rows, 24);
    fx_quiet(att);
    fx_close(&fx);
}

/* Gaps with items between them are told one by one, each before what lies behind it; the items count. */
static void test_control_gaps_with_items_between(void **state)
{
    (void)state;
    uint8_t item[64];
    struct rt_up_item resized = {.t = RT_ITEM_RESIZED, .rows = 24, .cols = 80};
    struct rt_up_item exited = {.t = RT_ITEM_EXITED, .code = 3};
    size_t n = fx_item(item, &resized), m;
    struct rt_catt *att = fx_live(&fx, 1);
    struct rt_catt_event event;
    fx_gap(&fx, 0, 1, RT_CONTROL_UP, 0, 100);
    fx_gap(&fx, 0, 1, RT_CONTROL_UP, 100, 200); /* nothing between: one gap */
    fx_data(&fx, 0, 1, RT_CONTROL_UP, 200, item, n);
    fx_data(&fx, 0, 1, RT_CONTROL_UP, 200 + n, item, n - 1);
    fx_gap(&fx, 0, 1, RT_CONTROL_UP, 200 + 2 * n - 1, 400);
    m = fx_item(item, &exited);
    fx_data(&fx, 0, 1, RT_CONTROL_UP, 400, item, m);
    fx_fin(&fx, 0, 1, RT_STDOUT, 0);
    fx_fin(&fx, 0, 1, RT_STDERR, 0);
    event = fx_event(att, RT_CATT_GAP);
    assert_int_equal(event.from, 0);
    assert_int_equal(event.to, 200);
    assert_int_equal(fx_event(att, RT_CATT_RESIZED).rows, 24);
    event = fx_event(att, RT_CATT_GAP);
    assert_int_equal(event.from, 200 + n);
    assert_int_equal(event.to, 400);
    (void)fx_event(att, RT_CATT_EOF);
    (void)fx_event(att, RT_CATT_EOF);
    assert_int_equal(fx_event(att, RT_CATT_EXITED).code, 3);
    fx_run(&fx, 20, true);
    (void)fx_take(&fx, 0);
    fx_assert_ack(&fx, RT_CONTROL_UP, 400 + m, 400 + m + RT_CLIENT_CONTROL_WINDOW, fx_digest(item, m));
    fx_close(&fx);
}

/* A cut while a gap waits to be told: what lies behind it comes again. */
static void test_control_gap_untold_at_a_cut(void **state)
{
    (void)state;
    uint8_t item[64];
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    struct rt_up_item resized = {.t = RT_ITEM_RESIZED, .rows = 24, .cols = 80};
    size_t n = fx_item(item, &resized);
    struct rt_catt *att = fx_live(&fx, 1);
    uint32_t channel;
    fx_gap(&fx, 0, 1, RT_CONTROL_UP, 0, 100);
    fx_data(&fx, 0, 1, RT_CONTROL_UP, 100, item, n);
    channel = fx_cut(&fx, &attach);
    assert_int_equal(attach.out[2].c, 100);
    terms.out[2].c = 100;
    terms.out[2].head = 100 + n;
    fx_attached(&fx, 0, channel, &terms);
    fx_data(&fx, 0, channel, RT_CONTROL_UP, 100, item, n);
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    (void)fx_event(att, RT_CATT_RESUMED);
    assert_int_equal(fx_event(att, RT_CATT_GAP).to, 100);
    assert_int_equal(fx_event(att, RT_CATT_RESIZED).rows, 24);
    fx_quiet(att);
    fx_close(&fx);
}

static void test_bad_items(void **state)
{
    (void)state;
    static const uint8_t huge[] = {0xff, 0xff}, empty[] = {0, 0}, junk[] = {0, 2, 0xc1, 0xc1};
    const struct {
        const uint8_t *data;
        size_t size;
    } bad[] = {{huge, sizeof(huge)}, {empty, sizeof(empty)}, {junk, sizeof(junk)}};
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rt_catt *att = fx_live(&fx, 1);
        fx_data(&fx, 0, 1, RT_CONTROL_UP, 0, bad[i].data, bad[i].size);
        assert_int_equal(fx_take_attach(&fx, 0, &attach), 2);
        assert_non_null(fx_frame(&fx, RT_REFUSE, 0));
        fx_attached(&fx, 0, 2, &terms);
        fx_data(&fx, 0, 2, RT_CONTROL_UP, 0, bad[i].data, bad[i].size);
        (void)fx_event(att, RT_CATT_INTERRUPTED);
        assert_int_equal(fx_event(att, RT_CATT_FAILED).cls, RT_CLASS_PROTOCOL);
        fx_close(&fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_comes_last),
        cmocka_unit_test(test_exit_known_at_attach),
        cmocka_unit_test(test_control_gap_skips_a_part_item),
        cmocka_unit_test(test_control_gaps_with_items_between),
        cmocka_unit_test(test_control_gap_untold_at_a_cut),
        cmocka_unit_test(test_bad_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
