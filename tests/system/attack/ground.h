/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_ATTACK_GROUND_H
#define RETETHER_TESTS_SYSTEM_ATTACK_GROUND_H

#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"
#include "tests/lib/certs/certs.h"
#include "tests/system/agent/peer.h"
#include "tests/system/cluster/harness.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What attackers have to do with: two hosts, of which each has a unix socket and TLS for clients, and the first one a
 * TCP socket for guests too. Local users are vchs of the tenant "local". Calls assert (cmocka). */

#define ATTACK_HOSTS 2
#define ATTACK_DOMAIN "spiffe://test.example/retether/"
#define ATTACK_TYPE(type) (UINT32_C(1) << (type))
/* In place of a class: closed without a word. */
#define ATTACK_CLOSED (-1)

/* How often the attack of this case has been made already: a session that it makes has another name each time. */
extern unsigned attack_round;
/* Its case of the table: what the attacker saw, one piece after the other; one that is there already is not added. */
void attack_saw(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Of host 0: "tls:127.0.0.1:PORT" for clients, the same for peer_open(), and "tcp:127.0.0.1:PORT" for guests. */
extern char attack_tls[64], attack_tls_tcp[64], attack_tcp[64];

int attack_prepare(struct rt_cluster *cluster, unsigned host);
void attack_ground_close(void);
/* DIR/NAME of the cluster's directory; good until the eighth call from now. */
const char *attack_in(const char *name);
/* A directory of certificates, of the cluster's CA or of another one. */
struct attack_certificate {
    const char *directory;
    struct rt_slice uris[CERTS_URIS_MAX];
    size_t n_uris;
    bool stranger; /* by a CA that nobody knows */
    long from_s, until_s;
    long serial; /* 0: that of all others */
    bool dns;
};
void attack_issue(const struct attack_certificate *certificate);
/* From now on host 0 has a list that revokes the certificates of this serial number, and has read it. */
void attack_revoke(long serial);

/* Paths of the unix sockets of a host. */
const char *attack_guests(unsigned host);
const char *attack_clients(unsigned host);

/* Links whose pings are answered whenever the test waits for another one, or for time to pass; what else comes stays.
 * attack_client() and rogue_hello() enter theirs. */
void attack_tend(struct peer *peer);
void attack_neglect(struct peer *peer);
void attack_neglect_all(void);
void attack_pass(unsigned ms);
/* Neglects it, and closes it. */
void attack_close(struct peer *peer);

/* A client's handshake, at host 0: of the tenant "local" by the unix socket, or with a directory of certificates over
 * TLS. */
void attack_client(struct peer *peer, const char *certificates);
void attack_client_at(struct peer *peer, unsigned host, const char *certificates);
/* Whether an honest peer that was answered so comes again, as it does when a handshake took too long or gave way; waits
 * a moment then. Else it must have been welcomed. */
bool attack_again(int cls);
/* A handshake of TLS as whom the directory says (NULL: without a certificate), then the hello. Returns RT_CLASS_OK when
 * it was welcomed, else the class of the refusal, or ATTACK_CLOSED: then peer->why has what TLS says. */
int attack_tls_hello(struct peer *peer, const char *certificates, bool old_version);

/* The next frame of these types (ATTACK_TYPE), NULL when the agent has closed; others are passed over. */
const uint8_t *attack_next(struct peer *peer, uint32_t types, struct rt_frame *frame);
/* The class of the REFUSE on this channel, or of the link; ATTACK_CLOSED. Its text is in peer->why. */
int attack_refused(struct peer *peer, uint32_t channel);
const char *attack_class(int cls);
/* Whether the link answers a ping, behind all that came before. */
bool attack_alive(struct peer *peer);
/* A number that no other call gave. */
uint64_t attack_number(void);

/* Asks, and returns the class of the answer, which is good until the next call; payload: its bytes, or NULL. */
int attack_ask(struct peer *client, const struct rt_request_msg *request, const struct rt_reply_msg **reply,
               struct rt_slice *payload);
/* ATTACH as msg says; without an id it is of a new one, without a try the first. */
void attack_attach(struct peer *client, uint32_t channel, struct rt_attach_msg *msg);
/* ACK of an output of which nothing has been consumed beyond this offset. */
void attack_credit(struct peer *client, uint32_t channel, uint16_t stream, uint64_t consumed, uint64_t limit);

#endif
