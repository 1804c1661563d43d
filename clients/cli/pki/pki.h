/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_PKI_PKI_H
#define RETETHER_CLIENTS_CLI_PKI_PKI_H

#include "session/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A CA for a lab, and what it signs. A certificate names one party of the domain D in its only URI:
 *
 *     spiffe://D/retether/agent/HOST     an agent
 *     spiffe://D/retether/vch/TENANT     a VCH of this tenant
 *     spiffe://D/retether/viewer/TENANT  one who only looks
 *     spiffe://D/retether/operator       one who runs the cluster
 *
 * That of a Redis or a Sentinel names nobody of the domain, but hosts and IP addresses.
 *
 * A directory of certificates, as --tls takes it, has cert.pem, key.pem, ca.pem, and crl.pem once something is revoked.
 * The CA's own directory has ca.pem, ca-key.pem, crl.pem. All keys are EC P-256.
 *
 * A function that fails has changed nothing, and puts a sentence into `why`. */

/* Bytes of a sentence that says why; it is cut there. */
#define PKI_WHY_MAX 512
/* Days that a certificate may be good for, at most. */
#define PKI_DAYS_MAX 3650
#define PKI_DAYS_DEFAULT 90
/* Days before its end from which a certificate should be renewed. */
#define PKI_DAYS_WARN 14

/* Makes the directory of a CA for the domain. RT_EEXIST when it is there and not empty. RT_EINVAL, RT_EIO. */
RT_MUST_CHECK int pki_init(const char *dir, const char *domain, char why[PKI_WHY_MAX]);

struct pki_request {
    const char *ca;   /* directory of the CA */
    const char *role; /* agent, vch, viewer, operator, store */
    const char
        *name;       /* the host, or the tenant; NULL for an operator; of a store its names, with commas between them */
    const char *out; /* the directory to make; NULL: ROLE-NAME in that of the CA, of names the first one */
    uint64_t days;   /* 1 to PKI_DAYS_MAX */
};

/* Makes a directory with a new key and its certificate, or renews one: where `out` has a certificate for the same
 * party, both are replaced at once. `out` becomes the directory's path, of size bytes. RT_EEXIST when `out` has
 * anything else.
 */
RT_MUST_CHECK int pki_issue(const struct pki_request *request, char *out, size_t size, char why[PKI_WHY_MAX]);

/* Adds a certificate of this CA to its crl.pem: `which` is its file, a directory with it, or its serial number in hex
 * digits, with or without colons. Revoking it twice changes nothing. `serial` becomes its number. */
#define PKI_SERIAL_MAX 64
RT_MUST_CHECK int pki_revoke(const char *ca, const char *which, char serial[PKI_SERIAL_MAX], char why[PKI_WHY_MAX]);

#define PKI_TEXT_MAX 320
#define PKI_PROBLEMS_MAX 12

enum pki_answer { PKI_UNKNOWN, PKI_NO, PKI_YES };

/* What a certificate says, and what is wrong with it. */
struct pki_view {
    char path[PKI_TEXT_MAX];     /* of the file that was read */
    char identity[PKI_TEXT_MAX]; /* its URI; "": it has none, or several */
    char role[16];               /* agent, vch, viewer, operator, store, ca; "": none that retether knows */
    char name[PKI_TEXT_MAX];     /* the host of an agent, the tenant of a vch or viewer, the names of a store; "" */
    char subject[PKI_TEXT_MAX], issuer[PKI_TEXT_MAX];
    char serial[PKI_SERIAL_MAX];
    char key[32]; /* "EC P-256" */
    uint64_t from_ms, to_ms;
    enum pki_answer key_fits; /* key.pem belongs to it */
    enum pki_answer trusted;  /* ca.pem leads to it, as a TLS peer would see it */
    enum pki_answer revoked;  /* in crl.pem */
    size_t n_problems;        /* reasons why it will not do */
    char problem[PKI_PROBLEMS_MAX][PKI_TEXT_MAX];
};

/* Looks at a file's first certificate, or at a directory of certificates, or of a CA, at wall_ms. An error when there
 * is none to be looked at. */
RT_MUST_CHECK int pki_look(const char *path, uint64_t wall_ms, struct pki_view *view, char why[PKI_WHY_MAX]);

#endif
