/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_CORE_TOKEN_TEXT_H
#define RETETHER_MIGRATE_CORE_TOKEN_TEXT_H

#include "session/base/error.h"
#include "session/core/protocol.h"

#include <stddef.h>
#include <stdint.h>

/* A join token as people and environments carry it: the prefix, then base64url (RFC 4648 section 5) without padding.
 * One token has one text. */
#define RT_TOKEN_PREFIX "rtj1."
/* Characters of the longest text, its NUL included. */
#define RT_TOKEN_TEXT_MAX (sizeof(RT_TOKEN_PREFIX) + (RT_TOKEN_MAX * 4 + 2) / 3)

/* Writes the text with its NUL. Returns its length without it, or RT_ELIMIT when it does not fit cap or the token is
 * longer than RT_TOKEN_MAX. */
RT_MUST_CHECK int rt_token_text_encode(const uint8_t *token, size_t size, char *out, size_t cap);

/* The token's bytes. Blanks, tabs and line ends around the text are skipped. Returns their number; RT_ELIMIT when they
 * do not fit cap; RT_EPROTO when it is no such text. It says nothing about who made the token. */
RT_MUST_CHECK int rt_token_text_decode(const char *text, size_t size, uint8_t *out, size_t cap);

/* A token's text may be followed by this and a number: the bytes that its maker wants the tether to keep of each output
 * stream. It is a wish, not part of what is sealed. */
#define RT_TOKEN_RING ".ring="

/* Cuts it off: *size becomes the size of the token's own text, *ring the number, 0 without one. Returns 0, or RT_EPROTO
 * when what follows is no number of 1 to 15 digits. */
RT_MUST_CHECK int rt_token_text_ring(const char *text, size_t *size, uint64_t *ring);

#endif
