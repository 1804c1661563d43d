/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/attachment.h"
#include "session/core/client.h"
#include "session/core/client_att.h"
#include "session/core/client_machine.h"
#include "session/core/client_stream.h"
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"
#include "session/core/order.h"
#include "session/core/protocol.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* The client's machine between hostile agents and an application that keeps its contract: the fuzzer chooses frames,
 * raw bytes, what the application does, and time. Bounds hold after every step. */

#define LINKS 3
#define ATTS 4
#define ACTIONS_MAX 4096
#define WRITE_MAX 70000
#define CUT_MAX 4096

static struct app {
    struct rt_client *client;
    struct rt_catt *att[ATTS];
    bool final[ATTS]; /* told that it is over */
    uint64_t now;
    bool dialing[RT_CLIENT_AGENTS_MAX], up[RT_CLIENT_AGENTS_MAX];
    unsigned asked, answered;
    size_t cut;   /* the next bytes come in two parts, the first of this size; 0: whole */
    bool cut_off; /* the link is lost between them */
    uint8_t count;
} app;
static struct fuzz_pipe pipes[LINKS];
static struct fuzz_frame frame; /* the one that is made at the moment */

static void on_reply(void *ctx, uint64_t request, int error, const struct rt_reply_msg *reply)
{
    (void)ctx;
    (void)request;
    FUZZ_CHECK((error == 0) == (reply != NULL));
    if (error != 0 || !reply->more)
        app.answered++;
    FUZZ_CHECK(app.answered <= app.asked);
    if (error == 0 && reply->ord.size > 0)
        FUZZ_CHECK(rt_order_unpack(reply->ord, (const uint64_t[2]){RT_TAIL_MAX, RT_TAIL_MAX}, NULL) > 0);
}

static void run_actions(void)
{
    struct rt_client_action action;
    for (unsigned i = 0; rt_client_next(app.client, &action, app.now); i++) {
        FUZZ_CHECK(i < ACTIONS_MAX && action.agent < RT_CLIENT_AGENTS_MAX);
        if (action.kind == RT_CLIENT_DIAL) {
            FUZZ_CHECK(!app.dialing[action.agent] && !app.up[action.agent]);
            FUZZ_CHECK(action.addr[0] != '\0');
            app.dialing[action.agent] = true;
            if (action.agent < LINKS)
                fuzz_pipe_reset(&pipes[action.agent]);
        } else {
            FUZZ_CHECK((app.dialing[action.agent] || app.up[action.agent]) && action.reason != NULL);
            app.dialing[action.agent] = app.up[action.agent] = false;
        }
    }
}

static void run_events(void)
{
    for (unsigned i = 0; i < ATTS; i++) {
        struct rt_catt_event event;
        unsigned n = 0;
        bool named = app.att[i] != NULL && rt_listed(&app.att[i]->ready);
        while (app.att[i] != NULL && rt_catt_event(app.att[i], &event)) {
            FUZZ_CHECK(named && !app.final[i] && n++ < 64);
            app.final[i] = event.kind == RT_CATT_REWOUND || event.kind == RT_CATT_FAILED;
            FUZZ_CHECK(event.kind != RT_CATT_GAP || event.from < event.to);
        }
    }
    /* As a shell does: nobody is looked at again before it is named again. */
    while (rt_client_ready(app.client) != NULL) {
    }
}

static void check_bounds(void)
{
    for (unsigned i = 0; i < ATTS; i++) {
        const struct rt_catt *att = app.att[i];
        if (att == NULL)
            continue;
        for (unsigned s = 0; s < 3; s++) {
            const struct rt_receiver *rx = &att->rx[s];
            uint64_t gaps = 0;
            FUZZ_CHECK(rx->n_gaps <= RT_GAPS_MAX && rx->consumed <= rx->next);
            for (size_t g = 0; g < rx->n_gaps; g++)
                gaps += rx->gaps[g].to - rx->gaps[g].from;
            FUZZ_CHECK(rx->ring.head - rx->ring.base + gaps == rx->next - rx->consumed);
            FUZZ_CHECK(rx->ring.head - rx->ring.base <= rx->ring.cap && rx->ring.cap <= RT_CLIENT_WINDOW_MAX);
        }
        for (unsigned s = 0; s < 2; s++)
            FUZZ_CHECK(att->tx[s].ring.head - att->tx[s].ring.base <= RT_CLIENT_INPUT_MAX);
    }
    for (unsigned i = 0; i < LINKS; i++) { /* nobody is believed to be another host than he has proved to be */
        const struct rt_clink *agent = &app.client->links[i];
        FUZZ_CHECK(!rt_clink_live(agent) || agent->proved[0] == '\0' || strcmp(agent->host, agent->proved) == 0);
    }
}

