/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
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
static void bad_input(struct rt_tether *t, struct rt_att *att, enum rt_received is, uint64_t now)
{
    struct rt_refusal why = {.channel = att->channel,
                             .cls = RT_CLASS_INVALID,
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
        bad_input(t, att, is, now);
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
    if (rt_msg_decode(kind, payload, frame->length, msg, NULL, 0) == 0) {
        return true;
    }
    rt_tether_hangup(t, "the agent sent a message that cannot be read", now + RT_REDIAL_MAX_MS, now);
    return false;
}

/* One that cannot be read is its client's fault: it costs that client its channel, nobody else anything. */
static void on_attach(struct rt_tether *t, const struct rt_frame *frame, const uint8_t *payload,
                      struct rt_attach_msg *msg, uint64_t now)
{
    if (rt_msg_decode(RT_MSG_ATTACH, payload, frame->length, msg, NULL, 0) == 0) {
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

    if (att == NULL) {
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
            rt_tether_on_refused(t, &msg.refuse, now);
        }
    } else if (frame->type == RT_WELCOME && t->state == RT_TETHER_HELLO) {
        if (read_map(t, RT_MSG_WELCOME, frame, payload, &msg, now)) {
            rt_tether_on_welcome(t, &msg.welcome, now);
        }
    } else if (t->state != RT_TETHER_LIVE) {
        rt_tether_hangup(t, "a frame before the welcome", now + RT_REDIAL_MAX_MS, now);
    } else if (frame->type == RT_PING) {
        t->due |= RT_DUE_PONG;
        t->pong_token = frame->offset;
    } else if (frame->type == RT_TICKET) {
        rt_tether_on_ticket(t, frame, payload);
    } else if (frame->type == RT_END_OK) {
        if (read_map(t, RT_MSG_END_OK, frame, payload, &msg, now)) {
            rt_tether_on_end_ok(t, &msg.end_ok, now);
        }
    } else if (frame->type == RT_ATTACH) {
        if (rt_tether_att_by_channel(t, frame->channel) != NULL) {
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
