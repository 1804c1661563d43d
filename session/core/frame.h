/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_FRAME_H
#define RETETHER_SESSION_CORE_FRAME_H

#include "session/core/error.h"

#include <stddef.h>
#include <stdint.h>

/* The frame header of docs/protocol.md section 1. */

#define RT_FRAME_HEADER 20
/* A longer payload is a protocol error: the link ends. */
#define RT_FRAME_PAYLOAD_MAX 65536
/* Of the maps that list nothing (HELLO, REFUSE, REQUEST, END, END_OK, ATTACH, ATTACHED), some of which an agent keeps;
 * a longer one is a protocol error. */
#define RT_SHORT_MAX 2048
/* Counters and offsets at or above this are a protocol error (Lua in the store compares doubles). */
#define RT_COUNTER_MAX (UINT64_C(1) << 53)
#define RT_ACK_PAYLOAD 16
#define RT_GAP_PAYLOAD 8

enum rt_frame_type {
    RT_HELLO = 1,
    RT_WELCOME,
    RT_CONFIRM,
    RT_REPORT,
    RT_REFUSE,
    RT_PING,
    RT_PONG,
    RT_REQUEST,
    RT_REPLY,
    RT_TAIL,
    RT_END,
    RT_END_OK,
    RT_TICKET,
    RT_ATTACH = 16,
    RT_ATTACHED,
    RT_DATA,
    RT_ACK,
    RT_FIN,
    RT_GAP,
    RT_DETACH,
};

enum rt_frame_flag {
    RT_ACK_FIN = 1,    /* on ACK: the sender's FIN has been consumed */
    RT_FIN_CLOSED = 1, /* on FIN: told by the receiver, which takes no more than this offset */
};

enum rt_stream_id {
    RT_STDIN,
    RT_STDOUT,
    RT_STDERR,
    RT_CONTROL_UP,
    RT_CONTROL_DOWN,
    RT_STREAMS,
};

/* Which way a frame goes: who sends it to whom. */
enum rt_way {
    RT_WAY_GUEST_AGENT = 1,
    RT_WAY_AGENT_GUEST = 2,
    RT_WAY_CLIENT_AGENT = 4,
    RT_WAY_AGENT_CLIENT = 8,
    RT_WAY_ANY = 15,
};

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

uint64_t rt_get_u64(const uint8_t *in);
void rt_put_u64(uint8_t *out, uint64_t value);

#endif
