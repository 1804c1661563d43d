/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/cluster/harness.h"

#include <dirent.h>
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

static void sentinels_wait_ms(unsigned ms)
{
    char command[80], answer[128];

    (void)snprintf(command, sizeof(command), "SENTINEL SET main down-after-milliseconds %u", ms);
    for (size_t i = 0; i < SENTINELS; i++) {
        assert_int_equal(rt_test_redis_command(&sentinels[i], command, answer, sizeof(answer)), 0);
        assert_string_equal(answer, "+OK");
    }
}

/* Files of ends on this host's disk. */
static unsigned n_kept(unsigned host)
{
    char path[128];
    struct dirent *entry;
    unsigned n = 0;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "%s/ends", harness.hosts[host].state);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        n += entry->d_name[0] != '.';
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return n;
}

/* Both replicas stand still, and the Sentinels take their time: what ends then is at the primary alone, for longer than
 * a look takes. That one dies, and a replica that lacks the end is promoted. */
static void test_primary_alone(void **state)
{
    char go[128], script[256];
    struct rt_cluster_vm *vm;
    uint64_t until;
    FILE *file;

    (void)state;
    sentinels_wait_ms(30000);
    (void)snprintf(go, sizeof(go), "%s/go", harness.dir);
    (void)snprintf(script, sizeof(script), "while [ ! -e %s ]; do sleep 0.05; done; echo bye; exit 7", go);
    vm = harness_vm("late", script);
    assert_int_equal(rt_test_redis_pause(&harness.replica), 0);
    assert_int_equal(rt_test_redis_pause(&second), 0);
    file = fopen(go, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    harness_vm_end(vm, 7); /* it was told that its end is safe */
    rt_process_sleep_ms(16000);
    assert_int_equal(n_kept(0), 1);
    assert_int_equal(rt_test_redis_kill(&harness.redis), 0);
    assert_int_equal(rt_test_redis_resume(&harness.replica), 0);
    assert_int_equal(rt_test_redis_resume(&second), 0);
    sentinels_wait_ms(1000);
    harness_until_said(0, "no longer redis://127.0.0.1", 1);
    harness_expect(0, "7\n", ARGS("wait", "late"));
    harness_expect(0, "bye\n", ARGS("logs", "late"));
    /* One replica has it, the other one is dead, and the Sentinels are sure of the new primary. */
    until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    while (n_kept(0) > 0 && rt_process_now_ms() < until) {
        rt_process_sleep_ms(100);
    }
    assert_int_equal(n_kept(0), 0);
    harness_expect(0, "7\n", ARGS("wait", "late"));
    assert_int_equal(rt_test_redis_restart(&harness.redis, false), 0);
}

/* Numbered lines, one each 10 ms, until somebody says that it is enough. */
static void test_under_traffic(void **state)
{
    unsigned said[2] = {harness_said(0, "no longer redis://127.0.0.1"), harness_said(1, "no longer redis://127.0.0.1")};
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
        harness_until_said(host, "no longer redis://127.0.0.1", said[host] + 1);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_primary_alone), cmocka_unit_test(test_under_traffic),
                                       cmocka_unit_test(test_one_store)};
    int status = harness_main_in(2, true, prepare, "sentinel", tests, 3);

    harness_close(&attach);
    for (size_t i = 0; i < SENTINELS; i++) {
        rt_test_redis_stop(&sentinels[i]);
    }
    rt_test_redis_stop(&second);
    return status;
}
