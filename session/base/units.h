/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_UNITS_H
#define RETETHER_SESSION_BASE_UNITS_H

#include "session/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers, durations and sizes as people, files and peers write them. Each reader takes the whole of a text, and
 * returns false for one that is no such value. */

/* Digits, at most max. */
bool rt_read_number(struct rt_slice text, uint64_t max, uint64_t *value);
/* "1500ms", "30s", "5m", "2h", "30d"; a bare 0 needs no unit. Ten years at most. */
bool rt_read_duration(const char *text, uint64_t *ms);
/* "65536", "64K", "1M" (powers of 1024). */
bool rt_read_bytes(const char *text, uint64_t *bytes);

/* As rt_read_duration() takes it, in the largest unit that tells it whole: "90s", "5m". */
void rt_duration_text(uint64_t ms, char *out, size_t size);

#endif
