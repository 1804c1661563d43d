/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_TETHER_DONE_H
#define RETETHER_SESSION_CORE_TETHER_DONE_H

#include <stdint.h>

/* Exec'd processes that have ended: out of the way of those that run, and small. */

struct rt_tether;

/* Moves those that have ended out of the table of those that run, and frees what nobody will read. */
void rt_tether_retire(struct rt_tether *t);

#endif
