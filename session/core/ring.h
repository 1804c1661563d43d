/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_RING_H
#define RETETHER_SESSION_CORE_RING_H

#include "session/base/error.h"
#include "session/core/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The newest bytes of a stream with absolute offsets: [base, head), head - base <= cap. */
struct rt_ring {
    uint8_t *data; /* owned; NULL until it is made; touched as it fills */
    size_t cap;    /* bytes */
    uint64_t base;
    uint64_t head;
    uint64_t origin; /* <= base; ring.c */
    bool ended;      /* nothing will be appended any more: `head` is the stream's end */
};

/* cap > 0. Its memory comes with rt_ring_make(): until then there is no space. */
void rt_ring_init(struct rt_ring *ring, size_t cap);
/* Gets its memory, if it has none. RT_ENOMEM: there is none now. */
RT_MUST_CHECK int rt_ring_make(struct rt_ring *ring);
/* Makes room for cap bytes, more than before. Without memory to do so the ring stays as it was. */
void rt_ring_grow(struct rt_ring *ring, size_t cap);
/* Keeps memory for the bytes that are held and no more: nothing can be appended any more. Without memory to do so the
 * ring stays as it was. */
void rt_ring_shrink(struct rt_ring *ring);
/* Frees its memory: it is as at first. Of zeroed memory too. */
void rt_ring_close(struct rt_ring *ring);
/* Gives up all bytes: the next one has this offset. */
void rt_ring_start(struct rt_ring *ring, uint64_t offset);

/* Bytes that can be appended without giving up any below head. */
size_t rt_ring_room(const struct rt_ring *ring);
/* Appends up to room bytes, returns how many. */
size_t rt_ring_append(struct rt_ring *ring, const void *data, size_t size);
/* The contiguous free space at head (NULL, 0 when full), for reading straight into the ring; then commit what came. */
uint8_t *rt_ring_space(const struct rt_ring *ring, size_t *size);
void rt_ring_commit(struct rt_ring *ring, size_t size);
/* Gives up the bytes below offset; base <= offset <= head. */
void rt_ring_drop(struct rt_ring *ring, uint64_t offset);
/* The contiguous bytes at offset (base <= offset <= head); size 0 at head. */
const uint8_t *rt_ring_peek(const struct rt_ring *ring, uint64_t offset, size_t *size);
/* Copies up to size bytes from offset, returns how many. */
size_t rt_ring_copy(const struct rt_ring *ring, uint64_t offset, void *out, size_t size);
/* The offset at which the last n lines begin; a line that is not ended yet counts. It looks at no more than the newest
 * `look` bytes: where these hold fewer lines, at the first of them. */
uint64_t rt_ring_last_lines(const struct rt_ring *ring, uint64_t n, size_t look);
/* Extends digest from its `at` (>= base) to offset (<= head). */
void rt_ring_digest(const struct rt_ring *ring, struct rt_digest *digest, uint64_t offset);

#endif
