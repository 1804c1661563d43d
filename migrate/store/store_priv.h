/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_STORE_PRIV_H
#define RETETHER_MIGRATE_STORE_STORE_PRIV_H

#include "migrate/store/codec.h"
#include "migrate/store/store.h"

/* Between run.c (what all operations need), ends.c (what comes after an end), node.c, cluster.c and route.c (where
 * calls go), find.c, sets.c and budget.c (operations of several steps), registry.c (heartbeat), connections.c (who is
 * connected, news) and store.c (operations). */

/* One operation under way. Freed by rt_store_run_done(). */
struct rt_store_run {
    struct rt_store *store;
    struct rt_store_run *next; /* in node->written or ->waited */
    uint64_t id;
    enum rt_store_op_kind kind;
    struct rt_key key;
    char host[RT_HOST_MAX + 1]; /* the operation's */
    char *command;              /* owned: an END that goes behind the count of its tails, a CREATE behind its listing */
    size_t size;
    struct rt_store_find *find; /* find.c's */
    bool audit;                 /* GET */
    bool counted;               /* END with tails */
    uint64_t life;              /* CREATE: for the reply */
};

/* Tells that the store can be used. */
void rt_store_news_up(struct rt_store *store, bool fresh);

/* Sends the reply, whose id and kind are filled in here, and frees the run. */
void rt_store_run_done(struct rt_store_run *run, struct rt_store_reply *reply);
/* What became of a call: `error`, or what an error reply of the server means to the asker, or 0. */
int rt_store_error_of(struct rt_store *store, int error, const redisReply *reply);
bool rt_store_functions_missing(const redisReply *reply);
/* Loads the function library into the server of that connection; what is sent after it there finds it. Returns 0 or why
 * it could not be sent. */
RT_MUST_CHECK int rt_store_load(struct rt_store *store, struct rt_redis *redis);

/* Over which connection of a node a call goes. */
enum rt_store_lane { RT_STORE_COMMANDS, RT_STORE_ENDS };

/* Sends a call to the server that has its key. On the way it loads the functions where they are missing, once, and
 * follows a cluster's nodes. Returns 0, then cb comes exactly once, later, with store->at being the node that answered;
 * or RT_EUNAVAIL, RT_ELIMIT, RT_ENOMEM, then never. */
RT_MUST_CHECK int rt_store_call(struct rt_store *store, enum rt_store_lane lane, const struct rt_redis_args *args,
                                rt_redis_cb cb, void *ctx);
/* The same with what redisFormatCommandArgv() has made; key: the first, or NULL. Takes `command` when it returns 0. */
RT_MUST_CHECK int rt_store_send(struct rt_store *store, enum rt_store_lane lane, const char *key, char *command,
                                size_t size, rt_redis_cb cb, void *ctx);
/* The first key of a call, or NULL. */
const char *rt_store_key_of(const struct rt_redis_args *args);

/* What connections.c does about nodes. */
struct rt_store_node_ops {
    void (*on_ready)(struct rt_store_node *node);                            /* for commands */
    void (*on_down)(struct rt_store_node *node, const char *why);            /* likewise, after its calls have failed */
    void (*on_doubt)(struct rt_store_node *node);                            /* rt_redis_config */
    void (*on_registry)(struct rt_store *store, struct rt_store_node *node); /* it has the registry; NULL: none has */
    void (*on_out)(struct rt_store *store, const char *why);                 /* nothing can be asked */
};

/* As rt_redis_init(). endpoints: of commands. */
RT_MUST_CHECK int rt_store_node_init(struct rt_store_node *node, struct rt_store *store,
                                     const struct rt_store_endpoint *endpoints, size_t n);
void rt_store_node_start(struct rt_store_node *node);
/* Of a connection to a server. */
struct rt_redis_config rt_store_redis_config(struct rt_store *store, const char *task);
/* Calls node_closed for each of its two connections. */
void rt_store_node_stop(struct rt_store_node *node, void (*closed)(struct rt_redis *redis));
/* Without a call under way, silence would never be noticed there. */
void rt_store_node_ping(struct rt_store_node *node);

