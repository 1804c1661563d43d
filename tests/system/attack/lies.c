/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "tests/system/attack/cases.h"
#include "tests/system/attack/honest.h"
#include "tests/system/attack/rogue.h"

#include <stdio.h>
#include <string.h>

/* A guest that lies in every field: each byte of each message that it sends is put in turn for others, and each number
 * of a frame's header. Beside it, on the link of the client that it lies to, is a channel to an honest container. */

#define MESSAGE_MAX 1024
/* Of a token only its two ends are changed: what is sealed is not read otherwise. */
#define TOKEN_ENDS 4

/* What stands for a byte: nothing, an empty text, nil, -1, a number of 8 bytes, a text, an array and a map of more than
 * there is. */
static const uint8_t instead[] = {0x00, 0xa0, 0xc0, 0xff, 0xcf, 0xdb, 0xdd, 0xdf};

#define INSTEAD (sizeof(instead) / sizeof(instead[0]))

struct lies {
    struct rogue guest;
    struct peer client;
    uint32_t channel; /* newest of the client */
    unsigned told, refused;
};

static void begin(struct lies *lies, const char *cid)
{
    struct rt_attach_msg msg = {
        .cid = rt_slice_text(HONEST_CID), .make = true, .want = 1U << RT_STDOUT, .from = RT_FROM_NOW};
    struct rt_frame frame;

    memset(lies, 0, sizeof(*lies));
    rogue_start(&lies->guest, cid);
    attack_client(&lies->client, NULL);
    attack_attach(&lies->client, ++lies->channel, &msg);
    assert_non_null(attack_next(&lies->client, ATTACK_TYPE(RT_ATTACHED), &frame));
}

static void finish(struct lies *lies)
{
    attack_saw("%u lies: %u refused, %u without effect", lies->told, lies->refused, lies->told - lies->refused);
    assert_true(lies->told > 0 && lies->refused > 0);
    assert_true(attack_alive(&lies->client));
    attack_close(&lies->client);
    rogue_close(&lies->guest);
}

/* What became of the guest's link: RT_CLASS_OK, it goes on. */
static int fate(struct peer *peer)
{
    struct rt_frame ping = {.type = RT_PING, .offset = attack_number()}, frame;

    peer_send(peer, &ping, NULL);
    peer->eof = false; /* what was said before the end is still to be read */
    do {
        if (attack_next(peer, ATTACK_TYPE(RT_PONG) | ATTACK_TYPE(RT_REFUSE), &frame) == NULL) {
            return ATTACK_CLOSED;
        }
        if (frame.type == RT_PONG && frame.offset == ping.offset) {
            return RT_CLASS_OK;
        }
    } while (frame.type == RT_PONG || frame.channel != 0);
    peer->used -= RT_FRAME_HEADER + (size_t)frame.length;
    return attack_refused(peer, 0);
}

/* Its link goes on, or was refused: then it comes back. */
static void judge(struct lies *lies)
{
    int cls = fate(&lies->guest.peer);

    lies->told++;
    if (cls != RT_CLASS_OK) {
        lies->refused++;
        assert_int_equal(cls, RT_CLASS_PROTOCOL);
        rogue_again(&lies->guest);
    }
}

static size_t encode(enum rt_msg_kind kind, const void *msg, uint8_t out[MESSAGE_MAX])
{
    int size = rt_msg_encode(kind, msg, out, MESSAGE_MAX);

    assert_true(size > 0);
    return (size_t)size;
}

/* ---- messages ---- */

void attack_lies_in_hello(void)
{
    static struct lies lies;
    uint8_t bytes[MESSAGE_MAX], inc[RT_ID_SIZE] = {1}, nonce[RT_ID_SIZE] = {2};
    struct rt_hello_msg hello = {.vmin = 1, .vmax = 1, .role = rt_slice_text("guest"), .epoch = 1};
    struct rogue other;

    begin(&lies, "lies-hello");
    rogue_make(&other, "lies-other");
    hello.cid = rt_slice_text(other.cid);
    hello.inc = (struct rt_slice){inc, sizeof(inc)};
    hello.nonce = (struct rt_slice){nonce, sizeof(nonce)};
    hello.tok = (struct rt_slice){other.join.data, other.join.size};
    size_t size = encode(RT_MSG_HELLO, &hello, bytes);
    const uint8_t *token = memmem(bytes, size, other.join.data, other.join.size);
    assert_non_null(token);
    size_t from = (size_t)(token - bytes);
    for (size_t i = 0; i < size * INSTEAD; i++) {
        size_t at = i / INSTEAD;
        uint8_t was = bytes[at];
        struct rt_frame frame = {.type = RT_HELLO, .length = (uint32_t)size};
        struct peer peer;

        if (at >= from + TOKEN_ENDS && at + TOKEN_ENDS < from + other.join.size) {
            continue;
        }
        bytes[at] = instead[i % INSTEAD];
        peer_open(&peer, attack_guests(0));
        peer_send(&peer, &frame, bytes);
        bytes[at] = was;
        lies.told++;
        if (attack_next(&peer, ATTACK_TYPE(RT_WELCOME) | ATTACK_TYPE(RT_REFUSE), &frame) == NULL ||
            frame.type == RT_REFUSE) {
            lies.refused++;
        }
        attack_close(&peer);
    }
    finish(&lies);
}

