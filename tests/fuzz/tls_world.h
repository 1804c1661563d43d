/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_FUZZ_TLS_WORLD_H
#define RETETHER_TESTS_FUZZ_TLS_WORLD_H

#include "session/tls/tls.h"
#include "session/transport/link.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/certs/certs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

/* What fuzz_tls.c and fuzz_cert.c put around a link over TLS, that was accepted or dialled. */

#define TLS_DOMAIN "lab.example"
#define TLS_AGENT "spiffe://" TLS_DOMAIN "/retether/agent/esx17"
#define TLS_CLIENT "spiffe://" TLS_DOMAIN "/retether/vch/acme"
#define TLS_SENT_MAX 60000
#define TLS_REVOKED 99 /* the serial number that the CA's CRL has */

enum tls_file { TLS_CERT, TLS_KEY, TLS_CA, TLS_CRL, TLS_CLIENT_CERT, TLS_CLIENT_KEY, TLS_FILES };

struct tls_world {
    uv_loop_t loop;
    struct rt_buf_pool pool;
    struct rt_tls tls;           /* the agent's */
    struct certs_ca ca, other;   /* of the same name; only the first one counts */
    SSL_CTX *client;             /* an honest client's; NULL: not set up */
    SSL_CTX *server;             /* an honest agent's */
    uint8_t bytes[TLS_SENT_MAX]; /* what the far end sends is a part of these */
    char *file[TLS_FILES];       /* owned: what the PEM files hold */
    size_t file_size[TLS_FILES];
};
extern struct tls_world tls_world;

/* Our end. */
struct tls_end {
    struct rt_link link;
    bool ready, closed;
    size_t seen;
    char peer[RT_IDENTITY_TEXT_MAX];
    char text[RT_LINK_TEXT_MAX];
};

/* With the first input. */
void tls_world_init(void);
/* Returns the socket of the far end. expect: as a wire has it. */
int tls_end_open(struct tls_end *end, enum rt_wire_side side, const char *expect);
void tls_end_close(struct tls_end *end, int fd);
/* Gives these bytes to the end, in pieces of the sizes that the input says. */
void tls_deliver(struct fuzz_in *in, int fd, const uint8_t *data, size_t size);

#endif
