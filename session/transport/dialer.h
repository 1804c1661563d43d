/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_TRANSPORT_DIALER_H
#define RETETHER_SESSION_TRANSPORT_DIALER_H

#include "session/base/endpoint.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* One attempt to connect, of any kind, with its own non-blocking connect(2) and uv_poll: the same path for unix, TCP
 * and vSocket, where libuv itself has none for the last. A host's name is looked up off the loop, and its addresses are
 * tried in turn, each for its part of the time that is left. When to try again is for the machines to decide. */

/* Addresses of a name that are tried; the resolver has put the best ones first. */
#define RT_DIALER_ADDRS_MAX 8

#define RT_DIALER_TIMEOUT_MS 2000
#define RT_DIALER_TEXT_MAX 192

struct rt_dialer;

/* Exactly once per start, never from within a call of this file. status 0: fd is connected, non-blocking, close-on-exec
 * and the callee's (for rt_link_open). Else fd is -1, status RT_ECONN, RT_ETIMEDOUT, RT_ECANCELED, RT_EAUTH,
 * RT_ELIMIT, RT_ENOMEM, RT_EINVAL, RT_EIO, and text says what and where. The dialer may be freed or started again from
 * within. */
typedef void (*rt_dialer_cb)(struct rt_dialer *dialer, int status, int fd, const char *text);

/* What looks names up: uv_getaddrinfo() and uv_freeaddrinfo(), as pointers, so that what never dials a name is linked
 * without a resolver. */
struct rt_dialer_names {
    int (*get)(uv_loop_t *loop, uv_getaddrinfo_t *req, uv_getaddrinfo_cb cb, const char *name, const char *port,
               const struct addrinfo *hints);
    void (*release)(struct addrinfo *list);
};

struct rt_dialer {
    void *data;                          /* the caller's; start leaves it alone */
    const struct rt_dialer_names *names; /* likewise; NULL: names are not looked up */

    uv_poll_t poll;
    uv_timer_t timer;
    struct rt_endpoint endpoint;
    rt_dialer_cb cb;
    uv_getaddrinfo_t lookup;
    struct sockaddr_storage addrs[RT_DIALER_ADDRS_MAX];
    size_t n_addrs, at; /* at: of these, that is tried */
    uint64_t until;     /* loop time */
    int fd;             /* owned, -1 when none */
    int status;
    unsigned open_handles;
    bool polling; /* poll is initialised */
    bool ending;
    char text[RT_DIALER_TEXT_MAX];
    size_t why_at; /* in text, behind "connect to ...: " */
};

/* timeout_ms 0 means RT_DIALER_TIMEOUT_MS; a lookup that lasts longer is waited for all the same, as it cannot be given
 * up. Must not be under way. */
void rt_dialer_start(struct rt_dialer *dialer, uv_loop_t *loop, const struct rt_endpoint *endpoint, uint64_t timeout_ms,
                     rt_dialer_cb cb);

/* The callback comes soon, with RT_ECANCELED unless the attempt has been decided already. Does nothing when none is
 * under way. */
void rt_dialer_cancel(struct rt_dialer *dialer);

#endif
