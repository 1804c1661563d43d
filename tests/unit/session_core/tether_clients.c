/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_core/tether_clients.h"

#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/protocol.h"
#include "session/core/ring.h"
#include "session/core/tether_machine.h"
#include "session/core/tether_proc.h"
#include "tests/lib/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct rt_slice tx_id(uint8_t n)
{
    static uint8_t ids[256][RT_ID_SIZE];
    memset(ids[n], n, RT_ID_SIZE);
    return (struct rt_slice){.data = ids[n], .size = RT_ID_SIZE};
}

struct rt_attach_msg tx_new(uint8_t id, uint64_t try_no)
{
    return (struct rt_attach_msg){
        .cid = rt_slice_text("box"), .id = tx_id(id), .try_no = try_no, .make = true, .want = TX_WANT, .hold = 30000};
}

void tx_attach(struct tx *tx, uint32_t channel, const struct rt_attach_msg *msg)
{
    tx_send_map(tx, (struct rt_frame){.type = RT_ATTACH, .channel = channel}, RT_MSG_ATTACH, msg);
}

void tx_attached(struct tx *tx, uint32_t channel, struct rt_attached_msg *msg)
{
    (void)tx_take(tx);
    tx_decode(tx_frame(tx, RT_ATTACHED, channel, 0), RT_MSG_ATTACHED, msg);
}

struct rt_refuse_msg tx_refused(struct tx *tx, uint32_t channel, enum rt_class cls)
{
    struct rt_refuse_msg msg;
    (void)tx_take(tx);
    tx_decode(tx_frame(tx, RT_REFUSE, channel, 0), RT_MSG_REFUSE, &msg);
    assert_int_equal(msg.c, cls);
    return msg;
}

void tx_attach_refused(struct tx *tx, struct rt_attach_msg msg, enum rt_class cls)
{
    static uint32_t channel = 1000;
    tx_attach(tx, ++channel, &msg);
    struct rt_refuse_msg refuse = tx_refused(tx, channel, cls);
    assert_true(refuse.m.size > 0);
}

void tx_bind(struct tx *tx, uint32_t channel, const struct rt_attach_msg *msg)
{
    struct rt_attached_msg attached;
    tx_attach(tx, channel, msg);
    tx_attached(tx, channel, &attached);
}

uint64_t tx_digest(unsigned stream, uint64_t from, uint64_t to)
{
    struct rt_digest digest;
    rt_digest_start(&digest, from);
    while (from < to) {
        uint8_t part[4096];
        size_t n = to - from < sizeof(part) ? (size_t)(to - from) : sizeof(part);
        for (size_t i = 0; i < n; i++) {
            part[i] = tx_byte(stream, from + i);
        }
        rt_digest_extend(&digest, part, n);
        from += n;
    }
    return rt_digest_value(&digest);
}

void tx_ack_raw(struct tx *tx, uint32_t channel, unsigned stream, uint64_t consumed, uint64_t limit, uint64_t digest,
                uint8_t flags)
{
    uint8_t payload[RT_ACK_PAYLOAD];
    rt_put_u64(payload, limit);
    rt_put_u64(payload + 8, digest);
    tx_send(tx,
            (struct rt_frame){.length = RT_ACK_PAYLOAD,
                              .type = RT_ACK,
                              .flags = flags,
                              .stream = (uint16_t)stream,
                              .channel = channel,
                              .offset = consumed},
            payload);
}

struct tx_rx tx_rx(uint64_t start)
{
    return (struct tx_rx){.next = start, .from = start, .limit = start + TX_INITIAL};
}

