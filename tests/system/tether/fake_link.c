/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/tether/fake_agent.h"

#include "session/core/msg.h"
#include "session/core/protocol.h"

#include <stdio.h>
#include <string.h>

static const uint8_t attachment_id[RT_ID_SIZE] = "attachment 0001";
static const uint8_t ticket[] = "ticket";

static void send_map(struct fake_agent *agent, uint8_t type, uint32_t channel, enum rt_msg_kind kind, const void *msg)
{
    uint8_t payload[4096];
    int n = rt_msg_encode(kind, msg, payload, sizeof(payload));

    if (n < 0) {
        fake_error(agent, "encode", type, (uint64_t)-n);
        return;
    }
    fake_send(agent, &(struct rt_frame){.type = type, .channel = channel, .length = (uint32_t)n}, payload);
}

static void on_hello(struct fake_agent *agent, const struct rt_frame *frame, const uint8_t *payload)
{
    struct rt_hello_msg hello;
    struct rt_slice proof = agent->confirms > 0 ? rt_slice_text((const char *)ticket) : rt_slice_text("join-token");
    struct rt_welcome_msg welcome = {.v = 1, .host = rt_slice_text("host-a"), .life = 5};
    char why[160];

    if (rt_msg_decode(RT_MSG_HELLO, payload, frame->length, &hello, why, sizeof(why)) != 0) {
        fake_error(agent, why, 0, 0);
        return;
    }
    if (hello.epoch <= agent->epoch) {
        fake_error(agent, "epoch does not rise", hello.epoch, agent->epoch);
    }
    /* A welcome that was lost leaves the guest with its join token. */
    if (!rt_slice_equal(hello.tok, proof) && agent->confirms > 0) {
        fake_error(agent, "no ticket in the hello", hello.tok.size, proof.size);
    }
    agent->epoch = hello.epoch;
    welcome.tkt = rt_slice_text((const char *)ticket);
    agent->welcomes++;
    send_map(agent, RT_WELCOME, 0, RT_MSG_WELCOME, &welcome);
}

static void send_attach(struct fake_agent *agent)
{
    struct rt_attach_msg attach = {
        .cid = rt_slice_text("c1"),
        .id = {.data = attachment_id, .size = RT_ID_SIZE},
        .try_no = ++agent->try_no,
        .make = !agent->ever_attached,
        .want = 31,
        .from = RT_FROM_OLDEST,
        .hold = 30000,
        .rows = agent->rows,
        .cols = agent->cols,
    };

    if (agent->ever_attached) {
        for (size_t i = 0; i < 3; i++) {
            attach.out[i] = (struct rt_attach_out){
                .s = i + 1, .c = agent->out[i].size, .d = rt_digest_value(&agent->out[i].digest), .df = 0};
        }
        for (size_t i = 0; i < 2; i++) {
            attach.in[i] =
                (struct rt_attach_in){.s = i * RT_CONTROL_DOWN, .a = agent->in[i].acked, .h = agent->in[i].high};
        }
        attach.n_out = 3;
        attach.n_in = 2;
    }
    send_map(agent, RT_ATTACH, FAKE_CHANNEL, RT_MSG_ATTACH, &attach);
}

void fake_send_exec(struct fake_agent *agent)
{
    const struct rt_attach_msg attach = {
        .cid = rt_slice_text("c1"),
        .id = {.data = (const uint8_t *)"attachment 0002", .size = RT_ID_SIZE},
        .try_no = 1,
        .make = true,
        .exec = true,
        .want = 1U << RT_CONTROL_DOWN,
    };

    send_map(agent, RT_ATTACH, FAKE_EXEC_CHANNEL, RT_MSG_ATTACH, &attach);
}

static void on_exec_frame(struct fake_agent *agent, const struct rt_frame *frame)
{
    if (frame->type == RT_ATTACHED) {
        fake_send(agent,
                  &(struct rt_frame){.type = RT_DATA,
                                     .stream = RT_CONTROL_DOWN,
                                     .channel = FAKE_EXEC_CHANNEL,
                                     .length = (uint32_t)agent->exec_size},
                  agent->exec);
    } else if (frame->type != RT_ACK) {
        fake_error(agent, "of the exec", frame->type, 0);
    }
}

