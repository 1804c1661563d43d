/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include "broker/core/session.h"
#include "session/core/msg_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Guests and clients. */

void fx_join_token(struct fx_guest *guest, const char *tenant, const char *cid, const char *bound_to)
{
    struct rt_ticket ticket;
    int size;

    memset(&ticket, 0, sizeof(ticket));
    ticket.join = true;
    (void)snprintf(ticket.key.tenant, sizeof(ticket.key.tenant), "%s", tenant);
    (void)snprintf(ticket.key.cid, sizeof(ticket.key.cid), "%s", cid);
    (void)snprintf(ticket.bound_to, sizeof(ticket.bound_to), "%s", bound_to);
    size = rt_ticket_encode(&ticket, guest->token, sizeof(guest->token));
    assert_true(size > 0);
    guest->token_size = (size_t)size;
}

void fx_guest(struct fx_guest *guest, const char *cid, uint8_t inc)
{
    memset(guest, 0, sizeof(*guest));
    guest->cid = cid;
    guest->inc = inc;
    fx_join_token(guest, "local", cid, "");
}

void fx_hello_on(struct fx *fx, struct fx_guest *guest)
{
    struct rt_hello_msg hello;
    uint8_t inc[RT_ID_SIZE], nonce[RT_ID_SIZE];

    memset(&hello, 0, sizeof(hello));
    memset(inc, guest->inc, sizeof(inc));
    memset(nonce, guest->nonce, sizeof(nonce));
    hello.vmin = hello.vmax = 1;
    hello.role = rt_slice_text("guest");
    hello.cid = rt_slice_text(guest->cid);
    hello.inc = (struct rt_slice){inc, sizeof(inc)};
    hello.nonce = (struct rt_slice){nonce, sizeof(nonce)};
    hello.epoch = guest->epoch;
    hello.tok = (struct rt_slice){guest->token, guest->token_size};
    fx_msg(fx, guest->link, &(struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &hello);
}

void fx_hello(struct fx *fx, struct fx_guest *guest)
{
    guest->link = fx_open(fx, RT_PEER_GUEST, "");
    guest->epoch++;
    guest->nonce++;
    fx_hello_on(fx, guest);
}

void fx_welcome(struct fx *fx, struct fx_guest *guest, struct rt_welcome_msg *welcome)
{
    static struct rt_welcome_msg own;
    struct rt_frame frame;
    char why[RT_TEXT_MAX];
    const uint8_t *payload = fx_want(fx, guest->link, RT_WELCOME, &frame);

    welcome = welcome == NULL ? &own : welcome;
    assert_int_equal(rt_msg_decode(RT_MSG_WELCOME, payload, frame.length, welcome, why, sizeof(why)), 0);
    guest->life = welcome->life;
    memcpy(guest->token, welcome->tkt.data, welcome->tkt.size);
    guest->token_size = welcome->tkt.size;
}

void fx_confirm(struct fx *fx, struct fx_guest *guest)
{
    fx_send(fx, guest->link, &(struct rt_frame){.type = RT_CONFIRM}, NULL);
}

bool fx_renewed(struct fx *fx, struct fx_guest *guest)
{
    const struct fx_link *link = &fx->links[guest->link];
    const uint8_t *payload = NULL;
    struct rt_frame frame;

    if (link->out_read == link->out_size) {
        return false;
    }
    rt_frame_get(link->out + link->out_read, &frame);
    if (frame.type != RT_TICKET) {
        return false;
    }
    (void)fx_next(fx, guest->link, &frame, &payload);
    memcpy(guest->token, payload, frame.length);
    guest->token_size = frame.length;
    return true;
}

void fx_serve(struct fx *fx, struct fx_guest *guest)
{
    fx_hello(fx, guest);
    fx_answer(fx);
    fx_welcome(fx, guest, NULL);
    fx_confirm(fx, guest);
    fx_answer(fx);
    (void)fx_renewed(fx, guest);
}

void fx_serve_unclaimed(struct fx *fx, struct fx_guest *guest)
{
    fx_hello(fx, guest);
    fx_answer(fx);
    fx_welcome(fx, guest, NULL);
    fx_confirm(fx, guest);
    fx_fail(fx, RT_ETIMEDOUT);
}

static int greet(struct fx *fx, int link)
{
    struct rt_hello_msg hello;
    struct rt_frame frame;

    memset(&hello, 0, sizeof(hello));
    hello.vmin = hello.vmax = 1;
    hello.role = rt_slice_text("client");
    fx_msg(fx, link, &(struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &hello);
    (void)fx_want(fx, link, RT_WELCOME, &frame);
    return link;
}

int fx_client(struct fx *fx, const char *tenant)
{
    return greet(fx, fx_open(fx, RT_PEER_CLIENT, tenant));
}

int fx_client_as(struct fx *fx, enum rt_client_role as)
{
    struct rt_peer peer = {.role = RT_PEER_CLIENT};
    int link = fx_open_as(fx, &peer);

    fx_proved(fx, link, as, as >= RT_CLIENT_OPERATOR ? "" : "local");
    return greet(fx, link);
}

void fx_attach(struct fx *fx, int client, uint32_t channel, const char *cid, uint64_t wait, uint64_t klife,
               uint64_t kepoch)
{
    struct rt_attach_msg attach;
    uint8_t id[RT_ID_SIZE];

    memset(&attach, 0, sizeof(attach));
    memset(id, (int)channel, sizeof(id));
    attach.cid = rt_slice_text(cid);
    attach.id = (struct rt_slice){id, sizeof(id)};
    attach.try_no = 1;
    attach.make = klife == 0;
    attach.want = 7;
    attach.wait = wait;
    attach.klife = klife;
    attach.kepoch = kepoch;
    fx_msg(fx, client, &(struct rt_frame){.type = RT_ATTACH, .channel = channel}, RT_MSG_ATTACH, &attach);
}

uint32_t fx_bound(struct fx *fx, const struct fx_guest *guest, int client, uint32_t channel)
{
    struct rt_frame frame;

    fx_attach(fx, client, channel, guest->cid, 0, 0, 0);
    (void)fx_want(fx, guest->link, RT_ATTACH, &frame);
    fx_say_attached(fx, guest, frame.channel);
    return frame.channel;
}

bool fx_serves(const struct fx *fx, const char *cid)
{
    const struct ag_session *session;
    struct rt_key key;

    memset(&key, 0, sizeof(key));
    (void)snprintf(key.tenant, sizeof(key.tenant), "local");
    (void)snprintf(key.cid, sizeof(key.cid), "%s", cid);
    session = rt_ag_session_find(fx->agent, &key);
    return session != NULL && session->guest != NULL;
}

struct rt_agent_stats fx_stats(const struct fx *fx)
{
    struct rt_agent_stats stats;

    rt_agent_stats(fx->agent, &stats);
    return stats;
}

void fx_request(struct fx *fx, int client, uint64_t id, const struct rt_request_msg *msg)
{
    fx_msg(fx, client, &(struct rt_frame){.type = RT_REQUEST, .offset = id}, RT_MSG_REQUEST, msg);
}

void fx_reply(struct fx *fx, int client, uint64_t id, struct rt_reply_msg *reply)
{
    struct rt_frame frame = {0};
    char why[RT_TEXT_MAX];
    const uint8_t *payload = fx_want(fx, client, RT_REPLY, &frame);

    assert_int_equal(frame.offset, id);
    if (rt_msg_decode(RT_MSG_REPLY, payload, frame.length, reply, why, sizeof(why)) != 0) {
        fail_msg("REPLY: %s", why);
    }
}

void fx_say_attached(struct fx *fx, const struct fx_guest *guest, uint32_t channel)
{
    struct rt_attached_msg attached = {
        .life = guest->life, .epoch = guest->epoch, .st = 1, .out = {{.s = RT_STDOUT}}, .n_out = 1};

    fx_msg(fx, guest->link, &(struct rt_frame){.type = RT_ATTACHED, .channel = channel}, RT_MSG_ATTACHED, &attached);
}

/* A served guest and a client with one channel: 7 at the client, 1 at the guest. */
void fx_attached(struct fx *fx, struct fx_guest *guest, int *client)
{
    struct rt_frame frame;

    fx_guest(guest, "web", 1);
    fx_serve(fx, guest);
    *client = fx_client(fx, "local");
    fx_attach(fx, *client, 7, "web", 0, 0, 0);
    (void)fx_want(fx, guest->link, RT_ATTACH, &frame);
    assert_int_equal(frame.channel, 1);
}

void fx_data(struct fx *fx, int link, uint32_t channel, uint16_t stream, uint64_t offset, const void *bytes,
             uint32_t size)
{
    struct rt_frame frame = {.type = RT_DATA, .channel = channel, .stream = stream, .offset = offset, .length = size};

    fx_send(fx, link, &frame, bytes);
}

void fx_tail(struct fx *fx, int link, uint16_t stream, uint64_t offset, const void *bytes, uint32_t size)
{
    struct rt_frame frame = {.type = RT_TAIL, .stream = stream, .offset = offset, .length = size};

    fx_send(fx, link, &frame, bytes);
}

void fx_want_end_ok(struct fx *fx, int link, enum rt_end_how how)
{
    struct rt_end_ok_msg msg;
    struct rt_frame frame;
    char why[RT_TEXT_MAX];
    const uint8_t *payload = fx_want(fx, link, RT_END_OK, &frame);

    assert_int_equal(rt_msg_decode(RT_MSG_END_OK, payload, frame.length, &msg, why, sizeof(why)), 0);
    assert_int_equal(msg.how, how);
    assert_int_equal(msg.delay > 0, how == RT_END_LATER);
}
