/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_CLIENT_RX_H
#define RETETHER_SESSION_CORE_CLIENT_RX_H

#include "session/core/digest.h"
#include "session/core/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A stream that a client receives: stdout, stderr, control-up. */

/* Gaps waiting in one stream's buffer; one more joins the newest, and the bytes between the two are given up with it.
 */
#define RT_RX_GAPS_MAX 16
#define RT_ACK_DELAY_MS 20

struct rt_catt;
struct rt_up_item;

struct rt_gap {
    uint64_t from, to;
};

struct rt_rx {           /* stdout, stderr, control-up */
    struct rt_ring ring; /* bytes not consumed; counts bytes received, so gaps take no room */
    size_t cap;          /* of the ring once it is allocated */
    uint64_t consumed;   /* <= next */
    uint64_t next;       /* end of what is buffered, gaps included */
    uint64_t told, told_limit;
    struct rt_digest digest; /* at consumed */
    struct rt_gap gaps[RT_RX_GAPS_MAX];
    size_t n_gaps;
    uint64_t final; /* RT_NEVER until known */
    bool fin_seen;  /* FIN came (final may be known from the exit alone) */
    bool fin_told;  /* an ACK said so on this channel */
    bool eof_told;  /* to the application */
    bool ack_now;
    uint64_t ack_at; /* RT_NEVER: nothing owed */
};

void rt_rx_begin(struct rt_rx *rx, unsigned stream);
void rt_rx_start(struct rt_rx *rx, uint64_t offset);
/* At ATTACHED of a resume: what was received and not consumed is dropped, it comes again. From ATTACH until then
 * nothing is consumed (the cursors are under way); if the answer is an end instead, what was received can still be
 * read. */
void rt_rx_forget(struct rt_rx *rx, bool exited);
void rt_rx_rebind(struct rt_rx *rx);
void rt_rx_data(struct rt_catt *att, unsigned stream, uint64_t offset, const uint8_t *data, size_t size);
void rt_rx_gap(struct rt_catt *att, unsigned stream, uint64_t from, uint64_t to);
void rt_rx_fin(struct rt_catt *att, unsigned stream, uint64_t offset);
void rt_rx_exit(struct rt_catt *att, const struct rt_up_item *item);
/* Reads the items of control-up that have come whole, up to a gap that is to be told. */
void rt_rx_items(struct rt_catt *att);
void rt_rx_consume(struct rt_catt *att, struct rt_rx *rx, size_t size);
void rt_rx_skip_gap(struct rt_catt *att, struct rt_rx *rx);
void rt_rx_tick(struct rt_catt *att);
size_t rt_rx_put_acks(struct rt_catt *att, uint8_t *out, size_t cap, bool *more);

#endif
