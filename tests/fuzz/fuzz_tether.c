/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/ring.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"
#include "session/core/tether_machine.h"
#include "session/core/tether_proc.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* The tether's machine between a hostile agent, hostile processes and a shell that keeps its contract: the fuzzer
 * chooses frames, raw bytes, output, reads, exits and time. Bounds hold after every step. */

#define ACTIONS_MAX 4096 /* per call: far above what one input can bring about */
#define CUT_MAX 4096

struct shell {
    struct rt_tether *tether;
    uint64_t now;
    bool dialing, up, over;
    size_t cut;   /* the next bytes come in two parts, the first of this size; 0: whole */
    bool cut_off; /* the link is lost between them */
};
static struct fuzz_pipe pipe;
static struct fuzz_frame frame; /* the one that is made at the moment */

static void check_bounds(const struct shell *sh)
{
    const struct rt_tether *t = sh->tether;
    FUZZ_CHECK(t->n_refusals <= RT_TETHER_REFUSALS_MAX);
    FUZZ_CHECK(t->n_finished <= RT_FINISHED_MAX);
    for (size_t i = 0; i < t->n_finished; i++) {
        const struct rt_proc *proc = t->finished[i];
        FUZZ_CHECK(proc->id != 0 && proc->state == RT_PROC_FINAL && proc->segments == NULL && proc->n_segments == 0);
        for (unsigned o = 0; o < RT_OUTS; o++)
            FUZZ_CHECK(proc->ring[o].head - proc->ring[o].base <= proc->ring[o].cap);
    }
    for (size_t i = 0; i < RT_PROCS_MAX; i++) {
        const struct rt_proc *proc = t->procs[i];
        size_t waiting = 0;
        if (proc == NULL)
            continue;
        FUZZ_CHECK(proc->n_segments <= (size_t)RT_SEGMENTS_MAX);
        for (size_t k = 0; k < proc->n_segments; k++) {
            FUZZ_CHECK(t->atts[proc->segments[k].att].state != RT_ATT_FREE &&
                       t->atts[proc->segments[k].att].proc == proc->id);
            waiting += proc->segments[k].size;
        }
        FUZZ_CHECK(waiting <= (size_t)RT_ATTS_MAX * RT_STDIN_WINDOW);
        for (unsigned o = 0; o < RT_OUTS; o++)
            FUZZ_CHECK(proc->ring[o].head - proc->ring[o].base <= proc->ring[o].cap);
    }
    for (size_t i = 0; i < RT_ATTS_MAX; i++) {
        const struct rt_att *att = &t->atts[i];
        const struct rt_proc *proc = att->state != RT_ATT_FREE ? rt_tether_proc(t, att->proc) : NULL;
        FUZZ_CHECK(att->state == RT_ATT_FREE ? i + 1 != t->n_atts : i < t->n_atts);
        if (att->state == RT_ATT_FREE)
            continue;
        FUZZ_CHECK(proc != NULL);
        FUZZ_CHECK(att->channel == 0 || t->state == RT_TETHER_LIVE);
        FUZZ_CHECK(att->hold_left <= RT_HOLD_MAX_MS);
        for (unsigned o = 0; o < RT_OUTS; o++) {
            const struct rt_sender *out = &att->out[o];
            FUZZ_CHECK(out->acked <= out->high && out->sent <= out->high);
            FUZZ_CHECK(out->high <= proc->ring[o].head);
            FUZZ_CHECK(!rt_att_wants(att, o + RT_STDOUT) || out->digest.at >= proc->ring[o].base);
        }
        for (unsigned k = 0; k < RT_INS; k++) {
            const struct rt_receiver *to = &att->in[k];
            FUZZ_CHECK(to->consumed <= to->next && to->next <= to->limit + RT_STDIN_WINDOW);
            FUZZ_CHECK(to->ring.data == NULL || to->ring.head - to->ring.base == to->next - to->consumed);
        }
    }
}

