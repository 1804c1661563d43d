/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/agents.h"

#include "broker/core/agent.h"
#include "migrate/core/ticket.h"
#include "session/base/error.h"
#include "session/base/slice.h"
#include "tests/sim/disk.h"
#include "tests/sim/event.h"
#include "tests/sim/net.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Agents: the agent's machine, plugged to the modelled network and store. Sealing is a plain copy here: what it keeps
 * out is tested with migrate/seal. */

#define ADDR_PREFIX "unix:/sim/host"

/* Names are asked for at each event: they are made once. */
const char *sim_host_name(int agent)
{
    static char names[SIM_AGENTS_MAX][16];

    if (!names[agent][0]) {
        (void)snprintf(names[agent], sizeof(names[agent]), "host%d", agent);
    }
    return names[agent];
}

void sim_agent_name(int agent, char out[RT_HOST_MAX + 1])
{
    rt_slice_copy(rt_slice_text(sim_host_name(agent)), out, RT_HOST_MAX + 1);
}

void sim_agent_addr(int agent, char out[RT_ADDR_MAX + 1])
{
    (void)snprintf(out, RT_ADDR_MAX + 1, ADDR_PREFIX "%d", agent);
}

int sim_agent_at(const char *addr)
{
    char *end;
    long agent =
        strncmp(addr, ADDR_PREFIX, strlen(ADDR_PREFIX)) == 0 ? strtol(addr + strlen(ADDR_PREFIX), &end, 10) : -1;

    if (agent < 0 || agent >= sim.n_agents || *end != '\0') {
        sim_fail("a client dials %s, where no agent ever was", addr);
    }
    return (int)agent;
}

const struct rt_key *sim_key_of(int container)
{
    static struct rt_key keys[SIM_KEYS];
    struct rt_key *key = &keys[container];

    if (!key->cid[0]) {
        (void)snprintf(key->tenant, sizeof(key->tenant), "local");
        (void)snprintf(key->cid, sizeof(key->cid), "container%d", container);
    }
    return key;
}

void sim_key(int container, struct rt_key *key)
{
    *key = *sim_key_of(container);
}

static const struct rt_id *parent_of(const struct rt_id *id)
{
    for (size_t i = 0; i < SIM_TICKETS && i < sim.n_sealed; i++) {
        if (rt_id_equal(&sim.sealed[i].id, id)) {
            return &sim.sealed[i].parent;
        }
    }
    return NULL;
}

bool sim_ticket_forgot(const uint8_t *token, size_t size, const struct rt_id *recorded)
{
    struct rt_ticket ticket;
    const struct rt_id *id = &ticket.id;

    if (rt_ticket_decode(token, size, &ticket) != 0 || ticket.n_ancestors < RT_ANCESTORS_MAX) {
        return false;
    }
    for (size_t i = 0; i < ticket.n_ancestors; i++) {
        if (rt_id_equal(&ticket.ancestors[i], recorded)) {
            return false;
        }
    }
    for (size_t i = 0; i < SIM_TICKETS && id != NULL; i++) {
        id = parent_of(id);
        if (id != NULL && rt_id_equal(id, recorded)) {
            return true;
        }
    }
    return false;
}

/* ctx: the agent, or NULL for who creates containers, with the first key. */
int sim_seal(void *ctx, const struct rt_ticket *ticket, uint8_t *out, size_t cap)
{
    const struct sim_agent *a = ctx;
    struct rt_ticket sealed = *ticket;

    sealed.key_id = a != NULL ? a->active_key : 0;
    if (ticket->n_ancestors > 0) {
        sim.sealed[sim.n_sealed++ % SIM_TICKETS] = (struct sim_lineage){ticket->id, ticket->ancestors[0]};
    }
    return rt_ticket_encode(&sealed, out, cap);
}

