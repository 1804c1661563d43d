/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/token_text.h"

#include <stdbool.h>
#include <string.h>

#define PREFIX_SIZE (sizeof(RT_TOKEN_PREFIX) - 1)

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int rt_token_text_encode(const uint8_t *token, size_t size, char *out, size_t cap)
{
    uint32_t bits = 0;
    unsigned held = 0; /* bits not yet written, below 6 */
    size_t at = PREFIX_SIZE;

    if (size > RT_TOKEN_MAX || PREFIX_SIZE + (size * 4 + 2) / 3 + 1 > cap) {
        return RT_ELIMIT;
    }
    memcpy(out, RT_TOKEN_PREFIX, PREFIX_SIZE);
    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | token[i];
        for (held += 8; held >= 6; held -= 6) {
            out[at++] = digits[bits >> (held - 6) & 63];
        }
    }
    if (held > 0) {
        out[at++] = digits[bits << (6 - held) & 63];
    }
    out[at] = '\0';
    return (int)at;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int rt_token_text_decode(const char *text, size_t size, uint8_t *out, size_t cap)
{
    uint32_t bits = 0;
    unsigned held = 0; /* bits not yet written, below 8 */
    size_t at = 0;

    for (; size > 0 && blank(*text); text++) {
        size--;
    }
    while (size > 0 && blank(text[size - 1])) {
        size--;
    }
    if (size <= PREFIX_SIZE || memcmp(text, RT_TOKEN_PREFIX, PREFIX_SIZE) != 0) {
        return RT_EPROTO;
    }
    for (size_t i = PREFIX_SIZE; i < size; i++) {
        const char *digit = text[i] == '\0' ? NULL : strchr(digits, text[i]);
        if (digit == NULL) {
            return RT_EPROTO;
        }
        bits = bits << 6 | (uint32_t)(digit - digits);
        held += 6;
        if (held >= 8) {
            if (at == cap || at == RT_TOKEN_MAX) {
                return RT_ELIMIT;
            }
            held -= 8;
            out[at++] = (uint8_t)(bits >> held);
        }
    }
    /* One digit too many, or bits set that belong to no byte: not the text that encode gives. */
    if (held >= 6 || (bits & ((1U << held) - 1)) != 0) {
        return RT_EPROTO;
    }
    return (int)at;
}

int rt_token_text_ring(const char *text, size_t *size, uint64_t *ring)
{
    const size_t mark = sizeof(RT_TOKEN_RING) - 1;
    size_t end = *size, at = 0;

    *ring = 0;
    while (end > 0 && blank(text[end - 1])) {
        end--;
    }
    while (at + mark <= end && memcmp(text + at, RT_TOKEN_RING, mark) != 0) {
        at++;
    }
    if (at + mark > end) {
        return 0;
    }
    *size = at;
    at += mark;
    if (at == end || end - at > 15) {
        return RT_EPROTO;
    }
    for (; at < end; at++) {
        if (text[at] < '0' || text[at] > '9') {
            return RT_EPROTO;
        }
        *ring = *ring * 10 + (uint64_t)(text[at] - '0');
    }
    return 0;
}
