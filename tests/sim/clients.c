/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/clients.h"

#include "migrate/core/ticket.h"
#include "session/base/list.h"
#include "session/base/slice.h"
#include "session/core/attachment.h"
#include "session/core/client_att.h"
#include "session/core/frame.h"
#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "tests/sim/agents.h"
#include "tests/sim/commands.h"
#include "tests/sim/event.h"
#include "tests/sim/floods.h"
#include "tests/sim/guests.h"
#include "tests/sim/net.h"
#include "tests/sim/operator.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

/* Clients: the client's machine with an application that types, reads at its own pace, and checks every byte. */

uint8_t sim_stdin_byte(const uint8_t id[RT_ID_SIZE], uint64_t offset)
{
    uint64_t x = offset * UINT64_C(0x9E3779B97F4A7C15) ^ rt_get_u64(id);

    x ^= x >> 29;
    return (uint8_t)(x * UINT64_C(0xBF58476D1CE4E5B9) >> 56);
}

static void on_reply(void *ctx, uint64_t request, int error, const struct rt_reply_msg *reply)
{
    struct sim_client *c = ctx;

    if (sim_operator_reply(c, request, error, reply)) {
        return;
    }
    if (error == 0 &&
        (reply->c == RT_CLASS_NOT_FOUND || (reply->n_recs > 0 && (reply->recs[0].state == RT_SESSION_LOST ||
                                                                  reply->recs[0].state == RT_SESSION_ENDED)))) {
        sim.dead_told[c->asked_for] = true;
    }
    if (error != 0 || !reply->more) {
        c->asked = 0;
    }
}

/* Whoever waits for the end of a container asks for it now and then. */
static void ask_for_dead(int client)
{
    struct sim_client *c = &sim.clients[client];

    struct rt_request_msg msg = {.op = rt_slice_text("show"), .wait = 1000};
    int container = (int)sim_random((uint64_t)sim.n_containers);
    struct rt_key key;

    if (c->asked || !sim.dead_us[container]) {
        return;
    }
    sim_key(container, &key);
    msg.cid = rt_slice_text(key.cid);
    c->asked_for = container;
    if (rt_client_request(c->client, &msg, sim_ms(), &c->asked) != 0) {
        sim_fail("client %d cannot ask", client);
    }
}

void sim_new_client(int client)
{
    struct sim_client *c = &sim.clients[client];
    struct rt_client_config config = {.ctx = c,
                                      .name = "sim",
                                      .seed = sim_random(UINT64_MAX),
                                      .random = client == SIM_CLIENTS ? sim_hostile_bytes : sim_random_bytes,
                                      .on_reply = on_reply};
    uint32_t gen = c->gen;
    int first = (int)sim_random((uint64_t)sim.n_agents);

    memset(c, 0, sizeof(*c));
    c->gen = gen + 1;
    c->used = true;
    for (int i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        c->conn[i] = -1;
    }
    c->client = rt_client_new(&config);
    if (c->client == NULL) {
        sim_fail("out of memory");
    }
    for (int i = 0; i < SIM_AGENTS; i++) { /* in a large run the others' welcomes name more */
        char addr[RT_ADDR_MAX + 1];

        sim_agent_addr((first + i) % sim.n_agents, addr);
        if (rt_client_add_agent(c->client, addr) != 0) {
            sim_fail("a client takes no agent");
        }
    }
    sim_post((struct sim_event){.kind = EV_APP, .node = NODE_CLIENT, .index = client, .gen = c->gen},
             sim_random(50000));
}

void sim_free_client(int client)
{
    rt_client_free(sim.clients[client].client);
    sim.clients[client].client = NULL;
}

void sim_client_crash(int client)
{
    struct sim_client *c = &sim.clients[client];

    for (int i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        if (c->conn[i] >= 0) {
            sim_cut(c->conn[i], 2);
        }
    }
    sim_free_client(client);
    c->used = false;
    c->gen++;
}

