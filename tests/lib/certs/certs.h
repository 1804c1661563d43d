/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_LIB_CERTS_CERTS_H
#define RETETHER_TESTS_LIB_CERTS_CERTS_H

#include "session/base/slice.h"

#include <stdbool.h>
#include <stddef.h>

/* CAs, certificates (EC P-256) and CRLs, made on the spot, as PEM files. What fails aborts. */

struct evp_pkey_st;
struct x509_st;

struct certs_ca {
    struct evp_pkey_st *key; /* owned */
    struct x509_st *cert;    /* owned */
};

/* A CA of this common name; by: NULL for a root. */
void certs_ca_init(struct certs_ca *ca, const char *name, const struct certs_ca *by);
/* One that was made before. */
void certs_ca_read(struct certs_ca *ca, const char *cert_file, const char *key_file);
void certs_ca_close(struct certs_ca *ca);
/* Its certificate, behind what the file has. */
void certs_ca_append(const struct certs_ca *ca, const char *file);

#define CERTS_URIS_MAX 3

/* All zero but the file names: a good certificate for the next hour that names nobody. */
struct certs_spec {
    const char *cert_file, *key_file; /* the key gets mode 0600 */
    struct rt_slice uris[CERTS_URIS_MAX];
    size_t n_uris;
    bool dns;             /* it names a host too */
    long from_s, until_s; /* from now on; until_s 0: 3600 */
    long serial;
    const char *usage; /* extended key usage, or NULL: any */
};

void certs_issue(const struct certs_ca *ca, const struct certs_spec *spec);
/* One for this URI. */
void certs_issue_uri(const struct certs_ca *ca, const char *uri, const char *cert_file, const char *key_file);

/* A CRL, behind what the file has: until_s from now on. */
void certs_crl_append(const struct certs_ca *ca, const long *serials, size_t n, long from_s, long until_s,
                      const char *file);

#endif
