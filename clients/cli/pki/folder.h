/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_PKI_FOLDER_H
#define RETETHER_CLIENTS_CLI_PKI_FOLDER_H

#include "clients/cli/pki/pki.h"

#include <sys/types.h>

/* Directories that are there whole or not at all. */

struct pki_file {
    const char *name; /* PKI_CERT, PKI_KEY... */
    mode_t mode;      /* of a new one */
    const char *data;
    size_t size;
};

/* What such a directory may hold. */
#define PKI_CERT "cert.pem"
#define PKI_KEY "key.pem"
#define PKI_CA "ca.pem"
#define PKI_CRL "crl.pem"
#define PKI_CA_KEY "ca-key.pem"

/* Makes the directory with these files. renew: in exchange for one that is there and has nothing but files of the names
 * above; what has the name of an old one gets its owner, group and mode. Without: RT_EEXIST when there is one that is
 * not empty. A directory that was there leaves its owner, group and mode to the new one. */
RT_MUST_CHECK int pki_folder_put(const char *path, const struct pki_file *files, size_t n, bool renew,
                                 char why[PKI_WHY_MAX]);

#endif
