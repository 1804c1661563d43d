/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/clock.h"

#include <stdio.h>
#include <time.h>

uint64_t rt_wall_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void rt_time_text(uint64_t wall_ms, char *out, size_t size)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char date[32];

    if (gmtime_r(&seconds, &tm) == NULL || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
        (void)snprintf(out, size, "?");
        return;
    }
    (void)snprintf(out, size, "%s.%03uZ", date, (unsigned)(wall_ms % 1000));
}
