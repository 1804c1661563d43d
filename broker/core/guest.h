/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_GUEST_H
#define RETETHER_BROKER_CORE_GUEST_H

#include "migrate/core/claim.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stdint.h>

/* A guest's handshake, from its hello to its confirm. */

/* When a guest asks again whose token is sealed under a key that this agent does not have. */
#define AG_UNKNOWN_KEY_DELAY_MS 1000

struct ag_link;
struct ag_op;
struct rt_agent;
struct rt_hello_msg;
struct rt_store_reply;

struct ag_claim { /* from the hello to the answer of the take */
    struct rt_claim claim;
    uint64_t life; /* granted by the welcome */
    bool draining;
    bool provisional; /* welcomed without the store */
    uint8_t unproven; /* of the ticket presented */
};

void rt_ag_guest_hello(struct rt_agent *agent, struct ag_link *link, const struct rt_hello_msg *hello);
void rt_ag_guest_confirm(struct rt_agent *agent, struct ag_link *link);
void rt_ag_guest_silent(struct rt_agent *agent, struct ag_link *link); /* the store did not answer in time */
/* Whether this claim goes on without the store, as the ones before it had no answer in time. */
bool rt_ag_claim_hurries(const struct rt_agent *agent, const struct rt_claim *claim);
/* How long this claim waits for the store. */
uint64_t rt_ag_claim_wait(const struct rt_agent *agent, const struct rt_claim *claim);
void rt_ag_test_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);

#endif
