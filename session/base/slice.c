/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"

#include <string.h>

struct rt_slice rt_slice_text(const char *text)
{
    return (struct rt_slice){.data = (const uint8_t *)text, .size = strlen(text)};
}

bool rt_slice_equal(struct rt_slice a, struct rt_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

void rt_slice_copy(struct rt_slice slice, char *out, size_t size)
{
    if (size == 0) {
        return;
    }
    size_t n = slice.size < size - 1 ? slice.size : size - 1;
    if (n > 0) {
        memcpy(out, slice.data, n);
    }
    out[n] = '\0';
}