uint64_t tx_consume(struct tx *tx, uint32_t channel, unsigned stream, struct tx_rx *rx)
{
    uint64_t came = 0;
    for (size_t i = 0; i < tx->n_frames; i++) {
        const struct tx_frame *f = &tx->frames[i];
        if (f->head.channel != channel || f->head.stream != stream) {
            continue;
        }
        if (f->head.type == RT_DATA) {
            assert_int_equal(f->head.offset, rx->next);
            for (uint32_t k = 0; k < f->head.length; k++) {
                if (f->payload[k] != tx_byte(stream, rx->next + k)) {
                    fail_msg("wrong byte at %llu", (unsigned long long)(rx->next + k));
                }
            }
            rx->next += f->head.length;
            came += f->head.length;
            assert_true(rx->next <= rx->limit);
        } else if (f->head.type == RT_GAP) {
            assert_int_equal(f->head.offset, rx->next);
            rx->gap_from = rx->next;
            rx->gap_to = rx->next = rx->from = rt_get_u64(f->payload);
            assert_true(rx->gap_to > rx->gap_from);
            rx->gaps++;
        } else if (f->head.type == RT_FIN) {
            assert_int_equal(f->head.offset, rx->next);
            rx->fin = true;
        }
    }
    return came;
}

void tx_ack(struct tx *tx, uint32_t channel, unsigned stream, struct tx_rx *rx, uint64_t window)
{
    if (rx->limit < rx->next + window) {
        rx->limit = rx->next + window;
    }
    tx_ack_raw(tx, channel, stream, rx->next, rx->limit, tx_digest(stream, rx->from, rx->next),
               rx->fin ? RT_ACK_FIN : 0);
}

void tx_drain(struct tx *tx, uint32_t channel, unsigned stream, struct tx_rx *rx)
{
    do {
        (void)tx_take(tx);
        (void)tx_consume(tx, channel, stream, rx);
        tx_ack(tx, channel, stream, rx, 262144);
    } while (tx_count(tx, RT_DATA) + tx_count(tx, RT_GAP) + tx_count(tx, RT_FIN) > 0);
}

void tx_data(struct tx *tx, uint32_t channel, unsigned stream, uint64_t offset, const void *data, size_t size)
{
    tx_send(tx,
            (struct rt_frame){.length = (uint32_t)size,
                              .type = RT_DATA,
                              .stream = (uint16_t)stream,
                              .channel = channel,
                              .offset = offset},
            data);
}

void tx_fin(struct tx *tx, uint32_t channel, unsigned stream, uint64_t offset)
{
    tx_send(tx, (struct rt_frame){.type = RT_FIN, .stream = (uint16_t)stream, .channel = channel, .offset = offset},
            NULL);
}

void tx_detach(struct tx *tx, uint32_t channel)
{
    tx_send(tx, (struct rt_frame){.type = RT_DETACH, .channel = channel}, NULL);
}

const struct tx_frame *tx_in_ack(const struct tx *tx, uint32_t channel, unsigned stream)
{
    const struct tx_frame *found = NULL;
    for (size_t i = 0; i < tx->n_frames; i++) {
        if (tx->frames[i].head.type == RT_ACK && tx->frames[i].head.channel == channel &&
            tx->frames[i].head.stream == stream) {
            found = &tx->frames[i];
        }
    }
    return found;
}

uint64_t tx_bytes_digest(const void *data, size_t size)
{
    struct rt_digest digest;
    rt_digest_start(&digest, 0);
    rt_digest_extend(&digest, data, size);
    return rt_digest_value(&digest);
}

struct rt_attach_msg tx_resume(uint8_t id, uint64_t try_no, const struct tx_rx *out, const struct tx_rx *err,
                               uint64_t acked, uint64_t head)
{
    struct rt_attach_msg msg = tx_new(id, try_no);
    msg.make = false;
    msg.n_out = 3;
    msg.out[0] = (struct rt_attach_out){
        .s = RT_STDOUT, .c = out->next, .df = out->from, .d = tx_digest(RT_STDOUT, out->from, out->next)};
    msg.out[1] = (struct rt_attach_out){
        .s = RT_STDERR, .c = err->next, .df = err->from, .d = tx_digest(RT_STDERR, err->from, err->next)};
    msg.out[2] = (struct rt_attach_out){.s = RT_CONTROL_UP, .d = tx_bytes_digest("", 0)};
    msg.n_in = 2;
    msg.in[0] = (struct rt_attach_in){.s = RT_STDIN, .a = acked, .h = head};
    msg.in[1] = (struct rt_attach_in){.s = RT_CONTROL_DOWN};
    return msg;
}

