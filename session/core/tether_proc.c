/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/tether_proc.h"

#include "session/base/number.h"
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_stream.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"
#include "session/core/tether_machine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Processes of a tether: output rings, the order of input, exits. */

void rt_tether_free_proc(struct rt_proc *proc)
{
    if (proc == NULL) {
        return;
    }
    for (size_t i = 0; i < RT_OUTS; i++) {
        rt_ring_close(&proc->ring[i]);
    }
    rt_order_clear(&proc->order);
    free(proc->segments);
    free(proc->run);
    free(proc->exec);
    free(proc);
}

/* A free place in the table: those that are finished are elsewhere. */
static struct rt_proc **free_place(struct rt_tether *t)
{
    for (size_t i = 0; i < RT_PROCS_MAX; i++) {
        if (t->procs[i] == NULL) {
            return &t->procs[i];
        }
    }
    return NULL;
}

/* A process that writes nothing costs no ring; but that it has ended can always be told. */
static int make_rings(struct rt_proc *proc, size_t ring_bytes)
{
    rt_ring_init(&proc->ring[0], ring_bytes);
    rt_ring_init(&proc->ring[1], proc->tty ? 1 : ring_bytes);
    rt_ring_init(&proc->ring[RT_CONTROL_UP - RT_STDOUT], RT_CONTROL_RING);
    return rt_ring_make(&proc->ring[RT_CONTROL_UP - RT_STDOUT]);
}

int rt_tether_add_proc(struct rt_tether *t, bool tty, bool in, struct rt_proc **out)
{
    struct rt_proc **place = free_place(t);
    struct rt_proc *proc;

    if (place == NULL) {
        return RT_ELIMIT;
    }
    proc = calloc(1, sizeof(*proc));
    if (proc == NULL) {
        return RT_ENOMEM;
    }
    proc->id = t->next_proc;
    proc->tty = tty;
    proc->in = in;
    proc->redraw_at = RT_NEVER;
    proc->pipe[1] = tty ? RT_PIPE_EOF : RT_PIPE_OPEN; /* a pty has one output stream */
    proc->segments = calloc(RT_SEGMENTS_MAX, sizeof(*proc->segments));
    if (proc->segments == NULL || make_rings(proc, t->config.ring_bytes) != 0) {
        rt_tether_free_proc(proc);
        return RT_ENOMEM;
    }
    t->next_proc++;
    t->due |= RT_DUE_REPORT;
    *place = proc;
    *out = proc;
    return 0;
}

void rt_tether_move_proc(struct rt_proc *proc, enum rt_proc_state to)
{
    assert(to == proc->state + 1);
    proc->state = to;
}

void rt_tether_start(struct rt_tether *t, struct rt_proc *proc)
{
    rt_tether_move_proc(proc, RT_PROC_STARTING);
    proc->due |= RT_PROC_DUE_START;
    t->due |= RT_DUE_REPORT;
}

void rt_tether_remove_proc(struct rt_tether *t, struct rt_proc *proc)
{
    for (size_t i = 0; i < RT_PROCS_MAX; i++) {
        if (t->procs[i] == proc) {
            t->procs[i] = NULL;
        }
    }
    rt_tether_free_proc(proc);
}

/* ---- output ---- */

/* Gives up a ring's bytes below base. Attachments that have not acknowledged them keep a digest that covers them, and
 * get a gap for what was not even sent. */
void rt_tether_advance(struct rt_tether *t, struct rt_proc *proc, unsigned o, uint64_t base)
{
    struct rt_ring *ring = &proc->ring[o];

    for (struct rt_att *att = NULL; (att = rt_tether_next_att(t, proc, att)) != NULL;) {
        if (rt_att_wants(att, o + RT_STDOUT)) {
            rt_sender_overwritten(&att->out[o], ring, base);
        }
    }
    rt_ring_drop(ring, base);
}

static bool is_blocked(const struct rt_proc *proc)
{
    return proc->pipe[0] == RT_PIPE_BLOCKED || proc->pipe[1] == RT_PIPE_BLOCKED;
}

static bool is_at_eof(const struct rt_proc *proc)
{
    return proc->pipe[0] == RT_PIPE_EOF && proc->pipe[1] == RT_PIPE_EOF;
}

/* Moves an output to another state. Time in which a full ring keeps the shell from reading is no part of the drain
 * timeout: what the process wrote last is still in its pipe. It is bounded by the holds that keep the ring full. */
