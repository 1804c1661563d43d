/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_AGENTS_H
#define RETETHER_TESTS_SIM_AGENTS_H

#include "migrate/core/store_op.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Agents, and the disk that outlives them. */

#define SIM_AGENTS 3       /* of most runs */
#define SIM_AGENTS_MAX 300 /* of a large one, see sim_options */
#define SIM_ENDS 8
#define SIM_KEYS_MAX 3
#define SIM_REVOKED_FILES 4 /* of one container: there are two but for kills in between */
#define SIM_TICKETS 4096    /* an older one's parent is not known any more */

struct rt_agent;
struct rt_key;
struct rt_ticket;

/* A ticket and the one before it: what no ticket is long enough to tell. */
struct sim_lineage {
    struct rt_id id, parent;
};

struct sim_agent {
    struct rt_store_op *ends; /* owned; SIM_ENDS, made when first needed: its disk, which outlives it */
    size_t n_ends;
    uint64_t disk_free_us, disk_slow_until_us;
    int disk_fails; /* that many writes */
    bool used, paused;
    bool touched; /* its machine was called since the last check */
    uint32_t gen;
    struct rt_agent *agent; /* owned */
    uint64_t timer_us, paused_until_us;
    uint64_t up_us; /* in touch with the store since */
    bool store_up;
    bool gone;                      /* its host has died for good */
    uint64_t revoked[SIM_KEYS_MAX]; /* what it has heard to be revoked, by container */
    uint64_t owed[SIM_KEYS_MAX];    /* of that, what the store had then: if it loses it, it is told again */
    uint64_t revoked_files[SIM_KEYS_MAX][SIM_REVOKED_FILES]; /* of its disk; 0: none */
    uint32_t newest_key, active_key;                         /* of its ring, a file that outlives it */
};

void sim_start_agent(int agent);
void sim_kill_agent(int agent);
void sim_agent_timer(int agent);
void sim_touch(int agent); /* the next check looks at it */
const char *sim_host_name(int agent);
void sim_agent_name(int agent, char out[RT_HOST_MAX + 1]);
void sim_agent_addr(int agent, char out[RT_ADDR_MAX + 1]);
int sim_agent_at(const char *addr);
/* A new key is made, reaches every host's ring, and is made active there, mostly once all have it. False while the last
 * change goes on. */
bool sim_change_key(void);
int sim_seal(void *ctx, const struct rt_ticket *ticket, uint8_t *out, size_t cap);
/* Whether an honest guest's ticket is rightly taken for a copy's: the record's is an ancestor that it has forgotten. */
bool sim_ticket_forgot(const uint8_t *token, size_t size, const struct rt_id *recorded);
int sim_open(void *ctx, const uint8_t *token, size_t size, uint64_t wall_ms, struct rt_ticket *ticket);
const struct rt_key *sim_key_of(int container);
void sim_key(int container, struct rt_key *key);

#endif
