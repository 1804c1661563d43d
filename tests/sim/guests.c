/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/guests.h"

#include "migrate/core/claim.h"
#include "migrate/core/ticket.h"
#include "session/core/frame.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/ring.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"
#include "session/core/tether_machine.h"
#include "session/core/tether_proc.h"
#include "tests/sim/agents.h"
#include "tests/sim/event.h"
#include "tests/sim/floods.h"
#include "tests/sim/net.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

/* Guests: the tether's machine with a process that writes noise and checks its input; moves, reverts, clones. */

/* Whoever has received no more than the part that both pasts share fits the new one as well. */
static void share_past(int from, int line, int s, size_t size)
{
    for (int i = 0; i < SIM_CLIENTS; i++) {
        for (int k = 0; k < SIM_ATTS; k++) {
            struct sim_att *att = &sim.clients[i].atts[k];

            if ((att->lines[s] >> from & 1) && att->seen[s] <= size) {
                att->lines[s] |= UINT64_C(1) << line;
            }
        }
    }
}

int sim_new_line(int container, int from, const size_t *size)
{
    struct sim_log *line;
    int i = sim.n_lines++;

    if (i >= SIM_LINES) {
        return -1;
    }
    line = &sim.lines[i];
    line->used = true;
    line->container = container;
    for (int s = 0; from >= 0 && s < 2; s++) {
        line->size[s] = line->cap[s] = size[s];
        line->data[s] = malloc(size[s] + 1);
        if (line->data[s] == NULL) {
            sim_fail("out of memory");
        }
        if (size[s]) {
            memcpy(line->data[s], sim.lines[from].data[s], size[s]);
        }
        share_past(from, i, s, size[s]);
    }
    return i;
}

static void line_write(int line, int s, const uint8_t *data, size_t size)
{
    struct sim_log *log = &sim.lines[line];

    if (log->size[s] + size > log->cap[s]) {
        log->cap[s] = (log->size[s] + size) * 2;
        log->data[s] = realloc(log->data[s], log->cap[s]);
        if (log->data[s] == NULL) {
            sim_fail("out of memory");
        }
    }
    memcpy(log->data[s] + log->size[s], data, size);
    log->size[s] += size;
}

static struct rt_tether *new_tether(int container)
{
    struct rt_tether_config config;
    struct rt_ticket ticket = {.join = true, .life = sim.base[container]};
    int n;

    rt_tether_defaults(&config);
    sim_key(container, &ticket.key);
    memcpy(config.cid, ticket.key.cid, sizeof(config.cid));
    n = sim_seal(NULL, &ticket, config.token, sizeof(config.token));
    if (n < 0) {
        sim_fail("the token does not fit");
    }
    config.token_size = (size_t)n;
    config.seed = sim_random(UINT64_MAX);
    config.random = sim_random_bytes;
    config.ring_bytes = 8192 + sim_random(4) * 8192;
    config.outage_hold_ms = sim_chance(30) ? 500 : 60000;
    config.drain_timeout_ms = 200;
    return rt_tether_new(&config, sim_ms());
}

/* The hostile one has the last place. */
static int place(int container, int host, int line)
{
    int first = container == SIM_HOSTILE ? SIM_GUESTS : 0;

    for (int i = first; i < (first ? SIM_GUESTS + 1 : SIM_GUESTS); i++) {
        struct sim_guest *g = &sim.guests[i];
        uint32_t gen = g->gen;

        if (g->used) {
            continue;
        }
        memset(g, 0, sizeof(*g));
        g->gen = gen + 1;
        g->used = g->running = true;
        g->container = container;
        g->base = sim.base[container];
        g->host = host;
        g->line = line;
        g->conn = -1;
        g->looked_us = sim.now_us;
        return i;
    }
    return -1;
}

int sim_new_guest(int container, int host, int line)
{
    int i = place(container, host, line);

    if (i < 0) {
        return -1;
    }
    sim.guests[i].tether = new_tether(container);
    if (sim.guests[i].tether == NULL) {
        sim_fail("out of memory");
    }
    sim_post((struct sim_event){.kind = EV_APP, .node = NODE_GUEST, .index = i, .gen = sim.guests[i].gen}, 100);
    return i;
}

bool sim_guest_revoked(int guest)
{
    const struct sim_guest *g = &sim.guests[guest];
    uint64_t rev = sim_store_record(g->container)->rev;

    return rev != 0 && g->tether != NULL && (g->tether->ticket_size > 0 ? g->tether->life : g->base) <= rev;
}

