/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_END_GUEST_H
#define RETETHER_BROKER_CORE_END_GUEST_H

#include <stdint.h>

struct ag_link;
struct rt_agent;
struct rt_end_msg;
struct rt_frame;

/* Tails whose END has not come after this are forgotten. */
#define AG_TAILS_MS 10000

void rt_ag_tail(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame, const uint8_t *data);
/* Forgets tails whose END does not follow: they keep a place that others may need. */
void rt_ag_end_late(struct rt_agent *agent, struct ag_link *link);
void rt_ag_end(struct rt_agent *agent, struct ag_link *link, const struct rt_end_msg *end);
/* The link serves its session: what its guest told of its end counts. */
void rt_ag_end_submit(struct rt_agent *agent, struct ag_link *link);

#endif
