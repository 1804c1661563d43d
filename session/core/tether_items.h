/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_TETHER_ITEMS_H
#define RETETHER_SESSION_CORE_TETHER_ITEMS_H

#include <stdint.h>

struct rt_tether;

/* Carries out items of control-down in order; stops at a signal, which it returns with its process. 0: none left. */
unsigned rt_tether_take_items(struct rt_tether *t, uint32_t *proc, uint64_t now);

#endif
