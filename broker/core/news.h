/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_NEWS_H
#define RETETHER_BROKER_CORE_NEWS_H

#include <stdint.h>

struct ag_session;
struct rt_agent;

/* Another host claimed a session: its attaches go there, and a guest that is served here is let go. */
void rt_ag_claimed_by(struct rt_agent *agent, struct ag_session *session, uint64_t life, uint64_t epoch,
                      const char *host);

#endif
