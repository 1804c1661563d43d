/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/net.h"

#include "session/core/client.h"
#include "session/core/frame.h"
#include "session/core/tether.h"
#include "tests/sim/agents.h"
#include "tests/sim/clients.h"
#include "tests/sim/faults.h"
#include "tests/sim/guests.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Connections: bytes with latency, cut at any byte, noticed by both sides, one, or none. */

#define TELL_ABOVE 65536 /* bytes queued, of which an agent is told at once; of less as they arrive */

int sim_connect(enum sim_node_kind kind, int peer, unsigned slot, int agent)
{
    struct rt_peer who = {.role = kind == NODE_GUEST ? RT_PEER_GUEST : RT_PEER_CLIENT};
    bool boss = kind == NODE_CLIENT && peer == SIM_OPERATOR;
    struct rt_proof proof = {.as = boss ? RT_CLIENT_OPERATOR : RT_CLIENT_VCH};
    struct sim_agent *a = &sim.agents[agent];
    struct sim_conn *c = NULL;
    uint32_t gen;
    bool untold, grown;
    int i;

    if (a->agent == NULL) {
        return -1;
    }
    for (i = 0; i < SIM_CONNS && c == NULL; i++) {
        if (!sim.conns[i].used) {
            c = &sim.conns[i];
        }
    }
    if (c == NULL) {
        sim_fail("more than %d connections", SIM_CONNS);
    }
    if (c - sim.conns >= sim.top_conn) {
        sim.top_conn = (int)(c - sim.conns) + 1;
    }
    gen = c->gen + 1;
    untold = c->untold; /* its places in the lists are this one's now */
    grown = c->grown;
    free(c->to[0].rx);
    free(c->to[1].rx);
    memset(c, 0, sizeof(*c));
    c->used = true;
    c->gen = gen;
    c->untold = untold;
    c->grown = grown;
    c->kind = kind;
    c->peer = peer;
    c->agent = agent;
    c->peer_gen = kind == NODE_GUEST ? sim.guests[peer].gen : sim.clients[peer].gen;
    c->agent_gen = a->gen;
    c->slot = slot;
    c->open[0] = c->open[1] = true;
    c->latency_us = 20 + sim_random(sim_chance(10) ? 5000 : 300);
    c->to[0].deliver = c->to[1].deliver = -1;
    c->link = rt_agent_opened(a->agent, &who, sim_ms());
    if (!c->link) {
        sim_fail("an agent refused a link");
    }
    if (kind == NODE_CLIENT && !boss) {
        (void)snprintf(proof.who, sizeof(proof.who), "local");
    } else if (!boss && sim.proves_vms) {
        (void)snprintf(proof.who, sizeof(proof.who), RT_VM_PREFIX "%d", sim.guests[peer].container);
    }
    rt_agent_proved(a->agent, c->link, &proof, sim_ms());
    sim_agent_timer(agent);
    return (int)(c - sim.conns);
}

/* The receive buffers stay until the place is used again: a machine may be reading them just now. */
void sim_free_conn(int conn)
{
    sim.conns[conn].used = false;
    sim.conns[conn].gen++;
}

size_t sim_in_flight(int conn, int to)
{
    return sim.conns[conn].to[to].in_flight;
}

/* Bytes of all frames but DATA: an agent sends whole frames. */
static int without_credit(const uint8_t *bytes, size_t size)
{
    size_t at = 0, sum = 0;

    while (at < size) {
        struct rt_frame frame;

        if (size - at < RT_FRAME_HEADER) {
            sim_fail("an agent sends a part of a frame");
        }
        rt_frame_get(bytes + at, &frame);
        sum += frame.type == RT_DATA ? 0 : RT_FRAME_HEADER + frame.length;
        at += RT_FRAME_HEADER + frame.length;
    }
    return (int)sum;
}

