/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/number.h"
#include "session/base/random.h"
#include "session/base/slice.h"
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/pings.h"
#include "session/core/protocol.h"
#include "session/core/ring.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"
#include "session/core/tether_machine.h"
#include "session/core/tether_proc.h"

#include <string.h>

/* What the tether has to send, pulled by the shell: flags become frames, ring bytes become DATA. */

struct writer {
    uint8_t *buf;
    size_t cap;
    size_t len;
};

static size_t room(const struct writer *w)
{
    return w->cap - w->len > RT_FRAME_HEADER ? w->cap - w->len - RT_FRAME_HEADER : 0;
}

/* Writes the header for `length` payload bytes that stand, or will be put, right behind it; returns where. */
static uint8_t *put(struct writer *w, const struct rt_frame *frame)
{
    uint8_t *payload = w->buf + w->len + RT_FRAME_HEADER;

    rt_frame_put(w->buf + w->len, frame);
    w->len += RT_FRAME_HEADER + frame->length;
    return payload;
}

/* Encodes a map frame; false when the buffer has too little room left: it goes with the next call. */
static bool put_map(struct writer *w, struct rt_frame frame, enum rt_msg_kind kind, const void *msg)
{
    size_t size = rt_msg_put(frame, kind, msg, w->buf + w->len, w->cap - w->len);

    w->len += size;
    return size > 0;
}

static struct rt_slice slice(const void *data, size_t size)
{
    return (struct rt_slice){.data = data, .size = size};
}