static void run_actions(struct shell *sh)
{
    struct rt_tether_action action;
    for (unsigned i = 0; !sh->over && rt_tether_next(sh->tether, &action); i++) {
        FUZZ_CHECK(i < ACTIONS_MAX);
        switch (action.kind) {
        case RT_TETHER_DIAL:
            FUZZ_CHECK(!sh->dialing && !sh->up);
            sh->dialing = true;
            fuzz_pipe_reset(&pipe);
            break;
        case RT_TETHER_HANGUP:
            FUZZ_CHECK((sh->dialing || sh->up) && action.reason != NULL);
            sh->dialing = sh->up = false;
            break;
        case RT_TETHER_START:
            FUZZ_CHECK((action.exec != NULL) == (action.proc != 0));
            FUZZ_CHECK(action.exec == NULL || (action.exec->n_argv > 0 && action.exec->n_argv <= RT_ARGS_MAX));
            rt_tether_started(sh->tether, action.proc, action.proc % 5 == 4 ? 127 : 0, sh->now);
            break;
        case RT_TETHER_SIGNAL:
            FUZZ_CHECK(action.sig > 0 && action.sig < 65);
            break;
        case RT_TETHER_RESIZE:
            FUZZ_CHECK(action.rows > 0 && action.rows <= UINT16_MAX && action.cols > 0);
            break;
        case RT_TETHER_STDIN_END:
        case RT_TETHER_CLOSE_OUTPUT:
            break;
        case RT_TETHER_OVER:
            sh->over = true;
            break;
        }
    }
}

static void give(struct shell *sh, const uint8_t *data, size_t size)
{
    if (!sh->up || size == 0)
        return;
    fuzz_pipe_add(&pipe, data, size);
    fuzz_pipe_used(&pipe, rt_tether_input(sh->tether, pipe.bytes, pipe.size, sh->now));
}

static void lose(struct shell *sh)
{
    if (sh->dialing || sh->up) {
        sh->dialing = sh->up = false;
        rt_tether_lost(sh->tether, sh->now);
    }
}

/* Bytes from the agent, perhaps in two parts, of which the second may never come. */
static void feed(struct shell *sh, const uint8_t *data, size_t size)
{
    size_t first = sh->cut < size ? sh->cut : 0;
    sh->cut = 0;
    give(sh, data, first);
    run_actions(sh);
    if (first > 0 && sh->cut_off)
        lose(sh);
    give(sh, data + first, size - first);
}

static void feed_map(struct shell *sh, uint8_t type, uint32_t channel, enum rt_msg_kind kind, const void *msg)
{
    frame.head = (struct rt_frame){.type = type, .channel = channel};
    feed(sh, frame.bytes, fuzz_frame_map(&frame, kind, msg));
}

static struct rt_slice id_of(uint8_t n)
{
    static uint8_t ids[8][RT_ID_SIZE];
    memset(ids[n % 8], n % 8, RT_ID_SIZE);
    return (struct rt_slice){ids[n % 8], RT_ID_SIZE};
}

static void attach(struct shell *sh, struct fuzz_in *in)
{
    struct rt_attach_msg msg = {.cid = rt_slice_text("box"), .id = id_of(fuzz_byte(in))};
    uint32_t channel = 1 + fuzz_byte(in) % 7;
    msg.try_no = 1 + fuzz_number(in);
    uint8_t how = fuzz_byte(in);
    msg.make = (how & 1) == 0;
    msg.take = (how & 2) != 0;
    msg.exec = (how & 4) != 0;
    msg.tty = (how & 8) != 0;
    msg.p = fuzz_byte(in) % 4;
    msg.want = ~fuzz_byte(in) & 31;
    msg.from = fuzz_byte(in) % 6;
    msg.n = fuzz_number(in);
    msg.ne = fuzz_number(in);
    msg.hold = fuzz_number(in);
    msg.once = fuzz_byte(in) & 1;
    msg.rows = fuzz_number(in);
    msg.cols = fuzz_number(in);
    msg.n_out = fuzz_byte(in) % 4;
    msg.n_in = fuzz_byte(in) % 3;
    for (size_t i = 0; i < msg.n_out; i++) {
        const struct rt_att *att = rt_tether_att_by_id(sh->tether, msg.id.data);
        msg.out[i] = (struct rt_attach_out){.s = 1 + i, .c = fuzz_number(in), .df = fuzz_number(in)};
        if (att != NULL && att->state != RT_ATT_FREE && fuzz_byte(in) % 2) { /* what an honest client would say */
            msg.out[i].c = att->out[i].acked;
            msg.out[i].df = att->out[i].digest.from;
            msg.out[i].d = rt_digest_value(&att->out[i].digest);
        }
    }
    for (size_t i = 0; i < msg.n_in; i++)
        msg.in[i] = (struct rt_attach_in){.s = i * RT_CONTROL_DOWN, .a = fuzz_number(in), .h = fuzz_number(in)};
    feed_map(sh, RT_ATTACH, channel, RT_MSG_ATTACH, &msg);
}

