/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/pki/folder.h"
#include "clients/cli/pki/x509.h"
#include "session/base/endpoint.h"
#include "session/base/file.h"
#include "session/core/identity.h"

#include <errno.h>
#include <limits.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a CA does: it makes itself, certificates, and the list of those that count no longer. Its domain is in its own
 * certificate, as the URI spiffe://DOMAIN. */

#define CA_DAYS 3650
#define DAY_S 86400
#define CURVE "P-256"
#define SCHEME "spiffe://"

/* A directory's files while they are made; all to be freed by close_made(). */
struct made {
    EVP_PKEY *key;
    X509 *cert;
    BIO *key_pem, *cert_pem, *ca_pem, *crl_pem;
};

static void close_made(struct made *made)
{
    BIO_free(made->crl_pem);
    BIO_free(made->ca_pem);
    BIO_free(made->cert_pem);
    BIO_free(made->key_pem);
    X509_free(made->cert);
    EVP_PKEY_free(made->key);
}

static struct pki_file file_of(const char *name, mode_t mode, BIO *pem)
{
    char *data = NULL;
    long size = BIO_get_mem_data(pem, &data);

    return (struct pki_file){name, mode, data, (size_t)size};
}

/* The key, its certificate, and both as text. */
static int make(struct made *made, struct pki_plan *plan, EVP_PKEY *signer, char why[PKI_WHY_MAX])
{
    made->key = EVP_EC_gen(CURVE);
    plan->key = made->key;
    plan->signer = signer != NULL ? signer : made->key;
    plan->now = time(NULL);
    made->cert = made->key != NULL ? pki_cert_new(plan) : NULL;
    made->key_pem = BIO_new(BIO_s_secmem());
    made->cert_pem = BIO_new(BIO_s_mem());
    if (made->cert == NULL || made->key_pem == NULL || made->cert_pem == NULL ||
        PEM_write_bio_PrivateKey(made->key_pem, made->key, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_X509(made->cert_pem, made->cert) != 1) {
        return pki_fail(why, "the certificate cannot be made");
    }
    return RT_OK;
}

int pki_init(const char *dir, const char *domain, char why[PKI_WHY_MAX])
{
    char uri[RT_IDENTITY_TEXT_MAX];
    struct pki_plan plan = {.uri = uri, .domain = domain, .common = "retether CA", .authority = true};
    struct made made = {0};
    int rc;

    if (!rt_domain_valid(rt_slice_text(domain))) {
        return rt_fail(RT_EINVAL, why, PKI_WHY_MAX, "\"%.256s\" is no domain: it has a-z, digits, and . _ -", domain);
    }
    (void)snprintf(uri, sizeof(uri), SCHEME "%s", domain);
    plan.to = time(NULL) + (time_t)CA_DAYS * DAY_S;
    rc = make(&made, &plan, NULL, why);
    if (rc == RT_OK) {
        const struct pki_file files[] = {file_of(PKI_CA_KEY, 0600, made.key_pem), file_of(PKI_CA, 0644, made.cert_pem)};

        rc = pki_folder_put(dir, files, sizeof(files) / sizeof(files[0]), false, why);
    }
    close_made(&made);
    return rc;
}

/* ---- a CA that is there ---- */

struct ca {
    const char *dir;
    X509 *cert;
    EVP_PKEY *key;
    X509_CRL *crl;             /* NULL: it has revoked nothing */
    char domain[PKI_TEXT_MAX]; /* "" when its certificate names none */
};

static void close_ca(struct ca *ca)
{
    X509_CRL_free(ca->crl);
    EVP_PKEY_free(ca->key);
    X509_free(ca->cert);
}

static int open_ca(struct ca *ca, const char *dir, char why[PKI_WHY_MAX])
{
    char uri[PKI_TEXT_MAX], inner[PKI_WHY_MAX];
    int rc;

    ca->dir = dir;
    rc = pki_load_cert(dir, PKI_CA, &ca->cert, inner);

    rc = rc == RT_OK ? pki_load_key(dir, PKI_CA_KEY, S_IRWXG | S_IRWXO, &ca->key, inner) : rc;
    if (rc == RT_ENOTFOUND) {
        return rt_fail(rc, why, PKI_WHY_MAX, "%.300s; retether pki init %.100s --domain DOMAIN makes a CA", inner, dir);
    }
    if (rc == RT_OK && X509_check_private_key(ca->cert, ca->key) != 1) {
        (void)pki_fail(inner, "");
        rc = rt_fail(RT_EINVAL, inner, sizeof(inner), "%.300s: " PKI_CA_KEY " is not the key of " PKI_CA, dir);
    }
    if (rc == RT_OK) {
        rc = pki_load_crl(dir, PKI_CRL, &ca->crl, inner);
        rc = rc == RT_ENOTFOUND ? RT_OK : rc;
    }
    if (rc != RT_OK) {
        return rt_fail(rc, why, PKI_WHY_MAX, "%s", inner);
    }
    if (!pki_uri(ca->cert, uri, sizeof(uri)) || strncmp(uri, SCHEME, sizeof(SCHEME) - 1) != 0) {
        return rt_fail(RT_EINVAL, why, PKI_WHY_MAX, "%s/" PKI_CA " names no domain: it is not of retether pki init",
                       dir);
    }
    (void)snprintf(ca->domain, sizeof(ca->domain), "%s", uri + sizeof(SCHEME) - 1);
    return RT_OK;
}

static bool is_store(const struct pki_request *request)
{
    return strcmp(request->role, "store") == 0;
}

/* Of `size` bytes: the name of a host, or an IP address. */
static bool is_host(const char *text, size_t size)
{
    bool v6 = memchr(text, ':', size) != NULL;
    char dialled[RT_ENDPOINT_TEXT_MAX], why[PKI_WHY_MAX];
    struct rt_endpoint endpoint;
    int n = snprintf(dialled, sizeof(dialled), "tls:%s%.*s%s:1", v6 ? "[" : "", (int)size, text, v6 ? "]" : "");

    return n < (int)sizeof(dialled) && memchr(text, '%', size) == NULL &&
           rt_endpoint_parse(&endpoint, dialled, why, sizeof(why)) == RT_OK;
}

/* By what a Redis is dialled. */
static int check_names(const char *names, char why[PKI_WHY_MAX])
{
    const char *at = names;
    bool good = names != NULL && strlen(names) < PKI_TEXT_MAX;

    while (good) {
        size_t size = strcspn(at, ",");

        good = is_host(at, size);
        if (at[size] == '\0') {
            break;
        }
        at += size + 1;
    }
    return good ? RT_OK
                : rt_fail(RT_EINVAL, why, PKI_WHY_MAX,
                          "a store has the names and IP addresses by which agents and other servers reach it, with "
                          "commas between them: redis-1.example,192.0.2.1");
}

/* The URI of who is to get a certificate: RT_IDENTITY_TEXT_MAX bytes. */
static int uri_of(const struct pki_request *request, const char *domain, char *uri, char why[PKI_WHY_MAX])
{
    bool named = request->name != NULL;
    struct rt_identity identity;
    char inner[PKI_WHY_MAX / 2] = "";
    struct rt_slice text;
    int n = snprintf(uri, RT_IDENTITY_TEXT_MAX, SCHEME "%s/retether/%s%s%s", domain, request->role, named ? "/" : "",
                     named ? request->name : "");

    if (!named && strcmp(request->role, "operator") != 0) {
        return rt_fail(RT_EINVAL, why, PKI_WHY_MAX,
                       "whose? A name is missing: for an agent its host.name, for a vch or viewer a tenant");
    }
    text = rt_slice_text(uri);
    if (n >= RT_IDENTITY_TEXT_MAX) {
        return rt_fail(RT_EINVAL, why, PKI_WHY_MAX, "the name is too long");
    }
    if (rt_identity_parse(&identity, &text, 1, domain, inner, sizeof(inner)) != RT_OK) {
        return rt_fail(
            RT_EINVAL, why, PKI_WHY_MAX,
            "%s; a role is agent, vch, viewer, store, or operator without a name; a name is a letter or digit, then "
            "up to 63 letters, digits, and . _ -",
            inner);
    }
    return RT_OK;
}

/* Whether `out` is the directory of a certificate for the same, which may be renewed. */
static bool is_of(const char *out, const X509 *fresh)
{
    char found[PKI_TEXT_MAX], wanted[PKI_TEXT_MAX], why[PKI_WHY_MAX];
    bool (*told)(const X509 *cert, char *text, size_t size) =
        pki_uri(fresh, wanted, sizeof(wanted)) ? pki_uri : pki_names;
    X509 *cert = NULL;
    bool same = told(fresh, wanted, sizeof(wanted)) && pki_load_cert(out, PKI_CERT, &cert, why) == RT_OK &&
                told(cert, found, sizeof(found)) && strcmp(found, wanted) == 0;

    X509_free(cert);
    return same;
}

static int put_issued(struct made *made, const struct ca *ca, const char *out, char why[PKI_WHY_MAX])
{
    struct pki_file files[4];
    size_t n = 0;
    int rc;

    /* As they are: an old CA that is still to be trusted may stand behind the new one. */
    rc = pki_load(ca->dir, PKI_CA, &made->ca_pem, why);
    if (rc == RT_OK && ca->crl != NULL) {
        rc = pki_load(ca->dir, PKI_CRL, &made->crl_pem, why);
    }
    if (rc != RT_OK) {
        return rc;
    }
    files[n++] = file_of(PKI_CERT, 0644, made->cert_pem);
    files[n++] = file_of(PKI_KEY, 0600, made->key_pem);
    files[n++] = file_of(PKI_CA, 0644, made->ca_pem);
    if (ca->crl != NULL) {
        files[n++] = file_of(PKI_CRL, 0644, made->crl_pem);
    }
    return pki_folder_put(out, files, n, is_of(out, made->cert), why);
}

static int issue(const struct pki_request *request, const struct ca *ca, const char *out, char why[PKI_WHY_MAX])
{
    char uri[RT_IDENTITY_TEXT_MAX];
    size_t first = strcspn(request->name != NULL ? request->name : "", ",");
    char common[PKI_TEXT_MAX] = "";
    struct pki_plan plan = {.uri = is_store(request) ? NULL : uri,
                            .names = is_store(request) ? request->name : NULL,
                            .domain = ca->domain,
                            .unit = request->role,
                            .common = request->name != NULL ? common : request->role,
                            .server = is_store(request) || strcmp(request->role, "agent") == 0,
                            .to = time(NULL) + (time_t)request->days * DAY_S,
                            .issuer = ca->cert};
    struct made made = {0};
    int rc = is_store(request) ? check_names(request->name, why) : uri_of(request, ca->domain, uri, why);

    (void)snprintf(common, sizeof(common), "%.*s", (int)first, request->name != NULL ? request->name : "");
    if (rc != RT_OK) {
        return rc;
    }
    if ((uint64_t)plan.to * 1000 >= pki_time_ms(X509_get0_notAfter(ca->cert))) {
        return rt_fail(RT_EINVAL, why, PKI_WHY_MAX,
                       "the CA itself ends before: give fewer --days, or make a new CA; retether pki show %s tells",
                       request->ca);
    }
    rc = make(&made, &plan, ca->key, why);
    rc = rc == RT_OK ? put_issued(&made, ca, out, why) : rc;
    close_made(&made);
    return rc;
}

/* Names of hosts are the same in any case; one that is too long stays so. */
static void lower(const char *names, char out[PKI_TEXT_MAX + 1])
{
    (void)snprintf(out, PKI_TEXT_MAX + 1, "%s", names);
    for (char *at = out; *at != '\0'; at++) {
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
    }
}

int pki_issue(const struct pki_request *request, char *out, size_t size, char why[PKI_WHY_MAX])
{
    struct pki_request wanted = *request;
    struct ca ca = {0};
    char names[PKI_TEXT_MAX + 1], name[PKI_TEXT_MAX];
    int rc;

    if (is_store(request) && request->name != NULL) {
        lower(request->name, names);
        wanted.name = names;
    }
    (void)snprintf(name, sizeof(name), "%s%s%.*s", wanted.role, wanted.name != NULL ? "-" : "",
                   wanted.name != NULL ? (int)strcspn(wanted.name, ",") : 0, wanted.name != NULL ? wanted.name : "");
    rc = wanted.out != NULL ? pki_path(out, size, wanted.out, NULL, why) : pki_path(out, size, wanted.ca, name, why);
    rc = rc == RT_OK ? open_ca(&ca, wanted.ca, why) : rc;
    rc = rc == RT_OK ? issue(&wanted, &ca, out, why) : rc;
    close_ca(&ca);
    return rc;
}

/* ---- revoking ---- */

/* The number that `which` stands for; to be freed. */
static int find_serial(const struct ca *ca, const char *which, ASN1_INTEGER **serial, char why[PKI_WHY_MAX])
{
    X509 *cert = NULL;
    int rc = pki_load_cert(which, NULL, &cert, why);

    if (rc == RT_ENOTFOUND) {
        *serial = pki_serial_read(which);
        return *serial != NULL ? RT_OK
                               : rt_fail(RT_EINVAL, why, PKI_WHY_MAX,
                                         "\"%s\" is no file, and no serial number in hex digits", which);
    }
    if (rc != RT_OK) { /* a directory */
        rc = pki_load_cert(which, PKI_CERT, &cert, why);
    }
    if (rc == RT_OK && X509_verify(cert, ca->key) != 1) {
        (void)pki_fail(why, "");
        rc = rt_fail(RT_EINVAL, why, PKI_WHY_MAX, "%s has no certificate of this CA, so this CA cannot revoke it",
                     which);
    }
    *serial = rc == RT_OK ? ASN1_INTEGER_dup(X509_get0_serialNumber(cert)) : NULL;
    X509_free(cert);
    return rc == RT_OK && *serial == NULL ? pki_fail(why, which) : rc;
}

static int put_crl(const char *dir, X509_CRL *crl, char why[PKI_WHY_MAX])
{
    char path[PATH_MAX];
    BIO *pem = BIO_new(BIO_s_mem());
    int rc = pki_path(path, sizeof(path), dir, PKI_CRL, why);

    if (pem == NULL || crl == NULL || PEM_write_bio_X509_CRL(pem, crl) != 1) {
        rc = pki_fail(why, "the revocation list cannot be made");
    } else if (rc == RT_OK) {
        struct pki_file file = file_of(path, 0644, pem);

        if (rt_put_file(file.name, true, file.mode, file.data, file.size) != RT_OK) {
            rc = rt_fail(RT_EIO, why, PKI_WHY_MAX, "%s: %s", path, strerror(errno));
        }
    }
    BIO_free(pem);
    return rc;
}

int pki_revoke(const char *dir, const char *which, char text[PKI_SERIAL_MAX], char why[PKI_WHY_MAX])
{
    ASN1_INTEGER *serial = NULL;
    X509_REVOKED *before = NULL;
    X509_CRL *crl = NULL;
    struct ca ca = {0};
    int rc = open_ca(&ca, dir, why);

    rc = rc == RT_OK ? find_serial(&ca, which, &serial, why) : rc;
    if (rc == RT_OK) {
        (void)pki_serial(serial, text);
        if (ca.crl == NULL || X509_CRL_get0_by_serial(ca.crl, &before, serial) != 1) {
            crl = pki_crl_new(ca.crl, serial, ca.cert, ca.key, time(NULL));
            rc = put_crl(dir, crl, why);
        }
    }
    X509_CRL_free(crl);
    ASN1_INTEGER_free(serial);
    close_ca(&ca);
    return rc;
}
