/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/fuzz/agent_world.h"

#include "broker/core/channel.h"
#include "broker/core/link.h"
#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"

#include <string.h>

/* The agent's machine between hostile guests, hostile clients and a store that answers late, wrongly or not at all:
 * the fuzzer chooses frames, raw bytes, answers, news, congestion and time. Its tables add up after every step. */

#define CUT_MAX 4096
/* Of one step: more than a lease and a heartbeat's expiry. */
#define QUIET_MAX_MS 100000
#define QUIET_STEPS_MAX 400

static struct fuzz_frame frame; /* the one that is made at the moment */

static void give(unsigned p, const uint8_t *data, size_t size)
{
    struct fuzz_pipe *pipe = &world_pipes[p];
    size_t used;
    if (world.peers[p].id == 0 || size == 0)
        return;
    fuzz_pipe_add(pipe, data, size);
    world.feeding = p;
    used = rt_agent_input(world.agent, world.peers[p].id, pipe->bytes, pipe->size, world.now);
    world.feeding = WORLD_PEERS;
    fuzz_pipe_used(pipe, used);
}

static void lose(unsigned p)
{
    rt_link_id id = world.peers[p].id;
    world.peers[p].id = 0;
    rt_agent_closed(world.agent, id, "closed", world.now);
}

/* Bytes from a peer, perhaps in two parts, of which the second may never come. */
static void feed(unsigned p, const uint8_t *data, size_t size)
{
    size_t first = world.cut < size ? world.cut : 0;
    world.cut = 0;
    give(p, data, first);
    if (first > 0 && world.cut_off && world.peers[p].id != 0)
        lose(p);
    give(p, data + first, size - first);
}

static void feed_map(unsigned p, struct rt_frame head, enum rt_msg_kind kind, const void *msg)
{
    frame.head = head;
    feed(p, frame.bytes, fuzz_frame_map(&frame, kind, msg));
}

static struct rt_slice id_of(uint8_t n)
{
    static uint8_t ids[4][RT_ID_SIZE];
    memset(ids[n % 4], n, RT_ID_SIZE);
    return (struct rt_slice){ids[n % 4], RT_ID_SIZE};
}

static void connect(unsigned p, struct fuzz_in *in)
{
    struct rt_peer peer = {.role = p < WORLD_GUESTS ? RT_PEER_GUEST : RT_PEER_CLIENT, .name = "fuzz"};
    struct rt_proof proof = {.as = RT_CLIENT_OPERATOR};
    uint8_t what = fuzz_byte(in);
    if (world.peers[p].id != 0) {
        lose(p);
        if (what % 4 == 3)
            return;
    }
    if (p < WORLD_GUESTS && what & 4)
        memcpy(proof.who, "vm", 3);
    if (p >= WORLD_GUESTS && what % 4 < 2) {
        proof.as = what & 8 ? RT_CLIENT_VIEWER : RT_CLIENT_VCH;
        memcpy(proof.who, what & 1 ? "u" : "t", 2);
    } else if (p >= WORLD_GUESTS && what & 32) {
        proof.as = RT_CLIENT_OPERATOR_READS;
    }
    fuzz_pipe_reset(&world_pipes[p]);
    world.peers[p].id = rt_agent_opened(world.agent, &peer, world.now);
    FUZZ_CHECK(world.peers[p].id != 0);
    if ((what & 16) == 0)
        rt_agent_proved(world.agent, world.peers[p].id, &proof, world.now);
}