/* The guest takes it for a late duplicate or for bad use, unless nothing of the attachment has been acknowledged or
 * applied: then it cannot be told from a repeated first ATTACH, and who had it is told STOLEN, or REWOUND where a gap
 * has taken the other one further. */
bool sim_client_twin(int client, const struct rt_attach_options *options)
{
    struct sim_client *c = &sim.clients[client];

    if (c->twin != NULL || rt_client_attach(c->client, options, sim_ms(), &c->twin) != 0) {
        return false;
    }
    sim_client_pump(client);
    return true;
}

static void taken_over(const struct rt_catt *twin)
{
    uint8_t id[RT_ID_SIZE];

    rt_catt_id(twin, id);
    for (int i = 0; i < SIM_CLIENTS * SIM_ATTS; i++) {
        struct sim_att *att = &sim.clients[i / SIM_ATTS].atts[i % SIM_ATTS];

        if (att->att != NULL && memcmp(att->id, id, RT_ID_SIZE) == 0) {
            att->taken = true;
        }
    }
}

bool sim_next_event(int client, struct rt_catt *att, struct rt_catt_event *ev)
{
    bool named = rt_listed(&att->ready);

    if (!rt_catt_event(att, ev)) {
        return false;
    }
    if (!named) {
        sim_fail("client %d: event %d of an attachment that is not among those that have something to tell", client,
                 (int)ev->kind);
    }
    return true;
}

const uint8_t *sim_peek(int client, const struct rt_catt *att, unsigned stream, size_t *size)
{
    const uint8_t *data = rt_catt_peek(att, stream, size);

    if (*size > 0 && !rt_listed(&att->ready)) {
        sim_fail("client %d: bytes of an attachment that is not among those that have something to tell", client);
    }
    return data;
}

void sim_looked_at(struct rt_catt *att)
{
    size_t size[2];

    (void)rt_catt_peek(att, RT_STDOUT, &size[0]);
    (void)rt_catt_peek(att, RT_STDERR, &size[1]);
    rt_list_remove(&att->ready);
    if (size[0] + size[1] > 0) {
        rt_catt_wake(att);
    }
}

static void twin_events(int client)
{
    struct sim_client *c = &sim.clients[client];
    struct rt_catt_event ev;

    while (c->twin != NULL && sim_next_event(client, c->twin, &ev)) {
        if (ev.kind == RT_CATT_ATTACHED) {
            taken_over(c->twin);
        }
        if (ev.kind == RT_CATT_FAILED) {
            rt_catt_free(c->twin);
            c->twin = NULL;
        }
    }
    if (c->twin != NULL) {
        sim_looked_at(c->twin);
    }
}

void sim_client_pump(int client)
{
    static uint8_t out[2 * (RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX)];
    struct sim_client *c = &sim.clients[client];
    struct rt_client_action a;
    uint64_t deadline;
    int agent;

    if (c->client == NULL) {
        return;
    }
    c->touched = true;
    while (rt_client_next(c->client, &a, sim_ms())) {
        if (a.kind == RT_CLIENT_HANGUP) {
            if (c->conn[a.agent] >= 0) {
                sim_close(c->conn[a.agent], 0);
            }
            c->conn[a.agent] = -1;
            continue;
        }
        agent = sim_agent_at(a.addr);
        sim_post((struct sim_event){.kind = EV_DIALED,
                                    .node = NODE_CLIENT,
                                    .index = client,
                                    .gen = c->gen,
                                    .arg = agent,
                                    .side = (int)a.agent},
                 sim.agents[agent].agent != NULL ? 50 + sim_random(200) : 20);
    }
    for (unsigned i = 0; i < c->top; i++) {
        while (c->conn[i] >= 0 && sim_in_flight(c->conn[i], 1) < SIM_WINDOW) {
            size_t n = rt_client_output(c->client, i, out, sizeof(out), sim_ms());

            if (!n) {
                break;
            }
            sim_send(c->conn[i], 1, out, n);
        }
    }
    deadline = rt_client_deadline(c->client);
    if (deadline != UINT64_MAX) {
        uint64_t at = deadline > 1000000 ? (deadline - 1000000) * 1000 : 0;

        if (at <= sim.now_us) {
            at = sim.now_us + 1000;
        }
        if (!c->timer_us || at < c->timer_us || c->timer_us <= sim.now_us) {
            c->timer_us = at;
            sim_post((struct sim_event){.kind = EV_TIMER, .node = NODE_CLIENT, .index = client, .gen = c->gen},
                     at - sim.now_us);
        }
    }
}

