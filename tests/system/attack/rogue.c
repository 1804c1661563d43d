/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/attack/rogue.h"

#include "session/base/slice.h"
#include "session/core/digest.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"

#include <stdio.h>
#include <string.h>

void rogue_make(struct rogue *rogue, const char *cid)
{
    struct peer client;

    memset(rogue, 0, sizeof(*rogue));
    rogue->peer.fd = -1;
    if (attack_round == 0) {
        (void)snprintf(rogue->cid, sizeof(rogue->cid), "%s", cid);
    } else {
        (void)snprintf(rogue->cid, sizeof(rogue->cid), "%.28s.%u", cid, attack_round);
    }
    attack_client(&client, NULL);
    rogue->join.size = peer_create(&client, rogue->cid, rogue->join.data);
    attack_close(&client);
}

int rogue_hello(struct rogue *rogue, const struct rogue_token *token)
{
    static struct rt_welcome_msg welcome;
    uint8_t inc[RT_ID_SIZE] = {0xba, rogue->inc}, nonce[RT_ID_SIZE] = {0};
    struct rt_hello_msg hello = {.vmin = 1,
                                 .vmax = 1,
                                 .role = rt_slice_text("guest"),
                                 .cid = rt_slice_text(rogue->cid),
                                 .inc = {inc, RT_ID_SIZE},
                                 .epoch = ++rogue->epoch,
                                 .tok = {token->data, token->size},
                                 .nonce = {nonce, RT_ID_SIZE}};
    struct rt_frame frame = {.type = RT_HELLO};
    const uint8_t *payload;
    char why[RT_TEXT_MAX];

    rt_put_u64(nonce, attack_number());
    attack_close(&rogue->peer);
    peer_open(&rogue->peer, attack_guests(rogue->host));
    attack_tend(&rogue->peer);
    peer_send_msg(&rogue->peer, frame, RT_MSG_HELLO, &hello);
    payload = attack_next(&rogue->peer, ATTACK_TYPE(RT_WELCOME) | ATTACK_TYPE(RT_REFUSE), &frame);
    if (payload == NULL) {
        return ATTACK_CLOSED;
    }
    if (frame.type == RT_REFUSE) {
        rogue->peer.used -= RT_FRAME_HEADER + (size_t)frame.length;
        return attack_refused(&rogue->peer, 0);
    }
    assert_int_equal(rt_msg_decode(RT_MSG_WELCOME, payload, frame.length, &welcome, why, sizeof(why)), 0);
    memcpy(rogue->ticket.data, welcome.tkt.data, welcome.tkt.size);
    rogue->ticket.size = welcome.tkt.size;
    rogue->peer.life = welcome.life;
    return RT_CLASS_OK;
}

void rogue_confirm(struct rogue *rogue)
{
    peer_guest_confirm(&rogue->peer);
}

/* The ticket that says that the claim was taken. False: a store that was too slow took nothing. */
static bool wait_taken(struct rogue *rogue)
{
    struct rt_frame frame;
    const uint8_t *payload = attack_next(&rogue->peer, ATTACK_TYPE(RT_TICKET), &frame);

    if (payload == NULL) {
        return false;
    }
    memcpy(rogue->ticket.data, payload, frame.length);
    rogue->ticket.size = frame.length;
    return true;
}

void rogue_join(struct rogue *rogue)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;

    do {
        while (attack_again(rogue_hello(rogue, &rogue->join))) {
            assert_true(rt_process_now_ms() < until);
        }
        rogue_confirm(rogue);
    } while (!wait_taken(rogue));
}

void rogue_start(struct rogue *rogue, const char *cid)
{
    rogue_make(rogue, cid);
    rogue_join(rogue);
}

void rogue_again(struct rogue *rogue)
{
    struct rogue_token ticket = rogue->ticket;
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    struct peer client;

    while (attack_again(rogue_hello(rogue, &ticket))) {
        assert_true(rt_process_now_ms() < until);
    }
    rogue_confirm(rogue);
    attack_client_at(&client, rogue->host, NULL);
    (void)rogue_attached(rogue, &client, 1, 1U << RT_STDOUT);
    attack_close(&client);
}

void rogue_answer(struct rogue *rogue, uint32_t channel, uint64_t wants)
{
    struct rt_attached_msg attached = {.life = rogue->peer.life, .epoch = rogue->epoch, .st = 1};
    struct rt_frame frame = {.type = RT_ATTACHED, .channel = channel};
    struct rt_digest nothing;

    rt_digest_start(&nothing, 0);
    for (unsigned s = 0; s < RT_STREAMS; s++) {
        if ((wants >> s & 1) != 0 && (RT_OUTPUTS >> s & 1) != 0) {
            attached.out[attached.n_out++].s = s;
        } else if ((wants >> s & 1) != 0) {
            attached.in[attached.n_in].d = rt_digest_value(&nothing);
            attached.in[attached.n_in++].s = s;
        }
    }
    peer_send_msg(&rogue->peer, frame, RT_MSG_ATTACHED, &attached);
}

uint32_t rogue_attached(struct rogue *rogue, struct peer *client, uint32_t channel, unsigned wants)
{
    struct rt_attach_msg msg = {.cid = rt_slice_text(rogue->cid), .make = true, .want = wants, .wait = 10000};
    struct rt_frame frame;
    uint32_t at;

    msg.klife = rogue->peer.life; /* the record may name the host before */
    msg.kepoch = rogue->epoch;
    attack_attach(client, channel, &msg);
    assert_non_null(attack_next(&rogue->peer, ATTACK_TYPE(RT_ATTACH), &frame));
    at = frame.channel;
    rogue_answer(rogue, at, wants);
    do {
        assert_non_null(attack_next(client, ATTACK_TYPE(RT_ATTACHED) | ATTACK_TYPE(RT_REFUSE), &frame));
        assert_false(frame.type == RT_REFUSE && frame.channel == channel);
    } while (frame.channel != channel);
    return at;
}

void rogue_refuse(struct rogue *rogue, uint32_t channel, uint64_t cls, const char *text)
{
    struct rt_refuse_msg msg = {.c = cls, .m = rt_slice_text(text), .host = rt_slice_text("elsewhere")};
    struct rt_frame frame = {.type = RT_REFUSE, .channel = channel};

    msg.addr[msg.n_addr++] = rt_slice_text("unix:/nowhere");
    msg.life = msg.epoch = RT_COUNTER_MAX - 1;
    peer_send_msg(&rogue->peer, frame, RT_MSG_REFUSE, &msg);
}

void rogue_close(struct rogue *rogue)
{
    attack_close(&rogue->peer);
}
