/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/chaos/chaos.h"

#include <inttypes.h>
#include <stdio.h>

/* What is printed. */

static void count(struct chaos *chaos, const struct chaos_fault *fault, uint64_t ms)
{
    size_t i = (size_t)(fault - chaos_faults);

    chaos->tally[i].times++;
    chaos->tally[i].ms += ms;
    chaos->tally[i].most_ms = ms > chaos->tally[i].most_ms ? ms : chaos->tally[i].most_ms;
}

void chaos_report_fault(struct chaos *chaos, const struct chaos_fault *const faults[2], uint64_t ms)
{
    char names[64];

    count(chaos, faults[0], ms);
    if (faults[1] != NULL) {
        count(chaos, faults[1], ms);
    }
    (void)snprintf(names, sizeof(names), "%s%s%s", faults[0]->name, faults[1] != NULL ? " + " : "",
                   faults[1] != NULL ? faults[1]->name : "");
    if (chaos->json) {
        (void)printf("{\"fault\":\"%s\",\"settled_ms\":%" PRIu64 ",\"moves\":%u,\"ended\":%u}\n", names, ms,
                     chaos->n_moves, chaos->n_ended);
    } else {
        (void)printf("%-28s the table is right after %5" PRIu64 " ms; %u moves, %u ended so far\n", names, ms,
                     chaos->n_moves, chaos->n_ended);
    }
    (void)fflush(stdout);
}

static uint64_t mean(const struct chaos *chaos, size_t i)
{
    return chaos->tally[i].times > 0 ? chaos->tally[i].ms / chaos->tally[i].times : 0;
}

static void report_json(const struct chaos *chaos)
{
    (void)printf("{\"seed\":%" PRIu64 ",\"faults\":%u,\"moves\":%u,\"ended\":%u,\"slowest_ms\":%" PRIu64
                 ",\"failed\":%s,\"by_fault\":{",
                 chaos->seed, chaos->n_faults, chaos->n_moves, chaos->n_ended, chaos->slowest_ms,
                 chaos->failure[0] != '\0' ? "true" : "false");
    for (size_t i = 0; i < chaos_n_faults; i++) {
        (void)printf("%s\"%s\":{\"times\":%u,\"mean_ms\":%" PRIu64 ",\"most_ms\":%" PRIu64 "}", i > 0 ? "," : "",
                     chaos_faults[i].name, chaos->tally[i].times, mean(chaos, i), chaos->tally[i].most_ms);
    }
    (void)puts("}}");
}

/* As docs/testing.md has it. */
static void report_table(const struct chaos *chaos)
{
    (void)puts("\n| fault | times | table right after, mean | at most |\n|---|---|---|---|");
    for (size_t i = 0; i < chaos_n_faults; i++) {
        if (chaos->tally[i].times > 0) {
            (void)printf("| %s | %u | %" PRIu64 " ms | %" PRIu64 " ms |\n", chaos_faults[i].name, chaos->tally[i].times,
                         mean(chaos, i), chaos->tally[i].most_ms);
        }
    }
}

void chaos_report(const struct chaos *chaos)
{
    if (chaos->json) {
        report_json(chaos);
        return;
    }
    if (chaos->n_faults > 0) {
        report_table(chaos);
    }
    if (chaos->failure[0] == '\0') {
        (void)printf("\n%u faults, %u moves, %u containers ended: nothing was lost; the table was right after %" PRIu64
                     " ms at most\n",
                     chaos->n_faults, chaos->n_moves, chaos->n_ended, chaos->slowest_ms);
    }
}
