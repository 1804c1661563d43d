/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/pki/x509.h"

#include "session/base/file.h"
#include "session/base/random.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define SERIAL_BYTES 16
/* A subject's parts may have so many characters (RFC 5280, appendix A.1). */
#define PART_MAX 64

int pki_fail(char why[PKI_WHY_MAX], const char *what)
{
    char reason[160] = "";
    int code = RT_EIO;
    unsigned long error;

    while ((error = ERR_get_error()) != 0) {
        code = ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE ? RT_ENOMEM : code;
        if (reason[0] == '\0') {
            const char *text = ERR_reason_error_string(error);

            (void)snprintf(reason, sizeof(reason), ": %s", text != NULL ? text : "OpenSSL does not say why");
        }
    }
    return rt_fail(code, why, PKI_WHY_MAX, "%s%s", what, reason);
}

/* ---- files ---- */

int pki_path(char *out, size_t size, const char *dir, const char *name, char why[PKI_WHY_MAX])
{
    int n = snprintf(out, size, "%s%s%s", dir, name != NULL ? "/" : "", name != NULL ? name : "");

    return n >= 0 && (size_t)n < size ? RT_OK : rt_fail(RT_EINVAL, why, PKI_WHY_MAX, "the path is too long");
}

/* barred: of the file's mode. */
static int load(const char *dir, const char *name, mode_t barred, BIO **pem, char why[PKI_WHY_MAX])
{
    static char text[PKI_FILE_MAX + 1];
    char path[PATH_MAX], lets[PATH_MAX + 32];
    const struct rt_file_rule rule = {.barred = barred, .lets = lets};
    size_t size = 0;
    int rc = pki_path(path, sizeof(path), dir, name, why);

    *pem = NULL;
    if (rc != RT_OK) {
        return rc;
    }
    (void)snprintf(lets, sizeof(lets), "read or write it: chmod 600 %s", path);
    rc = rt_read_ruled(path, &rule, text, sizeof(text), &size, why, PKI_WHY_MAX);
    if (rc == RT_OK) {
        *pem = BIO_new(BIO_s_secmem()); /* wiped when it is freed */
        if (*pem == NULL || BIO_write(*pem, text, (int)size) != (int)size) {
            BIO_free(*pem);
            *pem = NULL;
            rc = pki_fail(why, path);
        }
    }
    OPENSSL_cleanse(text, size);
    return rc;
}

int pki_load(const char *dir, const char *name, BIO **pem, char why[PKI_WHY_MAX])
{
    return load(dir, name, 0, pem, why);
}

/* Asks nobody for a password. */
static int no_password(char *out, int size, int writing, void *ctx)
{
    (void)out, (void)size, (void)writing, (void)ctx;
    return -1;
}

/* The text of a file has been read, or not (rc), and `found` in it, or NULL. */
static int loaded(int rc, BIO *pem, const void *found, const char *dir, const char *name, const char *what,
                  char why[PKI_WHY_MAX])
{
    BIO_free(pem);
    if (rc != RT_OK || found != NULL) {
        ERR_clear_error();
        return rc;
    }
    (void)pki_fail(why, "");
    return rt_fail(RT_EINVAL, why, PKI_WHY_MAX, "%s%s%s holds no %s in PEM form", dir, name != NULL ? "/" : "",
                   name != NULL ? name : "", what);
}

int pki_load_cert(const char *dir, const char *name, X509 **cert, char why[PKI_WHY_MAX])
{
    BIO *pem;
    int rc = pki_load(dir, name, &pem, why);

    *cert = rc == RT_OK ? PEM_read_bio_X509(pem, NULL, no_password, NULL) : NULL;
    return loaded(rc, pem, *cert, dir, name, "certificate", why);
}

int pki_load_certs(const char *dir, const char *name, STACK_OF(X509) * *certs, char why[PKI_WHY_MAX])
{
    X509 *cert;
    BIO *pem;
    int rc = pki_load(dir, name, &pem, why);

    *certs = rc == RT_OK ? sk_X509_new_null() : NULL;
    while (*certs != NULL && (cert = PEM_read_bio_X509(pem, NULL, no_password, NULL)) != NULL) {
        if (sk_X509_push(*certs, cert) <= 0) {
            X509_free(cert);
            break;
        }
    }
    return loaded(rc, pem, sk_X509_num(*certs) > 0 ? *certs : NULL, dir, name, "certificate", why);
}

