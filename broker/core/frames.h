/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_FRAMES_H
#define RETETHER_BROKER_CORE_FRAMES_H

#include <stdint.h>

struct ag_link;
struct rt_agent;
struct rt_frame;

/* Carries out a frame that is not switched. The link may be gone after it. */
void rt_ag_frame(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame, uint8_t *data);

#endif
