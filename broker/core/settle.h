/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_SETTLE_H
#define RETETHER_BROKER_CORE_SETTLE_H

struct ag_link;
struct rt_agent;
struct rt_refuse_msg;

/* Carries out all facts that were recorded, and those that come of that. */
void rt_ag_settle(struct rt_agent *agent);
/* Takes from a link all that it has; its channels' other ends are told `refuse`, or nothing. */
void rt_ag_link_strip(struct rt_agent *agent, struct ag_link *link, const struct rt_refuse_msg *refuse);

#endif