/* An item of control-down, where the attachment expects it. */
static void item(struct shell *sh, struct fuzz_in *in)
{
    uint32_t channel = 1 + fuzz_byte(in) % 7;
    const struct rt_att *att = rt_tether_att_by_channel(sh->tether, channel);
    uint8_t *payload = frame.bytes + RT_FRAME_HEADER;
    struct rt_down_item msg = {
        .t = 1 + fuzz_byte(in) % 3, .sig = fuzz_number(in), .rows = fuzz_number(in), .cols = fuzz_number(in)};
    static const uint8_t command[] = "\x82\xa4"
                                     "argv\x92\xc4\2ls\xc4\1x\xa3"
                                     "cwd\xc4\1/";
    static const uint8_t filler[RT_PIECE_MAX];
    uint8_t how = fuzz_byte(in);
    msg.last = how & 1;
    msg.b = (struct rt_slice){command, sizeof(command) - 1};
    if (how & 2) { /* a part of it */
        size_t at = fuzz_byte(in) % msg.b.size, size = 1 + fuzz_byte(in) % (msg.b.size - at);
        msg.b = (struct rt_slice){command + at, size};
    } else if (how & 4) {
        msg.b = (struct rt_slice){filler, sizeof(filler)};
    }
    int size = rt_msg_encode(RT_MSG_DOWN_ITEM, &msg, payload + 2, RT_ITEM_MAX);
    if (size <= 0 || att == NULL || !sh->up)
        return;
    payload[0] = (uint8_t)(size >> 8);
    payload[1] = (uint8_t)size;
    frame.head = (struct rt_frame){.type = RT_DATA, .stream = RT_CONTROL_DOWN, .channel = channel};
    frame.head.offset = att->in[RT_CONTROL_IN].next;
    frame.head.length = (uint32_t)size + 2;
    feed(sh, frame.bytes, fuzz_frame_end(&frame));
}

static void acknowledge(struct shell *sh, struct fuzz_in *in)
{
    uint8_t *payload = frame.bytes + RT_FRAME_HEADER;
    uint32_t channel = 1 + fuzz_byte(in) % 7;
    unsigned o = fuzz_byte(in) % RT_OUTS;
    const struct rt_att *att = rt_tether_att_by_channel(sh->tether, channel);
    if (att == NULL || !sh->up)
        return;
    const struct rt_ring *ring = &rt_tether_proc(sh->tether, att->proc)->ring[o];
    struct rt_digest digest = att->out[o].digest;
    if (rt_att_wants(att, o + RT_STDOUT) && digest.at <= att->out[o].sent)
        rt_ring_digest(ring, &digest, att->out[o].sent);
    frame.head = (struct rt_frame){.type = RT_ACK, .stream = (uint16_t)(o + RT_STDOUT), .channel = channel};
    frame.head.flags = fuzz_byte(in) & 1;
    frame.head.offset = att->out[o].sent;
    frame.head.length = RT_ACK_PAYLOAD;
    rt_put_u64(payload, att->out[o].sent + fuzz_number(in) * 256);
    rt_put_u64(payload + 8, rt_digest_value(&digest));
    feed(sh, frame.bytes, fuzz_frame_end(&frame));
}

