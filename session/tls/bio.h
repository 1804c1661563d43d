/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_TLS_BIO_H
#define RETETHER_SESSION_TLS_BIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/bio.h>

/* What lies between an SSL and its socket: it takes its records from where they were read to, and puts its own into one
 * buffer. OpenSSL's memory BIOs would copy the former once more, and know no bound. */

/* What is read of a socket at once. */
#define RT_TLS_INPUT_SIZE ((size_t)256 * 1024)

struct rt_tls_out {
    uint8_t *data; /* owned */
    size_t size, cap;
};

struct rt_tls_pipe {
    const uint8_t *in; /* what of the read under way was not taken */
    size_t in_size;
    size_t budget; /* bytes that may still be taken */
    struct rt_tls_out out;
};

/* NULL: no memory. */
BIO_METHOD *rt_tls_bio_method(void);
/* For both directions; `pipe` outlives it. NULL: no memory. */
BIO *rt_tls_bio_new(const BIO_METHOD *method, struct rt_tls_pipe *pipe);

/* Makes room for so many bytes more. Returns false without memory. */
bool rt_tls_reserve(struct rt_tls_out *out, size_t more);
void rt_tls_out_free(struct rt_tls_out *out);

#endif
