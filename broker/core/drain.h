/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_DRAIN_H
#define RETETHER_BROKER_CORE_DRAIN_H

struct ag_link;
struct rt_agent;

/* The link has drained: what waited goes, in the order of queue.c, until it is congested again. */
void rt_ag_drained(struct rt_agent *agent, struct ag_link *link);

#endif