/* Input where the attachment expects it, or its end. */
static void input(struct shell *sh, struct fuzz_in *in)
{
    uint32_t channel = 1 + fuzz_byte(in) % 7;
    const struct rt_att *att = rt_tether_att_by_channel(sh->tether, channel);
    uint8_t what = fuzz_byte(in);
    uint64_t size = (fuzz_number(in) << (what & 8)) + 1; /* the bit of value 8: up to a frame's worth */
    if (att == NULL || !sh->up)
        return;
    frame.head = (struct rt_frame){.type = RT_FIN, .stream = RT_STDIN, .channel = channel};
    frame.head.offset = att->in[RT_STDIN_IN].next;
    if (what % 8 != 7) {
        frame.head.type = RT_DATA;
        frame.head.length = size < RT_FRAME_PAYLOAD_MAX ? (uint32_t)size : RT_FRAME_PAYLOAD_MAX;
        memset(frame.bytes + RT_FRAME_HEADER, what, frame.head.length);
    }
    feed(sh, frame.bytes, fuzz_frame_end(&frame));
}

static void produce(struct shell *sh, uint32_t proc, unsigned stream, size_t size)
{
    while (size > 0) {
        size_t room;
        uint8_t *space = rt_tether_space(sh->tether, proc, stream, &room);
        if (room == 0) {
            rt_tether_want_space(sh->tether, proc, stream, sh->now);
            space = rt_tether_space(sh->tether, proc, stream, &room);
        }
        if (room == 0)
            break;
        room = room < size ? room : size;
        memset(space, 'x', room);
        rt_tether_commit(sh->tether, proc, stream, room);
        size -= room;
    }
}

static void take_stdin(struct shell *sh, uint32_t proc, size_t size)
{
    size_t room;
    if (rt_tether_stdin(sh->tether, proc, &room) != NULL && room > 0)
        rt_tether_stdin_taken(sh->tether, proc, room < size ? room : size, sh->now);
}

/* All that there is to send. */
static void output(struct shell *sh)
{
    static uint8_t buf[2 * FUZZ_FRAME_MAX];
    size_t n;
    for (unsigned i = 0; sh->up && (n = rt_tether_output(sh->tether, buf, sizeof(buf), sh->now)) > 0; i++) {
        FUZZ_CHECK(n <= sizeof(buf) && i < 100000);
        fuzz_check_frames(buf, n);
    }
}

static void pass_time(struct shell *sh, uint64_t ms)
{
    uint64_t at = rt_tether_deadline(sh->tether);
    if (ms == 0 && at != UINT64_MAX) {
        sh->now = at > sh->now ? at : sh->now;
        rt_tether_tick(sh->tether, sh->now);
        run_actions(sh);
        output(sh);
        run_actions(sh);
        FUZZ_CHECK(sh->over || rt_tether_deadline(sh->tether) > sh->now); /* or the shell would spin */
        return;
    }
    sh->now += ms;
    rt_tether_tick(sh->tether, sh->now);
}

static void link_event(struct shell *sh, struct fuzz_in *in)
{
    struct rt_welcome_msg welcome = {.v = 1, .host = rt_slice_text("h"), .tkt = rt_slice_text("t"), .life = 5};
    struct rt_refuse_msg refuse = {.c = fuzz_byte(in) % 21, .delay = fuzz_number(in), .epoch = fuzz_number(in)};
    struct rt_end_ok_msg end = {.how = fuzz_byte(in) % 5, .delay = fuzz_number(in)};
    uint8_t ticket[RT_FRAME_HEADER + 16] = {0};
    refuse.drop = refuse.delay % 2 == 1;
    switch (fuzz_byte(in) % 7) {
    case 3:
        lose(sh);
        break;
    case 4:
        feed_map(sh, RT_REFUSE, fuzz_byte(in) % 8, RT_MSG_REFUSE, &refuse);
        break;
    case 5:
        feed_map(sh, RT_END_OK, 0, RT_MSG_END_OK, &end);
        break;
    case 6:
        rt_frame_put(ticket, &(struct rt_frame){.type = RT_TICKET, .length = 16});
        feed(sh, ticket, sizeof(ticket));
        break;
    default:
        if (sh->dialing) {
            sh->dialing = false;
            sh->up = true;
            rt_tether_connected(sh->tether, sh->now);
            output(sh);
            feed_map(sh, RT_WELCOME, 0, RT_MSG_WELCOME, &welcome);
        }
        break;
    }
}

