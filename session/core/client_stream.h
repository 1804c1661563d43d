/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_CLIENT_STREAM_H
#define RETETHER_SESSION_CORE_CLIENT_STREAM_H

#include "session/core/receiver.h"
#include "session/core/ring.h"
#include "session/core/sender.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The streams of a client's attachment: stdout, stderr and control-up come (client_rx.c), stdin and control-down go
 * (client_tx.c). */

#define RT_TX_QUANTUM 16384 /* stream bytes of one attachment per turn of a link's output */

struct rt_attached_in;
struct rt_catt;
struct rt_frame;
struct rt_receiver;
struct rt_up_item;

struct rt_tx {
    struct rt_ring ring; /* owned; what the guest has not applied: made with the first byte */
    struct rt_sender sender;
    bool closed;          /* the guest takes no more */
    uint64_t written;     /* bytes accepted, kept over a close */
    uint64_t last_resize; /* offset of a resize that is the last item; RT_NO_OFFSET */
};

void rt_tx_begin(struct rt_tx *tx);
int rt_tx_append(struct rt_tx *tx, const void *data, size_t size);
/* False when what the guest says that it has applied cannot be. steal: takes over at what it says. */
bool rt_tx_resume(struct rt_tx *tx, const struct rt_attached_in *in, bool steal);
void rt_tx_bind(struct rt_catt *att, struct rt_tx *tx, const struct rt_attached_in *in);
void rt_tx_ack(struct rt_catt *att, const struct rt_frame *frame, const uint8_t *payload);
/* STOP: of stdin alone. */
void rt_tx_stop(struct rt_catt *att, uint64_t offset);
void rt_tx_wake(struct rt_catt *att);
/* Writes up to RT_TX_QUANTUM stream bytes and due FINs; *more when something that may go now did not fit. */
size_t rt_tx_put(struct rt_catt *att, uint8_t *out, size_t cap, bool *more);

/* DATA, GAP or FIN. */
void rt_rx_frame(struct rt_catt *att, const struct rt_frame *frame, const uint8_t *payload);
/* The process has ended, and with it stdout and stderr at the offsets that the item names. */
void rt_rx_exit(struct rt_catt *att, const struct rt_up_item *item);
/* Reads the items of control-up that have come whole, up to a gap that is to be told. */
void rt_rx_items(struct rt_catt *att);
void rt_rx_consume(struct rt_catt *att, struct rt_receiver *rx, size_t size);
void rt_rx_skip_gap(struct rt_catt *att, struct rt_receiver *rx);
void rt_rx_tick(struct rt_catt *att);
size_t rt_rx_put_acks(struct rt_catt *att, uint8_t *out, size_t cap, bool *more);

#endif
