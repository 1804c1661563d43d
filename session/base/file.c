/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

int rt_read_all(int fd, void *out, size_t size, size_t *used)
{
    char *at = out;
    ssize_t n;

    *used = 0;
    do {
        n = read(fd, at + *used, size - *used);
        *used += n > 0 ? (size_t)n : 0;
    } while (*used < size && (n > 0 || (n < 0 && errno == EINTR)));
    if (*used == size) {
        return RT_ELIMIT;
    }
    at[*used] = '\0';
    return n < 0 ? RT_EIO : RT_OK;
}

/* Closes fd and leaves errno as it is. */
static int close_with(int fd, int rc)
{
    int error = errno;

    (void)close(fd);
    errno = error;
    return rc;
}

int rt_read_file(const char *path, void *out, size_t size, size_t *used)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    return fd < 0 ? RT_EIO : close_with(fd, rt_read_all(fd, out, size, used));
}

int rt_write_all(int fd, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t n = write(fd, at, size);

        if (n >= 0) {
            at += n;
            size -= (size_t)n;
        } else if (errno == EAGAIN) { /* the open file is shared, and somebody has set O_NONBLOCK */
            struct pollfd ready = {.fd = fd, .events = POLLOUT};

            (void)poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

int rt_sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? RT_EIO : close_with(fd, fsync(fd) == 0 ? RT_OK : RT_EIO);
}
