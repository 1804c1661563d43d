/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/client_stream.h"

#include "session/base/error.h"
#include "session/base/list.h"
#include "session/base/number.h"
#include "session/core/client_att.h"
#include "session/core/client_machine.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/receiver.h"

/* stdout, stderr and control-up as the client receives them. The application consumes the first two, the machine itself
 * the items of the third. */

/* Decides when the next ACK goes. */
static void plan_ack(struct rt_catt *att, struct rt_receiver *rx)
{
    if (att->state != RT_CATT_LIVE) {
        return;
    }
    if (rt_receiver_plan(rx, att->client->now, RT_ACK_DELAY_MS)) {
        rt_list_push(&att->client->links[att->link].control, &att->control);
    } else {
        rt_catt_wake_at(att, rx->ack_at);
    }
}

void rt_rx_tick(struct rt_catt *att)
{
    for (int i = 0; i < 3; i++) {
        if (att->client->now >= att->rx[i].ack_at) {
            plan_ack(att, &att->rx[i]);
        }
    }
}

size_t rt_rx_put_acks(struct rt_catt *att, uint8_t *out, size_t cap, bool *more)
{
    size_t used = 0;
    for (unsigned s = RT_STDOUT; s <= RT_CONTROL_UP; s++) {
        struct rt_receiver *rx = rt_catt_rx(att, s);
        if (!rx->ack_now || !rt_catt_wants(att, s)) {
            continue;
        }
        size_t size = rt_receiver_put_ack(rx, att->channel, (uint16_t)s, out + used, cap - used);
        *more = *more || size == 0;
        used += size;
    }
    return used;
}

void rt_rx_consume(struct rt_catt *att, struct rt_receiver *rx, size_t size)
{
    rt_receiver_consume(rx, size);
    att->progress = true;
    plan_ack(att, rx);
}

void rt_rx_skip_gap(struct rt_catt *att, struct rt_receiver *rx)
{
    rt_receiver_skip_gap(rx);
    att->progress = true;
    plan_ack(att, rx);
}

/* Acts on the receiver's verdict. A frame that breaks a rule of section 3 ends the channel. A frame behind a known end,
 * or an end before what was received, is of another past: REWOUND. `end`: the offset behind the frame. True: the frame
 * was good. */
static bool received(struct rt_catt *att, unsigned stream, enum rt_received is, uint64_t end)
{
    const struct rt_receiver *rx = rt_catt_rx(att, stream);
    uint64_t known = rx->final != RT_NO_OFFSET ? rx->final : rx->next;
    switch (is) {
    case RT_RECEIVED:
        break;
    case RT_RECEIVED_JUMP:
        rt_catt_fault(att, RT_CLASS_JUMP, stream, rx->next);
        break;
    case RT_RECEIVED_OVER_LIMIT:
        rt_catt_fault(att, RT_CLASS_LIMIT, stream, rx->next);
        break;
    case RT_RECEIVED_OVER_END:
        rt_catt_rewound(att, stream, rt_min(end, known), rt_max(end, known));
        break;
    case RT_RECEIVED_NO_MEMORY:
        rt_catt_fail_memory(att);
        break;
    }
    return is == RT_RECEIVED;
}

/* A gap in control-up is told before any item behind it is read. The items in it are not missed: ATTACHED has told the
 * state that they were about. An item that was received in part goes with them. */
static void take_control_gap(struct rt_catt *att, struct rt_receiver *rx)
{
    if (att->control_gap.from == att->control_gap.to) {
        att->control_gap.from = rx->consumed;
    }
    att->control_gap.to = rx->gaps[0].to;
    rt_rx_skip_gap(att, rx);
}

static void on_item(struct rt_catt *att, const struct rt_up_item *item)
{
    if (item->t == RT_ITEM_EXITED) {
        rt_rx_exit(att, item);
    } else if (item->t == RT_ITEM_RESIZED) {
        att->rows = item->rows;
        att->cols = item->cols;
        att->due |= RT_CATT_DUE_RESIZED;
    }
}

void rt_rx_items(struct rt_catt *att)
{
    struct rt_receiver *rx = rt_catt_rx(att, RT_CONTROL_UP);
    uint8_t bytes[2 + RT_ITEM_MAX];
    struct rt_up_item item;
    while (att->state == RT_CATT_LIVE) {
        bool told = att->control_gap.from == att->control_gap.to;
        size_t have;
        (void)rt_receiver_peek(rx, &have);
        if (!told && have > 0) {
            return; /* the gap that waits to be told comes first */
        }
        int size = rt_receiver_item(rx, bytes, sizeof(bytes));
        if (size == 0 && rx->n_gaps == 0) {
            return;
        }
        if (size == 0) {
            take_control_gap(att, rx);
            continue;
        }
        if (size < 0 || att->end != RT_CATT_END_OPEN ||
            rt_msg_decode(RT_MSG_UP_ITEM, bytes + 2, (size_t)size - 2, &item, NULL, 0) != 0) {
            rt_catt_fault(att, RT_CLASS_PROTOCOL, RT_CONTROL_UP, rx->consumed);
        } else {
            rt_rx_consume(att, rx, (size_t)size);
            on_item(att, &item);
        }
    }
}

void rt_rx_frame(struct rt_catt *att, const struct rt_frame *frame, const uint8_t *payload)
{
    struct rt_receiver *rx = rt_catt_rx(att, frame->stream);
    enum rt_received is = rt_receiver_take(rx, frame, payload);
    uint64_t end = frame->type == RT_GAP ? rt_get_u64(payload) : frame->offset + frame->length;
    if (!received(att, frame->stream, is, end)) {
        return;
    }
    if (frame->stream == RT_CONTROL_UP) {
        rt_rx_items(att);
    } else if (frame->type == RT_DATA) {
        rt_order_add(&att->order, frame->stream - RT_STDOUT, end);
    }
    plan_ack(att, rx);
}

void rt_rx_exit(struct rt_catt *att, const struct rt_up_item *item)
{
    const uint64_t ends[] = {item->out, item->err};
    for (unsigned s = RT_STDOUT; s <= RT_STDERR; s++) {
        struct rt_receiver *rx = rt_catt_rx(att, s);
        uint64_t end = ends[s - RT_STDOUT];
        if (rt_catt_wants(att, s) && !received(att, s, rt_receiver_end(rx, end), end)) {
            return;
        }
    }
    if (att->end == RT_CATT_END_OPEN) {
        att->end = RT_CATT_END_EXITED;
    }
    att->exit = *item;
}
