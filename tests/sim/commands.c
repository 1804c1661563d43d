/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/commands.h"

#include "migrate/core/ticket.h"
#include "session/base/slice.h"
#include "session/core/attachment.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"
#include "tests/sim/agents.h"
#include "tests/sim/clients.h"
#include "tests/sim/guests.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"

#include <string.h>

/* Commands run beside a container's process (exec): each runs at most once, wherever its container is meanwhile, as it
 * was told to, byte for byte; and who asked for it gets its bytes and its status. What a command does, and how long it
 * is, follows from its id: many come in several pieces. */

#define LENGTH_MAX 20000
#define WORD_MAX 250000
#define HOLD_MS 2000
#define PATIENCE_US 20000000 /* a client that stalls for longer may find its command's attachment forgotten */

static uint64_t length_of(const uint8_t id[RT_ID_SIZE])
{
    return id[8] % 5 == 0 ? 0 : rt_get_u64(id) % LENGTH_MAX;
}

static unsigned code_of(const uint8_t id[RT_ID_SIZE])
{
    return id[8] % 5 == 0 ? 127 : id[9] % 100;
}

/* Its last argument. */
static struct rt_slice word_of(const uint8_t id[RT_ID_SIZE])
{
    static uint8_t word[WORD_MAX];
    size_t most = id[10] % 8 == 0 ? WORD_MAX : id[10] % 2 == 0 ? (size_t)4 * RT_PIECE_MAX : 100;
    struct rt_slice slice = {word, (size_t)(rt_get_u64(id) % most)};

    for (size_t i = 0; i < slice.size; i++) {
        word[i] = sim_stdin_byte(id, i);
    }
    return slice;
}

/* ---- in the guest ---- */

void sim_command_start(int guest, uint32_t proc, const struct rt_exec_msg *exec)
{
    struct sim_guest *g = &sim.guests[guest];
    struct sim_done *done = &g->done;
    const uint8_t *id = exec->argv[1].data;

    if (exec->n_argv != 3 || exec->argv[1].size != RT_ID_SIZE || !rt_slice_equal(exec->argv[2], word_of(id))) {
        sim_fail("guest %d: a command is not what its client asked for", guest);
    }
    for (size_t i = 0; i < done->n_commands; i++) {
        if (memcmp(done->commands[i].id, id, RT_ID_SIZE) == 0) {
            sim_fail("guest %d: a command was started twice", guest);
        }
    }
    if (done->n_commands == SIM_COMMANDS) {
        sim_fail("more commands than the model keeps");
    }
    done->commands[done->n_commands] = (struct sim_command){.proc = proc, .over = code_of(id) == 127};
    memcpy(done->commands[done->n_commands++].id, id, RT_ID_SIZE);
    sim.stats.commands++;
    rt_tether_started(g->tether, proc, code_of(id) == 127 ? 127 : 0, sim_ms());
}

static void end(struct sim_guest *g, struct sim_command *command, unsigned code, unsigned sig)
{
    command->over = true;
    rt_tether_eof(g->tether, command->proc, RT_STDOUT, sim_ms());
    rt_tether_eof(g->tether, command->proc, RT_STDERR, sim_ms());
    rt_tether_exited(g->tether, command->proc, code, sig, sim_ms());
}

void sim_command_signal(int guest, uint32_t proc, unsigned sig)
{
    struct sim_done *done = &sim.guests[guest].done;

    for (size_t i = 0; i < done->n_commands; i++) {
        if (done->commands[i].proc == proc && !done->commands[i].over) {
            end(&sim.guests[guest], &done->commands[i], 0, sig);
        }
    }
}

static void work(struct sim_guest *g, struct sim_command *command)
{
    uint64_t left = length_of(command->id) - command->written;
    size_t space;
    uint8_t *to = sim_space(g, command->proc, RT_STDOUT, &space);
    size_t n = 1 + sim_random(5000);

    if (to == NULL) {
        return;
    }
    if (n > space) {
        n = space;
    }
    if (n > left) {
        n = (size_t)left;
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = sim_stdin_byte(command->id, command->written + i);
    }
    command->written += n;
    rt_tether_commit(g->tether, command->proc, RT_STDOUT, n);
    if (command->written == length_of(command->id)) {
        end(g, command, code_of(command->id), 0);
    }
}

void sim_commands_work(int guest)
{
    struct sim_guest *g = &sim.guests[guest];

    for (size_t i = 0; i < g->done.n_commands; i++) {
        if (!g->done.commands[i].over && sim_chance(50)) {
            work(g, &g->done.commands[i]);
        }
    }
}

/* ---- at the client ---- */

