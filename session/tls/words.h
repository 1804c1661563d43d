/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_TLS_WORDS_H
#define RETETHER_SESSION_TLS_WORDS_H

#include "session/base/error.h"

#include <stddef.h>

/* What OpenSSL finds wrong, for people. */

/* Empties OpenSSL's queue of errors into a code of error.h and a sentence: RT_EAUTH, RT_EPROTO or RT_ENOMEM. */
int rt_tls_failure(char *why, size_t why_size);

/* What is wrong with the certificate of a peer: `error` is X509_V_ERR_..., at 0 its own, above that a CA's. */
void rt_tls_distrust(int error, int depth, char *why, size_t why_size);

#endif
