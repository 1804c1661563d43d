/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/frame.h"

#include "session/core/protocol.h"

#include <stdbool.h>

enum channel_rule {
    CHANNEL_ZERO,
    CHANNEL_SET,
    CHANNEL_REFUSE, /* from an agent any; a guest and a client say nothing of their link but close it */
};

enum offset_rule {
    OFFSET_ZERO,
    OFFSET_COUNTER, /* below RT_COUNTER_MAX */
    OFFSET_SPAN,    /* of the payload's first byte: the offset after its last byte is below RT_COUNTER_MAX as well */
    OFFSET_TOKEN,   /* any 64 bits */
};

/* Streams (bit s: stream s) that a type may name on its way toward the client, and toward the guest. */
struct streams {
    uint8_t up, down;
};

/* A row of the table in protocol.md section 1. Types without a row have name NULL and are refused. */
struct frame_rule {
    const char *name;
    uint32_t length_min, length_max; /* bytes */
    uint8_t ways;                    /* enum rt_way */
    uint8_t channel;                 /* enum channel_rule */
    uint8_t offset;                  /* enum offset_rule */
    struct streams streams;
};

#define UP (RT_WAY_GUEST_AGENT | RT_WAY_AGENT_CLIENT)
#define DOWN (RT_WAY_CLIENT_AGENT | RT_WAY_AGENT_GUEST)
#define TO_AGENT (RT_WAY_GUEST_AGENT | RT_WAY_CLIENT_AGENT)
#define FROM_AGENT (RT_WAY_AGENT_GUEST | RT_WAY_AGENT_CLIENT)

#define ZERO (1 << RT_STDIN)
#define NO_STREAM                                                                                                      \
    {                                                                                                                  \
        ZERO, ZERO                                                                                                     \
    }
#define PLAIN ((1 << RT_STDOUT) | (1 << RT_STDERR))
#define MAX RT_FRAME_PAYLOAD_MAX
#define SHORT RT_SHORT_MAX
#define ACK_SIZE RT_ACK_PAYLOAD
#define GAP_SIZE RT_GAP_PAYLOAD

/* A map takes at least one byte. Data goes one way in a stream, its acknowledgements and "I take no more" the other. */
static const struct frame_rule rules[] = {
    [RT_HELLO] = {"HELLO", 1, SHORT, TO_AGENT, CHANNEL_ZERO, OFFSET_ZERO, NO_STREAM},
    [RT_WELCOME] = {"WELCOME", 1, MAX, FROM_AGENT, CHANNEL_ZERO, OFFSET_ZERO, NO_STREAM},
    [RT_CONFIRM] = {"CONFIRM", 0, 0, RT_WAY_GUEST_AGENT, CHANNEL_ZERO, OFFSET_ZERO, NO_STREAM},
    [RT_REPORT] = {"REPORT", 1, MAX, RT_WAY_GUEST_AGENT, CHANNEL_ZERO, OFFSET_ZERO, NO_STREAM},
    [RT_REFUSE] = {"REFUSE", 1, SHORT, RT_WAY_ANY, CHANNEL_REFUSE, OFFSET_ZERO, NO_STREAM},
    [RT_PING] = {"PING", 0, 0, RT_WAY_ANY, CHANNEL_ZERO, OFFSET_TOKEN, NO_STREAM},
    [RT_PONG] = {"PONG", 0, 0, RT_WAY_ANY, CHANNEL_ZERO, OFFSET_TOKEN, NO_STREAM},
    [RT_REQUEST] = {"REQUEST", 1, SHORT, RT_WAY_CLIENT_AGENT, CHANNEL_ZERO, OFFSET_COUNTER, NO_STREAM},
    [RT_REPLY] = {"REPLY", 1, MAX, RT_WAY_AGENT_CLIENT, CHANNEL_ZERO, OFFSET_COUNTER, NO_STREAM},
    [RT_TAIL] = {"TAIL", 0, MAX, RT_WAY_GUEST_AGENT, CHANNEL_ZERO, OFFSET_SPAN, {PLAIN, 0}},
    [RT_END] = {"END", 1, SHORT, RT_WAY_GUEST_AGENT, CHANNEL_ZERO, OFFSET_ZERO, NO_STREAM},
    [RT_END_OK] = {"END_OK", 1, SHORT, RT_WAY_AGENT_GUEST, CHANNEL_ZERO, OFFSET_ZERO, NO_STREAM},
    [RT_TICKET] = {"TICKET", 1, RT_TOKEN_MAX, RT_WAY_AGENT_GUEST, CHANNEL_ZERO, OFFSET_ZERO, NO_STREAM},
    [RT_ATTACH] = {"ATTACH", 1, SHORT, DOWN, CHANNEL_SET, OFFSET_ZERO, NO_STREAM},
    [RT_ATTACHED] = {"ATTACHED", 1, SHORT, UP, CHANNEL_SET, OFFSET_ZERO, NO_STREAM},
    [RT_DATA] = {"DATA", 1, MAX, RT_WAY_ANY, CHANNEL_SET, OFFSET_SPAN, {RT_OUTPUTS, RT_INPUTS}},
    [RT_ACK] = {"ACK", ACK_SIZE, ACK_SIZE, RT_WAY_ANY, CHANNEL_SET, OFFSET_COUNTER, {RT_INPUTS, RT_OUTPUTS}},
    [RT_FIN] = {"FIN", 0, 0, RT_WAY_ANY, CHANNEL_SET, OFFSET_COUNTER, {PLAIN, ZERO}},
    [RT_GAP] = {"GAP", GAP_SIZE, GAP_SIZE, UP, CHANNEL_SET, OFFSET_COUNTER, {RT_OUTPUTS, 0}},
    [RT_STOP] = {"STOP", 0, 0, UP, CHANNEL_SET, OFFSET_COUNTER, {ZERO, 0}},
    [RT_DETACH] = {"DETACH", 0, 0, DOWN, CHANNEL_SET, OFFSET_ZERO, NO_STREAM},
};

