/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/sized.h"

#include <stdint.h>
#include <string.h>

int rt_sized_take(void *out, size_t known, const void *in, size_t least)
{
    const uint8_t *bytes = in;
    size_t size;

    memcpy(&size, in, sizeof(size));
    if (size < least || size > RT_SIZED_MAX) {
        return RT_EINVAL;
    }
    for (size_t i = known; i < size; i++) {
        if (bytes[i] != 0) {
            return RT_EINVAL;
        }
    }
    memset(out, 0, known);
    memcpy(out, in, size < known ? size : known);
    return RT_OK;
}

void rt_sized_give(void *out, size_t size, const void *full, size_t known)
{
    memset(out, 0, size);
    memcpy(out, full, size < known ? size : known);
}
