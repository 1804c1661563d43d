/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/claim.h"

#include <string.h>

/* Who serves. For example, the store's time is 5000000, and a record says: running at host A, life 7, epoch 4,
 * incarnation X, ticket t3, whose ancestors are t2 and t1. Then a claim is answered:
 *
 *     incarnation X, epoch 5, ticket t3            the next connection                       OK, life 7
 *     X, epoch 7, ticket t5 (of t4, t3, t2, t1)    two welcomes were never confirmed         OK, life 7
 *     X, epoch 4, ticket t3, another nonce         a connection with this epoch was made     STALE(4)
 *     X, epoch 5, ticket t2                        a snapshot of before t3: t2 is t3's past  REWOUND
 *     X, epoch 5, ticket u3 (of t2, t1)            a clone of t2 got a ticket of its own     FORKED
 *     Y, ticket y1 of life 8, taken                a newer start, which this store missed    OK, life 8
 *     Y, ticket y1 of life 6, taken                an older start                            SUPERSEDED
 *     Y, join token, or y1 of life 8, untaken      A serves another start                    RETRY_LATER
 *     ... and A is dead, or has been written       nobody serves it                          OK, life 5000000
 *         lost for 30 s                                                                      (y1: life 8)
 *
 * A new life has the store's time as its number. The small numbers stand for such times. */

/* What stands in the store, one bit each. */
enum {
    REC_NONE = 1,
    REC_CREATED = 2, /* made by create: nobody has served it, so it has neither incarnation nor ticket */
    REC_SERVED = 4,  /* running or moving */
    REC_LOST = 8,
    REC_ENDED = 16,
    REC_CLAIMED = REC_SERVED | REC_LOST | REC_ENDED,
    REC_ANY = REC_NONE | REC_CREATED | REC_CLAIMED,
};

/* Who asks. Same and other compare incarnations; without a claimed record everyone is other. A ticket of a chain of
 * which nothing was ever taken counts as the join token that the chain began with. */
enum {
    BY_SAME = 1,
    BY_OTHER_TICKET = 2,
    BY_OTHER_JOIN = 4,
    BY_ANY = BY_SAME | BY_OTHER_TICKET | BY_OTHER_JOIN,
};

/* What holds besides. */
enum {
    IF_REPEATED = 1,     /* this very claim has taken effect already: its ticket is the record's */
    IF_WHOLE = 2,        /* the store has had the time to learn again what is served */
    IF_ANCESTOR = 4,     /* t is a proper ancestor of c */
    IF_DIVERGES = 8,     /* t and c are on different branches */
    IF_EPOCH_NEWER = 16, /* the hello's epoch is above the record's */
    IF_SAME_HELLO = 32,  /* epoch, owner and nonce are the record's: a ticket renewed within one connection */
    IF_LIFE_NEWER = 64,  /* the ticket's life is above the record's, or equal with the larger incarnation */
    IF_SAME_VM = 128,    /* the transport proves the identity that it proved at the last claim */
    IF_OWNER_DEAD = 256, /* the owner's heartbeat has expired */
    IF_LEASE_OVER = 512, /* lost for a full lease */
    IF_REVOKED = 1024,   /* the ticket's life, or the lowest that the token may start, is revoked */
};

enum life { LIFE_NONE, LIFE_RECORDED, LIFE_OF_TICKET, LIFE_NEXT };

/* The table of the design, in its order: the first row decides whose record and asker fit and whose conditions all
 * hold. Every combination is decided, as each group ends in a row without conditions.
 *
 * - What is revoked comes before all: its token or ticket proves nothing any more, whoever serves it.
 * - A repeated take comes next: once the take has had its effect, the ticket that it presented is an ancestor.
 * - A record in state created says that somebody wants this container, not that it runs. So a join starts it whether
 *   the store is whole or not. A ticket at it means that the store forgot the session and create was repeated: the
 *   guest is served as if there were no record, unless create kept the life of an ended predecessor and the ticket is
 *   no newer than that: then the guest belongs to the container that create has replaced.
 * - A join token of the record's own incarnation is the root of its chain: a guest has its first ticket in hand before
 *   it confirms, so it went back in time. ticket_facts() makes it an ancestor.
 * - Two starts with one token may both be welcomed before either confirms. The one that is taken serves. The other's
 *   ticket may be of a newer life, and must not displace it: neither from its record nor, when the store has lost that
 *   record, before its agent takes it again. So an untaken ticket is judged as a join wherever the record is not its
 *   own, but for the number of its life, which clients may know.
 * - An owner whose heartbeat has expired cannot write lost, so no lease would ever start: its sessions are free at
 *   once. A session that was written lost waits for its lease whoever wrote it: its guest may be on its way. */
