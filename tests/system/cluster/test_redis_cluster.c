/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/redis_cluster.h"
#include "tests/system/cluster/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Agents whose store is a Redis cluster, three primaries with a replica each. Primaries die while a container is
 * attached to and moves, and others start and end. No stream notices, and no exit status is lost. store_test_cluster
 * has what is asked of the nodes. */

#define PRIMARIES ((size_t)3)
#define LINES 1500 /* one each 10 ms */
#define SHORT 12   /* containers in a row */

static struct rt_test_cluster nodes;
static struct harness_attach attach;

static int prepare(struct rt_cluster *cluster, unsigned host)
{
    int rc;

    if (host > 0) {
        return 0;
    }
    rc = rt_test_cluster_start(&nodes, PRIMARIES, PRIMARIES);
    for (size_t i = 0; i < 2 * PRIMARIES; i++) {
        rt_janitor_remove(&cluster->janitor, nodes.nodes[i].dir);
    }
    (void)snprintf(cluster->store, sizeof(cluster->store), "redis-cluster://127.0.0.1:%u,127.0.0.1:%u",
                   nodes.nodes[0].port, nodes.nodes[2].port);
    return rc;
}

/* Which primary the cluster began with for this key. */
static size_t owner_of(const char *key)
{
    char command[96], answer[64];

    (void)snprintf(command, sizeof(command), "CLUSTER KEYSLOT %s", key);
    assert_int_equal(rt_test_cluster_command(&nodes.nodes[1], command, answer, sizeof(answer)), 0);
    return (size_t)strtoul(answer, NULL, 10) * PRIMARIES / 16384;
}

static void until_promoted(size_t node)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    char answer[128] = "";

    do {
        rt_process_sleep_ms(50);
        (void)rt_test_cluster_command(&nodes.nodes[PRIMARIES + node], "INFO replication", answer, sizeof(answer));
    } while (strstr(answer, "role:master") == NULL && rt_process_now_ms() < until);
    assert_non_null(strstr(answer, "role:master"));
}

static void same_everywhere(const char *cid, const char *host)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    struct rt_process_run run;
    bool same;

    do {
        same = true;
        for (unsigned i = 0; i < 2; i++) {
            (void)harness_cli_at(&run, i, false, "show", cid);
            same = same && run.status == 0 && strstr(run.out, "running") != NULL && strstr(run.out, host) != NULL &&
                   strstr(run.out, "local view") == NULL;
            rt_process_run_free(&run);
        }
        rt_process_sleep_ms(50);
    } while (!same && rt_process_now_ms() < until);
    assert_true(same);
}

/* A container that prints numbered lines is moved there and back while a primary dies. */
static void under_traffic(const char *name, size_t dies)
{
    char script[160], token[2048], cid[48], line[64];
    struct rt_cluster_vm *stream, *shorts;
    const char *at;

    (void)snprintf(script, sizeof(script),
                   "i=0; while [ $i -lt %d ]; do echo $i; i=$((i+1)); sleep 0.01; done; sleep 600", LINES);
    stream = harness_vm(name, script);
    harness_start(&attach, false, ARGS("attach", "--since-offset", "oldest", "--hold", "5m", name));
    harness_until(&attach, "20\n");
    assert_int_equal(rt_cluster_vm_move(&harness, stream, 1, "reset"), 0);
    harness_until(&attach, "100\n");
    assert_int_equal(rt_test_redis_kill(&nodes.nodes[dies]), 0);
    assert_int_equal(rt_cluster_vm_move(&harness, stream, 0, "reset"), 0);
    harness_until(&attach, "300\n");
    for (int i = 0; i < SHORT; i++) {
        const char *const command[] = {"sh", "-c", script, NULL};

        (void)snprintf(cid, sizeof(cid), "%s-%d", name, i);
        (void)snprintf(script, sizeof(script), "echo i am %d; exit %d", i, 1 + i);
        assert_int_equal(rt_cluster_create(&harness, cid, token, sizeof(token)), 0);
        assert_int_equal(rt_cluster_vm_start_with(&harness, cid, token, NULL, command, &shorts), 0);
        harness_vm_end(shorts, 1 + i); /* it was told that its end is safe */
    }
    until_promoted(dies);
    assert_int_equal(rt_cluster_vm_move(&harness, stream, 1, "eof"), 0);
    (void)snprintf(line, sizeof(line), "%d\n", LINES - 1);
    harness_until(&attach, line);
    same_everywhere(name, "h1");
    for (int i = 0; i < SHORT; i++) {
        (void)snprintf(cid, sizeof(cid), "%s-%d", name, i);
        (void)snprintf(line, sizeof(line), "%d\n", 1 + i);
        harness_expect(0, line, ARGS("wait", cid));
        (void)snprintf(line, sizeof(line), "i am %d\n", i);
        harness_expect(0, line, ARGS("logs", cid));
    }
    at = attach.text;
    for (int i = 0; i < LINES; i++) {
        (void)snprintf(line, sizeof(line), "%d\n", i);
        assert_true(strncmp(at, line, strlen(line)) == 0);
        at += strlen(line);
    }
    assert_string_equal(at, "");
    harness_close(&attach);
    rt_cluster_vm_kill(stream);
    harness.n_vms--;
    assert_int_equal(rt_test_redis_restart(&nodes.nodes[dies], false), 0);
}

static void test_node_dies(void **state)
{
    char name[16], key[40];
    size_t registry = owner_of("{reg}");

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "s%u", i);
        (void)snprintf(key, sizeof(key), "{local/%s}", name);
        if (owner_of(key) != registry) {
            under_traffic(name, owner_of(key));
            return;
        }
    }
    fail();
}

static void test_registry_dies(void **state)
{
    (void)state;
    under_traffic("r", owner_of("{reg}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_node_dies), cmocka_unit_test(test_registry_dies)};
    int status = harness_main_in(2, false, prepare, "redis-cluster", tests, 2);

    harness_close(&attach);
    rt_test_cluster_stop(&nodes);
    return status;
}