/* A guest's token: its newest ticket, a join token, another's ticket, or a ticket that is made up. */
static size_t token_of(const struct world_peer *peer, struct fuzz_in *in, uint8_t out[RT_TOKEN_MAX])
{
    const struct world_peer *of = peer;
    struct rt_ticket ticket;
    uint8_t what = fuzz_byte(in);
    int size;
    memset(&ticket, 0, sizeof(ticket));
    world_key(peer->key, &ticket.key);
    ticket.join = what % 4 != 3;
    if (what % 4 == 2)
        of = &world.peers[fuzz_byte(in) % WORLD_GUESTS];
    if (what % 2 == 0 && of->ticket_size > 0) {
        memcpy(out, of->ticket, of->ticket_size);
        return of->ticket_size;
    }
    if (!ticket.join) {
        ticket.life = fuzz_number(in);
        ticket.epoch = fuzz_number(in);
        memset(ticket.inc.b, peer->inc, RT_ID_SIZE);
        memset(ticket.id.b, fuzz_byte(in), RT_ID_SIZE);
        ticket.n_ancestors = fuzz_byte(in) % (RT_ANCESTORS_MAX + 1);
        for (size_t i = 0; i < ticket.n_ancestors; i++)
            memset(ticket.ancestors[i].b, fuzz_byte(in), RT_ID_SIZE);
        ticket.unproven = fuzz_byte(in) % (RT_ANCESTORS_MAX + 1);
    }
    if (what & 32) /* of a container that was created anew */
        ticket.life = WORLD_WALL_MS + fuzz_number(in) * 64;
    if (what & 16)
        memcpy(ticket.bound_to, "vm", 3);
    size = rt_ticket_encode(&ticket, out, RT_TOKEN_MAX);
    return size < 0 ? 0 : (size_t)size;
}

