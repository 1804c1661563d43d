/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/migrate_core/claim_world.h"

#include <string.h>

/* Random walks of the claim rules alone: up to two copies of a guest, three agents, one store. A hello is judged, its
 * welcome, its confirm and the renewal of its ticket may be lost, its take may come late, twice or not at all, the
 * store may be silent, forget or go back. In an honest walk no copy is ever made: there the guest must get through. In
 * a race two VMs were started with one token: the one that is taken serves, and keeps its place. */
#define WALKS 60000
#define STEPS 60
#define BACK_MAX_MS 40000
#define QUIET_ROUNDS 80 /* seconds that an honest guest may need once the faults have stopped: a lease and more */

static void fill_claim(struct world *w, const struct guest *guest, int agent, bool anew, struct rt_claim *claim)
{
    const struct rt_record *record = &w->store.record;
    int owner = owner_of(record);

    memset(claim, 0, sizeof(*claim));
    claim->join = anew || !guest->welcomed;
    claim->inc = anew ? random_id(w) : guest->inc;
    claim->epoch = guest->epoch;
    claim->nonce = random_id(w);
    claim->life = claim->join ? w->agents[agent].known_life : guest->ticket.life;
    if (!claim->join) {
        claim->ticket = guest->ticket.id;
        claim->taken = guest->ticket.taken || rt_id_equal(&w->agents[agent].had, &guest->inc);
        claim->n_ancestors = guest->ticket.n_ancestors;
        memcpy(claim->ancestors, guest->ticket.ancestors, sizeof(claim->ancestors));
        CHECK(w, !claim->taken || was_taken(w, claim) || w->kind == COPIES);
    }
    agent_name(agent, claim->host);
    if (owner >= 0 && !w->agents[owner].up && w->now_ms - w->agents[owner].down_ms >= HEARTBEAT_MS) {
        memcpy(claim->dead_host, record->host, sizeof(claim->dead_host));
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

    w->life_back |= claim->join && life <= w->newest_life;
    w->newest_life = life > w->newest_life ? life : w->newest_life;
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
    rt_claim_judge(&w->store.record, &claim, store_ms(w), &out);
    seen[SEEN_VERDICT + out.verdict]++;
    if (w->kind == HONEST && !w->life_back) {
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
        record->lost_ms = store_ms(w);
    }
}

static void store_fault(struct world *w)
{
    switch (rnd(w, 5)) {
    case 0:
        w->store = w->old;
        w->born_ms = w->now_ms;
        seen[SEEN_ROLLBACK]++;
        break;
    case 1:
        memset(&w->store, 0, sizeof(w->store));
        w->born_ms = w->now_ms;
        seen[SEEN_FLUSH]++;
        break;
    case 2:
        memset(&w->store, 0, sizeof(w->store)); /* alone: nobody is told */
        seen[SEEN_RECORD_LOST]++;
        break;
    case 3:
        w->back_ms += w->back_ms == 0 ? rnd(w, BACK_MAX_MS) : 0;
        seen[SEEN_CLOCK_BACK]++;
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
    memset(guest, 0, sizeof(*guest));
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
    memset(&w->agents[agent].had, 0, sizeof(w->agents[agent].had));
    w->agents[agent].known_life = 0;
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
    memset(w, 0, sizeof(*w));
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
    CHECK(w, served || w->life_back || all_superseded(w));
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
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(*verdicts); i++) {
        assert_true(seen[SEEN_VERDICT + verdicts[i]] > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_walks)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
