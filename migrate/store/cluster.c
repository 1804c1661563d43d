/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/cluster.h"

#include "migrate/store/info.h"
#include "migrate/store/slots_reply.h"
#include "migrate/store/store_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The seeds are the addresses that are configured: any nodes of the cluster. Three primaries A, B, C; D is B's replica;
 * A has the registry. Milliseconds:
 *
 *          0   a seed is connected: CLUSTER SLOTS. A, B and C are dialled
 *         10   A says who it is (INFO): CHECKING, as any store (registry.c). B and C: known, operations go there
 *         12   a heartbeat at A: ONLINE. Whole when each slot has a node, and each node is settled
 *       1000   B dies. Who is asked for its keys fails with RT_EUNAVAIL; all else goes on
 *       1250   the map, from A: as before. From C 500 ms later; so on, each time after twice as long, up to 2500
 *       6000   the map, from C: D has B's slots. B's connections are closed, D is dialled
 *       6010   D says who it is, and that it has followed another: it may lack what B took last. News UP, fresh: all
 *              agents write anew what they serve. Not whole for RT_STORE_WHOLE_MS
 *
 * Were it A that died, the store would be out until the map names another node with the registry. A node of a cluster
 * that was cut off says MOVED, or CLUSTERDOWN: both are reasons to ask for the map. What it says itself of the map
 * counts for nothing. */

struct rt_store_cluster {
    struct rt_store *store;
    uv_loop_t *loop;
    bool tls; /* of the nodes, as of the seeds */
    struct rt_redis seeds;

    bool has_map, is_first; /* the first one is being installed */
    uint64_t epoch;         /* of the cluster, by who gave the map */
    uint64_t taken_ms;      /* loop time at which a map was taken last */
    bool is_ok;             /* who is asked now says that its cluster is well, and which its epoch is */
    uint64_t other_epoch;
    struct rt_slot_map map, other;               /* the other: that is read */
    struct rt_store_node *of[RT_SLOT_NODES_MAX]; /* by the map; NULL: a replica, or one that could not be dialled */
    struct rt_slot_turns turns;
    struct rt_slot_place asked; /* who is asked for the map */
    uv_timer_t timer;

    struct rt_store_node *nodes; /* owned, with those that are leaving */
    size_t n_nodes;
};

static bool is_stopping(const struct rt_store_cluster *cluster)
{
    return cluster->store->phase == RT_STORE_STOPPING;
}

static void timer_cb(uv_timer_t *timer);

static void arm(struct rt_store_cluster *cluster)
{
    uint64_t now = uv_now(cluster->loop), due = rt_slot_turns_due(&cluster->turns);

    if (is_stopping(cluster) || due == RT_SLOT_NEVER) {
        uv_timer_stop(&cluster->timer);
    } else {
        uv_timer_start(&cluster->timer, timer_cb, due > now ? due - now : 0, 0);
    }
}

void rt_store_cluster_doubt(struct rt_store *store)
{
    rt_slot_turns_doubt(&store->cluster->turns);
    arm(store->cluster);
}

/* Nodes. */

static void part_closed_cb(struct rt_redis *redis)
{
    struct rt_store_node *node = redis->config.ctx;
    struct rt_store *store = node->store;
    struct rt_store_node **at = &store->cluster->nodes;

    if (--node->closing > 0) {
        return;
    }
    while (*at != node) {
        at = &(*at)->next;
    }
    *at = node->next;
    store->cluster->n_nodes--;
    store->at = store->at == node ? NULL : store->at;
    free(node);
    if (is_stopping(store->cluster)) {
        store->part_closed(store);
    }
}

/* What is under way there is answered from within. */
static void leave(struct rt_store_node *node)
{
    node->leaving = true;
    node->known = false;
    rt_store_node_stop(node, part_closed_cb);
}

/* NULL: it cannot be dialled. */
static struct rt_store_node *new_node(struct rt_store_cluster *cluster, const struct rt_slot_place *place)
{
    struct rt_store_endpoint endpoint;
    struct rt_store_node *node;
    char port[8];

