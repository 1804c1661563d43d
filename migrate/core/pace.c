/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/pace.h"

uint64_t rt_audit_ms(uint64_t sessions)
{
    uint64_t ms;

    if (sessions >= (uint64_t)RT_AUDIT_MAX_MS / 1000 * RT_AUDITS_MAX) {
        return RT_AUDIT_MAX_MS;
    }
    ms = sessions * 1000 / RT_AUDITS_MAX;
    return ms > RT_AUDIT_MS ? ms : RT_AUDIT_MS;
}

uint64_t rt_walk_pause_ms(uint64_t hosts)
{
    return hosts * RT_WALK_PAGE * 1000 / RT_WALK_LOOKS_MAX;
}
