/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_MSG_H
#define RETETHER_SESSION_CORE_MSG_H

#include "session/base/error.h"
#include "session/core/frame.h"

#include <stddef.h>
#include <stdint.h>

/* The msgpack maps of docs/protocol.md, one struct each (msg_hop.h, msg_stream.h, msg_request.h), with one encoder and
 * one decoder driven by tables of keys. */

enum rt_msg_kind {
    RT_MSG_HELLO,
    RT_MSG_WELCOME,
    RT_MSG_REPORT,
    RT_MSG_REFUSE,
    RT_MSG_END,
    RT_MSG_END_OK,
    RT_MSG_ATTACH,
    RT_MSG_ATTACHED,
    RT_MSG_UP_ITEM,
    RT_MSG_DOWN_ITEM,
    RT_MSG_EXEC,
    RT_MSG_REQUEST,
    RT_MSG_REPLY,
    RT_MSG_RECORD,
    RT_MSG_KINDS,
};

/* Encodes `msg` (the struct of that kind) into buf. Returns the bytes written (> 0), or RT_ELIMIT when cap is too
 * small (or the message larger than its kind may be, or over RT_MSG_NODES_MAX nodes), or RT_EINVAL when a field breaks
 * its bound. Allocates nothing. */
RT_MUST_CHECK int rt_msg_encode(enum rt_msg_kind kind, const void *msg, uint8_t *buf, size_t cap);

/* Encodes `msg` behind the header of its frame, whose length is set here. Returns the bytes of both; 0 when they do not
 * fit, or the message cannot be encoded. */
size_t rt_msg_put(struct rt_frame frame, enum rt_msg_kind kind, const void *msg, uint8_t *out, size_t cap);

/* Decodes size bytes into `msg`, which is zeroed first; its slices point into data. Returns 0, or RT_EPROTO with `why`
 * filled with what is wrong and at which key ("attach.id: 15 bytes, wants 16"); `msg` is then not to be used.
 * why_size 0: nobody wants to know. Enumerations and texts are as they came: the caller judges them. Allocates nothing.
 */
RT_MUST_CHECK int rt_msg_decode(enum rt_msg_kind kind, const uint8_t *data, size_t size, void *msg, char *why,
                                size_t why_size);

#endif
