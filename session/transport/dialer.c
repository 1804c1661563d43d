/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/transport/dialer.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void closed_cb(uv_handle_t *handle)
{
    struct rt_dialer *dialer = handle->data;
    char text[RT_DIALER_TEXT_MAX];
    int fd = dialer->fd;

    if (--dialer->open_handles > 0) {
        return;
    }
    /* The callback may start the dialer again: nothing of it is used after this. */
    memcpy(text, dialer->text, sizeof(text));
    dialer->fd = -1;
    dialer->ending = false;
    dialer->cb(dialer, dialer->status, fd, text);
}

/* Decides the attempt. The poll handle is closed before the descriptor is handed on, or libuv would refuse to open it
 * again. */
static void finish(struct rt_dialer *dialer, int status, const char *why)
{
    char where[RT_ENDPOINT_TEXT_MAX];

    if (dialer->ending) {
        return;
    }
    dialer->ending = true;
    dialer->status = status;
    if (status != 0) {
        rt_endpoint_print(&dialer->endpoint, where, sizeof(where));
        (void)snprintf(dialer->text, sizeof(dialer->text), "connect to %s: %s", where, why);
        dialer->why_at = strlen("connect to ") + strlen(where) + strlen(": ");
    }
    if (dialer->polling) {
        dialer->polling = false;
        uv_close((uv_handle_t *)&dialer->poll, closed_cb);
    }
    uv_close((uv_handle_t *)&dialer->timer, closed_cb);
    if (status != 0 && dialer->fd >= 0) {
        (void)close(dialer->fd);
        dialer->fd = -1;
    }
}

static void fail(struct rt_dialer *dialer, int error)
{
    finish(dialer, rt_transport_code(error), strerror(error));
}

static void timeout_cb(uv_timer_t *timer)
{
    finish(timer->data, RT_ETIMEDOUT, "no answer in time");
}

static void connected_cb(uv_poll_t *poll, int status, int events)
{
    struct rt_dialer *dialer = poll->data;
    int error = 0;
    socklen_t size = sizeof(error);

    (void)events;
    (void)status; /* an error event says no more than SO_ERROR */
    if (getsockopt(dialer->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    if (error != 0) {
        fail(dialer, error);
    } else if (status == 0) {
        finish(dialer, 0, "");
    } else {
        fail(dialer, -status);
    }
}

void rt_dialer_start(struct rt_dialer *dialer, uv_loop_t *loop, const struct rt_endpoint *endpoint, uint64_t timeout_ms,
                     rt_dialer_cb cb)
{
    void *data = dialer->data;
    int err;

    memset(dialer, 0, sizeof(*dialer));
    dialer->data = data;
    dialer->endpoint = *endpoint;
    dialer->cb = cb;
    (void)uv_timer_init(loop, &dialer->timer);
    dialer->timer.data = dialer;
    dialer->poll.data = dialer;
    dialer->open_handles = 1;
    dialer->fd = socket(endpoint->addr.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (dialer->fd < 0) {
        fail(dialer, errno);
        return;
    }
    /* EAGAIN is a unix listener with a full backlog: nothing is under way then. */
    if (connect(dialer->fd, &endpoint->addr.any, endpoint->size) != 0 && errno != EINPROGRESS) {
        fail(dialer, errno);
        return;
    }
    err = uv_poll_init(loop, &dialer->poll, dialer->fd);
    if (err != 0) {
        fail(dialer, -err);
        return;
    }
    dialer->polling = true;
    dialer->open_handles = 2;
    (void)uv_poll_start(&dialer->poll, UV_WRITABLE, connected_cb);
    (void)uv_timer_start(&dialer->timer, timeout_cb, timeout_ms == 0 ? RT_DIALER_TIMEOUT_MS : timeout_ms, 0);
}

void rt_dialer_cancel(struct rt_dialer *dialer)
{
    if (dialer->open_handles > 0) {
        finish(dialer, RT_ECANCELED, "canceled");
    }
}