void sim_send(int conn, int to, const uint8_t *bytes, size_t size)
{
    struct sim_conn *c = &sim.conns[conn];
    struct sim_half *half = &c->to[to];
    struct sim_event event = {.kind = EV_BYTES, .conn = conn, .gen = c->gen, .side = to, .size = size};
    uint64_t at = sim.now_us + c->latency_us;

    if (sim.lose_next && size >= RT_FRAME_HEADER && bytes[4] == sim.lose_next && !c->cut) {
        sim.stats.faults[sim.lose_next == RT_WELCOME ? FAULT_WELCOME_LOST : FAULT_CONFIRM_LOST]++;
        sim_log("fault: the %s on connection %d is lost", rt_frame_name((uint8_t)sim.lose_next), conn);
        sim.lose_next = 0;
        sim_cut(conn, 3);
    }
    if (c->cut) {
        return;
    }
    if (at < half->last_us) {
        at = half->last_us;
    }
    if (sim.now_us < c->slow_us) {
        at += size * 1000000 / c->rate;
    }
    half->last_us = at;
    half->in_flight += size;
    event.arg = to == 0 && sim.hostile ? without_credit(bytes, size) : 0;
    half->plain += (size_t)event.arg;
    if (to == 0 && !c->grown) {
        c->grown = true;
        sim.grown[sim.n_grown++] = conn;
    }
    if (to == 0 && half->in_flight > TELL_ABOVE && !c->untold) {
        c->untold = true;
        sim.untold[sim.n_untold++] = conn;
    }
    event.bytes = malloc(size);
    if (event.bytes == NULL) {
        sim_fail("out of memory");
    }
    memcpy(event.bytes, bytes, size);
    sim_post(event, at - sim.now_us);
}

void sim_slow(int conn, uint64_t rate, uint64_t us)
{
    struct sim_conn *c = &sim.conns[conn];

    sim_log("fault: connection %d passes %llu bytes a second", conn, (unsigned long long)rate);
    c->slow_us = sim.now_us + us;
    c->rate = rate;
}

/* Telling may make it send more. */
void sim_tell_queued(int agent)
{
    for (int i = 0; i < sim.n_untold; i++) {
        int conn = sim.untold[i];
        struct sim_conn *c = &sim.conns[conn];

        if (c->used && c->agent != agent) {
            continue;
        }
        sim.untold[i--] = sim.untold[--sim.n_untold];
        c->untold = false;
        if (c->used && !c->cut && c->open[1] && sim.agents[agent].agent != NULL &&
            c->agent_gen == sim.agents[agent].gen) {
            rt_agent_queued(sim.agents[agent].agent, c->link, c->to[0].in_flight, sim_ms());
        }
    }
}

/* One side closes: the other notices after what is in flight. */
void sim_close(int conn, int side)
{
    struct sim_conn *c = &sim.conns[conn];
    struct sim_event event = {.kind = EV_CLOSED, .conn = conn, .gen = c->gen, .side = !side};
    uint64_t at = sim.now_us + c->latency_us;

    if (!c->used || !c->open[side]) {
        return;
    }
    c->open[side] = false;
    if (!c->open[!side]) {
        sim_free_conn(conn);
        return;
    }
    if (at < c->to[!side].last_us) {
        at = c->to[!side].last_us;
    }
    if (!c->cut) {
        sim_post(event, at - sim.now_us);
    }
    c->cut = true;
}

void sim_cut(int conn, unsigned tell)
{
    struct sim_conn *c = &sim.conns[conn];

    if (!c->used || c->cut) {
        return;
    }
    c->cut = true;
    for (int side = 0; side < 2; side++) {
        struct sim_half *half = &c->to[side];
        struct sim_event event = {.kind = EV_CLOSED, .conn = conn, .gen = c->gen, .side = side};
        uint64_t at = half->last_us > sim.now_us ? half->last_us : sim.now_us;

        half->deliver = (int64_t)sim_random(half->in_flight + 1);
        if (tell >> side & 1) {
            sim_post(event, at - sim.now_us + sim_random(200));
        } else if (side == 1 && sim_chance(50)) { /* a half-open one ends some time */
            sim_post(event, at - sim.now_us + sim_random(20000000));
        }
    }
}

static bool peer_there(const struct sim_conn *c, int side)
{
    if (side == 1) {
        return sim.agents[c->agent].gen == c->agent_gen && sim.agents[c->agent].agent != NULL;
    }
    if (c->kind == NODE_GUEST) {
        return sim.guests[c->peer].gen == c->peer_gen && sim.guests[c->peer].tether != NULL;
    }
    return sim.clients[c->peer].gen == c->peer_gen && sim.clients[c->peer].client != NULL;
}