static const struct rule {
    unsigned record, by, conditions;
    enum rt_class verdict;
    enum life life;
} rules[] = {
    {REC_ANY, BY_ANY, IF_REVOKED, RT_CLASS_BAD_AUTH, LIFE_NONE},

    {REC_ANY, BY_ANY, IF_REPEATED, RT_CLASS_OK, LIFE_RECORDED},

    {REC_NONE, BY_OTHER_JOIN, IF_WHOLE, RT_CLASS_OK, LIFE_NEXT},
    {REC_NONE, BY_OTHER_JOIN, 0, RT_CLASS_RETRY_LATER, LIFE_NONE},
    {REC_NONE, BY_OTHER_TICKET, 0, RT_CLASS_OK, LIFE_OF_TICKET},

    {REC_CREATED, BY_OTHER_JOIN, 0, RT_CLASS_OK, LIFE_NEXT},
    {REC_CREATED, BY_OTHER_TICKET, IF_LIFE_NEWER, RT_CLASS_OK, LIFE_OF_TICKET},
    {REC_CREATED, BY_OTHER_TICKET, 0, RT_CLASS_SUPERSEDED, LIFE_NONE},

    {REC_CLAIMED, BY_SAME, IF_ANCESTOR, RT_CLASS_REWOUND, LIFE_NONE},
    {REC_CLAIMED, BY_SAME, IF_DIVERGES, RT_CLASS_FORKED, LIFE_NONE},
    {REC_CLAIMED, BY_SAME, IF_EPOCH_NEWER, RT_CLASS_OK, LIFE_RECORDED},
    {REC_CLAIMED, BY_SAME, IF_SAME_HELLO, RT_CLASS_OK, LIFE_RECORDED},
    {REC_CLAIMED, BY_SAME, 0, RT_CLASS_STALE, LIFE_NONE},

    {REC_CLAIMED, BY_OTHER_TICKET, IF_LIFE_NEWER, RT_CLASS_OK, LIFE_OF_TICKET},
    {REC_CLAIMED, BY_OTHER_TICKET, 0, RT_CLASS_SUPERSEDED, LIFE_NONE},

    {REC_SERVED | REC_LOST, BY_OTHER_JOIN, IF_SAME_VM, RT_CLASS_OK, LIFE_NEXT},
    {REC_SERVED, BY_OTHER_JOIN, IF_OWNER_DEAD, RT_CLASS_OK, LIFE_NEXT},
    {REC_SERVED, BY_OTHER_JOIN, 0, RT_CLASS_RETRY_LATER, LIFE_NONE},
    {REC_LOST, BY_OTHER_JOIN, IF_LEASE_OVER, RT_CLASS_OK, LIFE_NEXT},
    {REC_LOST, BY_OTHER_JOIN, 0, RT_CLASS_RETRY_LATER, LIFE_NONE},
    {REC_ENDED, BY_OTHER_JOIN, 0, RT_CLASS_OK, LIFE_NEXT},
};

/* record is one of zeros when there is none. */
static unsigned record_bit(const struct rt_record *record)
{
    if (!record->exists) {
        return REC_NONE;
    }
    switch (record->state) {
    case RT_SESSION_CREATED:
        return REC_CREATED;
    case RT_SESSION_LOST:
        return REC_LOST;
    case RT_SESSION_ENDED:
        return REC_ENDED;
    case RT_SESSION_NONE:
    case RT_SESSION_RUNNING:
    case RT_SESSION_MOVING:
        break;
    }
    return REC_SERVED;
}

