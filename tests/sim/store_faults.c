/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/store_model.h"

#include "tests/sim/agents.h"
#include "tests/sim/event.h"
#include "tests/sim/registry.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"

#include <string.h>

/* What goes wrong with the store. */

#define SIM_CLOCK_BACK_MAX_MS (UINT64_C(2) * 60 * 1000)

uint64_t sim_store_back_ms(void)
{
    return sim_db.back_ms;
}

static void down_all(void)
{
    struct rt_store_news n = {.kind = RT_STORE_DOWN};

    for (int i = 0; i < sim.n_agents; i++) {
        if (sim.agents[i].agent != NULL) {
            sim_db_news(i, &n, 0);
        }
        sim.agents[i].store_up = false;
    }
}

static void up_all(int fresh)
{
    sim_db.out = false;
    for (int i = 0; i < sim.n_agents; i++) {
        sim_store_up(i, fresh != 0);
    }
}

static void whole_now(int arg)
{
    struct rt_store_news n = {.kind = RT_STORE_UP, .whole = true};

    (void)arg;
    for (int i = 0; i < sim.n_agents; i++) {
        if (sim.agents[i].agent != NULL && sim.agents[i].store_up) {
            sim_db_news(i, &n, 0);
        }
    }
}

/* The records become those of `from`, or none. What a failover loses of ends is not lost: their agents have them on
 * their disks until they are sure. */
static void fall_back_to(const struct sim_record *from)
{
    static const struct sim_record none;

    for (int i = 0; i < SIM_KEYS; i++) {
        struct sim_record *rec = &sim_db.records[i];
        const struct sim_record *old = from != NULL ? &from[i] : &none;

        if (sim_db_has_end(rec, rec->ended_life) && !sim_db_has_end(old, rec->ended_life) &&
            (from == NULL || sim_db.unbacked[i])) {
            sim_db.end_lost[i] = true;
        }
        if (rec->r.rule.rev != old->r.rule.rev) {
            sim_db.revoked_us[i] = sim.now_us;
        }
        *rec = *old;
    }
}

static void keep_older(int arg)
{
    (void)arg;
    if (!sim_db.alone) {
        memcpy(sim_db.older, sim_db.records, sizeof(sim_db.older));
    }
}

/* Two primaries. */

static void down_one(int agent)
{
    struct rt_store_news n = {.kind = RT_STORE_DOWN};

    if (sim.agents[agent].agent != NULL) {
        sim_db_news(agent, &n, 0);
    }
    sim.agents[agent].store_up = false;
}

static void up_one(int agent)
{
    sim_store_up(agent, true);
}

static void goes_to_new(int agent)
{
    down_one(agent);
    sim_post((struct sim_event){.kind = EV_CALL, .call = up_one, .arg = agent}, 1000 + sim_random(1000000));
}

static void split_over(int arg)
{
    (void)arg;
    sim_log("the old primary is left by all, and what it took is lost");
    sim_db.split.on = false;
    for (int i = 0; i < sim.n_agents; i++) {
        if (sim_db.split.at_old[i]) {
            sim_db.split.at_old[i] = false;
            goes_to_new(i);
        }
    }
}

static void split(void)
{
    sim_db.split.on = true;
    sim_db.split.since_us = sim.now_us;
    sim_db.split.replica = sim_chance(50);
    memcpy(sim_db.split.old, sim_db.records, sizeof(sim_db.split.old));
    fall_back_to(sim_db.older);
    for (int i = 0; i < sim.n_agents; i++) {
        sim_db.split.at_old[i] = sim_chance(50);
        if (!sim_db.split.at_old[i]) {
            goes_to_new(i);
        }
    }
    sim_post((struct sim_event){.kind = EV_CALL, .call = split_over}, 5000000 + sim_random(25000000));
}

/* The primary is alone, and its replicas come back, or it dies and one of them is promoted. */
static void alone_over(int dies)
{
    sim_log("the primary is not alone any more%s", dies != 0 ? ": it is dead" : "");
    sim_db.alone = false;
    if (dies != 0) {
        sim_db.out = true;
        down_all();
        fall_back_to(sim_db.older);
        sim_post((struct sim_event){.kind = EV_CALL, .call = up_all, .arg = 1}, sim_random(1000000));
    } else {
        keep_older(0);
    }
}

static void normal_speed(int arg)
{
    (void)arg;
    sim_db.latency_us = 100;
}

/* An operator's DEL, an eviction: one record, and nobody is told. */
static bool record_lost(void)
{
    int container = (int)sim_random((uint64_t)sim.n_containers);

    if (!sim_db.records[container].r.rule.exists) {
        return false;
    }
    sim_log("fault: the record of container %d is lost", container);
    sim_db_forget(container, sim_chance(50));
    return true;
}

static void not_full(int arg)
{
    (void)arg;
    sim_db.full = false;
}

