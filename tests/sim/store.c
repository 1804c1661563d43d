/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/store.h"

#include "broker/core/agent.h"
#include "migrate/core/claim.h"
#include "migrate/core/store_op.h"
#include "migrate/core/ticket.h"
#include "session/base/error.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"
#include "tests/sim/agents.h"
#include "tests/sim/check.h"
#include "tests/sim/event.h"
#include "tests/sim/registry.h"
#include "tests/sim/store_model.h"
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

/* The store as agents see it: the claim rules over a few records, with latency, outages, lost writes, a flush, lost
 * answers, and news that are lost, late or repeated. The real one is held against the same rules by its own test. */

/* The records' pasts, to agents bytes that they keep and give back. */
static const int pasts[] = {1000, 1001, 1002};
_Static_assert(sizeof(pasts) / sizeof(pasts[0]) == SIM_KEYS, "one each");

struct sim_db sim_db;

/* The records of the server that this agent uses. */
static struct sim_record *records_of(int agent)
{
    return sim_db.split.at_old[agent] ? sim_db.split.old : sim_db.records;
}

uint64_t sim_db_ms(void)
{
    return (uint64_t)((int64_t)(SIM_WALL_MS + sim_ms()) + sim_db.clock_ms);
}

bool sim_db_has_end(const struct sim_record *rec, uint64_t life)
{
    return rec->r.rule.exists && rec->r.rule.state == RT_SESSION_ENDED && rec->ended_life == life;
}

/* One record goes, alone. */
void sim_db_forget(int container, bool replica_too)
{
    static const struct sim_record none;
    struct sim_record *rec = &sim_db.records[container];
    uint64_t rev = rec->r.rule.rev;

    if (sim_db_has_end(rec, rec->ended_life)) {
        sim_db.end_lost[container] = true;
    }
    *rec = none;
    rec->r.rule.rev = rev; /* has a key of its own, which never expires */
    if (replica_too) {
        rev = sim_db.older[container].r.rule.rev;
        sim_db.older[container] = none;
        sim_db.older[container].r.rule.rev = rev;
    }
}

void sim_db_expire(void)
{
    for (int i = 0; i < SIM_KEYS; i++) {
        if (sim_db.records[i].r.rule.exists && sim_db.records[i].expires_ms <= sim_db_ms()) {
            sim_log("store: the record of container %d expires", i);
            sim_db_forget(i, true);
        }
    }
}

static void refresh(struct sim_record *rec)
{
    rec->expires_ms = sim_db_ms() + (rec->r.rule.state == RT_SESSION_ENDED ? RT_END_TTL_MS : RT_RECORD_TTL_MS);
}

bool sim_store_whole(void)
{
    return sim.now_us >= sim_db.whole_us;
}

void sim_store_reset(void)
{
    memset(&sim_db, 0, sizeof(sim_db));
    sim_db.latency_us = 100;
    /* old enough: containers of a running cluster exist already */
    sim_db.born_ms = 1;
}

const struct rt_record *sim_store_record(int container)
{
    return &sim_db.records[container].r.rule;
}

const struct rt_record *sim_store_old_record(int container)
{
    return sim_db.split.on ? &sim_db.split.old[container].r.rule : NULL;
}

bool sim_store_split(void)
{
    return sim_db.split.on || sim_db.alone;
}

bool sim_store_in_touch(int agent)
{
    return sim.agents[agent].store_up && !sim_db.split.at_old[agent];
}

uint64_t sim_store_revoked_us(int container)
{
    return sim_db.revoked_us[container];
}

bool sim_store_end_lost(int container)
{
    return sim_db.end_lost[container];
}

bool sim_store_life_back(int container)
{
    return sim_db.life_back[container];
}

void sim_store_end_gone(int container)
{
    sim_db.unbacked[container] = true;
    if (sim_db.records[container].r.rule.state != RT_SESSION_ENDED) {
        sim_db.end_lost[container] = true;
    }
}

static int container_of_key(const struct rt_key *key)
{
    for (int i = 0; i < SIM_KEYS; i++) {
        if (rt_key_equal(sim_key_of(i), key)) {
            return i;
        }
    }
    sim_fail("an agent asks for a container that there is not: %s/%s", key->tenant, key->cid);
}

