/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_ORDER_H
#define RETETHER_SESSION_CORE_ORDER_H

#include "session/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In which order bytes came to two streams (0 stdout, 1 stderr), as far as it is remembered.
 *
 *     stdout  [0..........10)            [10....14)
 *     stderr               [0...6)                  [6..9)     runs: 10, 6, 14, 9
 *
 * A run is what came to one stream before the other one's turn; runs alternate, so an end is all that one needs. Of
 * the oldest, which are forgotten first, each stream's bytes count as written before those that are remembered. */

/* Runs remembered: 8 KiB, taken when a second stream is written to. */
#define RT_ORDER_RUNS_MAX 1024

struct rt_order {
    uint64_t *end; /* owned; a circle of ends, NULL while one stream alone is written */
    size_t first, n;
    uint64_t last_end[2];
    unsigned last; /* stream of the newest run */
    bool begun;
};

/* Bytes up to `end` have come to a stream. Without memory the order is unknown. */
void rt_order_add(struct rt_order *order, unsigned stream, uint64_t end);
/* Of the bytes behind at[0] in stream 0 and at[1] in stream 1: the stream whose next byte came first, and in *to how
 * far it goes before it is the other's turn. */
unsigned rt_order_next(const struct rt_order *order, const uint64_t at[2], uint64_t *to);

/* An order as END and REPLY carry it: the stream of the newest run (1 stdout, 2 stderr), then the sizes of the runs,
 * the newest first, 7 bits a byte, the lowest first, bit 7 set in all bytes but the last. They are the last bytes of
 * the two streams' tails; all that is before them was written before. */

/* Bytes of one; runs that have no room are the oldest, and left out. */
#define RT_ORDER_PACKED_MAX 1024

struct rt_run {
    unsigned stream;   /* 0 stdout, 1 stderr */
    uint64_t from, to; /* offsets */
};

/* Of what comes behind start[] in each stream. Returns the bytes; 0 when there is no order to tell. */
size_t rt_order_pack(const struct rt_order *order, const uint64_t start[2], uint8_t out[RT_ORDER_PACKED_MAX]);
/* The runs of two streams that end at end[], the oldest first; runs NULL: only counted. Returns how many, below
 * RT_ORDER_PACKED_MAX; 0 for what is no order, or reaches back beyond offset 0. */
size_t rt_order_unpack(struct rt_slice packed, const uint64_t end[2], struct rt_run *runs);
/* Forgets everything, and frees. */
void rt_order_clear(struct rt_order *order);

#endif
