/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/number.h"
#include "session/base/random.h"
#include "session/base/slice.h"
#include "session/base/text.h"
#include "session/core/frame.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"
#include "session/core/tether_machine.h"

#include <string.h>

/* What an agent says of the link to it, of the claim that was made with it, and of the container's end. */

static uint64_t long_delay(struct rt_tether *t)
{
    return RT_REFUSED_MIN_MS + rt_jitter(&t->jitter, RT_REFUSED_MAX_MS - RT_REFUSED_MIN_MS);
}

/* Whether the agent says nothing of this guest, and only that it should come later. */
static bool passes(const struct rt_refuse_msg *msg)
{
    return msg->c == RT_CLASS_RETRY_LATER || (msg->c == RT_CLASS_LIMIT && msg->delay > 0);
}

/* `again`: the same verdict as the last time. What is answered at once is so only once: no agent makes a guest dial in
 * a tight circle. */
static uint64_t refusal_delay(struct rt_tether *t, const struct rt_refuse_msg *msg, bool again)
{
    switch (msg->c) {
    case RT_CLASS_RETRY_LATER:
        if (msg->delay == 0) {
            return rt_tether_back_off(t);
        }
        return rt_min(msg->delay, RT_REFUSED_MAX_MS) + rt_jitter(&t->jitter, 20);
    case RT_CLASS_LIMIT: /* as when it is lost: whoever floods the agent must not keep this guest away */
        return passes(msg) ? rt_max(rt_min(msg->delay, RT_REFUSED_MAX_MS), rt_tether_back_off(t)) : long_delay(t);
    case RT_CLASS_STALE:
    case RT_CLASS_LOST:
        return again ? rt_tether_back_off(t) : rt_jitter(&t->jitter, RT_REDIAL_MIN_MS + 1);
    default:
        return long_delay(t);
    }
}

/* With what right the next hello is said (enum rt_right has the picture). A guest that was set back, or copied, is told
 * REWOUND or FORKED for as long as it presents its ticket; from then on it tries as a new start too, by turns. */
static enum rt_right right_after(enum rt_right right, const struct rt_refuse_msg *msg)
{
    uint64_t cls = msg->c;

    if (right == RT_RIGHT_SUPERSEDED || cls == RT_CLASS_SUPERSEDED) {
        return RT_RIGHT_SUPERSEDED;
    }
    if (cls == RT_CLASS_REWOUND || cls == RT_CLASS_FORKED) {
        return right == RT_RIGHT_OWN ? RT_RIGHT_DOUBTED : right;
    }
    return passes(msg) ? right : RT_RIGHT_OWN;
}

void rt_tether_on_refused(struct rt_tether *t, const struct rt_refuse_msg *msg, uint64_t now)
{
    bool again = t->refused_cls == msg->c;
    uint64_t delay;

    t->refused_cls = msg->c;
    (void)rt_text_copy(msg->m, t->refused_text, sizeof(t->refused_text));
    delay = refusal_delay(t, msg, again);
    if (msg->c == RT_CLASS_STALE && msg->epoch > t->epoch) {
        if (msg->epoch >= RT_COUNTER_MAX - RT_EPOCH_ROOM) {
            rt_slice_copy(rt_slice_text("the agent names an epoch that leaves no room for newer ones"), t->refused_text,
                          sizeof(t->refused_text));
            delay = long_delay(t);
        } else {
            t->epoch = msg->epoch;
        }
    }
    t->right = right_after(t->right, msg);
    if (msg->drop) { /* another start was taken: the join token is all that this one has */
        t->ticket_size = 0;
        t->life = 0;
    }
    rt_tether_hangup(t, "refused", now + delay, now);
    rt_tether_move(t, RT_TETHER_REFUSED);
}

static void note_past(struct rt_past *past, const struct rt_att *att)
{
    memcpy(past->id, att->id, sizeof(past->id));
    past->acked = rt_att_wants(att, RT_STDOUT) ? att->out[0].acked : 0;
}

void rt_tether_on_welcome(struct rt_tether *t, const struct rt_welcome_msg *msg, uint64_t now)
{
    if (msg->v != RT_PROTOCOL_VERSION || msg->tkt.size == 0 || msg->life == 0) {
        rt_tether_hangup(t, "a welcome without version, ticket or life", now + RT_REFUSED_MIN_MS, now);
        return;
    }
    if (t->right != RT_RIGHT_JOINING && t->ticket_size && msg->life != t->life) {
        rt_tether_hangup(t, "a welcome to another life than the ticket's", now + RT_REFUSED_MIN_MS, now);
        return;
    }
    if (t->right == RT_RIGHT_JOINING) { /* another life: nothing that was attached to the old one goes on unseen */
        memcpy(t->inc, t->new_inc, sizeof(t->inc));
        t->n_past = 0;
        for (size_t i = 0; i < t->n_atts; i++) {
            if (t->atts[i].state != RT_ATT_FREE) {
                note_past(&t->past[t->n_past++], &t->atts[i]);
                rt_tether_remove_att(t, &t->atts[i]);
            }
        }
    }
    if (!msg->drain && t->ending == RT_ENDING_SAFE) { /* another life, or a store that has lost the end since */
        rt_tether_move_end(t, RT_ENDING_TAIL_OUT);
    }
    rt_tether_charge(t, now);
    t->life = msg->life;
    memcpy(t->ticket, msg->tkt.data, msg->tkt.size);
    t->ticket_size = msg->tkt.size;
    (void)rt_text_copy(msg->host, t->host, sizeof(t->host));
    rt_tether_move(t, RT_TETHER_LIVE);
    t->live_at = now;
    t->was_useful = false;
    t->right = RT_RIGHT_OWN;
    t->refused_cls = RT_CLASS_OK;
    t->due |= RT_DUE_CONFIRM | RT_DUE_REPORT;
    t->report_at = now;
    t->outage_at = RT_NEVER;
    t->end_at = now;
    rt_tether_find_blockers(t);
}

/* The same place in the chain with a later expiry, so it counts at once and nothing answers it. */
void rt_tether_on_ticket(struct rt_tether *t, const struct rt_frame *frame, const uint8_t *ticket)
{
    memcpy(t->ticket, ticket, frame->length);
    t->ticket_size = frame->length;
}

void rt_tether_on_end_ok(struct rt_tether *t, const struct rt_end_ok_msg *msg, uint64_t now)
{
    if (t->ending == RT_ENDING_NONE || t->ending == RT_ENDING_SAFE) {
        return;
    }
    t->end_how = (enum rt_end_how)msg->how;
    if (msg->how == RT_END_LATER) {
        uint64_t delay = msg->delay ? msg->delay : RT_REPORT_INTERVAL_MS;

        rt_tether_move_end(t, RT_ENDING_TAIL_OUT);
        t->end_at = now + rt_min(delay, RT_REFUSED_MAX_MS);
        return;
    }
    rt_tether_move_end(t, RT_ENDING_SAFE);
}