void sim_db_news(int agent, struct rt_store_news *n, uint64_t delay_us)
{
    struct sim_event event = {.kind = EV_NEWS, .index = agent, .gen = sim.agents[agent].gen};
    struct rt_store_news *copy = malloc(sizeof(*copy));

    if (copy == NULL) {
        sim_fail("out of memory");
    }
    *copy = *n;
    event.extra = copy;
    sim_post(event, delay_us);
}

void sim_store_up(int agent, bool fresh)
{
    struct rt_store_news n = {.kind = RT_STORE_UP, .fresh = fresh, .whole = sim_store_whole()};
    uint64_t delay_us = sim_db.latency_us + sim_random(2000);

    if (sim_db.out || sim.agents[agent].agent == NULL) {
        return;
    }
    if (!sim.agents[agent].store_up) {
        sim.agents[agent].up_us = sim.now_us;
    }
    sim.agents[agent].store_up = true;
    sim_db_news(agent, &n, delay_us);
    sim_registry_up(agent, delay_us + 1);
}

void sim_db_publish(struct rt_store_news *n, int agent)
{
    for (int i = 0; i < sim.n_agents; i++) {
        uint64_t delay = sim_db.latency_us + sim_random(500);

        if ((i == agent && n->kind == RT_STORE_HOST) || sim.agents[i].agent == NULL || !sim.agents[i].store_up ||
            sim_db.split.at_old[i] != sim_db.split.at_old[agent]) {
            continue;
        }
        if (sim_db.lose_news > 0) {
            sim_db.lose_news--;
            sim.stats.faults[FAULT_NEWS_LOST]++;
            continue;
        }
        if (sim_db.twice_news > 0) {
            sim_db.twice_news--;
            sim.stats.faults[FAULT_NEWS_TWICE]++;
            sim_db_news(i, n, delay + sim_random(2000000));
        }
        if (sim_db.late_news > 0) {
            sim_db.late_news--;
            sim.stats.faults[FAULT_NEWS_LATE]++;
            delay += sim_random(3000000);
        }
        sim_db_news(i, n, delay);
    }
}

static void publish(int agent, const struct rt_claim *claim, uint64_t life)
{
    struct rt_store_news n = {.kind = RT_STORE_CLAIMED, .key = claim->key, .life = life, .epoch = claim->epoch};

    memcpy(n.host, claim->host, sizeof(n.host));
    sim_db_publish(&n, agent);
}

/* ---- operations ---- */

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
    int container = (int)(rec - records_of(agent));
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
        sim_db.revoked_us[rec - records_of(agent)] = sim.now_us;
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
        sim_db.end_lost[rec - records_of(agent)] = true;
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

static void run(int agent, const struct rt_store_op *op, struct rt_store_reply *reply)
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
    container = container_of_key(op->kind == RT_STORE_TEST || op->kind == RT_STORE_TAKE ? &op->claim.key : &op->key);
    rec = &records_of(agent)[container];
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

struct answer {
    struct rt_store_reply reply;
    struct rt_store_record records[SIM_KEYS];
    struct rt_store_host hosts[RT_HOSTS_PAGE];
};

/* The records that name this host as their owner, as an agent asks for after its start. */
static void find(int agent, const struct rt_store_op *op, struct answer *answer)
{
    for (int i = 0; i < SIM_KEYS; i++) {
        const struct sim_record *rec = &records_of(agent)[i];
        const struct rt_record *rule = &rec->r.rule;

        if (!rule->exists || strcmp(rule->host, op->host) != 0) {
            continue;
        }
        answer->records[answer->reply.n_records] = rec->r;
        sim_key(i, &answer->records[answer->reply.n_records++].key);
    }
}

/* The operation takes effect half of the latency after it was asked for; a lost answer has taken effect. */
struct asked {
    struct rt_store_op op;
    bool late; /* whoever asked was told that it timed out */
    bool at_old;
    int past;
};

