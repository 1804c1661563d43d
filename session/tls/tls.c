/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/tls/tls.h"

#include "session/tls/bio.h"
#include "session/tls/files.h"
#include "session/tls/sessions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

static const unsigned char alpn[] = "\x0a" RT_TLS_ALPN;
/* The cheapest first, by half of what the next one costs a byte. */
static const char suites[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

void rt_tls_init(struct rt_tls *tls)
{
    memset(tls, 0, sizeof(*tls));
}

void rt_tls_close(struct rt_tls *tls)
{
    rt_tls_sessions_close(tls);
    SSL_CTX_free(tls->ctx);
    BIO_meth_free(tls->method);
    free(tls->input);
    rt_tls_init(tls);
}

static int select_alpn_cb(SSL *ssl, const unsigned char **out, unsigned char *out_size, const unsigned char *in,
                          unsigned in_size, void *data)
{
    (void)ssl;
    (void)data;
    /* `out` is let point into `in` or into alpn, and is not written through. */
    if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_size, alpn, sizeof(alpn) - 1, in, in_size) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    return SSL_TLSEXT_ERR_OK;
}

/* A context that has all but files. */
static SSL_CTX *make_ctx(struct rt_tls *tls, const struct rt_tls_settings *settings)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 || SSL_CTX_set_ciphersuites(ctx, suites) != 1 ||
        (!settings->by_name && SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1) != 0) ||
        SSL_CTX_set_max_early_data(ctx, 0) != 1 || SSL_CTX_set_recv_max_early_data(ctx, 0) != 1 ||
        !rt_tls_sessions_init(ctx, settings)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_max_cert_list(ctx, (long)RT_TLS_HANDSHAKE_MAX);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, rt_tls_verify_cb);
    (void)X509_STORE_set_depth(SSL_CTX_get_cert_store(ctx), RT_TLS_CHAIN_MAX - 2); /* it counts those between */
    /* Any CA of the file counts, also one in between whose own CA is not there. */
    (void)X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn_cb, NULL);
    SSL_CTX_set_app_data(ctx, tls);
    return ctx;
}

int rt_tls_read(struct rt_tls *tls, const struct rt_tls_settings *settings, char *why, size_t why_size)
{
    SSL_CTX *ctx;
    int rc;

    if (settings->domain != NULL && !rt_domain_valid(rt_slice_text(settings->domain))) {
        return rt_fail(RT_EINVAL, why, why_size,
                       "\"%s\" is no domain of identities: 1 to %d of a-z, 0-9, '.', '_', '-'", settings->domain,
                       RT_DOMAIN_MAX);
    }
    if (settings->n_ticket_keys > RT_TLS_TICKET_KEYS_MAX) {
        return rt_fail(RT_EINVAL, why, why_size, "more than %d keys of session tickets", RT_TLS_TICKET_KEYS_MAX);
    }
    ERR_clear_error();
    tls->by_name = settings->by_name;
    tls->method = rt_tls_bio_method();
    tls->input = malloc(RT_TLS_INPUT_SIZE);
    ctx = tls->method == NULL || tls->input == NULL ? NULL : make_ctx(tls, settings);
    if (ctx == NULL) {
        ERR_clear_error();
        return rt_fail(RT_ENOMEM, why, why_size, "%s", rt_strerror(RT_ENOMEM));
    }
    rc = settings->cert_file == NULL ? 0 : rt_tls_read_own(ctx, settings, tls, why, why_size);
    if (rc == 0) {
        rc = rt_tls_read_trust(ctx, settings, why, why_size);
    }
    ERR_clear_error(); /* what was wrong in a file has been told, and is no wire's */
    if (rc != 0) {
        SSL_CTX_free(ctx);
        return rc;
    }
    tls->ctx = ctx;
    tls->has_crl = settings->crl_file != NULL;
    rt_tls_sessions_load(tls, settings->ticket_keys, settings->n_ticket_keys);
    return 0;
}

void rt_tls_replace(struct rt_tls *tls, struct rt_tls *loaded)
{
    SSL_CTX_free(tls->ctx);
    tls->ctx = loaded->ctx;
    loaded->ctx = NULL;
    SSL_CTX_set_app_data(tls->ctx, tls);
    if (tls->method == NULL) { /* those of the first load are in use by wires that are open */
        tls->method = loaded->method;
        tls->input = loaded->input;
        loaded->method = NULL;
        loaded->input = NULL;
    }
    memcpy(tls->domain, loaded->domain, sizeof(tls->domain));
    tls->own = loaded->own;
    tls->has_crl = loaded->has_crl;
    tls->by_name = loaded->by_name;
    rt_tls_sessions_load(tls, loaded->ticket_keys, loaded->n_ticket_keys);
}

int rt_tls_load(struct rt_tls *tls, const struct rt_tls_settings *settings, char *why, size_t why_size)
{
    struct rt_tls loaded;
    int rc;

    rt_tls_init(&loaded);
    rc = rt_tls_read(&loaded, settings, why, why_size);
    if (rc == 0) {
        rt_tls_replace(tls, &loaded);
    }
    rt_tls_close(&loaded);
    return rc;
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0 || errno != ENOENT;
}

int rt_tls_directory(struct rt_tls_directory *directory, const char *path, struct rt_tls_settings *settings, char *why,
                     size_t why_size)
{
    if (snprintf(directory->cert, sizeof(directory->cert), "%s/cert.pem", path) >= (int)sizeof(directory->cert)) {
        return rt_fail(RT_EINVAL, why, why_size, "%.64s...: the path is too long", path);
    }
    /* The other names are shorter. */
    (void)snprintf(directory->key, sizeof(directory->key), "%s/key.pem", path);
    (void)snprintf(directory->ca, sizeof(directory->ca), "%s/ca.pem", path);
    (void)snprintf(directory->crl, sizeof(directory->crl), "%s/crl.pem", path);
    settings->cert_file =
        settings->by_name && !is_there(directory->cert) && !is_there(directory->key) ? NULL : directory->cert;
    settings->key_file = directory->key;
    settings->ca_file = directory->ca;
    settings->crl_file = is_there(directory->crl) ? directory->crl : NULL;
    return 0;
}
