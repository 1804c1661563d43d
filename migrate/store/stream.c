/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/stream.h"

#include "session/transport/dialer.h"
#include "session/transport/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The socket of one dial: it is freed when its owner has closed it and nothing of it is under way any more, which may
 * be after the owner has begun the next one. */
struct rt_redis_stream {
    const struct rt_redis_stream_ops *ops;
    void *owner; /* NULL once closed */
    enum { DIALLING, CONNECTED, OVER } phase;
    union {
        struct rt_dialer dialer;
        struct rt_link link;
    } at;
    struct rt_buf_pool pool;
};

static void free_stream(struct rt_redis_stream *stream)
{
    rt_buf_pool_close(&stream->pool);
    free(stream);
}

/* Nothing is under way any more. */
static void over(struct rt_redis_stream *stream, const char *what, const char *why)
{
    char text[RT_REDIS_TEXT_MAX];

    stream->phase = OVER;
    if (!stream->owner) {
        free_stream(stream);
        return;
    }
    snprintf(text, sizeof(text), "%s%s", what, why);
    stream->ops->over(stream->owner, text);
}

void rt_redis_stream_close(struct rt_redis_stream *stream)
{
    stream->owner = NULL;
    switch (stream->phase) {
    case DIALLING:
        rt_dialer_cancel(&stream->at.dialer);
        return;
    case CONNECTED:
        rt_link_close(&stream->at.link, RT_LINK_NOW, RT_ECANCELED, "");
        return;
    case OVER:
        free_stream(stream);
        return;
    }
}

static size_t data_cb(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct rt_redis_stream *stream = link->data;

    (void)buf;
    stream->ops->received(stream->owner, (const char *)data, size);
    return size;
}

static void close_cb(struct rt_link *link, int reason, const char *text)
{
    (void)reason;
    over(link->data, "", text);
}

static void dialled_cb(struct rt_dialer *dialer, int status, int fd, const char *text)
{
    static const struct rt_link_ops ops = {.on_data = data_cb, .on_close = close_cb};
    struct rt_redis_stream *stream = dialer->data;
    struct rt_link_setup setup = {
        .loop = dialer->timer.loop, .pool = &stream->pool, .ops = &ops, .wire.side = RT_WIRE_DIALLED};

    if (status == 0 && !stream->owner) {
        (void)close(fd);
    }
    if (status || !stream->owner) {
        over(stream, "connect: ", text + dialer->why_at);
        return;
    }
    stream->at.link.data = stream;
    if (rt_link_open(&stream->at.link, fd, &setup)) {
        (void)close(fd);
        over(stream, "connect: ", "no stream socket");
        return;
    }
    stream->phase = CONNECTED;
    stream->ops->connected(stream->owner);
}

struct rt_redis_stream *rt_redis_stream_dial(uv_loop_t *loop, const struct rt_endpoint *endpoint, uint64_t timeout_ms,
                                             const struct rt_redis_stream_ops *ops, void *ctx)
{
    struct rt_redis_stream *stream = malloc(sizeof(*stream));

    if (!stream) {
        return NULL;
    }
    stream->ops = ops;
    stream->owner = ctx;
    stream->phase = DIALLING;
    rt_buf_pool_init(&stream->pool);
    stream->at.dialer.data = stream;
    rt_dialer_start(&stream->at.dialer, loop, endpoint, timeout_ms, dialled_cb);
    return stream;
}

int rt_redis_stream_write(struct rt_redis_stream *stream, const char *data, size_t size)
{
    uv_buf_t piece = uv_buf_init((char *)(uintptr_t)data, (unsigned)size);

    return stream->phase == CONNECTED ? rt_link_writev(&stream->at.link, NULL, &piece, 1) : RT_ECONN;
}

size_t rt_redis_stream_unsent(const struct rt_redis_stream *stream)
{
    return stream->phase == CONNECTED ? rt_link_queued(&stream->at.link) : 0;
}
