/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/tls/sessions.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>

/* Sessions of one use are no other's. */
static const unsigned char use[] = RT_TLS_ALPN;

_Static_assert(sizeof(((struct rt_tls_ticket_key *)0)->name) == 16, "as OpenSSL has it");

/* Seals a new ticket under the first key (encrypt 1), or finds the key of one that has come: 0 for none. */
static int ticket_key_cb(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                         int encrypt)
{
    const struct rt_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    char digest[] = "SHA256";
    OSSL_PARAM params[3];
    const struct rt_tls_ticket_key *key;
    size_t i = 0;

    while (!encrypt && i < tls->n_ticket_keys && memcmp(tls->ticket_keys[i].name, name, sizeof(key->name)) != 0) {
        i++;
    }
    if (i >= tls->n_ticket_keys) {
        return 0;
    }
    key = &tls->ticket_keys[i];
    if (encrypt) {
        memcpy(name, key->name, sizeof(key->name));
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) {
            return -1;
        }
    }
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac, sizeof(key->mac));
    params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
    params[2] = OSSL_PARAM_construct_end();
    if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, encrypt) != 1 ||
        EVP_MAC_CTX_set_params(mac, params) != 1) {
        return -1;
    }
    return 1;
}

/* A ticket has come and was opened, or not. One that does not count any more is none: then all is asked anew, and what
 * is wrong is told as ever. */
static SSL_TICKET_RETURN opened_cb(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_size,
                                   SSL_TICKET_STATUS status, void *data)
{
    struct rt_tls_peer *peer = SSL_get_app_data(ssl);

    (void)name;
    (void)name_size;
    (void)data;
    if ((status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) ||
        !rt_tls_still_counts(peer, SSL_get_SSL_CTX(ssl), SSL_SESSION_get0_peer(session), "ssl_client")) {
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    return SSL_TICKET_RETURN_USE_RENEW;
}

static void drop(struct rt_tls *tls, size_t i)
{
    SSL_SESSION_free(tls->sessions[i].session);
    tls->n_sessions--;
    memmove(&tls->sessions[i], &tls->sessions[i + 1], (tls->n_sessions - i) * sizeof(tls->sessions[0]));
}

static size_t find(const struct rt_tls *tls, const struct rt_identity *peer)
{
    size_t i = 0;

    while (i < tls->n_sessions && !rt_identity_equal(&tls->sessions[i].peer, peer)) {
        i++;
    }
    return i;
}

/* Returns 1 when it keeps the session, which is the peer's newest then; in a full cache it takes the oldest's place. */
static int session_cb(SSL *ssl, SSL_SESSION *session)
{
    struct rt_tls_peer *peer = SSL_get_app_data(ssl);
    struct rt_tls *tls = peer->tls;
    struct rt_identity who; /* of the certificate that was shown, whoever was expected */
    size_t i;

    if (tls->by_name || SSL_get_SSL_CTX(ssl) != tls->ctx || /* by files that do not count any more */
        rt_tls_check_peer(peer, SSL_SESSION_get0_peer(session), &who) != 0) {
        return 0;
    }
    i = find(tls, &who);
    if (i < tls->n_sessions) {
        drop(tls, i);
    } else if (i == RT_TLS_SESSIONS_MAX) {
        drop(tls, 0);
    }
    tls->sessions[tls->n_sessions].peer = who;
    tls->sessions[tls->n_sessions++].session = session;
    return 1;
}

bool rt_tls_sessions_init(SSL_CTX *ctx, const struct rt_tls_settings *settings)
{
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, session_cb);
    (void)SSL_CTX_set_timeout(ctx, RT_TLS_SESSION_S);
    return SSL_CTX_set_session_id_context(ctx, use, sizeof(use) - 1) == 1 &&
           SSL_CTX_set_num_tickets(ctx, settings->n_ticket_keys > 0) == 1 &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key_cb) == 1 &&
           SSL_CTX_set_session_ticket_cb(ctx, NULL, opened_cb, NULL) == 1;
}

void rt_tls_forget(struct rt_tls *tls, const struct rt_identity *peer)
{
    size_t i = find(tls, peer);

    if (i < tls->n_sessions) {
        drop(tls, i);
    }
}

void rt_tls_sessions_close(struct rt_tls *tls)
{
    while (tls->n_sessions > 0) {
        drop(tls, tls->n_sessions - 1);
    }
    OPENSSL_cleanse(tls->ticket_keys, sizeof(tls->ticket_keys));
    tls->n_ticket_keys = 0;
}

void rt_tls_sessions_load(struct rt_tls *tls, const struct rt_tls_ticket_key *keys, size_t n)
{
    rt_tls_sessions_close(tls);
    for (; tls->n_ticket_keys < n; tls->n_ticket_keys++) {
        tls->ticket_keys[tls->n_ticket_keys] = keys[tls->n_ticket_keys];
    }
}

void rt_tls_sessions_offer(SSL *ssl, struct rt_tls_peer *peer)
{
    struct rt_tls *tls = peer->tls;
    size_t i = peer->expects != RT_TLS_ANYBODY ? find(tls, &peer->expect) : tls->n_sessions;
    SSL_SESSION *session;

    if (i == tls->n_sessions) {
        return;
    }
    session = tls->sessions[i].session;
    if (SSL_SESSION_is_resumable(session) != 1 ||
        !rt_tls_still_counts(peer, tls->ctx, SSL_SESSION_get0_peer(session), "ssl_server") ||
        SSL_set_session(ssl, session) != 1) {
        drop(tls, i);
    }
    ERR_clear_error();
}
