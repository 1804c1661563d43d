/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/seal/crypto.h"

#include <limits.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#define KEY_SIZE 32
#define NONCE_SIZE 12
/* Separates these keys from any other that is derived from a ring's secrets. */
#define INFO "retether token v1"

/* Empties OpenSSL's queue into one of our codes. */
static int failure(void)
{
    int code = RT_EIO;
    unsigned long error;

    while ((error = ERR_get_error()) != 0) {
        if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE) {
            code = RT_ENOMEM;
        }
    }
    return code;
}

void rt_crypto_wipe(void *secret, size_t size)
{
    OPENSSL_cleanse(secret, size);
}

/* salt may be NULL */
static int hkdf(const uint8_t *secret, const uint8_t *salt, const char *info, uint8_t *out, size_t size)
{
    EVP_PKEY_CTX *kdf = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    int error = 0;

    if (kdf == NULL || EVP_PKEY_derive_init(kdf) != 1 || EVP_PKEY_CTX_set_hkdf_md(kdf, EVP_sha256()) != 1 ||
        (salt != NULL && EVP_PKEY_CTX_set1_hkdf_salt(kdf, salt, RT_SALT_SIZE) != 1) ||
        EVP_PKEY_CTX_set1_hkdf_key(kdf, secret, RT_SECRET_SIZE) != 1 ||
        EVP_PKEY_CTX_add1_hkdf_info(kdf, (const unsigned char *)info, (int)strlen(info)) != 1 ||
        EVP_PKEY_derive(kdf, out, &size) != 1) {
        error = failure();
    }
    EVP_PKEY_CTX_free(kdf);
    return error;
}

int rt_crypto_derive(const uint8_t secret[RT_SECRET_SIZE], const char *label, uint8_t *out, size_t size)
{
    return hkdf(secret, NULL, label, out, size);
}

/* Runs size bytes from `in` to `out`: direction 1 encrypts them and writes the tag, 0 decrypts them and holds the tag
 * against them. */
static int run(const struct rt_crypto_box *box, int direction, const uint8_t *in, size_t size, uint8_t *out,
               uint8_t tag[RT_TAG_SIZE])
{
    uint8_t derived[KEY_SIZE + NONCE_SIZE];
    EVP_CIPHER_CTX *cipher;
    int done = 0, last = 0, error;

    if (box->clear_size > INT_MAX || size > INT_MAX) {
        return RT_ELIMIT;
    }
    error = hkdf(box->secret, box->salt, INFO, derived, sizeof(derived));
    if (error != 0) {
        return error;
    }
    cipher = EVP_CIPHER_CTX_new();
    if (cipher == NULL ||
        EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, derived, derived + KEY_SIZE, direction) != 1 ||
        EVP_CipherUpdate(cipher, NULL, &last, box->clear, (int)box->clear_size) != 1 ||
        EVP_CipherUpdate(cipher, out, &done, in, (int)size) != 1 ||
        (direction == 0 && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, RT_TAG_SIZE, tag) != 1)) {
        error = failure();
    } else if (EVP_CipherFinal_ex(cipher, out + done, &last) != 1) {
        error = failure();
        error = direction == 0 ? RT_EAUTH : error; /* the tag does not fit */
    } else if (direction == 1 && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, RT_TAG_SIZE, tag) != 1) {
        error = failure();
    }
    rt_crypto_wipe(derived, sizeof(derived));
    EVP_CIPHER_CTX_free(cipher);
    return error;
}

int rt_crypto_seal(const struct rt_crypto_box *box, const uint8_t *in, size_t size, uint8_t *out,
                   uint8_t tag[RT_TAG_SIZE])
{
    return run(box, 1, in, size, out, tag);
}

int rt_crypto_open(const struct rt_crypto_box *box, const uint8_t *in, size_t size, const uint8_t tag[RT_TAG_SIZE],
                   uint8_t *out)
{
    int error = run(box, 0, in, size, out, (uint8_t *)(uintptr_t)tag);

    if (error != 0) {
        rt_crypto_wipe(out, size);
    }
    return error;
}
