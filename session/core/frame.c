/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/frame.h"

enum channel_rule { CHANNEL_ZERO, CHANNEL_SET, CHANNEL_ANY };

enum offset_rule {
    OFFSET_ZERO,
    OFFSET_COUNTER, /* below RT_COUNTER_MAX */
    OFFSET_SPAN,    /* of the payload's first byte: the offset after its last byte is below RT_COUNTER_MAX as well */
    OFFSET_TOKEN,   /* any 64 bits */
};

/* A row of the table in protocol.md section 1. Types without a row have name NULL and are refused. */
struct frame_rule {
    const char *name;
    uint32_t length_min, length_max; /* bytes */
    uint8_t streams;                 /* bit s: stream s is allowed */
    uint8_t flags;                   /* bits that may be set */
    uint8_t channel;                 /* enum channel_rule */
    uint8_t offset;                  /* enum offset_rule */
};

#define ONLY_ZERO (1 << RT_STDIN)
#define TAILS ((1 << RT_STDOUT) | (1 << RT_STDERR))
#define ALL ((1 << RT_STREAMS) - 1)
#define MAX RT_FRAME_PAYLOAD_MAX

/* A map takes at least one byte. */
static const struct frame_rule rules[] = {
    [RT_HELLO] = {"HELLO", 1, RT_HELLO_MAX, ONLY_ZERO, 0, CHANNEL_ZERO, OFFSET_ZERO},
    [RT_WELCOME] = {"WELCOME", 1, MAX, ONLY_ZERO, 0, CHANNEL_ZERO, OFFSET_ZERO},
    [RT_CONFIRM] = {"CONFIRM", 0, 0, ONLY_ZERO, 0, CHANNEL_ZERO, OFFSET_ZERO},
    [RT_REPORT] = {"REPORT", 1, MAX, ONLY_ZERO, 0, CHANNEL_ZERO, OFFSET_ZERO},
    [RT_REFUSE] = {"REFUSE", 1, MAX, ONLY_ZERO, 0, CHANNEL_ANY, OFFSET_ZERO},
    [RT_PING] = {"PING", 0, 0, ONLY_ZERO, 0, CHANNEL_ZERO, OFFSET_TOKEN},
    [RT_PONG] = {"PONG", 0, 0, ONLY_ZERO, 0, CHANNEL_ZERO, OFFSET_TOKEN},
    [RT_REQUEST] = {"REQUEST", 1, MAX, ONLY_ZERO, 0, CHANNEL_ZERO, OFFSET_COUNTER},
    [RT_REPLY] = {"REPLY", 1, MAX, ONLY_ZERO, 0, CHANNEL_ZERO, OFFSET_COUNTER},
    [RT_TAIL] = {"TAIL", 0, MAX, TAILS, 0, CHANNEL_ZERO, OFFSET_SPAN},
    [RT_END] = {"END", 1, MAX, ONLY_ZERO, 0, CHANNEL_ZERO, OFFSET_ZERO},
    [RT_END_OK] = {"END_OK", 1, MAX, ONLY_ZERO, 0, CHANNEL_ZERO, OFFSET_ZERO},
    [RT_ATTACH] = {"ATTACH", 1, MAX, ONLY_ZERO, 0, CHANNEL_SET, OFFSET_ZERO},
    [RT_ATTACHED] = {"ATTACHED", 1, MAX, ONLY_ZERO, 0, CHANNEL_SET, OFFSET_ZERO},
    [RT_DATA] = {"DATA", 1, MAX, ALL, 0, CHANNEL_SET, OFFSET_SPAN},
    [RT_ACK] = {"ACK", RT_ACK_PAYLOAD, RT_ACK_PAYLOAD, ALL, RT_ACK_FIN, CHANNEL_SET, OFFSET_COUNTER},
    [RT_FIN] = {"FIN", 0, 0, ALL & ~(1 << RT_CONTROL_UP), RT_FIN_CLOSED, CHANNEL_SET, OFFSET_COUNTER},
    [RT_GAP] = {"GAP", RT_GAP_PAYLOAD, RT_GAP_PAYLOAD, TAILS | (1 << RT_CONTROL_UP), 0, CHANNEL_SET, OFFSET_COUNTER},
    [RT_DETACH] = {"DETACH", 0, 0, ONLY_ZERO, 0, CHANNEL_SET, OFFSET_ZERO},
};

