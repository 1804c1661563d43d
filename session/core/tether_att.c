/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/tether_att.h"

#include "session/base/number.h"
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"
#include "session/core/tether_machine.h"

#include <assert.h>
#include <string.h>

/* Attachments of a tether: making one, and binding it to a channel. The checks are those of protocol.md section 4, in
 * the order in which they stand there.
 *
 * An attachment outlives its channels. A client reads stdout while the container moves; what the attachment has then:
 *
 *     channel 3   ATTACH try 1, make, from the oldest byte     made, BINDING
 *     channel 3   ATTACHED c 0; DATA [0, 9000); ACK 6000       BOUND: acked 6000, sent 9000
 *                 the link is lost                             AWAY: the hold runs, [6000, 9000) is kept
 *     channel 1   ATTACH try 2, c 8000 and its digest          the same bytes here: acked 8000, BINDING
 *     channel 1   ATTACHED c 8000; DATA [8000, 9000), ...      BOUND: nothing is lost, nothing comes twice
 *
 * The client had consumed 8000 bytes; the ACK that said so went down with the link. A digest that differs says that
 * this memory, or the client's, was set back: REWOUND, and the attachment is gone. An ATTACH with try 1 or 2 that comes
 * now was under way on the old link: it is refused (STOLEN) and changes nothing. */

struct rt_att *rt_tether_att_by_channel(const struct rt_tether *t, uint32_t channel)
{
    for (size_t i = 0; i < t->n_atts; i++) {
        if (t->atts[i].channel == channel) {
            return &t->atts[i];
        }
    }
    return NULL;
}

struct rt_att *rt_tether_att_by_id(const struct rt_tether *t, const uint8_t id[RT_ID_SIZE])
{
    for (size_t i = 0; i < t->n_atts; i++) {
        if (t->atts[i].state != RT_ATT_FREE && rt_same_secret(t->atts[i].id, id, RT_ID_SIZE)) {
            return &t->atts[i];
        }
    }
    return NULL;
}

void rt_tether_refuse(struct rt_tether *t, const struct rt_refusal *refusal)
{
    if (refusal->channel == 0) {
        return; /* of an attachment that is not bound: nobody to tell */
    }
    if (t->n_refusals < RT_TETHER_REFUSALS_MAX) {
        t->refusals[t->n_refusals++] = *refusal;
    } else {
        t->flooded = true; /* the next step hangs up */
    }
}

void rt_tether_move_att(struct rt_att *att, enum rt_att_state to)
{
    static const unsigned from[] = {
        [RT_ATT_FREE] = ~0U,
        [RT_ATT_AWAY] = ~0U,
        [RT_ATT_BINDING] = ~(1U << RT_ATT_FREE),
        [RT_ATT_BOUND] = 1U << RT_ATT_BINDING,
    };

    assert((from[to] >> att->state & 1) != 0);
    att->state = to;
}

void rt_tether_unbind(struct rt_tether *t, struct rt_att *att, uint64_t now)
{
    rt_tether_charge(t, now);
    rt_tether_move_att(att, RT_ATT_AWAY);
    att->channel = 0;
    att->unbound_at = now;
    att->away_ms = 0;
}

void rt_tether_remove_att(struct rt_tether *t, struct rt_att *att)
{
    struct rt_proc *proc = rt_tether_proc(t, att->proc);

    if (proc != NULL && rt_att_wants(att, RT_STDIN) && !rt_receiver_is_done(&att->in[RT_STDIN_IN])) {
        proc->stdin_kept = true;
    }
    rt_tether_drop_segments(t, att);
    for (size_t i = 0; i < RT_INS; i++) {
        rt_receiver_close(&att->in[i]);
    }
    memset(att, 0, sizeof(*att));
    while (t->n_atts > 0 && t->atts[t->n_atts - 1].state == RT_ATT_FREE) {
        t->n_atts--;
    }
    if (proc != NULL && proc->state == RT_PROC_AWAITED) { /* nobody will say any more what it is to run */
        rt_tether_remove_proc(t, proc);
    }
    t->due |= RT_DUE_REPORT;
}

