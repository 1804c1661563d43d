/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/tether_machine.h"

#include "session/core/frame.h"
#include "session/core/protocol.h"
#include "session/core/ring.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"
#include "session/core/tether_proc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* An exec'd process that is final goes through three steps: it makes room in the table of those that run at once; its
 * output goes when nobody needs it any more, what is left is its status, its offsets and the item `exited`; and it is
 * forgotten when RT_FINISHED_MAX newer ones are there and nobody is attached to it. The main process stays as it is:
 * its output is the container's last words. */

static bool is_attached(const struct rt_tether *t, const struct rt_proc *proc)
{
    return rt_tether_next_att(t, proc, NULL) != NULL;
}

/* Whether an attachment may still read output of a process that has ended: not when it has all; without its client
 * only as long as it holds, or its client had hardly the time to come. */
static bool is_needed(const struct rt_tether *t, const struct rt_proc *proc)
{
    for (const struct rt_att *att = NULL; (att = rt_tether_next_att(t, proc, att)) != NULL;) {
        if (!rt_tether_att_done(t, att) &&
            (att->channel != 0 || att->hold_left > 0 || att->away_ms < RT_ATT_DISPLACE_MS)) {
            return true;
        }
    }
    return false;
}

/* Who is still attached gets gaps to the ends, and then the exit. */
static void shrink(struct rt_tether *t, struct rt_proc *proc)
{
    for (unsigned o = 0; o < RT_OUTS; o++) {
        bool control = o + RT_STDOUT == RT_CONTROL_UP;

        rt_tether_advance(t, proc, o, control ? proc->exit_at : proc->ring[o].head);
        rt_ring_shrink(&proc->ring[o]);
    }
    rt_order_clear(&proc->order);
    proc->shrunk = true;
    t->due |= RT_DUE_REPORT;
}

static void forget(struct rt_tether *t, size_t index)
{
    rt_tether_free_proc(t->finished[index]);
    t->n_finished--;
    memmove(t->finished + index, t->finished + index + 1, (t->n_finished - index) * sizeof(struct rt_proc *));
    t->due |= RT_DUE_REPORT;
}

/* Each that is attached has an attachment of its own, and there is no more room for attachments than for finished
 * processes: so when all of them are attached, the new one is not. */
static void keep(struct rt_tether *t, struct rt_proc *proc)
{
    if (t->n_finished == RT_FINISHED_MAX) {
        size_t oldest = 0;

        while (oldest < t->n_finished && is_attached(t, t->finished[oldest])) {
            oldest++;
        }
        if (oldest == t->n_finished) {
            rt_tether_free_proc(proc);
            return;
        }
        forget(t, oldest);
    }
    t->finished[t->n_finished++] = proc;
}

void rt_tether_retire(struct rt_tether *t)
{
    static_assert(RT_FINISHED_MAX >= RT_ATTS_MAX, "else one that is attached might have to be forgotten");
    for (size_t i = 1; i < RT_PROCS_MAX; i++) {
        struct rt_proc *proc = t->procs[i];

        if (proc == NULL || proc->state != RT_PROC_FINAL || (proc->due & RT_PROC_DUE_CLOSE) != 0) {
            continue;
        }
        t->procs[i] = NULL;
        free(proc->segments);
        proc->segments = NULL;
        keep(t, proc);
    }
    for (size_t i = 0; i < t->n_finished; i++) {
        if (!t->finished[i]->shrunk && !is_needed(t, t->finished[i])) {
            shrink(t, t->finished[i]);
        }
    }
}
