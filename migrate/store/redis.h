/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_REDIS_H
#define RETETHER_MIGRATE_STORE_REDIS_H

#include "migrate/store/args.h"
#include "migrate/store/calls.h"
#include "migrate/store/places.h"
#include "migrate/store/resp.h"
#include "migrate/store/stream.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <uv.h>

/* One connection to a server, dialled again for ever: a link as any other, hiredis only as the codec.
 *
 *     WAITING --timer--> DIALLING --connected--> GREETING --TLS, AUTH, ROLE is as wanted--> READY
 *        ^                  |                       |                                         |
 *        +------------------+-----------------------+-------------- any failure --------------+
 *
 * Every reconnect tries the endpoints in turn (places.h). A connection that is *aimed* has one endpoint, which its
 * owner sets, or none: then it waits. Calls are pipelined and answered in order. All states but READY refuse calls.
 *
 * A primary that has become a replica answers a write with READONLY: the connection is given up. One that answers
 * NOREPLICAS, MISCONF, LOADING or MASTERDOWN may be one that others have been put in the place of: it is asked for its
 * role once more, and its owner is told (on_doubt). */

#define RT_REDIS_CONNECT_MS 1000 /* defaults */
#define RT_REDIS_CALL_MS 1000
/* Bytes of calls not yet taken by the kernel. One call more is RT_ELIMIT. */
#define RT_REDIS_QUEUE_MAX ((size_t)16 << 20)
#define RT_REDIS_TEXT_MAX 256
#define RT_REDIS_ANY_ROLE ""
/* Dials that were given up and have not ended: the lookup of a name ends when the resolver wants. With so many there is
 * no further dial. */
#define RT_REDIS_STREAMS_MAX 4

struct rt_redis_config {
    const struct rt_store_endpoint *endpoints; /* copied */
    size_t n_endpoints;                        /* 0: aimed */
    const char *role; /* what ROLE must say; NULL: "master"; or RT_REDIS_ANY_ROLE. Lives as long as the connection */
    const char *login_file;      /* login.h; or NULL. Lives as long as the connection */
    struct rt_wire_setup secure; /* ops and context, for endpoints with TLS */
    const char *host, *task;     /* what the server shows it as: retetherd-HOST/TASK; or NULL */
    uint64_t call_timeout_ms;    /* 0: RT_REDIS_CALL_MS */
    uint64_t connect_timeout_ms; /* 0: RT_REDIS_CONNECT_MS */
    bool pubsub;                 /* "message" replies go to on_push */
    void *ctx;
    void (*on_ready)(void *ctx);                 /* or NULL */
    void (*on_down)(void *ctx, const char *why); /* or NULL; after the calls under way have had their callbacks */
    void (*on_push)(void *ctx, const redisReply *reply);
    void (*on_doubt)(void *ctx); /* or NULL */
};

enum rt_redis_state {
    RT_REDIS_IDLE,
    RT_REDIS_WAITING,
    RT_REDIS_DIALLING,
    RT_REDIS_GREETING,
    RT_REDIS_READY,
    RT_REDIS_STOPPED,
};

struct rt_redis {
    uv_loop_t *loop;
    struct rt_redis_config config;
    enum rt_redis_state state;

    struct rt_stream *stream; /* of the dial under way, or NULL */
    struct rt_buf_pool pool;  /* of all its streams */
    struct rt_places places;
    char where[RT_STORE_ENDPOINT_TEXT_MAX]; /* the endpoint that was dialled last */
    char user[RT_LOGIN_USER_MAX + 1];       /* as whom it has logged in there */
    uint64_t ready_ms;                      /* loop time */
    uint64_t limit_ms;                      /* loop time at which dialling, asking or greeting has failed */

    /* out */
    char *out; /* owned */
    size_t out_size, out_cap;
    uv_idle_t flusher;

    /* in */
    redisReader *reader; /* owned */
    struct rt_resp guard;

    struct rt_redis_calls calls;
    bool looked;  /* what is due has had its turn more */
    bool doubted; /* its role is being asked for once more */
    bool doomed;  /* drop at the next chance; why tells the reason */
    char why[RT_REDIS_TEXT_MAX];
    uv_timer_t timer;
    unsigned open_parts; /* streams, timer and flusher that are not closed */
    void (*closed)(struct rt_redis *redis);
};

/* Returns 0, RT_EINVAL or RT_EIO. Afterwards only rt_redis_stop() gives the handles back. */
RT_MUST_CHECK int rt_redis_init(struct rt_redis *redis, uv_loop_t *loop, const struct rt_redis_config *config);
void rt_redis_start(struct rt_redis *redis);

/* Sends a call; flushed with all others of this turn of the loop. Returns 0, then cb (may be NULL) comes
 * exactly once, later; or RT_EUNAVAIL, RT_ELIMIT, RT_ENOMEM, then never. */
RT_MUST_CHECK int rt_redis_call(struct rt_redis *redis, const struct rt_redis_args *args, rt_redis_cb cb, void *ctx);

/* The same with a call that redisFormatCommandArgv() has made already. */
RT_MUST_CHECK int rt_redis_send(struct rt_redis *redis, const char *command, size_t size, rt_redis_cb cb, void *ctx);

/* Of one that is aimed: it goes to this endpoint from now on; NULL: to none. A connection to another one is given up.
 */
void rt_redis_aim(struct rt_redis *redis, const struct rt_store_endpoint *endpoint);

/* The endpoint in use or tried last, for the log. */
const char *rt_redis_where(const struct rt_redis *redis);
/* The endpoint of a connection that is READY. */
const struct rt_store_endpoint *rt_redis_at(const struct rt_redis *redis);

/* Gives the connection up soon, and dials again. From any callback. */
void rt_redis_drop(struct rt_redis *redis, const char *why);

/* Fails all calls with RT_ECANCELED (from within), closes all; the struct is free in `closed`. */
void rt_redis_stop(struct rt_redis *redis, void (*closed)(struct rt_redis *redis));

#endif
