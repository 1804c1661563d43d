/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/base/slice.h"
#include "session/core/attachment.h"
#include "session/core/client.h"
#include "session/core/client_link.h"
#include "session/core/client_machine.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include "tests/unit/session_core/client_fixture.h"
#include "tests/unit/session_core/client_streams.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Links of a client: handshake, pings, back-off of dials, agents learnt, and agents that misbehave. */

static struct fx fx;

static void test_dials_only_when_needed(void **state)
{
    (void)state;
    fx_open(&fx, 2);
    fx_next(&fx);
    assert_int_equal(fx.slot[0].dials + fx.slot[1].dials, 0);
    assert_true(rt_client_deadline(fx.client) == UINT64_MAX);
    struct rt_catt *att = fx_attach(&fx);
    assert_int_equal(fx.slot[0].dials, 1);
    assert_int_equal(fx.slot[1].dials, 0);
    fx_up(&fx, 0);
    rt_catt_free(att);
    fx_run(&fx, RT_CLIENT_IDLE_MS - 1, true);
    assert_int_equal(fx.slot[0].hangups, 0);
    fx_run(&fx, 1, true);
    assert_int_equal(fx.slot[0].hangups, 1);
    fx_run(&fx, 100000, true);
    assert_int_equal(fx.slot[0].dials, 1);
    assert_true(rt_client_deadline(fx.client) == UINT64_MAX);
    fx_close(&fx);
}

static void test_dial_backoff_bounds(void **state)
{
    (void)state;
    uint64_t gap[40], last = 0;
    unsigned n = 0;
    fx_open(&fx, 1);
    (void)fx_attach(&fx);
    while (n < 40) {
        if (!fx.slot[0].dialing) {
            fx_run(&fx, 1, true);
            continue;
        }
        gap[n++] = fx.now - last;
        last = fx.now;
        fx_lost(&fx, 0);
    }
    assert_in_range(gap[1], 0, 1); /* at once */
    for (unsigned i = 2, most = RT_REDIAL_MIN_MS; i < 40; i++) {
        assert_in_range(gap[i], most / 2, most + 1);
        most = most * 2 < RT_REDIAL_MAX_MS ? most * 2 : RT_REDIAL_MAX_MS;
    }
    /* a welcome that lasts resets it */
    fx_run(&fx, 500, true);
    fx_up(&fx, 0);
    fx_run(&fx, RT_CLIENT_STABLE_MS, true);
    fx_lost(&fx, 0);
    assert_true(fx.slot[0].dialing);
    fx_close(&fx);
}

static void test_welcomes_that_do_not_last_back_off(void **state)
{
    (void)state;
    fx_open(&fx, 1);
    (void)fx_attach(&fx);
    for (uint64_t end = fx.now + 10000; fx.now < end; fx_run(&fx, 1, true)) {
        if (!fx.slot[0].dialing) {
            continue;
        }
        fx_up(&fx, 0);
        fx_lost(&fx, 0);
    }
    assert_in_range(fx.slot[0].dials, 20, 60);
    fx_close(&fx);
}

static void test_handshake_deadline(void **state)
{
    (void)state;
    fx_open(&fx, 1);
    (void)fx_attach(&fx);
    fx.slot[0].dialing = false;
    rt_client_connected(fx.client, 0, NULL, fx.now);
    fx_run(&fx, RT_HANDSHAKE_TIMEOUT_MS - 1, true);
    assert_int_equal(fx.slot[0].hangups, 0);
    fx_run(&fx, 1, true);
    assert_int_equal(fx.slot[0].hangups, 1);
    assert_int_equal(fx.slot[0].dials, 2);
    fx_close(&fx);
}

static void test_pings(void **state)
{
    (void)state;
    fx_open(&fx, 1);
    struct rt_catt *att = fx_attach(&fx);
    rt_catt_free(att);
    fx_up(&fx, 0); /* no channel: 5 s */
    fx_run(&fx, 4999, false);
    (void)fx_take(&fx, 0);
    assert_int_equal(fx.pings, 0);
    fx_run(&fx, 1, false);
    (void)fx_take(&fx, 0);
    assert_int_equal(fx.pings, 1);
    fx_run(&fx, 4000, false);
    (void)fx_attach(&fx); /* a channel: 1 s from here on, and the silence before does not count */
    struct rt_attach_msg attach;
    (void)fx_take_attach(&fx, 0, &attach);
    fx_run(&fx, 2999, false);
    (void)fx_take(&fx, 0);
    assert_int_equal(fx.slot[0].hangups, 0);
    fx_run(&fx, 1, false);
    assert_int_equal(fx.slot[0].hangups, 1);
    assert_string_equal(fx.slot[0].reason, "silent");
    fx_up(&fx, 0);
    fx_send(&fx, 0, (struct rt_frame){.type = RT_PING, .offset = 77}, NULL);
    (void)fx_take(&fx, 0);
    assert_int_equal(fx_frame(&fx, RT_PONG, 0)->head.offset, 77);
    fx_run(&fx, 60000, true);                /* answered: stays */
    assert_int_equal(fx.slot[0].hangups, 1); /* an ATTACH without answer is withdrawn, the link stays */
    fx_close(&fx);
}

