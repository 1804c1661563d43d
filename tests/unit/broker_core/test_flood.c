/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include "session/core/msg_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Floods of every frame type that a guest and a client may send, while nobody reads: no link ever has more than
 * RT_LINK_QUEUED_MAX queued (the fixture looks at each byte), none is closed but the sender's, and an innocent session
 * on the flooded link goes on. */

/* More than a link may have queued, in frames of 20 bytes. */
#define FRAMES 900000
#define CHANNELS 2000
#define INNOCENT 4000 /* its channel at the client */

struct scene {
    struct fx *fx;
    struct fx_guest guest, innocent;
    int client, other; /* of all channels but one of the guest's, which is other's */
    uint32_t first, n; /* the guest's channels, all to `client` */
    uint32_t next;     /* at the client */
    uint8_t batch[RT_FRAME_PAYLOAD_MAX];
    size_t size;
};

static void flush(struct scene *s, int from)
{
    fx_bytes(s->fx, from, s->batch, s->size);
    s->size = 0;
}

static void put(struct scene *s, int from, struct rt_frame frame, const void *payload)
{
    if (s->size + RT_FRAME_HEADER + frame.length > sizeof(s->batch)) {
        flush(s, from);
    }
    rt_frame_put(s->batch + s->size, &frame);
    if (frame.length > 0) {
        memcpy(s->batch + s->size + RT_FRAME_HEADER, payload, frame.length);
    }
    s->size += RT_FRAME_HEADER + frame.length;
}

static void forget_output(struct fx *fx)
{
    for (size_t i = 0; i < fx->n_links; i++) {
        fx->links[i].out_size = fx->links[i].out_read = 0;
    }
}

/* Channels of the guest to the client, of which the guest has answered so many. */
static void attach(struct scene *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        (void)fx_bound(s->fx, &s->guest, s->client, s->next++);
        s->n++;
        forget_output(s->fx);
    }
}

static void set_up(struct scene *s, struct fx *fx)
{
    memset(s, 0, sizeof(*s));
    s->fx = fx;
    fx_guest(&s->guest, "web", 1);
    fx_serve(fx, &s->guest);
    fx_guest(&s->innocent, "innocent", 2);
    fx_serve(fx, &s->innocent);
    s->client = fx_client(fx, "local");
    s->other = fx_client(fx, "local");
    (void)fx_bound(fx, &s->guest, s->other, 1);
    s->first = 2;
    s->next = 1;
    forget_output(fx);
}

static void stall(struct scene *s, bool stalled)
{
    s->fx->links[s->guest.link].stalled = stalled;
    s->fx->links[s->client].stalled = stalled;
    fx_settle(s->fx);
}

/* The links are as full as they get before anything has to wait. */
static void jam(struct scene *s)
{
    stall(s, true);
    fx_queued(s->fx, s->guest.link, RT_LINK_HIGH_WATER + 1);
    fx_queued(s->fx, s->client, RT_LINK_HIGH_WATER + 1);
}

static void innocent_channel(struct scene *s)
{
    assert_int_equal(fx_bound(s->fx, &s->innocent, s->client, INNOCENT), 1);
    forget_output(s->fx);
}

/* ---- one frame again and again, on each of a few channels in turn ---- */

static void repeat(struct scene *s, int from, struct rt_frame frame, const void *payload)
{
    bool guest = from == s->guest.link;

    jam(s);
    for (uint32_t i = 0; i < FRAMES && !fx_closed(s->fx, from); i++) {
        if (frame.channel != 0) {
            frame.channel = (guest ? s->first : 1) + i % s->n;
        }
        frame.offset += frame.type == RT_ACK;
        put(s, from, frame, payload);
        if (i % 4096 == 0) {
            flush(s, from);
            fx_answer(s->fx);
        }
    }
    flush(s, from);
}

static void hop(struct scene *s, int from, uint8_t type)
{
    struct rt_frame frame = {.type = type};

    innocent_channel(s);
    repeat(s, from, frame, NULL);
}