    snprintf(port, sizeof(port), "%u", place->port);
    if (rt_store_endpoint_of(place->host, port, cluster->tls, &endpoint) != 0) {
        rt_store_log_once(cluster->store, RT_LOG_ERROR, "the cluster names a node that cannot be dialled: %.150s:%s",
                          place->host, port);
        return NULL;
    }
    node = cluster->n_nodes < RT_STORE_NODES_MAX ? calloc(1, sizeof(*node)) : NULL;
    if (node == NULL || rt_store_node_init(node, cluster->store, &endpoint, 1) != 0) {
        free(node);
        return NULL; /* tried again with the next map */
    }
    node->place = *place;
    node->replaces = !cluster->is_first;
    node->next = cluster->nodes;
    cluster->nodes = node;
    cluster->n_nodes++;
    rt_store_node_start(node);
    return node;
}

static bool is_primary(const struct rt_slot_map *map, size_t i)
{
    return map->nodes[i].primary == i;
}

/* The node of the map's primary `i`, made where there is none. */
static struct rt_store_node *node_at(struct rt_store_cluster *cluster, size_t i)
{
    const struct rt_slot_place *place = &cluster->map.nodes[i].place;

    for (struct rt_store_node *node = cluster->nodes; cluster->of[i] == NULL && node != NULL; node = node->next) {
        if (!node->leaving && node->place.port == place->port && strcmp(node->place.host, place->host) == 0) {
            cluster->of[i] = node;
        }
    }
    if (cluster->of[i] == NULL) {
        cluster->of[i] = new_node(cluster, place);
    }
    return cluster->of[i];
}

static struct rt_store_node *owner(const struct rt_store_cluster *cluster, uint16_t slot)
{
    uint8_t i = cluster->map.owner[slot];

    return i == RT_SLOT_NOBODY ? NULL : cluster->of[i];
}

struct rt_store_node *rt_store_cluster_node(const struct rt_store *store, uint16_t slot)
{
    return owner(store->cluster, slot);
}

static uint16_t registry_slot(void)
{
    return rt_slot_of(RT_STORE_REGISTRY, strlen(RT_STORE_REGISTRY));
}

/* What we have written may be gone, a part of it. */
static void renew(struct rt_store *store)
{
    if (store->phase != RT_STORE_ONLINE) {
        store->renewed = true;
        return;
    }
    rt_store_log(store, RT_LOG_INFO, "a part of the store is new or rolled back");
    store->whole = false;
    rt_store_news_up(store, true);
}

void rt_store_cluster_known(struct rt_store_node *node, const struct rt_store_info *is)
{
    struct rt_store *store = node->store;
    bool is_other = strcmp(is->run_id, node->run_id) != 0 || strcmp(is->history, node->history) != 0;
    /* Of one that has been a primary from its start on the time since then is enough. */
    bool is_old = is->up_s > RT_STORE_WHOLE_MS / 1000 && !is->has_followed;

    node->known = true;
    if (node->told_down) {
        node->told_down = false;
        rt_store_log(store, RT_LOG_INFO, "%s, a part of the store, answers again", rt_redis_where(&node->commands));
    }
    if (is_other) {
        node->settled_ms = uv_now(store->loop) + (is_old ? 0 : RT_STORE_WHOLE_MS);
    }
    if (is_other && store->seen && (node->run_id[0] != '\0' || node->replaces)) {
        renew(store);
    } else if (store->phase == RT_STORE_ONLINE) {
        rt_store_news_up(store, false); /* what was refused meanwhile is asked again */
    }
}

bool rt_store_cluster_settled(const struct rt_store *store)
{
    const struct rt_store_cluster *cluster = store->cluster;

    if (cluster == NULL) {
        return true;
    }
    for (size_t i = 0; i < cluster->map.n; i++) {
        const struct rt_store_node *node = cluster->of[i];

        if (is_primary(&cluster->map, i) &&
            (node == NULL || !node->known || uv_now(cluster->loop) < node->settled_ms)) {
            return false;
        }
    }
    return cluster->map.n_owned == RT_SLOTS;
}

/* The map. */