/* Forth by up to ten days: what has a time to live shorter than that is gone at once. Back by minutes: a birth that
 * lies ahead then is another birth, as the heartbeats find within a second. */
static void clock_step(void)
{
    uint64_t days = sim_draws(FAULT_RECORD_LOST) ? 10 : 6;
    uint64_t step_ms = sim_chance(50) ? sim_random(days * 24 * 3600 * 1000) : sim_random(3600000);

    if (sim_chance(50)) {
        step_ms = sim_random(SIM_CLOCK_BACK_MAX_MS);
        sim_db.clock_ms -= (int64_t)step_ms;
        sim_db.back_ms += step_ms;
        sim_log("fault: the store's clock goes back by %llu ms", (unsigned long long)step_ms);
        if (sim_db.born_ms > sim_db_ms()) {
            sim_db.born_ms = sim_db_ms();
            sim_db.whole_us = sim.now_us + RT_STORE_WHOLE_MS * UINT64_C(1000);
            sim_post((struct sim_event){.kind = EV_CALL, .call = up_all, .arg = 1}, sim_random(1000000));
            sim_post((struct sim_event){.kind = EV_CALL, .call = whole_now}, RT_STORE_WHOLE_MS * UINT64_C(1000) + 1000);
        }
    } else {
        sim_db.clock_ms += (int64_t)step_ms;
        sim_log("fault: the store's clock goes forth by %llu ms", (unsigned long long)step_ms);
        sim_db_expire();
    }
}

bool sim_store_fault(enum sim_fault fault)
{
    uint64_t pause_us = 1000 + sim_random(4000000);

    switch (fault) {
    case FAULT_STORE_SLOW:
        sim_db.latency_us = 20000 + sim_random(700000);
        sim_post((struct sim_event){.kind = EV_CALL, .call = normal_speed}, pause_us);
        break;
    case FAULT_STORE_SLOWER: /* than agents wait */
        sim_db.latency_us = 700000 + sim_random(3000000);
        sim_post((struct sim_event){.kind = EV_CALL, .call = normal_speed}, pause_us);
        break;
    case FAULT_STORE_OUT:
        sim_db.out = true;
        down_all();
        sim_post((struct sim_event){.kind = EV_CALL, .call = up_all, .arg = 0}, pause_us);
        break;
    case FAULT_STORE_FAILOVER:
        sim_db.out = true;
        down_all();
        fall_back_to(sim_db.older);
        sim_post((struct sim_event){.kind = EV_CALL, .call = up_all, .arg = 1}, pause_us);
        break;
    case FAULT_STORE_FLUSH:
        fall_back_to(NULL);
        memset(sim_db.older, 0, sizeof(sim_db.older));
        sim_registry_flush();
        sim_db.born_ms = sim_db_ms();
        sim_db.whole_us = sim.now_us + RT_STORE_WHOLE_MS * UINT64_C(1000);
        down_all();
        sim_post((struct sim_event){.kind = EV_CALL, .call = up_all, .arg = 1}, 1000 + sim_random(1000000));
        sim_post((struct sim_event){.kind = EV_CALL, .call = whole_now}, RT_STORE_WHOLE_MS * UINT64_C(1000) + 1000);
        break;
    case FAULT_STORE_REPLY_LOST:
        sim_db.lose_reply = true;
        break;
    case FAULT_RECORD_LOST:
        if (!record_lost()) {
            return false;
        }
        break;
    case FAULT_STORE_FULL:
        sim_db.full = true;
        sim_post((struct sim_event){.kind = EV_CALL, .call = not_full}, 2 * pause_us);
        break;
    case FAULT_STORE_CLOCK:
        clock_step();
        break;
    case FAULT_STORE_SPLIT:
    case FAULT_STORE_ALONE:
        if (sim_store_split() || sim_db.out) {
            return false;
        }
        if (fault == FAULT_STORE_SPLIT) {
            split();
            return true;
        }
        sim_db.alone = true;
        sim_post((struct sim_event){.kind = EV_CALL, .call = alone_over, .arg = sim_chance(70)},
                 5000000 + sim_random(35000000));
        return true;
    case FAULT_NEWS_LOST:
        sim_db.lose_news = 1 + (int)sim_random(4);
        return false;
    case FAULT_NEWS_LATE:
        sim_db.late_news = 1 + (int)sim_random(4);
        return false;
    case FAULT_NEWS_TWICE:
        sim_db.twice_news = 1 + (int)sim_random(4);
        return false;
    default:
        break;
    }
    if (sim_chance(50)) {
        sim_post((struct sim_event){.kind = EV_CALL, .call = keep_older}, sim_random(3000000));
    }
    return true;
}

void sim_store_heal(void)
{
    bool was_out = sim_db.out;

    normal_speed(0);
    not_full(0);
    sim_db.lose_reply = false;
    sim_db.lose_news = sim_db.late_news = sim_db.twice_news = 0;
    if (was_out) {
        up_all(1);
    }
}
