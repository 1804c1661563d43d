/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_LIB_GUEST_TOKEN_H
#define RETETHER_CLIENTS_LIB_GUEST_TOKEN_H

#include "session/core/error.h"

#include <stddef.h>
#include <stdint.h>

/* A join token's text form is RETETHER_TOKEN_PREFIX and the base64url (RFC 4648 section 5, no padding) of what only
 * agents can open. Blanks and newlines around it are skipped. Returns 0 with the bytes, RT_ELIMIT when they do not fit
 * cap, or RT_EINVAL. */
RT_MUST_CHECK int rt_token_decode(const char *text, uint8_t *out, size_t cap, size_t *size);

#endif
