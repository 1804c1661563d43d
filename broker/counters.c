/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/service.h"
#include "broker/shell.h"

#include <assert.h>

/* What all services count, for the log, and for a service that shows it to others. */

/* Connections that could not be taken for want of descriptors, as far as the log was told. */
static uint64_t short_of_fds(const struct rt_shell *shell)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < shell->n_listeners; i++) {
        sum += shell->listeners[i].short_told;
    }
    return sum;
}

size_t rt_shell_counters(struct rt_shell *shell, struct rt_counter *out)
{
    size_t n = 0;

    for (const struct rt_service *const *at = shell->services; *at != NULL; at++) {
        assert(n + RT_SERVICE_COUNTERS_MAX < RT_SHELL_COUNTERS_MAX);
        n += (*at)->counters(shell, out + n);
    }
    out[n++] = (struct rt_counter){"short_of_descriptors", short_of_fds(shell)};
    return n;
}