bool rt_store_has_sentinels(const struct rt_store *store);
/* Whether what is found at the node that answered now (store->at), and was written RT_PRIMARY_SURE_MS ago, can be lost
 * by no failover that was under way then. Sentinels know that. Without them nobody does, unless there is no replica. */
bool rt_store_is_sure(const struct rt_store *store);
/* Replicas that the node has, as far as is known, whether they are connected or not. */
uint64_t rt_store_replicas(const struct rt_store_node *node);
/* So many are connected now. */
void rt_store_replicas_seen(struct rt_store_node *node, uint64_t connected);

/* The node that answered now (store->at) has the end; the run's reply comes when it is known whether a replica has it
 * too. */
void rt_store_end_written(struct rt_store_run *run);
/* Ends all runs that wait for that. */
void rt_store_ends_fail(struct rt_store_node *node, int error);

/* Begins a FIND; as rt_store_submit(). */
RT_MUST_CHECK int rt_store_find_start(struct rt_store_run *run, const struct rt_store_op *op);

/* Takes the session into our set, and tells its record. What of it fails the next audit does. */
void rt_store_list(struct rt_store *store, const struct rt_key *key);
/* The first half of that: into our set. As rt_store_call(). */
RT_MUST_CHECK int rt_store_name(struct rt_store *store, const struct rt_key *key, rt_redis_cb cb, void *ctx);
/* The record of a session served here, which says that `set` lists it: lists it where our set does not. */
void rt_store_audit(struct rt_store *store, const struct rt_store_record *record, const char *set);
/* With each heartbeat: a page of the walk over our set. Keeps the records of idle sessions from expiring, and takes out
 * what has none, or has gone to another host. */
void rt_store_walk(struct rt_store *store);

/* Rows as a page of the registry or a notice brought them: who there is to list. A page holds all names behind `after`
 * up to its last one; without a last one, all. */
void rt_store_names_page(struct rt_store *store, const char *after, const char *last, const struct rt_store_host *rows,
                         size_t n);
void rt_store_names_add(struct rt_store *store, const char *host);

/* A node's connection for commands is ready: it is asked who it is. */
void rt_store_registry_ready(struct rt_store_node *node);
/* It has the registry, and is known: heartbeats go there. */
void rt_store_registry_check(struct rt_store *store);
/* A second has passed. */
void rt_store_registry_beat(struct rt_store *store);

/* A second has passed; there is no store, for this reason (tells it). */
void rt_store_look_beat(struct rt_store *store);
void rt_store_look_out(struct rt_store *store, const char *why);

/* Counts the tails of an end that is about to be written. Returns 0, then cb comes; or why it could not be asked. */
RT_MUST_CHECK int rt_store_tails_count(struct rt_store *store, const struct rt_store_op *end, rt_redis_cb cb,
                                       void *ctx);
/* What cb was told. Returns 0: the end may be written; or what its asker is told. */
RT_MUST_CHECK int rt_store_tails_counted(struct rt_store *store, int error, const redisReply *reply);
/* Such an end is written: gives up what is over the budget. */
void rt_store_tails_sweep(struct rt_store *store);
/* A second has passed. */
void rt_store_tails_beat(struct rt_store *store);

/* As rt_redis_init(). */
RT_MUST_CHECK int rt_store_connections_init(struct rt_store *store, uv_loop_t *loop,
                                            const struct rt_store_endpoint *endpoints, size_t n);
void rt_store_connections_start(struct rt_store *store);
/* Adds to `closing` how often part_closed will be called. */
void rt_store_connections_stop(struct rt_store *store, void (*part_closed)(struct rt_store *store));

/* The server has taken a write: it is logged when it refused them before. */
void rt_store_writes_taken(struct rt_store *store);
/* See RT_STORE_ONCE_MS. */
void rt_store_log_once(struct rt_store *store, enum rt_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What was logged before this loop time is news again. */
void rt_store_log_anew(struct rt_store *store, uint64_t before);
void rt_store_log(struct rt_store *store, enum rt_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