int pki_load_crl(const char *dir, const char *name, X509_CRL **crl, char why[PKI_WHY_MAX])
{
    BIO *pem;
    int rc = pki_load(dir, name, &pem, why);

    *crl = rc == RT_OK ? PEM_read_bio_X509_CRL(pem, NULL, no_password, NULL) : NULL;
    return loaded(rc, pem, *crl, dir, name, "revocation list", why);
}

int pki_load_crls(const char *dir, const char *name, X509_STORE *store, char why[PKI_WHY_MAX])
{
    X509_CRL *crl = NULL;
    bool any = false, stored = true;
    BIO *pem;
    int rc = pki_load(dir, name, &pem, why);

    while (rc == RT_OK && stored && (crl = PEM_read_bio_X509_CRL(pem, NULL, no_password, NULL)) != NULL) {
        stored = X509_STORE_add_crl(store, crl) == 1;
        any = true;
        X509_CRL_free(crl);
    }
    return loaded(rc, pem, any && stored ? store : NULL, dir, name, "revocation list", why);
}

int pki_load_key(const char *dir, const char *name, mode_t barred, EVP_PKEY **key, char why[PKI_WHY_MAX])
{
    BIO *pem;
    int rc = load(dir, name, barred, &pem, why);

    *key = rc == RT_OK ? PEM_read_bio_PrivateKey(pem, NULL, no_password, NULL) : NULL;
    return loaded(rc, pem, *key, dir, name, "private key (one without a password)", why);
}

/* ---- certificates ---- */

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;
    bool done;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    done = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return done;
}

/* Takes the value, whatever happens. */
static bool push_name(GENERAL_NAMES *names, int kind, ASN1_STRING *value)
{
    GENERAL_NAME *name = GENERAL_NAME_new();

    if (name == NULL || value == NULL || sk_GENERAL_NAME_push(names, name) <= 0) {
        ASN1_STRING_free(value);
        GENERAL_NAME_free(name);
        return false;
    }
    GENERAL_NAME_set0_value(name, kind, value);
    return true;
}

static bool push_text(GENERAL_NAMES *names, int kind, const char *text, size_t size)
{
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();

    if (value == NULL || ASN1_STRING_set(value, text, (int)size) != 1) {
        ASN1_IA5STRING_free(value);
        return false;
    }
    return push_name(names, kind, value);
}

/* A host's name, or its IP address. */
static bool push_host(GENERAL_NAMES *names, const char *text, size_t size)
{
    char copy[PKI_TEXT_MAX];
    ASN1_OCTET_STRING *address;

    (void)snprintf(copy, sizeof(copy), "%.*s", (int)size, text);
    address = a2i_IPADDRESS(copy);
    return address != NULL ? push_name(names, GEN_IPADD, address) : push_text(names, GEN_DNS, text, size);
}

/* Not by add_extension(): a comma in the text would begin another name there. */
static bool add_names(X509 *cert, const struct pki_plan *plan)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    bool done = names != NULL && (plan->uri == NULL || push_text(names, GEN_URI, plan->uri, strlen(plan->uri)));
    const char *at = plan->names != NULL ? plan->names : "";

    while (done && *at != '\0') {
        size_t size = strcspn(at, ",");

        done = push_host(names, at, size);
        at += size + (at[size] == ',');
    }
    done = done && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    return done;
}

static bool add_part(X509_NAME *subject, const char *kind, const char *text)
{
    int size = strlen(text) > PART_MAX ? PART_MAX : (int)strlen(text);

    return X509_NAME_add_entry_by_txt(subject, kind, MBSTRING_UTF8, (const unsigned char *)text, size, -1, 0) == 1;
}

static bool set_names(X509 *cert, const struct pki_plan *plan)
{
    X509_NAME *subject = X509_get_subject_name(cert);

    return add_part(subject, "O", plan->domain) && (plan->unit == NULL || add_part(subject, "OU", plan->unit)) &&
           add_part(subject, "CN", plan->common) &&
           X509_set_issuer_name(cert, plan->issuer != NULL ? X509_get_subject_name(plan->issuer) : subject) == 1;
}

