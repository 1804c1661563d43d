/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/faults.h"

#include "broker/core/agent.h"
#include "migrate/core/ticket.h"
#include "session/core/attachment.h"
#include "session/core/client.h"
#include "session/core/frame.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "tests/sim/agents.h"
#include "tests/sim/clients.h"
#include "tests/sim/disk.h"
#include "tests/sim/event.h"
#include "tests/sim/floods.h"
#include "tests/sim/guests.h"
#include "tests/sim/net.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"

#include <string.h>

/* One fault at a time, drawn from the seed. */

const struct sim_fault_kind sim_fault_kinds[SIM_FAULTS] = {
    [FAULT_CUT] = {"cut", true},
    [FAULT_CUT_HALF_OPEN] = {"cut half-open", true},
    [FAULT_HANG] = {"hang", true},
    [FAULT_LINK_SLOW] = {"link slow", true},
    [FAULT_MOVE] = {"move", true},
    [FAULT_MOVE_BACK_TO_BACK] = {"move back to back", true},
    [FAULT_MOVE_ABORTED] = {"move aborted", true},
    [FAULT_MOVE_TO_AND_FRO] = {"to and fro", true},
    [FAULT_MANY_AGENTS] = {"many agents", true},
    [FAULT_AGENT_CRASH] = {"agent crash", true},
    [FAULT_AGENT_PAUSE] = {"agent pause", true},
    [FAULT_AGENT_STOP] = {"agent stop", true},
    [FAULT_HOST_GONE] = {"host gone", true},
    [FAULT_KEY_CHANGE] = {"key change", true},
    [FAULT_TICKET_TTL] = {"ticket ttl", true},
    [FAULT_STORE_SLOW] = {"store slow", true},
    [FAULT_STORE_OUT] = {"store out", true},
    [FAULT_STORE_FAILOVER] = {"failover", true},
    [FAULT_STORE_FLUSH] = {"flush", true},
    [FAULT_STORE_REPLY_LOST] = {"reply lost", true},
    [FAULT_STORE_SLOWER] = {"store slower", true},
    [FAULT_STORE_FULL] = {"store full", true},
    [FAULT_STORE_CLOCK] = {"store clock", true},
    [FAULT_RECORD_LOST] = {"record lost", true},
    [FAULT_DISK_SLOW] = {"disk slow", true},
    [FAULT_DISK_FAILS] = {"disk fails", true},
    [FAULT_DISK_KILLED] = {"disk killed", true},
    [FAULT_NEWS_LOST] = {"news lost", true},
    [FAULT_NEWS_LATE] = {"news late", true},
    [FAULT_NEWS_TWICE] = {"news twice", true},
    [FAULT_WELCOME_LOST] = {"welcome lost", true},
    [FAULT_CONFIRM_LOST] = {"confirm lost", true},
    [FAULT_CLIENT_CRASH] = {"client crash", true},
    [FAULT_CLIENT_STALL] = {"client stall", true},
    [FAULT_CLIENT_LATE] = {"client late", true},
    [FAULT_CLIENT_TWICE] = {"client twice", true},
    [FAULT_SNAPSHOT_REVERT] = {"revert", true},
    [FAULT_CLONE] = {"clone", true},
    [FAULT_RESTART_ELSEWHERE] = {"restart elsewhere", true},
    [FAULT_RESTART_AFTER_DEATH] = {"restarted", true},
    [FAULT_FLOOD] = {"flood", true},
    [FAULT_JOIN_RACE] = {"join race", true},
    [FAULT_END_AGAIN] = {"end again", true},
    [FAULT_GUEST_PAUSE] = {"guest pause", true},
    [FAULT_EXIT] = {"exit", true},
    [FAULT_KICK] = {"kick", true},
    [FAULT_REVOKE] = {"revoke", true},
    [FAULT_STORE_SPLIT] = {"store split", true},
    [FAULT_STORE_ALONE] = {"store alone", true},
};

