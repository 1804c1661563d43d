/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_SESSION_CORE_TEST_CLIENT_FIXTURE_H
#define RETETHER_TESTS_UNIT_SESSION_CORE_TEST_CLIENT_FIXTURE_H

#include "session/core/attachment.h"
#include "session/core/client.h"
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/limits.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"
#include "session/core/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A client machine in virtual time, with agents and guests played by the test: frames are made and read by hand. */

#define FX_FRAMES 512
#define FX_SLOTS 8
#define FX_BUF (4 * 65556)

struct fx_frame {
    struct rt_frame head;
    const uint8_t *payload; /* in fx.out, until the next take */
};

struct fx {
    struct rt_client *client;
    uint64_t now;
    struct {
        bool dialing, up;
        char addr[RT_ADDR_MAX + 1];
        unsigned dials, hangups;
        uint64_t dialed_at;
        const char *reason;
    } slot[FX_SLOTS];
    uint8_t out[FX_BUF];
    struct fx_frame frames[FX_FRAMES];
    size_t n_frames;
    unsigned replies, pings;
    int reply_error;
    uint64_t reply_id, reply_class;
};

static inline void fx_random(void *ctx, void *out, size_t size)
{
    (void)ctx;
    memset(out, 0x5a, size);
}

static inline void fx_on_reply(void *ctx, uint64_t request, int error, const struct rt_reply_msg *reply)
{
    struct fx *fx = ctx;
    fx->replies++;
    fx->reply_id = request;
    fx->reply_error = error;
    fx->reply_class = reply != NULL ? reply->c : 0;
    assert_int_equal(error == 0, reply != NULL);
}

/* Runs the actions, as a shell does after every call. */
static inline void fx_next(struct fx *fx)
{
    struct rt_client_action action;
    while (rt_client_next(fx->client, &action, fx->now)) {
        assert_true(action.agent < FX_SLOTS);
        if (action.kind == RT_CLIENT_DIAL) {
            assert_false(fx->slot[action.agent].dialing);
            assert_false(fx->slot[action.agent].up);
            fx->slot[action.agent].dialing = true;
            fx->slot[action.agent].dials++;
            fx->slot[action.agent].dialed_at = fx->now;
            memcpy(fx->slot[action.agent].addr, action.addr, sizeof action.addr);
        } else {
            assert_non_null(action.reason);
            fx->slot[action.agent].dialing = false;
            fx->slot[action.agent].up = false;
            fx->slot[action.agent].hangups++;
            fx->slot[action.agent].reason = action.reason;
        }
    }
}

/* All that the client has to send on a slot but pings, parsed. */
static inline size_t fx_take(struct fx *fx, unsigned slot)
{
    size_t size = 0, n;
    fx_next(fx);
    while (sizeof fx->out - size >= 65556 &&
           (n = rt_client_output(fx->client, slot, fx->out + size, sizeof fx->out - size, fx->now)) > 0)
        size += n;
    fx->n_frames = 0;
    for (size_t at = 0; at < size;) {
        const char *why;
        struct fx_frame *frame = &fx->frames[fx->n_frames++];
        assert_true(fx->n_frames <= FX_FRAMES && size - at >= RT_FRAME_HEADER);
        rt_frame_get(fx->out + at, &frame->head);
        assert_int_equal(rt_frame_check(&frame->head, &why), 0);
        frame->payload = fx->out + at + RT_FRAME_HEADER;
        at += RT_FRAME_HEADER + frame->head.length;
        assert_true(at <= size);
        if (frame->head.type == RT_PING) { /* counted, not kept */
            fx->n_frames--;
            fx->pings++;
        }
    }
    return fx->n_frames;
}

/* The n-th frame of a type among those taken, NULL when there are fewer. */
static inline const struct fx_frame *fx_frame(const struct fx *fx, uint8_t type, size_t n)
{
    for (size_t i = 0; i < fx->n_frames; i++)
        if (fx->frames[i].head.type == type && n-- == 0)
            return &fx->frames[i];
    return NULL;
}

static inline void fx_send(struct fx *fx, unsigned slot, struct rt_frame head, const void *payload)
{
    static uint8_t buf[RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX];
    rt_frame_put(buf, &head);
    if (head.length > 0 && payload != NULL)
        memcpy(buf + RT_FRAME_HEADER, payload, head.length);
    assert_int_equal(rt_client_input(fx->client, slot, buf, RT_FRAME_HEADER + head.length, fx->now),
                     RT_FRAME_HEADER + head.length);
    fx_next(fx);
}

static inline void fx_send_map(struct fx *fx, unsigned slot, struct rt_frame head, enum rt_msg_kind kind,
                               const void *msg)
{
    static uint8_t buf[RT_FRAME_PAYLOAD_MAX];
    int size = rt_msg_encode(kind, msg, buf, sizeof buf);
    assert_true(size > 0);
    head.length = (uint32_t)size;
    fx_send(fx, slot, head, buf);
}

