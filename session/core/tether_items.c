/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/tether_machine.h"

#include "session/core/msg.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/receiver.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"
#include "session/core/tether_proc.h"

#include <stdlib.h>
#include <string.h>

/* The items of control-down: resize, signal, and the pieces of what an exec'd process is to run; each carried out once,
 * in the order in which its client sent them. A command of 9,000 bytes, whose guest is moved in the middle:
 *
 *     ATTACH exec    -> the process is AWAITED, ATTACHED names it
 *     piece of 4,000 -> kept, acknowledged        moved: ATTACH, ATTACHED with what was applied
 *     piece of 4,000 -> kept
 *     piece of 1,000, last -> read as a whole, STARTING
 *
 * Nothing runs twice: an ATTACH that is repeated finds its attachment, and an item is consumed once. */

/* To send the same again would not help: what ends the attachment is INVALID, which its client takes for an error. */
static void end(struct rt_tether *t, struct rt_att *att, const char *why)
{
    rt_tether_end_att(t, att, &(struct rt_refusal){.channel = att->channel, .cls = RT_CLASS_INVALID, .text = why});
}

/* All of what to run has come. False: it cannot be read, or there is no memory now. */
static bool start(struct rt_tether *t, struct rt_att *att, struct rt_proc *proc, size_t size)
{
    struct rt_exec_msg *exec = malloc(sizeof(*exec));

    if (exec == NULL) {
        return false;
    }
    if (rt_msg_decode(RT_MSG_EXEC, proc->run, size, exec, NULL, 0) != 0) {
        free(exec);
        end(t, att, "what to run cannot be read");
        return false;
    }
    proc->exec = exec;
    rt_tether_start(t, proc);
    return true;
}

/* The next piece of what to run. One for a process that has all is of no use. */
static bool add_piece(struct rt_tether *t, struct rt_att *att, struct rt_proc *proc, const struct rt_down_item *item)
{
    size_t size = proc->run_size + item->b.size;
    uint8_t *run;

    if (proc->state != RT_PROC_AWAITED) {
        return true;
    }
    if (t->procs[0]->state > RT_PROC_RUNNING) {
        end(t, att, RT_TETHER_RUNS_NONE);
        return false;
    }
    if (size > RT_EXEC_MAX) {
        end(t, att, "what to run is more than 256 KiB");
        return false;
    }
    run = realloc(proc->run, size);
    if (run == NULL) {
        return false;
    }
    memcpy(run + proc->run_size, item->b.data, item->b.size);
    proc->run = run;
    if (item->last && !start(t, att, proc, size)) {
        return false;
    }
    proc->run_size = size;
    return true;
}

/* Carries out the next whole item of one attachment; a signal is for the caller. False: there is none, it has ended the
 * attachment, or it is tried again at the next step, as there is no memory. */
static bool take_item(struct rt_tether *t, struct rt_att *att, unsigned *sig)
{
    struct rt_proc *proc = rt_tether_proc(t, att->proc);
    struct rt_receiver *in = &att->in[RT_CONTROL_IN];
    uint8_t bytes[2 + RT_ITEM_MAX];
    int size = rt_receiver_item(in, bytes, sizeof(bytes));
    struct rt_down_item item;

    if (size < 0) {
        end(t, att, "an item of control-down is empty, or longer than 4,096 bytes");
    }
    if (size <= 0) {
        return false;
    }
    if (rt_msg_decode(RT_MSG_DOWN_ITEM, bytes + 2, (size_t)size - 2, &item, NULL, 0) != 0) {
        end(t, att, "an item of control-down cannot be read");
        return false;
    }
    if (item.t == RT_ITEM_RUN && !add_piece(t, att, proc, &item)) {
        return false;
    }
    rt_receiver_consume(in, (size_t)size);
    t->due |= RT_DUE_REPORT;
    if (item.t == RT_ITEM_SIGNAL && proc->state == RT_PROC_RUNNING) {
        *sig = (unsigned)item.sig;
    }
    if (item.t == RT_ITEM_RESIZE) {
        rt_tether_resize(t, proc, item.rows, item.cols);
    }
    return true;
}

unsigned rt_tether_take_items(struct rt_tether *t, uint32_t *proc)
{
    for (size_t i = 0; i < t->n_atts; i++) {
        struct rt_att *att = &t->atts[i];
        unsigned sig = 0;

        *proc = att->proc;
        while (att->state != RT_ATT_FREE && att->in[RT_CONTROL_IN].next != att->in[RT_CONTROL_IN].consumed &&
               rt_tether_proc(t, att->proc)->state != RT_PROC_STARTING && /* START goes out first */
               take_item(t, att, &sig)) {
            if (sig) {
                return sig;
            }
        }
    }
    return 0;
}