void rt_tether_move_pipe(struct rt_proc *proc, unsigned o, enum rt_pipe to, uint64_t now)
{
    static const unsigned from[] = {
        [RT_PIPE_OPEN] = 1 << RT_PIPE_WAITS | 1 << RT_PIPE_BLOCKED,
        [RT_PIPE_WAITS] = 1 << RT_PIPE_OPEN,
        [RT_PIPE_BLOCKED] = 1 << RT_PIPE_WAITS | 1 << RT_PIPE_BLOCKED,
        [RT_PIPE_EOF] = ~0U,
    };
    bool before = is_blocked(proc);

    assert((from[to] >> proc->pipe[o] & 1) != 0);
    proc->pipe[o] = to;
    if (!before && is_blocked(proc)) {
        proc->blocked_at = now;
    }
    if (before && !is_blocked(proc) && proc->state == RT_PROC_EXITED) {
        proc->drain_at += now - proc->blocked_at;
    }
}

/* Grows a ring that is full while the reader at its floor would take more than it has: the link's round trip is what
 * its process waits for. */
static bool grow(const struct rt_tether *t, struct rt_proc *proc, unsigned o)
{
    struct rt_ring *ring = &proc->ring[o];
    size_t most = (size_t)rt_min(t->config.ring_bytes * RT_RING_GROWTH, RT_RING_GROWN_MAX), cap = ring->cap;

    for (struct rt_att *att = NULL; (att = rt_tether_next_att(t, proc, att)) != NULL;) {
        const struct rt_sender *out = &att->out[o];

        if (cap < most && rt_att_wants(att, o + RT_STDOUT) && att->state == RT_ATT_BOUND && out->acked == ring->base &&
            att->hold_left > 0 && out->limit > ring->head) {
            rt_ring_grow(ring, (size_t)rt_min(cap * 2, most));
            break;
        }
    }
    return ring->cap > cap;
}

/* Makes room in a ring whose reader waits for it. The one place where an output's history is given up: an eighth of the
 * ring at a time, and nothing that an attachment holds. */
static void make_room(struct rt_tether *t, struct rt_proc *proc, unsigned o, uint64_t now)
{
    struct rt_ring *ring = &proc->ring[o];

    if (rt_ring_make(ring) != 0) {
        return; /* tried again with the next step: its process waits for memory */
    }
    if (rt_ring_room(ring) == 0) {
        uint64_t floor = rt_tether_floor(t, proc, o), want = ring->base + ring->cap / 8;

        if (floor > ring->base) {
            rt_tether_advance(t, proc, o, rt_min(floor, want));
        } else if (!grow(t, proc, o)) {
            rt_tether_move_pipe(proc, o, RT_PIPE_BLOCKED, now);
            return;
        }
    }
    rt_tether_move_pipe(proc, o, RT_PIPE_OPEN, now);
}

/* Appends an item to control-up; the oldest items make room. */
static void item_up(struct rt_tether *t, struct rt_proc *proc, const struct rt_up_item *item)
{
    struct rt_ring *ring = &proc->ring[RT_CONTROL_UP - RT_STDOUT];
    uint8_t bytes[2 + 256];
    int n = rt_msg_encode(RT_MSG_UP_ITEM, item, bytes + 2, sizeof(bytes) - 2);

    if (n < 0) {
        return; /* every item fits: its fields are bounded integers */
    }
    bytes[0] = (uint8_t)(n >> 8);
    bytes[1] = (uint8_t)n;
    while (rt_ring_room(ring) < (size_t)n + 2) {
        uint8_t head[2];

        (void)rt_ring_copy(ring, ring->base, head, 2);
        rt_tether_advance(t, proc, RT_CONTROL_UP - RT_STDOUT, ring->base + 2 + (uint64_t)(head[0] << 8 | head[1]));
    }
    (void)rt_ring_append(ring, bytes, (size_t)n + 2);
    t->due |= RT_DUE_REPORT;
}

void rt_tether_resize(struct rt_tether *t, struct rt_proc *proc, uint64_t rows, uint64_t cols)
{
    struct rt_up_item item = {.t = RT_ITEM_RESIZED, .rows = rows, .cols = cols};
    bool another;

    if (proc == NULL || !proc->tty || rows == 0 || cols == 0) {
        return;
    }
    another = rows != proc->rows || cols != proc->cols;
    proc->rows = (unsigned)rows;
    proc->cols = (unsigned)cols;
    proc->due |= RT_PROC_DUE_RESIZE;
    if (another && proc->state != RT_PROC_FINAL) {
        item_up(t, proc, &item);
    }
}

void rt_tether_redraw(struct rt_tether *t, struct rt_proc *proc, uint64_t now)
{
    if (!proc->tty || proc->rows == 0 || proc->state != RT_PROC_RUNNING) {
        return;
    }
    proc->due |= RT_PROC_DUE_RESIZE;
    proc->redraw_at = now + RT_REDRAW_MS;
    t->due |= RT_DUE_REPORT;
}

