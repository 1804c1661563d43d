/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/alloc/allocfail.h"

#include <stdatomic.h>
#include <stdint.h>

/* The linker's names for the wrapped and the real functions (ld(1), --wrap). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

/* Atomic: libuv's pool threads may allocate. [first, last] fail. */
static atomic_bool running;
static atomic_size_t first, last, count, failures;

static void start(size_t from, size_t to)
{
    atomic_store(&running, false);
    atomic_store(&first, from);
    atomic_store(&last, to);
    atomic_store(&count, 0);
    atomic_store(&failures, 0);
    atomic_store(&running, true);
}

void rt_alloc_fail_at(size_t n)
{
    start(n, n);
}

void rt_alloc_fail_from(size_t n)
{
    start(n, n == 0 ? 0 : SIZE_MAX);
}

bool rt_alloc_stop(void)
{
    atomic_store(&running, false);
    return atomic_load(&failures) > 0;
}

size_t rt_alloc_count(void)
{
    return atomic_load(&count);
}

static bool refuses(void)
{
    if (!atomic_load(&running)) {
        return false;
    }
    size_t n = atomic_fetch_add(&count, 1) + 1;
    if (n < atomic_load(&first) || n > atomic_load(&last)) {
        return false;
    }
    atomic_fetch_add(&failures, 1);
    return true;
}

void *__wrap_malloc(size_t size)
{
    return refuses() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refuses() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return size > 0 && refuses() ? NULL : __real_realloc(old, size);
}
