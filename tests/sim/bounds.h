/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_BOUNDS_H
#define RETETHER_TESTS_SIM_BOUNDS_H

/* Part of sim_check(): the declared bounds. */
void sim_check_bounds(void);

#endif
