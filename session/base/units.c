/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DURATION_MAX_MS (UINT64_C(10) * 365 * 24 * 3600 * 1000)

static const struct {
    const char *name;
    uint64_t ms;
} durations[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
#define DURATIONS (sizeof(durations) / sizeof(durations[0]))

bool rt_read_number(struct rt_slice text, uint64_t max, uint64_t *value)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';

        if (digit > 9 || digit > max || sum > (max - digit) / 10) {
            return false;
        }
        sum = sum * 10 + digit;
    }
    *value = sum;
    return text.size > 0;
}

/* The number that a text begins with, and in *rest what follows. */
static bool read_first(const char *text, uint64_t max, uint64_t *value, const char **rest)
{
    size_t digits = strspn(text, "0123456789");

    *rest = text + digits;
    return rt_read_number((struct rt_slice){(const uint8_t *)text, digits}, max, value);
}

bool rt_read_duration(const char *text, uint64_t *ms)
{
    uint64_t value;
    const char *unit;

    if (!read_first(text, DURATION_MAX_MS, &value, &unit)) {
        return false;
    }
    *ms = 0;
    if (value == 0 && unit[0] == '\0') {
        return true;
    }
    for (size_t i = 0; i < DURATIONS; i++) {
        if (strcmp(unit, durations[i].name) == 0) {
            *ms = value * durations[i].ms;
            return value <= DURATION_MAX_MS / durations[i].ms;
        }
    }
    return false;
}

bool rt_read_bytes(const char *text, uint64_t *bytes)
{
    static const char units[] = "KkMm";
    const char *unit, *known;
    unsigned shift = 0;
    uint64_t value;

    if (!read_first(text, UINT64_MAX, &value, &unit)) {
        return false;
    }
    if (unit[0] != '\0') {
        known = strchr(units, unit[0]);
        if (known == NULL || unit[1] != '\0') {
            return false;
        }
        shift = known - units < 2 ? 10 : 20;
    }
    *bytes = value << shift;
    return value <= UINT64_MAX >> shift;
}

void rt_duration_text(uint64_t ms, char *out, size_t size)
{
    size_t i = 0;

    while (ms == 0 ? i + 1 < DURATIONS : ms % durations[i].ms != 0) {
        i++;
    }
    (void)snprintf(out, size, "%" PRIu64 "%s", ms / durations[i].ms, durations[i].name);
}