/* Live on link 3; links 0 to 2 are up and carry nothing. */
static struct rt_catt *open_four(void)
{
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    fx_open(&fx, 4);
    struct rt_catt *att = fx_attach(&fx);
    fx_run(&fx, UINT64_C(3) * RT_CLIENT_ALT_MS, true); /* one after the other is dialled */
    for (unsigned slot = 4; slot-- > 0;) {
        fx_up(&fx, slot);
    }
    fx_attached(&fx, 3, fx_take_attach(&fx, 3, &attach), &terms);
    (void)fx_event(att, RT_CATT_ATTACHED);
    return att;
}

/* A machine that slept comes back to links that are all dead, and nobody tells it. */
static void test_dead_links_are_found_together(void **state)
{
    (void)state;
    uint64_t id;
    struct rt_attach_msg attach;
    struct rt_catt *att = open_four();
    assert_int_equal(rt_client_request(fx.client, fx_request("show"), fx.now, &id), 0);
    assert_int_equal(fx_take(&fx, 0), 1);
    fx_run(&fx, UINT64_C(3) * RT_PING_BUSY_MS, false);
    assert_int_equal(fx.slot[3].hangups, 1);
    assert_int_equal(fx_event(att, RT_CATT_INTERRUPTED).kind, RT_CATT_INTERRUPTED);
    fx_run(&fx, RT_PING_BUSY_MS, false);
    for (unsigned slot = 0; slot < 3; slot++) {
        assert_int_equal(fx.slot[slot].hangups, 1);
        assert_string_equal(fx.slot[slot].reason, "silent");
    }
    fx_up(&fx, 3);
    (void)fx_take_attach(&fx, 3, &attach);
    assert_true(!attach.make && !attach.take);
    assert_int_equal(fx_frame(&fx, RT_REQUEST, 0)->head.offset, id);
    fx_close(&fx);
}

/* When one link is silent, who answers is asked, and not those that have yet to prove themselves. */
static void test_who_answers_is_asked(void **state)
{
    (void)state;
    uint64_t id;
    struct rt_attach_msg attach;
    struct rt_catt *att = open_four();
    fx_run(&fx, UINT64_C(2) * RT_PING_BUSY_MS, false);
    fx.pings = 0;
    for (unsigned slot = 0; slot < 3; slot++) {
        assert_int_equal(fx_take(&fx, slot), 0);
    }
    assert_int_equal(fx.pings, 3);
    assert_int_equal(rt_client_request(fx.client, fx_request("show"), fx.now, &id), 0);
    for (unsigned slot = 0; slot < 4; slot++) { /* all known are up, none is to be trusted */
        (void)fx_take(&fx, slot);
    }
    fx_send(&fx, 1, (struct rt_frame){.type = RT_PING}, NULL);
    assert_int_equal(rt_client_request(fx.client, fx_request("show"), fx.now, &id), 0);
    (void)fx_take(&fx, 1);
    assert_int_equal(fx_frame(&fx, RT_REQUEST, 0)->head.offset, id);
    fx_run(&fx, RT_PING_BUSY_MS, false);
    assert_int_equal(fx.slot[3].hangups, 1);
    assert_int_equal(fx_take_attach(&fx, 1, &attach), 1);
    assert_int_equal(fx_take(&fx, 0) + fx_take(&fx, 2), 0);
    fx_run(&fx, UINT64_C(2) * RT_PING_BUSY_MS, true);
    assert_int_equal(fx.slot[1].hangups, 0);
    (void)att;
    fx_close(&fx);
}

