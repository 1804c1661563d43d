/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_PASS_H
#define RETETHER_BROKER_CORE_PASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What one peer says to the other on a channel, beyond bytes: read here, and passed only where protocol.md section 6
 * lets it say so. Else the channel ends with PROTOCOL on both sides: it costs who said it its channel, nobody else
 * anything. */

struct ag_chan;
struct ag_link;
struct rt_agent;

/* A REFUSE of this link's peer: goes on as a frame of our own, with what its class may carry. The channel is over. */
void rt_ag_pass_refuse(struct rt_agent *agent, struct ag_chan *chan, const struct ag_link *from, const uint8_t *data,
                       size_t size);
/* Whether an ATTACHED of the guest may go on as it is; else the channel is over. */
bool rt_ag_pass_attached(struct rt_agent *agent, struct ag_chan *chan, const uint8_t *data, size_t size);

#endif
