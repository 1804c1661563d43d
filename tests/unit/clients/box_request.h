/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_CLIENTS_BOX_REQUEST_H
#define RETETHER_TESTS_UNIT_CLIENTS_BOX_REQUEST_H

#include "session/core/frame.h"
#include "tests/unit/clients/box.h"

#include <stdbool.h>
#include <stdint.h>

/* What the agents of a box know of it. */

/* Answers a REQUEST frame; true. */
bool box_take_request(struct box *box, struct link *link, const struct rt_frame *head, const uint8_t *payload);
void box_reply(struct link *link, uint64_t id, const struct rt_reply_msg *msg);
/* Its record. */
void box_record(const struct box *box, struct rt_record_msg *record);

#endif
