/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/claim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The record of every case: container of life LIFE served by host "alpha" for incarnation X, at the ticket number C of
 * a long line. A case names only what differs. */
#define STORE_MS 1000000
#define LIFE 5000
#define EPOCH 40
#define C 100
#define LOST_MS (STORE_MS - RT_LEASE_MS) /* lost for exactly a lease */
enum inc { SMALLER = 0x40, X = 0x50, LARGER = 0x60 };
enum { NONCE = 7 };

/* Ticket numbers: 1..999 are one line, n the child of n - 1. BRANCH + n is a child of n that no other ticket has. */
#define BRANCH 1000

struct row {
    const char *name;
    enum rt_session_state state; /* NONE: no record */
    enum inc inc;
    uint64_t t; /* number of the ticket presented; 0: a join token */
    uint64_t life, epoch;
    /* What holds only where it is named. */
    uint64_t lost_ms;     /* 0: LOST_MS */
    uint64_t record_life; /* 0: LIFE; UINT64_MAX: none */
    uint64_t granted;
    uint64_t rev, base;
    uint64_t next; /* the ticket of the welcome, 0: a fresh one */
    bool whole, same_vm, owner_dead, alpha, same_nonce;
    bool untaken; /* nothing of the ticket's chain has been taken */
    /* What comes out. */
    bool draining;
    enum rt_class verdict;
    uint64_t out_life; /* OK; BAD_AUTH */
    uint64_t delay_ms; /* RETRY_LATER */
};

#define OK .verdict = RT_CLASS_OK
#define LATER .verdict = RT_CLASS_RETRY_LATER, .delay_ms = RT_CLAIM_RETRY_MS
#define NEXT .out_life = STORE_MS

