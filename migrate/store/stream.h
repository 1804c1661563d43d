/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_STREAM_H
#define RETETHER_MIGRATE_STORE_STREAM_H

#include "session/base/endpoint.h"
#include "session/base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/* The socket of one dial, for redis.c. */

#define RT_REDIS_TEXT_MAX 128

struct rt_redis_stream;

/* Calls to its owner, until rt_redis_stream_close(). */
struct rt_redis_stream_ops {
    void (*connected)(void *ctx);
    void (*received)(void *ctx, const char *data, size_t size);
    void (*over)(void *ctx, const char *why); /* it could not be dialled, or is lost; why: < RT_REDIS_TEXT_MAX */
};

/* Dials; NULL without memory. Ends in connected() or over(). */
struct rt_redis_stream *rt_redis_stream_dial(uv_loop_t *loop, const struct rt_endpoint *endpoint, uint64_t timeout_ms,
                                             const struct rt_redis_stream_ops *ops, void *ctx);
/* Sends or queues all, or nothing when it returns a code. Only once connected. */
RT_MUST_CHECK int rt_redis_stream_write(struct rt_redis_stream *stream, const char *data, size_t size);
/* Bytes written that the kernel has not taken. */
size_t rt_redis_stream_unsent(const struct rt_redis_stream *stream);
void rt_redis_stream_close(struct rt_redis_stream *stream);

#endif
