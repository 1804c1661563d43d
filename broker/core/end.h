/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_END_H
#define RETETHER_BROKER_CORE_END_H

#include "broker/core/agent.h"
#include "migrate/core/claim.h"
#include "migrate/core/ticket.h"
#include "session/base/list.h"
#include "session/core/msg_hop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The end of a container on its way into the store, status and tails, and what its guest is told of it. end_guest.c
 * collects it, end_store.c brings it to the store or, while that does not take it, onto this host's disk. */

struct ag_link;
struct ag_op;
struct ag_tenant;
struct rt_agent;
struct rt_frame;
struct rt_store_op;
struct rt_store_reply;

/* Tails that have not gone on for so long, without an END, are forgotten; and those that began so long ago. */
#define AG_TAILS_MS 10000
#define AG_TAILS_ALL_MS 60000
/* What is kept is offered to the store again after AG_STORE_RETRY_MS, then each time after twice as long, up to this.
 */
#define AG_KEPT_RETRY_MAX_MS 30000

/* An end that the store has, and may lose at a failover, is looked for in its record after this. No failover that was
 * under way before goes unseen for so long (RT_PRIMARY_SURE_MS). */
#define AG_LOOK_MS 10000

enum ag_end_disk { AG_DISK_NONE, AG_DISK_WRITING, AG_DISK_KEPT };

/* What the store has room for:
 *
 *     AG_ROOM_ALL <--refused as it is full, or for another reason--> AG_ROOM_NONE --took the status--> AG_ROOM_MARKED
 *
 * Once marked, the store has the status, and knows that the tails are here. The end stays so until all of it is stored.
 */
enum ag_end_room { AG_ROOM_ALL, AG_ROOM_NONE, AG_ROOM_MARKED };

struct ag_end {
    struct rt_list node; /* agent.ends, once its END has come */
    uint32_t id;         /* by which the disk answers */
    struct rt_key key;
    uint64_t life, epoch;
    struct rt_end_msg end; /* its order lies in ord */
    uint8_t *ord;          /* owned */
    uint8_t *tail[2];      /* owned */
    size_t size[2];
    uint64_t offset[2];
    struct rt_claim claim;    /* under which it was served */
    struct ag_tenant *tenant; /* for whom it counts */
    uint64_t begun;           /* when its first part came */
    uint64_t heard;           /* when its newest part came */
    uint32_t link;            /* whose guest waits for the answer; 0 nobody */
    uint8_t disk;             /* enum ag_end_disk */
    uint8_t room;             /* enum ag_end_room */
    uint8_t how;              /* enum rt_end_how: where it is safe */
    bool asked;               /* the store owes an answer */
    bool grown;               /* and what it was asked lacks a tail or an order that has joined since */
    bool over;                /* nobody needs it: freed with the answers that are owed */
    bool claim_tried;         /* its take has been asked for since it was last offered */
    bool unclaimed;           /* when its guest told it */
    bool unsure;              /* the store took it whole, and may lose it at a failover */
    bool spread;              /* and has told, each time since spread_at, that all connected replicas have it */
    uint64_t spread_at;
    uint64_t offer_at; /* when it is offered again; 0: not set */
    uint64_t delay;    /* the next time, after so many ms */
};

/* end.c */
/* The link has drained: the newest answer that waited goes. */
void rt_ag_end_drained(struct rt_agent *agent, struct ag_link *link);
void rt_ag_end_answer(struct rt_agent *agent, struct ag_link *link, enum rt_end_how how);
/* NULL: RT_ENDS_MAX are there, or half of them are of this tenant. link 0: it is there already, and only counts. */
struct ag_end *rt_ag_end_new(struct rt_agent *agent, const char *tenant, rt_link_id link);
void rt_ag_end_free(struct rt_agent *agent, struct ag_end *end);
/* Keeps a copy of the order of its tails. The order is not known when there is no memory, or when it tells of more
 * bytes than the tails have. */
void rt_ag_end_order(struct ag_end *end, struct rt_slice ord);

/* The end of that life that is on its way, or NULL. */
struct ag_end *rt_ag_end_at(const struct rt_agent *agent, const struct rt_key *key, uint64_t life);
/* The end of that life that lies on this host's disk, or NULL. life 0: of the newest there is. */
const struct ag_end *rt_ag_kept(const struct rt_agent *agent, const struct rt_key *key, uint64_t life);
/* The kept end that a record lacks, or NULL. rule NULL: there is no record. end.c has examples. */
const struct ag_end *rt_ag_kept_beyond(const struct rt_agent *agent, const struct rt_key *key,
                                       const struct rt_record *rule);

/* end_store.c */
void rt_ag_end_begin(struct rt_agent *agent, struct ag_end *end); /* takes it */
void rt_ag_end_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);
void rt_ag_kept_again(struct rt_agent *agent); /* the store is up */
void rt_ag_kept_timer(struct rt_agent *agent);
void rt_ag_disk_reply(struct rt_agent *agent, uint32_t id, int error);
void rt_ag_kept_end(struct rt_agent *agent, const struct rt_store_op *op);

/* end_guest.c */
void rt_ag_tail(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame, const uint8_t *data);
/* Forgets tails that do not go on: they keep a place that others may need. */
void rt_ag_end_late(struct rt_agent *agent, struct ag_link *link);
void rt_ag_end(struct rt_agent *agent, struct ag_link *link, const struct rt_end_msg *end);
/* The link serves its session: what its guest told of its end counts. */
void rt_ag_end_submit(struct rt_agent *agent, struct ag_link *link);

#endif
