/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/pki/folder.h"
#include "clients/cli/pki/x509.h"
#include "session/base/text.h"
#include "session/core/identity.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A certificate, and what stands beside it, as one who is to use it wants to know it. */

__attribute__((format(printf, 2, 3))) static void problem(struct pki_view *view, const char *format, ...)
{
    va_list args;

    if (view->n_problems < PKI_PROBLEMS_MAX) {
        va_start(args, format);
        (void)vsnprintf(view->problem[view->n_problems++], PKI_TEXT_MAX, format, args);
        va_end(args);
    }
}

/* ---- what it says ---- */

static void name_text(const X509_NAME *name, char *out, size_t size)
{
    BIO *text = BIO_new(BIO_s_mem());
    char *data = NULL;
    long n;

    out[0] = '\0';
    /* RFC 2253, with what is not ASCII and what is a control escaped. */
    if (text != NULL && X509_NAME_print_ex(text, name, 0, XN_FLAG_ONELINE & ~(unsigned long)XN_FLAG_SPC_EQ) >= 0) {
        n = BIO_get_mem_data(text, &data);
        (void)snprintf(out, size, "%.*s", (int)n, data);
    }
    BIO_free(text);
}

static void key_text(X509 *cert, char *out, size_t size)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);
    char group[24] = "";

    if (key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
        EVP_PKEY_get_utf8_string_param(key, "group", group, sizeof(group), NULL) == 1) {
        const char *nist = EC_curve_nid2nist(OBJ_txt2nid(group));

        (void)snprintf(out, size, "EC %s", nist != NULL ? nist : group);
    } else if (key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
        (void)snprintf(out, size, "RSA %d", EVP_PKEY_get_bits(key));
    } else if (key != NULL) {
        (void)snprintf(out, size, "%s", OBJ_nid2sn(EVP_PKEY_get_base_id(key)));
    }
    ERR_clear_error();
}

/* Who it is, in whatever domain. */
static void read_identity(struct pki_view *view, const char *uri)
{
    static const char scheme[] = "spiffe://";
    struct rt_slice text = rt_slice_text(uri);
    struct rt_identity identity;
    char domain[PKI_TEXT_MAX] = "", why[PKI_TEXT_MAX / 2] = "";
    const char *role;

    if (strncmp(uri, scheme, sizeof(scheme) - 1) == 0) {
        uri += sizeof(scheme) - 1;
        (void)snprintf(domain, sizeof(domain), "%.*s", (int)strcspn(uri, "/"), uri);
    }
    if (rt_identity_parse(&identity, &text, 1, domain, why, sizeof(why)) != RT_OK) {
        problem(view, "%s; spiffe://DOMAIN/retether/ROLE/NAME is wanted", why);
        return;
    }
    role = uri + strlen(domain) + sizeof("/retether/") - 1;
    (void)snprintf(view->role, sizeof(view->role), "%.*s", (int)strcspn(role, "/"), role);
    (void)snprintf(view->name, sizeof(view->name), "%s", identity.name);
}

static void read_cert(struct pki_view *view, X509 *cert)
{
    char uri[PKI_TEXT_MAX];
    bool one = pki_uri(cert, uri, sizeof(uri));

    (void)rt_text_copy(rt_slice_text(uri), view->identity, sizeof(view->identity)); /* whoever made it */
    name_text(X509_get_subject_name(cert), view->subject, sizeof(view->subject));
    name_text(X509_get_issuer_name(cert), view->issuer, sizeof(view->issuer));
    (void)pki_serial(X509_get0_serialNumber(cert), view->serial);
    key_text(cert, view->key, sizeof(view->key));
    view->from_ms = pki_time_ms(X509_get0_notBefore(cert));
    view->to_ms = pki_time_ms(X509_get0_notAfter(cert));
    if (X509_check_ca(cert) == 1) {
        (void)snprintf(view->role, sizeof(view->role), "ca");
    } else if (uri[0] == '\0' && pki_names(cert, view->name, sizeof(view->name))) {
        (void)snprintf(view->role, sizeof(view->role), "store");
    } else if (!one) {
        problem(view, "it has no URI, or several: exactly one is wanted, spiffe://DOMAIN/retether/ROLE/NAME");
    } else {
        read_identity(view, uri);
    }
}

static void check_time(struct pki_view *view, uint64_t wall_ms)
{
    if (wall_ms < view->from_ms) {
        problem(view, "it is not good yet: is this host's clock right?");
    } else if (wall_ms >= view->to_ms) {
        problem(view, "it has expired");
    }
}

/* ---- what stands beside it ---- */

