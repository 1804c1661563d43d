/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/check.h"

#include "broker/core/agent.h"
#include "broker/core/session.h"
#include "migrate/core/claim.h"
#include "migrate/core/ticket.h"
#include "session/core/attachment.h"
#include "session/core/frame.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"
#include "session/core/tether_machine.h"
#include "tests/sim/agents.h"
#include "tests/sim/bounds.h"
#include "tests/sim/clients.h"
#include "tests/sim/disk.h"
#include "tests/sim/guests.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"

#include <string.h>

/* The invariants: after every step, and what must hold once the faults have ended. */

/* How long two agents may serve one container at different (life, epoch): an old one that nobody tells finds out by
 * pings, or by asking the store again. */
#define DOUBLE_SERVING_MAX_US 25000000

/* What an agent whose machine was called serves now. */
static void note_served(int container, int agent)
{
    struct sim_served *served = &sim.served[container];
    struct rt_agent *machine = sim.agents[agent].agent;
    const struct ag_session *session = machine == NULL ? NULL : rt_ag_session_find(machine, sim_key_of(container));
    int i = 0;

    while (i < served->n && served->by[i].agent != agent) {
        i++;
    }
    if (session != NULL && session->guest != NULL) {
        if (i == SIM_SERVERS_MAX) {
            sim_fail("more than %d agents serve container %d", SIM_SERVERS_MAX, container);
        }
        served->n += i == served->n;
        served->by[i].agent = agent;
        served->by[i].life = session->life;
        served->by[i].epoch = session->epoch;
        if (session->life <= sim.agents[agent].revoked[container]) {
            sim_fail("host%d serves container %d at life %llu, and has heard that %llu is revoked", agent, container,
                     (unsigned long long)session->life, (unsigned long long)sim.agents[agent].revoked[container]);
        }
    } else if (i < served->n) {
        served->by[i] = served->by[--served->n];
    }
}

/* For how long an agent in touch with the store may serve what is revoked: the news got lost, and the audit finds it.
 */
#define REVOKED_SERVING_MAX_US DOUBLE_SERVING_MAX_US

static void check_revoked(int container)
{
    const struct sim_served *served = &sim.served[container];
    uint64_t rev = sim_store_record(container)->rev;

    for (int i = 0; rev != 0 && i < served->n; i++) {
        const struct sim_agent *a = &sim.agents[served->by[i].agent];
        uint64_t since = sim_store_revoked_us(container);

        since = since > a->up_us ? since : a->up_us;
        since = since > a->paused_until_us ? since : a->paused_until_us;
        if (served->by[i].life <= rev && sim_store_in_touch(served->by[i].agent) &&
            sim.now_us > since + REVOKED_SERVING_MAX_US) {
            sim_fail("host%d serves container %d at life %llu for too long, and %llu is revoked", served->by[i].agent,
                     container, (unsigned long long)served->by[i].life, (unsigned long long)rev);
        }
    }
}

static void check_serving(int container)
{
    const struct sim_served *served = &sim.served[container];
    int n = 0;

    for (int i = 0; i < served->n; i++) {
        const struct sim_agent *a = &sim.agents[served->by[i].agent];

        n += !a->paused && sim_store_in_touch(served->by[i].agent);
    }
    for (int i = 0; i < served->n; i++) {
        for (int k = i + 1; k < served->n; k++) {
            if (served->by[i].life == served->by[k].life && served->by[i].epoch == served->by[k].epoch &&
                !sim.forked[container]) {
                sim_fail("container %d is served by host%d and host%d at (%llu, %llu)", container, served->by[i].agent,
                         served->by[k].agent, (unsigned long long)served->by[i].life,
                         (unsigned long long)served->by[i].epoch);
            }
        }
    }
    if (n < 2) {
        sim.double_since_us[container] = 0;
        return;
    }
    if (!sim.double_since_us[container]) {
        sim.double_since_us[container] = sim.now_us + 1;
    }
    if (sim.now_us > sim.double_since_us[container] + DOUBLE_SERVING_MAX_US) {
        sim_fail("container %d is served twice for too long", container);
    }
}

