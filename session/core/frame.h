/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_FRAME_H
#define RETETHER_SESSION_CORE_FRAME_H

#include "session/base/bytes.h"
#include "session/base/error.h"
#include "session/core/protocol.h"

#include <stddef.h>
#include <stdint.h>

/* The frame header of docs/protocol.md section 1. */

struct rt_frame {
    uint32_t length; /* bytes of payload that follow the header */
    uint8_t type;    /* enum rt_frame_type */
    uint8_t flags;
    uint16_t stream; /* enum rt_stream_id */
    uint32_t channel;
    uint64_t offset; /* bytes, or what protocol.md says for the type */
};

void rt_frame_put(uint8_t out[RT_FRAME_HEADER], const struct rt_frame *frame);
void rt_frame_get(const uint8_t in[RT_FRAME_HEADER], struct rt_frame *frame);

/* Whether the header keeps every rule of the table in protocol.md section 1 on one of `ways` (enum rt_way). Returns 0
 * or RT_EPROTO with `why` (a static text that names the rule). Does not look at the payload. */
RT_MUST_CHECK int rt_frame_check(const struct rt_frame *frame, unsigned ways, const char **why);

/* The same for the numbers that the payload of an ACK or a GAP has, once it is there and its header has passed. Other
 * types pass. */
RT_MUST_CHECK int rt_frame_check_numbers(const struct rt_frame *frame, const uint8_t *payload, const char **why);

/* The type's name in capitals as in protocol.md, or "?". */
const char *rt_frame_name(uint8_t type);

#endif