bool rt_claim_revoked(const struct rt_claim *claim, uint64_t rev)
{
    return rev != 0 && (claim->join ? claim->base : claim->life) <= rev;
}

static bool same_text(const char *a, const char *b)
{
    return a[0] != '\0' && strcmp(a, b) == 0;
}

/* Whether this take has had its effect already. That is so when its reply was lost, or when an agent takes again what
 * it serves: it changes nothing then. */
static bool repeated(const struct rt_record *record, const struct rt_claim *claim)
{
    return record->exists && record->state != RT_SESSION_CREATED && rt_id_equal(&record->inc, &claim->inc) &&
           record->epoch == claim->epoch && rt_id_equal(&record->nonce, &claim->nonce) &&
           strcmp(record->host, claim->host) == 0 && rt_id_equal(&record->ticket, &claim->next);
}

static unsigned asker_bit(const struct rt_record *record, const struct rt_claim *claim)
{
    if ((record_bit(record) & REC_CLAIMED) != 0 && rt_id_equal(&record->inc, &claim->inc)) {
        return BY_SAME;
    }
    return claim->join || !claim->taken ? BY_OTHER_JOIN : BY_OTHER_TICKET;
}

/* Facts about the guest's own claim against the record: place in the chain, epoch, life. */
static unsigned ticket_facts(const struct rt_record *record, const struct rt_claim *claim)
{
    unsigned facts = 0;
    enum rt_relation relation = RT_ANCESTOR;

    if (!claim->join) {
        relation = rt_ticket_relation(&claim->ticket, claim->ancestors, claim->n_ancestors, &record->ticket,
                                      record->ancestors, record->n_ancestors);
    }
    if (relation == RT_ANCESTOR) {
        facts |= IF_ANCESTOR;
    }
    if (relation == RT_DIVERGES) {
        facts |= IF_DIVERGES;
    }
    if (claim->epoch > record->epoch) {
        facts |= IF_EPOCH_NEWER;
    }
    if (claim->epoch == record->epoch && rt_id_equal(&claim->nonce, &record->nonce) &&
        strcmp(claim->host, record->host) == 0) {
        facts |= IF_SAME_HELLO;
    }
    /* Two starts may have been given one life by two stores, of which one was lost: then the larger incarnation is
     * taken for the newer one, by its unsigned bytes, so that all agree. A record in state created has no incarnation.
     */
    if (claim->life > record->life || (claim->life == record->life && record->state != RT_SESSION_CREATED &&
                                       memcmp(claim->inc.b, record->inc.b, RT_ID_SIZE) > 0)) {
        facts |= IF_LIFE_NEWER;
    }
    return facts;
}

static unsigned facts_of(const struct rt_record *record, const struct rt_claim *claim, uint64_t store_ms)
{
    unsigned facts = ticket_facts(record, claim);

    if (rt_claim_revoked(claim, record->rev)) {
        facts |= IF_REVOKED;
    }
    if (repeated(record, claim)) {
        facts |= IF_REPEATED;
    }
    if (claim->store_whole) {
        facts |= IF_WHOLE;
    }
    if (same_text(claim->proof, record->bound_to)) {
        facts |= IF_SAME_VM;
    }
    if (same_text(claim->dead_host, record->host)) {
        facts |= IF_OWNER_DEAD;
    }
    if (record->lost_ms + RT_LEASE_MS <= store_ms) {
        facts |= IF_LEASE_OVER;
    }
    return facts;
}

static const struct rule *find_rule(const struct rt_record *record, const struct rt_claim *claim, uint64_t store_ms)
{
    const struct rule *rule = rules;
    unsigned state = record_bit(record);
    unsigned by = asker_bit(record, claim);
    unsigned facts = facts_of(record, claim, store_ms);

    while ((rule->record & state) == 0 || (rule->by & by) == 0 || (rule->conditions & facts) != rule->conditions) {
        rule++; /* ends: the last row of each group has no conditions */
    }
    return rule;
}

