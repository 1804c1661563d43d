/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/cluster/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A hundred moves and twenty killed agents under load both ways; the demo does it and checks each byte and the hashes
 * of both ends, this wants its numbers. */

#define MOVES 100
#define KILLS 20
#define BYTES (UINT64_C(256) << 20)
#define LIMIT_MS 1200000

static uint64_t number(const char *json, const char *field)
{
    char text[64];

    if (!harness_json(json, field, text, sizeof(text))) {
        print_error("no %s in %s\n", field, json);
        fail();
    }
    return strtoull(text, NULL, 10);
}

static void test_moves_and_kills(void **state)
{
    const char *argv[] = {"retether-demo", "--json", "--moves", "100", "--kills", "20",
                          "--bytes",       "256M",   "--pace",  "300", NULL};
    struct rt_process_spec spec;
    struct rt_process_run run;
    const char *last;

    (void)state;
    rt_process_spec_init(&spec, argv);
    assert_int_equal(rt_process_run(&spec, NULL, 0, LIMIT_MS, &run), 0);
    last = strstr(run.out, "{\"event\":\"demo\"");
    if (run.status != 0 || last == NULL) {
        print_error("status %d: %s\n%s\n", run.status, run.err,
                    run.out + (run.out_size > 3000 ? run.out_size - 3000 : 0));
        fail();
    }
    print_message("%s", last);
    assert_int_equal(number(last, "moves"), MOVES);
    assert_int_equal(number(last, "kills"), KILLS);
    assert_true(number(last, "kills_serving") >= 15);
    assert_true(number(last, "out_bytes") + number(last, "in_bytes") == BYTES);
    assert_int_equal(number(last, "lost_bytes"), 0);
    assert_int_equal(number(last, "repeated_bytes"), 0);
    /* Most moves catch bytes under way, in both directions; how many is the machine's business: a busy one has fewer.
     */
    assert_true(number(last, "interrupted_out") >= MOVES / 4);
    assert_true(number(last, "interrupted_in") >= MOVES / 4);
    rt_process_run_free(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_moves_and_kills)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
