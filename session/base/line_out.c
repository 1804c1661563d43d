/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/line_out.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opens the given pipe or terminal anew, without waiting. Tried again with each line until it succeeds: a process 1 has
 * a log before it has /proc. */
static void open_anew(struct rt_line_out *out)
{
    char path[32];
    struct stat what;
    int flags = fcntl(out->given, F_GETFL), fd;

    if (out->fd != out->given || (flags >= 0 && (flags & O_NONBLOCK) != 0) || fstat(out->given, &what) != 0 ||
        (!S_ISFIFO(what.st_mode) && !S_ISCHR(what.st_mode))) {
        return;
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", out->given);
#ifdef RT_MUTANT_LOG_WAITS
    return;
#endif
    fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0) {
        out->fd = fd;
    }
}

void rt_line_out_init(struct rt_line_out *out, int fd)
{
    out->fd = out->given = fd;
    out->unwritten = 0;
    out->rest_size = 0;
    open_anew(out);
}

void rt_line_out_close(struct rt_line_out *out)
{
    if (out->fd != out->given) {
        close(out->fd);
    }
    out->fd = out->given;
}

/* Returns how many bytes were taken; 0: none now. */
static size_t put(const struct rt_line_out *out, const char *data, size_t size)
{
    struct pollfd room = {.fd = out->fd, .events = POLLOUT};
    ssize_t n = send(out->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0 && errno == ENOTSOCK) {
#ifndef RT_MUTANT_LOG_WAITS
        if (poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0) {
            return 0;
        }
#endif
        n = write(out->fd, data, size);
    }
    return n > 0 ? (size_t)n : 0;
}

void rt_line_out_put(struct rt_line_out *out, const char *line, size_t size)
{
    size_t n;

    assert(size <= RT_LINE_OUT_MAX);
    open_anew(out);
    if (out->rest_size > 0) {
        n = put(out, out->rest, out->rest_size);
        out->rest_size -= n;
        memmove(out->rest, out->rest + n, out->rest_size);
    }
    n = out->rest_size == 0 ? put(out, line, size) : 0;
    if (n == 0) {
        out->unwritten++;
        return;
    }
    out->unwritten = 0;
    out->rest_size = size - n;
    memcpy(out->rest, line + n, out->rest_size);
}
