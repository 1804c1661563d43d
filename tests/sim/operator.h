/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_OPERATOR_H
#define RETETHER_TESTS_SIM_OPERATOR_H

#include <stdbool.h>
#include <stdint.h>

/* An operator who kicks guests and revokes containers, and whoever makes these anew. */

#define SIM_OPERATOR_EVERY 3 /* one run of so many has one */

struct rt_reply_msg;
struct sim_client;

void sim_start_operator(void);
/* False: the request is neither the operator's nor one that makes a container anew. */
bool sim_operator_reply(struct sim_client *c, uint64_t request, int error, const struct rt_reply_msg *reply);

#endif
