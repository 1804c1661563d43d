/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/random.h"
#include "session/base/slice.h"
#include "session/base/text.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/pings.h"
#include "session/core/protocol.h"
#include "session/core/receiver.h"
#include "session/core/sender.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"
#include "session/core/tether_machine.h"
#include "session/core/tether_proc.h"

#include <string.h>

/* Frames that arrive from the agent. */

/* What an input brought breaks a rule: it ends the channel, not the attachment. */
static void bad_input(struct rt_tether *t, struct rt_att *att, enum rt_received is, const struct rt_frame *frame,
                      uint64_t now)
{
    struct rt_refusal why = {.channel = att->channel,
                             .cls = RT_CLASS_INVALID,
                             .s = frame->stream,
                             .at = att->in[frame->stream / RT_CONTROL_DOWN].next,
                             .got = frame->offset,
                             .text = "input that was not asked for, beyond the limit, or not where the input ends"};

    if (is == RT_RECEIVED_JUMP) {
        why.cls = RT_CLASS_JUMP;
        why.text = "input that goes back, or with bytes missing before it";
    } else if (is == RT_RECEIVED_NO_MEMORY) {
        why.cls = RT_CLASS_LOST;
        why.text = "out of memory";
    }
    rt_tether_refuse(t, &why);
    rt_tether_unbind(t, att, now);
}

/* ---- input ---- */

/* Notes that size more bytes of this attachment wait for the process. Runs of one attachment are joined when they
 * follow each other, and always once half of the list is used: then only the order among different attachments suffers.
 */
static void add_segment(struct rt_tether *t, struct rt_proc *proc, const struct rt_att *att, size_t size)
{
    size_t index = (size_t)(att - t->atts), i = proc->n_segments;
    size_t lowest = proc->n_segments >= RT_SEGMENTS_MAX / 2 ? 0 : (i ? i - 1 : 0);

    while (i-- > lowest) {
        if (proc->segments[i].att == index) {
            proc->segments[i].size += (uint32_t)size;
            return;
        }
    }
    proc->segments[proc->n_segments].att = (uint16_t)index;
    proc->segments[proc->n_segments++].size = (uint32_t)size;
}

/* DATA or FIN. */
static void on_input(struct rt_tether *t, struct rt_att *att, const struct rt_frame *frame, const uint8_t *payload,
                     uint64_t now)
{
    struct rt_receiver *in = &att->in[frame->stream / RT_CONTROL_DOWN];
    struct rt_proc *proc = rt_tether_proc(t, att->proc);
    enum rt_received is = RT_RECEIVED_OVER_LIMIT;
    bool before = rt_receiver_is_done(in);

    if (rt_att_wants(att, frame->stream)) {
        if (frame->stream == RT_STDIN && proc->stdin_phase == RT_STDIN_CLOSED) {
            return; /* the client is told how far it came; what it sent before it knew leads nowhere */
        }
        is = rt_receiver_take(in, frame, payload);
    }
    if (is != RT_RECEIVED) {
        bad_input(t, att, is, frame, now);
    } else if (frame->type == RT_FIN) {
        in->ack_now = true;
    } else if (frame->stream == RT_STDIN) {
        add_segment(t, proc, att, frame->length);
    }
    if (rt_receiver_is_done(in) && !before) {
        rt_tether_reach_fin(proc);
    }
}

/* It has consumed all that there is: its hold is whole again, but for the end, which has the last one. */
static void refill(const struct rt_tether *t, struct rt_att *att, const struct rt_proc *proc)
{
    for (unsigned o = 0; o < RT_OUTS; o++) {
        if (rt_att_wants(att, o + RT_STDOUT) && att->out[o].acked != proc->ring[o].head) {
            return;
        }
    }
    if (att->hold_left < att->hold_ms && t->ending == RT_ENDING_NONE && proc->state != RT_PROC_FINAL) {
        att->hold_left = att->hold_ms;
    }
}

static void on_ack(struct rt_tether *t, struct rt_att *att, const struct rt_frame *frame, const uint8_t *payload,
                   uint64_t now)
{
    unsigned o = frame->stream - RT_STDOUT;
    struct rt_proc *proc = rt_tether_proc(t, att->proc);
    struct rt_sender *out = &att->out[o];
    enum rt_far_verdict is;

    t->was_useful = true;
    if (!rt_att_wants(att, frame->stream)) {
        return;
    }
    rt_tether_charge(t, now);
    is = rt_sender_ack(out, &proc->ring[o], frame, payload);
    if (is == RT_FAR_OLD) {
        return;
    }
    if (is != RT_FAR_TRUE) {
        rt_tether_end_att(t, att,
                          &(struct rt_refusal){.channel = att->channel,
                                               .cls = RT_CLASS_REWOUND,
                                               .s = frame->stream,
                                               .at = out->acked,
                                               .got = frame->offset,
                                               .text = "what was acknowledged is not what this container wrote"});
        return;
    }
    refill(t, att, proc);
    t->due |= RT_DUE_REPORT;
    rt_tether_find_blockers(t);
}

