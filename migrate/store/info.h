/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_INFO_H
#define RETETHER_MIGRATE_STORE_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The answer to INFO: a field in each line. Pure. */

/* The value of a field, cut to `cap`; false: there is no such field. */
bool rt_info_text(const char *info, const char *field, char *out, size_t cap);
/* The same of a number; `otherwise` where there is none. */
uint64_t rt_info_number(const char *info, const char *field, uint64_t otherwise);

#endif