static void after_step(void)
{
    run_actions();
    run_events();
    check_bounds();
}

static void give(unsigned link, const uint8_t *data, size_t size)
{
    if (!app.up[link] || size == 0)
        return;
    fuzz_pipe_add(&pipes[link], data, size);
    fuzz_pipe_used(&pipes[link], rt_client_input(app.client, link, pipes[link].bytes, pipes[link].size, app.now));
}

static void lose(unsigned link)
{
    if (app.dialing[link] || app.up[link]) {
        app.dialing[link] = app.up[link] = false;
        rt_client_lost(app.client, link, app.now);
    }
}

/* Bytes from an agent, perhaps in two parts, of which the second may never come. */
static void feed(unsigned link, const uint8_t *data, size_t size)
{
    size_t first = app.cut < size ? app.cut : 0;
    app.cut = 0;
    give(link, data, first);
    after_step();
    if (first > 0 && app.cut_off)
        lose(link);
    give(link, data + first, size - first);
}

static void feed_map(unsigned link, struct rt_frame head, enum rt_msg_kind kind, const void *msg)
{
    frame.head = head;
    feed(link, frame.bytes, fuzz_frame_map(&frame, kind, msg));
}

static void attached(unsigned link, struct fuzz_in *in)
{
    const struct rt_catt *att = app.att[fuzz_byte(in) % ATTS];
    struct rt_attached_msg msg = {.life = 5 + fuzz_byte(in) % 2, .p = fuzz_byte(in) % 2, .n_out = 3, .n_in = 2};
    msg.st = 1 + fuzz_byte(in) % 2;
    for (unsigned s = 0; s < 3; s++) {
        uint64_t c = att != NULL ? att->rx[s].consumed : 0;
        msg.out[s] = (struct rt_attached_out){.s = s + RT_STDOUT, .c = c + fuzz_number(in)};
        msg.out[s].head = msg.out[s].c + fuzz_number(in);
    }
    for (unsigned s = 0; s < 2; s++) {
        msg.in[s].s = s == 0 ? RT_STDIN : RT_CONTROL_DOWN;
        msg.in[s].a = (att != NULL ? att->tx[s].ring.base : 0) + fuzz_number(in) % 3;
        if (att != NULL && msg.in[s].a == att->tx[s].ring.base) {
            msg.in[s].d = rt_digest_value(&att->tx[s].sender.digest);
        }
        msg.in[s].closed = fuzz_byte(in) % 5 == 4;
    }
    feed_map(link, (struct rt_frame){.type = RT_ATTACHED, .channel = att != NULL ? att->channel : 1}, RT_MSG_ATTACHED,
             &msg);
}

/* Output up to the limit that was told. */
static void fill(unsigned link, unsigned s, const struct rt_catt *att)
{
    uint32_t channel = att->channel;
    while (app.up[link] && att->channel == channel && att->rx[s].next < att->rx[s].limit) {
        uint64_t left = att->rx[s].limit - att->rx[s].next, next = att->rx[s].next;
        frame.head = (struct rt_frame){.type = RT_DATA, .stream = (uint16_t)(s + RT_STDOUT), .channel = channel};
        frame.head.offset = next;
        frame.head.length = left < RT_FRAME_PAYLOAD_MAX ? (uint32_t)left : RT_FRAME_PAYLOAD_MAX;
        feed(link, frame.bytes, fuzz_frame_end(&frame));
        if (att->rx[s].next == next)
            return;
    }
}