void rt_tether_end_att(struct rt_tether *t, struct rt_att *att, const struct rt_refusal *refusal)
{
    rt_tether_refuse(t, refusal);
    rt_tether_remove_att(t, att);
}

static bool observes(const struct rt_att *att)
{
    return att->state != RT_ATT_FREE && rt_att_observes(att->want, att->hold_ms);
}

/* No more observers: what is left of the table is for those that may hold. */
static bool observers_full(const struct rt_tether *t)
{
    size_t n = 0;

    for (size_t i = 0; i < t->n_atts; i++) {
        n += observes(&t->atts[i]) ? 1 : 0;
    }
    return n >= RT_OBSERVERS_MAX;
}

/* In a full table the attachment that has been unbound for longest makes room: one that holds nothing, or has all, at
 * once, another one only when its client had the time to come back. NULL: none may go. That goes for a command that has
 * ended, too: nobody but this guest has what its client has not read, and a client that was killed looks like one whose
 * link, or whose agent, was. For an observer that is one too many, an observer. */
static struct rt_att *displaced(const struct rt_tether *t, bool observer)
{
    struct rt_att *found = NULL;

    for (size_t i = 0; i < t->n_atts; i++) {
        struct rt_att *att = &t->atts[i];

        if (att->state == RT_ATT_FREE || (observer && !observes(att))) {
            continue;
        }
        if (att->channel || (att->hold_left > 0 && att->away_ms < RT_ATT_DISPLACE_MS && !rt_tether_att_done(t, att))) {
            continue;
        }
        if (found == NULL || att->unbound_at < found->unbound_at) {
            found = att;
        }
    }
    return found;
}

static struct rt_att *free_place(const struct rt_tether *t)
{
    for (size_t i = 0; i < RT_ATTS_MAX; i++) {
        if (t->atts[i].state == RT_ATT_FREE) {
            return &t->atts[i];
        }
    }
    return NULL;
}

static struct rt_att *new_att(struct rt_tether *t, const struct rt_attach_msg *msg, const struct rt_proc *proc,
                              uint64_t now)
{
    bool too_many = rt_att_observes(msg->want, msg->hold) && observers_full(t);
    struct rt_att *place = too_many ? NULL : free_place(t);

    rt_tether_charge(t, now);
    if (place == NULL) {
        struct rt_att *gone = displaced(t, too_many);

        if (gone == NULL) {
            return NULL;
        }
        rt_tether_remove_att(t, gone);
        place = free_place(t);
        assert(place != NULL);
    }
    if (place == t->atts + t->n_atts) {
        t->n_atts++;
    }
    rt_tether_move_att(place, RT_ATT_AWAY);
    memcpy(place->id, msg->id.data, RT_ID_SIZE);
    place->proc = proc->id;
    place->unbound_at = now;
    rt_receiver_init(&place->in[RT_STDIN_IN], RT_STDIN_WINDOW, RT_STDIN_WINDOW);
    rt_receiver_init(&place->in[RT_CONTROL_IN], RT_CONTROL_WINDOW, RT_CONTROL_WINDOW);
    t->due |= RT_DUE_REPORT;
    return place;
}

/* ---- attach ---- */

/* Where a new attachment starts in stdout or stderr. False: beyond the head. */
static bool start_of(const struct rt_ring *ring, const struct rt_attach_msg *msg, unsigned stream, uint64_t *start)
{
    switch (msg->from) {
    case RT_FROM_NOW:
        *start = ring->head;
        break;
    case RT_FROM_OFFSET:
        *start = stream == RT_STDERR ? msg->ne : msg->n;
        break;
    case RT_FROM_BYTES:
        *start = ring->head - ring->base > msg->n ? ring->head - msg->n : ring->base;
        break;
    case RT_FROM_LINES:
        *start = rt_ring_last_lines(ring, msg->n, RT_LINES_LOOK_MAX);
        break;
    default:
        *start = ring->base;
        break;
    }
    return *start <= ring->head;
}

