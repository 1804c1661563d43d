/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "tests/lib/redis.h"
#include "tests/system/attack/cases.h"
#include "tests/system/attack/honest.h"
#include "tests/system/attack/rogue.h"
#include "tests/system/run.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Guests that show what proves nothing, and say what they may not say. */

#define STORM_ITEMS 20000

/* It is told so, and who is served stays so. */
static void refused(struct rogue *rogue, const struct rogue_token *token, enum rt_class cls)
{
    int told = rogue_hello(rogue, token);

    attack_saw("%s: %s", attack_class(told), rogue->peer.why);
    assert_int_equal(told, cls);
    rogue_close(rogue);
}

void attack_token_of_another(void)
{
    struct rogue a, b;

    rogue_make(&a, "of-a");
    b = a;
    (void)snprintf(b.cid, sizeof(b.cid), HONEST_CID);
    refused(&b, &a.join, RT_CLASS_BAD_AUTH);
    rogue_join(&a);
    refused(&b, &a.ticket, RT_CLASS_BAD_AUTH);
    rogue_close(&a);
}

void attack_old_ticket(void)
{
    struct rogue guest, thief;
    struct rogue_token old;

    rogue_start(&guest, "tickets");
    old = guest.ticket;
    rogue_again(&guest);
    rogue_again(&guest);
    thief = guest;
    thief.peer = (struct peer){.fd = -1};
    thief.epoch += 10;
    refused(&thief, &old, RT_CLASS_REWOUND);
    assert_true(attack_alive(&guest.peer));
    rogue_close(&guest);
}

/* The guest's container ends, as the agent confirms. */
static void end(struct rogue *rogue)
{
    struct rt_end_msg msg = {.code = 0};
    struct rt_frame frame = {.type = RT_END};

    peer_send_msg(&rogue->peer, frame, RT_MSG_END, &msg);
    assert_non_null(attack_next(&rogue->peer, ATTACK_TYPE(RT_END_OK), &frame));
}

void attack_old_incarnation(void)
{
    struct rogue first, second;

    rogue_start(&first, "started-twice");
    end(&first);
    rogue_close(&first);
    second = first;
    second.inc = 1;
    second.epoch = 0;
    rogue_join(&second);
    first.epoch += 10;
    refused(&first, &first.ticket, RT_CLASS_SUPERSEDED);
    assert_true(attack_alive(&second.peer));
    rogue_close(&second);
}

/* Two links show the same ticket, and both are welcomed: who confirms first is served, the other one is not, then or
 * later. */
void attack_clone(void)
{
    struct rogue guest, clone;
    struct rogue_token ticket;
    struct peer client;
    int cls;

    rogue_start(&guest, "cloned");
    ticket = guest.ticket;
    clone = guest;
    clone.peer = (struct peer){.fd = -1};
    assert_int_equal(rogue_hello(&clone, &ticket), RT_CLASS_OK);
    assert_int_equal(rogue_hello(&guest, &ticket), RT_CLASS_OK);
    rogue_confirm(&guest);
    attack_client(&client, NULL);
    (void)rogue_attached(&guest, &client, 1, 1U << RT_STDOUT);
    rogue_confirm(&clone);
    cls = attack_refused(&clone.peer, 0);
    attack_saw("at its confirm %s", attack_class(cls));
    assert_true(cls == RT_CLASS_FORKED || cls == RT_CLASS_REWOUND || cls == RT_CLASS_STALE);
    clone.epoch += 10;
    refused(&clone, &clone.ticket, RT_CLASS_FORKED);
    refused(&clone, &ticket, RT_CLASS_REWOUND);
    assert_true(attack_alive(&guest.peer));
    assert_true(attack_alive(&client));
    attack_close(&client);
    rogue_close(&guest);
}

void attack_one_token_twice(void)
{
    struct rogue guest, twin;

    rogue_start(&guest, "twins");
    twin = guest;
    twin.peer = (struct peer){.fd = -1};
    twin.inc = 1;
    twin.epoch = 0;
    refused(&twin, &twin.join, RT_CLASS_RETRY_LATER);
    refused(&twin, &twin.ticket, RT_CLASS_BAD_AUTH);
    assert_true(attack_alive(&guest.peer));
    rogue_close(&guest);
}

/* ---- what it says on a channel ---- */

