/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_STORE_PRIV_H
#define RETETHER_MIGRATE_STORE_STORE_PRIV_H

#include "migrate/store/codec.h"
#include "migrate/store/store.h"

/* Between run.c (what all operations need), find.c, sets.c, ends.c and budget.c (operations of several steps),
 * registry.c (heartbeat, news), connections.c and store.c (operations). */

/* One operation under way. Freed by rt_store_run_done(). */
struct rt_store_run {
    struct rt_store *store;
    struct rt_store_run *next; /* in store->written or ->waited */
    uint64_t id;
    enum rt_store_op_kind kind;
    struct rt_key key;
    char host[RT_HOST_MAX + 1]; /* the operation's */
    struct rt_redis *redis;     /* the connection it goes over */
    char *command;              /* owned; kept for the one repetition after the functions were found missing */
    size_t size;
    bool repeated;
    struct rt_store_find *find; /* find.c's */
    bool audit;                 /* GET */
    bool counted;               /* END with tails */
    uint64_t life;              /* CREATE: for the reply, which comes when the session is listed */
};

/* Sends the reply, whose id and kind are filled in here, and frees the run. */
void rt_store_run_done(struct rt_store_run *run, struct rt_store_reply *reply);
/* What became of a call: `error`, or what an error reply of the server means to the asker, or 0. */
int rt_store_error_of(struct rt_store *store, int error, const redisReply *reply);
bool rt_store_functions_missing(const redisReply *reply);
/* Loads the function library; what is sent after it on any connection finds it. Returns 0 or why it could not be sent.
 */
RT_MUST_CHECK int rt_store_load(struct rt_store *store, struct rt_redis *redis);

bool rt_store_has_sentinels(const struct rt_store *store);
/* Whether what is found in the store now, and was written RT_PRIMARY_SURE_MS ago, can be lost by no failover that was
 * under way then. Sentinels know that. Without them nobody does, unless there is no other server. */
bool rt_store_is_sure(const struct rt_store *store);
/* Replicas that the store has, as far as is known, whether they are connected or not. */
uint64_t rt_store_replicas(const struct rt_store *store);
/* So many are connected now. */
void rt_store_replicas_seen(struct rt_store *store, uint64_t connected);

/* The primary has the end; the run's reply comes when it is known whether a replica has it too. */
void rt_store_end_written(struct rt_store_run *run);
/* Ends all runs that wait for that. */
void rt_store_ends_fail(struct rt_store *store, int error);

/* Begins a FIND; as rt_store_submit(). */
RT_MUST_CHECK int rt_store_find_start(struct rt_store_run *run, const struct rt_store_op *op);

/* Lists the session in our set; `run`, or NULL, is answered when that is done. After an error nothing follows. */
int rt_store_list(struct rt_store *store, const struct rt_key *key, struct rt_store_run *run);
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

/* The connection for commands is ready; is lost; a second has passed. */
void rt_store_registry_ready(struct rt_store *store);
void rt_store_registry_beat(struct rt_store *store);
void rt_store_news_up(struct rt_store *store, bool fresh);

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
