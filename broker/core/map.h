/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_MAP_H
#define RETETHER_BROKER_CORE_MAP_H

#include "broker/core/channel.h"
#include "broker/core/link.h"

#include <stdint.h>

struct rt_refuse_msg;

/* The channel of which that side's key is this, or NULL. */
struct ag_chan *rt_ag_chan_at(const struct rt_agent *agent, enum ag_side side, uint64_t key);
struct ag_chan *rt_ag_chan_new(struct rt_agent *agent, struct ag_session *session, struct ag_link *client,
                               uint32_t channel);
/* The guest has answered its ATTACH, or never will: another may be asked of it. */
void rt_ag_chan_answered(struct rt_agent *agent, struct ag_chan *chan);
void rt_ag_chan_free(struct rt_agent *agent, struct ag_chan *chan);
/* Tells both sides, or the one whose link is given, and frees the channel. */
void rt_ag_chan_end(struct rt_agent *agent, struct ag_chan *chan, const struct ag_link *only,
                    const struct rt_refuse_msg *refuse);
/* All of a link, without a word where `refuse` is NULL. */
void rt_ag_chans_end(struct rt_agent *agent, struct ag_link *link, const struct rt_refuse_msg *refuse);

#endif
