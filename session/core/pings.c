/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/pings.h"

#include <string.h>

void rt_pings_clear(struct rt_pings *pings)
{
    pings->n = 0;
}

static void drop(struct rt_pings *pings, unsigned n)
{
    pings->n -= n;
    memmove(pings->token, pings->token + n, pings->n * sizeof(pings->token[0]));
}

void rt_pings_sent(struct rt_pings *pings, uint64_t token)
{
    if (pings->n == RT_PINGS_WAITING_MAX) {
        drop(pings, 1);
    }
    pings->token[pings->n++] = token;
}

bool rt_pings_answered(struct rt_pings *pings, uint64_t token)
{
    for (unsigned i = 0; i < pings->n; i++) {
        if (pings->token[i] == token) {
            drop(pings, i + 1);
            return true;
        }
    }
    return false;
}
