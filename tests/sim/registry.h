/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_REGISTRY_H
#define RETETHER_TESTS_SIM_REGISTRY_H

#include <stdint.h>

/* The registry of the store's model. */

struct rt_store_host;
struct rt_store_op;
struct rt_store_reply;

void sim_registry_reset(void); /* once it is known how many agents there are */
void sim_registry_flush(void);
/* The agent is in touch with the store from then on. */
void sim_registry_up(int agent, uint64_t delay_us);
/* HOSTS, HOST_ROW. rows: RT_HOSTS_PAGE. */
void sim_registry_run(const struct rt_store_op *op, struct rt_store_reply *reply, struct rt_store_host *rows);

#endif
