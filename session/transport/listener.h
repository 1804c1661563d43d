/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_TRANSPORT_LISTENER_H
#define RETETHER_SESSION_TRANSPORT_LISTENER_H

#include "session/base/endpoint.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

/* A listening socket of any kind on a libuv loop. It accepts by itself (uv_poll and accept4) rather than by uv_listen,
 * which on EMFILE accepts and drops whoever waits: here they wait in the backlog. */

/* Connections accepted in one go before other handles of the loop get their turn. */
#define RT_LISTENER_BATCH_MAX 64
/* No accepting for this long after EMFILE, ENFILE or a shortage of memory. */
#define RT_LISTENER_PAUSE_MS 100
/* Asked of listen(2); the kernel lowers it to net.core.somaxconn. */
#define RT_LISTENER_BACKLOG 4096

struct rt_listener;

/* Who connected, as far as the transport proves it. */
struct rt_listener_peer {
    enum rt_endpoint_kind kind;
    pid_t pid; /* unix: SO_PEERCRED at the time of connect */
    uid_t uid;
    gid_t gid;
    uint32_t cid;                    /* vSocket */
    bool loopback;                   /* TCP, TLS: this machine, or whoever is tunnelled to it */
    char text[RT_ENDPOINT_TEXT_MAX]; /* for the log: "unix pid 12 uid 0", "tcp:127.0.0.1:40312", "vsock:3:1024" */
};

struct rt_listener_config {
    struct rt_endpoint endpoint;
    /* 0, or a socket that listens there already, which is the listener's from open on. Its file is its maker's: it is
     * neither made anew nor removed. */
    int fd;
    unsigned mode;  /* unix: permission bits of the socket file, for example 0660 */
    bool has_group; /* unix: the file is given to this group; else it has the one that new files here have */
    gid_t gid;
    /* unix: NULL, or a path on the same file system, in a directory that nobody else writes to. The socket is made
     * there, and moved to its own path when it is whole: so that directory may be somebody else's. Lives as long. */
    const char *stage;
    unsigned max_open; /* connections held at a time; one more is closed at once and counted in refused */
};

struct rt_listener_ops {
    /* A new connection. fd is non-blocking, close-on-exec and the callee's. It counts against max_open until
     * rt_listener_release. */
    void (*on_accept)(struct rt_listener *listener, int fd, const struct rt_listener_peer *peer);
    /* May be NULL. Exactly once after rt_listener_close: the memory is the caller's again. */
    void (*on_close)(struct rt_listener *listener);
};

struct rt_listener {
    void *data; /* the caller's; open leaves it alone */

    uv_poll_t poll;
    uv_timer_t timer; /* RT_LISTENER_PAUSE_MS */
    int fd;           /* owned, -1 when closed */
    const struct rt_listener_ops *ops;
    struct rt_listener_config config; /* endpoint: as bound, with the port that the kernel chose */
    unsigned open_handles;
    dev_t socket_dev; /* unix: the socket file that is ours */
    ino_t socket_ino;

    unsigned n_open;
    /* Counts since open. pauses: nobody could be accepted, those who wait stay in the backlog; the last one's errno. */
    uint64_t accepted, refused, pauses;
    int pause_error;
};

/* Listens. A unix socket file left behind is replaced when nobody answers on it. Returns 0, or with `why` filled and no
 * callback to come: RT_EEXIST (somebody listens there, or the path is no socket), RT_EAUTH, RT_ELIMIT, RT_ENOMEM,
 * RT_EINVAL, RT_EIO. */
RT_MUST_CHECK int rt_listener_open(struct rt_listener *listener, uv_loop_t *loop,
                                   const struct rt_listener_config *config, const struct rt_listener_ops *ops,
                                   char *why, size_t why_size);

/* Whether a unix socket's file is still there, and ours: else nobody can connect any more, and nothing else tells. Then
 * it is made anew, without an end for open connections. Returns 0 (there is nothing to do; other kinds of socket; one
 * that somebody else has made), 1 (made anew), or a code as rt_listener_open() with `why` filled: try again later. */
RT_MUST_CHECK int rt_listener_renew(struct rt_listener *listener, char *why, size_t why_size);

/* Whether a unix socket's file is still at its path, and no other one has taken its place. */
bool rt_listener_in_place(const struct rt_listener *listener);

/* One accepted connection has ended. Also allowed after the close, as long as the memory is there. */
void rt_listener_release(struct rt_listener *listener);

/* Stops listening; removes the socket file if it is still the one that open made. Open connections stay. */
void rt_listener_close(struct rt_listener *listener);

#endif
