/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/tls/files.h"

#include "session/base/file.h"
#include "session/tls/verify.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define BEGIN "-----BEGIN "
/* Of the place of a block in words. */
#define BLOCK_MAX 24

/* A file as it is read, and where to say what is wrong with it. */
struct file {
    const char *path;
    char *why;
    size_t why_size;
    char *text;  /* owned, RT_TLS_FILE_MAX + 1 bytes; wiped, as it may be a key */
    size_t size; /* bytes of text */
    BIO *bio;    /* owned: over text */
};

static int wrong(const struct file *file, int code, const char *what)
{
    return rt_fail(code, file->why, file->why_size, "%s: %s", file->path, what);
}

/* "line N: ", where the block begins that OpenSSL has read last, or could not read: a file may have several. Empty when
 * it has found none. */
static const char *block(const struct file *file, char out[BLOCK_MAX])
{
    const char *end = file->text + file->size - BIO_ctrl_pending(file->bio);
    unsigned line = 1, found = 0;

    for (const char *at = file->text; at < end; line++) {
        const char *next = memchr(at, '\n', (size_t)(end - at));

        if ((size_t)(end - at) >= strlen(BEGIN) && memcmp(at, BEGIN, strlen(BEGIN)) == 0) {
            found = line;
        }
        at = next == NULL ? end : next + 1;
    }
    out[0] = '\0';
    if (found > 0) {
        (void)snprintf(out, BLOCK_MAX, "line %u: ", found);
    }
    return out;
}

static int wrong_block(const struct file *file, const char *what)
{
    char where[BLOCK_MAX];

    return rt_fail(RT_ECONFIG, file->why, file->why_size, "%s: %s%s", file->path, block(file, where), what);
}

/* Empties OpenSSL's queue. */
static int wrong_pem(const struct file *file, const char *what)
{
    unsigned long error = ERR_peek_error();
    const char *text = ERR_reason_error_string(error);
    bool none = ERR_GET_REASON(error) == PEM_R_NO_START_LINE; /* of this kind */
    char where[BLOCK_MAX];

    ERR_clear_error();
    if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE) {
        return wrong(file, RT_ENOMEM, rt_strerror(RT_ENOMEM));
    }
    return rt_fail(RT_ECONFIG, file->why, file->why_size, "%s: %s%s%s%s", file->path, none ? "" : block(file, where),
                   what, text == NULL ? "" : ": ", text == NULL ? "" : text);
}

static int open_file(struct file *file, bool secret)
{
    const struct rt_file_rule rule = {secret ? S_IRWXO : 0, "read or write it: chmod 600, and make a new key", false};
    int rc;

    file->text = malloc(RT_TLS_FILE_MAX + 1);
    if (file->text == NULL) {
        return wrong(file, RT_ENOMEM, rt_strerror(RT_ENOMEM));
    }
    rc = rt_read_ruled(file->path, &rule, file->text, RT_TLS_FILE_MAX + 1, &file->size, file->why, file->why_size);
    if (rc != 0) {
        return rc;
    }
    file->bio = BIO_new_mem_buf(file->text, (int)file->size);
    return file->bio == NULL ? wrong_pem(file, "no memory") : 0;
}

static void close_file(struct file *file)
{
    BIO_free(file->bio);
    if (file->text != NULL) {
        OPENSSL_cleanse(file->text, file->size);
        free(file->text);
    }
}

/* For keys behind a password: nobody is asked for it. */
static int no_password(char *buf, int size, int writing, void *data)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)data;
    return -1;
}

/* The next certificate, or NULL: at the end, with *rc 0, or for an error. */
static X509 *next_cert(struct file *file, int n, int *rc)
{
    X509 *cert = PEM_read_bio_X509(file->bio, NULL, no_password, NULL);

    *rc = 0;
    if (cert != NULL && n == RT_TLS_FILE_ITEMS_MAX) {
        X509_free(cert);
        *rc = wrong_block(file, "too many certificates");
        return NULL;
    }
    if (cert == NULL && (n == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)) {
        *rc = wrong_pem(file, "no certificate");
    }
    ERR_clear_error();
    return cert;
}

/* Whether we can show it to anybody. */
static int check_own(const struct file *file, const X509 *cert, const char *domain, struct rt_tls *tls)
{
    char why[RT_TLS_WHY_MAX], where[BLOCK_MAX];

    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) {
        return wrong_block(file, "the certificate has expired");
    }
    if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) {
        return wrong_block(file, "the certificate is not valid yet");
    }
    if (tls->by_name) {
        return 0;
    }
    if (domain != NULL) {
        (void)snprintf(tls->domain, sizeof(tls->domain), "%s", domain);
    } else {
        rt_tls_domain(cert, tls->domain);
    }
    if (rt_tls_identity(cert, tls->domain, &tls->own, why, sizeof(why)) != 0) {
        return rt_fail(RT_ECONFIG, file->why, file->why_size, "%s: %sthe certificate has %s", file->path,
                       block(file, where), why);
    }
    return 0;
}

