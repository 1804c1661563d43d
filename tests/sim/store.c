/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/store.h"

#include "broker/core/agent.h"
#include "migrate/core/store_op.h"
#include "migrate/core/ticket.h"
#include "session/base/error.h"
#include "session/core/protocol.h"
#include "tests/sim/agents.h"
#include "tests/sim/event.h"
#include "tests/sim/registry.h"
#include "tests/sim/store_model.h"
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

/* The store as agents see it: the claim rules over a few records, with latency, outages, lost writes, a flush, lost
 * answers, and news that are lost, late or repeated. The real one is held against the same rules by its own test. */

struct sim_db sim_db;

struct sim_record *sim_db_records(int agent)
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

int sim_db_container(const struct rt_key *key)
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

struct answer {
    struct rt_store_reply reply;
    struct rt_store_record records[SIM_KEYS];
    struct rt_store_host hosts[RT_HOSTS_PAGE];
};

/* The records that name this host as their owner, as an agent asks for after its start. */
static void find(int agent, const struct rt_store_op *op, struct answer *answer)
{
    for (int i = 0; i < SIM_KEYS; i++) {
        const struct sim_record *rec = &sim_db_records(agent)[i];
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
        sim_db_run(event->index, &asked->op, &answer->reply);
        if (answer->reply.kind == RT_STORE_GET && answer->reply.n_records) {
            answer->records[0] = sim_db_records(event->index)[sim_db_container(&asked->op.key)].r;
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
