/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/guest_internal.h"

#include <stdlib.h>
#include <string.h>

/* One allocation: n + 1 pointers and room for text behind them. */
static char **list_new(size_t n, size_t bytes, char **text)
{
    char **list = malloc((n + 1) * sizeof(*list) + bytes);

    if (list != NULL) {
        list[n] = NULL;
        *text = (char *)(list + n + 1);
    }
    return list;
}

static char *list_put(char **slot, char *text, const char *from, size_t size)
{
    *slot = text;
    memcpy(text, from, size);
    text[size] = '\0';
    return text + size + 1;
}

char **rt_guest_list_copy(const char *const *list)
{
    size_t n = 0;
    size_t bytes = 0;
    char *text;
    char **copy;

    for (; list[n] != NULL; n++) {
        bytes += strlen(list[n]) + 1;
    }
    copy = list_new(n, bytes, &text);
    for (size_t i = 0; copy != NULL && i < n; i++) {
        text = list_put(&copy[i], text, list[i], strlen(list[i]));
    }
    return copy;
}

int rt_guest_list_slices(const struct rt_slice *slices, size_t n, char ***list)
{
    size_t bytes = 0;
    char *text;

    *list = NULL;
    for (size_t i = 0; i < n; i++) {
        if (slices[i].size > 0 && memchr(slices[i].data, '\0', slices[i].size) != NULL) {
            return RT_EINVAL;
        }
        bytes += slices[i].size + 1;
    }
    *list = list_new(n, bytes, &text);
    if (*list == NULL) {
        return RT_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        /* An empty slice may have no data at all. */
        const char *from = slices[i].size > 0 ? (const char *)slices[i].data : "";

        text = list_put(&(*list)[i], text, from, slices[i].size);
    }
    return RT_OK;
}

static bool same_name(const char *a, const char *b)
{
    size_t length = strcspn(a, "=");

    return strncmp(a, b, length) == 0 && (b[length] == '=' || b[length] == '\0');
}

char **rt_guest_list_merge(char *const *base, char *const *more)
{
    size_t n = 0;
    size_t n_more = 0;
    const char **merged;
    char **copy;

    while (base[n] != NULL) {
        n++;
    }
    while (more[n_more] != NULL) {
        n_more++;
    }
    merged = malloc((n + n_more + 1) * sizeof(*merged));
    if (merged == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        merged[i] = base[i];
    }
    for (size_t i = 0; i < n_more; i++) {
        size_t at = 0;

        while (at < n && !same_name(more[i], merged[at])) {
            at++;
        }
        merged[at] = more[i];
        n += at == n;
    }
    merged[n] = NULL;
    copy = rt_guest_list_copy(merged);
    free(merged);
    return copy;
}
