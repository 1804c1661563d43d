/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_ATTACH_H
#define RETETHER_BROKER_CORE_ATTACH_H

#include <stddef.h>
#include <stdint.h>

struct ag_link;
struct rt_agent;

/* `frame` is the whole frame; it is passed on where it lies. */
void rt_ag_attach(struct rt_agent *agent, struct ag_link *link, uint32_t channel, uint8_t *frame, size_t size);
/* The link, or time, may let parked ones go on. */
void rt_ag_attaches_drained(struct rt_agent *agent, struct ag_link *link);

#endif
