/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_TRANSPORT_BUF_H
#define RETETHER_SESSION_TRANSPORT_BUF_H

#include "session/base/error.h"
#include "session/core/frame.h"

#include <stddef.h>
#include <stdint.h>

/* Reference-counted read buffers from a pool, one pool a loop. Fresh pages are dear and a read below 256 KiB costs more
 * CPU a byte, so one warm buffer, the reader, serves every link of the loop; it is replaced only when somebody kept a
 * reference. */

#define RT_BUF_SIZE ((size_t)256 * 1024)
/* The longest incomplete frame: what a link may carry from one read to the next. */
#define RT_BUF_CARRY_MAX ((size_t)RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX)
/* Before the read position: room for a carried tail and one header that the consumer may write before its data. */
#define RT_BUF_HEADROOM (RT_BUF_CARRY_MAX + RT_FRAME_HEADER)
/* Free buffers that a pool keeps; one more goes back to malloc. */
#define RT_BUF_FREE_MAX 16

struct rt_buf_pool;

struct rt_buf {
    struct rt_buf_pool *pool;
    struct rt_buf *next; /* in the pool's free list */
    unsigned refs;
    uint8_t mem[RT_BUF_HEADROOM + RT_BUF_SIZE];
};

struct rt_buf_pool {
    struct rt_buf *free; /* owned list */
    unsigned n_free;
    unsigned n_live;       /* with a reference, the reader included */
    struct rt_buf *reader; /* owned reference, or NULL: what the next read of any link goes into */
};

void rt_buf_pool_init(struct rt_buf_pool *pool);
/* Every link of the pool must be closed before. */
void rt_buf_pool_close(struct rt_buf_pool *pool);

/* A buffer with one reference, or NULL when memory is short. */
struct rt_buf *rt_buf_get(struct rt_buf_pool *pool);
struct rt_buf *rt_buf_ref(struct rt_buf *buf);
void rt_buf_unref(struct rt_buf *buf);

/* The read position: RT_BUF_HEADROOM bytes lie before it, RT_BUF_SIZE from it on. */
uint8_t *rt_buf_data(struct rt_buf *buf);

/* The loop's reader, or NULL when memory is short. The pool keeps its reference. */
struct rt_buf *rt_buf_reader(struct rt_buf_pool *pool);
/* After a read: lets go of a reader that somebody else references too, so that nobody overwrites its bytes. */
void rt_buf_settle(struct rt_buf_pool *pool);

#endif
