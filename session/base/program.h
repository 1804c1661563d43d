/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_PROGRAM_H
#define RETETHER_SESSION_BASE_PROGRAM_H

#include "session/base/error.h"

/* What each program does first, and how it speaks to people. */

/* Of a program that holds tokens or keys: nobody of its user looks into its memory, and it leaves no core. What it runs
 * itself is not bound by that: an exec ends it. Where the kernel does not know the call, and in a build with a
 * sanitizer, it does nothing. */
void rt_program_hide(void);

/* Opens a device on those of 0 to 2 that are closed: else sockets get their numbers, which libuv must not close, and
 * what is meant for stderr goes to a peer. Returns 0 or RT_EIO. */
RT_MUST_CHECK int rt_program_hold_fds(const char *device);

/* Bytes of a complaint; it is cut there. */
#define RT_PROGRAM_WHY_MAX 1024
/* "NAME: WHY" on stderr. What is not plain text (session/base/text.h) comes as '?': an argument that is told back must
 * not steer the terminal. */
void rt_program_complain(const char *name, const char *why);

/* Writes text to stdout. Returns 0, or RT_EIO when not all of it went (a full disk). */
RT_MUST_CHECK int rt_program_print(const char *text);

#endif