/* ---- the application ---- */

static void attach(int client, struct sim_att *att)
{
    struct rt_attach_options options = {.want = 31, .from = sim_chance(50) ? RT_FROM_OLDEST : RT_FROM_NOW};
    struct rt_key key;

    memset(att, 0, sizeof(*att));
    att->container = (int)sim_random((uint64_t)sim.n_containers);
    att->must_not_gap = sim_chance(50);
    options.hold_ms = att->must_not_gap ? 600000 : sim_random(3) * 500;
    sim_key(att->container, &key);
    memcpy(options.cid, key.cid, sizeof(key.cid));
    att->lines[0] = att->lines[1] = UINT64_MAX;
    if (rt_client_attach(sim.clients[client].client, &options, sim_ms(), &att->att) != 0) {
        sim_fail("an attach was refused");
    }
    rt_catt_id(att->att, att->id);
}

/* Every byte that this attachment has ever consumed must fit one past of the container. */
static void check_bytes(int client, struct sim_att *att, int s, const uint8_t *data, size_t size)
{
    uint64_t at = att->seen[s], fits = 0;

    for (int i = 0; i < sim.n_lines && i < SIM_LINES; i++) {
        const struct sim_log *log = &sim.lines[i];

        if ((att->lines[s] >> i & 1) && log->container == att->container && at + size <= log->size[s] &&
            memcmp(log->data[s] + at, data, size) == 0) {
            fits |= UINT64_C(1) << i;
        }
    }
    if (!fits) {
        sim_fail("client %d: bytes [%llu, %llu) of stream %d fit no past of the container: lost, repeated, changed or "
                 "of two pasts",
                 client, (unsigned long long)at, (unsigned long long)at + size, s + 1);
    }
    att->lines[s] = fits;
}

static void consume(int client, struct sim_att *att, int s)
{
    size_t size;
    const uint8_t *data = sim_peek(client, att->att, RT_STDOUT + (unsigned)s, &size);
    size_t n;

    if (size == 0) {
        return;
    }
    if (!att->start_known[s]) {
        att->start_known[s] = true;
        att->seen[s] = rt_catt_offset(att->att, RT_STDOUT + (unsigned)s);
    }
    if (rt_catt_offset(att->att, RT_STDOUT + (unsigned)s) != att->seen[s]) {
        sim_fail("client %d: stream %d goes on at %llu instead of %llu without a gap", client, s + 1,
                 (unsigned long long)rt_catt_offset(att->att, RT_STDOUT + (unsigned)s),
                 (unsigned long long)att->seen[s]);
    }
    n = sim_chance(50) ? size : 1 + sim_random(size);
    check_bytes(client, att, s, data, n);
    att->seen[s] += n;
    sim.stats.bytes_out += n;
    rt_catt_consumed(att->att, RT_STDOUT + (unsigned)s, n, sim_ms());
}

static void on_gap(int client, struct sim_att *att, const struct rt_catt_event *ev)
{
    int s = (int)ev->stream - RT_STDOUT;

    sim.stats.gaps++;
    if (ev->stream == RT_CONTROL_UP) {
        return;
    }
    if (att->start_known[s] && ev->from != att->seen[s]) {
        sim_fail("client %d: a gap from %llu where %llu was expected", client, (unsigned long long)ev->from,
                 (unsigned long long)att->seen[s]);
    }
    if (att->must_not_gap && att->start_known[s]) {
        sim_fail("client %d: a gap [%llu, %llu) although it holds", client, (unsigned long long)ev->from,
                 (unsigned long long)ev->to);
    }
    att->start_known[s] = true;
    att->seen[s] = ev->to;
    /* What came before the gap cannot be checked against a ring that has it no more: a copy's may follow. */
    if (sim.forked[att->container]) {
        att->lines[s] = UINT64_MAX;
    }
}

