/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/agents.h"
#include "tests/sim/disk.h"
#include "tests/sim/event.h"
#include "tests/sim/faults.h"
#include "tests/sim/guests.h"
#include "tests/sim/net.h"
#include "tests/sim/run.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"

/* VMs that are started anew with the join token of one that ran: elsewhere while it runs on, after its death, after its
 * host's, several at once; and one that is set back behind its own end. */

#define MOVES_BEFORE 5 /* of a run, before something ends for good */

/* Another start of the container at host, to be pumped; -1 without room. */
static int start(int container, int host)
{
    int line = sim_new_line(container, -1, NULL);
    int guest = line < 0 ? -1 : sim_new_guest(container, host, line);

    if (guest < 0) {
        return -1;
    }
    sim_log("fault: container %d is started again as guest %d on host %d", container, guest, host);
    sim.forked[container] = true; /* its pasts are several now: who was attached may be told so */
    return guest;
}

static bool restart(enum sim_fault fault, int guest)
{
    struct sim_guest *g = &sim.guests[guest];
    int other = start(g->container, sim_other_host(g->host));

    if (other < 0) {
        return false;
    }
    if (fault == FAULT_RESTART_AFTER_DEATH) {
        sim_guest_kill(guest);
    } else {
        sim_guest_pump(other);
    }
    return true;
}

static void power_on(int guest)
{
    if (sim.guests[guest].running) {
        sim_guest_pump(guest);
    }
}

/* Two starts at two hosts within milliseconds, of a container whose VM has just died: their welcomes, confirms and
 * takes are under way together, as soon as the record is free. */
static bool join_race(int guest)
{
    int container = sim.guests[guest].container, host = sim.guests[guest].host;
    int first = start(container, host), second = first < 0 ? -1 : start(container, sim_other_host(host));

    if (second < 0) {
        return false;
    }
    sim_guest_kill(guest);
    sim_post((struct sim_event){.kind = EV_CALL, .call = power_on, .arg = first}, sim_random(3000));
    sim_post((struct sim_event){.kind = EV_CALL, .call = power_on, .arg = second}, sim_random(3000));
    return true;
}

/* HA starts a dead container again, at a host that lives. */
static void start_again(int container)
{
    int host = sim_other_host((int)sim_random((uint64_t)sim.n_agents));
    int guest = start(container, host);

    if (guest < 0) {
        sim.dead_us[container] = sim.now_us;
        return;
    }
    sim_guest_pump(guest);
}

static bool others_run(int container)
{
    for (int i = 0; i < SIM_GUESTS; i++) {
        if (sim.guests[i].running && sim.guests[i].container == container) {
            return true;
        }
    }
    return false;
}

/* The host is lost with its agent, its disk and its VMs. HA starts them elsewhere, or nobody does. */
static bool host_gone(void)
{
    int host = (int)sim_random((uint64_t)sim.n_agents), gone = 0, guest = sim_any_guest();

    if (guest >= 0 && sim_chance(70)) {
        host = sim.guests[guest].host;
    }
    for (int i = 0; i < sim.n_agents; i++) {
        gone += sim.agents[i].gone;
    }
    if (gone > sim.n_agents / 4 || sim.agents[host].gone || sim.stats.moves < MOVES_BEFORE) {
        return false;
    }
    sim_log("fault: host%d dies for good", host);
    if (sim.agents[host].agent != NULL) {
        sim_kill_agent(host);
    }
    sim.agents[host].gone = true;
    sim_disk_gone(host);
    for (int i = 0; i < SIM_GUESTS; i++) {
        struct sim_guest *g = &sim.guests[i];
        int container = g->container;

        if (!g->running || g->host != host) {
            continue;
        }
        if (g->exited) {
            sim_store_end_gone(container); /* it may lie on that disk alone */
        }
        sim.forked[container] = true;
        sim_guest_kill(i);
        if (others_run(container)) {
            sim.newest_died[container] = true;
            continue;
        }
        if (sim.allow_forks && sim_chance(50)) {
            sim_post((struct sim_event){.kind = EV_CALL, .call = start_again, .arg = container},
                     500000 + sim_random(10000000));
        } else {
            sim.dead_us[container] = sim.now_us;
        }
    }
    return true;
}

static void exit_otherwise(int guest)
{
    if (!sim.guests[guest].running || sim.guests[guest].exited || !sim.guests[guest].done.started) {
        return;
    }
    sim_guest_exit(guest);
    sim_guest_pump(guest);
}

static void back_behind_end(int guest)
{
    struct sim_guest *g = &sim.guests[guest];

    if (!g->running || g->saved == NULL || !g->exited) {
        return;
    }
    g->exited = false;
    if (!sim_guest_revert(guest)) {
        g->exited = true;
        return;
    }
    sim.stats.faults[FAULT_END_AGAIN]++;
    sim_post((struct sim_event){.kind = EV_CALL, .call = exit_otherwise, .arg = guest}, sim_random(1000000));
}

/* A snapshot, the end, and then the snapshot again, in which the process ends otherwise. */
static bool end_again(int guest)
{
    struct sim_guest *g = &sim.guests[guest];

    if (!g->done.started || sim.stats.moves < MOVES_BEFORE || !sim_guest_save(guest)) {
        return false;
    }
    sim_guest_exit(guest);
    sim_guest_pump(guest);
    sim_post((struct sim_event){.kind = EV_CALL, .call = back_behind_end, .arg = guest}, sim_random(2000000));
    return false; /* counted when it is carried out */
}

bool sim_start_fault(enum sim_fault fault)
{
    int guest = sim_any_guest();

    if (fault == FAULT_HOST_GONE) {
        return host_gone();
    }
    if (guest < 0 || !sim.allow_forks || sim.guests[guest].exited) {
        return false;
    }
    if (fault == FAULT_JOIN_RACE) {
        return join_race(guest);
    }
    if (fault == FAULT_END_AGAIN) {
        return end_again(guest);
    }
    return restart(fault, guest);
}
