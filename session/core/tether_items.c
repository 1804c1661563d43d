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

/* The items of control-down: resize, signal, exec; each carried out once, in the order in which its client sent them.
 */

static void exec(struct rt_tether *t, const struct rt_down_item *item, uint8_t *owned, uint64_t now)
{
    struct rt_proc *proc;
    struct rt_att *att;

#ifdef RT_MUTANT_EXEC_TWICE
    bool known = false;
#else
    bool known = rt_tether_att_by_id(t, item->id.data) != NULL;
#endif

    if (known || t->procs[0]->state != RT_PROC_RUNNING || rt_tether_add_proc(t, item->tty, item->in, &proc) != 0) {
        free(owned);
        return;
    }
    proc->exec_item = owned;
    proc->rows = (unsigned)item->rows;
    proc->cols = (unsigned)item->cols;
    proc->decoded = malloc(sizeof(*proc->decoded));
    if (proc->decoded) {
        *proc->decoded = *item;
    }
    att = proc->decoded ? rt_tether_new_att(t, item->id.data, proc, now) : NULL;
    if (!att) { /* never runs unseen */
        for (size_t i = 0; i < RT_PROCS_MAX; i++) {
            if (t->procs[i] == proc) {
                t->procs[i] = NULL;
            }
        }
        rt_tether_free_proc(proc);
        t->next_proc--;
        return;
    }
    att->hold_ms = item->hold < RT_HOLD_MAX_MS ? item->hold : RT_HOLD_MAX_MS;
    att->hold_left = att->hold_ms;
    att->want = 1U << RT_STDOUT | 1U << RT_STDERR | 1U << RT_CONTROL_UP | (item->in ? 1U << RT_STDIN : 0);
}

/* Carries out one item; returns the signal to send, or 0. */
static unsigned carry_out(struct rt_tether *t, struct rt_att *att, uint8_t *owned, size_t size, uint64_t now)
{
    struct rt_proc *proc = rt_tether_proc(t, att->proc);
    struct rt_down_item item;
    char why[RT_TEXT_MAX];
    unsigned sig = 0;

    if (rt_msg_decode(RT_MSG_DOWN_ITEM, owned, size, &item, why, sizeof(why)) != 0) {
        rt_tether_end_att(t, att,
                          &(struct rt_refusal){.channel = att->channel,
                                               .cls = RT_CLASS_INVALID,
                                               .s = RT_CONTROL_DOWN,
                                               .text = "an item of control-down cannot be read"});
        free(owned);
        return 0;
    }
    if (item.t == RT_ITEM_EXEC) {
        exec(t, &item, owned, now);
        return 0;
    }
    if (item.t == RT_ITEM_SIGNAL && proc && proc->state == RT_PROC_RUNNING) {
        sig = (unsigned)item.sig;
    }
    if (item.t == RT_ITEM_RESIZE) {
        rt_tether_resize(t, proc, item.rows, item.cols);
    }
    free(owned);
    return sig;
}

/* Takes the next whole item of one attachment. 1: carried out (a signal in sig), 0: none there. */
static int take_item(struct rt_tether *t, struct rt_att *att, unsigned *sig, uint64_t now)
{
    struct rt_receiver *in = &att->in[RT_CONTROL_IN];
    uint8_t bytes[2 + RT_ITEM_MAX];
    int size = rt_receiver_item(in, bytes, sizeof(bytes));
    uint8_t *item;

    if (size < 0) {
        rt_tether_end_att(t, att,
                          &(struct rt_refusal){.channel = att->channel,
                                               .cls = RT_CLASS_LIMIT,
                                               .which = "item",
                                               .max = RT_ITEM_MAX,
                                               .text = "bytes of an item of control-down"});
    }
    if (size <= 0) {
        return 0;
    }
    item = malloc((size_t)size - 2);
    if (!item) {
        return 0; /* tried again at the next step */
    }
    memcpy(item, bytes + 2, (size_t)size - 2);
    rt_receiver_consume(in, (size_t)size);
    t->due |= RT_DUE_REPORT;
    *sig = carry_out(t, att, item, (size_t)size - 2, now);
    return 1;
}

unsigned rt_tether_take_items(struct rt_tether *t, uint32_t *proc, uint64_t now)
{
    for (size_t i = 0; i < RT_ATTS_MAX; i++) {
        struct rt_att *att = &t->atts[i];
        unsigned sig = 0;

        while (att->state != RT_ATT_FREE && att->in[RT_CONTROL_IN].next != att->in[RT_CONTROL_IN].consumed) {
            const struct rt_proc *p = rt_tether_proc(t, att->proc);

            if (p && p->state == RT_PROC_STARTING) {
                break; /* START goes out first */
            }
            *proc = att->proc;
            if (!take_item(t, att, &sig, now)) {
                break;
            }
            if (sig) {
                return sig;
            }
        }
    }
    return 0;
}
