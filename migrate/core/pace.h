/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_CORE_PACE_H
#define RETETHER_MIGRATE_CORE_PACE_H

#include <stdint.h>

/* How often the store is asked about sessions that do nothing. All hosts together ask it for 2,000 reads a second at
 * most, however many hosts and sessions there are: what is beyond that is looked at less often. Each host takes its
 * share by what the registry says, so they need not agree.
 *
 *     sessions of all hosts    an audit of each
 *         12,000 or fewer      every 15 s
 *        100,000               every 125 s
 *      1,000,000               every 21 min
 *      2,880,000 or more       every hour */

/* Audits of served sessions: a second, of two reads each; the shortest and the longest time between two of one session.
 * Beyond the longest there are more of them than that. */
#define RT_AUDITS_MAX 800
#define RT_AUDIT_MS 15000
#define RT_AUDIT_MAX_MS 3600000

/* A host's walk over its own set, in pages: so many sessions at once, and a second of all hosts. */
#define RT_WALK_PAGE 16
#define RT_WALK_LOOKS_MAX 400

/* Between two audits of one session, with so many sessions served by all hosts. */
uint64_t rt_audit_ms(uint64_t sessions);
/* At least from one page of the walk to the next one, with so many hosts. */
uint64_t rt_walk_pause_ms(uint64_t hosts);

#endif