static void test_pongs_that_answer_nothing(void **state)
{
    (void)state;
    fx_open(&fx, 1);
    struct rt_catt *att = fx_attach(&fx);
    fx_up(&fx, 0);
    struct rt_attach_msg attach;
    (void)fx_take_attach(&fx, 0, &attach);
    for (unsigned i = 0; i < 3; i++) {
        fx_run(&fx, 999, false);
        fx_send(&fx, 0, (struct rt_frame){.type = RT_PONG, .offset = i}, NULL);
        assert_int_equal(fx.slot[0].hangups, 0);
        fx_run(&fx, 1, false);
    }
    assert_int_equal(fx.slot[0].hangups, 1);
    assert_string_equal(fx.slot[0].reason, "silent");
    rt_catt_free(att);
    fx_close(&fx);
}

static void test_agents_are_learnt(void **state)
{
    (void)state;
    static struct rt_welcome_msg msg = {.v = 1, .n_agents = 3};
    fx_open(&fx, 1);
    struct rt_attach_msg attach;
    struct rt_attached_msg terms = fx_terms();
    (void)fx_attach(&fx);
    fx.slot[0].dialing = false;
    fx.slot[0].up = true;
    rt_client_connected(fx.client, 0, NULL, fx.now);
    (void)fx_take(&fx, 0);
    msg.host = rt_slice_text("h0");
    for (unsigned i = 0; i < 3; i++) {
        msg.agents[i].n_addr = 1;
    }
    msg.agents[0].host = rt_slice_text("h0");
    msg.agents[0].addr[0] = rt_slice_text("tcp:10.0.0.1:7401");
    msg.agents[1].host = rt_slice_text("h1");
    msg.agents[1].addr[0] = rt_slice_text("unix:/b");
    msg.agents[2].host = rt_slice_text("h1"); /* a newer word replaces */
    msg.agents[2].addr[0] = rt_slice_text("unix:/c");
    fx_send_map(&fx, 0, (struct rt_frame){.type = RT_WELCOME}, RT_MSG_WELCOME, &msg);
    fx_attached(&fx, 0, fx_take_attach(&fx, 0, &attach), &terms);
    fx_lost(&fx, 0);
    fx_lost(&fx, 0); /* and the redial fails: the one learnt is dialled */
    assert_int_equal(fx.slot[1].dials, 1);
    assert_string_equal(fx.slot[1].addr, "unix:/c");
    assert_string_equal(fx.slot[1].host, "h1");
    assert_false(fx.slot[1].given);
    fx_run(&fx, 30, true);
    assert_string_equal(fx.slot[0].addr, "tcp:10.0.0.1:7401"); /* its addresses in turn */
    assert_string_equal(fx.slot[0].host, "h0");
    assert_false(fx.slot[0].given);
    fx_lost(&fx, 0);
    fx_run(&fx, 30, true);
    assert_string_equal(fx.slot[0].addr, "unix:/a0");
    assert_string_equal(fx.slot[0].host, "h0"); /* who was there, and need not be */
    assert_true(fx.slot[0].given);
    fx_close(&fx);
}

/* The path of a socket of another host: whoever answers there is not taken for that host. */
static void test_an_address_counts_with_its_host(void **state)
{
    (void)state;
    static struct rt_welcome_msg msg = {.v = 1, .n_agents = 2};
    fx_open(&fx, 1);
    struct rt_attach_msg attach;
    (void)fx_attach(&fx);
    fx.slot[0].dialing = false;
    fx.slot[0].up = true;
    rt_client_connected(fx.client, 0, NULL, fx.now);
    (void)fx_take(&fx, 0);
    msg.host = msg.agents[0].host = rt_slice_text("h0");
    msg.agents[1].host = rt_slice_text("h1");
    for (unsigned i = 0; i < 2; i++) {
        msg.agents[i].n_addr = 1;
        msg.agents[i].addr[0] = rt_slice_text("unix:/a0");
    }
    fx_send_map(&fx, 0, (struct rt_frame){.type = RT_WELCOME}, RT_MSG_WELCOME, &msg);
    uint32_t channel = fx_take_attach(&fx, 0, &attach);
    fx_refuse(&fx, 0, channel,
              &(struct rt_refuse_msg){.c = RT_CLASS_MOVED,
                                      .host = msg.agents[1].host,
                                      .n_addr = 1,
                                      .life = 9,
                                      .epoch = 9,
                                      .addr = {rt_slice_text("unix:/a0")}});
    assert_int_equal(fx.slot[1].dials, 1);
    fx.slot[1].dialing = false;
    fx.slot[1].up = true;
    rt_client_connected(fx.client, 1, NULL, fx.now);
    (void)fx_take(&fx, 1);
    fx_send_map(&fx, 1, (struct rt_frame){.type = RT_WELCOME}, RT_MSG_WELCOME, &msg);
    assert_int_equal(fx.slot[1].hangups, 1);
    assert_string_equal(fx.slot[1].reason, "an agent of another host answers there");
    fx_close(&fx);
}

