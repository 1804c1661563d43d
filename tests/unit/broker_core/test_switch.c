/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Channels: the data path, cut anywhere. */

static void test_passes_both_ways(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    int client;

    fx_attached(fx, &guest, &client);
    fx_say_attached(fx, &guest, 1);
    assert_int_equal(fx_want(fx, client, RT_ATTACHED, &frame)[0], 0x85); /* a map of 5: as it came */
    assert_int_equal(frame.channel, 7);
    fx_data(fx, guest.link, 1, RT_STDOUT, 100, "hello", 5);
    assert_memory_equal(fx_want(fx, client, RT_DATA, &frame), "hello", 5);
    assert_int_equal(frame.channel, 7);
    assert_int_equal(frame.offset, 100);
    assert_int_equal(frame.stream, RT_STDOUT);
    fx_data(fx, client, 7, RT_STDIN, 0, "typed", 5);
    assert_memory_equal(fx_want(fx, guest.link, RT_DATA, &frame), "typed", 5);
    assert_int_equal(frame.channel, 1);
    fx_send(fx, client, &(struct rt_frame){.type = RT_FIN, .channel = 7, .offset = 5}, NULL);
    (void)fx_want(fx, guest.link, RT_FIN, &frame);
    assert_int_equal(frame.offset, 5);
    fx_send(fx, guest.link,
            &(struct rt_frame){.type = RT_GAP, .channel = 1, .stream = RT_STDERR, .length = RT_GAP_PAYLOAD},
            "\0\0\0\0\0\0\1\0");
    (void)fx_want(fx, client, RT_GAP, &frame);
    fx_send(fx, client, &(struct rt_frame){.type = RT_DETACH, .channel = 7}, NULL);
    (void)fx_want(fx, guest.link, RT_DETACH, &frame);
    assert_int_equal(fx_stats(fx).channels, 0);
    fx_data(fx, guest.link, 1, RT_STDOUT, 105, "more", 4);
    fx_data(fx, client, 7, RT_STDIN, 5, "more", 4);
    fx_none(fx, client);
    fx_none(fx, guest.link);
    assert_int_equal(fx_stats(fx).bytes_up, 5);
    assert_int_equal(fx_stats(fx).bytes_down, 5);
}

static void test_runs_are_one_send(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame;
    uint8_t buf[3 * (RT_FRAME_HEADER + 4)];
    int client;
    size_t sends;

    fx_attached(fx, &guest, &client);
    for (size_t i = 0; i < 3; i++) {
        uint8_t *p = buf + i * (RT_FRAME_HEADER + 4);
        frame = (struct rt_frame){.type = RT_DATA, .channel = 1, .stream = RT_STDOUT, .offset = 4 * i, .length = 4};
        rt_frame_put(p, &frame);
        memset(p + RT_FRAME_HEADER, (int)('a' + i), 4);
    }
    sends = fx->links[client].sends;
    fx_bytes(fx, guest.link, buf, sizeof(buf));
    assert_int_equal(fx->links[client].sends, sends + 1);
    for (size_t i = 0; i < 3; i++) {
        (void)fx_want(fx, client, RT_DATA, &frame);
        assert_int_equal(frame.offset, 4 * i);
    }
    fx_none(fx, client);
    /* A frame in the middle that goes nowhere ends the run. */
    for (size_t i = 0; i < 3; i++) {
        frame = (struct rt_frame){
            .type = RT_DATA, .channel = 1 + (i == 1), .stream = RT_STDOUT, .offset = 12 + 4 * i, .length = 4};
        rt_frame_put(buf + i * (RT_FRAME_HEADER + 4), &frame);
    }
    fx_bytes(fx, guest.link, buf, sizeof(buf));
    assert_int_equal(fx->links[client].sends, sends + 3);
}

/* A guest's whole stream of frames of every kind, and the bytes of its DATA as a client gets them. */
static size_t script(uint8_t *out)
{
    struct rt_frame frame;
    size_t n = 0, at = 0;
    const struct rt_frame frames[] = {
        {.type = RT_STOP, .channel = 1},
        {.type = RT_DATA, .channel = 1, .stream = RT_STDOUT, .length = 30},
        {.type = RT_DATA, .channel = 1, .stream = RT_STDOUT, .offset = 30, .length = 1},
        {.type = RT_PING, .offset = 99},
        {.type = RT_DATA, .channel = 2, .stream = RT_STDOUT, .length = 10},
        {.type = RT_DATA, .channel = 1, .stream = RT_STDERR, .length = 17},
        {.type = RT_ACK, .channel = 1, .stream = RT_STDIN, .length = RT_ACK_PAYLOAD},
        {.type = RT_DATA, .channel = 1, .stream = RT_STDOUT, .offset = 31, .length = 25},
        {.type = RT_FIN, .channel = 1, .stream = RT_STDOUT, .offset = 56},
    };

    for (; at < sizeof(frames) / sizeof(frames[0]); at++) {
        frame = frames[at];
        rt_frame_put(out + n, &frame);
        n += RT_FRAME_HEADER;
        for (uint32_t i = 0; i < frame.length; i++) {
            out[n++] = (uint8_t)(frame.type == RT_ACK ? 0 : frame.offset + i + frame.stream);
        }
    }
    return n;
}

/* Everything that the client got, DATA merged: (type, stream, bytes). */
static size_t merged(struct fx *fx, int client, uint8_t *out)
{
    struct rt_frame frame, last = {0};
    const uint8_t *payload;
    size_t n = 0;

    while (fx_next(fx, client, &frame, &payload)) {
        if (frame.type == RT_PING) {
            continue;
        }
        assert_int_equal(frame.channel, 7);
        if (frame.type != RT_DATA || last.type != RT_DATA || last.stream != frame.stream) {
            out[n++] = frame.type;
            out[n++] = (uint8_t)frame.stream;
            out[n++] = (uint8_t)frame.offset;
        } else {
            assert_int_equal(frame.offset, last.offset + last.length);
        }
        memcpy(out + n, payload, frame.length);
        n += frame.length;
        last = frame;
    }
    return n;
}

