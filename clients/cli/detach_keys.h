/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_DETACH_KEYS_H
#define RETETHER_CLIENTS_CLI_DETACH_KEYS_H

#include "session/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The detach keys: a sequence of bytes that is looked for in what is typed. Bytes that may be its beginning are held
 * back until the next byte decides. */

/* Keys of a sequence; a longer one is refused. */
#define CLI_KEYS_MAX 8

struct cli_keys {
    uint8_t key[CLI_KEYS_MAX];
    uint8_t back[CLI_KEYS_MAX]; /* after a mismatch behind key i so many of the first keys still match */
    size_t n;                   /* 0: none */
    size_t seen;                /* of the sequence, held back */
};

/* "ctrl-p,ctrl-q", "ctrl-]", "~,."; "none" or "" for no keys. RT_EINVAL otherwise. */
RT_MUST_CHECK int cli_keys_parse(struct cli_keys *keys, const char *text);

/* Passes on what was typed: out has room for size + CLI_KEYS_MAX bytes. Returns the bytes in out. *found: the sequence
 * was typed, the rest of the input is dropped. */
size_t cli_keys_filter(struct cli_keys *keys, const uint8_t *in, size_t size, uint8_t *out, bool *found);

/* What is held back, at the end of the input. */
size_t cli_keys_flush(struct cli_keys *keys, uint8_t *out);

#endif
