/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_TETHER_DONE_H
#define RETETHER_SESSION_CORE_TETHER_DONE_H

#include <stdbool.h>

/* Exec'd processes that have ended: out of the way of those that run, and small. */

struct rt_proc;
struct rt_tether;

/* Whether there is an attachment to it, with its client or without. */
bool rt_tether_is_attached(const struct rt_tether *t, const struct rt_proc *proc);
/* Moves those that have ended out of the table of those that run, and frees what nobody will read. */
void rt_tether_retire(struct rt_tether *t);

#endif