/* Where a new attachment starts in each output. False: not in the stream. */
static bool starts_of(const struct rt_proc *proc, const struct rt_attach_msg *msg, uint64_t start[RT_OUTS])
{
    start[RT_CONTROL_UP - RT_STDOUT] = proc->ring[RT_CONTROL_UP - RT_STDOUT].base;
    return start_of(&proc->ring[0], msg, RT_STDOUT, &start[0]) && start_of(&proc->ring[1], msg, RT_STDERR, &start[1]);
}

/* The first ATTACH: what it wants, where that starts, and its hold. */
static void begin(struct rt_proc *proc, struct rt_att *att, const struct rt_attach_msg *msg,
                  const uint64_t start[RT_OUTS])
{
    for (unsigned o = 0; o < RT_OUTS; o++) {
        rt_sender_start(&att->out[o], &proc->ring[o], start[o]);
    }
    att->want = msg->want & ~(proc->in ? 0 : UINT64_C(1) << RT_STDIN);
    if (rt_att_wants(att, RT_STDIN)) {
        proc->stdin_kept = false; /* it takes the place of who went */
    }
    att->once = msg->once;
    att->hold_ms = rt_min(msg->hold, RT_HOLD_MAX_MS);
    att->hold_left = att->hold_ms;
}

/* Says no, and why. */
static bool no(struct rt_refusal *why, uint64_t cls, const char *text)
{
    why->cls = cls;
    why->text = text;
    return false;
}

static bool check_out(const struct rt_proc *proc, struct rt_att *att, const struct rt_attach_out *theirs,
                      struct rt_refusal *why)
{
    static const char *const texts[] = {
        [RT_FAR_OLD] = "you acknowledged more than you say you have",
        [RT_FAR_UNSENT] = "you have bytes that were never sent: this container's memory was set back",
        [RT_FAR_ANOTHER] = "what you have differs from what this container wrote: its memory was set back",
    };
    const unsigned o = (unsigned)theirs->s - RT_STDOUT;
    const char *text;

    why->s = theirs->s;
    why->at = att->out[o].acked;
    why->got = theirs->c;
    text = texts[rt_sender_resume(&att->out[o], &proc->ring[o], theirs->c, theirs->df, theirs->d)];
    return text == NULL || no(why, RT_CLASS_REWOUND, text);
}

static bool check_in(struct rt_att *att, const struct rt_attach_in *theirs, struct rt_refusal *why)
{
    const struct rt_receiver *in = &att->in[theirs->s / RT_CONTROL_DOWN];

    why->s = theirs->s;
    why->at = in->consumed;
    why->got = theirs->a;
    if (theirs->a > in->consumed) {
        return no(why, RT_CLASS_REWOUND,
                  "input that was acknowledged is unknown here: this container's memory was set back");
    }
    return theirs->h >= in->consumed || no(why, RT_CLASS_REWOUND, "more input was applied than you have written");
}

/* The checks of one that is known; places the cursors. Its client tells what it has of each stream; when it has nothing
 * yet (its first ATTACHED was lost, or it takes another's place) output goes on from what was acknowledged. Who has had
 * an ATTACHED knows what it has: another client, which does not, has to say that it takes the place. */
static bool rebind(const struct rt_proc *proc, struct rt_att *att, const struct rt_attach_msg *msg,
                   struct rt_refusal *why)
{
    unsigned seen = 0;

