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
#define BLOCK ((size_t)512 * 1024)
#define BLOCKS 64
#define ROUND 8 /* of them are used in turn: few enough to stay in the cache, the others when these are taken */
#define FENCE 4096

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *memory);
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *memory);

static uint8_t *blocks[BLOCKS]; /* owned; NULL until it is first used */
static size_t sizes[BLOCKS];    /* in use when not 0 */
static size_t next;             /* where the search begins */

static size_t block_of(const void *memory)
{
    size_t i = 0;
    while (i < BLOCKS && (memory == NULL || blocks[i] == NULL || memory != blocks[i] + FENCE)) {
        i++;
    }
    return i;
}

static void *take(size_t size)
{
    for (size_t k = 0; k < BLOCKS; k++) {
        size_t i = (next + k) % BLOCKS;
        if (sizes[i] != 0) {
            continue;
        }
        if (blocks[i] == NULL) {
            blocks[i] = __real_malloc(BLOCK);
            FUZZ_CHECK(blocks[i] != NULL);
            __asan_poison_memory_region(blocks[i], BLOCK);
        }
        sizes[i] = size;
        next = (i + 1) % ROUND; /* one that was freed rests for a while */
        __asan_unpoison_memory_region(blocks[i] + FENCE, size);
        return blocks[i] + FENCE;
    }
    return NULL;
}

void *__wrap_malloc(size_t size)
{
    void *memory = size < LARGE || size > BLOCK - 2 * (size_t)FENCE ? NULL : take(size);
    return memory == NULL ? __real_malloc(size) : memory;
}

void *__wrap_calloc(size_t n, size_t size)
{
    void *memory = NULL;
    size_t all;
    if (!__builtin_mul_overflow(n, size, &all) && all >= LARGE && all <= BLOCK - 2 * (size_t)FENCE) {
        memory = take(all);
    }
    return memory == NULL ? __real_calloc(n, size) : memset(memory, 0, all);
}

void __wrap_free(void *memory)
{
    size_t i = block_of(memory);
    if (i == BLOCKS) {
        __real_free(memory);
        return;
    }
    FUZZ_CHECK(sizes[i] != 0); /* else it is freed twice */
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
