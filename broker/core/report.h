/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_REPORT_H
#define RETETHER_BROKER_CORE_REPORT_H

#include "migrate/core/store_op.h"

#include <stddef.h>
#include <stdint.h>

struct rt_agent;

/* Shortens a report to what a record takes. Rows that are missed least go first (report.c), and those left out are
 * counted. Returns the size, or 0 for a report that is malformed. */
size_t rt_ag_report_shorten(struct rt_agent *agent, const uint8_t *data, size_t size, uint8_t out[RT_REPORT_MAX]);

#endif
