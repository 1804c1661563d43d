/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_FLOODS_H
#define RETETHER_TESTS_SIM_FLOODS_H

#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Hostile peers: a guest with a container of its own and a client with all rights, which shake hands as honest ones do
 * and then flood one type of frame. Honest clients are attached to that container too, over the links that their other
 * attachments use, and the hostile client to the honest containers. */

#define SIM_FLOODS_MAX 16   /* types that one side may send */
#define SIM_HOSTILE_EVERY 7 /* one run of so many has them */

extern const uint8_t sim_flood_types[2][SIM_FLOODS_MAX]; /* enum rt_frame_type; 0 ends */

void sim_start_hostile(void);
/* A short one in the middle of other faults. False when nobody can flood just now. */
bool sim_flood_some(void);
/* Long ones, while nothing else goes wrong: nobody is interrupted, and what waits for a link keeps its bound. */
void sim_floods(void (*run_for)(uint64_t us));
void sim_hostile_app(void);
void sim_hostile_bytes(void *ctx, void *out, size_t size);
bool sim_hostile_conn(int conn);
bool sim_hostile_id(const uint8_t id[RT_ID_SIZE]); /* an attachment of the hostile client */

#endif
