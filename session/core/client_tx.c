/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/client_tx.h"

#include "session/base/error.h"
#include "session/base/list.h"
#include "session/core/attachment.h"
#include "session/core/client_att.h"
#include "session/core/client_machine.h"
#include "session/core/frame.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include <string.h>

/* stdin and control-down as the client sends them: all that the guest has not applied is kept in [acked, head) and sent
 * again from there after every rebinding. */

void rt_tx_begin(struct rt_tx *tx)
{
    tx->checkable = true;
    tx->last_resize = RT_NEVER;
    rt_digest_start(&tx->digest, 0);
}

int rt_tx_append(struct rt_tx *tx, const void *data, size_t size)
{
    if (tx->ring.data == NULL) {
        uint64_t at = tx->ring.head;
        if (rt_ring_init(&tx->ring, RT_CLIENT_WINDOW) != 0) {
            tx->ring.base = tx->ring.head = at;
            return RT_ENOMEM;
        }
        tx->ring.base = tx->ring.head = at;
    }
    (void)rt_ring_append(&tx->ring, data, size);
    tx->written = tx->ring.head;
    return 0;
}

/* Extends digest over own bytes up to offset; false when value is another. */
static bool extends_to(const struct rt_tx *tx, struct rt_digest *digest, uint64_t offset, uint64_t value)
{
    if (tx->ring.data != NULL)
        rt_ring_digest(&tx->ring, digest, offset);
    return !tx->checkable || rt_digest_value(digest) == value;
}

int rt_tx_check(const struct rt_tx *tx, const struct rt_attached_in *in, bool first)
{
    if (first) /* a steal: takes over at what the guest says */
        return 0;
    if (in->a < tx->ring.base || in->a > tx->sent_max || in->a > tx->ring.head)
        return RT_EPROTO;
    struct rt_digest digest = tx->digest;
    if (!extends_to(tx, &digest, in->a, in->d) || (tx->checkable && in->df != digest.from))
        return RT_EPROTO;
    return 0;
}

static void drop(struct rt_catt *att, struct rt_tx *tx, uint64_t offset)
{
    if (offset == tx->ring.base)
        return;
    rt_ring_digest(&tx->ring, &tx->digest, offset);
    rt_ring_drop(&tx->ring, offset);
    if (tx->last_resize < offset)
        tx->last_resize = RT_NEVER;
    att->progress = true;
}

/* The guest takes no more: what it has not applied is given up, and said so unless it is all there was. */
static void close_input(struct rt_catt *att, struct rt_tx *tx, uint64_t offset)
{
    drop(att, tx, offset);
    bool whole = tx->fin && offset == tx->ring.head;
    tx->ring.head = offset;
    tx->sent = tx->sent_max = offset;
    tx->last_resize = RT_NEVER;
    tx->fin_acked = tx->fin_acked || whole;
    if (!tx->closed && !whole && tx == rt_catt_tx(att, RT_STDIN))
        att->closed_due = true;
    tx->closed = true;
}

void rt_tx_rebind(struct rt_catt *att, struct rt_tx *tx, const struct rt_attached_in *in, bool first)
{
    if (first) {
        tx->ring.base = tx->ring.head = tx->sent_max = tx->written = in->a;
        rt_digest_start(&tx->digest, in->a);
        tx->checkable = in->df == in->a;
    }
    drop(att, tx, in->a);
#ifdef RT_MUTANT_REPLAY_FROM_HEAD
    if (tx->sent < in->a)
        tx->sent = in->a;
#else
    tx->sent = in->a;
#endif
    tx->limit = in->a + RT_INITIAL_CREDIT;
    tx->fin_sent = false;
    if (in->closed)
        close_input(att, tx, in->a);
}

