/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_SWITCH_H
#define RETETHER_BROKER_CORE_SWITCH_H

#include <stddef.h>
#include <stdint.h>

/* Frames from one side of a channel to the other. */

struct ag_link;
struct rt_agent;
struct rt_frame;

/* Sends n bytes of a DATA frame on. The header's place is at p, the bytes follow it. `length` is the whole frame's. */
void rt_ag_switch_data(struct rt_agent *agent, struct ag_link *link, struct rt_frame *frame, uint32_t length,
                       uint8_t *p, uint32_t n);
/* The bytes of a DATA frame whose first part has gone on already. Returns how many of them there were. */
size_t rt_ag_switch_rest(struct rt_agent *agent, struct ag_link *link, uint8_t *data, size_t size);
/* A whole frame of a channel, other than DATA. */
void rt_ag_switch_frame(struct rt_agent *agent, struct ag_link *link, struct rt_frame *frame, uint8_t *p);

#endif
