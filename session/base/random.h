/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_RANDOM_H
#define RETETHER_SESSION_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills out with the kernel's randomness; as the `random` of both machines, ctx is not used. Ends the process where the
 * kernel has none to give (before Linux 3.17 there is no such call): ids that can be guessed would let others take
 * attachments over, and a guest must not pretend. */
void rt_random_fill(void *ctx, void *out, size_t size);

/* A number below `below` (0 where that is 0), from a state that begins with any seed. It spreads in time what many
 * would do at once; it is never a secret. */
uint64_t rt_jitter(uint64_t *state, uint64_t below);

/* The next pause of a back-off: *pause_ms less up to a half. *pause_ms is then doubled, from min_ms to max_ms; so who
 * begins with 0 makes no pause at first. */
uint64_t rt_backoff(uint64_t *pause_ms, uint64_t min_ms, uint64_t max_ms, uint64_t *state);

#endif
