/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_PKI_X509_H
#define RETETHER_CLIENTS_CLI_PKI_X509_H

#include "clients/cli/pki/pki.h"

#include <openssl/bio.h>
#include <openssl/x509.h>
#include <sys/types.h>
#include <time.h>

/* Keys, certificates and revocation lists (RFC 5280), and their files. OpenSSL's failures become one of our codes and a
 * sentence here; its error queue is left empty. */

/* Bytes of a file that is read; a longer one is refused. */
#define PKI_FILE_MAX 65536
/* What is made is good from so long ago: clocks differ. */
#define PKI_SKEW_S 3600

/* Empties OpenSSL's queue into `why`, behind what failed. */
int pki_fail(char why[PKI_WHY_MAX], const char *what);

/* "DIR/NAME", or DIR where name is NULL. RT_EINVAL when it is too long. */
RT_MUST_CHECK int pki_path(char *out, size_t size, const char *dir, const char *name, char why[PKI_WHY_MAX]);

/* Reads the text of a file; to be freed. RT_ENOTFOUND: there is none. */
RT_MUST_CHECK int pki_load(const char *dir, const char *name, BIO **pem, char why[PKI_WHY_MAX]);
/* Read a PEM file, whose path is as of pki_path(); what they give is to be freed, also after an error (NULL then, or
 * empty). RT_ENOTFOUND: there is no such file. RT_EAUTH: the file of the key has a permission that is barred. */
RT_MUST_CHECK int pki_load_cert(const char *dir, const char *name, X509 **cert, char why[PKI_WHY_MAX]);
RT_MUST_CHECK int pki_load_certs(const char *dir, const char *name, STACK_OF(X509) * *certs, char why[PKI_WHY_MAX]);
RT_MUST_CHECK int pki_load_key(const char *dir, const char *name, mode_t barred, EVP_PKEY **key, char why[PKI_WHY_MAX]);
RT_MUST_CHECK int pki_load_crl(const char *dir, const char *name, X509_CRL **crl, char why[PKI_WHY_MAX]);
/* All lists of a file, into the store. */
RT_MUST_CHECK int pki_load_crls(const char *dir, const char *name, X509_STORE *store, char why[PKI_WHY_MAX]);

struct pki_plan {
    const char *uri;                    /* its only one; NULL: it has names */
    const char *names;                  /* of hosts, and IP addresses; commas between them */
    const char *domain, *unit, *common; /* of its subject; unit may be NULL */
    bool authority, server;             /* a CA; one that serves, besides being a client */
    time_t now, to;                     /* from PKI_SKEW_S before now */
    X509 *issuer;                       /* NULL: itself */
    EVP_PKEY *key;                      /* whose certificate it is */
    EVP_PKEY *signer;                   /* the issuer's key */
};

/* NULL with OpenSSL's reasons queued; to be freed. */
X509 *pki_cert_new(const struct pki_plan *plan);
/* The list of a CA with one more number in it, which holds until the CA ends: one that runs out would shut everybody
 * out. old: the list before; NULL: there was none. */
X509_CRL *pki_crl_new(X509_CRL *old, const ASN1_INTEGER *serial, X509 *ca, EVP_PKEY *signer, time_t now);

/* The only URI among a certificate's names, of at most size - 1 bytes. Returns false when it has none, several, or one
 * that is too long or holds a NUL. */
bool pki_uri(const X509 *cert, char *out, size_t size);
/* Its names of hosts and IP addresses, with commas between them, of at most size - 1 bytes. Returns false when it has
 * none, or they are too long. */
bool pki_names(const X509 *cert, char *out, size_t size);
/* Hex digits, two for a byte. Returns false when the number is longer. */
bool pki_serial(const ASN1_INTEGER *serial, char out[PKI_SERIAL_MAX]);
/* The other way round, with or without colons; NULL: it is no such number. To be freed. */
ASN1_INTEGER *pki_serial_read(const char *text);
/* 0 for a time that cannot be read. */
uint64_t pki_time_ms(const ASN1_TIME *at);

#endif
