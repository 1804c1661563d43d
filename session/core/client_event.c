/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/number.h"
#include "session/core/attachment.h"
#include "session/core/client_att.h"
#include "session/core/client_machine.h"
#include "session/core/client_stream.h"
#include "session/core/protocol.h"
#include "session/core/ring.h"

#include <assert.h>
#include <string.h>

/* What the application sees of an attachment. Events are not queued: each is read off the state when it is asked for.
 */

void rt_catt_id(const struct rt_catt *att, uint8_t out[RT_ID_SIZE])
{
    memcpy(out, att->id, RT_ID_SIZE);
}

static void describe(const struct rt_catt *att, struct rt_catt_event *event)
{
    event->life = att->k_life;
    event->epoch = att->k_epoch;
    event->proc = att->proc;
    event->tty = att->tty;
    if (att->home != RT_NO_SLOT) {
        memcpy(event->host, att->client->links[att->home].host, sizeof(event->host));
    }
}

/* The link's side: attached, interrupted, resumed. */
static bool link_event(struct rt_catt *att, struct rt_catt_event *event)
{
    if (rt_took(&att->due, RT_CATT_DUE_ATTACHED)) {
        event->kind = RT_CATT_ATTACHED;
        describe(att, event);
        event->out = att->start[0];
        event->err = att->start[1];
        event->head[0] = att->head[0];
        event->head[1] = att->head[1];
        return true;
    }
    if (att->shown == RT_CATT_BROKEN) {
        att->shown = RT_CATT_DOWN;
        event->kind = RT_CATT_INTERRUPTED;
        return true;
    }
    if (att->shown == RT_CATT_DOWN && att->state == RT_CATT_LIVE) {
        att->shown = RT_CATT_UP;
        event->kind = RT_CATT_RESUMED;
        describe(att, event);
        return true;
    }
    return false;
}

static bool gap_event(struct rt_catt *att, struct rt_catt_event *event)
{
    if (att->control_gap.from != att->control_gap.to) {
        event->kind = RT_CATT_GAP;
        event->stream = RT_CONTROL_UP;
        event->from = att->control_gap.from;
        event->to = att->control_gap.to;
        att->control_gap.from = att->control_gap.to;
        rt_rx_items(att);
        return true;
    }
    for (unsigned s = RT_STDOUT; s <= RT_STDERR; s++) {
        struct rt_receiver *rx = rt_catt_rx(att, s);
        if (!rt_receiver_gap_is_next(rx)) {
            continue;
        }
        event->kind = RT_CATT_GAP;
        event->stream = s;
        event->from = rx->gaps[0].from;
        event->to = rx->gaps[0].to;
        rt_rx_skip_gap(att, rx);
        return true;
    }
    return false;
}

static bool eof_event(struct rt_catt *att, struct rt_catt_event *event)
{
    for (unsigned s = RT_STDOUT; s <= RT_STDERR; s++) {
        struct rt_receiver *rx = rt_catt_rx(att, s);
        if ((att->eof_told >> s & 1) != 0 || !rt_receiver_is_done(rx)) {
            continue;
        }
        att->eof_told |= 1U << s;
        event->kind = RT_CATT_EOF;
        event->stream = s;
        event->from = rx->final;
        return true;
    }
    return false;
}

static bool control_event(struct rt_catt *att, struct rt_catt_event *event)
{
    if (rt_took(&att->due, RT_CATT_DUE_CLOSED)) {
        event->kind = RT_CATT_INPUT_CLOSED;
        event->from = rt_catt_tx(att, RT_STDIN)->ring.base;
        return true;
    }
    if (rt_took(&att->due, RT_CATT_DUE_RESIZED)) {
        event->kind = RT_CATT_RESIZED;
        event->rows = att->rows;
        event->cols = att->cols;
        return true;
    }
    return false;
}

static bool output_done(const struct rt_catt *att)
{
    for (unsigned s = RT_STDOUT; s <= RT_STDERR; s++) {
        if (rt_catt_wants(att, s) && (att->eof_told >> s & 1) == 0) {
            return false;
        }
    }
    return true;
}

/* Nothing received is left to be consumed. */
static bool drained(const struct rt_catt *att)
{
    return att->rx[0].consumed == att->rx[0].next && att->rx[1].consumed == att->rx[1].next;
}

struct rt_catt *rt_client_ready(struct rt_client *client)
{
    struct rt_list *node = rt_list_pop(&client->ready);
    return node != NULL ? RT_LIST_OF(node, struct rt_catt, ready) : NULL;
}

void *rt_catt_data(const struct rt_catt *att)
{
    return att->options.data;
}

bool rt_catt_event(struct rt_catt *att, struct rt_catt_event *event)
{
    memset(event, 0, sizeof(*event));
    if (att->end == RT_CATT_END_TOLD) {
        return false; /* what happens after the end concerns nobody */
    }
    if (link_event(att, event) || control_event(att, event)) {
        return true;
    }
    if (!rt_catt_frozen(att) && (gap_event(att, event) || eof_event(att, event))) {
        return true;
    }
    if (att->end == RT_CATT_END_EXITED && output_done(att)) {
        att->end = RT_CATT_END_TOLD;
        event->kind = RT_CATT_EXITED;
        event->code = att->exit.code;
        event->sig = att->exit.sig;
        event->out = att->exit.out;
        event->err = att->exit.err;
        return true;
    }
    if (att->state == RT_CATT_OVER && (att->final.kind == RT_CATT_REWOUND || drained(att))) {
        att->end = RT_CATT_END_TOLD;
        *event = att->final;
        return true;
    }
    return false;
}

const uint8_t *rt_catt_peek(const struct rt_catt *att, unsigned stream, size_t *size)
{
    assert(stream == RT_STDOUT || stream == RT_STDERR);
    const struct rt_receiver *rx = &att->rx[stream - RT_STDOUT];
    *size = 0;
    return rt_catt_frozen(att) || att->end == RT_CATT_END_TOLD ? NULL : rt_receiver_peek(rx, size);
}

unsigned rt_catt_first(const struct rt_catt *att, size_t *size)
{
    const uint64_t at[2] = {att->rx[0].consumed, att->rx[1].consumed};
    uint64_t to;
    unsigned first = rt_order_next(&att->order, at, &to);

    *size = to == UINT64_MAX ? SIZE_MAX : (size_t)(to - at[first]);
    return first + RT_STDOUT;
}

void rt_catt_consumed(struct rt_catt *att, unsigned stream, size_t n, uint64_t now)
{
    assert(stream == RT_STDOUT || stream == RT_STDERR);
    struct rt_receiver *rx = rt_catt_rx(att, stream);
    rt_client_at(att->client, now);
    assert(!rt_catt_frozen(att) || n == 0);
    rt_rx_consume(att, rx, n);
    rt_catt_wake(att); /* a gap, the stream's end or the attachment's may be next */
}

uint64_t rt_catt_offset(const struct rt_catt *att, unsigned stream)
{
    assert(stream >= RT_STDOUT && stream <= RT_CONTROL_UP);
    return att->rx[stream - RT_STDOUT].consumed;
}
