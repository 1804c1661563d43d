/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_LIB_REDIS_CLUSTER_H
#define RETETHER_TESTS_LIB_REDIS_CLUSTER_H

#include "tests/lib/redis.h"

#include <stddef.h>

/* A Redis cluster of private servers. As redis.h. */

#define RT_TEST_CLUSTER_NODES_MAX 8

struct rt_test_cluster {
    struct rt_test_redis nodes[RT_TEST_CLUSTER_NODES_MAX]; /* the primaries, then a replica of each of the first */
    size_t n_primaries, n_replicas;
};

/* So many primaries, which share the slots evenly, and replicas of the first ones. A primary is taken for dead after a
 * second. Until all know each other and serve. */
int rt_test_cluster_start(struct rt_test_cluster *cluster, size_t n_primaries, size_t n_replicas);
/* One command to a node, its words apart by blanks; a text or a number as answer goes to `answer`. -1 also when it is
 * an error. */
int rt_test_cluster_command(struct rt_test_redis *node, const char *command, char *answer, size_t size);
/* Safe on a zeroed struct, and twice. */
void rt_test_cluster_stop(struct rt_test_cluster *cluster);

#endif
