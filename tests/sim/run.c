/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/run.h"

#include "broker/core/agent.h"
#include "session/core/client.h"
#include "session/core/tether.h"
#include "session/core/tether_machine.h"
#include "tests/sim/agents.h"
#include "tests/sim/check.h"
#include "tests/sim/clients.h"
#include "tests/sim/disk.h"
#include "tests/sim/event.h"
#include "tests/sim/floods.h"
#include "tests/sim/guests.h"
#include "tests/sim/net.h"
#include "tests/sim/operator.h"
#include "tests/sim/registry.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

/* One run: sets the cluster up, steps through events with faults, then without, and checks. */

#define EVENTS_LEAST 500 /* of a run worth its name, and moves */
#define MOVES_LEAST 5
#define MANY_AGENTS_EVERY 50
#define QUIET_US 10000000
#define IDLE_HANG_US 16000000 /* a link without a channel that hangs silently: three pings of 5 s */
#define MOVED_US 5000000      /* a move of a cluster without faults is long over */
#define DRAIN_US 10000000
#define END_US 15000000
#define FORK_END_US 120000000 /* two slow retries after a lease */

/* Few runs have hundreds. */
static int how_many_agents(const struct sim_options *options)
{
    if (options->agents != 0) {
        return (int)options->agents;
    }
    if (!sim_draws(FAULT_MANY_AGENTS) || options->seed % MANY_AGENTS_EVERY != 0) {
        return SIM_AGENTS;
    }
    sim.stats.faults[FAULT_MANY_AGENTS]++;
    return 100 + (int)sim_random(SIM_AGENTS_MAX - 99);
}

static void set_up(const struct sim_options *options)
{
    sim.options = *options;
    sim.rng = options->seed * UINT64_C(0x9E3779B97F4A7C15) + 0x1234567;
    if (!sim.rng) {
        sim.rng = 1;
    }
    (void)sim_random(2);
    sim_store_reset();
    sim.n_agents = how_many_agents(options);
    sim.n_containers = 1 + (int)sim_random(SIM_CONTAINERS);
    sim.allow_forks = sim_chance(35);
    sim.proves_vms = !sim.allow_forks && sim_chance(50);
    if (sim_draws(FAULT_TICKET_TTL) && sim_chance(30)) {
        sim.ticket_ttl_ms = 40000 + sim_random(20000);
        sim.stats.faults[FAULT_TICKET_TTL]++;
    }
    sim_registry_reset();
    for (int i = 0; i < sim.n_agents; i++) {
        sim_start_agent(i);
    }
    for (int i = 0; i < sim.n_containers; i++) {
        int guest = sim_new_guest(i, (int)sim_random((uint64_t)sim.n_agents), sim_new_line(i, -1, NULL));

        sim.guests[guest].exits = sim_chance(50);
        sim_guest_pump(guest);
    }
    for (int i = 0; i < 2 + (int)sim_random(SIM_CLIENTS - 1); i++) {
        sim_new_client(i);
    }
    if (sim_draws(FAULT_FLOOD) && options->seed % SIM_HOSTILE_EVERY == 0) {
        sim_start_hostile();
    }
    if ((sim_draws(FAULT_KICK) || sim_draws(FAULT_REVOKE)) && options->seed % SIM_OPERATOR_EVERY == 1) {
        sim_start_operator();
    }
    if ((sim_draws(FAULT_STORE_SPLIT) || sim_draws(FAULT_STORE_ALONE)) && options->seed % SIM_SPLITS_EVERY == 2) {
        sim_start_splits();
    }
    sim_post((struct sim_event){.kind = EV_FAULT}, sim_random(200000));
}