int sim_open(void *ctx, const uint8_t *token, size_t size, uint64_t wall_ms, struct rt_ticket *ticket)
{
    const struct sim_agent *a = ctx;
    int rc = rt_ticket_decode(token, size, ticket);

    if (rc != 0) {
        return rc;
    }
    if (ticket->key_id > a->newest_key) {
        sim_log("host%d does not know key %u yet", (int)(a - sim.agents), ticket->key_id);
        return RT_ENOTFOUND;
    }
    return ticket->expires_ms != 0 && ticket->expires_ms <= wall_ms ? RT_EEXPIRED : 0;
}

static void learn_key(int agent)
{
    sim.agents[agent].newest_key = sim.newest_key;
}

static void use_key(int agent)
{
    learn_key(agent);
    sim.agents[agent].active_key = sim.newest_key;
}

bool sim_change_key(void)
{
    uint64_t known_us = sim_random(2000000);

    for (int i = 0; i < sim.n_agents; i++) {
        if (sim.agents[i].active_key != sim.newest_key) {
            return false; /* one change at a time */
        }
    }
    sim.newest_key++;
    sim_log("fault: key %u is made", sim.newest_key);
    for (int i = 0; i < sim.n_agents; i++) {
        uint64_t at = sim_random(known_us + 1);

        sim_post((struct sim_event){.kind = EV_CALL, .call = learn_key, .arg = i}, at);
        sim_post((struct sim_event){.kind = EV_CALL, .call = use_key, .arg = i},
                 (sim_chance(70) ? known_us : at) + sim_random(2000000)); /* in haste: others do not know it yet */
    }
    return true;
}

static int conn_of(int agent, rt_link_id link)
{
    for (int i = 0; i < sim.top_conn; i++) {
        const struct sim_conn *c = &sim.conns[i];

        if (c->used && c->agent == agent && c->agent_gen == sim.agents[agent].gen && c->link == link) {
            return i;
        }
    }
    return -1;
}

static void io_send(void *ctx, rt_link_id link, const uint8_t *data, size_t size, bool in_input)
{
    int agent = (int)((struct sim_agent *)ctx - sim.agents);
    int conn = conn_of(agent, link);

    (void)in_input;
    if (conn >= 0 && sim.conns[conn].open[1]) {
        sim_send(conn, 0, data, size);
    }
}

static void io_close(void *ctx, rt_link_id link, const char *reason)
{
    int agent = (int)((struct sim_agent *)ctx - sim.agents);
    int conn = conn_of(agent, link);

    sim_log("host%d closes link %u: %s", agent, link, reason);
    if (conn >= 0) {
        sim_close(conn, 1);
    }
}

static int io_store(void *ctx, const struct rt_store_op *op)
{
    return sim_store_submit((int)((struct sim_agent *)ctx - sim.agents), op);
}

static void io_event(void *ctx, const struct rt_agent_event *event)
{
    int agent = (int)((struct sim_agent *)ctx - sim.agents);

    sim.stats.faults[FAULT_KICK] += event->kind == RT_AGENT_KICKED;
    sim_log("host%d event %d link %u %s life %llu epoch %llu %s -> %s: %s", agent, event->kind, event->link,
            event->key.cid, (unsigned long long)event->life, (unsigned long long)event->epoch, event->from, event->to,
            event->reason);
}

static uint64_t io_wall(void *ctx)
{
    (void)ctx;
    return SIM_WALL_MS + sim_ms();
}

static int io_keep_end(void *ctx, uint32_t id, const struct rt_store_op *end)
{
    return sim_disk_keep((int)((struct sim_agent *)ctx - sim.agents), id, end);
}

static void io_drop_end(void *ctx, const struct rt_key *key, uint64_t life)
{
    sim_disk_drop((int)((struct sim_agent *)ctx - sim.agents), key, life);
}

static int io_keep_revoked(void *ctx, const struct rt_key *key, uint64_t life)
{
    struct sim_agent *a = ctx;

    for (int i = 0; i < SIM_KEYS; i++) {
        if (rt_key_equal(sim_key_of(i), key)) {
            if (life <= sim_disk_revoked(a, i)) {
                sim_fail("host%d keeps that %llu is revoked, and has %llu", (int)(a - sim.agents),
                         (unsigned long long)life, (unsigned long long)sim_disk_revoked(a, i));
            }
            a->revoked[i] = life;
            a->owed[i] = life <= sim_store_record(i)->rev ? life : a->owed[i];
        }
    }
    sim_disk_keep_revoked((int)(a - sim.agents), key, life);
    return 0;
}

