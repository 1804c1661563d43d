/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_SWITCH_H
#define RETETHER_BROKER_CORE_SWITCH_H

#include <stddef.h>
#include <stdint.h>

/* Frames from one side of a channel to the other. */

struct ag_link;
struct rt_agent;

void rt_ag_run(struct rt_agent *agent, struct ag_link *to, uint8_t *data, size_t size);

#endif
