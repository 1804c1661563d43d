/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_SANDBOX_H
#define RETETHER_BROKER_SANDBOX_H

#include "broker/settings.h"

#include <stdbool.h>
#include <stddef.h>

/* What the agent gives up, in the order in which it does (docs/security.md has what stays):
 *
 *     enter    root, for the user of run_as; cores, debuggers, new privileges; before a key is read
 *     ...      it opens its files and listeners as that user, and so finds at the start what it will not reach later
 *     lock     the last capability, and every system call that is not in the list below
 *
 * A call that is not in the list fails with ENOSYS, and the kernel logs it (audit type 1326). The agent does not die of
 * it: a libc that tries a newer call first falls back on the older one, and the agent's sessions stay. */

/* Before the loop, threads and keys are there. RT_ECONFIG: run_as does not fit this machine. RT_EIO. `why` says what
 * to do. */
RT_MUST_CHECK int rt_sandbox_enter(const struct rt_settings *settings, char *why, size_t why_size);

/* Keeps a secret out of swap. False: errno says why. With sandbox = off it does nothing. */
RT_MUST_CHECK bool rt_sandbox_hold(const struct rt_settings *settings, const void *secret, size_t size);

/* For all threads, also those to come. private_store: the agent also watches and ends a server of its own. */
RT_MUST_CHECK int rt_sandbox_lock(const struct rt_settings *settings, char *why, size_t why_size);

#endif
