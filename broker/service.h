/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_SERVICE_H
#define RETETHER_BROKER_SERVICE_H

#include "broker/settings.h"
#include "session/base/error.h"
#include "session/transport/listener.h"
#include "session/transport/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an agent's process offers, on one loop. A service names its ports; listeners, who a peer is, connections and the
 * descriptors that they take, the log and the settings are below it and shared (listen.c, shell.c, settings.c). Its
 * state is a member of struct rt_shell, its settings are lines of the table in settings.c.
 *
 * Who may come in is asked in this order:
 *
 *     a connection more than `connections_max` of its port    closed at once (session/transport/listener.c)
 *     ... than there are descriptors for, of all services     `spare`: one of that service gives way, or it is closed
 *     a peer more, by what its service's peers have proved    `accept` says (broker/core/door.c for sessions)
 *
 * The agent ends when the connections of all services have been released. */

#define RT_SERVICE_PORTS_MAX 2
#define RT_SERVICE_COUNTERS_MAX 32
/* Bytes of a peer's identity, NUL included. */
#define RT_PEER_IDENTITY_MAX 64

struct rt_shell;

/* Who has connected, as far as the transport proves it. */
struct rt_comer {
    struct rt_listener *listener; /* that counts it, until rt_shell_release() */
    const struct rt_listener_peer *who;
    char identity[RT_PEER_IDENTITY_MAX]; /* whose places it takes: vSocket CID, user at this listener, address */
    const char *vm;                      /* the virtual machine that it has proved to be; NULL: none */
    bool lone;                           /* the identity is one machine's, not that of many peers */
    struct rt_wire_setup wire;           /* what its link is opened with: of that port */
};

struct rt_port {
    const char *who;          /* comes here, in the plural */
    size_t endpoints;         /* where: a struct rt_setting_list at this offset in struct rt_settings */
    unsigned connections_max; /* at one endpoint, those that are closing included */
    bool advertised;          /* clients on other hosts are told these endpoints, unless the settings say others */
};

/* Something counted since the service was opened, or a level. */
struct rt_counter {
    const char *name; /* [a-z_][a-z0-9_]*, as metrics are named */
    uint64_t value;
};

/* Every function is there; what a service has no use for does nothing. */
struct rt_service {
    const char *name;
    struct rt_port ports[RT_SERVICE_PORTS_MAX];
    size_t n_ports;
    /* Once its listeners are bound; nobody is accepted before the loop runs. Returns 0 or a code, after it has said in
     * the log what is wrong. */
    int (*open)(struct rt_shell *shell);
    /* A connection at ports[port]. True: the descriptor is the service's, which says rt_shell_release() when it has
     * ended, and says rt_shell_progress(). False: turned away. */
    bool (*accept)(struct rt_shell *shell, size_t port, int fd, const struct rt_comer *comer);
    /* Gives up the connection that has least right to its descriptor, which is free a moment later. False: each has
     * more right than who comes. */
    bool (*spare)(struct rt_shell *shell);
    /* Once it is open. Returns how many it has filled in; rt_shell_counters() has those of all services. */
    size_t (*counters)(struct rt_shell *shell, struct rt_counter out[RT_SERVICE_COUNTERS_MAX]);
    /* Each second. */
    void (*beat)(struct rt_shell *shell);
    /* Tells everybody that it ends; what is open may end by itself. Its listeners are closed. */
    void (*stop)(struct rt_shell *shell);
    /* Closes what is still open. */
    void (*close)(struct rt_shell *shell);
};

/* sessions.c; main.c has the list of all. */
extern const struct rt_service rt_sessions;

#endif
