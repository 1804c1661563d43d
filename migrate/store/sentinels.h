/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_SENTINELS_H
#define RETETHER_MIGRATE_STORE_SENTINELS_H

#include "migrate/core/primary.h"
#include "migrate/store/redis.h"
#include "session/base/log.h"

/* The Sentinels of a store. Each has two connections: one on which it is asked each second who the primary is, and one
 * that listens to its +switch-master, upon which all are asked at once (a subscribed connection can ask nothing).
 * migrate/core/primary.h chooses by what they say. */

#define RT_SENTINELS_POLL_MS 1000
/* With fewer the loss of one leaves no majority: they are warned of. */
#define RT_SENTINELS_LEAST 3
/* One that has had no answer from the primary for so long does not see it alive. */
#define RT_SENTINELS_SILENT_MS 3000

/* Bytes of what one denies, as it is kept; and how long that counts after it was said last. */
#define RT_SENTINEL_DENIED_MAX 96
#define RT_SENTINEL_DENIED_MS (UINT64_C(5) * RT_SENTINELS_POLL_MS)

struct rt_sentinels_config {
    const struct rt_store_endpoint *endpoints; /* copied; all with the same master */
    size_t n_endpoints;                        /* 1 to RT_SENTINELS_MAX */
    uint64_t call_timeout_ms, connect_timeout_ms;
    const char *login_file, *host; /* as rt_redis_config; they live as long as this */
    struct rt_wire_setup secure;
    void *ctx;
    /* The primary is there from now on; comes for another place only. */
    void (*on_primary)(void *ctx, const struct rt_store_endpoint *place);
    /* None is known, as no Sentinel names one; comes again and again. */
    void (*on_none)(void *ctx, const char *why);
    void (*on_log)(void *ctx, enum rt_log_level level, const char *text);
};

struct rt_sentinels;

struct rt_sentinel {
    struct rt_sentinels *all;
    struct rt_redis ask, hints;
    struct rt_primary_answer answer; /* what has come of the one that is under way */
    bool has_epoch;
    char denied[RT_SENTINEL_DENIED_MAX]; /* what it does not allow, in its words, when that was said last; "" */
    uint64_t denied_at;                  /* loop time of that */
};

struct rt_sentinels {
    struct rt_sentinels_config config;
    char master[RT_MASTER_NAME_MAX + 1];
    bool tls; /* of the servers that they name, as of their own */
    struct rt_primary primary;
    struct rt_sentinel one[RT_SENTINELS_MAX];
    uv_timer_t timer;
    uv_loop_t *loop;
    bool agreed; /* a majority named the primary, when they were heard last */
    unsigned open_parts;
    bool stopping;
    void (*closed)(struct rt_sentinels *sentinels);
};

RT_MUST_CHECK int rt_sentinels_init(struct rt_sentinels *sentinels, uv_loop_t *loop,
                                    const struct rt_sentinels_config *config);
void rt_sentinels_start(struct rt_sentinels *sentinels);
/* Asks all at once, as the primary may have changed. */
void rt_sentinels_ask(struct rt_sentinels *sentinels);
/* The server at this place says that it is the primary; it does not, or cannot be reached. */
void rt_sentinels_held(struct rt_sentinels *sentinels, const char *place);
void rt_sentinels_lost(struct rt_sentinels *sentinels, const char *place);
/* Whether a majority names the primary that was chosen, and has seen it alive for RT_PRIMARY_SURE_MS. */
bool rt_sentinels_sure(const struct rt_sentinels *sentinels);
/* Replicas that a majority of them knows of, connected or not; 1 at least, as Sentinels are for nothing without. */
uint64_t rt_sentinels_replicas(const struct rt_sentinels *sentinels);
/* What one of them does not let the agent do, in its words; or NULL. */
const char *rt_sentinels_denied(const struct rt_sentinels *sentinels);
/* Closes all; the struct is free in `closed`. */
void rt_sentinels_stop(struct rt_sentinels *sentinels, void (*closed)(struct rt_sentinels *sentinels));

#endif