static void process_event(struct shell *sh, struct fuzz_in *in)
{
    uint32_t proc = fuzz_byte(in) % 4;
    uint8_t what = fuzz_byte(in);
    switch (what % 8) {
    case 0:
        rt_tether_exited(sh->tether, proc, what >> 4, what >> 5, sh->now);
        break;
    case 1:
        rt_tether_eof(sh->tether, proc, RT_STDOUT + (what >> 4 & 1), sh->now);
        break;
    case 2:
        rt_tether_stdin_closed(sh->tether, proc, sh->now);
        break;
    case 3:
    case 4:
        take_stdin(sh, proc, 1 + fuzz_number(in));
        break;
    default:
        produce(sh, proc, RT_STDOUT + (what >> 4 & 1), (size_t)(fuzz_number(in) % 2048) * 16); /* some rings' worth */
        break;
    }
}

static void step(struct shell *sh, struct fuzz_in *in)
{
    struct rt_slice raw;
    switch (fuzz_byte(in) % 12) {
    case 0:
        raw = fuzz_bytes(in);
        feed(sh, raw.data, raw.size);
        break;
    case 1:
        feed(sh, frame.bytes, fuzz_frame_any(in, &frame));
        break;
    case 2:
        attach(sh, in);
        break;
    case 3:
        item(sh, in);
        break;
    case 4:
        acknowledge(sh, in);
        break;
    case 5:
        output(sh);
        break;
    case 6:
        pass_time(sh, fuzz_number(in));
        break;
    case 7:
        link_event(sh, in);
        break;
    case 8:
        input(sh, in);
        break;
    case 9:
        sh->cut = (size_t)fuzz_number(in) % CUT_MAX;
        sh->cut_off = fuzz_byte(in) & 1;
        break;
    default:
        process_event(sh, in);
        break;
    }
    run_actions(sh);
    check_bounds(sh);
}

/* A link and an attachment as honest peers make them, so that an input of few bytes begins in the middle. */
static void begin_attached(struct shell *sh)
{
    struct fuzz_in honest = {NULL, 0};
    link_event(sh, &honest);
    run_actions(sh);
    output(sh);
    attach(sh, &honest);
    run_actions(sh);
    output(sh);
    check_bounds(sh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct shell shell;
    uint8_t count = 0;
    struct fuzz_in in = {.data = data, .size = size};
    struct rt_tether_config config;
    uint8_t options = fuzz_byte(&in);
    rt_tether_defaults(&config);
    memcpy(config.cid, "box", 4);
    memcpy(config.token, "join", 4);
    config.token_size = 4;
    config.seed = options;
    config.ctx = &count;
    config.random = fuzz_random;
    config.ring_bytes = RT_RING_BYTES_MIN;
    config.tty = options & 1;
    config.first_hold_ms = options & 2 ? 500 : 0;
    memset(&shell, 0, sizeof(shell));
    shell.now = 1;
    shell.tether = rt_tether_new(&config, shell.now);
    FUZZ_CHECK(shell.tether != NULL);
    run_actions(&shell);
    if (options & 4)
        begin_attached(&shell);
    while (in.size > 0 && !shell.over)
        step(&shell, &in);
    rt_tether_free(shell.tether);
    fuzz_pool_check();
    return 0;
}
