/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/victim.h"

#include "session/core/protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>

#include <cmocka.h>

/* Fewer than one user may have under way. */
#define SILENT 700
/* Until an agent ends a handshake. */
#define DEADLINE_MS 5000

/* Hundreds of connections that say nothing, at each door in turn: the session streams, one who speaks still gets in,
 * and after the handshake's deadline they are gone. */
static void test_silent(void **state)
{
    const struct daemon *daemon = *state;
    static struct peer silent[SILENT];
    struct rlimit files;
    size_t rss = daemon_rss(daemon);
    struct peer client;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    for (int which = 0; which < VICTIM_DOORS; which++) {
        uint64_t told = victim_refusals(daemon);

        for (size_t i = 0; i < SILENT; i++) {
            peer_open(&silent[i], victim_door(daemon, which));
        }
        pair_move(&victim.pair, 4 << 20, 10000);
        peer_client(&client, victim_door(daemon, which | 1));
        peer_close(&client);
        assert_true(daemon_rss(daemon) < rss + VICTIM_GROWTH_MAX);
        pair_run(&victim.pair, DEADLINE_MS);
        for (size_t i = 0; i < SILENT; i++) {
            assert_int_equal(peer_refused(&silent[i], 10000), RT_CLASS_RETRY_LATER);
            peer_close(&silent[i]);
        }
        victim_until_refusals(daemon, told + SILENT);
    }
    assert_true(daemon_said(daemon, "\"to\":\"RETRY_LATER\",\"reason\":\"the handshake took longer than 5 s\"") > 0);
    assert_true(daemon_rss(daemon) < rss + VICTIM_GROWTH_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_silent, victim_setup, victim_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
