/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/client_stream.h"

#include "session/base/error.h"
#include "session/base/list.h"
#include "session/core/attachment.h"
#include "session/core/client_att.h"
#include "session/core/client_machine.h"
#include "session/core/frame.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include <string.h>

/* stdin and control-down as the client sends them: a sender with a ring of its own, which gives up what the guest has
 * applied. */

void rt_tx_begin(struct rt_tx *tx)
{
    tx->last_resize = RT_NO_OFFSET;
    rt_ring_init(&tx->ring, RT_CLIENT_INPUT_MAX);
    rt_sender_start(&tx->sender, &tx->ring, 0);
}

int rt_tx_append(struct rt_tx *tx, const void *data, size_t size)
{
    if (rt_ring_make(&tx->ring) != 0) {
        return RT_ENOMEM;
    }
    (void)rt_ring_append(&tx->ring, data, size);
    tx->written = tx->ring.head;
    return 0;
}

bool rt_tx_resume(struct rt_tx *tx, const struct rt_attached_in *in, bool steal)
{
    if (steal) { /* who had it before has written what the guest has applied: both ends start the digest behind that */
        rt_ring_start(&tx->ring, in->a);
        tx->written = in->a;
        rt_sender_start(&tx->sender, &tx->ring, in->a);
    }
    return rt_sender_resume(&tx->sender, &tx->ring, in->a, tx->sender.digest.from, in->d) == RT_FAR_TRUE;
}

/* What the guest has applied is given up. */
static void drop(struct rt_catt *att, struct rt_tx *tx)
{
    if (tx->sender.acked == tx->ring.base) {
        return;
    }
    rt_ring_drop(&tx->ring, tx->sender.acked);
    if (tx->last_resize < tx->ring.base) {
        tx->last_resize = RT_NO_OFFSET;
    }
    att->progress = true;
}

/* The guest takes no more: what it has not applied is given up, and said so unless it is all there was. */
static void close_input(struct rt_catt *att, struct rt_tx *tx, uint64_t offset)
{
    bool whole = tx->ring.ended && offset == tx->ring.head;
    rt_sender_stop(&tx->sender, &tx->ring, offset);
    drop(att, tx);
    tx->ring.head = offset;
    tx->ring.ended = false; /* no FIN any more */
    tx->last_resize = RT_NO_OFFSET;
    if (!tx->closed && !whole && tx == rt_catt_tx(att, RT_STDIN)) {
        att->due |= RT_CATT_DUE_CLOSED;
    }
    tx->closed = true;
}

void rt_tx_bind(struct rt_catt *att, struct rt_tx *tx, const struct rt_attached_in *in)
{
    rt_sender_bind(&tx->sender, &tx->ring);
    tx->sender.fin_told = tx->sender.fin_acked; /* a guest keeps an end that it has consumed */
    drop(att, tx);
    if (in->closed) {
        close_input(att, tx, in->a);
    }
}

void rt_tx_ack(struct rt_catt *att, const struct rt_frame *frame, const uint8_t *payload)
{
    struct rt_tx *tx = rt_catt_tx(att, frame->stream);
    enum rt_far_verdict is = rt_sender_ack(&tx->sender, &tx->ring, frame, payload);
    if (is == RT_FAR_UNSENT) {
        rt_catt_fault(att, RT_CLASS_PROTOCOL, frame->stream, frame->offset);
    } else if (is == RT_FAR_ANOTHER) {
        rt_catt_rewound(att, frame->stream, tx->ring.base, frame->offset);
    } else {
        drop(att, tx);
        rt_tx_wake(att);
    }
}

void rt_tx_stop(struct rt_catt *att, uint64_t offset)
{
    struct rt_tx *tx = rt_catt_tx(att, RT_STDIN);
    if (offset < tx->ring.base || offset > tx->sender.sent) {
        rt_catt_fault(att, RT_CLASS_PROTOCOL, RT_STDIN, offset);
        return;
    }
    close_input(att, tx, offset);
}

static bool ready(const struct rt_catt *att)
{
    for (int i = 0; i < 2; i++) {
        if (rt_sender_ready(&att->tx[i].sender, &att->tx[i].ring)) {
            return true;
        }
    }
    return false;
}

void rt_tx_wake(struct rt_catt *att)
{
    if (att->state == RT_CATT_LIVE && ready(att)) {
        rt_list_push(&att->client->links[att->link].data, &att->data);
    }
}

static size_t put(struct rt_catt *att, unsigned stream, size_t most, uint8_t *out, size_t cap)
{
    struct rt_tx *tx = rt_catt_tx(att, stream);
    struct rt_sender_turn turn = {.channel = att->channel, .stream = (uint16_t)stream, .most = most};
    return rt_sender_put(&tx->sender, &tx->ring, &turn, out, cap);
}

size_t rt_tx_put(struct rt_catt *att, uint8_t *out, size_t cap, bool *more)
{
    size_t used = put(att, RT_CONTROL_DOWN, RT_TX_QUANTUM, out, cap);
    used += put(att, RT_STDIN, RT_TX_QUANTUM, out + used, cap - used);
    used += put(att, RT_STDIN, 0, out + used, cap - used); /* its FIN in the same turn as its last byte */
    *more = ready(att);
    return used;
}
