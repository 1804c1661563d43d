/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_CHECK_H
#define RETETHER_TESTS_SIM_CHECK_H

#include <stdbool.h>

/* What must hold after each step, and once the faults have stopped. */

void sim_check(void);
/* Everything is attached again; all: also what nobody could miss while its link was silent. */
void sim_check_live(bool all);
void sim_check_drained(void); /* every byte written has arrived */
void sim_check_ended(void);   /* containers that exited are over and recorded */

#endif
