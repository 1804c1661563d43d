/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_STARTER_H
#define RETETHER_MIGRATE_STORE_STARTER_H

#include "session/base/error.h"

#include <sys/types.h>

/* A process of its own that starts one program, always the same, whenever it is told to. It is made while its owner has
 * neither threads nor keys. After that its owner needs no right to fork, to execute or to wait, and may give it up. The
 * starter ends when its owner ends or closes; what it has started runs on. */

struct rt_starter {
    int fd; /* -1: closed */
    pid_t pid;
};

/* argv[0] is looked for on PATH, at each start. RT_EIO: errno says why. */
RT_MUST_CHECK int rt_starter_open(struct rt_starter *starter, char *const *argv);

/* The program has a session of its own, and /dev/null as 0, 1 and 2. Waits until it runs. Returns 0, or an errno (of
 * execve(2): ENOENT when there is no such program; EPIPE when the starter is gone). */
RT_MUST_CHECK int rt_starter_start(const struct rt_starter *starter, pid_t *pid);

/* Also of one that is closed. */
void rt_starter_close(struct rt_starter *starter);

#endif
