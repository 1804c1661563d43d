/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_SLICE_H
#define RETETHER_SESSION_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text and bin fields of messages: after a decode they point into the decoded payload and live as long as it does. */

struct rt_slice {
    const uint8_t *data; /* not owned */
    size_t size;         /* bytes */
};

struct rt_slice rt_slice_text(const char *text);
bool rt_slice_equal(struct rt_slice a, struct rt_slice b);
/* The same for what a peer may know only if it was told: it takes the same time wherever the first difference is. */
bool rt_same_secret(const uint8_t *a, const uint8_t *b, size_t size);
/* Copies into a NUL-terminated buffer, cut to its size. */
void rt_slice_copy(struct rt_slice slice, char *out, size_t size);

#endif
