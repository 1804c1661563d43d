/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_RECORD_H
#define RETETHER_BROKER_CORE_RECORD_H

struct rt_agent;
struct rt_record_msg;
struct rt_store_record;

/* The store's record, which `out` points into, with what is newer here because this agent serves it. */
void rt_ag_fill_record(struct rt_agent *agent, const struct rt_store_record *in, struct rt_record_msg *out);

#endif
