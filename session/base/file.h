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
