/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_SERVED_H
#define RETETHER_BROKER_CORE_SERVED_H

#include <stdbool.h>
#include <stddef.h>

/* The sessions that are served here, in the order of their keys: by tenant, then by container ID. So what one tenant
 * has stands together, and is found without a look at what others have. */

struct ag_session;
struct rt_agent;
struct rt_key;

/* As strcmp(): by tenant, then by ID. */
int rt_ag_key_compare(const struct rt_key *a, const struct rt_key *b);
void rt_ag_served_add(struct rt_agent *agent, struct ag_session *session);
void rt_ag_served_remove(struct rt_agent *agent, const struct ag_session *session);
/* The index in agent->served of the first that is not below the key. */
size_t rt_ag_served_from(const struct rt_agent *agent, const struct rt_key *key);

#endif
