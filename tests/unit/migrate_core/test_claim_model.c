/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/claim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Random walks of the claim rules alone: up to two copies of a guest, three agents, one store. A hello is judged, its
 * welcome, its confirm and the renewal of its ticket may be lost, its take may come late, twice or not at all, the
 * store may be silent, forget or go back. In an honest walk no copy is ever made: there the guest must get through. In
 * a race two VMs were started with one token: the one that is taken serves, and keeps its place. */
#define WALKS 60000
enum kind { HONEST, RACE, COPIES, KINDS };
#define STEPS 60
#define AGENTS 3
#define GUESTS 2
#define LATE_MAX 6
#define IDS_MAX 1024      /* tickets made in one walk */
#define WHOLE_MS 10000    /* a store that is younger may lack what is served */
#define HEARTBEAT_MS 5000 /* an agent that is silent for longer counts as dead */
#define QUIET_ROUNDS 80   /* seconds that an honest guest may need once the faults have stopped: a lease and more */

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
    struct store store, old; /* old: what a roll-back goes back to */
    struct guest guests[GUESTS], saved;
    struct {
        bool up;
        uint64_t down_ms;
        struct rt_id had; /* the incarnation that it last had taken, while it runs */
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
    SEEN_PROVISIONAL,
    SEEN_RENEWED,
    SEEN_RENEWAL_LOST,
    SEEN_SECOND_START,
    SEEN_UNTAKEN_REFUSED,
    SEEN_UNTAKEN_SERVED,
    SEEN_VERDICT,
    SEEN_MAX = SEEN_VERDICT + RT_CLASSES,
};
static unsigned long seen[SEEN_MAX];

#define CHECK(w, condition)                                                                                            \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fail_msg("seed %ju: %s", (uintmax_t)(w)->seed, #condition);                                                \
        }                                                                                                              \
    } while (0)

