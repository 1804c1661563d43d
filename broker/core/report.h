/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_REPORT_H
#define RETETHER_BROKER_CORE_REPORT_H

#include "migrate/core/store_op.h"

#include <stddef.h>
#include <stdint.h>

struct rt_agent;

/* The report as a record takes it: what runs, and who is there, goes last; what is left out is counted. Returns its
 * size, 0 for one that is malformed. */
size_t rt_ag_report_shorten(struct rt_agent *agent, const uint8_t *data, size_t size, uint8_t out[RT_REPORT_MAX]);

#endif
