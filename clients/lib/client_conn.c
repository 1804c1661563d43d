/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/client_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The links to agents. Each attempt has its own memory: a connection that the machine gave up may still be closing
 * while the next one is dialled. */

static void conn_free(struct rt_sdk_conn *conn)
{
    struct retether_client *client = conn->client;

    client->n_conns--;
    free(conn);
    rt_sdk_release(client);
}

static void tell(struct retether_client *client, const char *address, const char *reason)
{
    if (client->callbacks.link != NULL && client->phase == RT_SDK_OPEN) {
        client->callbacks.link(client, address, reason, client->callbacks.ctx);
    }
}

static void conn_leave(struct rt_sdk_conn *conn)
{
    conn->current = false;
    conn->client->conns[conn->agent] = NULL;
}

/* The current connection is gone by itself: the machine hears of it once. */
static void conn_lost(struct rt_sdk_conn *conn, const char *reason)
{
    struct retether_client *client = conn->client;

    if (!conn->current) {
        return;
    }
    conn_leave(conn);
    rt_client_lost(client->machine, conn->agent, rt_sdk_now(client));
    rt_sdk_wake(client);
    tell(client, conn->address, reason);
}

static size_t data_cb(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct rt_sdk_conn *conn = link->data;

    (void)buf;
    if (!conn->current) {
        return size;
    }
    rt_sdk_wake(conn->client);
    return rt_client_input(conn->client->machine, conn->agent, data, size, rt_sdk_now(conn->client));
}

static void drain_cb(struct rt_link *link)
{
    struct rt_sdk_conn *conn = link->data;

    rt_sdk_wake(conn->client);
}

static void close_cb(struct rt_link *link, int reason, const char *text)
{
    struct rt_sdk_conn *conn = link->data;

    conn_lost(conn, text != NULL && text[0] != '\0' ? text : rt_strerror(reason));
    conn_free(conn);
}

static const struct rt_link_ops link_ops = {.on_data = data_cb, .on_drain = drain_cb, .on_close = close_cb};

static void dialed_cb(struct rt_dialer *dialer, int status, int fd, const char *text)
{
    struct rt_sdk_conn *conn = dialer->data;
    struct retether_client *client = conn->client;

    if (status == RT_OK && conn->current &&
        rt_link_open_fd(&conn->link, client->loop, &client->pool, fd, &link_ops) == RT_OK) {
        rt_client_connected(client->machine, conn->agent, rt_sdk_now(client));
        rt_sdk_wake(client);
        tell(client, conn->address, NULL);
        return;
    }
    if (fd >= 0) {
        close(fd);
        text = "the connection cannot be used";
    }
    conn_lost(conn, text);
    conn_free(conn);
}

void rt_sdk_conn_dial(struct retether_client *client, const struct rt_client_action *action)
{
    struct rt_sdk_conn *conn = calloc(1, sizeof(*conn));
    char why[RT_DIALER_TEXT_MAX] = "out of memory";

    if (conn == NULL || rt_endpoint_parse(&conn->endpoint, action->addr, why, sizeof(why)) != RT_OK) {
        free(conn);
        rt_client_lost(client->machine, action->agent, rt_sdk_now(client));
        tell(client, action->addr, why);
        return;
    }
    conn->client = client;
    conn->agent = action->agent;
    conn->current = true;
    conn->dialer.data = conn;
    conn->link.data = conn;
    snprintf(conn->address, sizeof(conn->address), "%s", action->addr);
    client->conns[conn->agent] = conn;
    client->n_conns++;
    rt_dialer_start(&conn->dialer, client->loop, &conn->endpoint, 0, dialed_cb);
}

void rt_sdk_conn_hangup(struct retether_client *client, const struct rt_client_action *action)
{
    struct rt_sdk_conn *conn = client->conns[action->agent];

    if (conn == NULL) {
        return;
    }
    conn_leave(conn);
    rt_dialer_cancel(&conn->dialer);
    rt_link_close(&conn->link, RT_LINK_NOW, RT_OK, action->reason);
    tell(client, conn->address, action->reason);
}

void rt_sdk_conn_finish(struct retether_client *client)
{
    for (unsigned i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        struct rt_sdk_conn *conn = client->conns[i];

        if (conn != NULL) {
            conn_leave(conn);
            rt_dialer_cancel(&conn->dialer);
            rt_link_close(&conn->link, RT_LINK_AFTER, RT_OK, "closed by the application");
        }
    }
}

/* Returns whether there may be more that the link would take. */
static bool pump(struct retether_client *client, struct rt_sdk_conn *conn)
{
    for (unsigned i = 0; i < RT_SDK_BUFFERS_MAX; i++) {
        uv_buf_t piece;
        size_t size;

        if (conn->link.state != RT_LINK_OPEN || rt_link_queued(&conn->link) > 0) {
            return false; /* the link, or its drain, wakes the client */
        }
        /* A link keeps the buffer while it has not sent all of it. */
        if (client->out != NULL && client->out->refs > 1) {
            rt_buf_unref(client->out);
            client->out = NULL;
        }
        if (client->out == NULL && (client->out = rt_buf_get(&client->pool)) == NULL) {
            return true;
        }
        size =
            rt_client_output(client->machine, conn->agent, rt_buf_data(client->out), RT_BUF_SIZE, rt_sdk_now(client));
        if (size == 0) {
            return false;
        }
        piece = uv_buf_init((char *)rt_buf_data(client->out), (unsigned)size);
        if (rt_link_writev(&conn->link, client->out, &piece, 1) != RT_OK) {
            return false; /* its close callback comes */
        }
    }
    return true;
}

bool rt_sdk_conn_pump(struct retether_client *client)
{
    bool more = false;

    for (unsigned i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        if (client->conns[i] != NULL && pump(client, client->conns[i])) {
            more = true;
        }
    }
    return more;
}
