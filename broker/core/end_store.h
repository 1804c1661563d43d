/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_END_STORE_H
#define RETETHER_BROKER_CORE_END_STORE_H

#include <stdint.h>

struct ag_end;
struct ag_op;
struct rt_agent;
struct rt_store_op;
struct rt_store_reply;

/* What is kept is offered to the store again after AG_STORE_RETRY_MS, then each time after twice as long, up to this.
 */
#define AG_KEPT_RETRY_MAX_MS 30000

void rt_ag_end_begin(struct rt_agent *agent, struct ag_end *end); /* takes it */
void rt_ag_end_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);
void rt_ag_kept_again(struct rt_agent *agent); /* the store is up */
void rt_ag_kept_timer(struct rt_agent *agent);
void rt_ag_disk_reply(struct rt_agent *agent, uint32_t id, int error);
void rt_ag_kept_end(struct rt_agent *agent, const struct rt_store_op *op);

#endif