    if (msg->n_out == 0 && msg->n_in == 0) {
        if (att->heard && !msg->take) {
            return no(why, RT_CLASS_INVALID, "this attachment is another client's: take it");
        }
        for (unsigned o = 0; o < RT_OUTS; o++) {
            rt_sender_take_over(&att->out[o], &proc->ring[o]);
        }
        for (size_t i = 0; i < RT_INS; i++) {
            rt_receiver_start(&att->in[i], att->in[i].consumed); /* another one sends what follows */
        }
        return true;
    }
    if (!rt_rows_fit(msg->out, msg->n_out, sizeof(msg->out[0]), RT_OUTPUTS, &seen) ||
        !rt_rows_fit(msg->in, msg->n_in, sizeof(msg->in[0]), RT_INPUTS, &seen) ||
        (att->want & RT_OUTPUTS & ~seen) != 0) {
        return no(why, RT_CLASS_INVALID, "what you have: a stream is missing, named twice, or of the wrong kind");
    }
    for (size_t i = 0; i < msg->n_out; i++) {
        if (rt_att_wants(att, (unsigned)msg->out[i].s) && !check_out(proc, att, &msg->out[i], why)) {
            return false;
        }
    }
    for (size_t i = 0; i < msg->n_in; i++) {
        if (!check_in(att, &msg->in[i], why)) {
            return false;
        }
    }
    return true;
}

/* Binding is atomic: what was received and not applied is dropped, the client has it. */
static void bind(struct rt_tether *t, struct rt_att *att, uint32_t channel, const struct rt_attach_msg *msg)
{
    const struct rt_proc *proc = rt_tether_proc(t, att->proc);

    rt_tether_drop_segments(t, att);
    for (size_t i = 0; i < RT_INS; i++) {
        rt_receiver_bind(&att->in[i]);
    }
    for (unsigned o = 0; o < RT_OUTS; o++) {
        rt_sender_bind(&att->out[o], &proc->ring[o]);
    }
    att->try_no = msg->try_no;
    rt_tether_move_att(att, RT_ATT_BINDING);
    att->channel = channel;
    att->stop_told = false;
    if (t->ending != RT_ENDING_NONE) {
        rt_tether_grace(t, att);
    }
    t->met_once = t->met_once || !rt_att_observes(att->want, att->hold_ms);
    t->due |= RT_DUE_REPORT;
}

/* A process that is made for a new attachment, which will say what it is to run. */
static bool make_proc(struct rt_tether *t, struct rt_proc **proc, const struct rt_attach_msg *msg,
                      struct rt_refusal *why)
{
    int rc;

    if (t->procs[0]->state > RT_PROC_RUNNING) {
        return no(why, RT_CLASS_INVALID, RT_TETHER_RUNS_NONE);
    }
    if ((msg->want >> RT_CONTROL_DOWN & 1) == 0) {
        return no(why, RT_CLASS_INVALID, "what an exec is to run comes on stream 4, control-down: want it");
    }
    rc = rt_tether_add_proc(t, msg->tty, (msg->want >> RT_STDIN & 1) != 0, proc);
    if (rc == RT_ELIMIT) {
        why->which = "processes";
        why->max = RT_PROCS_MAX;
        return no(why, RT_CLASS_LIMIT, "this container runs no more processes at once: at most 64");
    }
    if (rc != 0) {
        return no(why, RT_CLASS_LOST, "out of memory");
    }
    (*proc)->rows = (unsigned)msg->rows;
    (*proc)->cols = (unsigned)msg->cols;
    return true;
}

static void no_place(const struct rt_tether *t, const struct rt_attach_msg *msg, struct rt_refusal *why)
{
    bool too_many = rt_att_observes(msg->want, msg->hold) && observers_full(t);

    why->which = too_many ? "observers" : "attachments";
    why->max = too_many ? RT_OBSERVERS_MAX : RT_ATTS_MAX;
    (void)no(why, RT_CLASS_LIMIT,
             too_many ? "this container takes no more attachments that hold nothing and say nothing: at most 96"
                      : "this container takes no more attachments: at most 128; one whose client has gone makes room "
                        "after 30 s");
}

