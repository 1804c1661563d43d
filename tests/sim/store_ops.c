/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/store_model.h"

#include "migrate/core/claim.h"
#include "migrate/core/ticket.h"
#include "session/base/error.h"
#include "session/core/protocol.h"
#include "tests/sim/check.h"
#include "tests/sim/event.h"
#include "tests/sim/store.h"

#include <string.h>

/* What each operation does to the records, as the functions of the real store do. */

/* The records' pasts, to agents bytes that they keep and give back. */
static const int pasts[] = {1000, 1001, 1002};
_Static_assert(sizeof(pasts) / sizeof(pasts[0]) == SIM_KEYS, "one each");

static void refresh(struct sim_record *rec)
{
    rec->expires_ms = sim_db_ms() + (rec->r.rule.state == RT_SESSION_ENDED ? RT_END_TTL_MS : RT_RECORD_TTL_MS);
}

static void publish(int agent, const struct rt_claim *claim, uint64_t life)
{
    struct rt_store_news n = {.kind = RT_STORE_CLAIMED, .key = claim->key, .life = life, .epoch = claim->epoch};

    memcpy(n.host, claim->host, sizeof(n.host));
    sim_db_publish(&n, agent);
}

static void note_life(int container, bool join, uint64_t life)
{
    if (life > sim_db.newest_life[container]) {
        sim_db.newest_life[container] = life;
    } else if (join) {
        sim_db.life_back[container] = true;
    }
}

static void take(int agent, struct sim_record *rec, const struct rt_store_op *op,
                 const struct rt_claim_outcome *outcome)
{
    struct rt_store_record *r = &rec->r;
    int container = (int)(rec - sim_db_records(agent));
    const int *past = &pasts[container];
    bool again = r->rule.exists && r->rule.life == outcome->life && r->rule.epoch == op->claim.epoch &&
                 rt_id_equal(&r->rule.inc, &op->claim.inc);

    r->key = op->claim.key;
    rt_claim_apply(&r->rule, &op->claim, outcome);
    r->claimed_ms = sim_db_ms();
    refresh(rec);
    if (op->past.size != 0 && (op->past.size != sizeof(int) || memcmp(op->past.data, past, sizeof(int)) != 0)) {
        sim_fail("%s gives a past that is not this container's", op->claim.host);
    }
    if (again) {
        return;
    }
    note_life(container, op->claim.join, outcome->life);
    r->moves += outcome->moved;
    sim_log("store: %s takes %s at life %llu epoch %llu", op->claim.host, op->claim.key.cid,
            (unsigned long long)outcome->life, (unsigned long long)op->claim.epoch);
    publish(agent, &op->claim, outcome->life);
}

/* Whether the record is at the claim that a write is made under; else says whose it is. */
static bool current(const struct sim_record *rec, const struct rt_store_op *op, struct rt_store_reply *reply)
{
    const struct rt_record *rule = &rec->r.rule;

    if (rule->exists && rule->life == op->life && rule->epoch == op->epoch) {
        return true;
    }
    reply->error = RT_ENOTFOUND;
    if (rule->exists) {
        reply->outcome.verdict = RT_CLASS_STALE;
        reply->outcome.life = rule->life;
        reply->outcome.epoch = rule->epoch;
        memcpy(reply->outcome.host, rule->host, sizeof(rule->host));
    }
    return false;
}