static const struct frame_rule *rule_of(uint8_t type)
{
    if (type >= sizeof(rules) / sizeof(rules[0]) || rules[type].name == NULL) {
        return NULL;
    }
    return &rules[type];
}

static uint16_t get_u16(const uint8_t *in)
{
    return (uint16_t)(in[0] << 8 | in[1]);
}

static uint32_t get_u32(const uint8_t *in)
{
    return (uint32_t)get_u16(in) << 16 | get_u16(in + 2);
}

uint64_t rt_get_u64(const uint8_t *in)
{
    return (uint64_t)get_u32(in) << 32 | get_u32(in + 4);
}

static void put_u16(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)(value & 0xff);
}

static void put_u32(uint8_t *out, uint32_t value)
{
    put_u16(out, (uint16_t)(value >> 16));
    put_u16(out + 2, (uint16_t)(value & 0xffff));
}

void rt_put_u64(uint8_t *out, uint64_t value)
{
    put_u32(out, (uint32_t)(value >> 32));
    put_u32(out + 4, (uint32_t)(value & UINT32_MAX));
}

void rt_frame_put(uint8_t out[RT_FRAME_HEADER], const struct rt_frame *frame)
{
    put_u32(out, frame->length);
    out[4] = frame->type;
    out[5] = frame->flags;
    put_u16(out + 6, frame->stream);
    put_u32(out + 8, frame->channel);
    rt_put_u64(out + 12, frame->offset);
}

void rt_frame_get(const uint8_t in[RT_FRAME_HEADER], struct rt_frame *frame)
{
    frame->length = get_u32(in);
    frame->type = in[4];
    frame->flags = in[5];
    frame->stream = get_u16(in + 6);
    frame->channel = get_u32(in + 8);
    frame->offset = rt_get_u64(in + 12);
}

static const char *check_offset(const struct rt_frame *frame, enum offset_rule rule)
{
    if (rule == OFFSET_TOKEN) {
        return NULL;
    }
    if (rule == OFFSET_ZERO) {
        return frame->offset == 0 ? NULL : "offset must be 0 for this type";
    }
    if (frame->offset >= RT_COUNTER_MAX) {
        return "offset is not below 2^53";
    }
    if (rule == OFFSET_SPAN && frame->offset + frame->length >= RT_COUNTER_MAX) {
        return "offset after the last byte is not below 2^53";
    }
    return NULL;
}

int rt_frame_check(const struct rt_frame *frame, const char **why)
{
    const struct frame_rule *rule = rule_of(frame->type);
    *why = NULL;
    if (rule == NULL) {
        *why = "unknown frame type";
    } else if (frame->length > RT_FRAME_PAYLOAD_MAX) {
        *why = "payload is longer than 65536 bytes";
    } else if (frame->length < rule->length_min) {
        *why = "payload is too short for this type";
    } else if (frame->length > rule->length_max) {
        *why = "payload is too long for this type";
    } else if ((frame->flags & ~rule->flags) != 0) {
        *why = "unknown flag for this type";
    } else if (frame->stream >= RT_STREAMS || (rule->streams >> frame->stream & 1) == 0) {
        *why = "stream is not allowed for this type";
    } else if (rule->channel == CHANNEL_ZERO && frame->channel != 0) {
        *why = "channel must be 0 for this type";
    } else if (rule->channel == CHANNEL_SET && frame->channel == 0) {
        *why = "channel must not be 0 for this type";
    } else {
        *why = check_offset(frame, (enum offset_rule)rule->offset);
    }
    return *why == NULL ? 0 : RT_EPROTO;
}

const char *rt_frame_name(uint8_t type)
{
    const struct frame_rule *rule = rule_of(type);
    return rule == NULL ? "?" : rule->name;
}
