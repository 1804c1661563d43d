/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_BACKOFF_H
#define RETETHER_SESSION_BASE_BACKOFF_H

#include <stdint.h>

/* A number below `below` (0 where that is 0), from a state that begins with any seed. It spreads in time what many
 * would do at once; it is never a secret. */
uint64_t rt_jitter(uint64_t *state, uint64_t below);

/* The next pause of a back-off: *pause_ms less up to a half. *pause_ms is then doubled, from min_ms to max_ms; so who
 * begins with 0 makes no pause at first. */
uint64_t rt_backoff(uint64_t *pause_ms, uint64_t min_ms, uint64_t max_ms, uint64_t *state);

#endif