/* When to ask again: after what is left of the lease, at most after RT_CLAIM_RETRY_MS, as the owner's guest may end, or
 * be lost, at any time. */
static uint64_t retry_delay(const struct rt_record *record, uint64_t store_ms)
{
    uint64_t over_ms = record->lost_ms + RT_LEASE_MS;

    if (record->state == RT_SESSION_LOST && over_ms > store_ms && over_ms - store_ms < RT_CLAIM_RETRY_MS) {
        return over_ms - store_ms;
    }
    return RT_CLAIM_RETRY_MS;
}

/* The number of a new life. The welcome has named it at the test, and the take keeps that one, or gives 0 when the
 * record has reached it meanwhile. An untaken ticket keeps its number while that is above the record's, as clients may
 * know it. A join's number is also above what its agent knows of. Else, with the record lost and the store's clock set
 * back, the new start would have a lower number than the one before it; and once that one's agent takes its record
 * again, the new start would be superseded, though the VM of the old one is dead. */
static uint64_t next_life(const struct rt_record *record, const struct rt_claim *claim, uint64_t store_ms)
{
    uint64_t least = (record->life > record->rev ? record->life : record->rev) + 1;

    if (claim->granted_life != 0) {
        return claim->granted_life >= least ? claim->granted_life : 0;
    }
    if (!claim->join && claim->life >= least) {
        return claim->life;
    }
    if (claim->life >= least) {
        least = claim->life + 1;
    }
    return least > store_ms ? least : store_ms;
}

void rt_claim_judge(const struct rt_record *record, const struct rt_claim *claim, uint64_t store_ms,
                    struct rt_claim_outcome *outcome)
{
    const struct rt_record none = {.rev = record->rev};
    const struct rule *rule;

    if (!record->exists) {
        record = &none;
    }
    rule = find_rule(record, claim, store_ms);
    memset(outcome, 0, sizeof(*outcome));
    outcome->verdict = rule->verdict;
    memcpy(outcome->host, record->host, sizeof(outcome->host));
    switch (rule->life) {
    case LIFE_NONE:
        break;
    case LIFE_RECORDED:
        outcome->life = record->life;
        outcome->draining = record->state == RT_SESSION_ENDED;
        break;
    case LIFE_OF_TICKET:
        outcome->life = claim->life;
        break;
    case LIFE_NEXT:
        outcome->life = next_life(record, claim, store_ms);
        if (outcome->life == 0) {
            outcome->verdict = RT_CLASS_RETRY_LATER;
        }
        break;
    }
    if (outcome->verdict == RT_CLASS_OK) {
        outcome->moved = outcome->host[0] != '\0' && strcmp(outcome->host, claim->host) != 0;
    } else if (outcome->verdict == RT_CLASS_BAD_AUTH) {
        outcome->life = record->rev;
    } else if (outcome->verdict == RT_CLASS_STALE) {
        outcome->epoch = record->epoch;
    } else if (outcome->verdict == RT_CLASS_RETRY_LATER) {
        outcome->delay_ms = retry_delay(record, store_ms);
    }
}

void rt_claim_apply(struct rt_record *record, const struct rt_claim *claim, const struct rt_claim_outcome *outcome)
{
    /* A late repetition must not bring back a session that was written lost in between. */
    if (repeated(record, claim)) {
        return;
    }
    record->exists = true;
    record->state = outcome->draining ? RT_SESSION_ENDED : RT_SESSION_RUNNING;
    record->life = outcome->life;
    record->epoch = claim->epoch;
    record->inc = claim->inc;
    record->n_ancestors = 0;
    if (!claim->join) {
        record->n_ancestors =
            rt_ticket_ancestry(&claim->ticket, claim->ancestors, claim->n_ancestors, record->ancestors);
    }
    record->ticket = claim->next;
    record->nonce = claim->nonce;
    memcpy(record->host, claim->host, sizeof(record->host));
    memcpy(record->bound_to, claim->proof, sizeof(record->bound_to));
    record->lost_ms = 0;
}
