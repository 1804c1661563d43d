/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* In which order the bytes of the two tails were written: a part of the end, as the tails are. */

/* Three bytes of each stream, and the order in which they were written. */
static void ordered_end(struct fx *fx, int link, const void *ord, size_t size)
{
    struct rt_end_msg msg = {.out = 3, .err = 3, .ord = {ord, size}};

    fx_tail(fx, link, RT_STDOUT, 0, "ace", 3);
    fx_tail(fx, link, RT_STDERR, 0, "bdf", 3);
    fx_msg(fx, link, &(struct rt_frame){.type = RT_END}, RT_MSG_END, &msg);
}

/* The order of the tails goes with them. One that reaches beyond them is none: they count without it. */
static void test_end_in_order(void **state)
{
    static const uint8_t order[] = {2, 1, 1, 1, 1, 1}, other[] = {2, 1, 1, 1, 2}, beyond[] = {2, 1, 4};
    struct fx *fx = *state;
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    ordered_end(fx, guest.link, beyond, sizeof(beyond));
    fx_fail(fx, RT_EUNAVAIL);
    assert_int_equal(fx->tail_size[0], 3);
    assert_int_equal(fx->order_size, 0);
    ordered_end(fx, guest.link, order, sizeof(order)); /* what was missing is added */
    fx_disk(fx, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    assert_int_equal(fx->n_kept, 1);
    ordered_end(fx, guest.link, order, sizeof(order));
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    ordered_end(fx, guest.link, NULL, 0);
    fx_want_end_ok(fx, guest.link, RT_END_ON_DISK);
    ordered_end(fx, guest.link, other, sizeof(other));
    fx_want_end_ok(fx, guest.link, RT_END_OTHER);
    fx_tick(fx, 1000);
    fx_answer(fx);
    assert_int_equal(fx->n_dropped, 1);
    assert_int_equal(fx->order_size, sizeof(order));
    assert_memory_equal(fx->order, order, sizeof(order));
    fx_msg(fx, guest.link, &(struct rt_frame){.type = RT_END}, RT_MSG_END,
           &(struct rt_end_msg){
               .out = 3, .err = 3, .ord = {order, sizeof(order)}}); /* without its tails an order says nothing */
    assert_int_equal(fx->order_size, 0);
    fx_answer(fx);
    fx_want_end_ok(fx, guest.link, RT_END_REPLICATED);
}

/* What makes no sense at all is no END. */
static void test_end_in_no_order(void **state)
{
    static const uint8_t end_bytes[] = {0x83, 0xa3, 'o', 'u', 't', 3,    0xa3, 'e', 'r', 'r',
                                        3,    0xa3, 'o', 'r', 'd', 0xc4, 2,    3,   1};
    struct fx *fx = *state;
    struct rt_frame frame = {.type = RT_END, .length = sizeof(end_bytes)};
    struct fx_guest guest;

    fx_guest(&guest, "web", 1);
    fx_serve(fx, &guest);
    fx_send(fx, guest.link, &frame, end_bytes);
    fx_want_refuse(fx, guest.link, 0, RT_CLASS_PROTOCOL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_end_in_order),
        FX_TEST(test_end_in_no_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
