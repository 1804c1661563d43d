/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_TAKE_H
#define RETETHER_BROKER_CORE_TAKE_H

#include <stdbool.h>
#include <stdint.h>

/* Taking a claim in the store: after a confirm, and again when the store has lost it. */

/* Takes under way of guests that are served already: all after the store has come back, or while it is slow. */
#define AG_RETAKE_FLIGHT_MAX 512
#define AG_TAKE_BACKOFF_MIN_MS 50
#define AG_TAKE_BACKOFF_MAX_MS 1000

struct ag_link;
struct ag_op;
struct ag_session;
struct rt_agent;
struct rt_claim;
struct rt_store_reply;

/* Whether this claim goes on without the store, as the ones before it had no answer in time. */
bool rt_ag_claim_hurries(const struct rt_agent *agent, const struct rt_claim *claim);
/* How long this claim waits for the store. */
uint64_t rt_ag_claim_wait(const struct rt_agent *agent, const struct rt_claim *claim);
void rt_ag_take_start(struct rt_agent *agent, struct ag_link *link);
void rt_ag_take(struct rt_agent *agent, struct ag_link *link);
void rt_ag_take_soon(struct rt_agent *agent, struct ag_session *session); /* behind those that wait for the store */
void rt_ag_take_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);
void rt_ag_take_silent(struct rt_agent *agent, struct ag_link *link); /* the store did not answer in time */
void rt_ag_retake_all(struct rt_agent *agent, bool fresh);

#endif
