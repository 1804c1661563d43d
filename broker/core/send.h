/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_SEND_H
#define RETETHER_BROKER_CORE_SEND_H

#include "broker/core/agent.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "session/base/list.h"
#include "session/base/slice.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* Sending on a link, within what it may have queued: queue.c has the rules. */

/* REPLYs that may come to one link at the same time, by what was asked; a REQUEST beyond waits. */
#define AG_LINK_REPLIES_MAX 2097152
/* Refusals of what a peer sends beyond its limits, while its link is congested. A peer that goes on and does not read
 * is closed. */
#define AG_LINK_ANSWERS_MAX 262144
/* WELCOME, PINGs, END_OK, and the frame that made a link congested. */
#define AG_LINK_OTHER_MAX 262144
/* Queued bytes at which DATA goes no further, see ag_fits(). */
#define AG_LINK_DATA_MAX (RT_LINK_QUEUED_MAX - AG_LINK_REPLIES_MAX - AG_LINK_ANSWERS_MAX - AG_LINK_OTHER_MAX)

struct rt_frame;

/* More is queued to the link than makes it congested. What is queued to a client's counts for its tenant. */
void rt_ag_jam(struct rt_agent *agent, struct ag_link *link);

/* Counts bytes that are sent to the link. The assert holds whatever peers do: all that is sent to a congested link is
 * within one of the limits above. */
static inline void ag_queue(struct rt_agent *agent, struct ag_link *link, size_t size)
{
    assert(size <= RT_LINK_QUEUED_MAX - link->queued);
    link->queued += (uint32_t)size;
    if (link->queued > RT_LINK_HIGH_WATER) {
        rt_ag_jam(agent, link);
    }
}

/* A refusal that says no more than why. */
static inline struct rt_refuse_msg ag_refusal(enum rt_class cls, const char *text)
{
    return (struct rt_refuse_msg){
        .c = cls, .m = rt_slice_text(text), .delay = cls == RT_CLASS_RETRY_LATER ? AG_RETRY_DELAY_MS : 0};
}

/* Frames that lie in the input: sent from there, those that follow each other with one call. */
void rt_ag_run(struct rt_agent *agent, struct ag_link *to, uint8_t *data, size_t size);
void rt_ag_send_bytes(struct rt_agent *agent, struct ag_link *link, const uint8_t *data, size_t size);
void rt_ag_send_frame(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame,
                      const uint8_t *payload);
int rt_ag_send_msg(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame, enum rt_msg_kind kind,
                   const void *msg);
/* A frame of that size refuses what the peer sends beyond a limit. It is counted, so that a peer that never reads
 * cannot make the queue grow. */
void rt_ag_answered(struct rt_agent *agent, struct ag_link *link, size_t size);
/* The last word on a channel that is gone, or was never mapped. */
void rt_ag_refuse(struct rt_agent *agent, struct ag_link *link, uint32_t channel, const struct rt_refuse_msg *refuse);
void rt_ag_refuse_text(struct rt_agent *agent, struct ag_link *link, uint32_t channel, enum rt_class cls,
                       const char *text);
/* REFUSE on channel 0, then the link is closed and freed. */
void rt_ag_link_refuse(struct rt_agent *agent, struct ag_link *link, const struct rt_refuse_msg *refuse);
void rt_ag_link_refuse_text(struct rt_agent *agent, struct ag_link *link, enum rt_class cls, const char *text);
void rt_ag_link_ping(struct rt_agent *agent, struct ag_link *link);
/* The last frame of a channel that has been freed: now, or when the link has drained. */
void rt_ag_bye(struct rt_agent *agent, struct ag_link *link, const uint8_t *bytes, size_t size);

#endif
