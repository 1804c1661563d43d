/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_FUZZ_STORE_CHECK_H
#define RETETHER_TESTS_FUZZ_STORE_CHECK_H

#include "migrate/core/store_op.h"

#include <stddef.h>

/* What holds of all that migrate/store makes out of a store's words. */

/* It ends within its room. */
void store_check_text(const char *text, size_t cap);
void store_check_record(const struct rt_store_record *record);
void store_check_outcome(const struct rt_claim_outcome *outcome);
void store_check_host(const struct rt_store_host *row);
void store_check_news(const struct rt_store_news *news);

#endif
