/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/fuzz/fuzz.h"

#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <string.h>

/* AddressSanitizer maps each allocation of over 128 KiB anew and unmaps it when it is freed, which took half of a short
 * run's time. The linker sends the machines' calls here (--wrap): large ones live in blocks that stay mapped. What lies
 * around them, and a block that is free, is poisoned all the same. */

#define LARGE ((size_t)96 * 1024)
/* A file of certificates may have 8 MiB; not a multiple of a page, or blocks would share their places in caches. */
#define BLOCK (((size_t)9 << 20) + 4160)
#define BLOCKS 16 /* when all are in use, the next is mapped as it was without the pool */
#define FENCE ((size_t)4096)

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *memory);
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *memory);

static _Alignas(64) uint8_t blocks[BLOCKS][BLOCK];
static size_t sizes[BLOCKS]; /* in use when not 0 */
static size_t next;          /* where the search begins: one that was freed rests for a while */
static bool fenced;

/* BLOCKS for memory of the allocator's own. */
static size_t block_of(const void *memory)
{
    size_t at = (uintptr_t)memory - (uintptr_t)blocks;
    return at < sizeof(blocks) ? at / BLOCK : BLOCKS;
}

static void *take(size_t size)
{
    if (!fenced) {
        fenced = true;
        __asan_poison_memory_region(blocks, sizeof(blocks));
    }
    for (size_t k = 0; k < BLOCKS; k++) {
        size_t i = (next + k) % BLOCKS;
        if (sizes[i] == 0) {
            sizes[i] = size;
            next = i + 1;
            __asan_unpoison_memory_region(blocks[i] + FENCE, size);
            return blocks[i] + FENCE;
        }
    }
    return NULL;
}

void *__wrap_malloc(size_t size)
{
    void *memory = size < LARGE || size > BLOCK - 2 * FENCE ? NULL : take(size);
    return memory == NULL ? __real_malloc(size) : memory;
}

void *__wrap_calloc(size_t n, size_t size)
{
    void *memory = NULL;
    size_t all;
    if (!__builtin_mul_overflow(n, size, &all) && all >= LARGE && all <= BLOCK - 2 * FENCE) {
        memory = take(all);
    }
    return memory == NULL ? __real_calloc(n, size) : memset(memory, 0, all);
}

void __wrap_free(void *memory)
{
    size_t i = block_of(memory);
    if (i == BLOCKS) {
        if (memory != NULL) { /* which the allocator would look into first, 16,384 times for one agent */
            __real_free(memory);
        }
        return;
    }
    FUZZ_CHECK(sizes[i] != 0 && memory == blocks[i] + FENCE); /* else it is freed twice, or was never given */
    __asan_poison_memory_region(memory, sizes[i]);
    sizes[i] = 0;
}

void *__wrap_realloc(void *old, size_t size)
{
    size_t i = block_of(old);
    void *memory;
    if (i == BLOCKS) {
        return __real_realloc(old, size);
    }
    memory = __wrap_malloc(size);
    if (memory != NULL) {
        memcpy(memory, old, size < sizes[i] ? size : sizes[i]);
        __wrap_free(old);
    }
    return memory;
}

void fuzz_pool_check(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        FUZZ_CHECK(sizes[i] == 0);
    }
}
