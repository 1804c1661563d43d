/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/transport/buf.h"

#include <assert.h>
#include <stdlib.h>

void rt_buf_pool_init(struct rt_buf_pool *pool)
{
    *pool = (struct rt_buf_pool){0};
}

void rt_buf_pool_close(struct rt_buf_pool *pool)
{
    if (pool->reader != NULL) {
        rt_buf_unref(pool->reader);
        pool->reader = NULL;
    }
    assert(pool->n_live == 0);
    while (pool->free != NULL) {
        struct rt_buf *buf = pool->free;
        pool->free = buf->next;
        free(buf);
    }
    pool->n_free = 0;
}

struct rt_buf *rt_buf_get(struct rt_buf_pool *pool)
{
    struct rt_buf *buf = pool->free;
    if (buf != NULL) {
        pool->free = buf->next;
        pool->n_free--;
    } else {
        buf = malloc(sizeof(*buf));
        if (buf == NULL) {
            return NULL;
        }
        buf->pool = pool;
    }
    buf->next = NULL;
    buf->refs = 1;
    pool->n_live++;
    return buf;
}

struct rt_buf *rt_buf_ref(struct rt_buf *buf)
{
    assert(buf->refs > 0);
    buf->refs++;
    return buf;
}

void rt_buf_unref(struct rt_buf *buf)
{
    struct rt_buf_pool *pool = buf->pool;

    assert(buf->refs > 0);
    if (--buf->refs > 0) {
        return;
    }
    pool->n_live--;
    if (pool->n_free == RT_BUF_FREE_MAX) {
        free(buf);
        return;
    }
    buf->next = pool->free;
    pool->free = buf;
    pool->n_free++;
}

uint8_t *rt_buf_data(struct rt_buf *buf)
{
    return buf->mem + RT_BUF_HEADROOM;
}

struct rt_buf *rt_buf_reader(struct rt_buf_pool *pool)
{
    if (pool->reader == NULL) {
        pool->reader = rt_buf_get(pool);
    }
    return pool->reader;
}

void rt_buf_settle(struct rt_buf_pool *pool)
{
    if (pool->reader != NULL && pool->reader->refs > 1) {
        rt_buf_unref(pool->reader);
        pool->reader = NULL;
    }
}
