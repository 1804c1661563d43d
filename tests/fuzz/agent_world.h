/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_FUZZ_AGENT_WORLD_H
#define RETETHER_TESTS_FUZZ_AGENT_WORLD_H

#include "broker/core/agent.h"
#include "broker/core/revoked.h"
#include "migrate/core/store_op.h"
#include "migrate/core/ticket.h"
#include "session/core/protocol.h"
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What fuzz_agent.c puts around the agent's machine: peers, of which the first half are guests, a store that may
 * answer anything, and the checks. */

#define WORLD_GUESTS 3
#define WORLD_PEERS 6
#define WORLD_KEYS 4
/* Store operations that wait for their answer; one more is refused. */
#define WORLD_OPS 64
#define WORLD_KEPT 64
#define WORLD_WRITES 8
#define WORLD_WALL_MS UINT64_C(1700000000000)

struct world_peer {
    rt_link_id id; /* 0: not connected */
    uint8_t key;   /* guest: of world_key() */
    uint8_t inc;   /* guest: its incarnation, a byte repeated */
    uint64_t epoch;
    uint8_t ticket[RT_TOKEN_MAX]; /* guest: of the newest WELCOME */
    size_t ticket_size;
};

struct world {
    struct rt_agent *agent;
    uint64_t now;
    struct world_peer peers[WORLD_PEERS];
    unsigned feeding; /* the peer whose input is under way */
    size_t cut;       /* the next bytes come in two parts, the first of this size; 0: whole */
    bool cut_off;     /* the link is lost between them */
    bool disk_full, refusing, drains_writing;
    struct rt_store_op ops[WORLD_OPS];
    size_t n_ops;
    uint64_t answered; /* id of the last operation answered */
    struct {
        struct rt_key key;
        uint64_t life;
    } kept[WORLD_KEPT];
    size_t n_kept;
    struct {
        uint32_t id;
        struct rt_key key;
        uint64_t life;
    } writes[WORLD_WRITES]; /* under way */
    size_t n_writes;
    struct {
        struct rt_key key;
        uint64_t life;
    } revoking[AG_REVOKED_WRITING_MAX]; /* likewise */
    size_t n_revoking;
    uint8_t count; /* of fuzz_random() */
};
extern struct world world;
extern struct fuzz_pipe world_pipes[WORLD_PEERS];

void world_key(unsigned n, struct rt_key *key);
/* The peer of a link, or WORLD_PEERS. */
unsigned world_peer_of(rt_link_id id);

/* agent_io.c: what the agent asks of its shell */
void world_new(uint8_t options);
void world_free(void);
void world_disk_answer(void);

/* agent_store.c: the store remembers claims until world_store_reset() and answers by the rules, or as it likes. */
void world_store_reset(void);
int world_store(void *ctx, const struct rt_store_op *op);
void world_store_answer(struct fuzz_in *in);
void world_store_news(struct fuzz_in *in);
void world_store_up(bool fresh, bool whole);
/* A heartbeat of ours was answered. */
void world_store_beat(void);

/* agent_check.c: what holds between two calls, whatever was sent and answered */
void world_check(void);

#endif