/* Output where the attachment expects it, or a gap, an end, an acknowledgement. */
static void stream_frame(unsigned link, struct fuzz_in *in)
{
    const struct rt_catt *att = app.att[fuzz_byte(in) % ATTS];
    uint8_t what = fuzz_byte(in), *payload = frame.bytes + RT_FRAME_HEADER;
    unsigned s = what >> 6;
    uint64_t size = (fuzz_number(in) << (what & 8)) + 1; /* the bit of value 8: up to a frame's worth */
    if (att == NULL || att->channel == 0)
        return;
    frame.head = (struct rt_frame){.channel = att->channel};
    if (s < 3) {
        frame.head.stream = (uint16_t)(s + RT_STDOUT);
        frame.head.offset = att->rx[s].next;
    }
    switch (s < 3 ? what % 4 : 4) {
    case 0:
        frame.head.type = RT_GAP;
        frame.head.length = RT_GAP_PAYLOAD;
        rt_put_u64(payload, frame.head.offset + size);
        break;
    case 1:
        frame.head.type = RT_FIN;
        break;
    case 4:
        frame.head.offset = att->tx[what & 1].ring.base;
        if ((what & 5) == 4) {
            frame.head.type = RT_STOP;
            break;
        }
        frame.head.type = RT_ACK;
        frame.head.stream = what & 1 ? RT_CONTROL_DOWN : RT_STDIN;
        frame.head.flags = what >> 1 & 1;
        frame.head.length = RT_ACK_PAYLOAD;
        rt_put_u64(payload, frame.head.offset + size * 64);
        rt_put_u64(payload + 8, rt_digest_value(&att->tx[what & 1].sender.digest));
        break;
    case 2:
        if ((what & 52) == 52) {
            fill(link, s, att);
            return;
        }
        /* fall through */
    default:
        frame.head.type = RT_DATA;
        frame.head.length = size < RT_FRAME_PAYLOAD_MAX ? (uint32_t)size : RT_FRAME_PAYLOAD_MAX;
        memset(payload, what, frame.head.length);
        break;
    }
    feed(link, frame.bytes, fuzz_frame_end(&frame));
}

static void up_item(unsigned link, struct fuzz_in *in)
{
    const struct rt_catt *att = app.att[fuzz_byte(in) % ATTS];
    struct rt_up_item msg = {.t = 1 + fuzz_byte(in) % 3, .code = fuzz_byte(in)};
    uint8_t *payload = frame.bytes + RT_FRAME_HEADER;
    int size;
    msg.rows = fuzz_number(in);
    msg.cols = fuzz_number(in);
    if (att == NULL || att->channel == 0)
        return;
    msg.out = att->rx[0].next + fuzz_byte(in) % 2;
    msg.err = att->rx[1].next;
    size = rt_msg_encode(RT_MSG_UP_ITEM, &msg, payload + 2, RT_ITEM_MAX);
    if (size <= 0)
        return;
    payload[0] = (uint8_t)(size >> 8);
    payload[1] = (uint8_t)size;
    frame.head = (struct rt_frame){.type = RT_DATA, .stream = RT_CONTROL_UP, .channel = att->channel};
    frame.head.offset = att->rx[2].next;
    frame.head.length = (uint32_t)size + 2;
    feed(link, frame.bytes, fuzz_frame_end(&frame));
}

static void refuse(unsigned link, struct fuzz_in *in)
{
    static const char *const hosts[] = {"h0", "h1", "h2", "elsewhere"};
    const struct rt_catt *att = app.att[fuzz_byte(in) % ATTS];
    struct rt_refuse_msg msg = {
        .c = fuzz_byte(in) % 21, .delay = fuzz_number(in), .life = fuzz_number(in), .epoch = fuzz_number(in)};
    msg.host = rt_slice_text(hosts[fuzz_byte(in) % 4]);
    msg.addr[0] = rt_slice_text(fuzz_byte(in) % 2 ? "unix:/a1" : "unix:/new");
    msg.n_addr = fuzz_byte(in) % 2;
    feed_map(link,
             (struct rt_frame){.type = RT_REFUSE, .channel = att != NULL && fuzz_byte(in) % 4 != 3 ? att->channel : 0},
             RT_MSG_REFUSE, &msg);
}

