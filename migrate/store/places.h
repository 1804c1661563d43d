/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_PLACES_H
#define RETETHER_MIGRATE_STORE_PLACES_H

#include "migrate/store/endpoint.h"

#include <stdbool.h>
#include <stdint.h>

/* Whom a connection dials, and when. Pure. Endpoints are tried in turn, without a pause, the one that last answered
 * first. A pause comes when all were tried, or when a connection was good; it grows from round to round while none
 * stays good for RT_PLACES_PAUSE_MAX_MS. */

#define RT_PLACES_PAUSE_MIN_MS 10
#define RT_PLACES_PAUSE_MAX_MS 1000

struct rt_places {
    struct rt_store_endpoint list[RT_ENDPOINTS_MAX];
    size_t n;     /* 0: nobody is dialled */
    size_t next;  /* that is dialled next, or was last */
    bool changed; /* by rt_places_set(), since one of them was tried */
    uint64_t pause_ms, jitter;
};

/* jitter: a random number. */
void rt_places_init(struct rt_places *places, const struct rt_store_endpoint *list, size_t n, uint64_t jitter);
/* Only this one from now on, or NULL, nobody. False: it was so before. */
bool rt_places_set(struct rt_places *places, const struct rt_store_endpoint *endpoint);
/* The connection to the one that was dialled last is over: it was good for so long, or never (0). Returns after how
 * many ms to dial `next`; RT_NEVER: there is nobody. */
uint64_t rt_places_plan(struct rt_places *places, bool was_good, uint64_t good_ms);

#endif