/* Tails are not modelled. */
static bool same_end(const struct rt_end_msg *a, const struct rt_end_msg *b)
{
    return a->code == b->code && a->sig == b->sig && a->out == b->out && a->err == b->err;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void revoke(int agent, struct sim_record *rec, const struct rt_store_op *op, struct rt_store_reply *reply)
{
    struct rt_record *rule = &rec->r.rule;
    struct rt_store_news n = {.kind = RT_STORE_REVOKED, .key = op->key};
    uint64_t rev = op->life;

    if (rev == 0 && !rule->exists && op->known == 0 && op->whole) {
        reply->error = RT_ENOTFOUND;
        reply->outcome.verdict = RT_CLASS_NOT_FOUND;
        return;
    }
    if (rev == 0) {
        rev = larger(larger(rule->life, rule->rev) + 1, larger(op->known, sim_db_ms()));
        sim.stats.faults[FAULT_REVOKE]++;
    }
    if (rev > rule->rev) {
        sim_log("store: host%d has %s revoked up to life %llu", agent, op->key.cid, (unsigned long long)rev);
        rule->rev = n.life = rev;
        sim_db.revoked_us[rec - sim_db_records(agent)] = sim.now_us;
        sim_db_publish(&n, agent);
    }
    reply->outcome.life = rule->rev;
}

/* Only what is revoked is made anew here; the status that it ended with, if it had, is gone. */
static void create(int agent, struct sim_record *rec, const struct rt_store_op *op, struct rt_store_reply *reply)
{
    struct rt_record *rule = &rec->r.rule;
    struct rt_store_news n = {.kind = RT_STORE_CLAIMED, .key = op->key};
    struct sim_record made = {.r = {.key = op->key}};
    bool existed = rule->exists;

    if (rule->life > rule->rev && existed && rule->state != RT_SESSION_ENDED) {
        reply->outcome.verdict = RT_CLASS_LIMIT;
        return;
    }
    made.r.rule = (struct rt_record){.exists = true,
                                     .state = RT_SESSION_CREATED,
                                     .life = larger(rule->life, rule->rev + (rule->rev != 0)),
                                     .rev = rule->rev};
    reply->outcome.life = made.r.rule.life + 1;
    if (sim_db_has_end(rec, rec->ended_life)) {
        sim_db.end_lost[rec - sim_db_records(agent)] = true;
    }
    *rec = made;
    refresh(rec);
    sim_log("store: %s is made, to start at life %llu", op->key.cid, (unsigned long long)reply->outcome.life);
    if (!existed) {
        sim_db_publish(&n, agent);
    }
}

/* What Redis refuses when it is full: the functions that are not flagged allow-oom. */
static bool grows(enum rt_store_op_kind kind)
{
    return kind == RT_STORE_CREATE || kind == RT_STORE_REPORT || kind == RT_STORE_END;
}

/* A replica has it that a failover promotes which begins later. One that is under way may promote another one, which
 * gets it in the end: before anybody looks, and is sure that none was under way. */
static void replicate(int container)
{
    struct sim_record *rec = &sim_db.records[container];

    if (sim_db_has_end(rec, rec->ended_life)) {
        sim_db.older[container] = *rec;
    }
}

/* The end is written, at the server that this agent uses: who else has it. */
static void end_written(int agent, int container, struct rt_store_reply *reply)
{
    bool at_old = sim_db.split.at_old[agent];

    reply->how = !at_old && !sim_db.alone && sim_chance(50) ? RT_END_REPLICATED : RT_END_STORED;
    reply->unsure = reply->how == RT_END_STORED; /* a failover falls back to what the replica has */
    if (reply->how == RT_END_REPLICATED) {       /* the replica has it, and all that came before it */
        memcpy(sim_db.older, sim_db.records, sizeof(sim_db.older));
        return;
    }
    reply->spread = at_old ? sim_db.split.replica : !sim_db.alone && sim_chance(50);
    if (reply->spread && !at_old) {
        sim_post((struct sim_event){.kind = EV_CALL, .call = replicate, .arg = container},
                 sim_random(SIM_REPLICATED_US));
    }
}

void sim_db_run(int agent, const struct rt_store_op *op, struct rt_store_reply *reply)
{
    struct sim_record *rec;
    int container;
    char host[RT_HOST_MAX + 1];

    sim_agent_name(agent, host);
    if (op->kind == RT_STORE_HOSTS || op->kind == RT_STORE_HOST_ROW || op->kind == RT_STORE_FIND) {
        return;
    }
    sim_db_expire();
    if (sim_db.full && grows(op->kind)) {
        reply->error = RT_ELIMIT;
        return;
    }
    container = sim_db_container(op->kind == RT_STORE_TEST || op->kind == RT_STORE_TAKE ? &op->claim.key : &op->key);
    rec = &sim_db_records(agent)[container];
    switch (op->kind) {
    case RT_STORE_TEST:
    case RT_STORE_TAKE:
        rt_claim_judge(&rec->r.rule, &op->claim, sim_db_ms(), &reply->outcome);
        if (op->kind == RT_STORE_TAKE && reply->outcome.verdict == RT_CLASS_OK) {
            sim_check_take(container, agent, &op->claim);
            take(agent, rec, op, &reply->outcome);
            reply->past = (struct rt_slice){(const uint8_t *)&pasts[container], sizeof(pasts[0])};
        }
        break;
    case RT_STORE_STATE:
        if (!current(rec, op, reply) || strcmp(rec->r.rule.host, op->host[0] ? op->host : host) != 0 ||
            rec->r.rule.state == RT_SESSION_ENDED) {
            reply->error = RT_ENOTFOUND;
            break;
        }
        if (op->host[0]) {
            if (rec->r.rule.lost_ms == 0) {
                rec->r.rule.lost_ms = sim_db_ms();
            }
            break;
        }
        if (op->state == RT_SESSION_MOVING && rec->r.rule.lost_ms != 0) {
            break;
        }
        if (op->state == RT_SESSION_LOST && rec->r.rule.state != RT_SESSION_LOST) {
            rec->r.rule.lost_ms = sim_db_ms();
        } else if (op->state != RT_SESSION_LOST) {
            rec->r.rule.lost_ms = 0;
        }
        rec->r.rule.state = op->state;
        refresh(rec);
        break;
    case RT_STORE_REPORT:
        if (current(rec, op, reply)) {
            refresh(rec);
        }
        break;
    case RT_STORE_END:
    case RT_STORE_MARK: /* tails are not modelled */
        if (!rec->r.rule.exists || rec->r.rule.life != op->life) {
            reply->error = RT_ENOTFOUND;
            reply->outcome.verdict = rec->r.rule.exists ? RT_CLASS_STALE : RT_CLASS_NOT_FOUND;
            break;
        }
        if (op->again && !sim_db_has_end(rec, op->life)) {
            reply->error = RT_ENOTFOUND;
            reply->outcome.verdict = RT_CLASS_NOT_FOUND;
            break;
        }
        if (rec->r.rule.state == RT_SESSION_ENDED && rec->ended_life == op->life && !same_end(&rec->end, &op->end)) {
            reply->outcome.verdict = RT_CLASS_ENDED;
            reply->how = RT_END_OTHER;
            sim_log("store: keeps the first end of %s, not that of %s", op->key.cid, host);
            break;
        }
        rec->r.rule.state = RT_SESSION_ENDED;
        rec->end = op->end;
        rec->r.code = op->end.code;
        rec->r.sig = op->end.sig;
        rec->r.out = op->end.out;
        rec->r.err = op->end.err;
        rec->ended_life = op->life;
        refresh(rec);
        sim_log("store: has the end of %s at life %llu from %s", op->key.cid, (unsigned long long)op->life, host);
        if (!sim_db.split.at_old[agent]) {
            sim_db.end_lost[container] = false;
        }
        end_written(agent, container, reply);
        break;
    case RT_STORE_GET:
        reply->n_records = rec->r.rule.exists;
        reply->unsure = sim_db.split.at_old[agent] && sim.now_us - sim_db.split.since_us > SIM_UNSURE_US;
        if (!rec->r.rule.exists) {
            reply->error = RT_ENOTFOUND;
        }
        break;
    case RT_STORE_TAILS:
        reply->end = rec->end;
        break;
    case RT_STORE_CREATE:
        create(agent, rec, op, reply);
        break;
    case RT_STORE_REVOKE:
        revoke(agent, rec, op, reply);
        break;
    case RT_STORE_REMOVE:
    case RT_STORE_FIND:
    case RT_STORE_HOSTS:
    case RT_STORE_HOST_ROW:
        break;
    }
}