static void acks(struct scene *s, int from)
{
    uint8_t payload[RT_ACK_PAYLOAD];
    struct rt_frame frame = {.type = RT_ACK, .channel = 1, .length = sizeof(payload)};

    frame.stream = from == s->client ? RT_STDOUT : RT_STDIN;
    rt_put_u64(payload, RT_COUNTER_MAX - 1);
    rt_put_u64(payload + 8, 1);
    attach(s, 3);
    innocent_channel(s);
    repeat(s, from, frame, payload);
}

static void fins(struct scene *s, int from)
{
    struct rt_frame frame = {.type = RT_FIN, .channel = 1};

    frame.stream = from == s->client ? RT_STDIN : RT_STDERR;
    attach(s, 3);
    innocent_channel(s);
    repeat(s, from, frame, NULL);
}

static void stops(struct scene *s, int from)
{
    attach(s, 3);
    innocent_channel(s);
    repeat(s, from, (struct rt_frame){.type = RT_STOP, .channel = 1}, NULL);
}

/* The limit of the only ACK that it got. */
static uint64_t told_limit(struct scene *s, int link)
{
    struct rt_frame frame;
    const uint8_t *payload = fx_want(s->fx, link, RT_ACK, &frame);

    return rt_get_u64(payload);
}

/* Small frames, which cost more than their credit says, on all streams of many channels, until no credit is left. */
static void data(struct scene *s, int from)
{
    bool guest = from == s->guest.link, more = true;
    uint8_t payload[RT_ACK_PAYLOAD];
    uint64_t sent[100][3], limit[100][3];
    uint16_t streams[2][3] = {{RT_STDIN, RT_CONTROL_DOWN, RT_STDIN}, {RT_STDOUT, RT_STDERR, RT_CONTROL_UP}};
    uint32_t n = guest ? 3 : 2;

    attach(s, 100);
    innocent_channel(s);
    rt_put_u64(payload, RT_COUNTER_MAX - 1);
    rt_put_u64(payload + 8, 1);
    for (uint32_t i = 0; i < 100 * n; i++) { /* every stream grows */
        struct rt_frame frame = {.type = RT_ACK, .offset = RT_INITIAL_CREDIT, .length = sizeof(payload)};
        frame.stream = streams[guest][i % n];
        fx_data(s->fx, from, (guest ? s->first : 1) + i / n, frame.stream, 0, s->batch, RT_INITIAL_CREDIT);
        frame.channel = (guest ? 1 : s->first) + i / n;
        fx_send(s->fx, guest ? s->client : s->guest.link, &frame, payload);
        sent[i / n][i % n] = RT_INITIAL_CREDIT;
        limit[i / n][i % n] = told_limit(s, from);
        forget_output(s->fx);
    }
    jam(s);
    for (uint32_t turn = 0; more && fx_stats(s->fx).channels > 2; turn++) {
        more = false;
        for (uint32_t k = 0; k < 100 * n; k++) {
            uint64_t *at = &sent[k / n][k % n];
            struct rt_frame frame = {.type = RT_DATA, .length = 1, .offset = *at, .stream = streams[guest][k % n]};
            if (*at < limit[k / n][k % n]) {
                frame.channel = (guest ? s->first : 1) + k / n;
                put(s, from, frame, "x");
                ++*at;
                more = true;
            }
        }
        if (turn % 100 == 0) {
            forget_output(s->fx);
        }
    }
    flush(s, from);
}

/* ---- from the guest ---- */

static void hello(struct scene *s, int from)
{
    put(s, from, (struct rt_frame){.type = RT_HELLO, .length = 1}, "x");
    hop(s, from, RT_PING);
}

static void confirm(struct scene *s, int from)
{
    put(s, from, (struct rt_frame){.type = RT_CONFIRM}, NULL);
    hop(s, from, RT_PING);
}

static void pings(struct scene *s, int from)
{
    hop(s, from, RT_PING);
}

static void pongs(struct scene *s, int from)
{
    hop(s, from, RT_PONG);
}

