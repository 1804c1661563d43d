/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_MIGRATE_CORE_CLAIM_WORLD_H
#define RETETHER_TESTS_UNIT_MIGRATE_CORE_CLAIM_WORLD_H

#include "migrate/core/claim.h"
#include "migrate/core/ticket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The world of the claim model (test_claim_model.c): what guests, agents and the store know, and the store's side of a
 * take, with what must hold of it. */

enum kind { HONEST, RACE, COPIES, KINDS };
#define AGENTS 3
#define GUESTS 2
#define LATE_MAX 6
#define IDS_MAX 1024      /* tickets made in one walk */
#define WHOLE_MS 10000    /* a store that is younger may lack what is served */
#define HEARTBEAT_MS 5000 /* an agent that is silent for longer counts as dead */

struct guest {
    bool alive;
    struct rt_id inc;
    uint64_t epoch;
    bool welcomed; /* has a ticket, else the join token */
    struct rt_ticket ticket;
    bool refused; /* REWOUND or FORKED: every second attempt is a new incarnation's */
    unsigned attempts;
    int link; /* the agent that serves it, or -1 */
};

/* What a store holds, and beside it the tickets that were given a successor since its beginning, with that. */
struct store {
    struct rt_record record;
    struct {
        struct rt_id ticket, next;
    } taken[IDS_MAX];
    size_t n_taken;
};

struct world {
    uint64_t seed, random;
    enum kind kind;
    uint64_t now_ms, born_ms;
    uint64_t back_ms;        /* by how much the store's clock was set back */
    uint64_t newest_life;    /* that a start was welcomed to */
    bool life_back;          /* a later start was welcomed to no newer one, by an agent that had not heard of that */
    struct store store, old; /* old: what a roll-back goes back to */
    struct guest guests[GUESTS], saved;
    struct {
        bool up;
        uint64_t down_ms;
        struct rt_id had;    /* the incarnation that it last had taken, while it runs */
        uint64_t known_life; /* the newest that it heard of, while it runs */
    } agents[AGENTS];
    struct rt_claim late[LATE_MAX]; /* confirms still on their way */
    size_t n_late;
    uint32_t ids;
    uint32_t depth[IDS_MAX]; /* of each ticket, by its number: how many welcomes after the join */
    bool taken[IDS_MAX];     /* whether some store has ever taken it */
};

enum seen {
    SEEN_WELCOME_LOST,
    SEEN_CONFIRM_LOST,
    SEEN_LATE_TAKE,
    SEEN_REPLY_LOST,
    SEEN_ROLLBACK,
    SEEN_FLUSH,
    SEEN_REWRITTEN,
    SEEN_CLONE,
    SEEN_REVERT,
    SEEN_RESTART,
    SEEN_DRAINING,
    SEEN_DEAD_OWNER,
    SEEN_CREATED_AGAIN,
    SEEN_CLOCK_BACK,
    SEEN_RECORD_LOST,
    SEEN_KNOWN_LIFE,
    SEEN_PROVISIONAL,
    SEEN_RENEWED,
    SEEN_RENEWAL_LOST,
    SEEN_SECOND_START,
    SEEN_UNTAKEN_REFUSED,
    SEEN_UNTAKEN_SERVED,
    SEEN_VERDICT,
    SEEN_MAX = SEEN_VERDICT + RT_CLASSES,
};

extern unsigned long seen[SEEN_MAX];

#define CHECK(w, condition)                                                                                            \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fail_msg("seed %ju: %s", (uintmax_t)(w)->seed, #condition);                                                \
        }                                                                                                              \
    } while (0)

uint64_t rnd(struct world *w, uint64_t n);
struct rt_id random_id(struct world *w);
struct rt_id ticket_id(struct world *w, uint32_t depth);
uint32_t depth_of(const struct world *w, const struct rt_id *id);
/* Whether a store has ever taken the ticket presented, or one before it. */
bool was_taken(const struct world *w, const struct rt_claim *claim);
void agent_name(int agent, char name[RT_HOST_MAX + 1]);
bool same_record(const struct rt_record *a, const struct rt_record *b);
uint64_t store_ms(const struct world *w);
/* The number of the agent that the record names, or -1. */
int owner_of(const struct rt_record *record);
bool serves(const struct world *w, const struct guest *guest);
/* The store runs one take: checked against all that must hold. Returns the verdict. */
enum rt_class take(struct world *w, const struct rt_claim *claim);

#endif
