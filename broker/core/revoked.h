/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_REVOKED_H
#define RETETHER_BROKER_CORE_REVOKED_H

#include "broker/core/hash.h"
#include "migrate/core/ticket.h"
#include "session/base/list.h"

#include <stdbool.h>
#include <stdint.h>

/* What an operator has revoked, as far as this agent has heard: it holds while the store is out. */

#define AG_REVOKED_TEXT "this container has been revoked"
/* Told to a store that may have lost them, under way at one time. */
#define AG_REVOKED_FLIGHT_MAX 64
/* With the disk at one time; the others wait. One alone while the disk fails, and after this time. */
#define AG_REVOKED_WRITING_MAX 16
#define AG_REVOKED_DISK_MS 1000

struct ag_op;
struct ag_session;
struct rt_agent;
struct rt_store_reply;

struct ag_revoked {
    UT_hash_handle hh;     /* in the order in which they were heard of */
    struct rt_list again;  /* agent.revoked_again */
    struct rt_list unkept; /* agent.revoked_unkept */
    uint64_t life;         /* none up to it is served */
    uint64_t kept;         /* the life that its file has; 0: there is none. It goes when a newer one is written */
    bool writing;          /* the disk has been asked to keep it */
    char name[];           /* its key: tenant and cid, two texts */
};

/* The highest life of it that is revoked, as far as this agent has heard; 0: none. */
uint64_t rt_ag_revoked(struct rt_agent *agent, const struct rt_key *key);
bool rt_ag_is_revoked(struct rt_agent *agent, const struct rt_key *key, uint64_t life);
/* The newest life that is known of it. */
bool rt_ag_session_revoked(struct rt_agent *agent, const struct ag_session *session);
/* That was heard: by the news, in a record, or as the answer to a claim. life 0 says nothing. */
void rt_ag_revoked_note(struct rt_agent *agent, const struct rt_key *key, uint64_t life);
/* The same, by an earlier run of this agent, whose disk has it; of one container there may be several. */
void rt_ag_revoked_kept(struct rt_agent *agent, const struct rt_key *key, uint64_t life);
/* The disk has written it, or failed to. */
void rt_ag_revoked_written(struct rt_agent *agent, const struct rt_key *key, uint64_t life, int error);
void rt_ag_revoked_timer(struct rt_agent *agent);
/* The store is there; a fresh one may have lost all of it. */
void rt_ag_revoked_again(struct rt_agent *agent, bool fresh);
void rt_ag_revoked_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);
void rt_ag_revoked_free(struct rt_agent *agent);

#endif