static void check_guest(int i)
{
    struct sim_guest *g = &sim.guests[i];
    struct rt_tether_view view;

    if (g->tether == NULL) {
        return;
    }
    if (g->tether->refused_cls == RT_CLASS_SUPERSEDED) {
        g->superseded = true;
    } else if (g->tether->state == RT_TETHER_LIVE) {
        g->superseded = false;
    }
    if (sim.forked[g->container]) {
        return;
    }
    if (g->tether->refused_cls == RT_CLASS_OK) {
        return;
    }
    rt_tether_view(g->tether, &view);
    if (view.cls == RT_CLASS_FORKED &&
        (sim_ticket_forgot(g->tether->ticket, g->tether->ticket_size, &sim_store_record(g->container)->ticket) ||
         (sim_store_old_record(g->container) != NULL &&
          sim_ticket_forgot(g->tether->ticket, g->tether->ticket_size, &sim_store_old_record(g->container)->ticket)))) {
        sim.forked[g->container] = true; /* as a copy it is told, until its record has been lost for a lease */
        return;
    }
    if (view.cls != RT_CLASS_RETRY_LATER && view.cls != RT_CLASS_STALE && view.cls != RT_CLASS_LOST) {
        sim_fail("honest guest %d is refused: %s %s", i, rt_class_name(view.cls), view.text);
    }
}

/* An owner that has been in touch with the store for so long counts as alive with everybody. */
#define STEADY_US (UINT64_C(2000) * RT_HEARTBEAT_EXPIRY_MS)

void sim_check_take(int container, int agent, const struct rt_claim *claim)
{
    const struct rt_record *record = sim_store_record(container);
    const struct sim_served *served = &sim.served[container];

    if (!record->exists || rt_id_equal(&record->inc, &claim->inc) || (!claim->join && claim->taken) ||
        !sim_store_in_touch(agent)) {
        return;
    }
    for (int i = 0; i < served->n; i++) {
        const struct sim_agent *owner = &sim.agents[served->by[i].agent];
        char host[RT_HOST_MAX + 1];

        sim_agent_name(served->by[i].agent, host);
        if (served->by[i].agent != agent && record->state == RT_SESSION_RUNNING && strcmp(host, record->host) == 0 &&
            record->life == served->by[i].life && record->epoch == served->by[i].epoch &&
            sim_store_in_touch(served->by[i].agent) && !owner->paused && sim.now_us > owner->up_us + STEADY_US &&
            sim.now_us > owner->paused_until_us + STEADY_US) {
            sim_fail("container %d is given to a start at host%d while %s serves another one and lives", container,
                     agent, host);
        }
    }
}

void sim_check(void)
{
    for (int i = 0; i < sim.n_containers; i++) {
        for (int k = 0; k < sim.n_touched; k++) {
            note_served(i, sim.touched[k]);
        }
        check_serving(i);
        check_revoked(i);
    }
    for (int i = 0; i < SIM_GUESTS; i++) {
        check_guest(i);
    }
    sim_check_bounds();
    for (int i = 0; i < sim.n_touched; i++) {
        sim.agents[sim.touched[i]].touched = false;
    }
    sim.n_touched = 0;
}

static int guest_of(int container)
{
    for (int i = 0; i < SIM_GUESTS; i++) {
        if (sim.guests[i].running && sim.guests[i].container == container) {
            return i;
        }
    }
    return -1;
}

static void check_container_live(int container, int guest)
{
    if (sim.served[container].n != 1) {
        sim_fail("container %d is served by %d agents, long after the faults ended", container,
                 sim.served[container].n);
    }
    if (sim.guests[guest].tether->state != RT_TETHER_LIVE) {
        sim_fail("guest %d is in state %d, long after the faults ended", guest, sim.guests[guest].tether->state);
    }
}

/* A held attachment whose client has gone may rightly stop the process: only what reads is expected to get on. */
void sim_check_live(bool all)
{
    for (int i = 0; i < sim.n_containers; i++) {
        int guest = guest_of(i);

        if (!sim.forked[i] && guest >= 0 && (all || !sim.guests[guest].hung)) {
            check_container_live(i, guest);
        }
    }
    for (int i = 0; i < SIM_CLIENTS; i++) {
        for (int k = 0; k < SIM_ATTS; k++) {
            const struct sim_att *att = &sim.clients[i].atts[k];
            int guest = guest_of(att->container);

            if (att->att != NULL && !att->final && !att->bound && !att->exited && !sim.clients[i].stalled_for_ever &&
                !sim.forked[att->container] && guest >= 0 && (all || !sim.guests[guest].hung)) {
                sim_fail("client %d is not attached, long after the faults ended", i);
            }
        }
    }
}

static void check_att_drained(int client, const struct sim_att *att)
{
    int guest = guest_of(att->container);
    const struct sim_guest *g = &sim.guests[guest < 0 ? 0 : guest];
    const struct sim_log *log = &sim.lines[g->line];
    uint64_t applied = 0;

    if (guest < 0 || g->exited) {
        return; /* its end is checked for its own */
    }
    for (int s = 0; s < 2; s++) {
        if (rt_catt_offset(att->att, RT_STDOUT + (unsigned)s) != log->size[s]) {
            sim_fail("client %d has consumed %llu of %zu bytes of stream %d", client,
                     (unsigned long long)rt_catt_offset(att->att, RT_STDOUT + (unsigned)s), log->size[s], s + 1);
        }
    }
    for (size_t i = 0; i < g->done.n_applied; i++) {
        if (memcmp(g->done.applied[i].id, att->id, RT_ID_SIZE) == 0) {
            applied = g->done.applied[i].count;
        }
    }
    if (applied != att->written) {
        sim_fail("client %d wrote %llu bytes, the process has taken %llu", client, (unsigned long long)att->written,
                 (unsigned long long)applied);
    }
}

