/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_TLS_FILES_H
#define RETETHER_SESSION_TLS_FILES_H

#include "session/tls/tls.h"

#include <openssl/ssl.h>

/* The files of rt_tls_settings, into a context; errors as rt_tls_load(). */

/* Our certificate, what stands between it and its CA, and its key. Sets the domain of `tls`, and who we are. */
RT_MUST_CHECK int rt_tls_read_own(SSL_CTX *ctx, const struct rt_tls_settings *settings, struct rt_tls *tls, char *why,
                                  size_t why_size);
/* Whom we believe. */
RT_MUST_CHECK int rt_tls_read_trust(SSL_CTX *ctx, const struct rt_tls_settings *settings, char *why, size_t why_size);

#endif
