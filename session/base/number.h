/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_NUMBER_H
#define RETETHER_SESSION_BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t rt_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t rt_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Whether the bit was set among what is due; it is not any more. */
static inline bool rt_took(unsigned *due, unsigned bit)
{
    bool was = (*due & bit) != 0;

    *due &= ~bit;
    return was;
}

#endif