/* Whether each slot has a node that takes calls: else the map is asked for again soon. */
static bool is_covered(const struct rt_store_cluster *cluster)
{
    for (size_t i = 0; i < cluster->map.n; i++) {
        if (is_primary(&cluster->map, i) && (cluster->of[i] == NULL || !cluster->of[i]->known)) {
            return false;
        }
    }
    return cluster->map.n_owned == RT_SLOTS;
}

/* A node that we know, and takes over slots of one that is not there: what that one had is not in it, or not all. One
 * that we do not know yet says itself who it is. */
static void unsettle(struct rt_store_cluster *cluster, const bool was_there[RT_SLOTS])
{
    bool any = false;

    for (size_t slot = 0; slot < RT_SLOTS; slot++) {
        struct rt_store_node *node = was_there[slot] ? NULL : owner(cluster, (uint16_t)slot);

        if (node != NULL && !node->known) {
            node->replaces = true;
        } else if (node != NULL) {
            node->settled_ms = uv_now(cluster->loop) + RT_STORE_WHOLE_MS;
            any = true;
        }
    }
    if (any && cluster->store->seen) {
        renew(cluster->store);
    }
}

/* Slots whose node was there, or stays the same. */
static void note_there(const struct rt_store_cluster *cluster, bool was_there[RT_SLOTS])
{
    const struct rt_slot_map *map = &cluster->map, *other = &cluster->other;
    int same[RT_SLOT_NODES_MAX];

    for (size_t i = 0; i < map->n; i++) {
        same[i] = rt_slot_map_find(other, &map->nodes[i].place);
    }
    for (size_t slot = 0; slot < RT_SLOTS; slot++) {
        uint8_t from = map->owner[slot], to = other->owner[slot];

        was_there[slot] =
            !cluster->has_map ||
            (from != RT_SLOT_NOBODY && (same[from] == to || (cluster->of[from] != NULL && cluster->of[from]->known)));
    }
}

static void install(struct rt_store_cluster *cluster)
{
    bool was_there[RT_SLOTS];

    note_there(cluster, was_there);
    cluster->map = cluster->other;
    cluster->is_first = !cluster->has_map;
    cluster->has_map = true;
    cluster->epoch = cluster->other_epoch;
    cluster->taken_ms = uv_now(cluster->loop);
    memset(cluster->of, 0, sizeof(cluster->of));
    for (struct rt_store_node *node = cluster->nodes; node != NULL; node = node->next) {
        node->replicas = 0;
    }
    for (size_t i = 0; i < cluster->map.n; i++) {
        if (is_primary(&cluster->map, i) && node_at(cluster, i) != NULL) {
            cluster->of[i]->replicas = rt_slot_map_replicas(&cluster->map, (unsigned)i);
            cluster->store->spares |= cluster->of[i]->replicas > 0;
        }
    }
    cluster->is_first = false;
    cluster->store->ops->on_registry(cluster->store, owner(cluster, registry_slot()));
    for (struct rt_store_node *node = cluster->nodes; node != NULL && !is_stopping(cluster); node = node->next) {
        int i = rt_slot_map_find(&cluster->map, &node->place);

        if (node->leaving || (i >= 0 && cluster->of[i] == node)) {
            continue;
        }
        if (node->turns > 0) { /* calls that ASK has sent there may be under way */
            node->turns--;
        } else {
            leave(node);
        }
    }
    if (!is_stopping(cluster)) {
        unsettle(cluster, was_there);
    }
}

static void no_map(struct rt_store_cluster *cluster, int error, const redisReply *reply)
{
    char why[RT_REDIS_TEXT_MAX];

    snprintf(why, sizeof(why), "%.100s:%u: CLUSTER SLOTS: %.80s", cluster->asked.host, cluster->asked.port,
             error != 0                         ? rt_strerror(error)
             : reply->type == REDIS_REPLY_ERROR ? reply->str
                                                : "it has no map that makes sense");
    if (!cluster->has_map) {
        cluster->store->ops->on_out(cluster->store, why);
    } else if (error == 0) {
        rt_store_log_once(cluster->store, RT_LOG_WARN, "%s", why);
    }
}

