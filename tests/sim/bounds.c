/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/bounds.h"

#include "broker/core/agent.h"
#include "session/core/attachment.h"
#include "session/core/client_att.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"
#include "session/core/tether_machine.h"
#include "session/core/tether_proc.h"
#include "tests/sim/agents.h"
#include "tests/sim/clients.h"
#include "tests/sim/floods.h"
#include "tests/sim/guests.h"
#include "tests/sim/net.h"
#include "tests/sim/world.h"

#include <string.h>

/* What each declared bound promises, measured from outside: for how long an attachment may stop a process, and how much
 * a ring, a client and an agent may keep. */

/* Queued to a link that floods only use, and do not come from: from RT_LINK_HIGH_WATER on only what is newest is kept.
 */
#define PLAIN_MAX ((size_t)2 * RT_LINK_HIGH_WATER)
#define SAMPLE_US 2000       /* time between two looks at what stops a process */
#define FINISHED_BYTES 128   /* of a command that has ended: the item that says so */
#define HOLD_SLACK_US 100000 /* samples, and timers that are late by a step */

/* All that the attachment's cursor has to pass before its budget may be full again. */
static bool caught_up(const struct rt_att *att, const struct sim_hold *hold)
{
    for (unsigned o = 0; o < 2; o++) {
        if (rt_att_wants(att, o + RT_STDOUT) && att->out[o].acked < hold->goal[o]) {
            return false;
        }
    }
    return true;
}

static bool stops(const struct sim_guest *g, const struct rt_att *att)
{
    const struct rt_proc *proc = g->tether->procs[0];
    size_t space; /* there may be some since the process last looked */

    for (unsigned o = 0; o < 2; o++) {
        if (g->stopped[o] && rt_tether_space(g->tether, 0, RT_STDOUT + o, &space) == NULL &&
            rt_att_wants(att, o + RT_STDOUT) && att->out[o].acked <= proc->ring[o].base) {
            return true;
        }
    }
    return false;
}

static void check_hold(int guest, const struct rt_att *att, struct sim_hold *hold, uint64_t us)
{
    struct sim_guest *g = &sim.guests[guest];

    if (att->state == RT_ATT_FREE || memcmp(hold->id, att->id, RT_ID_SIZE) != 0) {
        memset(hold, 0, sizeof(*hold));
        memcpy(hold->id, att->id, RT_ID_SIZE);
    }
    if (att->state == RT_ATT_FREE || att->proc != 0) {
        return;
    }
    if (caught_up(att, hold)) {
        hold->us = 0;
    }
    if (att->hold_left == 0 || !stops(g, att)) { /* spent: the process has only not tried again yet */
        return;
    }
    hold->us += us;
    for (unsigned o = 0; o < 2; o++) {
        hold->goal[o] = g->tether->procs[0]->ring[o].head;
    }
    if (hold->us > att->hold_ms * 1000 + HOLD_SLACK_US) {
        sim_fail("guest %d: an attachment with a hold of %llu ms has stopped its process for %llu ms", guest,
                 (unsigned long long)att->hold_ms, (unsigned long long)hold->us / 1000);
    }
}

/* Time since the last look that counts: not while the guest itself stood still, nor the first part of an outage. */
static uint64_t time_that_counts(struct sim_guest *g)
{
    uint64_t from = g->looked_us, outage = g->tether->config.outage_hold_ms * 1000;

    g->looked_us = sim.now_us;
    if (g->paused_until_us > from) {
        from = g->paused_until_us < sim.now_us ? g->paused_until_us : sim.now_us;
    }
    if (g->tether->state != RT_TETHER_LIVE) {
        g->dark_us += sim.now_us - from;
    }
    return g->dark_us > 0 && g->dark_us <= outage ? 0 : sim.now_us - from;
}

static void check_holds(int guest)
{
    struct sim_guest *g = &sim.guests[guest];
    uint64_t us;

    if (g->tether->state == RT_TETHER_LIVE) {
        g->dark_us = 0;
    }
    if (sim.now_us < g->looked_us + SAMPLE_US) {
        return;
    }
    us = time_that_counts(g);
    if (g->exited || (!g->stopped[0] && !g->stopped[1])) {
        return;
    }
    for (size_t i = 0; i < RT_ATTS_MAX; i++) {
        check_hold(guest, &g->tether->atts[i], &g->holds[i], us);
    }
}

