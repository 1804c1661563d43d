/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* What comes after an end has been written: whether a replica has it. On a connection of its own to the node that has
 * written it, as WAIT stalls what is pipelined behind it.
 *
 *     written --no WAIT under way--> waited: ROLE --replicas--> WAIT --count--> REPLICATED or STORED
 *                                                 --none------------------------> STORED
 *
 * Ends A, B and C are written at 0, 1 and 2 ms; the two replicas acknowledge within 5:
 *
 *        0   A: waited. ROLE, then WAIT for all that the server has by now
 *        1   B: written; 2   C: written. Neither is asked for yet
 *        5   the WAIT says 2: A replies REPLICATED. B and C: waited, with one WAIT for both
 *
 * One replica of two is not enough: at a failover the other one may be made the primary, and what it lacks is lost.
 * While that happens, the old primary has just one replica, or none, and does not know why:
 *
 *        0   Q is promoted. P has R alone
 *       10   an end at P: R acknowledges, and throws it away when it follows Q. Two are known, one has it: STORED,
 *            unsure, spread
 *
 * It is *spread* when all that are connected have it, one at least: then a primary that dies leaves a replica that has
 * it. Whether P is the primary at all, a look tells later (broker/core/end_store.c). When none is connected, or one
 * that is does not acknowledge in time, P alone has it for all that is known, and no look helps. */

/* Answers all runs of the list, which may grow anew meanwhile. */
static void answer(struct rt_store_run **list, const struct rt_store_reply *reply)
{
    struct rt_store_run *run = *list;

    *list = NULL;
    while (run != NULL) {
        struct rt_store_run *next = run->next;
        struct rt_store_reply copy = *reply;

        rt_store_run_done(run, &copy);
        run = next;
    }
}

static void wait_for_replicas(struct rt_store_node *node);

/* So many replicas have them. */
static void waited(struct rt_store_node *node, uint64_t n)
{
    uint64_t known = rt_store_replicas(node);
    bool all = known > 0 && n >= known, spread = n > 0 && n >= node->connected;

    if (known > 0 && !all && !(spread && rt_store_has_sentinels(node->store))) {
        rt_store_log_once(node->store, RT_LOG_WARN,
                          "not all replicas have what is stored: ends stay in this host's ends/ until they do");
    }
    answer(&node->waited, &(struct rt_store_reply){.how = all ? RT_END_REPLICATED : RT_END_STORED,
                                                   .unsure = known > 0 && !all,
                                                   .spread = spread,
                                                   .outcome.verdict = RT_CLASS_OK});
    if (node->written != NULL) {
        wait_for_replicas(node);
    }
}

/* Fails all ends that wait. They are written, and only whether a replica has them is not known: the asker repeats them,
 * which does no harm. */
void rt_store_ends_fail(struct rt_store_node *node, int error)
{
    answer(&node->waited, &(struct rt_store_reply){.error = error});
    answer(&node->written, &(struct rt_store_reply){.error = error});
}

/* An answer that does not say what was asked. Why the server refuses is told: else each end would be offered again, and
 * nobody would know why. */
static void no_count(struct rt_store_node *node, int error, const redisReply *reply)
{
    node->store->at = node;
    if (error == RT_ECANCELED && node->store->phase != RT_STORE_STOPPING) {
        error = RT_ETIMEDOUT; /* the cluster has that node no more */
    }
    error = rt_store_error_of(node->store, error, reply);
    rt_store_ends_fail(node, error != 0 ? error : RT_EUNAVAIL);
}

static void wait_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store_node *node = ctx;

    if (error != 0 || reply->type != REDIS_REPLY_INTEGER) {
        no_count(node, error, reply);
        return;
    }
    waited(node, reply->integer > 0 ? (uint64_t)reply->integer : 0);
}

static void replicas_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store_node *node = ctx;
    struct rt_redis_args args = {.n = 0};
    const redisReply *replicas;
    char limit[24], n[24];
    int rc;

    if (error != 0 || (replicas = rt_store_element(reply, 2, REDIS_REPLY_ARRAY)) == NULL) {
        no_count(node, error, reply);
        return;
    }
    rt_store_replicas_seen(node, replicas->elements);
    if (replicas->elements == 0) {
        waited(node, 0);
        return;
    }
    snprintf(n, sizeof(n), "%zu", replicas->elements);
    snprintf(limit, sizeof(limit), "%" PRIu64, RT_STORE_WAIT_MS);
    rt_redis_texts(&args, "WAIT", n, limit, NULL);
    rc = rt_redis_call(&node->ends, &args, wait_cb, node);
    if (rc != 0) {
        rt_store_ends_fail(node, RT_ETIMEDOUT);
    }
}

/* One WAIT at a time, for all that is written: they would queue up behind each other in the server. */
static void wait_for_replicas(struct rt_store_node *node)
{
    struct rt_redis_args args = {.n = 0};

    assert(node->waited == NULL);
    node->waited = node->written;
    node->written = NULL;
    rt_redis_text(&args, "ROLE");
    if (rt_redis_call(&node->ends, &args, replicas_cb, node) != 0) {
        rt_store_ends_fail(node, RT_ETIMEDOUT);
    }
}

void rt_store_end_written(struct rt_store_run *run)
{
    struct rt_store_node *node = run->store->at;

    run->next = node->written;
    node->written = run;
    if (node->waited == NULL) {
        wait_for_replicas(node);
    }
}