static const struct row rows[] = {
/* Revoked: before all others, whatever the record says. */
#define REVOKED .verdict = RT_CLASS_BAD_AUTH
    {"revoked: its ticket", RT_SESSION_RUNNING, X, C, LIFE, EPOCH + 1, .rev = LIFE, REVOKED, .out_life = LIFE},
    {"revoked: an older start's ticket", RT_SESSION_RUNNING, LARGER, C, LIFE, 1, .rev = LIFE + 9, REVOKED,
     .out_life = LIFE + 9},
    {"revoked: repeated", RT_SESSION_RUNNING, X, C - 1, LIFE, EPOCH, .next = C, .alpha = true, .same_nonce = true,
     .rev = LIFE, REVOKED, .out_life = LIFE},
    {"revoked before this life", RT_SESSION_RUNNING, X, C, LIFE, EPOCH + 1, .rev = LIFE - 1, OK, .out_life = LIFE},
    {"revoked: ended", RT_SESSION_ENDED, X, C, LIFE, EPOCH + 1, .rev = LIFE, REVOKED, .out_life = LIFE},
    {"revoked: untaken", RT_SESSION_LOST, LARGER, 1, LIFE - 1, 1, .untaken = true, .rev = LIFE, REVOKED,
     .out_life = LIFE},
    {"revoked: no record, a ticket", RT_SESSION_NONE, X, C, LIFE, 1, .whole = true, .rev = LIFE, REVOKED,
     .out_life = LIFE},
    {"revoked: no record, a newer life's ticket", RT_SESSION_NONE, X, C, LIFE + 1, 1, .rev = LIFE, OK,
     .out_life = LIFE + 1},
    {"revoked: no record, the old token", RT_SESSION_NONE, X, 0, .whole = true, .base = 1, .rev = LIFE, REVOKED,
     .out_life = LIFE},
    {"created anew: the old token", RT_SESSION_CREATED, X, 0, .record_life = LIFE + 1, .base = LIFE, .rev = LIFE,
     REVOKED, .out_life = LIFE},
    {"created anew: the old token, its agent knows the new life", RT_SESSION_CREATED, X, 0, LIFE + 7, 1,
     .record_life = LIFE + 1, .base = 1, .rev = LIFE, REVOKED, .out_life = LIFE},
    {"created anew: its token", RT_SESSION_CREATED, X, 0, .record_life = LIFE + 1, .base = LIFE + 2, .rev = LIFE, OK,
     NEXT},
    {"created anew: its token, the clock set back", RT_SESSION_NONE, X, 0, .whole = true, .base = STORE_MS + 3,
     .rev = STORE_MS + 1, OK, .out_life = STORE_MS + 2},

    /* No record. */
    {"none, whole: join", RT_SESSION_NONE, X, 0, .whole = true, OK, NEXT},
    {"none, not whole: join", RT_SESSION_NONE, X, 0, LATER},
    {"none: ticket", RT_SESSION_NONE, X, C, LIFE, 1, OK, .out_life = LIFE},
    {"none, whole: ticket", RT_SESSION_NONE, X, C, LIFE, 1, .whole = true, OK, .out_life = LIFE},
    {"none: join taken with its granted life", RT_SESSION_NONE, X, 0, .whole = true, .granted = 3, OK, .out_life = 3},
    {"none: join, its agent knows a life ahead of the clock", RT_SESSION_NONE, X, 0, STORE_MS + 6, 1, .whole = true, OK,
     .out_life = STORE_MS + 7},
    {"none: join, its agent knows a life that just began", RT_SESSION_NONE, X, 0, STORE_MS, 1, .whole = true, OK,
     .out_life = STORE_MS + 1},
    {"none: join, its agent knows an older life", RT_SESSION_NONE, X, 0, LIFE, 1, .whole = true, OK, NEXT},
    {"none: join taken with a life above what its agent knew", RT_SESSION_NONE, X, 0, STORE_MS + 6, 1, .whole = true,
     .granted = STORE_MS + 7, OK, .out_life = STORE_MS + 7},

    /* Created: nobody has served it. */
    {"created: join", RT_SESSION_CREATED, X, 0, .record_life = UINT64_MAX, .whole = true, OK, NEXT},
    {"created, not whole: join", RT_SESSION_CREATED, X, 0, .record_life = UINT64_MAX, OK, NEXT},
    {"created: ticket", RT_SESSION_CREATED, X, C, LIFE, 1, .record_life = UINT64_MAX, OK, .out_life = LIFE},
    {"created over an ended life: join", RT_SESSION_CREATED, X, 0, OK, NEXT},
    {"created over an ended life: newer ticket", RT_SESSION_CREATED, X, C, LIFE + 1, 1, OK, .out_life = LIFE + 1},
    {"created over an ended life: its ticket", RT_SESSION_CREATED, X, C, LIFE, 41, .verdict = RT_CLASS_SUPERSEDED},
    {"created over an ended life: older ticket", RT_SESSION_CREATED, LARGER, C, LIFE - 1, 41,
     .verdict = RT_CLASS_SUPERSEDED},

    /* Same incarnation: the place in the chain comes before the epoch. */
    {"parent of c", RT_SESSION_RUNNING, X, C - 1, LIFE, EPOCH + 1, .verdict = RT_CLASS_REWOUND},
    {"oldest ancestor of c", RT_SESSION_RUNNING, X, C - 16, LIFE, EPOCH + 1, .verdict = RT_CLASS_REWOUND},
    {"ancestor of c, old epoch", RT_SESSION_RUNNING, X, C - 1, LIFE, EPOCH, .verdict = RT_CLASS_REWOUND},
    {"ancestor of c, ended", RT_SESSION_ENDED, X, C - 1, LIFE, EPOCH + 1, .verdict = RT_CLASS_REWOUND},
    {"ancestor of c, lost long ago", RT_SESSION_LOST, X, C - 1, LIFE, EPOCH + 1, .verdict = RT_CLASS_REWOUND},
    {"older than c remembers", RT_SESSION_RUNNING, X, C - 17, LIFE, EPOCH + 1, .verdict = RT_CLASS_FORKED},
    {"sibling of c", RT_SESSION_RUNNING, X, BRANCH + C - 1, LIFE, EPOCH + 1, .verdict = RT_CLASS_FORKED},
    {"sibling of c, old epoch", RT_SESSION_RUNNING, X, BRANCH + C - 1, LIFE, 1, .verdict = RT_CLASS_FORKED},
    {"sibling of c, ended", RT_SESSION_ENDED, X, BRANCH + C - 1, LIFE, EPOCH + 1, .verdict = RT_CLASS_FORKED},
    {"join of c's incarnation", RT_SESSION_RUNNING, X, 0, 0, EPOCH + 1, .verdict = RT_CLASS_REWOUND},
    {"join of c's incarnation, same VM", RT_SESSION_LOST, X, 0, 0, EPOCH + 1, .same_vm = true,
     .verdict = RT_CLASS_REWOUND},
    {"join of c's incarnation, ended", RT_SESSION_ENDED, X, 0, 0, EPOCH + 1, .verdict = RT_CLASS_REWOUND},
    {"c", RT_SESSION_RUNNING, X, C, LIFE, EPOCH + 1, OK, .out_life = LIFE},
    {"c while moving", RT_SESSION_MOVING, X, C, LIFE, EPOCH + 1, OK, .out_life = LIFE},
    {"c while lost", RT_SESSION_LOST, X, C, LIFE, EPOCH + 1, OK, .out_life = LIFE},
    {"c at its owner", RT_SESSION_RUNNING, X, C, LIFE, EPOCH + 1, .alpha = true, OK, .out_life = LIFE},
    {"child of c", RT_SESSION_RUNNING, X, C + 1, LIFE, EPOCH + 1, OK, .out_life = LIFE},
    {"unconfirmed branch from c", RT_SESSION_RUNNING, X, BRANCH + C, LIFE, EPOCH + 1, OK, .out_life = LIFE},
    {"youngest known descendant of c", RT_SESSION_RUNNING, X, C + 16, LIFE, EPOCH + 9, OK, .out_life = LIFE},
    {"descends further than it remembers", RT_SESSION_RUNNING, X, C + 17, LIFE, EPOCH + 9, .verdict = RT_CLASS_FORKED},
    {"c, ended", RT_SESSION_ENDED, X, C, LIFE, EPOCH + 1, OK, .out_life = LIFE, .draining = true},
    {"child of c, ended", RT_SESSION_ENDED, X, C + 1, LIFE, EPOCH + 1, OK, .out_life = LIFE, .draining = true},
    {"c, ended, old epoch", RT_SESSION_ENDED, X, C, LIFE, EPOCH, .verdict = RT_CLASS_STALE},

    /* The fence. */
    {"c, equal epoch", RT_SESSION_RUNNING, X, C, LIFE, EPOCH, .verdict = RT_CLASS_STALE},
    {"c, older epoch", RT_SESSION_RUNNING, X, C, LIFE, EPOCH - 1, .verdict = RT_CLASS_STALE},
    {"child of c, older epoch", RT_SESSION_RUNNING, X, C + 1, LIFE, EPOCH - 1, .verdict = RT_CLASS_STALE},
    {"c, same hello", RT_SESSION_RUNNING, X, C, LIFE, EPOCH, .alpha = true, .same_nonce = true, OK, .out_life = LIFE},
    {"c, equal epoch, other nonce", RT_SESSION_RUNNING, X, C, LIFE, EPOCH, .alpha = true, .verdict = RT_CLASS_STALE},
    {"c, equal epoch, other host", RT_SESSION_RUNNING, X, C, LIFE, EPOCH, .same_nonce = true,
     .verdict = RT_CLASS_STALE},
    {"c, older epoch, same nonce and host", RT_SESSION_RUNNING, X, C, LIFE, EPOCH - 1, .alpha = true,
     .same_nonce = true, .verdict = RT_CLASS_STALE},
    {"parent of c, same hello", RT_SESSION_RUNNING, X, C - 1, LIFE, EPOCH, .alpha = true, .same_nonce = true,
     .verdict = RT_CLASS_REWOUND},

    /* The same take again. */
    {"take repeated", RT_SESSION_RUNNING, X, C - 1, LIFE, EPOCH, .alpha = true, .same_nonce = true, .next = C, OK,
     .out_life = LIFE},
    {"join's take repeated", RT_SESSION_RUNNING, X, 0, 0, EPOCH, .alpha = true, .same_nonce = true, .next = C,
     .granted = LIFE, OK, .out_life = LIFE},
    {"take repeated after the end", RT_SESSION_ENDED, X, C - 1, LIFE, EPOCH, .alpha = true, .same_nonce = true,
     .next = C, OK, .out_life = LIFE, .draining = true},
    {"take repeated, other nonce", RT_SESSION_RUNNING, X, C - 1, LIFE, EPOCH, .alpha = true, .next = C,
     .verdict = RT_CLASS_REWOUND},
    {"take repeated, other host", RT_SESSION_RUNNING, X, C - 1, LIFE, EPOCH, .same_nonce = true, .next = C,
     .verdict = RT_CLASS_REWOUND},
    {"take repeated, other epoch", RT_SESSION_RUNNING, X, C - 1, LIFE, EPOCH + 1, .alpha = true, .same_nonce = true,
     .next = C, .verdict = RT_CLASS_REWOUND},
    {"take repeated, other incarnation", RT_SESSION_RUNNING, SMALLER, C - 1, LIFE, EPOCH, .alpha = true,
     .same_nonce = true, .next = C, .verdict = RT_CLASS_SUPERSEDED},

    /* Another incarnation's ticket: the newer life serves, whatever the state. */
    {"newer life", RT_SESSION_RUNNING, SMALLER, 1, LIFE + 1, 1, OK, .out_life = LIFE + 1},
    {"newer life, lost", RT_SESSION_LOST, SMALLER, 1, LIFE + 1, 1, .lost_ms = STORE_MS, OK, .out_life = LIFE + 1},
    {"newer life, ended", RT_SESSION_ENDED, SMALLER, 1, LIFE + 1, 1, OK, .out_life = LIFE + 1},
    {"equal life, larger incarnation", RT_SESSION_RUNNING, LARGER, 1, LIFE, 1, OK, .out_life = LIFE},
    {"equal life, smaller incarnation", RT_SESSION_RUNNING, SMALLER, 1, LIFE, EPOCH + 1,
     .verdict = RT_CLASS_SUPERSEDED},
    {"older life", RT_SESSION_RUNNING, LARGER, C, LIFE - 1, EPOCH + 1, .verdict = RT_CLASS_SUPERSEDED},
    {"older life, same VM", RT_SESSION_RUNNING, LARGER, C, LIFE - 1, EPOCH + 1, .same_vm = true,
     .verdict = RT_CLASS_SUPERSEDED},
    {"older life, lost long ago", RT_SESSION_LOST, LARGER, C, LIFE - 1, EPOCH + 1, .lost_ms = 1,
     .verdict = RT_CLASS_SUPERSEDED},
    {"older life, ended", RT_SESSION_ENDED, LARGER, C, LIFE - 1, EPOCH + 1, .verdict = RT_CLASS_SUPERSEDED},

    /* A ticket that was only welcomed is worth its join token, but for the number of its life. */
    {"untaken, newer life", RT_SESSION_RUNNING, LARGER, 1, LIFE + 1, 1, .untaken = true, LATER},
    {"untaken, newer life, with ancestors", RT_SESSION_RUNNING, LARGER, C + 9, LIFE + 1, 1, .untaken = true, LATER},
    {"untaken, newer life, moving", RT_SESSION_MOVING, LARGER, 1, LIFE + 1, 1, .untaken = true, LATER},
    {"untaken, owner dead", RT_SESSION_RUNNING, SMALLER, 1, LIFE + 7, 1, .untaken = true, .owner_dead = true, OK,
     .out_life = LIFE + 7},
    {"untaken, same VM", RT_SESSION_RUNNING, SMALLER, 1, LIFE + 7, 1, .untaken = true, .same_vm = true, OK,
     .out_life = LIFE + 7},
    {"untaken, older life, owner dead", RT_SESSION_RUNNING, SMALLER, 1, LIFE - 7, 1, .untaken = true,
     .owner_dead = true, OK, NEXT},
    {"untaken, just lost", RT_SESSION_LOST, LARGER, 1, LIFE + 1, 1, .untaken = true, .lost_ms = STORE_MS, LATER},
    {"untaken, lost for a lease", RT_SESSION_LOST, LARGER, 1, LIFE + 1, 1, .untaken = true, OK, .out_life = LIFE + 1},
    {"untaken, ended", RT_SESSION_ENDED, LARGER, 1, LIFE, 1, .untaken = true, OK, NEXT},
    {"untaken, its granted life reached meanwhile", RT_SESSION_ENDED, LARGER, 1, LIFE, 1, .untaken = true,
     .granted = LIFE, LATER},
    {"untaken, none, not whole", RT_SESSION_NONE, X, 1, LIFE, 1, .untaken = true, LATER},
    {"untaken, none, whole", RT_SESSION_NONE, X, 1, LIFE, 1, .untaken = true, .whole = true, OK, .out_life = LIFE},
    {"untaken, created", RT_SESSION_CREATED, X, 1, LIFE, 1, .untaken = true, .record_life = UINT64_MAX, OK,
     .out_life = LIFE},
    {"untaken, created over a later ended life", RT_SESSION_CREATED, X, 1, LIFE - 1, 1, .untaken = true, OK, NEXT},
    {"untaken, c itself", RT_SESSION_RUNNING, X, C, LIFE, EPOCH + 1, .untaken = true, OK, .out_life = LIFE},
    {"untaken, an ancestor of c", RT_SESSION_RUNNING, X, C - 1, LIFE, EPOCH + 1, .untaken = true,
     .verdict = RT_CLASS_REWOUND},
    {"untaken, beside c", RT_SESSION_RUNNING, X, BRANCH + C - 1, LIFE, EPOCH + 1, .untaken = true,
     .verdict = RT_CLASS_FORKED},

    /* Another incarnation's join token. */
    {"served: join", RT_SESSION_RUNNING, LARGER, 0, 0, 1, LATER},
    {"served: join, whole", RT_SESSION_RUNNING, LARGER, 0, 0, 1, .whole = true, LATER},
    {"moving: join", RT_SESSION_MOVING, LARGER, 0, 0, 1, LATER},
    {"served: join by the owner itself", RT_SESSION_RUNNING, LARGER, 0, 0, 1, .alpha = true, LATER},
    {"served: join, same VM", RT_SESSION_RUNNING, SMALLER, 0, 0, 1, .same_vm = true, OK, NEXT},
    {"moving: join, same VM", RT_SESSION_MOVING, SMALLER, 0, 0, 1, .same_vm = true, OK, NEXT},
    {"served: join, owner dead", RT_SESSION_RUNNING, SMALLER, 0, 0, 1, .owner_dead = true, OK, NEXT},
    {"moving: join, owner dead", RT_SESSION_MOVING, SMALLER, 0, 0, 1, .owner_dead = true, OK, NEXT},
    {"just lost: join", RT_SESSION_LOST, LARGER, 0, 0, 1, .lost_ms = STORE_MS, LATER},
    {"just lost: join, owner dead", RT_SESSION_LOST, LARGER, 0, 0, 1, .lost_ms = STORE_MS, .owner_dead = true, LATER},
    {"just lost: join, same VM", RT_SESSION_LOST, LARGER, 0, 0, 1, .lost_ms = STORE_MS, .same_vm = true, OK, NEXT},
    {"lost 1 ms short of the lease: join", RT_SESSION_LOST, LARGER, 0, 0, 1, .lost_ms = LOST_MS + 1,
     .verdict = RT_CLASS_RETRY_LATER, .delay_ms = 1},
    {"lost for a lease: join", RT_SESSION_LOST, LARGER, 0, 0, 1, OK, NEXT},
    {"lost in the store's future: join", RT_SESSION_LOST, LARGER, 0, 0, 1, .lost_ms = STORE_MS + 99999, LATER},
    {"ended: join", RT_SESSION_ENDED, LARGER, 0, 0, 1, OK, NEXT},
    {"ended: join, store not whole", RT_SESSION_ENDED, SMALLER, 0, 0, 1, OK, NEXT},

    /* A new life's number. */
    {"life ahead of the store's time", RT_SESSION_ENDED, LARGER, 0, 0, 1, .record_life = STORE_MS, OK,
     .out_life = STORE_MS + 1},
    {"life just behind the store's time", RT_SESSION_ENDED, LARGER, 0, 0, 1, .record_life = STORE_MS - 1, OK, NEXT},
    {"granted life still right", RT_SESSION_ENDED, LARGER, 0, 0, 1, .granted = LIFE + 1, OK, .out_life = LIFE + 1},
    {"granted life reached meanwhile", RT_SESSION_ENDED, LARGER, 0, 0, 1, .granted = LIFE, LATER},
    {"granted life long past", RT_SESSION_CREATED, LARGER, 0, 0, 1, .granted = 1, LATER},
    {"granted life of a ticket does not matter", RT_SESSION_RUNNING, X, C, LIFE, EPOCH + 1, .granted = LIFE, OK,
     .out_life = LIFE},
};

