/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/redis_priv.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_SIZE 65536
#define KEEPALIVE_S 10

struct rt_redis_stream {
    struct rt_redis *owner; /* NULL once closing */
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    uv_connect_t connect;
    char buffer[READ_SIZE];
};

struct write {
    uv_write_t req;
    char *data; /* owned */
};

struct rt_redis *rt_redis_of_timer(uv_timer_t *timer)
{
    return (struct rt_redis *)((char *)timer - offsetof(struct rt_redis, timer));
}

struct rt_redis *rt_redis_of_flusher(uv_idle_t *idle)
{
    return (struct rt_redis *)((char *)idle - offsetof(struct rt_redis, flusher));
}

static void closed_cb(uv_handle_t *handle)
{
    free(handle->data);
}

void rt_redis_stream_close(struct rt_redis_stream *stream)
{
    stream->owner = NULL;
    uv_close(&stream->uv.handle, closed_cb);
}

static void drop(struct rt_redis_stream *stream, const char *what, int status)
{
    char why[RT_REDIS_TEXT_MAX];

    snprintf(why, sizeof why, "%s: %s", what, uv_strerror(status));
    rt_redis_drop(stream->owner, why);
}

static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct rt_redis_stream *stream = handle->data;

    (void)suggested;
    *buf = uv_buf_init(stream->buffer, sizeof stream->buffer);
}

static void read_cb(uv_stream_t *uv, ssize_t size, const uv_buf_t *buf)
{
    struct rt_redis_stream *stream = uv->data;

    if (!stream->owner || stream->owner->doomed) {
        return;
    }
    if (size < 0) {
        drop(stream, "read", (int)size);
    } else if (size > 0) {
        rt_redis_received(stream->owner, buf->base, (size_t)size);
    }
}

static void connect_cb(uv_connect_t *req, int status)
{
    struct rt_redis_stream *stream = req->data;

    if (!stream->owner) {
        return;
    }
    if (status == 0) {
        status = uv_read_start(&stream->uv.stream, alloc_cb, read_cb);
    }
    if (status) {
        drop(stream, "connect", status);
        return;
    }
    rt_redis_connected(stream->owner);
}

struct rt_redis_stream *rt_redis_stream_dial(struct rt_redis *redis, const struct rt_store_endpoint *endpoint)
{
    struct rt_redis_stream *stream = malloc(sizeof *stream);
    bool local = endpoint->path[0] != '\0';
    int rc;

    if (!stream) {
        return NULL;
    }
    stream->owner = redis;
    rc = local ? uv_pipe_init(redis->loop, &stream->uv.pipe, 0) : uv_tcp_init(redis->loop, &stream->uv.tcp);
    if (rc) {
        free(stream);
        return NULL;
    }
    stream->uv.handle.data = stream;
    stream->connect.data = stream;
    if (local) {
        uv_pipe_connect(&stream->connect, &stream->uv.pipe, endpoint->path, connect_cb);
        return stream;
    }
    uv_tcp_nodelay(&stream->uv.tcp, 1);
    uv_tcp_keepalive(&stream->uv.tcp, 1, KEEPALIVE_S);
    if (uv_tcp_connect(&stream->connect, &stream->uv.tcp, (const struct sockaddr *)&endpoint->addr, connect_cb)) {
        rt_redis_stream_close(stream);
        return NULL;
    }
    return stream;
}

static void write_cb(uv_write_t *req, int status)
{
    struct write *write = (struct write *)req;
    struct rt_redis_stream *stream = req->handle->data;

    free(write->data);
    free(write);
    if (!stream->owner) {
        return;
    }
    if (status) {
        drop(stream, "write", status);
    } else {
        rt_redis_written(stream->owner);
    }
}

int rt_redis_stream_write(struct rt_redis_stream *stream, char *data, size_t size)
{
    struct write *write = malloc(sizeof *write);
    uv_buf_t buf = uv_buf_init(data, (unsigned)size);

    if (!write) {
        return RT_ENOMEM;
    }
    write->data = data;
    if (uv_write(&write->req, &stream->uv.stream, &buf, 1, write_cb)) {
        free(write);
        return RT_EIO;
    }
    return 0;
}
