/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_RUN_H
#define RETETHER_TESTS_SIM_RUN_H

#include "tests/sim/faults.h"
#include "tests/sim/floods.h"

#include <stdbool.h>
#include <stdint.h>

/* One run of a cluster from a seed. */

struct sim_stats {
    uint64_t events, faults[SIM_FAULTS], moves, bytes_out, bytes_in, rewound, gaps, attached, resumed, failed;
    uint64_t commands, commands_told;
    uint64_t floods[2][SIM_FLOODS_MAX]; /* of a guest, of a client, by sim_flood_types */
};

struct sim_options {
    uint64_t seed;
    bool verbose;
    uint64_t min_events; /* of all kinds, faults go on until then */
    uint64_t agents;     /* 0: as the seed decides */
    uint64_t faults;     /* a bit for each kind that is drawn */
    bool every_fault;
};

void sim_run(const struct sim_options *options, struct sim_stats *total);

#endif