/* The start is looked at first: for one that is refused nobody loses the place. */
static bool make(struct rt_tether *t, struct rt_att **att, const struct rt_attach_msg *msg, struct rt_refusal *why,
                 uint64_t now)
{
    struct rt_proc *proc = rt_tether_proc(t, (uint32_t)msg->p);
    uint64_t start[RT_OUTS];

    if (msg->exec && !make_proc(t, &proc, msg, why)) {
        return false;
    }
    if (!msg->exec && (proc == NULL || proc->state == RT_PROC_AWAITED)) {
        return no(why, RT_CLASS_INVALID, "no such process");
    }
    if (!starts_of(proc, msg, start)) {
        (void)no(why, RT_CLASS_INVALID, "the start offset is beyond the end of the stream");
    } else {
        *att = new_att(t, msg, proc, now);
        if (*att != NULL) {
            begin(proc, *att, msg, start);
            return true;
        }
        no_place(t, msg, why);
    }
    if (msg->exec) { /* never runs unseen */
        rt_tether_remove_proc(t, proc);
        t->next_proc--;
    }
    return false;
}

/* Its client can tell by the life whether this is the container that it was attached to, and how much of what it has
 * seen this one has written too. */
static bool unknown(const struct rt_tether *t, const struct rt_attach_msg *msg, struct rt_refusal *why)
{
    why->life = t->life;
    why->s = RT_STDOUT;
    for (size_t i = 0; i < t->n_past; i++) {
        if (rt_same_secret(t->past[i].id, msg->id.data, RT_ID_SIZE)) {
            why->at = t->past[i].acked;
        }
    }
    return no(why, RT_CLASS_UNKNOWN_ATTACHMENT, "this container does not know the attachment any more");
}

static bool admit(struct rt_tether *t, struct rt_att **att, const struct rt_attach_msg *msg, struct rt_refusal *why,
                  uint64_t now)
{
    if (!rt_slice_equal(msg->cid, rt_slice_text(t->config.cid))) {
        return no(why, RT_CLASS_INVALID, "this is another container");
    }
    if (*att == NULL) {
        return msg->make ? make(t, att, msg, why, now) : unknown(t, msg, why);
    }
    if (msg->try_no <= (*att)->try_no) {
        why->try_no = (*att)->try_no;
        return no(why, RT_CLASS_STOLEN, "a newer attempt of this attachment has been seen");
    }
    if (rebind(rt_tether_proc(t, (*att)->proc), *att, msg, why)) {
        return true;
    }
    if (why->cls == RT_CLASS_REWOUND) {
        if ((*att)->channel) {
            rt_tether_refuse(t, &(struct rt_refusal){.channel = (*att)->channel, .cls = RT_CLASS_LOST});
        }
        rt_tether_remove_att(t, *att);
    }
    return false;
}

void rt_tether_attach(struct rt_tether *t, uint32_t channel, const struct rt_attach_msg *msg, uint64_t now)
{
    struct rt_refusal why = {.channel = channel};
    struct rt_att *att = rt_tether_att_by_id(t, msg->id.data);
    bool known = att != NULL;
    struct rt_proc *proc;

    if (!admit(t, &att, msg, &why, now)) {
        rt_tether_refuse(t, &why);
        return;
    }
    assert(att != NULL); /* it was known, or is new */
    if (att->channel) {
        rt_tether_refuse(
            t, &(struct rt_refusal){.channel = att->channel, .cls = msg->take ? RT_CLASS_STOLEN : RT_CLASS_LOST});
    }
    rt_tether_charge(t, now);
    proc = rt_tether_proc(t, att->proc);
    /* Who comes to a terminal that others have seen has an empty screen before the eyes. */
    if (!known && proc->seen && msg->rows == proc->rows && msg->cols == proc->cols) {
        rt_tether_redraw(t, proc, now);
    }
    proc->seen = true;
    bind(t, att, channel, msg);
    rt_tether_resize(t, proc, msg->rows, msg->cols);
}
