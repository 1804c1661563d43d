/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/past.h"

#include "migrate/core/store_op.h"
#include "session/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int read_past(const char *text, struct rt_store_record *record)
{
    memset(record, 0, sizeof(*record));
    return rt_past_read(rt_slice_text(text), record);
}

static void test_read(void **state)
{
    struct rt_store_record record;

    (void)state;
    assert_int_equal(read_past("1700 3 4096 7\na label1 2 300 hosta\n1 5 400 hostb\n", &record), 0);
    assert_int_equal(record.made_ms, 1700);
    assert_int_equal(record.moves, 3);
    assert_int_equal(record.ring, 4096);
    assert_string_equal(record.label, "a label");
    assert_int_equal(record.n_hist, 2);
    assert_string_equal(record.hist[1].host, "hostb");
    assert_int_equal(record.hist[1].epoch, 5);
    assert_int_equal(record.claimed_ms, 400);
    assert_int_equal(read_past("1700 0 0 0\n", &record), 0);
    assert_string_equal(record.label, "");
    assert_int_equal(record.n_hist, 0);
}

/* Nothing is taken out of what could not have been written. */
static void test_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "1",
        "1 2 3",
        "1 2 3 4",
        "1 2 3 \n",
        "x 2 3 0\n",
        "1 2 3 5\nshor",
        "1 2 3 257\n",
        "1 2 9007199254740992 0\n",
        "1 2 99999999999999999999999999 0\n",
        "1 2 3 0\n1 2 3 host",
        "1 2 3 0\n1 2 host\n",
        "1 2 3 0\n1 2 3 0123456789012345678901234567890123456789012345678901234567890123456789\n",
        ("1 2 3 0\n1 1 1 h\n1 1 1 h\n1 1 1 h\n1 1 1 h\n1 1 1 h\n1 1 1 h\n1 1 1 h\n1 1 1 h\n1 1 1 h\n1 1 1 h\n"
         "1 1 1 h\n1 1 1 h\n1 1 1 h\n1 1 1 h\n1 1 1 h\n1 1 1 h\n1 1 1 h\n"),
    };
    struct rt_store_record record, none;

    (void)state;
    memset(&none, 0, sizeof(none));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): not a byte of it is touched */
        if (read_past(bad[i], &record) != RT_EPROTO || memcmp(&record, &none, sizeof(none)) != 0) {
            fail_msg("case %zu", i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
