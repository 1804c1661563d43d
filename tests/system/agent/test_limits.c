/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Limits of the settings, at a real agent and with the real command: who goes over is told which and how many, and what
 * streams beside notices nothing. */

#define LIMIT_MS 10000

static void retether(const struct daemon *daemon, const char *const words[4], struct rt_process_run *run)
{
    char agent[128];
    const char *argv[8] = {"retether", words[0], "--agent", agent};
    struct rt_process_spec spec;

    (void)snprintf(agent, sizeof(agent), "unix:%s", daemon->client);
    for (size_t i = 1; i < 4 && words[i] != NULL; i++) {
        argv[3 + i] = words[i];
    }
    rt_process_spec_init(&spec, argv);
    assert_int_equal(rt_process_run(&spec, NULL, 0, LIMIT_MS * TEST_PATIENCE, run), 0);
}

static void wants(const struct daemon *daemon, const char *const words[4], int status, const char *out, const char *err)
{
    struct rt_process_run run;

    retether(daemon, words, &run);
    if (run.status != status || strstr(run.out, out) == NULL || strstr(run.err, err) == NULL) {
        fail_msg("retether %s: status %d, out: %s, err: %s", words[0], run.status, run.out, run.err);
    }
    rt_process_run_free(&run);
}

static void test_limits(void **state)
{
    static const char *const flags[] = {
        "--tenant-sessions", "2", "--tenant-clients", "3", "--tenant-channels", "4", NULL};
    struct daemon *daemon = *state;
    struct pair pair;
    struct peer idle[2];
    uint64_t stop;

    daemon_up(daemon, flags);
    pair_start(&pair, daemon, "stream", 4);
    pair_run(&pair, 100);
    wants(daemon, (const char *const[4]){"create", "one"}, 0, "rtj1.", "");
    wants(daemon, (const char *const[4]){"create", "two"}, 125, "",
          "retether: tenant local has 2 sessions at this agent, the most it may have (limits.tenant_sessions)\n");
    pair_run(&pair, 100);
    wants(daemon, (const char *const[4]){"attach", "stream"}, 125, "",
          "tenant local has 4 attachments at this agent, the most it may have (limits.tenant_channels)\n");
    pair_run(&pair, 100);
    wants(daemon, (const char *const[4]){"hosts", "--limits", "--json"}, 0,
          "{\"host\":\"h1\",\"setting\":\"limits.tenant_sessions\",\"tenant\":\"local\",\"has\":2,\"most\":2,"
          "\"refused\":1}",
          "");
    wants(daemon, (const char *const[4]){"show", "--json", "stream"}, 0,
          "\"limits\":[{\"host\":\"h1\",\"setting\":\"attachments\",\"tenant\":null,", "");
    wants(daemon, (const char *const[4]){"show", "--json", "stream"}, 0,
          "{\"host\":\"h1\",\"setting\":\"channels\",\"tenant\":null,\"has\":4,\"most\":4096,\"refused\":0},", "");
    wants(daemon, (const char *const[4]){"show", "--json", "stream"}, 0,
          "{\"host\":\"h1\",\"setting\":\"limits.tenant_channels\",\"tenant\":\"local\",\"has\":4,\"most\":4,"
          "\"refused\":1}",
          "");
    peer_client(&idle[0], daemon->client);
    peer_client(&idle[1], daemon->client);
    wants(daemon, (const char *const[4]){"ls"}, 125, "",
          "retether: tenant local has 3 connections at this agent, the most it may have (limits.tenant_clients)\n");
    pair_run(&pair, 100);
    peer_close(&idle[0]);
    /* The agent sees that in a moment. */
    for (stop = test_now_ms() + (uint64_t)LIMIT_MS * TEST_PATIENCE; test_now_ms() < stop;) {
        struct rt_process_run run;
        int status;

        retether(daemon, (const char *const[4]){"ls"}, &run);
        status = run.status;
        rt_process_run_free(&run);
        if (status == 0) {
            break;
        }
        pair_run(&pair, 20);
    }
    assert_true(test_now_ms() < stop);
    pair_run(&pair, 100);
    assert_true(daemon_said(daemon, "\"event\":\"limit\"") >= 3);
    peer_close(&idle[1]);
    pair_close(&pair);
    daemon_kill(daemon);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_limits, daemon_setup, daemon_teardown)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