/* Whoever is there has proved to be this host, and says that it is that one. */
static void welcomes_as(unsigned slot, const char *proved, const char *says)
{
    assert_true(fx.slot[slot].dialing);
    fx.slot[slot].dialing = false;
    fx.slot[slot].up = true;
    rt_client_connected(fx.client, slot, proved, fx.now);
    (void)fx_take(&fx, slot);
    fx_send_map(&fx, slot, (struct rt_frame){.type = RT_WELCOME}, RT_MSG_WELCOME,
                &(struct rt_welcome_msg){.v = 1, .host = rt_slice_text(says)});
}

/* A thief with the certificate of h9 at an address of the application is not followed as h1: who is sent to h1 dials
 * it, and nobody but h1 will do there. */
static void test_welcome_is_of_its_certificate(void **state)
{
    (void)state;
    struct rt_attach_msg attach;
    fx_open(&fx, 2);
    (void)fx_attach(&fx);
    welcomes_as(0, "h9", "h1");
    assert_int_equal(fx.slot[0].hangups, 1);
    assert_string_equal(fx.slot[0].reason, "the agent says that it is of another host than its certificate");
    assert_string_equal(fx.slot[0].disproved, "h9");
    fx_run(&fx, RT_CLIENT_ALT_MS, true);
    welcomes_as(1, "h2", "h2");
    assert_int_equal(fx.slot[1].hangups, 0);
    fx_refuse(&fx, 1, fx_take_attach(&fx, 1, &attach),
              &(struct rt_refuse_msg){.c = RT_CLASS_MOVED,
                                      .host = rt_slice_text("h1"),
                                      .n_addr = 1,
                                      .life = 9,
                                      .epoch = 9,
                                      .addr = {rt_slice_text("unix:/h1")}});
    assert_int_equal(fx.slot[2].dials, 1);
    assert_string_equal(fx.slot[2].addr, "unix:/h1");
    assert_string_equal(fx.slot[2].host, "h1");
    assert_false(fx.slot[2].given);
    welcomes_as(2, "h1", "h1");
    assert_int_equal(fx_take_attach(&fx, 2, &attach), 1);
    fx_close(&fx);
}

/* An address of the application has gone to another host. What is guessed there, a session of the old one, is not
 * guessed again, and nobody waits. Who lies by its own certificate is dialled again as ever. */
static void test_guess_is_given_up(void **state)
{
    (void)state;
    static struct rt_welcome_msg more = {.v = 1, .n_agents = 1};
    struct rt_attach_msg attach;
    fx_open(&fx, 1);
    (void)fx_attach(&fx);
    fx.slot[0].dialing = false;
    fx.slot[0].up = true;
    rt_client_connected(fx.client, 0, "h1", fx.now);
    (void)fx_take(&fx, 0);
    more.host = more.agents[0].host = rt_slice_text("h1");
    more.agents[0].n_addr = 1;
    more.agents[0].addr[0] = rt_slice_text("tls:10.0.0.1:7401");
    fx_send_map(&fx, 0, (struct rt_frame){.type = RT_WELCOME}, RT_MSG_WELCOME, &more);
    fx_run(&fx, RT_CLIENT_STABLE_MS, true);
    fx_lost(&fx, 0);
    assert_string_equal(fx.slot[0].host, "h1");
    assert_int_equal(fx.slot[0].dials, 2);
    welcomes_as(0, "h1", "h2");
    assert_int_equal(fx.slot[0].hangups, 1);
    assert_string_equal(fx.slot[0].disproved, "h1");
    assert_int_equal(fx.slot[0].dials, 3); /* at once, and there, not where h1 was besides */
    assert_string_equal(fx.slot[0].addr, "unix:/a0");
    assert_string_equal(fx.slot[0].host, "");
    assert_true(fx.slot[0].given);
    welcomes_as(0, "h2", "h2");
    assert_int_equal(fx.slot[0].hangups, 1);
    assert_int_equal(fx_take_attach(&fx, 0, &attach), 1);
    fx_run(&fx, RT_CLIENT_STABLE_MS, true);
    fx_lost(&fx, 0);
    assert_string_equal(fx.slot[0].host, "h2");
    for (unsigned i = 0; i < 3; i++) {
        welcomes_as(0, "h9", "h2");
        assert_int_equal(fx.slot[0].hangups, 2 + i);
        assert_string_equal(fx.slot[0].disproved, "h9");
        assert_int_equal(fx.slot[0].dials, 4 + i); /* not at once */
        fx_run(&fx, RT_REDIAL_MAX_MS, true);
        assert_string_equal(fx.slot[0].host, "h2");
    }
    fx_close(&fx);
}

