/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_STORE_H
#define RETETHER_MIGRATE_STORE_STORE_H

#include "migrate/core/slots.h"
#include "migrate/core/store_op.h"
#include "migrate/store/checks.h"
#include "migrate/store/redis.h"
#include "migrate/store/refusal.h"
#include "migrate/store/sentinels.h"
#include "session/base/log.h"

/* The session store on Redis: runs operations (migrate/core/store_op.h), keeps this agent's row in the registry, and
 * tells news. Two connections to each primary (several are a cluster): commands; one on which only ends are written and
 * WAITed for. To the one that has the registry a third: pub/sub. */

/* What is logged once is not logged again within this time, if it begins with the same bytes; so many texts are
 * remembered, one more takes the place of the oldest. */
#define RT_STORE_ONCE_MS (UINT64_C(10) * 60 * 1000)
#define RT_STORE_ONCE_BYTES 128
#define RT_STORE_ONCE_MAX 4
/* Bytes of a line of the log; longer ones are cut. */
#define RT_STORE_LOG_MAX 384

/* While the store is out its reason is logged again after this time, which doubles up to RT_STORE_ONCE_MS. */
#define RT_STORE_OUT_MS UINT64_C(5000)
/* How often the store is looked at (look.c). */
#define RT_STORE_LOOK_MS UINT64_C(60000)

/* Bytes of a file's path; a longer one is RT_ECONFIG. */
#define RT_STORE_PATH_MAX 255

/* Strings and arrays need to live during rt_store_init() only. */
struct rt_store_config {
    const char *endpoints[RT_ENDPOINTS_MAX]; /* endpoint.h says how they are written */
    size_t n_endpoints;
    /* Files that are read at each dial (login.h), of the servers and of the Sentinels; or NULL. */
    const char *login_file, *sentinel_login_file;
    struct rt_wire_setup secure;    /* ops and context, for addresses with TLS; all zero: they are refused */
    const char *host;               /* our name: printable ASCII, no spaces */
    const char *addr[RT_ADDRS_MAX]; /* where clients reach us */
    size_t n_addr;
    const char *version;
    /* Names this machine, or NULL. Unix sockets and loopback addresses of agents are told to clients on the same
     * machine only. */
    const char *machine;
    /* Names this installation (a digest of its state directory, say), so that an agent that comes back within
     * RT_HEARTBEAT_EXPIRY_MS of its death is known as itself and not as a duplicate. All zero: random, and then the new
     * one waits until the old one's row has expired. */
    struct rt_id instance;
    uint64_t op_timeout_ms;      /* 0: RT_REDIS_CALL_MS */
    uint64_t connect_timeout_ms; /* 0: RT_REDIS_CONNECT_MS */
    /* Bytes of ended sessions' tails, of this host's and of all; 0: RT_TAILS_HOST_BYTES, RT_TAILS_ALL_BYTES. Beyond
     * them the oldest are given up: exit status and offsets stay. The same for all hosts. */
    uint64_t tails_host, tails_all;

    void *ctx;
    void (*on_reply)(void *ctx, const struct rt_store_reply *reply);
    /* UP comes when the store can be used, and again, fresh or not, whenever
     * - it was found new, rolled back or restarted (`fresh`; the first UP is fresh too): what it knew of us may be
     * gone;
     * - `whole` has changed;
     * - the subscription to claims is back: of the claims published meanwhile none is told again, so whoever serves
     *   something must check its record.
     * TOUCH comes with every answered heartbeat, after UP. HOST comes when another host writes its first row on a
     * connection, or one with other addresses. TAKEN while we are up says that the store is out for us, as DOWN does:
     * our name, and all that is written under it, is another agent's now. */
    void (*on_news)(void *ctx, const struct rt_store_news *news);
    void (*on_log)(void *ctx, enum rt_log_level level, const char *text);
};

struct rt_store_run;
struct rt_store_node_ops;
struct rt_store_cluster;

#define RT_STORE_SERVER_ID 40 /* characters */

/* A primary: the only one, or one of a cluster (node.c). */
struct rt_store_node {
    struct rt_store *store;
    struct rt_redis commands, ends;
    /* Of the server: its run, and the history that its data is of; "" until INFO has answered. */
    char run_id[RT_STORE_SERVER_ID + 1], history[RT_STORE_SERVER_ID + 1];
    /* Replicas that are connected; and those that a cluster's map names, or the most that ever were connected, or that
     * are listed: without Sentinels and cluster the endpoints are the primary and its replicas. */
    uint64_t connected, replicas;
    /* ends: written and not waited for yet, waited for now */
    struct rt_store_run *written, *waited;

    /* of a cluster */
    struct rt_slot_place place;
    struct rt_store_node *next;
    bool known;          /* INFO has answered on this connection: operations go here */
    bool replaces;       /* slots of it had another node before, in a map that we knew */
    bool told_down;      /* logged; so is when it is back */
    uint64_t settled_ms; /* loop time from which all agents have written here what they serve */
    unsigned turns;      /* ASK has named it: while no map does, it is kept for so many more */
    bool leaving;        /* the map has it no more: it is closing */
    unsigned closing;
};

struct rt_store {
    uv_loop_t *loop;
    struct rt_store_config config; /* its pointers to what the caller gave are not used after init */
    struct rt_store_host self;
    struct rt_id instance;
    char login_file[RT_STORE_PATH_MAX + 1], sentinel_login_file[RT_STORE_PATH_MAX + 1];
    enum { RT_STORE_IDLE, RT_STORE_OFFLINE, RT_STORE_CHECKING, RT_STORE_ONLINE, RT_STORE_STOPPING } phase;

