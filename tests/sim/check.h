/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_CHECK_H
#define RETETHER_TESTS_SIM_CHECK_H

#include <stdbool.h>

struct rt_claim;

/* What must hold after each step, and once the faults have stopped. */

void sim_check(void);
/* An agent takes a container: not from under a start that is served, by a host that the store hears of. */
void sim_check_take(int container, int agent, const struct rt_claim *claim);
/* Everything is attached again; all: also what nobody could miss while its link was silent. */
void sim_check_live(bool all);
void sim_check_drained(void); /* every byte written has arrived */
void sim_check_ended(void);   /* containers that exited are over and recorded */

#endif
