/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_SEAL_CRYPTO_H
#define RETETHER_MIGRATE_SEAL_CRYPTO_H

#include "session/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* The only file of migrate/seal that calls OpenSSL. Its failures become RT_ENOMEM, RT_EAUTH or RT_EIO here; its error
 * queue is left empty. */

#define RT_SECRET_SIZE 32
#define RT_SALT_SIZE 24
#define RT_TAG_SIZE 16

/* Erases a secret in a way that the compiler keeps. */
void rt_crypto_wipe(void *secret, size_t size);

/* A key of another use from a secret: HKDF-SHA256 (RFC 5869) without a salt, with this label. */
RT_MUST_CHECK int rt_crypto_derive(const uint8_t secret[RT_SECRET_SIZE], const char *label, uint8_t *out, size_t size);

/* One message under a key of its own: HKDF-SHA256 (RFC 5869) of the secret and the salt gives key and nonce for
 * AES-256-GCM, so a salt must never be used for two messages. `clear` is authenticated with it and not encrypted. */
struct rt_crypto_box {
    const uint8_t *secret; /* RT_SECRET_SIZE */
    const uint8_t *salt;   /* RT_SALT_SIZE */
    const uint8_t *clear;
    size_t clear_size;
};

/* Encrypts size bytes from in to out and writes the tag. */
RT_MUST_CHECK int rt_crypto_seal(const struct rt_crypto_box *box, const uint8_t *in, size_t size, uint8_t *out,
                                 uint8_t tag[RT_TAG_SIZE]);

/* Decrypts size bytes. RT_EAUTH when anything is not as it was sealed; out is erased then. */
RT_MUST_CHECK int rt_crypto_open(const struct rt_crypto_box *box, const uint8_t *in, size_t size,
                                 const uint8_t tag[RT_TAG_SIZE], uint8_t *out);

#endif