static void reports(struct scene *s, int from)
{
    struct rt_report_msg *msg = calloc(1, sizeof(*msg));
    uint8_t payload[512];
    int size;

    assert_non_null(msg);
    size = rt_msg_encode(RT_MSG_REPORT, msg, payload, sizeof(payload));
    free(msg);
    assert_true(size > 0);
    innocent_channel(s);
    repeat(s, from, (struct rt_frame){.type = RT_REPORT, .length = (uint32_t)size}, payload);
}

static void tails(struct scene *s, int from)
{
    innocent_channel(s);
    repeat(s, from, (struct rt_frame){.type = RT_TAIL, .stream = RT_STDOUT, .length = 10}, "0123456789");
}

static void ends(struct scene *s, int from)
{
    struct rt_end_msg end = {.code = 1};
    uint8_t payload[64];
    int size = rt_msg_encode(RT_MSG_END, &end, payload, sizeof(payload));

    assert_true(size > 0);
    innocent_channel(s);
    jam(s);
    for (unsigned i = 0; i < FRAMES / 10; i++) {
        put(s, from, (struct rt_frame){.type = RT_END, .length = (uint32_t)size}, payload);
        if (i % 100 == 0) {
            flush(s, from);
            fx_answer(s->fx);
        }
    }
    flush(s, from);
}

static void gaps(struct scene *s, int from)
{
    uint8_t payload[RT_GAP_PAYLOAD];

    attach(s, 3);
    innocent_channel(s);
    jam(s);
    for (uint32_t i = 0; i < FRAMES; i++) {
        rt_put_u64(payload, UINT64_C(10) * (i / 3 + 1));
        put(s, from,
            (struct rt_frame){.type = RT_GAP,
                              .channel = s->first + i % 3,
                              .stream = RT_STDOUT,
                              .offset = UINT64_C(10) * (i / 3),
                              .length = sizeof(payload)},
            payload);
    }
    flush(s, from);
}

static void attacheds(struct scene *s, int from)
{
    struct rt_attached_msg msg = {
        .life = s->guest.life, .epoch = s->guest.epoch, .st = 1, .out = {{.s = RT_STDOUT}}, .n_out = 1};
    uint8_t payload[RT_SHORT_MAX];
    int size = rt_msg_encode(RT_MSG_ATTACHED, &msg, payload, sizeof(payload));

    assert_true(size > 0);
    innocent_channel(s);
    for (uint32_t i = 0; i < 300; i++) { /* more than it may leave without an answer */
        fx_attach(s->fx, s->client, INNOCENT + 1 + i, "web", RT_WAIT_MAX_MS, 0, 0);
    }
    jam(s);
    for (uint32_t i = 0; i < FRAMES / 10; i++) {
        put(s, from, (struct rt_frame){.type = RT_ATTACHED, .channel = s->first + i % 4000, .length = (uint32_t)size},
            payload);
    }
    flush(s, from);
}

/* As long as a REFUSE may be: on many channels, again and again. */
static void refuses(struct scene *s, int from)
{
    static const char text[RT_TEXT_MAX] = "no";
    struct rt_refuse_msg refuse = {.c = RT_CLASS_LOST, .m = {(const uint8_t *)text, 2}};
    uint8_t payload[RT_SHORT_MAX];
    int size = rt_msg_encode(RT_MSG_REFUSE, &refuse, payload, sizeof(payload));

    assert_true(size > 0);
    attach(s, CHANNELS);
    innocent_channel(s);
    s->next = INNOCENT + 1;
    jam(s);
    for (unsigned turn = 0; turn < 20; turn++) {
        for (uint32_t i = 0; i < CHANNELS; i++) {
            put(s, from,
                (struct rt_frame){
                    .type = RT_REFUSE, .channel = (from == s->client ? 1 : s->first) + i, .length = (uint32_t)size},
                payload);
        }
        flush(s, from);
        /* A client that is refused attaches again, each once; one that floods goes on. */
        for (uint32_t i = 0; i < CHANNELS && !fx_closed(s->fx, s->client) && (turn == 0 || from == s->client); i++) {
            fx_attach(s->fx, s->client, s->next++, "web", 0, 0, 0);
            fx_tick(s->fx, 0);
        }
    }
}

