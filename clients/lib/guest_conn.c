/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/guest_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The link to the agent. Each attempt has its own memory: a connection that the machine gave up may still be closing
 * while the next one is dialled. */

static void conn_free(struct rt_guest_conn *conn)
{
    struct retether_guest *guest = conn->guest;

    guest->n_conns--;
    free(conn);
    rt_guest_release(guest);
}

/* The current connection is gone by itself: the machine hears of it once. */
static void conn_lost(struct rt_guest_conn *conn, const char *reason)
{
    struct retether_guest *guest = conn->guest;

    if (!conn->current) {
        return;
    }
    conn->current = false;
    guest->conn = NULL;
    snprintf(guest->reason, sizeof(guest->reason), "%s", reason);
    rt_tether_lost(guest->tether, rt_guest_now(guest));
    rt_guest_wake(guest);
}

static size_t data_cb(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct rt_guest_conn *conn = link->data;

    (void)buf;
    if (!conn->current) {
        return size;
    }
    rt_guest_wake(conn->guest);
    return rt_tether_input(conn->guest->tether, data, size, rt_guest_now(conn->guest));
}

static void drain_cb(struct rt_link *link)
{
    struct rt_guest_conn *conn = link->data;

    rt_guest_wake(conn->guest);
}

static void close_cb(struct rt_link *link, int reason, const char *text)
{
    struct rt_guest_conn *conn = link->data;

    conn_lost(conn, text != NULL && text[0] != '\0' ? text : rt_strerror(reason));
    conn_free(conn);
}

static const struct rt_link_ops link_ops = {.on_data = data_cb, .on_drain = drain_cb, .on_close = close_cb};

static void dialed_cb(struct rt_dialer *dialer, int status, int fd, const char *text)
{
    struct rt_guest_conn *conn = dialer->data;
    struct retether_guest *guest = conn->guest;

    if (status == RT_OK && conn->current &&
        rt_link_open_fd(&conn->link, guest->loop, &guest->pool, fd, &link_ops) == RT_OK) {
        rt_tether_connected(guest->tether, rt_guest_now(guest));
        rt_guest_wake(guest);
        return;
    }
    if (fd >= 0) {
        close(fd);
        text = "the connection cannot be used";
    }
    conn_lost(conn, text);
    conn_free(conn);
}

void rt_guest_conn_dial(struct retether_guest *guest)
{
    struct rt_guest_conn *conn = calloc(1, sizeof(*conn));

    if (conn == NULL) {
        snprintf(guest->reason, sizeof(guest->reason), "%s", rt_strerror(RT_ENOMEM));
        rt_tether_lost(guest->tether, rt_guest_now(guest));
        return;
    }
    conn->guest = guest;
    conn->current = true;
    conn->dialer.data = conn;
    conn->link.data = conn;
    guest->conn = conn;
    guest->n_conns++;
    rt_dialer_start(&conn->dialer, guest->loop, &guest->endpoint, 0, dialed_cb);
}

static void conn_close(struct retether_guest *guest, enum rt_link_how how, const char *reason)
{
    struct rt_guest_conn *conn = guest->conn;

    if (conn == NULL) {
        return;
    }
    conn->current = false;
    guest->conn = NULL;
    rt_dialer_cancel(&conn->dialer);
    rt_link_close(&conn->link, how, RT_OK, reason);
}

void rt_guest_conn_hangup(struct retether_guest *guest, const char *reason)
{
    snprintf(guest->reason, sizeof(guest->reason), "%s", reason != NULL ? reason : "");
    conn_close(guest, RT_LINK_NOW, reason);
}

void rt_guest_conn_finish(struct retether_guest *guest)
{
    conn_close(guest, RT_LINK_AFTER, "the container is over");
}

bool rt_guest_conn_pump(struct retether_guest *guest)
{
    for (unsigned i = 0; i < RT_GUEST_BUFFERS_MAX; i++) {
        struct rt_guest_conn *conn = guest->conn;
        uv_buf_t piece;
        size_t size;

        if (conn == NULL || conn->link.state != RT_LINK_OPEN || rt_link_queued(&conn->link) > 0) {
            return false; /* the link, or its drain, wakes the guest */
        }
        /* The link keeps the buffer while it has not sent all of it. */
        if (guest->out != NULL && guest->out->refs > 1) {
            rt_buf_unref(guest->out);
            guest->out = NULL;
        }
        if (guest->out == NULL && (guest->out = rt_buf_get(&guest->pool)) == NULL) {
            return true;
        }
        size = rt_tether_output(guest->tether, rt_buf_data(guest->out), RT_BUF_SIZE, rt_guest_now(guest));
        if (size == 0) {
            return false;
        }
        piece = uv_buf_init((char *)rt_buf_data(guest->out), (unsigned)size);
        if (rt_link_writev(&conn->link, guest->out, &piece, 1) != RT_OK) {
            return false; /* its close callback comes */
        }
    }
    return true;
}
