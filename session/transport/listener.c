/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/transport/listener.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const struct rt_listener *listener, int error, const char *what, char *why, size_t why_size)
{
    char where[RT_ENDPOINT_TEXT_MAX];

    rt_endpoint_print(&listener->config.endpoint, where, sizeof(where));
    (void)snprintf(why, why_size, "listen on %s: %s: %s", where, what, strerror(error));
    if (error == ENOENT || error == ENODEV) {
        return RT_EIO; /* who dials and finds that it is not there tries again: not so here */
    }
    return rt_transport_code(error);
}

/* Whether somebody listens on the unix socket. A full backlog is an answer too. */
static bool answers(const struct rt_endpoint *endpoint)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool yes;

    if (fd < 0) {
        return true;
    }
    yes = connect(fd, &endpoint->addr.any, endpoint->size) == 0 || (errno != ECONNREFUSED && errno != ENOENT);
    (void)close(fd);
    return yes;
}

/* The file has the socket's own mode less the umask (bind(2) on Linux). So it is made with no more than its owner's
 * part of the mode, is given to its group, and gets the rest last: it is never open wider than it is to be. Nobody can
 * connect before listen(2) either, but a mode may be looked at. */
static int bind_narrow(const struct rt_listener *listener, int fd, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    return fchmod(fd, (mode_t)(listener->config.mode & S_IRWXU)) != 0
               ? -1
               : bind(fd, (const struct sockaddr *)(const void *)&addr, sizeof(addr));
}

static int bind_unix(struct rt_listener *listener, int fd, char *why, size_t why_size)
{
    const struct rt_endpoint *endpoint = &listener->config.endpoint;
    const char *path = rt_endpoint_path(endpoint);
    const char *made = listener->config.stage != NULL ? listener->config.stage : path;
    struct stat info;

    if (made != path && unlink(made) != 0 && errno != ENOENT) {
        return fail(listener, errno, "remove what is left where sockets are made", why, why_size);
    }
    if (lstat(path, &info) == 0) {
        if (!S_ISSOCK(info.st_mode)) {
            return fail(listener, EEXIST, "the path is there and is no socket", why, why_size);
        }
        if (answers(endpoint)) {
            return fail(listener, EADDRINUSE, "somebody answers there", why, why_size);
        }
        if (unlink(path) != 0 && errno != ENOENT) {
            return fail(listener, errno, "remove the old socket", why, why_size);
        }
    }
    if (bind_narrow(listener, fd, made) != 0) {
        return fail(listener, errno, "bind", why, why_size);
    }
    if ((listener->config.has_group && lchown(made, (uid_t)-1, listener->config.gid) != 0) ||
        chmod(made, (mode_t)listener->config.mode) != 0 || lstat(made, &info) != 0) {
        int error = errno;
        (void)unlink(made);
        return fail(listener, error, "set the group and the mode", why, why_size);
    }
    if (made != path && rename(made, path) != 0) {
        int error = errno;
        (void)unlink(made);
        return fail(listener, error, "move the socket to its place", why, why_size);
    }
    listener->socket_dev = info.st_dev;
    listener->socket_ino = info.st_ino;
    return 0;
}

static int bind_inet(struct rt_listener *listener, char *why, size_t why_size)
{
    struct rt_endpoint *endpoint = &listener->config.endpoint;
    int on = 1;

    if (rt_endpoint_is_ip(endpoint)) {
        (void)setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (endpoint->addr.any.sa_family == AF_INET6) {
            (void)setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
        }
    }
    if (bind(listener->fd, &endpoint->addr.any, endpoint->size) != 0) {
        return fail(listener, errno, "bind", why, why_size);
    }
    endpoint->size = sizeof(endpoint->addr);
    if (getsockname(listener->fd, &endpoint->addr.any, &endpoint->size) != 0) {
        return fail(listener, errno, "getsockname", why, why_size);
    }
    return 0;
}

/* What bind has made is removed by whoever closes the listener. */
static int bind_and_listen(struct rt_listener *listener, char *why, size_t why_size)
{
    int rc = listener->config.endpoint.kind == RT_ENDPOINT_UNIX ? bind_unix(listener, listener->fd, why, why_size)
                                                                : bind_inet(listener, why, why_size);

    if (rc == 0 && listen(listener->fd, RT_LISTENER_BACKLOG) != 0) {
        rc = fail(listener, errno, "listen", why, why_size);
    }
    return rc;
}

bool rt_listener_in_place(const struct rt_listener *listener)
{
    struct stat info;

    return listener->socket_ino != 0 && lstat(rt_endpoint_path(&listener->config.endpoint), &info) == 0 &&
           info.st_dev == listener->socket_dev && info.st_ino == listener->socket_ino;
}

static void remove_socket(const struct rt_listener *listener)
{
    if (rt_listener_in_place(listener)) {
        (void)unlink(rt_endpoint_path(&listener->config.endpoint));
    }
}

static void describe(struct rt_listener_peer *peer, const struct rt_endpoint *from)
{
    if (peer->kind == RT_ENDPOINT_UNIX) {
        (void)snprintf(peer->text, sizeof(peer->text), "unix pid %ld uid %lu", (long)peer->pid,
                       (unsigned long)peer->uid);
    } else {
        rt_endpoint_print(from, peer->text, sizeof(peer->text));
    }
}