/* ---- from the client ---- */

static void requests(struct scene *s, int from)
{
    static const char *const ops[] = {"hosts", "list", "tails", "show", "create", "nonsense"};
    struct rt_request_msg msg;
    uint8_t payload[256];

    innocent_channel(s);
    stall(s, true);
    for (uint32_t i = 0; i < FRAMES / 10 && !fx_closed(s->fx, from); i++) {
        int size;
        memset(&msg, 0, sizeof(msg));
        msg.op = rt_slice_text(ops[i % 6]);
        msg.cid = rt_slice_text(i % 6 == 1 ? "" : "web");
        size = rt_msg_encode(RT_MSG_REQUEST, &msg, payload, sizeof(payload));
        assert_true(size > 0);
        put(s, from, (struct rt_frame){.type = RT_REQUEST, .offset = i, .length = (uint32_t)size}, payload);
        if (i % 100 == 0) {
            flush(s, from);
            fx_answer(s->fx);
            fx_tick(s->fx, 0);
        }
    }
    flush(s, from);
}

static void attaches(struct scene *s, int from)
{
    innocent_channel(s);
    s->next = INNOCENT + 1;
    for (unsigned turn = 0; turn < 3; turn++) {
        for (uint32_t i = 0; i < 2 * RT_LINK_CHANNELS_MAX && !fx_closed(s->fx, from); i++) {
            fx_attach(s->fx, from, s->next++, i % 2 ? "web" : "none", RT_WAIT_MAX_MS, 0, 0);
            if (i % 100 == 0) {
                fx_answer(s->fx);
            }
        }
        if (turn == 0) {
            jam(s);
        }
    }
}

/* A channel is made and given up, again and again. */
static void detaches(struct scene *s, int from)
{
    attach(s, CHANNELS);
    innocent_channel(s);
    jam(s);
    for (uint32_t i = 0; i < CHANNELS; i++) {
        put(s, from, (struct rt_frame){.type = RT_DETACH, .channel = 1 + i}, NULL);
    }
    flush(s, from);
    for (uint32_t i = INNOCENT + 1; i < INNOCENT + FRAMES / 10 && !fx_closed(s->fx, from); i++) {
        fx_attach(s->fx, from, i, "web", 0, 0, 0);
        put(s, from, (struct rt_frame){.type = RT_DETACH, .channel = i}, NULL);
        flush(s, from);
    }
}

/* ---- all ---- */

struct flood {
    uint8_t type;
    enum rt_peer_role from;
    void (*run)(struct scene *s, int from);
    bool closes; /* the sender's own link ends */
};

static const struct flood floods[] = {
    {RT_HELLO, RT_PEER_GUEST, hello, true},         {RT_HELLO, RT_PEER_CLIENT, hello, true},
    {RT_CONFIRM, RT_PEER_GUEST, confirm, true},     {RT_REPORT, RT_PEER_GUEST, reports, false},
    {RT_REFUSE, RT_PEER_GUEST, refuses, false},     {RT_REFUSE, RT_PEER_CLIENT, refuses, true},
    {RT_PING, RT_PEER_GUEST, pings, false},         {RT_PING, RT_PEER_CLIENT, pings, false},
    {RT_PONG, RT_PEER_GUEST, pongs, false},         {RT_PONG, RT_PEER_CLIENT, pongs, false},
    {RT_REQUEST, RT_PEER_CLIENT, requests, true},   {RT_TAIL, RT_PEER_GUEST, tails, false},
    {RT_END, RT_PEER_GUEST, ends, false},           {RT_ATTACH, RT_PEER_CLIENT, attaches, true},
    {RT_ATTACHED, RT_PEER_GUEST, attacheds, false}, {RT_DATA, RT_PEER_GUEST, data, false},
    {RT_DATA, RT_PEER_CLIENT, data, false},         {RT_ACK, RT_PEER_GUEST, acks, false},
    {RT_ACK, RT_PEER_CLIENT, acks, false},          {RT_FIN, RT_PEER_GUEST, fins, false},
    {RT_FIN, RT_PEER_CLIENT, fins, false},          {RT_GAP, RT_PEER_GUEST, gaps, false},
    {RT_STOP, RT_PEER_GUEST, stops, false},         {RT_DETACH, RT_PEER_CLIENT, detaches, false},
};
#define FLOODS (sizeof(floods) / sizeof(floods[0]))

