/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/client_rx.h"

#include "session/base/error.h"
#include "session/base/list.h"
#include "session/core/attachment.h"
#include "session/core/client_att.h"
#include "session/core/client_machine.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include <assert.h>
#include <string.h>

/* stdout, stderr and control-up as the client receives them: protocol.md section 3.
 *
 * [consumed, next) is buffered; gaps in it take no room in the ring. What is buffered counts only on the channel that
 * brought it: a resume starts again at `consumed`, because what another guest (a clone, a reverted copy) wrote behind
 * it must not be mixed with what comes then. Limit = next + room, so it never falls. */

void rt_rx_begin(struct rt_rx *rx, unsigned stream)
{
    rx->cap = stream == RT_CONTROL_UP ? RT_CLIENT_CONTROL_WINDOW : RT_CLIENT_WINDOW;
    rx->final = RT_NEVER;
    rx->ack_at = RT_NEVER;
    rt_digest_start(&rx->digest, 0);
}

void rt_rx_start(struct rt_rx *rx, uint64_t offset)
{
    rx->consumed = rx->next = offset;
    rt_digest_start(&rx->digest, offset);
}

void rt_rx_forget(struct rt_rx *rx, bool exited)
{
    rx->ring.base = rx->ring.head;
    rx->next = rx->consumed;
    rx->n_gaps = 0;
    rx->fin_seen = false;
    if (!exited && !rx->eof_told) /* else it was consumed, and the digest holds it */
        rx->final = RT_NEVER;
}

void rt_rx_rebind(struct rt_rx *rx)
{
    rx->told = rx->consumed;
    rx->told_limit = rx->consumed + RT_INITIAL_CREDIT;
    rx->fin_told = false;
    rx->ack_now = true;
    rx->ack_at = RT_NEVER;
}

static size_t buffered(const struct rt_rx *rx)
{
    return (size_t)(rx->ring.head - rx->ring.base);
}

/* A guest may name any offset as its stream's next one; beyond the last no ACK can grant anything. */
static uint64_t limit_of(const struct rt_rx *rx)
{
    uint64_t limit = rx->next + (rx->cap - buffered(rx));
#ifdef RT_MUTANT_LIMIT_UNBOUNDED
    return limit;
#endif
    return limit < RT_COUNTER_MAX ? limit : RT_COUNTER_MAX - 1;
}

static bool fin_consumed(const struct rt_rx *rx)
{
    return rx->fin_seen && rx->consumed == rx->final;
}

/* Decides when what was consumed is told. */
static void plan_ack(struct rt_catt *att, struct rt_rx *rx)
{
    if (att->state != RT_CATT_LIVE || rx->ack_now)
        return;
    bool stopped = rx->next >= rx->told_limit && limit_of(rx) > rx->told_limit;
#ifdef RT_MUTANT_ACK_ON_RECEIPT
    stopped = stopped || rx->next != rx->told;
#endif
    if (stopped || rx->consumed - rx->told >= rx->cap / 4 || (fin_consumed(rx) && !rx->fin_told)) {
        rx->ack_now = true;
        rx->ack_at = RT_NEVER;
        rt_list_push(&att->client->links[att->link].control, &att->control);
    } else if (rx->consumed != rx->told && rx->ack_at == RT_NEVER) {
        rx->ack_at = att->client->now + RT_ACK_DELAY_MS;
        rt_client_wake(att->client, rx->ack_at);
    }
}

void rt_rx_tick(struct rt_catt *att)
{
    for (int i = 0; i < 3; i++) {
        struct rt_rx *rx = &att->rx[i];
        if (att->client->now < rx->ack_at)
            continue;
        rx->ack_at = RT_NEVER;
        rx->ack_now = true;
        rt_list_push(&att->client->links[att->link].control, &att->control);
    }
}

