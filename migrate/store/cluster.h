/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_CLUSTER_H
#define RETETHER_MIGRATE_STORE_CLUSTER_H

#include "migrate/store/store.h"

/* The primaries of a Redis cluster: which there are, by the map of its slots, and which of them has a key
 * (migrate/core/slots.h). Each has connections of its own for as long as the map names it. Only what the map, or a
 * node's MOVED or ASK, names is dialled, and the addresses that are configured: these are asked for the map. */

/* Primaries, and such as are closing. With so many there is none more until one has closed. */
#define RT_STORE_NODES_MAX ((size_t)2 * RT_SLOT_NODES_MAX)
/* Maps for which a node is kept that none of them names, but an ASK has: longer than a call takes, each being at least
 * RT_SLOT_ASK_MS after the one before. */
#define RT_STORE_ASKED_TURNS 8
/* A map of an older epoch than the one that we have is taken when no other came for so long. */
#define RT_STORE_EPOCH_MS UINT64_C(60000)

/* As rt_redis_init(). */
RT_MUST_CHECK int rt_store_cluster_init(struct rt_store *store, uv_loop_t *loop, const struct rt_store_endpoint *seeds,
                                        size_t n);
void rt_store_cluster_start(struct rt_store *store);
/* Adds to store->closing how often store->part_closed will be called. Then the cluster is free()d by whoever counts. */
void rt_store_cluster_stop(struct rt_store *store);

/* Which node has the slot; NULL: none. */
struct rt_store_node *rt_store_cluster_node(const struct rt_store *store, uint16_t slot);
/* What an error reply says of where to go on, and whom it names in *next (NULL: nobody who could be dialled). What it
 * says is in the map from now on. */
enum rt_slot_said rt_store_cluster_said(struct rt_store_node *asked, const redisReply *error,
                                        struct rt_store_node **next);

/* Who a server is. */
struct rt_store_info {
    char run_id[RT_STORE_SERVER_ID + 1], history[RT_STORE_SERVER_ID + 1];
    uint64_t replicas, up_s;
    bool has_followed; /* it was another one's replica since it was started, or was started with what one had */
};
/* What the node has answered, before it is noted there. */
void rt_store_cluster_known(struct rt_store_node *node, const struct rt_store_info *is);
/* Its connection is lost, or it gives cause for doubt: the map is asked for anew. */
void rt_store_cluster_doubt(struct rt_store *store);
/* Whether each slot has a node, and all agents have had the time to write there what they serve. */
bool rt_store_cluster_settled(const struct rt_store *store);
/* A second has passed. */
void rt_store_cluster_beat(struct rt_store *store);

#endif
