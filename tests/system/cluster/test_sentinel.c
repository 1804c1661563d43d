/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/cluster/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Agents whose store is under Sentinels: the primary changes while containers run, start and end. No stream notices, no
 * exit status is lost, and nobody stays with the old primary. store_test_sentinel has the connections. */

#define SENTINELS ((size_t)3)
#define SHORT 40 /* containers in a row while the primary changes */

static struct rt_test_redis second, sentinels[SENTINELS];
static struct harness_attach attach;

/* Around the primary and the replica of the cluster, before its first agent starts. */
static int prepare(struct rt_cluster *cluster, unsigned host)
{
    int rc;

    if (host > 0) {
        return 0;
    }
    rc = rt_test_redis_start(&second, &cluster->redis, NULL);
    for (size_t i = 0; i < SENTINELS; i++) {
        rc |= rt_test_sentinel_start(&sentinels[i], &cluster->redis);
    }
    for (size_t i = 0; i < SENTINELS && rc == 0; i++) {
        rc |= rt_test_sentinel_wait(&sentinels[i], SENTINELS - 1, 2);
    }
    (void)snprintf(cluster->store, sizeof(cluster->store), "sentinel://main@127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u",
                   sentinels[0].port, sentinels[1].port, sentinels[2].port);
    return rc;
}

static void failover(void)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    char answer[128] = "";

    do {
        assert_int_equal(rt_test_redis_command(&sentinels[0], "SENTINEL FAILOVER main", answer, sizeof(answer)), 0);
        rt_process_sleep_ms(20);
    } while (strcmp(answer, "+OK") != 0 && rt_process_now_ms() < until);
    assert_string_equal(answer, "+OK");
}

/* Creates a container as soon as that can be done. */
static void create(const char *cid, char *token, size_t size)
{
    assert_int_equal(rt_cluster_create(&harness, cid, token, size), 0);
}

/* Numbered lines, one each 10 ms, until somebody says that it is enough. */
static void test_under_traffic(void **state)
{
    struct rt_cluster_vm *stream, *shorts;
    char token[2048], cid[32], line[32], script[96];
    const char *at;

    (void)state;
    stream = harness_vm("stream", "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); sleep 0.01; done; exit 9");
    harness_start(&attach, false, ARGS("attach", "--since-offset", "oldest", "--hold", "5m", "stream"));
    harness_until(&attach, "20\n");
    for (int i = 0; i < SHORT; i++) {
        const char *const command[] = {"sh", "-c", script, NULL};

        (void)snprintf(cid, sizeof(cid), "short-%d", i);
        (void)snprintf(script, sizeof(script), "echo i am %d; exit %d", i, 1 + i);
        create(cid, token, sizeof(token));
        assert_int_equal(rt_cluster_vm_start_with(&harness, cid, token, NULL, command, &shorts), 0);
        if (i == 1) {
            failover();
        }
        harness_vm_end(shorts, 1 + i); /* it was told that its end is safe */
    }
    for (unsigned host = 0; host < 2; host++) {
        harness_until_said(host, "no longer tcp:127.0.0.1", 1);
    }
    for (int i = 0; i < SHORT; i++) {
        (void)snprintf(cid, sizeof(cid), "short-%d", i);
        (void)snprintf(line, sizeof(line), "%d\n", 1 + i);
        harness_expect(0, line, ARGS("wait", cid));
        (void)snprintf(line, sizeof(line), "i am %d\n", i);
        harness_expect(0, line, ARGS("logs", cid));
    }
    harness_until(&attach, "1999\n");
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 9);
    at = attach.text;
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(line, sizeof(line), "%d\n", i);
        assert_true(strncmp(at, line, strlen(line)) == 0);
        at += strlen(line);
    }
    assert_string_equal(at, "");
    harness_vm_end(stream, 9);
}

/* What both agents say of a container is the same, and who is asked does not matter: they have one store. */
static void test_one_store(void **state)
{
    struct rt_cluster_vm *vm = harness_vm("one", "sleep 600");
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    struct rt_process_run run;
    bool same;

    (void)state;
    failover();
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 1, "reset"), 0);
    do {
        same = true;
        for (unsigned host = 0; host < 2; host++) {
            (void)harness_cli_at(&run, host, false, "show", "one");
            same = same && run.status == 0 && strstr(run.out, "running") != NULL && strstr(run.out, "h1") != NULL;
            rt_process_run_free(&run);
        }
        rt_process_sleep_ms(50);
    } while (!same && rt_process_now_ms() < until);
    assert_true(same);
    rt_cluster_vm_kill(vm);
    harness.n_vms--;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_under_traffic), cmocka_unit_test(test_one_store)};
    int status = harness_main_in(2, true, prepare, "sentinel", tests, 2);

    harness_close(&attach);
    for (size_t i = 0; i < SENTINELS; i++) {
        rt_test_redis_stop(&sentinels[i]);
    }
    rt_test_redis_stop(&second);
    return status;
}
