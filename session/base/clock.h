/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_CLOCK_H
#define RETETHER_SESSION_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* The wall clock, in milliseconds since 1970. It may step either way: only what people read, and what outlives the
 * program, is told by it. */
uint64_t rt_wall_ms(void);
/* "2024-02-29T12:34:56.789Z" (RFC 3339), or "?" for a time that has no date. */
void rt_time_text(uint64_t wall_ms, char *out, size_t size);

#endif