void attack_lies_in_report(void)
{
    static struct lies lies;
    static struct rt_report_msg report;
    uint8_t bytes[MESSAGE_MAX], id[RT_ID_SIZE] = {3};

    begin(&lies, "lies-report");
    report = (struct rt_report_msg){.n_procs = 1, .n_atts = 1, .done = 1, .pmore = 1, .amore = 1};
    report.procs[0] = (struct rt_report_proc){.st = 1, .n_base = 3, .n_head = 3, .head = {300, 300, 300}, .code = 1};
    report.atts[0] = (struct rt_report_att){
        .id = {id, sizeof(id)}, .bound = true, .n_cons = 3, .n_app = 2, .cons = {200, 200, 200}, .hold = 1000};
    size_t size = encode(RT_MSG_REPORT, &report, bytes);
    for (size_t i = 0; i < size * INSTEAD; i++) {
        struct rt_frame frame = {.type = RT_REPORT, .length = (uint32_t)size};
        uint8_t was = bytes[i / INSTEAD];

        bytes[i / INSTEAD] = instead[i % INSTEAD];
        peer_send(&lies.guest.peer, &frame, bytes);
        bytes[i / INSTEAD] = was;
        judge(&lies);
    }
    harness_expect(0, NULL, ARGS("show", "lies-report"));
    finish(&lies);
}

/* To an ATTACH of the client's, on a channel of its own: the client hears of it there, and nobody's link ends. */
static void answer(struct lies *lies, enum rt_frame_type type, const uint8_t *bytes, size_t size)
{
    struct rt_attach_msg msg = {.cid = rt_slice_text(lies->guest.cid), .make = true, .want = 31, .wait = 10000};
    struct rt_frame frame;
    uint32_t at;

    attack_attach(&lies->client, ++lies->channel, &msg);
    assert_non_null(attack_next(&lies->guest.peer, ATTACK_TYPE(RT_ATTACH), &frame));
    at = frame.channel;
    frame = (struct rt_frame){.type = (uint8_t)type, .channel = at, .length = (uint32_t)size};
    peer_send(&lies->guest.peer, &frame, bytes);
    do {
        assert_non_null(attack_next(&lies->client, ATTACK_TYPE(RT_ATTACHED) | ATTACK_TYPE(RT_REFUSE), &frame));
        assert_int_not_equal(frame.channel, 0);
        assert_int_not_equal(frame.channel, 1);
    } while (frame.channel != lies->channel);
    lies->told++;
    lies->refused += frame.type == RT_REFUSE;
    if (frame.type == RT_ATTACHED) {
        rogue_refuse(&lies->guest, at, RT_CLASS_LOST, "over");
        assert_int_equal(attack_refused(&lies->client, lies->channel), RT_CLASS_LOST);
    }
    assert_int_equal(fate(&lies->guest.peer), RT_CLASS_OK);
}

