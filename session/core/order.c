/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/order.h"

#include "session/base/number.h"

#include <stdlib.h>
#include <string.h>

static uint64_t *run(const struct rt_order *order, size_t i)
{
    return &order->end[(order->first + i) % RT_ORDER_RUNS_MAX];
}

static void push(struct rt_order *order, uint64_t end)
{
    if (order->n == RT_ORDER_RUNS_MAX) {
        order->first = (order->first + 1) % RT_ORDER_RUNS_MAX;
        order->n--;
    }
    *run(order, order->n++) = end;
}

void rt_order_add(struct rt_order *order, unsigned stream, uint64_t end)
{
    if (order->begun && stream != order->last) {
        if (order->end == NULL) {
            order->end = malloc(RT_ORDER_RUNS_MAX * sizeof(*order->end));
            order->n = 0;
            if (order->end != NULL) {
                push(order, order->last_end[order->last]);
            }
        }
        if (order->end != NULL) {
            push(order, end);
        }
    } else if (order->end != NULL) {
        *run(order, order->n - 1) = end;
    }
    order->begun = true;
    order->last = stream;
    order->last_end[stream] = end;
}

/* The first run of a stream that goes beyond `at`; n: none. Its runs are every second one, and their ends grow. */
static size_t first_beyond(const struct rt_order *order, unsigned stream, uint64_t at)
{
    size_t begin = (order->n - 1 + (stream != order->last)) % 2; /* its oldest run */
    size_t low = 0, high = order->n > begin ? (order->n - begin + 1) / 2 : 0, count = high;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (*run(order, begin + 2 * middle) > at) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low == count ? order->n : begin + 2 * low;
}

unsigned rt_order_next(const struct rt_order *order, const uint64_t at[2], uint64_t *to)
{
    size_t next[2];
    unsigned stream;

    *to = UINT64_MAX;
    if (order->end == NULL) {
        return order->last;
    }
    next[0] = first_beyond(order, 0, at[0]);
    next[1] = first_beyond(order, 1, at[1]);
    stream = next[0] <= next[1] ? 0 : 1;
    if (next[stream] + 1 < order->n) {
        *to = *run(order, next[stream]);
    }
    return next[stream] == order->n ? order->last : stream;
}

static size_t put_size(uint64_t size, uint8_t *out, size_t room)
{
    size_t n = 0;

    for (; n < room; size >>= 7) {
        out[n++] = (uint8_t)(size > 127 ? (size & 127) | 128 : size);
        if (size <= 127) {
            return n;
        }
    }
    return 0;
}

size_t rt_order_pack(const struct rt_order *order, const uint64_t start[2], uint8_t out[RT_ORDER_PACKED_MAX])
{
    unsigned stream = order->last;
    size_t used = 1;

    /* Before the oldest but one are only bytes of the oldest's stream: they need no telling. */
    for (size_t i = order->end == NULL ? 0 : order->n; i-- > 1; stream = 1 - stream) {
        uint64_t end = *run(order, i), begin = i > 1 ? *run(order, i - 2) : 0;
        uint64_t from = rt_max(begin, start[stream]);
        size_t n = end <= from ? 0 : put_size(end - from, out + used, RT_ORDER_PACKED_MAX - used);

        used += n;
        if (n == 0 || from > begin) {
            break;
        }
    }
    out[0] = (uint8_t)(order->last + 1);
    return used > 1 ? used : 0;
}

/* One size of *packed, in its shortest form; 0: there is none. */
static uint64_t take_size(struct rt_slice *packed)
{
    uint64_t size = 0;

    for (unsigned i = 0; i < packed->size && i < 8; i++) {
        uint8_t byte = packed->data[i];

        size |= (uint64_t)(byte & 127) << (7 * i);
        if (byte <= 127) {
            packed->data += i + 1;
            packed->size -= i + 1;
            return byte == 0 ? 0 : size;
        }
    }
    return 0;
}

size_t rt_order_unpack(struct rt_slice packed, const uint64_t end[2], struct rt_run *runs)
{
    uint64_t left[2] = {end[0], end[1]};
    unsigned stream;
    size_t n = 0;

    if (packed.size < 2 || packed.size > RT_ORDER_PACKED_MAX || packed.data[0] < 1 || packed.data[0] > 2) {
        return 0;
    }
    stream = packed.data[0] - 1U;
    packed.data++;
    packed.size--;
    for (; packed.size > 0; stream = 1 - stream) {
        uint64_t size = take_size(&packed);

        if (size == 0 || size > left[stream]) {
            return 0;
        }
        if (runs != NULL) {
            runs[n] = (struct rt_run){stream, left[stream] - size, left[stream]};
        }
        left[stream] -= size;
        n++;
    }
    for (size_t i = 0; runs != NULL && i < n / 2; i++) {
        struct rt_run newer = runs[i];

        runs[i] = runs[n - 1 - i];
        runs[n - 1 - i] = newer;
    }
    return n;
}

void rt_order_clear(struct rt_order *order)
{
    free(order->end);
    memset(order, 0, sizeof(*order));
}
