/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_LIB_ALLOC_ALLOCFAIL_H
#define RETETHER_TESTS_LIB_ALLOC_ALLOCFAIL_H

#include <stdbool.h>
#include <stddef.h>

/* Counts and fails the calls of malloc, calloc and realloc (not to size 0) made by the objects and static libraries of
 * an executable that links rt_test_alloc. What shared libraries allocate within themselves goes past it. The loop of a
 * test:
 *
 *     for (size_t n = 1;; n++) {
 *         rt_alloc_fail_at(n);
 *         ... run, expect success or RT_ENOMEM ...
 *         if (!rt_alloc_stop()) {
 *             break; // fewer than n allocations: every one has failed once
 *         }
 *     }
 */

/* Starts a count at 0; its n-th allocation (from 1) fails, and only that. 0: none fails. */
void rt_alloc_fail_at(size_t n);
/* The same, but all from the n-th on fail. */
void rt_alloc_fail_from(size_t n);
/* No allocation fails any more. Returns whether one did since the start. */
bool rt_alloc_stop(void);

/* Since the start, also after the stop until the next start. */
size_t rt_alloc_count(void);

#endif
