/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_TLS_SESSIONS_H
#define RETETHER_SESSION_TLS_SESSIONS_H

#include "session/tls/verify.h"

/* Sessions that are resumed (RFC 8446 section 4.6.1): what is accepted gives them away as tickets and keeps nothing,
 * what is dialled keeps the newest of each peer. Their certificates are judged anew each time. */

/* Callbacks and bounds, into a new context. Returns false without memory. */
bool rt_tls_sessions_init(SSL_CTX *ctx, const struct rt_tls_settings *settings);
/* These keys take the place of those before; no session is kept. */
void rt_tls_sessions_load(struct rt_tls *tls, const struct rt_tls_ticket_key *keys, size_t n);
/* Wipes the keys, and lets go of the sessions. */
void rt_tls_sessions_close(struct rt_tls *tls);

/* Who is dialled is offered its session, if there is one that may still count. */
void rt_tls_sessions_offer(SSL *ssl, struct rt_tls_peer *peer);

#endif