void sim_free_guest(int guest)
{
    struct sim_guest *g = &sim.guests[guest];

    rt_tether_free(g->tether);
    rt_tether_free(g->saved);
    g->tether = g->saved = NULL;
}

/* Ends a guest as a power cut does. */
void sim_guest_kill(int guest)
{
    struct sim_guest *g = &sim.guests[guest];

    if (g->conn >= 0) {
        sim_cut(g->conn, 2);
    }
    sim_free_guest(guest);
    g->used = g->running = false;
    g->gen++;
}

/* ---- copies ---- */

static void copy_ring(struct rt_ring *ring)
{
    uint8_t *data = ring->data;

    if (data == NULL) {
        return;
    }
    ring->data = malloc(ring->cap);
    if (ring->data == NULL) {
        sim_fail("out of memory");
    }
    memcpy(ring->data, data, ring->cap);
}

static struct rt_proc *copy_proc(const struct rt_proc *from)
{
    struct rt_proc *proc = from != NULL ? malloc(sizeof(*proc)) : NULL;

    if (from == NULL) {
        return NULL;
    }
    if (proc == NULL) {
        sim_fail("out of memory");
    }
    *proc = *from;
    if (from->run != NULL) { /* copies are taken between steps: no START is under way, but pieces may have come */
        proc->run = malloc(from->run_size);
        if (proc->run == NULL) {
            sim_fail("out of memory");
        }
        memcpy(proc->run, from->run, from->run_size);
    }
    if (from->segments != NULL) {
        proc->segments = malloc(RT_SEGMENTS_MAX * sizeof(*proc->segments));
        if (proc->segments == NULL) {
            sim_fail("out of memory");
        }
        memcpy(proc->segments, from->segments, RT_SEGMENTS_MAX * sizeof(*proc->segments));
    }
    if (from->order.end != NULL) {
        proc->order.end = malloc(RT_ORDER_RUNS_MAX * sizeof(*proc->order.end));
        if (proc->order.end == NULL) {
            sim_fail("out of memory");
        }
        memcpy(proc->order.end, from->order.end, RT_ORDER_RUNS_MAX * sizeof(*proc->order.end));
    }
    for (int o = 0; o < RT_OUTS; o++) {
        copy_ring(&proc->ring[o]);
    }
    return proc;
}

struct rt_tether *sim_copy_tether(const struct rt_tether *from)
{
    struct rt_tether *t = malloc(sizeof(*t));

    if (t == NULL) {
        sim_fail("out of memory");
    }
    *t = *from;
    t->atts = malloc(RT_ATTS_MAX * sizeof(*t->atts));
    if (t->atts == NULL) {
        sim_fail("out of memory");
    }
    memcpy(t->atts, from->atts, RT_ATTS_MAX * sizeof(*t->atts));
    for (int i = 0; i < RT_ATTS_MAX; i++) {
        for (int s = 0; s < RT_INS; s++) {
            copy_ring(&t->atts[i].in[s].ring);
        }
    }
    for (int i = 0; i < RT_PROCS_MAX; i++) {
        t->procs[i] = copy_proc(from->procs[i]);
    }
    for (size_t i = 0; i < from->n_finished; i++) {
        t->finished[i] = copy_proc(from->finished[i]);
    }
    return t;
}

bool sim_guest_save(int guest)
{
    struct sim_guest *g = &sim.guests[guest];

    if (g->tether->state == RT_TETHER_DIALING || !g->done.started) {
        return false;
    }
    rt_tether_free(g->saved);
    g->saved = sim_copy_tether(g->tether);
    for (int s = 0; s < 2; s++) {
        g->saved_size[s] = sim.lines[g->line].size[s];
    }
    g->saved_done = g->done;
    return true;
}

/* The snapshot of sim_guest_save() becomes the present again; its connection is reset unless the hypervisor keeps it.
 */
bool sim_guest_revert(int guest)
{
    struct sim_guest *g = &sim.guests[guest];
    int line;
    bool keep;

    if (g->saved == NULL || g->exited) {
        return false;
    }
    line = sim_new_line(g->container, g->line, g->saved_size);
    if (line < 0) {
        return false;
    }
    keep = g->conn >= 0 && g->saved->state == RT_TETHER_LIVE && g->tether->state == RT_TETHER_LIVE &&
           g->saved->epoch == g->tether->epoch && sim.conns[g->conn].to[0].rx_size == 0 && sim_chance(70);
    rt_tether_free(g->tether);
    g->tether = g->saved;
    g->saved = NULL;
    g->done = g->saved_done;
    g->line = line;
    memset(g->holds, 0, sizeof(g->holds));
    memset(g->stopped, 0, sizeof(g->stopped)); /* until its process tries again */
    g->dark_us = 0;
    if (!keep) {
        if (g->conn >= 0) {
            sim_cut(g->conn, 2);
        }
        g->conn = -1;
        rt_tether_lost(g->tether, sim_ms());
    }
    sim_log("revert of guest %d to %zu bytes%s", guest, g->saved_size[0], keep ? ", its connection lives on" : "");
    sim.forked[g->container] = true;
    sim_guest_pump(guest);
    return true;
}

