/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_HASH_H
#define RETETHER_BROKER_CORE_HASH_H

/* uthash, always by way of this header: a failed insert leaves the element's table pointer NULL; inserts check that. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#endif