static struct rt_id id_of(uint64_t n)
{
    struct rt_id id = {{0}};

    id.b[0] = (uint8_t)n;
    id.b[1] = (uint8_t)(n >> 8);
    return id;
}

/* The ticket number t with its ancestors on the line. */
static size_t chain(uint64_t t, struct rt_id *id, struct rt_id ancestors[RT_ANCESTORS_MAX])
{
    uint64_t parent = t >= BRANCH ? t - BRANCH : t - 1;
    size_t n = 0;

    *id = id_of(t);
    for (; n < RT_ANCESTORS_MAX && parent > 0; parent--) {
        ancestors[n++] = id_of(parent);
    }
    return n;
}

static void put_text(char text[RT_HOST_MAX + 1], const char *value)
{
    (void)snprintf(text, RT_HOST_MAX + 1, "%s", value);
}

static void build(const struct row *row, struct rt_record *record, struct rt_claim *claim)
{
    memset(record, 0, sizeof(*record));
    memset(claim, 0, sizeof(*claim));
    if (row->state != RT_SESSION_NONE) {
        record->exists = true;
        record->state = row->state;
        record->life = row->record_life == UINT64_MAX ? 0 : row->record_life ? row->record_life : LIFE;
    }
    record->rev = row->rev;
    if (row->state > RT_SESSION_CREATED) {
        record->epoch = EPOCH;
        memset(record->inc.b, X, RT_ID_SIZE);
        record->n_ancestors = chain(C, &record->ticket, record->ancestors);
        record->nonce = id_of(NONCE);
        put_text(record->host, "alpha");
        put_text(record->bound_to, "vm-1");
    }
    if (row->state == RT_SESSION_LOST) {
        record->lost_ms = row->lost_ms ? row->lost_ms : LOST_MS;
    }
    claim->join = row->t == 0;
    claim->taken = row->t != 0 && !row->untaken;
    memset(claim->inc.b, (int)row->inc, RT_ID_SIZE);
    claim->life = row->life;
    claim->epoch = row->epoch;
    claim->nonce = id_of(row->same_nonce ? NONCE : NONCE + 1);
    claim->n_ancestors = row->t ? chain(row->t, &claim->ticket, claim->ancestors) : 0;
    claim->next = id_of(row->next ? row->next : 5000);
    put_text(claim->host, row->alpha ? "alpha" : "beta");
    put_text(claim->proof, row->same_vm ? "vm-1" : "vm-2");
    put_text(claim->dead_host, row->owner_dead ? "alpha" : "gamma");
    claim->store_whole = row->whole;
    claim->granted_life = row->granted;
    claim->base = row->base;
}