/* Fills peer; false when the connection is gone already. */
static bool identify(const struct rt_listener *listener, int fd, struct rt_listener_peer *peer)
{
    struct rt_endpoint from = {.kind = listener->config.endpoint.kind, .size = sizeof(from.addr)};
    struct ucred cred;
    socklen_t size = sizeof(cred);

    memset(peer, 0, sizeof(*peer));
    peer->kind = from.kind;
    if (peer->kind == RT_ENDPOINT_UNIX) {
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) != 0) {
            return false;
        }
        peer->pid = cred.pid;
        peer->uid = cred.uid;
        peer->gid = cred.gid;
    } else {
        if (getpeername(fd, &from.addr.any, &from.size) != 0) {
            return false;
        }
        if (peer->kind == RT_ENDPOINT_VSOCK) {
            peer->cid = from.addr.vm.svm_cid;
        }
        peer->loopback = rt_endpoint_is_loopback(&from);
    }
    describe(peer, &from);
    return true;
}

static void accept_cb(uv_poll_t *poll, int status, int events);

static void resume_cb(uv_timer_t *timer)
{
    struct rt_listener *listener = timer->data;

    (void)uv_poll_start(&listener->poll, UV_READABLE, accept_cb);
}

static void take(struct rt_listener *listener, int fd)
{
    struct rt_listener_peer peer;

    if (listener->n_open >= listener->config.max_open) {
        listener->refused++;
        (void)close(fd);
    } else if (!identify(listener, fd, &peer)) {
        (void)close(fd);
    } else {
        listener->accepted++;
        listener->n_open++;
        listener->ops->on_accept(listener, fd, &peer);
    }
}

static void accept_cb(uv_poll_t *poll, int status, int events)
{
    struct rt_listener *listener = poll->data;

    (void)status;
    (void)events;
    for (int i = 0; i < RT_LISTENER_BATCH_MAX && listener->fd >= 0; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(listener, fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO) {
            /* No descriptors or no memory: those who wait stay in the backlog; trying again at once would spin. */
            listener->pauses++;
            listener->pause_error = errno;
            (void)uv_poll_stop(&listener->poll);
            (void)uv_timer_start(&listener->timer, resume_cb, RT_LISTENER_PAUSE_MS, 0);
            return;
        }
    }
}

int rt_listener_open(struct rt_listener *listener, uv_loop_t *loop, const struct rt_listener_config *config,
                     const struct rt_listener_ops *ops, char *why, size_t why_size)
{
    void *data = listener->data;
    int err;

    memset(listener, 0, sizeof(*listener));
    listener->data = data;
    listener->ops = ops;
    listener->config = *config;
    listener->fd = config->fd != 0
                       ? config->fd
                       : socket(config->endpoint.addr.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->fd < 0) {
        return fail(listener, errno, "socket", why, why_size);
    }
    err = config->fd != 0 ? 0 : bind_and_listen(listener, why, why_size);
    if (err != 0) {
        goto err_bind;
    }
    err = uv_poll_init(loop, &listener->poll, listener->fd);
    if (err != 0) {
        err = fail(listener, -err, "poll", why, why_size);
        goto err_bind;
    }
    (void)uv_timer_init(loop, &listener->timer);
    listener->poll.data = listener;
    listener->timer.data = listener;
    listener->open_handles = 2;
    (void)uv_poll_start(&listener->poll, UV_READABLE, accept_cb);
    return 0;

err_bind:
    remove_socket(listener);
    (void)close(listener->fd);
    listener->fd = -1;
    return err;
}

int rt_listener_renew(struct rt_listener *listener, char *why, size_t why_size)
{
    int fd, rc;

    if (listener->config.endpoint.kind != RT_ENDPOINT_UNIX || listener->config.fd != 0 || listener->fd < 0 ||
        rt_listener_in_place(listener)) {
        return 0;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fail(listener, errno, "socket", why, why_size);
    }
    rc = bind_unix(listener, fd, why, why_size);
    if (rc == 0 && listen(fd, RT_LISTENER_BACKLOG) != 0) {
        rc = fail(listener, errno, "listen", why, why_size);
        remove_socket(listener);
    }
    if (rc != 0) {
        (void)close(fd);
        return rc;
    }
    /* Those who connected before the file went are still in the old socket's backlog. Where the path says who comes,
     * they are let go: that socket may have moved along with its directory, and be reached by another path. */
    if (listener->config.stage == NULL) {
        accept_cb(&listener->poll, 0, UV_READABLE);
    }
    (void)uv_timer_stop(&listener->timer);
    (void)uv_poll_stop(&listener->poll);
    rc = dup3(fd, listener->fd, O_CLOEXEC) < 0 ? fail(listener, errno, "dup", why, why_size) : 1;
    (void)close(fd);
    (void)uv_poll_start(&listener->poll, UV_READABLE, accept_cb);
    return rc;
}

void rt_listener_release(struct rt_listener *listener)
{
    assert(listener->n_open > 0);
    listener->n_open--;
}

static void closed_cb(uv_handle_t *handle)
{
    struct rt_listener *listener = handle->data;

    if (--listener->open_handles == 0 && listener->ops->on_close != NULL) {
        listener->ops->on_close(listener);
    }
}

void rt_listener_close(struct rt_listener *listener)
{
    if (listener->fd < 0) {
        return;
    }
    remove_socket(listener);
    uv_close((uv_handle_t *)&listener->poll, closed_cb);
    uv_close((uv_handle_t *)&listener->timer, closed_cb);
    (void)close(listener->fd);
    listener->fd = -1;
}
