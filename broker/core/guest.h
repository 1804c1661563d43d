/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_GUEST_H
#define RETETHER_BROKER_CORE_GUEST_H

/* A guest's handshake, from its hello to its confirm. */

/* When a guest asks again whose token is sealed under a key that this agent does not have. */
#define AG_UNKNOWN_KEY_DELAY_MS 1000

struct ag_link;
struct ag_op;
struct rt_agent;
struct rt_hello_msg;
struct rt_store_reply;

void rt_ag_guest_hello(struct rt_agent *agent, struct ag_link *link, const struct rt_hello_msg *hello);
void rt_ag_guest_confirm(struct rt_agent *agent, struct ag_link *link);
void rt_ag_guest_silent(struct rt_agent *agent, struct ag_link *link); /* the store did not answer in time */
void rt_ag_test_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);

#endif