static void time_out(struct sim_event event, const struct rt_store_op *op)
{
    struct answer *answer = calloc(1, sizeof(*answer));

    if (answer == NULL) {
        sim_fail("out of memory");
    }
    answer->reply.id = op->id;
    answer->reply.kind = op->kind;
    answer->reply.error = RT_ETIMEDOUT;
    event.side = 1;
    event.extra = answer;
    sim_post(event, SIM_STORE_TIMEOUT_US);
}

int sim_store_submit(int agent, const struct rt_store_op *op)
{
    struct sim_event event = {.kind = EV_STORE_REPLY, .index = agent, .gen = sim.agents[agent].gen, .side = 0};
    struct asked *asked;

    if (sim_db.out || !sim.agents[agent].store_up) {
        return RT_EUNAVAIL;
    }
    asked = malloc(sizeof(*asked));
    if (asked == NULL) {
        sim_fail("out of memory");
    }
    asked->op = *op;
    asked->late = sim_db.latency_us > SIM_STORE_TIMEOUT_US;
    asked->at_old = sim_db.split.at_old[agent];
    if (asked->late) {
        time_out(event, op);
    }
    asked->op.label.size = asked->op.report.size = asked->op.tail[0].size = asked->op.tail[1].size =
        asked->op.end.ord.size = 0;
    asked->op.past.data = (const uint8_t *)&asked->past;
    if (op->past.size == sizeof(asked->past)) {
        memcpy(&asked->past, op->past.data, sizeof(asked->past));
    }
    event.extra = asked;
    sim_post(event, sim_db.latency_us / 2 + sim_random(50));
    return 0;
}

void sim_store_reply(const struct sim_event *event)
{
    struct sim_agent *a = &sim.agents[event->index];
    struct sim_event back = {.kind = EV_STORE_REPLY, .index = event->index, .gen = event->gen, .side = 1};
    const struct asked *asked = event->extra;
    struct answer *answer = event->extra;

    if (event->side == 1) {
        if (a->gen != event->gen || a->agent == NULL) {
            return;
        }
        if (answer->reply.n_records) {
            answer->reply.records = answer->records;
        }
        answer->reply.hosts = answer->hosts;
        rt_agent_store_reply(a->agent, &answer->reply, sim_ms());
        sim_agent_timer(event->index);
        return;
    }
    answer = calloc(1, sizeof(*answer));
    if (answer == NULL) {
        sim_fail("out of memory");
    }
    answer->reply.id = asked->op.id;
    answer->reply.kind = asked->op.kind;
    if (sim_db.out || asked->at_old != sim_db.split.at_old[event->index]) {
        answer->reply.error = RT_EUNAVAIL;
    } else {
        run(event->index, &asked->op, &answer->reply);
        if (answer->reply.kind == RT_STORE_GET && answer->reply.n_records) {
            answer->records[0] = records_of(event->index)[container_of_key(&asked->op.key)].r;
        }
    }
    if (answer->reply.kind == RT_STORE_FIND && !answer->reply.error) {
        find(event->index, &asked->op, answer);
    }
    if ((answer->reply.kind == RT_STORE_HOSTS || answer->reply.kind == RT_STORE_HOST_ROW) && !answer->reply.error) {
        sim_registry_run(&asked->op, &answer->reply, answer->hosts);
    }
    if (asked->late) {
        free(answer);
        return;
    }
    back.extra = answer;
    if (sim_db.lose_reply) {
        sim_db.lose_reply = false;
        answer->reply.error = RT_ETIMEDOUT;
        sim_log("fault: the store's answer to host%d is lost", event->index);
        sim_post(back, 1000000);
        return;
    }
    sim_post(back, sim_db.latency_us / 2 + sim_random(50));
}

void sim_store_news(const struct sim_event *event)
{
    struct sim_agent *a = &sim.agents[event->index];
    struct rt_store_news *n = event->extra;

    if (a->gen != event->gen || a->agent == NULL) {
        return;
    }
    if (n->kind != RT_STORE_DOWN && !a->store_up) {
        return;
    }
    if (n->kind == RT_STORE_UP) {
        n->whole = sim_store_whole();
    }
    rt_agent_store_news(a->agent, n, sim_ms());
    sim_agent_timer(event->index);
}
