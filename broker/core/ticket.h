/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_TICKET_H
#define RETETHER_BROKER_CORE_TICKET_H

#include "session/core/protocol.h"

#include <stdbool.h>
#include <stdint.h>

/* The tickets that guests are given: with the welcome, and again while they are served.
 *
 * A renewed ticket stands at the same place of its chain as the one before it: same id, same ancestors. Only what it
 * says beside its place is new: when it expires, the key it is sealed under, and that it was taken. So nobody confirms
 * it, and no record names it: a guest that has not got it, or a copy that has, is judged as it was before. */

struct ag_link;
struct rt_agent;

/* Seals the child of what the guest at link presented, with its hello's epoch. Returns its bytes or a negative code. */
int rt_ag_ticket_child(struct rt_agent *agent, struct ag_link *link, uint8_t out[RT_TOKEN_MAX]);
/* Sends the guest that link serves its ticket anew. */
void rt_ag_ticket_renew(struct rt_agent *agent, struct ag_link *link);
/* The sealer has another key: every guest gets its ticket anew, within some seconds. */
void rt_ag_tickets_rekeyed(struct rt_agent *agent);
/* Whether that is due: half of the ticket's time has passed, or another key seals since. */
bool rt_ag_ticket_ages(const struct rt_agent *agent, const struct ag_link *link);

#endif
