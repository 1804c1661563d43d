/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_TEXT_H
#define RETETHER_SESSION_BASE_TEXT_H

#include "session/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Texts that a peer sent and that people will read: refusals, names of hosts, labels. They must neither steer a
 * terminal, nor break a line, nor show themselves in another order than they are read in. Every such text passes
 * through rt_text_copy() where it leaves its message; what is written as JSON through rt_text_quote(). A container's
 * output is no such text. */

/* What a byte that belongs to no character counts as. */
#define RT_TEXT_BAD UINT32_MAX
/* Bytes that a character may take in a JSON string. */
#define RT_TEXT_JSON_MAX 12

/* The bytes of the character at data (1 for a byte that belongs to none: RFC 3629) and its code point. size > 0. */
size_t rt_text_char(const uint8_t *data, size_t size, uint32_t *point);

/* Whether a character may stand in a text for people: no control (C0, DEL, C1), no end of line or paragraph, nothing
 * that turns the direction of what follows, no mark of byte order, no tag, not RT_TEXT_BAD. */
bool rt_text_plain(uint32_t point);

/* Copies a text into out, NUL-terminated: what is not plain as one '?', cut between two characters. Returns its bytes
 * without the NUL. size > 0. */
size_t rt_text_copy(struct rt_slice text, char *out, size_t size);

/* The text as a JSON string, in quotes: what is not plain as \uXXXX, a byte that belongs to no character as \ufffd, '"'
 * and '\' behind a '\'. Cut between two characters; not NUL-terminated. Returns its bytes. size >= 2. */
size_t rt_text_quote(const char *text, char *out, size_t size);

/* Lowercase digits of size bytes, NUL-terminated: out holds 2 * size + 1. */
void rt_hex(const uint8_t *data, size_t size, char *out);
/* The `size` bytes that a text of exactly 2 * size lowercase digits names. Returns false for any other text. */
bool rt_unhex(struct rt_slice text, uint8_t *out, size_t size);

#endif