static void on_attached(struct fake_agent *agent, const struct rt_frame *frame, const uint8_t *payload)
{
    struct rt_attached_msg msg;
    char why[160];

    if (rt_msg_decode(RT_MSG_ATTACHED, payload, frame->length, &msg, why, sizeof(why)) != 0) {
        fake_error(agent, why, 0, 0);
        return;
    }
    for (size_t i = 0; i < msg.n_out; i++) {
        if (msg.out[i].c != agent->out[msg.out[i].s - 1].size) {
            fake_error(agent, "attached.out", msg.out[i].c, agent->out[msg.out[i].s - 1].size);
        }
    }
    for (size_t i = 0; i < msg.n_in; i++) {
        struct fake_in *in = &agent->in[msg.in[i].s / RT_CONTROL_DOWN];

        if (msg.in[i].a < in->acked || msg.in[i].a > in->high) {
            fake_error(agent, "attached.in", msg.in[i].a, in->acked);
            return;
        }
        rt_digest_extend(&in->digest, in->data + in->acked, (size_t)(msg.in[i].a - in->acked));
        if (msg.in[i].d != rt_digest_value(&in->digest)) {
            fake_error(agent, "attached.in digest", msg.in[i].s, msg.in[i].a);
        }
        in->acked = msg.in[i].a;
        in->sent = in->acked;
        in->limit = in->acked + RT_INITIAL_CREDIT;
        in->fin_sent = false;
        in->closed = in->closed || msg.in[i].closed;
    }
    agent->attached = true;
    agent->ever_attached = true;
}

static void read_items(struct fake_agent *agent)
{
    const struct fake_out *up = &agent->out[RT_CONTROL_UP - 1];
    struct rt_up_item item;
    char why[160];

    while (up->size - agent->items_at >= 2) {
        const uint8_t *at = up->data + agent->items_at;
        size_t size = (size_t)at[0] << 8 | at[1];

        if (up->size - agent->items_at - 2 < size) {
            return;
        }
        if (rt_msg_decode(RT_MSG_UP_ITEM, at + 2, size, &item, why, sizeof(why)) != 0) {
            fake_error(agent, why, 0, 0);
            return;
        }
        agent->items_at += 2 + size;
        if (item.t == RT_ITEM_EXITED) {
            agent->exited = true;
            agent->exit_item = item;
        }
        agent->resized = agent->resized || item.t == RT_ITEM_RESIZED;
    }
}

static void on_data(struct fake_agent *agent, const struct rt_frame *frame, const uint8_t *payload)
{
    struct fake_out *out = &agent->out[frame->stream - 1];

    if (frame->offset != out->size || frame->offset + frame->length > out->fin) {
        fake_error(agent, "data offset", frame->offset, out->size);
        return;
    }
    rt_digest_extend(&out->digest, payload, frame->length);
    fake_append(&out->data, &out->size, &out->cap, payload, frame->length);
    if (frame->stream == RT_CONTROL_UP) {
        read_items(agent);
    }
}

static void on_fin(struct fake_agent *agent, const struct rt_frame *frame)
{
    if (frame->offset != agent->out[frame->stream - 1].size) {
        fake_error(agent, "fin offset", frame->offset, agent->out[frame->stream - 1].size);
    } else {
        agent->out[frame->stream - 1].fin = frame->offset;
    }
}

static void on_ack(struct fake_agent *agent, const struct rt_frame *frame, const uint8_t *payload)
{
    struct fake_in *in = &agent->in[frame->stream / RT_CONTROL_DOWN];

    if (frame->offset < in->acked || frame->offset > in->sent) {
        fake_error(agent, "ack offset", frame->offset, in->acked);
        return;
    }
    rt_digest_extend(&in->digest, in->data + in->acked, (size_t)(frame->offset - in->acked));
    if (rt_get_u64(payload + 8) != rt_digest_value(&in->digest)) {
        fake_error(agent, "ack digest", frame->stream, frame->offset);
    }
    in->acked = frame->offset;
    in->limit = rt_get_u64(payload);
    in->fin_acked = in->fin_acked || frame->flags != 0;
}

static void on_end(struct fake_agent *agent, const struct rt_frame *frame, const uint8_t *payload)
{
    char why[160];

    if (rt_msg_decode(RT_MSG_END, payload, frame->length, &agent->end, why, sizeof(why)) != 0) {
        fake_error(agent, why, 0, 0);
        return;
    }
    agent->ended = true;
}

