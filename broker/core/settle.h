/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_SETTLE_H
#define RETETHER_BROKER_CORE_SETTLE_H

struct rt_agent;

/* Carries out all facts that were recorded, and those that come of that. */
void rt_ag_settle(struct rt_agent *agent);

#endif