/* A command that has ended and that nobody is attached to is a status: it takes no place, and next to no memory. */
static void check_finished(int guest)
{
    const struct rt_tether *t = sim.guests[guest].tether;

    if (t->n_finished > RT_FINISHED_MAX) {
        sim_fail("guest %d remembers %zu commands that have ended", guest, t->n_finished);
    }
    for (int p = 1; p < RT_PROCS_MAX; p++) {
        if (t->procs[p] != NULL && t->procs[p]->state == RT_PROC_FINAL && (t->procs[p]->due & RT_PROC_DUE_CLOSE) == 0) {
            sim_fail("guest %d: a command that has ended takes the place of one that runs", guest);
        }
    }
    for (size_t p = 0; p < t->n_finished; p++) {
        size_t kept = 0;
        bool attached = false;

        for (int o = 0; o < RT_OUTS; o++) {
            kept += t->finished[p]->ring[o].data != NULL ? t->finished[p]->ring[o].cap : 0;
        }
        for (int i = 0; kept > FINISHED_BYTES && i < RT_ATTS_MAX; i++) {
            attached = attached || (t->atts[i].state != RT_ATT_FREE && t->atts[i].proc == t->finished[p]->id);
        }
        if (!attached && kept > FINISHED_BYTES) {
            sim_fail("guest %d keeps %zu bytes of a command that has ended", guest, kept);
        }
    }
}

static void check_guest(int guest)
{
    const struct rt_tether *t = sim.guests[guest].tether;

    check_holds(guest);
    if (!sim.guests[guest].touched) {
        return;
    }
    sim.guests[guest].touched = false;
    for (size_t i = 0; i < RT_ATTS_MAX; i++) {
        if (t->atts[i].state == RT_ATT_FREE ? i + 1 == t->n_atts : i >= t->n_atts) {
            sim_fail("guest %d: place %zu of an attachment, of %zu in use", guest, i, t->n_atts);
        }
    }
    for (int p = 0; p < RT_PROCS_MAX; p++) {
        for (int o = 0; t->procs[p] != NULL && o < RT_OUTS; o++) {
            if (t->procs[p]->ring[o].head - t->procs[p]->ring[o].base > t->procs[p]->ring[o].cap) {
                sim_fail("guest %d: a ring holds more than its size", guest);
            }
        }
    }
    check_finished(guest);
}

static void check_att(int client, const struct rt_catt *att)
{
    for (unsigned s = 0; s < 2; s++) {
        const struct rt_receiver *rx = &att->rx[s];

        if (rx->ring.head - rx->ring.base > RT_CLIENT_WINDOW || rx->n_gaps > RT_GAPS_MAX) {
            sim_fail("client %d keeps %llu bytes and %zu gaps of stream %u", client,
                     (unsigned long long)(rx->ring.head - rx->ring.base), rx->n_gaps, s + 1);
        }
    }
    if (att->tx[0].ring.head - att->tx[0].ring.base > RT_CLIENT_INPUT_MAX) {
        sim_fail("client %d keeps %llu bytes of input", client,
                 (unsigned long long)(att->tx[0].ring.head - att->tx[0].ring.base));
    }
}

static void check_client(int client)
{
    struct sim_client *c = &sim.clients[client];

    c->touched = false;
    for (int i = 0; c->client != NULL && i < SIM_ATTS; i++) {
        if (c->atts[i].att != NULL) {
            check_att(client, c->atts[i].att);
        }
    }
}

static void check_agent(int agent)
{
    struct rt_agent_stats stats;

    rt_agent_stats(sim.agents[agent].agent, &stats);
    if (stats.links > RT_AGENT_LINKS_MAX || stats.sessions > RT_AGENT_SESSIONS_MAX || stats.held > RT_AGENT_HELD_MAX ||
        stats.handshakes > RT_AGENT_HANDSHAKES_MAX) {
        sim_fail("host%d keeps more than a bound allows", agent);
    }
}

static void check_queued(struct sim_conn *c)
{
    c->grown = false;
    if (c->used && c->to[0].in_flight > RT_LINK_QUEUED_MAX) {
        sim_fail("%zu bytes are queued on one link", c->to[0].in_flight);
    }
}

void sim_check_bounds(void)
{
    for (int i = 0; i < SIM_GUESTS; i++) {
        if (sim.guests[i].tether != NULL && sim.guests[i].running) {
            check_guest(i);
        }
    }
    for (int i = 0; i < SIM_CLIENTS; i++) {
        if (sim.clients[i].touched) {
            check_client(i);
        }
    }
    for (int i = 0; i < sim.n_touched; i++) {
        if (sim.agents[sim.touched[i]].agent != NULL) {
            check_agent(sim.touched[i]);
        }
    }
    for (int i = 0; i < sim.n_grown; i++) {
        check_queued(&sim.conns[sim.grown[i]]);
    }
    sim.n_grown = 0;
    for (int i = 0; sim.flood != NULL && i < sim.top_conn; i++) {
        if (sim.conns[i].used && !sim_hostile_conn(i) && sim.conns[i].to[0].plain > PLAIN_MAX) {
            sim_fail("%zu bytes in frames without credit are queued on one link in a flood of %s",
                     sim.conns[i].to[0].plain, sim.flood);
        }
    }
}
