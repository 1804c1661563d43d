/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/pair.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define CHANNEL 1
#define WINDOW 262144
#define CHUNK 8192

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8));
}

void pair_start(struct pair *pair, const struct daemon *daemon, const char *cid)
{
    static const uint8_t id[RT_ID_SIZE] = {7};
    struct rt_attach_msg attach = {.cid = rt_slice_text(cid), .id = {id, RT_ID_SIZE}, .try_no = 1, .want = 2};
    struct rt_attached_msg attached = {
        .life = 1, .st = 1, .n_out = 1, .out = {{.s = RT_STDOUT, .c = 0, .base = 0, .head = 0}}};
    struct rt_frame frame = {.type = RT_ATTACH, .channel = CHANNEL};
    uint8_t token[RT_TOKEN_MAX];
    size_t size;

    memset(pair, 0, sizeof *pair);
    peer_client(&pair->client, daemon->client);
    size = peer_create(&pair->client, cid, token);
    peer_guest(&pair->guest, daemon->guest, cid, token, size);
    attach.wait = 5000;
    peer_send_msg(&pair->client, frame, RT_MSG_ATTACH, &attach);
    (void)peer_wait(&pair->guest, RT_ATTACH, &frame, 5000);
    pair->guest_channel = frame.channel;
    frame = (struct rt_frame){.type = RT_ATTACHED, .channel = pair->guest_channel};
    peer_send_msg(&pair->guest, frame, RT_MSG_ATTACHED, &attached);
    (void)peer_wait(&pair->client, RT_ATTACHED, &frame, 5000);
    pair->limit = 32768;
}

static void guest_frames(struct pair *pair)
{
    struct rt_frame frame;
    const uint8_t *payload;

    while ((payload = peer_frame(&pair->guest, &frame)) != NULL) {
        assert_int_not_equal(frame.type, RT_REFUSE);
        if (frame.type == RT_ACK && frame.stream == RT_STDOUT) {
            uint64_t limit = rt_get_u64(payload);
            assert_int_equal(frame.channel, pair->guest_channel);
            assert_true(frame.offset <= pair->sent);
            pair->limit = limit > pair->limit ? limit : pair->limit;
        }
    }
    assert_false(pair->guest.eof);
}

static void client_frames(struct pair *pair)
{
    struct rt_frame frame;
    const uint8_t *payload;

    while ((payload = peer_frame(&pair->client, &frame)) != NULL) {
        assert_int_not_equal(frame.type, RT_REFUSE);
        if (frame.type != RT_DATA) {
            continue;
        }
        assert_int_equal(frame.channel, CHANNEL);
        assert_true(frame.offset == pair->got);
        for (uint32_t i = 0; i < frame.length; i++) {
            if (payload[i] != byte_at(pair->got + i)) {
                fail_msg("byte %llu is wrong", (unsigned long long)pair->got + i);
            }
        }
        pair->got += frame.length;
    }
    assert_false(pair->client.eof);
    if (pair->got - pair->acked >= CHUNK) {
        uint8_t ack[RT_ACK_PAYLOAD];

        rt_put_u64(ack, pair->got + WINDOW);
        rt_put_u64(ack + 8, 0);
        frame = (struct rt_frame){
            .type = RT_ACK, .stream = RT_STDOUT, .channel = CHANNEL, .offset = pair->got, .length = RT_ACK_PAYLOAD};
        peer_send(&pair->client, &frame, ack);
        pair->acked = pair->got;
    }
}

static void step(struct pair *pair)
{
    struct pollfd fds[2] = {{.fd = pair->guest.fd, .events = POLLIN}, {.fd = pair->client.fd, .events = POLLIN}};
    uint8_t data[CHUNK];

    for (int i = 0; i < 8 && pair->sent + CHUNK <= pair->limit; i++) {
        struct rt_frame frame = {.type = RT_DATA,
                                 .stream = RT_STDOUT,
                                 .channel = pair->guest_channel,
                                 .offset = pair->sent,
                                 .length = CHUNK};

        for (size_t k = 0; k < CHUNK; k++) {
            data[k] = byte_at(pair->sent + k);
        }
        peer_send(&pair->guest, &frame, data);
        pair->sent += CHUNK;
    }
    (void)poll(fds, 2, 10);
    peer_read(&pair->guest, 0);
    guest_frames(pair);
    peer_read(&pair->client, 0);
    client_frames(pair);
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
    uint64_t limit = test_now_ms() + limit_ms, wanted = pair->got + bytes;

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