/* A command that was asked for has been told its end, unless its container is over or a held end stops it. */
static void check_command_told(int client)
{
    const struct sim_exec *exec = &sim.clients[client].exec;
    int guest = guest_of(exec->container);

    if (exec->att != NULL && guest >= 0 && !sim.guests[guest].exited && !sim.forked[exec->container] &&
        !sim.clients[client].stalled_for_ever) {
        sim_fail("client %d: its command has not ended, long after the faults did", client);
    }
}

/* The table says who serves, whatever the store has lost: the audit has found it by now. */
static void check_record(int container)
{
    const struct rt_record *record = sim_store_record(container);
    const struct sim_served *served = &sim.served[container];
    char host[RT_HOST_MAX + 1];

    if (served->n != 1 || sim.forked[container] || sim_store_end_lost(container)) {
        return;
    }
    sim_agent_name(served->by[0].agent, host);
    if (!record->exists) {
        sim_fail("%s serves container %d, and there is no record of it, long after the faults ended", host, container);
    }
    if (record->life != served->by[0].life || record->epoch != served->by[0].epoch || strcmp(record->host, host) != 0) {
        sim_fail("%s serves container %d at (%llu, %llu), its record says %s at (%llu, %llu)", host, container,
                 (unsigned long long)served->by[0].life, (unsigned long long)served->by[0].epoch, record->host,
                 (unsigned long long)record->life, (unsigned long long)record->epoch);
    }
}

void sim_check_drained(void)
{
    for (int i = 0; i < sim.n_containers; i++) {
        check_record(i);
    }
    for (int i = 0; i < SIM_CLIENTS; i++) {
        check_command_told(i);
    }
    for (int i = 0; i < SIM_CLIENTS; i++) {
        for (int k = 0; k < SIM_ATTS; k++) {
            const struct sim_att *att = &sim.clients[i].atts[k];

            if (att->att != NULL && !att->final && !sim.clients[i].stalled_for_ever && !sim.forked[att->container]) {
                check_att_drained(i, att);
            }
        }
    }
}

/* Whether an attachment whose client has gone, or does not know that it has all, still holds the end up. */
static bool held(const struct rt_tether *tether)
{
    for (int i = 0; i < RT_ATTS_MAX; i++) {
        if (tether->atts[i].blocks) {
            return true;
        }
    }
    return false;
}

/* Only copies are left that a newer life has superseded, whose VM is dead: it died with its host, or was the older
 * start, and the store's clock went back. They are never served again, nor are their tickets renewed. */
static bool left_superseded(int container)
{
    for (int k = 0; k < SIM_GUESTS; k++) {
        const struct sim_guest *g = &sim.guests[k];

        if (!g->running || g->container != container || sim_guest_revoked(k)) {
            continue;
        }
        if (g->tether->refused_cls != RT_CLASS_SUPERSEDED &&
            !(g->superseded && sim.ticket_ttl_ms != 0 && g->tether->refused_cls == RT_CLASS_BAD_AUTH)) {
            return false;
        }
    }
    return sim.newest_died[container] || sim_store_life_back(container);
}

/* Whoever ran of it is revoked, and it was not made anew. */
static bool left_revoked(int container)
{
    for (int k = 0; k < SIM_GUESTS; k++) {
        if (sim.guests[k].running && sim.guests[k].container == container && !sim_guest_revoked(k)) {
            return false;
        }
    }
    return sim_store_record(container)->rev != 0;
}

static void check_fork_served(int container)
{
    for (int k = 0; k < SIM_GUESTS; k++) {
        if (sim.guests[k].used && sim.guests[k].container == container && !sim_guest_revoked(k) &&
            (!sim.guests[k].running || sim.guests[k].tether->state == RT_TETHER_LIVE)) {
            return;
        }
    }
    if (left_revoked(container) || left_superseded(container)) {
        return;
    }
    sim_fail("no copy of container %d is served, long after the faults ended", container);
}

