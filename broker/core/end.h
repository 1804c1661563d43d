/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_END_H
#define RETETHER_BROKER_CORE_END_H

#include "broker/core/list.h"
#include "migrate/core/claim.h"
#include "migrate/core/ticket.h"
#include "session/core/msg_hop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The end of a container on its way into the store: status and tails. */

struct ag_link;
struct ag_op;
struct rt_agent;
struct rt_frame;
struct rt_store_reply;

/* Tails whose END has not come after this are forgotten. */
#define AG_TAILS_MS 10000

struct ag_end {
    struct ag_list node; /* agent.kept */
    struct rt_key key;
    uint64_t life, epoch;
    struct rt_end_msg end;
    uint8_t *tail[2]; /* owned */
    size_t size[2];
    uint64_t offset[2];
    struct rt_claim claim; /* under which it was served */
    uint64_t began;        /* when its first part came */
    bool kept;             /* on disk */
    bool claim_tried;      /* since it was last begun with */
    bool unclaimed;        /* when its guest told it */
};

void rt_ag_tail(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame, const uint8_t *data);
/* Forgets tails whose END does not follow: they keep a place that others may need. */
void rt_ag_end_late(struct rt_agent *agent, struct ag_link *link);
void rt_ag_end(struct rt_agent *agent, struct ag_link *link, const struct rt_end_msg *end);
void rt_ag_end_submit(struct rt_agent *agent, struct ag_link *link);
void rt_ag_end_reply(struct rt_agent *agent, struct ag_op *op, const struct rt_store_reply *reply);
void rt_ag_end_free(struct rt_agent *agent, struct ag_end *end);
void rt_ag_kept_again(struct rt_agent *agent);
const struct ag_end *rt_ag_kept_find(const struct rt_agent *agent, const struct rt_key *key);

#endif
