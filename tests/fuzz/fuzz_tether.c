/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/ring.h"
#include "session/core/tether_internal.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* The tether's machine between a hostile agent, hostile processes and a shell that keeps its contract: the fuzzer
 * chooses frames, raw bytes, output, reads, exits and time. Bounds hold after every step. */

#define CAP (2 * (RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX))
#define ACTIONS_MAX 4096 /* per call: far above what one input can bring about */

struct in {
    const uint8_t *data;
    size_t size;
};

struct shell {
    struct rt_tether *tether;
    uint64_t now;
    bool dialing, up, over;
    uint8_t left[RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX];
    size_t n_left; /* bytes the machine has not taken yet */
};

static uint8_t byte(struct in *in)
{
    if (in->size == 0)
        return 0;
    in->size--;
    return *in->data++;
}

static uint64_t number(struct in *in)
{
    uint64_t low = byte(in), high;
    if (low < 224)
        return low;
    high = byte(in);
    return low & 1 ? high << 8 | byte(in) : high << (low & 30); /* small, or large with few bits */
}

static void fuzz_random(void *ctx, void *out, size_t size)
{
    uint8_t *count = ctx;
    memset(out, ++*count, size);
}

static void check_bounds(const struct shell *sh)
{
    const struct rt_tether *t = sh->tether;
    FUZZ_CHECK(t->n_refusals <= RT_TETHER_REFUSALS_MAX);
    for (size_t i = 0; i < RT_PROCS_MAX; i++) {
        const struct rt_proc *proc = t->procs[i];
        size_t waiting = 0;
        if (proc == NULL)
            continue;
        FUZZ_CHECK(proc->n_segments <= RT_SEGMENTS_MAX);
        for (size_t k = 0; k < proc->n_segments; k++) {
            FUZZ_CHECK(t->atts[proc->segments[k].att].used && t->atts[proc->segments[k].att].proc == proc->id);
            waiting += proc->segments[k].size;
        }
        FUZZ_CHECK(waiting <= (size_t)RT_ATTS_MAX * RT_STDIN_WINDOW);
        for (unsigned o = 0; o < RT_OUTS; o++)
            FUZZ_CHECK(proc->ring[o].head - proc->ring[o].base <= proc->ring[o].cap);
    }
    for (size_t i = 0; i < RT_ATTS_MAX; i++) {
        const struct rt_att *att = &t->atts[i];
        const struct rt_proc *proc = att->used ? rt_tether_proc(t, att->proc) : NULL;
        if (!att->used)
            continue;
        FUZZ_CHECK(proc != NULL);
        FUZZ_CHECK(att->channel == 0 || t->state == RT_TETHER_LIVE);
        FUZZ_CHECK(att->hold_left <= RT_HOLD_MAX_MS);
        for (unsigned o = 0; o < RT_OUTS; o++) {
            const struct rt_out *out = &att->out[o];
            FUZZ_CHECK(out->acked <= out->high && out->sent <= out->high);
            FUZZ_CHECK(out->high <= proc->ring[o].head);
            FUZZ_CHECK(!out->wanted || out->digest.at >= proc->ring[o].base);
        }
        for (unsigned k = 0; k < RT_INS; k++) {
            const struct rt_in *to = &att->in[k];
            FUZZ_CHECK(to->applied <= to->next && to->next <= to->limit + RT_STDIN_WINDOW);
            FUZZ_CHECK(to->ring.data == NULL || (to->ring.base == to->applied && to->ring.head == to->next));
        }
    }
}

