/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_ENTRY_H
#define RETETHER_BROKER_CORE_ENTRY_H

#include "broker/core/agent.h"

#include <stddef.h>
#include <stdint.h>

/* Where the world comes in, by way of agent.c, and how what comes of that is carried out. */

struct ag_link;
struct rt_refuse_msg;
struct rt_store_news;
struct rt_store_reply;

/* settle.c: carries out all facts that were recorded, and those that come of that. */
void rt_ag_settle(struct rt_agent *agent);
/* Takes from a link all that it has; its channels' other ends are told `refuse`, or nothing. */
void rt_ag_link_strip(struct rt_agent *agent, struct ag_link *link, const struct rt_refuse_msg *refuse);
/* input.c: rt_agent_input(). What comes of a frame is carried out before the next one. */
size_t rt_ag_input(struct rt_agent *agent, rt_link_id id, uint8_t *data, size_t size);
/* drain.c: so much is still queued to the link. When it has drained, what waited goes, in the order of queue.c, until
 * it is congested again. */
void rt_ag_queued(struct rt_agent *agent, struct ag_link *link, size_t queued);
/* news.c */
void rt_ag_store_reply(struct rt_agent *agent, const struct rt_store_reply *reply);
void rt_ag_store_news(struct rt_agent *agent, const struct rt_store_news *news);
/* clock.c: carries out all that is due. */
void rt_ag_tick(struct rt_agent *agent);

#endif
