/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_ATTACK_ROGUE_H
#define RETETHER_TESTS_SYSTEM_ATTACK_ROGUE_H

#include "tests/system/attack/ground.h"

/* A guest of which the attacker has the root: a session of the tenant "local", and what it says to an agent by hand.
 * Calls assert (cmocka). */

struct rogue_token {
    uint8_t data[RT_TOKEN_MAX];
    size_t size; /* 0: none */
};

struct rogue {
    struct peer peer;
    char cid[40];
    struct rogue_token join, ticket; /* ticket: the newest */
    uint8_t inc;                     /* which of its incarnations */
    uint64_t epoch;
    unsigned host;
};

/* A session of this name (which has the round behind it, from the second on), which has not been started. */
void rogue_make(struct rogue *rogue, const char *cid);
/* Says hello with this token, at the epoch above the last. RT_CLASS_OK: it was welcomed, and has the ticket. */
int rogue_hello(struct rogue *rogue, const struct rogue_token *token);
void rogue_confirm(struct rogue *rogue);
/* From the join token to a claim that the store has taken. */
void rogue_join(struct rogue *rogue);
/* Made and joined. */
void rogue_start(struct rogue *rogue, const char *cid);
/* Another connection with the newest ticket, which is served when this returns. */
void rogue_again(struct rogue *rogue);
/* ATTACHED, of these streams, all at their beginning. wants: bit per stream. */
void rogue_answer(struct rogue *rogue, uint32_t channel, uint64_t wants);
/* A client attaches to it on this channel of its own; returns the guest's. */
uint32_t rogue_attached(struct rogue *rogue, struct peer *client, uint32_t channel, unsigned wants);
void rogue_refuse(struct rogue *rogue, uint32_t channel, uint64_t cls, const char *text);
void rogue_close(struct rogue *rogue);

#endif