size_t rt_rx_put_acks(struct rt_catt *att, uint8_t *out, size_t cap, bool *more)
{
    size_t used = 0;
    for (unsigned s = RT_STDOUT; s <= RT_CONTROL_UP; s++) {
        struct rt_rx *rx = rt_catt_rx(att, s);
        if (!rx->ack_now || !rt_catt_wants(att, s))
            continue;
        if (cap - used < RT_FRAME_HEADER + RT_ACK_PAYLOAD) {
            *more = true;
            break;
        }
        rx->told = rx->consumed;
#ifdef RT_MUTANT_ACK_ON_RECEIPT
        rx->told = rx->next;
#endif
        rx->told_limit = limit_of(rx);
        rx->fin_told = fin_consumed(rx);
        rx->ack_now = false;
        rx->ack_at = RT_NEVER;
        rt_frame_put(out + used, &(struct rt_frame){.length = RT_ACK_PAYLOAD,
                                                    .type = RT_ACK,
                                                    .flags = rx->fin_told ? RT_ACK_FIN : 0,
                                                    .stream = (uint16_t)s,
                                                    .channel = att->channel,
                                                    .offset = rx->told});
        rt_put_u64(out + used + RT_FRAME_HEADER, rx->told_limit);
        rt_put_u64(out + used + RT_FRAME_HEADER + 8, rt_digest_value(&rx->digest));
        used += RT_FRAME_HEADER + RT_ACK_PAYLOAD;
    }
    return used;
}

void rt_rx_consume(struct rt_catt *att, struct rt_rx *rx, size_t size)
{
    while (size > 0) {
        size_t part;
        const uint8_t *data = rt_ring_peek(&rx->ring, rx->ring.base, &part);
        if (part > size)
            part = size;
        rt_digest_extend(&rx->digest, data, part);
        rt_ring_drop(&rx->ring, rx->ring.base + part);
        rx->consumed += part;
        size -= part;
    }
    att->progress = true;
    plan_ack(att, rx);
}

/* The digest starts anew after every gap, at the guest as well. */
void rt_rx_skip_gap(struct rt_catt *att, struct rt_rx *rx)
{
    assert(rx->n_gaps > 0 && rx->gaps[0].from == rx->consumed);
    rx->consumed = rx->gaps[0].to;
    rt_digest_start(&rx->digest, rx->consumed);
    rx->n_gaps--;
    memmove(rx->gaps, rx->gaps + 1, rx->n_gaps * sizeof rx->gaps[0]);
    att->progress = true;
    plan_ack(att, rx);
}

/* The ring is made at the first byte, so that an idle attachment costs none. */
static bool append(struct rt_rx *rx, const uint8_t *data, size_t size)
{
    if (rx->ring.data == NULL && rt_ring_init(&rx->ring, rx->cap) != 0)
        return false;
    size_t took = rt_ring_append(&rx->ring, data, size);
    rx->next += took;
    return took == size;
}

/* A gap in control-up that is next: told before anything behind it is read. The items that are gone were about states
 * that ATTACHED told anew; one received in part goes with them. */
static void take_control_gap(struct rt_catt *att, struct rt_rx *rx)
{
    uint64_t part = rx->gaps[0].from - rx->consumed;
    if (att->control_gap.from == att->control_gap.to)
        att->control_gap.from = rx->consumed;
    att->control_gap.to = rx->gaps[0].to;
    rt_ring_drop(&rx->ring, rx->ring.base + part);
    rx->consumed += part;
    rt_rx_skip_gap(att, rx);
}

void rt_rx_items(struct rt_catt *att)
{
    struct rt_rx *rx = rt_catt_rx(att, RT_CONTROL_UP);
    uint8_t item[2 + RT_ITEM_MAX];
    while (att->state == RT_CATT_LIVE) {
        uint64_t end = rx->n_gaps > 0 ? rx->gaps[0].from : rx->next;
        bool told = att->control_gap.from == att->control_gap.to;
#ifdef RT_MUTANT_CONTROL_GAPS_JOIN
        told = true;
#endif
        if (!told && end != rx->consumed)
            return; /* the gap that waits to be told comes first */
        size_t have = end - rx->consumed < sizeof item ? (size_t)(end - rx->consumed) : sizeof item;
        if (have > 0)
            (void)rt_ring_copy(&rx->ring, rx->ring.base, item, have);
        size_t size = have >= 2 ? (size_t)item[0] << 8 | item[1] : 0;
        if (have < 2 || (size <= RT_ITEM_MAX && have < 2 + size)) {
            if (rx->n_gaps == 0)
                return;
            take_control_gap(att, rx);
            continue;
        }
        struct rt_up_item up;
        char why[RT_TEXT_MAX];
        int error =
            size <= RT_ITEM_MAX ? rt_msg_decode(RT_MSG_UP_ITEM, item + 2, size, &up, why, sizeof why) : RT_EPROTO;
        if (error == RT_ENOMEM) {
            rt_catt_fail_memory(att);
            return;
        }
        if (error != 0 || att->exited) {
            rt_catt_fault(att, RT_CLASS_PROTOCOL, RT_CONTROL_UP, rx->consumed);
            return;
        }
        rt_rx_consume(att, rx, 2 + size);
        if (up.t == RT_ITEM_EXITED) {
            rt_rx_exit(att, &up);
        } else if (up.t == RT_ITEM_RESIZED) {
            att->rows = up.rows;
            att->cols = up.cols;
            att->resized_due = true;
        }
    }
}

