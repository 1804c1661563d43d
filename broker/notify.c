/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX 256

/* A path, or a name in the kernel's own space behind an @. */
static bool read_address(struct rt_notify *notify, const char *text)
{
    size_t size = text == NULL ? 0 : strlen(text);

    if (size < 2 || size >= sizeof(notify->to.sun_path) || (text[0] != '/' && text[0] != '@')) {
        return false;
    }
    notify->to.sun_family = AF_UNIX;
    memcpy(notify->to.sun_path, text, size);
    if (text[0] == '@') {
        notify->to.sun_path[0] = '\0';
    }
    notify->to_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    return true;
}

/* WATCHDOG_PID, when it is there, names whom it is about. */
static bool is_watched(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

    return usec != NULL && strtoull(usec, NULL, 10) > 0 && (pid == NULL || strtol(pid, NULL, 10) == (long)getpid());
}

void rt_notify_open(struct rt_notify *notify)
{
    memset(notify, 0, sizeof(*notify));
    notify->fd = -1;
    if (read_address(notify, getenv("NOTIFY_SOCKET"))) {
        notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        notify->watched = is_watched();
    }
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

void rt_notify_close(struct rt_notify *notify)
{
    if (notify->fd >= 0) {
        (void)close(notify->fd);
        notify->fd = -1;
    }
}

/* By address each time: who listens may have been started anew. */
void rt_notify_say(const struct rt_notify *notify, const char *text)
{
    if (notify->fd >= 0) {
        (void)sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&notify->to,
                     notify->to_size);
    }
}

void rt_notify_reloading(const struct rt_notify *notify)
{
    char text[TEXT_MAX];
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                   (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
    rt_notify_say(notify, text);
}

void rt_notify_alive(const struct rt_notify *notify)
{
    if (notify->watched) {
        rt_notify_say(notify, "WATCHDOG=1");
    }
}
