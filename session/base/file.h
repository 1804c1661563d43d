/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_FILE_H
#define RETETHER_SESSION_BASE_FILE_H

#include "session/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Whole files, and what lasts over a power cut. */

/* The whole of what fd has, NUL-terminated, and how many bytes that is. RT_EIO with errno, or RT_ELIMIT when there is
 * more than size - 1 bytes. */
RT_MUST_CHECK int rt_read_all(int fd, void *out, size_t size, size_t *used);
/* The same of a file; RT_EIO with errno also when it cannot be opened. A FIFO in its place holds nobody up. */
RT_MUST_CHECK int rt_read_file(const char *path, void *out, size_t size, size_t *used);

/* What a file of settings or secrets has to be, besides a regular file. */
struct rt_file_rule {
    mode_t barred;    /* bits that its mode may not have */
    const char *lets; /* what a mode with one of them lets others do, and the cure: "write to it: chmod go-w" */
    bool trusted;     /* it must be this user's or root's */
};
/* The same of such a file; `why` names the path, and what is wrong: RT_ENOTFOUND; RT_ECONFIG: not a regular file, or
 * more than size - 1 bytes; RT_EAUTH for its mode or owner; RT_EIO. After a failure out may hold a part of the file. */
RT_MUST_CHECK int rt_read_ruled(const char *path, const struct rt_file_rule *rule, void *out, size_t size, size_t *used,
                                char *why, size_t why_size);

/* Writes all, waiting as long as it takes. Returns 0 or an errno, which errno is too. */
int rt_write_all(int fd, const void *data, size_t size);
/* Makes the names in a folder last. RT_EIO with errno. */
RT_MUST_CHECK int rt_sync_folder(const char *folder);
/* Makes the name of what is at path last, likewise. */
RT_MUST_CHECK int rt_sync_name(const char *path);

/* Puts a whole file at path, so that it lasts over a power cut; on failure what was there stays, RT_EIO with errno.
 * Over a file that is there: its owner, group and mode stay, and through a symbolic link the file it names is replaced.
 * Not over one: RT_EEXIST when anything is there. A new file gets the mode. */
RT_MUST_CHECK int rt_put_file(const char *path, bool over, mode_t mode, const void *data, size_t size);

#endif