static bool set_serial(ASN1_INTEGER *serial)
{
    uint8_t bytes[SERIAL_BYTES];
    BIGNUM *number;
    bool done;

    do {
        rt_random_fill(NULL, bytes, sizeof(bytes));
    } while (bytes[0] == 0); /* all are of one length */
    number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    done = number != NULL && BN_to_ASN1_INTEGER(number, serial) != NULL;
    BN_free(number);
    return done;
}

static bool add_extensions(X509 *cert, const struct pki_plan *plan)
{
    X509 *issuer = plan->issuer != NULL ? plan->issuer : cert;
    const char *purposes = plan->server ? "serverAuth,clientAuth" : "clientAuth";

    return add_extension(cert, issuer, NID_basic_constraints,
                         plan->authority ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE") &&
           add_extension(cert, issuer, NID_key_usage,
                         plan->authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature") &&
           (plan->authority || add_extension(cert, issuer, NID_ext_key_usage, purposes)) &&
           add_extension(cert, issuer, NID_subject_key_identifier, "hash") &&
           add_extension(cert, issuer, NID_authority_key_identifier, "keyid:always") && add_names(cert, plan);
}

X509 *pki_cert_new(const struct pki_plan *plan)
{
    X509 *cert = X509_new();

    if (cert == NULL || X509_set_version(cert, X509_VERSION_3) != 1 || !set_serial(X509_get_serialNumber(cert)) ||
        !set_names(cert, plan) || ASN1_TIME_set(X509_getm_notBefore(cert), plan->now - PKI_SKEW_S) == NULL ||
        ASN1_TIME_set(X509_getm_notAfter(cert), plan->to) == NULL || X509_set_pubkey(cert, plan->key) != 1 ||
        !add_extensions(cert, plan) || X509_sign(cert, plan->signer, EVP_sha256()) == 0) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

/* ---- revocation lists ---- */

/* Numbers are taken over with the times at which they were revoked. */
static bool take_over(X509_CRL *crl, X509_CRL *old)
{
    STACK_OF(X509_REVOKED) *list = old != NULL ? X509_CRL_get_REVOKED(old) : NULL;

    for (int i = 0; i < sk_X509_REVOKED_num(list); i++) {
        X509_REVOKED *copy = X509_REVOKED_dup(sk_X509_REVOKED_value(list, i));

        if (copy == NULL || X509_CRL_add0_revoked(crl, copy) != 1) {
            X509_REVOKED_free(copy);
            return false;
        }
    }
    return true;
}

static bool add_serial(X509_CRL *crl, const ASN1_INTEGER *serial, const ASN1_TIME *at)
{
    X509_REVOKED *one = X509_REVOKED_new();

    if (one == NULL || X509_REVOKED_set_serialNumber(one, (ASN1_INTEGER *)(uintptr_t)serial) != 1 ||
        X509_REVOKED_set_revocationDate(one, (ASN1_TIME *)(uintptr_t)at) != 1 || X509_CRL_add0_revoked(crl, one) != 1) {
        X509_REVOKED_free(one);
        return false;
    }
    return true;
}

/* Its number, one above the last, and whose key signed it (RFC 5280, 5.2). */
static bool add_crl_extensions(X509_CRL *crl, X509_CRL *old, X509 *ca)
{
    ASN1_INTEGER *number = old != NULL ? X509_CRL_get_ext_d2i(old, NID_crl_number, NULL, NULL) : NULL;
    ASN1_INTEGER *next = ASN1_INTEGER_new();
    X509_EXTENSION *key;
    X509V3_CTX ctx;
    uint64_t last = 0;
    bool done;

    (void)(number != NULL && ASN1_INTEGER_get_uint64(&last, number));
    X509V3_set_ctx(&ctx, ca, NULL, NULL, crl, 0);
    key = X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always");
    done = key != NULL && X509_CRL_add_ext(crl, key, -1) == 1 && next != NULL &&
           ASN1_INTEGER_set_uint64(next, last + 1) == 1 &&
           X509_CRL_add1_ext_i2d(crl, NID_crl_number, next, 0, X509V3_ADD_DEFAULT) == 1;
    X509_EXTENSION_free(key);
    ASN1_INTEGER_free(number);
    ASN1_INTEGER_free(next);
    return done;
}

X509_CRL *pki_crl_new(X509_CRL *old, const ASN1_INTEGER *serial, X509 *ca, EVP_PKEY *signer, time_t now)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *at = ASN1_TIME_set(NULL, now);
    ASN1_TIME *from = ASN1_TIME_set(NULL, now - PKI_SKEW_S);
    bool done = crl != NULL && at != NULL && from != NULL && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
                X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca)) == 1 &&
                X509_CRL_set1_lastUpdate(crl, from) == 1 &&
                X509_CRL_set1_nextUpdate(crl, X509_get0_notAfter(ca)) == 1 && take_over(crl, old) &&
                add_serial(crl, serial, at) && X509_CRL_sort(crl) == 1 && add_crl_extensions(crl, old, ca) &&
                X509_CRL_sign(crl, signer, EVP_sha256()) != 0;

    ASN1_TIME_free(from);
    ASN1_TIME_free(at);
    if (!done) {
        X509_CRL_free(crl);
        return NULL;
    }
    return crl;
}

