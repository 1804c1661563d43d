/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_TAKE_H
#define RETETHER_BROKER_CORE_TAKE_H

#include <stdbool.h>

/* Taking a claim in the store: after a confirm, and again when the store has lost it. */

/* Takes under way when everything served is taken again. */
#define AG_RETAKE_FLIGHT_MAX 512
#define AG_TAKE_BACKOFF_MIN_MS 50
#define AG_TAKE_BACKOFF_MAX_MS 1000

struct ag_link;
struct ag_op;
struct ag_session;
struct rt_agent;
struct rt_claim;
struct rt_store_reply;

void rt_ag_take_start(struct rt_agent *agent, struct ag_link *link);
void rt_ag_take(struct rt_agent *agent, struct ag_link *link);
/* A claim of what is served already. */
void rt_ag_claim_again(const struct rt_agent *agent, const struct ag_session *session, struct rt_claim *claim);
void rt_ag_take_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);
void rt_ag_serve(struct rt_agent *agent, struct ag_link *link, bool claimed);
void rt_ag_retake_all(struct rt_agent *agent, bool fresh);
void rt_ag_retake_pump(struct rt_agent *agent);

#endif