/* Classes that are an agent's word alone: both sides hear PROTOCOL, of that channel alone. */
void attack_guest_says_moved(void)
{
    static const uint64_t words[] = {RT_CLASS_MOVED,     RT_CLASS_ENDED,  RT_CLASS_NOT_FOUND, RT_CLASS_RETRY_LATER,
                                     RT_CLASS_STALE,     RT_CLASS_FORKED, RT_CLASS_BAD_AUTH,  RT_CLASS_SUPERSEDED,
                                     RT_CLASS_AMBIGUOUS, RT_CLASS_DENIED, RT_CLASS_VERSION,   RT_CLASSES,
                                     UINT64_C(1) << 40};
    struct rogue guest;
    struct peer client;

    rogue_start(&guest, "mover");
    attack_client(&client, NULL);
    for (uint32_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        uint32_t at = rogue_attached(&guest, &client, i + 1, 1U << RT_STDOUT);

        rogue_refuse(&guest, at, words[i], "come here");
        assert_int_equal(attack_refused(&client, i + 1), RT_CLASS_PROTOCOL);
        assert_null(strstr(client.why, "come here"));
        assert_int_equal(attack_refused(&guest.peer, at), RT_CLASS_PROTOCOL);
    }
    attack_saw("PROTOCOL on that channel, %u times", (unsigned)(sizeof(words) / sizeof(words[0])));
    assert_true(attack_alive(&guest.peer) && attack_alive(&client));
    attack_close(&client);
    rogue_close(&guest);
}

/* Channels that it was not given, or has no more; and one attachment answered twice. */
void attack_channels_of_a_guest(void)
{
    struct rogue guest;
    struct peer client;
    struct rt_frame frame;
    uint32_t at;

    rogue_start(&guest, "channels");
    attack_client(&client, NULL);
    at = rogue_attached(&guest, &client, 1, 1U << RT_STDOUT);
    for (uint32_t channel = 1; channel < 100; channel++) {
        if (channel != at) {
            frame = (struct rt_frame){.type = RT_DATA, .channel = channel, .stream = RT_STDOUT, .length = 4};
            peer_send(&guest.peer, &frame, "evil");
            frame = (struct rt_frame){.type = RT_STOP, .channel = channel};
            peer_send(&guest.peer, &frame, NULL);
        }
    }
    frame = (struct rt_frame){.type = RT_DATA, .channel = at, .stream = RT_STDOUT, .length = 4};
    peer_send(&guest.peer, &frame, "good");
    assert_memory_equal(attack_next(&client, ATTACK_TYPE(RT_DATA) | ATTACK_TYPE(RT_STOP), &frame), "good", 4);
    rogue_refuse(&guest, at, RT_CLASS_LOST, "over");
    assert_int_equal(attack_refused(&client, 1), RT_CLASS_LOST);
    frame = (struct rt_frame){.type = RT_DATA, .channel = at, .stream = RT_STDOUT, .offset = 4, .length = 4};
    peer_send(&guest.peer, &frame, "evil");
    assert_true(attack_alive(&guest.peer) && attack_alive(&client));
    peer_read(&client, 0);
    while (peer_frame(&client, &frame) != NULL) {
        assert_int_not_equal(frame.type, RT_DATA);
    }
    attack_saw("nothing: what it sends there is dropped");
    attack_close(&client);
    rogue_close(&guest);
}

/* That it has taken input which nobody sent: the real client hangs up, each time that it is told so. */
void attack_guest_acks_beyond(void)
{
    static const uint8_t ack[RT_ACK_PAYLOAD] = {0, 1};
    struct harness_attach attach;
    struct rogue guest;
    unsigned refused = 0;

    rogue_start(&guest, "acks");
    harness_start(&attach, false, ARGS("attach", guest.cid));
    while (attach.err >= 0) {
        struct rt_frame frame;
        const uint8_t *payload;

        peer_read(&guest.peer, 20);
        while ((payload = peer_frame(&guest.peer, &frame)) != NULL) {
            struct rt_attach_msg msg;
            struct rt_frame beyond = {.type = RT_ACK, .stream = RT_STDIN, .length = RT_ACK_PAYLOAD};
            char why[RT_TEXT_MAX];

            refused += frame.type == RT_REFUSE;
            if (frame.type != RT_ATTACH) {
                continue;
            }
            assert_int_equal(rt_msg_decode(RT_MSG_ATTACH, payload, frame.length, &msg, why, sizeof(why)), 0);
            rogue_answer(&guest, frame.channel, msg.want);
            beyond.channel = frame.channel;
            beyond.offset = UINT64_C(1) << 40;
            peer_send(&guest.peer, &beyond, ack);
        }
        assert_false(guest.peer.eof);
        (void)harness_read(&attach, 20);
    }
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 125);
    attack_saw("its client refuses it %u times, then says \"%.*s\"", refused, (int)strcspn(attach.err_text, "\n"),
               attach.err_text);
    assert_true(refused > 0 && attack_alive(&guest.peer));
    harness_close(&attach);
    rogue_close(&guest);
}

