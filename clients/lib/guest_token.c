/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/guest_token.h"

#include "retether/guest.h"

#include <string.h>

static int sextet(char c)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *at = c != '\0' ? strchr(alphabet, c) : NULL;

    return at != NULL ? (int)(at - alphabet) : -1;
}

int rt_token_decode(const char *text, uint8_t *out, size_t cap, size_t *size)
{
    static const char blanks[] = " \t\r\n";
    size_t length;
    uint32_t bits = 0;
    unsigned n_bits = 0;

    *size = 0;
    text += strspn(text, blanks);
    length = strcspn(text, blanks);
    if (text[length + strspn(text + length, blanks)] != '\0' || length <= strlen(RETETHER_TOKEN_PREFIX) ||
        strncmp(text, RETETHER_TOKEN_PREFIX, strlen(RETETHER_TOKEN_PREFIX)) != 0) {
        return RT_EINVAL;
    }
    for (size_t i = strlen(RETETHER_TOKEN_PREFIX); i < length; i++) {
        int value = sextet(text[i]);

        if (value < 0) {
            return RT_EINVAL;
        }
        bits = (bits << 6 | (uint32_t)value) & 0xffff;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            if (*size == cap) {
                return RT_ELIMIT;
            }
            out[(*size)++] = (uint8_t)(bits >> n_bits);
        }
    }
    /* A lone character, or bits behind the last byte that are not zero, were never written by an encoder. */
    return n_bits >= 6 || (bits & ((1U << n_bits) - 1)) != 0 ? RT_EINVAL : RT_OK;
}