int sim_guest_clone(int guest, int host)
{
    struct sim_guest *g = &sim.guests[guest];
    size_t size[2] = {sim.lines[g->line].size[0], sim.lines[g->line].size[1]};
    int line, i;

    if (!g->done.started || g->exited || (line = sim_new_line(g->container, g->line, size)) < 0) {
        return -1;
    }
    i = place(g->container, host, line);
    if (i < 0) {
        return -1;
    }
    g = &sim.guests[guest];
    sim.guests[i].tether = sim_copy_tether(g->tether);
    sim.guests[i].done = g->done;
    sim.guests[i].base = g->base;
    sim.guests[i].tether->n_actions = 0;
    rt_tether_lost(sim.guests[i].tether, sim_ms());
    sim.guests[i].tether->jitter ^= sim_random(UINT64_MAX) | 1;
    sim.forked[g->container] = true;
    sim_log("clone of guest %d runs as guest %d on host %d", guest, i, host);
    sim_post((struct sim_event){.kind = EV_APP, .node = NODE_GUEST, .index = i, .gen = sim.guests[i].gen}, 100);
    sim_guest_pump(i);
    return i;
}

void sim_guest_move(int guest, int host, unsigned tell)
{
    struct sim_guest *g = &sim.guests[guest];

    sim_log("guest %d moves from host %d to %d", guest, g->host, host);
    g->host = host;
    sim.stats.moves++;
    if (g->conn < 0) {
        return;
    }
    sim_cut(g->conn, tell);
}

/* ---- the shell around the machine ---- */

static void dial(int guest)
{
    struct sim_guest *g = &sim.guests[guest];

    sim_post((struct sim_event){.kind = EV_DIALED, .node = NODE_GUEST, .index = guest, .gen = g->gen},
             sim.agents[g->host].agent != NULL ? 50 + sim_random(200) : 20);
}

static void action(int guest, const struct rt_tether_action *a)
{
    struct sim_guest *g = &sim.guests[guest];

    switch (a->kind) {
    case RT_TETHER_DIAL:
        dial(guest);
        break;
    case RT_TETHER_HANGUP:
        sim_log("guest %d hangs up: %s", guest, a->reason);
        if (g->conn >= 0) {
            sim_close(g->conn, 0);
        }
        g->conn = -1;
        break;
    case RT_TETHER_START:
        if (a->proc != 0) {
            sim_command_start(guest, a->proc, a->exec);
            break;
        }
        g->done.started = true;
        rt_tether_started(g->tether, 0, 0, sim_ms());
        break;
    case RT_TETHER_SIGNAL:
        if (a->proc != 0) {
            sim_command_signal(guest, a->proc, a->sig);
            break;
        }
        rt_tether_eof(g->tether, 0, RT_STDOUT, sim_ms());
        rt_tether_eof(g->tether, 0, RT_STDERR, sim_ms());
        rt_tether_exited(g->tether, 0, 0, a->sig, sim_ms());
        g->exited = true;
        break;
    case RT_TETHER_OVER:
        sim_log("guest %d is over", guest);
        if (g->conn >= 0) {
            sim_close(g->conn, 0);
        }
        g->conn = -1;
        g->running = false;
        break;
    case RT_TETHER_RESIZE:
    case RT_TETHER_STDIN_END:
    case RT_TETHER_CLOSE_OUTPUT:
        break;
    }
}

void sim_guest_pump(int guest)
{
    static uint8_t out[2 * (RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX)];
    struct sim_guest *g = &sim.guests[guest];
    struct rt_tether_action a;
    uint64_t deadline;
    size_t n;

    if (g->tether == NULL) {
        return;
    }
    g->touched = true;
    while (rt_tether_next(g->tether, &a)) {
        action(guest, &a);
    }
    while (g->conn >= 0 && sim_in_flight(g->conn, 1) < SIM_WINDOW) {
        n = rt_tether_output(g->tether, out, sizeof(out), sim_ms());
        if (!n) {
            break;
        }
        sim_send(g->conn, 1, out, n);
    }
    deadline = rt_tether_deadline(g->tether);
    if (deadline != UINT64_MAX) {
        uint64_t at = deadline > 1000000 ? (deadline - 1000000) * 1000 : 0;

        if (at <= sim.now_us) {
            at = sim.now_us + 1000;
        }
        if (!g->timer_us || at < g->timer_us || g->timer_us <= sim.now_us) {
            g->timer_us = at;
            sim_post((struct sim_event){.kind = EV_TIMER, .node = NODE_GUEST, .index = guest, .gen = g->gen},
                     at - sim.now_us);
        }
    }
}

