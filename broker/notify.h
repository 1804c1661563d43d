/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_NOTIFY_H
#define RETETHER_BROKER_NOTIFY_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Tells who started the agent how it is, as sd_notify(3) does: datagrams to the socket that NOTIFY_SOCKET names.
 * Nobody listens: nothing happens. Nothing here waits. */

struct rt_notify {
    int fd; /* -1: nobody wants to know */
    bool watched;
    struct sockaddr_un to;
    socklen_t to_size;
};

/* Takes NOTIFY_SOCKET and WATCHDOG_USEC out of the environment: they are not for what the agent starts. */
void rt_notify_open(struct rt_notify *notify);
void rt_notify_close(struct rt_notify *notify);

/* "READY=1" and such, several apart by newlines. */
void rt_notify_say(const struct rt_notify *notify, const char *text);
/* Something is being read anew; "READY=1" ends that. */
void rt_notify_reloading(const struct rt_notify *notify);
/* The loop turns. Each second. */
void rt_notify_alive(const struct rt_notify *notify);

#endif
