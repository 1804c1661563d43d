/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_RANDOM_H
#define RETETHER_SESSION_BASE_RANDOM_H

#include <stddef.h>

/* Fills out with the kernel's randomness; as the `random` of both machines, ctx is not used. Ends the process where the
 * kernel has none to give (before Linux 3.17 there is no such call): ids that can be guessed would let others take
 * attachments over, and a guest must not pretend. */
void rt_random_fill(void *ctx, void *out, size_t size);

#endif