/* Virtual time goes on, stopping at each deadline; `silent` slots answer no pings. Bounded: no busy loop. */
static inline void fx_run(struct fx *fx, uint64_t ms, bool answer)
{
    uint64_t end = fx->now + ms;
    for (unsigned i = 0;; i++) {
        assert_true(i < 20000);
        uint64_t at = rt_client_deadline(fx->client);
        if (at > end)
            break;
        if (at > fx->now)
            fx->now = at;
        rt_client_tick(fx->client, fx->now);
        fx_next(fx);
        for (unsigned s = 0; answer && s < FX_SLOTS; s++)
            if (fx->slot[s].up)
                fx_send(fx, s, (struct rt_frame){.type = RT_PONG}, NULL);
    }
    fx->now = end;
    rt_client_tick(fx->client, fx->now);
    fx_next(fx);
}

static inline void fx_open(struct fx *fx, unsigned agents)
{
    memset(fx, 0, sizeof *fx);
    struct rt_client_config config = {
        .name = "test", .seed = 7, .ctx = fx, .random = fx_random, .on_reply = fx_on_reply};
    fx->now = 1000;
    fx->client = rt_client_new(&config);
    assert_non_null(fx->client);
    for (unsigned i = 0; i < agents; i++) {
        char addr[32];
        (void)snprintf(addr, sizeof addr, "unix:/a%u", i);
        assert_int_equal(rt_client_add_agent(fx->client, addr), 0);
    }
}

static inline void fx_close(struct fx *fx)
{
    rt_client_free(fx->client);
}

/* The dial of a slot fails. */
static inline void fx_lost(struct fx *fx, unsigned slot)
{
    fx->slot[slot].dialing = false;
    fx->slot[slot].up = false;
    rt_client_lost(fx->client, slot, fx->now);
    fx_next(fx);
}

/* The dial succeeds and the agent h<slot> welcomes. */
static inline void fx_up(struct fx *fx, unsigned slot)
{
    char host[16];
    fx_next(fx);
    assert_true(fx->slot[slot].dialing);
    fx->slot[slot].dialing = false;
    fx->slot[slot].up = true;
    rt_client_connected(fx->client, slot, fx->now);
    assert_int_equal(fx_take(fx, slot), 1);
    assert_int_equal(fx->frames[0].head.type, RT_HELLO);
    (void)snprintf(host, sizeof host, "h%u", slot);
    fx_send_map(fx, slot, (struct rt_frame){.type = RT_WELCOME}, RT_MSG_WELCOME,
                &(struct rt_welcome_msg){.v = 1, .host = rt_slice_text(host)});
}

#define FX_WANT 0x1f

static inline struct rt_catt *fx_attach(struct fx *fx)
{
    struct rt_attach_options options = {.cid = "box", .want = FX_WANT, .hold_ms = 30000};
    struct rt_catt *att = NULL;
    assert_int_equal(rt_client_attach(fx->client, &options, fx->now, &att), 0);
    fx_next(fx);
    return att;
}

/* Takes a slot's output and decodes the ATTACH that must be in it. Returns its channel. */
static inline uint32_t fx_take_attach(struct fx *fx, unsigned slot, struct rt_attach_msg *msg)
{
    char why[128];
    (void)fx_take(fx, slot);
    const struct fx_frame *frame = fx_frame(fx, RT_ATTACH, 0);
    assert_non_null(frame);
    assert_int_equal(rt_msg_decode(RT_MSG_ATTACH, frame->payload, frame->head.length, msg, why, sizeof why), 0);
    return frame->head.channel;
}

static inline uint64_t fx_digest(const void *data, size_t size)
{
    struct rt_digest digest;
    rt_digest_start(&digest, 0);
    rt_digest_extend(&digest, data, size);
    return rt_digest_value(&digest);
}

/* ATTACHED as a guest says it for all five streams: outputs from 0, nothing applied. */
static inline struct rt_attached_msg fx_terms(void)
{
    struct rt_attached_msg msg = {.life = 5, .p = 0, .st = 1, .hold = 30000, .n_out = 3, .n_in = 2};
    for (unsigned i = 0; i < 3; i++)
        msg.out[i].s = RT_STDOUT + i;
    msg.in[0] = (struct rt_attached_in){.s = RT_STDIN, .d = fx_digest("", 0)};
    msg.in[1] = (struct rt_attached_in){.s = RT_CONTROL_DOWN, .d = fx_digest("", 0)};
    return msg;
}

static inline void fx_attached(struct fx *fx, unsigned slot, uint32_t channel, const struct rt_attached_msg *msg)
{
    fx_send_map(fx, slot, (struct rt_frame){.type = RT_ATTACHED, .channel = channel}, RT_MSG_ATTACHED, msg);
}