void rt_rx_data(struct rt_catt *att, unsigned stream, uint64_t offset, const uint8_t *data, size_t size)
{
    struct rt_rx *rx = rt_catt_rx(att, stream);
    uint64_t end = offset + size;
#ifdef RT_MUTANT_DUPLICATES_PASS
    bool jump = offset > rx->next;
#else
    bool jump = offset != rx->next; /* also below: a guest set back within this link repeats offsets with other bytes */
#endif
    if (jump) {
        rt_catt_fault(att, RT_CLASS_JUMP, stream, rx->next);
    } else if (end > rx->told_limit) {
        rt_catt_fault(att, RT_CLASS_LIMIT, stream, rx->next);
    } else if (end > rx->final) {
        rt_catt_rewound(att, stream, rx->final, end);
    } else {
        if (!append(rx, data, size)) {
            rt_catt_fail_memory(att);
            return;
        }
        if (stream == RT_CONTROL_UP)
            rt_rx_items(att);
        else
            rt_order_add(&att->order, stream - RT_STDOUT, end);
        if (att->state == RT_CATT_LIVE)
            plan_ack(att, rx);
    }
}

/* A gap goes into the buffer's order. */
static void add_gap(struct rt_rx *rx, uint64_t to)
{
    struct rt_gap *last = rx->n_gaps > 0 ? &rx->gaps[rx->n_gaps - 1] : NULL;
    if (last != NULL && (last->to == rx->next || rx->n_gaps == RT_RX_GAPS_MAX)) {
        rx->ring.head -= rx->next - last->to;
        last->to = to;
    } else {
        rx->gaps[rx->n_gaps++] = (struct rt_gap){rx->next, to};
    }
    rx->next = to;
}

void rt_rx_gap(struct rt_catt *att, unsigned stream, uint64_t from, uint64_t to)
{
    struct rt_rx *rx = rt_catt_rx(att, stream);
    if (from != rx->next) {
        rt_catt_fault(att, RT_CLASS_JUMP, stream, rx->next);
        return;
    }
    if (to > rx->final) {
        rt_catt_rewound(att, stream, rx->final, to);
        return;
    }
    add_gap(rx, to);
    if (stream == RT_CONTROL_UP)
        rt_rx_items(att);
    if (att->state == RT_CATT_LIVE)
        plan_ack(att, rx);
}

/* A stream's final offset, from FIN or from the exit item. False: the attachment is over. */
static bool set_final(struct rt_catt *att, unsigned stream, uint64_t offset)
{
    struct rt_rx *rx = rt_catt_rx(att, stream);
    if (offset < rx->next || (rx->final != RT_NEVER && rx->final != offset)) {
        rt_catt_rewound(att, stream, offset, rx->next);
        return false;
    }
    rx->final = offset;
    return true;
}

void rt_rx_fin(struct rt_catt *att, unsigned stream, uint64_t offset)
{
    struct rt_rx *rx = rt_catt_rx(att, stream);
    if (offset > rx->next) {
        rt_catt_fault(att, RT_CLASS_JUMP, stream, rx->next);
    } else if (set_final(att, stream, offset)) {
        rx->fin_seen = true;
        rx->fin_told = false;
        plan_ack(att, rx);
    }
}

void rt_rx_exit(struct rt_catt *att, const struct rt_up_item *item)
{
    if (rt_catt_wants(att, RT_STDOUT) && !set_final(att, RT_STDOUT, item->out))
        return;
    if (rt_catt_wants(att, RT_STDERR) && !set_final(att, RT_STDERR, item->err))
        return;
    att->exited = true;
    att->exit = *item;
}
