/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/tls/verify.h"

#include "session/tls/words.h"

#include <stdint.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

/* Its URIs: how many, and the last one, which lives as long as the names, to be freed. */
static GENERAL_NAMES *uris_of(const X509 *cert, struct rt_slice *uri, size_t *n)
{
    /* A second extension of the kind is an error of its own: NULL, as none is. */
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

    *uri = (struct rt_slice){NULL, 0};
    *n = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) { /* -1 of none */
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_URI) {
            uri->data = ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
            uri->size = (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier);
            (*n)++;
        }
    }
    return names;
}

void rt_tls_domain(const X509 *cert, char *domain)
{
    struct rt_slice uri;
    size_t n;
    GENERAL_NAMES *names = uris_of(cert, &uri, &n);

    if (n != 1 || !rt_identity_domain(uri, domain)) {
        domain[0] = '\0';
    }
    GENERAL_NAMES_free(names);
}

int rt_tls_identity(const X509 *cert, const char *domain, struct rt_identity *identity, char *why, size_t why_size)
{
    struct rt_slice uri;
    size_t n;
    GENERAL_NAMES *names = uris_of(cert, &uri, &n);
    int rc = rt_identity_parse(identity, &uri, n, domain, why, why_size);

    GENERAL_NAMES_free(names);
    return rc;
}

bool rt_tls_is_address(const char *name)
{
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(name);

    ASN1_OCTET_STRING_free(address);
    ERR_clear_error();
    return address != NULL;
}

/* Wildcards count for one whole label alone; a name in the subject for nothing. */
static bool is_of(const X509 *cert, const char *name)
{
    const unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    X509 *whole = (X509 *)(uintptr_t)cert; /* which is not written to */
    int is = rt_tls_is_address(name) ? X509_check_ip_asc(whole, name, 0) : X509_check_host(whole, name, 0, flags, NULL);

    ERR_clear_error();
    return is == 1;
}

int rt_tls_check_peer(struct rt_tls_peer *peer, const X509 *cert, struct rt_identity *identity)
{
    char is[RT_IDENTITY_LABEL_MAX], should[RT_IDENTITY_LABEL_MAX], why[RT_TLS_WHY_MAX / 2];

    if (cert == NULL) {
        return rt_fail(RT_EAUTH, peer->why, sizeof(peer->why), "the peer has shown no certificate");
    }
    if (peer->tls->by_name) {
        memset(identity, 0, sizeof(*identity));
        return is_of(cert, peer->name) ? 0
                                       : rt_fail(RT_EAUTH, peer->why, sizeof(peer->why),
                                                 "the peer's certificate is not of %.80s", peer->name);
    }
    if (rt_tls_identity(cert, peer->tls->domain, identity, why, sizeof(why)) != 0) {
        return rt_fail(RT_EAUTH, peer->why, sizeof(peer->why), "the peer's certificate has %s", why);
    }
    if (peer->expects == RT_TLS_NOBODY_ELSE && !rt_identity_equal(identity, &peer->expect)) {
        rt_identity_label(identity, is);
        rt_identity_label(&peer->expect, should);
        return rt_fail(RT_EAUTH, peer->why, sizeof(peer->why), "not who was expected: %s instead of %s", is, should);
    }
    return 0;
}

/* A CA of the file counts whatever its own CA says: that one's CRL need not be there. */
static int anchor_cb(int ok, X509_STORE_CTX *chain)
{
    int last = sk_X509_num(X509_STORE_CTX_get0_chain(chain)) - 1;

    if (!ok && X509_STORE_CTX_get_error(chain) == X509_V_ERR_UNABLE_TO_GET_CRL &&
        X509_STORE_CTX_get_error_depth(chain) == last) {
        X509_STORE_CTX_set_error(chain, X509_V_OK);
        return 1;
    }
    return ok;
}

bool rt_tls_still_counts(struct rt_tls_peer *peer, SSL_CTX *ctx, X509 *cert, const char *purpose)
{
    X509_STORE_CTX *chain = X509_STORE_CTX_new();
    STACK_OF(X509) *between = NULL;
    struct rt_identity identity;
    bool counts;

    /* Of the peer's chain a session has the end alone; what stands before it often stands before ours too. */
    (void)SSL_CTX_get0_chain_certs(ctx, &between);
    counts = chain != NULL && cert != NULL &&
             X509_STORE_CTX_init(chain, SSL_CTX_get_cert_store(ctx), cert, between) == 1 &&
             X509_STORE_CTX_set_default(chain, purpose) == 1;
    if (counts) {
        X509_STORE_CTX_set_verify_cb(chain, anchor_cb);
    }
    counts = counts && X509_verify_cert(chain) == 1 && rt_tls_check_peer(peer, cert, &identity) == 0;
    X509_STORE_CTX_free(chain);
    peer->why[0] = '\0'; /* a whole handshake tells it, if it still is so */
    return counts;
}

static bool is_named(const SSL_CTX *ctx, X509 *cert)
{
    STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx));
    bool named = false;

    for (int i = 0; i < sk_X509_OBJECT_num(all) && !named; i++) {
        X509_CRL *crl = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(all, i)); /* NULL: a certificate */
        X509_REVOKED *entry;

        named = crl != NULL && X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(cert)) == 0 &&
                X509_CRL_get0_by_cert(crl, &entry, cert) == 1;
    }
    return named;
}

bool rt_tls_is_revoked(const SSL *ssl, const SSL_CTX *ctx)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    bool revoked = is_named(ctx, SSL_get0_peer_certificate(ssl));

    if (chain == NULL) { /* a session that was resumed: its chain was made with our own */
        (void)SSL_CTX_get0_chain_certs(SSL_get_SSL_CTX(ssl), &chain);
    }
    for (int i = 0; i < sk_X509_num(chain) && !revoked; i++) { /* -1 of none */
        revoked = is_named(ctx, sk_X509_value(chain, i));
    }
    return revoked;
}

int rt_tls_verify_cb(int ok, X509_STORE_CTX *chain)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct rt_tls_peer *peer = SSL_get_app_data(ssl);
    int depth = X509_STORE_CTX_get_error_depth(chain);
    struct rt_identity identity;

    if (!anchor_cb(ok, chain)) {
        rt_tls_distrust(X509_STORE_CTX_get_error(chain), depth, peer->why, sizeof(peer->why));
        return 0;
    }
    if (depth == 0 && rt_tls_check_peer(peer, X509_STORE_CTX_get_current_cert(chain), &identity) != 0) {
        X509_STORE_CTX_set_error(chain, X509_V_ERR_CERT_REJECTED); /* which the peer hears of */
        return 0;
    }
    return 1;
}
