/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_SESSION_TRANSPORT_DIAL_ENDS_H
#define RETETHER_TESTS_UNIT_SESSION_TRANSPORT_DIAL_ENDS_H

#include "session/transport/dialer.h"
#include "session/transport/listener.h"
#include "tests/unit/session_transport/fixture.h"

/* A listener that keeps what connects to it, and a dialer that notes how its dial ended. */

#define FDS_MAX 64

struct server {
    struct rt_listener listener;
    int fds[FDS_MAX];
    unsigned n;
    struct rt_listener_peer peer; /* the last one */
    bool accepted, closed;
};

struct call {
    struct rt_dialer dialer;
    bool done;
    unsigned calls;
    int status, fd;
    char text[RT_DIALER_TEXT_MAX];
};

int try_serve(struct fixture *fixture, struct server *server, struct rt_endpoint endpoint, unsigned max_open, char *why,
              size_t why_size);
void serve(struct fixture *fixture, struct server *server, struct rt_endpoint endpoint, unsigned max_open);
/* Closes the listener, and what it keeps. */
void stop(struct fixture *fixture, struct server *server);
void on_dial(struct rt_dialer *dialer, int status, int fd, const char *text);
void start(struct fixture *fixture, struct call *call, struct rt_endpoint endpoint, uint64_t timeout_ms);
/* start(), up to its end, which comes once. Returns the status. */
int dial(struct fixture *fixture, struct call *call, struct rt_endpoint endpoint, uint64_t timeout_ms);

#endif
