/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_OWNER_H
#define RETETHER_BROKER_CORE_OWNER_H

#include "migrate/core/ticket.h"

struct rt_agent;
struct rt_store_record;
struct rt_store_reply;

/* Records whose owner's host is dead: nobody would ever write them lost. Whoever is asked about one does it instead. */

/* Somebody asks for this record: is the host that it names alive? If it is dead, the record is marked as lost in its
 * place, and so is told by who reads it next. Another host's records only. */
void rt_ag_owner_check(struct rt_agent *agent, const struct rt_store_record *record);
/* The same for a record that first has to be read. */
void rt_ag_owner_look(struct rt_agent *agent, const struct rt_key *key);
void rt_ag_owner_reply(struct rt_agent *agent, const struct rt_store_reply *reply);
/* The host was found dead: what is waited for here and was served there is looked at. */
void rt_ag_owner_died(struct rt_agent *agent, const char *host);

#endif
