/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"

#include "tests/vectors/sample.h"
#include "tests/vectors/vector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOLDER "tests/vectors" /* from the root of the sources, where the test runs */

/* Large enough for the struct of any kind. */
union any_msg {
    struct rt_reply_msg reply;
    struct rt_report_msg report;
    struct rt_welcome_msg welcome;
    struct rt_down_item down;
    struct rt_exec_msg exec;
};

struct tally {
    size_t types[UINT8_MAX + 1]; /* frames that are ok */
    size_t kinds[RT_MSG_KINDS];  /* messages that are ok */
    size_t rejected_frames, rejected_messages, faults;
};

static union any_msg msg;
static uint8_t again[RT_EXEC_MAX];

static void fault(struct tally *tally, const struct rt_vector *vector, const char *what)
{
    (void)fprintf(stderr, "%s: %s\n", vector->path, what);
    tally->faults++;
}

/* Returns NULL, or what is wrong. Bytes are copied to their exact size first, so that ASan sees a read past them. */
static const char *check_message(enum rt_msg_kind kind, const uint8_t *bytes, size_t size,
                                 const struct rt_vector *vector)
{
    static char why[160];
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    int rc = rt_msg_decode(kind, exact, size, &msg, why, sizeof(why));
    const char *result = NULL;
    if (vector->expect == RT_VECTOR_REJECT) {
        result = rc == RT_EPROTO && strstr(why, vector->why) != NULL ? NULL : rc == 0 ? "was decoded" : why;
    } else if (rc != 0) {
        result = why;
    } else {
        int written = rt_msg_encode(kind, &msg, again, sizeof(again));
        bool same = written == (int)size && memcmp(again, exact, size) == 0;
        if (same != (vector->expect == RT_VECTOR_OK)) {
            result = same ? "is ok, not only to accept" : "is encoded otherwise";
        }
    }
    free(exact);
    return result;
}

static const char *check_ok_frame(const struct rt_frame *frame, const struct rt_vector *vector)
{
    const char *why;
    uint8_t header[RT_FRAME_HEADER];
    if (strcmp(rt_frame_name(frame->type), vector->name) != 0) {
        return "another type";
    }
    if (rt_frame_check(frame, RT_WAY_ANY, &why) != 0) {
        return why;
    }
    rt_frame_put(header, frame);
    if (memcmp(header, vector->bytes, sizeof(header)) != 0) {
        return "the header is encoded otherwise";
    }
    if (frame->length != vector->size - RT_FRAME_HEADER) {
        return "the length is not that of the payload";
    }
    enum rt_msg_kind kind = rt_vector_payload(frame->type);
    return kind == RT_MSG_KINDS ? NULL : check_message(kind, vector->bytes + RT_FRAME_HEADER, frame->length, vector);
}

static void check_frame(struct tally *tally, const struct rt_vector *vector)
{
    struct rt_frame frame;
    const char *why = NULL;
    if (vector->size < RT_FRAME_HEADER) {
        fault(tally, vector, "no whole header");
        return;
    }
    rt_frame_get(vector->bytes, &frame);
    if (vector->expect == RT_VECTOR_REJECT) {
        tally->rejected_frames++;
        if (rt_frame_check(&frame, RT_WAY_ANY, &why) != RT_EPROTO || strstr(why, vector->why) == NULL) {
            fault(tally, vector, why == NULL ? "passes" : why);
        }
        return;
    }
    tally->types[frame.type]++;
    why = check_ok_frame(&frame, vector);
    if (why != NULL) {
        fault(tally, vector, why);
    }
}

static void check_vector(const struct rt_vector *vector, void *data)
{
    struct tally *tally = data;
    if (strcmp(vector->what, "frame") == 0) {
        check_frame(tally, vector);
        return;
    }
    enum rt_msg_kind kind = rt_vector_kind(vector->name);
    if (strcmp(vector->what, "message") != 0 || kind == RT_MSG_KINDS) {
        fault(tally, vector, "neither a frame nor a known message");
        return;
    }
    tally->rejected_messages += vector->expect == RT_VECTOR_REJECT;
    tally->kinds[kind] += vector->expect == RT_VECTOR_OK;
    const char *why = check_message(kind, vector->bytes, vector->size, vector);
    if (why != NULL) {
        fault(tally, vector, why);
    }
}

static void test_all(void **state)
{
    (void)state;
    static struct tally tally;
    assert_true(rt_vector_each(FOLDER, check_vector, &tally) > 0);
    for (unsigned type = 0; type <= UINT8_MAX; type++) {
        bool known = strcmp(rt_frame_name((uint8_t)type), "?") != 0;
        if (known && tally.types[type] == 0) {
            fail_msg("frame type %s has no vector", rt_frame_name((uint8_t)type));
        }
    }
    for (unsigned kind = 0; kind < RT_MSG_KINDS; kind++) {
        if (tally.kinds[kind] == 0) {
            fail_msg("message %s has no vector", rt_vector_kind_name((enum rt_msg_kind)kind));
        }
    }
    assert_int_equal(tally.faults, 0);
    assert_true(tally.rejected_frames > 0 && tally.rejected_messages > 0);
}

/* The vectors were written apart from this code: equal bytes say that every member goes with its key. */
static void test_samples(void **state)
{
    (void)state;
    static struct rt_vector vector;
    for (unsigned kind = 0; kind < RT_MSG_KINDS; kind++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/message-%s-full.hex", FOLDER,
                       rt_vector_kind_name((enum rt_msg_kind)kind));
        assert_int_equal(rt_vector_load(&vector, path), 0);
        int size = rt_msg_encode((enum rt_msg_kind)kind, rt_sample((enum rt_msg_kind)kind), again, sizeof(again));
        assert_int_equal(size, vector.size);
        assert_memory_equal(again, vector.bytes, vector.size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
