/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/report.h"

#include <inttypes.h>
#include <stdio.h>

void vm_case_add(struct vm_case *c, const struct vm_migration *migration, double blackout_ms)
{
    c->moves++;
    c->downtime_ms = migration->downtime_ms > c->downtime_ms ? migration->downtime_ms : c->downtime_ms;
    c->blackout_ms = blackout_ms > c->blackout_ms ? blackout_ms : c->blackout_ms;
}

void vm_case_say(const struct vm_case *c)
{
    (void)printf("vm: %s: %u moves, downtime %.0f ms, blackout on top %.1f ms, %" PRIu64 " bytes out, %" PRIu64
                 " in, %" PRIu64 " + %" PRIu64 " replayed, 0 lost, 0 repeated\n",
                 c->name, c->moves, c->downtime_ms, c->blackout_ms, c->out, c->in, c->replayed_out, c->replayed_in);
}
