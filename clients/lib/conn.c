/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/conn.h"

#include "session/base/error.h"

#include <stdlib.h>

void rt_conn_set_init(struct rt_conn_set *set, void *owner, uv_loop_t *loop, const struct rt_conn_ops *ops)
{
    *set = (struct rt_conn_set){.owner = owner, .loop = loop, .ops = ops};
    rt_buf_pool_init(&set->pool);
}

void rt_conn_set_close(struct rt_conn_set *set)
{
    if (set->out != NULL) {
        rt_buf_unref(set->out);
        set->out = NULL;
    }
    rt_buf_pool_close(&set->pool);
}

static void leave(struct rt_conn *conn)
{
    *conn->place = NULL;
    conn->place = NULL;
}

static size_t data_cb(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct rt_conn *conn = link->data;

    (void)buf;
    if (conn->place == NULL) {
        return size;
    }
    conn->set->ops->wake(conn->set->owner);
    return conn->set->ops->input(conn, data, size);
}

static void drain_cb(struct rt_link *link)
{
    struct rt_conn *conn = link->data;

    conn->set->ops->wake(conn->set->owner);
}

/* The connection is over; unless it was given up before, the owner hears why. */
static void close_cb(struct rt_link *link, int reason, const char *text)
{
    struct rt_conn *conn = link->data;
    struct rt_conn_set *set = conn->set;

    if (conn->place != NULL) {
        leave(conn);
        set->ops->lost(conn, text[0] != '\0' ? text : rt_strerror(reason));
        set->ops->wake(set->owner);
    }
    set->n--;
    free(conn);
    set->ops->freed(set->owner); /* may free the set */
}

static void ready_cb(struct rt_link *link, const char *peer)
{
    struct rt_conn *conn = link->data;
    char why[RT_LINK_TEXT_MAX];

    if (conn->place == NULL) {
        return;
    }
    if (!conn->set->ops->connected(conn, peer, why, sizeof(why))) {
        rt_link_close(link, RT_LINK_NOW, RT_EAUTH, why);
        return;
    }
    conn->up = true;
    conn->set->ops->wake(conn->set->owner);
}

static void open_cb(struct rt_link *link)
{
    if (!link->wire.ops->handshake) {
        ready_cb(link, NULL);
    }
}

void rt_conn_dial(struct rt_conn *conn, struct rt_conn_set *set, struct rt_conn **place,
                  const struct rt_endpoint *endpoint, const struct rt_wire_setup *wire)
{
    static const struct rt_link_ops ops = {
        .on_ready = ready_cb, .on_data = data_cb, .on_drain = drain_cb, .on_close = close_cb};
    struct rt_link_setup setup = {.loop = set->loop, .pool = &set->pool, .ops = &ops};

    if (wire != NULL) {
        setup.wire = *wire;
    }
    conn->set = set;
    conn->place = place;
    conn->to.link.data = conn;
    *place = conn;
    set->n++;
    rt_dialled_start(&conn->to, endpoint, 0, &setup, open_cb);
}

void rt_conn_hangup(struct rt_conn *conn, enum rt_link_how how, const char *reason)
{
    leave(conn);
    rt_dialled_close(&conn->to, how, RT_OK, reason);
}

bool rt_conn_pump(struct rt_conn *conn)
{
    struct rt_conn_set *set = conn->set;

    for (unsigned i = 0; i < RT_CONN_BUFFERS_MAX; i++) {
        uv_buf_t piece;
        size_t size;

        if (!conn->up || conn->to.link.state != RT_LINK_OPEN || rt_link_queued(&conn->to.link) > 0) {
            return false; /* the link, or its drain, wakes the owner */
        }
        /* A link keeps the buffer while it has not sent all of it. */
        if (set->out != NULL && set->out->refs > 1) {
            rt_buf_unref(set->out);
            set->out = NULL;
        }
        if (set->out == NULL && (set->out = rt_buf_get(&set->pool)) == NULL) {
            return true;
        }
        size = set->ops->output(conn, rt_buf_data(set->out), RT_BUF_SIZE);
        if (size == 0) {
            return false;
        }
        piece = uv_buf_init((char *)rt_buf_data(set->out), (unsigned)size);
        if (rt_link_writev(&conn->to.link, set->out, &piece, 1) != RT_OK) {
            return false; /* its close callback comes */
        }
    }
    return true;
}