void attack_lies_in_answers(void)
{
    static struct lies lies;
    uint8_t bytes[2][MESSAGE_MAX];
    size_t size[2];

    begin(&lies, "lies-answers");
    struct rt_attached_msg attached = {
        .life = lies.guest.peer.life, .epoch = 1, .p = 1, .st = 2, .n_out = 3, .n_in = 2};
    for (unsigned i = 0; i < 3; i++) {
        attached.out[i] = (struct rt_attached_out){.s = RT_STDOUT + i, .c = 100, .head = 300};
    }
    attached.in[0] = (struct rt_attached_in){.s = RT_STDIN, .a = 300, .d = UINT64_MAX, .closed = true};
    attached.in[1] = (struct rt_attached_in){.s = RT_CONTROL_DOWN, .a = 300, .d = 1};
    struct rt_refuse_msg refuse = {.c = RT_CLASS_LIMIT, .m = rt_slice_text("lies"), .max = 300};
    refuse.which = rt_slice_text("limit");
    size[0] = encode(RT_MSG_ATTACHED, &attached, bytes[0]);
    size[1] = encode(RT_MSG_REFUSE, &refuse, bytes[1]);
    for (unsigned k = 0; k < 2; k++) {
        for (size_t i = 0; i < size[k] * INSTEAD; i++) {
            uint8_t was = bytes[k][i / INSTEAD];

            bytes[k][i / INSTEAD] = instead[i % INSTEAD];
            answer(&lies, k == 0 ? RT_ATTACHED : RT_REFUSE, bytes[k], size[k]);
            bytes[k][i / INSTEAD] = was;
        }
    }
    finish(&lies);
}

/* Each that is believed is the end of a session, and the next lie is another one's. */
void attack_lies_in_end(void)
{
    static struct lies lies;
    static const uint8_t order[] = {1, 4, 2};
    struct rt_end_msg end = {.code = 1, .out = 300, .err = 2, .ord = {order, sizeof(order)}};
    uint8_t bytes[MESSAGE_MAX];
    size_t size = encode(RT_MSG_END, &end, bytes);

    begin(&lies, "lies-end");
    for (size_t i = 0; i < size * INSTEAD; i++) {
        struct rt_frame tail = {.type = RT_TAIL, .stream = RT_STDOUT, .offset = 296, .length = 4};
        struct rt_frame frame = {.type = RT_END, .length = (uint32_t)size};
        uint8_t was = bytes[i / INSTEAD];
        char cid[40];

        peer_send(&lies.guest.peer, &tail, "tail");
        bytes[i / INSTEAD] = instead[i % INSTEAD];
        peer_send(&lies.guest.peer, &frame, bytes);
        bytes[i / INSTEAD] = was;
        lies.told++;
        do { /* a channel's REFUSE says that a client has gone */
            assert_non_null(attack_next(&lies.guest.peer, ATTACK_TYPE(RT_END_OK) | ATTACK_TYPE(RT_REFUSE), &frame));
        } while (frame.channel != 0);
        if (frame.type == RT_REFUSE) {
            lies.refused++;
            rogue_again(&lies.guest);
        } else {
            (void)snprintf(cid, sizeof(cid), "lies-end-%zu", i);
            rogue_close(&lies.guest);
            rogue_start(&lies.guest, cid);
        }
    }
    finish(&lies);
}

/* ---- headers ---- */

void attack_lies_in_headers(void)
{
    static struct lies lies;
    static const uint8_t zeros[RT_FRAME_PAYLOAD_MAX];
    const struct rt_frame fields[] = {{.flags = 0xff},
                                      {.stream = RT_STREAMS},
                                      {.stream = 0xffff},
                                      {.stream = RT_STDIN},
                                      {.channel = UINT32_MAX},
                                      {.channel = 1},
                                      {.channel = 1, .stream = RT_STDOUT, .length = RT_FRAME_PAYLOAD_MAX},
                                      {.channel = 1, .stream = RT_STDOUT, .offset = RT_COUNTER_MAX - 1},
                                      {.channel = 1, .stream = RT_STDOUT, .length = 8, .offset = RT_COUNTER_MAX - 1},
                                      {.channel = 1, .stream = RT_STDIN, .length = 16, .offset = RT_COUNTER_MAX - 1},
                                      {.channel = 1, .offset = RT_COUNTER_MAX},
                                      {.channel = 1, .offset = UINT64_MAX},
                                      {.length = RT_FRAME_PAYLOAD_MAX + 1},
                                      {.length = UINT32_MAX}};

    begin(&lies, "lies-headers");
    for (unsigned type = 0; type <= UINT8_MAX; type += type == RT_DETACH + 2 ? UINT8_MAX - RT_DETACH - 2 : 1) {
        for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
            struct rt_frame frame = fields[i];
            uint8_t header[RT_FRAME_HEADER];

            frame.type = (uint8_t)type;
            rt_frame_put(header, &frame);
            (void)peer_write(&lies.guest.peer, header, sizeof(header));
            if (frame.length <= RT_FRAME_PAYLOAD_MAX) {
                (void)peer_write(&lies.guest.peer, zeros, frame.length);
            }
            judge(&lies);
        }
    }
    finish(&lies);
}