void rt_tx_ack(struct rt_catt *att, const struct rt_frame *frame, const uint8_t *payload)
{
    struct rt_tx *tx = rt_catt_tx(att, frame->stream);
    uint64_t limit = rt_get_u64(payload), value = rt_get_u64(payload + 8);
    if (frame->offset > tx->sent) {
        rt_catt_fault(att, RT_CLASS_PROTOCOL, frame->stream, frame->offset);
        return;
    }
    if (frame->offset >= tx->ring.base) {
        struct rt_digest digest = tx->digest;
        if (!extends_to(tx, &digest, frame->offset, value)) {
            rt_catt_rewound(att, frame->stream, tx->ring.base, frame->offset);
            return;
        }
        drop(att, tx, frame->offset);
    }
    if (limit > tx->limit)
        tx->limit = limit;
    if ((frame->flags & RT_ACK_FIN) != 0 && tx->fin && frame->offset == tx->ring.head)
        tx->fin_acked = true;
    rt_tx_wake(att);
}

void rt_tx_closed(struct rt_catt *att, unsigned stream, uint64_t offset)
{
    struct rt_tx *tx = rt_catt_tx(att, stream);
    if (offset < tx->ring.base || offset > tx->sent) {
        rt_catt_fault(att, RT_CLASS_PROTOCOL, stream, offset);
        return;
    }
    close_input(att, tx, offset);
}

static bool fin_due(const struct rt_tx *tx)
{
    return tx->fin && !tx->fin_sent && !tx->fin_acked && !tx->closed && tx->sent == tx->ring.head;
}

static uint64_t sendable(const struct rt_tx *tx)
{
    uint64_t end = tx->limit < tx->ring.head ? tx->limit : tx->ring.head;
    return end > tx->sent ? end - tx->sent : 0;
}

bool rt_tx_ready(const struct rt_catt *att)
{
    for (int i = 0; i < 2; i++)
        if (sendable(&att->tx[i]) > 0 || fin_due(&att->tx[i]))
            return true;
    return false;
}

void rt_tx_wake(struct rt_catt *att)
{
    if (att->state == RT_CATT_LIVE && rt_tx_ready(att))
        rt_list_push(&att->client->links[att->link].data, &att->data);
}

static size_t put_stream(struct rt_catt *att, unsigned stream, uint8_t *out, size_t cap, size_t quantum)
{
    struct rt_tx *tx = rt_catt_tx(att, stream);
    uint64_t size = sendable(tx);
    if (cap <= RT_FRAME_HEADER)
        return 0;
    if (size > quantum)
        size = quantum;
    if (size > cap - RT_FRAME_HEADER)
        size = cap - RT_FRAME_HEADER;
    if (size > 0) {
        rt_frame_put(out, &(struct rt_frame){.length = (uint32_t)size,
                                             .type = RT_DATA,
                                             .stream = (uint16_t)stream,
                                             .channel = att->channel,
                                             .offset = tx->sent});
        (void)rt_ring_copy(&tx->ring, tx->sent, out + RT_FRAME_HEADER, (size_t)size);
        if (tx->sent < tx->sent_max)
            tx->resent += tx->sent_max - tx->sent < size ? tx->sent_max - tx->sent : size;
        tx->sent += size;
        if (tx->sent > tx->sent_max)
            tx->sent_max = tx->sent;
        return RT_FRAME_HEADER + (size_t)size;
    }
    if (!fin_due(tx))
        return 0;
    rt_frame_put(out, &(struct rt_frame){
                          .type = RT_FIN, .stream = (uint16_t)stream, .channel = att->channel, .offset = tx->sent});
    tx->fin_sent = true;
    return RT_FRAME_HEADER;
}

size_t rt_tx_put(struct rt_catt *att, uint8_t *out, size_t cap, bool *more)
{
    size_t used = put_stream(att, RT_CONTROL_DOWN, out, cap, RT_TX_QUANTUM);
    used += put_stream(att, RT_STDIN, out + used, cap - used, RT_TX_QUANTUM);
    if (fin_due(rt_catt_tx(att, RT_STDIN)))
        used += put_stream(att, RT_STDIN, out + used, cap - used, 0);
    *more = rt_tx_ready(att);
    return used;
}
