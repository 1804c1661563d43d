/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_TLS_VERIFY_H
#define RETETHER_SESSION_TLS_VERIFY_H

#include "session/core/identity.h"
#include "session/tls/tls.h"

#include <openssl/ssl.h>

/* Whether a peer is who it must be. */

#define RT_TLS_WHY_MAX 160

/* Of one wire; its SSL's app data. */
struct rt_tls_peer {
    struct rt_tls *tls;
    enum { RT_TLS_ANYBODY, RT_TLS_PERHAPS, RT_TLS_NOBODY_ELSE } expects;
    union {
        struct rt_identity expect;   /* whom, unless anybody */
        char name[RT_TLS_NAME_SIZE]; /* by name: that the certificate has to be of */
    };
    char why[RT_TLS_WHY_MAX]; /* what is wrong with the certificate that came, or "" */
};

/* The domain that a certificate's one URI names; "": there is none. domain holds RT_DOMAIN_MAX + 1. */
void rt_tls_domain(const X509 *cert, char *domain);
/* Who a certificate is of: RT_EAUTH and why, unless it is an identity of the domain. */
RT_MUST_CHECK int rt_tls_identity(const X509 *cert, const char *domain, struct rt_identity *identity, char *why,
                                  size_t why_size);
/* Whether a host is named by an IP address. */
bool rt_tls_is_address(const char *name);
/* The same, and unless the wire expects somebody else. By name there is no identity. */
RT_MUST_CHECK int rt_tls_check_peer(struct rt_tls_peer *peer, const X509 *cert, struct rt_identity *identity);

/* The same for the certificate of a session that is to be resumed, which is also verified anew with what `ctx` believes
 * now: its dates, CA, CRL. purpose: "ssl_client" or "ssl_server". */
bool rt_tls_still_counts(struct rt_tls_peer *peer, SSL_CTX *ctx, X509 *cert, const char *purpose);

/* Whether the CRLs of `ctx` name the certificate by which the wire's peer was believed, or one between it and its CA.
 * Nothing is computed: their signatures were seen when they were read. */
bool rt_tls_is_revoked(const SSL *ssl, const SSL_CTX *ctx);

/* For SSL_CTX_set_verify(): `ok` is what OpenSSL itself thinks of the chain. */
int rt_tls_verify_cb(int ok, X509_STORE_CTX *chain);

#endif
