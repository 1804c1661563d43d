/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/order.h"

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
            order->end = malloc(RT_ORDER_RUNS_MAX * sizeof *order->end);
            order->n = 0;
            if (order->end != NULL)
                push(order, order->last_end[order->last]);
        }
        if (order->end != NULL)
            push(order, end);
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

        if (*run(order, begin + 2 * middle) > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low == count ? order->n : begin + 2 * low;
}

unsigned rt_order_next(const struct rt_order *order, const uint64_t at[2], uint64_t *to)
{
    size_t next[2];
    unsigned stream;

    *to = UINT64_MAX;
    if (order->end == NULL)
        return order->last;
    next[0] = first_beyond(order, 0, at[0]);
    next[1] = first_beyond(order, 1, at[1]);
    stream = next[0] <= next[1] ? 0 : 1;
    if (next[stream] + 1 < order->n)
        *to = *run(order, next[stream]);
    return next[stream] == order->n ? order->last : stream;
}

void rt_order_clear(struct rt_order *order)
{
    free(order->end);
    memset(order, 0, sizeof *order);
}