static void io_drop_revoked(void *ctx, const struct rt_key *key, uint64_t life)
{
    sim_disk_drop_revoked((int)((struct sim_agent *)ctx - sim.agents), key, life);
}

void sim_touch(int agent)
{
    if (!sim.agents[agent].touched) {
        sim.touched[sim.n_touched++] = agent;
    }
    sim.agents[agent].touched = true;
}

void sim_start_agent(int agent)
{
    struct sim_agent *a = &sim.agents[agent];
    struct rt_agent_config config = {.seed = sim_random(UINT64_MAX), .n_addr = 1};

    sim_agent_name(agent, config.host);
    sim_agent_addr(agent, config.addr[0]);
    config.ticket_ttl_ms = sim.ticket_ttl_ms;
    config.sealer.ctx = a;
    config.sealer.seal = sim_seal;
    config.sealer.open = sim_open;
    config.io.ctx = a;
    config.io.send = io_send;
    config.io.close = io_close;
    config.io.store = io_store;
    config.io.event = io_event;
    config.io.random = sim_random_bytes;
    config.io.wall_ms = io_wall;
    config.io.keep_end = io_keep_end;
    config.io.drop_end = io_drop_end;
    config.io.keep_revoked = io_keep_revoked;
    config.io.drop_revoked = io_drop_revoked;
    a->agent = rt_agent_new(&config, sim_ms());
    if (a->agent == NULL) {
        sim_fail("out of memory");
    }
    a->used = true;
    a->store_up = false;
    a->timer_us = 0;
    sim_log("host%d starts", agent);
    for (size_t i = 0; i < a->n_ends; i++) {
        rt_agent_kept_end(a->agent, &a->ends[i], sim_ms());
    }
    for (int i = 0; i < SIM_KEYS; i++) {
        /* An agent that was killed before its disk had it has not heard. */
        a->revoked[i] = sim_disk_revoked(a, i);
        a->owed[i] = a->owed[i] < a->revoked[i] ? a->owed[i] : a->revoked[i];
        for (int k = 0; k < SIM_REVOKED_FILES; k++) {
            rt_agent_kept_revoked(a->agent, sim_key_of(i), a->revoked_files[i][k], sim_ms());
        }
    }
    sim_agent_timer(agent);
    sim_store_up(agent, true);
}

void sim_kill_agent(int agent)
{
    struct sim_agent *a = &sim.agents[agent];

    sim_log("host%d is killed", agent);
    rt_agent_free(a->agent);
    a->agent = NULL;
    a->gen++;
    a->store_up = false;
    sim_disk_killed(agent);
    sim_touch(agent);
    for (int i = 0; i < sim.top_conn; i++) {
        struct sim_conn *c = &sim.conns[i];

        if (!c->used || c->agent != agent) {
            continue;
        }
        if (!c->open[0]) {
            sim_free_conn(i);
            continue;
        }
        sim_cut(i, 1);
        c->open[1] = false;
    }
}

void sim_agent_timer(int agent)
{
    struct sim_agent *a = &sim.agents[agent];
    uint64_t deadline, at;

    sim_tell_queued(agent);
    sim_touch(agent);
    deadline = a->agent != NULL ? rt_agent_deadline(a->agent) : UINT64_MAX;
    if (deadline == UINT64_MAX) {
        return;
    }
    at = deadline > 1000000 ? (deadline - 1000000) * 1000 : 0;
    if (at <= sim.now_us) {
        at = sim.now_us + 1000;
    }
    if (!a->timer_us || at < a->timer_us || a->timer_us <= sim.now_us) {
        a->timer_us = at;
        sim_post((struct sim_event){.kind = EV_TIMER, .node = NODE_AGENT, .index = agent, .gen = a->gen},
                 at - sim.now_us);
    }
}