/* Both read again: the session that had no part in it goes on where it was. */
static void innocent_goes_on(struct scene *s, const struct flood *flood)
{
    struct fx *fx = s->fx;
    struct rt_frame frame;
    const uint8_t *payload;
    bool came = false;

    assert_false(fx_closed(fx, s->innocent.link));
    assert_false(fx_closed(fx, s->other));
    assert_false(fx_closed(fx, flood->from == RT_PEER_GUEST ? s->client : s->guest.link));
    if (flood->from == RT_PEER_CLIENT) {
        stall(s, false);
        forget_output(fx);
        fx_data(fx, s->other, 1, RT_STDIN, 0, "still here", 10);
        while (fx_next(fx, s->guest.link, &frame, &payload)) {
            came = came || (frame.type == RT_DATA && frame.channel == 1 && frame.length == 10);
        }
    } else {
        fx_data(fx, s->innocent.link, 1, RT_STDOUT, 0, "still here", 10);
        stall(s, false);
        while (fx_next(fx, s->client, &frame, &payload)) {
            came = came || (frame.type == RT_DATA && frame.channel == INNOCENT && frame.length == 10);
        }
    }
    assert_true(came);
}

static void test_floods(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));

    (void)state;
    assert_non_null(s);
    for (size_t i = 0; i < FLOODS; i++) {
        struct fx *fx = calloc(1, sizeof(*fx));
        int from;
        assert_non_null(fx);
        fx_init(fx);
        set_up(s, fx);
        from = floods[i].from == RT_PEER_GUEST ? s->guest.link : s->client;
        print_message("%s from a %s\n", rt_frame_name(floods[i].type),
                      floods[i].from == RT_PEER_GUEST ? "guest" : "client");
        floods[i].run(s, from);
        fx_tick(fx, 0);
        assert_int_equal(fx_closed(fx, from), floods[i].closes);
        innocent_goes_on(s, &floods[i]);
        fx_close(fx);
        free(fx);
    }
    free(s);
}

/* A type that goes to the agent, from whom it says, has a flood. */
static bool goes(uint8_t type, unsigned way)
{
    static const uint32_t lengths[] = {0, 1, RT_GAP_PAYLOAD, RT_ACK_PAYLOAD};
    const char *why;

    for (unsigned i = 0; i < 4 * RT_STREAMS * 2; i++) {
        struct rt_frame frame = {.type = type,
                                 .length = lengths[i % 4],
                                 .stream = (uint16_t)(i / 4 % RT_STREAMS),
                                 .channel = i / 4 / RT_STREAMS};
        if (rt_frame_check(&frame, way, &why) == 0) {
            return true;
        }
    }
    return false;
}

static void test_every_type(void **state)
{
    (void)state;
    for (unsigned type = 0; type <= UINT8_MAX; type++) {
        for (unsigned from = RT_PEER_GUEST; from <= RT_PEER_CLIENT; from++) {
            size_t n = 0;
            for (size_t i = 0; i < FLOODS; i++) {
                n += floods[i].type == type && floods[i].from == from;
            }
            if (n != goes((uint8_t)type, from == RT_PEER_GUEST ? RT_WAY_GUEST_AGENT : RT_WAY_CLIENT_AGENT)) {
                fail_msg("%s (%u) from a %s has %zu floods", rt_frame_name((uint8_t)type), type,
                         from == RT_PEER_GUEST ? "guest" : "client", n);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_floods),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