static void test_every_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const struct row *row = &rows[i];
        struct rt_record record, before;
        struct rt_claim claim;
        struct rt_claim_outcome out;
        bool ok = row->verdict == RT_CLASS_OK;

        build(row, &record, &claim);
        before = record;
        memset(&out, 0xa5, sizeof(out));
        rt_claim_judge(&record, &claim, STORE_MS, &out);
        if (out.verdict != row->verdict) {
            fail_msg("%s: %s, not %s", row->name, rt_class_name(out.verdict), rt_class_name(row->verdict));
        }
        if (out.life != row->out_life || out.draining != row->draining || out.delay_ms != row->delay_ms) {
            fail_msg("%s: life %ju draining %d delay %ju", row->name, (uintmax_t)out.life, out.draining,
                     (uintmax_t)out.delay_ms);
        }
        assert_int_equal(out.epoch, row->verdict == RT_CLASS_STALE ? EPOCH : 0);
        assert_string_equal(out.host, row->state > RT_SESSION_CREATED ? "alpha" : "");
        assert_int_equal(out.moved, ok && row->state > RT_SESSION_CREATED && !row->alpha);
        assert_memory_equal(&before, &record, sizeof(record));
    }
}

/* Without a name nothing is proved: an empty proof does not equal an empty binding, nor a dead "" an unowned record. */
static void test_empty_texts_prove_nothing(void **state)
{
    static const struct row row = {.state = RT_SESSION_RUNNING, .inc = LARGER, .epoch = 1};
    struct rt_record record;
    struct rt_claim claim;
    struct rt_claim_outcome out;

    (void)state;
    build(&row, &record, &claim);
    claim.proof[0] = record.bound_to[0] = '\0';
    rt_claim_judge(&record, &claim, STORE_MS, &out);
    assert_int_equal(out.verdict, RT_CLASS_RETRY_LATER);
    claim.dead_host[0] = record.host[0] = '\0';
    rt_claim_judge(&record, &claim, STORE_MS, &out);
    assert_int_equal(out.verdict, RT_CLASS_RETRY_LATER);
}

