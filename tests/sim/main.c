/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/frame.h"
#include "tests/sim/agents.h"
#include "tests/sim/faults.h"
#include "tests/sim/floods.h"
#include "tests/sim/run.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char usage[] = "rt-sim: whole clusters in virtual time, with faults drawn from a seed\n"
                            "\n"
                            "  --seeds N    how many seeds to run (default 100)\n"
                            "  --first S    the first of them (default 1)\n"
                            "  --seed S     only this one\n"
                            "  --events N   events with faults in each run, at least (default 4000)\n"
                            "  --agents N   in each run (default: 3, in one of 50 runs 100 to 300)\n"
                            "  --every-fault  a kind of fault that never happened counts in short runs too\n"
                            "  --fault NAME, --without NAME   also, or not, this kind of fault; may be repeated\n"
                            "  -v           tell what happens\n"
                            "\n"
                            "Exits with 1 when an invariant is violated, and prints the seed; with 3 when a kind of "
                            "fault never happened in a run of\n"
                            "500 seeds or more.\n";

/* Seeds of a run in which no kind of fault may be missing. */
#define FULL_RUN 500

static bool number(const char *text, uint64_t *value)
{
    char *end;

    *value = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

static bool fault_option(const char *name, bool on, uint64_t *faults)
{
    int fault = sim_fault_named(name);

    if (fault < 0) {
        fprintf(stderr, "rt-sim: there is no fault '%s'\n", name);
        return false;
    }
    *faults = on ? *faults | UINT64_C(1) << fault : *faults & ~(UINT64_C(1) << fault);
    return true;
}

static int report(const struct sim_stats *s, const struct sim_options *o, uint64_t seeds, double seconds)
{
    int missing = 0;

    for (int i = 0; i < SIM_FAULTS; i++) {
        if (!(o->faults >> i & 1) || (i == FAULT_MANY_AGENTS && o->agents != 0)) {
            continue;
        }
        printf("  %-18s %8llu\n", sim_fault_kinds[i].name, (unsigned long long)s->faults[i]);
        if (!s->faults[i] && (o->every_fault || seeds >= FULL_RUN)) {
            printf("  ^ never happened\n");
            missing++;
        }
    }
    for (int i = 0; i < 2 * SIM_FLOODS_MAX && (o->faults >> FAULT_FLOOD & 1); i++) {
        uint64_t n = s->floods[i / SIM_FLOODS_MAX][i % SIM_FLOODS_MAX];
        uint8_t type = sim_flood_types[i / SIM_FLOODS_MAX][i % SIM_FLOODS_MAX];

        if (type == 0) {
            continue;
        }
        printf("  %s floods %-9s %6llu\n", i < SIM_FLOODS_MAX ? "guest " : "client", rt_frame_name(type),
               (unsigned long long)n);
        if (!n && (o->every_fault || seeds >= FULL_RUN)) {
            printf("  ^ never happened\n");
            missing++;
        }
    }
    printf("sim: %llu seeds, %llu events, %llu moves, %llu bytes out, %llu bytes in, %llu attached, %llu resumed, "
           "%llu rewound, %llu gaps, %llu failed, %llu of %llu commands told, in %.1f s (%.0f events/minute)\n",
           (unsigned long long)seeds, (unsigned long long)s->events, (unsigned long long)s->moves,
           (unsigned long long)s->bytes_out, (unsigned long long)s->bytes_in, (unsigned long long)s->attached,
           (unsigned long long)s->resumed, (unsigned long long)s->rewound, (unsigned long long)s->gaps,
           (unsigned long long)s->failed, (unsigned long long)s->commands_told, (unsigned long long)s->commands,
           seconds, (double)s->events * 60 / (seconds > 0 ? seconds : 1));
    return missing ? 3 : 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seeds", required_argument, NULL, 'n'}, {"first", required_argument, NULL, 'f'},
        {"seed", required_argument, NULL, 's'},  {"events", required_argument, NULL, 'e'},
        {"every-fault", no_argument, NULL, 'a'}, {"agents", required_argument, NULL, 'g'},
        {"fault", required_argument, NULL, 'w'}, {"without", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0}};
    struct sim_options o = {.min_events = 4000, .faults = sim_faults_on()};
    struct sim_stats total = {0};
    uint64_t first = 1, seeds = 100;
    struct timespec begin, end;
    bool good = true;
    int c;

    while (good && (c = getopt_long(argc, argv, "vh", options, NULL)) != -1) {
        switch (c) {
        case 'n':
            good = number(optarg, &seeds);
            break;
        case 'f':
            good = number(optarg, &first);
            break;
        case 's':
            good = number(optarg, &first);
            seeds = 1;
            break;
        case 'e':
            good = number(optarg, &o.min_events);
            break;
        case 'a':
            o.every_fault = true;
            break;
        case 'g':
            good = number(optarg, &o.agents) && o.agents >= SIM_AGENTS && o.agents <= SIM_AGENTS_MAX;
            break;
        case 'w':
        case 'o':
            good = fault_option(optarg, c == 'w', &o.faults);
            break;
        case 'v':
            o.verbose = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            good = false;
        }
    }
    if (!good || optind != argc) {
        fputs(usage, stderr);
        return 2;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    for (uint64_t i = 0; i < seeds; i++) {
        o.seed = first + i;
        sim_run(&o, &total);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    return report(&total, &o, seeds, (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
}
