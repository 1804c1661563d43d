/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_DIGEST_H
#define RETETHER_SESSION_CORE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* The running checksum of a stream (protocol.md section 3): XXH64, seed 0, over the bytes [from, at). Plain data: copy
 * it to keep a state, extend the copy to look ahead. */
struct rt_digest {
    uint64_t from; /* offset of the first byte covered */
    uint64_t at;   /* offset after the last byte covered */
    XXH64_state_t state;
};

static inline void rt_digest_start(struct rt_digest *digest, uint64_t offset)
{
    digest->from = offset;
    digest->at = offset;
    (void)XXH64_reset(&digest->state, 0);
}

static inline void rt_digest_extend(struct rt_digest *digest, const void *data, size_t size)
{
    (void)XXH64_update(&digest->state, data, size);
    digest->at += size;
}

static inline uint64_t rt_digest_value(const struct rt_digest *digest)
{
    return XXH64_digest(&digest->state);
}

#endif
