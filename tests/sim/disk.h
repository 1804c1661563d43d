/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_DISK_H
#define RETETHER_TESTS_SIM_DISK_H

#include "migrate/core/store_op.h"

#include <stdbool.h>
#include <stdint.h>

/* The disk of an agent's host, for ends, and for what is revoked. */

struct sim_agent;
struct sim_event;

int sim_disk_keep(int agent, uint32_t id, const struct rt_store_op *end);
void sim_disk_drop(int agent, const struct rt_key *key, uint64_t life);
void sim_disk_keep_revoked(int agent, const struct rt_key *key, uint64_t life);
void sim_disk_drop_revoked(int agent, const struct rt_key *key, uint64_t life);
uint64_t sim_disk_revoked(const struct sim_agent *a, int container); /* the highest life that a file has */
void sim_disk_event(const struct sim_event *event);
void sim_disk_slow(int agent);  /* for a while */
bool sim_disk_waits(int agent); /* it is slow, and has nothing to write */
void sim_disk_fail(int agent);  /* the next writes do */
void sim_disk_heal(int agent);
void sim_disk_killed(int agent); /* what was under way is not */
void sim_disk_gone(int agent);   /* with what lies on it */

#endif
