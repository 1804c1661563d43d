/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/random.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

void rt_random_fill(void *ctx, void *out, size_t size)
{
    uint8_t *at = out;

    (void)ctx;
    while (size > 0) {
        ssize_t n = getrandom(at, size, 0);

        if (n < 0 && errno != EINTR) {
            abort();
        }
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        }
    }
}