/* A container must not end before who holds it has read it to its end. While there are two primaries, it may be with an
 * agent of which nobody on this side knows. */
static void check_ended(int client, const struct sim_att *att)
{
    if (!att->attached || !att->must_not_gap || sim.forked[att->container] ||
        sim_store_old_record(att->container) != NULL) {
        return;
    }
    for (int i = 0; i < sim.n_lines; i++) {
        for (int s = 0; s < 2; s++) {
            if (sim.lines[i].container == att->container && att->start_known[s] &&
                att->seen[s] != sim.lines[i].size[s]) {
                sim_fail("client %d: told the end at %llu of %zu bytes of stream %d", client,
                         (unsigned long long)att->seen[s], sim.lines[i].size[s], s + 1);
            }
        }
    }
}

/* A status that a past of the container ended with, of an honest one its only past. */
static void check_code(int client, const struct sim_att *att, const struct rt_catt_event *ev)
{
    for (int i = 0; i < sim.n_lines && i < SIM_LINES; i++) {
        if (sim.lines[i].container == att->container && ev->sig == 0 && ev->code == SIM_CODE + (uint64_t)i) {
            return;
        }
    }
    sim_fail("client %d: told that container %d ended with %llu, signal %llu", client, att->container,
             (unsigned long long)ev->code, (unsigned long long)ev->sig);
}

static void on_event(int client, struct sim_att *att, const struct rt_catt_event *ev)
{
    switch (ev->kind) {
    case RT_CATT_ATTACHED:
        att->attached = att->bound = true;
        sim.stats.attached++;
        break;
    case RT_CATT_RESUMED:
        sim.stats.resumed++;
        att->bound = true;
        break;
    case RT_CATT_GAP:
        on_gap(client, att, ev);
        break;
    case RT_CATT_REWOUND:
        sim.stats.rewound++;
        att->final = true;
        sim_log("client %d: rewound, stream %llu, %llu..%llu", client, (unsigned long long)ev->stream,
                (unsigned long long)ev->from, (unsigned long long)ev->to);
        if (!sim.forked[att->container] && !att->taken) {
            sim_fail("client %d: an honest container was called rewound: %s", client, ev->text);
        }
        break;
    case RT_CATT_FAILED:
        sim.stats.failed++;
        att->final = true;
        if (ev->cls == RT_CLASS_ENDED) {
            check_ended(client, att);
        }
        sim_log("client %d: failed: %s %s", client, rt_class_name(ev->cls), ev->text);
        if (!sim.forked[att->container] && ev->cls != RT_CLASS_ENDED && ev->cls != RT_CLASS_NOT_FOUND &&
            !(ev->cls == RT_CLASS_STOLEN && att->taken)) {
            sim_fail("client %d: an attach of an honest container failed: %s: %s", client, rt_class_name(ev->cls),
                     ev->text);
        }
        if (ev->cls == RT_CLASS_NOT_FOUND && att->attached && !sim.forked[att->container] &&
            !sim_store_end_lost(att->container)) {
            sim_fail("client %d: an attach ended as NOT_FOUND after it had been attached", client);
        }
        break;
    case RT_CATT_EXITED:
        att->exited = true;
        check_code(client, att, ev);
        if (att->seen[0] != ev->out && att->start_known[0]) {
            sim_fail("client %d: exit told at %llu of %llu bytes", client, (unsigned long long)att->seen[0],
                     (unsigned long long)ev->out);
        }
        break;
    case RT_CATT_INTERRUPTED:
        att->bound = false;
        if (sim.flood != NULL && !sim.forked[att->container]) {
            sim_fail("client %d: an attachment to container %d is interrupted by a flood of %s", client, att->container,
                     sim.flood);
        }
        break;
    case RT_CATT_EOF:
    case RT_CATT_RESIZED:
    case RT_CATT_INPUT_CLOSED:
        break;
    }
}

