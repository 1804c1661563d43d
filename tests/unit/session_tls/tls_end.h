/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_SESSION_TLS_TLS_END_H
#define RETETHER_TESTS_UNIT_SESSION_TLS_TLS_END_H

#include "session/tls/tls.h"
#include "tests/lib/certs/certs.h"
#include "tests/unit/session_transport/link_end.h"

#include <openssl/ssl.h>

/* A small cluster's certificates, and links over TLS with them. */

#define DOMAIN "lab.example"
#define URI_OF(rest) "spiffe://" DOMAIN "/retether/" rest
#define AGENT_URI URI_OF("agent/esx17")
#define CLIENT_URI URI_OF("vch/acme")

struct world {
    struct fixture *fixture;
    struct certs_ca ca;
    struct rt_tls agent, client; /* agent.pem of AGENT_URI, client.pem of CLIENT_URI */
};

/* In the fixture's folder; lives until the 128th call after it. */
const char *in_dir(const struct fixture *fixture, const char *name);
/* NAME.pem, NAME.key, ca.pem; no CRL. */
struct rt_tls_settings settings_of(const struct fixture *fixture, const char *name);
/* Loads NAME's certificate, with the fixture's ca.pem. */
void load(const struct fixture *fixture, struct rt_tls *tls, const char *name);
/* A certificate NAME.pem of this URI. */
void issue(const struct world *world, const char *uri, const char *name);
void issue_as(const struct world *world, struct certs_spec spec, const char *name);

void world_open(struct world *world, struct fixture *fixture);
void world_close(struct world *world);

void open_secure(struct world *world, struct secure *secure, int fd, struct rt_tls *tls, enum rt_wire_side side,
                 const char *expect);
void open_secure_guessing(struct world *world, struct secure *secure, int fd, struct rt_tls *tls,
                          enum rt_wire_side side, const char *expect, bool guess);
/* client dials agent, over a socket pair. */
void open_both(struct world *world, struct secure *client, struct secure *agent, const char *expect);
/* Until both are ready. */
void shake_hands(struct world *world, struct secure *a, struct secure *b);
void close_both(struct world *world, struct secure *a, struct secure *b);

/* A peer on OpenSSL alone, on a socket that does not block. */
struct raw {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd; /* owned */
};

void raw_open(struct raw *raw, int fd, bool dials);
/* With a certificate NAME.pem. */
void raw_use(struct raw *raw, const struct fixture *fixture, const char *name);
void raw_close(struct raw *raw);

#endif