/* More items of control-up than the client's limit. */
void attack_items_of_a_guest(void)
{
    static const uint8_t item[] = {0, 14, 0x83, 0xa1, 't', 2, 0xa4, 'r', 'o', 'w', 's', 9, 0xa4, 'c', 'o', 'l'};
    struct rogue guest;
    struct peer client;
    struct rt_frame frame = {.type = RT_DATA, .stream = RT_CONTROL_UP, .length = sizeof(item)};
    int cls;

    rogue_start(&guest, "items");
    attack_client(&client, NULL);
    frame.channel = rogue_attached(&guest, &client, 1, 1U << RT_CONTROL_UP);
    for (unsigned i = 0; i < STORM_ITEMS; i++) {
        peer_send(&guest.peer, &frame, item);
        frame.offset += sizeof(item);
    }
    cls = attack_refused(&guest.peer, frame.channel);
    attack_saw("%s on its channel", attack_class(cls));
    assert_int_equal(cls, RT_CLASS_LIMIT);
    assert_int_equal(attack_refused(&client, 1), RT_CLASS_LIMIT);
    assert_true(attack_alive(&guest.peer) && attack_alive(&client));
    attack_close(&client);
    rogue_close(&guest);
}

/* ---- an agent of the past ---- */

static void shell(const char *command)
{
    struct rt_process_run run;

    run_program(&run, (const char *[]){"sh", "-c", command, NULL}, HARNESS_LIMIT_MS);
    assert_int_equal(run.status, 0);
    rt_process_run_free(&run);
}

/* The epoch of its second connection, which has more digits than that of the first one. */
#define LATER 100

/* Until the store has a claim of the container's later connection. */
static void until_later(const char *cid)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    char command[96], answer[64];

    (void)snprintf(command, sizeof(command), "HSTRLEN rt:{local/%s}:r ep", cid);
    do {
        assert_true(rt_process_now_ms() < until);
        attack_pass(20);
    } while (rt_test_redis_command(&harness.redis, command, answer, sizeof(answer)) != 0 || strcmp(answer, ":3") != 0);
}

/* Ends the store, and starts it again with what it has, or with what `past` has. */
static void store_again(const char *past)
{
    char command[300];

    assert_int_equal(rt_test_redis_kill(&harness.redis), 0);
    if (past != NULL) {
        (void)snprintf(command, sizeof(command), "rm -rf %s/appendonlydir && mv %s %s/appendonlydir", harness.redis.dir,
                       past, harness.redis.dir);
        shell(command);
    }
    assert_int_equal(rt_test_redis_restart(&harness.redis, false), 0);
}

/* The guest goes from host 1 to host 0 while host 1 stands still, cut off from the store, so that no news of it will
 * ever come; then the store is set back to before that. The old agent wakes with the old connection, and the store says
 * that it is the owner. */
void attack_stale_agent(void)
{
    char command[300], past[96];
    struct rogue guest, old;
    struct peer client;
    struct rt_frame frame;

    rogue_make(&guest, "stale");
    guest.host = 1;
    rogue_join(&guest);
    (void)snprintf(past, sizeof(past), "%s/past", harness.redis.dir);
    (void)snprintf(command, sizeof(command), "cp -a %s/appendonlydir %s", harness.redis.dir, past);
    shell(command);
    assert_int_equal(kill(harness.hosts[1].pid, SIGSTOP), 0);
    store_again(NULL);
    old = guest;
    guest.peer = (struct peer){.fd = -1};
    guest.host = 0;
    guest.epoch = LATER - 1;
    rogue_again(&guest);
    until_later("stale");
    attack_client(&client, NULL);
    frame = (struct rt_frame){.type = RT_DATA, .stream = RT_STDOUT, .length = 4};
    frame.channel = rogue_attached(&guest, &client, 1, 1U << RT_STDOUT);
    store_again(past);
    assert_int_equal(kill(harness.hosts[1].pid, SIGCONT), 0);
    attack_saw("its old link: %s", attack_class(attack_refused(&old.peer, 0)));
    until_later("stale");
    harness_served("stale", 0);
    peer_send(&guest.peer, &frame, "good");
    assert_memory_equal(attack_next(&client, ATTACK_TYPE(RT_DATA) | ATTACK_TYPE(RT_REFUSE), &frame), "good", 4);
    attack_close(&client);
    rogue_close(&old);
    rogue_close(&guest);
}