static uint64_t *paused_until(const struct sim_event *e)
{
    int agent = -1, guest = -1;

    if (e->kind == EV_BYTES || e->kind == EV_CLOSED) {
        const struct sim_conn *c = &sim.conns[e->conn];

        if (!c->used || c->gen != e->gen) {
            return NULL;
        }
        if (e->side == 1) {
            agent = c->agent;
        } else if (c->kind == NODE_GUEST) {
            guest = c->peer;
        }
    } else if (e->kind == EV_NEWS || e->kind == EV_DISK || (e->kind == EV_STORE_REPLY && e->side == 1)) {
        agent = e->index;
    } else if (e->kind != EV_CALL && e->kind != EV_FAULT && e->kind != EV_STORE_REPLY) {
        if (e->node == NODE_AGENT) {
            agent = e->index;
        } else if (e->node == NODE_GUEST) {
            guest = e->index;
        }
    }
    if (agent >= 0 && sim.agents[agent].paused) {
        if (sim.now_us < sim.agents[agent].paused_until_us) {
            return &sim.agents[agent].paused_until_us;
        }
        sim.agents[agent].paused = false;
    }
    if (guest >= 0 && sim.guests[guest].paused) {
        if (sim.now_us < sim.guests[guest].paused_until_us) {
            return &sim.guests[guest].paused_until_us;
        }
        sim.guests[guest].paused = false;
    }
    return NULL;
}

static void dialed(const struct sim_event *e)
{
    int conn;

    if (e->node == NODE_GUEST) {
        struct sim_guest *g = &sim.guests[e->index];

        if (g->gen != e->gen || g->tether == NULL || g->tether->state != RT_TETHER_DIALING) {
            return;
        }
        conn = sim_connect(NODE_GUEST, e->index, 0, g->host);
        g->conn = conn;
        if (conn < 0) {
            rt_tether_lost(g->tether, sim_ms());
        } else {
            rt_tether_connected(g->tether, sim_ms());
        }
        sim_guest_pump(e->index);
        return;
    }
    if (sim.clients[e->index].gen != e->gen || sim.clients[e->index].client == NULL) {
        return;
    }
    if (sim.clients[e->index].conn[e->side] >= 0) {
        return;
    }
    conn = sim_connect(NODE_CLIENT, e->index, (unsigned)e->side, e->arg);
    sim.clients[e->index].conn[e->side] = conn;
    if (sim.clients[e->index].top <= (unsigned)e->side) {
        sim.clients[e->index].top = (unsigned)e->side + 1;
    }
    if (conn < 0) {
        rt_client_lost(sim.clients[e->index].client, (unsigned)e->side, sim_ms());
    } else {
        /* Half of the agents prove who they are. */
        rt_client_connected(sim.clients[e->index].client, (unsigned)e->side,
                            e->arg % 2 == 0 ? sim_host_name(e->arg) : NULL, sim_ms());
    }
    sim_client_pump(e->index);
}

static void timer(const struct sim_event *e)
{
    if (e->node == NODE_GUEST) {
        struct sim_guest *g = &sim.guests[e->index];

        if (g->gen != e->gen || g->tether == NULL) {
            return;
        }
        if (g->timer_us <= sim.now_us) {
            g->timer_us = 0;
        }
        rt_tether_tick(g->tether, sim_ms());
        sim_guest_pump(e->index);
    } else if (e->node == NODE_CLIENT) {
        struct sim_client *c = &sim.clients[e->index];

        if (c->gen != e->gen || c->client == NULL) {
            return;
        }
        if (c->timer_us <= sim.now_us) {
            c->timer_us = 0;
        }
        rt_client_tick(c->client, sim_ms());
        sim_client_pump(e->index);
    } else {
        struct sim_agent *a = &sim.agents[e->index];

        if (a->gen != e->gen || a->agent == NULL) {
            return;
        }
        if (a->timer_us <= sim.now_us) {
            a->timer_us = 0;
        }
        rt_agent_tick(a->agent, sim_ms());
        sim_agent_timer(e->index);
    }
}

static void dispatch(const struct sim_event *e)
{
    switch (e->kind) {
    case EV_TIMER:
        timer(e);
        break;
    case EV_BYTES:
        sim_on_bytes(e);
        break;
    case EV_CLOSED:
        sim_on_closed(e);
        break;
    case EV_APP:
        if (e->node == NODE_GUEST && sim.guests[e->index].gen == e->gen) {
            sim_guest_app(e->index);
        }
        if (e->node == NODE_CLIENT && sim.clients[e->index].gen == e->gen) {
            sim_client_app(e->index);
        }
        break;
    case EV_FAULT:
        if (sim.quiet) {
            break;
        }
        sim_fault_once();
        sim_post((struct sim_event){.kind = EV_FAULT}, sim_random(sim_chance(30) ? 3000 : 400000));
        break;
    case EV_DIALED:
        dialed(e);
        break;
    case EV_STORE_REPLY:
        sim_store_reply(e);
        break;
    case EV_NEWS:
        sim_store_news(e);
        break;
    case EV_DISK:
        sim_disk_event(e);
        break;
    case EV_CALL:
        e->call(e->arg);
        break;
    }
}

