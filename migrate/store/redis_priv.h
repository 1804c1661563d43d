/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_REDIS_PRIV_H
#define RETETHER_MIGRATE_STORE_REDIS_PRIV_H

#include "migrate/store/redis.h"

/* Between redis.c (calls, states) and stream.c (the socket of one dial). */

struct rt_redis_call {
    struct rt_redis_call *next;
    rt_redis_cb cb; /* NULL: timed out, or nobody cares */
    void *ctx;
    uint64_t limit_ms; /* loop time */
};

/* Dials; NULL without memory. Ends in rt_redis_connected() or rt_redis_drop(). */
struct rt_redis_stream *rt_redis_stream_dial(struct rt_redis *redis, const struct rt_endpoint *endpoint);
/* Sends or queues all, or nothing when it returns a code. Only once connected. */
RT_MUST_CHECK int rt_redis_stream_write(struct rt_redis_stream *stream, const char *data, size_t size);
/* Bytes written that the kernel has not taken. */
size_t rt_redis_stream_unsent(const struct rt_redis_stream *stream);
/* No call to its owner after this. */
void rt_redis_stream_close(struct rt_redis_stream *stream);

void rt_redis_connected(struct rt_redis *redis);
void rt_redis_received(struct rt_redis *redis, const char *data, size_t size);
void rt_redis_timer_cb(uv_timer_t *timer);
void rt_redis_flush_cb(uv_idle_t *idle);
struct rt_redis *rt_redis_of_timer(uv_timer_t *timer);
struct rt_redis *rt_redis_of_flusher(uv_idle_t *idle);

#endif
