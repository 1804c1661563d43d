/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_LIB_GUEST_PTY_H
#define RETETHER_CLIENTS_LIB_GUEST_PTY_H

#include "session/base/error.h"

#include <stddef.h>
#include <sys/types.h>

/* Pseudo-terminals, seen from the master's side (pty(7)). */

/* Opens a pair of the given size (0: 24 x 80), both close-on-exec. The slave is not this process's controlling
 * terminal; the parent must close it after the fork, or EIO, the end of a pty's output, never comes. Returns 0 or
 * RT_EIO with errno. */
RT_MUST_CHECK int rt_pty_open(int *master, int *slave, unsigned rows, unsigned cols);

/* Sets the size; the kernel signals SIGWINCH to the foreground group when it changed. */
void rt_pty_resize(int master, unsigned rows, unsigned cols);

/* The foreground process group, or 0 when there is none. */
pid_t rt_pty_foreground(int master);

/* What makes the reader see an end: the terminal's VEOF character, twice when a line has been begun (the first one only
 * hands out that line). Returns the number of bytes written to out. */
size_t rt_pty_end(int master, char last, char out[2]);

#endif