/* ---- the process ---- */

static struct sim_applied *applied_of(struct sim_done *g, const uint8_t id[RT_ID_SIZE])
{
    for (size_t i = 0; i < g->n_applied; i++) {
        if (memcmp(g->applied[i].id, id, RT_ID_SIZE) == 0) {
            return &g->applied[i];
        }
    }
    if (g->n_applied == SIM_APPLIED) {
        sim_fail("more attachments with input than the model keeps");
    }
    memcpy(g->applied[g->n_applied].id, id, RT_ID_SIZE);
    return &g->applied[g->n_applied++];
}

static void process_reads(int guest)
{
    struct sim_guest *g = &sim.guests[guest];
    size_t size;
    const uint8_t *data = rt_tether_stdin(g->tether, 0, &size);
    struct sim_applied *applied;
    size_t n;

    if (size == 0) {
        return;
    }
    if (sim_hostile_id(g->tether->atts[g->tether->procs[0]->segments[0].att].id)) {
        rt_tether_stdin_taken(g->tether, 0, size, sim_ms());
        return;
    }
    applied = applied_of(&g->done, g->tether->atts[g->tether->procs[0]->segments[0].att].id);
    n = 1 + sim_random(size);
    for (size_t i = 0; i < n; i++) {
        if (data[i] != sim_stdin_byte(applied->id, applied->count + i)) {
            sim_fail("guest %d: stdin byte %llu is wrong: input was lost, repeated or changed", guest,
                     (unsigned long long)applied->count + i);
        }
    }
    applied->count += n;
    sim.stats.bytes_in += n;
    rt_tether_stdin_taken(g->tether, 0, n, sim_ms());
}

uint8_t *sim_space(struct sim_guest *g, uint32_t proc, unsigned stream, size_t *size)
{
    uint8_t *space = rt_tether_space(g->tether, proc, stream, size);

    if (space == NULL) {
        rt_tether_want_space(g->tether, proc, stream, sim_ms());
        space = rt_tether_space(g->tether, proc, stream, size);
    }
    return space;
}

static void process_writes(int guest)
{
    struct sim_guest *g = &sim.guests[guest];
    int s = sim_chance(80) ? 0 : 1;
    size_t space;
    uint8_t *to = sim_space(g, 0, RT_STDOUT + (unsigned)s, &space);
    size_t n = 1 + sim_random(sim_chance(20) ? 8000 : 600);

    g->stopped[s] = to == NULL;
    if (to == NULL) {
        return;
    }
    if (n > space) {
        n = space;
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = (uint8_t)sim_random(256);
    }
    line_write(g->line, s, to, n);
    rt_tether_commit(g->tether, 0, RT_STDOUT + (unsigned)s, n);
}

void sim_guest_exit(int guest)
{
    struct sim_guest *g = &sim.guests[guest];

    sim_log("the process of guest %d exits", guest);
    g->exited = g->exits = true;
    rt_tether_eof(g->tether, 0, RT_STDOUT, sim_ms());
    rt_tether_eof(g->tether, 0, RT_STDERR, sim_ms());
    rt_tether_exited(g->tether, 0, SIM_CODE + (unsigned)g->line, 0, sim_ms());
    /* a reverted one ends otherwise */ /* a reverted one ends otherwise */
}

void sim_guest_app(int guest)
{
    struct sim_guest *g = &sim.guests[guest];

    if (g->tether == NULL || !g->running) {
        return;
    }
    if (g->done.started && !g->exited) {
        if (!sim.silent && sim_chance(70)) {
            process_writes(guest);
        }
        if (sim_chance(70)) {
            process_reads(guest);
        }
        if (g->exits && sim.ending) {
            sim_guest_exit(guest);
        }
    }
    sim_commands_work(guest);
    sim_guest_pump(guest);
    sim_post((struct sim_event){.kind = EV_APP, .node = NODE_GUEST, .index = guest, .gen = g->gen},
             sim.ending  ? 100000
             : sim.quiet ? 5000 + sim_random(20000)
                         : 500 + sim_random(20000));
}