/* Of a record that is not there only what is revoked is read. */
static void test_no_record_is_no_record(void **state)
{
    static const struct row row = {.state = RT_SESSION_NONE, .inc = X, .t = C, .life = LIFE, .epoch = 1};
    struct rt_record record;
    struct rt_claim claim;
    struct rt_claim_outcome out;

    (void)state;
    build(&row, &record, &claim);
    memset(&record, 0xff, sizeof(record));
    record.exists = false;
    record.rev = 0;
    rt_claim_judge(&record, &claim, STORE_MS, &out);
    assert_int_equal(out.verdict, RT_CLASS_OK);
    assert_int_equal(out.life, LIFE);
    assert_false(out.moved);
}

static void test_apply_writes_the_claim(void **state)
{
    static const struct row row = {.state = RT_SESSION_LOST, .inc = X, .t = C + 16, .life = LIFE, .epoch = EPOCH + 3};
    struct rt_record record, taken;
    struct rt_claim claim;
    struct rt_claim_outcome out;

    (void)state;
    build(&row, &record, &claim);
    rt_claim_judge(&record, &claim, STORE_MS, &out);
    rt_claim_apply(&record, &claim, &out);
    assert_int_equal(record.state, RT_SESSION_RUNNING);
    assert_int_equal(record.life, LIFE);
    assert_int_equal(record.epoch, EPOCH + 3);
    assert_true(rt_id_equal(&record.ticket, &claim.next));
    assert_true(rt_id_equal(&record.nonce, &claim.nonce));
    assert_int_equal(record.n_ancestors, RT_ANCESTORS_MAX);
    assert_true(rt_id_equal(&record.ancestors[0], &claim.ticket));
    assert_memory_equal(&record.ancestors[1], claim.ancestors, (RT_ANCESTORS_MAX - 1) * sizeof(struct rt_id));
    assert_string_equal(record.host, "beta");
    assert_string_equal(record.bound_to, "vm-2");
    assert_int_equal(record.lost_ms, 0);

    /* Again: OK, and nothing changes, not even what was written lost since. */
    record.state = RT_SESSION_LOST;
    record.lost_ms = STORE_MS;
    taken = record;
    rt_claim_judge(&record, &claim, STORE_MS, &out);
    assert_int_equal(out.verdict, RT_CLASS_OK);
    assert_false(out.moved);
    rt_claim_apply(&record, &claim, &out);
    assert_memory_equal(&taken, &record, sizeof(record));
}