static int read_chain(SSL_CTX *ctx, struct file *file, const char *domain, struct rt_tls *tls)
{
    X509 *cert;
    int rc;

    for (int n = 0; (cert = next_cert(file, n, &rc)) != NULL && rc == 0; n++) {
        if (n == 0) {
            rc = check_own(file, cert, domain, tls);
            if (rc == 0 && SSL_CTX_use_certificate(ctx, cert) != 1) {
                rc = wrong_pem(file, "the certificate cannot be used");
            }
        } else if (SSL_CTX_add1_chain_cert(ctx, cert) != 1) {
            rc = wrong_pem(file, "the chain cannot be used");
        }
        X509_free(cert);
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}

static int read_key(SSL_CTX *ctx, struct file *file, const char *cert_file)
{
    EVP_PKEY *key = PEM_read_bio_PrivateKey(file->bio, NULL, no_password, NULL);
    int rc = 0;

    if (key == NULL) {
        return wrong_pem(file, "no private key, or one behind a password");
    }
    if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
        ERR_clear_error();
        rc = rt_fail(RT_ECONFIG, file->why, file->why_size, "%s: not the key of %s", file->path, cert_file);
    }
    EVP_PKEY_free(key);
    return rc;
}

int rt_tls_read_own(SSL_CTX *ctx, const struct rt_tls_settings *settings, struct rt_tls *tls, char *why,
                    size_t why_size)
{
    struct file chain = {.path = settings->cert_file, .why = why, .why_size = why_size};
    struct file key = {.path = settings->key_file, .why = why, .why_size = why_size};
    int rc = open_file(&chain, false);

    if (rc == 0) {
        rc = read_chain(ctx, &chain, settings->domain, tls);
    }
    if (rc == 0) {
        rc = open_file(&key, true);
    }
    if (rc == 0) {
        rc = read_key(ctx, &key, settings->cert_file);
    }
    close_file(&chain);
    close_file(&key);
    return rc;
}

static int read_cas(X509_STORE *store, struct file *file)
{
    X509 *cert;
    int rc;

    for (int n = 0; (cert = next_cert(file, n, &rc)) != NULL; n++) {
        if (X509_check_ca(cert) == 0) {
            rc = wrong_block(file, "the certificate is none of a CA");
        } else if (X509_STORE_add_cert(store, cert) != 1) {
            rc = wrong_pem(file, "the certificate cannot be used");
        }
        X509_free(cert);
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}

static int read_crls(X509_STORE *store, struct file *file, STACK_OF(X509_CRL) * crls)
{
    X509_CRL *crl;

    while ((crl = PEM_read_bio_X509_CRL(file->bio, NULL, no_password, NULL)) != NULL) {
        const ASN1_TIME *until = X509_CRL_get0_nextUpdate(crl);
        const char *bad = NULL;
        if (sk_X509_CRL_num(crls) == RT_TLS_FILE_ITEMS_MAX) {
            bad = "too many CRLs";
        } else if (X509_cmp_current_time(X509_CRL_get0_lastUpdate(crl)) > 0) {
            bad = "the CRL is not valid yet";
        } else if (until != NULL && X509_cmp_current_time(until) < 0) {
            bad = "the CRL has expired";
        } else if (X509_STORE_add_crl(store, crl) != 1 || sk_X509_CRL_push(crls, crl) == 0) {
            bad = rt_strerror(RT_ENOMEM);
        }
        if (bad != NULL) {
            X509_CRL_free(crl);
            ERR_clear_error();
            return wrong_block(file, bad);
        }
    }
    if (sk_X509_CRL_num(crls) == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        return wrong_pem(file, "no CRL");
    }
    ERR_clear_error();
    return 0;
}

/* A CA without its CRL would let nobody in: that is told now, not to each of its holders. */
static int check_crls(X509_STORE *store, const struct file *file, STACK_OF(X509_CRL) * crls)
{
    STACK_OF(X509) *cas = X509_STORE_get1_all_certs(store);
    char name[128];
    int rc = cas == NULL ? wrong(file, RT_ENOMEM, rt_strerror(RT_ENOMEM)) : 0;

    for (int i = 0; i < sk_X509_num(cas) && rc == 0; i++) {
        X509 *ca = sk_X509_value(cas, i);
        int k = 0;
        while (k < sk_X509_CRL_num(crls) && X509_CRL_verify(sk_X509_CRL_value(crls, k), X509_get0_pubkey(ca)) != 1) {
            k++;
        }
        if (k == sk_X509_CRL_num(crls)) {
            (void)X509_NAME_oneline(X509_get_subject_name(ca), name, sizeof(name));
            rc = rt_fail(RT_ECONFIG, file->why, file->why_size, "%s: no CRL of %s", file->path, name);
        }
    }
    ERR_clear_error();
    sk_X509_pop_free(cas, X509_free);
    return rc;
}

int rt_tls_read_trust(SSL_CTX *ctx, const struct rt_tls_settings *settings, char *why, size_t why_size)
{
    struct file cas = {.path = settings->ca_file, .why = why, .why_size = why_size};
    struct file revoked = {.path = settings->crl_file, .why = why, .why_size = why_size};
    STACK_OF(X509_CRL) *crls = NULL;
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    int rc = open_file(&cas, false);

    if (rc == 0) {
        rc = read_cas(store, &cas);
    }
    if (rc == 0 && settings->crl_file != NULL) {
        crls = sk_X509_CRL_new_null();
        rc = open_file(&revoked, false);
        if (rc == 0) {
            rc = read_crls(store, &revoked, crls);
        }
        if (rc == 0) {
            rc = check_crls(store, &revoked, crls);
        }
        (void)X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    }
    sk_X509_CRL_pop_free(crls, X509_CRL_free);
    close_file(&cas);
    close_file(&revoked);
    return rc;
}
