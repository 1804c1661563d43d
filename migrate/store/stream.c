/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void gone(struct rt_stream *stream)
{
    const struct rt_stream_ops *ops = stream->setup.ops;
    void *owner = stream->setup.owner;

    explicit_bzero(&stream->login, sizeof(stream->login));
    free(stream);
    ops->on_gone(owner);
}

static void end(struct rt_stream *stream, const char *why)
{
    if (!stream->forgotten) {
        stream->forgotten = true;
        stream->setup.ops->on_end(stream->setup.owner, why);
    }
    gone(stream);
}

static void open_cb(struct rt_link *link)
{
    struct rt_stream *stream = link->data;

    stream->setup.ops->on_open(stream->setup.owner);
}

static size_t data_cb(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct rt_stream *stream = link->data;

    (void)buf;
    if (!stream->forgotten) {
        stream->setup.ops->on_data(stream->setup.owner, (const char *)data, size);
    }
    return size;
}

static void close_cb(struct rt_link *link, int reason, const char *text)
{
    struct rt_stream *stream = link->data;
    char why[RT_DIALER_TEXT_MAX];

    (void)reason;
    if (stream->at.phase == RT_DIALLED_DIALLING) {
        snprintf(why, sizeof(why), "connect: %s", text + stream->at.dialer.why_at);
        text = why;
    }
    end(stream, text);
}

static void dial(struct rt_stream *stream)
{
    static const struct rt_link_ops ops = {.on_data = data_cb, .on_close = close_cb};
    static const struct rt_dialer_names names = {.get = uv_getaddrinfo, .release = uv_freeaddrinfo};
    const struct rt_stream_setup *setup = &stream->setup;
    struct rt_link_setup link = {.loop = setup->loop, .pool = setup->pool, .ops = &ops};

    if (stream->endpoint.tls) {
        link.wire = setup->secure;
        link.wire.expect = stream->endpoint.host;
    }
    stream->at.link.data = stream;
    stream->at.dialer.names = &names;
    rt_dialled_start(&stream->at, &stream->endpoint.at, setup->timeout_ms, &link, open_cb);
}

static void read_cb(uv_work_t *work)
{
    struct rt_stream *stream = work->data;

    stream->error = rt_login_read(&stream->login, stream->setup.login_file, stream->why, sizeof(stream->why));
}

static void read_done_cb(uv_work_t *work, int status)
{
    struct rt_stream *stream = work->data;

    (void)status; /* nothing is cancelled */
    stream->reading = false;
    if (stream->error == 0 && !stream->forgotten) {
        dial(stream);
    } else {
        end(stream, stream->why);
    }
}

struct rt_stream *rt_stream_start(const struct rt_stream_setup *setup)
{
    struct rt_stream *stream = calloc(1, sizeof(*stream));

    if (stream == NULL) {
        return NULL;
    }
    stream->setup = *setup;
    stream->endpoint = *setup->endpoint;
    if (setup->login_file == NULL) {
        dial(stream);
        return stream;
    }
    stream->reading = true;
    stream->work.data = stream;
    (void)uv_queue_work(setup->loop, &stream->work, read_cb, read_done_cb); /* fails for want of a callback alone */
    return stream;
}

void rt_stream_forget(struct rt_stream *stream)
{
    stream->forgotten = true;
    if (!stream->reading) {
        rt_dialled_close(&stream->at, RT_LINK_NOW, RT_ECANCELED, "");
    }
}