static inline void fx_data(struct fx *fx, unsigned slot, uint32_t channel, unsigned stream, uint64_t offset,
                           const void *data, size_t size)
{
    fx_send(fx, slot,
            (struct rt_frame){.length = (uint32_t)size,
                              .type = RT_DATA,
                              .stream = (uint16_t)stream,
                              .channel = channel,
                              .offset = offset},
            data);
}

static inline void fx_ack(struct fx *fx, unsigned slot, uint32_t channel, unsigned stream, uint64_t consumed,
                          uint64_t limit, uint64_t digest, uint8_t flags)
{
    uint8_t payload[RT_ACK_PAYLOAD];
    rt_put_u64(payload, limit);
    rt_put_u64(payload + 8, digest);
    fx_send(fx, slot,
            (struct rt_frame){.length = RT_ACK_PAYLOAD,
                              .type = RT_ACK,
                              .flags = flags,
                              .stream = (uint16_t)stream,
                              .channel = channel,
                              .offset = consumed},
            payload);
}

static inline void fx_gap(struct fx *fx, unsigned slot, uint32_t channel, unsigned stream, uint64_t from, uint64_t to)
{
    uint8_t payload[RT_GAP_PAYLOAD];
    rt_put_u64(payload, to);
    fx_send(
        fx, slot,
        (struct rt_frame){
            .length = RT_GAP_PAYLOAD, .type = RT_GAP, .stream = (uint16_t)stream, .channel = channel, .offset = from},
        payload);
}

static inline void fx_fin(struct fx *fx, unsigned slot, uint32_t channel, unsigned stream, uint64_t offset,
                          uint8_t flags)
{
    fx_send(fx, slot,
            (struct rt_frame){
                .type = RT_FIN, .flags = flags, .stream = (uint16_t)stream, .channel = channel, .offset = offset},
            NULL);
}

static inline void fx_refuse(struct fx *fx, unsigned slot, uint32_t channel, const struct rt_refuse_msg *msg)
{
    fx_send_map(fx, slot, (struct rt_frame){.type = RT_REFUSE, .channel = channel}, RT_MSG_REFUSE, msg);
}

/* The item as bytes of control-up; returns its size. */
static inline size_t fx_item(uint8_t *out, const struct rt_up_item *item)
{
    int size = rt_msg_encode(RT_MSG_UP_ITEM, item, out + 2, RT_ITEM_MAX);
    assert_true(size > 0);
    out[0] = (uint8_t)(size >> 8);
    out[1] = (uint8_t)(size & 0xff);
    return 2 + (size_t)size;
}

/* The next event must be of this kind. */
static inline struct rt_catt_event fx_event(struct rt_catt *att, enum rt_catt_event_kind kind)
{
    struct rt_catt_event event;
    assert_true(rt_catt_event(att, &event));
    assert_int_equal(event.kind, kind);
    return event;
}

static inline void fx_quiet(struct rt_catt *att)
{
    struct rt_catt_event event;
    assert_false(rt_catt_event(att, &event));
}

/* One agent, one attachment, live on channel 1; its first ACKs taken and checked. */
static inline struct rt_catt *fx_live(struct fx *fx, unsigned agents)
{
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    fx_open(fx, agents);
    struct rt_catt *att = fx_attach(fx);
    fx_up(fx, 0);
    assert_int_equal(fx_take_attach(fx, 0, &attach), 1);
    assert_int_equal(attach.mode, RT_ATTACH_NEW);
    assert_int_equal(attach.try_no, 1);
    fx_attached(fx, 0, 1, &terms);
    assert_int_equal(fx_event(att, RT_CATT_ATTACHED).life, 5);
    fx_quiet(att);
    assert_int_equal(fx_take(fx, 0), 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(fx->frames[i].head.type, RT_ACK);
    return att;
}

/* Loses link 0, brings it back, takes the new ATTACH into msg. Returns its channel. */
static inline uint32_t fx_cut(struct fx *fx, struct rt_attach_msg *msg)
{
    fx_lost(fx, 0);
    fx_run(fx, 600, true);
    fx_up(fx, 0);
    uint32_t channel = fx_take_attach(fx, 0, msg);
    assert_int_equal(msg->mode, RT_ATTACH_RESUME);
    return channel;
}

/* Consumes all that can be read of a stream into buf; returns how much. */
static inline size_t fx_read(struct fx *fx, struct rt_catt *att, unsigned stream, uint8_t *buf, size_t cap)
{
    size_t done = 0, size;
    const uint8_t *data;
    while (done < cap && (data = rt_catt_peek(att, stream, &size)) != NULL) {
        if (size > cap - done)
            size = cap - done;
        memcpy(buf + done, data, size);
        rt_catt_consumed(att, stream, size, fx->now);
        done += size;
    }
    fx_next(fx);
    return done;
}

#endif
