/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_CLIENT_TX_H
#define RETETHER_SESSION_CORE_CLIENT_TX_H

#include "session/core/ring.h"
#include "session/core/sender.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A stream that a client sends: stdin, control-down. */

#define RT_TX_QUANTUM 16384 /* stream bytes of one attachment per turn of a link's output */

struct rt_attached_in;
struct rt_catt;
struct rt_frame;

struct rt_tx {
    struct rt_ring ring; /* owned; what the guest has not applied: made with the first byte */
    struct rt_sender sender;
    bool closed;          /* the guest takes no more */
    uint64_t written;     /* bytes accepted, kept over a close */
    uint64_t last_resize; /* offset of a resize that is the last item; RT_NEVER */
};

void rt_tx_begin(struct rt_tx *tx);
int rt_tx_append(struct rt_tx *tx, const void *data, size_t size);
/* False when what the guest says that it has applied cannot be. steal: takes over at what it says. */
bool rt_tx_resume(struct rt_tx *tx, const struct rt_attached_in *in, bool steal);
void rt_tx_bind(struct rt_catt *att, struct rt_tx *tx, const struct rt_attached_in *in);
void rt_tx_ack(struct rt_catt *att, const struct rt_frame *frame, const uint8_t *payload);
void rt_tx_closed(struct rt_catt *att, unsigned stream, uint64_t offset);
bool rt_tx_ready(const struct rt_catt *att);
void rt_tx_wake(struct rt_catt *att);
/* Writes up to RT_TX_QUANTUM stream bytes and due FINs; *more when something that may go now did not fit. */
size_t rt_tx_put(struct rt_catt *att, uint8_t *out, size_t cap, bool *more);

#endif
