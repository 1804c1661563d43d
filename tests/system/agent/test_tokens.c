/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/seal/seal.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"
#include "tests/system/agent/victim.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Tokens and tickets that give no right to what they are shown for: each is refused with its class and its reason, the
 * log has both, and who is served stays so. With the agent's own key ring the test seals what no agent would. */

#define LIMIT_MS 5000
/* Milliseconds since 1970: long ago. */
#define LONG_AGO 1000
#define EPOCH 5
/* Every so many bytes of a token one is changed. */
#define FORGE_STEP 7

#define NOT_OURS "the token is not one of this cluster: not proved or not allowed"
#define NO_TOKEN "the token is not one of this cluster: protocol error"

struct token {
    uint8_t data[RT_TOKEN_MAX];
    size_t size;
};

static struct rt_keyring ring;

static void load_ring(const struct daemon *daemon)
{
    char path[128];

    rt_keyring_init(&ring);
    (void)snprintf(path, sizeof(path), "%s/keys", daemon->state);
    assert_int_equal(rt_keyring_load(&ring, path), 0);
}

static struct token sealed(const struct rt_keyring *by, const struct rt_ticket *ticket)
{
    struct token token;
    int size = rt_seal(by, ticket, token.data, sizeof(token.data));

    assert_true(size > 0);
    token.size = (size_t)size;
    return token;
}

static struct rt_ticket opened(const struct token *token)
{
    struct rt_ticket ticket;

    assert_int_equal(rt_unseal(&ring, token->data, token->size, 0, &ticket), 0);
    return ticket;
}

/* A hello with it is refused so, and the log tells it. */
static void refused(const struct daemon *daemon, int door, const char *cid, const struct token *token, uint64_t epoch,
                    enum rt_class cls, const char *why)
{
    uint64_t told = victim_refusals(daemon);
    struct peer guest;
    char line[256];
    size_t before;

    (void)snprintf(line, sizeof(line), "\"to\":\"%s\",\"reason\":\"%s", rt_class_name(cls), why);
    before = daemon_said(daemon, line);
    peer_open(&guest, victim_door(daemon, door));
    peer_guest_hello(&guest, cid, token->data, token->size, epoch);
    assert_int_equal(peer_refused(&guest, LIMIT_MS), cls);
    assert_int_equal(strncmp(guest.why, why, strlen(why)), 0);
    if (cls == RT_CLASS_STALE) {
        assert_int_equal(guest.epoch, EPOCH);
    }
    peer_close(&guest);
    victim_until_refusals(daemon, told + 1);
    assert_int_equal(daemon_said(daemon, line), before + 1);
}

/* The token with each of some bits changed in turn. */
static void forged(const struct daemon *daemon, int door, const char *cid, const struct token *token)
{
    struct token changed = *token;

    for (size_t i = 0; i < token->size; i += FORGE_STEP) {
        changed.data[i] ^= 0x10;
        refused(daemon, door, cid, &changed, EPOCH + 1, RT_CLASS_BAD_AUTH, i == 0 ? NO_TOKEN : NOT_OURS);
        changed.data[i] = token->data[i];
    }
}

static struct token created(const struct daemon *daemon, int door, const char *cid)
{
    struct peer client;
    struct token token;

    peer_client(&client, victim_door(daemon, door | 1));
    token.size = peer_create(&client, cid, token.data);
    peer_close(&client);
    return token;
}

/* Join tokens at this door, for guests. */
static void join_tokens(const struct daemon *daemon, int door, const char *cid, const char *other_cid)
{
    struct token token = created(daemon, door, cid), other = created(daemon, door, other_cid), none = {.size = 0};
    uint8_t secret[RT_SECRET_SIZE] = {1};
    struct rt_ticket ticket = opened(&token);
    struct rt_keyring foreign;
    struct token bad;

    forged(daemon, door, cid, &token);
    refused(daemon, door, cid, &other, 1, RT_CLASS_BAD_AUTH, "the token is another container's");
    refused(daemon, door, cid, &none, 1, RT_CLASS_PROTOCOL, "a guest's hello needs");
    refused(daemon, door, cid, &token, 0, RT_CLASS_PROTOCOL, "a guest's hello needs");
    refused(daemon, door | 1, cid, &token, 1, RT_CLASS_DENIED, "this address is for clients");

    ticket.expires_ms = LONG_AGO;
    bad = sealed(&ring, &ticket);
    refused(daemon, door, cid, &bad, 1, RT_CLASS_BAD_AUTH, "the token has expired");

    ticket.expires_ms = 0;
    rt_keyring_init(&foreign);
    assert_int_equal(rt_keyring_add(&foreign, ring.active, secret), 0);
    bad = sealed(&foreign, &ticket);
    refused(daemon, door, cid, &bad, 1, RT_CLASS_BAD_AUTH, NOT_OURS);
    rt_keyring_close(&foreign);

    (void)snprintf(ticket.bound_to, sizeof(ticket.bound_to), "another machine");
    bad = sealed(&ring, &ticket);
    refused(daemon, door, cid, &bad, 1, RT_CLASS_BAD_AUTH, "the token is bound to another virtual machine");
}