static uint64_t rnd(struct world *w, uint64_t n)
{
    uint64_t z = (w->random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % n;
}

static struct rt_id random_id(struct world *w)
{
    struct rt_id id;

    for (size_t i = 0; i < RT_ID_SIZE; i++) {
        id.b[i] = (uint8_t)rnd(w, 256);
    }
    return id;
}

static struct rt_id ticket_id(struct world *w, uint32_t depth)
{
    struct rt_id id = {{0}};

    CHECK(w, w->ids + 1 < IDS_MAX);
    w->depth[++w->ids] = depth;
    memcpy(id.b, &w->ids, sizeof w->ids);
    return id;
}

static uint32_t number_of(const struct rt_id *id)
{
    uint32_t number;

    memcpy(&number, id->b, sizeof number);
    return number;
}

static uint32_t depth_of(const struct world *w, const struct rt_id *id)
{
    return w->depth[number_of(id)];
}

/* Whether a store has ever taken the ticket presented, or one before it. */
static bool was_taken(const struct world *w, const struct rt_claim *claim)
{
    bool taken = !claim->join && w->taken[number_of(&claim->ticket)];

    for (size_t i = 0; i < claim->n_ancestors; i++) {
        taken |= w->taken[number_of(&claim->ancestors[i])];
    }
    return taken;
}

static void agent_name(int agent, char name[RT_HOST_MAX + 1])
{
    memset(name, 0, RT_HOST_MAX + 1);
    (void)snprintf(name, RT_HOST_MAX + 1, "host-%d", agent);
}

static bool same_record(const struct rt_record *a, const struct rt_record *b)
{
    return a->exists == b->exists && a->state == b->state && a->life == b->life && a->epoch == b->epoch &&
           rt_id_equal(&a->inc, &b->inc) && rt_id_equal(&a->ticket, &b->ticket) && a->n_ancestors == b->n_ancestors &&
           memcmp(a->ancestors, b->ancestors, a->n_ancestors * sizeof *a->ancestors) == 0 &&
           rt_id_equal(&a->nonce, &b->nonce) && strcmp(a->host, b->host) == 0 && a->lost_ms == b->lost_ms &&
           strcmp(a->bound_to, b->bound_to) == 0;
}

/* The number of the agent that the record names, or -1. */
static int owner_of(const struct rt_record *record)
{
    return record->exists && record->host[0] ? record->host[5] - '0' : -1;
}

static bool serves(const struct world *w, const struct guest *guest)
{
    const struct rt_record *record = &w->store.record;

    return guest->alive && guest->welcomed && guest->link >= 0 && guest->link == owner_of(record) &&
           (record->state == RT_SESSION_RUNNING || record->state == RT_SESSION_ENDED) &&
           rt_id_equal(&guest->ticket.id, &record->ticket);
}

/* One position in the chain has one successor. A take whose answer was lost may come again with the same one so late
 * that another start was served in between. The root of it, a join, has no name but its incarnation: that may join
 * again once another has been served in between, by its join token or with a ticket that counts as that. */
static void check_position(struct world *w, const struct rt_claim *claim, const struct rt_record *before)
{
    struct store *store = &w->store;

    if (claim->join || (!claim->taken && before->exists && !rt_id_equal(&before->inc, &claim->inc))) {
        CHECK(w, !rt_id_equal(&before->inc, &claim->inc));
        CHECK(w, before->state != RT_SESSION_LOST || before->lost_ms + RT_LEASE_MS <= w->now_ms);
        return;
    }
    if (rt_id_equal(&claim->ticket, &claim->next)) {
        return; /* written again, nothing new */
    }
    for (size_t i = 0; i < store->n_taken; i++) {
        CHECK(w, !rt_id_equal(&store->taken[i].ticket, &claim->ticket) ||
                     (w->kind != HONEST && rt_id_equal(&store->taken[i].next, &claim->next)));
    }
    CHECK(w, store->n_taken < IDS_MAX);
    store->taken[store->n_taken].ticket = claim->ticket;
    store->taken[store->n_taken++].next = claim->next;
}

/* What was only welcomed takes nobody's place: not that of a start that is served, nor one that a young store may have
 * lost. */
static void check_right(struct world *w, const struct rt_claim *claim, const struct rt_record *before)
{
    bool same = before->exists && rt_id_equal(&before->inc, &claim->inc);
    int owner = owner_of(before);

    if (same || was_taken(w, claim) || w->kind == COPIES) {
        return; /* of copies one may be known to an agent by what the other has had taken */
    }
    CHECK(w, before->exists || claim->store_whole);
    if (before->state == RT_SESSION_RUNNING || before->state == RT_SESSION_MOVING) {
        CHECK(w, owner < 0 || strcmp(claim->dead_host, before->host) == 0);
    }
}

/* The store runs one take. Returns the verdict. */
static enum rt_class take(struct world *w, const struct rt_claim *claim)
{
    struct rt_record *record = &w->store.record, before = *record;
    struct rt_claim_outcome out, again;
    bool same = before.exists && rt_id_equal(&before.inc, &claim->inc);

    rt_claim_judge(record, claim, w->now_ms, &out);
    if (out.verdict != RT_CLASS_OK) {
        seen[SEEN_UNTAKEN_REFUSED] += !claim->join && !was_taken(w, claim);
        return out.verdict;
    }
    check_right(w, claim, &before);
    seen[SEEN_UNTAKEN_SERVED] += !claim->join && !was_taken(w, claim);
    w->taken[number_of(&claim->next)] = true;
    rt_claim_apply(record, claim, &out);
    /* Else an earlier take of it, or of its copy, came first, late, and the agent has the guest come again. */
    CHECK(w, out.life == claim->granted_life || w->kind != HONEST);
    if (same && rt_id_equal(&before.ticket, &claim->next)) {
        CHECK(w, same_record(&before, record));
        return RT_CLASS_OK;
    }
    check_position(w, claim, &before);
    /* The fence only rises; two lives of one number are told apart by their incarnations. */
    CHECK(w, record->life > before.life ||
                 (record->life == before.life &&
                  (same ? record->epoch > before.epoch : memcmp(record->inc.b, before.inc.b, RT_ID_SIZE) > 0)));
    CHECK(w, record->life == out.life && record->epoch == claim->epoch && rt_id_equal(&record->inc, &claim->inc));
    CHECK(w, !(before.state == RT_SESSION_ENDED && same) || record->state == RT_SESSION_ENDED);
    if (out.draining) {
        seen[SEEN_DRAINING]++;
    }
    before = *record;
    rt_claim_judge(record, claim, w->now_ms, &again);
    CHECK(w, again.verdict == RT_CLASS_OK && again.life == out.life && !again.moved);
    rt_claim_apply(record, claim, &again);
    CHECK(w, same_record(&before, record));
    return RT_CLASS_OK;
}

static void fill_claim(struct world *w, const struct guest *guest, int agent, bool anew, struct rt_claim *claim)
{
    const struct rt_record *record = &w->store.record;
    int owner = owner_of(record);

    memset(claim, 0, sizeof *claim);
    claim->join = anew || !guest->welcomed;
    claim->inc = anew ? random_id(w) : guest->inc;
    claim->epoch = guest->epoch;
    claim->nonce = random_id(w);
    if (!claim->join) {
        claim->life = guest->ticket.life;
        claim->ticket = guest->ticket.id;
        claim->taken = guest->ticket.taken || rt_id_equal(&w->agents[agent].had, &guest->inc);
        claim->n_ancestors = guest->ticket.n_ancestors;
        memcpy(claim->ancestors, guest->ticket.ancestors, sizeof claim->ancestors);
        CHECK(w, !claim->taken || was_taken(w, claim) || w->kind == COPIES);
    }
    agent_name(agent, claim->host);
    if (owner >= 0 && !w->agents[owner].up && w->now_ms - w->agents[owner].down_ms >= HEARTBEAT_MS) {
        memcpy(claim->dead_host, record->host, sizeof claim->dead_host);
        seen[SEEN_DEAD_OWNER]++;
    }
    claim->store_whole = w->now_ms - w->born_ms >= WHOLE_MS;
}

/* A guest that has never been copied is refused for its place only past what a ticket remembers. */
static void check_honest(struct world *w, const struct rt_claim *claim, enum rt_class verdict)
{
    const struct rt_record *record = &w->store.record;

    if (verdict == RT_CLASS_OK || verdict == RT_CLASS_RETRY_LATER) {
        return;
    }
    CHECK(w, verdict == RT_CLASS_FORKED);
    CHECK(w, depth_of(w, &claim->ticket) > depth_of(w, &record->ticket) + RT_ANCESTORS_MAX);
}

static void told(struct guest *guest, const struct rt_claim_outcome *out)
{
    if (out->verdict == RT_CLASS_REWOUND || out->verdict == RT_CLASS_FORKED) {
        guest->refused = true;
    } else if (out->verdict == RT_CLASS_STALE && out->epoch > guest->epoch) {
        guest->epoch = out->epoch;
    }
}

/* The guest takes the welcome: from here on it is what it was told. */
static void welcome(struct world *w, struct guest *guest, struct rt_claim *claim, uint64_t life, bool provisional)
{
    struct rt_ticket join = {.join = true}, next;
    uint32_t depth = claim->join ? 0 : depth_of(w, &guest->ticket.id) + 1;

    claim->next = ticket_id(w, depth);
    claim->granted_life = life;
    rt_ticket_child(claim->join ? &join : &guest->ticket, &claim->next, claim->epoch, &next);
    if (provisional) {
        next.unproven =
            (uint8_t)(guest->ticket.unproven < RT_ANCESTORS_MAX ? guest->ticket.unproven + 1 : RT_ANCESTORS_MAX);
    }
    next.taken = claim->taken;
    next.life = life;
    next.inc = claim->inc;
    guest->ticket = next;
    guest->inc = claim->inc;
    guest->welcomed = true;
    guest->refused = false;
}

/* The answer of the take reached the agent that the guest is linked to, or it did not. */
static void taken(struct world *w, struct guest *guest, int agent, const struct rt_claim *claim, unsigned faults)
{
    for (size_t i = 0; i < GUESTS; i++) { /* the one that it served before is told to go */
        w->guests[i].link = w->guests[i].link == agent ? -1 : w->guests[i].link;
    }
    guest->link = agent;
    w->agents[agent].had = claim->inc;
    if (rnd(w, 100) < faults) {
        seen[SEEN_RENEWAL_LOST]++;
    } else {
        guest->ticket.taken = true;
        guest->ticket.unproven = 0;
        seen[SEEN_RENEWED]++;
    }
    if (rnd(w, 100) < faults && w->n_late < LATE_MAX) {
        seen[SEEN_REPLY_LOST]++; /* the agent asks again some time */
        w->late[w->n_late++] = *claim;
    }
}

/* The store is silent: a ticket is welcomed all the same, and taken some time later, or never. */
static void attempt_unasked(struct world *w, struct guest *guest, struct rt_claim *claim)
{
    if (claim->join) {
        return;
    }
    seen[SEEN_PROVISIONAL]++;
    welcome(w, guest, claim, claim->life, true);
    if (rnd(w, 2) && w->n_late < LATE_MAX) {
        w->late[w->n_late++] = *claim;
    }
}

/* One connection attempt. faults: in percent, how often each message is lost. */
static void attempt(struct world *w, struct guest *guest, int agent, unsigned faults)
{
    bool anew = guest->refused && guest->attempts++ % 2 == 1;
    struct rt_claim claim;
    struct rt_claim_outcome out;
    enum rt_class verdict;

    guest->link = -1;
    guest->epoch++;
    fill_claim(w, guest, agent, anew, &claim);
    if (rnd(w, 100) < faults / 3) {
        attempt_unasked(w, guest, &claim);
        return;
    }
    rt_claim_judge(&w->store.record, &claim, w->now_ms, &out);
    seen[SEEN_VERDICT + out.verdict]++;
    if (w->kind == HONEST) {
        check_honest(w, &claim, out.verdict);
    }
    if (out.verdict != RT_CLASS_OK) {
        told(guest, &out);
        return;
    }
    if (rnd(w, 100) < faults) {
        seen[SEEN_WELCOME_LOST]++;
        return;
    }
    welcome(w, guest, &claim, out.life, false);
    if (rnd(w, 100) < faults) {
        if (rnd(w, 2) && w->n_late < LATE_MAX) {
            w->late[w->n_late++] = claim;
        } else {
            seen[SEEN_CONFIRM_LOST]++;
        }
        return;
    }
    verdict = take(w, &claim);
    if (verdict == RT_CLASS_OK) {
        taken(w, guest, agent, &claim, faults);
    } else {
        CHECK(w, w->kind != HONEST || claim.join); /* nothing came between */
    }
}

static void take_late(struct world *w)
{
    size_t i;
    struct rt_claim claim;

    if (w->n_late == 0) {
        return;
    }
    i = (size_t)rnd(w, w->n_late);
    claim = w->late[i];
    w->late[i] = w->late[--w->n_late];
    (void)take(w, &claim);
    seen[SEEN_LATE_TAKE]++;
}

/* The agent that serves the guest writes it into a store that has forgotten. */
static void rewrite(struct world *w, const struct guest *guest)
{
    struct rt_claim claim;
    enum rt_class verdict;

    fill_claim(w, guest, guest->link, false, &claim);
    CHECK(w, claim.taken); /* the agent that serves it has had it taken */
    claim.next = guest->ticket.id;
    claim.granted_life = guest->ticket.life;
    verdict = take(w, &claim);
    if (w->kind == HONEST) {
        CHECK(w, verdict != RT_CLASS_RETRY_LATER);
        check_honest(w, &claim, verdict);
    }
    seen[SEEN_REWRITTEN] += verdict == RT_CLASS_OK;
}

/* A young store's agents write again what they serve; owners that run and serve nobody say so. */
static void agents_tidy(struct world *w)
{
    struct rt_record *record = &w->store.record;
    bool served = false;
    int owner;

    for (size_t i = 0; i < GUESTS; i++) {
        const struct guest *guest = &w->guests[i];
        if (guest->link >= 0 && !serves(w, guest) && w->now_ms - w->born_ms < WHOLE_MS) {
            rewrite(w, guest);
        }
        served |= serves(w, guest);
    }
    owner = owner_of(record);
    if (!served && owner >= 0 && w->agents[owner].up &&
        (record->state == RT_SESSION_RUNNING || record->state == RT_SESSION_MOVING)) {
        record->state = RT_SESSION_LOST;
        record->lost_ms = w->now_ms;
    }
}

static void store_fault(struct world *w)
{
    switch (rnd(w, 3)) {
    case 0:
        w->store = w->old;
        w->born_ms = w->now_ms;
        seen[SEEN_ROLLBACK]++;
        break;
    case 1:
        memset(&w->store, 0, sizeof w->store);
        w->born_ms = w->now_ms;
        seen[SEEN_FLUSH]++;
        break;
    default:
        if (!w->store.record.exists) {
            w->store.record.exists = true;
            w->store.record.state = RT_SESSION_CREATED;
            seen[SEEN_CREATED_AGAIN]++;
        }
        break;
    }
}

/* High availability starts the VM again, on another host; the copy before is gone. */
static void restart(struct world *w, struct guest *guest)
{
    memset(guest, 0, sizeof *guest);
    guest->alive = true;
    guest->inc = random_id(w);
    guest->link = -1;
    seen[SEEN_RESTART]++;
}

static void copy_fault(struct world *w)
{
    switch (rnd(w, 3)) {
    case 0:
        w->saved = w->guests[0];
        break;
    case 1:
        w->guests[0] = w->saved;
        w->guests[0].link = -1;
        seen[SEEN_REVERT]++;
        break;
    default:
        w->guests[1] = w->guests[0];
        w->guests[1].link = -1;
        seen[SEEN_CLONE]++;
        break;
    }
}

/* The VM is started a second time while the first one may run. */
static void second_start(struct world *w)
{
    if (!w->guests[1].alive) {
        restart(w, &w->guests[1]);
        seen[SEEN_SECOND_START]++;
    }
}

static void agent_fault(struct world *w)
{
    int agent = (int)rnd(w, AGENTS);

    w->agents[agent].up = !w->agents[agent].up;
    w->agents[agent].down_ms = w->now_ms;
    memset(&w->agents[agent].had, 0, sizeof w->agents[agent].had);
    for (size_t i = 0; i < GUESTS; i++) {
        if (w->guests[i].link == agent) {
            w->guests[i].link = -1;
        }
    }
}

static void step(struct world *w)
{
    static const uint64_t pauses_ms[] = {1, 20, 700, 6000, 20000};
    struct guest *guest = &w->guests[rnd(w, GUESTS)];
    int agent = (int)rnd(w, AGENTS);
    uint64_t what = rnd(w, 100);

    w->now_ms += pauses_ms[rnd(w, 5)];
    if (what < 50) {
        if (guest->alive && w->agents[agent].up) {
            attempt(w, guest, agent, 30);
        }
    } else if (what < 62) {
        take_late(w);
    } else if (what < 72) {
        agents_tidy(w);
    } else if (what < 77) {
        store_fault(w);
    } else if (what < 82) {
        w->old = w->store;
    } else if (what < 88) {
        agent_fault(w);
    } else if (what < 91) {
        restart(w, &w->guests[0]);
    } else if (what < 93) {
        if (serves(w, guest)) {
            w->store.record.state = RT_SESSION_ENDED;
        }
    } else if (w->kind == COPIES) {
        copy_fault(w);
    } else if (w->kind == RACE) {
        second_start(w);
    }
}

static void start(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->random = seed * 977;
    w->kind = (enum kind)(seed % KINDS);
    w->now_ms = 1000000;
    for (int i = 0; i < AGENTS; i++) {
        w->agents[i].up = true;
    }
    for (int i = 0; i < GUESTS; i++) {
        w->guests[i].link = -1;
    }
    w->guests[0].alive = true;
    w->guests[0].inc = random_id(w);
    w->saved = w->guests[0];
    if (w->kind == RACE) {
        second_start(w);
    }
    w->store.record.exists = rnd(w, 4) > 0;
    w->store.record.state = RT_SESSION_CREATED;
    w->old = w->store;
}

/* One second in which nothing goes wrong. Returns whether a guest is served at its end. */
static bool quiet_round(struct world *w)
{
    bool served = false;

    w->now_ms += 1000;
    for (size_t i = 0; i < GUESTS; i++) {
        struct guest *guest = &w->guests[i];
        if (guest->alive && !serves(w, guest)) {
            attempt(w, guest, (int)rnd(w, AGENTS), 0);
        }
    }
    agents_tidy(w);
    for (size_t i = 0; i < GUESTS; i++) {
        CHECK(w, !served || !serves(w, &w->guests[i]));
        served |= serves(w, &w->guests[i]);
    }
    return served;
}

/* Whether all that is left are copies of lives before the record's: the newest life's VM was itself reverted. */
static bool all_superseded(const struct world *w)
{
    for (size_t i = 0; i < GUESTS; i++) {
        if (w->guests[i].alive && w->guests[i].ticket.life >= w->store.record.life) {
            return false;
        }
    }
    return w->kind != HONEST;
}

static void walk(struct world *w)
{
    struct rt_record settled;
    bool served = false;

    for (int i = 0; i < STEPS; i++) {
        step(w);
    }
    while (w->n_late > 0) {
        take_late(w);
    }
    for (int i = 0; i < AGENTS; i++) {
        w->agents[i].up = true;
    }
    for (int i = 0; i < QUIET_ROUNDS && !(w->kind == HONEST && served); i++) {
        served = quiet_round(w);
    }
    CHECK(w, served || all_superseded(w));
    /* A copy that was refused stays refused, however often it asks. */
    settled = w->store.record;
    for (int i = 0; i < QUIET_ROUNDS; i++) {
        CHECK(w, quiet_round(w) == served);
        CHECK(w, same_record(&settled, &w->store.record));
    }
}

static void test_walks(void **state)
{
    static struct world world;
    static const enum rt_class verdicts[] = {RT_CLASS_OK, RT_CLASS_RETRY_LATER, RT_CLASS_REWOUND, RT_CLASS_FORKED,
                                             RT_CLASS_SUPERSEDED};

    (void)state;
    for (uint64_t seed = 1; seed <= WALKS; seed++) {
        start(&world, seed);
        walk(&world);
    }
    for (size_t i = 0; i < SEEN_VERDICT; i++) {
        assert_true(seen[i] > 0);
    }
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
        assert_true(seen[SEEN_VERDICT + verdicts[i]] > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_walks)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
