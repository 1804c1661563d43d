/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/frame.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* A receiver of a link: frames out of a stream of bytes until one breaks a rule or is not whole. */

static void check_frame(const struct rt_frame *frame, const uint8_t *header)
{
    uint8_t again[RT_FRAME_HEADER];
    rt_frame_put(again, frame);
    FUZZ_CHECK(memcmp(again, header, sizeof(again)) == 0);
    FUZZ_CHECK(rt_frame_name(frame->type) != NULL);
}

static void check_rules(const struct rt_frame *frame)
{
    FUZZ_CHECK(frame->length <= RT_FRAME_PAYLOAD_MAX);
    FUZZ_CHECK(frame->stream < RT_STREAMS);
    FUZZ_CHECK(frame->flags <= 1);
    FUZZ_CHECK(strcmp(rt_frame_name(frame->type), "?") != 0);
    if (frame->type != RT_PING && frame->type != RT_PONG) {
        FUZZ_CHECK(frame->offset < RT_COUNTER_MAX);
    }
    if (frame->type == RT_DATA || frame->type == RT_TAIL) {
        FUZZ_CHECK(frame->offset + frame->length < RT_COUNTER_MAX);
    }
    if (frame->type == RT_ACK) {
        FUZZ_CHECK(frame->length == RT_ACK_PAYLOAD);
    }
    if (frame->type == RT_GAP) {
        FUZZ_CHECK(frame->length == RT_GAP_PAYLOAD);
    }
    if (frame->type >= RT_ATTACH) {
        FUZZ_CHECK(frame->channel != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    while (size >= RT_FRAME_HEADER) {
        struct rt_frame frame;
        const char *why;
        rt_frame_get(data, &frame);
        check_frame(&frame, data);
        int rc = rt_frame_check(&frame, RT_WAY_ANY, &why);
        FUZZ_CHECK(rc == 0 || (rc == RT_EPROTO && why != NULL));
        if (rc != 0 || frame.length > size - RT_FRAME_HEADER) {
            break;
        }
        check_rules(&frame);
        data += RT_FRAME_HEADER + frame.length;
        size -= RT_FRAME_HEADER + frame.length;
    }
    return 0;
}
