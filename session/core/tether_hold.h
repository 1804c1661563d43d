/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_TETHER_HOLD_H
#define RETETHER_SESSION_CORE_TETHER_HOLD_H

#include <stdbool.h>
#include <stdint.h>

/* Who may block a process, and for how long; and when all is over. */

struct rt_att;
struct rt_proc;
struct rt_tether;

void rt_tether_charge(struct rt_tether *t, uint64_t now);
void rt_tether_find_blockers(struct rt_tether *t);
uint64_t rt_tether_floor(const struct rt_tether *t, const struct rt_proc *proc, unsigned out);
bool rt_tether_att_done(const struct rt_tether *t, const struct rt_att *att);
uint64_t rt_tether_hold_deadline(const struct rt_tether *t);
bool rt_tether_is_over(const struct rt_tether *t, uint64_t now);

#endif