void fake_frame(struct fake_agent *agent, const struct rt_frame *frame, const uint8_t *payload)
{
    const char *why;
    struct rt_refuse_msg refuse;
    char text[256] = "refused";

    if (rt_frame_check(frame, RT_WAY_GUEST_AGENT, &why) != 0) {
        fake_error(agent, why, frame->type, 0);
        return;
    }
    if (frame->channel == FAKE_EXEC_CHANNEL) {
        on_exec_frame(agent, frame);
        return;
    }
    switch (frame->type) {
    case RT_HELLO:
        on_hello(agent, frame, payload);
        break;
    case RT_CONFIRM:
        agent->confirms++;
        if (!agent->no_attach) {
            send_attach(agent);
        }
        break;
    case RT_REPORT:
    case RT_PONG:
        break;
    case RT_PING:
        fake_send(agent, &(struct rt_frame){.type = RT_PONG, .offset = frame->offset}, NULL);
        break;
    case RT_TAIL:
        agent->tail_size[frame->stream - 1] = 0;
        {
            size_t cap = 0;

            fake_append(&agent->tail[frame->stream - 1], &agent->tail_size[frame->stream - 1], &cap, payload,
                        frame->length);
        }
        break;
    case RT_END:
        on_end(agent, frame, payload);
        break;
    case RT_ATTACHED:
        on_attached(agent, frame, payload);
        break;
    case RT_DATA:
        on_data(agent, frame, payload);
        break;
    case RT_ACK:
        on_ack(agent, frame, payload);
        break;
    case RT_FIN:
        on_fin(agent, frame);
        break;
    case RT_STOP:
        agent->in[0].closed = true;
        break;
    default:
        if (frame->type == RT_REFUSE &&
            rt_msg_decode(RT_MSG_REFUSE, payload, frame->length, &refuse, text, sizeof(text)) == 0) {
            snprintf(text, sizeof(text), "refused: %s: %.*s", rt_class_name(refuse.c), (int)refuse.m.size,
                     refuse.m.size > 0 ? (const char *)refuse.m.data : "");
        }
        fake_error(agent, text, frame->type, frame->channel);
        break;
    }
}

void fake_send_input(struct fake_agent *agent)
{
    for (unsigned i = 0; agent->attached && i < 2; i++) {
        struct fake_in *in = &agent->in[i];

        while (agent->conn >= 0 && !in->closed && in->sent < in->size && in->sent < in->limit) {
            uint64_t end = in->size < in->limit ? in->size : in->limit;
            size_t size = (size_t)(end - in->sent < 60000 ? end - in->sent : 60000);

            fake_send(agent,
                      &(struct rt_frame){.type = RT_DATA,
                                         .stream = (uint16_t)(i * RT_CONTROL_DOWN),
                                         .channel = FAKE_CHANNEL,
                                         .offset = in->sent,
                                         .length = (uint32_t)size},
                      in->data + in->sent);
            in->sent += size;
            in->high = in->high > in->sent ? in->high : in->sent;
        }
        if (in->fin && !in->fin_sent && in->sent == in->size && agent->conn >= 0) {
            fake_send(agent, &(struct rt_frame){.type = RT_FIN, .channel = FAKE_CHANNEL, .offset = in->size}, NULL);
            in->fin_sent = true;
        }
    }
}

void fake_send_acks(struct fake_agent *agent)
{
    for (unsigned i = 0; agent->attached && agent->conn >= 0 && i < 3; i++) {
        const struct fake_out *out = &agent->out[i];
        uint8_t payload[RT_ACK_PAYLOAD];

        rt_put_u64(payload, out->size + FAKE_WINDOW);
        rt_put_u64(payload + 8, rt_digest_value(&out->digest));
        fake_send(agent,
                  &(struct rt_frame){.type = RT_ACK,
                                     .flags = out->fin == out->size ? RT_ACK_FIN : 0,
                                     .stream = (uint16_t)(i + 1),
                                     .channel = FAKE_CHANNEL,
                                     .offset = out->size,
                                     .length = RT_ACK_PAYLOAD},
                  payload);
    }
    if (agent->ended && !agent->slow_end && agent->conn >= 0 && (agent->no_attach || fake_done(agent))) {
        struct rt_end_ok_msg ok = {.how = RT_END_STORED};

        send_map(agent, RT_END_OK, 0, RT_MSG_END_OK, &ok);
        agent->ended = false;
    }
}
