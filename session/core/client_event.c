/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/core/attachment.h"
#include "session/core/client_att.h"
#include "session/core/client_machine.h"
#include "session/core/client_stream.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_stream.h"
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

static bool took(struct rt_catt *att, enum rt_catt_due event)
{
    bool was = (att->due & event) != 0;

    att->due &= ~(unsigned)event;
    return was;
}

/* The link's side: attached, interrupted, resumed. */
static bool link_event(struct rt_catt *att, struct rt_catt_event *event)
{
    if (took(att, RT_CATT_DUE_ATTACHED)) {
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
    if (took(att, RT_CATT_DUE_CLOSED)) {
        event->kind = RT_CATT_INPUT_CLOSED;
        event->from = rt_catt_tx(att, RT_STDIN)->ring.base;
        return true;
    }
    if (took(att, RT_CATT_DUE_RESIZED)) {
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

/* A steal learns where its input begins from ATTACHED. */
static bool takes_input(const struct rt_catt *att, unsigned stream)
{
    const struct rt_tx *tx = &att->tx[stream == RT_STDIN ? 0 : 1];
    return att->state != RT_CATT_OVER && rt_catt_wants(att, stream) && !tx->closed && !tx->ring.ended &&
           (att->attached || !att->options.steal);
}

size_t rt_catt_writable(const struct rt_catt *att)
{
    const struct rt_ring *ring = &att->tx[0].ring;
    return takes_input(att, RT_STDIN) ? RT_CLIENT_WINDOW - (size_t)(ring->head - ring->base) : 0;
}

size_t rt_catt_write(struct rt_catt *att, const void *data, size_t size)
{
    size_t room = rt_catt_writable(att);
    if (size > room) {
        size = room;
    }
    if (size == 0) {
        return 0;
    }
    if (rt_tx_append(rt_catt_tx(att, RT_STDIN), data, size) != 0) {
        rt_catt_fail_memory(att);
        return 0;
    }
    rt_tx_wake(att);
    return size;
}

void rt_catt_write_end(struct rt_catt *att)
{
    if (!takes_input(att, RT_STDIN)) {
        return;
    }
    rt_catt_tx(att, RT_STDIN)->ring.ended = true;
    rt_tx_wake(att);
}

void rt_catt_input(const struct rt_catt *att, uint64_t *written, uint64_t *applied)
{
    *written = att->tx[0].written;
    *applied = att->tx[0].ring.base;
}

uint64_t rt_catt_resent(const struct rt_catt *att)
{
    return att->tx[0].sender.resent;
}

static int put_item(struct rt_catt *att, const struct rt_down_item *item)
{
    uint8_t buf[2 + RT_ITEM_MAX];
    struct rt_tx *tx = rt_catt_tx(att, RT_CONTROL_DOWN);
    if (!takes_input(att, RT_CONTROL_DOWN)) {
        return RT_ESTATE;
    }
    int size = rt_msg_encode(RT_MSG_DOWN_ITEM, item, buf + 2, RT_ITEM_MAX);
    if (size <= 0) {
        return size;
    }
    buf[0] = (uint8_t)(size >> 8);
    buf[1] = (uint8_t)(size & 0xff);
    bool replaces = item->t == RT_ITEM_RESIZE && tx->last_resize != RT_NEVER && tx->last_resize >= tx->sender.high;
    uint64_t end = replaces ? tx->last_resize : tx->ring.head;
    if (2 + (size_t)size > tx->window - (size_t)(end - tx->ring.base)) {
        return RT_ELIMIT;
    }
    tx->ring.head = end;
    int error = rt_tx_append(tx, buf, 2 + (size_t)size);
    if (error != 0) {
        return error;
    }
    tx->last_resize = item->t == RT_ITEM_RESIZE ? end : RT_NEVER;
    rt_tx_wake(att);
    return 0;
}

int rt_catt_resize(struct rt_catt *att, unsigned rows, unsigned cols)
{
    int error = put_item(att, &(struct rt_down_item){.t = RT_ITEM_RESIZE, .rows = rows, .cols = cols});
    if (error == 0) { /* the next ATTACH tells the same size, not an older one */
        att->options.rows = rows;
        att->options.cols = cols;
    }
    return error;
}

int rt_catt_signal(struct rt_catt *att, unsigned sig)
{
    return put_item(att, &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = sig});
}

int rt_catt_run(struct rt_catt *att, const uint8_t *what, size_t size)
{
    struct rt_tx *tx = rt_catt_tx(att, RT_CONTROL_DOWN);
    int error = size > RT_EXEC_MAX ? RT_ELIMIT : 0;
    assert(tx->ring.data == NULL);
    tx->window += (size / RT_PIECE_MAX + 1) * (2 + RT_ITEM_MAX); /* beside what other items may take */
    for (size_t at = 0; at < size && error == 0; at += RT_PIECE_MAX) {
        size_t part = size - at < RT_PIECE_MAX ? size - at : RT_PIECE_MAX;
        struct rt_down_item item = {.t = RT_ITEM_RUN, .b = {what + at, part}, .last = at + part == size};
        error = put_item(att, &item);
    }
    att->run_end = tx->ring.head;
    return error;
}

bool rt_catt_run_is_unsure(const struct rt_catt *att)
{
    return att->tx[1].sender.high >= att->run_end && att->tx[1].ring.base < att->run_end;
}

bool rt_catt_applied(const struct rt_catt *att)
{
    const struct rt_tx *tx = &att->tx[1];
    return tx->ring.base == tx->written;
}