/* ---- per hop ---- */

static uint64_t long_delay(struct rt_tether *t)
{
    return RT_REFUSED_MIN_MS + rt_jitter(&t->jitter, RT_REFUSED_MAX_MS - RT_REFUSED_MIN_MS);
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
        return (msg->delay < RT_REFUSED_MAX_MS ? msg->delay : RT_REFUSED_MAX_MS) + rt_jitter(&t->jitter, 20);
    case RT_CLASS_STALE:
    case RT_CLASS_LOST:
        return again ? rt_tether_back_off(t) : rt_jitter(&t->jitter, RT_REDIAL_MIN_MS + 1);
    default:
        return long_delay(t);
    }
}

static enum rt_right right_after(enum rt_right right, uint64_t cls)
{
    if (right == RT_RIGHT_SUPERSEDED || cls == RT_CLASS_SUPERSEDED) {
        return RT_RIGHT_SUPERSEDED;
    }
    if (cls == RT_CLASS_REWOUND || cls == RT_CLASS_FORKED) {
        return right == RT_RIGHT_OWN ? RT_RIGHT_DOUBTED : right;
    }
    return cls == RT_CLASS_RETRY_LATER ? right : RT_RIGHT_OWN;
}

static void on_link_refused(struct rt_tether *t, const struct rt_refuse_msg *msg, uint64_t now)
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
    t->right = right_after(t->right, msg->c);
    if (msg->drop) { /* another start was taken: the join token is all that this one has */
        t->ticket_size = 0;
        t->life = 0;
    }
    rt_tether_hangup(t, "refused", now + delay, now);
    rt_tether_move(t, RT_TETHER_REFUSED);
}