static void put_hello(struct rt_tether *t, struct writer *w)
{
    bool anew = t->right == RT_RIGHT_JOINING, join = anew || !t->ticket_size;
    struct rt_hello_msg hello = {
        .vmin = RT_PROTOCOL_VERSION,
        .vmax = RT_PROTOCOL_VERSION,
        .role = rt_slice_text("guest"),
        .cid = rt_slice_text(t->config.cid),
        .inc = slice(anew ? t->new_inc : t->inc, RT_ID_SIZE),
        .epoch = t->epoch,
        .tok = join ? slice(t->config.token, t->config.token_size) : slice(t->ticket, t->ticket_size),
        .nonce = slice(t->nonce, RT_ID_SIZE),
    };

    if (put_map(w, (struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &hello)) {
        t->due &= ~(unsigned)RT_DUE_HELLO;
    }
}

/* As REPORT and ATTACHED tell it. */
static uint64_t state_of(const struct rt_proc *proc)
{
    return proc->state == RT_PROC_FINAL ? 2 : proc->state != RT_PROC_AWAITED;
}

static void report_proc(const struct rt_proc *proc, struct rt_report_proc *row)
{
    row->p = proc->id;
    row->st = state_of(proc);
    row->tty = proc->tty;
    row->n_base = row->n_head = RT_OUTS;
    for (unsigned o = 0; o < RT_OUTS; o++) {
        row->base[o] = proc->ring[o].base;
        row->head[o] = proc->ring[o].head;
    }
    row->code = proc->sig ? 128 + proc->sig : proc->code;
}

static void report_att(const struct rt_att *att, struct rt_report_att *row)
{
    row->id = slice(att->id, RT_ID_SIZE);
    row->p = att->proc;
    row->bound = att->channel != 0;
    row->n_cons = RT_OUTS;
    row->n_app = RT_INS;
    for (unsigned o = 0; o < RT_OUTS; o++) {
        row->cons[o] = att->out[o].acked;
    }
    for (unsigned i = 0; i < RT_INS; i++) {
        row->app[i] = att->in[i].consumed;
    }
    row->hold = att->hold_left;
}

static void put_report(struct rt_tether *t, struct writer *w, uint64_t now)
{
    struct rt_report_msg report = {0};

    for (size_t i = 0; i < RT_PROCS_MAX; i++) {
        if (t->procs[i] != NULL) {
            report_proc(t->procs[i], &report.procs[report.n_procs++]);
        }
    }
    for (size_t i = 0; i < t->n_finished && report.n_procs < RT_PROCS_MAX; i++) {
        if (rt_tether_next_att(t, t->finished[i], NULL) != NULL) {
            report_proc(t->finished[i], &report.procs[report.n_procs++]);
        }
    }
    report.done = t->next_proc - report.n_procs;
    for (size_t i = 0; i < t->n_atts; i++) {
        if (t->atts[i].state != RT_ATT_FREE) {
            report_att(&t->atts[i], &report.atts[report.n_atts++]);
        }
    }
    if (!put_map(w, (struct rt_frame){.type = RT_REPORT}, RT_MSG_REPORT, &report)) {
        return;
    }
    t->due &= ~(unsigned)RT_DUE_REPORT;
    t->report_at = now + RT_REPORT_INTERVAL_MS;
}

static void put_hop(struct rt_tether *t, struct writer *w, uint64_t now)
{
    if (rt_took(&t->due, RT_DUE_CONFIRM)) {
        (void)put(w, &(struct rt_frame){.type = RT_CONFIRM});
    }
    if ((t->due & RT_DUE_REPORT) != 0 && now >= t->report_at) {
        put_report(t, w, now);
    }
    if (room(w) && rt_took(&t->due, RT_DUE_PONG)) {
        (void)put(w, &(struct rt_frame){.type = RT_PONG, .offset = t->pong_token});
    }
    if (room(w) && rt_took(&t->due, RT_DUE_PING)) {
        uint64_t token = rt_jitter(&t->jitter, UINT64_MAX);

        (void)put(w, &(struct rt_frame){.type = RT_PING, .offset = token});
        rt_pings_sent(&t->pinged, token);
    }
}

static bool put_refusal(struct writer *w, const struct rt_refusal *refusal)
{
    struct rt_refuse_msg msg = {.c = refusal->cls,
                                .life = refusal->life,
                                .s = refusal->s,
                                .at = refusal->at,
                                .got = refusal->got,
                                .try_no = refusal->try_no};

    if (refusal->cls == RT_CLASS_LIMIT) {
        msg.which = rt_slice_text(refusal->which);
        msg.max = refusal->max;
    }
    if (refusal->text != NULL) {
        msg.m = rt_slice_text(refusal->text);
    }
    return put_map(w, (struct rt_frame){.type = RT_REFUSE, .channel = refusal->channel}, RT_MSG_REFUSE, &msg);
}

static void put_refusals(struct rt_tether *t, struct writer *w)
{
    size_t done = 0;

    while (done < t->n_refusals && put_refusal(w, &t->refusals[done])) {
        done++;
    }
    t->n_refusals -= done;
    memmove(t->refusals, t->refusals + done, t->n_refusals * sizeof(t->refusals[0]));
}

/* ---- attachments ---- */

/* Less room than this at the end of a buffer takes no DATA: rather a good frame next time than a crumb now. */
#define CRUMB (RT_FRAME_PAYLOAD_MAX / 16)

static bool put_attached(const struct rt_tether *t, struct rt_att *att, const struct rt_proc *proc, struct writer *w)
{
    struct rt_attached_msg msg = {.life = t->life,
                                  .epoch = t->epoch,
                                  .p = proc->id,
                                  .st = state_of(proc),
                                  .tty = proc->tty,
                                  .code = proc->code,
                                  .sig = proc->sig};

    for (unsigned o = 0; o < RT_OUTS; o++) {
        if (rt_att_wants(att, o + RT_STDOUT)) {
            msg.out[msg.n_out++] =
                (struct rt_attached_out){.s = o + RT_STDOUT, .c = att->out[o].acked, .head = proc->ring[o].head};
        }
    }
    for (unsigned i = 0; i < RT_INS; i++) {
        if (rt_att_wants(att, i * RT_CONTROL_DOWN)) {
            msg.in[msg.n_in++] = (struct rt_attached_in){
                .s = (uint64_t)i * RT_CONTROL_DOWN,
                .a = att->in[i].consumed,
                .d = rt_digest_value(&att->in[i].digest),
                .closed = i == RT_STDIN_IN &&
                          (proc->stdin_phase == RT_STDIN_CLOSED || (proc->stdin_phase != RT_STDIN_OPEN && !proc->tty))};
        }
    }
    if (!put_map(w, (struct rt_frame){.type = RT_ATTACHED, .channel = att->channel}, RT_MSG_ATTACHED, &msg)) {
        return false;
    }
    rt_tether_move_att(att, RT_ATT_BOUND);
    return true;
}

static void put_ack(struct rt_att *att, unsigned s, struct writer *w, uint64_t now, uint64_t delay_ms)
{
    struct rt_receiver *in = &att->in[s / RT_CONTROL_DOWN];

    if (rt_att_wants(att, s) && rt_receiver_plan(in, now, delay_ms)) {
        w->len += rt_receiver_put_ack(in, att->channel, (uint16_t)s, w->buf + w->len, w->cap - w->len);
    }
}

static void put_inputs(struct rt_att *att, const struct rt_proc *proc, struct writer *w, uint64_t now)
{
    put_ack(att, RT_STDIN, w, now, RT_ACK_DELAY_MS);
    put_ack(att, RT_CONTROL_DOWN, w, now, 0); /* a client may wait until its signal has been applied */
    if (rt_att_wants(att, RT_STDIN) && proc->stdin_phase == RT_STDIN_CLOSED && !att->stop_told && room(w)) {
        (void)put(w, &(struct rt_frame){.type = RT_STOP,
                                        .stream = RT_STDIN,
                                        .channel = att->channel,
                                        .offset = att->in[RT_STDIN_IN].consumed});
        att->stop_told = true;
    }
}

/* Sends up to one frame of an output stream, of bytes below `to`. Returns whether it sent one. */
static bool put_output(struct rt_tether *t, struct rt_att *att, struct rt_proc *proc, unsigned o, uint64_t to,
                       struct writer *w)
{
    struct rt_sender *out = &att->out[o];
    struct rt_sender_turn turn = {.channel = att->channel,
                                  .stream = (uint16_t)(o + RT_STDOUT),
                                  .most = to > out->sent ? (size_t)(to - out->sent) : SIZE_MAX};
    uint64_t resent = out->resent;
    size_t size;

    if (w->len > 0 && room(w) < CRUMB) {
        turn.most = 0;
    }
    if (!rt_att_wants(att, turn.stream)) {
        return false;
    }
    size = rt_sender_put(out, &proc->ring[o], &turn, w->buf + w->len, w->cap - w->len);
    w->len += size;
    if (turn.stream != RT_CONTROL_UP) {
        t->resent += out->resent - resent;
    }
    return size > 0;
}

/* Of stdout and stderr what was written first goes first, unless that one's reader does not keep up. */
static bool put_in_order(struct rt_tether *t, struct rt_att *att, struct rt_proc *proc, struct writer *w)
{
    const uint64_t at[2] = {att->out[0].sent, att->out[1].sent};
    uint64_t to;
    unsigned first = rt_order_next(&proc->order, at, &to);

    return put_output(t, att, proc, first, to, w) || put_output(t, att, proc, 1 - first, UINT64_MAX, w);
}

/* An ACK of stdin that may wait goes with the first output that follows: a process that answers a key makes one write
 * of both, and one wake-up at the agent and at the client. */
static bool put_att(struct rt_tether *t, struct rt_att *att, struct writer *w, uint64_t now)
{
    struct rt_proc *proc = rt_tether_proc(t, att->proc);
    bool sent = false;

    if (proc == NULL || (att->state == RT_ATT_BINDING && !put_attached(t, att, proc, w))) {
        return false;
    }
    put_inputs(att, proc, w, now);
    sent = put_output(t, att, proc, RT_CONTROL_UP - RT_STDOUT, UINT64_MAX, w);
    sent = put_in_order(t, att, proc, w) || sent;
    if (sent && att->in[RT_STDIN_IN].ack_at != RT_NO_OFFSET) {
        put_ack(att, RT_STDIN, w, now, 0);
    }
    return sent;
}

/* Rounds over the attachments, one frame of output a round; the next begins behind the last that was served, so that
 * none starves another however little room there is. */
static void put_atts(struct rt_tether *t, struct writer *w, uint64_t now)
{
    bool sent = true;

    while (sent && room(w)) {
        size_t first = t->round;

        sent = false;
        for (size_t i = 0; i < t->n_atts; i++) {
            size_t index = (first + i) % t->n_atts;
            struct rt_att *att = &t->atts[index];

            if (att->channel && put_att(t, att, w, now)) {
                sent = true;
                t->round = index + 1;
            }
        }
    }
}

/* ---- end ---- */

static uint64_t tail_start(const struct rt_ring *ring)
{
    return ring->head - ring->base > RT_TAIL_MAX ? ring->head - RT_TAIL_MAX : ring->base;
}

/* A tail goes as one frame: where a buffer has no room for it, it waits for the next one. */
static bool put_tail(const struct rt_ring *ring, unsigned stream, struct writer *w)
{
    uint64_t from = tail_start(ring);
    struct rt_frame frame = {
        .type = RT_TAIL, .stream = (uint16_t)stream, .offset = from, .length = (uint32_t)(ring->head - from)};

    if (frame.length == 0) {
        return true;
    }
    if (room(w) < frame.length) {
        return false;
    }
    (void)rt_ring_copy(ring, from, put(w, &frame), frame.length);
    return true;
}

static bool put_last(const struct rt_proc *proc, struct writer *w)
{
    const struct rt_ring *ring = proc->ring;
    const uint64_t start[2] = {tail_start(&ring[0]), tail_start(&ring[1])};
    struct rt_end_msg end = {.code = proc->code, .sig = proc->sig, .out = ring[0].head, .err = ring[1].head};
    uint8_t packed[RT_ORDER_PACKED_MAX];

    end.ord = (struct rt_slice){packed, rt_order_pack(&proc->order, start, packed)};
    return put_map(w, (struct rt_frame){.type = RT_END}, RT_MSG_END, &end);
}

static void put_end(struct rt_tether *t, struct writer *w, uint64_t now)
{
    const struct rt_proc *proc = t->procs[0];

    if (now < t->end_at) {
        return;
    }
    if (t->ending == RT_ENDING_TAIL_OUT && put_tail(&proc->ring[0], RT_STDOUT, w)) {
        rt_tether_move_end(t, RT_ENDING_TAIL_ERR);
    }
    if (t->ending == RT_ENDING_TAIL_ERR && put_tail(&proc->ring[1], RT_STDERR, w)) {
        rt_tether_move_end(t, RT_ENDING_LAST);
    }
    if (t->ending == RT_ENDING_LAST && put_last(proc, w)) {
        rt_tether_move_end(t, RT_ENDING_ASKED);
    }
}

size_t rt_tether_output(struct rt_tether *t, uint8_t *buf, size_t cap, uint64_t now)
{
    struct writer w = {.buf = buf, .cap = cap};

    if (t->state == RT_TETHER_HELLO && (t->due & RT_DUE_HELLO) != 0) {
        put_hello(t, &w);
    }
    if (t->state != RT_TETHER_LIVE) {
        return w.len;
    }
    put_hop(t, &w, now);
    put_refusals(t, &w);
    put_end(t, &w, now);
    put_atts(t, &w, now);
    return w.len;
}
