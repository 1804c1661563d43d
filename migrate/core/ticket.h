/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_CORE_TICKET_H
#define RETETHER_MIGRATE_CORE_TICKET_H

#include "session/base/error.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ancestors that a ticket carries, newest first. The one that the store last had a part in stays among them, however
 * many were given without the store. When the store takes more tickets than this and then loses them, the guest reads
 * as a fork. */
#define RT_ANCESTORS_MAX 16

struct rt_id {
    uint8_t b[RT_ID_SIZE];
};

bool rt_id_equal(const struct rt_id *a, const struct rt_id *b);

/* A session's key: container IDs are unique within a tenant. NUL-terminated. */
struct rt_key {
    char tenant[RT_TENANT_MAX + 1];
    char cid[RT_CID_MAX + 1];
};

bool rt_key_equal(const struct rt_key *a, const struct rt_key *b);

/* What a token says: its plain content before sealing and after opening. */
struct rt_ticket {
    bool join; /* a join token: only key, life, bound_to, expires, issuer, key_id count */
    struct rt_key key;
    uint64_t life; /* of a join token: the lowest that it may start */
    uint64_t epoch;
    struct rt_id inc; /* incarnation */
    struct rt_id id;
    struct rt_id ancestors[RT_ANCESTORS_MAX]; /* parent first */
    size_t n_ancestors;
    /* The store is known to have taken a claim by this ticket, or by one before it in its chain. Else the ticket is
     * worth the join token that its chain began with: a welcome that was never taken gives no right that the token does
     * not.
     */
    bool taken;
    /* How many tickets in a row, with this one, were given without the store; RT_ANCESTORS_MAX stands for more. */
    uint8_t unproven;
    uint64_t expires_ms;            /* ms since 1970; 0 never */
    char bound_to[RT_HOST_MAX + 1]; /* identity that the transport must prove, or "" */
    char issuer[RT_HOST_MAX + 1];   /* host that sealed it */
    uint32_t key_id;
};

enum rt_relation { RT_SAME, RT_DESCENDS, RT_ANCESTOR, RT_DIVERGES };

/* How ticket (id + ancestors) t stands to the ticket c: the same, a descendant of it, a proper ancestor, or neither. */
enum rt_relation rt_ticket_relation(const struct rt_id *t, const struct rt_id *t_ancestors, size_t n_t,
                                    const struct rt_id *c, const struct rt_id *c_ancestors, size_t n_c);

/* The ancestors of a child of the ticket (id + ancestors): id first, the oldest dropped past the limit. out must not be
 * ancestors itself. Returns how many. */
size_t rt_ticket_ancestry(const struct rt_id *id, const struct rt_id *ancestors, size_t n,
                          struct rt_id out[RT_ANCESTORS_MAX]);

/* Fills child as the next ticket after parent: same key, inc, life, bound_to; taken if it is; given id and epoch;
 * ancestors shifted, of which the last proven one is kept. `unproven` is 0; the caller sets it for a ticket that is
 * given without the store. The child of a join token has no ancestors; its inc and life are the caller's to fill in. */
void rt_ticket_child(const struct rt_ticket *parent, const struct rt_id *id, uint64_t epoch, struct rt_ticket *child);

/* Plain serialisation (fixed order, big-endian), for the seal. Returns bytes written or RT_ELIMIT / RT_EPROTO. */
RT_MUST_CHECK int rt_ticket_encode(const struct rt_ticket *ticket, uint8_t *out, size_t cap);
RT_MUST_CHECK int rt_ticket_decode(const uint8_t *data, size_t size, struct rt_ticket *ticket);

/* Sealing as the pure agent sees it; migrate/seal gives the real one, the simulation a plain one. */
struct rt_sealer {
    void *ctx;
    /* Returns the token's bytes (<= RT_TOKEN_MAX) or a negative code. */
    int (*seal)(void *ctx, const struct rt_ticket *ticket, uint8_t *out, size_t cap);
    /* RT_ENOTFOUND when its key is not in the ring, RT_EAUTH when it was not sealed under it, RT_EEXPIRED after its
     * time, RT_EPROTO when it is no token. */
    int (*open)(void *ctx, const uint8_t *token, size_t size, uint64_t wall_ms, struct rt_ticket *ticket);
};

#endif