/* ---- what they say ---- */

bool pki_uri(const X509 *cert, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    unsigned found = 0;

    out[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_URI) {
            const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
            size_t length = (size_t)ASN1_STRING_length(uri);

            found += length < size && memchr(ASN1_STRING_get0_data(uri), '\0', length) == NULL ? 1 : 2;
            (void)snprintf(out, size, "%.*s", (int)length, (const char *)ASN1_STRING_get0_data(uri));
        }
    }
    GENERAL_NAMES_free(names);
    if (found != 1) {
        out[0] = '\0';
    }
    return found == 1;
}

/* An IP address of a certificate as text. */
static void address_text(const ASN1_OCTET_STRING *address, char *out, size_t size)
{
    int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;

    if ((family == AF_INET6 && ASN1_STRING_length(address) != 16) ||
        inet_ntop(family, ASN1_STRING_get0_data(address), out, (socklen_t)size) == NULL) {
        (void)snprintf(out, size, "?");
    }
}

bool pki_names(const X509 *cert, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && used < size; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        char address[INET6_ADDRSTRLEN];
        const char *text = address;
        int length;

        if (name->type == GEN_IPADD) {
            address_text(name->d.iPAddress, address, sizeof(address));
            length = (int)strlen(address);
        } else if (name->type == GEN_DNS) {
            text = (const char *)ASN1_STRING_get0_data(name->d.dNSName);
            length = ASN1_STRING_length(name->d.dNSName);
        } else {
            continue;
        }
        used += (size_t)snprintf(out + used, size - used, "%s%.*s", used > 0 ? "," : "", length, text);
    }
    GENERAL_NAMES_free(names);
    if (used >= size) {
        out[0] = '\0';
    }
    return used > 0 && used < size;
}

bool pki_serial(const ASN1_INTEGER *serial, char out[PKI_SERIAL_MAX])
{
    BIGNUM *number = ASN1_INTEGER_to_BN(serial, NULL);
    char *hex = number != NULL ? BN_bn2hex(number) : NULL;
    bool fits = hex != NULL && strlen(hex) < PKI_SERIAL_MAX;

    (void)snprintf(out, PKI_SERIAL_MAX, "%s", fits ? hex : "");
    OPENSSL_free(hex);
    BN_free(number);
    return fits;
}

ASN1_INTEGER *pki_serial_read(const char *text)
{
    char hex[PKI_SERIAL_MAX];
    BIGNUM *number = NULL;
    ASN1_INTEGER *serial;
    size_t n = 0;

    for (; *text != '\0'; text++) {
        if (*text != ':' && (strchr("0123456789abcdefABCDEF", *text) == NULL || n == sizeof(hex) - 1)) {
            return NULL;
        }
        if (*text != ':') {
            hex[n++] = *text;
        }
    }
    hex[n] = '\0';
    serial = n > 0 && BN_hex2bn(&number, hex) > 0 ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
    BN_free(number);
    return serial;
}

uint64_t pki_time_ms(const ASN1_TIME *at)
{
    struct tm tm;
    time_t seconds;

    if (ASN1_TIME_to_tm(at, &tm) != 1 || (seconds = timegm(&tm)) < 0) {
        return 0;
    }
    return (uint64_t)seconds * 1000;
}