static void on_welcome(struct rt_tether *t, const struct rt_welcome_msg *msg, uint64_t now)
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
        for (size_t i = 0; i < RT_ATTS_MAX; i++) {
            if (t->atts[i].state != RT_ATT_FREE) {
                rt_tether_note_past(t, &t->atts[i]);
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
    t->outage_at = RT_NO_TIME;
    t->end_at = now;
    rt_tether_find_blockers(t);
}

/* The same place in the chain with a later expiry, so it counts at once and nothing answers it. */
static void on_ticket(struct rt_tether *t, const struct rt_frame *frame, const uint8_t *ticket)
{
    memcpy(t->ticket, ticket, frame->length);
    t->ticket_size = frame->length;
}

static void on_end_ok(struct rt_tether *t, const struct rt_end_ok_msg *msg, uint64_t now)
{
    if (t->ending == RT_ENDING_NONE || t->ending == RT_ENDING_SAFE) {
        return;
    }
    t->end_how = (enum rt_end_how)msg->how;
    if (msg->how == RT_END_LATER) {
        uint64_t delay = msg->delay ? msg->delay : RT_REPORT_INTERVAL_MS;

        rt_tether_move_end(t, RT_ENDING_TAIL_OUT);
        t->end_at = now + (delay < RT_REFUSED_MAX_MS ? delay : RT_REFUSED_MAX_MS);
        return;
    }
    rt_tether_move_end(t, RT_ENDING_SAFE);
}

/* ---- dispatch ---- */

union hop_msg {
    struct rt_welcome_msg welcome;
    struct rt_refuse_msg refuse;
    struct rt_end_ok_msg end_ok;
    struct rt_attach_msg attach;
};

/* Decodes the map of a frame, or hangs up. */
static bool read_map(struct rt_tether *t, enum rt_msg_kind kind, const struct rt_frame *frame, const uint8_t *payload,
                     union hop_msg *msg, uint64_t now)
{
    char why[RT_TEXT_MAX];

    if (rt_msg_decode(kind, payload, frame->length, msg, why, sizeof(why)) == 0) {
        return true;
    }
    rt_tether_hangup(t, "the agent sent a message that cannot be read", now + RT_REDIAL_MAX_MS, now);
    return false;
}

/* One that cannot be read is its client's fault: it costs that client its channel, nobody else anything. */
static void on_attach(struct rt_tether *t, const struct rt_frame *frame, const uint8_t *payload,
                      struct rt_attach_msg *msg, uint64_t now)
{
    char why[RT_TEXT_MAX];

    if (rt_msg_decode(RT_MSG_ATTACH, payload, frame->length, msg, why, sizeof(why)) == 0) {
        rt_tether_attach(t, frame->channel, msg, now);
    } else {
        rt_tether_refuse(t, &(struct rt_refusal){.channel = frame->channel,
                                                 .cls = RT_CLASS_INVALID,
                                                 .text = "an ATTACH that cannot be read, or breaks a bound"});
    }
}

static void on_channel_frame(struct rt_tether *t, const struct rt_frame *frame, const uint8_t *payload, uint64_t now)
{
    struct rt_att *att = rt_tether_att_by_channel(t, frame->channel);

    if (!att) {
        return; /* of a channel that has ended */
    }
    if (frame->type == RT_DATA || frame->type == RT_FIN || frame->type == RT_ACK) {
        att->heard = true;
    }
    switch (frame->type) {
    case RT_DATA:
    case RT_FIN:
        on_input(t, att, frame, payload, now);
        break;
    case RT_ACK:
        on_ack(t, att, frame, payload, now);
        break;
    case RT_REFUSE:
        rt_tether_unbind(t, att, now);
        break;
    case RT_DETACH:
        rt_tether_remove_att(t, att);
        break;
    default:
        break;
    }
}

static void on_frame(struct rt_tether *t, const struct rt_frame *frame, const uint8_t *payload, uint64_t now)
{
    union hop_msg msg;

    if (frame->type == RT_REFUSE && frame->channel == 0) {
        if (read_map(t, RT_MSG_REFUSE, frame, payload, &msg, now)) {
            on_link_refused(t, &msg.refuse, now);
        }
    } else if (frame->type == RT_WELCOME && t->state == RT_TETHER_HELLO) {
        if (read_map(t, RT_MSG_WELCOME, frame, payload, &msg, now)) {
            on_welcome(t, &msg.welcome, now);
        }
    } else if (t->state != RT_TETHER_LIVE) {
        rt_tether_hangup(t, "a frame before the welcome", now + RT_REDIAL_MAX_MS, now);
    } else if (frame->type == RT_PING) {
        t->due |= RT_DUE_PONG;
        t->pong_token = frame->offset;
    } else if (frame->type == RT_TICKET) {
        on_ticket(t, frame, payload);
    } else if (frame->type == RT_END_OK) {
        if (read_map(t, RT_MSG_END_OK, frame, payload, &msg, now)) {
            on_end_ok(t, &msg.end_ok, now);
        }
    } else if (frame->type == RT_ATTACH) {
        if (rt_tether_att_by_channel(t, frame->channel)) {
            rt_tether_hangup(t, "the agent used a channel twice", now + RT_REDIAL_MAX_MS, now);
        } else {
            on_attach(t, frame, payload, &msg.attach, now);
        }
    } else if (frame->channel) {
        on_channel_frame(t, frame, payload, now);
    } else if (frame->type == RT_WELCOME) {
        rt_tether_hangup(t, "a second welcome", now + RT_REDIAL_MAX_MS, now);
    }
}

/* A PONG that answers no ping of this link is ignored, and no sign of life. */
static bool is_heeded(struct rt_tether *t, const struct rt_frame *frame)
{
    return frame->type != RT_PONG || t->state != RT_TETHER_LIVE || rt_pings_answered(&t->pinged, frame->offset);
}

static size_t take_frames(struct rt_tether *t, const uint8_t *data, size_t size, uint64_t now)
{
    size_t used = 0;

    while (size - used >= RT_FRAME_HEADER) {
        struct rt_frame frame;
        const char *why = NULL;

        if (t->flooded) {
            rt_tether_hangup(t, "too many refusals wait to be sent", now + RT_REDIAL_MAX_MS, now);
        }
        if (t->state != RT_TETHER_HELLO && t->state != RT_TETHER_LIVE) {
            return size;
        }
        rt_frame_get(data + used, &frame);
        if (rt_frame_check(&frame, RT_WAY_AGENT_GUEST, &why) != 0) {
            rt_tether_hangup(t, why, now + RT_REDIAL_MAX_MS, now);
            return size;
        }
        if (size - used - RT_FRAME_HEADER < frame.length) {
            break;
        }
        if (rt_frame_check_numbers(&frame, data + used + RT_FRAME_HEADER, &why) != 0) {
            rt_tether_hangup(t, why, now + RT_REDIAL_MAX_MS, now);
            return size;
        }
        if (is_heeded(t, &frame)) {
            t->rx_at = now;
            on_frame(t, &frame, data + used + RT_FRAME_HEADER, now);
        }
        used += RT_FRAME_HEADER + frame.length;
    }
    return used;
}

size_t rt_tether_input(struct rt_tether *t, const uint8_t *data, size_t size, uint64_t now)
{
    size_t used = take_frames(t, data, size, now);

    rt_tether_step(t, now);
    return used;
}
