/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include <stdlib.h>
#include <string.h>

/* The hosts that the registry has, as pages and notices bring them: a listing goes through their sets one by one. */

/* Hosts of a listing; sessions of one more are listed by `list` with its name only. */
#define NAMES_MAX 4096

/* The index at which host stands, or would. */
static size_t place(const struct rt_store *store, const char *host)
{
    size_t low = 0, high = store->n_names;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (strcmp(store->names[middle], host) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void rt_store_names_add(struct rt_store *store, const char *host)
{
    size_t at = place(store, host);
    void *more;

    if (store->n_names == NAMES_MAX || (at < store->n_names && strcmp(store->names[at], host) == 0)) {
        return;
    }
    more = realloc(store->names, (store->n_names + 1) * sizeof(*store->names));
    if (more == NULL) {
        return; /* the next page brings it again */
    }
    store->names = more;
    memmove(&store->names[at + 1], &store->names[at], (store->n_names - at) * sizeof(*store->names));
    memset(store->names[at], 0, sizeof(*store->names));
    memcpy(store->names[at], host, strlen(host));
    store->n_names++;
}

static bool has(const struct rt_store_host *rows, size_t n, const char *host)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(rows[i].host, host) == 0) {
            return true;
        }
    }
    return false;
}

void rt_store_names_page(struct rt_store *store, const char *after, const char *last, const struct rt_store_host *rows,
                         size_t n)
{
    size_t from = place(store, after), kept;

    from += from < store->n_names && strcmp(store->names[from], after) == 0;
    kept = from;
    for (size_t i = from; i < store->n_names; i++) {
        bool behind = last[0] != '\0' && strcmp(store->names[i], last) > 0;

        if (behind || has(rows, n, store->names[i])) {
            memmove(store->names[kept++], store->names[i], sizeof(*store->names));
        }
    }
    store->n_names = kept;
    for (size_t i = 0; i < n; i++) {
        rt_store_names_add(store, rows[i].host);
    }
}