    const struct rt_store_node_ops *ops;
    struct rt_store_node only;        /* not of a cluster */
    struct rt_store_cluster *cluster; /* owned; NULL: the store is none (cluster.c) */
    bool spares;               /* of a cluster: a primary of it has had a replica, so each of them should have one */
    struct rt_store_node *reg; /* that has the registry; NULL: no map has come yet */
    struct rt_store_node *at;  /* whose answer is handled now (route.c) */
    struct rt_redis pubsub;    /* where reg is (connections.c) */
    struct rt_sentinels sentinels; /* zeroed: none are configured */
    uv_timer_t heart;
    size_t n_ops;   /* replies owed */
    unsigned loads; /* of the functions for heartbeats, since the connection was made */

    /* registry */
    struct rt_id mark; /* birth mark that we know */
    bool seen;         /* we have been up before: mark and seq mean something */
    bool whole;
    uint64_t mark_ms; /* loop time at which we saw that mark first */
    bool born_here;   /* it was made after we had seen another */
    bool renewed;     /* a part of a cluster may have lost what we wrote: told with the next beat */
    uint64_t seq;     /* of the row that we wrote last */
    bool announce;    /* the next row that is written is told to all */
    uint64_t beat_at; /* loop time at which the newest beat was sent */
    uint64_t beats;   /* answered on this connection */
    struct rt_touch touch;
    bool taken_told;
    struct rt_watch rival;          /* who holds our row */
    char (*names)[RT_HOST_MAX + 1]; /* owned: hosts of the registry, in the order of their names; for FIND */
    size_t n_names;

    /* what has been logged */
    bool log_down; /* the loss */
    uint64_t log_down_at,
        log_down_ms; /* loop time at which its reason is logged again, and how long that was from now */
    const struct rt_refusal *refusal; /* that writes are refused, and why; NULL: they are taken */
    struct {
        char text[RT_STORE_ONCE_BYTES];
        uint64_t at; /* loop time; 0: unused */
    } once[RT_STORE_ONCE_MAX];

    /* looks at it: loop time of the newest one on this connection, or 0; its answers owed, and the right that the next
     * one is about; what it found, and which weaknesses were logged */
    struct {
        uint64_t at;
        unsigned owed;
        bool failed;
        size_t right;
        struct rt_store_facts facts;
        struct rt_store_look found;
        char told[RT_CHECKS][RT_CHECK_VALUE_MAX + 1];
        char refused[RT_CHECK_VALUE_MAX + 1]; /* the first NOPERM since the last look */
    } look;

    /* the walk over our own set: loop times of its start and of its next page, the last member looked at, answers owed
     */
    bool walking;
    uint64_t walks, walk_ms, walk_next;
    char walk_at[RT_TENANT_MAX + RT_CID_MAX + 2];
    size_t walk_steps;

    /* the budget of tails */
    struct {
        uint64_t host_max, store_max; /* bytes */
        char host[RT_HOST_MAX + 1];   /* whose tails are swept now */
        /* IDLE --an end, a minute--> SWEEPING --another--> AGAIN --over--> SWEEPING --over--> IDLE */
        enum { RT_TAILS_IDLE, RT_TAILS_SWEEPING, RT_TAILS_AGAIN } sweep;
        bool asked, failed;
        unsigned steps;    /* of this sweep */
        size_t cutting;    /* removals under way */
        uint64_t given_up; /* and not logged yet */
        uint64_t beats;
    } tails;

    int closing;
    void (*part_closed)(struct rt_store *store);
    void (*closed)(struct rt_store *store);
};

/* Returns 0, RT_EINVAL or RT_ECONFIG (endpoint, name, address or version not fit), RT_ENOMEM, RT_EIO. After an error
 * there is nothing to stop. */
RT_MUST_CHECK int rt_store_init(struct rt_store *store, uv_loop_t *loop, const struct rt_store_config *config);
void rt_store_start(struct rt_store *store);

/* Returns 0; then one reply comes, later. Or RT_EUNAVAIL (not up), RT_ELIMIT (too many under way), RT_EINVAL (a bound
 * is broken), RT_ENOMEM; then none comes. What the operation points at is not used after the call.
 *
 * - END replies how = RT_END_REPLICATED when every replica that is known had acknowledged within RT_STORE_WAIT_MS:
 *   those that a majority of the Sentinels knows, or that the map of a cluster names or are connected, one at least
 *   where any primary of it ever had one; without either those that are listed or were ever connected.
 *   Any of them may be the next primary. Else RT_END_STORED, and `unsure` if any is known; then `spread` when all that
 *   are connected have it, one at least. The same end again is answered alike; another one of the same life changes
 *   nothing: RT_END_OTHER. A record that is missing is RT_ENOTFOUND (claim first: then it has an owner again). So is,
 *   for an end that is offered `again`, a record that has not ended (any more): nothing is written, as its tails would
 *   be missing.
 * - TAILS of a session that has neither ended nor been lost for RT_LEASE_MS is RT_ENOTFOUND.
 * - FIND pages are not a snapshot (struct rt_store_cursor, rt_store_op.every). A page may be empty and yet have a
 *   cursor. */
RT_MUST_CHECK int rt_store_submit(struct rt_store *store, const struct rt_store_op *op);

/* How many sessions this agent serves, and whether its host drains, for its row in the registry. */
void rt_store_set_self(struct rt_store *store, uint64_t sessions, bool drains);

/* Ends it all: replies owed come with RT_ECANCELED from within; the struct is free in `closed`. From any callback. */
void rt_store_stop(struct rt_store *store, void (*closed)(struct rt_store *store));

#define RT_STORE_WAIT_MS UINT64_C(500)
#define RT_TAILS_HOST_BYTES (UINT64_C(16) << 20)
#define RT_TAILS_ALL_BYTES (UINT64_C(32) << 20)

#endif
