/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/pair.h"

#include "session/base/slice.h"
#include "session/core/msg_stream.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define WINDOW 262144
#define PIECE_MAX 40000
#define ACK_EVERY 8192
/* Pieces written in one go. */
#define ROUND_MAX 16

static uint8_t byte_at(unsigned channel, uint64_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8) + channel);
}

static void attach(struct pair *pair, const char *cid, unsigned at)
{
    uint8_t id[RT_ID_SIZE] = {7, (uint8_t)at};
    struct rt_attach_msg msg = {
        .cid = rt_slice_text(cid), .id = {id, RT_ID_SIZE}, .try_no = 1, .want = 2, .wait = 5000};
    struct rt_attached_msg attached = {
        .life = pair->guest.life, .epoch = 1, .st = 1, .n_out = 1, .out = {{.s = RT_STDOUT}}};
    struct rt_frame frame = {.type = RT_ATTACH, .channel = at + 1};

    peer_send_msg(&pair->client, frame, RT_MSG_ATTACH, &msg);
    (void)peer_wait(&pair->guest, RT_ATTACH, &frame, 5000);
    pair->channel[at].guest = frame.channel;
    pair->channel[at].limit = RT_INITIAL_CREDIT;
    frame = (struct rt_frame){.type = RT_ATTACHED, .channel = pair->channel[at].guest};
    peer_send_msg(&pair->guest, frame, RT_MSG_ATTACHED, &attached);
    (void)peer_wait(&pair->client, RT_ATTACHED, &frame, 5000);
    assert_int_equal(frame.channel, at + 1);
}

void pair_start(struct pair *pair, const struct daemon *daemon, const char *cid, unsigned n)
{
    uint8_t token[RT_TOKEN_MAX];
    size_t size;

    assert_true(n > 0 && n <= PAIR_CHANNELS_MAX);
    memset(pair, 0, sizeof(*pair));
    pair->n = n;
    pair->rng = 88172645463325252U;
    peer_client(&pair->client, daemon->client);
    size = peer_create(&pair->client, cid, token);
    peer_guest(&pair->guest, daemon->guest, cid, token, size);
    for (unsigned i = 0; i < n; i++) {
        attach(pair, cid, i);
    }
}

static void guest_frames(struct pair *pair)
{
    struct rt_frame frame;
    const uint8_t *payload;

    while ((payload = peer_frame(&pair->guest, &frame)) != NULL) {
        assert_int_not_equal(frame.type, RT_REFUSE);
        for (unsigned i = 0; i < pair->n && frame.type == RT_ACK; i++) {
            if (pair->channel[i].guest == frame.channel) {
                uint64_t limit = rt_get_u64(payload);
                assert_true(frame.offset <= pair->channel[i].sent);
                assert_true(limit >= pair->channel[i].limit);
                pair->channel[i].limit = limit;
            }
        }
    }
    assert_false(pair->guest.eof);
}

static void take_data(struct pair *pair, const struct rt_frame *frame, const uint8_t *payload)
{
    unsigned at = frame->channel - 1;

    assert_true(at < pair->n);
    assert_true(frame->offset == pair->channel[at].got);
    for (uint32_t i = 0; i < frame->length; i++) {
        if (payload[i] != byte_at(at, frame->offset + i)) {
            fail_msg("byte %llu of channel %u is wrong", (unsigned long long)frame->offset + i, at + 1);
        }
    }
    pair->channel[at].got += frame->length;
    pair->got += frame->length;
    pair->queue -= frame->length;
}

static void client_frames(struct pair *pair)
{
    struct rt_frame frame;
    const uint8_t *payload;

    while ((payload = peer_frame(&pair->client, &frame)) != NULL) {
        assert_int_not_equal(frame.type, RT_REFUSE);
        if (frame.type == RT_DATA) {
            take_data(pair, &frame, payload);
        }
    }
    assert_false(pair->client.eof);
    for (unsigned i = 0; i < pair->n; i++) {
        if (pair->channel[i].got - pair->channel[i].acked >= ACK_EVERY || pair->channel[i].acked == 0) {
            uint8_t ack[RT_ACK_PAYLOAD];

            rt_put_u64(ack, pair->channel[i].got + WINDOW);
            rt_put_u64(ack + 8, 0);
            frame = (struct rt_frame){.type = RT_ACK,
                                      .stream = RT_STDOUT,
                                      .channel = i + 1,
                                      .offset = pair->channel[i].got,
                                      .length = RT_ACK_PAYLOAD};
            peer_send(&pair->client, &frame, ack);
            pair->channel[i].acked = pair->channel[i].got;
        }
    }
}

static size_t piece_size(struct pair *pair)
{
    if (pair->piece > 0) {
        return pair->piece;
    }
    pair->rng ^= pair->rng << 13;
    pair->rng ^= pair->rng >> 7;
    pair->rng ^= pair->rng << 17;
    return 1 + (size_t)(pair->rng >> 16) % (pair->rng % 4 == 0 ? PIECE_MAX : 200);
}

/* Frames of all channels, one after the other, in one write. */
static void guest_sends(struct pair *pair)
{
    static uint8_t out[ROUND_MAX * (RT_FRAME_HEADER + PIECE_MAX)];
    size_t used = 0;

    for (unsigned k = 0; k < ROUND_MAX; k++) {
        unsigned at = (unsigned)(pair->rng + k) % pair->n;
        size_t size = piece_size(pair);
        struct rt_frame frame = {.type = RT_DATA,
                                 .stream = RT_STDOUT,
                                 .channel = pair->channel[at].guest,
                                 .offset = pair->channel[at].sent,
                                 .length = (uint32_t)size};

        if (pair->channel[at].sent + size > pair->channel[at].limit) {
            continue;
        }
        rt_frame_put(out + used, &frame);
        used += RT_FRAME_HEADER;
        for (size_t i = 0; i < size; i++) {
            out[used + i] = byte_at(at, pair->channel[at].sent + i);
        }
        used += size;
        pair->channel[at].sent += size;
        pair->queue += size;
    }
    assert_true(peer_write(&pair->guest, out, used));
}

static void step(struct pair *pair)
{
    struct pollfd fds[2] = {{.fd = pair->guest.fd, .events = POLLIN},
                            {.fd = pair->stalled ? -1 : pair->client.fd, .events = POLLIN}};

    guest_sends(pair);
    (void)poll(fds, 2, 5);
    peer_read(&pair->guest, 0);
    guest_frames(pair);
    if (!pair->stalled) {
        peer_read(&pair->client, 0);
        client_frames(pair);
    }
}

void pair_run(struct pair *pair, unsigned ms)
{
    uint64_t limit = test_now_ms() + ms;

    do {
        step(pair);
    } while (test_now_ms() < limit);
}

void pair_move(struct pair *pair, uint64_t bytes, unsigned limit_ms)
{
    uint64_t limit = test_now_ms() + (uint64_t)limit_ms * TEST_PATIENCE, wanted = pair->got + bytes;

    while (pair->got < wanted) {
        step(pair);
        if (test_now_ms() > limit) {
            fail_msg("only %llu of %llu bytes came within %u ms", (unsigned long long)(pair->got + bytes - wanted),
                     (unsigned long long)bytes, limit_ms);
        }
    }
}

void pair_close(struct pair *pair)
{
    peer_close(&pair->guest);
    peer_close(&pair->client);
}
