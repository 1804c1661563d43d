/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/protocol.h"
#include "tests/unit/session_core/tether_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Which ticket a tether presents: the newest, unless it was told that it stands for nothing. */

static struct tx tx;

static void renew(const char *ticket)
{
    tx_send(&tx, (struct rt_frame){.type = RT_TICKET, .length = (uint32_t)strlen(ticket)}, ticket);
}

static void presents(const char *token)
{
    struct rt_hello_msg hello;
    tx_connect(&tx, &hello);
    assert_true(rt_slice_equal(hello.tok, rt_slice_text(token)));
}

static void test_renewed(void **state)
{
    (void)state;
    tx_live(&tx, NULL);
    renew("first");
    renew("a longer second");
    renew("third");
    assert_int_equal(tx_take(&tx), 0); /* nothing answers it */
    tx_lost(&tx);
    presents("third");
    tx_welcome(&tx, 5, "fourth");
    tx_lost(&tx);
    presents("fourth");
    tx_close(&tx);
}

static void test_too_early(void **state)
{
    (void)state;
    struct rt_hello_msg hello;
    tx_open(&tx, NULL);
    tx_connect(&tx, &hello);
    renew("early");
    assert_int_equal(tx.hangups, 1);
    tx_run(&tx, 600, false);
    presents("join");
    tx_close(&tx);
}

/* Another start was taken: what this one was welcomed with is forgotten, but not who it is. */
static void test_dropped(void **state)
{
    (void)state;
    struct rt_hello_msg hello;
    uint8_t inc[RT_ID_SIZE];
    tx_open(&tx, NULL);
    tx_connect(&tx, &hello);
    memcpy(inc, hello.inc.data, sizeof(inc));
    tx_welcome(&tx, 5, "ticket");
    tx_refuse(&tx, 0, &(struct rt_refuse_msg){.c = RT_CLASS_RETRY_LATER, .delay = 100});
    tx_run(&tx, 200, false);
    presents("ticket");
    tx_refuse(&tx, 0, &(struct rt_refuse_msg){.c = RT_CLASS_RETRY_LATER, .delay = 100, .drop = true});
    tx_run(&tx, 200, false);
    tx_connect(&tx, &hello);
    assert_true(rt_slice_equal(hello.tok, rt_slice_text("join")));
    assert_memory_equal(hello.inc.data, inc, sizeof(inc));
    tx_welcome(&tx, 6, "other");
    tx_lost(&tx);
    presents("other");
    tx_close(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renewed),
        cmocka_unit_test(test_too_early),
        cmocka_unit_test(test_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