static void output(unsigned link)
{
    static uint8_t buf[FUZZ_FRAME_MAX];
    size_t n;
    for (unsigned i = 0; app.up[link] && (n = rt_client_output(app.client, link, buf, sizeof(buf), app.now)) > 0; i++) {
        FUZZ_CHECK(n <= sizeof(buf) && i < 100000);
        fuzz_check_frames(buf, n);
    }
}

static void link_event(unsigned link, struct fuzz_in *in)
{
    static const char *const hosts[] = {"h0", "h1", "h2"};
    struct rt_welcome_msg welcome = {.v = 1, .host = rt_slice_text(hosts[link])};
    uint8_t what = app.dialing[link] ? fuzz_byte(in) : 3;
    if (what % 4 != 3) {
        /* Who is there has proved to be its host, mostly, or another, or nobody. */
        const char *proved = what & 4 ? hosts[(link + (what >> 3) / 24) % LINKS] : NULL;
        app.dialing[link] = false;
        app.up[link] = true;
        rt_client_connected(app.client, link, proved, app.now);
        output(link);
        welcome.n_agents = fuzz_byte(in) % 3;
        for (size_t i = 0; i < welcome.n_agents; i++) {
            welcome.agents[i].host = rt_slice_text(hosts[i]);
            welcome.agents[i].addr[0] = rt_slice_text("unix:/a1");
            welcome.agents[i].n_addr = 1;
        }
        feed_map(link, (struct rt_frame){.type = RT_WELCOME}, RT_MSG_WELCOME, &welcome);
    } else {
        lose(link);
    }
}

static void new_attachment(struct fuzz_in *in)
{
    static const uint8_t run[3 * RT_PIECE_MAX];
    unsigned i = fuzz_byte(in) % ATTS;
    struct rt_attach_options options = {
        .cid = "box", .want = ~fuzz_byte(in) & 31, .from = fuzz_byte(in) % 5, .n = fuzz_number(in)};
    uint8_t what = fuzz_byte(in);
    options.steal = what & 1;
    options.exec = what & 2;
    if (what & 7)
        memset(options.id, (int)i + 1, RT_ID_SIZE);
    options.once = what >> 3 & 1;
    options.give_up_ms = fuzz_number(in);
    if (app.att[i] != NULL)
        rt_catt_free(app.att[i]);
    app.att[i] = NULL;
    app.final[i] = false;
    FUZZ_CHECK(rt_client_attach(app.client, &options, app.now, &app.att[i]) == 0 || app.att[i] == NULL);
    if (app.att[i] != NULL && options.exec)
        (void)!rt_catt_run(app.att[i], run, 1 + fuzz_number(in) * 16 % sizeof(run));
}

/* What an application may ask at any time. */
static void look_at(const struct rt_catt *att, unsigned stream)
{
    uint64_t written, applied;
    size_t size;
    unsigned first = rt_catt_first(att, &size);
    rt_catt_input(att, &written, &applied);
    FUZZ_CHECK(applied <= written && rt_catt_writable(att) <= RT_CLIENT_INPUT_MAX);
    FUZZ_CHECK(first >= RT_STDOUT && first <= RT_STDERR && size > 0);
    FUZZ_CHECK(rt_catt_offset(att, stream) < RT_COUNTER_MAX && rt_catt_resent(att) < UINT64_MAX / 2);
    FUZZ_CHECK(!rt_catt_run_is_unsure(att) || !rt_catt_applied(att));
}

