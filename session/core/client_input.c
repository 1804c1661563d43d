/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/base/number.h"
#include "session/core/attachment.h"
#include "session/core/client_att.h"
#include "session/core/client_machine.h"
#include "session/core/client_stream.h"
#include "session/core/msg.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/receiver.h"
#include "session/core/ring.h"

#include <assert.h>
#include <string.h>

/* What the application sends by an attachment: stdin, and items of control-down. */

/* A steal learns where its input begins from ATTACHED. */
static bool takes_input(const struct rt_catt *att, unsigned stream)
{
    const struct rt_tx *tx = &att->tx[stream == RT_STDIN ? 0 : 1];
    return att->state != RT_CATT_OVER && rt_catt_wants(att, stream) && !tx->closed && !tx->ring.ended &&
           (att->attached || !att->options.steal);
}

size_t rt_catt_writable(const struct rt_catt *att)
{
    return takes_input(att, RT_STDIN) ? rt_ring_room(&att->tx[0].ring) : 0;
}

size_t rt_catt_write(struct rt_catt *att, const void *data, size_t size)
{
    size = (size_t)rt_min(size, rt_catt_writable(att));
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
    bool replaces = item->t == RT_ITEM_RESIZE && tx->last_resize != RT_NO_OFFSET && tx->last_resize >= tx->sender.high;
    uint64_t end = replaces ? tx->last_resize : tx->ring.head;
    if (2 + (size_t)size > tx->ring.cap - (size_t)(end - tx->ring.base)) {
        return RT_ELIMIT;
    }
    tx->ring.head = end;
    int error = rt_tx_append(tx, buf, 2 + (size_t)size);
    if (error != 0) {
        return error;
    }
    tx->last_resize = item->t == RT_ITEM_RESIZE ? end : RT_NO_OFFSET;
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
    tx->ring.cap += (size / RT_PIECE_MAX + 1) * (2 + RT_ITEM_MAX); /* beside what other items may take */
    for (size_t at = 0; at < size && error == 0; at += RT_PIECE_MAX) {
        size_t part = (size_t)rt_min(size - at, RT_PIECE_MAX);
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