static void test_table_of_agents_is_bounded(void **state)
{
    (void)state;
    char addr[32];
    fx_open(&fx, 1);
    (void)fx_attach(&fx); /* names slot 0 */
    for (unsigned i = 1; i < 3 * RT_CLIENT_AGENTS_MAX; i++) {
        (void)snprintf(addr, sizeof(addr), "unix:/more%u", i);
        assert_int_equal(rt_client_add_agent(fx.client, addr), 0);
    }
    assert_string_equal(fx.client->links[0].addr[0], "unix:/a0");
    assert_int_equal(rt_client_add_agent(fx.client, ""), RT_EINVAL);
    char longer[RT_ADDR_MAX + 2] = {0};
    memset(longer, 'x', sizeof(longer) - 1);
    assert_int_equal(rt_client_add_agent(fx.client, longer), RT_EINVAL);
    fx_close(&fx);
}

static void test_refused_links(void **state)
{
    (void)state;
    struct rt_catt *att;
    fx_open(&fx, 1);
    att = fx_attach(&fx);
    fx_refuse_link(&fx, RT_CLASS_RETRY_LATER, 3000);
    fx_run(&fx, 2999, true);
    assert_int_equal(fx.slot[0].dials, 1);
    fx_run(&fx, 1, true);
    assert_int_equal(fx.slot[0].dials, 2);
    fx_quiet(att);
    fx_refuse_link(&fx, RT_CLASS_LIMIT, 5); /* of the moment: as if it was lost */
    fx_quiet(att);
    fx_run(&fx, RT_REDIAL_MAX_MS, true);
    assert_int_equal(fx.slot[0].dials, 3);
    fx_quiet(att);
    fx_refuse_link(&fx, RT_CLASS_VERSION, 0); /* nobody else is known */
    struct rt_catt_event event = fx_event(att, RT_CATT_FAILED);
    assert_int_equal(event.cls, RT_CLASS_VERSION);
    assert_string_equal(event.text, "no");
    fx_close(&fx);
    att = fx_live(&fx, 1); /* once attached it keeps trying, slowly */
    fx_lost(&fx, 0);
    fx_refuse_link(&fx, RT_CLASS_BAD_AUTH, 0);
    (void)fx_event(att, RT_CATT_INTERRUPTED);
    fx_quiet(att);
    fx_run(&fx, RT_REFUSED_MIN_MS - 1, true);
    assert_int_equal(fx.slot[0].dials, 2);
    fx_run(&fx, RT_REFUSED_MAX_MS, true);
    assert_int_equal(fx.slot[0].dials, 3);
    fx_close(&fx);
}

static void hangs_up(struct rt_frame head, const void *payload)
{
    (void)fx_live(&fx, 1);
    fx_send(&fx, 0, head, payload);
    assert_int_equal(fx.slot[0].hangups, 1);
    fx_run(&fx, 1000, true);
    fx_up(&fx, 0); /* and begins anew */
    struct rt_attach_msg attach;
    assert_int_equal(fx_take_attach(&fx, 0, &attach), 1);
    fx_close(&fx);
}