static void check_key(struct pki_view *view, X509 *cert, const char *dir, const char *name)
{
    char why[PKI_WHY_MAX];
    EVP_PKEY *key;

    /* A group may read it: so a service manager hands a key over. */
    if (pki_load_key(dir, name, S_IRWXO, &key, why) != RT_OK) {
        problem(view, "%.300s", why);
        return;
    }
    view->key_fits = X509_check_private_key(cert, key) == 1 ? PKI_YES : PKI_NO;
    if (view->key_fits == PKI_NO) {
        problem(view, "%s is the key of another certificate", name);
    }
    ERR_clear_error();
    EVP_PKEY_free(key);
}

/* Whether a peer that holds what is in the store takes it. When it has expired, which is told apart, no time is looked
 * at. */
static void verify(struct pki_view *view, X509 *cert, X509_STORE *store, STACK_OF(X509) * chain, bool crl,
                   uint64_t wall_ms)
{
    bool serves = strcmp(view->role, "agent") == 0 || strcmp(view->role, "store") == 0;
    bool timely = wall_ms >= view->from_ms && wall_ms < view->to_ms;
    const int purposes[] = {X509_PURPOSE_SSL_CLIENT, X509_PURPOSE_SSL_SERVER};
    unsigned long flags = crl ? X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL : 0;
    size_t before = view->n_problems;

    view->trusted = PKI_YES;
    for (int i = 0; i < (serves ? 2 : 1) && view->n_problems == before; i++) {
        X509_STORE_CTX *ctx = X509_STORE_CTX_new();
        int error = X509_V_ERR_OUT_OF_MEM;

        if (ctx != NULL && X509_STORE_CTX_init(ctx, store, cert, chain) == 1) {
            X509_STORE_CTX_set_time(ctx, 0, (time_t)(wall_ms / 1000));
            X509_STORE_CTX_set_flags(ctx, flags | (timely ? 0 : X509_V_FLAG_NO_CHECK_TIME));
            (void)X509_STORE_CTX_set_purpose(ctx, purposes[i]);
            error = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
        }
        if (error == X509_V_ERR_CERT_REVOKED) {
            view->revoked = PKI_YES;
            problem(view, "it is revoked: " PKI_CRL " has its serial number");
        } else if (error != X509_V_OK) {
            view->trusted = PKI_NO;
            problem(view, "no peer takes it by " PKI_CA "%s: %s", crl ? " and " PKI_CRL : "",
                    X509_verify_cert_error_string(error));
        } else if (crl) {
            view->revoked = PKI_NO;
        }
        X509_STORE_CTX_free(ctx);
    }
    ERR_clear_error();
}

static void check_chain(struct pki_view *view, X509 *cert, const char *dir, uint64_t wall_ms)
{
    STACK_OF(X509) *trusted = NULL, *sent = NULL;
    X509_STORE *store = X509_STORE_new();
    bool crl = false;
    char why[PKI_WHY_MAX] = "";
    int rc = store != NULL ? pki_load_certs(dir, PKI_CERT, &sent, why) : RT_ENOMEM;

    rc = rc == RT_OK ? pki_load_certs(dir, PKI_CA, &trusted, why) : rc;
    if (rc == RT_OK) {
        rc = pki_load_crls(dir, PKI_CRL, store, why);
        crl = rc == RT_OK;
        rc = rc == RT_ENOTFOUND ? RT_OK : rc;
    }
    for (int i = 0; i < sk_X509_num(trusted) && rc == RT_OK; i++) {
        rc = X509_STORE_add_cert(store, sk_X509_value(trusted, i)) == 1 ? RT_OK : pki_fail(why, PKI_CA);
    }
    if (rc == RT_OK) {
        verify(view, cert, store, sent, crl, wall_ms);
    } else {
        problem(view, "%.300s", why);
    }
    X509_STORE_free(store);
    sk_X509_pop_free(sent, X509_free);
    sk_X509_pop_free(trusted, X509_free);
}

int pki_look(const char *path, uint64_t wall_ms, struct pki_view *view, char why[PKI_WHY_MAX])
{
    char file[PATH_MAX];
    const char *name = NULL;
    struct stat st;
    X509 *cert;
    int rc;

    memset(view, 0, sizeof(*view));
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        rc = pki_path(file, sizeof(file), path, PKI_CA_KEY, why);
        if (rc != RT_OK) {
            return rc;
        }
        name = access(file, F_OK) == 0 ? PKI_CA : PKI_CERT;
    }
    rc = pki_load_cert(path, name, &cert, why);
    if (rc != RT_OK) {
        return rc;
    }
    (void)snprintf(view->path, sizeof(view->path), "%s%s%s", path, name != NULL ? "/" : "", name != NULL ? name : "");
    read_cert(view, cert);
    check_time(view, wall_ms);
    if (name != NULL) {
        bool ca = strcmp(name, PKI_CA) == 0;

        check_key(view, cert, path, ca ? PKI_CA_KEY : PKI_KEY);
        if (!ca) {
            check_chain(view, cert, path, wall_ms);
        }
    }
    X509_free(cert);
    return RT_OK;
}