static void write_stdin(struct sim_att *att)
{
    uint8_t bytes[600];
    size_t n = 1 + sim_random(sizeof(bytes));

    for (size_t i = 0; i < n; i++) {
        bytes[i] = sim_stdin_byte(att->id, att->written + i);
    }
    att->written += rt_catt_write(att->att, bytes, n);
}

static void events(int client, struct sim_att *att)
{
    struct rt_catt_event ev;

    while (att->att != NULL && sim_next_event(client, att->att, &ev)) {
        on_event(client, att, &ev);
    }
}

/* What comes of the hostile container is nothing to rely on. */
static void other_app(struct sim_client *c)
{
    struct rt_catt_event ev;
    bool over = false;

    while (c->other != NULL && rt_catt_event(c->other, &ev)) {
        over = over || ev.kind == RT_CATT_FAILED || ev.kind == RT_CATT_REWOUND || ev.kind == RT_CATT_EXITED;
    }
    for (unsigned s = RT_STDOUT; c->other != NULL && s <= RT_STDERR; s++) {
        size_t size;

        (void)rt_catt_peek(c->other, s, &size);
        if (size != 0) {
            rt_catt_consumed(c->other, s, size, sim_ms());
        }
    }
    if (over) {
        rt_catt_free(c->other);
        c->other = NULL;
    }
    if (c->other == NULL && sim_chance(30)) {
        struct rt_attach_options options = {.want = 31, .from = RT_FROM_NOW};
        struct rt_key key;

        sim_key(SIM_HOSTILE, &key);
        memcpy(options.cid, key.cid, sizeof(key.cid));
        if (rt_client_attach(c->client, &options, sim_ms(), &c->other) != 0) {
            sim_fail("an attach was refused");
        }
    }
}

void sim_client_app(int client)
{
    struct sim_client *c = &sim.clients[client];
    uint64_t stall = c->stalled_until_us > sim.now_us ? c->stalled_until_us - sim.now_us : 0;

    if (c->client == NULL || client == SIM_OPERATOR) {
        return;
    }
    if (client == SIM_CLIENTS) {
        sim_hostile_app();
    }
    twin_events(client);
    for (int i = 0; !stall && client != SIM_CLIENTS && i < SIM_ATTS; i++) {
        struct sim_att *att = &c->atts[i];

        if (att->final && !sim.quiet && sim_chance(20)) {
            rt_catt_free(att->att);
            memset(att, 0, sizeof(*att));
        }
        if (att->att == NULL && !sim.quiet && sim_chance(30)) {
            attach(client, att);
        }
        if (att->att == NULL) {
            continue;
        }
        events(client, att);
        if (att->final) {
            continue;
        }
        for (int s = 0; s < 2; s++) {
            if (sim_chance(80)) {
                consume(client, att, s);
            }
        }
        events(client, att);
        sim_looked_at(att->att);
        if (!sim.quiet && sim_chance(30)) {
            write_stdin(att);
        }
    }
    if (sim.hostile && client != SIM_CLIENTS && !stall && !sim.ending) {
        other_app(c);
    }
    if (!stall && client != SIM_CLIENTS) {
        sim_client_commands(client);
    }
    if (sim.quiet && !stall && client != SIM_CLIENTS) {
        ask_for_dead(client);
    }
    sim_client_pump(client);
    if (stall > 100000) {
        stall = 100000; /* looks again, as the end of the faults ends stalls too */
    }
    sim_post((struct sim_event){.kind = EV_APP, .node = NODE_CLIENT, .index = client, .gen = c->gen},
             stall + 500 + sim_random(sim.ending ? 100000 : 20000));
}