static void finish(struct rt_tether *t, struct rt_proc *proc, uint64_t now)
{
    struct rt_up_item item = {.t = RT_ITEM_EXITED, .code = proc->code, .sig = proc->sig};

    if (!is_at_eof(proc)) {
        proc->due |= RT_PROC_DUE_CLOSE;
    }
    proc->pipe[0] = proc->pipe[1] = RT_PIPE_EOF;
    rt_tether_move_proc(proc, RT_PROC_FINAL);
    proc->ring[0].ended = proc->ring[1].ended = true; /* control-up has no FIN */
    item.out = proc->ring[0].head;
    item.err = proc->ring[1].head;
    proc->exit_at = proc->ring[RT_CONTROL_UP - RT_STDOUT].head;
    item_up(t, proc, &item);
    if (proc->id != 0) {
        return;
    }
    rt_tether_move_end(t, RT_ENDING_TAIL_OUT);
    t->final_at = now;
    t->end_at = now;
    for (size_t i = 0; i < t->n_atts; i++) {
        if (t->atts[i].channel) {
            rt_tether_grace(t, &t->atts[i]);
        }
    }
}

/* The process sees the end of its input when every attachment that opened stdin has ended it, or one that says `once`:
 * then at once, and what others have sent is not taken any more. */
static enum rt_stdin_phase stdin_after(const struct rt_tether *t, const struct rt_proc *proc)
{
    bool ended = false, open = proc->stdin_kept;

    for (const struct rt_att *att = NULL; (att = rt_tether_next_att(t, proc, att)) != NULL;) {
        if (!rt_att_wants(att, RT_STDIN)) {
            continue;
        }
        if (!rt_receiver_is_done(&att->in[RT_STDIN_IN])) {
            open = true;
        } else if (att->once) {
            return RT_STDIN_CUT;
        } else {
            ended = true;
        }
    }
    return ended && !open ? RT_STDIN_ENDS : RT_STDIN_OPEN;
}

uint64_t rt_tether_drain_deadline(const struct rt_proc *proc)
{
    return proc->state != RT_PROC_EXITED || is_blocked(proc) ? RT_NEVER : proc->drain_at;
}

void rt_tether_settle(struct rt_tether *t, uint64_t now)
{
    rt_tether_charge(t, now); /* before anybody begins or ceases to block */
    for (size_t i = 0; i < RT_PROCS_MAX; i++) {
        struct rt_proc *proc = t->procs[i];

        if (proc == NULL) {
            continue;
        }
        for (unsigned o = 0; o < 2; o++) {
            if (proc->pipe[o] == RT_PIPE_WAITS || proc->pipe[o] == RT_PIPE_BLOCKED) {
                make_room(t, proc, o, now);
            }
        }
        if (proc->stdin_phase == RT_STDIN_OPEN) {
            rt_tether_move_stdin(proc, stdin_after(t, proc));
        }
        if (proc->state == RT_PROC_EXITED && (is_at_eof(proc) || now >= rt_tether_drain_deadline(proc))) {
            finish(t, proc, now);
        }
    }
    rt_tether_find_blockers(t);
}

/* ---- input ---- */

void rt_tether_drop_segments(struct rt_tether *t, const struct rt_att *att)
{
    struct rt_proc *proc = rt_tether_proc(t, att->proc);
    size_t index = (size_t)(att - t->atts), kept = 0;

    if (proc == NULL) {
        return;
    }
    for (size_t i = 0; i < proc->n_segments; i++) {
        if (proc->segments[i].att != index) {
            proc->segments[kept++] = proc->segments[i];
        }
    }
    proc->n_segments = kept;
}

void rt_tether_move_stdin(struct rt_proc *proc, enum rt_stdin_phase to)
{
    static const unsigned from[] = {
        [RT_STDIN_OPEN] = 1 << RT_STDIN_OPEN | 1 << RT_STDIN_AT_EOF,
        [RT_STDIN_ENDS] = 1 << RT_STDIN_OPEN,
        [RT_STDIN_CUT] = 1 << RT_STDIN_OPEN,
        [RT_STDIN_AT_EOF] = 1 << RT_STDIN_ENDS | 1 << RT_STDIN_CUT,
        [RT_STDIN_CLOSED] = ~0U,
    };

    assert((from[to] >> proc->stdin_phase & 1) != 0);
    proc->stdin_phase = to;
}

void rt_tether_reach_fin(struct rt_proc *proc)
{
    if (proc->stdin_phase == RT_STDIN_AT_EOF) { /* a terminal, typed at again after its VEOF */
        rt_tether_move_stdin(proc, RT_STDIN_OPEN);
    }
}
