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

bool rt_same_secret(const uint8_t *a, const uint8_t *b, size_t size)
{
    const volatile uint8_t *x = a, *y = b; /* each is read, whatever the others were */
    unsigned differs = 0;

    for (size_t i = 0; i < size; i++) {
        differs |= (unsigned)(x[i] ^ y[i]);
    }
    return differs == 0;
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