/* Whoever is attached to one of several copies has all that this copy wrote, or was told why not. */
static void check_fork_drained(int client, const struct sim_att *att)
{
    bool runs = false;

    for (int k = 0; k < SIM_GUESTS; k++) {
        runs = runs || (sim.guests[k].running && sim.guests[k].container == att->container && !sim.guests[k].exited &&
                        !sim_guest_revoked(k));
    }
    if (!runs || left_superseded(att->container)) {
        return; /* all have ended, or hold their end up */
    }
    if (!att->bound) {
        sim_fail("client %d is not attached to any copy of container %d", client, att->container);
    }
    for (int s = 0; s < 2; s++) {
        bool whole = false;

        for (int i = 0; i < sim.n_lines; i++) {
            whole = whole || (sim.lines[i].container == att->container && (att->lines[s] >> i & 1) &&
                              rt_catt_offset(att->att, RT_STDOUT + (unsigned)s) == sim.lines[i].size[s]);
        }
        if (!whole) {
            sim_fail("client %d has consumed %llu bytes of stream %d: no copy of container %d wrote just that", client,
                     (unsigned long long)rt_catt_offset(att->att, RT_STDOUT + (unsigned)s), s + 1, att->container);
        }
    }
}

static void check_att_ended(int client, const struct sim_att *att)
{
    if (att->exited || sim.dead_us[att->container]) {
        return;
    }
    if (sim.forked[att->container]) {
        check_fork_drained(client, att);
    } else if (guest_of(att->container) < 0 && !sim_store_end_lost(att->container)) {
        sim_fail("client %d was not told the exit", client);
    }
}

static void check_container_ended(int container)
{
    int guest = guest_of(container);
    const struct rt_record *record = sim_store_record(container);

    if (guest >= 0 && sim.guests[guest].exits && !held(sim.guests[guest].tether)) {
        sim_fail("guest %d has exited and is not over (end %s)", guest,
                 sim.guests[guest].tether->ending == RT_ENDING_SAFE ? "stored" : "not stored");
    }
    if (guest < 0 && !sim_store_end_lost(container) && record->state != RT_SESSION_ENDED) {
        sim_fail("container %d is over, its record says %s", container, rt_session_state_name(record->state));
    }
}

static bool somebody_asks(void)
{
    for (int i = 0; i < SIM_CLIENTS; i++) {
        if (sim.clients[i].used && !sim.clients[i].stalled_for_ever) {
            return true;
        }
    }
    return false;
}

/* A container whose host died, and that nobody started again: its record is lost, ended, or gone, and who asks is told.
 */
static void check_dead_told(int container)
{
    const struct rt_record *record = sim_store_record(container);

    if (record->exists && record->state == RT_SESSION_CREATED) {
        return; /* made anew, and its VM died before it was served */
    }
    if (record->exists && record->state != RT_SESSION_LOST && record->state != RT_SESSION_ENDED &&
        record->lost_ms == 0) {
        sim_fail("container %d died with its host, its record says %s", container,
                 rt_session_state_name(record->state));
    }
    if (somebody_asks() && !sim.dead_told[container]) {
        sim_fail("container %d died with its host, and nobody who asked was told", container);
    }
}

/* What was heard to be revoked is so everywhere, whatever the store has lost, and nobody serves it. */
static void check_revoked_told(int container)
{
    const struct sim_served *served = &sim.served[container];
    uint64_t rev = sim_store_record(container)->rev;

    for (int i = 0; i < sim.n_agents; i++) {
        if (!sim.agents[i].gone && sim.agents[i].owed[container] > rev) {
            sim_fail("host%d has heard that life %llu of container %d is revoked, and the store says %llu", i,
                     (unsigned long long)sim.agents[i].owed[container], container, (unsigned long long)rev);
        }
    }
    for (int i = 0; i < sim.n_agents; i++) {
        if (!sim.agents[i].gone && sim_disk_revoked(&sim.agents[i], container) < sim.agents[i].revoked[container]) {
            sim_fail("host%d has heard that life %llu of container %d is revoked, and has not written it", i,
                     (unsigned long long)sim.agents[i].revoked[container], container);
        }
    }
    for (int i = 0; i < served->n; i++) {
        if (served->by[i].life <= rev) {
            sim_fail("host%d serves container %d at life %llu, and %llu is revoked", served->by[i].agent, container,
                     (unsigned long long)served->by[i].life, (unsigned long long)rev);
        }
    }
}

void sim_check_ended(void)
{
    for (int i = 0; i < sim.n_containers; i++) {
        check_revoked_told(i);
        if (sim.dead_us[i]) {
            check_dead_told(i);
        } else if (sim.forked[i]) {
            check_fork_served(i);
        } else {
            check_container_ended(i);
        }
    }
    for (int i = 0; i < SIM_CLIENTS; i++) {
        for (int k = 0; k < SIM_ATTS; k++) {
            if (sim.clients[i].atts[k].att != NULL && !sim.clients[i].atts[k].final &&
                !sim.clients[i].stalled_for_ever) {
                check_att_ended(i, &sim.clients[i].atts[k]);
            }
        }
    }
}