static void hello(unsigned p, struct fuzz_in *in)
{
    static uint8_t token[RT_TOKEN_MAX];
    struct world_peer *peer = &world.peers[p];
    struct rt_hello_msg msg = {.vmin = 1, .vmax = 1, .role = rt_slice_text("client"), .name = rt_slice_text("fuzz")};
    uint8_t what = fuzz_byte(in);
    struct rt_key key;
    if (p < WORLD_GUESTS) {
        if (what & 1)
            peer->key = fuzz_byte(in) % WORLD_KEYS;
        if (what & 2)
            peer->inc = fuzz_byte(in);
        if (what & 1 || what & 2)
            peer->ticket_size = 0;
        peer->epoch = what & 4 ? fuzz_number(in) : peer->epoch + 1;
        world_key(peer->key, &key);
        msg.role = rt_slice_text("guest");
        msg.cid = rt_slice_text(key.cid);
        msg.inc = id_of(peer->inc);
        msg.epoch = peer->epoch;
        msg.tok.data = token;
        msg.tok.size = token_of(peer, in, token);
        msg.nonce = msg.inc;
    }
    if (what >= 248)
        msg.vmin = msg.vmax = what;
    feed_map(p, (struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &msg);
}

static void report(unsigned p, struct fuzz_in *in)
{
    static struct rt_report_msg msg;
    uint8_t what = fuzz_byte(in);
    memset(&msg, 0, sizeof(msg));
    msg.n_procs = (size_t)(what % 8) * 4; /* the most are more than a record has room for */
    msg.n_atts = what / 8;
    for (size_t i = 0; i < msg.n_procs; i++) {
        msg.procs[i] = (struct rt_report_proc){.p = i, .st = 1 + (i % 4 == 3), .n_base = 3, .n_head = 3};
        msg.procs[i].head[0] = i < 2 ? fuzz_number(in) : UINT32_MAX;
    }
    for (size_t i = 0; i < msg.n_atts; i++)
        msg.atts[i] = (struct rt_report_att){.id = id_of((uint8_t)i), .n_cons = 3, .n_app = 2};
    feed_map(p, (struct rt_frame){.type = RT_REPORT}, RT_MSG_REPORT, &msg);
}

static void confirm(unsigned p, struct fuzz_in *in)
{
    frame.head = (struct rt_frame){.type = RT_CONFIRM};
    feed(p, frame.bytes, fuzz_frame_end(&frame));
    report(p, in);
}

/* Names of containers, with and without their tenant, and none. */
static struct rt_slice name_of(uint8_t n)
{
    static const char *const names[] = {"box", "t/box", "c1", "u/box", "bo", "t/c1", "/", "x/none", "", "no/no/no"};
    return rt_slice_text(names[n % (sizeof(names) / sizeof(names[0]))]);
}

static void attach(unsigned p, struct fuzz_in *in)
{
    const struct ag_link *link = rt_ag_link(world.agent, world.peers[p].id);
    struct rt_attach_msg msg = {.cid = name_of(fuzz_byte(in)), .id = id_of(1), .try_no = 1, .want = 31};
    uint8_t what = fuzz_byte(in);
    if (link == NULL)
        return;
    msg.make = (what & 1) == 0;
    msg.take = (what & 2) != 0;
    msg.wait = fuzz_number(in) << (what >> 4);
    msg.klife = what & 8 ? fuzz_number(in) : 0;
    msg.kepoch = what & 8 ? fuzz_number(in) : 0;
    feed_map(p, (struct rt_frame){.type = RT_ATTACH, .channel = link->last_channel + 1}, RT_MSG_ATTACH, &msg);
}

static struct ag_chan *channel_of(struct fuzz_in *in)
{
    const struct rt_agent *agent = world.agent;
    unsigned n = fuzz_byte(in) + 1U;
    struct ag_chan *chan = NULL;
    for (unsigned i = 0; n > 0 && i < agent->n_places; i++)
        for (struct ag_chan *at = agent->places[2 * i + AG_GUEST]; n > 0 && at != NULL; at = at->next[AG_GUEST], n--)
            chan = at;
    return chan;
}

/* A frame on a channel that there is, from one of its ends, at an offset that fits or nearly. */
static void channel_frame(struct fuzz_in *in)
{
    static const uint8_t types[] = {RT_DATA, RT_DATA,     RT_DATA,   RT_DATA,   RT_ACK, RT_ACK,
                                    RT_GAP,  RT_ATTACHED, RT_DETACH, RT_REFUSE, RT_FIN, RT_STOP};
    struct ag_chan *chan = channel_of(in);
    uint8_t what = fuzz_byte(in), type = types[fuzz_byte(in) % sizeof(types)], *payload = frame.bytes + RT_FRAME_HEADER;
    unsigned side = what & 1, stream = what >> 4 & 3;
    uint64_t size = (fuzz_number(in) << (what & 8)) + 1; /* the bit of value 8: up to a frame's worth */
    if (chan == NULL)
        return;
    if ((type == RT_DATA) == (side == AG_CLIENT)) /* the streams that this end sends; of ACK those that it gets */
        stream = stream & 1 ? RT_CONTROL_DOWN : RT_STDIN;
    else
        stream = RT_STDOUT + stream % 3;
    frame.head = (struct rt_frame){.type = type, .channel = (uint32_t)chan->key[side], .stream = (uint16_t)stream};
    frame.head.offset = chan->flow[stream].seen + (what & 2 ? fuzz_number(in) : 0);
    if (type == RT_DATA) {
        frame.head.length = size < RT_FRAME_PAYLOAD_MAX ? (uint32_t)size : RT_FRAME_PAYLOAD_MAX;
        memset(payload, what, frame.head.length);
    } else if (type == RT_ACK) {
        frame.head.length = RT_ACK_PAYLOAD;
        rt_put_u64(payload, frame.head.offset + size * 64);
        rt_put_u64(payload + 8, 0);
    } else if (type == RT_GAP) {
        frame.head.length = RT_GAP_PAYLOAD;
        rt_put_u64(payload, frame.head.offset + size);
    } else {
        frame.head.stream = type == RT_FIN ? (uint16_t)stream : 0;
        frame.head.offset = type == RT_FIN || type == RT_STOP ? frame.head.offset : 0;
    }
    if (type == RT_ATTACHED && (what & 4) == 0) {
        const struct ag_link *guest = chan->link[AG_GUEST];
        struct rt_attached_msg msg = {.life = guest->life, .epoch = guest->epoch + (what & 2 ? 1 : 0), .st = 1};
        (void)fuzz_frame_map(&frame, RT_MSG_ATTACHED, &msg);
    } else if (type == RT_REFUSE && (what & 4) == 0) {
        struct rt_refuse_msg msg = {.c = size % (RT_CLASSES + 2), .m = rt_slice_text("\033"), .life = size};
        (void)fuzz_frame_map(&frame, RT_MSG_REFUSE, &msg);
    } else if (type == RT_ATTACHED || type == RT_REFUSE) {
        frame.head.length = 1;
    }
    feed(world_peer_of(chan->link[side]->id), frame.bytes, fuzz_frame_end(&frame));
}

static void request(unsigned p, struct fuzz_in *in)
{
    static const char *const ops[] = {"show",  "list", "create", "remove", "hosts",
                                      "tails", "kick", "revoke", "none",   "drain"};
    const char *op = ops[fuzz_byte(in) % (sizeof(ops) / sizeof(ops[0]))];
    struct rt_request_msg msg = {.op = rt_slice_text(op), .cid = name_of(fuzz_byte(in))};
    uint8_t what = fuzz_byte(in);
    msg.prefix = what & 1;
    msg.host = what & 2 ? rt_slice_text("h0") : msg.host;
    msg.label = what & 4 ? rt_slice_text("label") : msg.label;
    msg.wait = what & 8 ? fuzz_number(in) * 64 : 0;
    msg.ring = what & 16 ? fuzz_number(in) : 0;
    msg.vm = what & 32 ? rt_slice_text("vm") : msg.vm;
    msg.drain = what & 3;
    msg.drain = msg.drain > RT_DRAIN_OFF ? RT_DRAIN_LOOK : msg.drain;
    if (what & 64) {
        static const char *const places[] = {"", "7 h h", "7 h0 acme/a", "7 h0 other/a", "7  ", "h"};
        msg.page = fuzz_byte(in);
        msg.states = fuzz_byte(in) & 63;
        msg.older = fuzz_number(in);
        msg.after = rt_slice_text(places[fuzz_byte(in) % (sizeof(places) / sizeof(places[0]))]);
    }
    feed_map(p, (struct rt_frame){.type = RT_REQUEST, .offset = what}, RT_MSG_REQUEST, &msg);
}

/* The tails of both streams and the end, or only some of it. */
static void end(unsigned p, struct fuzz_in *in)
{
    struct rt_end_msg msg = {.code = fuzz_byte(in)};
    uint64_t *final[2] = {&msg.out, &msg.err};
    uint8_t what = fuzz_byte(in), order[] = {1, 1, 2, (uint8_t)(1 + (fuzz_byte(in) & 63))};
    for (unsigned i = 0; i < 2; i++) {
        uint64_t size = what >> i & 1 ? fuzz_number(in) << (what & 8) : 0;
        *final[i] = size + (what & 16 ? fuzz_byte(in) : 0);
        frame.head = (struct rt_frame){.type = RT_TAIL, .stream = (uint16_t)(RT_STDOUT + i)};
        frame.head.length = size < RT_FRAME_PAYLOAD_MAX ? (uint32_t)size : RT_FRAME_PAYLOAD_MAX;
        memset(frame.bytes + RT_FRAME_HEADER, what, frame.head.length);
        if (size > 0)
            feed(p, frame.bytes, fuzz_frame_end(&frame));
    }
    if (what & 32) /* or beyond the tails */
        msg.ord = (struct rt_slice){order, sizeof(order)};
    if (what < 192)
        feed_map(p, (struct rt_frame){.type = RT_END}, RT_MSG_END, &msg);
}

/* An end that an earlier run of the agent kept. */
static void kept(struct fuzz_in *in)
{
    static const uint8_t tail[RT_TAIL_MAX + 1];
    struct rt_store_op op = {.kind = RT_STORE_END};
    world_key(fuzz_byte(in), &op.key);
    op.life = op.claim.life = op.claim.granted_life = fuzz_byte(in);
    op.epoch = op.claim.epoch = fuzz_byte(in);
    op.claim.key = op.key;
    memcpy(op.claim.host, "h0", 3);
    op.tail[0] = (struct rt_slice){tail, (size_t)fuzz_number(in) % sizeof(tail)};
    op.tail[1] = rt_slice_text("err");
    op.end.out = op.tail[0].size;
    op.end.err = op.tail[1].size;
    op.end.ord = rt_slice_text("\2\1\3\1"); /* beyond a short tail */
    rt_agent_kept_end(world.agent, &op, world.now);
}

static void pass_time(struct fuzz_in *in)
{
    uint64_t at = rt_agent_deadline(world.agent), ms = fuzz_number(in);
    if (ms == 0 && at != UINT64_MAX) {
        world.now = at > world.now ? at : world.now;
    } else {
        world.now += ms * 16;
    }
    rt_agent_tick(world.agent, world.now);
    FUZZ_CHECK(rt_agent_deadline(world.agent) > world.now); /* or the shell would spin */
}

/* What else a shell has to tell. */
static void shell_event(unsigned p, struct fuzz_in *in)
{
    switch (fuzz_byte(in) % 3) {
    case 0:
        rt_agent_taken(world.agent, world.peers[p].id, world.now);
        break;
    case 1:
        rt_agent_rekeyed(world.agent, world.now);
        break;
    default:
        (void)rt_agent_spare(world.agent, world.now);
        break;
    }
}

/* A time in which nothing happens but what should: the store and the disk answer, peers are heard of, hosts that beat
 * go on to. What only time brings about comes within one step. */
static void quiet(struct fuzz_in *in)
{
    struct fuzz_in honest = {NULL, 0};
    uint64_t until = world.now + fuzz_number(in) * 512 % QUIET_MAX_MS;
    bool heard = fuzz_byte(in) & 1;
    for (unsigned i = 0; world.now < until && i < QUIET_STEPS_MAX; i++) {
        while (world.n_ops > 0)
            world_store_answer(&honest);
        world_disk_answer();
        for (unsigned p = 0; heard && p < WORLD_PEERS; p++) {
            if (world.peers[p].id != 0)
                rt_agent_taken(world.agent, world.peers[p].id, world.now);
        }
        world_store_beat();
        pass_time(&honest);
    }
}

static void step(struct fuzz_in *in)
{
    uint8_t what = fuzz_byte(in);
    unsigned p = what / 22 % WORLD_PEERS, guest = p % WORLD_GUESTS, client = WORLD_GUESTS + guest;
    struct rt_slice raw;
    switch (what % 22) {
    case 0:
        raw = fuzz_bytes(in);
        feed(p, raw.data, raw.size);
        break;
    case 1:
        feed(p, frame.bytes, fuzz_frame_any(in, &frame));
        break;
    case 2:
        connect(p, in);
        break;
    case 3:
        connect(p, in);
        hello(p, in);
        break;
    case 4:
        hello(p, in);
        break;
    case 5:
        confirm(guest, in);
        break;
    case 6:
        report(guest, in);
        break;
    case 7:
    case 8:
        attach(client, in);
        break;
    case 9:
        request(client, in);
        break;
    case 10:
        end(guest, in);
        break;
    case 11:
        kept(in);
        break;
    case 12:
        world_store_news(in);
        break;
    case 13:
        pass_time(in);
        break;
    case 14:
        world.cut = fuzz_number(in) % CUT_MAX;
        world.cut_off = fuzz_byte(in) & 1;
        break;
    case 15:
        rt_agent_queued(world.agent, world.peers[p].id, (fuzz_number(in) << 13) % (2 * RT_LINK_HIGH_WATER), world.now);
        break;
    case 16:
    case 17:
        channel_frame(in);
        break;
    case 18:
        world_disk_answer();
        break;
    case 19:
        shell_event(p, in);
        break;
    case 20:
        quiet(in);
        break;
    default:
        world_store_answer(in);
        break;
    }
    world_check();
}

/* A guest that is served and a client that is attached to it, as honest peers and a store that works make them. */
static void begin_attached(void)
{
    struct fuzz_in honest = {NULL, 0};
    connect(0, &honest);
    hello(0, &honest);
    world_store_answer(&honest);
    confirm(0, &honest);
    world_store_answer(&honest);
    connect(WORLD_GUESTS, &honest);
    hello(WORLD_GUESTS, &honest);
    attach(WORLD_GUESTS, &honest);
    world_check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {.data = data, .size = size};
    uint8_t options = fuzz_byte(&in);
    world_store_reset();
    world_new(options);
    if (options & 1) {
        world_store_up(true, true);
        while (world.n_ops > 0)
            world_store_answer(&(struct fuzz_in){NULL, 0});
    }
    if ((options & 3) == 3)
        begin_attached();
    while (in.size > 0)
        step(&in);
    if ((options & 28) == 4) { /* now and then: it looks through all slots */
        rt_agent_stop(world.agent, world.now);
        for (unsigned p = 0; p < WORLD_PEERS; p++)
            FUZZ_CHECK(world.peers[p].id == 0);
    }
    world_free();
    return 0;
}