static void run_actions(struct shell *sh)
{
    struct rt_tether_action action;
    for (unsigned i = 0; !sh->over && rt_tether_next(sh->tether, &action, sh->now); i++) {
        FUZZ_CHECK(i < ACTIONS_MAX);
        switch (action.kind) {
        case RT_TETHER_DIAL:
            FUZZ_CHECK(!sh->dialing && !sh->up);
            sh->dialing = true;
            sh->n_left = 0;
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

/* Bytes from the agent, after those that were not whole. */
static void feed(struct shell *sh, const uint8_t *data, size_t size)
{
    static uint8_t buf[3 * (RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX)];
    size_t used;
    if (!sh->up || size > sizeof buf - sh->n_left)
        return;
    memcpy(buf, sh->left, sh->n_left);
    memcpy(buf + sh->n_left, data, size);
    size += sh->n_left;
    used = rt_tether_input(sh->tether, buf, size, sh->now);
    FUZZ_CHECK(used <= size && size - used < sizeof sh->left);
    sh->n_left = size - used;
    memcpy(sh->left, buf + used, sh->n_left);
}

static void feed_frame(struct shell *sh, struct in *in, const uint8_t *payload, size_t size)
{
    static uint8_t buf[RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX];
    uint8_t kind = byte(in);
    struct rt_frame frame = {.type = kind & 31,
                             .flags = kind >> 6 & 1,
                             .stream = byte(in) % 6,
                             .channel = byte(in) % 8,
                             .offset = number(in),
                             .length = (uint32_t)size};
    if (frame.type == RT_PING || frame.type == RT_PONG || frame.type == RT_FIN || frame.type == RT_DETACH)
        frame.length = 0;
    rt_frame_put(buf, &frame);
    memcpy(buf + RT_FRAME_HEADER, payload, frame.length);
    feed(sh, buf, RT_FRAME_HEADER + frame.length);
}

static void feed_map(struct shell *sh, uint8_t type, uint32_t channel, enum rt_msg_kind kind, const void *msg)
{
    static uint8_t buf[RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX];
    int size = rt_msg_encode(kind, msg, buf + RT_FRAME_HEADER, RT_FRAME_PAYLOAD_MAX);
    if (size <= 0)
        return;
    rt_frame_put(buf, &(struct rt_frame){.type = type, .channel = channel, .length = (uint32_t)size});
    feed(sh, buf, RT_FRAME_HEADER + (size_t)size);
}

static struct rt_slice id_of(uint8_t n)
{
    static uint8_t ids[8][RT_ID_SIZE];
    memset(ids[n % 8], n % 8, RT_ID_SIZE);
    return (struct rt_slice){ids[n % 8], RT_ID_SIZE};
}

static void attach(struct shell *sh, struct in *in)
{
    struct rt_attach_msg msg = {.cid = rt_slice_text("box"), .id = id_of(byte(in))};
    uint32_t channel = 1 + byte(in) % 7;
    msg.try_no = number(in);
    msg.mode = byte(in) % 4;
    msg.p = byte(in) % 3 == 2 ? RT_PROC_ANY : byte(in) % 4;
    msg.want = byte(in) & 31;
    msg.from = byte(in) % 6;
    msg.n = number(in);
    msg.ne = number(in);
    msg.hold = number(in);
    msg.once = byte(in) & 1;
    msg.rows = number(in);
    msg.cols = number(in);
    msg.n_out = byte(in) % 4;
    msg.n_in = byte(in) % 3;
    for (size_t i = 0; i < msg.n_out; i++) {
        const struct rt_att *att = rt_tether_att_by_id(sh->tether, msg.id.data);
        msg.out[i] = (struct rt_attach_out){.s = 1 + i, .c = number(in), .df = number(in)};
        if (att != NULL && att->used && byte(in) % 2) { /* what an honest client would say */
            msg.out[i].c = att->out[i].acked;
            msg.out[i].df = att->out[i].digest.from;
            msg.out[i].d = rt_digest_value(&att->out[i].digest);
        }
    }
    for (size_t i = 0; i < msg.n_in; i++)
        msg.in[i] = (struct rt_attach_in){.s = i * RT_CONTROL_DOWN, .a = number(in), .h = number(in)};
    feed_map(sh, RT_ATTACH, channel, RT_MSG_ATTACH, &msg);
}

/* An item of control-down, where the attachment expects it. */
static void item(struct shell *sh, struct in *in)
{
    static uint8_t buf[RT_FRAME_HEADER + 2 + RT_ITEM_MAX];
    uint32_t channel = 1 + byte(in) % 7;
    const struct rt_att *att = rt_tether_att_by_channel(sh->tether, channel);
    struct rt_down_item msg = {.t = 1 + byte(in) % 3, .sig = number(in), .rows = number(in), .cols = number(in)};
    msg.id = id_of(byte(in));
    msg.hold = number(in);
    msg.n_argv = byte(in) % 3;
    msg.argv[0] = msg.argv[1] = rt_slice_text("ls");
    msg.in = byte(in) & 1;
    msg.tty = byte(in) & 1;
    int size = rt_msg_encode(RT_MSG_DOWN_ITEM, &msg, buf + RT_FRAME_HEADER + 2, RT_ITEM_MAX);
    if (size <= 0 || att == NULL || !sh->up)
        return;
    buf[RT_FRAME_HEADER] = (uint8_t)(size >> 8);
    buf[RT_FRAME_HEADER + 1] = (uint8_t)size;
    rt_frame_put(buf, &(struct rt_frame){.type = RT_DATA,
                                         .stream = RT_CONTROL_DOWN,
                                         .channel = channel,
                                         .offset = att->in[RT_CONTROL_IN].next,
                                         .length = (uint32_t)size + 2});
    feed(sh, buf, RT_FRAME_HEADER + 2 + (size_t)size);
}

static void acknowledge(struct shell *sh, struct in *in)
{
    uint8_t buf[RT_FRAME_HEADER + RT_ACK_PAYLOAD];
    uint32_t channel = 1 + byte(in) % 7;
    unsigned o = byte(in) % RT_OUTS;
    const struct rt_att *att = rt_tether_att_by_channel(sh->tether, channel);
    if (att == NULL || !sh->up)
        return;
    const struct rt_ring *ring = &rt_tether_proc(sh->tether, att->proc)->ring[o];
    struct rt_digest digest = att->out[o].digest;
    if (att->out[o].wanted && digest.at <= att->out[o].sent)
        rt_ring_digest(ring, &digest, att->out[o].sent);
    rt_frame_put(buf, &(struct rt_frame){.type = RT_ACK,
                                         .flags = byte(in) & 1,
                                         .stream = (uint16_t)(o + RT_STDOUT),
                                         .channel = channel,
                                         .offset = att->out[o].sent,
                                         .length = RT_ACK_PAYLOAD});
    rt_put_u64(buf + RT_FRAME_HEADER, att->out[o].sent + number(in) * 256);
    rt_put_u64(buf + RT_FRAME_HEADER + 8, rt_digest_value(&digest));
    feed(sh, buf, sizeof buf);
}

static void produce(struct shell *sh, uint32_t proc, unsigned stream, size_t size)
{
    while (size > 0) {
        size_t room;
        uint8_t *space = rt_tether_space(sh->tether, proc, stream, &room, sh->now);
        if (room == 0)
            break;
        room = room < size ? room : size;
        memset(space, 'x', room);
        rt_tether_commit(sh->tether, proc, stream, room, sh->now);
        size -= room;
    }
}

static void take_stdin(struct shell *sh, uint32_t proc, size_t size)
{
    size_t room;
    if (rt_tether_stdin(sh->tether, proc, &room) != NULL && room > 0)
        rt_tether_stdin_taken(sh->tether, proc, room < size ? room : size, sh->now);
}

/* All that there is to send, parsed as a receiver does. */
static void output(struct shell *sh)
{
    static uint8_t buf[CAP];
    size_t n;
    for (unsigned i = 0; sh->up && (n = rt_tether_output(sh->tether, buf, sizeof buf, sh->now)) > 0; i++) {
        FUZZ_CHECK(n <= sizeof buf && i < 100000);
        for (size_t at = 0; at < n;) {
            struct rt_frame frame;
            const char *why;
            FUZZ_CHECK(n - at >= RT_FRAME_HEADER);
            rt_frame_get(buf + at, &frame);
            FUZZ_CHECK(rt_frame_check(&frame, &why) == 0);
            at += RT_FRAME_HEADER + frame.length;
            FUZZ_CHECK(at <= n);
        }
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

static void link_event(struct shell *sh, struct in *in)
{
    struct rt_welcome_msg welcome = {.v = 1, .host = rt_slice_text("h"), .tkt = rt_slice_text("t"), .life = 5};
    struct rt_refuse_msg refuse = {.c = byte(in) % 21, .delay = number(in), .epoch = number(in)};
    struct rt_end_ok_msg end = {.how = byte(in) % 5, .delay = number(in)};
    switch (byte(in) % 6) {
    case 0:
        if (sh->dialing || sh->up) {
            sh->dialing = sh->up = false;
            rt_tether_lost(sh->tether, sh->now);
        }
        break;
    case 1:
        feed_map(sh, RT_REFUSE, byte(in) % 8, RT_MSG_REFUSE, &refuse);
        break;
    case 2:
        feed_map(sh, RT_END_OK, 0, RT_MSG_END_OK, &end);
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

static void process_event(struct shell *sh, struct in *in)
{
    uint32_t proc = byte(in) % 4;
    uint8_t what = byte(in);
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
        take_stdin(sh, proc, 1 + number(in));
        break;
    default:
        produce(sh, proc, RT_STDOUT + (what >> 4 & 1), (size_t)(number(in) % 2048) * 16); /* some rings' worth */
        break;
    }
}

static void step(struct shell *sh, struct in *in)
{
    uint8_t what = byte(in);
    size_t size;
    switch (what % 10) {
    case 0:
        size = byte(in);
        size = size < in->size ? size : in->size;
        feed(sh, in->data, size);
        in->data += size;
        in->size -= size;
        break;
    case 1:
        size = byte(in);
        size = size < in->size ? size : in->size;
        feed_frame(sh, in, in->data, size < in->size ? size : in->size / 2);
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
        pass_time(sh, number(in));
        break;
    case 7:
        link_event(sh, in);
        break;
    default:
        process_event(sh, in);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct shell shell;
    static uint8_t count;
    struct in in = {.data = data, .size = size};
    struct rt_tether_config config;
    uint8_t options = byte(&in);
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
    memset(&shell, 0, sizeof shell);
    shell.now = 1;
    shell.tether = rt_tether_new(&config, shell.now);
    FUZZ_CHECK(shell.tether != NULL);
    run_actions(&shell);
    while (in.size > 0 && !shell.over) {
        step(&shell, &in);
        run_actions(&shell);
        check_bounds(&shell);
    }
    rt_tether_free(shell.tether);
    return 0;
}
