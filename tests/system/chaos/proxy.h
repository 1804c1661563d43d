/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_CHAOS_PROXY_H
#define RETETHER_TESTS_SYSTEM_CHAOS_PROXY_H

#include <stdint.h>
#include <sys/types.h>

/* What stands between the agents and their store: a process with a port of loopback for each host and each server of
 * the store, which go on to that server's unix socket. So each host's way to each server can be broken by itself, and
 * what goes over TCP among the servers does not notice.
 *
 *     agent of h1 --TLS--> port of (h1, server 2) --plain--> unix socket of server 2
 *
 * A Sentinel's answers name ports; those of servers are put right on the way, so that an agent that asks for the
 * primary is sent to its own port of it. */

#define PROXY_HOSTS 3
#define PROXY_SERVERS 3
#define PROXY_TARGETS 6 /* the servers, then the Sentinels */
#define PROXY_SOCKET 96

/* What a way does with connections and answers. Requests pass, but for HANG. */
enum proxy_way {
    PROXY_PASS,
    PROXY_CUT,     /* ends all connections once, then passes */
    PROXY_HANG,    /* nothing passes, nor is anybody taken, nor is anything ended: a cut cable */
    PROXY_TEAR,    /* each connection ends after a random number of bytes of answers */
    PROXY_SLOW,    /* answers come PROXY_SLOW_MS late */
    PROXY_GARBLE,  /* some answers are something else */
    PROXY_LIE,     /* a Sentinel's: names the server behind the one that it should name */
    PROXY_EXPIRED, /* shows a certificate that has expired; connections end once, as they have seen the other one */
};
#define PROXY_SLOW_MS 5000

struct proxy_setup {
    char sockets[PROXY_TARGETS][PROXY_SOCKET]; /* of the servers */
    uint16_t named[PROXY_SERVERS];             /* the ports that Sentinels know them by */
    /* PEM files: a certificate for 127.0.0.1 and its key, and such a one that has expired */
    char cert[128], key[128], old_cert[128], old_key[128];
    uint64_t seed;
    int close_fd; /* one that the process must not hold */
};

struct proxy {
    pid_t pid; /* 0: not running */
    int orders;
    uint16_t ports[PROXY_HOSTS][PROXY_TARGETS];
};

/* Returns 0, or -1 with a text on stderr. It dies with the thread that started it. */
int proxy_start(struct proxy *proxy, const struct proxy_setup *setup);
/* From now on. */
void proxy_set(const struct proxy *proxy, unsigned host, unsigned target, enum proxy_way way);
/* Safe on a zeroed struct, and twice. */
void proxy_stop(struct proxy *proxy);

#endif