static void test_join_tokens(void **state)
{
    const struct daemon *daemon = *state;

    load_ring(daemon);
    join_tokens(daemon, 0, "tok1", "tok2");
    join_tokens(daemon, 2, "tok3", "tok4");
    rt_keyring_close(&ring);
}

/* A guest that is served at EPOCH, and its ticket. */
static struct token served(const struct daemon *daemon, int door, const char *cid, struct peer *guest)
{
    struct token token = created(daemon, door, cid);
    struct rt_frame frame = {.type = RT_CONFIRM};
    struct rt_welcome_msg welcome;
    const uint8_t *payload;
    char why[RT_TEXT_MAX];

    peer_open(guest, victim_door(daemon, door));
    peer_guest_hello(guest, cid, token.data, token.size, EPOCH);
    payload = peer_wait(guest, RT_WELCOME, &frame, LIMIT_MS);
    assert_int_equal(rt_msg_decode(RT_MSG_WELCOME, payload, frame.length, &welcome, why, sizeof(why)), 0);
    assert_true(welcome.tkt.size > 0 && welcome.tkt.size <= sizeof(token.data));
    memcpy(token.data, welcome.tkt.data, welcome.tkt.size);
    token.size = welcome.tkt.size;
    peer_guest_confirm(guest);
    return token;
}

/* Tickets of a served guest at this door; it is served all the while, and takes its own place in the end. */
static void tickets(struct daemon *daemon, int door, const char *cid)
{
    struct peer guest, again;
    struct token token = served(daemon, door, cid, &guest), bad;
    struct rt_ticket ticket = opened(&token);
    struct rt_frame frame;
    char claimed[160];

    (void)snprintf(claimed, sizeof(claimed), "\"event\":\"claimed\",\"tenant\":\"local\",\"container\":\"%s\"", cid);
    daemon_until(daemon, claimed, 1, LIMIT_MS);
    forged(daemon, door, cid, &token);
    for (uint64_t epoch = 1; epoch <= EPOCH; epoch++) {
        refused(daemon, door, cid, &token, epoch, RT_CLASS_STALE, "a connection with this epoch or a newer one");
    }
    ticket.expires_ms = LONG_AGO;
    bad = sealed(&ring, &ticket);
    refused(daemon, door, cid, &bad, EPOCH + 1, RT_CLASS_BAD_AUTH, "the token has expired");
    ticket.expires_ms = 0;
    ticket.inc.b[0] ^= 1;
    bad = sealed(&ring, &ticket);
    refused(daemon, door, cid, &bad, EPOCH + 1, RT_CLASS_BAD_AUTH, "the ticket is another incarnation's");
    ticket.inc.b[0] ^= 1;
    ticket.id.b[0] ^= 1;
    bad = sealed(&ring, &ticket);
    refused(daemon, door, cid, &bad, EPOCH + 1, RT_CLASS_FORKED, "another copy of this guest is served");

    peer_read(&guest, 0);
    assert_false(guest.eof);
    peer_open(&again, victim_door(daemon, door));
    peer_guest_hello(&again, cid, token.data, token.size, EPOCH + 1);
    (void)peer_wait(&again, RT_WELCOME, &frame, LIMIT_MS);
    peer_guest_confirm(&again);
    (void)peer_refused(&guest, LIMIT_MS);
    peer_close(&guest);
    peer_close(&again);
}

static void test_tickets(void **state)
{
    struct daemon *daemon = *state;

    load_ring(daemon);
    tickets(daemon, 0, "served1");
    tickets(daemon, 2, "served2");
    rt_keyring_close(&ring);
}