/* Who gives the map says first what it thinks of the cluster. */
static void state_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store_cluster *cluster = ctx;
    const char *text = error == 0 && reply->type == REDIS_REPLY_STRING ? reply->str : "";
    char state[8];

    cluster->is_ok = rt_info_text(text, "cluster_state", state, sizeof(state)) && strcmp(state, "ok") == 0;
    cluster->other_epoch = rt_info_number(text, "cluster_current_epoch", 0);
    if (error == 0 && reply->type == REDIS_REPLY_ERROR) {
        (void)rt_store_error_of(cluster->store, 0, reply); /* says why */
    }
}

/* Whether the map counts. A node that was cut off names itself as the primary of what has gone to another one by now:
 * its cluster is down, or its epoch is behind. Of a cluster that was made anew, with epochs from 1, all are: it is
 * believed when nobody has given a newer map for so long that a node that is cut off would have noticed. */
static bool counts(const struct rt_store_cluster *cluster)
{
    return !cluster->has_map || (cluster->is_ok && (cluster->other_epoch >= cluster->epoch ||
                                                    uv_now(cluster->loop) - cluster->taken_ms >= RT_STORE_EPOCH_MS));
}

static void slots_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store_cluster *cluster = ctx;
    bool is_map, has_map, changed = false;

    if (is_stopping(cluster)) {
        return;
    }
    is_map = error == 0 && rt_slots_reply(reply, &cluster->asked, &cluster->other) == 0 && cluster->other.n_owned > 0;
    has_map = is_map && counts(cluster);
    if (has_map) {
        changed = !cluster->has_map || memcmp(cluster->map.owner, cluster->other.owner, RT_SLOTS) != 0 ||
                  cluster->epoch != cluster->other_epoch;
        install(cluster);
    } else if (!is_map) {
        no_map(cluster, error, reply);
    }
    rt_slot_turns_answered(&cluster->turns, has_map, changed, is_covered(cluster));
    arm(cluster);
}

/* Who is next, of the primaries and the seeds; NULL: none is connected. */
static struct rt_redis *choose(struct rt_store_cluster *cluster)
{
    size_t n = cluster->map.n + 1;

    for (size_t i = 0; i < n; i++) {
        size_t at = rt_slot_turns_ask(&cluster->turns, n, uv_now(cluster->loop));
        struct rt_store_node *node = at < cluster->map.n ? cluster->of[at] : NULL;
        struct rt_redis *redis = at == cluster->map.n ? &cluster->seeds : node != NULL ? &node->commands : NULL;

        if (redis == NULL || redis->state != RT_REDIS_READY) {
            continue;
        }
        if (node != NULL) {
            cluster->asked = node->place;
        } else {
            const struct rt_store_endpoint *endpoint = rt_redis_at(redis);

            snprintf(cluster->asked.host, sizeof(cluster->asked.host), "%s", endpoint->host);
            cluster->asked.port = (uint16_t)strtoul(strrchr(endpoint->text, ':') + 1, NULL, 10);
        }
        return redis;
    }
    return NULL;
}

static void timer_cb(uv_timer_t *timer)
{
    struct rt_store_cluster *cluster = timer->data;
    struct rt_redis *redis = choose(cluster);
    struct rt_redis_args info = {.n = 0}, slots = {.n = 0};

    rt_redis_texts(&info, "CLUSTER", "INFO", NULL);
    rt_redis_texts(&slots, "CLUSTER", "SLOTS", NULL);
    cluster->is_ok = false;
    if (redis == NULL || rt_redis_call(redis, &info, state_cb, cluster) != 0 ||
        rt_redis_call(redis, &slots, slots_cb, cluster) != 0) {
        rt_slot_turns_answered(&cluster->turns, false, false, false);
    }
    arm(cluster);
}

/* Redirections. */

enum rt_slot_said rt_store_cluster_said(struct rt_store_node *asked, const redisReply *error,
                                        struct rt_store_node **next)
{
    struct rt_store_cluster *cluster = asked->store->cluster;
    struct rt_slot_place place;
    uint16_t slot;
    enum rt_slot_said said = rt_slot_said(error->str, &asked->place, &slot, &place);
    int at = -1;

