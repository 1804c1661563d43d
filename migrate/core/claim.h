/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_CORE_CLAIM_H
#define RETETHER_MIGRATE_CORE_CLAIM_H

#include "migrate/core/ticket.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who serves: the table of design section 6 as a pure function. migrate/store/functions.lua is its twin. */

/* A record lost for this long may be taken over by another incarnation's join token. */
#define RT_LEASE_MS 30000
/* The longest delay that RETRY_LATER asks for. */
#define RT_CLAIM_RETRY_MS 1000

/* The session's record as the rules need it. */
struct rt_record {
    bool exists;
    enum rt_session_state state;
    uint64_t life; /* 0 until the first claim */
    uint64_t epoch;
    struct rt_id inc;
    struct rt_id ticket; /* the confirmed ticket's id */
    struct rt_id ancestors[RT_ANCESTORS_MAX];
    size_t n_ancestors;
    struct rt_id nonce;         /* of the hello that the claim took effect for */
    char host[RT_HOST_MAX + 1]; /* owner */
    /* Store's time at which it was written lost; of one that is running or moving: at which its owner was found dead.
     */
    uint64_t lost_ms;
    char bound_to[RT_HOST_MAX + 1]; /* identity proved by the transport at the last claim, or "" */
    uint64_t rev;                   /* the highest life that is revoked, 0 none; also where no record exists */
};

/* One claim. At the hello it is tested, at the confirm it is taken. An agent that writes into a store anew what it
 * serves takes with the guest's newest ticket as both `ticket` and `next`, never as a join: the store is not whole
 * then. */
struct rt_claim {
    struct rt_key key;
    bool join; /* presented a join token, else a ticket */
    struct rt_id inc;
    uint64_t life;  /* of the ticket presented; of a join: the newest that the asking agent knows of, else 0 */
    uint64_t epoch; /* of the hello */
    struct rt_id nonce;
    struct rt_id ticket; /* t: the ticket presented (ticket claims only) */
    struct rt_id ancestors[RT_ANCESTORS_MAX];
    size_t n_ancestors;
    bool taken;        /* ticket claims: the ticket says so, or the asking agent has had this incarnation taken */
    struct rt_id next; /* the ticket given in the welcome: becomes the record's on take */
    char host[RT_HOST_MAX + 1];
    char proof[RT_HOST_MAX + 1];     /* identity that the transport proves for this link, or "" */
    char dead_host[RT_HOST_MAX + 1]; /* a host whose heartbeat has expired as the agent knows it, or "" */
    bool store_whole;                /* as the agent knows it */
    uint64_t granted_life;           /* take: the life that the welcome named; 0 at the test */
    uint64_t base;                   /* of a join: the lowest life that its token may start */
};

struct rt_claim_outcome {
    enum rt_class verdict; /* OK, RETRY_LATER, STALE, REWOUND, FORKED, SUPERSEDED, BAD_AUTH: revoked */
    bool draining;
    uint64_t life;              /* OK: the life granted; BAD_AUTH: the highest that is revoked */
    uint64_t epoch;             /* STALE: the record's epoch */
    uint64_t delay_ms;          /* RETRY_LATER */
    char host[RT_HOST_MAX + 1]; /* the record's owner before this claim */
    bool moved;                 /* OK: by another host than the last */
};

/* The rules: record (exists = false for none), claim, the store's time in ms. Changes nothing. */
void rt_claim_judge(const struct rt_record *record, const struct rt_claim *claim, uint64_t store_ms,
                    struct rt_claim_outcome *outcome);

/* Whether what is asked with this claim is of a life up to rev. */
bool rt_claim_revoked(const struct rt_claim *claim, uint64_t rev);

/* What a take with verdict OK writes into the record. */
void rt_claim_apply(struct rt_record *record, const struct rt_claim *claim, const struct rt_claim_outcome *outcome);

#endif
