/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/transport/dialer.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A handle, or the lookup, is over. */
static void release(struct rt_dialer *dialer)
{
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

static void closed_cb(uv_handle_t *handle)
{
    release(handle->data);
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

static void attempt(struct rt_dialer *dialer);

/* The poll handle of the address before is closed. */
static void again_cb(uv_handle_t *handle)
{
    struct rt_dialer *dialer = handle->data;

    if (dialer->ending) {
        release(dialer);
        return;
    }
    dialer->open_handles--;
    attempt(dialer);
}

/* This address will not do: the next one of the name is tried, if there is one. */
static void fail_with(struct rt_dialer *dialer, int status, const char *why)
{
    if (dialer->ending || dialer->at + 1 >= dialer->n_addrs) {
        finish(dialer, status, why);
        return;
    }
    dialer->at++;
    if (dialer->fd >= 0) {
        (void)close(dialer->fd);
        dialer->fd = -1;
    }
    (void)uv_timer_stop(&dialer->timer);
    if (dialer->polling) {
        dialer->polling = false;
        uv_close((uv_handle_t *)&dialer->poll, again_cb);
    } else {
        attempt(dialer);
    }
}

static void fail(struct rt_dialer *dialer, int error)
{
    fail_with(dialer, rt_transport_code(error), strerror(error));
}

static void timeout_cb(uv_timer_t *timer)
{
    fail_with(timer->data, RT_ETIMEDOUT, "no answer in time");
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

/* Connects to the endpoint's own address, or to the one of its name whose turn it is. */
static void attempt(struct rt_dialer *dialer)
{
    const struct rt_endpoint *endpoint = &dialer->endpoint;
    bool named = dialer->n_addrs > 0;
    const struct sockaddr *addr = named ? (const struct sockaddr *)&dialer->addrs[dialer->at] : &endpoint->addr.any;
    uint64_t now = uv_now(dialer->timer.loop), left = dialer->until > now ? dialer->until - now : 0;
    socklen_t size = !named                        ? endpoint->size
                     : addr->sa_family == AF_INET6 ? (socklen_t)sizeof(struct sockaddr_in6)
                                                   : (socklen_t)sizeof(struct sockaddr_in);
    int err;

    dialer->fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (dialer->fd < 0) {
        fail(dialer, errno);
        return;
    }
    /* EAGAIN is a unix listener with a full backlog: nothing is under way then. */
    if (connect(dialer->fd, addr, size) != 0 && errno != EINPROGRESS) {
        fail(dialer, errno);
        return;
    }
    err = uv_poll_init(dialer->timer.loop, &dialer->poll, dialer->fd);
    if (err != 0) {
        fail(dialer, -err);
        return;
    }
    dialer->polling = true;
    dialer->open_handles++;
    (void)uv_poll_start(&dialer->poll, UV_WRITABLE, connected_cb);
    (void)uv_timer_start(&dialer->timer, timeout_cb, named ? left / (dialer->n_addrs - dialer->at) : left, 0);
}

static void found_cb(uv_getaddrinfo_t *lookup, int status, struct addrinfo *list)
{
    struct rt_dialer *dialer = lookup->data;

    for (const struct addrinfo *at = list; at != NULL && dialer->n_addrs < RT_DIALER_ADDRS_MAX; at = at->ai_next) {
        if (at->ai_addrlen <= sizeof(dialer->addrs[0])) {
            memcpy(&dialer->addrs[dialer->n_addrs++], at->ai_addr, at->ai_addrlen);
        }
    }
    if (list != NULL) {
        dialer->names->release(list);
    }
    if (dialer->ending) {
        release(dialer);
        return;
    }
    dialer->open_handles--;
    if (dialer->n_addrs > 0) {
        attempt(dialer);
    } else {
        finish(dialer, RT_ECONN, status == 0 ? "the name has no address" : uv_strerror(status));
    }
}

static void look_up(struct rt_dialer *dialer)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    char port[8];
    int err;

    (void)snprintf(port, sizeof(port), "%u", dialer->endpoint.port);
    dialer->lookup.data = dialer;
    err = dialer->names == NULL
              ? UV_EINVAL
              : dialer->names->get(dialer->timer.loop, &dialer->lookup, found_cb, dialer->endpoint.name, port, &hints);
    if (err != 0) {
        finish(dialer, err == UV_ENOMEM ? RT_ENOMEM : RT_EINVAL, "the name cannot be looked up");
        return;
    }
    dialer->open_handles++;
    (void)uv_timer_start(&dialer->timer, timeout_cb, dialer->until - uv_now(dialer->timer.loop), 0);
}

void rt_dialer_start(struct rt_dialer *dialer, uv_loop_t *loop, const struct rt_endpoint *endpoint, uint64_t timeout_ms,
                     rt_dialer_cb cb)
{
    const struct rt_dialer_names *names = dialer->names;
    void *data = dialer->data;

    memset(dialer, 0, sizeof(*dialer));
    dialer->data = data;
    dialer->names = names;
    dialer->endpoint = *endpoint;
    dialer->cb = cb;
    dialer->fd = -1;
    (void)uv_timer_init(loop, &dialer->timer);
    dialer->timer.data = dialer;
    dialer->poll.data = dialer;
    dialer->open_handles = 1;
    dialer->until = uv_now(loop) + (timeout_ms == 0 ? RT_DIALER_TIMEOUT_MS : timeout_ms);
    if (endpoint->name[0] != '\0') {
        look_up(dialer);
    } else {
        attempt(dialer);
    }
}

void rt_dialer_cancel(struct rt_dialer *dialer)
{
    if (dialer->open_handles > 0) {
        finish(dialer, RT_ECANCELED, "canceled");
    }
}