    *next = NULL;
    if (said == RT_SLOT_SAID_MOVED || said == RT_SLOT_SAID_DOWN) {
        rt_store_cluster_doubt(asked->store);
    }
    if (said == RT_SLOT_SAID_MOVED) {
        at = rt_slot_map_moved(&cluster->map, slot, &place) == 0 ? rt_slot_map_find(&cluster->map, &place) : -1;
    } else if (said == RT_SLOT_SAID_ASK) {
        at = rt_slot_map_primary(&cluster->map, &place);
    }
    if (at >= 0) {
        *next = node_at(cluster, (size_t)at);
    }
    if (*next != NULL && said == RT_SLOT_SAID_ASK) {
        (*next)->turns = RT_STORE_ASKED_TURNS;
    }
    if (at >= 0 && said == RT_SLOT_SAID_MOVED && slot == registry_slot()) {
        asked->store->ops->on_registry(asked->store, *next);
    }
    return said;
}

/* Start and stop. */

void rt_store_cluster_beat(struct rt_store *store)
{
    struct rt_redis_args ping = {.n = 0};

    for (struct rt_store_node *node = store->cluster->nodes; node != NULL; node = node->next) {
        rt_store_node_ping(node);
    }
    rt_redis_text(&ping, "PING");
    (void)!rt_redis_call(&store->cluster->seeds, &ping, NULL, NULL); /* not connected: nothing to notice */
}

static void seeds_ready_cb(void *ctx)
{
    struct rt_store_cluster *cluster = ctx;

    if (!cluster->has_map && !cluster->turns.asking) {
        cluster->turns = (struct rt_slot_turns){.asking = false}; /* at once */
    }
    arm(cluster);
}

static void seeds_down_cb(void *ctx, const char *why)
{
    struct rt_store_cluster *cluster = ctx;

    if (!cluster->has_map && !is_stopping(cluster)) {
        cluster->store->ops->on_out(cluster->store, why);
    }
}

int rt_store_cluster_init(struct rt_store *store, uv_loop_t *loop, const struct rt_store_endpoint *seeds, size_t n)
{
    struct rt_redis_config config = rt_store_redis_config(store, "map");
    struct rt_store_cluster *cluster = calloc(1, sizeof(*cluster));
    int rc;

    if (cluster == NULL) {
        return RT_ENOMEM;
    }
    cluster->store = store;
    cluster->loop = loop;
    cluster->tls = seeds[0].tls;
    rt_slot_map_clear(&cluster->map);
    config.endpoints = seeds;
    config.n_endpoints = n;
    config.role = RT_REDIS_ANY_ROLE;
    config.ctx = cluster;
    config.on_ready = seeds_ready_cb;
    config.on_down = seeds_down_cb;
    rc = rt_redis_init(&cluster->seeds, loop, &config);
    if (rc == 0 && uv_timer_init(loop, &cluster->timer) != 0) {
        rc = RT_EIO;
    }
    cluster->timer.data = cluster;
    store->cluster = cluster;
    return rc;
}

void rt_store_cluster_start(struct rt_store *store)
{
    rt_redis_start(&store->cluster->seeds);
}

static void seeds_closed_cb(struct rt_redis *redis)
{
    struct rt_store_cluster *cluster = redis->config.ctx;

    cluster->store->part_closed(cluster->store);
}

static void timer_closed_cb(uv_handle_t *handle)
{
    struct rt_store_cluster *cluster = handle->data;

    cluster->store->part_closed(cluster->store);
}

void rt_store_cluster_stop(struct rt_store *store)
{
    struct rt_store_cluster *cluster = store->cluster;

    store->closing += 2 + (int)cluster->n_nodes;
    for (struct rt_store_node *node = cluster->nodes; node != NULL; node = node->next) {
        if (!node->leaving) {
            leave(node);
        }
    }
    rt_redis_stop(&cluster->seeds, seeds_closed_cb);
    uv_close((uv_handle_t *)&cluster->timer, timer_closed_cb);
}
