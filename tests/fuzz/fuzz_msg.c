/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/msg_scan.h"
#include "session/core/msg_stream.h"
#include "tests/fuzz/fuzz.h"

#include <msgpack.h>
#include <string.h>

/* The first byte chooses the kind, the rest is the payload. */

static union {
    struct rt_reply_msg reply;
    struct rt_report_msg report;
    struct rt_welcome_msg welcome;
    struct rt_down_item down;
    struct rt_exec_msg exec;
} first, second;
static uint8_t once[RT_EXEC_MAX], twice[RT_EXEC_MAX];

/* What the scan lets pass is msgpack for msgpack-c too, to the last byte. */
static void check_twin(const uint8_t *data, size_t size)
{
    struct rt_scan_fault fault = {0};
    if (size > RT_EXEC_MAX) {
        return;
    }
    if (rt_msg_scan(data, size, &fault) != 0) {
        FUZZ_CHECK(fault.what != NULL && fault.at <= size);
        return;
    }
    msgpack_unpacked unpacked;
    size_t end = 0;
    msgpack_unpacked_init(&unpacked);
    FUZZ_CHECK(msgpack_unpack_next(&unpacked, (const char *)data, size, &end) == MSGPACK_UNPACK_SUCCESS);
    FUZZ_CHECK(end == size);
    msgpack_unpacked_destroy(&unpacked);
}

/* What was decoded encodes to no more bytes than it came in, and those decode to the same. */
static void check_message(enum rt_msg_kind kind, const uint8_t *data, size_t size)
{
    char why[160] = "";
    int rc = rt_msg_decode(kind, data, size, &first, why, sizeof(why));
    if (rc != 0) {
        FUZZ_CHECK(rc == RT_EPROTO && why[0] != '\0');
        return;
    }
    int n = rt_msg_encode(kind, &first, once, size);
    FUZZ_CHECK(n > 0);
    FUZZ_CHECK(rt_msg_decode(kind, once, (size_t)n, &second, why, sizeof(why)) == 0);
    int m = rt_msg_encode(kind, &second, twice, sizeof(twice));
    FUZZ_CHECK(m == n && memcmp(once, twice, (size_t)n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    check_twin(data + 1, size - 1);
    check_message((enum rt_msg_kind)(data[0] % RT_MSG_KINDS), data + 1, size - 1);
    return 0;
}