static size_t run_cut(size_t cut, size_t chunk, uint8_t *out)
{
    struct fx *fx = calloc(1, sizeof(*fx));
    struct fx_guest guest;
    uint8_t frames[1024];
    size_t n = script(frames), size;
    int client;

    assert_non_null(fx);
    fx_init(fx);
    fx_attached(fx, &guest, &client);
    fx->links[guest.link].chunk = chunk;
    fx_bytes(fx, guest.link, frames, cut);
    fx_bytes(fx, guest.link, frames + cut, n - cut);
    assert_int_equal(fx->links[guest.link].in_size, 0);
    size = merged(fx, client, out);
    fx_close(fx);
    free(fx);
    return size;
}

static void test_cut_anywhere(void **state)
{
    uint8_t whole[1024], frames[1024], other[1024];
    size_t n = script(frames), size = run_cut(0, 0, whole);

    (void)state;
    assert_true(size > 100);
    for (size_t cut = 0; cut <= n; cut++) {
        assert_int_equal(run_cut(cut, 0, other), size);
        assert_memory_equal(other, whole, size);
    }
    for (size_t chunk = 1; chunk < 64; chunk++) {
        assert_int_equal(run_cut(0, chunk, other), size);
        assert_memory_equal(other, whole, size);
    }
}

static void test_guest_dies_in_a_frame(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame = {.type = RT_DATA, .channel = 1, .stream = RT_STDOUT, .length = 1000};
    uint8_t head[RT_FRAME_HEADER + 10] = {0};
    int client;

    fx_attached(fx, &guest, &client);
    rt_frame_put(head, &frame);
    fx_bytes(fx, guest.link, head, sizeof(head));
    fx_lost(fx, guest.link);
    (void)fx_want(fx, client, RT_DATA, &frame);
    assert_int_equal(frame.length, 10);
    fx_want_refuse(fx, client, 7, RT_CLASS_LOST, NULL);
    fx_none(fx, client);
    fx_serve(fx, &guest); /* the client's link goes on */
    fx_attach(fx, client, 8, "web", 0, 0, 0);
    (void)fx_want(fx, guest.link, RT_ATTACH, &frame);
    fx_data(fx, guest.link, 1, RT_STDOUT, 10, "on", 2);
    (void)fx_want(fx, client, RT_DATA, &frame);
    assert_int_equal(frame.channel, 8);
}

static void test_channel_ends_in_a_frame(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame = {.type = RT_DATA, .channel = 1, .stream = RT_STDOUT, .length = 20};
    uint8_t bytes[RT_FRAME_HEADER + 20] = {0};
    int client;

    fx_attached(fx, &guest, &client);
    rt_frame_put(bytes, &frame);
    fx_bytes(fx, guest.link, bytes, RT_FRAME_HEADER + 5);
    (void)fx_want(fx, client, RT_DATA, &frame);
    fx_send(fx, client, &(struct rt_frame){.type = RT_DETACH, .channel = 7}, NULL);
    (void)fx_want(fx, guest.link, RT_DETACH, &frame);
    fx_bytes(fx, guest.link, bytes + RT_FRAME_HEADER + 5, 15);
    fx_none(fx, client);
    fx_send(fx, guest.link, &(struct rt_frame){.type = RT_PING, .offset = 3}, NULL);
    (void)fx_want(fx, guest.link, RT_PONG, &frame); /* framing is intact */
    assert_int_equal(frame.offset, 3);
}

static void data_jumps_to(struct fx *fx, uint64_t offset)
{
    struct fx_guest guest;
    struct rt_frame frame;
    int client;

    fx_attached(fx, &guest, &client);
    fx_data(fx, guest.link, 1, RT_STDOUT, 0, "abcd", 4);
    (void)fx_want(fx, client, RT_DATA, &frame);
    fx_data(fx, guest.link, 1, RT_STDOUT, offset, "efgh", 4);
    fx_want_refuse(fx, client, 7, RT_CLASS_JUMP, NULL);
    fx_want_refuse(fx, guest.link, 1, RT_CLASS_JUMP, NULL);
}

static void test_gap_elsewhere(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;
    struct rt_frame frame = {.type = RT_GAP, .channel = 1, .stream = RT_STDOUT, .offset = 2, .length = RT_GAP_PAYLOAD};
    uint8_t to[RT_GAP_PAYLOAD];
    int client;

    fx_attached(fx, &guest, &client);
    fx_data(fx, guest.link, 1, RT_STDOUT, 0, "abcd", 4);
    (void)fx_want(fx, client, RT_DATA, &(struct rt_frame){0});
    rt_put_u64(to, 100);
    fx_send(fx, guest.link, &frame, to);
    fx_want_refuse(fx, client, 7, RT_CLASS_JUMP, NULL);
    fx_want_refuse(fx, guest.link, 1, RT_CLASS_JUMP, NULL);
}

/* A past that has changed. */
static void test_data_goes_back(void **state)
{
    data_jumps_to(*state, 0);
}

static void test_data_leaves_bytes_out(void **state)
{
    data_jumps_to(*state, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_passes_both_ways),      FX_TEST(test_runs_are_one_send),       cmocka_unit_test(test_cut_anywhere),
        FX_TEST(test_guest_dies_in_a_frame), FX_TEST(test_channel_ends_in_a_frame), FX_TEST(test_data_goes_back),
        FX_TEST(test_data_leaves_bytes_out), FX_TEST(test_gap_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
