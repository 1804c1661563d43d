/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/passed.h"

#include "session/base/slice.h"
#include "session/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_FD 3

static int option(int fd, int name)
{
    int value = 0;
    socklen_t size = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

static bool kind_of(struct rt_endpoint *endpoint)
{
    switch (endpoint->addr.any.sa_family) {
    case AF_UNIX:
        endpoint->kind = RT_ENDPOINT_UNIX; /* a path may fill all of it */
        return endpoint->addr.un.sun_path[0] != '\0' &&
               memchr(endpoint->addr.un.sun_path, '\0', sizeof(endpoint->addr.un.sun_path)) != NULL;
    case AF_INET:
    case AF_INET6:
        endpoint->kind = RT_ENDPOINT_TCP;
        return true;
    case AF_VSOCK:
        endpoint->kind = RT_ENDPOINT_VSOCK;
        return true;
    default:
        return false;
    }
}

/* What is wrong with a descriptor, or NULL. */
static const char *look(int fd, struct rt_endpoint *endpoint)
{
    int flags = fcntl(fd, F_GETFL);

    *endpoint = (struct rt_endpoint){.size = sizeof(endpoint->addr)};
    if (flags < 0) {
        return "it is not open";
    }
    if (option(fd, SO_TYPE) != SOCK_STREAM) {
        return "it is no stream socket";
    }
    if (option(fd, SO_ACCEPTCONN) != 1) {
        return "it does not listen (its unit has Accept=no)";
    }
    if (getsockname(fd, &endpoint->addr.any, &endpoint->size) != 0 || !kind_of(endpoint)) {
        return "it has no address that the agent can use: a path, an IP address, a vSocket's port";
    }
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        return strerror(errno);
    }
    return NULL;
}

/* The names are one text, with colons between them. */
static int read_sockets(struct rt_passed *passed, uint64_t n, const char *names, char *why, size_t why_size)
{
    for (uint64_t i = 0; i < n; i++) {
        size_t size = strcspn(names, ":");
        const char *wrong =
            size == 0 ? "it has no name in LISTEN_FDNAMES" : look(FIRST_FD + (int)i, &passed->sockets[i].endpoint);

        (void)snprintf(passed->sockets[i].name, sizeof(passed->sockets[i].name), "%.*s", (int)size, names);
        if (wrong != NULL) {
            return rt_fail(RT_ECONFIG, why, why_size, "descriptor %d, passed as \"%s\": %s", FIRST_FD + (int)i,
                           passed->sockets[i].name, wrong);
        }
        passed->sockets[i].fd = FIRST_FD + (int)i;
        passed->n++;
        names += size + (names[size] == ':');
    }
    return names[0] == '\0' ? 0
                            : rt_fail(RT_ECONFIG, why, why_size,
                                      "LISTEN_FDNAMES has more names than LISTEN_FDS has descriptors: %.64s", names);
}

static int read_all(struct rt_passed *passed, char *why, size_t why_size)
{
    const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID"), *names = getenv("LISTEN_FDNAMES");
    uint64_t n, whose;

    if (fds == NULL || pid == NULL) {
        return 0;
    }
    if (!rt_read_number(rt_slice_text(pid), INT32_MAX, &whose)) {
        return rt_fail(RT_ECONFIG, why, why_size, "LISTEN_PID=%.64s is no process", pid);
    }
    if ((pid_t)whose != getpid()) {
        return 0;
    }
    if (!rt_read_number(rt_slice_text(fds), RT_PASSED_MAX, &n)) {
        return rt_fail(RT_ECONFIG, why, why_size, "LISTEN_FDS=%.64s: a number, and at most %d sockets are taken", fds,
                       RT_PASSED_MAX);
    }
    return read_sockets(passed, n, names == NULL ? "" : names, why, why_size);
}

int rt_passed_read(struct rt_passed *passed, char *why, size_t why_size)
{
    int rc;

    passed->n = 0;
    rc = read_all(passed, why, why_size);
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDNAMES");
    return rc;
}

int rt_passed_find(const struct rt_passed *passed, size_t list, const struct rt_endpoint *endpoint)
{
    char wanted[RT_ENDPOINT_TEXT_MAX], is[RT_ENDPOINT_TEXT_MAX];

    rt_endpoint_print(endpoint, wanted, sizeof(wanted));
    for (size_t i = 0; i < passed->n; i++) {
        rt_endpoint_print(&passed->sockets[i].endpoint, is, sizeof(is));
        if (passed->sockets[i].list == list && strcmp(is, wanted) == 0) {
            return passed->sockets[i].fd;
        }
    }
    return 0;
}
