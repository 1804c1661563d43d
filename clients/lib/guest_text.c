/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/guest_internal.h"

#include <stdlib.h>
#include <string.h>

/* One allocation: n + 1 pointers, and the text behind them. */
static char **pack(const struct rt_slice *texts, size_t n)
{
    size_t bytes = 0;
    char **list;
    char *text;

    for (size_t i = 0; i < n; i++) {
        bytes += texts[i].size + 1;
    }
    list = malloc((n + 1) * sizeof(*list) + bytes);
    if (list == NULL) {
        return NULL;
    }
    text = (char *)(list + n + 1);
    for (size_t i = 0; i < n; i++) {
        list[i] = text;
        if (texts[i].size > 0) { /* an empty slice may have no data at all */
            memcpy(text, texts[i].data, texts[i].size);
        }
        text += texts[i].size;
        *text++ = '\0';
    }
    list[n] = NULL;
    return list;
}

/* That of NAME=VALUE. */
static struct rt_slice name_of(struct rt_slice text)
{
    const uint8_t *end = text.size > 0 ? memchr(text.data, '=', text.size) : NULL;

    return (struct rt_slice){text.data, end != NULL ? (size_t)(end - text.data) : text.size};
}

/* Where a text of the same name stands, or n. */
static size_t find_name(const struct rt_slice *texts, size_t n, struct rt_slice text)
{
    size_t at = 0;

    while (at < n && !rt_slice_equal(name_of(texts[at]), name_of(text))) {
        at++;
    }
    return at;
}

int rt_guest_list(const char *const *base, const struct rt_slice *more, size_t n_more, char ***list)
{
    struct rt_slice *texts;
    size_t n = 0;

    *list = NULL;
    while (base != NULL && base[n] != NULL) {
        n++;
    }
    texts = malloc((n + n_more + 1) * sizeof(*texts));
    if (texts == NULL) {
        return RT_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        texts[i] = rt_slice_text(base[i]);
    }
    for (size_t i = 0; i < n_more; i++) {
        size_t at = base != NULL ? find_name(texts, n, more[i]) : n;

        if (more[i].size > 0 && memchr(more[i].data, '\0', more[i].size) != NULL) {
            free(texts);
            return RT_EINVAL;
        }
        texts[at] = more[i];
        n += at == n;
    }
    *list = pack(texts, n);
    free(texts);
    return *list != NULL ? RT_OK : RT_ENOMEM;
}