static void take(struct sim_half *half, size_t used)
{
    half->rx_size -= used;
    memmove(half->rx + RT_FRAME_HEADER, half->rx + RT_FRAME_HEADER + used, half->rx_size);
}

/* The receive buffer has the room for a header before the bytes that the agent is promised. */
static void keep(struct sim_half *half, const uint8_t *bytes, size_t size)
{
    size_t need = RT_FRAME_HEADER + half->rx_size + size;

    if (need > half->rx_cap) {
        half->rx_cap = need * 2;
        half->rx = realloc(half->rx, half->rx_cap);
        if (half->rx == NULL) {
            sim_fail("out of memory");
        }
    }
    memcpy(half->rx + RT_FRAME_HEADER + half->rx_size, bytes, size);
    half->rx_size += size;
}

static void deliver(int conn, int side)
{
    struct sim_conn *c = &sim.conns[conn];
    struct sim_half *half = &c->to[side];
    uint32_t gen = c->gen;
    uint8_t *data = half->rx + RT_FRAME_HEADER;
    size_t used;

    if (side == 1) {
        used = rt_agent_input(sim.agents[c->agent].agent, c->link, data, half->rx_size, sim_ms());
        sim_agent_timer(c->agent);
    } else if (c->kind == NODE_GUEST) {
        used = rt_tether_input(sim.guests[c->peer].tether, data, half->rx_size, sim_ms());
    } else {
        used = rt_client_input(sim.clients[c->peer].client, c->slot, data, half->rx_size, sim_ms());
    }
    if (c->used && c->gen == gen) {
        take(half, used);
    }
    if (side == 1) {
        return;
    }
    if (c->kind == NODE_GUEST) {
        sim_guest_pump(c->peer);
    } else {
        sim_client_pump(c->peer);
    }
}

void sim_on_bytes(const struct sim_event *event)
{
    struct sim_conn *c = &sim.conns[event->conn];
    struct sim_half *half = &c->to[event->side];
    size_t size = event->size;

    if (!c->used || c->gen != event->gen) {
        return;
    }
    half->in_flight -= size;
    half->plain -= (size_t)event->arg;
    if (half->deliver >= 0) {
        if ((int64_t)size > half->deliver) {
            size = (size_t)half->deliver;
        }
        half->deliver -= (int64_t)size;
    }
    if (c->open[event->side] && peer_there(c, event->side) && size) {
        int other = !event->side;
        uint32_t gen = c->gen;

        keep(half, event->bytes, size);
        deliver(event->conn, event->side);
        if (!c->used || c->gen != gen || c->cut || !c->open[other] || !peer_there(c, other)) {
            return;
        }
        if (other == 1) {
            if (half->in_flight > 0) {
                rt_agent_taken(sim.agents[c->agent].agent, c->link, sim_ms());
            }
            rt_agent_queued(sim.agents[c->agent].agent, c->link, half->in_flight, sim_ms());
            sim_agent_timer(c->agent);
        } else if (c->kind == NODE_GUEST) {
            sim_guest_pump(c->peer);
        } else {
            sim_client_pump(c->peer);
        }
    }
}

void sim_on_closed(const struct sim_event *event)
{
    struct sim_conn *c = &sim.conns[event->conn];
    int side = event->side, peer = c->peer;
    bool there;

    if (!c->used || c->gen != event->gen || !c->open[side]) {
        return;
    }
    there = peer_there(c, side);
    c->open[side] = false;
    c->cut = true;
    if (there && side == 1) {
        int agent = c->agent;

        rt_agent_closed(sim.agents[agent].agent, c->link, "reset by the peer", sim_ms());
        if (!c->open[0]) {
            sim_free_conn(event->conn);
        }
        sim_agent_timer(agent);
        return;
    }
    if (there && c->kind == NODE_GUEST) {
        sim.guests[peer].conn = -1;
        rt_tether_lost(sim.guests[peer].tether, sim_ms());
        if (!c->open[1]) {
            sim_free_conn(event->conn);
        }
        sim_guest_pump(peer);
    } else if (there) {
        sim.clients[peer].conn[c->slot] = -1;
        rt_client_lost(sim.clients[peer].client, c->slot, sim_ms());
        if (!c->open[1]) {
            sim_free_conn(event->conn);
        }
        sim_client_pump(peer);
    } else if (!c->open[!side]) {
        sim_free_conn(event->conn);
    }
}