static void test_frames_that_end_the_link(void **state)
{
    (void)state;
    static const uint8_t junk[RT_GAP_PAYLOAD] = {0xc1}, zero[RT_ACK_PAYLOAD], far[RT_ACK_PAYLOAD] = {0xff};
    hangs_up((struct rt_frame){.type = 99}, NULL);
    hangs_up((struct rt_frame){.type = RT_CONFIRM}, NULL);
    hangs_up((struct rt_frame){.length = 1, .type = RT_HELLO}, junk);
    hangs_up((struct rt_frame){.length = 1, .type = RT_WELCOME}, junk);
    hangs_up((struct rt_frame){.length = 1, .type = RT_REFUSE}, junk);
    hangs_up((struct rt_frame){.type = RT_DETACH, .channel = 1}, NULL);
    hangs_up((struct rt_frame){.length = 1, .type = RT_DATA, .stream = 1, .channel = 2}, junk); /* never opened */
    hangs_up((struct rt_frame){.length = 1, .type = RT_DATA, .stream = 9, .channel = 1}, junk);
    hangs_up((struct rt_frame){.type = RT_REFUSE, .length = 1, .stream = 1, .channel = 1}, junk);
    hangs_up((struct rt_frame){.length = 1, .type = RT_DATA, .stream = RT_STDIN, .channel = 1}, zero);
    hangs_up((struct rt_frame){.length = 1, .type = RT_DATA, .stream = RT_CONTROL_DOWN, .channel = 1}, zero);
    hangs_up((struct rt_frame){.length = RT_ACK_PAYLOAD, .type = RT_ACK, .stream = RT_STDOUT, .channel = 1}, zero);
    hangs_up((struct rt_frame){.type = RT_FIN, .stream = RT_STDIN, .channel = 1}, NULL);
    hangs_up((struct rt_frame){.type = RT_FIN, .stream = RT_STDOUT, .flags = 1, .channel = 1}, NULL);
    hangs_up((struct rt_frame){.type = RT_STOP, .stream = RT_CONTROL_DOWN, .channel = 1}, NULL);
    hangs_up((struct rt_frame){.length = RT_GAP_PAYLOAD, .type = RT_GAP, .stream = RT_STDOUT, .channel = 1}, zero);
    hangs_up((struct rt_frame){.length = RT_GAP_PAYLOAD, .type = RT_GAP, .stream = RT_STDOUT, .channel = 1}, far);
    hangs_up((struct rt_frame){.length = RT_ACK_PAYLOAD, .type = RT_ACK, .channel = 1}, far);
    uint8_t oversized[RT_FRAME_HEADER];
    rt_frame_put(oversized,
                 &(struct rt_frame){.length = RT_FRAME_PAYLOAD_MAX + 1, .type = RT_DATA, .stream = 1, .channel = 1});
    (void)fx_live(&fx, 1);
    assert_int_equal(rt_client_input(fx.client, 0, oversized, sizeof(oversized), fx.now), sizeof(oversized));
    fx_next(&fx);
    assert_int_equal(fx.slot[0].hangups, 1);
    fx_close(&fx);
}

static void ends_channel(struct rt_frame head, const void *payload)
{
    struct rt_attach_msg attach;
    struct rt_catt *att = fx_live(&fx, 1);
    fx_send(&fx, 0, head, payload);
    assert_int_equal(fx.slot[0].hangups, 0);
    assert_int_equal(fx_event(att, RT_CATT_INTERRUPTED).kind, RT_CATT_INTERRUPTED);
    assert_int_equal(fx_take_attach(&fx, 0, &attach), 2);
    assert_int_equal(fx_frame(&fx, RT_REFUSE, 0)->head.channel, 1);
    fx_send(&fx, 0, head, payload); /* the channel is gone: dropped */
    assert_int_equal(fx_take(&fx, 0), 0);
    fx_close(&fx);
}

static void test_frames_that_end_the_channel(void **state)
{
    (void)state;
    static const uint8_t junk[RT_ACK_PAYLOAD];
    ends_channel((struct rt_frame){.length = 1, .type = RT_ATTACHED, .channel = 1}, junk);
    ends_channel((struct rt_frame){.type = RT_STOP, .channel = 1, .offset = 1}, NULL);
    ends_channel((struct rt_frame){.type = RT_FIN, .stream = RT_STDOUT, .channel = 1, .offset = 1}, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dials_only_when_needed),
        cmocka_unit_test(test_dial_backoff_bounds),
        cmocka_unit_test(test_welcomes_that_do_not_last_back_off),
        cmocka_unit_test(test_handshake_deadline),
        cmocka_unit_test(test_pings),
        cmocka_unit_test(test_dead_links_are_found_together),
        cmocka_unit_test(test_who_answers_is_asked),
        cmocka_unit_test(test_pongs_that_answer_nothing),
        cmocka_unit_test(test_agents_are_learnt),
        cmocka_unit_test(test_an_address_counts_with_its_host),
        cmocka_unit_test(test_welcome_is_of_its_certificate),
        cmocka_unit_test(test_guess_is_given_up),
        cmocka_unit_test(test_table_of_agents_is_bounded),
        cmocka_unit_test(test_refused_links),
        cmocka_unit_test(test_frames_that_end_the_link),
        cmocka_unit_test(test_frames_that_end_the_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
