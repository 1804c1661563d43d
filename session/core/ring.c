/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/ring.h"

#include "session/base/number.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The byte of offset o lies at data[(o - origin) % cap]: a drop moves no bytes, and an offset keeps its place while it
 * is held. A ring that is empty begins again at data[0]: one whose reader keeps up uses, and has touched, only its
 * first part, which stays in the processor's cache. */

static size_t place(const struct rt_ring *ring, uint64_t offset)
{
    return (size_t)((offset - ring->origin) % ring->cap);
}

void rt_ring_init(struct rt_ring *ring, size_t cap)
{
    assert(cap > 0);
    memset(ring, 0, sizeof(*ring));
    ring->cap = cap;
}

int rt_ring_make(struct rt_ring *ring)
{
    if (ring->data == NULL && ring->cap > 0) {
        ring->data = malloc(ring->cap);
    }
    return ring->data != NULL ? 0 : RT_ENOMEM;
}

static void resize(struct rt_ring *ring, size_t cap, bool is_made)
{
    uint8_t *data = is_made ? malloc(cap) : NULL;

    if (is_made && data == NULL) {
        return;
    }
    (void)rt_ring_copy(ring, ring->base, data, (size_t)(ring->head - ring->base));
    free(ring->data);
    ring->data = data;
    ring->cap = cap;
    ring->origin = ring->base;
}

void rt_ring_grow(struct rt_ring *ring, size_t cap)
{
    assert(cap >= ring->cap);
    resize(ring, cap, ring->data != NULL);
}

void rt_ring_shrink(struct rt_ring *ring)
{
    size_t held = (size_t)(ring->head - ring->base);

    resize(ring, held, held > 0);
}

void rt_ring_close(struct rt_ring *ring)
{
    free(ring->data);
    *ring = (struct rt_ring){.cap = ring->cap};
}

void rt_ring_start(struct rt_ring *ring, uint64_t offset)
{
    ring->base = ring->head = ring->origin = offset;
}

size_t rt_ring_room(const struct rt_ring *ring)
{
    return ring->cap - (size_t)(ring->head - ring->base);
}

uint8_t *rt_ring_space(const struct rt_ring *ring, size_t *size)
{
    size_t room = ring->data != NULL ? rt_ring_room(ring) : 0;
    size_t at = ring->cap > 0 ? place(ring, ring->head) : 0;
    *size = (size_t)rt_min(room, ring->cap - at);
    return *size == 0 ? NULL : ring->data + at;
}

void rt_ring_commit(struct rt_ring *ring, size_t size)
{
    assert(size <= rt_ring_room(ring));
    ring->head += size;
}

size_t rt_ring_append(struct rt_ring *ring, const void *data, size_t size)
{
    const uint8_t *from = data;
    size_t done = 0;
    while (done < size) {
        size_t space;
        uint8_t *to = rt_ring_space(ring, &space);
        if (space == 0) {
            break;
        }
        space = (size_t)rt_min(space, size - done);
        memcpy(to, from + done, space);
        rt_ring_commit(ring, space);
        done += space;
    }
    return done;
}

void rt_ring_drop(struct rt_ring *ring, uint64_t offset)
{
    assert(offset >= ring->base && offset <= ring->head);
    ring->base = offset;
    if (offset == ring->head) {
        ring->origin = offset;
    }
}

const uint8_t *rt_ring_peek(const struct rt_ring *ring, uint64_t offset, size_t *size)
{
    assert(offset >= ring->base && offset <= ring->head);
    uint64_t left = ring->head - offset;
    if (left == 0) {
        *size = 0;
        return ring->data;
    }
    size_t at = place(ring, offset);
    *size = (size_t)rt_min(left, ring->cap - at);
    return ring->data + at;
}

size_t rt_ring_copy(const struct rt_ring *ring, uint64_t offset, void *out, size_t size)
{
    uint8_t *to = out;
    size_t done = 0;
    while (done < size) {
        size_t part;
        const uint8_t *from = rt_ring_peek(ring, offset + done, &part);
        if (part == 0) {
            break;
        }
        part = (size_t)rt_min(part, size - done);
        memcpy(to + done, from, part);
        done += part;
    }
    return done;
}

uint64_t rt_ring_last_lines(const struct rt_ring *ring, uint64_t n, size_t look)
{
    uint64_t at = ring->head, end = ring->head - ring->base > look ? ring->head - look : ring->base;

    while (n > 0 && at > end) {
        /* The piece that ends at `at`: its bytes lie together, the ring wraps before it. */
        size_t left = place(ring, at - 1) + 1;
        const uint8_t *piece = ring->data + left;

        left = (size_t)rt_min(left, at - end);
        for (size_t i = 1; i <= left; i++) {
            if (piece[-(ptrdiff_t)i] == '\n' && at - i + 1 != ring->head && --n == 0) {
                return at - i + 1;
            }
        }
        at -= left;
    }
    return n == 0 ? ring->head : end;
}

void rt_ring_digest(const struct rt_ring *ring, struct rt_digest *digest, uint64_t offset)
{
    assert(digest->at >= ring->base && offset <= ring->head);
    while (digest->at < offset) {
        size_t part;
        const uint8_t *from = rt_ring_peek(ring, digest->at, &part);
        rt_digest_extend(digest, from, (size_t)rt_min(part, offset - digest->at));
    }
}
