/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/redis_cluster.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SLOTS ((size_t)16384)
#define LIMIT_MS 60000
#define STEP_MS 20

static int fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "redis cluster fixture: %s: %s\n", what, why);
    return -1;
}

int rt_test_cluster_command(struct rt_test_redis *node, const char *command, char *answer, size_t size)
{
    redisReply *reply = rt_test_redis_ask(node, LIMIT_MS, command);
    int rc = reply != NULL && reply->type != REDIS_REPLY_ERROR ? 0 : -1;

    answer[0] = '\0';
    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER) {
        (void)snprintf(answer, size, "%lld", reply->integer);
    } else if (reply != NULL && reply->str != NULL) {
        (void)snprintf(answer, size, "%s", reply->str);
    }
    freeReplyObject(reply);
    return rc;
}

static int order(struct rt_test_redis *node, const char *command)
{
    char answer[256];

    return rt_test_cluster_command(node, command, answer, sizeof(answer)) == 0 ? 0 : fail(command, answer);
}

/* Until every node's answer has this text. */
static int wait_for(struct rt_test_cluster *cluster, size_t n, const char *command, const char *text)
{
    struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
    char answer[8192];

    for (int ms = 0; ms < LIMIT_MS; ms += STEP_MS) {
        size_t has = 0;

        while (has < n && rt_test_cluster_command(&cluster->nodes[has], command, answer, sizeof(answer)) == 0 &&
               strstr(answer, text) != NULL) {
            has++;
        }
        if (has == n) {
            return 0;
        }
        nanosleep(&step, NULL);
    }
    return fail(command, answer);
}

static int join(struct rt_test_cluster *cluster, size_t i)
{
    char command[128], text[40];

    if (i < cluster->n_primaries) {
        (void)snprintf(command, sizeof(command), "CLUSTER ADDSLOTSRANGE %zu %zu", SLOTS * i / cluster->n_primaries,
                       SLOTS * (i + 1) / cluster->n_primaries - 1);
        if (order(&cluster->nodes[i], command) != 0) {
            return -1;
        }
    }
    if (i == 0) {
        return 0;
    }
    (void)snprintf(command, sizeof(command), "CLUSTER MEET 127.0.0.1 %u %u", cluster->nodes[0].port,
                   cluster->nodes[0].bus);
    (void)snprintf(text, sizeof(text), "cluster_known_nodes:%zu\r\n", i + 1);
    return order(&cluster->nodes[i], command) != 0 ? -1 : wait_for(cluster, i + 1, "CLUSTER INFO", text);
}

static int follow(struct rt_test_cluster *cluster, size_t i)
{
    char command[80], id[64];

    if (rt_test_cluster_command(&cluster->nodes[i], "CLUSTER MYID", id, sizeof(id)) != 0) {
        return fail("CLUSTER MYID", id);
    }
    (void)snprintf(command, sizeof(command), "CLUSTER REPLICATE %.40s", id);
    if (order(&cluster->nodes[cluster->n_primaries + i], command) != 0) {
        return -1;
    }
    (void)snprintf(command, sizeof(command), "slave %.40s", id);
    return wait_for(cluster, cluster->n_primaries + cluster->n_replicas, "CLUSTER NODES", command);
}

int rt_test_cluster_start(struct rt_test_cluster *cluster, size_t n_primaries, size_t n_replicas)
{
    static const char *const options[] = {"--cluster-node-timeout", "1000", NULL};
    size_t n = n_primaries + n_replicas;
    int rc = 0;

    memset(cluster, 0, sizeof(*cluster));
    cluster->n_primaries = n_primaries;
    cluster->n_replicas = n_replicas;
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = rt_test_redis_start_node(&cluster->nodes[i], options);
        rc = rc != 0 ? rc : join(cluster, i);
    }
    rc = rc != 0 ? rc : wait_for(cluster, n, "CLUSTER INFO", "cluster_state:ok");
    for (size_t i = 0; i < n_replicas && rc == 0; i++) {
        rc = follow(cluster, i);
    }
    for (size_t i = 0; i < n_replicas && rc == 0; i++) {
        struct rt_test_cluster one = {.nodes = {cluster->nodes[n_primaries + i]}};

        rc = wait_for(&one, 1, "INFO replication", "master_link_status:up");
    }
    if (rc != 0) {
        rt_test_cluster_stop(cluster);
    }
    return rc;
}

void rt_test_cluster_stop(struct rt_test_cluster *cluster)
{
    for (size_t i = 0; i < RT_TEST_CLUSTER_NODES_MAX; i++) {
        rt_test_redis_stop(&cluster->nodes[i]);
    }
}