static void test_apply_of_a_join(void **state)
{
    static const struct row row = {.state = RT_SESSION_CREATED, .inc = X, .epoch = 1, .record_life = UINT64_MAX};
    struct rt_record record;
    struct rt_claim claim;
    struct rt_claim_outcome out;

    (void)state;
    build(&row, &record, &claim);
    rt_claim_judge(&record, &claim, STORE_MS, &out);
    claim.granted_life = out.life;
    rt_claim_judge(&record, &claim, STORE_MS + 50, &out);
    assert_int_equal(out.verdict, RT_CLASS_OK);
    rt_claim_apply(&record, &claim, &out);
    assert_true(record.exists);
    assert_int_equal(record.state, RT_SESSION_RUNNING);
    assert_int_equal(record.life, STORE_MS);
    assert_int_equal(record.n_ancestors, 0);
    assert_true(rt_id_equal(&record.inc, &claim.inc));
}

static void test_apply_keeps_an_end(void **state)
{
    static const struct row row = {.state = RT_SESSION_ENDED, .inc = X, .t = C, .life = LIFE, .epoch = EPOCH + 1};
    struct rt_record record;
    struct rt_claim claim;
    struct rt_claim_outcome out;

    (void)state;
    build(&row, &record, &claim);
    rt_claim_judge(&record, &claim, STORE_MS, &out);
    rt_claim_apply(&record, &claim, &out);
    assert_int_equal(record.state, RT_SESSION_ENDED);
    assert_int_equal(record.epoch, EPOCH + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_empty_texts_prove_nothing),
        cmocka_unit_test(test_no_record_is_no_record),
        cmocka_unit_test(test_apply_writes_the_claim),
        cmocka_unit_test(test_apply_of_a_join),
        cmocka_unit_test(test_apply_keeps_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
