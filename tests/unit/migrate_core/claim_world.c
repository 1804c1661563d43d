/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/migrate_core/claim_world.h"

#include <stdio.h>
#include <string.h>

unsigned long seen[SEEN_MAX];

uint64_t rnd(struct world *w, uint64_t n)
{
    uint64_t z = (w->random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % n;
}

struct rt_id random_id(struct world *w)
{
    struct rt_id id;

    for (size_t i = 0; i < RT_ID_SIZE; i++) {
        id.b[i] = (uint8_t)rnd(w, 256);
    }
    return id;
}

struct rt_id ticket_id(struct world *w, uint32_t depth)
{
    struct rt_id id = {{0}};

    CHECK(w, w->ids + 1 < IDS_MAX);
    w->depth[++w->ids] = depth;
    memcpy(id.b, &w->ids, sizeof(w->ids));
    return id;
}

static uint32_t number_of(const struct rt_id *id)
{
    uint32_t number;

    memcpy(&number, id->b, sizeof(number));
    return number;
}

uint32_t depth_of(const struct world *w, const struct rt_id *id)
{
    return w->depth[number_of(id)];
}

bool was_taken(const struct world *w, const struct rt_claim *claim)
{
    bool taken = !claim->join && w->taken[number_of(&claim->ticket)];

    for (size_t i = 0; i < claim->n_ancestors; i++) {
        taken |= w->taken[number_of(&claim->ancestors[i])];
    }
    return taken;
}

void agent_name(int agent, char name[RT_HOST_MAX + 1])
{
    memset(name, 0, RT_HOST_MAX + 1);
    (void)snprintf(name, RT_HOST_MAX + 1, "host-%d", agent);
}

bool same_record(const struct rt_record *a, const struct rt_record *b)
{
    return a->exists == b->exists && a->state == b->state && a->life == b->life && a->epoch == b->epoch &&
           rt_id_equal(&a->inc, &b->inc) && rt_id_equal(&a->ticket, &b->ticket) && a->n_ancestors == b->n_ancestors &&
           memcmp(a->ancestors, b->ancestors, a->n_ancestors * sizeof(*a->ancestors)) == 0 &&
           rt_id_equal(&a->nonce, &b->nonce) && strcmp(a->host, b->host) == 0 && a->lost_ms == b->lost_ms &&
           strcmp(a->bound_to, b->bound_to) == 0;
}

uint64_t store_ms(const struct world *w)
{
    return w->now_ms - w->back_ms;
}

int owner_of(const struct rt_record *record)
{
    return record->exists && record->host[0] ? record->host[5] - '0' : -1;
}

bool serves(const struct world *w, const struct guest *guest)
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
        CHECK(w, before->state != RT_SESSION_LOST || before->lost_ms + RT_LEASE_MS <= store_ms(w));
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

/* A start has a newer life than any that its agent knew of. Those that run hear of it. */
static void check_life(struct world *w, const struct rt_claim *claim, uint64_t life)
{
    if (claim->join) {
        CHECK(w, life > claim->life);
        seen[SEEN_KNOWN_LIFE] += life == claim->life + 1 && life > store_ms(w);
    }
    for (size_t i = 0; i < AGENTS; i++) {
        if (w->agents[i].up && life > w->agents[i].known_life) {
            w->agents[i].known_life = life;
        }
    }
}

enum rt_class take(struct world *w, const struct rt_claim *claim)
{
    struct rt_record *record = &w->store.record, before = *record;
    struct rt_claim_outcome out, again;
    bool same = before.exists && rt_id_equal(&before.inc, &claim->inc);

    rt_claim_judge(record, claim, store_ms(w), &out);
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
    check_life(w, claim, out.life);
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
    rt_claim_judge(record, claim, store_ms(w), &again);
    CHECK(w, again.verdict == RT_CLASS_OK && again.life == out.life && !again.moved);
    rt_claim_apply(record, claim, &again);
    CHECK(w, same_record(&before, record));
    return RT_CLASS_OK;
}
