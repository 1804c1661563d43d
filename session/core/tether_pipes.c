/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/order.h"
#include "session/core/protocol.h"
#include "session/core/receiver.h"
#include "session/core/ring.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"
#include "session/core/tether_machine.h"
#include "session/core/tether_proc.h"

#include <stdlib.h>
#include <string.h>

/* What the shell says of a process, and what it takes for it: the ends of its pipes, its start and its exit. Each call
 * ends with a step of the machine, but for the two that only read bytes into a ring (space, commit): from those nothing
 * follows that the machine has to decide. */

/* ---- output ---- */

uint8_t *rt_tether_space(const struct rt_tether *t, uint32_t id, unsigned stream, size_t *size)
{
    const struct rt_proc *proc = rt_tether_proc(t, id);

    *size = 0;
    if (proc == NULL || stream < RT_STDOUT || stream > RT_STDERR || proc->pipe[stream - RT_STDOUT] == RT_PIPE_EOF) {
        return NULL;
    }
    return rt_ring_space(&proc->ring[stream - RT_STDOUT], size);
}

void rt_tether_want_space(struct rt_tether *t, uint32_t id, unsigned stream, uint64_t now)
{
    struct rt_proc *proc = rt_tether_proc(t, id);

    if (proc == NULL || stream < RT_STDOUT || stream > RT_STDERR || proc->pipe[stream - RT_STDOUT] != RT_PIPE_OPEN) {
        return;
    }
    rt_tether_move_pipe(proc, stream - RT_STDOUT, RT_PIPE_WAITS, now);
    rt_tether_step(t, now);
}

void rt_tether_commit(struct rt_tether *t, uint32_t id, unsigned stream, size_t size)
{
    struct rt_proc *proc = rt_tether_proc(t, id);

    if (proc == NULL || stream < RT_STDOUT || stream > RT_STDERR) {
        return;
    }
    rt_ring_commit(&proc->ring[stream - RT_STDOUT], size);
    rt_order_add(&proc->order, stream - RT_STDOUT, proc->ring[stream - RT_STDOUT].head);
    t->due |= RT_DUE_REPORT;
}

/* ---- start, end of file, exit ---- */

void rt_tether_started(struct rt_tether *t, uint32_t id, unsigned code, uint64_t now)
{
    struct rt_proc *proc = rt_tether_proc(t, id);

    if (proc == NULL || proc->state != RT_PROC_STARTING) {
        return;
    }
    free(proc->exec);
    free(proc->run);
    proc->exec = NULL;
    proc->run = NULL;
    proc->run_size = 0;
    rt_tether_move_proc(proc, RT_PROC_RUNNING);
    if (code) {
        proc->pipe[0] = proc->pipe[1] = RT_PIPE_EOF;
        rt_tether_exited(t, id, code, 0, now);
    }
    rt_tether_step(t, now);
}

void rt_tether_eof(struct rt_tether *t, uint32_t id, unsigned stream, uint64_t now)
{
    struct rt_proc *proc = rt_tether_proc(t, id);

    if (proc == NULL || stream < RT_STDOUT || stream > RT_STDERR) {
        return;
    }
    rt_tether_move_pipe(proc, stream - RT_STDOUT, RT_PIPE_EOF, now);
    rt_tether_step(t, now);
}

void rt_tether_exited(struct rt_tether *t, uint32_t id, unsigned code, unsigned sig, uint64_t now)
{
    struct rt_proc *proc = rt_tether_proc(t, id);

    if (proc == NULL || proc->state != RT_PROC_RUNNING) {
        return;
    }
    rt_tether_move_proc(proc, RT_PROC_EXITED);
    proc->code = code;
    proc->sig = sig;
    proc->drain_at = now + t->config.drain_timeout_ms;
    proc->blocked_at = now;
    t->due |= RT_DUE_REPORT;
    if (id == 0) {
        for (size_t i = 1; i < RT_PROCS_MAX; i++) {
            if (t->procs[i] != NULL) {
                t->procs[i]->due |= RT_PROC_DUE_KILL;
            }
        }
    }
    rt_tether_stdin_closed(t, id, now);
}

/* ---- input ---- */

const uint8_t *rt_tether_stdin(struct rt_tether *t, uint32_t id, size_t *size)
{
    struct rt_proc *proc = rt_tether_proc(t, id);
    const uint8_t *data;

    *size = 0;
    if (proc == NULL || proc->state != RT_PROC_RUNNING || proc->n_segments == 0) {
        return NULL;
    }
    data = rt_receiver_peek(&t->atts[proc->segments[0].att].in[RT_STDIN_IN], size);
    if (*size > proc->segments[0].size) {
        *size = proc->segments[0].size;
    }
    return data;
}

void rt_tether_stdin_taken(struct rt_tether *t, uint32_t id, size_t size, uint64_t now)
{
    struct rt_proc *proc = rt_tether_proc(t, id);
    struct rt_receiver *in;

    if (proc == NULL || proc->n_segments == 0) {
        return;
    }
    in = &t->atts[proc->segments[0].att].in[RT_STDIN_IN];
    rt_receiver_consume(in, size);
    (void)rt_receiver_plan(in, now, RT_ACK_DELAY_MS);
    if (rt_receiver_is_done(in)) {
        rt_tether_reach_fin(proc);
    }
    proc->segments[0].size -= (uint32_t)size;
    if (proc->segments[0].size == 0) {
        proc->n_segments--;
        memmove(proc->segments, proc->segments + 1, proc->n_segments * sizeof(proc->segments[0]));
    }
    t->due |= RT_DUE_REPORT;
    rt_tether_step(t, now);
}

void rt_tether_stdin_closed(struct rt_tether *t, uint32_t id, uint64_t now)
{
    struct rt_proc *proc = rt_tether_proc(t, id);

    if (proc == NULL) {
        return;
    }
    rt_tether_move_stdin(proc, RT_STDIN_CLOSED);
    proc->n_segments = 0;
    for (struct rt_att *att = NULL; (att = rt_tether_next_att(t, proc, att)) != NULL;) {
        rt_receiver_drop(&att->in[RT_STDIN_IN]);
        rt_receiver_close(&att->in[RT_STDIN_IN]);
    }
    rt_tether_step(t, now);
}
