/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_LIB_GUEST_SPAWN_H
#define RETETHER_CLIENTS_LIB_GUEST_SPAWN_H

#include "session/base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/* fork and exec by hand: uv_spawn gives a pty's child no controlling terminal, and would wait for it by itself. */

#define RT_SPAWN_WHY_MAX 256
#define RT_SPAWN_CANNOT_RUN 126
#define RT_SPAWN_NOT_FOUND 127

struct rt_spawn_spec {
    const char *const *argv; /* at least one, NULL-terminated */
    const char *const *env;  /* NULL-terminated */
    const char *cwd;         /* NULL: the parent's */
    bool tty;
    bool in; /* a pipe on stdin; without it and without a tty, /dev/null */
    unsigned rows, cols;
};

struct rt_spawned {
    pid_t pid;
    /* Non-blocking, close-on-exec, owned by the caller; -1 when there is none. With a tty `out` is the pty's master,
     * which is written to as well, and the others are -1. */
    int in, out, err;
};

/* Runs the command in a session of its own (and with the pty as its controlling terminal), with default signal
 * dispositions, an empty signal mask, and no descriptors but 0, 1, 2. A command without a slash is looked for in the
 * PATH of its own environment. Waits until the exec is known to have worked.
 *
 * Returns 0, or the code that a shell would exit with: RT_SPAWN_NOT_FOUND or RT_SPAWN_CANNOT_RUN, with a sentence in
 * `why` and nothing to clean up. */
RT_MUST_CHECK int rt_spawn(const struct rt_spawn_spec *spec, struct rt_spawned *spawned, char why[RT_SPAWN_WHY_MAX]);

#endif