static void step(void)
{
    struct sim_event e;
    uint64_t *until;

    if (!sim_pop(&e)) {
        sim_fail("nothing happens any more");
    }
    sim.now_us = e.at_us;
    until = paused_until(&e);
    if (until != NULL) {
        sim_hold(e, *until);
        return;
    }
    sim.stats.events++;
    dispatch(&e);
    free(e.bytes);
    free(e.extra);
    sim_check();
}

static bool any_running(void)
{
    for (int i = 0; i < SIM_GUESTS; i++) {
        if (sim.guests[i].running) {
            return true;
        }
    }
    return false;
}

/* What stands still goes on; a flushed store takes no new container for a while, and says so. */
static bool fault_lasts(void)
{
    for (int i = 0; i < SIM_GUESTS; i++) {
        const struct sim_guest *g = &sim.guests[i];

        if (g->running && (sim.now_us < g->paused_until_us ||
                           (!sim_store_whole() && (g->tether->life == 0 || !sim_store_record(g->container)->exists)))) {
            return true;
        }
    }
    for (int i = 0; i < sim.n_agents; i++) {
        if (sim.now_us < sim.agents[i].paused_until_us) {
            return true;
        }
    }
    return sim_store_split();
}

static void run_for(uint64_t us)
{
    uint64_t end = sim.now_us + us;

    while (sim.now_us < end) {
        step();
    }
}

/* Who was connected for longer than a ticket is good for moves on all the same. */
static void outlive_tickets(void)
{
    run_for(1000 * sim.ticket_ttl_ms + MOVED_US);
    for (int i = 0; i < SIM_GUESTS; i++) {
        if (sim.guests[i].running) {
            sim_guest_move(i, sim_other_host(sim.guests[i].host), 3);
        }
    }
    run_for(MOVED_US);
    sim_check_live(true);
}

void sim_run(const struct sim_options *options, struct sim_stats *total)
{
    bool forks;

    memset(&sim, 0, sizeof(sim));
    set_up(options);
    while ((sim.stats.events < options->min_events || sim.stats.moves < MOVES_LEAST) && any_running()) {
        step();
    }
    sim_heal();
    while (fault_lasts()) {
        step();
    }
    run_for(QUIET_US);
    sim_check_live(false);
    run_for(IDLE_HANG_US - QUIET_US);
    sim_check_live(true);
    sim.silent = true;
    run_for(DRAIN_US);
    sim_check_drained();
    if (sim.ticket_ttl_ms != 0) {
        outlive_tickets();
    }
    if (sim.hostile) {
        sim_floods(run_for);
    }
    sim.ending = true;
    forks = false;
    for (int i = 0; i < sim.n_containers; i++) {
        forks = forks || sim.forked[i];
    }
    run_for(forks ? FORK_END_US + 1000 * sim_store_back_ms() : END_US); /* a lease lasts longer by that */
    sim_check_ended();
    if (sim.stats.events < EVENTS_LEAST || sim.stats.moves < MOVES_LEAST) {
        sim_fail("a run of only %llu events and %llu moves", (unsigned long long)sim.stats.events,
                 (unsigned long long)sim.stats.moves);
    }
    sim_clear();
    total->events += sim.stats.events;
    total->moves += sim.stats.moves;
    for (int i = 0; i < SIM_FAULTS; i++) {
        total->faults[i] += sim.stats.faults[i];
    }
    total->bytes_out += sim.stats.bytes_out;
    total->bytes_in += sim.stats.bytes_in;
    total->rewound += sim.stats.rewound;
    total->gaps += sim.stats.gaps;
    total->attached += sim.stats.attached;
    total->resumed += sim.stats.resumed;
    total->failed += sim.stats.failed;
    for (int i = 0; i < 2 * SIM_FLOODS_MAX; i++) {
        total->floods[i / SIM_FLOODS_MAX][i % SIM_FLOODS_MAX] +=
            sim.stats.floods[i / SIM_FLOODS_MAX][i % SIM_FLOODS_MAX];
    }
    total->commands += sim.stats.commands;
    total->commands_told += sim.stats.commands_told;
}
