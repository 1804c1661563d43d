/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_AGENT_PEER_H
#define RETETHER_TESTS_SYSTEM_AGENT_PEER_H

#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssl_st;

/* One connection to an agent, made of the codecs and blocking calls. Calls assert (cmocka) unless said otherwise. */

#define PEER_RX ((size_t)1 << 20)
/* Before a port: an address that is not the path of a unix socket. */
#define PEER_TCP "tcp:127.0.0.1:"

struct peer {
    uint8_t *rx; /* owned */
    size_t size; /* bytes in rx */
    size_t used; /* of these, taken as frames */
    int fd;      /* -1: closed */
    bool eof;
    struct ssl_st *tls;        /* owned; NULL: bytes go as they are */
    char why[RT_TEXT_MAX + 1]; /* the text of the REFUSE that peer_refused() found */
    uint64_t epoch;            /* and its epoch */
    uint64_t life;             /* a guest's, of its WELCOME; peer_guest() sets it */
};

void peer_open(struct peer *peer, const char *address);
void peer_close(struct peer *peer);
/* Raw bytes. Returns false when the agent has closed. */
bool peer_write(struct peer *peer, const void *data, size_t size);
void peer_send(struct peer *peer, const struct rt_frame *frame, const void *payload);
void peer_send_msg(struct peer *peer, struct rt_frame frame, enum rt_msg_kind kind, const void *msg);
/* The next whole frame that has come, NULL when there is none yet. Its payload lies behind the header and lives until
 * the next read. Pings are answered and left out. */
const uint8_t *peer_frame(struct peer *peer, struct rt_frame *frame);
/* Reads what is there, waiting for at most limit_ms. */
void peer_read(struct peer *peer, int limit_ms);
/* Answers the pings that have come, for one that nobody waits for now; all else that has come stays. */
void peer_tend(struct peer *peer);
/* Waits for a frame of this type; others before it are dropped. Returns its payload. */
const uint8_t *peer_wait(struct peer *peer, enum rt_frame_type type, struct rt_frame *frame, int limit_ms);
/* Waits for the agent to close. Returns the class of its REFUSE, or -1 when there was none. */
int peer_refused(struct peer *peer, int limit_ms);

/* A client's handshake. */
void peer_client(struct peer *peer, const char *address);
/* Asks for a session. Returns the reply's class; with OK its token. */
unsigned peer_try_create(struct peer *client, const char *cid, uint8_t *token, size_t *size);
/* Makes a session and returns the size of its join token. */
size_t peer_create(struct peer *client, const char *cid, uint8_t token[RT_TOKEN_MAX]);
/* A guest's hello with this token. */
void peer_guest_hello(struct peer *guest, const char *cid, const uint8_t *token, size_t size, uint64_t epoch);
/* Its confirm and a first report. */
void peer_guest_confirm(struct peer *guest);
/* From the hello to the confirm and a first report. */
void peer_guest(struct peer *guest, const char *address, const char *cid, const uint8_t *token, size_t size);

#endif