int sim_fault_named(const char *name)
{
    for (int i = 0; i < SIM_FAULTS; i++) {
        if (strcmp(sim_fault_kinds[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

uint64_t sim_faults_on(void)
{
    uint64_t on = 0;

    for (int i = 0; i < SIM_FAULTS; i++) {
        on |= (uint64_t)sim_fault_kinds[i].on << i;
    }
    return on;
}

bool sim_draws(enum sim_fault fault)
{
    return sim.options.faults >> fault & 1;
}

static int any_conn(int kind)
{
    int first = (int)sim_random((uint64_t)sim.top_conn);

    for (int i = 0; i < sim.top_conn; i++) {
        int conn = (first + i) % sim.top_conn;
        const struct sim_conn *c = &sim.conns[conn];

        if (c->used && !c->cut && c->open[0] && (kind < 0 || (int)c->kind == kind)) {
            return conn;
        }
    }
    return -1;
}

int sim_any_guest(void)
{
    int first = (int)sim_random(SIM_GUESTS);

    for (int i = 0; i < SIM_GUESTS; i++) {
        if (sim.guests[(first + i) % SIM_GUESTS].running) {
            return (first + i) % SIM_GUESTS;
        }
    }
    return -1;
}

/* What a move does to the old connection: reset on both sides, only noticed by the guest, or by nobody (pings find it).
 */
static unsigned move_style(void)
{
    return sim_chance(60) ? 3 : sim_chance(70) ? 1 : 0;
}

static bool cut(unsigned tell)
{
    int conn = any_conn(-1);

    if (conn < 0) {
        return false;
    }
    sim_log("fault: connection %d is cut, told to %u", conn, tell);
    sim_cut(conn, tell);
    return true;
}

int sim_other_host(int host)
{
    int other = (host + 1 + (int)sim_random((uint64_t)sim.n_agents - 1)) % sim.n_agents;

    while (sim.agents[other].gone) {
        other = (other + 1) % sim.n_agents;
    }
    return other;
}

static bool slow(void)
{
    int conn = any_conn(-1);

    if (conn < 0) {
        return false;
    }
    sim_slow(conn, 20000 + sim_random(2000000), sim_random(3000000));
    return true;
}

/* A pause that is under way is not cut short: what was to happen meanwhile has been put off until its end. */
static void pause_guest(int guest, uint64_t us)
{
    struct sim_guest *g = &sim.guests[guest];

    g->paused = true;
    if (g->paused_until_us < sim.now_us + us) {
        g->paused_until_us = sim.now_us + us;
    }
    sim_log("fault: guest %d stands still until %llu.%03llu ms", guest, (unsigned long long)g->paused_until_us / 1000,
            (unsigned long long)g->paused_until_us % 1000);
}

static void move_again(int arg)
{
    int guest = arg % SIM_GUESTS, host = arg / SIM_GUESTS;

    if (sim.guests[guest].running && !sim.quiet && !sim.agents[host].gone) {
        sim_guest_move(guest, host, move_style());
    }
}

static bool move(enum sim_fault fault)
{
    int guest = sim_any_guest();
    struct sim_guest *g = &sim.guests[guest < 0 ? 0 : guest];
    int from = g->host, to = sim_other_host(from);
    struct sim_event again = {.kind = EV_CALL, .call = move_again};

    if (guest < 0) {
        return false;
    }
    if (fault == FAULT_MOVE_ABORTED) { /* the guest stood still for a while and stays */
        pause_guest(guest, sim_random(300000));
        return true;
    }
    sim_guest_move(guest, to, move_style());
    if (fault == FAULT_MOVE) {
        return true;
    }
    again.arg = guest + SIM_GUESTS * (fault == FAULT_MOVE_TO_AND_FRO ? from : sim_other_host(to));
    sim_post(again, sim_random(fault == FAULT_MOVE_TO_AND_FRO ? 500 : 3000));
    return true;
}

static void restart_agent(int agent)
{
    if (sim.agents[agent].agent == NULL && !sim.agents[agent].gone) {
        sim_start_agent(agent);
    }
}

static bool agent_fault(enum sim_fault fault)
{
    int agent = (int)sim_random((uint64_t)sim.n_agents);
    struct sim_agent *a = &sim.agents[agent];
    int guest = sim_any_guest();

    if (guest >= 0 && sim_chance(70)) { /* rather one that serves */
        agent = sim.guests[guest].host;
        a = &sim.agents[agent];
    }
    if (a->agent == NULL) {
        return false;
    }
    if (fault == FAULT_AGENT_PAUSE) {
        uint64_t until = sim.now_us + sim_random(6000000);
        a->paused = true;
        if (a->paused_until_us < until) { /* as with a guest's */
            a->paused_until_us = until;
        }
        sim_log("fault: host%d pauses", agent);
        return true;
    }
    if (fault == FAULT_AGENT_STOP) {
        rt_agent_stop(a->agent, sim_ms());
    }
    sim_kill_agent(agent);
    sim_post((struct sim_event){.kind = EV_CALL, .call = restart_agent, .arg = agent}, sim_random(3000000));
    return true;
}

static void new_client(int client)
{
    if (!sim.clients[client].used) {
        sim_new_client(client);
    }
}

/* An attachment of any client that has been attached and goes on, or NULL. */
static const struct sim_att *any_attached(int first)
{
    for (int i = 0; i < SIM_CLIENTS * SIM_ATTS; i++) {
        const struct sim_att *att = &sim.clients[(first + i / SIM_ATTS) % SIM_CLIENTS].atts[i % SIM_ATTS];

        if (att->att != NULL && att->attached && !att->final) {
            return att;
        }
    }
    return NULL;
}

/* Another process attaches with an id that is in use: the one that has it must not lose its binding, nor a byte. */
static bool twice(int client)
{
    const struct sim_att *mine = any_attached(client);
    struct rt_attach_options options = {.want = 31, .from = RT_FROM_OLDEST};
    struct rt_key key;

    if (mine == NULL) {
        return false;
    }
    sim_key(mine->container, &key);
    memcpy(options.cid, key.cid, sizeof(key.cid));
    memcpy(options.id, mine->id, RT_ID_SIZE);
    return sim_client_twin(client, &options);
}

static bool client_fault(enum sim_fault fault)
{
    int client = (int)sim_random(SIM_CLIENTS);
    struct sim_client *c = &sim.clients[client];

    if (c->client == NULL) {
        return false;
    }
    switch (fault) {
    case FAULT_CLIENT_STALL:
        c->stalled_until_us = sim.now_us + sim_random(sim_chance(20) ? 60000000 : 3000000);
        c->stalled_for_ever = sim_chance(5);
        if (c->stalled_for_ever) {
            c->stalled_until_us = UINT64_MAX;
        }
        return true;
    case FAULT_CLIENT_LATE: /* its machine stands still, links and all, and comes back to a world that went on */
        if (!c->stalled_for_ever) {
            c->stalled_until_us = sim.now_us + 1000000 + sim_random(9000000);
        }
        for (int i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
            if (c->conn[i] >= 0) {
                sim_cut(c->conn[i], 2);
            }
        }
        return true;
    case FAULT_CLIENT_TWICE:
        return twice(client);
    default:
        sim_client_crash(client);
        sim_post((struct sim_event){.kind = EV_CALL, .call = new_client, .arg = client}, sim_random(2000000));
        return true;
    }
}

static void revert(int guest)
{
    struct sim_guest *g = &sim.guests[guest];

    if (g->running && g->saved != NULL && !sim.quiet && sim_guest_revert(guest)) {
        sim.stats.faults[FAULT_SNAPSHOT_REVERT]++;
    }
}

static bool copy_fault(enum sim_fault fault)
{
    int guest = sim_any_guest();
    struct sim_guest *g = &sim.guests[guest < 0 ? 0 : guest];

    if (guest < 0 || !sim.allow_forks || g->exited) {
        return false;
    }
    if (fault == FAULT_CLONE) {
        return sim_guest_clone(guest, sim_other_host(g->host)) >= 0;
    }
    if (sim_guest_save(guest)) {
        sim_post((struct sim_event){.kind = EV_CALL, .call = revert, .arg = guest}, sim_random(3000000));
    }
    return false; /* counted when it is carried out */
}

static bool lose(int type)
{
    int guest = sim_any_guest();

    if (guest < 0 || sim.lose_next) {
        return false;
    }
    sim.lose_next = type;
    sim_guest_move(guest, sim.guests[guest].host, 3); /* counted when it is carried out */
    return false;
}

/* A process exits, in the middle of whatever else happens, so often as a percentage of asked. Returns its guest, or -1.
 */
static int exit_one(unsigned percent)
{
    int guest = sim_any_guest();

    if (guest < 0 || !sim.guests[guest].done.started || sim.guests[guest].exited || sim.stats.moves < 5 ||
        !sim_chance(percent)) {
        return -1;
    }
    sim_guest_exit(guest);
    sim_guest_pump(guest);
    return guest;
}

/* While its disk writes, unless nothing comes for as long as that is slow. */
static void crash(int agent)
{
    if (sim.agents[agent].agent == NULL || sim.quiet) {
        return;
    }
    if (sim_disk_waits(agent)) {
        sim_post((struct sim_event){.kind = EV_CALL, .call = crash, .arg = agent}, 20000 + sim_random(100000));
        return;
    }
    sim_kill_agent(agent);
    sim.stats.faults[FAULT_AGENT_CRASH]++;
    sim_post((struct sim_event){.kind = EV_CALL, .call = restart_agent, .arg = agent}, sim_random(3000000));
}

/* A disk is used only for ends that come while the store takes none. */
static void disk_fault(enum sim_fault fault)
{
    int guest = exit_one(100);
    int agent = guest < 0 ? 0 : sim.guests[guest].host;

    if (guest < 0) {
        return;
    }
    sim_store_fault(FAULT_STORE_OUT);
    sim.stats.faults[FAULT_STORE_OUT]++;
    if (fault == FAULT_DISK_FAILS) {
        sim_disk_fail(agent);
    } else {
        sim_disk_slow(agent);
    }
    if (fault == FAULT_DISK_KILLED || (fault == FAULT_DISK_SLOW && sim_draws(FAULT_DISK_KILLED) && sim_chance(50))) {
        sim_post((struct sim_event){.kind = EV_CALL, .call = crash, .arg = agent}, sim_random(3000000));
    }
}

static void exit_meanwhile(int arg)
{
    (void)arg;
    if (sim_store_split()) { /* which may outlast the other faults */
        sim.stats.faults[FAULT_EXIT] += exit_one(100) >= 0;
    }
}

/* A container ends while there are two primaries, or one that is alone. */
static void split_some(int arg)
{
    enum sim_fault fault = sim_chance(60) ? FAULT_STORE_SPLIT : FAULT_STORE_ALONE;

    (void)arg;
    if (sim.quiet) {
        return;
    }
    if (sim_draws(fault) && sim_store_fault(fault)) {
        sim_log("fault: %s", sim_fault_kinds[fault].name);
        sim.stats.faults[fault]++;
        sim_post((struct sim_event){.kind = EV_CALL, .call = exit_meanwhile}, sim_random(2000000));
        sim_post((struct sim_event){.kind = EV_CALL, .call = exit_meanwhile}, sim_random(10000000));
    }
    sim_post((struct sim_event){.kind = EV_CALL, .call = split_some}, sim_random(5000000));
}

void sim_start_splits(void)
{
    sim_post((struct sim_event){.kind = EV_CALL, .call = split_some}, sim_random(3000000));
}

void sim_fault_once(void)
{
    enum sim_fault fault = (enum sim_fault)sim_random(SIM_FAULTS_ONCE);
    bool done = false;

    if (sim_chance(30)) {
        fault = FAULT_MOVE;
    }
    if (!sim_draws(fault)) {
        return;
    }
    switch (fault) {
    case FAULT_CUT:
        done = cut(3);
        break;
    case FAULT_CUT_HALF_OPEN:
        done = cut(1);
        break;
    case FAULT_HANG:
        done = cut(0);
        break;
    case FAULT_MOVE:
    case FAULT_MOVE_BACK_TO_BACK:
    case FAULT_MOVE_ABORTED:
    case FAULT_MOVE_TO_AND_FRO:
        done = move(fault);
        break;
    case FAULT_AGENT_CRASH:
    case FAULT_AGENT_PAUSE:
    case FAULT_AGENT_STOP:
        done = agent_fault(fault);
        break;
    case FAULT_STORE_SLOW:
    case FAULT_STORE_OUT:
    case FAULT_STORE_FAILOVER:
    case FAULT_STORE_FLUSH:
    case FAULT_STORE_REPLY_LOST:
    case FAULT_STORE_SLOWER:
    case FAULT_STORE_FULL:
    case FAULT_STORE_CLOCK:
    case FAULT_RECORD_LOST:
    case FAULT_NEWS_LOST: /* the news' are counted when they are carried out */
    case FAULT_NEWS_LATE:
    case FAULT_NEWS_TWICE:
        done = sim_store_fault(fault);
        sim_log("fault: %s", sim_fault_kinds[fault].name);
        break;
    case FAULT_WELCOME_LOST:
        done = lose(RT_WELCOME);
        break;
    case FAULT_CONFIRM_LOST:
        done = lose(RT_CONFIRM);
        break;
    case FAULT_CLIENT_CRASH:
    case FAULT_CLIENT_STALL:
    case FAULT_CLIENT_LATE:
    case FAULT_CLIENT_TWICE:
        done = client_fault(fault);
        break;
    case FAULT_SNAPSHOT_REVERT:
    case FAULT_CLONE:
        done = copy_fault(fault);
        break;
    case FAULT_RESTART_ELSEWHERE:
    case FAULT_RESTART_AFTER_DEATH:
    case FAULT_JOIN_RACE:
    case FAULT_HOST_GONE:
    case FAULT_END_AGAIN:
        done = sim_start_fault(fault);
        break;
    case FAULT_FLOOD:
        done = sim_flood_some();
        break;
    case FAULT_KEY_CHANGE:
        done = sim_change_key();
        break;
    case FAULT_TICKET_TTL: /* drawn with the run */
    case FAULT_MANY_AGENTS:
        break;
    case FAULT_LINK_SLOW:
        done = slow();
        break;
    case FAULT_GUEST_PAUSE: {
        int guest = sim_any_guest();

        if (guest >= 0) {
            pause_guest(guest, sim_random(5000000));
            done = true;
        }
        break;
    }
    case FAULT_DISK_SLOW:
    case FAULT_DISK_FAILS:
    case FAULT_DISK_KILLED:
        disk_fault(fault); /* counted when it is carried out */
        break;
    case FAULT_EXIT:
        done = exit_one(50) >= 0;
        break;
    case FAULT_KICK: /* an operator's: counted when it is carried out */
    case FAULT_REVOKE:
    case FAULT_STORE_SPLIT:
    case FAULT_STORE_ALONE:
    case SIM_FAULTS:
        break;
    }
    sim.stats.faults[fault] += done;
}

/* Of the guest's links, the one that counts or an earlier one. */
static bool a_link_hangs(int guest)
{
    for (int i = 0; i < sim.top_conn; i++) {
        const struct sim_conn *c = &sim.conns[i];

        if (c->used && c->cut && c->kind == NODE_GUEST && c->peer == guest && c->peer_gen == sim.guests[guest].gen &&
            (c->open[0] || c->open[1])) {
            return true;
        }
    }
    return false;
}

void sim_heal(void)
{
    sim.quiet = true;
    sim.lose_next = 0;
    sim_store_heal();
    for (int i = 0; i < sim.n_agents; i++) {
        sim_disk_heal(i);
    }
    for (int i = 0; i < sim.n_agents; i++) {
        restart_agent(i);
    }
    for (int i = 0; i < SIM_CLIENTS; i++) {
        if (!sim.clients[i].stalled_for_ever) {
            sim.clients[i].stalled_until_us = 0;
        }
    }
    for (int i = 0; i < SIM_GUESTS; i++) {
        sim.guests[i].hung = a_link_hangs(i);
    }
    sim_log("the faults have ended");
}
