/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/places.h"

#include "session/base/random.h"
#include "session/base/timer.h"

#include <string.h>

void rt_places_init(struct rt_places *places, const struct rt_store_endpoint *list, size_t n, uint64_t jitter)
{
    *places = (struct rt_places){.n = n, .pause_ms = RT_PLACES_PAUSE_MIN_MS, .jitter = jitter};
    for (size_t i = 0; i < n; i++) {
        places->list[i] = list[i];
    }
}

bool rt_places_set(struct rt_places *places, const struct rt_store_endpoint *endpoint)
{
    bool is_same =
        endpoint == NULL ? places->n == 0 : places->n == 1 && strcmp(places->list[0].text, endpoint->text) == 0;

    if (is_same) {
        return false;
    }
    places->n = endpoint != NULL;
    places->next = 0;
    places->pause_ms = RT_PLACES_PAUSE_MIN_MS;
    places->changed = true;
    if (endpoint != NULL) {
        places->list[0] = *endpoint;
    }
    return true;
}

/* The endpoint that answered is dialled first the next time. */
static void move_to_front(struct rt_places *places)
{
    struct rt_store_endpoint front = places->list[places->next];

    memmove(&places->list[1], &places->list[0], places->next * sizeof(front));
    places->list[0] = front;
}

uint64_t rt_places_plan(struct rt_places *places, bool was_good, uint64_t good_ms)
{
    bool is_new = places->changed;

    places->changed = false;
    if (places->n == 0) {
        return RT_NEVER;
    }
    if (is_new) {
        return 0;
    }
    if (was_good) {
        if (good_ms >= RT_PLACES_PAUSE_MAX_MS) {
            places->pause_ms = RT_PLACES_PAUSE_MIN_MS;
        }
        move_to_front(places);
    } else if (++places->next < places->n) {
        return 0;
    }
    places->next = 0;
    return rt_backoff(&places->pause_ms, RT_PLACES_PAUSE_MIN_MS, RT_PLACES_PAUSE_MAX_MS, &places->jitter);
}
