/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_core/client_streams.h"

#include "session/core/client.h"
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"
#include "tests/unit/session_core/client_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct rt_catt *fx_attach(struct fx *fx)
{
    struct rt_attach_options options = {.cid = "box", .want = FX_WANT, .hold_ms = 30000};
    struct rt_catt *att = NULL;
    assert_int_equal(rt_client_attach(fx->client, &options, fx->now, &att), 0);
    fx_next(fx);
    return att;
}

uint32_t fx_take_attach(struct fx *fx, unsigned slot, struct rt_attach_msg *msg)
{
    char why[128];
    (void)fx_take(fx, slot);
    const struct fx_frame *frame = fx_frame(fx, RT_ATTACH, 0);
    assert_non_null(frame);
    assert_int_equal(rt_msg_decode(RT_MSG_ATTACH, frame->payload, frame->head.length, msg, why, sizeof(why)), 0);
    return frame->head.channel;
}

uint64_t fx_digest(const void *data, size_t size)
{
    struct rt_digest digest;
    rt_digest_start(&digest, 0);
    rt_digest_extend(&digest, data, size);
    return rt_digest_value(&digest);
}

struct rt_attached_msg fx_terms(void)
{
    struct rt_attached_msg msg = {.life = 5, .epoch = 1, .p = 0, .st = 1, .n_out = 3, .n_in = 2};
    for (unsigned i = 0; i < 3; i++) {
        msg.out[i].s = RT_STDOUT + i;
    }
    msg.in[0] = (struct rt_attached_in){.s = RT_STDIN, .d = fx_digest("", 0)};
    msg.in[1] = (struct rt_attached_in){.s = RT_CONTROL_DOWN, .d = fx_digest("", 0)};
    return msg;
}

void fx_attached(struct fx *fx, unsigned slot, uint32_t channel, const struct rt_attached_msg *msg)
{
    fx_send_map(fx, slot, (struct rt_frame){.type = RT_ATTACHED, .channel = channel}, RT_MSG_ATTACHED, msg);
}

void fx_data(struct fx *fx, unsigned slot, uint32_t channel, unsigned stream, uint64_t offset, const void *data,
             size_t size)
{
    fx_send(fx, slot,
            (struct rt_frame){.length = (uint32_t)size,
                              .type = RT_DATA,
                              .stream = (uint16_t)stream,
                              .channel = channel,
                              .offset = offset},
            data);
}

void fx_ack(struct fx *fx, unsigned slot, uint32_t channel, unsigned stream, uint64_t consumed, uint64_t limit,
            uint64_t digest, uint8_t flags)
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

void fx_gap(struct fx *fx, unsigned slot, uint32_t channel, unsigned stream, uint64_t from, uint64_t to)
{
    uint8_t payload[RT_GAP_PAYLOAD];
    rt_put_u64(payload, to);
    fx_send(
        fx, slot,
        (struct rt_frame){
            .length = RT_GAP_PAYLOAD, .type = RT_GAP, .stream = (uint16_t)stream, .channel = channel, .offset = from},
        payload);
}

void fx_fin(struct fx *fx, unsigned slot, uint32_t channel, unsigned stream, uint64_t offset)
{
    fx_send(fx, slot,
            (struct rt_frame){.type = RT_FIN, .stream = (uint16_t)stream, .channel = channel, .offset = offset}, NULL);
}

void fx_stop(struct fx *fx, unsigned slot, uint32_t channel, uint64_t offset)
{
    fx_send(fx, slot, (struct rt_frame){.type = RT_STOP, .channel = channel, .offset = offset}, NULL);
}

void fx_refuse(struct fx *fx, unsigned slot, uint32_t channel, const struct rt_refuse_msg *msg)
{
    fx_send_map(fx, slot, (struct rt_frame){.type = RT_REFUSE, .channel = channel}, RT_MSG_REFUSE, msg);
}

void fx_refuse_link(struct fx *fx, uint64_t cls, uint64_t delay)
{
    fx->slot[0].dialing = false;
    fx->slot[0].up = true;
    rt_client_connected(fx->client, 0, NULL, fx->now);
    (void)fx_take(fx, 0);
    fx_refuse(fx, 0, 0, &(struct rt_refuse_msg){.c = cls, .m = rt_slice_text("no"), .delay = delay});
    assert_false(fx->slot[0].up);
}

size_t fx_item(uint8_t *out, const struct rt_up_item *item)
{
    int size = rt_msg_encode(RT_MSG_UP_ITEM, item, out + 2, RT_ITEM_MAX);
    assert_true(size > 0);
    out[0] = (uint8_t)(size >> 8);
    out[1] = (uint8_t)(size & 0xff);
    return 2 + (size_t)size;
}

struct rt_catt_event fx_event(struct rt_catt *att, enum rt_catt_event_kind kind)
{
    struct rt_catt_event event;
    assert_true(rt_catt_event(att, &event));
    assert_int_equal(event.kind, kind);
    return event;
}

void fx_quiet(struct rt_catt *att)
{
    struct rt_catt_event event;
    assert_false(rt_catt_event(att, &event));
}

struct rt_catt *fx_live(struct fx *fx, unsigned agents)
{
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    fx_open(fx, agents);
    struct rt_catt *att = fx_attach(fx);
    fx_up(fx, 0);
    assert_int_equal(fx_take_attach(fx, 0, &attach), 1);
    assert_true(attach.make && !attach.take);
    assert_int_equal(attach.try_no, 1);
    fx_attached(fx, 0, 1, &terms);
    assert_int_equal(fx_event(att, RT_CATT_ATTACHED).life, 5);
    fx_quiet(att);
    assert_int_equal(fx_take(fx, 0), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(fx->frames[i].head.type, RT_ACK);
    }
    return att;
}

uint32_t fx_cut(struct fx *fx, struct rt_attach_msg *msg)
{
    fx_lost(fx, 0);
    fx_run(fx, 600, true);
    fx_up(fx, 0);
    uint32_t channel = fx_take_attach(fx, 0, msg);
    assert_true(!msg->make && !msg->take);
    return channel;
}

size_t fx_read(struct fx *fx, struct rt_catt *att, unsigned stream, uint8_t *buf, size_t cap)
{
    size_t done = 0, size;
    const uint8_t *data;
    while (done < cap && (data = rt_catt_peek(att, stream, &size)) != NULL) {
        if (size > cap - done) {
            size = cap - done;
        }
        memcpy(buf + done, data, size);
        rt_catt_consumed(att, stream, size, fx->now);
        done += size;
    }
    fx_next(fx);
    return done;
}

const struct fx_frame *fx_ack_of(const struct fx *fx, unsigned stream)
{
    const struct fx_frame *found = NULL;
    for (size_t i = 0; i < fx->n_frames; i++) {
        if (fx->frames[i].head.type == RT_ACK && fx->frames[i].head.stream == stream) {
            assert_null(found);
            found = &fx->frames[i];
        }
    }
    return found;
}

void fx_assert_ack(const struct fx *fx, unsigned stream, uint64_t consumed, uint64_t limit, uint64_t digest)
{
    const struct fx_frame *ack = fx_ack_of(fx, stream);
    assert_non_null(ack);
    assert_int_equal(ack->head.offset, consumed);
    assert_int_equal(rt_get_u64(ack->payload), limit);
    assert_int_equal(rt_get_u64(ack->payload + 8), digest);
}
