/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

int rt_read_ruled(const char *path, const struct rt_file_rule *rule, void *out, size_t size, size_t *used, char *why,
                  size_t why_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc;
    const int most = (int)(why_size / 2); /* of the path: what is wrong has room behind it */
    struct stat st;

    *used = 0;
    if (fd < 0 || fstat(fd, &st) != 0) {
        rc = RT_EIO;
    } else if (!S_ISREG(st.st_mode)) {
        rc = rt_fail(RT_ECONFIG, why, why_size, "%.*s: this is not a regular file", most, path);
    } else if ((st.st_mode & rule->barred) != 0) {
        rc = rt_fail(RT_EAUTH, why, why_size, "%.*s: its mode %04o lets others %s", most, path,
                     (unsigned)(st.st_mode & 07777), rule->lets);
    } else if (rule->trusted && st.st_uid != geteuid() && st.st_uid != 0) {
        rc = rt_fail(RT_EAUTH, why, why_size, "%.*s: it belongs to user %u, not to this one or root", most, path,
                     (unsigned)st.st_uid);
    } else if ((rc = rt_read_all(fd, out, size, used)) == RT_ELIMIT) {
        rc = rt_fail(RT_ECONFIG, why, why_size, "%.*s: it is longer than %zu bytes", most, path, size - 1);
    }
    if (rc == RT_EIO) {
        rc = rt_fail(errno == ENOENT ? RT_ENOTFOUND : RT_EIO, why, why_size, "%.*s: %s", most, path, strerror(errno));
    }
    return fd < 0 ? rc : close_with(fd, rc);
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

int rt_sync_name(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');

    (void)snprintf(folder, sizeof(folder), "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
                   slash == NULL ? "." : path);
    return rt_sync_folder(folder);
}

/* Fills a new file, which gets the owner, group and mode of `as`. */
static int fill(int fd, const struct stat *as, const void *data, size_t size)
{
    bool done = rt_write_all(fd, data, size) == 0 && fchown(fd, as->st_uid, as->st_gid) == 0 &&
                fchmod(fd, as->st_mode & 07777) == 0 && fsync(fd) == 0;

    return close_with(fd, done ? RT_OK : RT_EIO);
}

int rt_put_file(const char *path, bool over, mode_t mode, const void *data, size_t size)
{
    struct stat as = {.st_mode = mode, .st_uid = (uid_t)-1, .st_gid = (gid_t)-1}; /* as it is made */
    char draft[PATH_MAX], real[PATH_MAX];
    int fd, rc, error;

    path = over && realpath(path, real) != NULL ? real : path;
    if (over && stat(path, &as) != 0 && errno != ENOENT) {
        return RT_EIO;
    }
    if (snprintf(draft, sizeof(draft), "%s.XXXXXX", path) >= (int)sizeof(draft)) {
        errno = ENAMETOOLONG;
        return RT_EIO;
    }
    fd = mkostemp(draft, O_CLOEXEC); /* mode 0600 */
    rc = fd < 0 ? RT_EIO : fill(fd, &as, data, size);
    /* link() and not rename(): of two programs that make it at once, one does. */
    if (rc == RT_OK && (over ? rename(draft, path) : link(draft, path)) != 0) {
        rc = !over && errno == EEXIST ? RT_EEXIST : RT_EIO;
    }
    error = errno;
    if (fd >= 0 && (!over || rc != RT_OK)) {
        (void)unlink(draft);
    }
    errno = error;
    return rc == RT_OK ? rt_sync_name(path) : rc;
}