static void use_attachment(struct fuzz_in *in)
{
    static const uint8_t bytes[WRITE_MAX];
    struct rt_catt *att = app.att[fuzz_byte(in) % ATTS];
    uint8_t what = fuzz_byte(in);
    unsigned stream = RT_STDOUT + (what >> 7);
    size_t size, n = (size_t)fuzz_number(in) << (what >> 3 & 8);
    if (att == NULL)
        return;
    switch (what % 8) {
    case 0:
        (void)rt_catt_write(att, bytes, n < sizeof(bytes) ? n : sizeof(bytes));
        break;
    case 1:
        rt_catt_write_end(att);
        break;
    case 2:
        (void)!rt_catt_resize(att, 1 + what, 80);
        break;
    case 3:
        (void)!rt_catt_signal(att, what);
        break;
    case 4:
        look_at(att, stream);
        break;
    case 5: /* all that there is */
        n = RT_CLIENT_WINDOW_MAX;
        /* fall through */
    default:
        if (rt_catt_peek(att, stream, &size) != NULL)
            rt_catt_consumed(att, stream, n < size ? n : size, app.now);
        break;
    }
}

static void ask(struct fuzz_in *in)
{
    uint64_t id;
    struct rt_request_msg request = {.op = rt_slice_text("show"), .cid = rt_slice_text("box")};
    static struct rt_reply_msg reply;
    if (fuzz_byte(in) % 2) {
        app.asked++; /* before: the answer may not come within the call, but must be counted */
        if (rt_client_request(app.client, &request, app.now, &id) != 0)
            app.asked--;
        return;
    }
    reply.c = fuzz_byte(in) % 20;
    reply.more = fuzz_byte(in) & 1;
    reply.ord = rt_slice_text(reply.c % 2 == 0 ? "\1\2\3\4" : "");
    feed_map(fuzz_byte(in) % LINKS, (struct rt_frame){.type = RT_REPLY, .offset = fuzz_number(in)}, RT_MSG_REPLY,
             &reply);
}

static void pass_time(struct fuzz_in *in)
{
    uint64_t at = rt_client_deadline(app.client), ms = fuzz_number(in);
    if (ms == 0 && at != UINT64_MAX)
        app.now = at > app.now ? at : app.now;
    else
        app.now += ms;
    rt_client_tick(app.client, app.now);
}

static void step(struct fuzz_in *in)
{
    uint8_t what = fuzz_byte(in);
    unsigned link = what % LINKS;
    struct rt_slice raw;
    switch (what >> 2 & 15) {
    case 13:
        app.cut = (size_t)fuzz_number(in) % CUT_MAX;
        app.cut_off = fuzz_byte(in) & 1;
        break;
    case 0:
        raw = fuzz_bytes(in);
        feed(link, raw.data, raw.size);
        break;
    case 1:
        feed(link, frame.bytes, fuzz_frame_any(in, &frame));
        break;
    case 2:
        attached(link, in);
        break;
    case 3:
    case 4:
        stream_frame(link, in);
        break;
    case 5:
        up_item(link, in);
        break;
    case 6:
        refuse(link, in);
        break;
    case 7:
    case 8:
        link_event(link, in);
        break;
    case 9:
        new_attachment(in);
        break;
    case 10:
        ask(in);
        break;
    case 11:
        pass_time(in);
        break;
    case 12:
        output(link);
        break;
    default:
        use_attachment(in);
        break;
    }
}

/* An attachment as honest peers make it, so that an input of few bytes begins in the middle. */
static void begin_attached(void)
{
    struct fuzz_in honest = {NULL, 0};
    new_attachment(&honest);
    after_step();
    for (unsigned link = 0; link < 2; link++) {
        link_event(link, &honest);
        after_step();
        output(link);
        attached(link, &honest);
        after_step();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {.data = data, .size = size};
    struct rt_client_config config = {.name = "fuzz", .seed = 1, .random = fuzz_random, .on_reply = on_reply};
    config.ctx = &app.count;
    memset(&app, 0, sizeof(app));
    app.now = 1;
    app.client = rt_client_new(&config);
    FUZZ_CHECK(app.client != NULL);
    FUZZ_CHECK(rt_client_add_agent(app.client, "unix:/a0") == 0);
    FUZZ_CHECK(rt_client_add_agent(app.client, "unix:/a1") == 0);
    if (fuzz_byte(&in) & 1)
        begin_attached();
    while (in.size > 0) {
        step(&in);
        after_step();
    }
    rt_client_free(app.client);
    fuzz_pool_check();
    return 0;
}
