/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_transport/dial_ends.h"

#include <fcntl.h>

static void on_accept(struct rt_listener *listener, int fd, const struct rt_listener_peer *peer)
{
    struct server *server = listener->data;

    assert_true(server->n < FDS_MAX);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    server->fds[server->n++] = fd;
    server->peer = *peer;
    server->accepted = true;
}

static void on_close(struct rt_listener *listener)
{
    struct server *server = listener->data;

    assert_false(server->closed);
    server->closed = true;
}

static const struct rt_listener_ops ops = {.on_accept = on_accept, .on_close = on_close};

int try_serve(struct fixture *fixture, struct server *server, struct rt_endpoint endpoint, unsigned max_open, char *why,
              size_t why_size)
{
    struct rt_listener_config config = {.endpoint = endpoint, .mode = 0640, .max_open = max_open};

    memset(server, 0, sizeof(*server));
    server->listener.data = server;
    return rt_listener_open(&server->listener, &fixture->loop, &config, &ops, why, why_size);
}

void serve(struct fixture *fixture, struct server *server, struct rt_endpoint endpoint, unsigned max_open)
{
    char why[256] = "";

    if (try_serve(fixture, server, endpoint, max_open, why, sizeof(why)) != 0) {
        fail_msg("%s", why);
    }
}

void stop(struct fixture *fixture, struct server *server)
{
    rt_listener_close(&server->listener);
    rt_listener_close(&server->listener);
    fixture_run(fixture, &server->closed);
    while (server->n > 0) {
        (void)close(server->fds[--server->n]);
        rt_listener_release(&server->listener);
    }
}

void on_dial(struct rt_dialer *dialer, int status, int fd, const char *text)
{
    struct call *call = dialer->data;

    call->done = true;
    call->calls++;
    call->status = status;
    call->fd = fd;
    (void)snprintf(call->text, sizeof(call->text), "%s", text);
}

void start(struct fixture *fixture, struct call *call, struct rt_endpoint endpoint, uint64_t timeout_ms)
{
    memset(call, 0, sizeof(*call));
    call->dialer.data = call;
    rt_dialer_start(&call->dialer, &fixture->loop, &endpoint, timeout_ms, on_dial);
    assert_false(call->done);
}

int dial(struct fixture *fixture, struct call *call, struct rt_endpoint endpoint, uint64_t timeout_ms)
{
    start(fixture, call, endpoint, timeout_ms);
    fixture_run(fixture, &call->done);
    fixture_sleep(fixture, 5);
    assert_int_equal(call->calls, 1);
    assert_int_equal(call->status == 0, call->fd >= 0);
    return call->status;
}
