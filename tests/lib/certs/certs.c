/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/certs/certs.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                              \
            ERR_print_errors_fp(stderr);                                                                               \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static FILE *open_file(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);

    MUST(file != NULL);
    return file;
}

static void add_extension(X509 *cert, const struct certs_ca *by, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, by == NULL ? cert : by->cert, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    MUST(extension != NULL && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static X509 *new_cert(const char *name, EVP_PKEY *key, const struct certs_ca *by, const struct certs_spec *spec)
{
    X509 *cert = X509_new();
    X509_NAME *subject = X509_NAME_new();

    MUST(cert != NULL && subject != NULL && X509_set_version(cert, 2) == 1);
    MUST(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) == 1);
    MUST(X509_set_subject_name(cert, subject) == 1);
    MUST(X509_set_issuer_name(cert, by == NULL ? subject : X509_get_subject_name(by->cert)) == 1);
    MUST(ASN1_INTEGER_set(X509_get_serialNumber(cert), spec->serial) == 1);
    MUST(X509_gmtime_adj(X509_getm_notBefore(cert), spec->from_s) != NULL);
    MUST(X509_gmtime_adj(X509_getm_notAfter(cert), spec->until_s == 0 ? 3600 : spec->until_s) != NULL);
    MUST(X509_set_pubkey(cert, key) == 1);
    add_extension(cert, by, NID_subject_key_identifier, "hash");
    add_extension(cert, by, NID_authority_key_identifier, "keyid:always");
    X509_NAME_free(subject);
    return cert;
}

void certs_ca_init(struct certs_ca *ca, const char *name, const struct certs_ca *by)
{
    struct certs_spec spec = {.from_s = -86400, .until_s = 365L * 86400};

    ca->key = EVP_EC_gen("P-256");
    MUST(ca->key != NULL);
    ca->cert = new_cert(name, ca->key, by, &spec);
    add_extension(ca->cert, by, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(ca->cert, by, NID_key_usage, "critical,keyCertSign,cRLSign");
    MUST(X509_sign(ca->cert, by == NULL ? ca->key : by->key, EVP_sha256()) > 0);
}

void certs_ca_read(struct certs_ca *ca, const char *cert_file, const char *key_file)
{
    FILE *file = open_file(cert_file, "r");

    ca->cert = PEM_read_X509(file, NULL, NULL, NULL);
    MUST(ca->cert != NULL && fclose(file) == 0);
    file = open_file(key_file, "r");
    ca->key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    MUST(ca->key != NULL && fclose(file) == 0);
}

void certs_ca_close(struct certs_ca *ca)
{
    EVP_PKEY_free(ca->key);
    X509_free(ca->cert);
}

void certs_ca_append(const struct certs_ca *ca, const char *path)
{
    FILE *file = open_file(path, "a");

    MUST(PEM_write_X509(file, ca->cert) == 1 && fclose(file) == 0);
}

/* Names as they are given, byte by byte. */
static void add_names(X509 *cert, const struct certs_spec *spec)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();

    for (size_t i = 0; i < spec->n_uris + spec->dns; i++) {
        struct rt_slice text = i < spec->n_uris ? spec->uris[i] : rt_slice_text("host.example");
        ASN1_IA5STRING *string = ASN1_IA5STRING_new();
        GENERAL_NAME *name = GENERAL_NAME_new();
        MUST(ASN1_STRING_set(string, text.data, (int)text.size) == 1);
        GENERAL_NAME_set0_value(name, i < spec->n_uris ? GEN_URI : GEN_DNS, string);
        MUST(sk_GENERAL_NAME_push(names, name) > 0);
    }
    MUST(sk_GENERAL_NAME_num(names) == 0 || X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1);
    GENERAL_NAMES_free(names);
}

void certs_issue(const struct certs_ca *ca, const struct certs_spec *spec)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = new_cert("a peer", key, ca, spec);
    FILE *file;

    add_names(cert, spec);
    if (spec->usage != NULL) {
        add_extension(cert, ca, NID_ext_key_usage, spec->usage);
    }
    MUST(X509_sign(cert, ca->key, EVP_sha256()) > 0);
    file = open_file(spec->cert_file, "w");
    MUST(PEM_write_X509(file, cert) == 1 && fclose(file) == 0);
    file = open_file(spec->key_file, "w");
    MUST(fchmod(fileno(file), 0600) == 0);
    MUST(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(file) == 0);
    X509_free(cert);
    EVP_PKEY_free(key);
}

void certs_issue_uri(const struct certs_ca *ca, const char *uri, const char *cert_file, const char *key_file)
{
    struct certs_spec spec = {
        .cert_file = cert_file, .key_file = key_file, .uris = {rt_slice_text(uri)}, .n_uris = 1, .serial = 2};

    certs_issue(ca, &spec);
}

void certs_crl_append(const struct certs_ca *ca, const long *serials, size_t n, long from_s, long until_s,
                      const char *path)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *at = ASN1_TIME_new();
    FILE *file = open_file(path, "a");

    MUST(crl != NULL && X509_CRL_set_version(crl, 1) == 1);
    MUST(X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert)) == 1);
    MUST(X509_gmtime_adj(at, from_s) != NULL && X509_CRL_set1_lastUpdate(crl, at) == 1);
    MUST(X509_gmtime_adj(at, until_s) != NULL && X509_CRL_set1_nextUpdate(crl, at) == 1);
    for (size_t i = 0; i < n; i++) {
        X509_REVOKED *revoked = X509_REVOKED_new();
        ASN1_INTEGER *serial = ASN1_INTEGER_new();
        MUST(ASN1_INTEGER_set(serial, serials[i]) == 1 && X509_REVOKED_set_serialNumber(revoked, serial) == 1);
        MUST(X509_gmtime_adj(at, -60) != NULL && X509_REVOKED_set_revocationDate(revoked, at) == 1);
        MUST(X509_CRL_add0_revoked(crl, revoked) == 1);
        ASN1_INTEGER_free(serial);
    }
    MUST(X509_CRL_sort(crl) == 1 && X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0);
    MUST(PEM_write_X509_CRL(file, crl) == 1 && fclose(file) == 0);
    ASN1_TIME_free(at);
    X509_CRL_free(crl);
}