static void ask(int client, struct sim_exec *exec)
{
    static struct rt_exec_msg msg;
    static uint8_t what[RT_EXEC_MAX];
    struct rt_attach_options options = {.want = 31 & ~(1U << RT_STDIN), .hold_ms = HOLD_MS, .exec = true};
    struct rt_key key;
    int size;

    memset(exec, 0, sizeof(*exec));
    exec->container = (int)sim_random((uint64_t)sim.n_containers);
    sim_random_bytes(NULL, exec->id, RT_ID_SIZE);
    sim_key(exec->container, &key);
    memcpy(options.cid, key.cid, sizeof(key.cid));
    memcpy(options.id, exec->id, RT_ID_SIZE);
    msg.n_argv = 3;
    msg.argv[0] = rt_slice_text("command");
    msg.argv[1] = (struct rt_slice){exec->id, RT_ID_SIZE};
    msg.argv[2] = word_of(exec->id);
    size = rt_msg_encode(RT_MSG_EXEC, &msg, what, sizeof(what));
    if (size < 0 || rt_client_attach(sim.clients[client].client, &options, sim_ms(), &exec->att) != 0 ||
        rt_catt_run(exec->att, what, (size_t)size) != 0) {
        sim_fail("an exec was refused");
    }
}

static void over(struct sim_exec *exec)
{
    rt_catt_free(exec->att);
    memset(exec, 0, sizeof(*exec));
}

/* Its container ended before the command began. The guest says so (RT_TETHER_RUNS_NONE); when that word was lost with
 * the link, it says later that it does not know the attachment. */
static bool never_ran(const struct sim_exec *exec)
{
    bool exited = false;

    for (int i = 0; i < SIM_GUESTS; i++) {
        const struct sim_guest *g = &sim.guests[i];
        for (size_t k = 0; g->used && k < g->done.n_commands; k++) {
            if (memcmp(g->done.commands[k].id, exec->id, RT_ID_SIZE) == 0) {
                return false;
            }
        }
        exited = exited || (g->used && g->container == exec->container && g->exited);
    }
    return exited;
}

static bool may_fail(const struct sim_exec *exec, const struct rt_catt_event *ev)
{
    return sim.forked[exec->container] || ev->cls == RT_CLASS_ENDED ||
           (ev->cls == RT_CLASS_INVALID && strcmp(ev->text, RT_TETHER_RUNS_NONE) == 0) ||
           (ev->cls == RT_CLASS_NOT_FOUND && (!exec->attached || sim_store_end_lost(exec->container))) ||
           (ev->cls == RT_CLASS_UNKNOWN_ATTACHMENT && (exec->stalled || never_ran(exec)));
}

static void check_exit(int client, const struct sim_exec *exec, const struct rt_catt_event *ev)
{
    if (ev->sig != 0 || sim.forked[exec->container]) {
        return; /* killed with its container */
    }
    if (ev->code != code_of(exec->id) || ev->out != length_of(exec->id) || exec->seen != ev->out) {
        sim_fail("client %d: a command ends with %llu after %llu of %llu bytes, instead of %u after %llu", client,
                 (unsigned long long)ev->code, (unsigned long long)exec->seen, (unsigned long long)ev->out,
                 code_of(exec->id), (unsigned long long)length_of(exec->id));
    }
    sim.stats.commands_told++;
}

static void events(int client, struct sim_exec *exec)
{
    struct rt_catt_event ev;

    while (exec->att != NULL && sim_next_event(client, exec->att, &ev)) {
        exec->attached = exec->attached || ev.kind == RT_CATT_ATTACHED;
        if (ev.kind == RT_CATT_GAP && ev.stream == RT_STDOUT) {
            exec->seen = ev.to; /* it read too slowly: a declared bound */
        }
        if ((ev.kind == RT_CATT_FAILED || ev.kind == RT_CATT_REWOUND) && !may_fail(exec, &ev)) {
            sim_fail("client %d: a command's attachment failed: %s %s", client, rt_class_name(ev.cls), ev.text);
        }
        if (ev.kind == RT_CATT_EXITED) {
            check_exit(client, exec, &ev);
        }
        if (ev.kind == RT_CATT_FAILED || ev.kind == RT_CATT_REWOUND || ev.kind == RT_CATT_EXITED) {
            over(exec);
        }
    }
}

static void consume(int client, struct sim_exec *exec)
{
    size_t size;
    const uint8_t *data = sim_peek(client, exec->att, RT_STDOUT, &size);

    for (size_t i = 0; i < size; i++) {
        if (data[i] != sim_stdin_byte(exec->id, exec->seen + i)) {
            sim_fail("client %d: byte %llu of a command is wrong: lost, repeated or changed", client,
                     (unsigned long long)exec->seen + i);
        }
    }
    exec->seen += size;
    rt_catt_consumed(exec->att, RT_STDOUT, size, sim_ms());
}

void sim_client_commands(int client)
{
    struct sim_exec *exec = &sim.clients[client].exec;

    if (exec->att == NULL) {
        if (!sim.quiet && sim_random(60) == 0) {
            ask(client, exec);
        }
        return;
    }
    if (sim.now_us - exec->looked_us > PATIENCE_US && exec->looked_us != 0) {
        exec->stalled = true;
    }
    exec->looked_us = sim.now_us;
    events(client, exec);
    if (exec->att != NULL && sim_chance(80)) {
        consume(client, exec);
        events(client, exec);
    }
    if (exec->att != NULL) {
        sim_looked_at(exec->att);
    }
}