/* Writes the daemon's ring file anew, with the key of that id marked, and has it read. */
static void new_ring(struct daemon *daemon, const struct rt_keyring *keys, uint32_t active, unsigned times)
{
    char path[128], said[64];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/keys", daemon->state);
    file = fopen(path, "w"); /* it stays 0600 */
    assert_non_null(file);
    for (size_t i = 0; i < keys->n_keys; i++) {
        (void)fprintf(file, "key %u ", (unsigned)keys->keys[i].id);
        for (size_t k = 0; k < RT_SECRET_SIZE; k++) {
            (void)fprintf(file, "%02x", keys->keys[i].secret[k]);
        }
        (void)fprintf(file, "%s\n", keys->keys[i].id == active ? " active" : "");
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(kill(daemon->pid, SIGHUP), 0);
    (void)snprintf(said, sizeof(said), "2 keys, key %u seals", (unsigned)active);
    daemon_until(daemon, said, times, LIMIT_MS);
}

/* A new key is everywhere before anybody seals under it; who is ahead of a host's ring is told to come again. */
static void test_change_of_keys(void **state)
{
    struct daemon *daemon = *state;
    uint8_t secret[RT_SECRET_SIZE] = {7};
    struct rt_ticket ticket;
    struct rt_keyring both;
    struct rt_frame frame;
    struct token token;
    struct peer guest;

    load_ring(daemon);
    both = ring;
    assert_int_equal(rt_keyring_add(&both, 2, secret), 0);
    token = created(daemon, 0, "turn");
    ticket = opened(&token);
    assert_int_equal(rt_keyring_activate(&both, 2), 0);
    token = sealed(&both, &ticket);
    refused(daemon, 0, "turn", &token, 1, RT_CLASS_RETRY_LATER, "this agent's key ring lacks the key of the token");

    new_ring(daemon, &both, 1, 1);
    peer_open(&guest, victim_door(daemon, 0));
    peer_guest_hello(&guest, "turn", token.data, token.size, 1);
    (void)peer_wait(&guest, RT_WELCOME, &frame, LIMIT_MS);
    peer_close(&guest);
    token = created(daemon, 0, "before");
    assert_int_equal(opened(&token).key_id, 1);

    new_ring(daemon, &both, 2, 1);
    token = created(daemon, 0, "after");
    rt_keyring_close(&ring);
    ring = both;
    assert_int_equal(opened(&token).key_id, 2);

    rt_keyring_close(&ring);
}

/* A guest that stays for longer than a ticket is good holds one that is good all the while. */
static void test_a_ticket_outlived(void **state)
{
    struct daemon *daemon = *state;
    struct token first = {.size = 0}, token;
    struct peer client, guest;
    struct rt_frame frame;
    struct rt_welcome_msg welcome;
    char why[RT_TEXT_MAX];
    const uint8_t *payload;

    daemon_up(daemon, (const char *[]){"--ticket-ttl", "2s", NULL});
    peer_client(&client, daemon->client);
    token.size = peer_create(&client, "long", token.data);
    peer_close(&client);
    peer_open(&guest, daemon->guest);
    peer_guest_hello(&guest, "long", token.data, token.size, 1);
    payload = peer_wait(&guest, RT_WELCOME, &frame, LIMIT_MS);
    assert_int_equal(rt_msg_decode(RT_MSG_WELCOME, payload, frame.length, &welcome, why, sizeof(why)), 0);
    peer_guest_confirm(&guest);
    for (unsigned i = 0; i < 4; i++) { /* the first at once, each other one after 0.75 s or more */
        payload = peer_wait(&guest, RT_TICKET, &frame, LIMIT_MS);
        memcpy(token.data, payload, frame.length);
        token.size = frame.length;
        first = i == 0 ? token : first;
    }
    peer_close(&guest);
    peer_open(&guest, daemon->guest);
    peer_guest_hello(&guest, "long", first.data, first.size, 2);
    assert_int_equal(peer_refused(&guest, LIMIT_MS), RT_CLASS_BAD_AUTH);
    peer_close(&guest);
    peer_open(&guest, daemon->guest);
    peer_guest_hello(&guest, "long", token.data, token.size, 3);
    (void)peer_wait(&guest, RT_WELCOME, &frame, LIMIT_MS);
    peer_close(&guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_join_tokens, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_tickets, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_change_of_keys, victim_setup, victim_teardown),
        cmocka_unit_test_setup_teardown(test_a_ticket_outlived, daemon_setup, daemon_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
