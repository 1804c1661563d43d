/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_CLIENT_RX_H
#define RETETHER_SESSION_CORE_CLIENT_RX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a client receives: stdout, stderr, control-up. */

#define RT_ACK_DELAY_MS 20

struct rt_catt;
struct rt_frame;
struct rt_receiver;
struct rt_up_item;

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