static const struct frame_rule *rule_of(uint8_t type)
{
    if (type >= sizeof(rules) / sizeof(rules[0]) || rules[type].name == NULL) {
        return NULL;
    }
    return &rules[type];
}

void rt_frame_put(uint8_t out[RT_FRAME_HEADER], const struct rt_frame *frame)
{
    rt_put_u32(out, frame->length);
    out[4] = frame->type;
    out[5] = frame->flags;
    rt_put_u16(out + 6, frame->stream);
    rt_put_u32(out + 8, frame->channel);
    rt_put_u64(out + 12, frame->offset);
}

void rt_frame_get(const uint8_t in[RT_FRAME_HEADER], struct rt_frame *frame)
{
    frame->length = rt_get_u32(in);
    frame->type = in[4];
    frame->flags = in[5];
    frame->stream = rt_get_u16(in + 6);
    frame->channel = rt_get_u32(in + 8);
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

/* The flag of an ACK is about a FIN, which control streams do not have. */
static bool check_flags(const struct rt_frame *frame)
{
    return frame->flags == 0 || (frame->type == RT_ACK && frame->flags == RT_ACK_FIN &&
                                 frame->stream != RT_CONTROL_UP && frame->stream != RT_CONTROL_DOWN);
}

static bool check_stream(const struct rt_frame *frame, const struct frame_rule *rule, unsigned ways)
{
    unsigned allowed = ((ways & UP) != 0 ? rule->streams.up : 0U) | ((ways & DOWN) != 0 ? rule->streams.down : 0U);

    return frame->stream < RT_STREAMS && (allowed >> frame->stream & 1) != 0;
}

int rt_frame_check(const struct rt_frame *frame, unsigned ways, const char **why)
{
    const struct frame_rule *rule = rule_of(frame->type);
    *why = NULL;
    if (rule == NULL) {
        *why = "unknown frame type";
    } else if ((rule->ways & ways) == 0) {
        *why = "this type does not go this way";
    } else if (frame->length > RT_FRAME_PAYLOAD_MAX) {
        *why = "payload is longer than 65536 bytes";
    } else if (frame->length < rule->length_min) {
        *why = "payload is too short for this type";
    } else if (frame->length > rule->length_max) {
        *why = "payload is too long for this type";
    } else if (!check_flags(frame)) {
        *why = "unknown flag for this type and stream";
    } else if (!check_stream(frame, rule, rule->ways & ways)) {
        *why = "stream is not allowed for this type, this way";
    } else if (rule->channel == CHANNEL_ZERO && frame->channel != 0) {
        *why = "channel must be 0 for this type";
    } else if (frame->channel == 0 &&
               (rule->channel == CHANNEL_SET || (rule->channel == CHANNEL_REFUSE && (ways & FROM_AGENT) == 0))) {
        *why = "channel must not be 0 for this type, this way";
    } else {
        *why = check_offset(frame, (enum offset_rule)rule->offset);
    }
    return *why == NULL ? 0 : RT_EPROTO;
}

int rt_frame_check_numbers(const struct rt_frame *frame, const uint8_t *payload, const char **why)
{
    *why = NULL;
    if (frame->type == RT_ACK && rt_get_u64(payload) >= RT_COUNTER_MAX) {
        *why = "limit is not below 2^53";
    } else if (frame->type == RT_GAP && rt_get_u64(payload) >= RT_COUNTER_MAX) {
        *why = "its end is not below 2^53";
    } else if (frame->type == RT_GAP && rt_get_u64(payload) <= frame->offset) {
        *why = "it ends where it begins, or before";
    }
    return *why == NULL ? 0 : RT_EPROTO;
}

const char *rt_frame_name(uint8_t type)
{
    const struct frame_rule *rule = rule_of(type);
    return rule == NULL ? "?" : rule->name;
}
