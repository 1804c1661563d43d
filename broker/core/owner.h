/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_OWNER_H
#define RETETHER_BROKER_CORE_OWNER_H

#include "migrate/core/ticket.h"

struct ag_op;
struct rt_agent;
struct rt_store_record;
struct rt_store_reply;

/* Records whose owner's host is dead. That host writes nothing any more, so an agent that is asked about such a record
 * marks it in its place. */

/* Somebody asks for this record. When the host that it names is another one, and dead, the record is marked; who reads
 * it next is told. */
void rt_ag_owner_check(struct rt_agent *agent, const struct rt_store_record *record);
/* Reads the record of that key first, then does the same. */
void rt_ag_owner_look(struct rt_agent *agent, const struct rt_key *key);
void rt_ag_owner_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);
/* The host was found dead: does the same for each session that was served there and that somebody here waits for. */
void rt_ag_owner_died(struct rt_agent *agent, const char *host);

#endif
