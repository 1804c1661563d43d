/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_RECORD_H
#define RETETHER_BROKER_CORE_RECORD_H

struct rt_agent;
struct rt_record_msg;
struct rt_store_record;

/* Fills `out` from the store's record, and from what this agent knows better because it serves the session. `out`
 * points into the record. */
void rt_ag_fill_record(struct rt_agent *agent, const struct rt_store_record *in, struct rt_record_msg *out);

#endif