size_t tx_item(uint8_t *out, const struct rt_down_item *item)
{
    int size = rt_msg_encode(RT_MSG_DOWN_ITEM, item, out + 2, RT_ITEM_MAX);
    assert_true(size > 0);
    out[0] = (uint8_t)(size >> 8);
    out[1] = (uint8_t)(size & 0xff);
    return 2 + (size_t)size;
}

struct rt_attach_msg tx_new_observer(uint8_t id, uint64_t try_no)
{
    struct rt_attach_msg msg = tx_new(id, try_no);
    msg.want &= ~(uint64_t)RT_INPUTS;
    msg.hold = 0;
    return msg;
}

struct rt_attach_msg tx_new_exec(uint8_t id, uint64_t try_no)
{
    struct rt_attach_msg msg = tx_new(id, try_no);
    msg.exec = true;
    return msg;
}

void tx_run_word(struct tx *tx, uint32_t channel, const char *word)
{
    uint8_t bytes[2 + RT_ITEM_MAX];
    struct rt_down_item item = rt_test_command((const char *const[]){word, NULL}, NULL, NULL);
    tx_data(tx, channel, RT_CONTROL_DOWN, 0, bytes, tx_item(bytes, &item));
}

uint32_t tx_exec(struct tx *tx, uint32_t channel, uint8_t id, uint64_t hold)
{
    struct rt_attach_msg msg = tx_new_exec(id, 1);
    struct rt_attached_msg attached;
    msg.hold = hold;
    tx_attach(tx, channel, &msg);
    tx_attached(tx, channel, &attached);
    tx_run_word(tx, channel, "ps");
    return (uint32_t)attached.p;
}

struct rt_tether_view tx_view(const struct tx *tx)
{
    struct rt_tether_view view;
    return rt_tether_view(tx->tether, &view), view;
}

void tx_hold(struct tx *tx, uint32_t channel, uint64_t hold)
{
    struct rt_attach_msg msg = hold > 0 ? tx_new((uint8_t)channel, 1) : tx_new_observer((uint8_t)channel, 1);
    msg.hold = hold;
    tx_bind(tx, channel, &msg);
}

void tx_end_ok(struct tx *tx, enum rt_end_how how, uint64_t delay)
{
    struct rt_end_ok_msg msg = {.how = how, .delay = delay};
    tx_send_map(tx, (struct rt_frame){.type = RT_END_OK}, RT_MSG_END_OK, &msg);
}

unsigned tx_up_items(const struct tx *tx, uint32_t channel, struct rt_up_item *up)
{
    unsigned n = 0;
    for (size_t i = 0; i < tx->n_frames; i++) {
        const struct tx_frame *f = &tx->frames[i];
        if (f->head.type != RT_DATA || f->head.stream != RT_CONTROL_UP || f->head.channel != channel) {
            continue;
        }
        for (size_t at = 0; at < f->head.length; n++) {
            char why[RT_TEXT_MAX];
            size_t size = (size_t)(f->payload[at] << 8 | f->payload[at + 1]);
            assert_int_equal(rt_msg_decode(RT_MSG_UP_ITEM, f->payload + at + 2, size, up, why, sizeof(why)), 0);
            at += 2 + size;
        }
    }
    return n;
}

void tx_ack_control(struct tx *tx, uint32_t channel, uint32_t proc)
{
    const struct rt_ring *ring = &rt_tether_proc(tx->tether, proc)->ring[RT_CONTROL_UP - RT_STDOUT];
    struct rt_digest digest;
    rt_digest_start(&digest, 0);
    rt_ring_digest(ring, &digest, ring->head);
    tx_ack_raw(tx, channel, RT_CONTROL_UP, ring->head, ring->head + TX_INITIAL, rt_digest_value(&digest), 0);
}
