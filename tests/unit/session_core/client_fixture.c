/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_core/client_fixture.h"

#include "session/base/slice.h"
#include "session/core/client.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Token of the pings that are only a sign of life of the agent. */
#define ALIVE UINT64_C(0xa11e)

void fx_random(void *ctx, void *out, size_t size)
{
    (void)ctx;
    memset(out, 0x5a, size);
}

void fx_on_reply(void *ctx, uint64_t request, int error, const struct rt_reply_msg *reply)
{
    struct fx *fx = ctx;
    fx->replies++;
    fx->reply_id = request;
    fx->reply_error = error;
    fx->reply_class = reply != NULL ? reply->c : 0;
    assert_int_equal(error == 0, reply != NULL);
}

void fx_next(struct fx *fx)
{
    struct rt_client_action action;
    while (rt_client_next(fx->client, &action, fx->now)) {
        assert_true(action.agent < FX_SLOTS);
        if (action.kind == RT_CLIENT_DIAL) {
            assert_false(fx->slot[action.agent].dialing);
            assert_false(fx->slot[action.agent].up);
            fx->slot[action.agent].dialing = true;
            fx->slot[action.agent].dials++;
            fx->slot[action.agent].dialed_at = fx->now;
            memcpy(fx->slot[action.agent].addr, action.addr, sizeof(action.addr));
            memcpy(fx->slot[action.agent].host, action.host, sizeof(action.host));
            fx->slot[action.agent].given = action.given;
        } else {
            assert_non_null(action.reason);
            fx->slot[action.agent].dialing = false;
            fx->slot[action.agent].up = false;
            fx->slot[action.agent].hangups++;
            fx->slot[action.agent].reason = action.reason;
            memcpy(fx->slot[action.agent].disproved, action.host, sizeof(action.host));
        }
    }
}

size_t fx_take(struct fx *fx, unsigned slot)
{
    size_t size = 0, n;
    fx_next(fx);
    while (sizeof(fx->out) - size >= 65556 &&
           (n = rt_client_output(fx->client, slot, fx->out + size, sizeof(fx->out) - size, fx->now)) > 0) {
        size += n;
    }
    fx->n_frames = 0;
    for (size_t at = 0; at < size;) {
        const char *why;
        struct fx_frame *frame = &fx->frames[fx->n_frames++];
        assert_true(fx->n_frames <= FX_FRAMES && size - at >= RT_FRAME_HEADER);
        rt_frame_get(fx->out + at, &frame->head);
        assert_int_equal(rt_frame_check(&frame->head, RT_WAY_CLIENT_AGENT, &why), 0);
        frame->payload = fx->out + at + RT_FRAME_HEADER;
        at += RT_FRAME_HEADER + frame->head.length;
        assert_true(at <= size);
        if (frame->head.type == RT_PING) { /* counted, not kept */
            fx->n_frames--;
            fx->pings++;
        } else if (frame->head.type == RT_PONG && frame->head.offset == ALIVE) {
            fx->n_frames--;
        }
    }
    return fx->n_frames;
}

const struct fx_frame *fx_frame(const struct fx *fx, uint8_t type, size_t n)
{
    for (size_t i = 0; i < fx->n_frames; i++) {
        if (fx->frames[i].head.type == type && n-- == 0) {
            return &fx->frames[i];
        }
    }
    return NULL;
}

void fx_send(struct fx *fx, unsigned slot, struct rt_frame head, const void *payload)
{
    static uint8_t buf[RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX];
    rt_frame_put(buf, &head);
    if (head.length > 0 && payload != NULL) {
        memcpy(buf + RT_FRAME_HEADER, payload, head.length);
    }
    assert_int_equal(rt_client_input(fx->client, slot, buf, RT_FRAME_HEADER + head.length, fx->now),
                     RT_FRAME_HEADER + head.length);
    fx_next(fx);
}

void fx_send_map(struct fx *fx, unsigned slot, struct rt_frame head, enum rt_msg_kind kind, const void *msg)
{
    static uint8_t buf[RT_FRAME_PAYLOAD_MAX];
    int size = rt_msg_encode(kind, msg, buf, sizeof(buf));
    assert_true(size > 0);
    head.length = (uint32_t)size;
    fx_send(fx, slot, head, buf);
}

void fx_run(struct fx *fx, uint64_t ms, bool answer)
{
    uint64_t end = fx->now + ms;
    for (unsigned i = 0;; i++) {
        assert_true(i < 20000);
        uint64_t at = rt_client_deadline(fx->client);
        if (at > end) {
            break;
        }
        if (at > fx->now) {
            fx->now = at;
        }
        rt_client_tick(fx->client, fx->now);
        fx_next(fx);
        for (unsigned s = 0; answer && s < FX_SLOTS; s++) {
            if (fx->slot[s].up) {
                fx_send(fx, s, (struct rt_frame){.type = RT_PING, .offset = ALIVE}, NULL);
            }
        }
    }
    fx->now = end;
    rt_client_tick(fx->client, fx->now);
    fx_next(fx);
}

void fx_open(struct fx *fx, unsigned agents)
{
    memset(fx, 0, sizeof(*fx));
    struct rt_client_config config = {
        .name = "test", .seed = 7, .ctx = fx, .random = fx_random, .on_reply = fx_on_reply};
    fx->now = 1000;
    fx->client = rt_client_new(&config);
    assert_non_null(fx->client);
    for (unsigned i = 0; i < agents; i++) {
        char addr[32];
        (void)snprintf(addr, sizeof(addr), "unix:/a%u", i);
        assert_int_equal(rt_client_add_agent(fx->client, addr), 0);
    }
}

void fx_close(struct fx *fx)
{
    rt_client_free(fx->client);
}

void fx_lost(struct fx *fx, unsigned slot)
{
    fx->slot[slot].dialing = false;
    fx->slot[slot].up = false;
    rt_client_lost(fx->client, slot, fx->now);
    fx_next(fx);
}

void fx_up(struct fx *fx, unsigned slot)
{
    char host[16];
    fx_next(fx);
    assert_true(fx->slot[slot].dialing);
    fx->slot[slot].dialing = false;
    fx->slot[slot].up = true;
    rt_client_connected(fx->client, slot, NULL, fx->now);
    assert_int_equal(fx_take(fx, slot), 1);
    assert_int_equal(fx->frames[0].head.type, RT_HELLO);
    (void)snprintf(host, sizeof(host), "h%u", slot);
    fx_send_map(fx, slot, (struct rt_frame){.type = RT_WELCOME}, RT_MSG_WELCOME,
                &(struct rt_welcome_msg){.v = 1, .host = rt_slice_text(host)});
}

const struct rt_request_msg *fx_request(const char *op)
{
    static struct rt_request_msg msg;
    msg = (struct rt_request_msg){.op = rt_slice_text(op), .cid = rt_slice_text("box")};
    return &msg;
}
